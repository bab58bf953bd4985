//! What any orchestrator knows of store, bus, runners and runs, read into the seed's checks.

use std::collections::BTreeSet;

use async_trait::async_trait;
use qflow_service::AuthedChannel;
use serde_json::{Map, Value, json};

use super::Probe;
use crate::{
    submit::{self, Overview},
    verdict::{Reading, Status},
};

/// Below it a success rate is told as degraded; the seed's number.
const GOOD_SUCCESS_RATE: f64 = 0.95;

/// Asks orchestrators.
#[derive(Clone, Debug)]
pub struct OverviewProbe {
    /// How to reach each replica.
    pub channels: Vec<AuthedChannel>,
    /// Versions of Python that are promised.
    pub pythons: Vec<String>,
}

const NAMES: &[(&str, bool)] = &[
    ("database", true),
    ("redis", false),
    ("blobs", false),
    ("docker", true),
    ("python_environments", false),
    ("workflows", false),
];

#[async_trait]
impl Probe for OverviewProbe {
    fn names(&self) -> &'static [(&'static str, bool)] {
        NAMES
    }

    async fn probe(&self) -> Vec<Reading> {
        match submit::each(&self.channels, submit::overview).await {
            Ok(overviews) => readings(&together(overviews), &self.pythons),
            Err(error) => self.unanswered(error),
        }
    }

    /// An orchestrator that does not answer says nothing of the rest; that nothing works without it is told by what is critical.
    fn unanswered(&self, error: &'static str) -> Vec<Reading> {
        let of = |(name, critical): &(&'static str, bool)| match critical {
            true => Reading::unhealthy(name, true, error),
            false => Reading::not_known(name),
        };
        NAMES.iter().map(of).collect()
    }
}

/// What several orchestrators know: of runners, who knows some, since one that no runner has a stream to knows none; what one of them does
/// not reach counts as away, whoever answers first.
fn together(mut overviews: Vec<Overview>) -> Overview {
    let (blobs_away, bus_down) =
        overviews.iter().fold((false, false), |(blobs, bus), one| (blobs || one.blobs_away, bus || one.bus_down));
    let knows = overviews.iter().position(|overview| !overview.runners.is_empty()).unwrap_or_default();
    let one = if knows < overviews.len() { overviews.swap_remove(knows) } else { Overview::default() };
    Overview { blobs_away, bus_down, ..one }
}

/// The checks that an overview answers.
pub fn readings(overview: &Overview, promised: &[String]) -> Vec<Reading> {
    vec![
        database(overview),
        redis(overview),
        blobs(overview),
        runners(overview),
        pythons(overview, promised),
        workflows(overview),
    ]
}

fn reading(name: &'static str, status: Status, error: &'static str, facts: Value) -> Reading {
    let critical = NAMES.iter().any(|(known, critical)| *known == name && *critical);
    let error = (status > Status::Healthy).then_some(error);
    let facts = if let Value::Object(facts) = facts { facts } else { Map::new() };
    Reading { name, status, critical, response_time_ms: 0.0, error, facts }
}

fn database(overview: &Overview) -> Reading {
    let status = if overview.store.is_empty() { Status::Unhealthy } else { Status::Healthy };
    // The embedded store has one writer; a pool's count comes with Postgres.
    let facts = json!({ "backend": overview.store, "active_connections": 1 });
    Reading { response_time_ms: overview.store_latency_ms, ..reading("database", status, "unreachable", facts) }
}

fn redis(overview: &Overview) -> Reading {
    let status = match (overview.bus.as_str(), overview.bus_down) {
        ("redis", false) => Status::Healthy,
        ("redis", true) => Status::Unhealthy,
        _ => Status::NotConfigured,
    };
    reading("redis", status, "unreachable", json!({ "memory_usage": null, "bus": overview.bus }))
}

