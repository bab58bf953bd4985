//! Asks the parts how they are, in the background, so that a request never waits for a part that hangs.

pub mod overview;
pub mod services;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use qflow_telemetry::{
    Metrics, Telemetry,
    labels::{Dependency, Truth},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::verdict::{Aged, MISSED_ROUNDS, NOT_KNOWN, Reading, Status};

/// How long a probe may take: below the round, so that rounds never overlap.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Something that can be asked how it is.
#[async_trait]
pub trait Probe: Send + Sync {
    /// The names of the readings it gives, and whether each is critical: what is told where it gives none in time.
    fn names(&self) -> &'static [(&'static str, bool)];
    /// Asks.
    async fn probe(&self) -> Vec<Reading>;
    /// What is told where it does not answer, and why.
    fn unanswered(&self, error: &'static str) -> Vec<Reading> {
        self.names().iter().map(|(name, critical)| Reading::unhealthy(name, *critical, error)).collect()
    }
}

/// The newest readings with the time of each.
pub type Readings = BTreeMap<&'static str, (Reading, Instant)>;

/// What is told of a part before its first probe has ended.
const NOT_PROBED_YET: &str = "not_probed_yet";

/// The cache that requests read.
#[derive(Clone, Debug)]
pub struct Cache {
    readings: watch::Receiver<Arc<Readings>>,
    stale_seconds: f64,
}

impl Cache {
    /// Every reading as it counts now, ordered by name.
    pub fn now(&self) -> Vec<Aged> {
        let at = Instant::now();
        let readings = self.readings.borrow();
        let aged = |(reading, seen): &(Reading, Instant)| {
            let age_seconds = (at - *seen).as_secs_f64();
            Aged { reading: reading.clone(), age_seconds }.counted(self.stale_seconds)
        };
        readings.values().map(aged).collect()
    }

    /// One reading as it counts now.
    pub fn get(&self, name: &str) -> Option<Aged> {
        self.now().into_iter().find(|aged| aged.reading.name == name)
    }

    /// Something that changes with every reading, and ends with the probes.
    pub fn changes(&self) -> watch::Receiver<Arc<Readings>> {
        self.readings.clone()
    }

    /// Waits until every part has been probed once.
    pub async fn complete(&self) {
        let probed = |all: &Arc<Readings>| all.values().all(|(reading, _)| reading.error != Some(NOT_PROBED_YET));
        // Without probes nothing more will be known.
        drop(self.changes().wait_for(probed).await);
    }

    /// Sets what metrics tell of every part. One that this shape lacks has no series: an alert on 0 would never end.
    fn measure(&self, metrics: &Metrics) {
        let unknown =
            |reading: &Reading| reading.status == Status::NotConfigured || reading.error == Some(NOT_PROBED_YET);
        for Aged { reading, age_seconds } in self.now().into_iter().filter(|aged| !unknown(&aged.reading)) {
            let dependency = Dependency::of(reading.name);
            let critical = Truth::of(if reading.critical { "true" } else { "false" });
            let up = if reading.status == Status::Unhealthy { 0.0 } else { 1.0 };
            // Of what is not known the last that was stays: it would be told as a failure of its own beside its cause.
            if reading.error != Some(NOT_KNOWN) {
                metrics.dependency_up(dependency, critical).set(up);
            }
            metrics.health_check_age(dependency).set(age_seconds);
        }
    }
}

/// Probes every `every` until the tasks are dropped. Each probe has its own task: one that hangs delays no other.
pub fn start(probes: Vec<Box<dyn Probe>>, every: Duration, telemetry: &Telemetry) -> (Cache, JoinSet<()>) {
    let begun = Instant::now();
    let unknown =
        |(name, critical): &(&'static str, bool)| (*name, (Reading::unhealthy(name, *critical, NOT_PROBED_YET), begun));
    let first: Readings = probes.iter().flat_map(|probe| probe.names().iter().map(unknown)).collect();
    let (sender, readings) = watch::channel(Arc::new(first));
    let cache = Cache { readings, stale_seconds: MISSED_ROUNDS * every.as_secs_f64() };
    let (sender, mut tasks) = (Arc::new(sender), JoinSet::new());
    for probe in probes {
        tasks.spawn(ask_again_and_again(probe, every, Arc::clone(&sender), telemetry.clone()));
    }
    let measured = cache.clone();
    telemetry.collect(move |metrics| measured.measure(metrics));
    (cache, tasks)
}

async fn ask_again_and_again(
    probe: Box<dyn Probe>,
    every: Duration,
    sender: Arc<watch::Sender<Arc<Readings>>>,
    telemetry: Telemetry,
) {
    let mut round = interval(every);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        round.tick().await;
        let readings = ask(&*probe).await;
        for reading in readings.iter().filter(|reading| reading.status != Status::NotConfigured) {
            let duration = telemetry.metrics().health_check_duration(Dependency::of(reading.name));
            duration.record(reading.response_time_ms / 1e3);
        }
        let at = Instant::now();
        sender.send_modify(|all| {
            let all = Arc::make_mut(all);
            let lacks = |name| all.get(name).is_some_and(|(known, _)| known.status == Status::NotConfigured);
            // What this shape lacks it lacks also while nobody says so.
            let told = readings.into_iter().filter(|one| one.error != Some(NOT_KNOWN) || !lacks(one.name));
            let told: Vec<_> = told.map(|reading| (reading.name, (reading, at))).collect();
            all.extend(told);
        });
    }
}

