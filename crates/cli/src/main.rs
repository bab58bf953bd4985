//! The `qflow` program.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    qflow_cli::main(qflow_cli::args::Cli::parse()).await.into()
}
