//! What each word means for the runs: inputs to step, and answers that need no step.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use qflow_model::{
    environment::EnvLock,
    ids::{AttemptKey, Digest, RunId, Shard},
    limits,
    outcome::{Failure, Outcome},
    progress::{Input, KillReason, NodeRun, QUARANTINED, RunState},
    status::RunStatus,
};
use qflow_telemetry::Event;

use super::{
    Engine, StreamId, Word,
    runs::{NotStepped, Sent, held},
    turn,
};
use crate::{
    dispatch::{Said, Say, locks::suits},
    progress::After,
    record::{self, Command, InboxRow, Locked, cache::Scope},
};

/// Commands that are worked off in one turn: each may have a run read, and the shards' leases are to be renewed meanwhile.
const INBOX: usize = 128;

impl Engine {
    pub(super) async fn hear(&mut self, word: Word) {
        match word {
            // However many say so, the inbox is read once a turn.
            Word::Posted(done) => {
                self.posted.extend(done);
                self.look = true;
            }
            Word::Lock(spec, owner, answer) => self.locks.ask(&spec, owner, answer),
            Word::Runner(stream, said) => self.hear_runner(stream, said).await,
            Word::Fitting(key, goes_on) => self.fitting(key, goes_on),
            Word::Fitted(key, fitted) => self.fitted(key, fitted),
            Word::Active(answer) => self.roster.ask(answer),
        }
    }

    async fn hear_runner(&mut self, stream: StreamId, said: Said) {
        match said {
            Said::Hello(hello, to) => {
                self.runners.hello(stream, (*hello).clone(), to);
                self.shards.owed_by(&hello.runner_id);
                self.compare(&hello.runner_id, &hello.attempts, None);
                self.publish();
            }
            Said::Credits(count) => self.runners.credit(stream, count),
            Said::Heartbeat { attempts, containers, shown, warm, secrets, sequence, blobs_away, condition } => {
                self.runners.found(stream, blobs_away, *condition);
                self.runners.shown(stream, shown);
                if let Some(runner_id) = self.runners.heartbeat(stream, &attempts, containers, warm, secrets)
                    && let Some(shards) = self.shards.owed_by(&runner_id)
                {
                    self.compare(&runner_id, &attempts, Some(&shards));
                }
                if sequence > 0 {
                    self.runners.say(stream, Say::Heard(sequence));
                }
                self.publish();
            }
            Said::Started(key, container_id) => self.started(key, container_id),
            Said::Ended(key, outcome) => self.ended(stream, key, outcome).await,
            Said::Locked(spec, result) => {
                self.turn.words.push(Word::Runner(stream, Said::Locked(spec, result.clone())));
                self.locked(spec, &result.map(Arc::new));
            }
            Said::Doing(key, doing, fraction) => {
                if self.is_current(key) {
                    self.parts.bus.doing(key.run, key.node, (doing, fraction));
                }
            }
            Said::Gone => {
                self.runners.gone(stream);
                self.locks.gone(stream).into_iter().for_each(|run| self.roster.changed(run, false));
                self.publish();
            }
        }
    }

    /// Compares what a runner holds with what it should hold of our runs, or of those in some shards only.
    fn compare(&mut self, runner_id: &str, holds: &[AttemptKey], shards: Option<&BTreeSet<Shard>>) {
        let asked = |run: RunId| shards.is_none_or(|shards| shards.contains(&run.shard()));
        for key in holds.iter().filter(|key| self.shards.own(key.run) && asked(key.run)) {
            // One that somebody is to decide about may go on, now that it is there again: its outcome decides.
            let awaited =
                self.runs.get(key.run).and_then(|entry| entry.state()).is_some_and(|run| run.is_awaited(*key));
            if self.is_current(*key) {
                self.runners.confirm(*key);
            } else if !awaited {
                self.runners.tell(runner_id, Say::Kill(*key, KillReason::Superseded));
            }
        }
        for (key, begun) in self.runs.held_by(runner_id) {
            if holds.contains(&key) || !asked(key.run) {
                continue;
            }
            // An order that did not arrive is given again, once; an attempt that had begun is gone with whatever it did.
            if !begun && self.reordered.insert(key) {
                self.runners.confirm(key);
                self.after(After::Dispatch(key));
            } else {
                self.runners.release(key);
                self.give(key.run, Input::Lost { key, reason: "runner_lost".to_owned() });
            }
        }
    }

