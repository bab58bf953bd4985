//! The container-runner as a program of its own.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "qflow-container-runner", version, about = "Runs the attempts of Qflow's workflows in containers")]
struct Arguments {
    #[command(flatten)]
    config: qflow_container_runner::Config,
    #[command(flatten)]
    ask: qflow_service::Ask,
}

fn main() -> ExitCode {
    let Arguments { config, ask } = Arguments::parse();
    if let Some(answer) = ask.answer() {
        return answer;
    }
    qflow_service::run("qflow-container-runner", |telemetry, shutdown, listening| {
        qflow_container_runner::serve(config, telemetry, shutdown, listening)
    })
}
