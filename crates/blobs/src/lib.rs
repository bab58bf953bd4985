//! Large values and logs, in a folder or a bucket: the one place that knows where what lies and how it is read, written and removed.

mod answers;
#[cfg(test)]
mod conformance;
mod doubts;
mod files;
mod hasty;
mod kept;
mod logs;
mod named;
mod open;
mod patience;
mod s3;
mod uploads;
mod values;

use std::{ops::Range, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, WriteMultipart, path::Path};
use qflow_model::ids::{Digest, RunId};

pub use answers::Answers;
pub use logs::Written;
pub use open::Unopened;
pub use patience::Patience;
pub use uploads::Uploading;

/// Where blobs are.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// `file`, `s3`, `memory`.
    kind: &'static str,
    /// Where they are files of this machine.
    folder: Option<PathBuf>,
    /// Where it is asked by who must not wait.
    haste: Option<Arc<hasty::Haste>>,
}

/// Bytes of a part of a multipart upload: what is held of it at once, a few times. S3 takes no smaller ones, and at most 10,000 of them.
const PART_BYTES: usize = 8 << 20;
/// Parts that are being written, or read, while the next ones come.
const PARTS: usize = 2;

/// A blob could not be had or kept.
#[derive(Debug, thiserror::Error)]
#[error("{doing} blob `{path}`: {}", innermost(.of))]
pub struct Error {
    doing: &'static str,
    path: String,
    // Not named as thiserror's source: its chain says the same again at every link.
    of: object_store::Error,
}

/// What a store said, without the links of the chain that say it again.
fn innermost(error: &object_store::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

impl Error {
    /// Whether it is not there.
    pub const fn is_absent(&self) -> bool {
        matches!(self.of, object_store::Error::NotFound { .. })
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(object_store::Error) -> Error {
    let path = path.to_string();
    move |of| Error { doing, path, of }
}

/// What a run has lies here, and leaves with it.
fn run_folder(run: RunId) -> Path {
    Path::from_iter(["runs".to_owned(), run.to_string()])
}

fn of_run(run: RunId, digest: Digest) -> Path {
    run_folder(run).join(digest.to_string())
}

impl Blobs {
    /// A whole blob.
    pub async fn read(&self, run: RunId, digest: Digest) -> Result<Bytes, Error> {
        self.get(&of_run(run, digest)).await
    }

    /// A range of a blob.
    pub async fn range(&self, run: RunId, digest: Digest, range: Range<u64>) -> Result<Bytes, Error> {
        let path = of_run(run, digest);
        self.store.get_range(&path, range).await.map_err(failed("read", &path))
    }

    /// Keeps content under its digest.
    pub async fn write(&self, run: RunId, digest: Digest, content: impl Into<Bytes>) -> Result<(), Error> {
        self.put(&of_run(run, digest), content.into()).await
    }

    /// Removes all that a run has, its logs too; what is not there is gone already.
    pub async fn forget_run(&self, run: RunId) -> Result<(), Error> {
        let folder = run_folder(run);
        let found = self.store.list(Some(&folder)).map_ok(|found| found.location).boxed();
        let mut removed = self.store.delete_stream(found);
        while let Some(one) = removed.next().await {
            there(one).map_err(failed("remove", &folder))?;
        }
        Ok(())
    }

    async fn get(&self, path: &Path) -> Result<Bytes, Error> {
        let read = async { self.store.get(path).await?.bytes().await };
        read.await.map_err(failed("read", path))
    }

    /// Writes an object, or nothing of it: in parts where one request would take long.
    async fn put(&self, path: &Path, content: Bytes) -> Result<(), Error> {
        let written = async {
            if content.len() <= PART_BYTES {
                self.store.put(path, PutPayload::from(content)).await?;
                return Ok(());
            }
            let mut parts = self.begin(path).await?;
            for at in (0..content.len()).step_by(PART_BYTES) {
                parts.wait_for_capacity(PARTS).await?;
                parts.put(content.slice(at..content.len().min(at + PART_BYTES)));
            }
            parts.finish().await.map(drop)
        };
        written.await.map_err(failed("write", path))
    }

    async fn begin(&self, path: &Path) -> Result<WriteMultipart, object_store::Error> {
        let parts = self.store.put_multipart(path).await?;
        Ok(WriteMultipart::new_with_chunk_size(parts, PART_BYTES))
    }

    async fn copy(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.in_time(self.store.copy(from, to)).await.map_err(failed("copy", from))
    }

    /// Removes an object; one that is not there is gone already.
    async fn remove(&self, path: &Path) -> Result<(), Error> {
        there(self.in_time(self.store.delete(path)).await).map_err(failed("remove", path))
    }
}

/// Takes it for done where there was nothing to do it to.
fn there<T>(done: Result<T, object_store::Error>) -> Result<(), object_store::Error> {
    match done {
        Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
