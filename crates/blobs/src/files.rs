//! Blobs from and to files of this machine, in flat memory whatever their size.

use std::{path::Path as FilePath, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use object_store::{ObjectStoreExt as _, path::Path};
use qflow_model::ids::{Digest, RunId};
use tokio::{
    fs::{self, File},
    io::{AsyncReadExt as _, AsyncWriteExt as _},
};

use crate::{Blobs, Error, PART_BYTES, PARTS, failed, of_run};

/// Of a blob that is laid out for a container: readable by its user, for writing by nobody.
const LAID_OUT: u32 = 0o444;

pub(crate) fn on_disk(source: std::io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "file", source: source.into() }
}

fn mode() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(LAID_OUT)
}

/// Bytes that are read of a folder's file at once.
const FOLDER_BYTES: usize = 1 << 20;

impl Blobs {
    /// Makes a file on this machine a blob. Where blobs are files too it is moved, at once if both are on one file system; to a bucket
    /// it goes part by part, and stays.
    pub async fn take_in(&self, run: RunId, digest: Digest, file: &FilePath) -> Result<(), Error> {
        let path = of_run(run, digest);
        let taken = match &self.folder {
            Some(folder) => moved(file, &folder.join(path.as_ref())).await.map_err(on_disk),
            None => self.send(file, &path).await,
        };
        taken.map_err(failed("write", &path))
    }

    pub(crate) async fn send(&self, file: &FilePath, path: &Path) -> Result<(), object_store::Error> {
        let mut file = File::open(file).await.map_err(on_disk)?;
        let mut parts = self.begin(path).await?;
        let sent = async {
            loop {
                parts.wait_for_capacity(PARTS).await?;
                let mut part = Vec::with_capacity(PART_BYTES);
                let read = (&mut file).take(PART_BYTES as u64).read_to_end(&mut part).await;
                if read.map_err(on_disk)? == 0 {
                    return Ok(());
                }
                parts.put(part.into());
            }
        };
        match sent.await {
            Ok(()) => parts.finish().await.map(drop),
            Err(error) => {
                // What cannot be dropped now is dropped by the bucket's own rules.
                parts.abort().await.ok();
                Err(error)
            }
        }
    }

    /// Lays a blob out as a file that is not to be written to. Where `shared` says that nobody can, and blobs are files of this machine,
    /// it is the blob itself by another name, which takes no time and no space; else a copy, made piece by piece.
    pub async fn lay_out(&self, run: RunId, digest: Digest, to: &FilePath, shared: bool) -> Result<(), Error> {
        let path = of_run(run, digest);
        if shared && let Some(folder) = &self.folder {
            let from = folder.join(path.as_ref());
            if fs::set_permissions(&from, mode()).await.is_ok() && fs::hard_link(&from, to).await.is_ok() {
                return Ok(());
            }
        }
        self.fetch(&path, to).await.map_err(failed("lay out", &path))
    }

    /// A blob of so many bytes, piece by piece.
    pub fn pieces(&self, run: RunId, digest: Digest, size: u64) -> BoxStream<'static, Result<Bytes, Error>> {
        let path = of_run(run, digest);
        let pieces = self.in_pieces(&path, size);
        pieces.map_err(move |source| failed("read", &path)(source)).boxed()
    }

    /// Each a request of its own: none takes long, and one that breaks off is tried again by itself.
    fn in_pieces(&self, path: &Path, size: u64) -> BoxStream<'static, Result<Bytes, object_store::Error>> {
        // A folder answers at once: what is held of it is small.
        let bytes = if self.folder.is_some() { FOLDER_BYTES } else { PART_BYTES };
        let ranges = (0..size).step_by(bytes).map(move |at| at..size.min(at + bytes as u64));
        let (store, path) = (Arc::clone(&self.store), path.clone());
        let read = move |range| {
            let (store, path) = (Arc::clone(&store), path.clone());
            async move { store.get_range(&path, range).await }
        };
        stream::iter(ranges).map(read).buffered(PARTS).boxed()
    }

    pub(crate) async fn fetch(&self, path: &Path, to: &FilePath) -> Result<(), object_store::Error> {
        let size = self.store.head(path).await?.size;
        let mut pieces = self.in_pieces(path, size);
        let mut file = File::create(to).await.map_err(on_disk)?;
        while let Some(piece) = pieces.try_next().await? {
            file.write_all(&piece).await.map_err(on_disk)?;
        }
        file.flush().await.map_err(on_disk)?;
        file.set_permissions(mode()).await.map_err(on_disk)
    }
}

async fn moved(file: &FilePath, to: &FilePath) -> std::io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).await?;
    }
    match fs::rename(file, to).await {
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
            // Whole or not at all, as with any other blob.
            let beside = to.with_extension("new");
            fs::copy(file, &beside).await?;
            fs::rename(&beside, to).await?;
            fs::remove_file(file).await
        }
        done => done,
    }
}