/// One probe's readings, with the time it took; a probe that hangs makes its parts unhealthy.
async fn ask(probe: &dyn Probe) -> Vec<Reading> {
    let begun = Instant::now();
    let mut readings = match timeout(PROBE_TIMEOUT, probe.probe()).await {
        Ok(readings) => readings,
        Err(_) => probe.unanswered("timeout"),
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
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::sleep;

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

    /// Counts how often it is asked.
    #[derive(Clone, Default)]
    struct Counts(Arc<AtomicU32>);

    #[async_trait]
    impl Probe for Counts {
        fn names(&self) -> &'static [(&'static str, bool)] {
            &[("redis", false)]
        }
        async fn probe(&self) -> Vec<Reading> {
            self.0.fetch_add(1, Ordering::SeqCst);
            let healthy = Reading { status: Status::Healthy, error: None, ..Reading::unhealthy("redis", false, "") };
            vec![healthy]
        }
    }

    const ROUND: Duration = Duration::from_secs(15);

    #[tokio::test(start_paused = true)]
    async fn a_part_that_hangs_is_unhealthy_by_time_out_and_delays_no_other() {
        let telemetry = Telemetry::silent();
        let counts = Counts::default();
        let (cache, _tasks) = start(vec![Box::new(Hangs), Box::new(counts.clone())], ROUND, &telemetry);
        let before = cache.get("database").unwrap().reading;
        assert_eq!((before.status, before.error), (Status::Unhealthy, Some("not_probed_yet")));
        assert!(!telemetry.render(None).1.contains(r#"{dependency="database",critical="true"}"#));
        cache.complete().await;
        let found = cache.get("database").unwrap().reading;
        assert_eq!((found.status, found.error), (Status::Unhealthy, Some("timeout")));
        sleep(3 * ROUND).await;
        assert_eq!(counts.0.load(Ordering::SeqCst), 4, "once at the start and once a round");
        assert_eq!(cache.get("redis").unwrap().reading.status, Status::Healthy);
        let text = telemetry.render(None).1;
        for line in [
            r#"qflow_dependency_up{dependency="database",critical="true"} 0"#,
            r#"qflow_dependency_up{dependency="redis",critical="false"} 1"#,
            r#"qflow_health_check_duration_seconds_count{dependency="redis"} 4"#,
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_new_readings_nothing_stays_healthy() {
        let telemetry = Telemetry::silent();
        let (cache, mut tasks) = start(vec![Box::new(Counts::default())], ROUND, &telemetry);
        cache.complete().await;
        tasks.shutdown().await;
        sleep(4 * ROUND).await;
        assert_eq!(cache.get("redis").unwrap().reading.status, Status::Healthy);
        sleep(ROUND).await;
        let aged = cache.get("redis").unwrap();
        assert_eq!((aged.reading.status, aged.reading.error), (Status::Unhealthy, Some("stale")));
        let text = telemetry.render(None).1;
        assert!(text.contains("qflow_dependency_up{dependency=\"redis\",critical=\"false\"} 0"), "{text}");
        assert!(text.contains("qflow_health_check_age_seconds{dependency=\"redis\"} 75"), "{text}");
    }

    /// Tells of two parts, and then no more.
    struct Silent(AtomicU32);

    #[async_trait]
    impl Probe for Silent {
        fn names(&self) -> &'static [(&'static str, bool)] {
            &[("database", true), ("redis", false), ("blobs", false)]
        }
        async fn probe(&self) -> Vec<Reading> {
            if self.0.fetch_add(1, Ordering::SeqCst) > 0 {
                return self.unanswered("unreachable");
            }
            let of = |name, status| Reading { status, error: None, ..Reading::unhealthy(name, false, "") };
            vec![of("redis", Status::Healthy), of("blobs", Status::NotConfigured)]
        }
        fn unanswered(&self, error: &'static str) -> Vec<Reading> {
            vec![Reading::unhealthy("database", true, error), Reading::not_known("redis"), Reading::not_known("blobs")]
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_known_is_told_so_and_no_alert_comes_of_it() {
        let telemetry = Telemetry::silent();
        let (cache, _tasks) = start(vec![Box::new(Silent(AtomicU32::new(0)))], ROUND, &telemetry);
        sleep(2 * ROUND).await;
        let found = |name| cache.get(name).map(|aged| (aged.reading.status, aged.reading.error)).unwrap();
        assert_eq!(found("database"), (Status::Unhealthy, Some("unreachable")));
        assert_eq!(found("redis"), (Status::Degraded, Some("not_known")));
        assert_eq!(found("blobs"), (Status::NotConfigured, None));
        let text = telemetry.render(None).1;
        assert!(text.contains(r#"qflow_dependency_up{dependency="database",critical="true"} 0"#), "{text}");
        assert!(!text.contains(r#"qflow_dependency_up{dependency="redis",critical="false"} 0"#), "{text}");
        assert!(!text.contains(r#"qflow_dependency_up{dependency="blobs""#), "{text}");
    }
}
