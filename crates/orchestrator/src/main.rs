//! The orchestrator as a program.

use std::process::ExitCode;

use clap::Parser;

/// Owns runs: accepts, plans, dispatches and records them.
#[derive(Parser)]
#[command(name = "qflow-orchestrator", version)]
struct Line {
    #[command(flatten)]
    config: qflow_orchestrator::Config,
}

fn main() -> ExitCode {
    let Line { config } = Line::parse();
    qflow_service::run("qflow-orchestrator", |telemetry, shutdown, listening| {
        qflow_orchestrator::serve(config, telemetry, shutdown, listening)
    })
}
