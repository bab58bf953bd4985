//! The only file of this crate that names the wire: calls of the orchestrator, in and out of plain structures.

use std::time::Duration;

use qflow_model::{
    definition::{Definition, Problem, Source},
    limits,
    outcome::{Failure, Phases},
    progress::{Answered, ReusedFrom, RunError},
    status::{NodeStatus, RunStatus},
};
use qflow_proto::v1::{self, orchestrator_service_client::OrchestratorServiceClient};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_stream::{Stream, StreamExt};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::exit::{Exit, Fail};

/// How long a connection may take to come about: a server that does not answer by then is told as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call may take to be answered; streams only until they begin.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between keep-alive pings, so that a stream whose peer is gone ends.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// A run as shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub run_id: String,
    /// Its workflow.
    pub workflow: String,
    /// Where it stands.
    pub status: RunStatus,
    /// Why it is paused.
    pub reason: String,
    /// What it returned, in the plain form.
    pub result: Option<Value>,
    /// Why it did not complete.
    pub error: Option<RunError>,
    /// Its trace.
    pub trace_id: String,
    /// When it was accepted, RFC 3339.
    pub created_at: Option<String>,
    /// When its first node was ready.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// How many completed.
    pub nodes_completed: u32,
    /// How many there are.
    pub nodes_total: u32,
}

/// A node run as shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// `fetch`, `fetch-2`, `fetch[3]`.
    pub node_id: String,
    /// Where it stands.
    pub status: NodeStatus,
    /// How often it was begun.
    pub attempts: u32,
    /// Where its time went.
    pub phases: Option<Phases>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// Elements, where it is mapped.
    pub length: u32,
    /// Elements completed.
    pub completed: u32,
    /// Steps whose results it needs.
    pub needs: Vec<String>,
    /// What it is doing.
    pub doing: String,
    /// 0 to 1 where known.
    pub progress: Option<f64>,
    /// Things to know although it completed.
    pub warnings: Vec<String>,
    /// `python`, `workflow`, `wait`, `approval`.
    pub node_type: String,
    /// Elements that ended otherwise than well.
    pub failed: u32,
    /// The name of an approval that waits for an answer.
    pub approval: Option<String>,
    /// What was answered to it.
    pub answered: Option<Answered>,
    /// Where its value was made, where no attempt of this run made it.
    pub reused_from: Option<ReusedFrom>,
}

/// A line that a node's code wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// By whom.
    pub node_id: String,
    /// `stdout`, `stderr`, `log`.
    pub stream: String,
    /// The line.
    pub text: String,
    /// What `qflow.log` was given by name; the text has it too.
    pub fields: serde_json::Map<String, serde_json::Value>,
    /// Which attempt.
    pub attempt: u32,
    /// When, RFC 3339.
    pub at: Option<String>,
}

/// A parameter as sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// To be read by the declared type.
    Text(String),
    /// Plain JSON.
    Json(String),
}

/// What a run is started with.
#[derive(Clone, Debug)]
pub struct Start {
    /// The registered source.
    pub digest: String,
    /// The workflow; empty for the only one.
    pub workflow: String,
    /// The parameters.
    pub parameters: Vec<(String, Given)>,
    /// Unique per tenant.
    pub idempotency_key: String,
    /// Resolve environments anew.
    pub relock: bool,
    /// Run nodes although their outputs are kept.
    pub no_cache: bool,
}

/// A run that was accepted.
#[derive(Clone, Debug)]
pub struct Started {
    /// Its id.
    pub run_id: String,
    /// False where the key named one that was there.
    pub created: bool,
    /// Things to know although it was accepted.
    pub warnings: Vec<Problem>,
}

/// A pool as shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Attempts that hold it at once, at most.
    pub slots: u32,
    /// Attempts that begin within a minute, at most.
    pub per_minute: Option<u32>,
    /// Attempts that began within the last minute, where that is limited.
    pub started: u32,
    /// Longest first.
    pub holders: Vec<Holder>,
}

/// Who holds a slot of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// The run.
    pub run_id: String,
    /// The node run's id.
    pub node_id: String,
    /// The attempt's number.
    pub attempt: u32,
    /// Since when, RFC 3339.
    pub since: Option<String>,
}

/// What a registration says.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The source's digest.
    pub digest: String,
    /// What it defines; empty where there are errors.
    pub definition: Definition,
    /// Everything wrong with it.
    pub problems: Vec<Problem>,
}

/// A workflow as listed.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Workflow {
    /// Its name.
    pub name: String,
    /// Its source's digest.
    pub digest: String,
    /// When it was registered.
    pub registered_at: Option<String>,
}

