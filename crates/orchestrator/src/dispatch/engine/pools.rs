//! Room in pools, for one turn: as the store's rows have it, less what this turn gives back, and as its leases take it.

use std::collections::{BTreeSet, HashMap};

use qflow_model::{
    ids::{NodeKey, RunId, Timestamp},
    progress::RunState,
};

use super::Engine;
use crate::record::pool::{Pool, PoolState};

/// A pool's tenant and name.
pub(super) type Key = (String, String);

/// The pool that limits a node run, where one does.
pub(super) fn of(state: &RunState, node: NodeKey) -> Option<Key> {
    let pool = state.definition(node)?.pool.clone()?;
    Some((state.spec.tenant.clone(), pool))
}

/// A pool as this turn has it.
struct Room {
    pool: Pool,
    held: u32,
    started: u32,
    next: Option<Timestamp>,
}

/// Pools that something ready waits for. Read anew each turn: nothing of it outlives one.
#[derive(Default)]
pub(super) struct Pools(HashMap<Key, Room>);

impl Pools {
    fn add(&mut self, state: PoolState, held: u32) {
        let key = (state.pool.tenant.clone(), state.pool.name.clone());
        self.0.insert(key, Room { pool: state.pool, held, started: state.started, next: state.next });
    }

    /// What a node run waits for; nothing where it may begin.
    pub(super) fn wait(&self, state: &RunState, node: NodeKey) -> Option<String> {
        let key = of(state, node)?;
        match self.0.get(&key) {
            Some(room) => room.pool.wait(room.held, room.started),
            None => Some(format!("waiting for pool {0}, which is not there: qflow pools set {0} --slots N", key.1)),
        }
    }

    /// An attempt takes a slot.
    pub(super) fn take(&mut self, key: &Key) {
        if let Some(room) = self.0.get_mut(key) {
            room.held += 1;
            room.started += 1;
        }
    }

    /// When the earliest of the pools whose starts are used up lets another begin.
    pub(super) fn next_start(&self) -> Option<Timestamp> {
        self.0.values().filter_map(|room| room.next).min()
    }
}

impl Engine {
    /// Reads the pools that something ready asks for; nothing where nothing does.
    pub(super) async fn look_at_pools(&mut self) {
        self.pools = Pools::default();
        if !self.runners.has_credit() {
            return;
        }
        for tenant in self.tenants_that_pool() {
            match self.parts.store.pools(tenant).await {
                Ok(states) => {
                    for state in states {
                        let held = state.holders.iter().filter(|holder| !self.gives_back(holder.attempt)).count();
                        self.pools.add(state, held as u32);
                    }
                }
                Err(error) => return self.is_away(&error),
            }
        }
    }

    fn tenants_that_pool(&self) -> BTreeSet<String> {
        let waiting = self.runs.with_ready();
        let states = waiting.iter().filter_map(|run| self.runs.get(*run)?.state());
        let pooled = states.filter(|state| state.plan.nodes.values().any(|node| node.pool.is_some()));
        pooled.map(|state| state.spec.tenant.clone()).collect()
    }

    /// Whether a holder's slot is given back by the commit of this turn.
    fn gives_back(&self, attempt: qflow_model::ids::AttemptKey) -> bool {
        self.turn.touched.contains(&attempt.run) && !self.is_current(attempt)
    }

    /// Tells who watches a run what its ready node runs wait for.
    pub(super) fn say_what_is_waited_for(&self, run: RunId, waits: Vec<(NodeKey, String)>) {
        for (node, wait) in waits {
            // Of a map the step itself waits: its next element is not there yet.
            let own = node.own();
            let there = self.runs.get(run).and_then(|entry| entry.state()).is_some_and(|s| s.node(node).is_some());
            let node = if there { node } else { own };
            if self.parts.bus.what(run, node).is_none_or(|(known, _)| known != wait) {
                self.parts.bus.doing(run, node, (wait, -1.0));
            }
        }
    }
}
