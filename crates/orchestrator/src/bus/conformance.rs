//! What every bus promises, in the same words for each: to one process that has both ends, and to two that share a Redis.

mod tls;

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use qflow_model::ids::StepIx;
use qflow_service::{RedisSettings, Shutdown};
use qflow_telemetry::Telemetry;

use super::*;
use crate::active::{Version, What, Word};

/// How long a word may take on its way, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(30);

fn run(id: u128) -> RunId {
    RunId(uuid::Uuid::from_u128(id))
}

fn node(step: u32) -> NodeKey {
    NodeKey::root(StepIx(step), None)
}

fn nothing() -> Changed {
    let spec = serde_json::json!({
        "id": uuid::Uuid::from_u128(1), "tenant": "t", "user": "u", "plan": qflow_model::ids::Digest::of(b""), "params": {},
        "trace": {"trace_id": "", "span_id": "", "flags": 0}, "created_at": 0,
    });
    let plan = serde_json::json!({
        "workflow": "w", "source": qflow_model::ids::Digest::of(b""), "workflows": [], "environments": [], "nodes": {}, "python": null,
    });
    Changed {
        spec: Arc::new(serde_json::from_value(spec).unwrap()),
        plan: Arc::new(serde_json::from_value(plan).unwrap()),
        head: serde_json::from_value(serde_json::json!({"status": "running", "branches": [], "locks": []})).unwrap(),
        counts: (0, 1),
        nodes: vec![],
    }
}

/// The next note that is wanted.
async fn hears(heard: &mut broadcast::Receiver<Note>, wanted: impl Fn(&Note) -> bool) {
    let found = async { while !wanted(&heard.recv().await.unwrap()) {} };
    tokio::time::timeout(PATIENCE, found).await.expect("it is heard");
}

const fn is_change(note: &Note) -> bool {
    matches!(note, Note::Changed(_) | Note::Moved)
}

