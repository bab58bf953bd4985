//! `qflow backup …`: the database and the blobs that it names, as one point in a folder; checked, and put back.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use qflow_orchestrator::{
    backup::{self, Error, Manifest, Progress, System},
    record,
};
use qflow_service::SystemClock;
use serde_json::json;

use crate::{
    args::Output,
    exit::{Exit, Fail},
    outln, parts,
};

/// How the three verbs hang together.
pub const HELP: &str = "\
A back-up is a folder: the rows of the database as they stood at one moment, every large value that they name, and a
manifest with sizes and digests. It is made while the services run. To restore, stop them, restore, start them:

  qflow backup create --to /backups/2026-11-26
  qflow backup verify --from /backups/2026-11-26
  qflow backup restore --from /backups/2026-11-26

FOLDER is a folder of this machine, never a bucket: what copies folders can bring it to one. The blob store that is backed up or restored
into may be a bucket. The database and the blobs are those that the services are told of: QFLOW_DATABASE_URL (with
QFLOW_DATABASE_PASSWORD_FILE and QFLOW_DATABASE_CA) and QFLOW_BLOBS_URL; without them, those of the data directory.";

/// `qflow backup`.
#[derive(Clone, Debug, Subcommand)]
pub enum BackupCommand {
    /// Back up the database and its blobs, while the services run.
    Create {
        /// The folder to make; it has this name once it is whole.
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
        /// Go on where the blob store lacks what the database names; the manifest lists it.
        #[arg(long)]
        allow_missing: bool,
        /// What is backed up.
        #[command(flatten)]
        of: SystemArgs,
    },
    /// Read all of a back-up, and say whether it is what was written.
    Verify {
        /// The folder.
        #[arg(long, value_name = "FOLDER")]
        from: PathBuf,
        /// The form of the answer.
        #[arg(short, long, default_value = "table")]
        output: Output,
    },
    /// Put a back-up into an empty database and blob store; no service may run on them.
    Restore {
        /// The folder.
        #[arg(long, value_name = "FOLDER")]
        from: PathBuf,
        /// Remove the runs that are there, once the back-up has been read and found whole.
        #[arg(long)]
        replace: bool,
        /// What is restored into.
        #[command(flatten)]
        to: SystemArgs,
    },
}

/// Which system, and the form of the answer.
#[derive(Clone, Debug, Args)]
pub struct SystemArgs {
    /// The database, as the orchestrator is told it: `sqlite://PATH` or `postgres://…`.
    #[arg(long, env = "QFLOW_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// The blob store, as the orchestrator is told it.
    #[arg(long, env = "QFLOW_BLOBS_URL", value_name = "URL")]
    pub blobs_url: Option<String>,
    /// The form of the answer.
    #[arg(short, long, default_value = "table")]
    pub output: Output,
}

/// Does what was asked.
pub async fn backup(command: BackupCommand, data_dir: &Path) -> Result<Exit, Fail> {
    let bar = Bar::new();
    let tell = |progress| bar.tell(progress);
    match command {
        BackupCommand::Create { to, allow_missing, of } => {
            folder(&to)?;
            let system = system(&of, data_dir, true).await?;
            let made = backup::create(&system, &to, allow_missing, &SystemClock, &tell).await;
            bar.end();
            show(&made.map_err(|error| fail(&error))?, &to, "backed up", of.output);
        }
        BackupCommand::Verify { from, output } => {
            folder(&from)?;
            let whole = backup::verify(&from, &tell).await;
            bar.end();
            show(&whole.map_err(|error| fail(&error))?, &from, "whole", output);
        }
        BackupCommand::Restore { from, replace, to } => {
            folder(&from)?;
            let system = system(&to, data_dir, false).await?;
            let restored = backup::restore(&system, &from, replace, &tell).await;
            bar.end();
            show(&restored.map_err(|error| fail(&error))?, &from, "restored", to.output);
        }
    }
    Ok(Exit::Completed)
}

/// A back-up's own place: what looks like a bucket's address would become a folder of that name.
fn folder(path: &Path) -> Result<(), Fail> {
    let shown = path.display().to_string();
    if !shown.contains("://") {
        return Ok(());
    }
    Err(Fail::usage(format!(
        "`{shown}` is no folder of this machine, and a back-up is one: make it in a folder, then copy that where you keep it"
    )))
}

