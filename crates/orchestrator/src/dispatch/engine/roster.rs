//! Tells which runs are under way: what changed a few times a second, all of it now and then and when somebody asks.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use qflow_model::ids::{Epoch, RunId, Shard};
use tokio::{sync::oneshot, time::Instant};

use super::Engine;
use crate::{
    active::{Active, Version, What, Word, Words},
    dispatch::locks::Waiting,
};

/// Between two tellings of what changed: however often a run changes meanwhile, it is told once.
const EVERY: Duration = Duration::from_millis(250);
/// Ticks within which every shard is told as a whole once more: by then what was lost on its way is mended.
const WHOLE: u8 = 5;

/// What is to be told.
#[derive(Default)]
pub(super) struct Roster {
    /// Runs that changed, and whether each was seen to end.
    changed: BTreeMap<RunId, bool>,
    /// When they are told.
    due: Option<Instant>,
    /// Shards that were told as a whole, and under which epoch.
    told: BTreeMap<Shard, Epoch>,
    /// Which part of the shards is told as a whole at the next tick.
    turn: u8,
    /// Grows with each telling.
    sequence: u64,
    /// Who waits to be told all.
    asked: Vec<oneshot::Sender<Words>>,
}

impl Roster {
    /// Notes that a run changed.
    pub(super) fn changed(&mut self, run: RunId, ended: bool) {
        self.changed.insert(run, ended);
        self.due.get_or_insert_with(|| Instant::now() + EVERY);
    }

    /// Has somebody told all.
    pub(super) fn ask(&mut self, answer: oneshot::Sender<Words>) {
        self.asked.push(answer);
        self.due = Some(Instant::now());
    }

    /// When something is to be told.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

impl Engine {
    /// Hands environments that no runner has taken on to those that can; whose they are waits for no runner any more.
    pub(super) fn give_locks(&mut self) {
        for run in self.locks.give(&self.runners) {
            self.roster.changed(run, false);
        }
    }

    /// Tells what is due, where all that is in memory is committed.
    pub(super) fn tell_active(&mut self, ticked: bool) {
        // What was dropped from memory and not read again yet has not ended.
        if self.away.is_some() || !self.unread.is_empty() {
            self.roster.due = self.roster.due.map(|_| Instant::now() + EVERY);
            return;
        }
        let is_due = self.roster.due.is_some_and(|at| at <= Instant::now());
        if !is_due && !ticked {
            return;
        }
        self.roster.sequence += 1;
        let asked = std::mem::take(&mut self.roster.asked);
        if !asked.is_empty() {
            let all: Words = Arc::new(self.wholes(self.shards.held.keys().copied()));
            // Who asked may have gone.
            asked.into_iter().for_each(|asks| asks.send(Arc::clone(&all)).unwrap_or_default());
        }
        let mut changed = BTreeMap::new();
        if is_due {
            self.roster.due = None;
            changed = std::mem::take(&mut self.roster.changed);
        }
        // Whoever begins to listen is told all: for nobody nothing is put together.
        if !self.parts.bus.is_heard() {
            return;
        }
        let waiting = self.locks.waiting();
        let one = |(run, ended)| self.one(run, ended, &waiting);
        let mut words: Vec<Word> = changed.into_iter().filter_map(one).collect();
        if ticked {
            self.roster.turn = (self.roster.turn + 1) % WHOLE;
            let is_new = |(shard, epoch): &(&Shard, &Epoch)| self.roster.told.get(shard) != Some(epoch);
            let is_next = |(shard, _): &(&Shard, &Epoch)| shard.0 % WHOLE == self.roster.turn;
            let shards = self.shards.held.iter().filter(|held| is_new(held) || is_next(held));
            words.extend(self.wholes(shards.map(|(shard, _)| *shard)));
            self.roster.told.clone_from(&self.shards.held);
        }
        if !words.is_empty() {
            self.parts.bus.active(Arc::new(words));
        }
    }

    fn version(&self, shard: Shard) -> Option<Version> {
        Some(Version { epoch: *self.shards.held.get(&shard)?, sequence: self.roster.sequence })
    }

    fn one(&self, run: RunId, ended: bool, waiting: &Waiting) -> Option<Word> {
        let version = self.version(run.shard())?;
        let what = match self.runs.active(run, self.clock.now(), waiting) {
            Some(active) => What::Run(active),
            None if ended => What::Ended(run),
            None => return None,
        };
        Some(Word { version, what })
    }

    /// Each of the shards with all of its runs.
    fn wholes(&self, shards: impl Iterator<Item = Shard>) -> Vec<Word> {
        let mut all: BTreeMap<Shard, Vec<Active>> = shards.map(|shard| (shard, Vec::new())).collect();
        let (now, waiting) = (self.clock.now(), self.locks.waiting());
        for run in self.runs.ids() {
            if let Some(runs) = all.get_mut(&run.shard()) {
                runs.extend(self.runs.active(run, now, &waiting));
            }
        }
        let word = |(shard, runs)| Some(Word { version: self.version(shard)?, what: What::Shard(shard, runs) });
        all.into_iter().filter_map(word).collect()
    }
}
