//! Back-up and restore: the database and the blobs that it names, as one point. A back-up is a folder, whole once it has its name.

mod copy;
mod create;
mod manifest;
mod restore;

use std::path::{Path, PathBuf};

use qflow_blobs::Blobs;
use qflow_model::ids::{Digest, RunId};

pub use create::create;
pub use manifest::{File, Manifest};
pub use restore::{restore, verify};

use crate::record::{self, backup::Database};

/// The form of what [`create`] writes and [`restore`] reads.
pub const FORMAT: u32 = 1;
/// What the whole is told by; written last.
const MANIFEST: &str = "manifest.json";
/// The manifest's digest, as `sha256sum` has it.
const SUMS: &str = "SHA256SUMS";
/// Where rows are.
const ROWS: &str = "database";
/// Where blobs are, under the names that they have in their store.
const BLOBS: &str = "blobs";
/// What blobs there are, a line each.
const LIST: &str = "blobs.jsonl";

/// What is backed up, or restored into.
pub struct System {
    /// Where runs are kept.
    pub database: Database,
    /// Where their large values are.
    pub blobs: Blobs,
}

/// How far the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Rows are written or read.
    Rows,
    /// So many runs of all, with so many bytes of blobs.
    Runs {
        /// Runs.
        done: u64,
        /// Of so many.
        all: u64,
        /// Bytes.
        bytes: u64,
    },
    /// So many bytes of all were checked.
    Checked {
        /// Bytes.
        done: u64,
        /// Of so many.
        all: u64,
    },
    /// So many bytes of blobs of all were put in their place.
    Restored {
        /// Bytes.
        done: u64,
        /// Of so many.
        all: u64,
    },
}

/// Why there is no back-up, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder has something.
    #[error("`{}` is there already: name a folder that is not", .0.display())]
    Exists(PathBuf),
    /// No manifest.
    #[error(
        "`{}` is no whole back-up: it has no {MANIFEST}, which is written last; take one that is whole", .0.display()
    )]
    NotWhole(PathBuf),
    /// Made by a newer version.
    #[error(
        "the back-up has format {found}, this program knows {FORMAT}: restore it with the version that made it ({by}), or a newer one"
    )]
    Format {
        /// Its format.
        found: u32,
        /// Who made it.
        by: String,
    },
    /// Of the other kind of database.
    #[error("the back-up is of {found}, QFLOW_DATABASE_URL leads to {wanted}")]
    Kind {
        /// Its kind.
        found: String,
        /// Where it is to go.
        wanted: &'static str,
    },
    /// A file is not what was written.
    #[error("the back-up is damaged: `{file}` {why}")]
    Damaged {
        /// The file.
        file: String,
        /// How that is seen.
        why: String,
    },
    /// The store lacks what the database names.
    #[error(
        "blobs that the database names are missing or damaged in the blob store: {count}, the first is `{first}`; look whether QFLOW_BLOBS_URL is the one that the services have, mend them, or go on without them (--allow-missing)"
    )]
    Missing {
        /// How many.
        count: usize,
        /// One of them.
        first: String,
    },
    /// The blob store has runs.
    #[error(
        "the blob store has runs already: restore into an empty one, or say --replace, which removes what is there"
    )]
    BlobsNotEmpty,
    /// The database.
    #[error(transparent)]
    Record(#[from] record::Error),
    /// A blob.
    #[error(transparent)]
    Blob(#[from] qflow_blobs::Error),
    /// A file.
    #[error("{doing} `{}`: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// What comes back.
pub type Result<T> = std::result::Result<T, Error>;

fn file(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File { doing, path, source }
}

fn damaged(file: impl Into<String>, why: impl Into<String>) -> Error {
    Error::Damaged { file: file.into(), why: why.into() }
}

/// A run's blob, as its store names it.
fn named(run: RunId, digest: Digest) -> String {
    format!("runs/{run}/{digest}")
}

/// A kept output's blob.
fn kept(digest: Digest) -> String {
    format!("cache/{digest}")
}