async fn system(args: &SystemArgs, data_dir: &Path, is_there: bool) -> Result<System, Fail> {
    let server = std::env::var("QFLOW_SERVER").unwrap_or_default();
    if is_there && args.database_url.is_none() && !server.is_empty() {
        return Err(Fail::usage(format!(
            "QFLOW_SERVER is {server}, and a back-up reads the database itself: set QFLOW_DATABASE_URL and QFLOW_BLOBS_URL as its \
             orchestrators have them, or unset QFLOW_SERVER for the data directory's own"
        )));
    }
    let system = parts::system(data_dir, args.database_url.clone(), args.blobs_url.clone(), is_there).await;
    system.map_err(|error| Fail::usage(format!("{error:#}")))
}

fn fail(error: &Error) -> Fail {
    let exit = match error {
        Error::Exists(_) | Error::BlobsNotEmpty | Error::Record(record::Error::NotEmpty(_)) => Exit::Usage,
        Error::NotWhole(_) | Error::Format { .. } | Error::Kind { .. } | Error::Damaged { .. } => Exit::Invalid,
        Error::Record(record::Error::Schema { .. } | record::Error::Older { .. }) => Exit::Invalid,
        Error::Record(record::Error::Database { doing: "connect to the database", .. }) => Exit::Unreachable,
        _ => Exit::Failed,
    };
    let (mut text, mut cause) = (error.to_string(), std::error::Error::source(error));
    while let Some(error) = cause {
        if !text.ends_with(&error.to_string()) {
            text = format!("{text}: {error}");
        }
        cause = error.source();
    }
    Fail::new(exit, text)
}

fn show(manifest: &Manifest, folder: &Path, done: &str, output: Output) {
    let at = jiff::Timestamp::from_microsecond(manifest.taken_at_us.0).map(|at| at.to_string()).unwrap_or_default();
    if output == Output::Json {
        return outln!(
            "{:#}",
            json!({
                "folder": folder, "taken_at": at, "qflow": manifest.qflow, "format": manifest.format,
                "database": manifest.database, "schema": manifest.schema, "runs": manifest.runs,
                "blobs": manifest.blobs, "blob_bytes": manifest.blob_bytes, "bytes": manifest.bytes(),
                "removed_runs": manifest.removed_runs, "missing": manifest.missing,
            })
        );
    }
    let Manifest { runs, blobs, database, .. } = manifest;
    let bytes = HumanBytes(manifest.bytes());
    outln!(
        "{done}: {runs} runs and {blobs} blobs ({bytes}) of {database} as they stood at {at}, in {}",
        folder.display()
    );
    if !manifest.removed_runs.is_empty() {
        outln!("left out: {} runs that retention removed meanwhile", manifest.removed_runs.len());
    }
    if !manifest.missing.is_empty() {
        outln!("missing: {} blobs that the blob store did not have; the manifest lists them", manifest.missing.len());
    }
}

/// What is done, on stderr where that is a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {percent:>3} %");
        Self(style.map(|style| bar.clone().with_style(style)).unwrap_or(bar))
    }

    fn tell(&self, progress: Progress) {
        let (message, done, all) = match progress {
            Progress::Rows => ("rows of the database".to_owned(), 0, 0),
            Progress::Runs { done, all, bytes } => (format!("{done} of {all} runs, {}", HumanBytes(bytes)), done, all),
            Progress::Checked { done, all } => {
                (format!("checked {} of {}", HumanBytes(done), HumanBytes(all)), done, all)
            }
            Progress::Restored { done, all } => {
                (format!("restored {} of {}", HumanBytes(done), HumanBytes(all)), done, all)
            }
        };
        self.0.set_length(all.max(1));
        self.0.set_position(done);
        self.0.set_message(message);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buckets_address_is_no_place_for_a_back_up() {
        let refused = folder(Path::new("s3://backups/today")).unwrap_err();
        assert_eq!((refused.exit, refused.message.contains("is no folder of this machine")), (Exit::Usage, true));
        assert!(folder(Path::new("/backups/today")).is_ok());
    }

    #[test]
    fn a_refusal_ends_by_its_kind() {
        let exit = |error: Error| fail(&error).exit;
        assert_eq!(exit(Error::Exists("x".into())), Exit::Usage);
        assert_eq!(exit(Error::NotWhole("x".into())), Exit::Invalid);
        assert_eq!(exit(Error::Record(record::Error::NotEmpty("x".into()))), Exit::Usage);
        let away =
            record::Error::Database { doing: "connect to the database", source: "db:5432 does not answer".into() };
        let fail = fail(&Error::Record(away));
        assert_eq!(fail.exit, Exit::Unreachable);
        assert_eq!(fail.message, "connect to the database: db:5432 does not answer");
    }
}
