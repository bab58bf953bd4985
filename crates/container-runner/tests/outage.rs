//! A runtime that is away for a while, or slow: what it keeps or is about meanwhile is told as it is, and nothing of it stays.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use qflow_container_runner::{
    look::{self, Looks},
    runtime::{Build, Built, ContainerSpec, Error, Exit, Look, Runtime, Usage},
    sample::Samples,
    submit::{Edge, Service},
};
use qflow_model::{
    definition::{PythonVersion, Resources},
    environment::EnvSpec,
    ids::Digest,
};
use qflow_proto::v1::{ListContainersRequest, container_runner_service_server::ContainerRunnerService as _};
use qflow_service::{Readiness, Shutdown};
use support::{Bench, folder, name, orchestrator::LOOK, processes, text};
use tokio::sync::watch;

const SOURCE: &str = "def f() -> int:\n    return 1\n";

/// How a runtime is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    /// It answers nothing. What it is told to start it has started all the same.
    Away,
    /// It starts what it is told to once it is well.
    Slow,
}

/// Processes whose runtime is as the test says, and which are there until they are removed, as containers that have exited are.
#[derive(Debug)]
struct Moody {
    inner: Arc<dyn Runtime>,
    mood: watch::Sender<Mood>,
    there: Mutex<BTreeMap<String, String>>,
}

impl Moody {
    /// All that there are, by their ids.
    fn there(&self) -> BTreeMap<String, String> {
        self.there.lock().unwrap().clone()
    }

    fn answers(&self) -> Result<(), Error> {
        match *self.mood.borrow() {
            Mood::Away => Err(Error::call("ask it", &"it is away")),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Runtime for Moody {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn version(&self) -> String {
        self.inner.version()
    }
    fn pythons(&self) -> Vec<PythonVersion> {
        self.inner.pythons()
    }
    async fn image(&self, python: PythonVersion) -> Result<String, Error> {
        self.inner.image(python).await
    }
    async fn start(&self, spec: &ContainerSpec) -> Result<String, Error> {
        self.mood.subscribe().wait_for(|mood| *mood != Mood::Slow).await.unwrap();
        let id = self.inner.start(spec).await?;
        self.there.lock().unwrap().insert(id.clone(), spec.name.clone());
        self.answers().map(|()| id)
    }
    async fn wait(&self, id: &str) -> Exit {
        self.inner.wait(id).await
    }
    async fn update(&self, id: &str, resources: &Resources) -> Result<(), Error> {
        self.inner.update(id, resources).await
    }
    async fn usage(&self, id: &str) -> Result<Usage, Error> {
        self.inner.usage(id).await
    }
    async fn remove(&self, id: &str) -> Result<(), Error> {
        self.answers()?;
        self.inner.remove(id).await?;
        self.there.lock().unwrap().remove(id);
        Ok(())
    }
    async fn list(&self, _: &str) -> Result<Vec<(String, String)>, Error> {
        self.answers().map(|()| self.there().into_iter().collect())
    }
    async fn build(&self, build: &Build) -> Result<Built, Error> {
        self.inner.build(build).await
    }
    async fn has(&self, environment: Digest) -> bool {
        self.inner.has(environment).await
    }
    fn site(&self, environment: Digest) -> String {
        self.inner.site(environment)
    }
    fn inside(&self, spec: &ContainerSpec) -> String {
        self.inner.inside(spec)
    }
    fn workdir(&self, spec: &ContainerSpec) -> String {
        self.inner.workdir(spec)
    }
    fn isolated(&self) -> bool {
        self.inner.isolated()
    }
    async fn look(&self, runner: &str) -> Result<Look, Error> {
        self.answers()?;
        self.inner.look(runner).await
    }
    async fn is_there(&self, python: PythonVersion) -> Result<bool, Error> {
        self.answers()?;
        self.inner.is_there(python).await
    }
}

async fn bench() -> (Bench, Arc<Moody>) {
    let folder = folder();
    let (inner, mood) = (processes(&folder).await, watch::Sender::new(Mood::Well));
    let moody = Arc::new(Moody { inner, mood, there: Mutex::default() });
    (Bench::new(Arc::clone(&moody) as Arc<dyn Runtime>, folder, SOURCE), moody)
}

/// Looks again until it is so.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let looked = async {
        while !so().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), looked).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_runtime_that_was_away_has_kept_is_removed_once_it_answers() {
    let (mut bench, runtime) = bench().await;
    let (pool, runner_id) = (Arc::clone(&bench.runner.pool), name(&bench.folder));
    let python = *runtime.pythons().last().unwrap();
    let lock = bench.runner.environments.lock(&EnvSpec { python, requirements: vec![] }).await.unwrap();
    let order = bench.order("f", "int", &[]).await;
    assert_eq!(text(&bench.run(order).await.0), "1");
    let (looks, shutdown) = (Arc::new(Looks::default()), Shutdown::new());
    let told = (Arc::clone(&looks), Readiness::new());
    let runner = Arc::clone(&bench.runner);
    tokio::spawn(look::watch(runner, runner_id, vec![python], None, told, shutdown.clone()));
    let answers = || looks.last().map(|(condition, _)| condition.look.is_some());
    until("it is looked at", async || answers() == Some(true)).await;
    until("the container is idle", async || pool.list().iter().all(|one| one.status == "idle")).await;

    runtime.mood.send_replace(Mood::Away);
    pool.run_ended(bench.run);
    assert!(pool.smoke(&lock).await.is_err(), "it has started one and did not say so");
    until("it is seen to be away", async || answers() == Some(false)).await;
    let statuses = || pool.list().into_iter().map(|one| one.status).collect::<Vec<_>>();
    assert_eq!(statuses(), ["stopping"], "what was not removed has not stopped");
    assert_eq!(runtime.there().len(), 2);

    runtime.mood.send_replace(Mood::Well);
    until("nothing of it stays", async || statuses().is_empty() && runtime.there().is_empty()).await;
    let order = bench.order("f", "int", &[]).await;
    let outcome = bench.run(order).await.0;
    pool.astray();
    pool.reap().await;
    assert!(runtime.there().contains_key(&outcome.container_id), "what is the pool's is left alone");
    shutdown.trigger();
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_being_started_is_told_and_nothing_of_what_it_does_not_use_yet() {
    let (mut bench, runtime) = bench().await;
    runtime.mood.send_replace(Mood::Slow);
    let (runner, samples) = (Arc::clone(&bench.runner), Arc::new(Samples::default()));
    let service = Service(Edge::new(runner, samples, "r".into(), "s".into(), 1, None, Shutdown::new()));
    let listed =
        async || service.list_containers(tonic::Request::new(ListContainersRequest {})).await.unwrap().into_inner();
    let order = bench.order("f", "int", &[]).await;
    let attempt = tokio::spawn(Arc::clone(&bench.runner).run(order.clone()));
    until("it is told", async || listed().await.containers.iter().any(|one| one.status == "starting")).await;
    let told = listed().await.containers.remove(0);
    let python = runtime.pythons().last().unwrap().to_string();
    assert_eq!((told.container_id.as_str(), &told.python_version), ("", &python));
    assert_eq!((told.cpu_percent, told.memory_bytes), (None, None));
    assert!(told.started_at_us > 0, "{told:?}");
    runtime.mood.send_replace(Mood::Well);
    bench.until_ended(order.key).await;
    attempt.await.unwrap();
    until("it is there", async || listed().await.containers.iter().all(|one| one.status == "idle")).await;
    assert!(!listed().await.containers[0].container_id.is_empty());
    bench.close().await;
}
