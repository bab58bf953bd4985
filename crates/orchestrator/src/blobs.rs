//! Large values, by reference: written where a parameter or an attempt would be too large for its row or its message.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart, path::Path};
use qflow_model::{
    ids::{Digest, RunId, Timestamp},
    limits,
    value::ValueRef,
};

/// Where blobs are.
#[derive(Debug)]
pub struct Blobs(Box<dyn ObjectStore>);

/// Content on its way in, under a name of its own until its digest is known.
pub struct Uploading<'a> {
    blobs: &'a Blobs,
    tenant: String,
    path: Path,
    parts: WriteMultipart,
}

impl Uploading<'_> {
    /// Takes the next piece.
    pub async fn write(&mut self, piece: impl Into<Bytes>) -> Result<(), Error> {
        let waited = self.parts.wait_for_capacity(PARTS).await;
        waited.map_err(|source| failed("write", &self.path, source))?;
        self.parts.put(piece.into());
        Ok(())
    }

    /// Keeps all of it under its digest.
    pub async fn keep(self, digest: Digest) -> Result<(), Error> {
        let Self { blobs, tenant, path, parts } = self;
        parts.finish().await.map_err(|source| failed("write", &path, source))?;
        let renamed = blobs.0.rename(&path, &Blobs::upload(&tenant, &digest.to_string())).await;
        renamed.map_err(|source| failed("write", &path, source))
    }

    /// Drops what came so far.
    pub async fn abandon(self) {
        // What cannot be dropped now is forgotten with the uploads of its day.
        self.parts.abort().await.ok();
    }
}

pub(crate) fn failed(doing: &'static str, path: &Path, source: object_store::Error) -> Error {
    Error { doing, path: path.to_string(), source }
}

/// Microseconds after which an upload is forgotten that no run refers to.
const UPLOAD_US: i64 = 24 * 3600 * 1_000_000;
/// Bytes of a part of an upload: what is held of it at once, a few times.
const PART_BYTES: usize = 5 << 20;
/// Parts of an upload that are being written while the next ones come.
const PARTS: usize = 2;

/// A blob could not be had or kept.
#[derive(Debug, thiserror::Error)]
#[error("{doing} blob `{path}`: {source}")]
pub struct Error {
    doing: &'static str,
    path: String,
    #[source]
    source: object_store::Error,
}

impl Blobs {
    /// The store at `file://FOLDER`.
    pub fn open(url: &str) -> anyhow::Result<Self> {
        let folder = url
            .strip_prefix("file://")
            .ok_or_else(|| anyhow::anyhow!("QFLOW_BLOBS_URL `{url}` is not file://FOLDER"))?;
        std::fs::create_dir_all(folder)?;
        // A run's folder goes with what was in it.
        let folder = object_store::local::LocalFileSystem::new_with_prefix(folder)?.with_automatic_cleanup(true);
        Ok(Self(Box::new(folder)))
    }

    /// None outlives the process: for tests and throw-away servers.
    pub fn in_memory() -> Self {
        Self(Box::new(object_store::memory::InMemory::new()))
    }

    /// The store itself.
    pub(crate) fn objects(&self) -> &dyn ObjectStore {
        &*self.0
    }

    fn path(run: RunId, digest: Digest) -> Path {
        Path::from_iter(["runs".to_owned(), run.to_string(), digest.to_string()])
    }

    fn upload(tenant: &str, name: &str) -> Path {
        Path::from_iter(["uploads", tenant, name])
    }

