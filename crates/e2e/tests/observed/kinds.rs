//! One run of every kind that telemetry tells apart, and the lines that they leave.

use std::{path::PathBuf, process::Command};

use qflow_e2e::{Stack, object, root, said, wait_for};

use super::{CASE, run, start};

/// Runs all of them.
pub(crate) fn run_every_kind(stack: &Stack) {
    for (orchestrator, workflow, status) in [
        (1, "succeeds", "completed"),
        (2, "succeeds", "completed"),
        (1, "fails", "failed"),
        (2, "times_out", "timed_out"),
        (1, "runs_out_of_memory", "failed"),
        (2, "tries_again", "completed"),
        (1, "is_held_back", "completed"),
        (1, "speaks_hostile", "failed"),
        (2, "writes_too_much", "completed"),
        (1, "hands_on_of_each_size", "completed"),
    ] {
        let run = run(stack, orchestrator, CASE, workflow);
        assert_eq!(run["status"], status, "{workflow}: {run:#}");
    }
    let killed: f64 =
        ["ra1", "ra2"].map(|admin| stack.cluster.metric(admin, "qflow_container_oom_kills_total")).iter().sum();
    assert!((killed - 1.0).abs() < 0.5, "one attempt ran out of memory, and {killed} are counted");
    for file in ["convert", "environments", "branches", "sub_workflows", "pickles"] {
        let run = run(stack, 1, &format!("docs/examples/python/{file}.py"), file);
        assert_eq!(run["status"], "completed", "{run:#}");
    }
    for file in ["unfit", "constructors"] {
        let refused = stack.cluster.run(2, &["run", &format!("crates/e2e/cases/{file}.py")]);
        assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    }
    // The index has no such version: refused, or where that takes long to find out the run's failure.
    let unlocked = stack.cluster.run(1, &["run", "crates/e2e/cases/unlocked.py"]);
    assert!(matches!(unlocked.status.code(), Some(1 | 3)), "{}", said(&unlocked));
    assert!(said(&unlocked).contains("there is no version of played-1==99"), "{}", said(&unlocked));
    // A call that fails by its caller's fault.
    let unknown = stack.cluster.run(1, &["runs", "get", "00000000-0000-7000-8000-000000000000"]);
    assert!(!unknown.status.success(), "{}", said(&unknown));
    is_approved(stack);
    is_cancelled(stack);
    is_asked_in_every_way(stack);
}

/// What the health-aggregator answers to requests that it does not know.
fn is_asked_in_every_way(stack: &Stack) {
    let url = format!("http://127.0.0.1:{}/health", stack.cluster.port("hh"));
    for method in ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let how = if method == "HEAD" { vec!["--head"] } else { vec!["--request", method] };
        let asked = Command::new("curl").args(["-sS", "-o", "/dev/null"]).args(how).arg(&url).output();
        let asked = asked.expect("curl starts");
        assert!(asked.status.success(), "{method}: {}", said(&asked));
    }
}

/// Two questions to people, answered.
fn is_approved(stack: &Stack) {
    let id = start(stack, 2, "crates/e2e/cases/approvals.py", "main");
    for name in ["legal", "finance"] {
        wait_for("a question is asked and answered", || stack.cluster.run(1, &["approve", &id, name]).status.success());
    }
    let ended = || object(&stack.cluster.run(1, &["runs", "get", &id, "-o", "json"]), 0);
    wait_for("both are answered", || ended()["status"] == "completed");
}

/// A run that is seen while it is there, paused and not, and cancelled.
fn is_cancelled(stack: &Stack) {
    let id = start(stack, 1, CASE, "is_cancelled");
    let state = || object(&stack.cluster.run(2, &["runs", "get", &id, "-o", "json"]), 0);
    wait_for("the node runs", || state()["nodes"][0]["status"] == "running");
    // A run and its container are seen while they are there, by a look and by a panel's step.
    for seen in ["qflow_active_containers{status=\"running\"}", "qflow_workflow_oldest_running_seconds"] {
        wait_for(seen, || !stack.query(&format!("count_over_time(({seen} > 0)[10s:1s]) >= 5")).is_empty());
    }
    object(&stack.cluster.run(2, &["runs", "pause", &id, "-o", "json"]), 0);
    let paused = "qflow_workflows_paused{cause=\"asked\"} > 0";
    wait_for("it is seen paused", || !stack.query(paused).is_empty());
    object(&stack.cluster.run(1, &["runs", "resume", &id, "-o", "json"]), 0);
    stack.cluster.run(2, &["runs", "cancel", &id]);
    wait_for("the run is cancelled", || state()["status"] == "cancelled");
    // Prometheus looks once a second: what ended last is there after the next look.
    let cancelled = "qflow_workflow_executions_total{status=\"cancelled\"} > 0";
    wait_for("what ended is scraped", || !stack.query(cancelled).is_empty());
}

/// What services of ours wrote.
fn logs(stack: &Stack) -> Vec<PathBuf> {
    let files = std::fs::read_dir(stack.cluster.path()).expect("the cluster has a folder").flatten();
    let ours = files.filter(|file| {
        let name = file.file_name().to_string_lossy().into_owned();
        let is_log = file.path().extension().is_some_and(|ending| ending == "log");
        // What a test put in a log's place is no file.
        name.contains('-') && is_log && file.file_type().is_ok_and(|kind| kind.is_file())
    });
    ours.map(|file| file.path()).collect()
}

/// Lines of the services' logs that are none by docs/log.schema.json, and what must be among them.
pub(crate) fn wrong_lines(stack: &Stack) -> Vec<String> {
    let mut check = Command::new(root().join("deploy/local/log-check"));
    check.args(logs(stack));
    let output = check.output().expect("the script starts");
    let events = String::from_utf8_lossy(&output.stdout).into_owned();
    let lacking = EVENTS.iter().filter(|event| !events.lines().any(|line| line.starts_with(&format!("{event} "))));
    let mut problems: Vec<String> = lacking.map(|event| format!("no line says {event}")).collect();
    if !output.status.success() {
        problems.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    problems
}

/// The events of which one run of every kind has lines.
const EVENTS: [&str; 16] = [
    "workflow_start",
    "workflow_complete",
    "workflow_error",
    "workflow_cancelled",
    "node_start",
    "node_complete",
    "node_error",
    "node_retry",
    "container_created",
    "container_started",
    "container_stopped",
    "python_error",
    "user_line",
    "user_lines_lost",
    "environment_prepared",
    "service_listening",
];
