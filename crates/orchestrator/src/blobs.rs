//! Large values, by reference: written where a parameter or an attempt would be too large for its row or its message.

use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path};
use qflow_model::{
    ids::{Digest, RunId},
    limits,
    value::ValueRef,
};

/// Where blobs are.
#[derive(Debug)]
pub struct Blobs(Box<dyn ObjectStore>);

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
        Ok(Self(Box::new(object_store::local::LocalFileSystem::new_with_prefix(folder)?)))
    }

    /// None outlives the process: for tests and throw-away servers.
    pub fn in_memory() -> Self {
        Self(Box::new(object_store::memory::InMemory::new()))
    }

    fn path(run: RunId, digest: Digest) -> Path {
        Path::from_iter(["runs".to_owned(), run.to_string(), digest.to_string()])
    }

    /// A whole blob.
    pub async fn read(&self, run: RunId, digest: Digest) -> Result<Vec<u8>, Error> {
        let path = Self::path(run, digest);
        let read = async { self.0.get(&path).await?.bytes().await };
        let bytes = read.await.map_err(|source| Error { doing: "read", path: path.to_string(), source })?;
        Ok(bytes.into())
    }

    /// Keeps content under its digest.
    pub async fn write(&self, run: RunId, digest: Digest, content: Vec<u8>) -> Result<(), Error> {
        let path = Self::path(run, digest);
        match self.0.put(&path, PutPayload::from(content)).await {
            Ok(_) => Ok(()),
            Err(source) => Err(Error { doing: "write", path: path.to_string(), source }),
        }
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