/// Large values and logs: of no call's making, so never critical; what runs waits for it.
fn blobs(overview: &Overview) -> Reading {
    let away = overview.runners.iter().filter(|runner| runner.blobs_away).count();
    let (status, error) = match (overview.blobs.is_empty(), overview.blobs_away, away) {
        (true, ..) => (Status::NotConfigured, ""),
        (_, true, _) => (Status::Unhealthy, "unreachable"),
        (_, false, 0) => (Status::Healthy, ""),
        // No result is kept anywhere then.
        (_, false, all) if all == overview.runners.len() => (Status::Unhealthy, "unreachable_for_runners"),
        _ => (Status::Degraded, "unreachable_for_runners"),
    };
    reading("blobs", status, error, json!({ "backend": overview.blobs, "runners_without": away }))
}

fn runners(overview: &Overview) -> Reading {
    let (status, error) = match (overview.runners.is_empty(), overview.stranded.is_empty()) {
        (true, _) => (Status::Unhealthy, "no_runner"),
        (false, false) => (Status::Degraded, "orchestrator_without_runner"),
        (false, true) => (Status::Healthy, ""),
    };
    let total: u32 = overview.runners.iter().map(|r| r.containers).sum();
    let active: u32 = overview.runners.iter().map(|r| r.running).sum();
    let docker = overview.runners.iter().find(|r| r.runtime == "docker").map(|r| r.version.as_str());
    let runtimes: BTreeSet<&str> = overview.runners.iter().map(|r| r.runtime.as_str()).collect();
    let facts = json!({
        "active_containers": active,
        "total_containers": total,
        "docker_version": docker,
        "runtimes": runtimes,
        "runners": overview.runners.len(),
        "slots": overview.runners.iter().map(|r| r.slots).sum::<u32>(),
        "orchestrators_without_runner": overview.stranded,
    });
    reading("docker", status, error, facts)
}

fn pythons(overview: &Overview, promised: &[String]) -> Reading {
    let available: BTreeSet<&str> =
        overview.runners.iter().flat_map(|r| r.pythons.iter().map(String::as_str)).collect();
    let mut available: Vec<&str> = available.into_iter().collect();
    available
        .sort_by_key(|version| version.split('.').map(|part| part.parse::<u32>().unwrap_or(0)).collect::<Vec<_>>());
    let all: BTreeSet<&str> = available.iter().copied().chain(promised.iter().map(String::as_str)).collect();
    let absent: Vec<&str> = promised.iter().map(String::as_str).filter(|v| !available.contains(v)).collect();
    let status = if available.is_empty() { Status::Degraded } else { Status::Healthy };
    let facts = json!({
        "available_versions": available,
        "total_versions": all.len(),
        "not_prepared": absent,
    });
    reading("python_environments", status, "no_python", facts)
}

