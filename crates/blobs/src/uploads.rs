//! Content that clients send before the run that it is for: `uploads/{tenant}/{digest}`.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{ObjectStoreExt as _, WriteMultipart, path::Path};
use qflow_model::ids::{Digest, RunId, Timestamp};

use crate::{Blobs, Error, PARTS, failed, of_run};

/// Microseconds after which an upload is forgotten that no run refers to.
const UPLOAD_US: i64 = 24 * 3600 * 1_000_000;

/// Where all of them are.
fn all() -> Path {
    Path::from("uploads")
}

fn folder(tenant: &str) -> Path {
    all().join(tenant)
}

fn upload(tenant: &str, digest: Digest) -> Path {
    folder(tenant).join(digest.to_string())
}

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
        self.parts.wait_for_capacity(PARTS).await.map_err(failed("write", &self.path))?;
        self.parts.put(piece.into());
        Ok(())
    }

    /// Keeps all of it under its digest. In a bucket that is a copy, made there.
    pub async fn keep(self, digest: Digest) -> Result<(), Error> {
        let Self { blobs, tenant, path, parts } = self;
        parts.finish().await.map_err(failed("write", &path))?;
        blobs.store.rename(&path, &upload(&tenant, digest)).await.map_err(failed("write", &path))
    }

    /// Drops what came so far.
    pub async fn abandon(self) {
        // What cannot be dropped now is forgotten with the uploads of its day.
        self.parts.abort().await.ok();
    }
}

impl Blobs {
    /// Begins to take in content of a tenant, under a name that no other has until its digest is known.
    pub async fn begin_upload(&self, tenant: &str, name: &str) -> Result<Uploading<'_>, Error> {
        let path = folder(tenant).join(format!("new-{name}"));
        let parts = self.begin(&path).await.map_err(failed("write", &path))?;
        Ok(Uploading { blobs: self, tenant: tenant.to_owned(), path, parts })
    }

    /// Gives a run the content that a tenant uploaded; its size in bytes, or `None` where it is not there.
    pub async fn take_upload(&self, tenant: &str, run: RunId, digest: Digest) -> Result<Option<u64>, Error> {
        let (from, to) = (upload(tenant, digest), of_run(run, digest));
        let taken = async {
            let head = self.store.head(&from).await?;
            self.store.copy(&from, &to).await?;
            Ok(head.size)
        };
        match taken.await {
            Ok(size) => Ok(Some(size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed("read", &from)(source)),
        }
    }

    /// Drops uploads that are a day old, whosever they are.
    pub async fn forget_uploads(&self, now: Timestamp) -> Result<(), Error> {
        let folder = all();
        let all: Result<Vec<_>, _> = self.store.list(Some(&folder)).try_collect().await;
        for found in all.map_err(failed("list", &folder))? {
            if now.0 - found.last_modified.timestamp_micros() > UPLOAD_US {
                self.remove(&found.location).await?;
            }
        }
        Ok(())
    }
}
