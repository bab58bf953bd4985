//! Lines that user code wrote: kept in batches, then told to those who follow.

use std::{collections::BTreeMap, sync::Arc};

use qflow_model::ids::RunId;
use qflow_telemetry::{Event, Telemetry};
use tokio::sync::{mpsc, oneshot};

use crate::{
    bus::Bus,
    record::{Store, StoredLine},
};

/// Messages that may wait: past it a runner's stream is read more slowly.
const QUEUE: usize = 1024;
/// Messages that are kept at once.
const TOGETHER: usize = 256;

enum Message {
    Lines(RunId, Vec<StoredLine>),
    Flush(oneshot::Sender<()>),
}

/// Where lines go.
#[derive(Clone)]
pub struct Logs(mpsc::Sender<Message>);

impl Logs {
    /// Starts keeping lines.
    pub fn start(store: Arc<dyn Store>, bus: Arc<dyn Bus>, telemetry: Telemetry) -> Self {
        let (to, mut from) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let mut messages = Vec::new();
            while from.recv_many(&mut messages, TOGETHER).await > 0 {
                keep(&*store, &*bus, &telemetry, messages.drain(..)).await;
            }
        });
        Self(to)
    }

    /// Hands lines over.
    pub async fn lines(&self, run: RunId, lines: Vec<StoredLine>) {
        // The keeper ends with the process.
        self.0.send(Message::Lines(run, lines)).await.ok();
    }

    /// Waits until all that was handed over is kept.
    pub async fn flush(&self) {
        let (done, kept) = oneshot::channel();
        if self.0.send(Message::Flush(done)).await.is_ok() {
            kept.await.ok();
        }
    }
}

async fn keep(store: &dyn Store, bus: &dyn Bus, telemetry: &Telemetry, messages: impl Iterator<Item = Message>) {
    let (mut by_run, mut waiting) = (BTreeMap::<RunId, Vec<StoredLine>>::new(), Vec::new());
    for message in messages {
        match message {
            Message::Lines(run, mut lines) => by_run.entry(run).or_default().append(&mut lines),
            Message::Flush(done) => waiting.push(done),
        }
    }
    for (run, lines) in by_run {
        let count = lines.len();
        match store.append_lines(run, lines).await {
            Ok(()) => bus.lines(run),
            // Lines are a comfort: work goes on without them, and says so.
            Err(error) => telemetry.emit(
                Event::warning("user_lines_lost", error.to_string())
                    .with("lost", count)
                    .with("run_id", run.to_string()),
            ),
        }
    }
    // Who asked may have gone.
    waiting.into_iter().for_each(|done| done.send(()).unwrap_or(()));
}
