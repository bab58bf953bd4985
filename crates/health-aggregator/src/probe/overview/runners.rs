//! Runners: what starts their containers, and which Pythons come up in it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{reading, tenths};
use crate::{
    settings::Thresholds,
    submit::{Condition, Overview, Python, Runner},
    verdict::{Reading, STALE, Status},
};

/// Runners that are told of one by one: of a thousand nobody reads the list.
const LISTED: usize = 50;

/// Why nothing can be started where nobody could.
pub(super) const NO_RUNNER: &str = "no_runner";
/// Why nothing can be started in a runtime that does not answer.
const RUNTIME_AWAY: &str = "runtime_away";
/// The checks that only runners tell of.
pub(super) const TOLD_BY_THEM: [&str; 2] = ["docker", "python_environments"];

/// Each runner once, as whoever heard it last knows it: one that has said how its runtime is before one that has not.
pub(super) fn merged<'a>(told: impl IntoIterator<Item = &'a Runner>) -> Vec<Runner> {
    let age = |runner: &Runner| runner.condition.as_ref().map_or(f64::INFINITY, |condition| condition.age_seconds);
    let mut youngest: BTreeMap<&str, &Runner> = BTreeMap::new();
    for runner in told {
        let known = youngest.entry(&runner.id).or_insert(runner);
        if age(runner) < age(known) {
            *known = runner;
        }
    }
    youngest.into_values().cloned().collect()
}

/// Whether containers can be started.
pub(super) fn runners(overview: &Overview, thresholds: &Thresholds) -> Reading {
    let all = &overview.runners;
    let conditions = || all.iter().filter_map(|runner| runner.condition.as_ref());
    let away = conditions().filter(|condition| condition.away).count();
    let is_low = |disk: (u64, u64)| disk.1 < thresholds.disk_free_bytes;
    let (status, error) = if all.is_empty() {
        (Status::Unhealthy, NO_RUNNER)
    } else if away == all.len() {
        (Status::Unhealthy, RUNTIME_AWAY)
    } else if away > 0 {
        (Status::Degraded, RUNTIME_AWAY)
    } else if all.iter().any(|runner| is_stale(runner, thresholds)) {
        (Status::Degraded, STALE)
    } else if !overview.stranded.is_empty() {
        (Status::Degraded, "orchestrator_without_runner")
    } else if conditions().filter_map(|condition| condition.disk).any(is_low) {
        (Status::Degraded, "disk_low")
    } else {
        (Status::Healthy, "")
    };
    let runtimes: BTreeSet<&str> = all.iter().map(|runner| runner.runtime.as_str()).collect();
    let docker = all.iter().find(|runner| runner.runtime == "docker").map(version);
    let facts = json!({
        "active_containers": sum(all, active),
        "total_containers": sum(all, total),
        "docker_version": docker,
        "runtimes": runtimes,
        "runners": all.len(),
        "runners_without_runtime": away,
        "slots": all.iter().map(|runner| runner.slots).sum::<u32>(),
        "ping_ms": conditions().filter(|it| !it.away).map(|it| it.ping_ms).reduce(f64::max).map(tenths),
        "disk_free_bytes": conditions().filter_map(|it| it.disk).map(|disk| disk.1).min(),
        "orchestrators_without_runner": overview.stranded.len(),
        "per_runner": all.iter().take(LISTED).map(|runner| one(runner, thresholds)).collect::<Vec<_>>(),
    });
    reading("docker", status, error, facts)
}

/// Whether what a runner said of its runtime proves nothing any more: it looks every five seconds. That whoever tells of it has not looked
/// around meanwhile is not its fault.
fn is_stale(runner: &Runner, thresholds: &Thresholds) -> bool {
    let age = runner.condition.as_ref().map(|condition| condition.age_seconds - runner.seen_seconds);
    age.is_some_and(|age| age > thresholds.silent_seconds)
}

/// Containers that run, as the runtime counts them where it does; nothing where it does not answer.
fn active(runner: &Runner) -> Option<u32> {
    runner.condition.as_ref().map_or(Some(runner.running), |condition| (!condition.away).then_some(condition.active))
}

fn total(runner: &Runner) -> Option<u32> {
    runner.condition.as_ref().map_or(Some(runner.containers), |condition| (!condition.away).then_some(condition.total))
}

/// Of all runners of which it is known; nothing where it is of none.
fn sum(all: &[Runner], of: fn(&Runner) -> Option<u32>) -> Option<u32> {
    let known: Vec<u32> = all.iter().filter_map(of).collect();
    (all.is_empty() || !known.is_empty()).then(|| known.iter().sum())
}

/// As the runtime said it last.
fn version(runner: &Runner) -> &str {
    let said = runner.condition.as_ref().map(|condition| condition.version.as_str()).filter(|said| !said.is_empty());
    said.unwrap_or(&runner.version)
}

