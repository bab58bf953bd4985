//! Blobs between their store and a folder, piece by piece.

use std::path::Path as FilePath;

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStoreExt as _, PutPayload, WriteMultipart, path::Path};
use qflow_model::ids::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{File, Result, file, manifest::TOGETHER};
use crate::blobs::{Blobs, failed};

/// Up to so many bytes a blob is written at once.
const AT_ONCE: u64 = 8 << 20;
/// Parts of a large blob that are being written while the next ones come.
const PARTS: usize = 2;

/// The names of all blobs below a folder of the store.
pub(super) async fn list(blobs: &Blobs, folder: &str) -> Result<Vec<String>> {
    let folder = Path::from(folder);
    let found = blobs.objects().list(Some(&folder)).map_ok(|meta| meta.location.to_string()).try_collect().await;
    Ok(found.map_err(|source| failed("list", &folder, source))?)
}

/// Whether there is any blob below a folder of the store.
pub(super) async fn any(blobs: &Blobs, folder: &str) -> Result<bool> {
    let folder = Path::from(folder);
    let first = blobs.objects().list(Some(&folder)).next().await.transpose();
    Ok(first.map_err(|source| failed("list", &folder, source))?.is_some())
}

/// Copies a blob into a folder; nothing where it is not there, or is not what its name says.
pub(super) async fn fetch(blobs: &Blobs, name: &str, to: &FilePath) -> Result<Option<File>> {
    let from = Path::from(name);
    let got = match blobs.objects().get(&from).await {
        Ok(got) => got,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(source) => return Err(failed("read", &from, source).into()),
    };
    let path = to.join(name);
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(file("make", folder))?;
    }
    let mut out = tokio::fs::File::create(&path).await.map_err(file("write", &path))?;
    let (mut bytes, mut digest, mut pieces) = (0, Digest::pieces(), got.into_stream());
    while let Some(piece) = pieces.try_next().await.map_err(|source| failed("read", &from, source))? {
        bytes += piece.len() as u64;
        digest.update(&piece);
        out.write_all(&piece).await.map_err(file("write", &path))?;
    }
    out.flush().await.map_err(file("write", &path))?;
    let sha256 = digest.finish();
    let named: Option<Digest> = from.filename().and_then(|name| name.parse().ok());
    if named.is_some_and(|named| named != sha256) {
        tokio::fs::remove_file(&path).await.map_err(file("remove", &path))?;
        return Ok(None);
    }
    Ok(Some(File { path: name.to_owned(), bytes, sha256 }))
}

/// Puts a blob of a folder into the store.
pub(super) async fn put(blobs: &Blobs, folder: &FilePath, blob: &File) -> Result<()> {
    let (path, to) = (folder.join(&blob.path), Path::from(blob.path.as_str()));
    let wrong = |source| failed("write", &to, source);
    if blob.bytes <= AT_ONCE {
        let content = tokio::fs::read(&path).await.map_err(file("read", &path))?;
        blobs.objects().put(&to, PutPayload::from(content)).await.map_err(wrong)?;
        return Ok(());
    }
    let mut from = tokio::fs::File::open(&path).await.map_err(file("read", &path))?;
    let mut parts = WriteMultipart::new_with_chunk_size(blobs.objects().put_multipart(&to).await.map_err(wrong)?, AT_ONCE as usize);
    loop {
        let mut piece = Vec::with_capacity(TOGETHER);
        if (&mut from).take(TOGETHER as u64).read_to_end(&mut piece).await.map_err(file("read", &path))? == 0 {
            break;
        }
        parts.wait_for_capacity(PARTS).await.map_err(wrong)?;
        parts.put(piece.into());
    }
    parts.finish().await.map_err(wrong)?;
    Ok(())
}

/// Removes what is below a folder of the store and not in a back-up's folder.
pub(super) async fn prune(blobs: &Blobs, below: &str, kept: &FilePath) -> Result<()> {
    let folder = Path::from(below);
    let mut found = blobs.objects().list(Some(&folder));
    while let Some(meta) = found.try_next().await.map_err(|source| failed("list", &folder, source))? {
        if kept.join(meta.location.as_ref()).exists() {
            continue;
        }
        match blobs.objects().delete(&meta.location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(source) => return Err(failed("remove", &meta.location, source).into()),
        }
    }
    Ok(())
}
