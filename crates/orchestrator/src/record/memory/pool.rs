//! Pools in memory.

use std::collections::BTreeMap;

use qflow_model::ids::Timestamp;

use super::super::{
    Error, Result,
    pool::{Holder, MINUTE_MS, Pool, PoolState, Removed, Slot, next},
};

/// A pool's tenant and name.
type Key = (String, String);

/// All pools, their holders by node run, and when attempts began.
#[derive(Clone, Default)]
pub(super) struct Pools {
    known: BTreeMap<Key, Pool>,
    slots: BTreeMap<String, (Key, Holder)>,
    starts: BTreeMap<Key, Vec<Timestamp>>,
}

impl Pools {
    pub(super) fn set(&mut self, pool: Pool) {
        self.known.insert((pool.tenant.clone(), pool.name.clone()), pool);
    }

    pub(super) fn remove(&mut self, key: &Key) -> Removed {
        match self.holders(key).len() as u32 {
            0 if self.known.remove(key).is_some() => {
                self.starts.remove(key);
                Removed::Gone
            }
            0 => Removed::Unknown,
            held => Removed::Held(held),
        }
    }

    pub(super) fn all(&self, tenant: &str, now: Timestamp) -> Vec<PoolState> {
        self.known.values().filter(|pool| pool.tenant == tenant).map(|pool| self.state(pool, now)).collect()
    }

    fn state(&self, pool: &Pool, now: Timestamp) -> PoolState {
        let key = (pool.tenant.clone(), pool.name.clone());
        let limited = self.starts.get(&key).filter(|_| pool.per_minute.is_some());
        let starts: Vec<Timestamp> =
            limited.into_iter().flatten().filter(|at| at.plus_ms(MINUTE_MS) > now).copied().collect();
        PoolState {
            pool: pool.clone(),
            holders: self.holders(&key),
            started: starts.len() as u32,
            next: pool.per_minute.and_then(|most| next(&starts, most)),
        }
    }

    fn holders(&self, key: &Key) -> Vec<Holder> {
        let mut holders: Vec<Holder> =
            self.slots.values().filter(|(pool, _)| pool == key).map(|(_, holder)| holder.clone()).collect();
        holders.sort_by_key(|holder| holder.since);
        holders
    }

    /// Gives back what is given back, then takes what is taken; nothing of it where one pool has no room.
    pub(super) fn exchange<'a>(&mut self, slots: impl Iterator<Item = &'a Slot> + Clone, now: Timestamp) -> Result<()> {
        let mut after = self.clone();
        for slot in slots.clone().filter(|slot| !slot.held) {
            after.slots.remove(&slot.node());
        }
        slots.filter(|slot| slot.held).try_for_each(|slot| after.take(slot, now))?;
        *self = after;
        Ok(())
    }

    fn take(&mut self, slot: &Slot, now: Timestamp) -> Result<()> {
        let node = slot.node();
        if self.slots.get(&node).is_some_and(|(_, holder)| holder.attempt == slot.attempt) {
            return Ok(());
        }
        self.slots.remove(&node);
        let full = || Error::PoolFull(slot.pool.1.clone());
        let pool = self.known.get(&slot.pool).ok_or_else(full)?;
        let state = self.state(pool, now);
        if pool.wait(state.holders.len() as u32, state.started).is_some() {
            return Err(full());
        }
        if pool.per_minute.is_some() {
            let starts = self.starts.entry(slot.pool.clone()).or_default();
            starts.retain(|at| at.plus_ms(MINUTE_MS) > now);
            starts.push(now);
        }
        let holder = Holder { attempt: slot.attempt, node_id: slot.node_id.clone(), since: now };
        self.slots.insert(node, (slot.pool.clone(), holder));
        Ok(())
    }
}
