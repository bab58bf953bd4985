//! The cluster's shape: the same results as embedded, whichever orchestrator is asked; whatever is killed, runs go on.

use std::sync::{Mutex, PoisonError};

use qflow_e2e::{Cluster, Home, object, told, until, wait_for};
use serde_json::{Value, json};

/// One cluster at a time: each is eight programs.
static ONE: Mutex<()> = Mutex::new(());

/// What `examples/primes.py` counts with these parameters.
const FAN_OUT: (&[&str], i64) = (&["run", "examples/primes.py", "-p", "upto=600000", "-p", "slices=12"], 49_098);

/// Node runs whose end is in the history of their run.
const ENDED: &str = "SELECT count(*) FROM history WHERE event::json->>'event' = 'node_ended'";
/// Those of them that ended more than once.
const ENDED_TWICE: &str = "SELECT run, event::json->>'node', count(*) FROM history WHERE event::json->>'event' = 'node_ended' \
    GROUP BY 1, 2 HAVING count(*) > 1";

fn started(cluster: &Cluster, orchestrator: u8) -> String {
    let output = cluster.run(orchestrator, &[FAN_OUT.0, &["--detach", "-o", "json"]].concat());
    object(&output, 0)["run_id"].as_str().expect("a run has an id").to_owned()
}

/// The run as one of the orchestrators shows it, once `reached` holds.
fn wait(cluster: &Cluster, orchestrator: u8, run: &str, reached: impl Fn(&Value) -> bool) -> Value {
    until(|| cluster.run(orchestrator, &["runs", "get", run, "-o", "json"]), reached)
}

fn completed(run: &Value) -> usize {
    let nodes = run["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    nodes.iter().filter(|n| n["status"] == "completed").count()
}

/// Breaks something once a few elements are through, and sees the run to its end at an orchestrator that lives.
fn goes_on_after(breaks: impl FnMut(&Cluster), asked: u8) -> (Cluster, Value) {
    goes_on(Cluster::start("process"), breaks, asked)
}

fn goes_on(cluster: Cluster, mut breaks: impl FnMut(&Cluster), asked: u8) -> (Cluster, Value) {
    let run = started(&cluster, 1);
    let before = wait(&cluster, 1, &run, |run| completed(run) >= 3);
    breaks(&cluster);
    let after = wait(&cluster, asked, &run, |run| run["status"] == "completed");
    assert_eq!(after["result"], json!(FAN_OUT.1), "{after:#}");
    // What had completed is as it was: no node completes twice.
    for node in before["nodes"].as_array().into_iter().flatten().filter(|node| node["status"] == "completed") {
        let same = after["nodes"].as_array().into_iter().flatten().find(|other| other["node_id"] == node["node_id"]);
        let (was, is) = (node, same.expect("it is there"));
        assert_eq!((&is["attempts"], &is["phases"]), (&was["attempts"], &was["phases"]), "{}", was["node_id"]);
    }
    // Nor does one that completed after it.
    assert_eq!(cluster.sql(ENDED_TWICE), "", "{after:#}");
    assert_ne!(cluster.sql(ENDED), "0", "{after:#}");
    (cluster, after)
}

#[test]
fn the_examples_give_what_they_give_embedded() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = Cluster::start("process");
    let (home, airports) = (Home::new("process"), &["run", "examples/airports.py", "-o", "json"]);
    // It takes its time beside the others.
    let embedded = home.qflow(airports).spawn().expect("qflow starts");
    for (orchestrator, line, result) in [
        (1, &["run", "examples/hello.py", "-p", "name=Ada"][..], json!("HELLO, ADA!!!")),
        (2, &["run", "examples/hello.py", "-p", "name=Eve"], json!("HELLO, EVE!!!")),
        (2, FAN_OUT.0, json!(FAN_OUT.1)),
    ] {
        let run = object(&cluster.run(orchestrator, &[line, &["-o", "json"]].concat()), 0);
        assert_eq!((&run["status"], &run["result"]), (&json!("completed"), &result), "{run:#}");
        // The other one shows the same run.
        let id = run["run_id"].as_str().expect("a run has an id");
        let other = object(&cluster.run(3 - orchestrator, &["runs", "get", id, "-o", "json"]), 0);
        assert_eq!(other["result"], run["result"]);
    }
    // Two Pythons, and packages from an index: the same as embedded, to the last name.
    let run = object(&cluster.run(2, airports), 0);
    assert_eq!(run["result"]["airports"], 3364, "{run:#}");
    let embedded = embedded.wait_with_output().expect("qflow ends");
    assert_eq!(told(run), told(object(&embedded, 0)));
    // A branch whose sides meet, and a failure after retries with its traceback.
    for (orchestrator, line, code) in
        [(1, ["run", "examples/branch.py", "-o", "json"], 0), (2, ["run", "examples/flaky.py", "-o", "json"], 1)]
    {
        let run = object(&cluster.run(orchestrator, &line), code);
        assert_eq!(told(run), told(object(&home.run(&line), code)));
    }
    for admin in ["ra1", "ra2"] {
        let worked = cluster.metric(admin, "qflow_python_code_execution_duration_seconds_count");
        assert!(worked > 0.0, "the runner at {admin} has worked");
    }
}

