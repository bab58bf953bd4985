//! Runs in a system that was restored from a back-up: what runners of the earlier one still say of them must not count.

use std::collections::BTreeSet;

use super::{NodeRun, RunHead, RunSpec};
use crate::ids::Digest;

/// Numbers of attempts that are left to each system that goes on from a back-up: more than it can give a node run before it is gone.
const ATTEMPTS_LEFT: u32 = 1000;

/// How far the numbers of one restored system are ahead of those in its back-up. Each restore draws its own, so that what another from
/// the same back-up still says does not count either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead(u32);

impl Ahead {
    /// Draws: as many stay below 2³¹, which a column holds, as ten back-ups of restored systems.
    const DRAWS: u32 = 200_000;

    /// The one that a random number gives.
    pub const fn drawn(random: u32) -> Self {
        Self(random % Self::DRAWS + 1)
    }

    /// Added to numbers of attempts.
    pub const fn attempts(self) -> u32 {
        self.0 * ATTEMPTS_LEFT
    }

    /// Added to epochs of shards: no replica of another system has one that high.
    pub const fn epochs(self) -> i64 {
        (self.0 as i64) << 32
    }
}

impl RunSpec {
    /// Adds the blobs that the run's parameters stand in.
    pub fn blobs(&self, to: &mut BTreeSet<Digest>) {
        self.params.values().for_each(|param| to.extend(param.value.blobs()));
    }
}

impl RunHead {
    /// Adds the blobs that the run's result stands in.
    pub fn blobs(&self, to: &mut BTreeSet<Digest>) {
        self.result.iter().for_each(|result| result.blobs(to));
    }

    /// The run's row in a restored system: its next attempts have numbers that no other system gave them.
    #[must_use]
    pub fn restored(self, ahead: Ahead) -> Self {
        Self { attempts_before: self.attempts_before.saturating_add(ahead.attempts()), ..self }
    }
}

impl NodeRun {
    /// Adds the blobs that the node run's value stands in.
    pub fn blobs(&self, to: &mut BTreeSet<Digest>) {
        let produced = self.detail.iter().filter_map(|detail| detail.produced.as_ref());
        produced.for_each(|produced| to.extend(produced.value.blobs()));
    }

    /// The node run's row in a restored system. One that a runner holds is nobody's now, and under a number that no runner knows: what
    /// is still said of it is late, and its attempt is lost.
    #[must_use]
    pub fn restored(self, ahead: Ahead) -> Self {
        let mut run = self;
        let held = run.status.is_held();
        if let Some(detail) = run.detail.as_deref_mut().filter(|detail| held && !detail.runner.is_empty()) {
            detail.runner.clear();
            run.attempt = run.attempt.saturating_add(ahead.attempts());
        }
        run
    }
}
