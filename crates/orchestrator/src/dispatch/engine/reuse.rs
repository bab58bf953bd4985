//! Reuse of outputs: looked up when a node run is ready, kept when an attempt completed, removed when their time is over.

use std::collections::BTreeMap;

use qflow_model::{
    ids::{AttemptKey, Digest, NodeKey, RunId},
    outcome::{Ending, Outcome},
    progress::{Input, ReusedFrom, RunState},
    status::NodeStatus,
};
use qflow_telemetry::{Event, labels};

use super::{Engine, Turn};
use crate::{
    record::cache::{Cached, Hit, Scope, blobs},
    reuse::{self, Read},
};

/// Elements of a map that are looked up together: one question for many, and no more than a turn should wait for.
const AHEAD: u32 = 256;
/// Node runs that a turn completes by reuse: past it others have their turn first.
const TOGETHER: u32 = 1024;
/// Ticks between two looks at entries whose time is over.
const REST: u32 = 60;
/// Entries that one look removes: small enough that nobody waits for it.
const BATCH: u32 = 100;

/// What the engine keeps in mind of reuse.
#[derive(Default)]
pub(super) struct Reuse {
    /// The last turn left something that it could have reused.
    pub(super) more: bool,
    /// Ticks until entries whose time is over are looked for.
    rest: u32,
}

/// What is known of outputs that are kept, for one run's ready node runs.
pub(super) struct Looked {
    /// Whether the run asks at all: some node's output is kept, and the run was not told to ignore that.
    asks: bool,
    known: BTreeMap<NodeKey, Option<Box<Hit>>>,
}

impl Looked {
    pub(super) fn of(state: &RunState) -> Self {
        let keeps = state.plan.nodes.values().any(|node| node.cache_ms.is_some() && node.code.is_some());
        Self { asks: keeps && !state.spec.no_cache, known: BTreeMap::new() }
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asks
    }

    /// Whether a node run may be leased: nothing is kept of it, as far as was asked.
    pub(super) fn may_lease(&self, state: &RunState, node: NodeKey) -> bool {
        !self.asks || reuse::kept(state, node).is_none() || matches!(self.known.get(&node), Some(None))
    }

    /// Forgets a node run that was leased: where it becomes ready again it is asked for again.
    pub(super) fn leased(&mut self, node: NodeKey) {
        self.known.remove(&node);
    }

    /// Ready node runs, and elements soon to be ready, that were not asked for yet.
    fn unknown(&self, state: &RunState) -> Vec<NodeKey> {
        let kept = state.reusable().filter(|node| reuse::kept(state, *node).is_some());
        let soon = kept.flat_map(|node| {
            let left = if state.node(node).is_some() { 1 } else { state.waiting(node).min(AHEAD) };
            (0..left).map(move |n| NodeKey { index: node.index.map(|index| index + n), ..node })
        });
        soon.filter(|node| !self.known.contains_key(node)).take(AHEAD as usize).collect()
    }

    /// A ready node run whose output is known, and that output.
    pub(super) fn hit(&mut self, state: &RunState) -> Option<(NodeKey, Box<Hit>)> {
        let node = state.reusable().find(|node| matches!(self.known.get(node), Some(Some(_))))?;
        Some((node, self.known.remove(&node)??))
    }
}

impl Engine {
    /// Completes what is ready and was made before; what was not may be leased then.
    pub(super) async fn reuse(&mut self) {
        self.reuse.more = false;
        let mut left = TOGETHER;
        for run in self.runs.that_reuse() {
            loop {
                if !self.look_up(run).await || left == 0 {
                    self.reuse.more |= left == 0;
                    break;
                }
                let Some(reused) = self.reuse_known(run, left).await else { break };
                left -= reused;
            }
        }
    }

    /// Asks for what is ready and was not asked for; false where the store does not answer.
    async fn look_up(&mut self, run: RunId) -> bool {
        let Some(entry) = self.runs.get(run) else { return true };
        let Some(state) = entry.state() else { return true };
        let mut read = Read::default();
        let asked: Vec<(NodeKey, _)> = entry
            .reuse
            .unknown(state)
            .into_iter()
            .filter_map(|node| Some((node, reuse::key(state, node, &mut read)?)))
            .collect();
        if asked.is_empty() {
            return true;
        }
        let scope = scope(state);
        let found = self.parts.store.cached(scope.clone(), asked.iter().map(|(_, key)| *key).collect()).await;
        let mut found = match found {
            Ok(found) => found,
            Err(error) => {
                self.is_away(&error);
                return false;
            }
        };
        for ((_, key), hit) in asked.iter().zip(&mut found) {
            if hit.is_none() {
                *hit = self.turn.kept(&scope, *key);
            }
        }
        let misses = found.iter().filter(|hit| hit.is_none()).count();
        self.count("miss", misses as u64);
        if let Some(entry) = self.runs.get_mut(run) {
            entry
                .reuse
                .known
                .extend(asked.into_iter().map(|(node, _)| node).zip(found.into_iter().map(|h| h.map(Box::new))));
        }
        true
    }

