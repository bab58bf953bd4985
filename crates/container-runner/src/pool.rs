//! Containers that are there: handed out, taken back, retired; what to do with each is `lifecycle`'s to say.

use std::{
    collections::{BTreeMap, VecDeque},
    io::Read as _,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use qflow_model::{
    environment::{ContainerClass, EnvLock},
    ids::{AttemptKey, RunId},
};
use qflow_proto::order::Order;
use qflow_telemetry::{ContainerRef, ErrorInfo, Event, Telemetry};
use tokio::{sync::watch, time::Instant};

use crate::{
    harness::{Link, Said, Told},
    lifecycle::{self, Choice, Idle, Owner},
    python,
    runtime::{self, ContainerSpec, Exit, Runtime},
    spool::Spool,
};

/// How long a new container's harness may take to dial.
const DIAL: Duration = Duration::from_mins(1);
/// How long a container may be idle.
const IDLE: Duration = Duration::from_mins(5);
/// Ended runs that are remembered, for containers given back after their run's end.
const ENDED_RUNS: usize = 1_000;

/// A container, held by an attempt or idle.
#[derive(Debug)]
pub struct Container {
    /// What is kept of it over a restart.
    pub state: State,
    /// The line to its harness.
    pub link: Link,
    /// How it ended, once it has.
    pub exit: watch::Receiver<Option<Exit>>,
    since: Instant,
}

/// What is kept of a container over a restart of the runner.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct State {
    /// The runtime's id.
    pub id: String,
    /// How it was started.
    pub spec: ContainerSpec,
    /// What it is like.
    pub class: ContainerClass,
    /// Whose it is.
    pub owner: Owner,
    /// What its template has imported.
    pub loaded: Option<String>,
    /// How many attempts it has had.
    pub attempts: u32,
    /// The attempt in it, where it began.
    pub order: Option<Order>,
}

/// A container as told to others.
#[derive(Clone, Debug)]
pub struct Brief {
    /// The runtime's id.
    pub id: String,
    /// Its Python.
    pub python: String,
    /// `idle`, `running`.
    pub status: &'static str,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// The attempt in it.
    pub attempt: Option<AttemptKey>,
}

/// All containers of a runner.
pub struct Pool {
    runtime: Arc<dyn Runtime>,
    spool: Spool,
    folder: PathBuf,
    runner: String,
    bound: usize,
    telemetry: Telemetry,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    idle: Vec<Container>,
    busy: BTreeMap<String, Brief>,
    starting: usize,
    ended: VecDeque<RunId>,
}

/// Waits until a container has ended; unknown where nobody waits for it any more.
pub async fn ended(exit: &mut watch::Receiver<Option<Exit>>) -> Exit {
    exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit).unwrap_or_default()
}

