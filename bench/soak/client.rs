//! A client as users have one: it gives each run a key, and tries again until it is acknowledged.

use std::time::Duration;

use anyhow::Context;
use qflow_proto::v1::{self, orchestrator_service_client::OrchestratorServiceClient};
use qflow_service::AuthedChannel;
use tonic::{Code, Request};

use crate::now;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a submission may be tried.
const PATIENCE: Duration = Duration::from_mins(5);
/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// What was said of a submission.
pub(crate) struct Accepted {
    pub(crate) run: String,
    /// Whether this call made it.
    pub(crate) created: bool,
    /// How often it was refused before: too many queued, or nobody there.
    pub(crate) refused: u32,
}

/// An orchestrator as its clients have it.
#[derive(Clone)]
pub(crate) struct Client(OrchestratorServiceClient<AuthedChannel>);

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

impl Client {
    pub(crate) fn new(url: &str, token: &str) -> anyhow::Result<Self> {
        Ok(Self(OrchestratorServiceClient::new(qflow_service::authed_channel(url, Some(token))?)))
    }

    /// Stores a source; its digest.
    pub(crate) async fn register(&self, text: &str) -> anyhow::Result<String> {
        let file = v1::SourceFile { path: "soak.py".to_owned(), text: text.to_owned() };
        let source = Some(v1::Source { entry: file.path.clone(), files: vec![file] });
        let answer =
            self.0.clone().register_workflow(timed(v1::RegisterWorkflowRequest { source })).await?.into_inner();
        anyhow::ensure!(!answer.definition_json.is_empty(), "{}", String::from_utf8_lossy(&answer.problems_json));
        Ok(answer.digest)
    }

    /// Submits a run until it is acknowledged.
    pub(crate) async fn submit(&self, digest: &str, key: &str) -> anyhow::Result<Accepted> {
        let (begun, mut refused) = (now(), 0);
        loop {
            let request = v1::StartRunRequest {
                what: Some(v1::start_run_request::What::Digest(digest.to_owned())),
                idempotency_key: key.to_owned(),
                ..v1::StartRunRequest::default()
            };
            match self.0.clone().start_run(timed(request)).await {
                Ok(answer) => {
                    let v1::StartRunResponse { run_id, created, .. } = answer.into_inner();
                    return Ok(Accepted { run: run_id, created, refused });
                }
                Err(status) => {
                    let passes = [
                        Code::ResourceExhausted,
                        Code::Unavailable,
                        Code::DeadlineExceeded,
                        Code::Cancelled,
                        Code::Unknown,
                    ];
                    let again = passes.contains(&status.code()) && begun.elapsed() < PATIENCE;
                    anyhow::ensure!(again, "submit {key}: {:?}: {}", status.code(), status.message());
                    refused += 1;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// A page of the newest runs, by a filter; how many there are on it.
    pub(crate) async fn list(&self, workflow: &str, status: &str) -> anyhow::Result<usize> {
        let request = v1::ListRunsRequest {
            workflow: workflow.to_owned(),
            status: status.to_owned(),
            page_size: 50,
            page_token: String::new(),
        };
        Ok(self.0.clone().list_runs(timed(request)).await?.into_inner().runs.len())
    }

    /// A run as it is now.
    pub(crate) async fn get(&self, run: &str) -> anyhow::Result<v1::Run> {
        let request = v1::GetRunRequest { run_id: run.to_owned() };
        self.0.clone().get_run(timed(request)).await?.into_inner().run.context("an answer has its run")
    }

    /// Waits until a run has ended; its state.
    pub(crate) async fn ended(&self, run: &str) -> anyhow::Result<String> {
        let request = Request::new(v1::WatchRunRequest { run_id: run.to_owned() });
        let mut changes = self.0.clone().watch_run(request).await?.into_inner();
        let mut status = String::new();
        while let Some(change) = changes.message().await? {
            status = change.run.context("a change has its run")?.status;
        }
        Ok(status)
    }
}
