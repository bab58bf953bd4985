//! The health-aggregator as a program.

use std::process::ExitCode;

use clap::Parser;

/// Owns the verdict on the whole.
#[derive(Parser)]
#[command(name = "qflow-health-aggregator", version)]
struct Line {
    #[command(flatten)]
    config: qflow_health_aggregator::Config,
    #[command(flatten)]
    ask: qflow_service::Ask,
}

fn main() -> ExitCode {
    let Line { config, ask } = Line::parse();
    if let Some(answer) = ask.answer() {
        return answer;
    }
    qflow_service::run("qflow-health-aggregator", |telemetry, shutdown, listening| {
        qflow_health_aggregator::serve(config, telemetry, shutdown, listening)
    })
}
