//! Definitions in memory: the newest, in so many bytes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use qflow_model::ids::Digest;
use tokio::time::Instant;

use super::{Cache, ENTRY_BYTES, KEPT};
use crate::validate::Inspected;

/// Bytes of all entries, as JSON: in memory a definition takes a few times as much.
const BYTES: usize = 8 * 1024 * 1024;

/// What is kept in memory.
#[derive(Debug, Default)]
pub struct Local(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<Digest, Entry>,
    /// Keys by when they were last wanted.
    by_use: BTreeMap<u64, Digest>,
    uses: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    found: Arc<Inspected>,
    bytes: usize,
    since: Instant,
    used: u64,
}

impl Entries {
    fn remove(&mut self, key: Digest) {
        if let Some(entry) = self.by_key.remove(&key) {
            self.by_use.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }

    fn get(&mut self, key: Digest) -> Option<Arc<Inspected>> {
        if self.by_key.get(&key)?.since.elapsed() >= KEPT {
            self.remove(key);
            return None;
        }
        self.uses += 1;
        let entry = self.by_key.get_mut(&key)?;
        self.by_use.remove(&entry.used);
        entry.used = self.uses;
        self.by_use.insert(self.uses, key);
        Some(Arc::clone(&entry.found))
    }

    fn put(&mut self, key: Digest, found: Arc<Inspected>, bytes: usize) {
        self.remove(key);
        self.uses += 1;
        self.by_key.insert(key, Entry { found, bytes, since: Instant::now(), used: self.uses });
        self.by_use.insert(self.uses, key);
        self.bytes += bytes;
        while self.bytes > BYTES {
            let Some((_, oldest)) = self.by_use.first_key_value() else { return };
            self.remove(*oldest);
        }
    }
}

impl Local {
    fn inside(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept here.
    pub(super) fn known(&self, key: Digest) -> Option<Arc<Inspected>> {
        self.inside().get(key)
    }

    /// Keeps it here.
    pub(super) fn keep(&self, key: Digest, found: &Arc<Inspected>) {
        let bytes = serde_json::to_vec(&**found).map_or(usize::MAX, |json| json.len());
        if bytes <= ENTRY_BYTES {
            self.inside().put(key, Arc::clone(found), bytes);
        }
    }
}

#[async_trait]
impl Cache for Local {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn get(&self, key: Digest) -> Option<Arc<Inspected>> {
        self.known(key)
    }

    fn put(&self, key: Digest, found: &Arc<Inspected>) {
        self.keep(key, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large(name: usize, bytes: usize) -> (Digest, Arc<Inspected>) {
        let edges = [(name.to_string(), vec![("x".repeat(bytes), String::new(), true)])].into();
        (Digest::of(&name.to_be_bytes()), Arc::new(Inspected { edges, ..Inspected::default() }))
    }

    #[test]
    fn it_keeps_what_was_wanted_last_in_so_many_bytes() {
        let cache = Local::default();
        let (first, found) = large(0, ENTRY_BYTES / 2);
        cache.keep(first, &found);
        for name in 1..100 {
            let (key, found) = large(name, ENTRY_BYTES / 2);
            cache.keep(key, &found);
            assert!(cache.known(first).is_some(), "it is wanted again and again");
            assert!(cache.inside().bytes <= BYTES);
        }
        let entries = cache.inside();
        assert!(entries.by_key.len() > 10 && entries.by_key.len() == entries.by_use.len());
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let (key, found) = large(1, ENTRY_BYTES);
        let cache = Local::default();
        cache.keep(key, &found);
        assert!(cache.known(key).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_day_it_is_read_anew() {
        let (key, found) = large(1, 1);
        let cache = Local::default();
        cache.keep(key, &found);
        tokio::time::advance(KEPT).await;
        assert!(cache.known(key).is_none());
        assert_eq!(cache.inside().bytes, 0);
    }
}
