//! Replicas that share a store: who lives, and who owns which shards.

use std::collections::BTreeSet;

use qflow_model::ids::Shard;

/// An orchestrator on the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replica {
    /// New with each start.
    pub owner: String,
    /// Where runners reach it; empty where nobody but its own process does.
    pub url: String,
}

/// How a replica stands among the others, by the store's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// All that live, itself included, by owner.
    pub members: Vec<Replica>,
    /// Of the shards that it named those that are still its own; their leases begin anew.
    pub held: BTreeSet<Shard>,
    /// Owners that were thought to live, and have not said for a lease that they do: each is told to one replica, once.
    pub missed: Vec<String>,
}
