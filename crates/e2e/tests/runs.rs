//! What may be asked of a run that is under way, or over: by the program, against a running server.

use std::time::{Duration, Instant};

use qflow_e2e::{Home, object, said};
use serde_json::Value;

/// A workflow of which `hold` waits until a file is there, and fails where that file says so.
fn held(folder: &str) -> String {
    format!(
        "import pathlib, time\n\nfrom qflow import map, node, workflow\n\nGATE = pathlib.Path({folder:?}) / \"gate\"\n\n\n\
         @node\ndef first(n: int) -> int:\n    print(\"first is done\")\n    return n\n\n\n\
         @node\ndef hold(n: int) -> int:\n    while not GATE.exists():\n        time.sleep(0.02)\n    \
         if GATE.read_text() == \"fail\":\n        raise ValueError(\"told to\")\n    return n + 1\n\n\n\
         @workflow\ndef held(n: int = 1) -> int:\n    return hold(first(n))\n\n\n\
         @workflow(timeout=\"1s\")\ndef short(n: int = 1) -> int:\n    return hold(first(n))\n\n\n\
         @node(max_parallel=2)\ndef narrow(n: int) -> float:\n    begun = time.time()\n    time.sleep(0.2)\n    return begun\n\n\n\
         @workflow\ndef wide(xs: list[int] = [1, 2, 3, 4]) -> list[float]:\n    return map(narrow, xs)\n"
    )
}

/// A server, and the file of the workflow in its home.
struct House {
    home: Home,
    file: String,
    _dev: qflow_e2e::Dev,
}

impl House {
    fn new() -> Self {
        let home = Home::new("process");
        let folder = home.path().to_str().expect("a UTF-8 path").to_owned();
        let file = format!("{folder}/held.py");
        std::fs::write(&file, held(&folder)).expect("the home takes files");
        let dev = home.dev();
        Self { home, file, _dev: dev }
    }

    /// Starts a run and leaves it.
    fn start(&self, more: &[&str]) -> String {
        let mut line = vec!["run", self.file.as_str(), "--detach", "-o", "json"];
        line.extend(more);
        object(&self.home.run(&line), 0)["run_id"].as_str().expect("a run has an id").to_owned()
    }

    fn open(&self, word: &str) {
        std::fs::write(self.home.path().join("gate"), word).expect("the home takes files");
    }

    fn get(&self, run: &str) -> Value {
        object(&self.home.run(&["runs", "get", run, "-o", "json"]), 0)
    }

    /// The run once a fact about it holds.
    fn once(&self, run: &str, fact: impl Fn(&Value) -> bool) -> Value {
        #[expect(clippy::disallowed_methods, reason = "bounds how long a test waits for a fact")]
        let begun = Instant::now();
        loop {
            let seen = self.get(run);
            if fact(&seen) {
                return seen;
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "not within a minute: {seen}");
        }
    }
}

fn status<'r>(run: &'r Value, node: &str) -> &'r str {
    let nodes = run["nodes"].as_array().expect("a list");
    nodes.iter().find(|n| n["node_id"] == node).and_then(|n| n["status"].as_str()).unwrap_or("absent")
}

