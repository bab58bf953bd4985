//! What attempts wrote, once they are over: one object each, `runs/{run}/logs/{node}/{attempt}`, zstd.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::{Path, PathPart};
use qflow_model::ids::{Digest, RunId};

use crate::{Blobs, Error, failed, run_folder};

/// Bytes of a node's name in a path: a file's name ends at 255.
const NAME_BYTES: usize = 200;

/// Which attempts of a run have written: their numbers, by what stands for the node in their paths.
#[derive(Debug, Default)]
pub struct Written(BTreeMap<String, BTreeSet<u32>>);

impl Written {
    /// Whether this one has.
    pub fn has(&self, node_id: &str, attempt: u32) -> bool {
        self.0.get(PathPart::from(segment(node_id)).as_ref()).is_some_and(|attempts| attempts.contains(&attempt))
    }

    /// Those of a node, in their order.
    pub fn of(&self, node_id: &str) -> impl Iterator<Item = u32> {
        self.0.get(PathPart::from(segment(node_id)).as_ref()).into_iter().flatten().copied()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn folder(run: RunId) -> Path {
    run_folder(run).join("logs")
}

/// A node's id as one segment. One that is too long for a file's name is told apart by its digest.
fn segment(node_id: &str) -> String {
    if PathPart::from(node_id).as_ref().len() <= NAME_BYTES {
        return node_id.to_owned();
    }
    let kept: String = node_id.chars().filter(char::is_ascii_alphanumeric).take(NAME_BYTES / 2).collect();
    format!("{kept}-{}", Digest::of(node_id.as_bytes()))
}

impl Blobs {
    /// Where an attempt's lines go.
    pub fn log_path(run: RunId, node_id: &str, attempt: u32) -> Path {
        folder(run).join(segment(node_id)).join(attempt.to_string())
    }

    /// Keeps an attempt's lines; the digest of the object.
    pub async fn write_log(&self, run: RunId, node_id: &str, attempt: u32, lines: &[u8]) -> Result<Digest, Error> {
        let path = Self::log_path(run, node_id, attempt);
        let packed = zstd::encode_all(lines, zstd::DEFAULT_COMPRESSION_LEVEL).map_err(unpackable);
        let packed = packed.map_err(failed("pack", &path))?;
        let digest = Digest::of(&packed);
        self.put(&path, packed.into()).await?;
        Ok(digest)
    }

    /// An attempt's lines.
    pub async fn read_log(&self, run: RunId, node_id: &str, attempt: u32) -> Result<Bytes, Error> {
        let path = Self::log_path(run, node_id, attempt);
        let packed = self.get(&path).await?;
        let lines = zstd::decode_all(&*packed).map_err(unpackable).map_err(failed("unpack", &path))?;
        Ok(lines.into())
    }

    /// Which attempts of a run have written.
    pub async fn logs(&self, run: RunId) -> Result<Written, Error> {
        let folder = folder(run);
        let mut found = self.store.list(Some(&folder));
        let mut written = Written::default();
        while let Some(one) = found.try_next().await.map_err(failed("list", &folder))? {
            let mut parts = one.location.prefix_match(&folder).into_iter().flatten();
            let (node, attempt) = (parts.next(), parts.next().and_then(|attempt| attempt.as_ref().parse().ok()));
            if let (Some(node), Some(attempt)) = (node, attempt) {
                written.0.entry(node.as_ref().to_owned()).or_default().insert(attempt);
            }
        }
        Ok(written)
    }
}

fn unpackable(source: std::io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "zstd", source: source.into() }
}
