//! `qflow runs result`: what a run or a node of it returned, however large, to standard output or to a file or folder.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget};
use qflow_container_runner::unpack;
use tempfile::{NamedTempFile, TempDir};

use crate::{
    args::ServerArgs,
    dev,
    exit::{Exit, Fail},
    parameters, print, render, run,
    submit::{Client, Download},
};

/// The mode of files that are fetched, before the user's own mask.
const MODE: u32 = 0o666;
/// The mode of files of a fetched folder.
const INNER_MODE: u32 = 0o644;

/// What is fetched, and where to.
#[derive(Clone, Debug, Args)]
pub struct ResultArgs {
    /// The run's id.
    pub run: qflow_model::ids::RunId,
    /// What a node returned: `fetch`, `fetch[3]`, `child/fetch`; else what the run did.
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// One file, folder or frame of a result that holds several: its `index` where the result is shown.
    #[arg(long, value_name = "INDEX")]
    pub content: Option<u32>,
    /// Where it goes: a file, or for a `Folder` a folder. Without it to standard output.
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Write over a file that is there.
    #[arg(long, requires = "out")]
    pub force: bool,
    /// The form of what is no content: JSON, or a bare text without quotes. With `raw` a content goes to standard output too.
    #[arg(short, long, default_value = "json")]
    pub output: ResultForm,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// The form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResultForm {
    /// One JSON value, in the plain form.
    Json,
    /// A text without quotes; content as it is.
    Raw,
}

/// Fetches it.
pub async fn result(args: ResultArgs, data_dir: &Path) -> Result<Exit, Fail> {
    if let Some(out) = &args.out {
        free(out, args.force)?;
    }
    let session = dev::session(&args.server, data_dir).await?;
    run::with(session, |client, _| fetch(args, client)).await
}

async fn fetch(args: ResultArgs, client: Client) -> Result<Exit, Fail> {
    let ResultArgs { node, content, out, force, output, .. } = args;
    let (id, node) = (args.run.to_string(), node.unwrap_or_default());
    let coming = client.download(&id, &node, content, output == ResultForm::Raw).await?;
    let kind = coming.form.kind.clone();
    let Some(out) = out else {
        if kind == "folder" || (kind != "json" && (output != ResultForm::Raw || io::stdout().is_terminal())) {
            return Err(Fail::usage(to_a_path(&kind, &coming.form.name)));
        }
        return to_stdout(coming).await;
    };
    let folder = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let failed = |e: io::Error| Fail::usage(format!("write {}: {e}", out.display()));
    let mut file = tempfile::Builder::new()
        .prefix(".qflow-")
        .permissions(fs::Permissions::from_mode(MODE))
        .tempfile_in(&folder)
        .map_err(failed)?;
    let bytes = to_file(coming, &mut file, &out).await?;
    if kind == "folder" {
        keep_folder(&file, &folder, &out)?;
    } else {
        keep(file, &out, force)?;
    }
    eprintln!("{}", told(&out, &kind, bytes));
    Ok(Exit::Completed)
}

/// Whether a path may be written.
fn free(out: &Path, force: bool) -> Result<(), Fail> {
    let shown = out.display();
    match fs::symlink_metadata(out) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Fail::usage(format!("write {shown}: {e}"))),
        // A folder of the user's is never replaced: what is in it may be all there is of it.
        Ok(told) if told.is_dir() => match fs::read_dir(out).map(|mut entries| entries.next().is_none()) {
            Ok(true) => Ok(()),
            _ => Err(Fail::usage(format!("{shown} is a folder and not empty: name a path that is not there"))),
        },
        Ok(_) if force => Ok(()),
        Ok(_) => Err(Fail::usage(format!("{shown} is there already; --force writes over it"))),
    }
}

fn to_a_path(kind: &str, name: &str) -> String {
    let example = if name.is_empty() { "PATH" } else { name };
    let raw = if kind == "folder" { "" } else { ", or -o raw into a pipe" };
    format!("the result is {}: say where it goes with --out {}{raw}", described(kind), render::printable(example))
}

