//! The engine: hears words, steps runs, leases what is ready, commits all of it at once, then acts. Nothing else writes a run.

mod fit;
mod heard;
mod in_hand;
mod pools;
mod reuse;
mod roster;
mod runs;
mod shards;
mod turn;

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use qflow_blobs::Blobs;
use qflow_model::{
    environment::EnvLock,
    ids::{AttemptKey, RunId, Timestamp},
    limits,
    progress::Input,
    status::RunStatus,
};
use qflow_service::Shutdown;
use qflow_telemetry::{
    Event, Live, Telemetry,
    labels::{self, Label as _, PauseCause},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};

use self::{
    in_hand::InHand,
    pools::Pools,
    reuse::Reuse,
    roster::Roster,
    runs::{Runs, Sent},
    shards::Shards,
    turn::Turn,
};
use super::{Handle, QUEUE, Sight, StreamId, Word, locks::Locks, runners::Runners};
use crate::{
    bus::Bus,
    logs::Logs,
    record::{self, Command, Store, member::Replica},
    shared::Shared,
};

/// Words that are taken in before a commit: bounds how long the first of them waits.
const TOGETHER: usize = 1024;
/// Between two looks at what no word tells: silent runners, the inbox, hopeless environments.
const TICK: Duration = Duration::from_secs(1);
/// How long a change that nobody waits for (an attempt has begun) may wait for another to be committed with.
const LAZY: Duration = Duration::from_millis(20);
/// One commit of so many is told in the trace of a run: a span costs microseconds, and there are thousands of commits a second.
const TRACED: u32 = 64;
/// First and longest wait before a store that failed is asked again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What an engine stands on.
#[derive(Clone)]
pub struct Parts {
    /// Where runs are kept.
    pub store: Arc<dyn Store>,
    /// Where large values are.
    pub blobs: Arc<Blobs>,
    /// Who watches.
    pub bus: Arc<dyn Bus>,
    /// Where lines are kept.
    pub logs: Logs,
    /// Where it is told.
    pub telemetry: Telemetry,
    /// This replica.
    pub replica: Replica,
    /// Where it marks which run is in hand, so that one that crashes it again and again is found; nowhere where there is no place.
    pub in_hand: Option<PathBuf>,
}

/// What runs share.
#[derive(Default)]
struct Known {
    sent: Shared<Sent>,
    locks: Shared<EnvLock>,
}

/// The one writer of the runs of its shards.
pub struct Engine {
    parts: Parts,
    words: mpsc::Receiver<Word>,
    /// By which what is done beside the engine comes back to it.
    own: mpsc::WeakSender<Word>,
    /// The blob store, for what the engine itself waits for.
    hasty: Blobs,
    sight: watch::Sender<Sight>,
    shards: Shards,
    clock: StoreClock,
    runs: Runs,
    runners: Runners,
    locks: Locks,
    pools: Pools,
    reuse: Reuse,
    known: Known,
    turn: Turn,
    roster: Roster,
    /// Words that a failed commit took with it.
    again: Vec<Word>,
    /// Runs whose rows are to be read before anything else happens to them.
    unread: Vec<RunId>,
    /// Whether the inbox is to be looked into, and who waits until it is worked off.
    look: bool,
    posted: Vec<oneshot::Sender<()>>,
    /// Attempts that were ordered a second time because the first order did not arrive.
    reordered: HashSet<AttemptKey>,
    /// Node runs that wait for a runner, and for how many seconds the run has that waits longest; at the last tick.
    queue: (u32, f64),
    /// Gauges of workflows that have runs.
    running: BTreeMap<String, Live>,
    /// Nobody is declared lost before: an outage of ours is not a runner's fault.
    reap_from: Instant,
    /// How long to wait for the store after it failed; none while it answers.
    away: Option<Duration>,
    /// Failures since the last commit: a store that reads and does not write is no store that is back.
    failures: u32,
    /// How many commits there were while somebody takes spans.
    commits: u32,
    /// Since when a change waits that is in no hurry.
    lazy_since: Option<Instant>,
}

