//! Retention: runs that ended longer ago than is wanted are removed in small batches, their rows first and then their values; uploads
//! that no run took; and what lies in the blob store for runs that are not there.

use std::{str::FromStr, sync::Arc, time::Duration};

use qflow_blobs::Blobs;
use qflow_model::{
    duration,
    ids::{RunId, Timestamp},
    limits,
};
use qflow_service::{Clock, Shutdown};
use qflow_telemetry::{Event, Telemetry};

use crate::record::Store;

/// Runs that are removed at once: few enough that nobody waits for it.
const BATCH: u32 = 20;
/// Between two looks for runs whose time is over, where the last found no more.
const REST: Duration = Duration::from_secs(60);

/// A run that is removed sooner may have lines come after it: runners keep those for a day after their attempt. Twice that, since their
/// clock is another.
const LATE_MS: u64 = 2 * limits::LINES_LATE_MS;

/// For how long runs are kept once they have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// For ever.
    Off,
    /// For so many milliseconds.
    Ms(u64),
}

/// A text that is neither a duration nor `off`.
#[derive(Debug, thiserror::Error)]
#[error("give a duration like 90d or 12h, or off")]
pub struct NotADuration;

impl FromStr for Keep {
    type Err = NotADuration;
    fn from_str(text: &str) -> Result<Self, NotADuration> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let ms = duration::micros(text).and_then(|micros| u64::try_from(micros / 1000).ok());
        ms.filter(|ms| *ms > 0).map(Self::Ms).ok_or(NotADuration)
    }
}

/// Removes runs whose time is over until the order to stop.
pub(crate) fn start(
    keep: Keep,
    store: &Arc<dyn Store>,
    blobs: &Arc<Blobs>,
    telemetry: &Telemetry,
    shutdown: &Shutdown,
) {
    let Keep::Ms(older_ms) = keep else { return };
    let (store, blobs) = (Arc::clone(store), Arc::clone(blobs));
    let (telemetry, shutdown) = (telemetry.clone(), shutdown.clone());
    tokio::spawn(async move {
        loop {
            let rest = match retire(&*store, &blobs, older_ms).await {
                Ok(removed) if removed == BATCH => Duration::ZERO,
                Ok(_) => REST,
                Err(error) => {
                    telemetry.emit(Event::warning("runs_not_removed", format!("{error:#}")));
                    REST
                }
            };
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(rest) => {}
            }
        }
    });
}

/// Between two looks for what is a day old and nobody's.
const SWEEP: Duration = Duration::from_hours(1);
/// Marked runs that are looked at before the others of this process have their turn.
const MARKED: usize = 256;

/// Removes uploads that are a day old, and what runs left that are not there, until the order to stop: any replica may, whoever took
/// them in.
pub(crate) fn sweep(
    store: &Arc<dyn Store>,
    blobs: &Arc<Blobs>,
    clock: &Arc<dyn Clock>,
    telemetry: &Telemetry,
    shutdown: &Shutdown,
) {
    let (store, blobs, clock) = (Arc::clone(store), Arc::clone(blobs), Arc::clone(clock));
    let (telemetry, shutdown) = (telemetry.clone(), shutdown.clone());
    tokio::spawn(async move {
        loop {
            if let Err(error) = blobs.forget_uploads(clock.now()).await {
                telemetry.emit(Event::warning("uploads_not_removed", error.to_string()));
            }
            let rest = match settle(&*store, &blobs, clock.now()).await {
                Ok(looked) => {
                    if looked.removed > 0 {
                        let why = "removed what lay in the blob store for runs that are not there";
                        telemetry.emit(Event::info("strays_removed", why).with("runs", looked.removed));
                    }
                    if looked.settled == MARKED { Duration::ZERO } else { SWEEP }
                }
                Err(error) => {
                    telemetry.emit(Event::warning("strays_not_removed", format!("{error:#}")));
                    SWEEP
                }
            };
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(rest) => {}
            }
        }
    });
}

/// What became of marked runs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Looked {
    /// Those that are in no doubt any more.
    settled: usize,
    /// Of these, those that were not there.
    removed: u64,
}

