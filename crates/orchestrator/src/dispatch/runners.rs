//! Runners that are connected: their credits, what they hold, and since when they have not said so.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use qflow_model::{
    definition::PythonVersion,
    ids::{AttemptKey, Digest, RunId},
    limits,
};
use tokio::{sync::mpsc, time::Instant};

use super::{Condition, Hello, Say, SecretNames, Seen, Shown, StreamId};

/// How long a credit may lie idle where others could use it; and between two words that some are wanted.
const IDLE: Duration = Duration::from_secs(1);

/// A connected runner.
pub(super) struct Runner {
    pub(super) hello: Hello,
    to: mpsc::UnboundedSender<Say>,
    credits: u32,
    /// When a credit came or went: those that lie idle for long are given back.
    moved: Instant,
    /// Whether it was given some back, and has not sent any since: it sends them once they are wanted.
    spare: bool,
    running: u32,
    containers: u32,
    warm: BTreeSet<Digest>,
    heard: Instant,
    blobs_away: bool,
    condition: Condition,
    shown: Arc<[Shown]>,
}

/// What an attempt must be able to read: its tenant, and names.
pub(super) struct Secrets<'a> {
    pub(super) tenant: &'a str,
    pub(super) names: Vec<&'a String>,
}

impl Secrets<'_> {
    fn are_had(&self, hello: &Hello) -> bool {
        let known = hello.secrets.get(self.tenant);
        self.names.iter().all(|name| known.is_some_and(|known| known.contains(*name)))
    }
}

/// All that are connected, and all attempts that are thought to be held.
#[derive(Default)]
pub(super) struct Runners {
    streams: HashMap<StreamId, Runner>,
    /// By runner: its newest stream.
    newest: HashMap<String, StreamId>,
    /// When a runner last said of an attempt that it holds it, or was given it.
    confirmed: HashMap<AttemptKey, Instant>,
    pub(super) met: bool,
    /// When runners were last told that credits are wanted, where none has come since.
    begged: Option<Instant>,
}

impl Runners {
    pub(super) fn hello(&mut self, stream: StreamId, hello: Hello, to: mpsc::UnboundedSender<Say>) {
        self.met = true;
        if let Some(old) = self.newest.insert(hello.runner_id.clone(), stream) {
            self.streams.remove(&old);
        }
        let runner = Runner {
            running: hello.attempts.len() as u32,
            hello,
            to,
            credits: 0,
            moved: Instant::now(),
            spare: false,
            containers: 0,
            warm: BTreeSet::new(),
            heard: Instant::now(),
            blobs_away: false,
            condition: Condition::default(),
            shown: Arc::default(),
        };
        self.streams.insert(stream, runner);
    }

    /// Forgets a stream; whether it was its runner's newest.
    pub(super) fn gone(&mut self, stream: StreamId) -> bool {
        let Some(runner) = self.streams.remove(&stream) else { return false };
        let newest = self.newest.get(&runner.hello.runner_id) == Some(&stream);
        if newest {
            self.newest.remove(&runner.hello.runner_id);
        }
        newest
    }

    pub(super) fn credit(&mut self, stream: StreamId, count: u32) {
        if let Some(runner) = self.streams.get_mut(&stream) {
            runner.credits = (runner.credits + count).min(runner.hello.slots);
            (runner.heard, runner.moved, runner.spare) = (Instant::now(), Instant::now(), false);
            self.begged = None;
        }
    }

    /// Notes what a runner says of itself; which runner it is, where it is connected.
    pub(super) fn heartbeat(
        &mut self,
        stream: StreamId,
        attempts: &[AttemptKey],
        containers: u32,
        warm: BTreeSet<Digest>,
        secrets: Option<SecretNames>,
    ) -> Option<String> {
        let now = Instant::now();
        if let Some(runner) = self.streams.get_mut(&stream) {
            if let Some(secrets) = secrets {
                runner.hello.secrets = secrets;
            }
            (runner.heard, runner.containers, runner.warm) = (now, containers, warm);
            runner.running = attempts.len() as u32;
        }
        for key in attempts {
            if let Some(at) = self.confirmed.get_mut(key) {
                *at = now;
            }
        }
        self.streams.get(&stream).map(|runner| runner.hello.runner_id.clone())
    }

