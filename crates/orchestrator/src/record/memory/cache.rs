//! Kept outputs in memory.

use std::collections::{BTreeMap, BTreeSet};

use qflow_model::ids::{Digest, Timestamp};

use super::super::cache::{Cached, Expired, Hit, Scope};

/// Entries by whose they are and what they follow from, and blobs that none owns any more.
#[derive(Default)]
pub(super) struct Cache {
    entries: BTreeMap<(Scope, Digest), (Cached, Timestamp)>,
    left: BTreeSet<Digest>,
}

impl Cache {
    pub(super) fn find(&self, scope: &Scope, keys: &[Digest], now: Timestamp) -> Vec<Option<Hit>> {
        let one = |key: &Digest| {
            let (cached, _) = self.entries.get(&(scope.clone(), *key)).filter(|(_, expires)| *expires > now)?;
            Some(Hit { produced: cached.produced.clone(), from: cached.from.clone() })
        };
        keys.iter().map(one).collect()
    }

    pub(super) fn put(&mut self, cached: Cached, now: Timestamp) {
        let expires = now.plus_ms(cached.keep_ms);
        let before = self.entries.insert((cached.scope.clone(), cached.key), (cached, expires));
        self.left.extend(before.iter().flat_map(|(cached, _)| cached.blobs()));
    }

    pub(super) fn expire(&mut self, limit: usize, now: Timestamp) -> Expired {
        let over = self.entries.iter().filter(|(_, (_, expires))| *expires <= now);
        let mut over: Vec<_> = over.map(|(key, (_, expires))| (*expires, key.clone())).collect();
        over.sort();
        over.truncate(limit);
        for (_, key) in &over {
            let gone = self.entries.remove(key);
            self.left.extend(gone.iter().flat_map(|(cached, _)| cached.blobs()));
        }
        for blob in self.entries.values().flat_map(|(cached, _)| cached.blobs()) {
            self.left.remove(&blob);
        }
        Expired { entries: over.len() as u32, blobs: self.left.iter().take(limit).copied().collect() }
    }

    pub(super) fn forget(&mut self, blobs: &[Digest]) {
        self.left.retain(|blob| !blobs.contains(blob));
    }
}
