//! Which runs are under way, among replicas: one channel that all speak on, and hear where somebody watches.

use std::sync::Arc;

use fred::{clients::SubscriberClient, interfaces::PubsubInterface, prelude::Client, types::Message};
use qflow_service::Shutdown;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Local;
use crate::{
    active::{Word, Words},
    bus::Bus,
};

/// The channel.
pub(super) const CHANNEL: &str = "qflow:active";
/// Tellings that may wait for Redis.
pub(super) const QUEUE: usize = 64;
/// Words of a message: a shard's is as long as it has runs.
const TOGETHER: usize = 64;

/// Words, and by whom.
#[derive(Serialize, Deserialize)]
struct Said {
    from: String,
    words: Vec<Word>,
}

/// Says what is queued until the order to stop; what Redis does not take is said again as a whole by and by.
pub(super) async fn speak(client: Client, mut told: mpsc::Receiver<Words>, from: String, shutdown: Shutdown) {
    loop {
        let words = tokio::select! {
            words = told.recv() => words,
            () = shutdown.wait() => return,
        };
        let Some(words) = words else { return };
        for words in words.chunks(TOGETHER) {
            let said = Said { from: from.clone(), words: words.to_vec() };
            let Ok(text) = serde_json::to_string(&said) else { continue };
            let _: Result<(), _> = client.publish(CHANNEL, text).await;
        }
    }
}

/// Passes on what another replica said.
pub(super) fn hear(message: &Message, local: &Local, owner: &str) {
    let said = message.value.as_str().and_then(|text| serde_json::from_str::<Said>(&text).ok());
    if let Some(said) = said.filter(|said| said.from != owner) {
        local.active(Arc::new(said.words));
    }
}

/// Begins to hear the channel, or ceases; whether it is heard now.
pub(super) async fn turn(client: &SubscriberClient, on: bool) -> bool {
    if on { client.subscribe(CHANNEL).await.is_ok() } else { client.unsubscribe(CHANNEL).await.is_err() }
}