    /// Completes at most `most` node runs whose outputs are known; how many, or nothing where there was none.
    async fn reuse_known(&mut self, run: RunId, most: u32) -> Option<u32> {
        let mut reused = 0;
        while reused < most {
            let Some((node, hit)) = self.runs.hit(run) else { break };
            if let Err(error) = self.hasty.reuse(run, &blobs(&hit.produced)).await {
                let note = Event::warning("kept_output_unreadable", error.to_string());
                self.parts.telemetry.emit(note.with("run_id", run.to_string()));
                // What cannot be had is made anew, and kept anew.
                self.count("miss", 1);
                if let Some(entry) = self.runs.get_mut(run) {
                    entry.reuse.known.insert(node, None);
                }
                continue;
            }
            let Hit { produced, from } = *hit;
            self.give(run, Input::Reuse { node, produced: Box::new(produced), from });
            reused += 1;
        }
        self.count("hit", reused.into());
        (reused > 0).then_some(reused)
    }

    fn count(&self, result: &'static str, times: u64) {
        let metrics = self.parts.telemetry.metrics();
        metrics.cache_requests(labels::CacheName::of("node"), labels::Cache::of(result)).increment(times);
    }

    /// Keeps what an attempt gave, in the transaction that records it; its blobs are copied before.
    pub(super) async fn keep(&mut self, key: AttemptKey, outcome: &Outcome) {
        let Ending::Completed(produced) = &outcome.ending else { return };
        let Some(state) = self.runs.get(key.run).and_then(|entry| entry.state()) else { return };
        let Some((_, _, keep_ms)) = reuse::kept(state, key.node) else { return };
        let of_it =
            |node: &qflow_model::progress::NodeRun| node.attempt == key.attempt && node.status == NodeStatus::Completed;
        let Some(digest) = state
            .node(key.node)
            .filter(|node| of_it(node))
            .and_then(|_| reuse::key(state, key.node, &mut Read::default()))
        else {
            return;
        };
        let from = ReusedFrom { run_id: key.run, node_id: state.node_id(key.node), attempt: key.attempt };
        let cached = Cached { scope: scope(state), key: digest, produced: (**produced).clone(), from, keep_ms };
        match self.hasty.keep(key.run, &cached.blobs()).await {
            Ok(()) => self.turn.cached.push(cached),
            Err(error) => self.parts.telemetry.emit(Event::warning("output_not_kept", error.to_string())),
        }
    }

    /// Removes some of what is kept for longer than it was to be, at times.
    pub(super) async fn expire(&mut self) {
        // What this turn keeps may stand in a blob that nobody else has: not now.
        if self.reuse.rest > 0 || !self.turn.cached.is_empty() {
            self.reuse.rest = self.reuse.rest.saturating_sub(1);
            return;
        }
        let expired = match self.parts.store.expire(BATCH).await {
            Ok(expired) => expired,
            Err(error) => return self.is_away(&error),
        };
        if expired.entries < BATCH && expired.blobs.len() < BATCH as usize {
            self.reuse.rest = REST;
        }
        if expired.blobs.is_empty() {
            return;
        }
        match self.hasty.drop_kept(&expired.blobs).await {
            Ok(()) => {
                if let Err(error) = self.parts.store.forget(expired.blobs).await {
                    self.is_away(&error);
                }
            }
            Err(error) => self.parts.telemetry.emit(Event::warning("kept_output_not_removed", error.to_string())),
        }
    }
}

impl Turn {
    /// What this turn's own commit keeps under a key.
    fn kept(&self, scope: &Scope, key: Digest) -> Option<Hit> {
        let cached = self.cached.iter().rfind(|cached| cached.key == key && cached.scope == *scope)?;
        Some(Hit { produced: cached.produced.clone(), from: cached.from.clone() })
    }
}

fn scope(state: &RunState) -> Scope {
    Scope { tenant: state.spec.tenant.clone(), user: state.spec.user.clone() }
}
