//! Asks the parts how they are, in the background, so that a request never waits for a part that hangs.

pub mod overview;
pub mod postgres;
pub mod redis;
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
    time::{Instant, sleep_until, timeout},
};

use crate::verdict::{
    Aged, Held, MISSED_ROUNDS, NOT_KNOWN, NOT_PROBED_YET, Reading, Rules, Status, TIMEOUT, explained,
};

/// Into how many parts a round is cut where the next probe may change what counts.
const SOONER: u32 = 3;

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

/// How often it is asked, and how much is believed.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// Between the starts of two probes.
    pub every: Duration,
    /// How long a probe may take.
    pub patience: Duration,
    /// How many probes in a row decide.
    pub rules: Rules,
}

impl Rounds {
    /// After which what was found proves nothing. Two probes that hang, one after the other, are told as what they are.
    fn stale(&self) -> Duration {
        (self.every * MISSED_ROUNDS).max(self.every + 2 * self.patience)
    }
}

/// What was found of a part by each probe that tells of it, in the order of the probes: who asks it itself stands before who was told.
pub type Readings = BTreeMap<(&'static str, usize), Known>;

/// What one probe has found of a part.
#[derive(Clone, Debug)]
pub struct Known {
    held: Held,
    /// When the newest was found.
    at: Instant,
    /// When the first of those in a row was found that are, as the newest is, bad or good.
    since: Instant,
}

impl Known {
    fn with(&self, reading: Reading, rules: Rules, at: Instant) -> Self {
        let held = self.held.clone().with(reading, rules);
        let since = if held.is_bad() == self.held.is_bad() { self.since } else { at };
        Self { held, at, since }
    }

    fn aged(&self, now: Instant) -> Aged {
        let Self { held, at, since } = self;
        let aged = Aged::of(held.reading.clone(), (now - *at).as_secs_f64(), held.failures);
        aged.for_seconds(held.is_bad(), (now - *since).as_secs_f64())
    }
}

/// The cache that requests read.
#[derive(Clone, Debug)]
pub struct Cache {
    readings: watch::Receiver<Arc<Readings>>,
    /// Of each probe, after how many seconds what it found proves nothing.
    stale_seconds: Arc<[f64]>,
}

impl Cache {
    /// Every part as it counts now, ordered by name, each that is not well with its cause.
    pub fn now(&self) -> Vec<Aged> {
        let now = Instant::now();
        let mut checks: Vec<Aged> = Vec::new();
        for ((name, source), known) in self.readings.borrow().iter() {
            let one = known.aged(now).counted(self.stale_seconds[*source]);
            match checks.pop() {
                Some(before) if before.reading.name == *name => checks.push(before.and(one)),
                before => checks.extend(before.into_iter().chain([one])),
            }
        }
        explained(checks)
    }

    /// One part as it counts now.
    pub fn get(&self, name: &str) -> Option<Aged> {
        self.now().into_iter().find(|aged| aged.reading.name == name)
    }

    /// Something that changes with every reading, and ends with the probes.
    pub fn changes(&self) -> watch::Receiver<Arc<Readings>> {
        self.readings.clone()
    }

    /// Waits until every part has been probed once.
    pub async fn complete(&self) {
        let probed = |all: &Arc<Readings>| all.values().all(|known| known.held.reading.error != Some(NOT_PROBED_YET));
        // Without probes nothing more will be known.
        drop(self.changes().wait_for(probed).await);
    }

    /// Sets what metrics tell of every part. One that this shape lacks has no series: an alert on 0 would never end.
    fn measure(&self, metrics: &Metrics) {
        let unknown =
            |reading: &Reading| reading.status == Status::NotConfigured || reading.error == Some(NOT_PROBED_YET);
        for Aged { reading, age_seconds, .. } in self.now().into_iter().filter(|aged| !unknown(&aged.reading)) {
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

/// Probes until the tasks are dropped. Each probe has its own task and its own rounds: one that hangs delays no other.
pub fn start(probes: Vec<(Box<dyn Probe>, Rounds)>, telemetry: &Telemetry) -> (Cache, JoinSet<()>) {
    let begun = Instant::now();
    let mut first = Readings::new();
    for (source, (probe, _)) in probes.iter().enumerate() {
        let nothing = |(name, critical): &(&'static str, bool)| {
            let held = Held::nothing(name, *critical);
            ((*name, source), Known { held, at: begun, since: begun })
        };
        first.extend(probe.names().iter().map(nothing));
    }
    let (sender, readings) = watch::channel(Arc::new(first));
    let stale_seconds = probes.iter().map(|(_, rounds)| rounds.stale().as_secs_f64()).collect();
    let cache = Cache { readings, stale_seconds };
    let (sender, mut tasks) = (Arc::new(sender), JoinSet::new());
    for (source, (probe, rounds)) in probes.into_iter().enumerate() {
        let asking = Asking { probe, source, rounds, sender: Arc::clone(&sender), telemetry: telemetry.clone() };
        tasks.spawn(asking.again_and_again());
    }
    let measured = cache.clone();
    telemetry.collect(move |metrics| measured.measure(metrics));
    (cache, tasks)
}

/// One probe, and where its readings go.
struct Asking {
    probe: Box<dyn Probe>,
    source: usize,
    rounds: Rounds,
    sender: Arc<watch::Sender<Arc<Readings>>>,
    telemetry: Telemetry,
}

impl Asking {
    async fn again_and_again(self) {
        let Rounds { every, patience, .. } = self.rounds;
        loop {
            let begun = Instant::now();
            let readings = ask(&*self.probe, patience).await;
            let wavers = self.take(readings);
            // What is in doubt is asked for sooner: else it would take rounds until the truth is told.
            sleep_until(begun + if wavers { every / SOONER } else { every }).await;
        }
    }

    /// Puts readings into the cache; whether the next ones may change what counts.
    fn take(&self, readings: Vec<Reading>) -> bool {
        for reading in readings.iter().filter(|reading| reading.status != Status::NotConfigured) {
            let duration = self.telemetry.metrics().health_check_duration(Dependency::of(reading.name));
            duration.record(reading.response_time_ms / 1e3);
        }
        let (at, mut wavers) = (Instant::now(), false);
        self.sender.send_modify(|all| {
            let all = Arc::make_mut(all);
            for reading in readings {
                let nothing = || Known { held: Held::nothing(reading.name, reading.critical), at, since: at };
                let known = all.entry((reading.name, self.source)).or_insert_with(nothing);
                // What this shape lacks it lacks also while nobody says so.
                if known.held.reading.status == Status::NotConfigured && reading.error == Some(NOT_KNOWN) {
                    continue;
                }
                *known = known.with(reading, self.rounds.rules, at);
                wavers |= known.held.wavers();
            }
        });
        wavers
    }
}

/// One probe's readings, with the time it took; a probe that hangs makes its parts unhealthy.
async fn ask(probe: &dyn Probe, patience: Duration) -> Vec<Reading> {
    let begun = Instant::now();
    let mut readings = match timeout(patience, probe.probe()).await {
        Ok(readings) => readings,
        Err(_) => probe.unanswered(TIMEOUT),
    };
    for reading in &mut readings {
        if reading.response_time_ms == 0.0 {
            reading.response_time_ms = begun.elapsed().as_secs_f64() * 1000.0;
        }
    }
    readings
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
