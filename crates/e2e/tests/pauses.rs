//! Runs that stand still in a cluster: whichever orchestrator is asked, and whoever holds what they wait for.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use qflow_e2e::{Cluster, object, said, wait_for};
use serde_json::{Value, json};

/// What `examples/primes.py` counts with these parameters.
const FAN_OUT: (&[&str], i64) = (&["run", "examples/primes.py", "-p", "upto=600000", "-p", "slices=12"], 49_098);

fn started(cluster: &Cluster, orchestrator: u8, line: &[&str]) -> String {
    let output = cluster.run(orchestrator, &[line, &["--detach", "-o", "json"]].concat());
    object(&output, 0)["run_id"].as_str().expect("a run has an id").to_owned()
}

/// The run as one of the orchestrators shows it, once `reached` holds.
fn wait(cluster: &Cluster, orchestrator: u8, run: &str, reached: impl Fn(&Value) -> bool) -> Value {
    #[expect(clippy::disallowed_methods, reason = "bounds how long a test waits for a fact")]
    let begun = Instant::now();
    let mut last = String::new();
    while begun.elapsed() < Duration::from_secs(120) {
        let output = cluster.run(orchestrator, &["runs", "get", run, "-o", "json"]);
        if let Ok(run) = serde_json::from_slice::<Value>(&output.stdout)
            && reached(&run)
        {
            return run;
        }
        last = said(&output);
    }
    panic!("not reached within 120 s: {last}\n{}", cluster.log("orchestrator-1") + &cluster.log("orchestrator-2"));
}

fn nodes<'r>(run: &'r Value, status: &str) -> Vec<&'r Value> {
    run["nodes"].as_array().into_iter().flatten().filter(|node| node["status"] == status).collect()
}

