//! What users type.

mod written;

use std::{path::PathBuf, time::Duration};

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::submit::Compress;
pub use written::{Parameter, Written, duration, parameter};

/// Runs workflows of typed Python functions.
#[derive(Clone, Debug, Parser)]
#[command(name = "qflow", version, propagate_version = false, max_term_width = 100)]
pub struct Cli {
    /// Where the embedded server keeps its state.
    #[arg(long, global = true, env = "QFLOW_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The command line, with every setting of the services in the help of `dev`.
pub fn command() -> clap::Command {
    let settings = crate::parts::settings();
    Cli::command().mut_subcommand("dev", |dev| {
        dev.after_help("Settings of the services are environment variables; --help lists them.")
            .after_long_help(settings)
    })
}

/// The verbs.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run a server in this process: all four services, state in `SQLite`.
    Dev(DevArgs),
    /// Run a workflow and print its result.
    Run(RunArgs),
    /// Check a workflow file without running it.
    Validate(ValidateArgs),
    /// Ask what goes where: types and values by themselves.
    #[command(after_help = crate::types::HELP)]
    Types {
        /// What to ask.
        #[command(subcommand)]
        command: crate::types::TypesCommand,
    },
    /// Write a starting file that runs as it stands.
    New(NewArgs),
    /// Run a file's cases, as a test runner does.
    Test(TestArgs),
    /// Look at runs, and act on them.
    Runs {
        /// What to do with them.
        #[command(subcommand)]
        command: RunsCommand,
    },
    /// Answer an approval that a run waits for.
    Approve(ApproveArgs),
    /// Look at pools, and set how many may hold them.
    Pools {
        /// What to do with them.
        #[command(subcommand)]
        command: crate::pools::PoolsCommand,
    },
    /// Make, list and revoke the tokens by which people and programs are let in.
    #[command(after_help = crate::access::TOKEN_HELP)]
    Token {
        /// What to do with them.
        #[command(subcommand)]
        command: crate::access::TokenCommand,
    },
    /// Say who the server takes you for, and what you may.
    Whoami(ListArgs),
    /// Show who asked for what, newest first; admins only.
    Audit(crate::access::AuditArgs),
    /// Back up runs and their values, and restore them.
    #[command(after_help = crate::backup::HELP)]
    Backup {
        /// What to do.
        #[command(subcommand)]
        command: crate::backup::BackupCommand,
    },
    /// Show what is under way: runs, containers, queue.
    #[command(after_help = crate::status::STATUS_HELP)]
    Status(crate::status::AskArgs),
    /// Say how the parts of the system are; ends with 1 where the verdict is unhealthy.
    #[command(after_help = crate::status::HEALTH_HELP)]
    Health(crate::status::AskArgs),
    /// Watch all of it live, on a terminal.
    #[command(after_help = crate::top::HELP)]
    Top(crate::top::TopArgs),
    /// List the workflows that the server knows.
    Workflows(ListArgs),
    /// Say what this machine lacks, and how to get it.
    Doctor(ListArgs),
    /// Print the version.
    Version(ListArgs),
    /// Print completions for a shell.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Which server is called.
#[derive(Clone, Debug, Default, Args)]
pub struct ServerArgs {
    /// The server's address; else the data directory's running server, else an embedded one for this call.
    #[arg(long, env = "QFLOW_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// Its token.
    #[arg(long, env = "QFLOW_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// A file that holds its token.
    #[arg(long, env = "QFLOW_TOKEN_FILE", value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// Compress what goes to the server and comes from it.
    #[arg(long, env = "QFLOW_COMPRESS", value_enum, default_value_t)]
    pub compress: Compress,
}

/// `qflow dev`.
#[derive(Clone, Debug, Args)]
pub struct DevArgs {
    /// `default` is 7400 to 7405 and 9401; `any` lets the system choose.
    #[arg(long, env = "QFLOW_PORTS", default_value = "default")]
    pub ports: Ports,
}

/// Which ports a server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ports {
    /// The published ones.
    Default,
    /// Whatever is free.
    Any,
}

/// `qflow run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The workflow's file.
    pub file: PathBuf,
    /// The workflow in it; else the only one that no other calls.
    #[arg(short, long)]
    pub workflow: Option<String>,
    /// A parameter: NAME=TEXT, NAME:=JSON or NAME=@FILE; @PATH is uploaded where the workflow declares a `File` or `Folder`.
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub param: Vec<Parameter>,
    /// Parameters as a JSON object; `-p` wins over it.
    #[arg(long, value_name = "FILE.json")]
    pub params: Option<PathBuf>,
    /// Return once the run is accepted; needs a running server.
    #[arg(long)]
    pub detach: bool,
    /// How long this call waits; the run goes on, but where the server is embedded.
    #[arg(long, value_parser = duration, value_name = "10m")]
    pub timeout: Option<Duration>,
    /// Start once per key: the same key gives the same run.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Resolve environments anew.
    #[arg(long)]
    pub relock: bool,
    /// Run nodes although their outputs are kept (`cache=`); what they give is kept anew.
    #[arg(long)]
    pub no_cache: bool,
    /// Whether the run's trace is recorded, over restarts and retries too.
    #[arg(long, default_value = "auto", value_name = "WHEN")]
    pub trace: Trace,
    /// The form of the result.
    #[arg(short, long, default_value = "table")]
    pub output: Output,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Whether a trace is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Trace {
    /// As TRACEPARENT says, and without one as the server samples.
    Auto,
    /// It is, and the collector keeps it, whatever is sampled.
    Always,
    /// It is not.
    Never,
}

