//! Spans on their way out: a bounded queue and a thread of its own, so that a receiver that hangs or is not there
//! neither holds up work nor takes memory. What does not get out is counted.

use std::{
    fmt,
    sync::mpsc::{SyncSender, sync_channel},
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    trace::{Span, SpanData, SpanExporter, SpanProcessor},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

/// How many spans may wait: about 8 MB. Past it they are dropped and counted.
const QUEUE: usize = 8192;
/// How many leave in one call.
const BATCH: usize = 512;
/// How long a span may wait for others to leave with.
const LINGER: Duration = Duration::from_secs(1);
/// How long one call may take, its connection and its repetitions included.
const EXPORT: Duration = Duration::from_secs(12);

/// What became of spans.
#[derive(Clone)]
pub(crate) struct Fate {
    pub(crate) sent: metrics::Counter,
    pub(crate) dropped: metrics::Counter,
}

/// The queue's near end.
pub(crate) struct Outbox {
    spans: mpsc::Sender<SpanData>,
    flushes: mpsc::UnboundedSender<SyncSender<()>>,
    fate: Fate,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbox")
    }
}

impl Outbox {
    /// Starts the thread; `exporter` is made on it, within its runtime.
    pub(crate) fn start<E: SpanExporter + 'static>(
        fate: Fate,
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
                        work(exporter, waiting, orders, told).await;
                    }
                }
            });
        };
        std::thread::Builder::new().name("qflow-spans".into()).spawn(run).map_err(|error| error.to_string())?;
        is_made.recv().map_err(|error| error.to_string())??;
        Ok(Self { spans, flushes, fate })
    }

    fn flush(&self, bound: Duration) -> OTelSdkResult {
        let (done, wait) = sync_channel(1);
        self.flushes.send(done).map_err(|_| OTelSdkError::AlreadyShutdown)?;
        wait.recv_timeout(bound).map_err(|_| OTelSdkError::Timeout(bound))
    }
}

impl SpanProcessor for Outbox {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.fate.dropped.increment(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flush(EXPORT)
    }

    fn shutdown_with_timeout(&self, bound: Duration) -> OTelSdkResult {
        self.flush(bound)
    }
}

/// Sends what waits, in batches, until the near end is gone.
async fn work<E: SpanExporter>(
    exporter: E,
    mut waiting: mpsc::Receiver<SpanData>,
    mut flushes: mpsc::UnboundedReceiver<SyncSender<()>>,
    fate: Fate,
) {
    let mut batch = Vec::new();
    loop {
        let (flush, open) = gather(&mut batch, &mut waiting, &mut flushes).await;
        loop {
            send(&exporter, std::mem::take(&mut batch), &fate).await;
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
    batch: &mut Vec<SpanData>,
    waiting: &mut mpsc::Receiver<SpanData>,
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

async fn send<E: SpanExporter>(exporter: &E, batch: Vec<SpanData>, fate: &Fate) {
    if batch.is_empty() {
        return;
    }
    let spans = batch.len() as u64;
    match timeout(EXPORT, exporter.export(batch)).await {
        Ok(Ok(())) => fate.sent.increment(spans),
        _ => fate.dropped.increment(spans),
    }
}
