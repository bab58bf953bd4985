//! What this process takes of its machine, and how busy its runtime is: read when `/metrics` is asked for.

use tokio::runtime::Handle;

use crate::catalogue::Metrics;

/// Ticks of `/proc` in a second: Linux tells them to programs in this unit whatever the kernel's own is.
const TICKS: f64 = 100.0;

/// Reads all of it; what the machine does not tell is left as it is.
pub(crate) fn collect(metrics: &Metrics, runtime: Option<&Handle>) {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    if let Some(stat) = read("/proc/self/stat").as_deref().and_then(Stat::parse) {
        metrics.process_cpu().raise_to(stat.cpu_seconds);
        metrics.process_virtual_memory().set(stat.virtual_bytes);
        metrics.process_threads().set(stat.threads);
        if let Some(boot) = read("/proc/stat").as_deref().and_then(boot_seconds) {
            metrics.process_start_time().set(boot + stat.started_seconds);
        }
    }
    if let Some(bytes) = read("/proc/self/status").as_deref().and_then(resident_bytes) {
        metrics.process_resident_memory().set(bytes);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        metrics.process_open_fds().set(open.count() as f64);
    }
    if let Some(most) = read("/proc/self/limits").as_deref().and_then(most_fds) {
        metrics.process_max_fds().set(most);
    }
    if let Some(runtime) = runtime.map(Handle::metrics) {
        let workers = runtime.num_workers();
        let busy: f64 = (0..workers).map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64()).sum();
        metrics.tokio_workers().set(workers as f64);
        metrics.tokio_alive_tasks().set(runtime.num_alive_tasks() as f64);
        metrics.tokio_queue_depth().set(runtime.global_queue_depth() as f64);
        metrics.tokio_busy().raise_to(busy);
    }
}

/// What `/proc/self/stat` says.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: f64,
    /// Since the machine's boot.
    started_seconds: f64,
    virtual_bytes: f64,
}

impl Stat {
    /// Reads it; the program's name in it may hold spaces and brackets, so fields count from the last bracket.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        // The first of them is field 3 of proc(5).
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / TICKS,
            threads: field(20)?,
            started_seconds: field(22)? / TICKS,
            virtual_bytes: field(23)?,
        })
    }
}

fn boot_seconds(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn resident_bytes(status: &str) -> Option<f64> {
    let told = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = told.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// The soft limit; none where there is no limit.
fn most_fds(limits: &str) -> Option<f64> {
    let told = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    told.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_brackets_in_its_name_is_read() {
        let text =
            "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 9 0 1200 4096000 300 18446744073709551615";
        let stat = Stat { cpu_seconds: 3.0, threads: 9.0, started_seconds: 12.0, virtual_bytes: 4_096_000.0 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("7 (cut"), None);
    }

    #[test]
    fn limits_and_memory_are_read_in_their_units() {
        assert_eq!(
            most_fds("Limit Soft Hard Units\nMax open files            1024     4096     files\n"),
            Some(1024.0)
        );
        assert_eq!(most_fds("Max open files            unlimited     unlimited     files\n"), None);
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2_097_152.0));
        assert_eq!(boot_seconds("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000.0));
    }
}
