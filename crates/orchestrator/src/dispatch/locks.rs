//! Environments that runs wait for: each spec is locked once, by any runner that can, however many runs want it.

use std::{collections::HashMap, time::Duration};

use qflow_model::{
    environment::{EnvLock, EnvSpec},
    ids::{Digest, RunId},
    outcome::Failure,
    status::FailureClass,
};
use tokio::{sync::oneshot, time::Instant};

use super::{LockResult, Say, StreamId, runners::Runners};
use crate::record::cache::Scope;

/// How long a version of Python that no connected runner offers is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A spec that is to be locked.
struct Asked {
    spec: EnvSpec,
    wants: Vec<(RunId, u32)>,
    waiting: Vec<(Scope, oneshot::Sender<LockResult>)>,
    given: Option<StreamId>,
    since: Instant,
}

/// Since when runs wait for a runner that takes an environment of theirs on.
pub(super) type Waiting = HashMap<RunId, Instant>;

/// Which runs wanted a lock, for which of their environments, and who waits for it without a run.
type Answered = (Vec<(RunId, u32)>, Vec<(Scope, oneshot::Sender<LockResult>)>);

/// Specs that are to be locked.
#[derive(Default)]
pub(super) struct Locks(HashMap<Digest, Asked>);

impl Locks {
    fn asked(&mut self, spec: &EnvSpec) -> &mut Asked {
        self.0.entry(spec.digest()).or_insert_with(|| Asked {
            spec: spec.clone(),
            wants: Vec::new(),
            waiting: Vec::new(),
            given: None,
            since: Instant::now(),
        })
    }

    /// Somebody wants a spec locked who has no run yet.
    pub(super) fn ask(&mut self, spec: &EnvSpec, owner: Scope, answer: oneshot::Sender<LockResult>) {
        self.asked(spec).waiting.push((owner, answer));
    }

    /// A run wants its environment at a position locked.
    pub(super) fn want(&mut self, spec: &EnvSpec, run: RunId, environment: u32) {
        let asked = self.asked(spec);
        if !asked.wants.contains(&(run, environment)) {
            asked.wants.push((run, environment));
        }
    }

    /// Gives what is not given yet to runners that can; the runs for which that changes something.
    pub(super) fn give(&mut self, runners: &Runners) -> Vec<RunId> {
        let mut runs = Vec::new();
        for asked in self.0.values_mut().filter(|asked| asked.given.is_none()) {
            if let Some(stream) = runners.offering(asked.spec.python) {
                let run = asked.wants.first().map(|(run, _)| *run);
                runners.say(stream, Say::Lock(asked.spec.clone(), run));
                asked.given = Some(stream);
                runs.extend(asked.wants.iter().map(|(run, _)| *run));
            }
        }
        runs
    }

    /// Runs that want a spec which no runner has taken on, and since when.
    pub(super) fn waiting(&self) -> Waiting {
        let mut waiting = Waiting::new();
        for asked in self.0.values().filter(|asked| asked.given.is_none()) {
            for (run, _) in &asked.wants {
                let since = waiting.entry(*run).or_insert(asked.since);
                *since = asked.since.min(*since);
            }
        }
        waiting
    }

    /// A runner has gone: what it was to lock is given anew. The runs for which that changes something.
    pub(super) fn gone(&mut self, stream: StreamId) -> Vec<RunId> {
        let mut runs = Vec::new();
        for asked in self.0.values_mut().filter(|asked| asked.given == Some(stream)) {
            asked.given = None;
            asked.since = Instant::now();
            runs.extend(asked.wants.iter().map(|(run, _)| *run));
        }
        runs
    }

    /// A spec is locked, or cannot be: which runs wanted it, and who waits without one.
    pub(super) fn answered(&mut self, spec: Digest) -> Answered {
        self.0.remove(&spec).map(|asked| (asked.wants, asked.waiting)).unwrap_or_default()
    }

