//! Calls of the health-aggregator: what is under way, and how the parts are.

use std::time::Duration;

use qflow_model::limits;
use qflow_proto::v1::{
    self, health_aggregator_service_client::HealthAggregatorServiceClient, monitoring_client::MonitoringClient,
};
use serde::Serialize;
use tokio_stream::{Stream, StreamExt};
use tonic::{service::interceptor::InterceptedService, transport::Channel};

use super::{
    Bearer, DEADLINE, bearer, endpoint,
    refusal::{OVERSEER, of_overseer},
    shown::time,
    unreachable,
};
use crate::exit::{Exit, Fail};

/// The system at one moment; its JSON is that of `/monitoring/status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SystemStatus {
    /// When, RFC 3339.
    pub timestamp: String,
    /// Runs that have not ended.
    pub active_workflows: u32,
    /// Containers that runners have.
    pub active_containers: u32,
    /// Users whose runs these are.
    pub total_users: u32,
    /// The share of all slots that is in use.
    pub system_load: f64,
    /// Node runs that wait for a runner.
    pub queue_depth: u32,
    /// Seconds for which the longest-waiting run with such a node has not been served.
    pub oldest_queued_seconds: f64,
    /// Attempts that run.
    pub slots_used: u32,
    /// Attempts that could run at once.
    pub slots: u32,
    /// Orchestrators that are heard.
    pub orchestrators_heard: u32,
    /// Orchestrators that are known.
    pub orchestrators: u32,
    /// Runs, oldest first.
    pub workflows: Vec<ActiveWorkflow>,
    /// Containers.
    pub containers: Vec<ActiveContainer>,
}

/// A run that has not ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ActiveWorkflow {
    /// Its id.
    pub run_id: String,
    /// Its workflow's name.
    pub workflow_id: String,
    /// Whose it is.
    pub user_id: String,
    /// Where it stands.
    pub status: String,
    /// Its trace.
    pub trace_id: String,
    /// When it was accepted, RFC 3339.
    pub created_at: Option<String>,
    /// When its first node was ready.
    pub started_at: Option<String>,
    /// Node runs that completed.
    pub nodes_completed: u32,
    /// All that are known.
    pub total_nodes: u32,
    /// 0 to 100.
    pub progress_percent: f64,
    /// Node runs of it that wait for a runner.
    pub queued: u32,
    /// Seconds since it was accepted.
    #[serde(skip)]
    pub age_seconds: u64,
}

/// A container of a runner.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ActiveContainer {
    /// The runtime's id; empty where it is only being started.
    pub container_id: String,
    /// Whose it is.
    pub runner_id: String,
    /// `starting`, `idle`, `running`, `stopping`.
    pub status: String,
    /// Its Python.
    pub python_version: String,
    /// When it was started, RFC 3339.
    pub started_at: Option<String>,
    /// The run that it belongs to.
    pub run_id: Option<String>,
    /// The attempt in it.
    pub attempt: Option<String>,
    /// Per cent of the processors that it may use; nothing where that was not measured yet.
    pub cpu_usage: Option<f64>,
    /// Bytes; the same.
    pub memory_usage: Option<u64>,
}

/// The verdict on the whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// `healthy`, `degraded`, `unhealthy`.
    pub status: String,
    /// Its parts.
    pub checks: Vec<Check>,
    /// The version of the health-aggregator.
    pub version: String,
}

/// How one part is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// `healthy`, `degraded`, `unhealthy`, `not_configured`.
    pub status: String,
    /// Whether nothing works without it.
    pub critical: bool,
    /// How long it took to answer.
    pub response_time_ms: f64,
    /// Since it was asked.
    pub age_seconds: f64,
    /// What is wrong, as a code; empty where nothing is.
    pub error: String,
    /// The part of which its trouble comes; empty where that is its own.
    pub cause: String,
    /// The parts whose trouble comes of it.
    pub explains: Vec<String>,
    /// Probes in a row that found trouble.
    pub consecutive_failures: u32,
    /// What else is told of it: keys of docs/HEALTH.md.
    pub facts: serde_json::Map<String, serde_json::Value>,
}

type Through = InterceptedService<Channel, Bearer>;

/// A connected client of the health-aggregator.
#[derive(Clone, Debug)]
pub struct Overseer {
    url: String,
    monitoring: MonitoringClient<Through>,
    health: HealthAggregatorServiceClient<Through>,
}

/// Connects, or says why not.
pub async fn oversee(url: &str, token: Option<&str>) -> Result<Overseer, Fail> {
    let channel = endpoint(url, "http://127.0.0.1:7404")?.timeout(DEADLINE).connect().await;
    let channel = channel.map_err(|error| unreachable(url, &error, OVERSEER))?;
    let bearer = bearer(token)?;
    let monitoring = MonitoringClient::with_interceptor(channel.clone(), bearer.clone())
        .max_decoding_message_size(2 * limits::MESSAGE_BYTES);
    let health = HealthAggregatorServiceClient::with_interceptor(channel, bearer);
    Ok(Overseer { url: url.to_owned(), monitoring, health })
}

