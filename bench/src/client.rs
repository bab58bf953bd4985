//! A client of an orchestrator: starts runs, and sees when each of their nodes ended.

use std::{collections::BTreeMap, time::Instant};

use anyhow::Context;
use qflow_proto::v1::{self, orchestrator_service_client::OrchestratorServiceClient};
use qflow_service::AuthedChannel;

use crate::clock::{ms, now};

/// Bytes of an answer: a run of very many nodes.
const MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// An orchestrator as its clients have it.
#[derive(Clone)]
pub(crate) struct Client(OrchestratorServiceClient<AuthedChannel>);

/// A run that has ended, as it was seen.
pub(crate) struct Ended {
    /// When each node was first seen completed, in order of time.
    pub(crate) ends: Vec<Instant>,
    /// The run at its end, with what its nodes say of themselves.
    pub(crate) nodes: Vec<v1::Node>,
}

impl Ended {
    /// Milliseconds between the ends of nodes that followed one another.
    pub(crate) fn gaps(&self) -> Vec<f64> {
        self.ends.windows(2).map(|pair| ms(pair[1].duration_since(pair[0]))).collect()
    }

    /// Milliseconds from the first node's end to the last's.
    pub(crate) fn span(&self) -> f64 {
        self.ends.first().zip(self.ends.last()).map_or(0.0, |(first, last)| ms(last.duration_since(*first)))
    }

    /// A phase of each attempt, in milliseconds.
    pub(crate) fn phase(&self, name: &str) -> anyhow::Result<Vec<f64>> {
        let read = |node: &v1::Node| {
            let phases: serde_json::Value = serde_json::from_slice(&node.phases_json)?;
            phases[name].as_f64().with_context(|| format!("a phase `{name}`"))
        };
        self.nodes.iter().filter(|node| node.attempts > 0).map(read).collect()
    }
}

/// What to start: a source, or one that was registered.
#[derive(Clone)]
pub(crate) enum What {
    /// A file's text.
    Source(String),
    /// The digest of a registered one.
    Digest(String),
}

fn source(text: &str) -> v1::Source {
    let file = v1::SourceFile { path: "bench.py".to_owned(), text: text.to_owned() };
    v1::Source { entry: file.path.clone(), files: vec![file] }
}

impl Client {
    pub(crate) fn new(url: &str, token: &str) -> anyhow::Result<Self> {
        let channel = qflow_service::authed_channel(url, Some(token))?;
        Ok(Self(OrchestratorServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES)))
    }

    /// Stores a source, to be started by its digest.
    pub(crate) async fn register(&self, text: &str) -> anyhow::Result<What> {
        let request = v1::RegisterWorkflowRequest { source: Some(source(text)) };
        let answer = self.0.clone().register_workflow(request).await?.into_inner();
        anyhow::ensure!(!answer.digest.is_empty(), "refused: {}", String::from_utf8_lossy(&answer.problems_json));
        Ok(What::Digest(answer.digest))
    }

    /// Starts a run with parameters in JSON; its id.
    pub(crate) async fn start(&self, what: &What, parameters: &[(&str, String)]) -> anyhow::Result<String> {
        let what = match what {
            What::Source(text) => v1::start_run_request::What::Source(source(text)),
            What::Digest(digest) => v1::start_run_request::What::Digest(digest.clone()),
        };
        let parameter = |(name, json): &(&str, String)| v1::Parameter {
            name: (*name).to_owned(),
            value: Some(v1::parameter::Value::Json(json.clone())),
        };
        let parameters = parameters.iter().map(parameter).collect();
        let request = v1::StartRunRequest { what: Some(what), parameters, ..v1::StartRunRequest::default() };
        Ok(self.0.clone().start_run(request).await?.into_inner().run_id)
    }

    /// Runs something to its end, and looks at every node.
    pub(crate) async fn run(&self, what: &What, parameters: &[(&str, String)]) -> anyhow::Result<Ended> {
        let run_id = self.start(what, parameters).await?;
        let request = v1::WatchRunRequest { run_id: run_id.clone() };
        let mut changes = self.0.clone().watch_run(request).await?.into_inner();
        let mut ends: BTreeMap<String, Instant> = BTreeMap::new();
        while let Some(change) = changes.message().await? {
            let seen = now();
            let run = change.run.context("a change has its run")?;
            let completed = run.nodes.iter().filter(|node| node.status == "completed");
            completed.for_each(|node| _ = ends.entry(node.node_id.clone()).or_insert(seen));
        }
        let run = self.get(&run_id).await?;
        completed(&run)?;
        let mut ends: Vec<Instant> = ends.into_values().collect();
        ends.sort_unstable();
        Ok(Ended { ends, nodes: run.nodes })
    }

    /// A run as it is now.
    pub(crate) async fn get(&self, run_id: &str) -> anyhow::Result<v1::Run> {
        let request = v1::GetRunRequest { run_id: run_id.to_owned() };
        self.0.clone().get_run(request).await?.into_inner().run.context("an answer has its run")
    }
}

/// Fails where a run did not complete, with its error.
fn completed(run: &v1::Run) -> anyhow::Result<()> {
    let error = String::from_utf8_lossy(&run.error_json);
    anyhow::ensure!(run.status == "completed", "the run is {}: {}{error}", run.status, run.reason);
    Ok(())
}
