//! Large values: read whole or by range, written under their run.

use std::ops::Range;

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use qflow_model::ids::{Digest, RunId};

/// Where blobs are.
#[derive(Debug)]
pub struct Blobs {
    store: Box<dyn ObjectStore>,
}

/// A blob could not be had or kept.
#[derive(Debug, thiserror::Error)]
#[error("{doing} blob {path}: {source}")]
pub struct Error {
    doing: &'static str,
    path: String,
    source: object_store::Error,
}

impl Blobs {
    /// The store at `file://FOLDER`.
    pub fn open(url: &str) -> anyhow::Result<Self> {
        let folder =
            url.strip_prefix("file://").ok_or_else(|| anyhow::anyhow!("QFLOW_BLOBS_URL `{url}` is not file://…"))?;
        std::fs::create_dir_all(folder)?;
        let store = object_store::local::LocalFileSystem::new_with_prefix(folder)?;
        Ok(Self { store: Box::new(store) })
    }

    fn of(run: RunId, digest: Digest) -> Path {
        Path::from_iter(["runs".to_owned(), run.to_string(), digest.to_string()])
    }

    /// Where an attempt's lines go: `runs/{run}/logs/{node}/{attempt}`, the node's id as one segment.
    pub fn log_path(run: RunId, node_id: &str, attempt: u32) -> Path {
        Path::from_iter([
            "runs".to_owned(),
            run.to_string(),
            "logs".to_owned(),
            node_id.to_owned(),
            attempt.to_string(),
        ])
    }

    /// A whole blob.
    pub async fn read(&self, run: RunId, digest: Digest) -> Result<Bytes, Error> {
        let path = Self::of(run, digest);
        let get = async { self.store.get(&path).await?.bytes().await };
        get.await.map_err(|source| Error { doing: "read", path: path.to_string(), source })
    }

    /// A range of a blob.
    pub async fn range(&self, run: RunId, digest: Digest, range: Range<u64>) -> Result<Bytes, Error> {
        let path = Self::of(run, digest);
        self.store.get_range(&path, range).await.map_err(|source| Error {
            doing: "read",
            path: path.to_string(),
            source,
        })
    }

    /// Keeps content under its digest.
    pub async fn write(&self, run: RunId, digest: Digest, content: Bytes) -> Result<(), Error> {
        self.put(Self::of(run, digest), content).await
    }

    /// Keeps an attempt's lines.
    pub async fn write_log(&self, run: RunId, node_id: &str, attempt: u32, content: Bytes) -> Result<(), Error> {
        self.put(Self::log_path(run, node_id, attempt), content).await
    }

    async fn put(&self, path: Path, content: Bytes) -> Result<(), Error> {
        match self.store.put(&path, content.into()).await {
            Ok(_) => Ok(()),
            Err(source) => Err(Error { doing: "write", path: path.to_string(), source }),
        }
    }
}
