//! Several replicas asked at once: who answers in time is heard, and who hangs keeps nobody.

use std::time::Duration;

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};

use crate::verdict::{TIMEOUT, UNREACHABLE};

/// How long replicas are waited for. Both bounds lie below the time of the probe: else it would be given up with what it has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For any answer.
    answer: Duration,
    /// For the others, once one has answered.
    others: Duration,
}

impl Patience {
    /// Of a probe that may take so long.
    pub fn of(probe: Duration) -> Self {
        Self { answer: probe * 9 / 10, others: probe * 2 / 5 }
    }
}

/// Asks every replica at once, and takes what comes while it is not long after the first good answer; whoever has not answered by then is
/// late. In the order in which they answer.
pub async fn every<C, T, F>(channels: &[C], ask: fn(C) -> F, patience: Patience) -> Vec<Result<T, &'static str>>
where
    C: Clone + Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<T, &'static str>> + Send + 'static,
{
    let end = Instant::now() + patience.answer;
    let (mut asked, mut answers, mut until) = (asked(channels, ask, end), Vec::new(), end);
    let mut is_heard = false;
    // All have answered, or are late.
    while let Ok(Some(answer)) = timeout_at(until, asked.join_next()).await {
        let answer = answer.unwrap_or(Err("failed"));
        if answer.is_ok() && !is_heard {
            (is_heard, until) = (true, end.min(Instant::now() + patience.others));
        }
        answers.push(answer);
    }
    // The others are let answer: a question that is taken back looks like a failed call to whoever is asked.
    asked.detach_all();
    answers.resize_with(channels.len(), || Err(TIMEOUT));
    answers
}

/// The good answers of every replica; the error of the first to fail, where there is none.
pub async fn each<C, T, F>(channels: &[C], ask: fn(C) -> F, patience: Patience) -> Result<Vec<T>, &'static str>
where
    C: Clone + Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<T, &'static str>> + Send + 'static,
{
    let (mut good, mut failed) = (Vec::new(), None);
    for answer in every(channels, ask, patience).await {
        match answer {
            Ok(answer) => good.push(answer),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    if good.is_empty() { Err(failed.unwrap_or(UNREACHABLE)) } else { Ok(good) }
}

fn asked<C, T, F>(channels: &[C], ask: fn(C) -> F, end: Instant) -> JoinSet<Result<T, &'static str>>
where
    C: Clone + Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<T, &'static str>> + Send + 'static,
{
    let bounded = |channel| async move {
        tokio::select! {
            answer = ask(channel) => answer,
            () = sleep_until(end) => Err(TIMEOUT),
        }
    };
    channels.iter().cloned().map(bounded).collect()
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// A replica that says something after so many milliseconds.
    async fn says((ms, answer): (u64, Result<u32, &'static str>)) -> Result<u32, &'static str> {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        answer
    }

    const USUAL: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn whoever_answers_soon_is_heard_and_who_hangs_keeps_nobody() {
        let patience = Patience::of(USUAL);
        assert_eq!(each(&[(0, Ok(1)), (1000, Ok(11)), (1000, Err("failed"))], says, patience).await, Ok(vec![1, 11]));
        let begun = Instant::now();
        assert_eq!(each(&[(0, Ok(1)), (4000, Ok(11))], says, patience).await, Ok(vec![1]));
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
        assert_eq!(each(&[(0, Err("failed")), (9000, Ok(1))], says, patience).await, Err("failed"));
        assert_eq!(each(&[], says, patience).await, Err("unreachable"));
        let told = every(&[(0, Ok(1)), (1000, Err("failed")), (4000, Ok(11))], says, patience).await;
        assert_eq!(told, [Ok(1), Err("failed"), Err("timeout")]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_takes_no_probe_beyond_its_time_however_short_or_long_that_is() {
        for ms in [100, 1000, 5000, 30_000, 60_000] {
            let probe = Duration::from_millis(ms);
            // The one that answers does so at once, in the middle, and just in time.
            for good in [0, ms / 2, ms * 4 / 5] {
                let replicas = [(good, Ok(1)), (10 * ms, Ok(11))];
                let told = timeout(probe, every(&replicas, says, Patience::of(probe))).await;
                assert_eq!(told, Ok(vec![Ok(1), Err("timeout")]), "{good} of {ms} ms");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_needs_long_is_heard_where_a_probe_may_take_long() {
        let replicas = [(8000, Ok(1)), (12_000, Ok(11))];
        assert_eq!(each(&replicas, says, Patience::of(USUAL)).await, Err("timeout"));
        assert_eq!(each(&replicas, says, Patience::of(3 * USUAL)).await, Ok(vec![1, 11]));
    }
}
