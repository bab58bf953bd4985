//! What every runtime must do, in the same words: real Python, in processes and in Docker where it answers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use qflow_container_runner::{
    adopt,
    blobs::Blobs,
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
    expression::Segment,
    ids::{AttemptKey, NodeKey, RunId, StepIx},
    outcome::{Ending, Failure, Outcome},
    progress::KillReason,
    value::{Argument, Produced},
};
use qflow_proto::order::Order;
use qflow_service::SystemClock;
use qflow_telemetry::Telemetry;
use tokio::sync::mpsc;

const SOURCE: &str = r#"
import logging, os, sys, time

def add(a: int, b: int) -> int:
    return a + b

def fails(x: str) -> int:
    raise KeyError(x)

def talks() -> None:
    print("to stdout")
    print("to stderr", file=sys.stderr)
    logging.warning("to the log")

def sleeps() -> None:
    print("asleep", flush=True)
    time.sleep(600)

def dies() -> None:
    os._exit(3)

def many(n: int) -> list[str]:
    return ["%06d" % i for i in range(n)]

def first(x: str) -> str:
    return x

def wrong() -> int:
    return "seven"

def whoami() -> list[str]:
    return [str(os.getpid()), str(os.getppid())]

def writes() -> str:
    try:
        open("/usr/qflow", "w")
    except OSError:
        return "refused"
    return "written"

def user() -> int:
    return os.getuid()
"#;

/// One runner with its folders, over a runtime.
struct Bench {
    runner: Arc<Runner>,
    words: mpsc::Receiver<(AttemptKey, Word)>,
    folder: PathBuf,
    steps: u32,
    run: RunId,
}

impl Bench {
    fn new(runtime: Arc<dyn Runtime>, folder: PathBuf) -> Self {
        let spool = Spool::open(&folder.join("runner")).unwrap();
        let (words, told) = mpsc::channel(1024);
        let telemetry = Telemetry::silent();
        let pool =
            Pool::new(Arc::clone(&runtime), spool.clone(), folder.join("run"), name(&folder), 8, telemetry.clone());
        let environments =
            Environments::open(Arc::clone(&runtime), &folder.join("environments"), telemetry.clone()).unwrap();
        let runner = Arc::new(Runner {
            runtime,
            pool,
            environments,
            blobs: Blobs::open(&format!("file://{}", folder.join("blobs").display())).unwrap(),
            spool,
            secrets: Secrets::new(None),
            held: Held::default(),
            words,
            telemetry,
            clock: Arc::new(SystemClock),
        });
        Self { runner, words: told, folder, steps: 0, run: RunId(uuid::Uuid::now_v7()) }
    }