fn one(runner: &Runner, thresholds: &Thresholds) -> Value {
    let condition = runner.condition.as_ref();
    let status = match condition {
        Some(condition) if condition.away => Status::Unhealthy,
        Some(_) if is_stale(runner, thresholds) => Status::Degraded,
        _ => Status::Healthy,
    };
    json!({
        "id": runner.id,
        "version": runner.build,
        "runtime": runner.runtime,
        "runtime_version": version(runner),
        "status": status.as_str(),
        "active_containers": active(runner),
        "total_containers": total(runner),
        "ping_ms": condition.filter(|it| !it.away).map(|it| tenths(it.ping_ms)),
        "disk_bytes": condition.and_then(|it| it.disk).map(|disk| disk.0),
        "disk_free_bytes": condition.and_then(|it| it.disk).map(|disk| disk.1),
        "age_seconds": condition.map(|it| tenths(it.age_seconds)),
    })
}

/// What is known of one version over all runners.
#[derive(Default)]
struct Standing<'a> {
    /// Runners where it is there, and where it is missed.
    there: usize,
    missing: usize,
    /// Runners where it was there, and whose runtime does not answer.
    away: usize,
    warm: u32,
    /// The last tries that did not come up, and the newest that did.
    smoke_error: Option<&'a str>,
    smoke_age: Option<f64>,
}

impl<'a> Standing<'a> {
    /// One more runner's. Where its runtime is away nothing can be started, whatever it had.
    fn add(&mut self, python: &'a Python, is_away: bool) {
        if is_away {
            self.away += usize::from(python.is_wanted || python.is_there);
            return;
        }
        self.there += usize::from(python.is_there);
        self.missing += usize::from(python.is_wanted && !python.is_there);
        self.warm += python.warm;
        if !python.smoke_error.is_empty() {
            self.smoke_error = Some(&python.smoke_error);
        }
        self.smoke_age = match (self.smoke_age, python.smoke_age_seconds) {
            (Some(before), Some(age)) => Some(before.min(age)),
            (before, age) => before.or(age),
        };
    }

    fn is_away(&self) -> bool {
        self.there == 0 && self.away > 0
    }

    fn told(&self) -> Value {
        let status = match (self.missing > 0, self.smoke_error, self.there) {
            (true, ..) => "image_missing",
            _ if self.is_away() => RUNTIME_AWAY,
            (_, Some(_), _) => "smoke_failed",
            (_, None, 0) => "not_prepared",
            _ => "healthy",
        };
        json!({
            "status": status,
            "runners_with_image": self.there,
            "warm": self.warm,
            "smoke_age_seconds": self.smoke_age.map(tenths),
            "smoke_error": self.smoke_error,
        })
    }
}

/// Which Pythons can be had. One counts once it was there: nothing is pulled unasked.
pub(super) fn pythons(overview: &Overview, promised: &[String]) -> Reading {
    let mut standings: BTreeMap<Vec<u32>, (&str, Standing<'_>)> = BTreeMap::new();
    let key = |version: &str| version.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    for version in promised {
        standings.entry(key(version)).or_insert_with(|| (version, Standing::default()));
    }
    for runner in &overview.runners {
        match &runner.condition {
            Some(Condition { pythons, away, .. }) => {
                for python in pythons {
                    let known = standings.entry(key(&python.version));
                    known.or_insert_with(|| (&python.version, Standing::default())).1.add(python, *away);
                }
            }
            // One that has not looked yet has said at least what it can run.
            None => {
                for version in &runner.pythons {
                    standings.entry(key(version)).or_insert_with(|| (version, Standing::default())).1.there += 1;
                }
            }
        }
    }
    let all: Vec<&(&str, Standing<'_>)> = standings.values().collect();
    let available: Vec<&str> = all.iter().filter(|(_, it)| it.there > 0).map(|(version, _)| *version).collect();
    let is_absent = |it: &Standing<'_>| it.there == 0 && it.missing == 0 && it.away == 0;
    let absent = all.iter().filter(|(_, it)| is_absent(it)).map(|(version, _)| *version);
    let is_away = |runner: &Runner| runner.condition.as_ref().is_some_and(|condition| condition.away);
    let none_answers = !overview.runners.is_empty() && overview.runners.iter().all(is_away);
    let (status, error) = if none_answers || all.iter().any(|(_, it)| it.is_away()) {
        (Status::Degraded, RUNTIME_AWAY)
    } else if all.iter().any(|(_, it)| it.missing > 0) {
        (Status::Degraded, "image_missing")
    } else if available.is_empty() {
        (Status::Degraded, "no_python")
    } else if all.iter().any(|(_, it)| it.smoke_error.is_some()) {
        (Status::Degraded, "smoke_failed")
    } else {
        (Status::Healthy, "")
    };
    let environments: serde_json::Map<String, Value> =
        all.iter().map(|(version, it)| ((*version).to_owned(), it.told())).collect();
    let facts = json!({
        "available_versions": available,
        "total_versions": all.len(),
        "not_prepared": absent.collect::<Vec<_>>(),
        "environments": environments,
    });
    reading("python_environments", status, error, facts)
}
