//! The only file of this crate that names the wire: calls of the orchestrator, in and out of plain structures.

mod access;
mod compress;
mod download;
mod overseer;
mod refusal;
mod shown;
mod upload;

use std::time::Duration;

use qflow_model::{
    definition::{Definition, Problem, Source},
    limits,
};
use qflow_proto::v1::{self, orchestrator_service_client::OrchestratorServiceClient};
use tokio_stream::{Stream, StreamExt};
use tonic::{
    Request, Status,
    codec::CompressionEncoding::Zstd,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::{
    args::Trace,
    exit::{Exit, Fail},
};
pub use access::{Audited, Create, Token, Who};
pub use compress::Compress;
pub use download::{Download, Form};
pub use overseer::{ActiveContainer, ActiveWorkflow, Check, Health, Overseer, SystemStatus, hundredths, oversee};
use refusal::{fail, read};
pub use shown::{Holder, Line, Node, Pool, Run, Workflow};
use shown::{pool, run, time};

/// How long a connection may take to come about: a server that does not answer by then is told as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call may take to be answered; streams only until they begin.
const DEADLINE: Duration = Duration::from_secs(60);
/// Bytes of files that a server copies within a second where it is slow: a start waits for that.
const COPIED_A_SECOND: u64 = 4 << 20;
/// Between keep-alive pings, so that a stream whose peer is gone ends.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// A parameter as sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// To be read by the declared type.
    Text(String),
    /// Plain JSON.
    Json(String),
    /// Content that was uploaded.
    Upload(Uploaded),
}

/// Content of a file or folder that the server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// SHA-256 of it.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// `file`, `folder`.
    pub kind: String,
    /// What nodes see it as.
    pub name: String,
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
    /// Whether its trace is recorded.
    pub trace: Trace,
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

/// What goes with every call: the token, and the caller's own trace where it has one.
#[derive(Clone, Debug)]
struct Bearer {
    token: Option<MetadataValue<Ascii>>,
    trace: Option<MetadataValue<Ascii>>,
    /// What others put beside it; `qflow=keep` has the collector keep the trace, whatever it samples.
    state: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (key, value) in [("authorization", &self.token), ("traceparent", &self.trace), ("tracestate", &self.state)]
        {
            if let Some(value) = value {
                request.metadata_mut().insert(key, value.clone());
            }
        }
        Ok(request)
    }
}

type Service = OrchestratorServiceClient<InterceptedService<Channel, Bearer>>;

/// A connected client; the second is for calls that take as long as what they send, the third for who may call.
#[derive(Clone, Debug)]
pub struct Client(Service, Service, access::Service);

/// Connects, or says why not.
pub async fn connect(url: &str, token: Option<&str>, compress: Compress) -> Result<Client, Fail> {
    let endpoint = endpoint(url, "http://127.0.0.1:7400")?;
    let channel = endpoint.clone().timeout(DEADLINE).connect().await;
    let channel =
        channel.map_err(|error| unreachable(url, &error, "start a server with `qflow dev`, or unset QFLOW_SERVER"))?;
    let bearer = bearer(token)?;
    let is_compressed = compress.is_on(endpoint.uri());
    let client = |channel| {
        let client = OrchestratorServiceClient::with_interceptor(channel, bearer.clone())
            .max_decoding_message_size(limits::MESSAGE_BYTES)
            .max_encoding_message_size(limits::MESSAGE_BYTES);
        if is_compressed { client.send_compressed(Zstd).accept_compressed(Zstd) } else { client }
    };
    let access = access::client(channel.clone(), bearer.clone());
    Ok(Client(client(channel), client(endpoint.connect_lazy()), access))
}

fn endpoint(url: &str, such_as: &str) -> Result<Endpoint, Fail> {
    let url_with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let endpoint = Endpoint::from_shared(url_with_scheme)
        .map_err(|_| Fail::usage(format!("`{url}` is not an address such as {such_as}")))?;
    let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).http2_keep_alive_interval(KEEP_ALIVE);
    Ok(endpoint.keep_alive_while_idle(true).tcp_nodelay(true))
}

fn unreachable(url: &str, error: &tonic::transport::Error, remedy: &str) -> Fail {
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    Fail::new(Exit::Unreachable, format!("cannot reach {url}: {cause}\n{remedy}"))
}

fn bearer(token: Option<&str>) -> Result<Bearer, Fail> {
    let token = token
        .map(|token| format!("Bearer {}", token.trim()).parse())
        .transpose()
        .map_err(|_| Fail::usage("the token holds characters that a token cannot have"))?;
    let of = |variable| std::env::var(variable).ok().and_then(|text| text.parse().ok());
    Ok(Bearer { token, trace: of("TRACEPARENT"), state: of("TRACESTATE") })
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
                Given::Upload(Uploaded { digest, size, kind, name }) => {
                    v1::parameter::Value::Upload(v1::Upload { digest, size, kind, name })
                }
            };
            v1::Parameter { name, value: Some(value) }
        };
        let uploaded =
            start.parameters.iter().map(|(_, given)| if let Given::Upload(of) = given { of.size } else { 0 });
        let copying = Duration::from_secs(uploaded.sum::<u64>() / COPIED_A_SECOND);
        let request = v1::StartRunRequest {
            what: Some(v1::start_run_request::What::Digest(start.digest)),
            workflow: start.workflow,
            parameters: start.parameters.into_iter().map(parameter).collect(),
            idempotency_key: start.idempotency_key,
            relock: start.relock,
            no_cache: start.no_cache,
            trace: sampling(start.trace).to_owned(),
        };
        let mut request = Request::new(request);
        request.set_timeout(DEADLINE + copying);
        let answer = self.1.clone().start_run(request).await.map_err(|e| fail(&e))?.into_inner();
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

    /// Starts nothing more of a run.
    pub async fn pause(&self, run_id: &str) -> Result<Run, Fail> {
        let request = v1::PauseRunRequest { run_id: run_id.to_owned() };
        run(self.0.clone().pause_run(request).await.map_err(|e| fail(&e))?.into_inner().run)
    }

    /// Has a paused run go on, with what is decided about node runs that need it.
    pub async fn resume(&self, run_id: &str, retry: &[String], fails: &[String]) -> Result<Run, Fail> {
        let request = v1::ResumeRunRequest { run_id: run_id.to_owned(), retry: retry.to_vec(), fail: fails.to_vec() };
        run(self.0.clone().resume_run(request).await.map_err(|e| fail(&e))?.into_inner().run)
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
            sequence: l.sequence,
            at: l.at.map(time),
            fields: qflow_proto::line::fields_of(&l.fields_json),
        };
        Ok(answers.map(move |answer| Ok(answer.map_err(|e| fail(&e))?.lines.into_iter().map(line).collect())))
    }
}

/// The word on the wire for whether a trace is recorded.
const fn sampling(trace: Trace) -> &'static str {
    match trace {
        Trace::Auto => "",
        Trace::Always => "always",
        Trace::Never => "never",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unreachable() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let fail = connect(&free.to_string(), None, Compress::Auto).await.unwrap_err();
        assert_eq!(fail.exit, Exit::Unreachable);
        assert!(fail.message.contains("qflow dev"));
    }
}
