//! Outcomes that nobody has acknowledged for a moment go to the disk, one sync for all that wait; nobody waits for that.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use qflow_model::ids::AttemptKey;
use qflow_telemetry::{Event, Telemetry};
use tokio::{sync::Notify, time::Instant};

use super::Spool;

/// For how long an outcome may lie in the kernel's memory alone. An acknowledgement takes a commit and two ways, some milliseconds: where
/// all goes well there is nothing to sync. What waits longer waits for an orchestrator or a database that is away, and would be run again
/// after a power cut in all that time.
const UNSYNCED: Duration = Duration::from_millis(20);
/// Between two tries where the disk refuses.
const AGAIN: Duration = Duration::from_secs(1);

/// Outcomes that no sync has served yet, in the order in which they were kept.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    kept: Mutex<VecDeque<(Instant, AttemptKey)>>,
    more: Notify,
}

impl Unsynced {
    fn kept(&self) -> MutexGuard<'_, VecDeque<(Instant, AttemptKey)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, key: AttemptKey) {
        self.kept().push_back((Instant::now(), key));
        self.more.notify_one();
    }

    /// Since when the oldest waits that is still wanted; those before it are done with.
    fn oldest(&self, waits: impl Fn(AttemptKey) -> bool) -> Option<Instant> {
        let mut kept = self.kept();
        while kept.pop_front_if(|(_, key)| !waits(*key)).is_some() {}
        kept.front().map(|(since, _)| *since)
    }
}

impl Spool {
    /// Syncs what has waited for too long, for as long as it is polled.
    pub async fn sync_late(&self, telemetry: &Telemetry) {
        loop {
            let Some(since) = self.unsynced.oldest(|key| self.waits(key)) else {
                self.unsynced.more.notified().await;
                continue;
            };
            if since.elapsed() < UNSYNCED {
                tokio::time::sleep_until(since + UNSYNCED).await;
                continue;
            }
            let served = self.unsynced.kept().len();
            if let Err(error) = self.sync().await {
                telemetry.emit(Event::warning("outcomes_not_synced", error.to_string()));
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            // Nobody else takes any away: those that were there before the sync are the first.
            self.unsynced.kept().drain(..served);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        sync::{Arc, mpsc},
    };

    use qflow_model::{
        ids::{NodeKey, RunId, StepIx},
        outcome::{Ending, Outcome, Phases},
    };
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::{super::journal::Disk, *};

    /// What is at one moment need not be seen at that same one.
    const SOON: Duration = Duration::from_millis(5);

    /// A disk that tells of each sync, and ends it once it is told how.
    #[derive(Debug)]
    struct Told {
        began: UnboundedSender<()>,
        ends: Mutex<mpsc::Receiver<std::io::Result<()>>>,
    }

    impl Disk for Told {
        fn sync(&self, _: &File) -> std::io::Result<()> {
            self.began.send(()).unwrap();
            self.ends.lock().unwrap().recv().unwrap()
        }
    }

    /// A spool, and the hand on its disk.
    struct Desk {
        spool: Spool,
        syncs: UnboundedReceiver<()>,
        end: mpsc::Sender<std::io::Result<()>>,
        folder: tempfile::TempDir,
    }

    fn key(step: u32) -> AttemptKey {
        AttemptKey { run: RunId(uuid::Uuid::from_u128(1)), node: NodeKey::root(StepIx(step), None), attempt: 1 }
    }

    impl Desk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let ((began, mut syncs), (end, ends)) = (unbounded_channel(), mpsc::channel());
            // It is opened with one.
            end.send(Ok(())).unwrap();
            let spool = Spool::on(folder.path(), Arc::new(Told { began, ends: Mutex::new(ends) })).unwrap();
            syncs.try_recv().unwrap();
            let settling = spool.clone();
            tokio::spawn(async move { settling.sync_late(&Telemetry::silent()).await });
            Self { spool, syncs, end, folder }
        }

        fn keep(&self, step: u32) {
            let outcome = Outcome {
                ending: Ending::Cancelled,
                phases: Phases::default(),
                container_id: String::new(),
                peak_memory_bytes: 0,
                cpu_seconds: 0.0,
                log_lines: 0,
                log_lines_dropped: 0,
                log: None,
                warnings: vec![],
            };
            self.spool.keep(key(step), &outcome).unwrap();
        }

        /// Whether no sync begins for so long.
        async fn is_quiet(&mut self, time: Duration) -> bool {
            tokio::time::timeout(time, self.syncs.recv()).await.is_err()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_acknowledged_in_time_costs_no_sync() {
        let mut desk = Desk::new();
        for step in 0..200 {
            desk.keep(step);
            assert!(desk.is_quiet(Duration::from_millis(5)).await);
            desk.spool.forget(key(step));
        }
        assert!(desk.is_quiet(Duration::from_secs(10)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_synced_in_time_once_for_all() {
        let mut desk = Desk::new();
        (0..50).for_each(|step| desk.keep(step));
        desk.spool.forget(key(0));
        assert!(desk.is_quiet(UNSYNCED.saturating_sub(SOON)).await, "not before its time");
        desk.end.send(Ok(())).unwrap();
        assert!(!desk.is_quiet(2 * SOON).await, "and not after it");
        assert!(desk.is_quiet(Duration::from_secs(10)).await, "it served all of them");
        desk.keep(50);
        desk.end.send(Ok(())).unwrap();
        assert!(!desk.is_quiet(UNSYNCED + SOON).await, "and none that comes later");
        assert_eq!(desk.spool.waiting().len(), 50);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_slow_disk_and_what_comes_meanwhile_has_the_next_sync() {
        let mut desk = Desk::new();
        desk.keep(0);
        desk.syncs.recv().await.unwrap();
        // The disk is at it: outcomes are kept, told and forgotten all the same.
        desk.keep(1);
        assert!(desk.spool.kept(key(1)).is_some());
        desk.spool.forget(key(0));
        desk.end.send(Ok(())).unwrap();
        desk.syncs.recv().await.unwrap();
        desk.end.send(Ok(())).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_refuses_is_tried_again() {
        let mut desk = Desk::new();
        desk.keep(0);
        desk.end.send(Err(std::io::Error::other("no"))).unwrap();
        assert!(!desk.is_quiet(UNSYNCED + SOON).await);
        assert!(desk.is_quiet(AGAIN.saturating_sub(SOON)).await);
        desk.end.send(Ok(())).unwrap();
        let path = desk.folder.path().join("journal");
        let file = || std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
        let before = file();
        assert!(desk.syncs.recv().await.is_some());
        assert_ne!(file(), before, "what the kernel may have lost is written anew");
    }
}