    /// Begins to take in content of a tenant, under a name that no other has until its digest is known.
    pub async fn begin_upload(&self, tenant: &str, name: &str) -> Result<Uploading<'_>, Error> {
        let path = Self::upload(tenant, &format!("new-{name}"));
        let parts = self.0.put_multipart(&path).await.map_err(|source| failed("write", &path, source))?;
        let parts = WriteMultipart::new_with_chunk_size(parts, PART_BYTES);
        Ok(Uploading { blobs: self, tenant: tenant.to_owned(), path, parts })
    }

    /// Gives a run the content that a tenant uploaded; its size, or `None` where it is not there.
    pub async fn take_upload(&self, tenant: &str, run: RunId, digest: Digest) -> Result<Option<u64>, Error> {
        let (from, to) = (Self::upload(tenant, &digest.to_string()), Self::path(run, digest));
        let taken = async {
            let head = self.0.head(&from).await?;
            self.0.copy(&from, &to).await?;
            Ok(head.size)
        };
        match taken.await {
            Ok(size) => Ok(Some(size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed("read", &from, source)),
        }
    }

    /// Drops uploads of a tenant that are a day old.
    pub async fn forget_uploads(&self, tenant: &str, now: Timestamp) -> Result<(), Error> {
        let folder = Path::from_iter(["uploads", tenant]);
        let all: Result<Vec<_>, _> = self.0.list(Some(&folder)).try_collect().await;
        for found in all.map_err(|source| failed("list", &folder, source))? {
            if now.0 - found.last_modified.timestamp_micros() > UPLOAD_US {
                match self.0.delete(&found.location).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(source) => return Err(failed("forget", &found.location, source)),
                }
            }
        }
        Ok(())
    }

    /// A whole blob.
    pub async fn read(&self, run: RunId, digest: Digest) -> Result<Vec<u8>, Error> {
        let path = Self::path(run, digest);
        let read = async { self.0.get(&path).await?.bytes().await };
        let bytes = read.await.map_err(|source| Error { doing: "read", path: path.to_string(), source })?;
        Ok(bytes.into())
    }

    /// A range of a blob.
    pub async fn piece(&self, run: RunId, digest: Digest, range: std::ops::Range<u64>) -> Result<Bytes, Error> {
        let path = Self::path(run, digest);
        self.0.get_range(&path, range).await.map_err(|source| failed("read", &path, source))
    }

    /// Keeps content under its digest.
    pub async fn write(&self, run: RunId, digest: Digest, content: Vec<u8>) -> Result<(), Error> {
        let path = Self::path(run, digest);
        match self.0.put(&path, PutPayload::from(content)).await {
            Ok(_) => Ok(()),
            Err(source) => Err(Error { doing: "write", path: path.to_string(), source }),
        }
    }

    /// Removes all that a run has; what is not there is gone already.
    pub async fn forget_run(&self, run: RunId) -> Result<(), Error> {
        let folder = Path::from_iter(["runs".to_owned(), run.to_string()]);
        let all: Result<Vec<_>, _> = self.0.list(Some(&folder)).try_collect().await;
        for found in all.map_err(|source| failed("list", &folder, source))? {
            match self.0.delete(&found.location).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(failed("remove", &found.location, source)),
            }
        }
        Ok(())
    }

    /// Where the copies lie that kept outputs own: they outlive the run that made them.
    fn kept(digest: Digest) -> Path {
        Path::from_iter(["cache".to_owned(), digest.to_string()])
    }

    /// Copies a run's blobs to where kept outputs own them.
    pub async fn keep(&self, run: RunId, blobs: &[Digest]) -> Result<(), Error> {
        for digest in blobs {
            self.copy(&Self::path(run, *digest), &Self::kept(*digest)).await?;
        }
        Ok(())
    }

    /// Gives a run copies of blobs that kept outputs own.
    pub async fn reuse(&self, run: RunId, blobs: &[Digest]) -> Result<(), Error> {
        for digest in blobs {
            self.copy(&Self::kept(*digest), &Self::path(run, *digest)).await?;
        }
        Ok(())
    }

    /// Removes blobs that no kept output owns any more; one that is not there is gone already.
    pub async fn drop_kept(&self, blobs: &[Digest]) -> Result<(), Error> {
        for digest in blobs {
            let path = Self::kept(*digest);
            match self.0.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(Error { doing: "remove", path: path.to_string(), source }),
            }
        }
        Ok(())
    }

    async fn copy(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.0.copy(from, to).await.map_err(|source| Error { doing: "copy", path: from.to_string(), source })
    }

    /// The bytes of a value's encoding.
    pub async fn bytes(&self, run: RunId, value: &ValueRef) -> Result<Vec<u8>, Error> {
        match &value.inline {
            Some(inline) => Ok(inline.clone()),
            None => self.read(run, value.digest).await,
        }
    }

    /// Moves a value's bytes out of its row, where they are more than a row should have.
    pub async fn outline(&self, run: RunId, value: &mut ValueRef) -> Result<(), Error> {
        if value.inline.as_ref().is_some_and(|bytes| bytes.len() > limits::INLINE_VALUE_BYTES) {
            self.refer(run, value).await?;
        }
        Ok(())
    }

    /// Moves a value's bytes out of its row, however few.
    pub async fn refer(&self, run: RunId, value: &mut ValueRef) -> Result<(), Error> {
        if let Some(bytes) = value.inline.take() {
            let kept = self.write(run, value.digest, bytes.clone()).await;
            if kept.is_err() {
                value.inline = Some(bytes);
            }
            kept?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_upload_is_given_to_runs_and_forgotten_after_a_day() {
        let (blobs, run) = (Blobs::in_memory(), RunId(uuid::Uuid::from_u128(1)));
        let mut uploading = blobs.begin_upload("t", "1").await.unwrap();
        for piece in ["a,b\n", "1,2\n"] {
            uploading.write(piece).await.unwrap();
        }
        let digest = Digest::of(b"a,b\n1,2\n");
        uploading.keep(digest).await.unwrap();
        assert_eq!(blobs.take_upload("t", run, digest).await.unwrap(), Some(8));
        assert_eq!(blobs.read(run, digest).await.unwrap(), b"a,b\n1,2\n");
        assert_eq!(blobs.take_upload("other", run, digest).await.unwrap(), None);
        blobs.forget_uploads("t", Timestamp(0)).await.unwrap();
        assert_eq!(blobs.take_upload("t", run, digest).await.unwrap(), Some(8));
        blobs.forget_uploads("t", Timestamp(i64::MAX / 2)).await.unwrap();
        assert_eq!(blobs.take_upload("t", run, digest).await.unwrap(), None);
        assert_eq!(blobs.read(run, digest).await.unwrap(), b"a,b\n1,2\n");
    }

    #[tokio::test]
    async fn an_upload_that_breaks_off_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&format!("file://{}", folder.path().display())).unwrap();
        let mut uploading = blobs.begin_upload("t", "1").await.unwrap();
        uploading.write(vec![0; PART_BYTES + 1]).await.unwrap();
        uploading.abandon().await;
        let left = std::fs::read_dir(folder.path().join("uploads/t")).map_or(0, Iterator::count);
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn a_large_value_leaves_its_row_and_reads_back() {
        let (blobs, run) = (Blobs::in_memory(), RunId(uuid::Uuid::from_u128(1)));
        let bytes = vec![b' '; limits::INLINE_VALUE_BYTES + 1];
        let digest = Digest::of(&bytes);
        let mut value = ValueRef {
            digest,
            size: bytes.len() as u64,
            inline: Some(bytes.clone()),
            items: None,
            attachments: vec![],
        };
        blobs.outline(run, &mut value).await.unwrap();
        assert_eq!(value.inline, None);
        assert_eq!(blobs.bytes(run, &value).await.unwrap(), bytes);
    }
}