/// Says something at one end until the other has begun to hear: a subscription takes a moment.
async fn meet(here: &dyn Bus, there: &dyn Bus, id: RunId) -> broadcast::Receiver<Note> {
    let mut heard = there.watch(id);
    let said = async {
        loop {
            here.doing(id, node(99), ("hello".into(), -1.0));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = hears(&mut heard, |note| matches!(note, Note::Doing(key) if *key == node(99))) => {}
        () = said => {}
    }
    there.watch(id)
}

/// Who watches a run hears of it, and of no other.
async fn a_watcher_hears_its_own_run_only(here: &dyn Bus, there: &dyn Bus) {
    let mut heard = meet(here, there, run(1)).await;
    here.lines(run(2));
    here.doing(run(1), node(0), ("importing".into(), -1.0));
    hears(&mut heard, |note| {
        assert!(!matches!(note, Note::Lines), "another run's");
        matches!(note, Note::Doing(key) if *key == node(0))
    })
    .await;
    here.lines(run(1));
    hears(&mut heard, |note| matches!(note, Note::Lines)).await;
}

/// A change is heard, at this end with how, at the other as a word to look.
async fn a_change_is_heard_at_both_ends(here: &dyn Bus, there: &dyn Bus) {
    let (mut far, mut near) = (meet(here, there, run(1)).await, here.watch(run(1)));
    here.changed(run(1), &nothing);
    hears(&mut near, |note| matches!(note, Note::Changed(changed) if changed.counts == (0, 1))).await;
    hears(&mut far, is_change).await;
}

/// What a node run is doing is known at both ends until it rests.
async fn what_is_done_is_known_until_it_rests(here: &dyn Bus, there: &dyn Bus) {
    let mut heard = meet(here, there, run(1)).await;
    here.doing(run(1), node(3), ("row 250 of 1000".into(), 0.25));
    hears(&mut heard, |note| matches!(note, Note::Doing(key) if *key == node(3))).await;
    for end in [here, there] {
        assert_eq!(end.what(run(1), node(3)), Some(("row 250 of 1000".into(), 0.25)));
    }
    here.rest(run(1), Some(&[node(3)]));
    here.lines(run(1));
    hears(&mut heard, |note| matches!(note, Note::Lines)).await;
    for end in [here, there] {
        assert_eq!(end.what(run(1), node(3)), None);
    }
}

/// Which runs are under way is heard at both ends, whoever says it.
async fn what_is_under_way_is_heard_at_both_ends(here: &dyn Bus, there: &dyn Bus) {
    let (mut near, mut far) = (here.watch_active(), there.watch_active());
    let version = |sequence| Version { epoch: qflow_model::ids::Epoch(1), sequence };
    let said = async {
        for sequence in 0.. {
            here.active(Arc::new(vec![Word { version: version(sequence), what: What::Ended(run(7)) }]));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let heard = async {
        for end in [&mut near, &mut far] {
            let words = tokio::time::timeout(PATIENCE, end.recv()).await.expect("it is heard").unwrap();
            assert_eq!(words[0].what, What::Ended(run(7)));
        }
    };
    tokio::select! { () = heard => {} () = said => {} }
}

macro_rules! conformance {
    ($($promise:ident),* $(,)?) => {
        mod on_one_process {
            $(#[tokio::test] async fn $promise() {
                let bus = super::Local::default();
                super::$promise(&bus, &bus).await;
            })*
        }
        mod on_redis {
            $(#[tokio::test(flavor = "multi_thread")] async fn $promise() {
                let Some(server) = super::Server::start() else { return };
                let shutdown = super::Shutdown::new();
                super::$promise(&server.bus("a", &shutdown), &server.bus("b", &shutdown)).await;
                shutdown.trigger();
            })*
        }
    };
}

conformance!(
    a_watcher_hears_its_own_run_only,
    a_change_is_heard_at_both_ends,
    what_is_done_is_known_until_it_rests,
    what_is_under_way_is_heard_at_both_ends,
);

/// A real Redis of this test's own.
struct Server {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts one on a port that was free; nothing where the program is not installed and not required.
    fn start() -> Option<Self> {
        Self::start_by(Self::spawn)
    }

    fn start_by(spawn: impl FnOnce(u16, &std::path::Path) -> std::io::Result<Child>) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let process = spawn(port, folder.path());
        match process {
            Ok(process) => Some(Self { process, port, folder }),
            Err(error) => {
                assert!(std::env::var_os("QFLOW_REQUIRE_REDIS").is_none(), "redis-server is required: {error}");
                eprintln!("redis-server is not to be had here: {error}");
                None
            }
        }
    }

    fn spawn(port: u16, folder: &std::path::Path) -> std::io::Result<Child> {
        let words = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()];
        Command::new("redis-server").args(words).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    }

    fn bus(&self, owner: &str, shutdown: &Shutdown) -> Redis {
        self.telling(owner, &Telemetry::silent(), shutdown)
    }

    fn telling(&self, owner: &str, telemetry: &Telemetry, shutdown: &Shutdown) -> Redis {
        let settings = RedisSettings { url: format!("redis://127.0.0.1:{}", self.port), ..RedisSettings::default() };
        Redis::open(settings, owner, telemetry, shutdown).unwrap()
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_away_is_used_again_and_watchers_look_into_the_store() {
    let Some(mut server) = Server::start() else { return };
    let shutdown = Shutdown::new();
    let (here, there) = (server.bus("a", &shutdown), server.bus("b", &shutdown));
    let mut heard = meet(&here, &there, run(1)).await;
    server.kill();
    is_up(&here, false).await;
    // Nobody waits for a Redis that is not there.
    here.lines(run(1));
    here.changed(run(1), &nothing);
    server.process = Server::spawn(server.port, server.folder.path()).unwrap();
    hears(&mut heard, is_change).await;
    drop(meet(&here, &there, run(1)).await);
    is_up(&here, true).await;
    is_up(&there, true).await;
    shutdown.trigger();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_change_of_64_is_told_in_the_trace_of_its_run() {
    let Some(server) = Server::start() else { return };
    let (shutdown, (telemetry, collected)) = (Shutdown::new(), Telemetry::collecting());
    let bus = server.telling("a", &telemetry, &shutdown);
    is_up(&bus, true).await;
    let trace = qflow_telemetry::TraceContext::root();
    let changed = || {
        let stored = serde_json::json!({"trace_id": trace.trace_id, "span_id": trace.span_id, "flags": 1});
        let mut changed = nothing();
        Arc::make_mut(&mut changed.spec).trace = serde_json::from_value(stored).unwrap();
        changed
    };
    (0..64).for_each(|_| bus.changed(run(1), &changed));
    let told = async {
        while collected.spans().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("the first is told");
    // Words go out in their order: once this one is told, so is whatever was said before.
    bus.changed(run(1), &changed);
    let told = async {
        while collected.spans().len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("the 65th is told");
    for span in collected.spans() {
        assert_eq!((span.name.as_ref(), span.parent_span_id.to_string()), ("PIPELINE PUBLISH", trace.span_id.clone()));
    }
    assert_eq!(collected.spans().len(), 2);
    shutdown.trigger();
}

/// Waits until a bus knows that its Redis answers, or does not.
async fn is_up(bus: &Redis, wanted: bool) {
    let known = async {
        while bus.is_up() != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.expect("it is known");
}

#[tokio::test]
async fn an_address_that_is_none_says_what_one_looks_like() {
    let settings = RedisSettings { url: "http://cache".into(), ..RedisSettings::default() };
    let error = Redis::open(settings, "a", &Telemetry::silent(), &Shutdown::new()).err().map(|e| e.to_string());
    assert!(error.is_some_and(|text| text.contains("redis://")));
}
