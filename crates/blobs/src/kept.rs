//! Copies that kept outputs own: `cache/{digest}`. They outlive the run that made them.

use object_store::path::Path;
use qflow_model::ids::{Digest, RunId};

use crate::{Blobs, Error, of_run};

fn kept(digest: Digest) -> Path {
    Path::from_iter(["cache".to_owned(), digest.to_string()])
}

impl Blobs {
    /// Copies a run's blobs to where kept outputs own them.
    pub async fn keep(&self, run: RunId, blobs: &[Digest]) -> Result<(), Error> {
        for digest in blobs {
            self.copy(&of_run(run, *digest), &kept(*digest)).await?;
        }
        Ok(())
    }

    /// Gives a run copies of blobs that kept outputs own.
    pub async fn reuse(&self, run: RunId, blobs: &[Digest]) -> Result<(), Error> {
        for digest in blobs {
            self.copy(&kept(*digest), &of_run(run, *digest)).await?;
        }
        Ok(())
    }

    /// Removes blobs that no kept output owns any more; one that is not there is gone already.
    pub async fn drop_kept(&self, blobs: &[Digest]) -> Result<(), Error> {
        for digest in blobs {
            self.remove(&kept(*digest)).await?;
        }
        Ok(())
    }
}
