//! How the runtime is, looked at now and then: whether it answers, what it has, and whether each Python comes up in it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use qflow_model::{definition::PythonVersion, environment::EnvSpec};
use qflow_service::{Readiness, Shutdown};
use qflow_telemetry::{Event, labels::Python};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{pool::Tried, run::Runner, runtime};

/// Between two looks: as often as a runner speaks of itself.
const EVERY: Duration = Duration::from_secs(5);
/// How long the runtime may take to answer one question.
const ANSWER: Duration = Duration::from_secs(4);
/// How long a runner has run before it tries what nobody has asked for: calls that are soon over need no such proof.
const SETTLED: Duration = Duration::from_mins(1);
/// How long a try may take.
const TRY: Duration = Duration::from_mins(2);
/// After how long one that failed is made again: what was mended is not told as broken for long.
const AGAIN: Duration = Duration::from_secs(30);
/// The part that a runner requires.
pub const RUNTIME: &str = "runtime";

/// The last look, for those who ask.
#[derive(Debug, Default)]
pub struct Looks(Mutex<Option<(Condition, Instant)>>);

/// How the runtime was at a look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// What it said; nothing where it did not answer.
    pub look: Option<runtime::Look>,
    /// Every configured version.
    pub pythons: BTreeMap<PythonVersion, Standing>,
}

/// How a version of Python stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its image, or its interpreter, is there.
    pub is_there: bool,
    /// It was there at some look since the start, or was asked for: it is missed where it is not.
    pub is_wanted: bool,
}

impl Standing {
    fn found(self, is_there: bool, is_asked: bool) -> Self {
        Self { is_there, is_wanted: self.is_wanted || is_there || is_asked }
    }
}

impl Looks {
    fn inside(&self) -> MutexGuard<'_, Option<(Condition, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last look and its age, once there was one.
    pub fn last(&self) -> Option<(Condition, Duration)> {
        self.inside().as_ref().map(|(condition, at)| (condition.clone(), at.elapsed()))
    }
}

/// Looks until the order to stop. Where nobody has started a version's container for `smoke`, one is started and removed again.
pub async fn watch(
    runner: Arc<Runner>,
    name: String,
    versions: Vec<PythonVersion>,
    smoke: Option<Duration>,
    (looks, readiness): (Arc<Looks>, Readiness),
    shutdown: Shutdown,
) {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut condition = Condition::default();
    let mut away = false;
    // Beside the looks: a try that hangs is no reason to look no more.
    let (mut trying, mut reaping) = (JoinSet::new(), JoinSet::new());
    loop {
        tokio::select! { () = shutdown.wait() => return, _ = ticks.tick() => {} }
        condition = look(&runner, &name, &versions, condition).await;
        let was = std::mem::replace(&mut away, condition.look.is_none());
        readiness.set(RUNTIME, !away);
        if was != away {
            tell(&runner, away);
            runner.pool.astray();
        }
        while reaping.try_join_next().is_some() {}
        if !away && reaping.is_empty() {
            let pool = Arc::clone(&runner.pool);
            reaping.spawn(async move { pool.reap().await });
        }
        for (python, standing) in &condition.pythons {
            let up = f64::from(u8::from(standing.is_there && !away));
            runner.telemetry.metrics().python_available(Python::of(&python.to_string())).set(up);
        }
        *looks.inside() = Some((condition.clone(), Instant::now()));
        while trying.try_join_next().is_some() {}
        if let Some(smoke) = smoke.filter(|_| trying.is_empty() && !away && begun.elapsed() >= SETTLED)
            && let Some(python) = due(&runner.pool.tried(), &condition, smoke)
        {
            trying.spawn(tries(Arc::clone(&runner), python));
        }
    }
}

fn tell(runner: &Runner, away: bool) {
    let name = runner.runtime.name();
    runner.telemetry.emit(if away {
        Event::warning("runtime_away", format!("the runtime {name} does not answer, so nothing can be started in it"))
    } else {
        Event::info("runtime_there", format!("the runtime {name} answers again"))
    });
}

async fn look(runner: &Runner, name: &str, versions: &[PythonVersion], before: Condition) -> Condition {
    let answered = timeout(ANSWER, runner.runtime.look(name)).await;
    let look = answered.ok().and_then(Result::ok);
    let mut pythons = before.pythons;
    for python in versions {
        let standing = pythons.entry(*python).or_default();
        // What a runtime that is away does not tell stays as it was.
        if look.is_some()
            && let Ok(Ok(is_there)) = timeout(ANSWER, runner.runtime.is_there(*python)).await
        {
            *standing = standing.found(is_there, runner.environments.is_asked(*python));
        }
    }
    Condition { look, pythons }
}

/// The version whose container came up longest ago, where that is too long; of one that did not come up it is sooner.
fn due(tried: &BTreeMap<PythonVersion, Tried>, condition: &Condition, smoke: Duration) -> Option<PythonVersion> {
    let age = |python: &PythonVersion| tried.get(python).map_or(Duration::MAX, |tried| tried.at.elapsed());
    let is_due = |python: &PythonVersion| {
        let failed = tried.get(python).is_some_and(|tried| tried.error.is_some());
        age(python) >= if failed { smoke.min(AGAIN) } else { smoke }
    };
    let there = condition.pythons.iter().filter(|(_, standing)| standing.is_there).map(|(python, _)| *python);
    there.filter(is_due).max_by_key(age)
}

/// Has a container of a version come up; what became of it is told by the pool.
async fn tries(runner: Arc<Runner>, python: PythonVersion) {
    let spec = EnvSpec { python, requirements: Vec::new() };
    if let Ok(lock) = runner.environments.lock(&spec).await {
        // One that takes longer is told as one that does not come up, by its own time-outs.
        timeout(TRY, runner.pool.smoke(&lock)).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_that_failed_is_due_again_soon_and_one_that_came_up_when_that_is_long_ago() {
        let python = |version: &str| version.parse::<PythonVersion>().unwrap();
        let there = Standing { is_there: true, is_wanted: true };
        let pythons = BTreeMap::from([(python("3.11"), there), (python("3.12"), Standing::default())]);
        let condition = Condition { look: None, pythons };
        let of = |tried: Option<(u64, Option<&'static str>)>| {
            let at = |seconds| Instant::now() - Duration::from_secs(seconds);
            let tried = tried.map(|(seconds, error)| (python("3.11"), Tried { at: at(seconds), error }));
            due(&tried.into_iter().collect(), &condition, Duration::from_secs(900))
        };
        assert_eq!(of(None), Some(python("3.11")), "one that was never tried; not one that is not there");
        assert_eq!([of(Some((31, Some("runtime")))), of(Some((900, None)))], [Some(python("3.11")); 2]);
        assert_eq!([of(Some((20, Some("runtime")))), of(Some((800, None)))], [None; 2]);
    }

    #[test]
    fn a_python_is_missed_once_it_was_there_or_was_asked_for() {
        let never = Standing::default().found(false, false);
        assert!(!never.is_wanted, "nothing is pulled unasked");
        assert!(never.found(false, true).is_wanted);
        assert!(never.found(true, false).found(false, false).is_wanted);
    }
}
