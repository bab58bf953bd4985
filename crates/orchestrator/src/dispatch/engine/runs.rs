//! Runs in memory: each with what its steps since the last commit amount to.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use qflow_model::{
    ids::{AttemptKey, NodeKey, RunId, Timestamp},
    progress::{Input, RunState},
    status::RunStatus,
};
use tokio::time::Instant;

use super::{in_hand::InHand, reuse::Looked};
use crate::{
    active::Active,
    dispatch::locks::Waiting,
    progress::Progress,
    record::{Change, cache::Hit},
};

/// A submission's files.
#[derive(Default)]
pub(super) struct Sent {
    /// By path.
    pub(super) files: Arc<BTreeMap<String, String>>,
    /// The one that was named on the command line.
    pub(super) main: String,
}

/// A run in memory.
pub(super) struct Entry {
    /// Gone only while it is stepped, or after a step that panicked.
    state: Option<RunState>,
    /// What was submitted, for orders.
    pub(super) sent: Arc<Sent>,
    /// What is not committed.
    pub(super) progress: Progress,
    /// What is known of outputs that are kept, for what is ready.
    pub(super) reuse: Looked,
    wake: Option<Timestamp>,
    /// Since when something ready waits without being served.
    queued_since: Option<Instant>,
}

impl Entry {
    /// Where it stands.
    pub(super) fn state(&self) -> Option<&RunState> {
        self.state.as_ref()
    }

    /// How many of its node runs wait for a runner: those that are ready, or that will be once a runner has taken its environments on.
    fn queued(&self, waiting: bool) -> u32 {
        let Some(state) = &self.state else { return 0 };
        let locks = state.awaiting_locks().filter(|_| waiting);
        state.ready().chain(locks).map(|key| state.waiting(key)).sum()
    }

    /// Since when.
    fn queued_since(&self, waiting: Option<Instant>) -> Option<Instant> {
        let awaits = |_: &Instant| self.state.as_ref().is_some_and(|state| state.awaiting_locks().next().is_some());
        self.queued_since.or_else(|| waiting.filter(awaits))
    }
}

/// Why a step did not happen.
#[derive(Debug)]
pub(super) enum NotStepped {
    /// The run is not here: it has ended, or never was.
    Absent,
    /// The state says no.
    Refused,
    /// The state machine broke; what it broke with is dropped.
    Broken,
}

/// What is in memory, counted.
#[derive(Default)]
pub(super) struct Census {
    pub(super) by_status: BTreeMap<RunStatus, u32>,
    /// Paused ones, by what for.
    pub(super) paused: BTreeMap<&'static str, u32>,
    /// Since when the oldest run of each workflow that has begun has been running.
    pub(super) oldest: BTreeMap<String, Timestamp>,
}

/// All runs in memory.
#[derive(Default)]
pub(super) struct Runs {
    by_id: BTreeMap<RunId, Entry>,
    wakes: BTreeSet<(Timestamp, RunId)>,
    /// Whose processing a crash of this process would be.
    pub(super) in_hand: InHand,
}

impl Runs {
    /// None yet.
    pub(super) fn new(in_hand: InHand) -> Self {
        Self { in_hand, ..Self::default() }
    }

    pub(super) fn insert(&mut self, state: RunState, sent: Arc<Sent>) {
        let run = state.spec.id;
        let reuse = Looked::of(&state);
        let (state, progress) = (Some(state), Progress::default());
        let entry = Entry { state, sent, progress, reuse, wake: None, queued_since: None };
        self.by_id.insert(run, entry);
        self.settle(run);
    }

    pub(super) fn remove(&mut self, run: RunId) {
        if let Some(Entry { wake: Some(at), .. }) = self.by_id.remove(&run) {
            self.wakes.remove(&(at, run));
        }
    }

    /// All that are in memory.
    pub(super) fn ids(&self) -> impl Iterator<Item = RunId> {
        self.by_id.keys().copied()
    }

    pub(super) fn get(&self, run: RunId) -> Option<&Entry> {
        self.by_id.get(&run)
    }

    pub(super) fn get_mut(&mut self, run: RunId) -> Option<&mut Entry> {
        self.by_id.get_mut(&run)
    }

    /// Steps a run; whether anything is to be committed or done because of it.
    pub(super) fn step(&mut self, run: RunId, input: Input, now: Timestamp) -> Result<bool, NotStepped> {
        let entry = self.by_id.get_mut(&run).ok_or(NotStepped::Absent)?;
        let state = entry.state.take().ok_or(NotStepped::Absent)?;
        self.in_hand.take(run);
        // A panic must not take the other runs with it; the state that broke is not used again.
        #[expect(clippy::result_large_err, reason = "the state is given back by value")]
        let stepped = catch_unwind(AssertUnwindSafe(|| state.step(input, now)));
        let result = match stepped {
            Ok(Ok((state, effects))) => {
                let any = !effects.is_empty();
                entry.progress.absorb(effects);
                entry.state = Some(state);
                Ok(any)
            }
            Ok(Err((state, _))) => {
                entry.state = Some(state);
                Err(NotStepped::Refused)
            }
            Err(_) => Err(NotStepped::Broken),
        };
        self.in_hand.rest();
        self.settle(run);
        result
    }