    /// Notes whether the blob store does not answer a runner, and how its runtime is.
    pub(super) fn found(&mut self, stream: StreamId, blobs_away: bool, condition: Condition) {
        if let Some(runner) = self.streams.get_mut(&stream) {
            (runner.blobs_away, runner.condition) = (blobs_away, condition);
        }
    }

    /// Notes what containers a runner has.
    pub(super) fn shown(&mut self, stream: StreamId, containers: Vec<Shown>) {
        if let Some(runner) = self.streams.get_mut(&stream) {
            runner.shown = containers.into();
        }
    }

    /// Begins an attempt's lease, or renews it.
    pub(super) fn confirm(&mut self, key: AttemptKey) {
        self.confirmed.insert(key, Instant::now());
    }

    pub(super) fn release(&mut self, key: AttemptKey) {
        self.confirmed.remove(&key);
    }

    /// Forgets the attempts of a run that is read again.
    pub(super) fn forget(&mut self, run: RunId) {
        self.confirmed.retain(|key, _| key.run != run);
    }

    /// Attempts that nobody has spoken of for a lease.
    pub(super) fn silent(&self) -> Vec<AttemptKey> {
        let lease = Duration::from_millis(limits::ATTEMPT_LEASE_MS);
        self.confirmed.iter().filter(|(_, at)| at.elapsed() >= lease).map(|(key, _)| *key).collect()
    }

    /// Begins every lease anew: after the store was away nobody is to blame for silence.
    pub(super) fn pardon(&mut self) {
        self.confirmed.values_mut().for_each(|at| *at = Instant::now());
    }

    pub(super) fn has_credit(&self) -> bool {
        self.streams.values().any(|runner| runner.credits > 0)
    }

    /// Gives credits back that have lain idle for a while: another orchestrator may have work for them.
    pub(super) fn give_back(&mut self) {
        for runner in self.streams.values_mut().filter(|r| r.credits > 0 && r.moved.elapsed() >= IDLE) {
            let count = std::mem::take(&mut runner.credits);
            runner.spare = true;
            runner.to.send(Say::CreditsBack(count)).ok();
        }
    }

    /// Whether some runner keeps credits until they are wanted.
    pub(super) fn has_spare(&self) -> bool {
        self.streams.values().any(|runner| runner.spare)
    }

    /// Says that credits are wanted; again after a while, where none came.
    pub(super) fn beg(&mut self) {
        if self.begged.is_none_or(|at| at.elapsed() >= IDLE) {
            self.begged = Some(Instant::now());
            self.tell_all(|| Say::Backlog);
        }
    }

    /// Who is to take an attempt: who has its secrets, then who has the environment installed, then who has most credits.
    pub(super) fn choose(&self, python: PythonVersion, environment: Digest, secrets: &Secrets<'_>) -> Option<StreamId> {
        let able = self.streams.iter().filter(|(_, r)| r.credits > 0 && r.hello.pythons.contains(&python));
        let rank = |id: &StreamId, r: &Runner| {
            (secrets.are_had(&r.hello), r.warm.contains(&environment), r.credits, std::cmp::Reverse(*id))
        };
        able.max_by_key(|(id, r)| rank(id, r)).map(|(id, _)| *id)
    }

    /// Takes a credit of a stream, and says whose it is.
    pub(super) fn spend(&mut self, stream: StreamId) -> Option<String> {
        let runner = self.streams.get_mut(&stream)?;
        runner.credits = runner.credits.saturating_sub(1);
        runner.moved = Instant::now();
        Some(runner.hello.runner_id.clone())
    }

    /// Any that can run a version.
    pub(super) fn offering(&self, python: PythonVersion) -> Option<StreamId> {
        self.streams.iter().filter(|(_, r)| r.hello.pythons.contains(&python)).map(|(id, _)| *id).min()
    }

    /// The runtime of those connected, where it is one.
    pub(super) fn runtime(&self) -> Option<&str> {
        self.streams.values().map(|r| r.hello.runtime.as_str()).min()
    }

