//! Qflow as its users have it: `qflow dev`, called over gRPC.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context;
use qflow_proto::v1::{self, orchestrator_service_client::OrchestratorServiceClient};
use qflow_service::AuthedChannel;
use serde::Serialize;
use tokio::process::{Child, Command};

use crate::floors::{ms, now, quantile};

/// The measured chain.
const CHAIN: &str = include_str!("../chain.py");
/// How often a start is measured.
const STARTS: usize = 5;
/// How long a server may take to tell its address.
const PATIENCE: Duration = Duration::from_mins(1);

/// What was measured, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[expect(clippy::struct_field_names, reason = "units last")]
pub(crate) struct Measured {
    /// Between the ends of two nodes of a chain: median.
    pub(crate) node_p50_ms: f64,
    /// The same: 99th of 100.
    pub(crate) node_p99_ms: f64,
    /// A chain of 40 nodes, from its first node's end to its last's: median.
    pub(crate) chain_ms: f64,
    /// From the start of `qflow dev` to the end of its first node: median.
    pub(crate) first_node_ms: f64,
}

impl Measured {
    /// Measures starts, then chains.
    pub(crate) async fn measure(qflow: &Path, runtime: &str, rounds: u32) -> anyhow::Result<Self> {
        let mut starts = Vec::new();
        let mut gaps = Vec::new();
        let mut chains = Vec::new();
        for start in 0..STARTS {
            let begun = now();
            let server = Server::start(qflow, runtime).await?;
            let ends = server.run().await?;
            starts.push(ends.first().context("the chain has nodes")?.duration_since(begun));
            if start + 1 == STARTS {
                for _ in 0..rounds {
                    let ends = server.run().await?;
                    gaps.extend(ends.windows(2).map(|pair| pair[1].duration_since(pair[0])));
                    chains.extend(ends.first().zip(ends.last()).map(|(first, last)| last.duration_since(*first)));
                }
            }
            server.stop().await?;
        }
        Ok(Self {
            node_p50_ms: ms(quantile(&mut gaps, 0.5)),
            node_p99_ms: ms(quantile(&mut gaps, 0.99)),
            chain_ms: ms(quantile(&mut chains, 0.5)),
            first_node_ms: ms(quantile(&mut starts, 0.5)),
        })
    }
}

/// A `qflow dev` of ours.
struct Server {
    folder: tempfile::TempDir,
    child: Child,
    client: OrchestratorServiceClient<AuthedChannel>,
}

impl Server {
    async fn start(qflow: &Path, runtime: &str) -> anyhow::Result<Self> {
        // Short, since the paths of sockets in it end at 107 bytes.
        let folder = tempfile::Builder::new().prefix("qb").tempdir_in("/tmp")?;
        let data: PathBuf = folder.path().join("data");
        let log = std::fs::File::create(folder.path().join("dev.log"))?;
        let mut child = Command::new(qflow)
            .args(["dev", "--ports", "any"])
            .env("QFLOW_DATA_DIR", &data)
            .env("QFLOW_RUN_DIR", folder.path().join("run"))
            .env("QFLOW_RUNTIME", runtime)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", qflow.display()))?;
        let begun = now();
        let url = loop {
            let told = std::fs::read(data.join("server.json")).ok();
            if let Some(file) = told.and_then(|told| serde_json::from_slice::<serde_json::Value>(&told).ok()) {
                break file["http"].as_str().context("server.json names an address")?.to_owned();
            }
            let log = || std::fs::read_to_string(folder.path().join("dev.log")).unwrap_or_default();
            anyhow::ensure!(child.try_wait()?.is_none(), "qflow dev ended: {}", log());
            anyhow::ensure!(begun.elapsed() < PATIENCE, "qflow dev does not serve: {}", log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        let token = std::fs::read_to_string(data.join("token")).context("read the token")?;
        let channel = qflow_service::authed_channel(&url, Some(token.trim()))?;
        Ok(Self { folder, child, client: OrchestratorServiceClient::new(channel) })
    }

    /// Runs the chain once; when each node's end was seen, in order.
    async fn run(&self) -> anyhow::Result<Vec<Instant>> {
        let file = v1::SourceFile { path: "chain.py".to_owned(), text: CHAIN.to_owned() };
        let source = v1::Source { entry: file.path.clone(), files: vec![file] };
        let what = Some(v1::start_run_request::What::Source(source));
        let request = v1::StartRunRequest { what, ..v1::StartRunRequest::default() };
        let mut client = self.client.clone();
        let run_id = client.start_run(request).await?.into_inner().run_id;
        let mut changes = client.watch_run(v1::WatchRunRequest { run_id }).await?.into_inner();
        let mut ends: BTreeMap<String, Instant> = BTreeMap::new();
        while let Some(change) = changes.message().await? {
            let seen = now();
            let run = change.run.context("a change has its run")?;
            for node in run.nodes.into_iter().filter(|node| node.status == "completed") {
                ends.entry(node.node_id).or_insert(seen);
            }
            let log = || std::fs::read_to_string(self.folder.path().join("dev.log")).unwrap_or_default();
            anyhow::ensure!(
                !["failed", "cancelled", "timed_out"].contains(&run.status.as_str()),
                "the chain {}: {}",
                run.status,
                log()
            );
        }
        let mut ends: Vec<Instant> = ends.into_values().collect();
        ends.sort_unstable();
        Ok(ends)
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().context("the server runs")?.to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await?;
        tokio::time::timeout(PATIENCE, self.child.wait()).await.context("qflow dev stops")??;
        Ok(())
    }
}

/// Seconds since 1970, for a file's name.
#[expect(clippy::disallowed_methods, reason = "names a file of results")]
pub(crate) fn now_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
