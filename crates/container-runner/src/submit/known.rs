//! Orchestrators that others told of, kept over restarts: those that a runner is given may be gone when it starts again.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use qflow_telemetry::Event;

use super::{Edge, lock};

/// For how long none of those that were given may answer before those that were known are dialed too: one that lives has answered by then,
/// and an attempt's lease is far longer.
const ALONE: Duration = Duration::from_secs(2);
/// Addresses that are kept: no more orchestrators than shards have anything to do.
const KNOWN: usize = qflow_model::ids::SHARDS as usize;

impl Edge {
    /// Dials the orchestrators that the runner was given, and where none of them answers those that it knew when it ran before.
    pub fn dial_all(self: &Arc<Self>, given: impl Iterator<Item = String>) {
        let given: BTreeSet<String> = given.filter(|url| !url.is_empty()).collect();
        given.iter().for_each(|url| self.dial(url));
        let known = self.runner.spool.peers();
        let others: BTreeSet<String> = known.difference(&given).cloned().collect();
        *lock(&self.known) = known;
        if !others.is_empty() {
            tokio::spawn(Arc::clone(self).remember(others));
        }
    }

    async fn remember(self: Arc<Self>, others: BTreeSet<String>) {
        tokio::time::sleep(ALONE).await;
        if !lock(&self.streams).is_empty() {
            return;
        }
        let urls = others.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let why =
            format!("none of QFLOW_ORCHESTRATOR_URLS answers: this runner dials those that it knew before, {urls}");
        self.runner.telemetry.emit(Event::warning("orchestrators_remembered", why));
        others.iter().for_each(|url| self.dial(url));
    }

    /// Dials orchestrators of which another one told, which are all that live, and keeps them in place of those before.
    pub(super) async fn meet(self: &Arc<Self>, peers: &[String]) {
        let peers: BTreeSet<String> = peers.iter().filter(|peer| !peer.is_empty()).take(KNOWN).cloned().collect();
        peers.iter().for_each(|peer| self.dial(peer));
        // One that has only begun knows of nobody yet.
        if peers.is_empty() || *lock(&self.known) == peers {
            return;
        }
        lock(&self.known).clone_from(&peers);
        if let Err(error) = self.runner.spool.keep_peers(&peers).await {
            let why = format!("keep the addresses of orchestrators on the disk: {error}");
            self.runner.telemetry.emit(Event::warning("peers_not_kept", why));
        }
    }
}
