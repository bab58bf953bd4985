//! The floor of uv: its own resolution and installation of packages into an empty folder, with an empty cache.

use anyhow::Context;
use tokio::process::Command;

use crate::{clock::now, programs::folder};

/// Seconds of uv alone, for these requirements and this version of Python.
pub(crate) async fn cold_s(requirements: &[String], python: &str) -> anyhow::Result<f64> {
    let (folder, uv) = (folder()?, std::env::var("QFLOW_UV").unwrap_or_else(|_| "uv".to_owned()));
    let mut command = Command::new(uv);
    command.args([
        "pip",
        "install",
        "-q",
        "--no-config",
        "--only-binary",
        ":all:",
        "--python-version",
        python,
        "--target",
    ]);
    command.arg(folder.path().join("site")).args(requirements).env("UV_CACHE_DIR", folder.path().join("cache"));
    if let Ok(index) = std::env::var("QFLOW_INDEX_URL") {
        command.args(["--index-url", &index]);
    }
    if let Ok(bundle) = std::env::var("QFLOW_CA_BUNDLE") {
        command.env("SSL_CERT_FILE", bundle);
    }
    let begun = now();
    let output = command.output().await.context("start uv: `pip install uv`, or set QFLOW_UV")?;
    anyhow::ensure!(output.status.success(), "uv: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(begun.elapsed().as_secs_f64())
}