#[test]
fn a_killed_orchestrators_runs_go_on_at_the_other() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (cluster, _) = goes_on_after(|cluster| cluster.kill("orchestrator-1"), 2);
    // Whoever comes back takes calls again.
    cluster.again();
    let run = object(&cluster.run(1, &["run", "examples/hello.py", "-p", "name=Ada", "-o", "json"]), 0);
    assert_eq!(run["result"], json!("HELLO, ADA!!!"));
}

#[test]
fn the_other_orchestrator_may_be_killed_as_well() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    goes_on_after(|cluster| cluster.kill("orchestrator-2"), 1);
}

/// Kills one runner after the other; each comes back.
fn killed_runners(runtime: &'static str) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for runner in ["runner-1", "runner-2"] {
        let breaks = |cluster: &Cluster| {
            cluster.kill(runner);
            cluster.again();
        };
        goes_on(Cluster::start(runtime), breaks, 1);
    }
}

#[test]
fn a_killed_runners_work_is_taken_up() {
    killed_runners("process");
}

#[test]
fn a_killed_runners_containers_are_taken_up() {
    killed_runners("docker");
}

#[test]
fn a_runner_that_stays_away_costs_no_run_and_its_lines_end_with_where() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // Fewer slots than talkers: each runner has at least one of these.
    let cluster = Cluster::with("process", vec![("QFLOW_SLOTS".to_owned(), "3".to_owned())]);
    let mut talker = String::new();
    let breaks = |cluster: &Cluster| {
        let (file, folder) = ("crates/e2e/cases/blobs/talk.py", format!("folder={}", cluster.path().display()));
        let begun = cluster.run(1, &["run", file, "-p", &folder, "--detach", "-o", "json"]);
        talker = object(&begun, 0)["run_id"].as_str().expect("a run has an id").to_owned();
        let written = || String::from_utf8_lossy(&cluster.run(2, &["runs", "logs", &talker]).stdout).into_owned();
        wait_for("all have written", || written().matches("counted").count() == 4);
        cluster.kill("runner-2");
        std::fs::write(cluster.path().join("go"), "").expect("the folder is ours");
    };
    let (cluster, _) = goes_on(cluster, breaks, 2);
    let ended = wait(&cluster, 1, &talker, |run| run["status"] == "completed");
    assert_eq!(ended["result"], json!(6), "{ended:#}");
    let nodes = ended["nodes"].as_array().expect("a run has nodes");
    let again: Vec<_> = nodes.iter().filter(|node| node["attempts"] == 2).map(|node| node["node_id"].clone()).collect();
    assert!(!again.is_empty(), "{ended:#}");
    for orchestrator in [1, 2] {
        let told = cluster.run(orchestrator, &["runs", "logs", &talker, "-o", "json"]);
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        for node in &again {
            let own = |attempt| lines.iter().filter(move |l| l["node_id"] == *node && l["attempt"] == attempt);
            let first: Vec<_> = own(1).map(|line| (&line["sequence"], &line["stream"])).collect();
            let gap = (&json!(2), &json!("gap"));
            assert_eq!(first, [(&json!(0), &json!("stdout")), (&json!(1), &json!("log")), gap], "{text}");
            assert_eq!(own(2).count(), 3, "{text}");
        }
        assert_eq!(lines.iter().filter(|line| line["stream"] == "gap").count(), again.len(), "{text}");
    }
}

#[test]
fn a_runner_that_starts_again_finds_the_other_orchestrator_though_the_one_it_was_given_is_dead() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = Cluster::start("process");
    let mut third = cluster.runner("runner-3", 1);
    let other = format!("http://127.0.0.1:{}", cluster.port("g2"));
    let kept = || std::fs::read_to_string(cluster.path().join("runner-3/runner/journal")).unwrap_or_default();
    wait_for("it keeps whom it was told of", || kept().contains(&other));
    third.kill();
    for part in ["orchestrator-1", "runner-1", "runner-2"] {
        cluster.kill(part);
    }
    let _third = cluster.runner("runner-3", 1);
    let run = object(&cluster.run(2, &["run", "examples/hello.py", "-p", "name=Ada", "-o", "json"]), 0);
    assert_eq!(run["result"], json!("HELLO, ADA!!!"), "{run:#}");
    assert!(cluster.log("runner-3").contains("orchestrators_remembered"), "it says whom it dials");
}

#[test]
fn postgres_may_be_restarted_in_the_middle() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    goes_on_after(Cluster::restart_postgres, 2);
}

#[test]
fn redis_may_be_flushed_in_the_middle() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    goes_on_after(Cluster::flush_redis, 2);
}

#[test]
fn redis_may_go_in_the_middle() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (cluster, _) = goes_on_after(|cluster| cluster.kill("redis"), 2);
    // It is told for as long as it is so.
    redis_is(&cluster, "unhealthy", "degraded", 0.0);
    cluster.again();
    redis_is(&cluster, "healthy", "healthy", 1.0);
}

/// Waits until Redis is told to be so and the whole, which goes on, with it.
fn redis_is(cluster: &Cluster, status: &str, whole: &str, up: f64) {
    let told = |path, status| matches!(cluster.health(path), (200, body) if body["status"] == status);
    wait_for(&format!("Redis is {status}"), || told("/redis", status) && told("", whole));
    let series = r#"qflow_dependency_up{dependency="redis",critical="false"}"#;
    assert!((cluster.metric("ha", series) - up).abs() < 0.5, "it is {status}");
}
