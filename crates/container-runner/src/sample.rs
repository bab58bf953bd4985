//! What containers use, looked at now and then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use qflow_service::Shutdown;
use qflow_telemetry::{
    Live, Metrics,
    labels::{ContainerStatus, Open, Python},
};
use tokio::time::Instant;

use crate::{pool::Brief, run::Runner, runtime::Usage};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// The last look at each container, for those who ask.
#[derive(Debug, Default)]
pub struct Samples(std::sync::Mutex<BTreeMap<String, Sample>>);

/// What a container used at the last look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Per cent of the processors that it may use, since the look before; nothing at the first.
    pub cpu_percent: Option<f64>,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes that it has written, where that can be told.
    pub disk_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
}

impl Samples {
    fn inside(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Sample>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The last look at a container.
    pub fn of(&self, id: &str) -> Option<Sample> {
        self.inside().get(id).copied()
    }
}

/// Looks until the order to stop; retires what is idle too long.
pub async fn watch(runner: Arc<Runner>, samples: Arc<Samples>, shutdown: Shutdown) {
    let mut before: BTreeMap<String, (f64, Instant)> = BTreeMap::new();
    let (mut counted, mut shown) = (BTreeSet::new(), BTreeMap::new());
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! { () = shutdown.wait() => return, _ = looks.tick() => {} }
        runner.pool.expire();
        let mut now = BTreeMap::new();
        let (mut found, mut there) = (BTreeMap::new(), BTreeSet::new());
        for container in runner.pool.list() {
            let Ok(usage) = runner.runtime.usage(&container.id).await else { continue };
            let at = Instant::now();
            let cpu_percent = before.get(&container.id).and_then(|(seconds, then)| {
                let elapsed = at.duration_since(*then).as_secs_f64();
                let may = elapsed * f64::from(container.cpu_millis.max(1)) / 1e3;
                (elapsed > 0.0).then(|| (usage.cpu_seconds - seconds).max(0.0) / may * 100.0)
            });
            now.insert(container.id.clone(), (usage.cpu_seconds, at));
            let Usage { memory_bytes, disk_bytes, pids, .. } = usage;
            let sample = Sample { cpu_percent, memory_bytes, disk_bytes, pids };
            show(runner.telemetry.metrics(), &container, sample, &mut shown);
            there.insert(container.id.clone());
            found.insert(container.id, sample);
        }
        hide(&there, &mut shown);
        before = now;
        count(&runner, &mut counted);
        *samples.inside() = found;
    }
}

/// What metrics tell of a container: processors, memory, how much of it there may be, and disk.
type Shown = BTreeMap<String, [Live; 4]>;

/// Sets the gauges of one container.
fn show(metrics: &Metrics, container: &Brief, sample: Sample, shown: &mut Shown) {
    let (id, python) = (|| Open::of(&container.id), Python::of(&container.python));
    let make = || {
        [
            metrics.container_cpu(id(), python),
            metrics.container_memory(id(), python),
            metrics.container_memory_limit(id(), python),
            metrics.container_disk(id(), python),
        ]
    };
    let [cpu, memory, limit, disk] = shown.entry(container.id.clone()).or_insert_with(make);
    cpu.set_or_clear(sample.cpu_percent);
    memory.set(sample.memory_bytes as f64);
    limit.set(container.memory_bytes as f64);
    disk.set_or_clear(sample.disk_bytes.map(|bytes| bytes as f64));
}

/// Takes away the gauges of containers that are gone.
fn hide(there: &BTreeSet<String>, shown: &mut Shown) {
    shown.retain(|id, gauges| {
        let stays = there.contains(id);
        if !stays {
            gauges.iter().for_each(Live::clear);
        }
        stays
    });
}

/// Sets the gauge of containers; what was counted before and is gone goes to 0.
fn count(runner: &Runner, counted: &mut BTreeSet<(String, &'static str)>) {
    let mut now: BTreeMap<(String, &'static str), u32> = counted.iter().map(|key| (key.clone(), 0)).collect();
    for container in runner.pool.list().into_iter().chain(runner.pool.starting()) {
        *now.entry((container.python, container.status)).or_default() += 1;
    }
    for ((python, status), count) in now {
        let gauge = runner.telemetry.metrics().active_containers(Python::of(&python), ContainerStatus::of(status));
        gauge.set(f64::from(count));
        counted.insert((python, status));
    }
}

#[cfg(test)]
mod tests {
    use qflow_telemetry::Telemetry;

    use super::*;

    #[test]
    fn a_container_has_series_while_it_is_there() {
        let telemetry = Telemetry::silent();
        let container = Brief {
            id: "c1".into(),
            python: "3.12".into(),
            status: "running",
            run: None,
            attempt: None,
            cpu_millis: 1000,
            memory_bytes: 512 << 20,
            started_at: qflow_model::ids::Timestamp(0),
        };
        let sample = Sample { cpu_percent: Some(37.5), memory_bytes: 64 << 20, disk_bytes: Some(4096), pids: 3 };
        let mut shown = Shown::new();
        show(telemetry.metrics(), &container, sample, &mut shown);
        let text = telemetry.render(None).1;
        for line in [
            r#"qflow_container_cpu_usage_percent{container_id="c1",python_version="3.12"} 37.5"#,
            r#"qflow_container_memory_usage_bytes{container_id="c1",python_version="3.12"} 67108864"#,
            r#"qflow_container_disk_usage_bytes{container_id="c1",python_version="3.12"} 4096"#,
            r#"qflow_container_memory_limit_bytes{container_id="c1",python_version="3.12"} 536870912"#,
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        hide(&BTreeSet::from(["c1".to_owned()]), &mut shown);
        assert!(telemetry.render(None).1.contains("container_id=\"c1\""));
        hide(&BTreeSet::new(), &mut shown);
        let text = telemetry.render(None).1;
        assert!(shown.is_empty() && !text.contains("container_id=\"c1\""), "{text}");
    }
}
