//! Large values: read whole or by range, written under their run.

use std::{
    ops::Range,
    path::{Path as FilePath, PathBuf},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use qflow_model::ids::{Digest, RunId};

use crate::unpack;

/// Where blobs are.
#[derive(Debug)]
pub struct Blobs {
    store: Box<dyn ObjectStore>,
    /// Where they are files of this machine.
    folder: PathBuf,
}

/// Of a blob that is laid out for a container: readable by its user, for writing by nobody.
const LAID_OUT: u32 = 0o444;

/// A blob could not be had or kept.
#[derive(Debug, thiserror::Error)]
#[error("{doing} blob {path}: {source}")]
pub struct Error {
    doing: &'static str,
    path: String,
    source: object_store::Error,
}

fn generic(doing: &'static str, path: &FilePath, source: std::io::Error) -> Error {
    let source = object_store::Error::Generic { store: "file", source: source.into() };
    Error { doing, path: path.display().to_string(), source }
}

impl Blobs {
    /// The store at `file://FOLDER`.
    pub fn open(url: &str) -> anyhow::Result<Self> {
        let folder =
            url.strip_prefix("file://").ok_or_else(|| anyhow::anyhow!("QFLOW_BLOBS_URL `{url}` is not file://…"))?;
        std::fs::create_dir_all(folder)?;
        let store = object_store::local::LocalFileSystem::new_with_prefix(folder)?;
        Ok(Self { store: Box::new(store), folder: folder.into() })
    }

    fn file(&self, run: RunId, digest: Digest) -> PathBuf {
        self.folder.join("runs").join(run.to_string()).join(digest.to_string())
    }

    /// Makes a file on this machine a blob; it is moved where both are on one file system.
    pub async fn take_in(&self, run: RunId, digest: Digest, file: &FilePath) -> Result<(), Error> {
        let to = self.file(run, digest);
        let moved = async {
            if let Some(parent) = to.parent() {
                tokio::fs::create_dir_all(parent).await?;
            }
            match tokio::fs::rename(file, &to).await {
                Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
                    // Whole or not at all, as with any other blob.
                    let beside = to.with_extension("new");
                    tokio::fs::copy(file, &beside).await?;
                    tokio::fs::rename(&beside, &to).await?;
                    tokio::fs::remove_file(file).await
                }
                done => done,
            }
        };
        moved.await.map_err(|source| generic("write", &to, source))
    }

    /// Lays a blob out as a file that is not to be written to. Where `shared` says that nobody can, it is the blob itself by another
    /// name, which takes no time and no space; else a copy, made piece by piece.
    pub async fn lay_out(&self, run: RunId, digest: Digest, to: &FilePath, shared: bool) -> Result<(), Error> {
        let from = self.file(run, digest);
        let mode = || std::os::unix::fs::PermissionsExt::from_mode(LAID_OUT);
        if shared
            && tokio::fs::set_permissions(&from, mode()).await.is_ok()
            && tokio::fs::hard_link(&from, to).await.is_ok()
        {
            return Ok(());
        }
        let path = Self::of(run, digest);
        let failed = |source| Error { doing: "read", path: path.to_string(), source };
        let mut pieces = self.store.get(&path).await.map_err(failed)?.into_stream();
        let mut file = tokio::fs::File::create(to).await.map_err(|source| generic("lay out", to, source))?;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(failed)?;
            let written = tokio::io::AsyncWriteExt::write_all(&mut file, &piece).await;
            written.map_err(|source| generic("lay out", to, source))?;
        }
        let whole = async {
            tokio::io::AsyncWriteExt::flush(&mut file).await?;
            file.set_permissions(mode()).await
        };
        whole.await.map_err(|source| generic("lay out", to, source))
    }

    /// Unpacks a blob that is the archive of a folder.
    pub async fn unpack(&self, run: RunId, digest: Digest, to: &FilePath) -> Result<(), Error> {
        let beside = to.with_extension("tar");
        self.lay_out(run, digest, &beside, true).await?;
        let (archive, folder) = (beside.clone(), to.to_owned());
        let unpacked = tokio::task::spawn_blocking(move || {
            unpack::folder(std::fs::File::open(archive)?, &folder, unpack::READ_ONLY)
        })
        .await;
        // What stays goes with the folder it is in.
        tokio::fs::remove_file(&beside).await.ok();
        let unpacked = unpacked.unwrap_or_else(|_| Err(std::io::Error::other("unpacking ended early")));
        unpacked.map_err(|source| generic("unpack", to, source))
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
