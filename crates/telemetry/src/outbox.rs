//! Spans on their way out: a bounded queue and a thread of its own, so that a receiver that hangs or is not there
//! neither holds up work nor takes memory. What does not get out is counted.

use std::{
    sync::mpsc::{SyncSender, sync_channel},
    time::Duration,
};

use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use crate::{export, traces::SpanRecord};

/// A span, and the component that it is of.
type Ended = (&'static str, SpanRecord);

/// How many spans may wait: about 8 MB. Past it they are dropped and counted.
const QUEUE: usize = 8192;
/// How many leave in one call.
const BATCH: usize = 512;
/// How long a span may wait for others to leave with.
const LINGER: Duration = Duration::from_secs(1);
/// How much longer than its own time-out one call may take, with its connection and its repetitions.
const SLACK: Duration = Duration::from_secs(2);

/// What became of spans.
#[derive(Clone)]
pub(crate) struct Fate {
    pub(crate) sent: metrics::Counter,
    pub(crate) dropped: metrics::Counter,
}

/// The queue's near end.
pub(crate) struct Outbox {
    spans: mpsc::Sender<Ended>,
    flushes: mpsc::UnboundedSender<SyncSender<()>>,
    fate: Fate,
}

impl Outbox {
    /// Starts the thread; `exporter` is made on it, within its runtime, and gives a call up after `patience`.
    pub(crate) fn start<E: SpanExporter + 'static>(
        fate: Fate,
        patience: Duration,
        exporter: impl FnOnce() -> Result<E, String> + Send + 'static,
    ) -> Result<Self, String> {
        let (spans, waiting) = mpsc::channel(QUEUE);
        let (flushes, orders) = mpsc::unbounded_channel();
        let (made, is_made) = sync_channel(1);
        let told = fate.clone();
        let run = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(made.send(Err(error.to_string()))),
            };
            runtime.block_on(async {
                match exporter() {
                    Err(error) => drop(made.send(Err(error))),
                    Ok(exporter) => {
                        drop(made.send(Ok(())));
                        work((exporter, patience + SLACK), waiting, orders, told).await;
                    }
                }
            });
        };
        std::thread::Builder::new().name("qflow-spans".into()).spawn(run).map_err(|error| error.to_string())?;
        is_made.recv().map_err(|error| error.to_string())??;
        Ok(Self { spans, flushes, fate })
    }

    /// Takes a span that has ended, or counts it as dropped where it has no room.
    pub(crate) fn take(&self, component: &'static str, span: SpanRecord) {
        if self.spans.try_send((component, span)).is_err() {
            self.fate.dropped.increment(1);
        }
    }

    /// Waits for what was taken before to leave, within a bound.
    pub(crate) fn flush(&self, bound: Duration) {
        let (done, wait) = sync_channel(1);
        if self.flushes.send(done).is_ok() {
            // Whoever asks goes on all the same.
            let _ = wait.recv_timeout(bound);
        }
    }
}

/// Sends what waits, in batches, until the near end is gone.
async fn work<E: SpanExporter>(
    (exporter, bound): (E, Duration),
    mut waiting: mpsc::Receiver<Ended>,
    mut flushes: mpsc::UnboundedReceiver<SyncSender<()>>,
    fate: Fate,
) {
    let mut batch = Vec::new();
    loop {
        let (flush, open) = gather(&mut batch, &mut waiting, &mut flushes).await;
        loop {
            send((&exporter, bound), std::mem::take(&mut batch), &fate).await;
            // Until an order is carried out, what came before it leaves too.
            while flush.is_some() && batch.len() < BATCH {
                let Ok(span) = waiting.try_recv() else { break };
                batch.push(span);
            }
            if batch.is_empty() {
                break;
            }
        }
        if let Some(done) = flush {
            // Whoever ordered it may have stopped waiting.
            let _ = done.try_send(());
        }
        if !open {
            return;
        }
    }
}

/// Fills a batch until it is full, has waited long enough or is ordered out; says whether more can come.
async fn gather(
    batch: &mut Vec<Ended>,
    waiting: &mut mpsc::Receiver<Ended>,
    flushes: &mut mpsc::UnboundedReceiver<SyncSender<()>>,
) -> (Option<SyncSender<()>>, bool) {
    let mut due = None;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        let lingered = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            got = waiting.recv_many(batch, room) => match got {
                0 => return (None, false),
                _ => due = due.or_else(|| Some(Instant::now() + LINGER)),
            },
            () = lingered => break,
            Some(flush) = flushes.recv() => return (Some(flush), true),
        }
    }
    (None, true)
}

async fn send<E: SpanExporter>((exporter, bound): (&E, Duration), batch: Vec<Ended>, fate: &Fate) {
    let told = batch.len() as u64;
    let data: Vec<SpanData> = batch.into_iter().filter_map(|(component, span)| export::data(component, span)).collect();
    let spans = data.len() as u64;
    fate.dropped.increment(told - spans);
    if data.is_empty() {
        return;
    }
    match timeout(bound, exporter.export(data)).await {
        Ok(Ok(())) => fate.sent.increment(spans),
        _ => fate.dropped.increment(spans),
    }
}
