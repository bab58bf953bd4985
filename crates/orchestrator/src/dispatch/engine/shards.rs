//! Which shards are this replica's: its share among those that live, renewed every other second, given up and taken over.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use qflow_model::{
    ids::{Epoch, RunId, SHARDS, Shard},
    limits,
};
use qflow_telemetry::Event;
use tokio::time::Instant;

use super::{Engine, Word};
use crate::record::{
    self,
    member::{Attending, Replica, Standing},
};

/// For how long attempts may wait without any runner before the others are told: one that starts anew is back by then.
const STRANDED: Duration = Duration::from_secs(10);

/// What an engine holds, and among whom.
pub(super) struct Shards {
    /// This replica.
    pub(super) replica: Replica,
    /// What it holds, and under which epochs it writes.
    pub(super) held: BTreeMap<Shard, Epoch>,
    /// All that live, itself included.
    pub(super) members: Vec<Replica>,
    /// Those of them with which attempts wait that no runner comes for.
    pub(super) stranded: Vec<Replica>,
    /// Whether this replica was one of them when it last said that it lives.
    strands: bool,
    /// Runners that are to say once more what they hold of shards that were taken over, since they said it to another.
    owed: BTreeMap<String, BTreeSet<Shard>>,
    /// When this replica said last that it lives.
    attended_at: Option<Instant>,
    /// When the leases are renewed next.
    pub(super) renew_at: Instant,
    /// When it looks next whether its share is fair.
    settle_at: Instant,
}

/// How many shards a replica should hold: as many as any other, and one more where that leaves some over.
pub(super) fn share(members: usize) -> usize {
    usize::from(SHARDS).div_ceil(members.max(1))
}

impl Shards {
    pub(super) fn new(replica: Replica) -> Self {
        let now = Instant::now();
        Self {
            replica,
            held: BTreeMap::new(),
            members: Vec::new(),
            stranded: Vec::new(),
            strands: false,
            owed: BTreeMap::new(),
            attended_at: None,
            renew_at: now,
            settle_at: now,
        }
    }

    /// Whether a run is this replica's to write.
    pub(super) fn own(&self, run: RunId) -> bool {
        self.held.contains_key(&run.shard())
    }

    /// The shards that are held.
    pub(super) fn ids(&self) -> BTreeSet<Shard> {
        self.held.keys().copied().collect()
    }

    /// Whether others may have taken calls for runs that are written here.
    pub(super) fn are_shared(&self) -> bool {
        self.members.len() > 1
    }

    /// Shards of which a runner has not said what it holds since they were taken over; asked once.
    pub(super) fn owed_by(&mut self, runner_id: &str) -> Option<BTreeSet<Shard>> {
        self.owed.remove(runner_id)
    }
}

impl Engine {
    /// Renews the leases, and moves towards a fair share: gives up what is too much, takes what is free.
    pub(super) async fn look_at_shards(&mut self) {
        if Instant::now() < self.shards.settle_at {
            return;
        }
        if let Err(error) = self.settle_shards().await {
            return self.is_away(&error);
        }
        self.shards.settle_at = Instant::now() + Duration::from_millis(limits::SHARD_RENEW_MS);
    }

    /// Renews the leases where that is due, in the middle of something long: who does not say in time that it lives is missed.
    pub(super) async fn renew(&mut self) -> record::Result<()> {
        if Instant::now() < self.shards.renew_at {
            return Ok(());
        }
        self.attend().await?;
        self.shards.renew_at = Instant::now() + Duration::from_millis(limits::SHARD_RENEW_MS);
        // Whoever reads thousands of runs does not hang.
        self.publish();
        Ok(())
    }

    /// Says that this replica lives, and hears who else does and what is still its own.
    async fn attend(&mut self) -> record::Result<()> {
        let stranded = self.look_for_runners();
        let attending = Attending { replica: &self.shards.replica, held: &self.shards.held, stranded };
        let Standing { members, stranded, held, missed } = self.parts.store.attend(attending).await?;
        self.shards.stranded = stranded;
        // Where it could not say so itself for a lease, the others could not either: the store was away, and they come back with it.
        let lease = Duration::from_millis(limits::SHARD_LEASE_MS);
        let was_away = self.shards.attended_at.replace(Instant::now()).is_some_and(|at| at.elapsed() > lease);
        if !missed.is_empty() && !was_away {
            self.parts.telemetry.metrics().orchestrators_missed().increment(missed.len() as u64);
            let note = Event::warning("replicas_missed", "an orchestrator ended without a word: its shards move");
            self.parts.telemetry.emit(note.with("missed", missed.join(", ")));
        }
        if members != self.shards.members {
            let note = Event::info("replicas_changed", format!("orchestrators that share the runs: {}", members.len()));
            self.parts.telemetry.emit(note.with("owner", self.shards.replica.owner.clone()));
            self.shards.members = members;
        }
        let lost: Vec<Shard> = self.shards.held.keys().filter(|shard| !held.contains(*shard)).copied().collect();
        self.parts.telemetry.metrics().lease_renew_failed().increment(lost.len() as u64);
        self.lose(&lost);
        Ok(())
    }

