//! Containers started ahead of need, one after another and beside every attempt's path.

use std::{sync::Arc, time::Duration};

use qflow_model::{
    definition::{Isolation, Resources},
    environment::{ContainerClass, EnvLock},
    ids::Digest,
};
use qflow_proto::order::Order;
use qflow_service::Shutdown;
use tokio::time::Instant;

use super::Pool;
use crate::lifecycle::{self, Owner};

/// Warm containers of one environment where attempts take a fresh one each.
const FOR_FRESH: usize = 4;
/// Warm containers in all: they cost memory while nobody needs them.
const IN_ALL: usize = 6;
/// How long nothing must have been taken before one is started that is not needed yet: starts burn processors.
const QUIET: Duration = Duration::from_millis(500);

/// The same where some are left and each attempt takes one: as long as a short attempt.
const BREATH: Duration = Duration::from_millis(50);

/// What an environment should have.
#[derive(Debug)]
pub(super) struct Warm {
    lock: Arc<EnvLock>,
    want: usize,
    /// When an attempt last asked for one.
    pub(super) used: Instant,
    /// Whether it is wanted though nobody has asked for long.
    pub(super) always: bool,
}

/// A container that is being started ahead.
#[derive(Debug)]
pub(super) struct Coming {
    class: ContainerClass,
    /// Whether an attempt waits for it.
    pub(super) claimed: bool,
}

impl Coming {
    pub(super) fn is_for(&self, class: &ContainerClass) -> bool {
        !self.claimed && lifecycle::becomes(&self.class, class)
    }
}

/// What a container is like that is nobody's yet.
fn default_class(environment: Digest) -> ContainerClass {
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
        let warm = Warm { want: 1, used: Instant::now() - QUIET, always: true, lock: Arc::new(lock) };
        self.inside().warm.insert(warm.lock.digest(), warm);
        self.need.notify_one();
    }

    /// Notes that an attempt needs a container of a class.
    pub(super) fn used(&self, order: &Order, class: &ContainerClass) {
        if !lifecycle::becomes(&default_class(class.environment), class) {
            return;
        }
        let want = if order.isolation == Isolation::Node { FOR_FRESH } else { 1 };
        let mut inside = self.inside();
        let warm = inside.warm.entry(class.environment).or_insert_with(|| Warm {
            lock: Arc::clone(&order.lock),
            want,
            used: Instant::now(),
            always: false,
        });
        (warm.want, warm.used) = (want, Instant::now());
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
        let there = inside.idle.len() + inside.busy.len() + inside.starting;
        let target: usize = inside.warm.values().map(|warm| warm.want).sum();
        let metrics = self.telemetry.metrics();
        metrics.warm_pool_target().set(target.min(IN_ALL) as f64);
        metrics.warm_pool_available().set(nobodys(None) as f64);
        if inside.closed || there >= self.bound || nobodys(None) >= IN_ALL {
            return Lack::Nothing;
        }
        let lacks = inside.warm.iter().filter(|(environment, warm)| nobodys(Some(environment)) < warm.want);
        let Some((environment, warm)) = lacks.max_by_key(|(_, warm)| (warm.want, warm.used)) else {
            return Lack::Nothing;
        };
        let quiet = inside.warm.values().map(|warm| warm.used.elapsed()).min().unwrap_or_default();
        let pause = match warm.want {
            1 => QUIET,
            _ if nobodys(Some(environment)) == 0 => Duration::ZERO,
            _ => BREATH,
        };
        match pause.saturating_sub(quiet) {
            Duration::ZERO => Lack::Start(Arc::clone(&warm.lock)),
            later => Lack::Later(later),
        }
    }

    async fn start_warm(self: &Arc<Self>, lock: &EnvLock) {
        let (environment, class) = (lock.digest(), default_class(lock.digest()));
        self.inside().coming.push(Coming { class: class.clone(), claimed: false });
        let started = self.start(class, lock).await;
        let mut inside = self.inside();
        // One is started at a time, so that is it.
        inside.coming.clear();
        match started {
            Ok(container) if inside.closed => {
                drop(inside);
                self.let_go(container, "shutdown");
            }
            Ok(container) => inside.idle.push(container),
            // Its event is told; whoever needs it will be told why it does not start.
            Err(_) => drop(inside.warm.remove(&environment)),
        }
        self.arrivals.send_modify(|count| *count += 1);
    }
}