/// So many random bytes in hexadecimal.
pub fn random(bytes: usize) -> std::io::Result<String> {
    let mut buffer = vec![0; bytes];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut buffer)?;
    Ok(buffer.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
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
    ) -> Self {
        Self { runtime, spool, folder, runner, bound, telemetry, inside: Mutex::default() }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container for an order: a warm one where `lifecycle` finds one.
    pub async fn take(&self, order: &Order, lock: &EnvLock, loaded: &str) -> Result<Container, runtime::Error> {
        self.bury().await;
        let (class, owner) = (lifecycle::class(order, lock), Owner::of(order));
        let (reused, evicted) = {
            let mut inside = self.inside();
            let idle: Vec<Idle> = inside
                .idle
                .iter()
                .map(|c| Idle {
                    class: c.state.class.clone(),
                    owner: c.state.owner.clone(),
                    loaded: c.state.loaded.clone(),
                })
                .collect();
            let busy = inside.busy.len() + inside.starting;
            match lifecycle::choose(&idle, &class, &owner, loaded, busy, self.bound) {
                Choice::Reuse(at) => (Some(inside.idle.remove(at)), None),
                Choice::Start { evict } => {
                    let evicted = evict.map(|at| inside.idle.remove(at));
                    inside.starting += 1;
                    (None, evicted)
                }
            }
        };
        if let Some(evicted) = evicted {
            self.remove(evicted, "retired").await;
        }
        let mut container = if let Some(container) = reused {
            container
        } else {
            let started = self.start(class, lock).await;
            self.inside().starting -= 1;
            started?
        };
        container.state.owner = owner;
        container.state.attempts += 1;
        container.state.order = Some(bare(order));
        self.keep(&container);
        self.inside().busy.insert(container.state.id.clone(), brief(&container, "running"));
        Ok(container)
    }

    /// Starts a container and waits for its harness to say hello.
    async fn start(&self, class: ContainerClass, lock: &EnvLock) -> Result<Container, runtime::Error> {
        let began = Instant::now();
        let failed = |doing: &str, e: std::io::Error| runtime::Error::call(doing, &e);
        let name = random(6).map_err(|e| failed("read randomness", e))?;
        let directory = self.folder.join(&name);
        std::fs::create_dir_all(&directory).map_err(|e| failed("make the container's folder", e))?;
        python::lay_out(&directory).map_err(|e| failed("lay out the harness", e))?;
        let token = random(32).map_err(|e| failed("read randomness", e))?;
        let link = Link::listen(&directory.join("s"), token.clone(), self.runtime.socket_mode())
            .map_err(|e| failed("listen for the harness", e))?;
        let spec = ContainerSpec {
            name,
            runner: self.runner.clone(),
            python: lock.python,
            directory,
            token,
            environment: (!lock.lock.is_empty()).then(|| lock.digest()),
            image: lock.image.clone(),
            resources: class.resources.clone(),
        };
        let id = match self.runtime.start(&spec).await {
            Ok(id) => id,
            Err(error) => {
                // What is left of a container that did not start is of no use.
                std::fs::remove_dir_all(&spec.directory).ok();
                return Err(error);
            }
        };
        let state = State { id, spec, class, owner: Owner::Nobody, loaded: None, attempts: 0, order: None };
        let exit = self.watch(&state.id);
        let mut container = Container { state, link, exit, since: began };
        self.keep(&container);
        let told = reference(&container);
        self.telemetry.emit(Event::ContainerCreated { container: told.clone(), took_ms: ms(began) });
        if let Err(error) = Self::hello(&mut container, DIAL).await {
            let said = std::fs::read_to_string(container.state.spec.directory.join("harness.log")).unwrap_or_default();
            let message = format!("{error}{}{}", if said.is_empty() { "" } else { ": " }, said.trim());
            let error = ErrorInfo { error_type: "no_hello".into(), message: message.clone(), ..ErrorInfo::default() };
            self.telemetry.emit(Event::ContainerError { container: told, error });
            self.remove(container, "exited").await;
            return Err(runtime::Error::call("wait for the harness", &message));
        }
        self.telemetry.emit(Event::ContainerStarted { container: told, took_ms: ms(began) });
        Ok(container)
    }

    /// Waits for a hello; also of an adopted container.
    pub async fn hello(container: &mut Container, within: Duration) -> Result<(), &'static str> {
        tokio::select! {
            told = container.link.next() => match told {
                Some(Told::Heard(heard)) if matches!(heard.said, Said::Hello { .. }) => Ok(()),
                _ => Err("the harness did not say hello first"),
            },
            _ = ended(&mut container.exit) => Err("the container ended before its harness said hello"),
            () = tokio::time::sleep(within) => Err("the harness did not dial in time"),
        }
    }

    /// Waits beside all attempts of a container for its end; the wait ends with the container.
    fn watch(&self, id: &str) -> watch::Receiver<Option<Exit>> {
        let (ended, exit) = watch::channel(None);
        let (runtime, id) = (Arc::clone(&self.runtime), id.to_owned());
        tokio::spawn(async move {
            tokio::select! {
                exit = runtime.wait(&id) => { ended.send_replace(Some(exit)); }
                () = ended.closed() => {}
            }
        });
        exit
    }

    /// Writes down what is known of a container.
    pub fn keep(&self, container: &Container) {
        if let Err(error) = self.spool.keep_container(&container.state.spec.name, &container.state) {
            let note = Event::warning("container_state_lost", format!("a restart will not adopt it: {error}"));
            self.telemetry.emit(note.with("container_id", container.state.id.clone()));
        }
    }

    /// Takes in a container that an earlier runner started.
    pub fn adopt(&self, state: State) -> std::io::Result<Container> {
        let link = Link::listen(&state.spec.directory.join("s"), state.spec.token.clone(), self.runtime.socket_mode())?;
        let exit = self.watch(&state.id);
        let container = Container { state, link, exit, since: Instant::now() };
        self.inside().busy.insert(container.state.id.clone(), brief(&container, "running"));
        Ok(container)
    }

    /// Takes a container back after an attempt.
    pub async fn give_back(&self, mut container: Container, healthy: bool, reason: &str) {
        container.state.order = None;
        let keep = {
            let mut inside = self.inside();
            inside.busy.remove(&container.state.id);
            let ended = inside.ended.iter().any(|run| lifecycle::leaves_with(&container.state.owner, *run));
            !ended && lifecycle::keep(&container.state.owner, container.state.attempts, healthy)
        };
        if keep {
            container.since = Instant::now();
            self.keep(&container);
            self.inside().idle.push(container);
        } else {
            self.remove(container, if healthy { "retired" } else { reason }).await;
        }
    }

    /// A run has ended: its containers leave.
    pub async fn run_ended(&self, run: RunId) {
        let leaving = {
            let mut inside = self.inside();
            inside.ended.push_back(run);
            if inside.ended.len() > ENDED_RUNS {
                inside.ended.pop_front();
            }
            extract(&mut inside.idle, |c| lifecycle::leaves_with(&c.state.owner, run))
        };
        for container in leaving {
            self.remove(container, "run_ended").await;
        }
    }

    /// Idle containers that have ended by themselves leave.
    async fn bury(&self) {
        let leaving = extract(&mut self.inside().idle, |c| c.exit.borrow().is_some());
        for container in leaving {
            self.remove(container, "exited").await;
        }
    }

    /// Containers that nobody has used for long leave.
    pub async fn expire(&self) {
        let leaving = extract(&mut self.inside().idle, |c| c.since.elapsed() > IDLE);
        for container in leaving {
            self.remove(container, "idle").await;
        }
    }

    /// All idle ones leave; those at work are adopted by the next runner.
    pub async fn close(&self) {
        let leaving = std::mem::take(&mut self.inside().idle);
        for container in leaving {
            self.remove(container, "shutdown").await;
        }
    }

    /// Removes a container and what is kept of it.
    pub async fn remove(&self, container: Container, reason: &str) {
        let State { id, spec, .. } = &container.state;
        self.inside().busy.remove(id);
        if let Err(error) = self.runtime.remove(id).await {
            let error =
                ErrorInfo { error_type: error.code().into(), message: error.to_string(), ..ErrorInfo::default() };
            self.telemetry.emit(Event::ContainerError { container: reference(&container), error });
        }
        // A folder that stays is swept at the next start.
        std::fs::remove_dir_all(&spec.directory).ok();
        self.spool.forget_container(&spec.name);
        let stopped =
            Event::ContainerStopped { container: reference(&container), reason: reason.to_owned(), exit_code: None };
        self.telemetry.emit(stopped);
    }

    /// All containers as told to others.
    pub fn list(&self) -> Vec<Brief> {
        let inside = self.inside();
        inside.busy.values().cloned().chain(inside.idle.iter().map(|c| brief(c, "idle"))).collect()
    }
}

fn extract(idle: &mut Vec<Container>, leaves: impl Fn(&Container) -> bool) -> Vec<Container> {
    let (leaving, staying) = std::mem::take(idle).into_iter().partition(|c| leaves(c));
    *idle = staying;
    leaving
}

fn brief(container: &Container, status: &'static str) -> Brief {
    let State { id, spec, owner, order, .. } = &container.state;
    Brief {
        id: id.clone(),
        python: spec.python.to_string(),
        status,
        run: if let Owner::Run(run) = owner { Some(*run) } else { order.as_ref().map(|o| o.key.run) },
        attempt: order.as_ref().map(|o| o.key),
    }
}

/// An order without its files, which are many bytes at every attempt. Its arguments stay: where the runner ends while the file is
/// still imported, the one after it begins the attempt.
fn bare(order: &Order) -> Order {
    Order { files: Arc::default(), ..order.clone() }
}

fn reference(container: &Container) -> ContainerRef {
    ContainerRef {
        container_id: container.state.id.clone(),
        python_version: container.state.spec.python.to_string(),
        image: container.state.spec.image.clone(),
        node: None,
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