    /// Whether a runner is to hold this attempt.
    pub(super) fn is_current(&self, key: AttemptKey) -> bool {
        let Some(state) = self.runs.get(key.run).and_then(|entry| entry.state()) else { return false };
        state.node(key.node).is_some_and(|node| node.attempt == key.attempt) && state.holder(key.node).is_some()
    }

    fn started(&mut self, key: AttemptKey, container_id: String) {
        let now = self.clock.now();
        let stepped = self.runs.step(key.run, Input::Started { key, container_id }, now);
        if let (Ok(changed), true) = (&stepped, self.waits_to_begin(key)) {
            // Kept before the code begins, so that one that is not known to have begun has not: it may be given again.
            self.runners.confirm(key);
            self.turn.touched.extend(changed.then_some(key.run));
            return self.after(After::Begin(key));
        }
        if let Ok(true) = stepped {
            // What was said of its environment and container is over.
            self.parts.bus.rest(key.run, Some(&[key.node]));
            // Nobody waits for this: it goes with the next commit.
            self.turn.lazy.insert(key.run);
            self.lazy_since.get_or_insert_with(tokio::time::Instant::now);
        }
    }

    /// Whether an attempt's runner waits until it is kept that it has started: its node must not run twice.
    fn waits_to_begin(&self, key: AttemptKey) -> bool {
        let state = self.runs.get(key.run).and_then(|entry| entry.state());
        state.and_then(|state| state.definition(key.node)).is_some_and(|node| !node.idempotent) && self.is_current(key)
    }

    async fn ended(&mut self, stream: StreamId, key: AttemptKey, outcome: Box<Outcome>) {
        // Not acknowledged: the runner keeps it, and tells it to whose run it is.
        if !self.shards.own(key.run) {
            return;
        }
        self.runners.release(key);
        let now = self.clock.now();
        let accepted = match self.runs.step(key.run, Input::Ended { key, outcome: outcome.clone() }, now) {
            Ok(_) => {
                self.turn.touched.insert(key.run);
                self.keep(key, &outcome).await;
                let state = self.runs.get(key.run).and_then(|entry| entry.state());
                state.and_then(|state| state.node(key.node)).is_some_and(|run| run.has_taken(key.attempt))
            }
            Err(NotStepped::Broken) => return self.quarantine(key.run).await,
            Err(NotStepped::Absent | NotStepped::Refused) => match self.was_taken(key).await {
                Ok(taken) => {
                    self.turn.acks.push((stream, key, taken));
                    return;
                }
                // Not acknowledged: heard again once the store answers.
                Err(error) => {
                    self.again.push(Word::Runner(stream, Said::Ended(key, outcome)));
                    return self.is_away(&error);
                }
            },
        };
        self.turn.acks.push((stream, key, accepted));
        self.turn.words.push(Word::Runner(stream, Said::Ended(key, outcome)));
    }

    /// What an outcome that changes nothing is answered with: the same as the first time. Read from one row at most: a runner tells
    /// all that nobody has acknowledged again when we are slow, and then this must not make us slower.
    async fn was_taken(&self, key: AttemptKey) -> record::Result<bool> {
        let taken = |run: &NodeRun| run.has_taken(key.attempt);
        match self.runs.get(key.run).and_then(|entry| entry.state()) {
            Some(state) => Ok(state.node(key.node).is_some_and(taken)),
            None => Ok(self.parts.store.node(key.run, key.node).await?.as_ref().is_some_and(taken)),
        }
    }

    pub(super) fn locked(&mut self, spec: Digest, result: &Result<Arc<EnvLock>, Box<Failure>>) {
        let (wants, waiting) = self.locks.answered(spec);
        if let Ok(lock) = result {
            let states = wants.iter().filter_map(|(run, _)| self.runs.get(*run)?.state());
            let asked = states.map(|state| Scope { tenant: state.spec.tenant.clone(), user: state.spec.user.clone() });
            let owners: BTreeSet<Scope> = asked.chain(waiting.iter().map(|(owner, _)| owner.clone())).collect();
            let locked = |owner| Locked { owner, lock: Arc::clone(lock) };
            self.turn.locks.extend(owners.into_iter().map(locked));
        }
        self.turn.resolved.extend(waiting.into_iter().map(|(_, waits)| (waits, result.clone())));
        for (run, environment) in wants {
            self.give(run, Input::Locked { environment, result: result.clone() });
        }
    }

