//! What an attempt reads from the blob store and writes to it, where that does not answer: it waits, and tries again, rather than be lost.

use std::time::Duration;

use qflow_model::{ids::AttemptKey, outcome::Ending, progress::KillReason};
use qflow_proto::order::Order;
use qflow_telemetry::Event;
use tokio::time::Instant;

use super::{Runner, Word};
use crate::ending::{killed, lost, timed_out};

/// For how long an attempt waits: longer than a store takes to start again or to move, and not so long that nobody hears of it.
const PATIENCE: Duration = Duration::from_mins(10);
/// The pauses between tries, doubling from the first to the longest. Each try is several requests, with pauses of their own.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

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
        let event = |action, said: String| Event::warning(action, said).with("attempt", order.key.to_string());
        let began = Instant::now();
        self.telemetry.emit(event("blob_store_awaited", format!("{}: {error}", wanted.said())));
        self.say(order, Word::Doing { doing: wanted.said().to_owned(), fraction: -1.0 }).await;
        let done = again(&once, |error| wanted.may_come(error), self.end_of(order.key, wanted)).await;
        let said = match &done {
            Ok(_) => "the blob store answers again",
            Err(Stopped::Killed(_)) => "the attempt was ordered to end",
            Err(Stopped::GivenUp(_)) => "given up",
        };
        let after_ms = began.elapsed().as_millis() as u64;
        self.telemetry.emit(event("blob_store_wait_over", said.to_owned()).with("after_ms", after_ms));
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

/// Tries again after a pause, and again after longer ones, as long as patience lasts and an error leaves hope.
async fn again<T, E, F: Future<Output = Result<T, E>>>(
    once: impl Fn() -> F,
    may_come: impl Fn(&E) -> bool,
    end: impl Future<Output = KillReason>,
) -> Result<T, Stopped<E>> {
    let (began, mut pause) = (Instant::now(), PAUSE.0);
    tokio::pin!(end);
    loop {
        let next = async {
            tokio::time::sleep(pause).await;
            once().await
        };
        let tried = tokio::select! {
            biased;
            why = &mut end => return Err(Stopped::Killed(why)),
            tried = next => tried,
        };
        match tried {
            Ok(done) => return Ok(done),
            Err(error) if began.elapsed() >= PATIENCE || !may_come(&error) => return Err(Stopped::GivenUp(error)),
            Err(_) => pause = (pause * 2).min(PAUSE.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_again_until_it_is_done() {
        let tries = Cell::new(0);
        let once = || async {
            tries.set(tries.get() + 1);
            if tries.get() < 6 { Err("away") } else { Ok("there") }
        };
        let began = Instant::now();
        assert_eq!(again(once, |_| true, pending()).await, Ok("there"));
        assert_eq!((tries.get(), began.elapsed().as_secs()), (6, 1 + 2 + 4 + 8 + 15 + 15));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_after_ten_minutes_with_the_last_error() {
        let began = Instant::now();
        let never = again(|| async { Err::<(), _>("away") }, |_| true, pending()).await;
        assert_eq!(never, Err(Stopped::GivenUp("away")));
        let waited = began.elapsed();
        assert!(waited >= PATIENCE && waited <= PATIENCE + PAUSE.1, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_without_hope_and_an_order_to_end_end_the_waiting() {
        let absent = again(|| async { Err::<(), _>("absent") }, |_| false, pending()).await;
        assert_eq!(absent, Err(Stopped::GivenUp("absent")));
        let end = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            KillReason::Cancelled
        };
        // A try that does not come back does not hold it up either.
        let stuck = again(pending::<Result<(), &str>>, |_| true, end).await;
        assert_eq!(stuck, Err(Stopped::Killed(KillReason::Cancelled)));
    }

    #[test]
    fn a_finished_result_is_not_fenced() {
        assert!(Wanted::Arguments.ends(KillReason::Fenced) && !Wanted::Result.ends(KillReason::Fenced));
        assert!(Wanted::Result.ends(KillReason::Cancelled) && Wanted::Result.ends(KillReason::TimedOut));
    }
}
