//! What a back-up says of itself: `manifest.json`, and a line for each blob in `blobs.jsonl`.

use std::path::Path;

use qflow_model::ids::{Digest, RunId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;

use super::{Error, FORMAT, MANIFEST, Result, SUMS, damaged, file};
use crate::record::backup::{Piece, Rows};

/// Bytes that are read of a file at once.
pub(super) const TOGETHER: usize = 1 << 20;

/// A back-up, as it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of all this.
    pub format: u32,
    /// The version of Qflow that made it.
    pub qflow: String,
    /// The moment, in microseconds since 1970, by the database's clock.
    pub taken_at_us: Timestamp,
    /// `sqlite` or `postgres`.
    pub database: String,
    /// The version of its schema.
    pub schema: i64,
    /// Files of rows.
    pub rows: Vec<RowsFile>,
    /// Runs that it has.
    pub runs: u64,
    /// Blobs that it has.
    pub blobs: u64,
    /// Bytes of them.
    pub blob_bytes: u64,
    /// The file that lists them.
    pub list: File,
    /// Runs that were removed by retention while the back-up was made: they are not restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed_runs: Vec<RunId>,
    /// Outputs that were no longer kept for reuse when they were to be copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed_outputs: Vec<Digest>,
    /// What the database names and the blob store did not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// A file of rows, with what tells whether it is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsFile {
    /// What is in it.
    #[serde(flatten)]
    pub piece: Piece,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 of them.
    pub sha256: Digest,
}

/// A file, with what tells whether it is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name in the folder; of a blob, its name in the store.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 of them.
    pub sha256: Digest,
}

impl Manifest {
    /// A back-up's manifest; refuses what is none of ours to read.
    pub fn read(folder: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Only {
            format: u32,
            #[serde(default)]
            qflow: String,
        }
        let path = folder.join(MANIFEST);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NotWhole(folder.to_owned()));
            }
            Err(error) => return Err(file("read", &path)(error)),
        };
        let wrong = |error: serde_json::Error| damaged(MANIFEST, format!("does not read: {error}"));
        let only: Only = serde_json::from_slice(&text).map_err(wrong)?;
        if only.format != FORMAT {
            return Err(Error::Format { found: only.format, by: only.qflow });
        }
        let sums = std::fs::read_to_string(folder.join(SUMS)).unwrap_or_default();
        if sums != sum(&text) {
            return Err(damaged(MANIFEST, format!("is not what `{SUMS}` says of it")));
        }
        serde_json::from_slice(&text).map_err(wrong)
    }

    /// Writes it, and what tells whether it is whole.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| file("write", folder)(error.into()))?;
        std::fs::write(folder.join(SUMS), sum(&text)).map_err(file("write", folder))?;
        std::fs::write(folder.join(MANIFEST), text).map_err(file("write", folder))
    }

    /// What is to be put into a database.
    pub fn load(&self) -> Rows {
        Rows {
            schema: self.schema,
            pieces: self.rows.iter().map(|file| file.piece.clone()).collect(),
            gone: self.removed_runs.clone(),
            gone_kept: self.removed_outputs.clone(),
        }
    }

    /// Bytes of all that it has.
    pub fn bytes(&self) -> u64 {
        self.rows.iter().map(|file| file.bytes).sum::<u64>() + self.list.bytes + self.blob_bytes
    }
}

/// The manifest's line, as `sha256sum` writes and checks it.
fn sum(manifest: &[u8]) -> String {
    format!("{}  {MANIFEST}\n", Digest::of(manifest))
}

/// The size and digest of a file, read piece by piece.
pub(super) async fn measure(path: &Path) -> Result<(u64, Digest)> {
    let mut from = tokio::fs::File::open(path).await.map_err(file("read", path))?;
    let (mut buffer, mut bytes, mut digest) = (vec![0; TOGETHER], 0, Digest::pieces());
    loop {
        let read = from.read(&mut buffer).await.map_err(file("read", path))?;
        if read == 0 {
            return Ok((bytes, digest.finish()));
        }
        bytes += read as u64;
        digest.update(&buffer[..read]);
    }
}

/// Refuses a file that is not what was written.
pub(super) async fn check(folder: &Path, name: &str, bytes: u64, sha256: Digest) -> Result<()> {
    let path = folder.join(name);
    if !path.is_file() {
        return Err(damaged(name, "is missing"));
    }
    let (found, digest) = measure(&path).await?;
    if found != bytes {
        return Err(damaged(name, format!("has {found} bytes, {bytes} were written")));
    }
    if digest == sha256 { Ok(()) } else { Err(damaged(name, "has another digest than what was written")) }
}
