//! Outputs that are kept to be reused: each under the digest of all that it follows from, for one user.

use qflow_model::{ids::Digest, progress::ReusedFrom, value::Produced};

/// Whose something is. Of kept outputs: nobody reuses what another user's code made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// The tenant.
    pub tenant: String,
    /// The user.
    pub user: String,
}

/// An output to keep, in the transaction that records it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cached {
    /// Whose.
    pub scope: Scope,
    /// What it follows from.
    pub key: Digest,
    /// It.
    pub produced: Produced,
    /// Where it was made.
    pub from: ReusedFrom,
    /// For how long, by the store's clock; `u64::MAX` for ever.
    pub keep_ms: u64,
}

impl Cached {
    /// Digests of the blobs that the entry owns copies of.
    pub fn blobs(&self) -> Vec<Digest> {
        blobs(&self.produced)
    }
}

/// Digests of the blobs that a value stands in, each once.
pub fn blobs(produced: &Produced) -> Vec<Digest> {
    let mut all: Vec<Digest> = produced.value.blobs().collect();
    all.sort();
    all.dedup();
    all
}

/// What was kept under a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The output.
    pub produced: Produced,
    /// Where it was made.
    pub from: ReusedFrom,
}

/// What was removed because its time is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Entries.
    pub entries: u32,
    /// Blobs that no entry owns any more: to be removed, and then to be forgotten.
    pub blobs: Vec<Digest>,
}
