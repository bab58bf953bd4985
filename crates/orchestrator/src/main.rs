//! The orchestrator as a program.

use std::process::ExitCode;

use clap::Parser;

/// Owns runs: accepts, plans, dispatches and records them.
#[derive(Parser)]
#[command(name = "qflow-orchestrator", version)]
struct Line {
    #[command(flatten)]
    config: qflow_orchestrator::Config,
    #[command(flatten)]
    ask: qflow_service::Ask,
}

fn main() -> ExitCode {
    let Line { config, ask } = Line::parse();
    if let Some(answer) = ask.answer() {
        return answer;
    }
    qflow_service::run("qflow-orchestrator", |telemetry, shutdown, listening| {
        qflow_orchestrator::serve(config, telemetry, shutdown, listening)
    })
}
