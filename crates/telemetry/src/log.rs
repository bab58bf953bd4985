//! Log lines: made here, written by a thread behind a bounded queue, so that no work ever waits for a slow reader.

use std::{
    io::Write,
    sync::mpsc::{SyncSender, sync_channel},
    time::Duration,
};

/// How many lines may wait; past it they are dropped and counted.
const QUEUE: usize = 8192;
/// How long a flush may take.
const FLUSH: Duration = Duration::from_secs(2);

enum Job {
    Line(String),
    Flush(SyncSender<()>),
}

/// The queue's near end.
pub(crate) struct Log(SyncSender<Job>);

impl Log {
    /// A writer thread over `out`.
    pub(crate) fn to(mut out: Box<dyn Write + Send>) -> Self {
        let (sender, jobs) = sync_channel(QUEUE);
        let work = move || {
            while let Ok(job) = jobs.recv() {
                // A closed pipe is nobody reading: the lines have nowhere else to go.
                match job {
                    Job::Line(line) => drop(out.write_all(line.as_bytes())),
                    Job::Flush(done) => {
                        drop(out.flush());
                        let _ = done.send(());
                    }
                }
            }
        };
        // Without a thread the queue closes and every line counts as dropped.
        drop(std::thread::Builder::new().name("qflow-log".into()).spawn(work));
        Self(sender)
    }

    /// Takes a line; says whether it had room.
    pub(crate) fn line(&self, line: String) -> bool {
        self.0.try_send(Job::Line(line)).is_ok()
    }

    /// Waits for what was taken before, within a bound.
    pub(crate) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.0.try_send(Job::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(FLUSH);
        }
    }
}
