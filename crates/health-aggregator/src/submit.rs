//! The only file of this crate that names the wire: what it asks of others, and how it answers.

pub mod monitoring;

use std::{pin::Pin, time::Duration};

use qflow_proto::v1;
use qflow_service::AuthedChannel;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_stream::{Stream, StreamExt, wrappers::WatchStream};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    probe::Cache,
    verdict::{Aged, verdict},
};

/// What an orchestrator says of the whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// The runners it knows.
    pub runners: Vec<Runner>,
    /// Runs that wait.
    pub pending: u64,
    /// Runs that run.
    pub running: u64,
    /// Runs that ended in the last hour.
    pub ended_last_hour: u64,
    /// Those of them that failed.
    pub failed_last_hour: u64,
    /// Seconds since the oldest attempt in the queue became ready.
    pub oldest_queued_seconds: f64,
    /// The store's kind; empty where it did not answer.
    pub store: String,
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
}

/// What is known of a runner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runner {
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
}

/// How long a replica may take to answer, also once another has.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the others are waited for once one has answered: below a probe's own time.
const OTHERS: Duration = Duration::from_secs(2);

/// Asks every replica at once and takes the first good answer; without one, the error of the first to fail.
///
/// The others are let answer: a question that is taken back looks like a failed call to whoever is asked.
pub async fn any<C, T, F>(channels: &[C], ask: fn(C) -> F) -> Result<T, &'static str>
where
    C: Clone + Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<T, &'static str>> + Send + 'static,
{
    let (mut asked, mut failed) = (asked(channels, ask), None);
    while let Some(answer) = asked.join_next().await {
        match answer.unwrap_or(Err("failed")) {
            Ok(answer) => {
                asked.detach_all();
                return Ok(answer);
            }
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Err(failed.unwrap_or("unreachable"))
}

/// Asks every replica at once, and takes what comes while it is not long after the first good answer; the error of the first to fail,
/// where there is none.
pub async fn each<C, T, F>(channels: &[C], ask: fn(C) -> F) -> Result<Vec<T>, &'static str>
where
    C: Clone + Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<T, &'static str>> + Send + 'static,
{
    let (mut asked, mut answers, mut failed, mut until) = (asked(channels, ask), Vec::new(), None, None);
    loop {
        let answer = tokio::select! {
            answer = asked.join_next() => answer,
            () = async { tokio::time::sleep_until(until.unwrap_or_else(Instant::now)).await }, if until.is_some() => None,
        };
        match answer.map(|answer| answer.unwrap_or(Err("failed"))) {
            None => break,
            Some(Ok(answer)) => {
                until = until.or_else(|| Some(Instant::now() + OTHERS));
                answers.push(answer);
            }
            Some(Err(error)) => failed = failed.or(Some(error)),
        }
    }
    asked.detach_all();
    if answers.is_empty() { Err(failed.unwrap_or("unreachable")) } else { Ok(answers) }
}

fn asked<C, T, F>(channels: &[C], ask: fn(C) -> F) -> JoinSet<Result<T, &'static str>>
where
    C: Clone + Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<T, &'static str>> + Send + 'static,
{
    let bounded = |channel| async move { timeout(ANSWER, ask(channel)).await.unwrap_or(Err("timeout")) };
    channels.iter().cloned().map(bounded).collect()
}

/// Asks an orchestrator for its overview; the error is a code for the answer's `error`.
pub async fn overview(channel: AuthedChannel) -> Result<Overview, &'static str> {
    let mut client = v1::orchestrator_service_client::OrchestratorServiceClient::new(channel);
    let answer = client.overview(v1::OverviewRequest {}).await.map_err(|status| code(&status))?.into_inner();
    let runners = answer.runners.into_iter().map(|r| Runner {
        runtime: r.runtime,
        version: r.runtime_version,
        pythons: r.python_versions,
        slots: r.slots,
        running: r.running,
        containers: r.containers,
        blobs_away: r.blobs_away,
    });
    Ok(Overview {
        runners: runners.collect(),
        pending: answer.runs_pending,
        running: answer.runs_running,
        ended_last_hour: answer.executions_last_hour,
        failed_last_hour: answer.failed_last_hour,
        oldest_queued_seconds: answer.oldest_queued_seconds,
        store: answer.store,
        store_latency_ms: answer.store_latency_ms,
        bus: answer.bus,
        bus_down: answer.bus_down,
        blobs: answer.blobs,
        blobs_away: answer.blobs_away,
        stranded: answer.stranded,
    })
}

/// Asks a service by `grpc.health.v1`.
pub async fn serving(channel: AuthedChannel) -> Result<(), &'static str> {
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    match answer.map_err(|status| code(&status))?.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        _ => Err("not_serving"),
    }
}

fn code(status: &Status) -> &'static str {
    match status.code() {
        Code::Unavailable => "unreachable",
        Code::DeadlineExceeded | Code::Cancelled => "timeout",
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
        let changes = WatchStream::new(self.0.changes());
        let answers = changes.map(move |_| Ok(v1::HealthWatchResponse { health: Some(health(cache.now())) }));
        Ok(Response::new(Box::pin(answers)))
    }
}

fn health(checks: Vec<Aged>) -> v1::Health {
    let whole = verdict(checks.iter().map(|aged| &aged.reading));
    let checks = checks.into_iter().map(|Aged { reading, age_seconds }| v1::Check {
        name: reading.name.to_owned(),
        status: reading.status.as_str().to_owned(),
        critical: reading.critical,
        response_time_ms: reading.response_time_ms,
        age_seconds,
        error: reading.error.unwrap_or_default().to_owned(),
    });
    v1::Health { status: whole.as_str().to_owned(), checks: checks.collect() }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    /// A replica that says something after so many seconds.
    async fn says((seconds, answer): (u64, Result<u32, &'static str>)) -> Result<u32, &'static str> {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        answer
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_answers_soon_is_heard_and_who_hangs_keeps_nobody() {
        assert_eq!(each(&[(0, Ok(1)), (1, Ok(11)), (1, Err("failed"))], says).await, Ok(vec![1, 11]));
        let begun = Instant::now();
        assert_eq!(each(&[(0, Ok(1)), (4, Ok(11))], says).await, Ok(vec![1]));
        assert_eq!(begun.elapsed(), OTHERS);
        assert_eq!(each(&[(0, Err("failed")), (9, Ok(1))], says).await, Err("failed"));
        assert_eq!(each(&[], says).await, Err("unreachable"));
    }

    /// A replica that answers after a while, and says when it has.
    #[derive(Clone)]
    struct Replica(Duration, mpsc::UnboundedSender<Duration>);

    async fn ask(Replica(after, answered): Replica) -> Result<Duration, &'static str> {
        tokio::time::sleep(after).await;
        answered.send(after).unwrap();
        Ok(after)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_good_answer_counts_and_the_others_are_let_answer_for_a_while() {
        let (to, mut answered) = mpsc::unbounded_channel();
        let seconds = [1, 2, 3600].map(Duration::from_secs);
        let replicas = seconds.map(|after| Replica(after, to.clone()));
        drop(to);
        assert_eq!(any(&replicas, ask).await, Ok(seconds[0]));
        drop(replicas);
        let mut all = Vec::new();
        while let Some(after) = answered.recv().await {
            all.push(after);
        }
        assert_eq!(all, seconds[..2], "the third took too long");
    }
}
