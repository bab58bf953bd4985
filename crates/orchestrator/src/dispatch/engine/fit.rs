//! Orders that carry too much are made to fit beside the engine, which waits for no blob: where the blob store is away, they wait for it.

use std::{sync::Arc, time::Duration};

use qflow_blobs::{Blobs, Patience};
use qflow_model::{ids::AttemptKey, limits::HEARTBEAT_MS};
use qflow_proto::order::Order;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{Engine, Word};
use crate::dispatch::orders;

/// What a node run is said to do meanwhile.
const WAITS: &str = "waiting for the blob store to take its arguments";

impl Engine {
    /// Keeps an attempt whose order waits to be made fit, where it is still to be had: no runner knows of it yet.
    pub(super) fn fitting(&mut self, key: AttemptKey, goes_on: oneshot::Sender<()>) {
        if self.shards.own(key.run) && self.is_current(key) {
            self.runners.confirm(key);
            self.parts.bus.doing(key.run, key.node, (WAITS.to_owned(), -1.0));
            // Who asked may have ended with the engine before.
            goes_on.send(()).ok();
        }
    }
}

/// Makes an order fit, and hands it to the engine; for as long as an attempt waits for the blob store, and while it is to be had.
pub(super) async fn fit(order: Order, blobs: Arc<Blobs>, engine: mpsc::WeakSender<Word>) {
    let key = order.key;
    let once = || {
        let mut order = Box::new(order.clone());
        let blobs = &blobs;
        async move { orders::fit(&mut order, blobs).await.map(|()| order) }
    };
    let fitting = Patience::ATTEMPT.insist(once, |_| true);
    tokio::pin!(fitting);
    let beat = Duration::from_millis(HEARTBEAT_MS);
    let mut beats = interval_at(Instant::now() + beat, beat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let fitted = loop {
        tokio::select! {
            biased;
            fitted = &mut fitting => break fitted,
            _ = beats.tick() => {
                let (goes_on, answered) = oneshot::channel();
                let Some(engine) = engine.upgrade() else { return };
                if engine.send(Word::Fitting(key, goes_on)).await.is_err() || answered.await.is_err() {
                    return;
                }
            }
        }
    };
    if let Some(engine) = engine.upgrade() {
        // The engine may have ended: who takes its runs over orders anew.
        engine.send(Word::Fitted(key, fitted.map_err(|error| error.to_string()))).await.ok();
    }
}