    /// Specs whose Python nobody offers, though somebody is connected: why they fail.
    pub(super) fn hopeless(&self, runners: &Runners) -> Vec<(Digest, Failure)> {
        if runners.is_empty() {
            return Vec::new();
        }
        let offered = runners.pythons().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let waiting = self.0.iter().filter(|(_, asked)| asked.given.is_none() && asked.since.elapsed() >= PATIENCE);
        waiting
            .map(|(digest, Asked { spec, .. })| {
                let message = format!(
                    "no runner offers Python {}; they offer {offered}. Choose one of these, or prepare {} on a runner",
                    spec.python, spec.python
                );
                let error_type = "environment".to_owned();
                (*digest, Failure { class: Some(FailureClass::Platform), error_type, message, ..Failure::default() })
            })
            .collect()
    }
}

/// Whether a lock that was made before is of use on a runtime: images and interpreters are not interchangeable.
pub(crate) fn suits(lock: &EnvLock, runtime: Option<&str>) -> bool {
    let image = lock.image.starts_with("sha256:");
    match runtime {
        None => false,
        Some("process") => !image,
        Some(_) => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Hello;
    use tokio::sync::mpsc;

    fn spec() -> EnvSpec {
        EnvSpec { python: "3.11".parse().unwrap(), requirements: vec![] }
    }

    fn connect(runners: &mut Runners, stream: u64, python: &str) -> mpsc::UnboundedReceiver<Say> {
        let (to, from) = mpsc::unbounded_channel();
        let hello = Hello { runner_id: "r".into(), pythons: [python.parse().unwrap()].into(), ..Hello::default() };
        runners.hello(StreamId(stream), hello, to);
        from
    }

    #[tokio::test(start_paused = true)]
    async fn a_spec_is_given_once_and_again_only_when_its_runner_has_gone() {
        let (mut locks, mut runners, run) = (Locks::default(), Runners::default(), RunId(uuid::Uuid::from_u128(1)));
        let mut first = connect(&mut runners, 1, "3.11");
        locks.want(&spec(), run, 0);
        locks.want(&spec(), RunId(uuid::Uuid::from_u128(2)), 3);
        assert_eq!((locks.waiting().len(), locks.waiting().get(&run)), (2, Some(&Instant::now())));
        assert_eq!((locks.give(&runners).len(), locks.give(&runners).len()), (2, 0));
        assert!(locks.waiting().is_empty(), "a runner is at it");
        assert!(matches!(first.try_recv(), Ok(Say::Lock(given, _)) if given == spec()));
        assert!(first.try_recv().is_err());
        assert_eq!((locks.gone(StreamId(1)).len(), locks.waiting().len()), (2, 2));
        let mut second = connect(&mut runners, 2, "3.11");
        locks.give(&runners);
        assert!(matches!(second.try_recv(), Ok(Say::Lock(..))));
        assert_eq!(locks.answered(spec().digest()).0.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_no_run_yet_waits_for_the_same_work_as_a_run() {
        let (mut locks, mut runners, run) = (Locks::default(), Runners::default(), RunId(uuid::Uuid::from_u128(1)));
        let mut line = connect(&mut runners, 1, "3.11");
        let somebody = Scope { tenant: "t".into(), user: "u".into() };
        locks.ask(&spec(), somebody, oneshot::channel().0);
        locks.give(&runners);
        assert!(matches!(line.try_recv(), Ok(Say::Lock(_, None))));
        locks.want(&spec(), run, 0);
        locks.give(&runners);
        assert!(line.try_recv().is_err(), "it is given once");
        let (wants, waiting) = locks.answered(spec().digest());
        assert_eq!((wants, waiting.len()), (vec![(run, 0)], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_that_nobody_offers_fails_with_those_that_are_offered() {
        let (mut locks, mut runners) = (Locks::default(), Runners::default());
        locks.want(&spec(), RunId(uuid::Uuid::from_u128(1)), 0);
        tokio::time::advance(PATIENCE).await;
        assert!(locks.hopeless(&runners).is_empty(), "without any runner it waits");
        let _line = connect(&mut runners, 1, "3.12");
        let hopeless = locks.hopeless(&runners);
        assert!(hopeless[0].1.message.contains("Python 3.11; they offer 3.12"), "{}", hopeless[0].1.message);
    }
}
