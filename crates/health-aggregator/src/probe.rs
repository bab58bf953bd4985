//! Asks the parts how they are, in the background, so that a request never waits for a part that hangs.

pub mod overview;
pub mod services;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use qflow_telemetry::{
    Telemetry,
    labels::{Dependency, Truth},
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::verdict::{Aged, Reading, Status};

/// How long a probe may take: below the round, so that rounds never overlap.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Something that can be asked how it is.
#[async_trait]
pub trait Probe: Send + Sync {
    /// The names of the readings it gives, and whether each is critical: what is told where it gives none in time.
    fn names(&self) -> &'static [(&'static str, bool)];
    /// Asks.
    async fn probe(&self) -> Vec<Reading>;
}

/// The newest readings with the time of each.
pub type Readings = BTreeMap<&'static str, (Reading, Instant)>;

/// The cache that requests read.
#[derive(Clone, Debug)]
pub struct Cache(pub watch::Receiver<Arc<Readings>>);

impl Cache {
    /// Every reading as it counts now, ordered by name.
    pub fn now(&self) -> Vec<Aged> {
        let at = Instant::now();
        let readings = self.0.borrow();
        readings
            .values()
            .map(|(reading, seen)| Aged { reading: reading.clone(), age_seconds: (at - *seen).as_secs_f64() }.counted())
            .collect()
    }

    /// One reading as it counts now.
    pub fn get(&self, name: &str) -> Option<Aged> {
        self.now().into_iter().find(|aged| aged.reading.name == name)
    }
}

/// Probes every `every` until nobody reads the cache any more. Each probe has its own task: one that hangs delays no other.
pub fn start(probes: Vec<Box<dyn Probe>>, every: Duration, telemetry: &Telemetry) -> (Cache, tokio::task::JoinSet<()>) {
    let (sender, receiver) = watch::channel(Arc::new(Readings::new()));
    let sender = Arc::new(sender);
    let mut tasks = tokio::task::JoinSet::new();
    for probe in probes {
        let (sender, telemetry) = (Arc::clone(&sender), telemetry.clone());
        tasks.spawn(async move {
            let mut round = interval(every);
            round.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                round.tick().await;
                let readings = ask(&*probe).await;
                let at = Instant::now();
                for reading in &readings {
                    measure(reading, &telemetry);
                }
                sender.send_modify(|all| {
                    let all = Arc::make_mut(all);
                    all.extend(readings.into_iter().map(|reading| (reading.name, (reading, at))));
                });
            }
        });
    }
    (Cache(receiver), tasks)
}

/// A dependency that this shape lacks has no series: an alert on 0 would never end.
fn measure(reading: &Reading, telemetry: &Telemetry) {
    if reading.status != Status::NotConfigured {
        let critical = Truth::of(if reading.critical { "true" } else { "false" });
        let up = if reading.status == Status::Unhealthy { 0.0 } else { 1.0 };
        telemetry.metrics().dependency_up(Dependency::of(reading.name), critical).set(up);
    }
}

/// One probe's readings, with the time it took; a probe that hangs makes its parts unhealthy.
async fn ask(probe: &dyn Probe) -> Vec<Reading> {
    let begun = Instant::now();
    let mut readings = match timeout(PROBE_TIMEOUT, probe.probe()).await {
        Ok(readings) => readings,
        Err(_) => probe.names().iter().map(|(name, critical)| Reading::unhealthy(name, *critical, "timeout")).collect(),
    };
    for reading in &mut readings {
        if reading.response_time_ms == 0.0 {
            reading.response_time_ms = begun.elapsed().as_secs_f64() * 1000.0;
        }
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;
    struct Hangs;

    #[async_trait]
    impl Probe for Hangs {
        fn names(&self) -> &'static [(&'static str, bool)] {
            &[("database", true)]
        }
        async fn probe(&self) -> Vec<Reading> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_hangs_is_unhealthy_by_time_out() {
        let telemetry = Telemetry::silent();
        let (cache, _tasks) = start(vec![Box::new(Hangs)], Duration::from_secs(15), &telemetry);
        let mut changes = cache.0.clone();
        changes.changed().await.unwrap();
        let found = cache.get("database").unwrap().reading;
        assert_eq!((found.status, found.error), (Status::Unhealthy, Some("timeout")));
        assert!(telemetry.render(None).1.contains(r#"{dependency="database",critical="true"} 0"#));
    }
}
