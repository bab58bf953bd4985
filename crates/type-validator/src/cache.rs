//! Definitions that were read and checked before, by what they were read from: a hint. A look costs a moment at most, and what is
//! found is what reading it again would give, or nothing.

#[cfg(test)]
mod conformance;
mod entry;
mod local;
mod redis;

use std::sync::Arc;

use async_trait::async_trait;
use qflow_model::{definition::Source, ids::Digest};

pub use self::{
    entry::{Seal, program},
    local::Local,
    redis::Redis,
};
use crate::validate::Inspected;

/// Bytes of an entry, as JSON: a larger one is read anew each time.
pub(crate) const ENTRY_BYTES: usize = 1024 * 1024;
/// How long an entry is kept.
pub(crate) const KEPT: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Names what a source says to one program: equal sources and equal programs have equal keys. Nothing else matters to reading one.
pub fn key(source: &Source, program: Digest) -> Digest {
    Digest::of_parts([&b"qflow definition"[..], &program.0, &source.digest().0])
}

/// Where definitions are kept.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// `memory` or `redis`.
    fn kind(&self) -> &'static str;
    /// What is kept under a key, if anything is.
    async fn get(&self, key: Digest) -> Option<Arc<Inspected>>;
    /// Keeps something under a key, as far as it goes: nobody waits for that.
    fn put(&self, key: Digest, found: &Arc<Inspected>);
}
