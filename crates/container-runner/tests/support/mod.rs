//! A runner over one runtime, without an orchestrator: what the tests of attempts and the example that times them share.

#![allow(dead_code, reason = "each program that includes it uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

pub(crate) mod orchestrator;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use qflow_blobs::Blobs;
use qflow_container_runner::{
    declared::Declared,
    environment::Environments,
    held::Held,
    pool::Pool,
    run::{Runner, Word},
    runtime::{Runtime, docker::DockerRuntime, process::ProcessRuntime},
    secrets::Secrets,
    spool::Spool,
};
use qflow_model::{
    definition::{Isolation, Resources, TypeText},
    environment::EnvSpec,
    ids::{AttemptKey, NodeKey, RunId, StepIx},
    outcome::{Ending, Failure, Outcome},
    value::{Argument, Produced},
};
use qflow_proto::order::Order;
use qflow_service::SystemClock;
use qflow_telemetry::Telemetry;
use tokio::sync::mpsc;

/// One runner with its folders, over a runtime.
pub(crate) struct Bench {
    pub(crate) runner: Arc<Runner>,
    pub(crate) words: mpsc::Receiver<(AttemptKey, Word)>,
    pub(crate) folder: PathBuf,
    pub(crate) steps: u32,
    pub(crate) run: RunId,
    /// The file `flow.py` of every order.
    pub(crate) source: String,
}

impl Bench {
    pub(crate) fn new(runtime: Arc<dyn Runtime>, folder: PathBuf, source: &str) -> Self {
        let spool = Spool::open(&folder.join("runner")).unwrap();
        let (words, told) = mpsc::channel(1024);
        let telemetry = Telemetry::silent();
        let pool = Pool::new(
            Arc::clone(&runtime),
            spool.clone(),
            folder.join("run"),
            name(&folder),
            8,
            telemetry.clone(),
            Arc::new(SystemClock),
        );
        let environments =
            Environments::open(Arc::clone(&runtime), &folder.join("environments"), telemetry.clone()).unwrap();
        let blobs = Blobs::in_folder(&folder.join("blobs")).unwrap();
        let runner = Arc::new(Runner {
            declared: Declared::default(),
            runtime,
            pool,
            environments,
            answers: blobs.watched(|_| ()),
            blobs,
            spool,
            secrets: Secrets::new(None),
            held: Held::default(),
            words,
            telemetry,
            clock: Arc::new(SystemClock),
        });
        Self { runner, words: told, folder, steps: 0, run: RunId(uuid::Uuid::now_v7()), source: source.to_owned() }
    }

    pub(crate) async fn order(&mut self, function: &str, returns: &str, arguments: &[(&str, Argument)]) -> Order {
        let python = *self.runner.runtime.pythons().last().unwrap();
        let lock = self.runner.environments.lock(&EnvSpec { python, requirements: vec![] }).await.unwrap();
        self.steps += 1;
        Order {
            key: AttemptKey { run: self.run, node: NodeKey::root(StepIx(self.steps), None), attempt: 1 },
            node_id: function.into(),
            function: function.into(),
            file: "flow.py".into(),
            entry: "flow.py".into(),
            files: Arc::new(BTreeMap::from([("flow.py".to_owned(), self.source.clone())])),
            workflow: "flow".into(),
            tenant: "default".into(),
            user: "me".into(),
            arguments: arguments.iter().map(|(name, a)| ((*name).to_owned(), a.clone())).collect(),
            types: vec![],
            returns: TypeText(returns.into()),
            classes: qflow_model::class::Classes::new(),
            asks: vec![],
            conversions: vec![],
            lock: Arc::new(lock),
            resources: Resources::default(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            timeout_ms: None,
            isolation: Isolation::Run,
            idempotent: true,
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            sources: Vec::new(),
            idempotency_key: "k".into(),
        }
    }

    /// Runs an order to its end; gives its outcome as it was kept, and its lines.
    pub(crate) async fn run(&mut self, order: Order) -> (Outcome, Vec<(String, String)>) {
        let key = order.key;
        let attempt = tokio::spawn(Arc::clone(&self.runner).run(order));
        let lines = self.until_ended(key).await;
        attempt.await.unwrap();
        (self.outcome(key), lines)
    }

    pub(crate) async fn until_ended(&mut self, key: AttemptKey) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        while let Some((of, word)) = self.words.recv().await {
            match word {
                Word::Ended if of == key => return seen,
                Word::Lines { lines, .. } => seen.extend(lines.into_iter().map(|l| (l.stream, l.text))),
                _ => {}
            }
        }
        panic!("the runner ended");
    }

    pub(crate) fn outcome(&self, key: AttemptKey) -> Outcome {
        serde_json::from_slice(&self.runner.spool.kept(key).expect("an outcome is kept")).unwrap()
    }

    pub(crate) async fn started(&mut self) {
        loop {
            if matches!(self.words.recv().await, Some((_, Word::Started { .. }))) {
                return;
            }
        }
    }

    pub(crate) async fn close(self) {
        self.runner.pool.run_ended(self.run);
        self.runner.pool.close().await;
        // The last attempt tells of its end before its container has left.
        let gone = async {
            while !self.runner.pool.list().is_empty() {
                tokio::time::sleep(orchestrator::LOOK).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), gone).await.expect("all containers leave");
        std::fs::remove_dir_all(self.folder).unwrap();
    }
}

pub(crate) fn name(folder: &std::path::Path) -> String {
    folder.file_name().unwrap().to_string_lossy().into_owned()
}

pub(crate) fn literal(value: impl Into<serde_json::Value>) -> Argument {
    Argument::Literal(value.into())
}

pub(crate) fn produced(outcome: &Outcome) -> &Produced {
    match &outcome.ending {
        Ending::Completed(produced) => produced,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn text(outcome: &Outcome) -> String {
    String::from_utf8(produced(outcome).value.inline.clone().expect("a small value is inline")).unwrap()
}

pub(crate) fn failure(outcome: &Outcome) -> &Failure {
    match &outcome.ending {
        Ending::Failed(failure) | Ending::TimedOut(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// Docker with an image, or nothing where none is to be had and none is required.
pub(crate) async fn docker() -> Option<Arc<dyn Runtime>> {
    let versions = ["3.9", "3.10", "3.11", "3.12", "3.13"].map(|v| v.parse().unwrap());
    match DockerRuntime::connect("python:{version}-slim", &versions).await {
        Ok(runtime) if !runtime.pythons().is_empty() => Some(Arc::new(runtime)),
        found => {
            assert!(std::env::var_os("QFLOW_REQUIRE_DOCKER").is_none(), "Docker is required: {found:?}");
            eprintln!("Docker is not to be had here: {found:?}");
            None
        }
    }
}

/// Processes of this machine.
pub(crate) async fn processes(folder: &std::path::Path) -> Arc<dyn Runtime> {
    let runtime = ProcessRuntime::find(None, folder.join("environments")).await;
    assert!(!runtime.pythons().is_empty(), "no python3 on PATH");
    Arc::new(runtime)
}

/// A folder with a short path: a socket's ends at 107 bytes.
pub(crate) fn folder() -> PathBuf {
    tempfile::Builder::new().prefix("qf").tempdir_in("/tmp").unwrap().keep()
}
