//! The embedded shape: `qflow dev`, on ports and in a folder of its own.

use std::{path::Path, time::Duration};

use anyhow::Context;
use tokio::process::Command;

use crate::{
    client::Client,
    clock::now,
    programs::{PATIENCE, Program, folder},
};

/// A `qflow dev` of ours.
pub(crate) struct Dev {
    program: Program,
    client: Client,
    /// Leaves last.
    _folder: tempfile::TempDir,
}

impl Dev {
    /// Starts one, and waits until it tells its address.
    pub(crate) async fn start(bin: &Path, runtime: &str) -> anyhow::Result<Self> {
        let folder = folder()?;
        let data = folder.path().join("data");
        let mut command = Command::new(bin.join("qflow"));
        command.args(["dev", "--ports", "any"]).env("QFLOW_DATA_DIR", &data).env("QFLOW_RUNTIME", runtime);
        command.env("QFLOW_RUN_DIR", folder.path().join("run"));
        let program = Program::start(command, "dev", folder.path())?;
        let begun = now();
        let url = loop {
            let told = std::fs::read(data.join("server.json")).ok();
            if let Some(file) = told.and_then(|told| serde_json::from_slice::<serde_json::Value>(&told).ok()) {
                break file["http"].as_str().context("server.json names an address")?.to_owned();
            }
            program.id()?;
            anyhow::ensure!(begun.elapsed() < PATIENCE, "qflow dev does not serve: {}", program.last_words());
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        let token = std::fs::read_to_string(data.join("token")).context("read the token")?;
        let client = Client::new(&url, token.trim())?;
        Ok(Self { program, client, _folder: folder })
    }

    /// A client of it.
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Ends it.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.program.stop().await
    }
}
