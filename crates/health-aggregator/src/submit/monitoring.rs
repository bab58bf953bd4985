//! The wire of `Monitoring`: what orchestrators say of what is under way, and what whoever asks is told.

use std::{pin::Pin, sync::Arc};

use qflow_model::{
    ids::{Shard, Timestamp},
    limits::MESSAGE_BYTES,
};
use qflow_proto::v1::{self, monitoring_server};
use qflow_service::AuthedChannel;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::monitoring::{
    Active, Container, Heard, Monitor, Runner, Sighting, SystemStatus, Told, Version, What, Word, progress_percent,
};

/// Opens an orchestrator's stream; nothing where it does not answer.
pub async fn activity(channel: AuthedChannel) -> Option<Streaming<v1::ActivityWatchResponse>> {
    let mut client =
        v1::activity_service_client::ActivityServiceClient::new(channel).max_decoding_message_size(2 * MESSAGE_BYTES);
    client.watch(v1::ActivityWatchRequest {}).await.ok().map(Response::into_inner)
}

/// What is said next; nothing once the stream has ended.
pub async fn next(heard: &mut Streaming<v1::ActivityWatchResponse>) -> Option<Heard> {
    let answer = heard.message().await.ok()??;
    // A word that does not read is left out: of a later version, and the whole that follows says what counts.
    Some(Heard { words: answer.words.into_iter().filter_map(word).collect(), sighting: answer.sighting.map(sighting) })
}

fn word(sent: v1::ActivityWord) -> Option<Word> {
    use v1::activity_word::What as Told;
    let what = match sent.what? {
        Told::Shard(whole) => {
            let runs = whole.runs.into_iter().map(active).collect::<Option<_>>()?;
            What::Shard(Shard(u8::try_from(whole.shard).ok()?), runs)
        }
        Told::Run(run) => What::Run(active(run)?),
        Told::Ended(run) => What::Ended(run.parse().ok()?),
    };
    Some(Word { version: Version { epoch: sent.epoch, sequence: sent.sequence }, what })
}

fn active(run: v1::ActiveRun) -> Option<Arc<Active>> {
    let at = |us: i64| (us > 0).then_some(Timestamp(us));
    Some(Arc::new(Active {
        run: run.run_id.parse().ok()?,
        workflow: run.workflow,
        user: run.user_id,
        status: run.status.parse().ok()?,
        trace_id: run.trace_id,
        created_at: Timestamp(run.created_at_us),
        started_at: at(run.started_at_us),
        counts: (run.nodes_completed, run.total_nodes),
        queued: run.queued,
        queued_since: at(run.queued_since_us),
    }))
}

fn sighting(sent: v1::Sighting) -> Sighting {
    let container = |sent: v1::Container| Container {
        id: sent.container_id,
        status: sent.status,
        python: sent.python_version,
        run: sent.run_id,
        attempt: sent.attempt,
        cpu_percent: sent.cpu_percent,
        memory_bytes: sent.memory_bytes,
        started_at: (sent.started_at_us > 0).then_some(Timestamp(sent.started_at_us)),
    };
    let runner = |sent: v1::RunnerSighting| Runner {
        id: sent.runner_id,
        slots: sent.slots,
        running: sent.running,
        age_seconds: sent.age_seconds,
        containers: sent.containers.into_iter().map(container).collect(),
    };
    Sighting { peers: sent.peers, runners: sent.runners.into_iter().map(runner).collect() }
}

/// The service.
pub fn server(monitor: Monitor) -> monitoring_server::MonitoringServer<Server> {
    monitoring_server::MonitoringServer::new(Server(monitor)).max_encoding_message_size(2 * MESSAGE_BYTES)
}

/// `Monitoring`, over what is known.
pub struct Server(Monitor);

type Watched = Pin<Box<dyn Stream<Item = Result<v1::WatchSystemStatusResponse, Status>> + Send>>;

#[tonic::async_trait]
impl monitoring_server::Monitoring for Server {
    async fn get_system_status(
        &self,
        _: Request<v1::GetSystemStatusRequest>,
    ) -> Result<Response<v1::GetSystemStatusResponse>, Status> {
        Ok(Response::new(v1::GetSystemStatusResponse { status: Some(status(&self.0.status())) }))
    }

    type WatchSystemStatusStream = Watched;

    async fn watch_system_status(&self, _: Request<v1::WatchSystemStatusRequest>) -> Result<Response<Watched>, Status> {
        let statuses = self.0.watch().ok_or_else(|| Status::resource_exhausted("too many watch the status"))?;
        let answer = |told: Arc<Told>| Ok(v1::WatchSystemStatusResponse { status: Some(status(&told.status)) });
        Ok(Response::new(Box::pin(statuses.map(answer))))
    }
}

fn time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.0.div_euclid(1_000_000), nanos: (at.0.rem_euclid(1_000_000) * 1000) as i32 }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn status(now: &SystemStatus) -> v1::SystemStatus {
    let workflow = |run: &Arc<Active>| v1::ActiveWorkflow {
        run_id: run.run.to_string(),
        workflow: run.workflow.clone(),
        user_id: run.user.clone(),
        status: run.status.to_string(),
        trace_id: run.trace_id.clone(),
        created_at: Some(time(run.created_at)),
        started_at: run.started_at.map(time),
        nodes_completed: run.counts.0,
        total_nodes: run.counts.1,
        progress_percent: progress_percent(run.counts),
        queued: run.queued,
    };
    let container = |(runner, one): &(String, Container)| v1::ActiveContainer {
        container_id: one.id.clone(),
        runner_id: runner.clone(),
        status: one.status.clone(),
        python_version: one.python.clone(),
        run_id: one.run.clone(),
        attempt: one.attempt.clone(),
        cpu_usage: one.cpu_percent,
        memory_usage: one.memory_bytes,
        started_at: one.started_at.map(time),
    };
    v1::SystemStatus {
        at: Some(time(now.at)),
        active_workflows: count(now.active_workflows),
        active_containers: count(now.active_containers),
        total_users: count(now.total_users),
        system_load: now.system_load(),
        queue_depth: now.queue_depth,
        oldest_queued_seconds: now.oldest_queued_seconds,
        slots_used: now.slots.0,
        slots: now.slots.1,
        orchestrators_heard: count(now.orchestrators.0),
        orchestrators: count(now.orchestrators.1),
        workflows: now.workflows.iter().map(workflow).collect(),
        containers: now.containers.iter().map(container).collect(),
    }
}
