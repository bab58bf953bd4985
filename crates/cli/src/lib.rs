//! The `qflow` program: `qflow dev` and the client verbs.

pub mod access;
pub mod approve;
pub mod args;
pub mod backup;
pub mod content;
pub mod dev;
pub mod discover;
pub mod doctor;
pub mod exit;
pub mod new;
pub mod parameters;
mod parts;
mod paused;
pub mod pools;
pub mod print;
pub mod problems;
pub mod render;
mod resolving;
pub mod result;
pub mod run;
pub mod runs;
pub mod source;
pub mod status;
pub mod submit;
pub mod test;
pub mod top;
pub mod tree;
pub mod types;
pub mod validate;

use clap::CommandFactory;

use args::{Cli, Command};
use exit::{Exit, Fail};

/// Does what was typed; what went wrong is told on stderr.
pub async fn main(cli: Cli) -> Exit {
    match act(cli).await {
        Ok(exit) => exit,
        Err(fail) => {
            eprintln!("error: {}", render::printable(&fail.message));
            fail.exit
        }
    }
}

async fn act(cli: Cli) -> Result<Exit, Fail> {
    let data_dir = discover::data_dir(cli.data_dir);
    match cli.command {
        Command::Dev(args) => dev::dev(args, &data_dir).await,
        Command::Run(args) => run::run(args, &data_dir).await,
        Command::Validate(args) => validate::validate(&args),
        Command::Types { command } => types::types(&command),
        Command::New(args) => new::new(&args),
        Command::Test(args) => test::test(args).await,
        Command::Runs { command } => runs::runs(command, &data_dir).await,
        Command::Approve(args) => approve::approve(args, &data_dir).await,
        Command::Pools { command } => pools::pools(command, &data_dir).await,
        Command::Token { command } => access::token(command, &data_dir).await,
        Command::Whoami(list) => access::whoami(list, &data_dir).await,
        Command::Audit(args) => access::audit(args, &data_dir).await,
        Command::Backup { command } => backup::backup(command, &data_dir).await,
        Command::Status(ask) => status::status(&ask, &data_dir).await,
        Command::Health(ask) => status::health(&ask, &data_dir).await,
        Command::Top(args) => top::top(args, &data_dir).await,
        Command::Workflows(list) => runs::workflows(list, &data_dir).await,
        Command::Doctor(list) => Ok(doctor::doctor(list.output, &data_dir).await),
        Command::Version(list) => {
            let version = env!("CARGO_PKG_VERSION");
            match list.output {
                args::Output::Json => outln!("{:#}", serde_json::json!({ "version": version })),
                _ => outln!("qflow {version}"),
            }
            Ok(Exit::Completed)
        }
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "qflow", &mut script);
            print::bytes(&script);
            Ok(Exit::Completed)
        }
    }
}
