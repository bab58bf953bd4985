//! `make bench`: measures the floors of this machine, then Qflow, and tells ratios: machines differ, ratios last.

mod client;
mod clock;
mod cluster;
mod compare;
mod dev;
mod floors;
mod goals;
mod load;
mod programs;
mod report;
mod rows;
mod table;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    floors::{Floor, Floors},
    goals::Lab,
    load::Load,
    programs::Postgres,
    report::Report,
};

/// Measures Qflow against floors of the same minute, and prints goals with their gates.
///
/// Goals are those of the design's `6-performance.md`: 1 node overhead, 2 the same in fresh containers, 3 container start, 4 durable
/// transitions, 5 fan-out, 6 start to first node, 7 packages, 8 scale, 9 memory, 10 what telemetry costs, 11 `/metrics`, 12 types. All but
/// 3, 6, 7 and 12 stand on a Postgres and a Redis that are started for it (`deploy/local/postgres install`, package redis-server).
#[derive(Parser)]
#[command(name = "qflow-bench", version)]
struct Line {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Where the programs are that are measured; default: beside this one.
    #[arg(long, value_name = "FOLDER")]
    bin: Option<PathBuf>,
    /// What runs nodes: `docker` or `process`.
    #[arg(long, default_value = "docker")]
    runtime: String,
    /// Goals by number, `4,8`; default: all.
    #[arg(long, value_delimiter = ',', value_name = "GOALS", value_parser = clap::value_parser!(u8).range(1..=12))]
    only: Vec<u8>,
    /// Only the floors, no goal.
    #[arg(long)]
    floors: bool,
    /// How often chains run.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Where results go, one file a call; none are written without it.
    #[arg(long, value_name = "FOLDER")]
    results: Option<PathBuf>,
    /// How results are printed.
    #[arg(long, short, default_value = "table")]
    output: Output,
    /// End with 1 where a gate is missed or, comparing, something got worse; where a goal was not measured, or a machine was busy.
    #[arg(long, global = true)]
    strict: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Subcommand)]
enum Verb {
    /// Compares a file of results with the one that is kept, by ratios to gates: what got worse beyond noise.
    Compare {
        /// What is kept.
        #[arg(long, default_value = "bench/baseline.json")]
        baseline: PathBuf,
        /// A file of results, or a folder whose newest it is.
        #[arg(default_value = "bench/results")]
        results: PathBuf,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let line = Line::parse();
    if let Some(Verb::Compare { baseline, results }) = &line.verb {
        return compared(baseline, results, line.strict);
    }
    let report = tokio::select! {
        report = measured(&line) => report?,
        code = asked_to_end() => {
            eprintln!("asked to end: what was started has ended, nothing is written");
            return Ok(ExitCode::from(code?));
        }
    };
    match line.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Output::Table => println!("{}\n{}", table::floors(&report), table::goals(&report)),
    }
    if report.noisy {
        eprintln!("noisy: something else kept the machine busy, so the figures say nothing; {:?}", report.load);
    }
    if let Some(folder) = &line.results {
        eprintln!("written to {}", report.write(folder)?.display());
    }
    Ok(ExitCode::from(u8::from(line.strict && (report.noisy || !report.is_met()))))
}

/// Waits for a signal that asks to end; the code that shells tell it by. Programs that were started end with whoever holds them.
async fn asked_to_end() -> anyhow::Result<u8> {
    let mut signals = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        signals.push((kind, signal(kind)?));
    }
    let heard = signals.iter_mut().map(|(kind, signal)| {
        Box::pin(async move {
            signal.recv().await;
            *kind
        })
    });
    let (kind, ..) = futures_util::future::select_all(heard).await;
    Ok(u8::try_from(128 + kind.as_raw_value())?)
}

async fn measured(line: &Line) -> anyhow::Result<Report> {
    let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.parent().map_or_else(PathBuf::new, PathBuf::from));
    let bin = line.bin.clone().map_or_else(beside, Ok)?;
    let there = bin.join("qflow-orchestrator").is_file();
    anyhow::ensure!(there, "{} has no qflow-orchestrator: `make bench` builds it", bin.display());
    let goals = if line.only.is_empty() { goals::ALL.to_vec() } else { line.only.clone() };
    let before = Load::look().await;
    let postgres = Postgres::start().await?;
    let (runtime, rounds) = (line.runtime.clone(), line.rounds);
    let mut lab = Lab { bin, runtime, rounds, postgres, floors: Floors::default(), failed: BTreeMap::new() };
    if line.only.is_empty() || line.floors {
        eprintln!("floors");
        lab.floors.measure(&Floor::ALL, &lab.postgres).await;
    }
    let (mut rows, mut failed) = (Vec::new(), BTreeMap::new());
    for goal in goals.into_iter().filter(|_| !line.floors) {
        eprintln!("goal {goal}");
        let measuring = tokio::time::timeout(goals::bound(goal), goals::measure(goal, &mut lab));
        match measuring.await.with_context(|| format!("not measured within {:?}", goals::bound(goal))).flatten() {
            Ok(measured) => rows.extend(measured),
            Err(error) => {
                eprintln!("goal {goal}: {error:#}");
                failed.insert(goal, format!("{error:#}"));
            }
        }
    }
    let Lab { postgres, runtime, floors, failed: parts, .. } = lab;
    parts.values().for_each(|why| eprintln!("{why}"));
    failed.extend(parts);
    postgres.stop().await?;
    Ok(Report::new(runtime, [before, Load::look().await], floors, rows, failed))
}

fn compared(baseline: &std::path::Path, results: &std::path::Path, strict: bool) -> anyhow::Result<ExitCode> {
    let newest = if results.is_dir() { newest(results)? } else { results.to_owned() };
    let (before, now) = (Report::read(baseline)?, Report::read(&newest)?);
    for (report, path) in [(&before, baseline), (&now, newest.as_path())] {
        if report.noisy {
            eprintln!("{}: taken on a busy machine", path.display());
        }
    }
    let changes = compare::compare(&before, &now);
    println!("{}", table::changes(&changes));
    let holds = !before.noisy && !now.noisy && changes.iter().all(compare::Change::holds);
    Ok(ExitCode::from(u8::from(strict && !holds)))
}

/// The file of results that was written last: they are named by their time.
fn newest(folder: &std::path::Path) -> anyhow::Result<PathBuf> {
    let files = std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?.flatten();
    let named = files.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "json"));
    named.max().with_context(|| format!("{} has no results: `make bench` writes some", folder.display()))
}
