//! One turn's end: leases, the one commit, and what follows from it.

use std::{collections::BTreeSet, sync::Arc};

use qflow_model::{
    ids::{AttemptKey, NodeKey, RunId, Timestamp},
    progress::{Input, RunState},
    status::NodeStatus,
};
use qflow_proto::order::Order;
use qflow_telemetry::{Event, TraceContext, traces};
use tokio::{sync::oneshot, time::Instant};

use super::{BACKOFF, Engine, LAZY, StreamId, TRACED, Word, fit::fit, pools, runs::NotStepped};
use crate::{
    bus::{Bus, Changed, Shown},
    dispatch::{LockResult, Say, orders, runners::Secrets, tell},
    progress::{After, Progress},
    record::{self, Batch, Locked, cache::Cached},
};

/// What a turn gathers until its commit.
#[derive(Default)]
pub(super) struct Turn {
    /// Runs with something to commit or to do.
    pub(super) touched: BTreeSet<RunId>,
    /// Runs with something that may wait for another commit.
    pub(super) lazy: BTreeSet<RunId>,
    /// Runs whose step broke.
    pub(super) broken: Vec<RunId>,
    /// Inbox rows that were worked off, and whose run each is for.
    pub(super) done: Vec<(i64, RunId)>,
    /// Who waits for that.
    pub(super) waiting: Vec<oneshot::Sender<()>>,
    /// Outcomes to acknowledge.
    pub(super) acks: Vec<(StreamId, AttemptKey, bool)>,
    /// Words to hear again where the commit fails.
    pub(super) words: Vec<Word>,
    /// Locks that runners answered.
    pub(super) locks: Vec<Locked>,
    /// Streams that gave a credit.
    pub(super) spent: Vec<StreamId>,
    /// Outputs to keep for reuse.
    pub(super) cached: Vec<Cached>,
    /// Who waits for a lock without a run, and what it is told.
    pub(super) resolved: Vec<(oneshot::Sender<LockResult>, LockResult)>,
}

impl Turn {
    /// Forgets what was gathered of runs that are another's now: it is not to be acknowledged here.
    pub(super) fn forget(&mut self, lost: impl Fn(RunId) -> bool) {
        self.touched.retain(|run| !lost(*run));
        self.lazy.retain(|run| !lost(*run));
        self.done.retain(|(_, run)| !lost(*run));
        self.acks.retain(|(_, key, _)| !lost(key.run));
    }
}

impl Engine {
    /// Gives what is ready to runners with credits: one node run of each run at a time, so that none starves another.
    pub(super) fn lease(&mut self) {
        let mut waiting = if self.runners.has_credit() { self.runs.with_ready() } else { Vec::new() };
        while !waiting.is_empty() && self.runners.has_credit() {
            waiting.retain(|run| self.runners.has_credit() && self.lease_one(*run));
        }
        // Also where the others have left since: what was given back comes only when it is wanted.
        let may_come = self.shards.are_shared() || self.runners.has_spare();
        if may_come && !self.runners.has_credit() && !self.runs.with_ready().is_empty() {
            self.runners.beg();
        }
    }

