//! Whether what a replica requires is there, for `/readyz`: asked in the background, answered from memory.

use std::{sync::Arc, time::Duration};

use qflow_service::{Readiness, Shutdown};
use tokio::time::timeout;

use crate::record::Store;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(5);
/// How long the store may take to begin a commit.
const ANSWER: Duration = Duration::from_secs(2);
/// The part that an orchestrator requires: without it nothing is accepted.
const STORE: &str = "store";

/// Asks the store until the order to stop.
pub(crate) fn watch(store: Arc<dyn Store>, readiness: Readiness, shutdown: Shutdown) {
    // It was opened just now.
    readiness.set(STORE, true);
    tokio::spawn(async move {
        loop {
            tokio::select! { () = shutdown.wait() => return, () = tokio::time::sleep(EVERY) => {} }
            readiness.set(STORE, works(&*store).await);
        }
    });
}

/// Whether the store would take a commit now: one that tells the time and takes none accepts nothing.
async fn works(store: &dyn Store) -> bool {
    matches!(timeout(ANSWER, store.takes_commits()).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use qflow_service::SystemClock;

    use super::*;
    use crate::record::{Memory, Sqlite, sqlite::taken};

    #[tokio::test]
    async fn a_file_that_somebody_else_writes_to_is_no_store_until_they_let_go_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let store = Sqlite::open(&path, Arc::new(SystemClock)).unwrap();
        assert!(works(&store).await);
        for begin in ["EXCLUSIVE", "IMMEDIATE"] {
            let other = taken(&path, begin);
            assert!(!works(&store).await, "{begin}");
            drop(other);
            // The connection still waits for its turn, of what was given up too.
            store.takes_commits().await.unwrap();
            assert!(works(&store).await, "{begin}");
        }
        assert!(works(&Memory::new(Arc::new(SystemClock))).await);
    }
}