/// What goes with every call: the token, and the caller's own trace where it has one.
#[derive(Clone, Debug)]
struct Bearer {
    token: Option<MetadataValue<Ascii>>,
    trace: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (key, value) in [("authorization", &self.token), ("traceparent", &self.trace)] {
            if let Some(value) = value {
                request.metadata_mut().insert(key, value.clone());
            }
        }
        Ok(request)
    }
}

/// A connected client.
#[derive(Clone, Debug)]
pub struct Client(OrchestratorServiceClient<InterceptedService<Channel, Bearer>>);

/// Connects, or says why not.
pub async fn connect(url: &str, token: Option<&str>) -> Result<Client, Fail> {
    let unreachable = |error: tonic::transport::Error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        Fail::new(
            Exit::Unreachable,
            format!("cannot reach {url}: {cause}\nstart a server with `qflow dev`, or unset QFLOW_SERVER"),
        )
    };
    let url_with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let endpoint = Endpoint::from_shared(url_with_scheme)
        .map_err(|_| Fail::usage(format!("`{url}` is not an address such as http://127.0.0.1:7400")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(DEADLINE)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    let channel = endpoint.connect().await.map_err(unreachable)?;
    let token = token
        .map(|token| format!("Bearer {}", token.trim()).parse())
        .transpose()
        .map_err(|_| Fail::usage("the token holds characters that a token cannot have"))?;
    let trace = std::env::var("TRACEPARENT").ok().and_then(|text| text.parse().ok());
    let client = OrchestratorServiceClient::with_interceptor(channel, Bearer { token, trace })
        .max_decoding_message_size(limits::MESSAGE_BYTES)
        .max_encoding_message_size(limits::MESSAGE_BYTES);
    Ok(Client(client))
}

impl Client {
    /// Validates and stores a source.
    pub async fn register(&self, source: &Source) -> Result<Registered, Fail> {
        let files = source.files.iter().map(|(path, text)| v1::SourceFile { path: path.clone(), text: text.clone() });
        let source = v1::Source { entry: source.entry.clone(), files: files.collect() };
        let request = v1::RegisterWorkflowRequest { source: Some(source) };
        let answer = self.0.clone().register_workflow(request).await.map_err(|e| fail(&e))?.into_inner();
        let definition = read(&answer.definition_json)?.unwrap_or_default();
        Ok(Registered { digest: answer.digest, definition, problems: read(&answer.problems_json)?.unwrap_or_default() })
    }

    /// Starts a run.
    pub async fn start(&self, start: Start) -> Result<Started, Fail> {
        let parameter = |(name, given)| {
            let value = match given {
                Given::Text(text) => v1::parameter::Value::Text(text),
                Given::Json(json) => v1::parameter::Value::Json(json),
            };
            v1::Parameter { name, value: Some(value) }
        };
        let request = v1::StartRunRequest {
            what: Some(v1::start_run_request::What::Digest(start.digest)),
            workflow: start.workflow,
            parameters: start.parameters.into_iter().map(parameter).collect(),
            idempotency_key: start.idempotency_key,
            relock: start.relock,
            no_cache: start.no_cache,
        };
        let answer = self.0.clone().start_run(request).await.map_err(|e| fail(&e))?.into_inner();
        let warnings = read(&answer.problems_json)?.unwrap_or_default();
        Ok(Started { run_id: answer.run_id, created: answer.created, warnings })
    }

    /// The pool of that name, or all where it is empty.
    pub async fn pools(&self, name: &str) -> Result<Vec<Pool>, Fail> {
        let request = v1::ListPoolsRequest { name: name.to_owned() };
        let answer = self.0.clone().list_pools(request).await.map_err(|e| fail(&e))?.into_inner();
        Ok(answer.pools.into_iter().map(pool).collect())
    }

    /// Makes a pool, or changes it.
    pub async fn set_pool(&self, name: &str, slots: u32, per_minute: Option<u32>) -> Result<Pool, Fail> {
        let request = v1::SetPoolRequest { name: name.to_owned(), slots, per_minute: per_minute.unwrap_or_default() };
        let answer = self.0.clone().set_pool(request).await.map_err(|e| fail(&e))?.into_inner();
        answer.pool.map(pool).ok_or_else(|| Fail::new(Exit::Failed, "the server answered without a pool"))
    }

    /// Removes a pool.
    pub async fn remove_pool(&self, name: &str) -> Result<(), Fail> {
        let request = v1::RemovePoolRequest { name: name.to_owned() };
        self.0.clone().remove_pool(request).await.map_err(|e| fail(&e)).map(drop)
    }

    /// One run.
    pub async fn get(&self, run_id: &str) -> Result<Run, Fail> {
        let request = v1::GetRunRequest { run_id: run_id.to_owned() };
        run(self.0.clone().get_run(request).await.map_err(|e| fail(&e))?.into_inner().run)
    }

    /// The newest runs.
    pub async fn list(&self, workflow: &str, status: &str, limit: u32) -> Result<Vec<Run>, Fail> {
        let request = v1::ListRunsRequest {
            workflow: workflow.to_owned(),
            status: status.to_owned(),
            page_size: limit,
            page_token: String::new(),
        };
        let answer = self.0.clone().list_runs(request).await.map_err(|e| fail(&e))?.into_inner();
        answer.runs.into_iter().map(|one| run(Some(one))).collect()
    }

    /// What runs nodes: `docker 20.10.24`; empty where no runner is connected.
    pub async fn runtime(&self) -> Result<String, Fail> {
        let answer = self.0.clone().overview(v1::OverviewRequest {}).await.map_err(|e| fail(&e))?.into_inner();
        let runtimes = answer.runners.iter().map(|runner| format!("{} {}", runner.runtime, runner.runtime_version));
        Ok(runtimes.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", "))
    }

    /// The known workflows.
    pub async fn workflows(&self) -> Result<Vec<Workflow>, Fail> {
        let answer = self.0.clone().list_workflows(v1::ListWorkflowsRequest {}).await.map_err(|e| fail(&e))?;
        let one =
            |w: v1::Workflow| Workflow { name: w.name, digest: w.digest, registered_at: w.registered_at.map(time) };
        Ok(answer.into_inner().workflows.into_iter().map(one).collect())
    }

    /// Cancels a run.
    pub async fn cancel(&self, run_id: &str) -> Result<Run, Fail> {
        let request = v1::CancelRunRequest { run_id: run_id.to_owned() };
        run(self.0.clone().cancel_run(request).await.map_err(|e| fail(&e))?.into_inner().run)
    }

    /// Runs a run again from its failed nodes.
    pub async fn retry(&self, run_id: &str) -> Result<Run, Fail> {
        let request = v1::RetryRunRequest { run_id: run_id.to_owned() };
        run(self.0.clone().retry_run(request).await.map_err(|e| fail(&e))?.into_inner().run)
    }

    /// Answers an approval; the run, and the node that was answered.
    pub async fn approve(
        &self,
        run_id: &str,
        node: &str,
        approved: bool,
        comment: &str,
    ) -> Result<(Run, String), Fail> {
        let (run_id, node, comment) = (run_id.to_owned(), node.to_owned(), comment.to_owned());
        let request = v1::ApproveNodeRequest { run_id, node, approved, comment };
        let answer = self.0.clone().approve_node(request).await.map_err(|e| fail(&e))?.into_inner();
        Ok((run(answer.run)?, answer.node_id))
    }

    /// The run, then its changes until it has ended.
    pub async fn watch(
        &self,
        run_id: &str,
    ) -> Result<impl Stream<Item = Result<Run, Fail>> + Send + Unpin + use<>, Fail> {
        let request = v1::WatchRunRequest { run_id: run_id.to_owned() };
        let answers = self.0.clone().watch_run(request).await.map_err(|e| fail(&e))?.into_inner();
        Ok(answers.map(|answer| answer.map_err(|e| fail(&e)).and_then(|answer| run(answer.run))))
    }

    /// The run's lines.
    pub async fn logs(
        &self,
        run_id: &str,
        node_id: &str,
        follow: bool,
    ) -> Result<impl Stream<Item = Result<Vec<Line>, Fail>> + Send + Unpin + use<>, Fail> {
        let request = v1::StreamLogsRequest { run_id: run_id.to_owned(), node_id: node_id.to_owned(), follow };
        let answers = self.0.clone().stream_logs(request).await.map_err(|e| fail(&e))?.into_inner();
        let line = |l: v1::LogLine| Line {
            node_id: l.node_id,
            stream: l.stream,
            text: l.text,
            attempt: l.attempt,
            at: l.at.map(time),
            fields: qflow_proto::line::fields_of(&l.fields_json),
        };
        Ok(answers.map(move |answer| Ok(answer.map_err(|e| fail(&e))?.lines.into_iter().map(line).collect())))
    }
}

