//! Blobs between their store and a folder, and whether they are what they should be.

use std::path::Path;

use qflow_blobs::Blobs;
use qflow_model::ids::Digest;

use super::{File, Result, file, manifest::measure};

/// Copies a blob into a folder; nothing where it is not there, or is not what its name says.
pub(super) async fn fetch(blobs: &Blobs, name: &str, to: &Path) -> Result<Option<File>> {
    let path = to.join(name);
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(file("make", folder))?;
    }
    if !blobs.copy_out(name, &path).await? {
        return Ok(None);
    }
    let (bytes, sha256) = measure(&path).await?;
    let named: Option<Digest> = name.rsplit('/').next().and_then(|name| name.parse().ok());
    if named.is_some_and(|named| named != sha256) {
        tokio::fs::remove_file(&path).await.map_err(file("remove", &path))?;
        return Ok(None);
    }
    Ok(Some(File { path: name.to_owned(), bytes, sha256 }))
}