fn workflows(overview: &Overview) -> Reading {
    let (ended, failed) = (overview.ended_last_hour, overview.failed_last_hour.min(overview.ended_last_hour));
    let rate = if ended == 0 { 1.0 } else { (ended - failed) as f64 / ended as f64 };
    let status = if rate > GOOD_SUCCESS_RATE { Status::Healthy } else { Status::Degraded };
    let facts = json!({
        "recent_executions": ended,
        "failed_executions": failed,
        "success_rate": (rate * 10_000.0).round() / 100.0,
        "pending": overview.pending,
        "running": overview.running,
        "oldest_queued_seconds": overview.oldest_queued_seconds,
    });
    reading("workflows", status, "failing", facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{submit::Runner, verdict::verdict};

    fn embedded() -> Overview {
        let runner = Runner {
            runtime: "process".to_owned(),
            pythons: vec!["3.9".to_owned(), "3.11".to_owned()],
            slots: 4,
            running: 1,
            containers: 2,
            ..Runner::default()
        };
        Overview {
            runners: vec![runner],
            ended_last_hour: 20,
            failed_last_hour: 1,
            store: "sqlite".to_owned(),
            bus: "memory".to_owned(),
            blobs: "file".to_owned(),
            ..Overview::default()
        }
    }

    fn check(overview: &Overview, name: &str) -> Reading {
        let promised = ["3.9".to_owned(), "3.12".to_owned()];
        readings(overview, &promised).into_iter().find(|r| r.name == name).unwrap()
    }

    #[test]
    fn the_embedded_shape_is_told_with_the_seeds_keys() {
        let docker = check(&embedded(), "docker");
        assert_eq!(docker.facts["active_containers"], 1);
        assert_eq!(docker.facts["total_containers"], 2);
        assert_eq!(docker.facts["docker_version"], Value::Null, "there is no Docker in it, so no version is told");
        let python = check(&embedded(), "python_environments");
        assert_eq!(python.facts["available_versions"], json!(["3.9", "3.11"]));
        assert_eq!(python.facts["not_prepared"], json!(["3.12"]));
        assert_eq!(python.facts["total_versions"], 3);
        assert_eq!(check(&embedded(), "redis").status, Status::NotConfigured);
    }

    #[test]
    fn a_success_rate_of_95_per_cent_is_degraded_and_no_runs_are_healthy() {
        let workflows = check(&embedded(), "workflows");
        assert_eq!((workflows.status, &workflows.facts["success_rate"]), (Status::Degraded, &json!(95.0)));
        let idle = Overview { ended_last_hour: 0, failed_last_hour: 0, ..embedded() };
        assert_eq!(check(&idle, "workflows").status, Status::Healthy);
    }

    #[test]
    fn a_redis_that_does_not_answer_degrades_the_whole() {
        let away = Overview { bus: "redis".to_owned(), bus_down: true, failed_last_hour: 0, ..embedded() };
        assert_eq!(check(&away, "redis").status, Status::Unhealthy);
        assert_eq!(verdict(&readings(&away, &[])), Status::Degraded);
        let there = Overview { bus_down: false, ..away };
        assert_eq!(verdict(&readings(&there, &[])), Status::Healthy);
    }

    #[test]
    fn what_one_of_two_does_not_reach_is_away_and_runners_are_told_by_who_knows_some() {
        let (well, alone) = (embedded(), Overview { runners: vec![], blobs_away: true, bus_down: true, ..embedded() });
        for both in [vec![well.clone(), alone.clone()], vec![alone, well.clone()]] {
            let told = together(both);
            assert_eq!((told.blobs_away, told.bus_down, &told.runners), (true, true, &well.runners));
        }
        assert_eq!(together(vec![well.clone()]), well);
    }

    #[test]
    fn a_blob_store_that_does_not_answer_degrades_the_whole() {
        let well = Overview { failed_last_hour: 0, ..embedded() };
        let away = Overview { blobs_away: true, ..well.clone() };
        let blobs = check(&away, "blobs");
        assert_eq!(
            (blobs.status, blobs.error, &blobs.facts["backend"]),
            (Status::Unhealthy, Some("unreachable"), &json!("file"))
        );
        assert_eq!(verdict(&readings(&away, &[])), Status::Degraded);
        let mut partly = well.clone();
        partly.runners.push(Runner { blobs_away: true, ..partly.runners[0].clone() });
        let blobs = check(&partly, "blobs");
        assert_eq!((blobs.status, blobs.error), (Status::Degraded, Some("unreachable_for_runners")));
        assert_eq!(blobs.facts["runners_without"], 1);
        partly.runners.retain(|runner| runner.blobs_away);
        let blobs = check(&partly, "blobs");
        assert_eq!((blobs.status, blobs.error), (Status::Unhealthy, Some("unreachable_for_runners")), "all of them");
        assert_eq!(verdict(&readings(&well, &[])), Status::Healthy);
        assert_eq!(check(&Overview { blobs: String::new(), ..well }, "blobs").status, Status::NotConfigured);
    }

    #[test]
    fn an_orchestrator_that_no_runner_comes_to_degrades_the_whole_and_is_named() {
        let stranded = Overview { stranded: vec!["http://banana".to_owned()], failed_last_hour: 0, ..embedded() };
        let runners = check(&stranded, "docker");
        assert_eq!((runners.status, runners.error), (Status::Degraded, Some("orchestrator_without_runner")));
        assert_eq!(runners.facts["orchestrators_without_runner"], json!(["http://banana"]));
        assert_eq!(verdict(&readings(&stranded, &[])), Status::Degraded);
    }

    #[test]
    fn without_a_runner_the_whole_is_unhealthy() {
        let overview = Overview { runners: Vec::new(), ..embedded() };
        assert_eq!(verdict(&readings(&overview, &[])), Status::Unhealthy);
    }
}
