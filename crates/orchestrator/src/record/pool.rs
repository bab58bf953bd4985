//! Pools: slots that node runs of any number of runs share, and how many may begin a minute. Held slots are rows.

use qflow_model::ids::{AttemptKey, Timestamp};

/// For how long the start of an attempt counts against `per_minute`.
pub const MINUTE_MS: u64 = 60_000;

/// A pool as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Whose.
    pub tenant: String,
    /// Who set it last.
    pub user: String,
    /// Its name in `@node(pool=…)`.
    pub name: String,
    /// Attempts that hold it at once, at most.
    pub slots: u32,
    /// Attempts that begin within a minute, at most.
    pub per_minute: Option<u32>,
}

/// A pool as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// As it was set.
    pub pool: Pool,
    /// Who holds its slots, longest first.
    pub holders: Vec<Holder>,
    /// Attempts that began within the last minute; 0 where that is not limited.
    pub started: u32,
    /// When the next may begin, where `per_minute` is reached.
    pub next: Option<Timestamp>,
}

impl Pool {
    /// What an attempt waits for where so many hold the pool and so many began; nothing where it may begin.
    pub fn wait(&self, held: u32, started: u32) -> Option<String> {
        let Self { name, slots, per_minute, .. } = self;
        if held >= *slots {
            return Some(format!("waiting for pool {name} ({held} of {slots} slots)"));
        }
        let most = per_minute.filter(|most| started >= *most)?;
        Some(format!("waiting for pool {name} ({started} of {most} starts a minute)"))
    }
}

/// A slot that an attempt takes or gives back, in the transaction that leases or ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The attempt.
    pub attempt: AttemptKey,
    /// The node run's id, for who lists holders.
    pub node_id: String,
    /// The pool's tenant and name.
    pub pool: (String, String),
    /// Whose attempt it is.
    pub user: String,
    /// Whether the attempt is held by a runner, and with it the slot.
    pub held: bool,
}

impl Slot {
    /// The node run, whichever attempt of it: it holds one slot at most.
    pub(super) fn node(&self) -> String {
        let key = self.attempt.to_string();
        key.split_once('@').map_or(key.clone(), |(node, _)| node.to_owned())
    }
}

/// Who holds a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The attempt.
    pub attempt: AttemptKey,
    /// The node run's id.
    pub node_id: String,
    /// Since when.
    pub since: Timestamp,
}

/// What became of the order to remove a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Gone,
    /// There is none of that name.
    Unknown,
    /// Attempts hold so many of its slots: it stays.
    Held(u32),
}

/// When the next attempt may begin, from the starts within the last minute, oldest first.
pub(super) fn next(starts: &[Timestamp], per_minute: u32) -> Option<Timestamp> {
    let over = starts.len().checked_sub(per_minute as usize)?;
    // A limit of none at all is never reached by waiting.
    starts.get(over).map(|at| at.plus_ms(MINUTE_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_start_is_when_enough_of_the_last_minute_have_left_it() {
        let starts = [1, 2, 3].map(Timestamp);
        assert_eq!(next(&starts, 4), None);
        assert_eq!(next(&starts, 3), Some(Timestamp(1).plus_ms(MINUTE_MS)));
        assert_eq!(next(&starts, 2), Some(Timestamp(2).plus_ms(MINUTE_MS)), "the limit was lowered meanwhile");
        assert_eq!(next(&starts, 0), None);
    }

    #[test]
    fn what_an_attempt_waits_for_is_told_in_numbers() {
        let pool =
            Pool { tenant: "t".into(), user: "u".into(), name: "database".into(), slots: 2, per_minute: Some(60) };
        let wait = |held, started| pool.wait(held, started).unwrap_or_default();
        assert_eq!(wait(1, 59), "");
        assert_eq!(wait(2, 0), "waiting for pool database (2 of 2 slots)");
        assert_eq!(wait(3, 0), "waiting for pool database (3 of 2 slots)", "it was made smaller");
        assert_eq!(wait(1, 60), "waiting for pool database (60 of 60 starts a minute)");
    }
}
