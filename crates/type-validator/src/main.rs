//! The type-validator as a program.

use std::process::ExitCode;

use clap::Parser;

/// Owns types: validates workflows at submit.
#[derive(Parser)]
#[command(name = "qflow-type-validator", version)]
struct Line {
    #[command(flatten)]
    config: qflow_type_validator::Config,
    #[command(flatten)]
    ask: qflow_service::Ask,
}

fn main() -> ExitCode {
    let Line { config, ask } = Line::parse();
    if let Some(answer) = ask.answer() {
        return answer;
    }
    qflow_service::run("qflow-type-validator", |telemetry, shutdown, listening| {
        qflow_type_validator::serve(config, telemetry, shutdown, listening)
    })
}