    /// Works out anew when the run is to be looked at, and since when it waits.
    fn settle(&mut self, run: RunId) {
        let Some(entry) = self.by_id.get_mut(&run) else { return };
        let wake = entry.state.as_ref().and_then(RunState::next_wake);
        if wake != entry.wake {
            if let Some(at) = entry.wake {
                self.wakes.remove(&(at, run));
            }
            self.wakes.extend(wake.map(|at| (at, run)));
            entry.wake = wake;
        }
        let waits = entry.state.as_ref().is_some_and(|state| state.ready().next().is_some());
        entry.queued_since = waits.then(|| entry.queued_since.unwrap_or_else(Instant::now));
    }

    /// Says that the run was served now.
    pub(super) fn served(&mut self, run: RunId) {
        if let Some(entry) = self.by_id.get_mut(&run) {
            entry.queued_since = entry.queued_since.map(|_| Instant::now());
        }
    }

    /// Runs with something to lease, oldest first.
    pub(super) fn with_ready(&self) -> Vec<RunId> {
        self.by_id.iter().filter(|(_, entry)| entry.queued_since.is_some()).map(|(run, _)| *run).collect()
    }

    /// Runs with something ready whose output may be kept.
    pub(super) fn that_reuse(&self) -> Vec<RunId> {
        let reuses = |entry: &Entry| {
            entry.reuse.is_asked() && entry.state.as_ref().is_some_and(|state| state.reusable().next().is_some())
        };
        self.by_id.iter().filter(|(_, entry)| reuses(entry)).map(|(run, _)| *run).collect()
    }

    /// A ready node run whose output is known, and that output.
    pub(super) fn hit(&mut self, run: RunId) -> Option<(NodeKey, Box<Hit>)> {
        let entry = self.by_id.get_mut(&run)?;
        entry.reuse.hit(entry.state.as_ref()?)
    }

    /// Since when the run that waits longest for a runner does.
    pub(super) fn oldest_queued(&self, waiting: &Waiting) -> Option<Instant> {
        self.by_id.iter().filter_map(|(run, entry)| entry.queued_since(waiting.get(run).copied())).min()
    }

    /// How many of their node runs wait for a runner.
    pub(super) fn queue_depth(&self, waiting: &Waiting) -> u32 {
        self.by_id.iter().map(|(run, entry)| entry.queued(waiting.contains_key(run))).sum()
    }

    /// How many runs stand where.
    pub(super) fn census(&self) -> Census {
        let mut census = Census::default();
        for state in self.by_id.values().filter_map(|entry| entry.state.as_ref()) {
            *census.by_status.entry(state.head.status).or_default() += 1;
            if let Some(cause) = state.head.paused_for() {
                *census.paused.entry(cause).or_default() += 1;
            }
            if let Some(at) = state.head.started_at.filter(|_| !state.head.status.is_terminal()) {
                let oldest = census.oldest.entry(state.plan.workflow.clone()).or_insert(at);
                *oldest = at.min(*oldest);
            }
        }
        census
    }

    /// A run that has not ended, as it is told to others.
    pub(super) fn active(&self, run: RunId, now: Timestamp, waiting: &Waiting) -> Option<Active> {
        let (entry, waiting) = (self.by_id.get(&run)?, waiting.get(&run).copied());
        let since = |since: Instant| Timestamp(now.0 - i64::try_from(since.elapsed().as_micros()).unwrap_or_default());
        let queued = (entry.queued(waiting.is_some()), entry.queued_since(waiting).map(since));
        Active::of(entry.state.as_ref()?, queued)
    }

    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Runs whose time has come.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<RunId> {
        let due: Vec<RunId> = self.wakes.iter().take_while(|(at, _)| *at <= now).map(|(_, run)| *run).collect();
        for run in &due {
            // A tick that changes nothing must not come again at once.
            if let Some(entry) = self.by_id.get_mut(run)
                && let Some(at) = entry.wake.take()
            {
                self.wakes.remove(&(at, *run));
            }
        }
        due
    }

    /// What is to be written of the runs given.
    pub(super) fn changes(&self, touched: &BTreeSet<RunId>) -> Vec<Change> {
        let change = |run: &RunId| {
            let entry = self.by_id.get(run)?;
            let change = entry.progress.change(entry.state.as_ref()?);
            let empty = change.head.is_none() && change.nodes.is_empty() && change.history.is_empty();
            (!empty).then_some(change)
        };
        touched.iter().filter_map(change).collect()
    }

    /// Attempts that a runner is thought to hold, by the runs' states; with whether the runner has begun each.
    pub(super) fn held_by(&self, runner_id: &str) -> Vec<(AttemptKey, bool)> {
        let states = self.by_id.values().filter_map(|entry| entry.state.as_ref());
        states
            .flat_map(|state| held(state).filter(|(_, runner, _)| *runner == runner_id))
            .map(|(key, _, begun)| (key, begun))
            .collect()
    }
}

/// Attempts of a run that runners hold: which, who, and whether it has begun.
pub(super) fn held(state: &RunState) -> impl Iterator<Item = (AttemptKey, &str, bool)> {
    let run = state.spec.id;
    state.nodes().filter(|(_, node)| node.status.is_held()).filter_map(move |(key, node)| {
        let runner = state.holder(key)?;
        let begun = node.detail.as_deref().is_some_and(|detail| detail.started_at.is_some());
        Some((AttemptKey { run, node: key, attempt: node.attempt }, runner, begun))
    })
}
