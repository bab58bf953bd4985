//! How this replica and its store are, for the verdict on the whole.

use std::time::Duration;

use qflow_proto::v1;

use super::Server;
use crate::{
    dispatch::{Condition, PythonCondition, Seen},
    record::{self, Totals},
};

/// How long the store may take to count: less than whoever asks waits for the rest of the answer.
const COUNT: Duration = Duration::from_secs(2);
/// What stands for an age where nothing has happened yet.
const NEVER: f64 = -1.0;

/// Runners that this replica hears, and what the store counts. A store that does not answer hides nothing of the rest.
pub(super) async fn overview(server: &Server) -> v1::OverviewResponse {
    let begun = tokio::time::Instant::now();
    let asked = async {
        server.store.takes_commits().await?;
        // What counting takes says how much there is to count, not how the store is.
        let answered = begun.elapsed();
        Ok::<_, record::Error>((answered, server.store.totals().await?))
    };
    let asked = tokio::time::timeout(COUNT, asked).await;
    let store_late = asked.is_err();
    let asked = asked.ok().and_then(Result::ok);
    let store_down = asked.is_none();
    let (answered, totals) = asked.unwrap_or_else(|| (begun.elapsed(), Totals::default()));
    let store_latency_ms = answered.as_secs_f64() * 1e3;
    let sight = server.engine.sight();
    let old = sight.age_seconds();
    let pipeline = server.telemetry.pipeline();
    v1::OverviewResponse {
        runners: sight.runners.into_iter().map(|seen| runner(seen, old)).collect(),
        runs_pending: totals.pending,
        runs_running: totals.running,
        executions_last_hour: totals.ended_last_hour,
        failed_last_hour: totals.failed_last_hour,
        failed_user_last_hour: totals.failed_user_last_hour,
        failed_platform_last_hour: totals.failed_platform_last_hour,
        queue_depth: sight.queue_depth,
        oldest_queued_seconds: if sight.queue_depth > 0 { sight.oldest_queued_seconds + old } else { 0.0 },
        sight_age_seconds: old,
        store: server.store.kind().to_owned(),
        store_latency_ms,
        store_down,
        store_late,
        bus: server.bus.kind().to_owned(),
        bus_down: !server.bus.is_up(),
        blobs: server.blobs.kind().to_owned(),
        blobs_away: server.answers.is_away(),
        stranded: sight.stranded,
        telemetry: Some(v1::TelemetryOverview {
            scrape_age_seconds: pipeline.asked.map_or(NEVER, |age| age.as_secs_f64()),
            spans_dropped: pipeline.spans_dropped,
            log_lines_dropped: pipeline.lines_dropped,
            process: pipeline.process,
            drop_age_seconds: pipeline.dropped.map_or(NEVER, |age| age.as_secs_f64()),
        }),
    }
}

/// A runner as it was seen so many seconds ago.
/// What everybody may know of it: which Pythons run nodes, and on what. Runs, load and machines are everybody's together.
pub(super) fn of_tenants(whole: v1::OverviewResponse) -> v1::OverviewResponse {
    let runner = |seen: v1::RunnerOverview| v1::RunnerOverview {
        runtime: seen.runtime,
        runtime_version: seen.runtime_version,
        python_versions: seen.python_versions,
        ..v1::RunnerOverview::default()
    };
    v1::OverviewResponse { runners: whole.runners.into_iter().map(runner).collect(), ..v1::OverviewResponse::default() }
}

fn runner(seen: Seen, old: f64) -> v1::RunnerOverview {
    let age_seconds = seen.age_seconds + old;
    v1::RunnerOverview {
        runner_id: seen.hello.runner_id,
        runtime: seen.hello.runtime,
        runtime_version: seen.hello.runtime_version,
        python_versions: seen.hello.pythons.iter().map(ToString::to_string).collect(),
        slots: seen.hello.slots,
        running: seen.running,
        containers: seen.containers,
        age_seconds,
        blobs_away: seen.blobs_away,
        condition: Some(told(seen.condition, age_seconds)),
        build_version: seen.hello.build_version,
    }
}

