//! How this replica and its store are, for the verdict on the whole.

use qflow_proto::v1;
use tonic::Status;

use super::{Server, unavailable};
use crate::dispatch::Seen;

/// Runners that this replica hears, and what the store counts.
pub(super) async fn overview(server: &Server) -> Result<v1::OverviewResponse, Status> {
    let begun = tokio::time::Instant::now();
    let totals = server.store.totals().await.map_err(|e| unavailable(&e))?;
    let store_latency_ms = begun.elapsed().as_secs_f64() * 1e3;
    let sight = server.engine.sight();
    let runner = |seen: &Seen| v1::RunnerOverview {
        runner_id: seen.hello.runner_id.clone(),
        runtime: seen.hello.runtime.clone(),
        runtime_version: seen.hello.runtime_version.clone(),
        python_versions: seen.hello.pythons.iter().map(ToString::to_string).collect(),
        slots: seen.hello.slots,
        running: seen.running,
        containers: seen.containers,
        age_seconds: seen.age_seconds,
        blobs_away: seen.blobs_away,
    };
    Ok(v1::OverviewResponse {
        runners: sight.runners.iter().map(runner).collect(),
        runs_pending: totals.pending,
        runs_running: totals.running,
        executions_last_hour: totals.ended_last_hour,
        failed_last_hour: totals.failed_last_hour,
        oldest_queued_seconds: sight.oldest_queued_seconds,
        store: server.store.kind().to_owned(),
        store_latency_ms,
        bus: server.bus.kind().to_owned(),
        bus_down: !server.bus.is_up(),
        blobs: server.blobs.kind().to_owned(),
        blobs_away: server.answers.is_away(),
        stranded: sight.stranded,
    })
}
