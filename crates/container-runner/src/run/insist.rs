//! What an attempt reads from the blob store and writes to it, where that does not answer: it waits, and tries again, rather than be lost.

use qflow_blobs::Patience;
use qflow_model::{ids::AttemptKey, outcome::Ending, progress::KillReason};
use qflow_proto::order::Order;
use qflow_telemetry::Event;
use tokio::time::Instant;

use super::{Runner, Word};
use crate::ending::{killed, lost, timed_out};

/// What an attempt wants of the blob store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// To read its arguments.
    Arguments,
    /// To write its result, which is in memory or on this machine's disk meanwhile.
    Result,
}

/// Why it was not had.
#[derive(Debug, PartialEq, Eq)]
enum Stopped<E> {
    /// The attempt is to end.
    Killed(KillReason),
    /// The last try's error.
    GivenUp(E),
}

impl Wanted {
    const fn reason(self) -> &'static str {
        match self {
            Self::Arguments => "blob_unreadable",
            Self::Result => "blob_unwritable",
        }
    }

    const fn said(self) -> &'static str {
        match self {
            Self::Arguments => "waiting for the blob store to give its arguments",
            Self::Result => "waiting for the blob store to take its result",
        }
    }

    /// Whether another try may help. A blob that is not there will not come; a bucket or an upload that is not may, once all is up.
    const fn may_come(self, error: &qflow_blobs::Error) -> bool {
        match self {
            Self::Arguments => !error.is_absent(),
            Self::Result => true,
        }
    }

    /// Whether an order to end ends the waiting. Code that has run has nothing left to be fenced: its result may decide, however late.
    fn ends(self, why: KillReason) -> bool {
        self == Self::Arguments || why != KillReason::Fenced
    }
}

impl Runner {
    /// Has `once` tried until it is done: for ten minutes at most, and not after an order to end. One line says that an attempt
    /// begins to wait, one that it is over.
    pub(super) async fn insist<T, F>(&self, order: &Order, wanted: Wanted, once: impl Fn() -> F) -> Result<T, Ending>
    where
        F: Future<Output = Result<T, qflow_blobs::Error>>,
    {
        let error = match once().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if !wanted.may_come(&error) {
            return Err(lost(wanted.reason(), &error.to_string()));
        }
        let told = |event: Event| self.telemetry.emit(event.with("attempt", order.key.to_string()));
        let began = Instant::now();
        told(Event::warning("blob_store_awaited", format!("{}: {error}", wanted.said())));
        self.say(order, Word::Doing { doing: wanted.said().to_owned(), fraction: -1.0 }).await;
        let tried = Patience::ATTEMPT.again(&once, |error| wanted.may_come(error));
        let done = unless(self.end_of(order.key, wanted), tried).await;
        let said = match &done {
            Ok(_) => "the blob store answers again",
            Err(Stopped::Killed(_)) => "the attempt was ordered to end",
            Err(Stopped::GivenUp(_)) => "given up",
        };
        let after_ms = began.elapsed().as_millis() as u64;
        told(Event::warning("blob_store_wait_over", said).with("after_ms", after_ms));
        self.say(order, Word::Doing { doing: String::new(), fraction: -1.0 }).await;
        done.map_err(|stopped| match stopped {
            Stopped::Killed(KillReason::TimedOut) if wanted == Wanted::Result => timed_out(order.timeout_ms),
            Stopped::Killed(why) => killed(why),
            Stopped::GivenUp(error) => {
                let waited = format!("the blob store was away for {} s. The last error: {error}", after_ms / 1000);
                lost(wanted.reason(), &waited)
            }
        })
    }

    /// Comes with an order that ends the attempt's waiting.
    async fn end_of(&self, key: AttemptKey, wanted: Wanted) -> KillReason {
        if let Some(mut kill) = self.held.killed(key)
            && let Ok(why) = kill.wait_for(|why| why.is_some_and(|why| wanted.ends(why))).await
            && let Some(why) = *why
        {
            return why;
        }
        // Nobody holds it, so nobody will say so.
        std::future::pending().await
    }
}

/// What is tried, where no order to end comes before.
async fn unless<T, E>(
    end: impl Future<Output = KillReason>,
    tried: impl Future<Output = Result<T, E>>,
) -> Result<T, Stopped<E>> {
    tokio::select! {
        biased;
        why = end => Err(Stopped::Killed(why)),
        tried = tried => tried.map_err(Stopped::GivenUp),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn an_order_to_end_ends_the_waiting_also_for_a_try_that_does_not_come_back() {
        let stuck = unless(async { KillReason::Cancelled }, pending::<Result<(), &str>>()).await;
        assert_eq!(stuck, Err(Stopped::Killed(KillReason::Cancelled)));
        let given_up = unless(pending(), async { Err::<(), _>("away") }).await;
        assert_eq!(given_up, Err(Stopped::GivenUp("away")));
    }

    #[test]
    fn a_finished_result_is_not_fenced() {
        assert!(Wanted::Arguments.ends(KillReason::Fenced) && !Wanted::Result.ends(KillReason::Fenced));
        assert!(Wanted::Result.ends(KillReason::Cancelled) && Wanted::Result.ends(KillReason::TimedOut));
    }
}
