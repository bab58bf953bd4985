//! The `qflow` program.

use std::process::ExitCode;

use clap::FromArgMatches as _;
use qflow_cli::args::{self, Cli};

#[tokio::main]
async fn main() -> ExitCode {
    let matches = args::command().get_matches();
    // What the command accepts, its own structure reads.
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    qflow_cli::main(cli).await.into()
}
