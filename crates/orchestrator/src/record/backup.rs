//! Back-up: a store's rows as they stood at one moment while it goes on, and rows that are put into an empty one.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use qflow_model::{
    ids::{Digest, RunId, Timestamp},
    progress::Ahead,
};
use qflow_service::Clock;
use qflow_telemetry::Telemetry;
use serde::{Deserialize, Serialize};

use super::{
    Error, Postgres, Result, Settings, Sqlite, Store, postgres, sqlite,
    traced::{Place, Traced},
};

/// Rows that a newer version wrote.
pub(super) fn newer(found: i64, known: i64) -> Error {
    Error::Schema { what: "the back-up".to_owned(), found, known }
}

/// Refuses rows of a kind of database that a newer version wrote.
pub(crate) fn readable(kind: &str, schema: i64) -> Result<()> {
    let known = if kind == "sqlite" { sqlite::SCHEMA } else { postgres::known() };
    if schema > known { Err(newer(schema, known)) } else { Ok(()) }
}

/// A file of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Its name in the folder.
    pub file: String,
    /// Which columns its rows have, in their order; none where the file is a database of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// How many rows it has; none where the file is a database of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// The rows of a store in files of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The schema's version.
    pub schema: i64,
    /// How far the numbers of what comes of them are ahead of theirs.
    pub ahead: Ahead,
    /// The files.
    pub pieces: Vec<Piece>,
    /// Runs whose values were removed before they could be copied: they had ended long before, and are left out.
    pub gone: Vec<RunId>,
    /// Blobs of kept outputs that were removed so: nothing is reused from them.
    pub gone_kept: Vec<Digest>,
}

/// A store's rows as they stood at one moment.
#[async_trait]
pub trait Snapshot: Send {
    /// The schema's version.
    fn schema(&self) -> i64;
    /// The moment, by the store's clock.
    fn at(&self) -> Timestamp;
    /// Writes all rows to files of a folder.
    async fn write(&mut self, folder: &Path) -> Result<Vec<Piece>>;
    /// The next runs in the order of their ids, at most so many.
    async fn runs(&mut self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>>;
    /// The blobs that a run's rows name.
    async fn named(&mut self, run: RunId) -> Result<BTreeSet<Digest>>;
    /// The next blobs that kept outputs own, at most so many.
    async fn kept(&mut self, after: Option<Digest>, limit: u32) -> Result<Vec<Digest>>;
    /// Whether a run is still there now.
    async fn is_there(&mut self, run: RunId) -> Result<bool>;
}

/// Where runs are kept, before it is opened.
#[derive(Clone, Debug)]
pub enum Database {
    /// In a file.
    Sqlite(PathBuf),
    /// In a database that replicas share.
    Postgres(Settings),
}

impl Database {
    /// `sqlite`, `postgres`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// Opens it to work with; metrics tell of its connections, and spans of its calls where somebody takes them.
    pub async fn open(&self, clock: Arc<dyn Clock>, telemetry: &Telemetry) -> Result<Arc<dyn Store>> {
        let (store, place): (Arc<dyn Store>, Place) = match self {
            Self::Sqlite(path) => {
                let namespace = path.display().to_string();
                (Arc::new(Sqlite::open(path, clock)?), Place { system: "sqlite", namespace, server: None })
            }
            Self::Postgres(settings) => {
                let store = Postgres::open(settings).await?.measured(telemetry);
                let place = store.place();
                (Arc::new(store), place)
            }
        };
        Ok(if telemetry.takes_spans() { Arc::new(Traced::new(store, telemetry.clone(), place)) } else { store })
    }

    /// Its rows as they stand now; `scratch` is an empty folder that outlives the snapshot.
    pub async fn snapshot(&self, scratch: &Path, clock: &dyn Clock) -> Result<Box<dyn Snapshot>> {
        Ok(match self {
            Self::Sqlite(path) => Box::new(sqlite::Snapshot::take(path, scratch, clock)?),
            Self::Postgres(settings) => Box::new(postgres::Snapshot::take(settings).await?),
        })
    }

    /// Refuses one that is in use, one that cannot take rows of this schema, and one that has runs where these are not to be replaced;
    /// makes nothing.
    pub async fn vacant(&self, schema: i64, replace: bool) -> Result<()> {
        match self {
            Self::Sqlite(path) => sqlite::vacant(path, schema, replace).map(drop),
            Self::Postgres(settings) => postgres::vacant(settings, schema, replace).await,
        }
    }

    /// Puts rows in, all of them or none: no replica and no runner of an earlier system can write to what they make.
    pub async fn load(&self, folder: &Path, rows: &Rows, replace: bool) -> Result<()> {
        match self {
            Self::Sqlite(path) => sqlite::load_backup(path, folder, rows, replace),
            Self::Postgres(settings) => postgres::load_backup(settings, folder, rows, replace).await,
        }
    }
}