#[test]
fn a_cancelled_run_ends_at_once_and_stays_cancelled() {
    let house = House::new();
    let run = house.start(&["-w", "held"]);
    house.once(&run, |run| status(run, "hold") == "running");
    let output = house.home.run(&["runs", "cancel", &run]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let cancelled = house.get(&run);
    assert_eq!((cancelled["status"].as_str(), status(&cancelled, "hold")), (Some("cancelled"), "cancelled"));
    house.open("go");
    assert_eq!(status(&house.get(&run), "first"), "completed", "what was done stays done");
    let again = house.home.run(&["runs", "watch", &run]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
}

#[test]
fn a_failed_run_goes_on_from_its_failed_node() {
    let house = House::new();
    house.open("fail");
    let run = house.start(&["-w", "held"]);
    let failed = house.once(&run, |run| run["status"] == "failed");
    assert_eq!(failed["error"]["node_id"], "hold");
    house.open("go");
    let output = house.home.run(&["runs", "retry", &run]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let done = house.once(&run, |run| run["status"] == "completed");
    assert_eq!(done["result"], 2);
    let attempts: Vec<_> = done["nodes"].as_array().expect("a list").iter().map(|n| n["attempts"].clone()).collect();
    assert_eq!(attempts, [1, 2], "the first node is reused: {done}");
    let refused = house.home.run(&["runs", "retry", &run]);
    assert_ne!(refused.status.code(), Some(0), "a run that completed is not retried");
    assert!(said(&refused).contains("completed"), "{}", said(&refused));
}

#[test]
fn a_run_that_takes_longer_than_its_workflow_allows_is_timed_out() {
    let house = House::new();
    let run = object(&house.home.run(&["run", &house.file, "-w", "short", "-o", "json"]), 1);
    assert_eq!(run["status"], "timed_out");
    assert_eq!(status(&run, "first"), "completed");
}

#[test]
fn a_client_that_waits_no_longer_leaves_the_run_at_a_server() {
    let house = House::new();
    let output = house.home.run(&["run", &house.file, "-w", "held", "--timeout", "1s"]);
    assert_eq!(output.status.code(), Some(124), "{}", said(&output));
    house.open("go");
    let listed = house.home.run(&["runs", "list", "-o", "json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&listed)));
    let run = listed[0]["run_id"].as_str().expect("the run is listed");
    assert_eq!(house.once(run, |run| run["status"] == "completed")["result"], 2);
}

#[test]
fn the_same_idempotency_key_names_the_same_run() {
    let house = House::new();
    house.open("go");
    let first = house.start(&["-w", "held", "--idempotency-key", "monday"]);
    assert_eq!(house.start(&["-w", "held", "--idempotency-key", "monday"]), first);
    assert_ne!(house.start(&["-w", "held", "--idempotency-key", "tuesday"]), first);
}

#[test]
fn runs_are_listed_by_workflow_and_status_and_lines_by_node() {
    let house = House::new();
    house.open("go");
    let run = house.start(&["-w", "held"]);
    house.once(&run, |run| run["status"] == "completed");
    let ids = |args: &[&str]| {
        let output = house.home.run(&[&["runs", "list", "-o", "raw"], args].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["--workflow", "held", "--status", "completed"]), std::slice::from_ref(&run));
    assert_eq!(ids(&["--status", "failed"]), Vec::<String>::new());
    assert_eq!(ids(&["--workflow", "other"]), Vec::<String>::new());
    let lines = house.home.run(&["runs", "logs", &run, "--node", "first", "-o", "raw"]);
    assert_eq!(String::from_utf8_lossy(&lines.stdout), "first is done\n", "{}", said(&lines));
    let none = house.home.run(&["runs", "logs", &run, "--node", "nowhere"]);
    assert_eq!(none.status.code(), Some(2), "{}", said(&none));
    assert!(said(&none).contains("first, hold"), "the nodes that there are: {}", said(&none));
    let absent = house.home.run(&["runs", "get", "no-such-run"]);
    assert_eq!(absent.status.code(), Some(2), "{}", said(&absent));
}

#[test]
fn a_node_runs_no_wider_than_it_says() {
    let house = House::new();
    let run = object(&house.home.run(&["run", &house.file, "-w", "wide", "-o", "json"]), 0);
    let mut begun: Vec<f64> = run["result"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    begun.sort_by(f64::total_cmp);
    // Each sleeps for 0.2 s: of any three in order of their start the first has ended when the third begins.
    assert!(begun.windows(3).all(|three| three[2] - three[0] >= 0.19), "{begun:?}");
}

fn interrupt(client: std::process::Child) {
    let sent = std::process::Command::new("kill").args(["-INT", &client.id().to_string()]).status();
    assert!(sent.expect("kill starts").success());
    let output = client.wait_with_output().expect("qflow ends");
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
}

#[test]
fn who_only_looks_at_a_run_leaves_it_alone() {
    let house = House::new();
    let line = ["run", house.file.as_str(), "-w", "held", "--detach", "-o", "json"];
    let run = object(&house.home.run(&line), 0)["run_id"].as_str().expect("a run has an id").to_owned();
    let mut client = house.home.qflow(&["runs", "watch", &run]).spawn().expect("qflow starts");
    house.once(&run, |run| status(run, "hold") == "running");
    // It has shown the run, so it hears signals.
    let mut shown = [0; 1];
    std::io::Read::read_exact(client.stderr.as_mut().expect("it is piped"), &mut shown).expect("it shows the run");
    interrupt(client);
    let after = house.get(&run);
    assert_eq!((&after["status"], status(&after, "hold")), (&"running".into(), "running"), "{after:#}");
}

#[test]
fn an_interrupt_cancels_the_run() {
    let house = House::new();
    let line = ["run", house.file.as_str(), "-w", "held", "-o", "json"];
    let client = house.home.qflow(&line).spawn().expect("qflow starts");
    let listed = || object(&house.home.run(&["runs", "list", "-o", "json"]), 0);
    #[expect(clippy::disallowed_methods, reason = "bounds how long a test waits for a fact")]
    let begun = Instant::now();
    let run = loop {
        if let Some(run) = listed()[0]["run_id"].as_str() {
            break run.to_owned();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the run is accepted");
    };
    house.once(&run, |run| status(run, "hold") == "running");
    interrupt(client);
    assert_eq!(house.get(&run)["status"], "cancelled");
}