impl Engine {
    /// Takes the shards, reads what has not ended, and goes on with it until the order to stop.
    pub async fn start(parts: Parts, shutdown: Shutdown) -> record::Result<(Handle, JoinHandle<()>)> {
        let clock = StoreClock::new(parts.store.now().await?);
        let in_hand = count_crash(&parts).await?;
        let (to, words) = mpsc::channel(QUEUE);
        let (sight, seen) = watch::channel(Sight::default());
        let mut engine = Self {
            words,
            own: to.downgrade(),
            hasty: parts.blobs.hasty(),
            sight,
            shards: Shards::new(parts.replica.clone()),
            clock,
            runs: Runs::new(in_hand),
            runners: Runners::default(),
            locks: Locks::default(),
            pools: Pools::default(),
            reuse: Reuse::default(),
            known: Known::default(),
            turn: Turn::default(),
            roster: Roster::default(),
            again: vec![Word::Posted(None)],
            unread: Vec::new(),
            look: false,
            posted: Vec::new(),
            reordered: HashSet::new(),
            queue: (0, 0.0),
            running: BTreeMap::new(),
            reap_from: Instant::now() + lease(),
            away: None,
            failures: 0,
            commits: 0,
            lazy_since: None,
            parts,
        };
        engine.settle_shards().await?;
        engine.publish();
        let running = tokio::spawn(engine.run(shutdown));
        Ok((Handle { words: to, sight: seen }, running))
    }

    async fn run(mut self, shutdown: Shutdown) {
        let (mut heard, mut tick) = (Vec::new(), tokio::time::interval(TICK));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wake = self.wake();
            let ticked = tokio::select! {
                () = shutdown.wait() => return self.leave().await,
                count = self.words.recv_many(&mut heard, TOGETHER), if self.away.is_none() => match count {
                    0 => return self.leave().await,
                    _ => false,
                },
                () = tokio::time::sleep_until(wake), if self.again.is_empty() || self.away.is_some() => false,
                () = self.parts.store.woken(), if self.away.is_none() => {
                    self.again.push(Word::Posted(None));
                    false
                },
                () = std::future::ready(()), if !self.again.is_empty() && self.away.is_none() => false,
                _ = tick.tick() => true,
            };
            if self.away.is_some() && !self.is_back().await {
                continue;
            }
            for word in std::mem::take(&mut self.again).into_iter().chain(heard.drain(..)) {
                self.hear(word).await;
            }
            // Each turn: one that is long must not be followed by another before the leases are renewed.
            self.look_at_shards().await;
            if ticked {
                self.tick().await;
            }
            if std::mem::take(&mut self.look) && self.away.is_none() {
                self.work_inbox().await;
            }
            self.due();
            self.reuse().await;
            self.look_at_pools().await;
            self.lease();
            self.give_locks();
            self.commit().await;
            self.tell_active(ticked);
        }
    }

    /// When to look again though nothing was heard.
    fn wake(&self) -> Instant {
        let now = Instant::now();
        if (!self.turn.touched.is_empty() || self.reuse.more) && self.away.is_none() {
            return now;
        }
        if let Some(wait) = self.away {
            return now + wait;
        }
        let until = |at: Timestamp| now + Duration::from_millis(at.ms_since(self.clock.now()) + 1);
        let (timer, pool) = (self.runs.next_wake().map(until), self.pools.next_start().map(until));
        let lazy = self.lazy_since.map(|since| since + LAZY);
        [timer, pool, lazy, self.roster.due()].into_iter().flatten().min().unwrap_or(now + TICK)
    }

    /// Whether the store answers again; what it may have missed is read anew.
    async fn is_back(&mut self) -> bool {
        let back = match self.parts.store.now().await {
            Ok(now) => {
                self.clock = StoreClock::new(now);
                self.read_unread().await
            }
            Err(error) => Err(error),
        };
        if let Ok(()) = back {
            self.away = None;
            self.reap_from = Instant::now() + lease();
            self.runners.pardon();
            true
        } else {
            self.away = self.away.map(|wait| (wait * 2).min(BACKOFF.1));
            false
        }
    }

    async fn read_unread(&mut self) -> record::Result<()> {
        loop {
            self.renew().await?;
            let Some(run) = self.unread.last().copied() else { return Ok(()) };
            self.read(run).await?;
            self.unread.pop();
        }
    }

    /// Has what time alone brings happen.
    fn due(&mut self) {
        let now = self.clock.now();
        for run in self.runs.due(now) {
            self.give(run, Input::Tick);
        }
    }

    /// Looks at what no word tells.
    async fn tick(&mut self) {
        self.look = true;
        if Instant::now() >= self.reap_from {
            for key in self.runners.silent() {
                self.runners.release(key);
                self.parts.telemetry.metrics().lease_expired().increment(1);
                self.give(key.run, Input::Lost { key, reason: "runner_lost".to_owned() });
            }
        }
        if self.shards.are_shared() {
            self.runners.give_back();
        }
        self.expire().await;
        for (spec, failure) in self.locks.hopeless(&self.runners) {
            self.locked(spec, &Err(Box::new(failure)));
        }
        self.gauge();
        self.publish();
    }

    /// Gauges of what is in memory: as it is now, not what happened.
    fn gauge(&mut self) {
        let (metrics, census) = (self.parts.telemetry.metrics(), self.runs.census());
        for (status, label) in
            [(RunStatus::Pending, "pending"), (RunStatus::Running, "running"), (RunStatus::Paused, "paused")]
        {
            let count = census.by_status.get(&status).copied().unwrap_or_default();
            metrics.workflows_in_state(labels::RunState::of(label)).set(f64::from(count));
        }
        for cause in PauseCause::VALUES.into_iter().flatten() {
            let count = census.paused.get(cause).copied().unwrap_or_default();
            metrics.workflows_paused(PauseCause::of(cause)).set(f64::from(count));
        }
        metrics.orchestrators().set(self.shards.members.len() as f64);
        metrics.shards_held().set(self.shards.held.len() as f64);
        let waiting = self.locks.waiting();
        let oldest = self.runs.oldest_queued(&waiting).map_or(0.0, |since| since.elapsed().as_secs_f64());
        self.queue = (self.runs.queue_depth(&waiting), oldest);
        metrics.queue_depth().set(f64::from(self.queue.0));
        metrics.queue_oldest_age().set(oldest);
        let now = self.clock.now();
        self.running.retain(|workflow, gauge| {
            let stays = census.oldest.contains_key(workflow);
            if !stays {
                gauge.clear();
            }
            stays
        });
        for (workflow, since) in census.oldest {
            let gauge = metrics.workflow_oldest_running(labels::Open::of(&workflow));
            gauge.set(now.ms_since(since) as f64 / 1e3);
            self.running.insert(workflow, gauge);
        }
    }

    /// Tells others what is seen from here.
    fn publish(&self) {
        let (queue_depth, oldest_queued_seconds) = self.queue;
        let mut seen = Sight {
            at: None,
            runners: self.runners.seen(),
            queue_depth,
            oldest_queued_seconds,
            met: self.runners.met,
            shards: self.shards.ids(),
            stranded: self.shards.stranded.iter().map(|member| member.name().to_owned()).collect(),
            peers: self.shards.members.iter().map(|member| member.url.clone()).filter(|url| !url.is_empty()).collect(),
        };
        self.sight.send_if_modified(|known| {
            seen.at = known.at;
            let changed = *known != seen;
            // That it was looked at is no news, and who asks is told when.
            *known = Sight { at: Some(Instant::now()), ..seen };
            changed
        });
    }
}

