//! Numbers and ids as tables have them.

use crate::submit::{ActiveContainer, ActiveWorkflow};

/// `42 s`, `3 m 20 s`, `5 h 2 m`, `3 d 4 h`.
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} m {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// `512 MiB`.
fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// `4/10 40 %`.
pub(crate) fn progress(run: &ActiveWorkflow) -> String {
    format!("{}/{} {:.0} %", run.nodes_completed, run.total_nodes, run.progress_percent)
}

/// Characters of a container's id that are shown.
const ID: usize = 12;

/// As much of a container's id as tells it from others: the beginning of a number, of a process its own (`process-PID-START`), and of a
/// name, whose beginning it shares with others, the end.
fn short(id: &str) -> String {
    let (pid, all) = (id.strip_prefix("process-").and_then(|rest| rest.split_once('-')), id.chars().count());
    let is_number = id.chars().all(|digit| digit.is_ascii_hexdigit());
    match pid {
        Some((pid, _)) => format!("pid {pid}").chars().take(ID).collect(),
        None if all > ID && !is_number => std::iter::once('…').chain(id.chars().skip(all + 1 - ID)).collect(),
        None => id.chars().take(ID).collect(),
    }
}

/// A container's id, what it uses of its processors and of memory; `-` where that is not known yet.
pub(crate) fn used(one: &ActiveContainer) -> [String; 3] {
    let id = Some(short(&one.container_id)).filter(|id| !id.is_empty());
    let cpu = one.cpu_usage.map(|cpu| format!("{cpu:.0} %"));
    [id, cpu, one.memory_usage.map(mebibytes)].map(|shown| shown.unwrap_or_else(|| "-".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_yet_of_a_container_is_not_told_as_nothing() {
        assert_eq!(used(&ActiveContainer::default()), ["-"; 3]);
        let idle = ActiveContainer {
            container_id: "beef".to_owned(),
            cpu_usage: Some(0.0),
            memory_usage: Some(64 << 20),
            ..ActiveContainer::default()
        };
        assert_eq!(used(&idle), ["beef", "0 %", "64 MiB"]);
    }

    #[test]
    fn a_duration_has_its_two_greatest_units() {
        let told = [5, 200, 18_120, 273_600].map(duration);
        assert_eq!(told, ["5 s", "3 m 20 s", "5 h 2 m", "3 d 4 h"]);
    }

    #[test]
    fn ids_that_differ_are_cut_to_what_differs() {
        let docker = "c0ffee0123456789c0ffee0123456789c0ffee0123456789c0ffee0123456789";
        assert_eq!([short(docker), short("beef")], ["c0ffee012345", "beef"]);
        assert_eq!(
            ["process-18201-99", "process-18202-99", "process-4194303-1"].map(short),
            ["pid 18201", "pid 18202", "pid 4194303"]
        );
        assert_eq!(["qflow-runner-0-a1b2", "qflow-runner-0-a1b3"].map(short), ["…nner-0-a1b2", "…nner-0-a1b3"]);
        assert!(["", "process-", "process-x", "ää"].iter().all(|odd| short(odd) == *odd));
    }
}