    /// Whether attempts have waited here for a while and no runner has a stream to this replica; told when that begins and when it ends.
    fn look_for_runners(&mut self) -> bool {
        let oldest = self.runs.oldest_queued(&self.locks.waiting());
        let waits = oldest.is_some_and(|since| since.elapsed() >= STRANDED);
        let stranded = waits && self.runners.is_empty();
        if std::mem::replace(&mut self.shards.strands, stranded) != stranded {
            let Replica { owner, url } = self.shards.replica.clone();
            let note = if stranded {
                let at =
                    if url.is_empty() { "it has no QFLOW_ADVERTISE_URL" } else { "QFLOW_ADVERTISE_URL is not reached" };
                let why = format!(
                    "attempts wait here and no runner has a stream to this orchestrator: no runner runs, or {at}"
                );
                Event::warning("no_runner_comes", why)
            } else {
                Event::info("runners_come", "attempts wait no longer for want of a runner's stream")
            };
            self.parts.telemetry.emit(note.with("owner", owner).with("url", url));
        }
        stranded
    }

    pub(super) async fn settle_shards(&mut self) -> record::Result<()> {
        self.attend().await?;
        // What follows may take long, and renews them meanwhile.
        self.shards.renew_at = Instant::now() + Duration::from_millis(limits::SHARD_RENEW_MS);
        let (fair, holding) = (share(self.shards.members.len()), self.shards.held.len());
        if holding > fair {
            self.give_up(holding - fair).await?;
        } else if holding < fair {
            self.take(fair - holding).await?;
        }
        Ok(())
    }

    /// Takes at most so many shards that are free, and goes on with the runs in them.
    async fn take(&mut self, most: usize) -> record::Result<()> {
        let taken = self.parts.store.take_shards(&self.shards.replica.owner, most).await?;
        if taken.is_empty() {
            return Ok(());
        }
        let ids: BTreeSet<Shard> = taken.keys().copied().collect();
        // Where this fails they are not held, and taken again at the next look.
        let unfinished = self.parts.store.unfinished(&ids).await?;
        self.shards.held.extend(taken);
        for runner in self.runners.seen() {
            self.shards.owed.entry(runner.hello.runner_id).or_default().extend(&ids);
        }
        let note = Event::info("shards_taken", format!("{} shards are ours now", ids.len()));
        self.parts.telemetry.emit(note.with("owner", self.shards.replica.owner.clone()));
        self.unread.extend(unfinished);
        self.read_unread().await?;
        self.again.push(Word::Posted(None));
        Ok(())
    }

    /// Gives shards up, those with the fewest runs first, once all that is known of their runs is committed.
    async fn give_up(&mut self, count: usize) -> record::Result<()> {
        let mut load: BTreeMap<Shard, usize> = self.shards.held.keys().map(|shard| (*shard, 0)).collect();
        for run in self.runs.ids() {
            load.entry(run.shard()).and_modify(|runs| *runs += 1);
        }
        let mut least: Vec<Shard> = load.keys().copied().collect();
        least.sort_by_key(|shard| (load[shard], std::cmp::Reverse(*shard)));
        least.truncate(count);
        let lazy = std::mem::take(&mut self.turn.lazy);
        self.turn.touched.extend(lazy);
        self.commit().await;
        if self.away.is_some() {
            return Ok(());
        }
        let given = least.iter().filter_map(|shard| self.shards.held.get_key_value(shard));
        let given: BTreeMap<Shard, Epoch> = given.map(|(shard, epoch)| (*shard, *epoch)).collect();
        self.lose(&least);
        self.parts.store.release(&given).await
    }

    /// Forgets what belongs to shards that are another's now; its rows have all that was committed.
    pub(super) fn lose(&mut self, shards: &[Shard]) {
        if shards.is_empty() {
            return;
        }
        self.shards.held.retain(|shard, _| !shards.contains(shard));
        let runs: Vec<RunId> = self.runs.ids().filter(|run| shards.contains(&run.shard())).collect();
        for run in runs {
            self.runs.remove(run);
            self.runners.forget(run);
            self.parts.bus.rest(run, None);
        }
        self.turn.forget(|run| shards.contains(&run.shard()));
        self.unread.retain(|run| !shards.contains(&run.shard()));
        let note = Event::info("shards_given", format!("{} shards are another's now", shards.len()));
        self.parts.telemetry.emit(note.with("owner", self.shards.replica.owner.clone()));
    }

    /// Leaves the others: what was held is free at once.
    pub(super) async fn leave(&self) {
        if let Err(error) = self.parts.store.leave(&self.shards.replica.owner).await {
            // The leases end by themselves.
            self.parts.telemetry.emit(Event::warning("leave_failed", error.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_fair_and_leave_nothing_over() {
        for members in 1..=70 {
            assert!(share(members) * members >= usize::from(SHARDS), "{members}");
            assert!((share(members) - 1) * members < usize::from(SHARDS), "{members}");
        }
        assert_eq!(share(0), 64);
    }
}