impl Overseer {
    /// What is under way.
    pub async fn status(&self) -> Result<SystemStatus, Fail> {
        let answer = self.monitoring.clone().get_system_status(v1::GetSystemStatusRequest {}).await;
        status(answer.map_err(|e| of_overseer(&e, &self.url))?.into_inner().status)
    }

    /// What is under way, then again whenever it changes.
    pub async fn statuses(
        &self,
    ) -> Result<impl Stream<Item = Result<SystemStatus, Fail>> + Send + Unpin + use<>, Fail> {
        let url = self.url.clone();
        let answers = self.monitoring.clone().watch_system_status(v1::WatchSystemStatusRequest {}).await;
        let answers = answers.map_err(|e| of_overseer(&e, &url))?.into_inner();
        Ok(answers
            .map(move |answer| answer.map_err(|e| of_overseer(&e, &url)).and_then(|answer| status(answer.status))))
    }

    /// How the parts are, then again whenever that changes.
    pub async fn healths(&self) -> Result<impl Stream<Item = Result<Health, Fail>> + Send + Unpin + use<>, Fail> {
        let url = self.url.clone();
        let answers = self.health.clone().watch(v1::HealthWatchRequest {}).await;
        let answers = answers.map_err(|e| of_overseer(&e, &url))?.into_inner();
        Ok(answers
            .map(move |answer| answer.map_err(|e| of_overseer(&e, &url)).and_then(|answer| health(answer.health))))
    }

    /// That it took the connection and said nothing for so long.
    pub fn silent(&self, waited: Duration) -> Fail {
        let told = format!("{} took the connection and said nothing for {} s: it hangs", self.url, waited.as_secs());
        Fail::new(Exit::Unreachable, format!("{told}, or is another service\n{OVERSEER}"))
    }
}

/// To two places, as it is published.
pub fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn status(sent: Option<v1::SystemStatus>) -> Result<SystemStatus, Fail> {
    let sent = sent.ok_or_else(|| Fail::new(Exit::Failed, "the health-aggregator answered without a status"))?;
    let now = sent.at.map_or(0, |at| at.seconds);
    let filled = |text: String| Some(text).filter(|text| !text.is_empty());
    let workflow = |run: v1::ActiveWorkflow| ActiveWorkflow {
        run_id: run.run_id,
        workflow_id: run.workflow,
        user_id: run.user_id,
        status: run.status,
        trace_id: run.trace_id,
        age_seconds: run.created_at.map_or(0, |at| u64::try_from(now - at.seconds).unwrap_or_default()),
        created_at: run.created_at.map(time),
        started_at: run.started_at.map(time),
        nodes_completed: run.nodes_completed,
        total_nodes: run.total_nodes,
        progress_percent: hundredths(run.progress_percent),
        queued: run.queued,
    };
    let container = |one: v1::ActiveContainer| ActiveContainer {
        container_id: one.container_id,
        runner_id: one.runner_id,
        status: one.status,
        python_version: one.python_version,
        started_at: one.started_at.map(time),
        run_id: filled(one.run_id),
        attempt: filled(one.attempt),
        cpu_usage: one.cpu_usage.map(hundredths),
        memory_usage: one.memory_usage,
    };
    Ok(SystemStatus {
        timestamp: sent.at.map(time).unwrap_or_default(),
        active_workflows: sent.active_workflows,
        active_containers: sent.active_containers,
        total_users: sent.total_users,
        system_load: hundredths(sent.system_load),
        queue_depth: sent.queue_depth,
        oldest_queued_seconds: hundredths(sent.oldest_queued_seconds),
        slots_used: sent.slots_used,
        slots: sent.slots,
        orchestrators_heard: sent.orchestrators_heard,
        orchestrators: sent.orchestrators,
        workflows: sent.workflows.into_iter().map(workflow).collect(),
        containers: sent.containers.into_iter().map(container).collect(),
    })
}

fn health(sent: Option<v1::Health>) -> Result<Health, Fail> {
    let sent = sent.ok_or_else(|| Fail::new(Exit::Failed, "the health-aggregator answered without a verdict"))?;
    let check = |one: v1::Check| Check {
        name: one.name,
        status: one.status,
        critical: one.critical,
        response_time_ms: one.response_time_ms,
        age_seconds: one.age_seconds,
        error: one.error,
        cause: one.cause,
        explains: one.explains,
        consecutive_failures: one.consecutive_failures,
        // An aggregator of before there were facts tells none.
        facts: serde_json::from_slice(&one.facts_json).unwrap_or_default(),
    };
    Ok(Health { status: sent.status, checks: sent.checks.into_iter().map(check).collect(), version: sent.version })
}