    /// Leases one node run of a run; whether there was one that some runner can take.
    fn lease_one(&mut self, run: RunId) -> bool {
        let Some(entry) = self.runs.get(run) else { return false };
        let Some(state) = entry.state() else { return false };
        let mut waits = Vec::new();
        let placed = state.ready().filter(|node| entry.reuse.may_lease(state, *node)).find_map(|node| {
            let lock = state.lock(node)?;
            if let Some(wait) = self.pools.wait(state, node) {
                waits.push((node, wait));
                return None;
            }
            let names = state.definition(node).into_iter().flat_map(|function| function.secrets.keys()).collect();
            let secrets = Secrets { tenant: &state.spec.tenant, names };
            self.runners.choose(lock.python, lock.digest(), &secrets).map(|stream| (node, stream))
        });
        let pool = placed.and_then(|(node, _)| pools::of(state, node));
        self.say_what_is_waited_for(run, waits);
        let Some((node, stream)) = placed else { return false };
        let Some(runner) = self.runners.spend(stream) else { return false };
        let now = self.clock.now();
        match self.runs.step(run, Input::Lease { node, runner }, now) {
            Ok(_) => {
                self.turn.touched.insert(run);
                self.turn.spent.push(stream);
                self.parts.bus.rest(run, Some(&[node, node.own()]));
                if let Some(pool) = pool {
                    self.pools.take(&pool);
                }
                if let Some(entry) = self.runs.get_mut(run) {
                    entry.reuse.leased(node);
                }
                let attempt = self.attempt(run, node);
                self.runners.confirm(AttemptKey { run, node, attempt });
                self.runs.served(run);
                true
            }
            Err(not) => {
                self.runners.credit(stream, 1);
                if matches!(not, NotStepped::Broken) {
                    self.turn.broken.push(run);
                }
                false
            }
        }
    }

    fn attempt(&self, run: RunId, node: NodeKey) -> u32 {
        let state = self.runs.get(run).and_then(|entry| entry.state());
        state.and_then(|state| state.node(node)).map_or(0, |node| node.attempt)
    }

    /// Commits what the turn gathered as one transaction, then acts on it.
    pub(super) async fn commit(&mut self) {
        for run in std::mem::take(&mut self.turn.broken) {
            self.quarantine(run).await;
        }
        let lazy_due = self.lazy_since.is_some_and(|since| since.elapsed() >= LAZY);
        let urgent = !(self.turn.touched.is_empty() && self.turn.done.is_empty() && self.turn.locks.is_empty());
        if !urgent && !lazy_due {
            return self.answer();
        }
        let lazy = std::mem::take(&mut self.turn.lazy);
        self.lazy_since = None;
        self.turn.touched.extend(lazy);
        let changes = self.runs.changes(&self.turn.touched);
        if changes.is_empty() && self.turn.done.is_empty() && self.turn.locks.is_empty() {
            return self.act();
        }
        let epoch = |run: RunId| self.shards.held.get_key_value(&run.shard()).map(|(shard, epoch)| (*shard, *epoch));
        let batch = Batch {
            // A command that changes nothing is worked off by its run's owner all the same.
            fences: self.turn.touched.iter().filter_map(|run| epoch(*run)).collect(),
            changes,
            done: self.turn.done.iter().map(|(row, _)| *row).collect(),
            locks: self.turn.locks.clone(),
            cached: self.turn.cached.clone(),
        };
        let (began, inputs, trace) = (Instant::now(), batch.changes.len(), self.traced());
        match traces::within(trace.clone(), self.parts.store.commit(batch)).await {
            Ok(at) => {
                let metrics = self.parts.telemetry.metrics();
                metrics.store_commit_duration().record_in(began.elapsed().as_secs_f64(), trace.as_ref());
                metrics.store_commit_batch().record(inputs as f64);
                self.written(at);
                self.act();
            }
            Err(record::Error::Fenced(shard)) => {
                // Another took it over while it was thought lost; the rest of the turn is heard again.
                self.parts.telemetry.metrics().lease_renew_failed().increment(1);
                self.lose(&[shard]);
                // Where one has moved the others mostly have: all are asked about before the next try.
                self.shards.renew_at = Instant::now();
                self.undo();
                if let Err(error) = self.read_unread().await {
                    self.is_away(&error);
                }
            }
            Err(error) => {
                self.undo();
                self.is_away(&error);
            }
        }
    }

    /// The trace of one of the runs that a batch is of, in which its commit is told: of every 64th, and where somebody takes spans.
    fn traced(&mut self) -> Option<TraceContext> {
        if !self.parts.telemetry.takes_spans() {
            return None;
        }
        self.commits = self.commits.wrapping_add(1);
        if self.commits % TRACED != 1 {
            return None;
        }
        let states = self.turn.touched.iter().filter_map(|run| self.runs.get(*run)?.state());
        states.map(tell::trace).find(|trace| trace.sampled)
    }