/// The form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// One JSON value.
    Json,
    /// The bare result: a text without quotes.
    Raw,
}

/// `qflow validate`.
#[derive(Clone, Debug, Args)]
pub struct ValidateArgs {
    /// The workflow's file.
    pub file: PathBuf,
    /// Allow no conversion of values between nodes: what is not assignable is refused.
    #[arg(long)]
    pub strict: bool,
    /// The form of the answer.
    #[arg(short, long, default_value = "table")]
    pub output: Output,
}

/// `qflow new`.
#[derive(Clone, Debug, Args)]
pub struct NewArgs {
    /// The file, or its name without `.py`; else flow.py.
    pub name: Option<PathBuf>,
    /// What to begin with.
    #[arg(short, long, default_value = "default")]
    pub template: Template,
    /// Write over a file that is there.
    #[arg(long)]
    pub force: bool,
}

/// What a new file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// Two nodes in a row.
    Default,
    /// Extract, transform, load.
    Etl,
    /// A map over parts, and a join.
    FanOut,
}

/// `qflow test`.
#[derive(Clone, Debug, Args)]
#[command(after_help = crate::test::HELP)]
pub struct TestArgs {
    /// The workflow's file; its cases stand beside it: those of sales.py in sales.test.toml.
    pub file: PathBuf,
    /// Only cases whose name or workflow holds this text.
    #[arg(short = 'k', long = "filter", value_name = "TEXT")]
    pub filter: Option<String>,
    /// Another file of cases.
    #[arg(long, value_name = "FILE.toml")]
    pub cases: Option<PathBuf>,
    /// Where nodes run.
    #[arg(long, default_value = "process")]
    pub runtime: TestRuntime,
    /// Write a report that CI servers read.
    #[arg(long, value_name = "FILE.xml")]
    pub junit: Option<PathBuf>,
    /// The form of the answer.
    #[arg(short, long, default_value = "table")]
    pub output: Output,
}

/// Where a test's nodes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TestRuntime {
    /// As processes of this machine.
    Process,
    /// In containers.
    Docker,
}

/// A verb that lists.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// The form of the list.
    #[arg(short, long, default_value = "table")]
    pub output: Output,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `qflow runs`.
#[derive(Clone, Debug, Subcommand)]
pub enum RunsCommand {
    /// The newest runs.
    List {
        /// Only of this workflow.
        #[arg(short, long)]
        workflow: Option<String>,
        /// Only in this state.
        #[arg(short, long)]
        status: Option<qflow_model::status::RunStatus>,
        /// At most so many.
        #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Form and server.
        #[command(flatten)]
        list: ListArgs,
    },
    /// One run with its nodes.
    Get(OneRun),
    /// What a run's code printed.
    Logs {
        /// Only of this node.
        #[arg(long)]
        node: Option<String>,
        /// Go on until the run has ended.
        #[arg(short, long)]
        follow: bool,
        /// Which.
        #[command(flatten)]
        run: OneRun,
    },
    /// Fetch what a run or a node of it returned, however large: to standard output, a file or a folder.
    Result(crate::result::ResultArgs),
    /// Follow a run to its end; the exit code is as of `qflow run`. An interrupt leaves, the run goes on.
    Watch(OneRun),
    /// Cancel a run.
    Cancel(OneRun),
    /// Start nothing more of a run; what runs goes on.
    Pause(OneRun),
    /// Have a paused run go on where it stood.
    Resume(ResumeArgs),
    /// Run a run that ended badly again from its failed nodes.
    Retry(OneRun),
    /// Answer an approval that a run waits for.
    Approve(ApproveArgs),
}

/// How a paused run goes on.
#[derive(Clone, Debug, Args)]
pub struct ResumeArgs {
    /// Try this node again, though it may have done its work before; a mapped step's name stands for all its elements that wait
    #[arg(long, value_name = "NODE")]
    pub retry: Vec<String>,
    /// Let this node fail
    #[arg(long, value_name = "NODE")]
    pub fail: Vec<String>,
    /// Which.
    #[command(flatten)]
    pub run: OneRun,
}

/// An answer to an approval.
#[derive(Clone, Debug, Args)]
pub struct ApproveArgs {
    /// The run's id.
    pub run: qflow_model::ids::RunId,
    /// The node's id or the approval's name; not needed where the run waits for one only.
    #[arg(value_name = "NODE|NAME", default_value = "", hide_default_value = true)]
    pub node: String,
    /// Say no.
    #[arg(long)]
    pub reject: bool,
    /// What is kept with the answer.
    #[arg(short = 'm', long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub comment: String,
    /// Form and server.
    #[command(flatten)]
    pub list: ListArgs,
}

/// A run, the form and the server.
#[derive(Clone, Debug, Args)]
pub struct OneRun {
    /// The run's id.
    pub run: qflow_model::ids::RunId,
    /// Form and server.
    #[command(flatten)]
    pub list: ListArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_reads_its_flags_in_any_order() {
        let line = ["qflow", "run", "-p", "a=1", "f.py", "--detach", "-o", "json", "-w", "main", "-p", "b:=2"];
        let Command::Run(args) = Cli::try_parse_from(line).unwrap().command else { panic!("not run") };
        assert_eq!((args.param.len(), args.detach, args.output), (2, true, Output::Json));
        assert_eq!(args.workflow.as_deref(), Some("main"));
    }
}