/// A condition as it is now: it has aged since it was told.
fn told(condition: Condition, since: f64) -> v1::RunnerCondition {
    let age = |age: Option<f64>| age.map_or(NEVER, |age| age + since);
    let python = |python: PythonCondition| v1::PythonCondition {
        version: python.version,
        is_there: python.is_there,
        is_wanted: python.is_wanted,
        warm: python.warm,
        smoke_age_seconds: age(python.smoke_age_seconds),
        smoke_error: python.smoke_error,
    };
    v1::RunnerCondition {
        age_seconds: age(condition.age_seconds),
        runtime_away: condition.runtime_away,
        ping_ms: condition.ping_ms,
        total_containers: condition.total_containers,
        running_containers: condition.running_containers,
        disk_bytes: condition.disk_bytes,
        disk_free_bytes: condition.disk_free_bytes,
        pythons: condition.pythons.into_iter().map(python).collect(),
        runtime_version: condition.runtime_version,
    }
}

/// A condition as a runner told it.
pub(super) fn condition(sent: v1::RunnerCondition) -> Condition {
    let age = |seconds: f64| (seconds >= 0.0).then_some(seconds);
    let python = |python: v1::PythonCondition| PythonCondition {
        version: python.version,
        is_there: python.is_there,
        is_wanted: python.is_wanted,
        warm: python.warm,
        smoke_age_seconds: age(python.smoke_age_seconds),
        smoke_error: python.smoke_error,
    };
    Condition {
        // One of the version before tells none: no age then either.
        age_seconds: age(sent.age_seconds).filter(|_| sent.runtime_away || !sent.runtime_version.is_empty()),
        runtime_away: sent.runtime_away,
        ping_ms: sent.ping_ms,
        runtime_version: sent.runtime_version,
        total_containers: sent.total_containers,
        running_containers: sent.running_containers,
        disk_bytes: sent.disk_bytes,
        disk_free_bytes: sent.disk_free_bytes,
        pythons: sent.pythons.into_iter().map(python).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_told_on_as_it_was_told_and_has_aged() {
        let python = PythonCondition {
            version: "3.11".into(),
            is_there: true,
            is_wanted: true,
            warm: 2,
            smoke_age_seconds: None,
            smoke_error: String::new(),
        };
        let found = Condition {
            age_seconds: Some(1.0),
            ping_ms: 2.5,
            runtime_version: "27.1".into(),
            total_containers: 3,
            running_containers: 2,
            disk_bytes: 10,
            disk_free_bytes: 5,
            pythons: vec![python.clone(), PythonCondition { smoke_age_seconds: Some(60.0), ..python }],
            ..Condition::default()
        };
        let again = condition(told(found.clone(), 4.0));
        assert_eq!((again.age_seconds, again.pythons[1].smoke_age_seconds), (Some(5.0), Some(64.0)));
        assert_eq!(condition(told(found.clone(), 0.0)), found);
    }

    #[test]
    fn a_runner_is_as_old_as_it_was_heard_and_the_engine_has_looked() {
        let condition = Condition { age_seconds: Some(1.0), runtime_version: "27.1".into(), ..Condition::default() };
        let told = runner(Seen { age_seconds: 2.0, condition, ..Seen::default() }, 40.0);
        assert_eq!((told.age_seconds, told.condition.unwrap().age_seconds), (42.0, 43.0));
    }

    #[test]
    fn a_runner_that_has_not_looked_yet_or_never_does_tells_no_condition() {
        assert_eq!(condition(v1::RunnerCondition::default()).age_seconds, None);
        let not_yet = v1::RunnerCondition { age_seconds: NEVER, ..v1::RunnerCondition::default() };
        assert_eq!(condition(not_yet).age_seconds, None);
        let away = v1::RunnerCondition { age_seconds: 1.0, runtime_away: true, ..v1::RunnerCondition::default() };
        assert_eq!(condition(away).age_seconds, Some(1.0));
    }
}
