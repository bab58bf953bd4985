//! Shards of this replica: taken before it begins, renewed while it lives. For now one replica has all of them, and the others stand by.

use std::{collections::BTreeMap, time::Duration};

use qflow_model::{
    ids::{Digest, Epoch, SHARDS, Shard},
    limits,
};
use qflow_service::Shutdown;
use qflow_telemetry::Event;
use tokio::time::Instant;

use super::{Engine, Parts};
use crate::record::{self, Batch};

/// Between two tries to take the shards, at least.
const AGAIN_MS: u64 = 500;

/// All shards, or nothing where the order to stop came first. Who gets only some gives them back: another may lack just these.
pub(super) async fn take(parts: &Parts, shutdown: &Shutdown) -> record::Result<Option<BTreeMap<Shard, Epoch>>> {
    let mut told = false;
    loop {
        let shards = parts.store.take_shards(&parts.owner).await?;
        if shards.len() == usize::from(SHARDS) {
            return Ok(Some(shards));
        }
        parts.store.release(&parts.owner).await?;
        if !std::mem::replace(&mut told, true) {
            let text = "another replica owns the runs: this one stands by until it has stopped, or its leases are over";
            parts.telemetry.emit(Event::warning("standing_by", text));
        }
        // Replicas that tried at once do not try at once again.
        let own = u64::from(Digest::of(parts.owner.as_bytes()).0[0]);
        let wait = Duration::from_millis(AGAIN_MS + 2 * own);
        tokio::select! {
            () = shutdown.wait() => return Ok(None),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl Engine {
    /// Says that this replica lives, to the store that others use too.
    pub(super) async fn renew(&mut self) {
        if self.away.is_some() || self.renew_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        match self.parts.store.commit(Batch { fences: self.shards.clone(), ..Batch::default() }).await {
            Ok(at) => {
                self.written(at);
                self.renew_at = Some(Instant::now() + Duration::from_millis(limits::SHARD_RENEW_MS));
            }
            Err(error) => self.is_away(&error),
        }
    }
}