/// What content is, for people.
fn described(kind: &str) -> String {
    match kind {
        "file" => "a file".to_owned(),
        "folder" => "a folder".to_owned(),
        "arrow" => "a frame (an Arrow IPC stream: pyarrow.ipc.open_stream reads it)".to_owned(),
        "npy" => "an array (.npy: numpy.load reads it)".to_owned(),
        "bytes" => "bytes".to_owned(),
        "json" => "JSON".to_owned(),
        other => other.to_owned(),
    }
}

fn told(out: &Path, kind: &str, bytes: u64) -> String {
    let size = if kind == "folder" { String::new() } else { format!(", {bytes} bytes") };
    format!("wrote {}: {}{size}", out.display(), described(kind))
}

async fn to_stdout(mut coming: Download) -> Result<Exit, Fail> {
    while let Some(piece) = coming.next().await? {
        print::bytes(&piece);
    }
    if coming.form.kind == "json" {
        print::bytes(b"\n");
    }
    Ok(Exit::Completed)
}

/// Writes what comes, a piece at a time; how many bytes came.
async fn to_file(mut coming: Download, file: &mut NamedTempFile, out: &Path) -> Result<u64, Fail> {
    let name = out.display().to_string();
    let bar: ProgressBar = parameters::bar(coming.form.size, &name, ProgressDrawTarget::stderr());
    let mut bytes = 0;
    let done = async {
        while let Some(piece) = coming.next().await? {
            file.write_all(&piece).map_err(|e| Fail::new(Exit::Failed, format!("write {name}: {e}")))?;
            bytes += piece.len() as u64;
            bar.inc(piece.len() as u64);
        }
        if coming.form.size.is_some_and(|size| size != bytes) {
            return Err(Fail::new(Exit::Failed, format!("{bytes} bytes came of {:?}", coming.form.size)));
        }
        Ok(())
    };
    let done = done.await;
    bar.finish_and_clear();
    done.map(|()| bytes)
}

/// Gives a file its name, once it is whole.
fn keep(file: NamedTempFile, out: &Path, force: bool) -> Result<(), Fail> {
    let kept = if force { file.persist(out) } else { file.persist_noclobber(out) };
    kept.map(drop).map_err(|e| Fail::usage(format!("write {}: {}", out.display(), e.error)))
}

/// Unpacks an archive beside, and gives the folder its name once it is whole.
fn keep_folder(archive: &NamedTempFile, beside: &Path, out: &Path) -> Result<(), Fail> {
    let failed = |e: io::Error| Fail::new(Exit::Failed, format!("write {}: {e}", out.display()));
    let unpacked = || {
        let room = TempDir::with_prefix_in(".qflow-", beside)?;
        let whole = room.path().join("folder");
        unpack::folder(io::BufReader::new(archive.reopen()?), &whole, INNER_MODE)?;
        // Into a folder that is there only where that is empty.
        fs::rename(&whole, out)
    };
    unpacked().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_kept_unless_it_is_a_file_and_force_is_given() {
        let at = tempfile::tempdir().unwrap();
        let file = at.path().join("a");
        assert!(free(&file, false).is_ok());
        fs::write(&file, "mine").unwrap();
        assert!(free(&file, false).unwrap_err().message.ends_with("a is there already; --force writes over it"));
        assert!(free(&file, true).is_ok());
        let refused = free(at.path(), true).unwrap_err();
        assert!(refused.exit == Exit::Usage && refused.message.contains("not empty"), "{refused}");
        let empty = at.path().join("empty");
        fs::create_dir(&empty).unwrap();
        assert!(free(&empty, false).is_ok());
        let link = at.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!(free(&link, false).is_err());
    }

    #[test]
    fn a_file_that_came_to_be_meanwhile_is_not_written_over() {
        let at = tempfile::tempdir().unwrap();
        let out = at.path().join("a");
        let made = |text: &str| {
            let mut file = NamedTempFile::new_in(at.path()).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        };
        keep(made("first"), &out, false).unwrap();
        assert!(keep(made("second"), &out, false).is_err());
        keep(made("third"), &out, true).unwrap();
        assert_eq!(fs::read_to_string(&out).unwrap(), "third");
        assert_eq!(fs::read_dir(at.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_needs_a_path_says_so() {
        assert_eq!(
            to_a_path("file", "report.csv"),
            "the result is a file: say where it goes with --out report.csv, or -o raw into a pipe"
        );
        assert_eq!(to_a_path("folder", ""), "the result is a folder: say where it goes with --out PATH");
    }
}
