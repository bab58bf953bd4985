//! What any orchestrator knows of store, bus, runners, runs and telemetry, read into the seed's checks.

mod runners;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use qflow_service::AuthedChannel;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{Probe, services::Pipelines};
use crate::{
    settings::Thresholds,
    submit::{self, Overview, Pipeline},
    verdict::{Reading, STALE, Status, TIMEOUT, UNREACHABLE},
};

/// How long a system that has just started may be without any runner: these dial once orchestrators are there.
const DIALS: Duration = Duration::from_secs(15);

/// Asks orchestrators.
#[derive(Debug)]
pub struct OverviewProbe {
    channels: Vec<AuthedChannel>,
    pythons: Vec<String>,
    thresholds: Thresholds,
    /// What other services say of their telemetry.
    pipelines: Pipelines,
    runners: Awaited,
}

impl OverviewProbe {
    /// One that asks each replica; of which versions of Python are promised, and what counts as trouble.
    pub fn new(
        channels: Vec<AuthedChannel>,
        pythons: Vec<String>,
        thresholds: Thresholds,
        pipelines: Pipelines,
    ) -> Self {
        Self { channels, pythons, thresholds, pipelines, runners: Awaited::since(Instant::now()) }
    }
}

/// Whether runners may still be on their way.
#[derive(Debug)]
struct Awaited {
    begun: Instant,
    came: AtomicBool,
}

impl Awaited {
    fn since(begun: Instant) -> Self {
        Self { begun, came: AtomicBool::new(false) }
    }

    /// The same readings; of what only runners tell nothing is known before the first of them had time to come.
    fn read(&self, mut readings: Vec<Reading>) -> Vec<Reading> {
        let lacks_runners = |reading: &Reading| reading.error == Some(runners::NO_RUNNER);
        if !readings.iter().any(lacks_runners) {
            self.came.store(true, Ordering::Relaxed);
        } else if !self.came.load(Ordering::Relaxed) && self.begun.elapsed() < DIALS {
            for reading in readings.iter_mut().filter(|reading| runners::TOLD_BY_THEM.contains(&reading.name)) {
                *reading = Reading::not_known(reading.name, reading.critical);
            }
        }
        readings
    }
}

const NAMES: &[(&str, bool)] = &[
    ("orchestrator", true),
    ("database", true),
    ("redis", false),
    ("blobs", false),
    ("docker", true),
    ("python_environments", false),
    ("workflows", false),
    ("telemetry", false),
];

#[async_trait]
impl Probe for OverviewProbe {
    fn names(&self) -> &'static [(&'static str, bool)] {
        NAMES
    }

    async fn probe(&self) -> Vec<Reading> {
        match submit::each(&self.channels, submit::overview, self.thresholds.patience()).await {
            Ok(mut overviews) => {
                // Whoever says it stands among them: each process is counted once.
                overviews.iter_mut().take(1).for_each(|one| one.telemetry.extend(self.pipelines.all()));
                self.runners.read(readings(overviews, &self.pythons, &self.thresholds))
            }
            Err(error) => self.unanswered(error),
        }
    }

    /// An orchestrator that does not answer is the one that is down; of the rest nothing is known.
    fn unanswered(&self, error: &'static str) -> Vec<Reading> {
        let of = |(name, critical): &(&'static str, bool)| match *name {
            "orchestrator" => Reading::unhealthy(name, *critical, error),
            name => Reading::not_known(name, *critical),
        };
        NAMES.iter().map(of).collect()
    }
}

/// What several orchestrators know.
#[derive(Debug)]
struct Together {
    /// All runners that any of them knows; of runs, who is told by a store that answers.
    one: Overview,
    /// How many do not reach the store, and of how many.
    stores_away: (usize, usize),
    /// How many reach it, and their engine has not looked around for long.
    stalled: usize,
    /// How old it is what is told of runners; nothing where nobody has looked around for long.
    seen_seconds: Option<f64>,
}

