//! The only file of this crate that names the wire: what it asks of others, and how it answers.

pub mod monitoring;
mod replicas;

use std::{pin::Pin, time::Duration};

use qflow_proto::v1;
use qflow_service::AuthedChannel;
use tokio::time::interval;
use tokio_stream::{Stream, StreamExt, wrappers::WatchStream};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

pub use self::replicas::{Patience, each, every};
use crate::{
    probe::Cache,
    verdict::{Aged, TIMEOUT, UNREACHABLE, verdict},
};

/// What an orchestrator says of the whole.
#[expect(clippy::struct_excessive_bools, reason = "each is one that the wire has")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// The runners it knows.
    pub runners: Vec<Runner>,
    /// Runs that wait.
    pub pending: u64,
    /// Runs that run.
    pub running: u64,
    /// Runs that completed, failed or timed out in the last hour.
    pub ended_last_hour: u64,
    /// Those of them that failed.
    pub failed_last_hour: u64,
    /// Of these, those that failed of what users wrote.
    pub failed_user_last_hour: u64,
    /// Of these, those that failed of what runs it.
    pub failed_platform_last_hour: u64,
    /// Node runs that wait for a runner.
    pub queued: u32,
    /// Seconds for which the run that waits longest for one has not been served.
    pub oldest_queued_seconds: f64,
    /// The store's kind; empty where that is not told.
    pub store: String,
    /// Whether it does not answer: what it counts is not known.
    pub store_down: bool,
    /// Whether that is since it did not in time; else it refused.
    pub store_late: bool,
    /// How long the store took for one question.
    pub store_latency_ms: f64,
    /// The bus's kind.
    pub bus: String,
    /// Whether it does not answer.
    pub bus_down: bool,
    /// The blob store's kind; empty where that is not told.
    pub blobs: String,
    /// Whether it does not answer the orchestrator.
    pub blobs_away: bool,
    /// Orchestrators with which attempts wait that no runner has a stream to.
    pub stranded: Vec<String>,
    /// Seconds since its engine looked around: what it says of runners and of what waits is so old.
    pub sight_age_seconds: f64,
    /// How the telemetry of each that was asked gets out.
    pub telemetry: Vec<Pipeline>,
}

/// How a process's telemetry gets out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pipeline {
    /// Of which service.
    pub service: &'static str,
    /// Of which process, as a number of its own; 0 where that is not told.
    pub process: u64,
    /// Seconds since it was asked for its metrics, where it ever was.
    pub scrape_age_seconds: Option<f64>,
    /// Spans and lines that were dropped since its start.
    pub dropped: u64,
    /// Seconds since the last was.
    pub drop_age_seconds: Option<f64>,
}

/// What is known of a runner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runner {
    /// Its name.
    pub id: String,
    /// The version of its program.
    pub build: String,
    /// `docker`, `process`, `kubernetes`.
    pub runtime: String,
    /// The runtime's version.
    pub version: String,
    /// Versions of Python that it can run.
    pub pythons: Vec<String>,
    /// Attempts that it can run at once.
    pub slots: u32,
    /// Attempts that it runs.
    pub running: u32,
    /// Containers that it has.
    pub containers: u32,
    /// Whether the blob store does not answer it.
    pub blobs_away: bool,
    /// How its runtime is, where it has looked.
    pub condition: Option<Condition>,
    /// Seconds since whoever tells of it looked around; all ages hold these too.
    pub seen_seconds: f64,
}

/// How a runner's runtime is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// Seconds since it looked.
    pub age_seconds: f64,
    /// Whether the runtime does not answer.
    pub away: bool,
    /// How long it took to.
    pub ping_ms: f64,
    /// Its version.
    pub version: String,
    /// The runner's containers that it has.
    pub total: u32,
    /// Those of them that run.
    pub active: u32,
    /// Bytes in all and free where images and containers lie, where the runner sees that.
    pub disk: Option<(u64, u64)>,
    /// Each configured version of Python.
    pub pythons: Vec<Python>,
}

