//! Containers that are there: handed out, taken back, retired; what to do with each is `lifecycle`'s to say.

mod container;
mod leave;
mod line;
mod smoke;
mod start;
mod stay;
#[cfg(test)]
mod tests;
mod warm;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::Read as _,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use container::bare;
pub use container::{Brief, Container, State, ended};
use leave::Left;
use line::Line;
use qflow_model::{
    definition::PythonVersion,
    environment::ContainerClass,
    ids::{Digest, RunId, Timestamp},
};
use qflow_proto::order::Order;
use qflow_service::Clock;
use qflow_telemetry::{ErrorInfo, Event, Telemetry, traces};
pub use smoke::Tried;
use stay::Stay;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use warm::{Coming, Warm};

use crate::{
    lifecycle::{self, Choice, Idle, Owner},
    runtime::{self, Runtime},
    spool::Spool,
};

/// How long an attempt waits for one of its run's containers at work before another is started: short attempts are over before
/// that, and a start takes processors from them.
const HOLD: Duration = Duration::from_millis(100);
/// Why a container leaves that has had all the attempts that it is to have.
const RETIRED: &str = "retired";
/// The status of a container that is being removed.
const STOPPING: &str = "stopping";

/// All containers of a runner.
pub struct Pool {
    runtime: Arc<dyn Runtime>,
    spool: Spool,
    folder: PathBuf,
    runner: String,
    bound: usize,
    telemetry: Telemetry,
    clock: Arc<dyn Clock>,
    inside: Mutex<Inside>,
    /// Rings when an environment may lack warm containers.
    need: Notify,
    /// Counts containers that came to be free, or did not after all.
    arrivals: watch::Sender<u64>,
}

#[derive(Default)]
struct Inside {
    idle: Vec<Container>,
    busy: BTreeMap<String, Busy>,
    ended: VecDeque<RunId>,
    warm: BTreeMap<Digest, Warm>,
    coming: Vec<Coming>,
    /// Numbers of starts that did not come about, and why, for who waits for them.
    failed: Vec<(u64, runtime::Error)>,
    /// The number of the last start.
    started: u64,
    /// How the last start of each version went.
    tried: BTreeMap<PythonVersion, Tried>,
    /// The names of containers that are there or being started: what else the runtime has is nobody's.
    names: BTreeSet<String>,
    /// Those that the runtime has not removed.
    left: Vec<Left>,
    /// Whether the runtime may have some that are nobody's.
    strays: bool,
    /// Attempts that wait.
    line: Line,
    closed: bool,
}

/// A container at work, or on its way out.
struct Busy {
    brief: Brief,
    class: ContainerClass,
}

impl Busy {
    fn new(container: &Container, status: &'static str) -> Self {
        Self { brief: container.brief(status), class: container.state.class.clone() }
    }
}

/// Where an attempt's container is to be had.
enum Found {
    Here(Box<Container>),
    /// Being started, under this number: it may be this attempt's once it is there, or another that is free before.
    Coming(u64),
    /// Its run's own are at work, and one may soon be free: none is started yet.
    Held,
    /// Nowhere yet: one is to be started under this number.
    Nowhere(u64),
}