    pub(super) fn pythons(&self) -> BTreeSet<PythonVersion> {
        self.streams.values().flat_map(|r| r.hello.pythons.iter().copied()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Says something on a stream; what a runner misses because its stream has ended, its next hello mends.
    pub(super) fn say(&self, stream: StreamId, say: Say) {
        if let Some(runner) = self.streams.get(&stream) {
            runner.to.send(say).ok();
        }
    }

    /// Says something to a runner, where it is connected.
    pub(super) fn tell(&self, runner_id: &str, say: Say) {
        if let Some(stream) = self.newest.get(runner_id) {
            self.say(*stream, say);
        }
    }

    pub(super) fn tell_all(&self, say: impl Fn() -> Say) {
        self.streams.values().for_each(|runner| drop(runner.to.send(say())));
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        let seen = |runner: &Runner| Seen {
            hello: runner.hello.clone(),
            running: runner.running,
            containers: runner.containers,
            shown: Arc::clone(&runner.shown),
            age_seconds: runner.heard.elapsed().as_secs_f64(),
            blobs_away: runner.blobs_away,
            condition: runner.condition.clone(),
        };
        let mut all: Vec<Seen> = self.streams.values().map(seen).collect();
        all.sort_by(|a, b| a.hello.runner_id.cmp(&b.hello.runner_id));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qflow_model::ids::{NodeKey, StepIx};

    fn runner(runners: &mut Runners, stream: u64, python: &str, credits: u32) -> mpsc::UnboundedReceiver<Say> {
        let (to, from) = mpsc::unbounded_channel();
        let hello = Hello {
            runner_id: format!("r{stream}"),
            pythons: [python.parse().unwrap()].into(),
            slots: 4,
            ..Hello::default()
        };
        runners.hello(StreamId(stream), hello, to);
        runners.credit(StreamId(stream), credits);
        from
    }

    #[test]
    fn an_attempt_goes_to_who_has_its_environment_then_to_who_has_most_room() {
        let (mut runners, python, environment) = (Runners::default(), "3.11".parse().unwrap(), Digest::of(b"e"));
        let _lines = [
            runner(&mut runners, 1, "3.11", 3),
            runner(&mut runners, 2, "3.11", 1),
            runner(&mut runners, 3, "3.12", 4),
        ];
        let none = Secrets { tenant: "t", names: vec![] };
        assert_eq!(runners.choose(python, environment, &none), Some(StreamId(1)));
        runners.heartbeat(StreamId(2), &[], 1, [environment].into(), None);
        assert_eq!(runners.choose(python, environment, &none), Some(StreamId(2)));
        let named = "db".to_owned();
        let secrets = Secrets { tenant: "t", names: vec![&named] };
        let has = [("t".to_owned(), [named.clone()].into())].into();
        runners.heartbeat(StreamId(1), &[], 1, BTreeSet::new(), Some(has));
        assert_eq!(runners.choose(python, environment, &secrets), Some(StreamId(1)), "who can read what it needs");
        assert_eq!(runners.spend(StreamId(2)).as_deref(), Some("r2"));
        assert_eq!(
            runners.choose(python, environment, &none),
            Some(StreamId(1)),
            "a runner without credits takes nothing"
        );
        assert_eq!(runners.choose("3.9".parse().unwrap(), environment, &none), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_is_silent_after_a_lease_without_a_word_of_it() {
        let mut runners = Runners::default();
        let _line = runner(&mut runners, 1, "3.11", 1);
        let key = |step| AttemptKey {
            run: RunId(uuid::Uuid::from_u128(1)),
            node: NodeKey::root(StepIx(step), None),
            attempt: 1,
        };
        runners.confirm(key(0));
        runners.confirm(key(1));
        tokio::time::advance(Duration::from_millis(limits::ATTEMPT_LEASE_MS - 1)).await;
        runners.heartbeat(StreamId(1), &[key(1)], 0, BTreeSet::new(), None);
        assert!(runners.silent().is_empty());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(runners.silent(), [key(0)]);
    }
}
