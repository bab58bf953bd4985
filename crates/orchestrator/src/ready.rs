//! Whether what a replica requires is there, for `/readyz`: asked in the background, answered from memory.

use std::{sync::Arc, time::Duration};

use qflow_service::{Readiness, Shutdown};
use tokio::time::timeout;

use crate::record::Store;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(5);
/// How long the store may take to answer.
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
            let answered = timeout(ANSWER, store.now()).await;
            readiness.set(STORE, matches!(answered, Ok(Ok(_))));
        }
    });
}
