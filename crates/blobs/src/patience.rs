//! How one waits for a store that does not answer: it is tried again, with growing pauses, until a bound.

use std::time::Duration;

use tokio::time::Instant;

/// For how long, and with which pauses between tries, doubling from the first to the longest. Each try is several requests, with pauses of
/// their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Past it the last error counts.
    pub most: Duration,
    first: Duration,
    longest: Duration,
}

impl Patience {
    /// An attempt's: longer than a store takes to start again or to move, and not so long that nobody hears of it.
    pub const ATTEMPT: Self =
        Self { most: Duration::from_mins(10), first: Duration::from_secs(1), longest: Duration::from_secs(15) };
    /// Of somebody who waits for an answer: as long as a request to a bucket is tried again, whatever the store is.
    pub const CALL: Self =
        Self { most: Duration::from_secs(15), first: Duration::from_millis(200), longest: Duration::from_secs(3) };

    /// Tries until it is done, as long as patience lasts and an error leaves hope.
    pub async fn insist<T, E, F: Future<Output = Result<T, E>>>(
        self,
        once: impl Fn() -> F,
        may_come: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let began = Instant::now();
        match once().await {
            Err(error) if may_come(&error) && began.elapsed() < self.most => self.since(began, once, may_come).await,
            done => done,
        }
    }

    /// The same of what has just failed: it is tried again after a pause.
    pub async fn again<T, E, F: Future<Output = Result<T, E>>>(
        self,
        once: impl Fn() -> F,
        may_come: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        self.since(Instant::now(), once, may_come).await
    }

    async fn since<T, E, F: Future<Output = Result<T, E>>>(
        self,
        began: Instant,
        once: impl Fn() -> F,
        may_come: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let mut pause = self.first;
        loop {
            tokio::time::sleep(pause).await;
            match once().await {
                Err(error) if may_come(&error) && began.elapsed() < self.most => {
                    pause = (pause * 2).min(self.longest);
                }
                done => return done,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_again_until_it_is_done() {
        let tries = Cell::new(0);
        let once = || async {
            tries.set(tries.get() + 1);
            if tries.get() < 6 { Err("away") } else { Ok("there") }
        };
        let began = Instant::now();
        assert_eq!(Patience::ATTEMPT.again(once, |_| true).await, Ok("there"));
        assert_eq!((tries.get(), began.elapsed().as_secs()), (6, 1 + 2 + 4 + 8 + 15 + 15));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_with_the_last_error() {
        for patience in [Patience::ATTEMPT, Patience::CALL] {
            let began = Instant::now();
            assert_eq!(patience.insist(|| async { Err::<(), _>("away") }, |_| true).await, Err("away"));
            let waited = began.elapsed();
            assert!(waited >= patience.most && waited <= patience.most + patience.longest, "{waited:?}");
        }
        let began = Instant::now();
        let slow = || async {
            tokio::time::sleep(Patience::CALL.most).await;
            Err::<(), _>("away")
        };
        assert_eq!(Patience::CALL.insist(slow, |_| true).await, Err("away"));
        assert_eq!(began.elapsed(), Patience::CALL.most, "what has taken that long was tried often enough");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_without_hope_is_told_at_once() {
        let began = Instant::now();
        assert_eq!(Patience::CALL.insist(|| async { Err::<(), _>("absent") }, |_| false).await, Err("absent"));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