/// What one of several does not reach counts as away, and what waits longest anywhere waits, whoever answers first.
fn together(mut all: Vec<Overview>, silent_seconds: f64) -> Together {
    let looks = |one: &&Overview| one.sight_age_seconds <= silent_seconds;
    let seen_seconds = all.iter().filter(looks).map(|one| one.sight_age_seconds).reduce(f64::max);
    let sight_age_seconds = all.iter().map(|one| one.sight_age_seconds).fold(0.0, f64::max);
    let stalled = all.iter().filter(|one| !looks(one) && !one.store_down).count();
    let (blobs_away, bus_down) = (all.iter().any(|one| one.blobs_away), all.iter().any(|one| one.bus_down));
    let reached = all.iter().filter(|one| !one.store_down);
    let store_latency_ms = reached.map(|one| one.store_latency_ms).fold(0.0, f64::max);
    let stores_away = (all.iter().filter(|one| one.store_down).count(), all.len());
    let store_late = all.iter().any(|one| one.store_late);
    let telemetry: Vec<Pipeline> = all.iter().flat_map(|one| one.telemetry.iter().copied()).collect();
    let oldest_queued_seconds = all.iter().map(|one| one.oldest_queued_seconds).fold(0.0, f64::max);
    let queued = all.iter().map(|one| one.queued).fold(0, u32::saturating_add);
    // What one that hangs says of runners others know better, or nobody does.
    let runners = runners::merged(all.iter().filter(looks).flat_map(|one| &one.runners));
    let stranded = all.iter().find(|one| !one.runners.is_empty()).or(all.first());
    let stranded = stranded.map(|one| one.stranded.clone()).unwrap_or_default();
    let counts = all.iter().position(|one| !one.store_down).unwrap_or_default();
    let one = if counts < all.len() { all.swap_remove(counts) } else { Overview::default() };
    let one = Overview {
        runners,
        queued,
        oldest_queued_seconds,
        store_late,
        store_latency_ms,
        bus_down,
        blobs_away,
        stranded,
        sight_age_seconds,
        telemetry,
        ..one
    };
    Together { one, stores_away, stalled, seen_seconds }
}

/// The checks that overviews answer.
fn readings(overviews: Vec<Overview>, promised: &[String], thresholds: &Thresholds) -> Vec<Reading> {
    let Together { one: overview, stores_away, stalled, seen_seconds } = together(overviews, thresholds.silent_seconds);
    let seen = |reading: Reading| match seen_seconds {
        Some(told_seconds) => Reading { told_seconds, ..reading },
        None => Reading::not_known(reading.name, reading.critical),
    };
    vec![
        orchestrator(&overview, (stalled, stores_away.1)),
        database(&overview, stores_away, thresholds),
        redis(&overview),
        blobs(&overview),
        seen(runners::runners(&overview, thresholds)),
        seen(runners::pythons(&overview, promised)),
        workflows(&overview, thresholds),
        telemetry(&overview.telemetry, thresholds),
    ]
}

fn reading(name: &'static str, status: Status, error: &'static str, facts: Value) -> Reading {
    let critical = NAMES.iter().any(|(known, critical)| *known == name && *critical);
    let error = (status > Status::Healthy).then_some(error);
    let facts = if let Value::Object(facts) = facts { facts } else { Map::new() };
    Reading { status, error, facts, ..Reading::healthy(name, critical) }
}

/// Whether what answers also works: one whose engine does not come round hands nothing out. Without its store that is the store's fault.
fn orchestrator(overview: &Overview, (stalled, all): (usize, usize)) -> Reading {
    let status = match stalled {
        0 => Status::Healthy,
        stalled if stalled == all => Status::Unhealthy,
        _ => Status::Degraded,
    };
    reading("orchestrator", status, STALE, json!({ "engine_age_seconds": tenths(overview.sight_age_seconds) }))
}

fn database(overview: &Overview, (away, all): (usize, usize), thresholds: &Thresholds) -> Reading {
    let is_embedded = matches!(overview.store.as_str(), "sqlite" | "memory");
    let (status, error) = match away {
        0 if overview.store_latency_ms >= thresholds.slow_ms => (Status::Degraded, "slow"),
        0 => (Status::Healthy, ""),
        away if away == all && overview.store_late => (Status::Unhealthy, TIMEOUT),
        // A file has no address at which nobody answers.
        away if away == all && is_embedded => (Status::Unhealthy, "failed"),
        away if away == all => (Status::Unhealthy, UNREACHABLE),
        _ => (Status::Degraded, "unreachable_for_one"),
    };
    // The embedded store has one writer; those of a server are told by who asks it.
    let connections = is_embedded.then_some(1);
    let facts = json!({ "backend": overview.store, "active_connections": connections });
    Reading { response_time_ms: overview.store_latency_ms, ..reading("database", status, error, facts) }
}

fn redis(overview: &Overview) -> Reading {
    let status = match (overview.bus.as_str(), overview.bus_down) {
        ("redis", false) => Status::Healthy,
        ("redis", true) => Status::Unhealthy,
        _ => Status::NotConfigured,
    };
    reading("redis", status, UNREACHABLE, json!({ "memory_usage": null, "bus": overview.bus }))
}

