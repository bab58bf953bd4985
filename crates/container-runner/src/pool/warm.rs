//! Containers started ahead of need, one after another and beside every attempt's path.

use std::{sync::Arc, time::Duration};

use qflow_model::{
    definition::{Isolation, PythonVersion, Resources},
    environment::{ContainerClass, EnvLock},
    ids::{Digest, Timestamp},
};
use qflow_proto::order::Order;
use qflow_service::Shutdown;
use tokio::time::Instant;

use super::{Brief, Inside, Pool, STOPPING, State};
use crate::lifecycle::{self, Owner};

/// Warm containers of one environment where attempts take a fresh one each.
const FOR_FRESH: usize = 4;
/// The same where a run's attempts follow one another: a fan-out takes as many as run at once, and needs the first at once.
const FOR_RUNS: usize = 2;
/// Warm containers in all: they cost memory while nobody needs them.
const IN_ALL: usize = 6;
/// The status of a container that is being started.
const STARTING: &str = "starting";
/// How long nothing must have been taken before one is started that is not needed yet: starts burn processors.
const QUIET: Duration = Duration::from_millis(500);

/// The same where some are left and each attempt takes one: as long as a short attempt.
const BREATH: Duration = Duration::from_millis(50);
/// The same where one is left and a run takes one or two: as long as nobody misses another.
const EASE: Duration = Duration::from_millis(1500);
/// How long a container that is not needed any more may be kept for that.
const PATIENCE: Duration = Duration::from_millis(250);

/// What an environment should have.
#[derive(Debug)]
pub(super) struct Warm {
    lock: Arc<EnvLock>,
    /// Whether attempts take a fresh one each.
    fresh: bool,
    /// When an attempt last asked for one.
    pub(super) used: Instant,
    /// Whether it is wanted though nobody has asked for long.
    pub(super) always: bool,
}

impl Warm {
    /// How many are to be warm.
    pub(super) fn want(&self) -> usize {
        if self.fresh { FOR_FRESH } else { FOR_RUNS }
    }
}

/// A container that is being started.
#[derive(Debug)]
pub(super) struct Coming {
    /// The number of its start.
    pub(super) number: u64,
    class: ContainerClass,
    /// Whether an attempt waits for it.
    pub(super) claimed: bool,
    /// Its Python, and since when, once the start is under way.
    begun: Option<(PythonVersion, Timestamp)>,
}

impl Coming {
    pub(super) fn is_for(&self, class: &ContainerClass) -> bool {
        !self.claimed && lifecycle::becomes(&self.class, class)
    }

    fn brief(&self) -> Option<Brief> {
        let (python, started_at) = self.begun?;
        let Resources { cpu_millis, memory_bytes, .. } = self.class.resources;
        let (id, python, status) = (String::new(), python.to_string(), STARTING);
        Some(Brief { id, python, status, run: None, attempt: None, cpu_millis, memory_bytes, started_at })
    }
}

/// Whether a container is one that is kept warm.
pub(super) fn is_default(state: &State) -> bool {
    state.owner == Owner::Nobody && lifecycle::becomes(&state.class, &default_class(state.class.environment))
}

/// What a container is like that is nobody's yet.
pub(super) fn default_class(environment: Digest) -> ContainerClass {
    ContainerClass { environment, resources: Resources::default(), secrets: Vec::new() }
}

/// What to do about an environment that lacks one.
enum Lack {
    Nothing,
    Later(Duration),
    Start(Arc<EnvLock>),
}

impl Pool {
    /// An environment whose containers are to be warm from now on.
    pub fn warm(&self, lock: EnvLock) {
        let warm = Warm { fresh: false, used: Instant::now() - QUIET, always: true, lock: Arc::new(lock) };
        self.inside().warm.insert(warm.lock.digest(), warm);
        self.need.notify_one();
    }

    /// Notes that an attempt needs a container of a class.
    pub(super) fn used(&self, order: &Order, class: &ContainerClass) {
        if !lifecycle::becomes(&default_class(class.environment), class) {
            return;
        }
        let fresh = order.isolation == Isolation::Node;
        let mut inside = self.inside();
        let warm = inside.warm.entry(class.environment).or_insert_with(|| Warm {
            lock: Arc::clone(&order.lock),
            fresh,
            used: Instant::now(),
            always: false,
        });
        (warm.fresh, warm.used) = (fresh, Instant::now());
        drop(inside);
        self.need.notify_one();
    }

