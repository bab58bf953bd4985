//! The health-aggregator as a program.

use std::process::ExitCode;

use clap::Parser;

/// Owns the verdict on the whole.
#[derive(Parser)]
#[command(name = "qflow-health-aggregator", version)]
struct Line {
    #[command(flatten)]
    config: qflow_health_aggregator::Config,
}

fn main() -> ExitCode {
    let Line { config } = Line::parse();
    qflow_service::run("qflow-health-aggregator", |telemetry, shutdown, listening| {
        qflow_health_aggregator::serve(config, telemetry, shutdown, listening)
    })
}
