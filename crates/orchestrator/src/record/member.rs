//! Replicas that share a store: who lives, and who owns which shards.

use std::collections::{BTreeMap, BTreeSet};

use qflow_model::ids::{Epoch, Shard, Timestamp};

/// An orchestrator on the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replica {
    /// New with each start.
    pub owner: String,
    /// Where runners reach it; empty where nobody but its own process does.
    pub url: String,
}

impl Replica {
    /// What it is called where people read it.
    pub fn name(&self) -> &str {
        if self.url.is_empty() { &self.owner } else { &self.url }
    }
}

/// What a replica says of itself when it says that it lives.
#[derive(Clone, Copy, Debug)]
pub struct Attending<'a> {
    /// Who.
    pub replica: &'a Replica,
    /// The shards that it holds, and under which epochs.
    pub held: &'a BTreeMap<Shard, Epoch>,
    /// Whether attempts wait with it and no runner has a stream to it.
    pub stranded: bool,
}

/// A replica as a store without a table of them has it in mind.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) replica: Replica,
    pub(super) until: Timestamp,
    pub(super) stranded: bool,
}

impl Member {
    /// All of them, and those with which attempts wait in vain.
    pub(super) fn told<'m>(all: impl Iterator<Item = &'m Self> + Clone) -> (Vec<Replica>, Vec<Replica>) {
        let stranded = all.clone().filter(|member| member.stranded).map(|member| member.replica.clone());
        (all.map(|member| member.replica.clone()).collect(), stranded.collect())
    }
}

/// How a replica stands among the others, by the store's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// All that live, itself included, by owner.
    pub members: Vec<Replica>,
    /// Those of them with which attempts wait that no runner comes for.
    pub stranded: Vec<Replica>,
    /// Of the shards that it named those that are still its own; their leases begin anew.
    pub held: BTreeSet<Shard>,
    /// Owners that were thought to live, and have not said for a lease that they do: each is told to one replica, once.
    pub missed: Vec<String>,
}
