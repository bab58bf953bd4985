//! Makes a back-up: the rows as they stand at one moment, then every blob that they name. Blobs never change, and one that the rows
//! name was there before them, so what is copied later belongs to that moment too.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _};
use qflow_blobs::Blobs;
use qflow_model::ids::{Digest, RunId};
use qflow_service::Clock;
use tokio::io::{AsyncWriteExt as _, BufWriter};

use super::{
    BLOBS, Error, FORMAT, File, LIST, Manifest, Progress, ROWS, Result, System, copy, file, kept,
    manifest::{RowsFile, measure},
    named,
};
use crate::record::backup::Snapshot;

/// Runs, or kept blobs, that are asked for at once.
const PAGE: u32 = 256;
/// Between two looks whether a run is being removed, and how many there are.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS: u32 = 20;
/// Blobs that are copied at once.
const COPIES: usize = 8;

/// Backs a system up into a folder that is not there yet; it has its name once it is whole.
pub async fn create(
    system: &System,
    to: &Path,
    allow_missing: bool,
    clock: &dyn Clock,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Manifest> {
    if to.exists() {
        return Err(Error::Exists(to.to_owned()));
    }
    let part = beside(to);
    let made = fill(system, &part, allow_missing, clock, tell).await;
    let made = made.and_then(|manifest| {
        std::fs::rename(&part, to).map_err(file("name", to))?;
        Ok(manifest)
    });
    if made.is_err() {
        // What stays has no manifest, or not its name: nothing takes it for a back-up.
        std::fs::remove_dir_all(&part).ok();
    }
    made
}

/// Where a back-up grows: beside its place, so that it comes there by a change of its name.
fn beside(to: &Path) -> PathBuf {
    // A name that ends with a slash would lead into the folder that is not there yet.
    let mut part: PathBuf = to.components().collect();
    part.as_mut_os_string().push(format!(".part-{}", uuid::Uuid::now_v7().simple()));
    part
}

async fn fill(
    system: &System,
    part: &Path,
    allow_missing: bool,
    clock: &dyn Clock,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Manifest> {
    let rows = part.join(ROWS);
    private(part).and_then(|()| std::fs::create_dir(&rows)).map_err(file("make", part))?;
    std::fs::create_dir(part.join(BLOBS)).map_err(file("make", part))?;
    tell(Progress::Rows);
    let mut snapshot = system.database.snapshot(&rows, clock).await?;
    let mut files = Vec::new();
    for piece in snapshot.write(&rows).await? {
        let (bytes, sha256) = measure(&rows.join(&piece.file)).await?;
        files.push(RowsFile { piece, bytes, sha256 });
    }
    let copied = Copying::start(&system.blobs, part).await?.all(&mut *snapshot, tell).await?;
    if let (Some(first), false) = (copied.missing.first(), allow_missing) {
        return Err(Error::Missing { count: copied.missing.len(), first: first.clone() });
    }
    let (bytes, sha256) = measure(&part.join(LIST)).await?;
    let manifest = Manifest {
        format: FORMAT,
        qflow: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at_us: snapshot.at(),
        database: system.database.kind().to_owned(),
        schema: snapshot.schema(),
        rows: files,
        runs: copied.runs,
        blobs: copied.blobs,
        blob_bytes: copied.bytes,
        list: File { path: LIST.to_owned(), bytes, sha256 },
        removed_runs: copied.removed_runs,
        removed_outputs: copied.removed_outputs,
        missing: copied.missing,
    };
    drop(snapshot);
    let folder = std::fs::File::open(part).map_err(file("open", part))?;
    // All of it is on the disk before there is a manifest that says so.
    rustix::fs::syncfs(&folder).map_err(|error| file("write to the disk", part)(error.into()))?;
    manifest.write(part)?;
    rustix::fs::syncfs(&folder).map_err(|error| file("write to the disk", part)(error.into()))?;
    Ok(manifest)
}

/// Values and lines of users lie in it.
fn private(folder: &Path) -> std::io::Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(folder)
}

/// Blobs on their way into a folder.
struct Copying<'a> {
    from: &'a Blobs,
    to: PathBuf,
    list: BufWriter<tokio::fs::File>,
    copied: Copied,
    /// Runs, and what of theirs was not there.
    torn: Vec<(RunId, Vec<String>)>,
}

