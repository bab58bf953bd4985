//! What every runtime must do, in the same words: real Python, in processes and in Docker where it answers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use qflow_container_runner::{
    adopt,
    harness::{Said, Say, Told},
    runtime::Runtime,
};
use qflow_model::{
    definition::Isolation,
    environment::{EnvLock, EnvSpec},
    expression::Segment,
    outcome::{Ending, LINES_LATE},
    progress::KillReason,
    value::Argument,
};
use support::{Bench, docker, failure, folder, literal, name, processes, produced, text};

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
    let object = bench.runner.blobs.read_log(key.run, "talks", 1).await.unwrap();
    assert_eq!(String::from_utf8(object.to_vec()).unwrap().lines().count(), lines.len());
    assert!(outcome.log.is_some());
}

/// They outlast the acknowledgement of their outcome.
async fn lines_that_the_blob_store_does_not_take_are_written_once_it_does(bench: &mut Bench) {
    let (blobs, aside) = (bench.folder.join("blobs"), bench.folder.join("aside"));
    std::fs::rename(&blobs, &aside).unwrap();
    std::fs::write(&blobs, "no folder").unwrap();
    let mut order = bench.order("talks", "None", &[]).await;
    order.node_id = "talks[1]".into();
    let key = order.key;
    let (outcome, lines) = bench.run(order).await;
    assert!(outcome.log.is_none() && outcome.warnings[0].starts_with(LINES_LATE), "{outcome:?}");
    let runner = Arc::clone(&bench.runner);
    runner.spool.forget(key);
    runner.deliver_lines().await;
    assert_eq!(runner.spool.owed().len(), 1);
    std::fs::remove_file(&blobs).unwrap();
    std::fs::rename(&aside, &blobs).unwrap();
    runner.deliver_lines().await;
    let object = runner.blobs.read_log(key.run, "talks[1]", 1).await.unwrap();
    assert_eq!(String::from_utf8(object.to_vec()).unwrap().lines().count(), lines.len());
    assert_eq!((runner.spool.owed(), runner.spool.read_lines(key)), (vec![], vec![]), "nothing of it is kept here");
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

async fn what_a_container_uses_is_told(bench: &mut Bench) {
    let order = bench.order("sleeps", "None", &[]).await;
    let key = order.key;
    let attempt = tokio::spawn(Arc::clone(&bench.runner).run(order));
    bench.started().await;
    let id = bench.runner.pool.list().into_iter().find(|c| c.attempt == Some(key)).unwrap().id;
    let look = bench.runner.runtime.look(&name(&bench.folder)).await.unwrap();
    assert!(look.running >= 1 && look.total >= look.running && !look.version.is_empty(), "{look:?}");
    let usage = bench.runner.runtime.usage(&id).await.unwrap();
    // The first process, the template, and the attempt that it forked.
    assert!(usage.pids >= 3 && usage.memory_bytes > 1 << 20 && usage.cpu_seconds > 0.0, "{usage:?}");
    bench.runner.held.kill(key, KillReason::Cancelled);
    bench.until_ended(key).await;
    attempt.await.unwrap();
    bench.runner.runtime.remove(&id).await.unwrap();
    bench.runner.runtime.wait(&id).await;
    assert!(bench.runner.runtime.usage(&id).await.is_err(), "what is gone uses nothing");
    // It was removed behind the pool's back: no attempt is to be given to it before the pool has noticed.
    while bench.runner.pool.list().iter().any(|container| container.id == id) {
        tokio::time::sleep(support::orchestrator::LOOK).await;
    }
}

async fn that_a_python_is_there_and_comes_up_is_told(bench: &mut Bench) {
    let (runtime, pool) = (Arc::clone(&bench.runner.runtime), Arc::clone(&bench.runner.pool));
    let python = *runtime.pythons().last().unwrap();
    assert!(runtime.is_there(python).await.unwrap());
    let before = pool.tried().get(&python).map(|tried| tried.at);
    let lock = bench.runner.environments.lock(&EnvSpec { python, requirements: Vec::new() }).await.unwrap();
    pool.smoke(&lock).await.unwrap();
    let tried = pool.tried()[&python];
    assert!(tried.error.is_none() && before.is_none_or(|before| tried.at > before));
    // One whose image is none does not, and why is told.
    pool.smoke(&EnvLock { image: "qflow-nowhere".into(), ..lock }).await.ok();
    let works_all_the_same = runtime.name() == "process";
    assert_eq!(pool.tried()[&python].error.is_none(), works_all_the_same, "a process is started by its version");
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
    let Bench { runner, folder, steps, run, source, .. } = bench;
    let runtime = Arc::clone(&runner.runtime);
    drop(runner);
    let mut next = Bench { steps, run, ..Bench::new(runtime, folder, &source) };
    adopt::adopt(&next.runner, &name(&next.folder), &next.folder.join("run")).await;
    next.until_ended(key).await;
    assert!(matches!(next.outcome(key).ending, Ending::TimedOut(_)), "{:?}", next.outcome(key));
    next
}

/// The runner is dropped between taking a container and handing the order in; the next one does not wait for its end.
async fn an_order_that_never_came_to_its_container_is_lost(mut bench: Bench) -> Bench {
    let order = bench.order("add", "int", &[("a", literal(1)), ("b", literal(1))]).await;
    bench.run(order).await;
    let order = bench.order("add", "int", &[("a", literal(1)), ("b", literal(1))]).await;
    let key = order.key;
    let mut container = bench.runner.pool.take(&order, "").await.unwrap();
    // Its file is imported, and that is said again to the next runner: no word to begin without arguments.
    let files = BTreeMap::from([("flow.py".to_owned(), "def add():\n    return 1\n".to_owned())]);
    let workdir = bench.runner.runtime.workdir(&container.state.spec);
    let load = Say::Load {
        files,
        entry: "flow.py".into(),
        file: "flow.py".into(),
        function: "f".into(),
        site: None,
        env: BTreeMap::new(),
        workdir,
    };
    container.link.say(load, Vec::new()).await;
    while !matches!(container.link.next().await, Some(Told::Heard(heard)) if matches!(heard.said, Said::Loaded { .. }))
    {
    }
    let Bench { runner, folder, steps, run, source, .. } = bench;
    let runtime = Arc::clone(&runner.runtime);
    drop((container, runner));
    let mut next = Bench { steps, run, ..Bench::new(runtime, folder, &source) };
    adopt::adopt(&next.runner, &name(&next.folder), &next.folder.join("run")).await;
    next.until_ended(key).await;
    assert!(matches!(&next.outcome(key).ending, Ending::Lost { reason, .. } if reason == "runner_lost"));
    let order = next.order("add", "int", &[("a", literal(1)), ("b", literal(1))]).await;
    assert_eq!(text(&next.run(order).await.0), "2");
    next
}

async fn suite(runtime: Arc<dyn Runtime>) {
    let mut bench = Bench::new(runtime, folder(), SOURCE);
    an_attempt_returns_its_value_and_says_where_time_went(&mut bench).await;
    attempts_of_a_run_follow_one_another_in_a_container(&mut bench).await;
    an_exception_comes_with_its_traceback_and_what_was_left(&mut bench).await;
    lines_arrive_by_stream_and_are_kept_as_one_object(&mut bench).await;
    lines_that_the_blob_store_does_not_take_are_written_once_it_does(&mut bench).await;
    an_attempt_past_its_time_is_timed_out(&mut bench).await;
    a_killed_attempt_is_cancelled(&mut bench).await;
    a_process_that_exits_fails_with_its_code(&mut bench).await;
    a_value_of_another_type_than_declared_fails(&mut bench).await;
    a_large_list_is_a_blob_and_its_elements_are_read_by_range(&mut bench).await;
    a_file_that_does_not_import_fails_its_node(&mut bench).await;
    a_fresh_container_per_attempt_where_the_node_says_so(&mut bench).await;
    what_a_container_uses_is_told(&mut bench).await;
    that_a_python_is_there_and_comes_up_is_told(&mut bench).await;
    let bench = an_attempt_outlives_its_runner(bench).await;
    let bench = an_order_that_never_came_to_its_container_is_lost(bench).await;
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_do_what_every_runtime_must() {
    let home = tempfile::tempdir().unwrap();
    suite(processes(home.path()).await).await;
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
    let mut bench = Bench::new(runtime, folder(), SOURCE);
    let order = bench.order("user", "int", &[]).await;
    assert_eq!(text(&bench.run(order).await.0), "65532");
    let order = bench.order("writes", "str", &[]).await;
    assert_eq!(text(&bench.run(order).await.0), "\"refused\"");
    bench.close().await;
}
