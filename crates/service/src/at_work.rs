//! What connections to Redis are at, for its metrics: how many are up, how many wait for an answer, what waits for them, what fails.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use qflow_telemetry::{Histogram, Telemetry, labels::PoolName};

fn name() -> PoolName {
    PoolName::of("redis")
}

/// The connections of one program.
#[derive(Clone)]
pub struct AtWork {
    asked: Arc<AtomicUsize>,
    waits: Histogram,
    telemetry: Telemetry,
}

/// A call that waits for its answer; over when it is dropped.
pub struct Asked<'a>(&'a AtWork);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.asked.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AtWork {
    /// Those of which `up` says how many are up when metrics are asked for.
    pub fn of(telemetry: &Telemetry, up: impl Fn() -> usize + Send + Sync + 'static) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let now = Arc::clone(&asked);
        telemetry.collect(move |metrics| {
            let up = up();
            metrics.pool_size(name()).set(up as f64);
            // One connection takes many calls at once.
            metrics.pool_in_use(name()).set(now.load(Ordering::Relaxed).min(up) as f64);
        });
        Self { asked, waits: telemetry.metrics().pool_wait(name()), telemetry: telemetry.clone() }
    }

    /// A call goes out, for which somebody or something has waited for so many seconds.
    pub fn asks(&self, waited_seconds: f64) -> Asked<'_> {
        self.waits.record(waited_seconds);
        self.asked.fetch_add(1, Ordering::Relaxed);
        Asked(self)
    }

    /// A call failed, or found no room.
    pub fn failed(&self) {
        self.telemetry.metrics().pool_errors(name()).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_saturation_and_errors_of_connections_are_told() {
        let telemetry = Telemetry::silent();
        let at_work = AtWork::of(&telemetry, || 2);
        let says =
            |line: &str| assert!(telemetry.render(None).1.contains(line), "{line}: {}", telemetry.render(None).1);
        let asked: Vec<Asked<'_>> = (0..3).map(|_| at_work.asks(0.25)).collect();
        says("qflow_pool_size{pool=\"redis\"} 2\n");
        says("qflow_pool_in_use{pool=\"redis\"} 2\n");
        drop(asked);
        says("qflow_pool_in_use{pool=\"redis\"} 0\n");
        says("qflow_pool_wait_seconds_count{pool=\"redis\"} 3\n");
        says("qflow_pool_errors_total{pool=\"redis\"} 0\n");
        at_work.failed();
        says("qflow_pool_errors_total{pool=\"redis\"} 1\n");
    }
}