    /// Steps a run on an input that cannot be refused for long: what is refused has already happened otherwise.
    pub(super) fn give(&mut self, run: RunId, input: Input) {
        let now = self.clock.now();
        match self.runs.step(run, input, now) {
            Ok(true) => drop(self.turn.touched.insert(run)),
            Ok(false) | Err(NotStepped::Absent | NotStepped::Refused) => {}
            Err(NotStepped::Broken) => self.turn.broken.push(run),
        }
    }

    /// Has something done after the next commit, or at once where there is none.
    pub(super) fn after(&mut self, after: After) {
        let run = match after {
            After::Dispatch(key) | After::Kill { key, .. } | After::Begin(key) => key.run,
            After::Lock { .. } => return,
        };
        if let Some(entry) = self.runs.get_mut(run) {
            entry.progress.after.push(after);
            self.turn.touched.insert(run);
        }
    }

    /// Works off what clients posted; who waits for that is told once it is committed.
    pub(super) async fn work_inbox(&mut self) {
        match self.parts.store.inbox(&self.shards.ids()).await {
            Ok(rows) => {
                let (crashes, rows): (Vec<_>, Vec<_>) =
                    rows.into_iter().partition(|row| row.command == Command::Crashed);
                // Kept before anything else: whatever crashed before may crash again.
                if !crashes.is_empty() {
                    self.obey_all(crashes).await;
                    self.commit().await;
                }
                if self.away.is_some() {
                    return;
                }
                let all = rows.len() <= INBOX;
                self.obey_all(rows.into_iter().take(INBOX).collect()).await;
                if all {
                    self.turn.waiting.append(&mut self.posted);
                } else {
                    // Who waits for one of the rest waits for the turn after this one.
                    self.again.push(Word::Posted(None));
                }
            }
            Err(error) => self.is_away(&error),
        }
    }

    async fn obey_all(&mut self, rows: Vec<InboxRow>) {
        for row in rows {
            if !self.turn.done.iter().any(|(done, _)| *done == row.id) {
                self.obey(row).await;
            }
            if let Err(error) = self.renew().await {
                return self.is_away(&error);
            }
        }
    }

    async fn obey(&mut self, row: InboxRow) {
        if self.runs.get(row.run).is_none()
            && let Err(error) = self.read(row.run).await
        {
            return self.is_away(&error);
        }
        let input = match row.command {
            Command::Start { relock } => match self.known_locks(row.run, relock).await {
                Ok(locks) => Input::Start { locks },
                Err(error) => return self.is_away(&error),
            },
            Command::Cancel { by } => Input::Cancel { by },
            Command::Pause { by } => Input::Pause { reason: format!("paused by {by}") },
            Command::Resume { retry, fail, by } => Input::Resume { retry, fail, by },
            Command::Crashed => Input::Crashed,
            Command::RetryFailed { by } => Input::RetryFailed { by },
            Command::Approve { node, approved, by, comment } => Input::Approve { node, approved, by, comment },
        };
        let resumes = matches!(input, Input::Resume { .. });
        self.give(row.run, input);
        if resumes && let Err(error) = self.start_after_all(row.run).await {
            return self.is_away(&error);
        }
        self.turn.done.push((row.id, row.run));
        // One that was only read to be refused leaves again after the commit.
        self.turn.touched.insert(row.run);
    }

    /// Starts a run that was paused before it could: its command to start is worked off.
    async fn start_after_all(&mut self, run: RunId) -> record::Result<()> {
        let status = self.runs.get(run).and_then(|entry| entry.state()).map(|state| state.head.status);
        if status == Some(RunStatus::Pending) {
            let locks = self.known_locks(run, false).await?;
            self.give(run, Input::Start { locks });
        }
        Ok(())
    }