fn pool(sent: v1::Pool) -> Pool {
    let holder = |h: v1::PoolHolder| Holder {
        run_id: h.run_id,
        node_id: h.node_id,
        attempt: h.attempt,
        since: h.since.map(time),
    };
    Pool {
        name: sent.name,
        slots: sent.slots,
        per_minute: Some(sent.per_minute).filter(|most| *most > 0),
        started: sent.started,
        holders: sent.holders.into_iter().map(holder).collect(),
    }
}

/// What is wrong with a submission, as the details of a refusal have it.
#[derive(Default, serde::Deserialize)]
struct Details {
    #[serde(default)]
    problems: Vec<Problem>,
}

fn fail(status: &Status) -> Fail {
    let details: Details = serde_json::from_slice(status.details()).unwrap_or_default();
    if !details.problems.is_empty() {
        let (count, shown) = (crate::render::count(&details.problems), crate::render::problems(&details.problems));
        return Fail::new(exit_of(status.code()), format!("nothing was started: {count}\n\n{}", shown.trim_end()));
    }
    // A status that the transport made and no server: the connection broke.
    if std::error::Error::source(status).is_some() {
        return Fail::new(Exit::Unreachable, format!("the server went away ({})", status.message()));
    }
    let exit = exit_of(status.code());
    let hint = match status.code() {
        Code::Unauthenticated => "\nset QFLOW_TOKEN or QFLOW_TOKEN_FILE to the server's token",
        _ => "",
    };
    Fail::new(exit, format!("{}{hint}", status.message()))
}

