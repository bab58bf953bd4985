//! A runner that is killed, as a program of its own: the next one takes up its attempts, its outcomes and its containers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::{collections::BTreeMap, path::Path, process::Stdio, sync::Arc};

use qflow_container_runner::runtime::{ContainerSpec, Runtime};
use qflow_model::{
    definition::{Isolation, Resources, TypeText},
    environment::{EnvLock, EnvSpec},
    ids::{AttemptKey, NodeKey, RunId, StepIx},
    outcome::{Failure, Outcome},
};
use qflow_proto::{
    order::Order,
    v1::{self, RunnerHello, work_request::Message as Said, work_response::Message as Say},
};
use support::{
    docker, folder,
    orchestrator::{Desk, Line, hello_of_the_only_one},
    processes, text,
};
use tokio::process::{Child, Command};

const SOURCE: &str = "import os, time\n\ndef slow() -> int:\n    time.sleep(4)\n    return os.getpid()\n\ndef fast() -> int:\n    return 7\n";

fn start(desk: &Desk, runtime: &str, folder: &Path) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_qflow-container-runner"))
        .args(["--runtime", runtime, "--runner-listen", "127.0.0.1:0", "--slots", "4"])
        .args(["--python-versions", "3.9,3.10,3.11,3.12,3.13", "--orchestrator-urls", &desk.url])
        .arg("--data-dir")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn say(line: &Line, message: Say) {
    line.1.send(Ok(v1::WorkResponse { message: Some(message) })).await.unwrap();
}

