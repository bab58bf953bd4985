//! Opens the store that `QFLOW_BLOBS_URL` names, and finds out at once whether it can be used.

use std::{path::Path as FilePath, sync::Arc};

use object_store::{
    ObjectStore, ObjectStoreExt as _, PutPayload, local::LocalFileSystem, memory::InMemory, path::Path,
};

use crate::{Blobs, innermost, s3};

/// The start of an object's name that is written and removed to see whether that can be done.
const PROBE: &str = "probe";

/// Why a store was not opened, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Unopened {
    /// An address of another kind.
    #[error("QFLOW_BLOBS_URL `{0}` is neither file:///FOLDER nor s3://BUCKET[/PREFIX]")]
    Scheme(String),
    /// A folder that cannot be had or used.
    #[error("QFLOW_BLOBS_URL: the folder `{folder}` cannot be {what}")]
    Folder {
        /// Which.
        folder: String,
        /// What was tried with it.
        what: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A setting that does not read.
    #[error("{name}: {why}")]
    Setting {
        /// Its name in the environment.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The store itself refuses.
    #[error("QFLOW_BLOBS_URL `{url}`: {remedy}; it said: {said}")]
    Unusable {
        /// As it was given.
        url: String,
        /// What to look at.
        remedy: String,
        /// In its own words.
        said: String,
    },
}

impl Blobs {
    /// The store at `file://FOLDER`, or at `s3://BUCKET[/PREFIX]` with what the environment's `AWS_…` say, trusting the certificates in
    /// the file `trust` where there is one. A probe is written and removed: what cannot be used is told here, not by the first run.
    pub async fn open(url: &str, trust: Option<&FilePath>) -> Result<Self, Unopened> {
        if let Some(folder) = url.strip_prefix("file://").filter(|folder| folder.starts_with('/')) {
            let blobs = Self::in_folder(FilePath::new(folder))?;
            writable(FilePath::new(folder)).map_err(|source| Unopened::Folder {
                folder: folder.to_owned(),
                what: "written to",
                source,
            })?;
            return Ok(blobs);
        }
        let Some(place) = url.strip_prefix("s3://").filter(|place| !place.is_empty()) else {
            return Err(Unopened::Scheme(url.to_owned()));
        };
        Self::open_with(&s3::Settings::read(std::env::vars())?, place, trust).await
    }

    /// The store at `BUCKET[/PREFIX]` by these settings.
    pub(crate) async fn open_with(
        settings: &s3::Settings,
        place: &str,
        trust: Option<&FilePath>,
    ) -> Result<Self, Unopened> {
        let blobs = Self { store: settings.store(place, trust)?, kind: "s3", folder: None, haste: None };
        blobs.probe().await.map_err(|source| Unopened::Unusable {
            url: format!("s3://{place}"),
            remedy: settings.remedy(place, &source),
            said: innermost(&source),
        })?;
        Ok(blobs)
    }

    /// The store in a folder of this machine, made where it is not there.
    pub fn in_folder(folder: &FilePath) -> Result<Self, Unopened> {
        let failed = |source| Unopened::Folder { folder: folder.display().to_string(), what: "made", source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| failed(std::io::Error::other(error)))?;
        // A run's folder goes with what was in it.
        let store: Arc<dyn ObjectStore> = Arc::new(store.with_automatic_cleanup(true));
        Ok(Self { store, kind: "file", folder: Some(folder.to_owned()), haste: None })
    }

    /// None outlives the process: for tests and throw-away servers.
    pub fn in_memory() -> Self {
        Self { store: Arc::new(InMemory::new()), kind: "memory", folder: None, haste: None }
    }

    /// Whether objects can be written, read and removed.
    async fn probe(&self) -> Result<(), object_store::Error> {
        let path = Path::from(probe());
        self.store.put(&path, PutPayload::from_static(PROBE.as_bytes())).await?;
        self.store.head(&path).await?;
        self.store.delete(&path).await
    }
}

/// A name of its own, whoever else begins now: in containers every service is process 1.
fn probe() -> String {
    format!("{PROBE}-{}", uuid::Uuid::now_v7())
}

/// Writes a file and removes it. Not through the store, which goes on trying where a folder cannot have the file that it has just made room for.
pub(crate) fn writable(folder: &FilePath) -> std::io::Result<()> {
    let file = folder.join(probe());
    std::fs::write(&file, PROBE)?;
    std::fs::remove_file(&file)
}