/// What a refused call means for the exit code.
fn exit_of(code: Code) -> Exit {
    match code {
        Code::InvalidArgument | Code::OutOfRange => Exit::Invalid,
        Code::NotFound => Exit::Usage,
        Code::Unavailable | Code::DeadlineExceeded | Code::Unauthenticated => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Result<Option<T>, Fail> {
    if json.is_empty() {
        return Ok(None);
    }
    let wrong =
        |e| Fail::new(Exit::Failed, format!("the server's answer does not read ({e}): is it of another version?"));
    serde_json::from_slice(json).map(Some).map_err(wrong)
}

fn run(run: Option<v1::Run>) -> Result<Run, Fail> {
    let run = run.ok_or_else(|| Fail::new(Exit::Failed, "the server answered without a run"))?;
    let status = run.status.parse().map_err(|e| Fail::new(Exit::Failed, format!("the run's status: {e}")))?;
    Ok(Run {
        run_id: run.run_id,
        workflow: run.workflow,
        status,
        reason: run.reason,
        result: read(&run.result_json)?,
        error: read(&run.error_json)?,
        trace_id: run.trace_id,
        created_at: run.created_at.map(time),
        started_at: run.started_at.map(time),
        ended_at: run.ended_at.map(time),
        nodes: run.nodes.into_iter().map(node).collect::<Result<_, _>>()?,
        nodes_completed: run.nodes_completed,
        nodes_total: run.nodes_total,
    })
}

fn node(node: v1::Node) -> Result<Node, Fail> {
    let status = node.status.parse().map_err(|e| Fail::new(Exit::Failed, format!("the node's status: {e}")))?;
    Ok(Node {
        node_id: node.node_id,
        status,
        attempts: node.attempts,
        phases: read(&node.phases_json)?,
        error: read(&node.error_json)?,
        length: node.length,
        completed: node.completed,
        needs: node.needs,
        doing: node.doing,
        progress: (node.progress >= 0.0).then_some(node.progress),
        warnings: node.warnings,
        node_type: node.node_type,
        failed: node.failed,
        approval: Some(node.approval).filter(|name| !name.is_empty()),
        answered: read(&node.answered_json)?,
        reused_from: read(&node.reused_from_json)?,
    })
}

fn time(at: impl Into<WireTime>) -> String {
    let WireTime(seconds, nanos) = at.into();
    jiff::Timestamp::new(seconds, nanos).map(|at| at.to_string()).unwrap_or_default()
}

struct WireTime(i64, i32);

impl From<prost_types::Timestamp> for WireTime {
    fn from(at: prost_types::Timestamp) -> Self {
        Self(at.seconds, at.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_call_ends_with_the_published_exit_code() {
        assert_eq!(exit_of(Code::InvalidArgument) as u8, 3);
        assert_eq!(exit_of(Code::Unavailable) as u8, 4);
        assert_eq!(exit_of(Code::NotFound) as u8, 2);
        assert_eq!(exit_of(Code::Internal) as u8, 1);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unreachable() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let fail = connect(&free.to_string(), None).await.unwrap_err();
        assert_eq!(fail.exit, Exit::Unreachable);
        assert!(fail.message.contains("qflow dev"));
    }
}
