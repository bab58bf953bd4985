//! Log lines: put together and written by a thread behind a bounded queue, so that no work waits for a slow reader, or for a line.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Sender, SyncSender, channel, sync_channel},
    },
    time::Duration,
};

/// How many lines may wait; past it they are dropped and counted.
const QUEUE: usize = 8192;
/// Bytes of lines that are written at once.
const TOGETHER: usize = 64 * 1024;
/// Between two looks at the queue while there are lines: what comes meanwhile wakes nobody.
const PAUSE: Duration = Duration::from_millis(1);
/// How long a flush may take.
const FLUSH: Duration = Duration::from_secs(2);

enum Job<T> {
    Line(T),
    Flush(SyncSender<()>),
}

/// What became of lines.
#[derive(Clone)]
pub(crate) struct Fate {
    pub(crate) sent: metrics::Counter,
    pub(crate) dropped: metrics::Counter,
    pub(crate) lost: metrics::Counter,
}

impl Fate {
    fn count(&self, written: bool) {
        if written {
            self.sent.increment(1);
        } else {
            self.dropped.increment(1);
            self.lost.increment(1);
        }
    }
}

/// The queue's near end.
pub(crate) struct Log<T> {
    jobs: Sender<Job<T>>,
    /// Orders to flush always have room, so the queue itself is unbounded and lines are counted.
    waiting: Arc<AtomicUsize>,
    fate: Fate,
}

impl<T: Send + 'static> Log<T> {
    /// A writer thread over `out`, which makes lines by `text`.
    pub(crate) fn to(mut out: Box<dyn Write + Send>, fate: Fate, text: impl Fn(T) -> String + Send + 'static) -> Self {
        let (sender, jobs) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let (left, told) = (Arc::clone(&waiting), fate.clone());
        let work = move || {
            let (mut together, mut count) = (String::new(), 0);
            while let Ok(job) = jobs.recv() {
                let mut next = Some(job);
                while let Some(job) = next {
                    let flush = match job {
                        Job::Line(line) => {
                            together.push_str(&text(line));
                            count += 1;
                            None
                        }
                        Job::Flush(done) => Some(done),
                    };
                    next = jobs.try_recv().ok();
                    if next.is_none() || flush.is_some() || together.len() >= TOGETHER {
                        left.fetch_sub(count, Ordering::Relaxed);
                        // A closed pipe is nobody reading: the lines have nowhere else to go.
                        let written = out.write_all(together.as_bytes()).is_ok();
                        (0..std::mem::take(&mut count)).for_each(|_| told.count(written));
                        together.clear();
                    }
                    if let Some(done) = flush {
                        drop(out.flush());
                        let _ = done.send(());
                    }
                }
                // Who wakes a thread for every line works for that thread: under way together they cost a tenth.
                #[expect(
                    clippy::disallowed_methods,
                    reason = "lets lines gather: nothing waits for it but their writer"
                )]
                std::thread::sleep(PAUSE);
            }
        };
        // Without a thread the queue closes and every line counts as dropped.
        drop(std::thread::Builder::new().name("qflow-log".into()).spawn(work));
        Self { jobs: sender, waiting, fate }
    }

    /// Takes a line; counts it as dropped where it has no room.
    pub(crate) fn line(&self, line: T) {
        let has_room = self.waiting.fetch_add(1, Ordering::Relaxed) < QUEUE;
        if !has_room || self.jobs.send(Job::Line(line)).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.fate.count(false);
        }
    }

    /// Waits for what was taken before, within a bound.
    pub(crate) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.jobs.send(Job::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(FLUSH);
        }
    }
}