/// How a version of Python is on a runner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Python {
    /// Which.
    pub version: String,
    /// Its image, or its interpreter, is there.
    pub is_there: bool,
    /// It has been there.
    pub is_wanted: bool,
    /// Containers of it that wait for an attempt.
    pub warm: u32,
    /// Seconds since a container of it last came up, or did not, where one was tried.
    pub smoke_age_seconds: Option<f64>,
    /// Why it did not, as a code; empty where it did.
    pub smoke_error: String,
}

/// Characters of a version that are told on.
const VERSION: usize = 40;
/// After which the verdict is told though nothing was found: ages grow.
const QUIET: Duration = Duration::from_secs(5);

/// Asks an orchestrator for its overview; the error is a code for the answer's `error`.
pub async fn overview(channel: AuthedChannel) -> Result<Overview, &'static str> {
    let mut client = v1::orchestrator_service_client::OrchestratorServiceClient::new(channel);
    let answer = client.overview(v1::OverviewRequest {}).await.map_err(|status| code(&status))?.into_inner();
    Ok(Overview {
        runners: answer.runners.into_iter().map(|told| runner(told, answer.sight_age_seconds)).collect(),
        pending: answer.runs_pending,
        running: answer.runs_running,
        ended_last_hour: answer.executions_last_hour,
        failed_last_hour: answer.failed_last_hour,
        failed_user_last_hour: answer.failed_user_last_hour,
        failed_platform_last_hour: answer.failed_platform_last_hour,
        queued: answer.queue_depth,
        sight_age_seconds: answer.sight_age_seconds,
        oldest_queued_seconds: answer.oldest_queued_seconds,
        store: answer.store,
        store_latency_ms: answer.store_latency_ms,
        bus: answer.bus,
        bus_down: answer.bus_down,
        blobs: answer.blobs,
        blobs_away: answer.blobs_away,
        stranded: answer.stranded,
        store_down: answer.store_down,
        store_late: answer.store_late,
        telemetry: answer.telemetry.map(pipeline).into_iter().collect(),
    })
}

/// An age, where a negative number stands for none.
fn age(seconds: f64) -> Option<f64> {
    (seconds >= 0.0).then_some(seconds)
}

fn pipeline(told: v1::TelemetryOverview) -> Pipeline {
    Pipeline {
        service: "orchestrator",
        process: told.process,
        scrape_age_seconds: age(told.scrape_age_seconds),
        dropped: told.spans_dropped + told.log_lines_dropped,
        drop_age_seconds: age(told.drop_age_seconds),
    }
}

fn runner(told: v1::RunnerOverview, seen_seconds: f64) -> Runner {
    Runner {
        seen_seconds,
        id: told.runner_id,
        build: told.build_version,
        runtime: told.runtime,
        version: told.runtime_version,
        pythons: told.python_versions,
        slots: told.slots,
        running: told.running,
        containers: told.containers,
        blobs_away: told.blobs_away,
        condition: told.condition.and_then(condition),
    }
}

fn condition(told: v1::RunnerCondition) -> Option<Condition> {
    let python = |python: v1::PythonCondition| Python {
        version: python.version,
        is_there: python.is_there,
        is_wanted: python.is_wanted,
        warm: python.warm,
        smoke_age_seconds: age(python.smoke_age_seconds),
        smoke_error: python.smoke_error,
    };
    Some(Condition {
        age_seconds: age(told.age_seconds)?,
        away: told.runtime_away,
        ping_ms: told.ping_ms,
        version: told.runtime_version,
        total: told.total_containers,
        active: told.running_containers,
        disk: (told.disk_bytes > 0).then_some((told.disk_bytes, told.disk_free_bytes)),
        pythons: told.pythons.into_iter().map(python).collect(),
    })
}