async fn until<T>(line: &mut Line, wanted: impl Fn(Said) -> Option<T>) -> T {
    let found = async {
        loop {
            let message = line.0.message().await.unwrap().expect("the runner stays").message.unwrap();
            if let Some(found) = wanted(message) {
                return found;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), found).await.expect("the runner says so")
}

/// The next stream of a runner, once both have said hello.
async fn meet(desk: &mut Desk) -> (Line, RunnerHello) {
    let mut line = desk.opened.recv().await.unwrap();
    let hello = until(&mut line, |said| if let Said::Hello(hello) = said { Some(hello) } else { None }).await;
    say(&line, hello_of_the_only_one()).await;
    (line, hello)
}

async fn lock(line: &mut Line, hello: &RunnerHello) -> EnvLock {
    let spec = EnvSpec { python: hello.python_versions.last().unwrap().parse().unwrap(), requirements: vec![] };
    let spec_json = serde_json::to_vec(&spec).unwrap();
    say(line, Say::Lock(v1::LockOrder { spec_digest: spec.digest().to_string(), spec_json, run_id: String::new() }))
        .await;
    let answer = until(line, |said| if let Said::Locked(l) = said { Some(l) } else { None }).await;
    serde_json::from_slice::<Result<EnvLock, Failure>>(&answer.result_json).unwrap().unwrap()
}

async fn give(line: &Line, lock: &EnvLock, run: RunId, step: u32, function: &str) -> AttemptKey {
    let order = Order {
        key: AttemptKey { run, node: NodeKey::root(StepIx(step), None), attempt: 1 },
        node_id: function.into(),
        function: function.into(),
        file: "flow.py".into(),
        entry: "flow.py".into(),
        files: Arc::new(BTreeMap::from([("flow.py".to_owned(), SOURCE.to_owned())])),
        workflow: "flow".into(),
        tenant: "default".into(),
        user: "me".into(),
        arguments: vec![],
        types: vec![],
        returns: TypeText("int".into()),
        classes: qflow_model::class::Classes::new(),
        asks: vec![],
        conversions: vec![],
        lock: Arc::new(lock.clone()),
        resources: Resources::default(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        timeout_ms: None,
        isolation: Isolation::Run,
        idempotent: step == 1,
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        sources: Vec::new(),
        idempotency_key: "k".into(),
    };
    let order_json = serde_json::to_vec(&order).unwrap();
    say(line, Say::Attempt(v1::AttemptOrder { attempt: order.key.to_string(), order_json })).await;
    order.key
}

async fn started(line: &mut Line, key: AttemptKey) -> v1::AttemptStarted {
    let key = key.to_string();
    until(line, |said| match said {
        Said::Started(started) if started.attempt == key => Some(started),
        _ => None,
    })
    .await
}

/// Lets an attempt begin that must not be made twice, and waits until it has.
async fn begins(line: &mut Line, key: AttemptKey) -> v1::AttemptStarted {
    started(line, key).await;
    say(line, Say::Begin(v1::BeginOrder { attempt: key.to_string() })).await;
    started(line, key).await
}

async fn ended(line: &mut Line, key: AttemptKey) -> Vec<u8> {
    let key = key.to_string();
    until(line, |said| match said {
        Said::Ended(ended) if ended.attempt == key => Some(ended.outcome_json),
        _ => None,
    })
    .await
}

/// A container of the runner's that it knows nothing of, as one whose start its end cut short.
async fn orphan(runtime: &Arc<dyn Runtime>, runner: &str, lock: &EnvLock, home: &Path) {
    qflow_container_runner::python::lay_out(home).unwrap();
    // Nobody accepts, so its harness waits for a welcome.
    let listener = std::os::unix::net::UnixListener::bind(home.join("s")).unwrap();
    std::fs::set_permissions(home.join("s"), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let spec = ContainerSpec {
        name: "0rphan".into(),
        runner: runner.into(),
        python: lock.python,
        directory: home.to_owned(),
        token: "t".into(),
        environment: None,
        image: lock.image.clone(),
        resources: Resources::default(),
    };
    runtime.start(&spec).await.unwrap();
    std::mem::forget(listener);
}

async fn a_killed_runner_is_taken_up(runtime: &str, engine: Arc<dyn Runtime>) {
    let (folder, mut desk) = (folder(), Desk::open().await);
    let mut runner = start(&desk, runtime, &folder);
    let (mut line, hello) = meet(&mut desk).await;
    let (lock, run) = (lock(&mut line, &hello).await, RunId(uuid::Uuid::now_v7()));
    let fast = give(&line, &lock, run, 1, "fast").await;
    let told = ended(&mut line, fast).await;
    let slow = give(&line, &lock, run, 2, "slow").await;
    let started = begins(&mut line, slow).await;
    let home = tempfile::Builder::new().prefix("qo").tempdir_in("/tmp").unwrap();
    orphan(&engine, &hello.runner_id, &lock, home.path()).await;
    let names = |there: Vec<(String, String)>| there.into_iter().map(|(_, name)| name).collect::<Vec<_>>();
    // A process has its variables, which tell whose it is, only once it runs its program.
    let listed = async {
        while !names(engine.list(&hello.runner_id).await.unwrap()).contains(&"0rphan".to_owned()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), listed).await.expect("the orphan is listed");

    runner.kill().await.unwrap();
    drop(line);
    let mut runner = start(&desk, runtime, &folder);
    let (mut line, again) = meet(&mut desk).await;
    assert_eq!((&again.runner_id, again.session == hello.session), (&hello.runner_id, false));
    assert_eq!(again.attempts, [fast.to_string(), slow.to_string()]);
    assert!(!names(engine.list(&hello.runner_id).await.unwrap()).contains(&"0rphan".to_owned()));
    assert_eq!(ended(&mut line, fast).await, told);
    let outcome: Outcome = serde_json::from_slice(&ended(&mut line, slow).await).unwrap();
    assert_eq!(outcome.container_id, started.container_id);
    assert!(text(&outcome).parse::<u32>().is_ok());
    for key in [fast, slow] {
        say(&line, Say::Ack(v1::EndedAck { attempt: key.to_string(), accepted: true })).await;
    }

    // The container that was taken over goes on with the run's next attempt.
    let next = give(&line, &lock, run, 3, "fast").await;
    begins(&mut line, next).await;
    let outcome: Outcome = serde_json::from_slice(&ended(&mut line, next).await).unwrap();
    assert_eq!((text(&outcome).as_str(), &outcome.container_id), ("7", &started.container_id));
    say(&line, Say::RunEnded(v1::RunEnded { run_id: run.to_string() })).await;
    let pid = rustix::process::Pid::from_raw(runner.id().unwrap() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(runner.wait().await.unwrap().success(), "{}", std::fs::read_to_string(folder.join("log")).unwrap());
    assert_eq!(engine.list(&hello.runner_id).await.unwrap(), []);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_in_processes_outlive_a_killed_runner() {
    let home = tempfile::tempdir().unwrap();
    a_killed_runner_is_taken_up("process", processes(home.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_in_docker_outlive_a_killed_runner() {
    if let Some(docker) = docker().await {
        a_killed_runner_is_taken_up("docker", docker).await;
    }
}