/// What became of them.
#[derive(Default)]
struct Copied {
    runs: u64,
    blobs: u64,
    bytes: u64,
    removed_runs: Vec<RunId>,
    removed_outputs: Vec<Digest>,
    missing: Vec<String>,
}

impl<'a> Copying<'a> {
    async fn start(from: &'a Blobs, part: &Path) -> Result<Self> {
        let list = part.join(LIST);
        let list = tokio::fs::File::create(&list).await.map_err(file("write", &list))?;
        Ok(Self { from, to: part.join(BLOBS), list: BufWriter::new(list), copied: Copied::default(), torn: Vec::new() })
    }

    async fn all(mut self, rows: &mut dyn Snapshot, tell: &(dyn Fn(Progress) + Sync)) -> Result<Copied> {
        let mut all = 0;
        let mut last = None;
        while let Some(run) = rows.runs(last, PAGE).await?.into_iter().inspect(|_| all += 1).last() {
            last = Some(run);
        }
        let mut last = None;
        loop {
            let page = rows.runs(last, PAGE).await?;
            let Some(next) = page.last() else { break };
            last = Some(*next);
            for run in page {
                self.run(run, rows).await?;
                tell(Progress::Runs { done: self.copied.runs, all, bytes: self.copied.bytes });
            }
        }
        self.judge(rows).await?;
        let mut last = None;
        loop {
            let page = rows.kept(last, PAGE).await?;
            let Some(next) = page.last() else { break };
            last = Some(*next);
            let there = self.fetch(page.iter().copied().map(kept).collect()).await?;
            self.copied.removed_outputs.extend(page.into_iter().filter(|digest| !there.contains(&kept(*digest))));
        }
        self.list.flush().await.map_err(file("write", &self.to))?;
        Ok(self.copied)
    }

    /// Copies all that a run has, and looks whether what its rows name is among it.
    async fn run(&mut self, run: RunId, rows: &mut dyn Snapshot) -> Result<()> {
        let named: BTreeSet<String> = rows.named(run).await?.into_iter().map(|digest| named(run, digest)).collect();
        let mut wanted = named.clone();
        wanted.extend(self.from.names(&format!("runs/{run}")).await?);
        let there = self.fetch(wanted).await?;
        let missing: Vec<String> = named.difference(&there).cloned().collect();
        if !missing.is_empty() {
            self.torn.push((run, missing));
        }
        self.copied.runs += 1;
        Ok(())
    }

    /// Tells runs that are being removed, whose values go before their rows, from those whose values are lost.
    async fn judge(&mut self, rows: &mut dyn Snapshot) -> Result<()> {
        for look in 0..LOOKS {
            let mut still = Vec::new();
            for (run, missing) in std::mem::take(&mut self.torn) {
                if rows.is_there(run).await? { still.push((run, missing)) } else { self.copied.removed_runs.push(run) }
            }
            self.torn = still;
            if self.torn.is_empty() || look + 1 == LOOKS {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        self.copied.missing.extend(self.torn.drain(..).flat_map(|(_, missing)| missing));
        self.copied.removed_runs.sort_unstable();
        Ok(())
    }

    /// Copies blobs, and lists those that were there.
    async fn fetch(&mut self, names: BTreeSet<String>) -> Result<BTreeSet<String>> {
        let (from, to) = (self.from, self.to.as_path());
        let mut found = futures_util::stream::iter(names)
            .map(|name| async move { copy::fetch(from, &name, to).await })
            .buffer_unordered(COPIES);
        let mut there = BTreeSet::new();
        while let Some(blob) = found.try_next().await? {
            let Some(blob) = blob else { continue };
            let mut line = serde_json::to_vec(&blob).map_err(|error| file("write", to)(error.into()))?;
            line.push(b'\n');
            self.list.write_all(&line).await.map_err(file("write", to))?;
            self.copied.blobs += 1;
            self.copied.bytes += blob.bytes;
            there.insert(blob.path);
        }
        Ok(there)
    }
}
