//! Lines that user code wrote: rows while their attempts run, told to those who follow; objects of the blob store once they are over.

pub mod told;
pub mod whole;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use qflow_blobs::Blobs;
use qflow_model::ids::RunId;
use qflow_telemetry::{Event, Telemetry};
use tokio::sync::{mpsc, oneshot};

use crate::{
    bus::Bus,
    record::{Store, StoredLine},
};
use whole::Attempt;

/// Messages that may wait: past it a runner's stream is read more slowly.
const QUEUE: usize = 1024;
/// Messages that are kept at once.
const TOGETHER: usize = 256;
/// Attempts that are kept in mind until their runs have ended. Rows of more stay until their runs are removed: they cost room, no more.
const IN_MIND: usize = 200_000;

enum Message {
    Lines(RunId, Vec<StoredLine>),
    Ended(RunId),
    Flush(oneshot::Sender<()>),
}

/// Where lines go.
#[derive(Clone)]
pub struct Logs(mpsc::Sender<Message>);

struct Keeper {
    store: Arc<dyn Store>,
    blobs: Arc<Blobs>,
    bus: Arc<dyn Bus>,
    telemetry: Telemetry,
    /// Whose lines came here.
    attempts: BTreeMap<RunId, BTreeSet<Attempt>>,
    in_mind: usize,
}

impl Logs {
    /// Starts keeping lines.
    pub fn start(store: Arc<dyn Store>, blobs: Arc<Blobs>, bus: Arc<dyn Bus>, telemetry: Telemetry) -> Self {
        let (to, mut from) = mpsc::channel(QUEUE);
        let mut keeper = Keeper { store, blobs, bus, telemetry, attempts: BTreeMap::new(), in_mind: 0 };
        tokio::spawn(async move {
            let mut messages = Vec::new();
            while from.recv_many(&mut messages, TOGETHER).await > 0 {
                keeper.keep(messages.drain(..)).await;
            }
        });
        Self(to)
    }

    /// Hands lines over.
    pub async fn lines(&self, run: RunId, lines: Vec<StoredLine>) {
        // The keeper ends with the process.
        self.0.send(Message::Lines(run, lines)).await.ok();
    }

    /// Says that a run has ended: rows of attempts that are objects by now are not needed any more. Never waits: where too much does
    /// already, they stay until the run is removed.
    pub fn ended(&self, run: RunId) {
        self.0.try_send(Message::Ended(run)).ok();
    }

    /// Waits until all that was handed over is kept.
    pub async fn flush(&self) {
        let (done, kept) = oneshot::channel();
        if self.0.send(Message::Flush(done)).await.is_ok() {
            kept.await.ok();
        }
    }
}

impl Keeper {
    async fn keep(&mut self, messages: impl Iterator<Item = Message>) {
        let (mut by_run, mut waiting, mut ended) = (BTreeMap::<RunId, Vec<StoredLine>>::new(), Vec::new(), Vec::new());
        for message in messages {
            match message {
                Message::Lines(run, mut lines) => by_run.entry(run).or_default().append(&mut lines),
                Message::Ended(run) => ended.push(run),
                Message::Flush(done) => waiting.push(done),
            }
        }
        for (run, lines) in by_run {
            self.note(run, &lines);
            let count = lines.len();
            match self.store.append_lines(run, lines).await {
                Ok(()) => self.bus.lines(run),
                // Lines are a comfort: work goes on without them, and says so.
                Err(error) => self.telemetry.emit(
                    Event::warning("live_lines_lost", error.to_string())
                        .with("lost", count)
                        .with("run_id", run.to_string()),
                ),
            }
        }
        // Who asked may have gone.
        waiting.into_iter().for_each(|done| done.send(()).unwrap_or(()));
        for run in ended {
            if let Some(attempts) = self.attempts.remove(&run) {
                self.in_mind -= attempts.len();
                tokio::spawn(clear(Arc::clone(&self.store), Arc::clone(&self.blobs), run, attempts));
            }
        }
    }

    fn note(&mut self, run: RunId, lines: &[StoredLine]) {
        if self.in_mind >= IN_MIND {
            self.attempts.clear();
            self.in_mind = 0;
        }
        let attempts = self.attempts.entry(run).or_default();
        for line in lines {
            self.in_mind += usize::from(attempts.insert((line.node_id.clone(), line.attempt)));
        }
    }
}

/// Removes rows of attempts whose lines are objects. What fails leaves rows behind: they are not read, and go with the run.
async fn clear(store: Arc<dyn Store>, blobs: Arc<Blobs>, run: RunId, attempts: BTreeSet<Attempt>) {
    let Ok(written) = blobs.logs(run).await else { return };
    let over: Vec<_> = attempts.into_iter().filter(|(node, attempt)| written.has(node, *attempt)).collect();
    if !over.is_empty() {
        store.drop_lines(run, over).await.ok();
    }
}

/// Whether an id is a node's, an element's of it, or a node's below it.
pub fn is_of(id: &str, node_id: &str) -> bool {
    node_id.is_empty() || id.strip_prefix(node_id).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '/']))
}
