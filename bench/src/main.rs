//! `make bench`: measures the floors of this machine, then Qflow, and tells ratios: machines differ, ratios last.

mod floors;
mod system;
mod table;

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use crate::{floors::Floors, system::Measured};

/// Measures Qflow against floors of the same minute, and prints goals with their gates.
#[derive(Parser)]
#[command(name = "qflow-bench", version)]
struct Line {
    /// The program to measure; default: `qflow` beside this one.
    #[arg(long)]
    qflow: Option<PathBuf>,
    /// What runs nodes: `docker` or `process`.
    #[arg(long, default_value = "docker")]
    runtime: String,
    /// How often the chain runs.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Where results go, one file a call; none are written without it.
    #[arg(long)]
    results: Option<PathBuf>,
    /// End with 1 where a gate is missed.
    #[arg(long)]
    strict: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<std::process::ExitCode> {
    let line = Line::parse();
    let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("qflow"));
    let qflow = line.qflow.map_or_else(beside, Ok)?;
    anyhow::ensure!(qflow.is_file(), "{} is not there: `make bench` builds it", qflow.display());
    eprintln!("measuring floors");
    let floors = Floors::measure().await?;
    eprintln!("measuring {} on {}", qflow.display(), line.runtime);
    let measured = Measured::measure(&qflow, &line.runtime, line.rounds).await?;
    // Machines change while they are measured: the floors of after are told beside those of before.
    let after = Floors::measure().await?;
    let goals = table::goals(&floors.mean(&after), &measured);
    println!("{}", table::floors(&floors, &after));
    println!("{}", table::table(&goals));
    if let Some(folder) = line.results {
        let json = serde_json::json!({
            "runtime": line.runtime, "floors": floors, "floors_after": after, "measured": measured, "goals": goals,
        });
        let path = folder.join(format!("{}.json", system::now_seconds()));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(&path, format!("{json:#}\n")).with_context(|| format!("write {}", path.display()))?;
        eprintln!("written to {}", path.display());
    }
    let missed = goals.iter().filter(|goal| !goal.met).count();
    Ok(std::process::ExitCode::from(u8::from(line.strict && missed > 0)))
}
