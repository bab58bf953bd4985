//! `make soak`: what takes long. Ten thousand runs of two clients at once, processes killed again and again, ten million rows of history;
//! what was seen is written down, and what must hold is held.

mod chaos;
mod client;
mod cluster;
mod flood;
mod history;
mod memory;
mod report;
mod rows;

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Parser;

use crate::{cluster::Cluster, report::Report};

/// Soaks a cluster of this machine: two orchestrators on Postgres and Redis, two runners on processes, runners that run nothing.
#[derive(Clone, Debug, Parser)]
#[command(name = "qflow-soak")]
pub(crate) struct Args {
    /// Runs that two clients submit at once
    #[arg(long, default_value_t = 10_000)]
    runs: u32,
    /// Of each hundred of them, so many on real processes
    #[arg(long, default_value_t = 2)]
    real: u32,
    /// Seconds for which processes are killed; 0 for none
    #[arg(long, default_value_t = 180)]
    chaos: u64,
    /// Seconds between two kills
    #[arg(long, default_value_t = 12)]
    every: u64,
    /// What decides whom to kill; told, so that a soak can be had again
    #[arg(long)]
    seed: Option<u64>,
    /// Rows of history to load; 0 for none
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    /// Where the result is written, as a page; nowhere without it
    #[arg(long)]
    result: Option<PathBuf>,
    /// Where the programs are; beside this one without it
    #[arg(long)]
    bin: Option<PathBuf>,
}

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "to measure is what this program is for")]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Says on standard error what is done now.
pub(crate) fn say(what: &str) {
    eprintln!("soak: {what}");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let program = std::env::current_exe()?;
    let beside = program.parent().context("a program lies in a folder")?.to_owned();
    let bin = args.bin.clone().unwrap_or(beside);
    let mut report = Report::new(&bin)?;
    let cluster = Cluster::start(&bin).await?;
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    // However it ends, nothing is left running.
    let soaked = tokio::select! {
        soaked = soak(&cluster, &args, &mut report) => soaked,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        _ = terminated.recv() => Err(anyhow::anyhow!("asked to end")),
    };
    if let Err(error) = &soaked {
        say(&format!("{error:#}; the logs are kept: {}", cluster.keep()));
    }
    cluster.stop().await?;
    soaked?;
    let page = report.page();
    if let Some(path) = &args.result {
        std::fs::write(path, &page).with_context(|| format!("write `{}`", path.display()))?;
    }
    println!("{page}");
    anyhow::ensure!(report.holds(), "a gate does not hold");
    Ok(())
}

async fn soak(cluster: &Cluster, args: &Args, report: &mut Report) -> anyhow::Result<()> {
    flood::flood(cluster, args, report).await?;
    if args.chaos > 0 {
        let seed = args.seed.unwrap_or_else(|| u64::from(std::process::id()));
        chaos::chaos(cluster, Duration::from_secs(args.chaos), Duration::from_secs(args.every), seed, report).await?;
    }
    if args.rows > 0 {
        history::history(cluster, args.rows, report).await?;
    }
    Ok(())
}