/// Has a crash counted that an engine before this one died of: whoever writes the run finds that in its inbox.
async fn count_crash(parts: &Parts) -> record::Result<InHand> {
    let Some(path) = &parts.in_hand else { return Ok(InHand::default()) };
    match InHand::open(path) {
        Ok((in_hand, before)) => {
            if let Some(run) = before {
                parts.store.post(run, Command::Crashed, None).await?;
                in_hand.rest();
            }
            Ok(in_hand)
        }
        Err(error) => {
            let note = Event::warning("crashes_not_counted", format!("mark which run is in hand: {error}"));
            parts.telemetry.emit(note.with("path", path.display().to_string()));
            Ok(InHand::default())
        }
    }
}

/// Time by the store: its last reply, and what has passed here since.
struct StoreClock {
    reply: Timestamp,
    at: Instant,
}

impl StoreClock {
    fn new(reply: Timestamp) -> Self {
        Self { reply, at: Instant::now() }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.reply.0.saturating_add(i64::try_from(self.at.elapsed().as_micros()).unwrap_or(i64::MAX)))
    }

    /// Never goes back: a state that was stepped at a time is not stepped at an earlier one.
    fn set(&mut self, reply: Timestamp) {
        *self = Self::new(reply.max(self.now()));
    }
}

const fn lease() -> Duration {
    Duration::from_millis(limits::ATTEMPT_LEASE_MS)
}

#[cfg(test)]
mod tests;