/// What a call that must fail says.
fn refused(cluster: &Cluster, orchestrator: u8, line: &[&str]) -> String {
    let output = cluster.run(orchestrator, line);
    assert_ne!(output.status.code(), Some(0), "{}", said(&output));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts a run whose node must not run twice, and waits until it is at work; the run, and who holds it.
fn charging(cluster: &Cluster, path: &str) -> (String, &'static str) {
    let run = started(cluster, 1, &["run", "crates/e2e/cases/once.py", "-p", &format!("path={path}")]);
    let holder = || ["runner-1", "runner-2"].into_iter().find(|name| cluster.log(name).contains("charging"));
    wait_for("it charges", || holder().is_some());
    (run, holder().expect("one of them holds it"))
}

/// Paused at one, resumed at the other.
fn a_paused_run_goes_on_where_it_was(cluster: &Cluster) {
    let run = started(cluster, 1, FAN_OUT.0);
    let mut watch = cluster.qflow(1, &["runs", "watch", &run, "-o", "json"]);
    let watcher = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("qflow starts");
    wait(cluster, 1, &run, |run| nodes(run, "completed").len() >= 2);
    for _ in 0..2 {
        let paused = object(&cluster.run(2, &["runs", "pause", &run, "-o", "json"]), 0);
        assert_eq!(paused["status"], "paused", "{paused:#}");
    }
    let rests = |run: &Value| nodes(run, "leased").len() + nodes(run, "running").len() <= 1;
    let before = wait(cluster, 1, &run, |run| rests(run) && run["status"] == "paused");
    let listed = cluster.run(1, &["runs", "list", "--status", "paused"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains(&run), "{}", said(&listed));
    // Others go on meanwhile, and nothing of this one begins.
    let hello = object(&cluster.run(2, &["run", "examples/hello.py", "-p", "name=Ada", "-o", "json"]), 0);
    assert_eq!(hello["status"], "completed");
    let after = wait(cluster, 2, &run, rests);
    assert_eq!(nodes(&after, "completed").len(), nodes(&before, "completed").len(), "{after:#}");
    assert!(after["reason"].as_str().is_some_and(|reason| reason.contains("qflow runs resume")), "{after:#}");
    let since = after["paused_at"].as_str().expect("it says since when");
    let told =
        format!("run {run} is paused since {since}: paused by local; it goes on with: qflow runs resume {run}\n");
    object(&cluster.run(1, &["runs", "resume", &run, "-o", "json"]), 0);
    let ended = wait(cluster, 2, &run, |run| run["status"] == "completed");
    assert_eq!((&ended["result"], &ended["paused_at"]), (&json!(FAN_OUT.1), &Value::Null));
    // Whoever watched it saw why nothing happened, at the other orchestrator than the one that was asked.
    let watched = watcher.wait_with_output().expect("it ends with the run");
    let (out, lines) = (object(&watched, 0), String::from_utf8_lossy(&watched.stderr).into_owned());
    assert_eq!(out["status"], "completed");
    let goes_on = format!("run {run} goes on\n");
    assert_eq!([told, goes_on].map(|line| lines.matches(&line).count()), [1, 1], "{lines}");
    assert!(refused(cluster, 1, &["runs", "pause", &run]).contains("is completed"));
    assert!(refused(cluster, 2, &["runs", "resume", &run]).contains("is completed"));
}

#[test]
fn a_node_that_must_not_run_twice_is_asked_about_and_paused_runs_go_on_at_either_orchestrator() {
    let cluster = Cluster::start("process");
    let path = cluster.path().join("begun").display().to_string();
    let (once, holder) = charging(&cluster, &path);
    cluster.kill(holder);

    // While its lease runs out: on the other runner.
    a_paused_run_goes_on_where_it_was(&cluster);

    let asks = wait(&cluster, 2, &once, |run| run["status"] == "paused");
    let reason = asks["reason"].as_str().expect("it says why");
    assert!(
        reason.contains("needs_attention") && reason.contains(&format!("resume {once} --retry charge")),
        "{reason}"
    );
    assert!(refused(&cluster, 1, &["runs", "resume", &once]).contains("--retry NODE"));
    assert!(refused(&cluster, 1, &["runs", "resume", &once, "--retry", "discharge"]).contains("no node"));
    object(&cluster.run(1, &["runs", "resume", &once, "--retry", "charge", "-o", "json"]), 0);
    let ended = wait(&cluster, 2, &once, |run| run["status"] == "completed");
    assert_eq!((&ended["result"], &ended["nodes"][0]["attempts"]), (&json!(2), &json!(2)), "{ended:#}");
    let begun = std::fs::read_to_string(&path).expect("it wrote there");
    assert_eq!(begun.lines().count(), 2, "it began twice, once because somebody said so");
}

/// Both orchestrators stand still: the connections are there, and nobody answers.
#[test]
fn a_node_that_must_not_run_twice_is_killed_by_its_runner_once_no_orchestrator_hears_of_it() {
    let cluster = Cluster::start("process");
    let path = cluster.path().join("begun").display().to_string();
    let (once, holder) = charging(&cluster, &path);
    for orchestrator in ["orchestrator-1", "orchestrator-2"] {
        cluster.signal(orchestrator, "-STOP");
    }
    wait_for("its runner kills it", || cluster.log(holder).contains("attempt_fenced"));
    for orchestrator in ["orchestrator-1", "orchestrator-2"] {
        cluster.signal(orchestrator, "-CONT");
    }
    let asks = wait(&cluster, 2, &once, |run| run["status"] == "paused");
    assert_eq!(asks["nodes"][0]["error"]["error_type"], "fenced", "{asks:#}");
    object(&cluster.run(1, &["runs", "resume", &once, "--fail", "charge", "-o", "json"]), 0);
    let ended = wait(&cluster, 2, &once, |run| run["status"] == "failed");
    assert_eq!(ended["error"]["failure"]["error_type"], "fenced", "{ended:#}");
    assert_eq!(std::fs::read_to_string(&path).expect("it wrote there").lines().count(), 1, "it began once");
}
