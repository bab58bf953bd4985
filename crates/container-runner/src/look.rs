//! How the runtime is, looked at now and then: whether it answers, what it has, and whether each Python comes up in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use qflow_model::{definition::PythonVersion, environment::EnvSpec};
use qflow_service::{Readiness, Shutdown};
use qflow_telemetry::{Event, labels::Python};
use tokio::time::{Instant, timeout};

use crate::{run::Runner, runtime};

/// Between two looks: as often as a runner speaks of itself.
const EVERY: Duration = Duration::from_secs(5);
/// How long the runtime may take to answer one question.
const ANSWER: Duration = Duration::from_secs(4);
/// How long a runner has run before it tries what nobody has asked for: calls that are soon over need no such proof.
const SETTLED: Duration = Duration::from_mins(1);
/// How long a try may take.
const TRY: Duration = Duration::from_mins(2);
/// The part that a runner requires.
const RUNTIME: &str = "runtime";

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
    /// It was there at some look since the start: it is missed where it is not.
    pub is_wanted: bool,
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
    loop {
        tokio::select! { () = shutdown.wait() => return, _ = ticks.tick() => {} }
        condition = look(&runner, &name, &versions, condition).await;
        let was = std::mem::replace(&mut away, condition.look.is_none());
        if was != away {
            readiness.set(RUNTIME, !away);
            tell(&runner, away);
        }
        for (python, standing) in &condition.pythons {
            let up = f64::from(u8::from(standing.is_there && !away));
            runner.telemetry.metrics().python_available(Python::of(&python.to_string())).set(up);
        }
        *looks.inside() = Some((condition.clone(), Instant::now()));
        if let Some(smoke) = smoke.filter(|_| !away && begun.elapsed() >= SETTLED)
            && let Some(python) = due(&runner, &condition, smoke)
        {
            tokio::select! { () = shutdown.wait() => return, () = tries(&runner, python) => {} }
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
            *standing = Standing { is_there, is_wanted: standing.is_wanted || is_there };
        }
    }
    Condition { look, pythons }
}

/// The version whose container came up longest ago, where that is too long.
fn due(runner: &Runner, condition: &Condition, smoke: Duration) -> Option<PythonVersion> {
    let tried = runner.pool.tried();
    let there: BTreeSet<_> =
        condition.pythons.iter().filter(|(_, it)| it.is_there).map(|(python, _)| *python).collect();
    let age = |python: &PythonVersion| tried.get(python).map_or(Duration::MAX, |tried| tried.at.elapsed());
    there.into_iter().filter(|python| age(python) >= smoke).max_by_key(age)
}

/// Has a container of a version come up; what became of it is told by the pool.
async fn tries(runner: &Runner, python: PythonVersion) {
    let spec = EnvSpec { python, requirements: Vec::new() };
    if let Ok(lock) = runner.environments.lock(&spec).await {
        // One that takes longer is told as one that does not come up, by its own time-outs.
        timeout(TRY, runner.pool.smoke(&lock)).await.ok();
    }
}