/// Looks at some runs that were marked a day ago. Of those that have no row all goes: the orchestrator that was to accept them died before
/// it did, or lines came once they had been removed. Nothing without a mark is touched, so a database that is another's costs no values.
async fn settle(store: &dyn Store, blobs: &Blobs, now: Timestamp) -> anyhow::Result<Looked> {
    let marked = blobs.doubted(now, MARKED).await?;
    let known = store.known(marked.clone()).await?;
    let mut looked = Looked::default();
    for run in marked {
        if !known.contains(&run) {
            if !blobs.forget_old(run, now).await? {
                continue;
            }
            looked.removed += 1;
        }
        blobs.settle(run).await?;
        looked.settled += 1;
    }
    Ok(looked)
}

/// Removes a batch of runs; how many.
async fn retire(store: &dyn Store, blobs: &Blobs, older_ms: u64) -> anyhow::Result<u32> {
    let runs = store.expire_runs(older_ms, BATCH).await?;
    remove(store, blobs, runs, older_ms).await
}

/// Removes runs; how many. Rows go first: one of which somebody asks for more meanwhile keeps its values with its rows. What a crash leaves
/// of the others is found by their marks.
async fn remove(store: &dyn Store, blobs: &Blobs, runs: Vec<RunId>, older_ms: u64) -> anyhow::Result<u32> {
    if runs.is_empty() {
        return Ok(0);
    }
    for run in &runs {
        blobs.doubt(*run).await?;
    }
    store.forget_runs(runs.clone()).await?;
    let stay = store.known(runs.clone()).await?;
    let mut count = 0;
    for run in runs.into_iter().filter(|run| !stay.contains(run)) {
        blobs.forget_run(run).await?;
        // Lines of a younger one may still come: it is looked at again.
        if older_ms >= LATE_MS {
            blobs.settle(run).await?;
        }
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use qflow_model::ids::Digest;
    use qflow_service::{ManualClock, SystemClock};

    use super::*;
    use crate::record::{Command, Memory, ended};

    #[test]
    fn a_retention_is_a_duration_or_off() {
        assert_eq!("off".parse::<Keep>().unwrap(), Keep::Off);
        assert_eq!("90d".parse::<Keep>().unwrap(), Keep::Ms(90 * 86_400_000));
        for wrong in ["", "0", "-1d", "soon"] {
            assert!(wrong.parse::<Keep>().is_err(), "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_that_no_run_takes_goes_after_a_day_without_another_one() {
        let (blobs, clock) = (Arc::new(Blobs::in_memory()), Arc::new(ManualClock::at(SystemClock.now())));
        let (digest, stop) = (Digest::of(b"upload"), Shutdown::new());
        let mut upload = blobs.begin_upload("t", "one").await.unwrap();
        upload.write(b"upload".to_vec()).await.unwrap();
        upload.keep(digest).await.unwrap();
        let of_clock: Arc<dyn Clock> = clock.clone();
        let store: Arc<dyn Store> = Arc::new(Memory::new(clock.clone()));
        sweep(&store, &blobs, &of_clock, &Telemetry::silent(), &stop);
        let is_there = async || !blobs.names("uploads").await.unwrap().is_empty();
        clock.advance_ms(23 * 3_600_000);
        tokio::time::sleep(2 * SWEEP).await;
        assert!(is_there().await);
        clock.advance_ms(2 * 3_600_000);
        tokio::time::sleep(2 * SWEEP).await;
        assert!(!is_there().await);
        stop.trigger();
    }

    #[tokio::test]
    async fn a_run_goes_with_its_values_and_no_other_does() {
        let clock = Arc::new(ManualClock::at(Timestamp(7_200_000_000)));
        let (store, blobs) = (Memory::new(clock.clone()), Blobs::in_memory());
        let digest = Digest::of(b"value");
        let run = |id| RunId(uuid::Uuid::from_u128(id));
        for id in [1, 2] {
            ended(&store, id).await;
            blobs.write(run(id), digest, b"value".to_vec()).await.unwrap();
            clock.advance_ms(1000);
        }
        assert_eq!(retire(&store, &blobs, 1500).await.unwrap(), 1);
        assert!(blobs.read(run(1), digest).await.is_err() && store.load(run(1)).await.unwrap().is_none());
        assert!(blobs.read(run(2), digest).await.is_ok() && store.load(run(2)).await.unwrap().is_some());
        assert_eq!(retire(&store, &blobs, 1500).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_run_that_is_asked_for_as_it_is_to_go_keeps_its_values() {
        let clock = Arc::new(ManualClock::at(Timestamp(7_200_000_000)));
        let (store, blobs) = (Memory::new(clock.clone()), Blobs::in_memory());
        let (digest, run) = (Digest::of(b"value"), |id| RunId(uuid::Uuid::from_u128(id)));
        for id in [1, 2] {
            ended(&store, id).await;
            blobs.write(run(id), digest, b"value".to_vec()).await.unwrap();
        }
        clock.advance_ms(2000);
        let over = store.expire_runs(1000, BATCH).await.unwrap();
        assert_eq!(over, [run(1), run(2)]);
        store.post(run(1), Command::RetryFailed { by: "u".into() }, None).await.unwrap();
        assert_eq!(remove(&store, &blobs, over, LATE_MS).await.unwrap(), 1);
        assert!(blobs.read(run(1), digest).await.is_ok() && store.load(run(1)).await.unwrap().is_some());
        assert!(blobs.read(run(2), digest).await.is_err() && store.load(run(2)).await.unwrap().is_none());
    }

    async fn what_has_no_row_goes_and_nothing_else(blobs: &Blobs) {
        let (old, now) = (Timestamp(i64::MAX / 2), SystemClock.now());
        let store = Memory::new(Arc::new(ManualClock::at(Timestamp(7_200_000_000))));
        let (digest, run) = (Digest::of(b"value"), |id| RunId(uuid::Uuid::from_u128(id)));
        for id in 1..=4 {
            blobs.write(run(id), digest, b"value".to_vec()).await.unwrap();
        }
        // 1 was never accepted, 2 was, of 3 nobody said that it may not be; 4 was removed, and there are lines of it all the same.
        ended(&store, 2).await;
        for id in [1, 2, 4] {
            blobs.doubt(run(id)).await.unwrap();
        }
        assert_eq!(settle(&store, blobs, now).await.unwrap(), Looked::default(), "a start may take its time");
        assert_eq!(settle(&store, blobs, old).await.unwrap(), Looked { settled: 3, removed: 2 });
        let there: Vec<bool> =
            stream::iter(1..=4).then(|id| async move { blobs.read(run(id), digest).await.is_ok() }).collect().await;
        assert_eq!(there, [false, true, true, false]);
        assert_eq!(settle(&store, blobs, old).await.unwrap(), Looked::default(), "each is looked at once");
        assert!(blobs.names("doubts").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn strays_in_memory_go() {
        what_has_no_row_goes_and_nothing_else(&Blobs::in_memory()).await;
    }

    #[tokio::test]
    async fn strays_in_a_folder_go() {
        let folder = tempfile::tempdir().unwrap();
        what_has_no_row_goes_and_nothing_else(&Blobs::in_folder(folder.path()).unwrap()).await;
    }

    #[tokio::test]
    async fn a_run_that_lines_may_follow_is_marked_as_it_goes() {
        let clock = Arc::new(ManualClock::at(Timestamp(7_200_000_000)));
        let (store, blobs) = (Memory::new(clock.clone()), Blobs::in_memory());
        ended(&store, 1).await;
        clock.advance_ms(2 * LATE_MS);
        ended(&store, 2).await;
        clock.advance_ms(2000);
        assert_eq!(retire(&store, &blobs, LATE_MS).await.unwrap(), 1);
        assert!(blobs.names("doubts").await.unwrap().is_empty(), "whatever was to come has come");
        assert_eq!(retire(&store, &blobs, 1000).await.unwrap(), 1);
        assert_eq!(blobs.names("doubts").await.unwrap(), [format!("doubts/{}", uuid::Uuid::from_u128(2))]);
    }
}