/// A replica that serves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Serving {
    /// The version that answers; empty where it does not say.
    pub version: String,
    /// How its telemetry gets out, where it says so; of which service is for whoever asked.
    pub telemetry: Option<Pipeline>,
}

/// Asks a service by `grpc.health.v1`.
pub async fn serving(channel: AuthedChannel) -> Result<Serving, &'static str> {
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    let answer = answer.map_err(|status| code(&status))?;
    let said = |name| answer.metadata().get(name).and_then(|said| said.to_str().ok()).unwrap_or_default();
    let version = said(qflow_service::VERSION).chars().take(VERSION).collect();
    let telemetry = said(qflow_service::TELEMETRY).parse().ok().map(|told: qflow_telemetry::Pipeline| Pipeline {
        service: "",
        process: told.process,
        scrape_age_seconds: told.asked.map(|age| age.as_secs_f64()),
        dropped: told.spans_dropped.saturating_add(told.lines_dropped),
        drop_age_seconds: told.dropped.map(|age| age.as_secs_f64()),
    });
    match answer.into_inner().status() {
        ServingStatus::Serving => Ok(Serving { version, telemetry }),
        _ => Err("not_serving"),
    }
}

fn code(status: &Status) -> &'static str {
    match status.code() {
        // One that stands still takes connections all the same, or keeps whoever connects waiting.
        _ if qflow_service::was_late(status) => TIMEOUT,
        Code::Unavailable => UNREACHABLE,
        Code::DeadlineExceeded | Code::Cancelled => TIMEOUT,
        Code::Unauthenticated | Code::PermissionDenied => "unauthorized",
        Code::Unimplemented => "unimplemented",
        _ => "failed",
    }
}

/// The service, over the cache.
#[derive(Clone, Debug)]
pub struct Server(pub Cache);

type Watched = Pin<Box<dyn Stream<Item = Result<v1::HealthWatchResponse, Status>> + Send>>;

/// The routes of the service.
pub fn routes(cache: Cache) -> tonic::service::Routes {
    tonic::service::Routes::new(v1::health_aggregator_service_server::HealthAggregatorServiceServer::new(Server(cache)))
}

#[tonic::async_trait]
impl v1::health_aggregator_service_server::HealthAggregatorService for Server {
    async fn get(&self, _: Request<v1::HealthGetRequest>) -> Result<Response<v1::HealthGetResponse>, Status> {
        Ok(Response::new(v1::HealthGetResponse { health: Some(health(self.0.now())) }))
    }

    type WatchStream = Watched;

    async fn watch(&self, _: Request<v1::HealthWatchRequest>) -> Result<Response<Watched>, Status> {
        let cache = self.0.clone();
        // Told again though nothing changed: ages grow, and whoever hears nothing for longer hears nobody.
        let changes = WatchStream::new(self.0.changes()).timeout_repeating(interval(QUIET));
        let answers = changes.map(move |_| Ok(v1::HealthWatchResponse { health: Some(health(cache.now())) }));
        Ok(Response::new(Box::pin(answers)))
    }
}

fn health(checks: Vec<Aged>) -> v1::Health {
    let whole = verdict(checks.iter().map(|aged| &aged.reading));
    let check = |Aged { reading, age_seconds, failures, cause, explains, .. }: Aged| v1::Check {
        name: reading.name.to_owned(),
        status: reading.status.as_str().to_owned(),
        critical: reading.critical,
        response_time_ms: reading.response_time_ms,
        age_seconds,
        error: reading.error.unwrap_or_default().to_owned(),
        cause: cause.unwrap_or_default().to_owned(),
        explains: explains.into_iter().map(str::to_owned).collect(),
        consecutive_failures: failures,
        facts_json: serde_json::Value::Object(reading.facts).to_string().into_bytes(),
    };
    v1::Health {
        status: whole.as_str().to_owned(),
        checks: checks.into_iter().map(check).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
