//! Runs that may leave something behind, marked before they can: `doubts/{run}`. A day later what lies below a run that is not there goes.

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectMeta, ObjectStoreExt as _, PutPayload, path::Path};
use qflow_model::ids::{RunId, Timestamp};

use crate::{Blobs, Error, failed, run_folder};

/// Microseconds after which a mark is looked at: a start is answered within minutes and lines come late for a day, so what is that old is
/// not under way any more.
const OLD_US: i64 = 24 * 3600 * 1_000_000;
const DOUBTS: &str = "doubts";

fn mark(run: RunId) -> Path {
    Path::from_iter([DOUBTS.to_owned(), run.to_string()])
}

fn is_old(found: &ObjectMeta, now: Timestamp) -> bool {
    now.0.saturating_sub(found.last_modified.timestamp_micros()) > OLD_US
}

impl Blobs {
    /// Marks a run that something is about to be written for, and that may never come to be, or has been removed.
    pub async fn doubt(&self, run: RunId) -> Result<(), Error> {
        let path = mark(run);
        self.store.put(&path, PutPayload::new()).await.map(drop).map_err(failed("write", &path))
    }

    /// Removes a run's mark: it is there, or nothing of it is.
    pub async fn settle(&self, run: RunId) -> Result<(), Error> {
        self.remove(&mark(run)).await
    }

    /// At most so many runs that were marked a day ago.
    pub async fn doubted(&self, now: Timestamp, most: usize) -> Result<Vec<RunId>, Error> {
        let folder = Path::from(DOUBTS);
        let found = self.store.list(Some(&folder)).try_filter_map(|found| {
            let run = found.location.filename().and_then(|name| name.parse::<RunId>().ok());
            std::future::ready(Ok(run.filter(|_| is_old(&found, now))))
        });
        found.take(most).try_collect().await.map_err(failed("list", &folder))
    }

    /// Removes all that lies below a run, where all of it is a day old; whether it did. What is younger, somebody has put there since.
    pub async fn forget_old(&self, run: RunId, now: Timestamp) -> Result<bool, Error> {
        let folder = run_folder(run);
        let mut found = self.store.list(Some(&folder));
        while let Some(one) = found.try_next().await.map_err(failed("list", &folder))? {
            if !is_old(&one, now) {
                return Ok(false);
            }
        }
        self.forget_run(run).await.map(|()| true)
    }
}