    async fn order(&mut self, function: &str, returns: &str, arguments: &[(&str, Argument)]) -> Order {
        let python = *self.runner.runtime.pythons().last().unwrap();
        let lock = self.runner.environments.lock(&EnvSpec { python, requirements: vec![] }).await.unwrap();
        self.steps += 1;
        Order {
            key: AttemptKey { run: self.run, node: NodeKey { step: StepIx(self.steps), index: None }, attempt: 1 },
            node_id: function.into(),
            function: function.into(),
            file: "flow.py".into(),
            files: Arc::new(BTreeMap::from([("flow.py".to_owned(), SOURCE.to_owned())])),
            workflow: "flow".into(),
            tenant: "default".into(),
            user: "me".into(),
            arguments: arguments.iter().map(|(name, a)| ((*name).to_owned(), a.clone())).collect(),
            types: vec![],
            returns: TypeText(returns.into()),
            asks: vec![],
            lock: Arc::new(lock),
            resources: Resources::default(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            timeout_ms: None,
            isolation: Isolation::Run,
            idempotent: true,
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            idempotency_key: "k".into(),
        }
    }

    /// Runs an order to its end; gives its outcome as it was kept, and its lines.
    async fn run(&mut self, order: Order) -> (Outcome, Vec<(String, String)>) {
        let key = order.key;
        let attempt = tokio::spawn(Arc::clone(&self.runner).run(order));
        let lines = self.until_ended(key).await;
        attempt.await.unwrap();
        (self.outcome(key), lines)
    }

    async fn until_ended(&mut self, key: AttemptKey) -> Vec<(String, String)> {
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

    fn outcome(&self, key: AttemptKey) -> Outcome {
        serde_json::from_slice(&self.runner.spool.kept(key).expect("an outcome is kept")).unwrap()
    }

    async fn started(&mut self) {
        loop {
            if matches!(self.words.recv().await, Some((_, Word::Started { .. }))) {
                return;
            }
        }
    }

    async fn close(self) {
        self.runner.pool.run_ended(self.run).await;
        self.runner.pool.close().await;
        // The last attempt tells of its end before its container has left.
        let gone = async {
            while !self.runner.pool.list().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), gone).await.expect("all containers leave");
        std::fs::remove_dir_all(self.folder).unwrap();
    }
}

fn name(folder: &std::path::Path) -> String {
    folder.file_name().unwrap().to_string_lossy().into_owned()
}

fn literal(value: impl Into<serde_json::Value>) -> Argument {
    Argument::Literal(value.into())
}

fn produced(outcome: &Outcome) -> &Produced {
    match &outcome.ending {
        Ending::Completed(produced) => produced,
        other => panic!("{other:?}"),
    }
}

fn text(outcome: &Outcome) -> String {
    String::from_utf8(produced(outcome).value.inline.clone().expect("a small value is inline")).unwrap()
}

fn failure(outcome: &Outcome) -> &Failure {
    match &outcome.ending {
        Ending::Failed(failure) | Ending::TimedOut(failure) => failure,
        other => panic!("{other:?}"),
    }
}

async fn an_attempt_returns_its_value_and_says_where_time_went(bench: &mut Bench) {
    let order = bench.order("add", "int", &[("a", literal(2)), ("b", literal(40))]).await;
    let (outcome, _) = bench.run(order).await;
    assert_eq!(text(&outcome), "42");
    assert!(outcome.phases.container_ms > 0.0 && outcome.peak_memory_bytes > 0 && !outcome.container_id.is_empty());
}

async fn attempts_of_a_run_follow_one_another_in_a_container(bench: &mut Bench) {
    let mut parents = Vec::new();
    for _ in 0..2 {
        let order = bench.order("whoami", "list[str]", &[]).await;
        let (outcome, _) = bench.run(order).await;
        let pids: Vec<String> = serde_json::from_str(&text(&outcome)).unwrap();
        parents.push((outcome.container_id, pids[1].clone()));
    }
    assert_eq!(parents[0], parents[1]);
}

async fn an_exception_comes_with_its_traceback_and_what_was_left(bench: &mut Bench) {
    let order = bench.order("fails", "int", &[("x", literal("nothing"))]).await;
    let (outcome, _) = bench.run(order).await;
    let failure = failure(&outcome);
    assert_eq!(failure.error_type, "KeyError");
    assert!(failure.traceback.contains("flow.py") && failure.traceback.contains("raise KeyError(x)"), "{failure:?}");
    assert!(failure.mro.contains(&"LookupError".to_owned()), "{failure:?}");
    let certificate = failure.certificate.as_ref().unwrap();
    assert_eq!(certificate.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert!(!certificate.image.is_empty());
}

async fn lines_arrive_by_stream_and_are_kept_as_one_object(bench: &mut Bench) {
    let order = bench.order("talks", "None", &[]).await;
    let key = order.key;
    let (outcome, lines) = bench.run(order).await;
    for (stream, wanted) in [("stdout", "to stdout"), ("stderr", "to stderr")] {
        assert!(lines.iter().any(|(s, t)| s == stream && t == wanted), "{lines:?}");
    }
    assert!(lines.iter().any(|(_, t)| t.contains("to the log")), "{lines:?}");
    assert_eq!(outcome.log_lines, lines.len() as u64);
    let path = bench.folder.join("blobs").join(Blobs::log_path(key.run, "talks", 1).to_string());
    let object = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
    assert_eq!(String::from_utf8(object).unwrap().lines().count(), lines.len());
    assert!(outcome.log.is_some());
}

async fn an_attempt_past_its_time_is_timed_out(bench: &mut Bench) {
    let mut order = bench.order("sleeps", "None", &[]).await;
    order.timeout_ms = Some(500);
    let (outcome, _) = bench.run(order).await;
    assert!(matches!(outcome.ending, Ending::TimedOut(_)), "{outcome:?}");
    assert_eq!(failure(&outcome).error_type, "timeout");
}

async fn a_killed_attempt_is_cancelled(bench: &mut Bench) {
    let order = bench.order("sleeps", "None", &[]).await;
    let key = order.key;
    let attempt = tokio::spawn(Arc::clone(&bench.runner).run(order));
    bench.started().await;
    assert!(bench.runner.held.kill(key, KillReason::Cancelled));
    bench.until_ended(key).await;
    attempt.await.unwrap();
    assert_eq!(bench.outcome(key).ending, Ending::Cancelled);
}

async fn a_process_that_exits_fails_with_its_code(bench: &mut Bench) {
    let order = bench.order("dies", "None", &[]).await;
    let (outcome, _) = bench.run(order).await;
    let failure = failure(&outcome);
    assert_eq!((failure.error_type.as_str(), failure.certificate.as_ref().unwrap().exit_code), ("exit", Some(3)));
}

async fn a_value_of_another_type_than_declared_fails(bench: &mut Bench) {
    let order = bench.order("wrong", "int", &[]).await;
    let (outcome, _) = bench.run(order).await;
    assert_eq!(failure(&outcome).error_type, "output_type");
}

async fn a_large_list_is_a_blob_and_its_elements_are_read_by_range(bench: &mut Bench) {
    let order = bench.order("many", "list[str]", &[("n", literal(20_000))]).await;
    let (outcome, _) = bench.run(order).await;
    let value = produced(&outcome).value.clone();
    assert!(value.inline.is_none() && value.items == Some(20_000), "{value:?}");
    for (element, wanted) in [(0, "\"000000\""), (12_345, "\"012345\""), (19_999, "\"019999\"")] {
        let argument = Argument::Value { value: value.clone(), element: Some(element), path: vec![] };
        let order = bench.order("first", "str", &[("x", argument)]).await;
        assert_eq!(text(&bench.run(order).await.0), wanted);
    }
    let argument = Argument::Value { value, element: None, path: vec![Segment::Index(7)] };
    let order = bench.order("first", "str", &[("x", argument)]).await;
    assert_eq!(text(&bench.run(order).await.0), "\"000007\"");
}

async fn a_file_that_does_not_import_fails_its_node(bench: &mut Bench) {
    let mut order = bench.order("add", "int", &[]).await;
    order.files = Arc::new(BTreeMap::from([("flow.py".to_owned(), "raise RuntimeError('at import')".to_owned())]));
    let (outcome, _) = bench.run(order).await;
    assert!(failure(&outcome).message.contains("at import"), "{outcome:?}");
}

async fn a_fresh_container_per_attempt_where_the_node_says_so(bench: &mut Bench) {
    let mut containers = Vec::new();
    for _ in 0..2 {
        let mut order = bench.order("whoami", "list[str]", &[]).await;
        order.isolation = Isolation::Node;
        containers.push(bench.run(order).await.0.container_id);
    }
    assert_ne!(containers[0], containers[1]);
}

/// The runner is dropped while user code runs; the next one takes the container and the attempt over.
async fn an_attempt_outlives_its_runner(mut bench: Bench) -> Bench {
    let mut order = bench.order("sleeps", "None", &[]).await;
    order.timeout_ms = Some(4_000);
    let key = order.key;
    let attempt = tokio::spawn(Arc::clone(&bench.runner).run(order));
    bench.started().await;
    attempt.abort();
    assert!(attempt.await.unwrap_err().is_cancelled());
    let Bench { runner, folder, steps, run, .. } = bench;
    let runtime = Arc::clone(&runner.runtime);
    drop(runner);
    let mut next = Bench { steps, run, ..Bench::new(runtime, folder) };
    adopt::adopt(&next.runner, &name(&next.folder), &next.folder.join("run")).await;
    next.until_ended(key).await;
    assert!(matches!(next.outcome(key).ending, Ending::TimedOut(_)), "{:?}", next.outcome(key));
    next
}

async fn suite(runtime: Arc<dyn Runtime>) {
    let folder = tempfile::Builder::new().prefix("qf").tempdir_in("/tmp").unwrap().keep();
    let mut bench = Bench::new(runtime, folder);
    an_attempt_returns_its_value_and_says_where_time_went(&mut bench).await;
    attempts_of_a_run_follow_one_another_in_a_container(&mut bench).await;
    an_exception_comes_with_its_traceback_and_what_was_left(&mut bench).await;
    lines_arrive_by_stream_and_are_kept_as_one_object(&mut bench).await;
    an_attempt_past_its_time_is_timed_out(&mut bench).await;
    a_killed_attempt_is_cancelled(&mut bench).await;
    a_process_that_exits_fails_with_its_code(&mut bench).await;
    a_value_of_another_type_than_declared_fails(&mut bench).await;
    a_large_list_is_a_blob_and_its_elements_are_read_by_range(&mut bench).await;
    a_file_that_does_not_import_fails_its_node(&mut bench).await;
    a_fresh_container_per_attempt_where_the_node_says_so(&mut bench).await;
    let bench = an_attempt_outlives_its_runner(bench).await;
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_do_what_every_runtime_must() {
    let environments = std::env::temp_dir().join("qflow-no-environments");
    let runtime = ProcessRuntime::find(None, environments).await;
    assert!(!runtime.pythons().is_empty(), "no python3 on PATH");
    suite(Arc::new(runtime)).await;
}

/// Docker with an image, or nothing where none is to be had and none is required.
async fn docker() -> Option<Arc<dyn Runtime>> {
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

#[tokio::test(flavor = "multi_thread")]
async fn docker_does_what_every_runtime_must() {
    if let Some(runtime) = docker().await {
        suite(runtime).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn user_code_in_docker_is_nobody_and_writes_nowhere() {
    let Some(runtime) = docker().await else { return };
    let folder = tempfile::Builder::new().prefix("qf").tempdir_in("/tmp").unwrap().keep();
    let mut bench = Bench::new(runtime, folder);
    let order = bench.order("user", "int", &[]).await;
    assert_eq!(text(&bench.run(order).await.0), "65532");
    let order = bench.order("writes", "str", &[]).await;
    assert_eq!(text(&bench.run(order).await.0), "\"refused\"");
    bench.close().await;
}
