//! Containers come: started, or taken over from a runner before.

use std::{sync::Arc, time::Duration};

use qflow_model::environment::{ContainerClass, EnvLock};
use qflow_telemetry::{ErrorInfo, Event};
use tokio::{sync::watch, time::Instant};

use super::{Busy, Container, Pool, State, ended, ms, random};
use crate::{
    harness::{Link, Said, Told},
    lifecycle::Owner,
    python,
    runtime::{self, ContainerSpec, Exit},
};

/// How long a new container's harness may take to dial.
const DIAL: Duration = Duration::from_mins(1);

/// A start that is under way. Where it does not come about, however that ends, what is left of it is of no use: the runtime may have begun it
/// and not have said so.
struct Begun {
    pool: Arc<Pool>,
    name: String,
    stays: bool,
}

impl Begun {
    fn of(pool: &Arc<Pool>, name: &str) -> Self {
        pool.inside().names.insert(name.to_owned());
        Self { pool: Arc::clone(pool), name: name.to_owned(), stays: false }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.stays {
            std::fs::remove_dir_all(self.pool.folder.join(&self.name)).ok();
            self.pool.spool.forget_container(&self.name);
            let mut inside = self.pool.inside();
            inside.names.remove(&self.name);
            inside.strays = true;
        }
    }
}

impl Pool {
    /// Starts a container and waits for its harness to say hello.
    pub(super) async fn start(
        self: &Arc<Self>,
        class: ContainerClass,
        lock: &EnvLock,
    ) -> Result<Container, runtime::Error> {
        let started = self.try_start(class, lock).await;
        self.note_start(lock.python, started.as_ref().err());
        started
    }

    async fn try_start(self: &Arc<Self>, class: ContainerClass, lock: &EnvLock) -> Result<Container, runtime::Error> {
        let began = Instant::now();
        let failed = |doing: &str, e: std::io::Error| runtime::Error::call(doing, &e);
        let name = random(6).map_err(|e| failed("read randomness", e))?;
        let directory = self.folder.join(&name);
        let mut begun = Begun::of(self, &name);
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
        let id = self.runtime.start(&spec).await?;
        let started_at = self.clock.now();
        let (owner, attempts) = (Owner::Nobody, 0);
        let state = State { id, spec, class, owner, loaded: None, attempts, order: None, started_at, stay: None };
        let exit = self.watch(&state.id);
        let mut container = Container { state, link, exit, since: began };
        self.keep(&container);
        let told = container.state.reference();
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
        begun.stays = true;
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
    fn watch(self: &Arc<Self>, id: &str) -> watch::Receiver<Option<Exit>> {
        let (ended, exit) = watch::channel(None);
        let (runtime, id, pool) = (Arc::clone(&self.runtime), id.to_owned(), Arc::downgrade(self));
        tokio::spawn(async move {
            tokio::select! {
                exit = runtime.wait(&id) => {
                    ended.send_replace(Some(exit));
                    if let Some(pool) = pool.upgrade() {
                        pool.bury();
                    }
                }
                () = ended.closed() => {}
            }
        });
        exit
    }

    /// Takes in a container that an earlier runner started.
    pub fn adopt(self: &Arc<Self>, state: State) -> std::io::Result<Container> {
        let link = Link::listen(&state.spec.directory.join("s"), state.spec.token.clone(), self.runtime.socket_mode())?;
        let exit = self.watch(&state.id);
        let container = Container { state, link, exit, since: Instant::now() };
        self.inside().names.insert(container.state.spec.name.clone());
        self.inside().busy.insert(container.state.id.clone(), Busy::new(&container, "running"));
        Ok(container)
    }
}