    /// The store has taken a commit.
    pub(super) fn written(&mut self, at: Timestamp) {
        if std::mem::take(&mut self.failures) > 0 {
            self.parts.telemetry.emit(Event::info("store_back", "the store takes commits again"));
        }
        self.clock.set(at);
    }

    /// Nothing of the turn is known to be kept: its runs are read again, its words heard again, its credits given back.
    fn undo(&mut self) {
        let mut turn = std::mem::take(&mut self.turn);
        // They hear of it after the commit that follows: the words are heard again, and find nobody else that waits.
        self.turn.resolved = std::mem::take(&mut turn.resolved);
        // What a runner has locked is locked: it is kept with the next commit, for those who asked.
        self.turn.locks = std::mem::take(&mut turn.locks);
        for run in &turn.touched {
            self.runs.remove(*run);
            self.runners.forget(*run);
        }
        turn.spent.iter().for_each(|stream| self.runners.credit(*stream, 1));
        self.unread.extend(turn.touched);
        self.again.extend(turn.words);
        self.again.push(Word::Posted(None));
        // Where only the reply was lost, leases are in the rows and their orders were never sent: the runner's next hello,
        // or the lease's end, mends that. Locks are asked for again by reading.
    }

    /// The store does not answer as it should: it is asked again after a while, which grows until a commit succeeds.
    pub(super) fn is_away(&mut self, error: &record::Error) {
        if self.away.is_some() {
            return;
        }
        // A pool that another took or changed is no fault of the store: it is looked at again.
        if self.failures == 0 && !matches!(error, record::Error::PoolFull(_)) {
            let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
            self.parts.telemetry.emit(Event::error("store_away", format!("{error}{cause}")));
        }
        self.away = Some((BACKOFF.0 * 2_u32.saturating_pow(self.failures)).min(BACKOFF.1));
        self.failures = self.failures.saturating_add(1).min(16);
    }

    /// Acts on what is committed now. Orders go out first: who gets them works while the rest is told.
    fn act(&mut self) {
        let touched = std::mem::take(&mut self.turn.touched).into_iter();
        let progress = |run: RunId| Some((run, std::mem::take(&mut self.runs.get_mut(run)?.progress)));
        let stepped: Vec<(RunId, Progress)> = touched.filter_map(progress).collect();
        stepped.iter().for_each(|(run, progress)| self.perform(*run, progress));
        stepped.iter().for_each(|(run, progress)| self.tell(*run, progress));
        self.turn.done.clear();
        self.turn.locks.clear();
        self.turn.cached.clear();
        self.turn.words.clear();
        self.turn.spent.clear();
        self.answer();
    }

    /// Says to others what they wait for.
    fn answer(&mut self) {
        for (stream, key, accepted) in self.turn.acks.drain(..) {
            self.runners.say(stream, Say::Ack(key, accepted));
        }
        // Who asked may have gone.
        self.turn.waiting.drain(..).for_each(|done| done.send(()).unwrap_or(()));
        self.turn.resolved.drain(..).for_each(|(waits, result)| waits.send(result).unwrap_or_default());
    }

