//! Lines of attempts that are over and that no object has yet: the blob store did not take them when they ended.

use qflow_model::ids::{AttemptKey, Timestamp};
use serde::{Deserialize, Serialize};

use super::Spool;

/// Names of what is owed in the journal.
const OWED: &str = "owed/";

/// Whose lines are to become an object yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// The attempt.
    pub key: AttemptKey,
    /// Its node run's id.
    pub node_id: String,
    /// When it ended.
    pub since: Timestamp,
}

impl Spool {
    /// Keeps an attempt's lines until they are settled, also once its outcome is acknowledged.
    pub fn owe(&self, owed: &Owed) -> std::io::Result<()> {
        self.journal.put(&format!("{OWED}{}", owed.key), serde_json::to_vec(owed)?)
    }

    /// All that are owed with their bytes, the oldest first.
    pub fn owed(&self) -> Vec<(Owed, u64)> {
        let owed: Vec<Owed> = self.journal.all(OWED, |_, content| serde_json::from_slice(content).ok());
        let bytes = |owed: &Owed| std::fs::metadata(self.lines(owed.key)).map_or(0, |file| file.len());
        let mut all: Vec<_> =
            owed.into_iter().map(|owed| (bytes(&owed), owed)).map(|(bytes, owed)| (owed, bytes)).collect();
        all.sort_by_key(|(owed, _)| owed.since);
        all
    }

    pub(super) fn is_owed(&self, key: AttemptKey) -> bool {
        self.journal.has(&format!("{OWED}{key}"))
    }

    /// Drops lines that are an object now, or given up.
    pub fn settle(&self, key: AttemptKey) {
        // Owed once more after a restart, they are written once more; and what is left of them is swept then.
        self.journal.remove(&format!("{OWED}{key}")).ok();
        std::fs::remove_file(self.lines(key)).ok();
    }
}