/// Large values and logs: of no call's making, so never critical; what runs waits for it.
fn blobs(overview: &Overview) -> Reading {
    let away = overview.runners.iter().filter(|runner| runner.blobs_away).count();
    let (status, error) = match (overview.blobs.is_empty(), overview.blobs_away, away) {
        (true, ..) => (Status::NotConfigured, ""),
        (_, true, _) => (Status::Unhealthy, UNREACHABLE),
        (_, false, 0) => (Status::Healthy, ""),
        // No result is kept anywhere then.
        (_, false, all) if all == overview.runners.len() => (Status::Unhealthy, "unreachable_for_runners"),
        _ => (Status::Degraded, "unreachable_for_runners"),
    };
    reading("blobs", status, error, json!({ "backend": overview.blobs, "runners_without": away }))
}

fn workflows(overview: &Overview, thresholds: &Thresholds) -> Reading {
    if overview.store_down {
        return Reading::not_known("workflows", false);
    }
    let (ended, failed) = (overview.ended_last_hour, overview.failed_last_hour.min(overview.ended_last_hour));
    let (user, platform) = (overview.failed_user_last_hour, overview.failed_platform_last_hour);
    let rate = if ended == 0 { 1.0 } else { (ended - failed) as f64 / ended as f64 };
    // One of two that failed is no rate.
    let is_judged = ended >= thresholds.minimum_runs;
    let (status, error) = if is_judged && rate * 100.0 <= thresholds.success_percent {
        (Status::Degraded, "failing")
    } else if overview.oldest_queued_seconds >= thresholds.queued_seconds {
        (Status::Degraded, "queue_waits")
    } else if overview.sight_age_seconds > thresholds.silent_seconds {
        // What waits with one that hangs is told as it was.
        (Status::Degraded, STALE)
    } else {
        (Status::Healthy, "")
    };
    let facts = json!({
        "recent_executions": ended,
        "failed_executions": failed,
        "success_rate": (rate * 10_000.0).round() / 100.0,
        "failed_by_user": user,
        "failed_by_platform": platform,
        "pending": overview.pending,
        "running": overview.running,
        "queued": overview.queued,
        "oldest_queued_seconds": overview.oldest_queued_seconds,
    });
    Reading { told_seconds: overview.sight_age_seconds, ..reading("workflows", status, error, facts) }
}

/// Whether what processes tell of themselves gets anywhere; without anybody who ever asked and without drops there is no such part.
fn telemetry(told: &[Pipeline], thresholds: &Thresholds) -> Reading {
    let mut known = BTreeSet::new();
    // Parts of one process have one way out; one of an older version does not say which it is.
    let pipelines: Vec<&Pipeline> = told.iter().filter(|one| one.process == 0 || known.insert(one.process)).collect();
    let all = outlet(pipelines.iter().copied());
    let (status, error) = if all.drop_age_seconds.is_some_and(|age| age < thresholds.drop_seconds) {
        (Status::Degraded, "dropping")
    } else if all.scrape_age_seconds.is_some_and(|age| age >= thresholds.scrape_seconds) {
        (Status::Degraded, "not_scraped")
    } else if all.scrape_age_seconds.is_none() {
        (Status::NotConfigured, "")
    } else {
        (Status::Healthy, "")
    };
    let services: BTreeSet<&str> = pipelines.iter().map(|one| one.service).collect();
    let of = |service: &str| {
        let processes = || pipelines.iter().copied().filter(|one| one.service == service);
        let mut facts = facts(outlet(processes()));
        facts.insert("processes".to_owned(), processes().count().into());
        (service.to_owned(), Value::Object(facts))
    };
    let mut facts = facts(all);
    facts.insert("services".to_owned(), services.into_iter().map(of).collect());
    reading("telemetry", status, error, Value::Object(facts))
}

/// How several get out together: the longest that nobody asked, all that was dropped, the last time.
fn outlet<'a>(pipelines: impl Iterator<Item = &'a Pipeline>) -> Pipeline {
    let worse = |a: Option<f64>, b: Option<f64>, of: fn(f64, f64) -> f64| a.into_iter().chain(b).reduce(of);
    pipelines.fold(Pipeline::default(), |all, one| Pipeline {
        scrape_age_seconds: worse(all.scrape_age_seconds, one.scrape_age_seconds, f64::max),
        dropped: all.dropped.saturating_add(one.dropped),
        drop_age_seconds: worse(all.drop_age_seconds, one.drop_age_seconds, f64::min),
        ..all
    })
}

fn facts(told: Pipeline) -> Map<String, Value> {
    let ages = [("scrape_age_seconds", told.scrape_age_seconds), ("drop_age_seconds", told.drop_age_seconds)];
    let ages = ages.map(|(name, age)| (name.to_owned(), json!(age.map(tenths))));
    ages.into_iter().chain([("dropped".to_owned(), told.dropped.into())]).collect()
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