    /// Does what the steps of a run ask for.
    fn perform(&mut self, run: RunId, progress: &Progress) {
        let Some(entry) = self.runs.get(run) else { return };
        let Some(state) = entry.state() else { return };
        for after in &progress.after {
            match after {
                After::Dispatch(key) => {
                    let Some(order) = orders::order(state, *key, Arc::clone(&entry.sent.files), &entry.sent.main)
                    else {
                        continue;
                    };
                    if orders::fits(&order) {
                        let holder = state.holder(key.node).unwrap_or_default();
                        self.runners.tell(holder, Say::Attempt(Box::new(order)));
                    } else {
                        tokio::spawn(fit(order, Arc::clone(&self.parts.blobs), self.own.clone()));
                    }
                }
                After::Kill { key, runner, reason } => {
                    self.runners.release(*key);
                    self.runners.tell(runner, Say::Kill(*key, *reason));
                }
                After::Lock { environment } => {
                    self.locks.want(&state.plan.environments[*environment as usize], run, *environment);
                    resolves(&*self.parts.bus, state, *environment);
                }
                After::Begin(key) => {
                    if let Some(runner) = state.holder(key.node) {
                        self.runners.tell(runner, Say::Begin(*key));
                    }
                }
            }
        }
        self.give_locks();
    }

    /// Tells telemetry and watchers what the steps of a run came to; one that has ended leaves.
    fn tell(&mut self, run: RunId, progress: &Progress) {
        let Some(state) = self.runs.get(run).and_then(|entry| entry.state()) else { return };
        let now = self.clock.now();
        for happening in &progress.history {
            tell::tell(&self.parts.telemetry, state, happening, now);
        }
        let terminal = state.head.status.is_terminal();
        let ended: Vec<NodeKey> = ended(progress);
        self.parts.bus.rest(run, (!terminal).then_some(&ended[..]));
        self.parts.bus.changed(run, &|| changed(state, progress));
        self.roster.changed(run, terminal);
        if terminal {
            self.runs.remove(run);
            self.runners.tell_all(|| Say::RunEnded(run));
            self.parts.logs.ended(run);
        }
    }

    /// Sends an order that was made to fit, where its attempt is still to be had.
    pub(super) fn fitted(&mut self, key: AttemptKey, fitted: Result<Box<Order>, String>) {
        if let Err(error) = &fitted {
            self.parts.telemetry.emit(Event::error("blob_store_failed", error.clone()));
            self.turn.words.push(Word::Fitted(key, Err(error.clone())));
        }
        if !self.shards.own(key.run) || !self.is_current(key) {
            return;
        }
        let state = self.runs.get(key.run).and_then(|entry| entry.state());
        let holder = state.and_then(|state| state.holder(key.node)).unwrap_or_default();
        if let Ok(order) = fitted {
            self.runners.tell(holder, Say::Attempt(order));
            // What it was waiting for is there.
            self.parts.bus.doing(key.run, key.node, (String::new(), -1.0));
        } else {
            self.runners.release(key);
            self.give(key.run, Input::Lost { key, reason: "blob_store".to_owned() });
        }
    }
}

/// Says of what is ready and waits for an environment that this is resolved now.
pub(super) fn resolves(bus: &dyn Bus, state: &RunState, environment: u32) {
    let spec = &state.plan.environments[environment as usize];
    if spec.requirements.is_empty() {
        return;
    }
    let waits = |key: &NodeKey| state.planned(*key).environment == Some(environment);
    for (key, _) in state.nodes().filter(|(key, node)| node.status == NodeStatus::Ready && waits(key)) {
        let doing = format!("environment: resolving {}", spec.requirements.join(", "));
        bus.doing(state.spec.id, key, (doing, -1.0));
    }
}

/// Node runs that have ended, or wait to be tried again: they do nothing now.
fn ended(progress: &Progress) -> Vec<NodeKey> {
    use qflow_model::progress::Happening::{NodeEnded, NodeRetry};
    let ended = progress.history.iter().filter_map(|happening| match happening {
        NodeEnded { node, .. } | NodeRetry { node, .. } => Some(*node),
        _ => None,
    });
    ended.collect()
}

fn changed(state: &RunState, progress: &Progress) -> Changed {
    Changed {
        spec: Arc::clone(&state.spec),
        plan: Arc::clone(&state.plan),
        head: state.head.clone(),
        counts: state.counts(),
        nodes: progress.change(state).nodes.into_iter().map(|(key, run)| Shown::of(state, key, run)).collect(),
    }
}