/// So many random bytes in hexadecimal.
pub fn random(bytes: usize) -> std::io::Result<String> {
    let mut buffer = vec![0; bytes];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut buffer)?;
    Ok(buffer.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

impl Inside {
    /// Whether a container of a class is at work for an owner whose attempts may follow one another.
    fn works_for(&self, owner: &Owner, class: &ContainerClass) -> bool {
        let Owner::Run(run) = owner else { return false };
        let is_its =
            |busy: &Busy| busy.brief.run == Some(*run) && busy.brief.status != STOPPING && busy.class == *class;
        self.busy.values().any(is_its)
    }
}

impl Pool {
    /// An empty pool whose containers have their folders below `folder`, a short path.
    pub fn new(
        runtime: Arc<dyn Runtime>,
        spool: Spool,
        folder: PathBuf,
        runner: String,
        bound: usize,
        telemetry: Telemetry,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let (need, arrivals) = (Notify::new(), watch::Sender::new(0));
        let inside = Mutex::default();
        Arc::new(Self { runtime, spool, folder, runner, bound, telemetry, clock, inside, need, arrivals })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container for an order: its owner's or a warm one where `lifecycle` finds one, else a new one. While that comes up one of
    /// its owner's may be given back, and is taken: attempts that are over in less than a start do not wait for it.
    pub async fn take(self: &Arc<Self>, order: &Order, loaded: &str) -> Result<Container, runtime::Error> {
        let (class, owner) = (lifecycle::class(order, &order.lock), Owner::of(order));
        self.used(order, &class);
        let place = self.line_up(&class, &owner);
        let (mut arrivals, mut claim) = (self.arrivals.subscribe(), None);
        let (hold, asked) = (Instant::now() + HOLD, self.clock.now());
        loop {
            match self.find(&class, &owner, loaded, place.number, claim, Instant::now() < hold) {
                Found::Here(container) => {
                    place.leave();
                    if let Some(container) = self.become_of(*container, &class).await {
                        return Ok(self.hand_out(container, owner, order, asked));
                    }
                    claim = None;
                    continue;
                }
                Found::Coming(number) => claim = Some(number),
                Found::Held => {
                    tokio::time::timeout_at(hold, arrivals.changed()).await.ok();
                    continue;
                }
                Found::Nowhere(number) => {
                    self.telemetry.metrics().warm_pool_misses().increment(1);
                    claim = Some(number);
                    let (pool, class, lock) = (Arc::clone(self), class.clone(), Arc::clone(&order.lock));
                    // What is told of the start names the attempt's span.
                    let bring = async move { pool.bring(number, class, &lock).await };
                    tokio::spawn(traces::within(traces::current(), bring));
                }
            }
            // The sender lives as long as the pool.
            arrivals.changed().await.ok();
            if let Some(error) = self.failed(claim) {
                return Err(error);
            }
        }
    }

    /// Why a start did not come about, for who waits for it.
    fn failed(&self, claim: Option<u64>) -> Option<runtime::Error> {
        let failed = &mut self.inside().failed;
        let at = failed.iter().position(|(number, _)| Some(*number) == claim)?;
        Some(failed.remove(at).1)
    }

    fn find(
        self: &Arc<Self>,
        class: &ContainerClass,
        owner: &Owner,
        loaded: &str,
        place: u64,
        claim: Option<u64>,
        holds: bool,
    ) -> Found {
        let mut guard = self.inside();
        let inside = &mut *guard;
        let others = inside.line.before(place, class, owner);
        let idle: Vec<Idle> = inside.idle.iter().map(idle).collect();
        let busy = inside.busy.len() + inside.coming.len();
        let claimed = inside.coming.iter().position(|coming| Some(coming.number) == claim);
        let (found, evicted) = match (lifecycle::choose(&idle, class, owner, loaded, others, busy, self.bound), claimed)
        {
            (Choice::Reuse(at), claimed) => {
                // What was to come for this attempt may be another's.
                claimed.into_iter().for_each(|at| inside.coming[at].claimed = false);
                (Found::Here(Box::new(inside.idle.remove(at))), None)
            }
            (Choice::Start { .. }, Some(at)) => (Found::Coming(inside.coming[at].number), None),
            (Choice::Start { .. }, None) if holds && inside.works_for(owner, class) => (Found::Held, None),
            (Choice::Start { evict }, None) => {
                if let Some(coming) = inside.coming.iter_mut().find(|coming| coming.is_for(class)) {
                    coming.claimed = true;
                    (Found::Coming(coming.number), None)
                } else {
                    let number = inside.comes(class.clone(), true);
                    (Found::Nowhere(number), evict.map(|at| inside.idle.remove(at)))
                }
            }
        };
        drop(guard);
        evicted.into_iter().for_each(|container| self.let_go(container, "retired"));
        found
    }

    /// Gives a warm container the limits of a class; `None` where the runtime refuses, and then it is gone.
    async fn become_of(self: &Arc<Self>, mut container: Container, class: &ContainerClass) -> Option<Container> {
        if container.state.class.resources != class.resources {
            if let Err(error) = self.runtime.update(&container.state.id, &class.resources).await {
                let error =
                    ErrorInfo { error_type: error.code().into(), message: error.to_string(), ..Default::default() };
                self.telemetry.emit(Event::ContainerError { container: container.state.reference(), error });
                self.let_go(container, "retired");
                return None;
            }
            container.state.spec.resources = class.resources.clone();
        }
        container.state.class = class.clone();
        Some(container)
    }

    fn hand_out(&self, mut container: Container, owner: Owner, order: &Order, asked: Timestamp) -> Container {
        container.state.owner = owner;
        container.state.attempts += 1;
        container.state.order = Some(bare(order));
        if container.state.attempts == 1 {
            container.state.stay = Stay::of(order, asked, self.clock.now());
        }
        self.keep(&container);
        self.inside().busy.insert(container.state.id.clone(), Busy::new(&container, "running"));
        container
    }

    /// Writes down what is known of a container.
    pub fn keep(&self, container: &Container) {
        if let Err(error) = self.spool.keep_container(&container.state.spec.name, &container.state) {
            let note = Event::warning("container_state_lost", format!("a restart will not adopt it: {error}"));
            self.telemetry.emit(note.with("container_id", container.state.id.clone()));
        }
    }

    /// Takes a container back after an attempt; one that does not go on is removed beside this.
    pub fn give_back(self: &Arc<Self>, mut container: Container, healthy: bool, reason: &'static str) {
        container.state.order = None;
        let mut inside = self.inside();
        let ended = inside.ended.iter().any(|run| lifecycle::leaves_with(&container.state.owner, *run));
        let lives = healthy && container.exit.borrow().is_none();
        let goes_on = lifecycle::keep(&container.state.owner, container.state.attempts, lives);
        if goes_on && !ended && !inside.closed {
            container.since = Instant::now();
            self.keep(&container);
            inside.busy.remove(&container.state.id);
            inside.idle.push(container);
            drop(inside);
            self.arrivals.send_modify(|count| *count += 1);
        } else {
            drop(inside);
            self.let_go(container, if healthy { RETIRED } else { reason });
        }
    }

    /// All containers as told to others.
    pub fn list(&self) -> Vec<Brief> {
        let inside = self.inside();
        let (busy, idle) = (inside.busy.values(), inside.idle.iter());
        let there = busy.map(|busy| busy.brief.clone()).chain(idle.map(|c| c.brief("idle")));
        there.chain(inside.left.iter().map(Left::brief)).collect()
    }
}

fn idle(container: &Container) -> Idle {
    let State { class, owner, loaded, .. } = &container.state;
    Idle { class: class.clone(), owner: owner.clone(), loaded: loaded.clone() }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
