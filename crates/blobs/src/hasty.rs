//! A store for who must not wait: what takes long has failed, and so has what is asked soon after.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::Blobs;

/// How long each request may take: an engine renews its leases meanwhile.
const EACH: Duration = Duration::from_secs(1);
/// For how long nothing is asked after one that took longer.
const REST: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Haste(Mutex<Option<Instant>>);

#[derive(Debug, thiserror::Error)]
#[error("the blob store does not answer within {} s", EACH.as_secs())]
struct Slow;

fn slow<T>() -> Result<T, object_store::Error> {
    Err(object_store::Error::Generic { store: "hasty", source: Box::new(Slow) })
}

impl Haste {
    async fn within<T>(
        &self,
        asked: impl Future<Output = Result<T, object_store::Error>>,
    ) -> Result<T, object_store::Error> {
        if self.until().is_some_and(|until| Instant::now() < until) {
            return slow();
        }
        if let Ok(answer) = tokio::time::timeout(EACH, asked).await {
            return answer;
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
        slow()
    }

    fn until(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blobs {
    /// The same store, whose copies and removals give up after a second.
    #[must_use]
    pub fn hasty(&self) -> Self {
        Self { haste: Some(std::sync::Arc::default()), ..self.clone() }
    }

    pub(crate) async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, object_store::Error>>,
    ) -> Result<T, object_store::Error> {
        match &self.haste {
            Some(haste) => haste.within(asked).await,
            None => asked.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_has_failed_and_so_has_what_is_asked_soon_after() {
        let (patient, hasty) = (Blobs::in_memory(), Blobs::in_memory().hasty());
        let never = std::future::pending::<Result<(), object_store::Error>>;
        assert!(hasty.in_time(async { Ok(1) }).await.is_ok());
        let told = hasty.in_time(never()).await.unwrap_err().to_string();
        assert!(told.contains("does not answer within 1 s"), "{told}");
        assert!(hasty.in_time(async { Ok(1) }).await.is_err());
        tokio::time::advance(REST).await;
        assert!(hasty.in_time(async { Ok(1) }).await.is_ok());
        let late = async { tokio::time::timeout(2 * EACH, patient.in_time(never())).await };
        assert!(late.await.is_err(), "who is patient waits");
    }
}