    /// Starts what is lacking until the order to stop.
    pub async fn keep_warm(self: Arc<Self>, shutdown: Shutdown) {
        while !shutdown.is_triggered() {
            let later = match self.lacking() {
                Lack::Start(lock) => {
                    self.start_warm(&lock).await;
                    continue;
                }
                Lack::Later(later) => later,
                Lack::Nothing => Duration::MAX,
            };
            tokio::select! {
                () = shutdown.wait() => {}
                () = self.need.notified() => {}
                () = tokio::time::sleep(later) => {}
            }
        }
    }

    /// The environment that lacks a container most: first those whose attempts take a fresh one each.
    fn lacking(&self) -> Lack {
        let inside = self.inside();
        let nobodys = |environment: Option<&Digest>| {
            let of = |c: &&super::Container| environment.is_none_or(|e| c.state.class.environment == *e);
            inside.idle.iter().filter(|c| c.state.owner == Owner::Nobody).filter(of).count()
        };
        let there = inside.idle.len() + inside.busy.len() + inside.coming.len();
        let target: usize = inside.warm.values().map(Warm::want).sum();
        let metrics = self.telemetry.metrics();
        metrics.warm_pool_target().set(target.min(IN_ALL) as f64);
        metrics.warm_pool_available().set(nobodys(None) as f64);
        if inside.closed || there >= self.bound || nobodys(None) >= IN_ALL {
            return Lack::Nothing;
        }
        let lacks = inside.warm.iter().filter(|(environment, warm)| nobodys(Some(environment)) < warm.want());
        let Some((environment, warm)) = lacks.max_by_key(|(_, warm)| (warm.want(), warm.used)) else {
            return Lack::Nothing;
        };
        let quiet = inside.warm.values().map(|warm| warm.used.elapsed()).min().unwrap_or_default();
        let pause = match (warm.fresh, nobodys(Some(environment))) {
            (false, 0) => QUIET,
            (false, _) => EASE,
            (true, 0) => Duration::ZERO,
            (true, _) => BREATH,
        };
        match pause.saturating_sub(quiet) {
            Duration::ZERO => Lack::Start(Arc::clone(&warm.lock)),
            later => Lack::Later(later),
        }
    }

    /// Waits until nobody takes containers for a moment, within a bound: what can wait is not to slow down what cannot.
    pub(super) async fn breathe(&self) {
        let until = Instant::now() + PATIENCE;
        while let Some(left) = self.left_of_breath().filter(|_| Instant::now() < until) {
            tokio::time::sleep(left).await;
        }
    }

    /// How long it takes at least until nobody has taken a container for a moment; nothing where that is so, or too many wait for it.
    fn left_of_breath(&self) -> Option<Duration> {
        let inside = self.inside();
        let quiet = inside.warm.values().map(|warm| warm.used.elapsed()).min().unwrap_or(BREATH);
        let waiting = inside.busy.values().filter(|busy| busy.brief.status == STOPPING).count();
        BREATH.checked_sub(quiet).filter(|left| !left.is_zero() && waiting <= FOR_FRESH)
    }

    /// Containers that are being started.
    pub fn starting(&self) -> Vec<Brief> {
        self.inside().coming.iter().filter_map(Coming::brief).collect()
    }

    async fn start_warm(self: &Arc<Self>, lock: &EnvLock) {
        let class = default_class(lock.digest());
        let number = self.inside().comes(class.clone(), false);
        self.bring(number, class, lock).await;
    }

    /// Starts a container that was said to come, and tells who waits.
    pub(super) async fn bring(self: &Arc<Self>, number: u64, class: ContainerClass, lock: &EnvLock) {
        let environment = class.environment;
        if let Some(coming) = self.inside().coming.iter_mut().find(|coming| coming.number == number) {
            coming.begun = Some((lock.python, self.clock.now()));
        }
        let started = self.start(class, lock).await;
        let mut inside = self.inside();
        let at = inside.coming.iter().position(|coming| coming.number == number);
        let claimed = at.is_some_and(|at| inside.coming.swap_remove(at).claimed);
        match started {
            Ok(container) if inside.closed && !claimed => {
                drop(inside);
                self.let_go(container, "shutdown");
            }
            Ok(container) => inside.idle.push(container),
            Err(error) if claimed => inside.failed.push((number, error)),
            // Its event is told; whoever needs one will be told why it does not start.
            Err(_) => drop(inside.warm.remove(&environment)),
        }
        self.arrivals.send_modify(|count| *count += 1);
    }
}

impl Inside {
    /// Notes that a container comes; the number of its start.
    pub(super) fn comes(&mut self, class: ContainerClass, claimed: bool) -> u64 {
        self.started += 1;
        self.coming.push(Coming { number: self.started, class, claimed, begun: None });
        self.started
    }
}