    /// Locks of a run's environments that are young enough to be reused.
    async fn known_locks(&self, run: RunId, relock: bool) -> record::Result<Vec<Option<Arc<EnvLock>>>> {
        let Some(state) = self.runs.get(run).and_then(|entry| entry.state()) else { return Ok(Vec::new()) };
        let mut locks = vec![None; state.plan.environments.len()];
        if relock {
            return Ok(locks);
        }
        let now = self.clock.now().0;
        let since = qflow_model::ids::Timestamp(now.saturating_sub(limits::LOCK_REUSE_MS as i64 * 1000));
        for (spec, slot) in state.plan.environments.iter().zip(&mut locks) {
            let known = self.parts.store.lock(state.spec.tenant.clone(), spec.digest(), since).await?;
            let suiting = known.filter(|lock| suits(lock, self.runners.runtime()));
            *slot = suiting.map(|lock| self.known.locks.put(name_of(&lock), lock));
        }
        Ok(locks)
    }

    /// Reads a run from its rows, in place of what is in memory; one that is not there is left out.
    pub(super) async fn read(&mut self, run: RunId) -> record::Result<()> {
        self.runs.remove(run);
        let Some(loaded) = self.parts.store.load(run).await? else { return Ok(()) };
        let sent = self.sent(&loaded.spec.tenant, loaded.plan.source).await?;
        let mut head = loaded.head;
        for lock in head.locks.iter_mut().flatten() {
            *lock = self.known.locks.put(name_of(lock), Arc::clone(lock));
        }
        self.runs.in_hand.take(run);
        let restore = move || RunState::restore(loaded.spec, loaded.plan, head, loaded.nodes);
        let restored = catch_unwind(AssertUnwindSafe(restore));
        self.runs.in_hand.rest();
        let Ok(state) = restored else {
            let note = Event::error("run_unreadable", "its rows say nothing that can be: it is left as it is");
            self.parts.telemetry.emit(note.with("run_id", run.to_string()));
            return Ok(());
        };
        // In a system that was restored, what runners of the one before held is nobody's.
        let (nobodys, held): (Vec<_>, Vec<_>) = held(&state).partition(|(_, runner, _)| runner.is_empty());
        held.into_iter().for_each(|(key, ..)| self.runners.confirm(key));
        let lost: Vec<AttemptKey> = nobodys.into_iter().map(|(key, ..)| key).collect();
        let open = (0..).zip(state.head.locks.iter().zip(&state.plan.environments));
        for (environment, (lock, spec)) in open {
            let failed = state.head.lock_errors.contains_key(&environment);
            if lock.is_none() && !failed && state.head.started_at.is_some() && !state.head.status.is_terminal() {
                self.locks.want(spec, run, environment);
                // A replica that died has taken with it what it said of this.
                turn::resolves(&*self.parts.bus, &state, environment);
            }
        }
        self.runs.insert(state, sent);
        lost.into_iter().for_each(|key| self.give(run, Input::Lost { key, reason: "restored".to_owned() }));
        Ok(())
    }

    /// What was submitted, which other runs may have too.
    async fn sent(&self, tenant: &str, source: Digest) -> record::Result<Arc<Sent>> {
        if let Some(sent) = self.known.sent.get(source) {
            return Ok(sent);
        }
        let read = self.parts.store.source(tenant.to_owned(), source).await?;
        let sent = read
            .map_or_else(Sent::default, |read| Sent { files: Arc::new(read.files.clone()), main: read.entry.clone() });
        Ok(self.known.sent.put(source, Arc::new(sent)))
    }

    /// A run whose step broke is read again and stands still, so that it cannot stop the others.
    pub(super) async fn quarantine(&mut self, run: RunId) {
        if let Err(error) = self.read(run).await {
            self.unread.push(run);
            return self.is_away(&error);
        }
        let reason = format!("{QUARANTINED}: a step of the run broke (a defect of Qflow; please report it)");
        let now = self.clock.now();
        match self.runs.step(run, Input::Pause { reason }, now) {
            Ok(_) => drop(self.turn.touched.insert(run)),
            Err(NotStepped::Broken) => {
                let note = Event::error("run_quarantined", "not even paused: it is left alone until this process ends");
                self.parts.telemetry.emit(note.with("run_id", run.to_string()));
                self.runs.remove(run);
            }
            Err(_) => {}
        }
    }
}

/// Names a lock by all that it says.
fn name_of(lock: &EnvLock) -> Digest {
    // A lock of texts and numbers can be written.
    Digest::of(&serde_json::to_vec(lock).unwrap_or_default())
}
