//! `kill -9` at any instant loses no acknowledged run and completes no node twice.

use std::{collections::BTreeMap, time::Duration};

use qflow_e2e::{Home, Postgres, said};
use serde_json::Value;

fn completed(run: &Value) -> usize {
    let nodes = run["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    nodes.iter().filter(|n| n["status"] == "completed").count()
}

/// The run is running, and so are some of its nodes.
fn is_under_way(run: &Value) {
    assert_eq!(run["status"], "running", "{run}");
    let nodes = run["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(nodes.iter().any(|node| node["status"] == "running"), "{run}");
}

/// A file with its parameters, and what it gives.
struct Work(&'static [&'static str], i64);

const FAN_OUT: Work = Work(&["examples/primes.py", "-p", "upto=600000", "-p", "slices=12"], 49_098);
const CALLS: Work = Work(&["crates/e2e/cases/nested.py", "-p", "count=12"], 518);

fn started(home: &Home, work: &Work) -> String {
    let output = home.run(&[&["run"], work.0, &["--detach", "-o", "json"]].concat());
    let run: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&output)));
    run["run_id"].as_str().expect("a run has an id").to_owned()
}

/// Attempts and phases of every node that completed, by its id.
fn ends(run: &Value) -> BTreeMap<String, (Value, Value)> {
    let nodes = run["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    let ended = nodes.iter().filter(|n| n["status"] == "completed");
    ended.map(|n| (n["node_id"].to_string(), (n["attempts"].clone(), n["phases"].clone()))).collect()
}

fn a_killed_server_goes_on_where_it_stopped(runtime: &'static str) {
    goes_on(&Home::new(runtime), &FAN_OUT);
}

fn a_killed_server_goes_on_within_the_calls_of_a_mapped_workflow(runtime: &'static str) {
    goes_on(&Home::new(runtime), &CALLS);
}

fn goes_on(home: &Home, work: &Work) {
    let mut dev = home.dev();
    let run = started(home, work);
    let before = home.wait(&run, |run| completed(run) >= 3);
    is_under_way(&before);
    dev.kill();
    let _dev = home.dev();
    let after = home.wait(&run, |run| run["status"] == "completed");
    assert_eq!(after["result"], work.1, "{after}");
    let after = ends(&after);
    for (node, was) in ends(&before) {
        assert_eq!(after.get(&node), Some(&was), "{node} completed before the kill and is as it was");
    }
    // What was under way in containers was taken over with them: nothing was begun a second time, but what never came into its
    // container at all. A map's own row has no attempt.
    let log = std::fs::read_to_string(home.path().join("dev.log")).unwrap_or_default();
    let never_came = |node: &str| {
        let named = format!("\"node_id\":{node}");
        log.lines().any(|line| line.contains(&named) && line.contains("before the attempt was in its container"))
    };
    let again = after.iter().filter(|(_, (attempts, _))| attempts.as_u64() > Some(1));
    let begun_again: Vec<_> = again.filter(|(node, _)| !never_came(node)).collect();
    assert!(begun_again.is_empty(), "begun again: {begun_again:?}\n{log}");
}

/// Lives of a server in milliseconds, after each of which it is killed: within a start, an import, a commit, a fan-out.
const LIVES_MS: [u64; 6] = [350, 40, 800, 120, 10, 500];

fn a_server_that_is_killed_again_and_again_loses_nothing(runtime: &'static str) {
    loses_nothing(runtime, &FAN_OUT);
}

fn a_server_that_is_killed_again_and_again_loses_no_call_of_a_mapped_workflow(runtime: &'static str) {
    loses_nothing(runtime, &CALLS);
}

fn loses_nothing(runtime: &'static str, work: &Work) {
    let home = Home::new(runtime);
    let mut dev = home.dev();
    let run = started(&home, work);
    for life_ms in LIVES_MS {
        #[expect(clippy::disallowed_methods, reason = "the moment of a kill is chance")]
        std::thread::sleep(Duration::from_millis(life_ms));
        dev.kill();
        dev = home.dev();
    }
    let after = home.wait(&run, |run| run["status"] != "running" && run["status"] != "pending");
    let log = || std::fs::read_to_string(home.path().join("dev.log")).unwrap_or_default();
    assert_eq!((&after["status"], &after["result"]), (&"completed".into(), &work.1.into()), "{after}\n{}", log());
    let failures: Vec<_> = log().lines().filter(|line| line.contains("\"python_error\"")).map(str::to_owned).collect();
    assert!(failures.is_empty(), "user code saw nothing of it: {failures:?}");
}

macro_rules! on_both {
    ($($name:ident)*) => {
        mod process { $( #[test] fn $name() { super::$name("process"); } )* }
        mod docker { $( #[test] fn $name() { super::$name("docker"); } )* }
    };
}

on_both! {
    a_killed_server_goes_on_where_it_stopped
    a_killed_server_goes_on_within_the_calls_of_a_mapped_workflow
    a_server_that_is_killed_again_and_again_loses_nothing
    a_server_that_is_killed_again_and_again_loses_no_call_of_a_mapped_workflow
}

#[test]
fn a_killed_server_goes_on_from_postgres() {
    let Some(postgres) = Postgres::start() else { return };
    goes_on(&Home::new("process").with("QFLOW_DATABASE_URL", postgres.url()), &FAN_OUT);
}

#[test]
fn a_postgres_that_dies_in_the_middle_costs_no_work() {
    let Some(postgres) = Postgres::start() else { return };
    let home = Home::new("process").with("QFLOW_DATABASE_URL", postgres.url());
    let _dev = home.dev();
    let run = started(&home, &FAN_OUT);
    for reached in [2, 6] {
        is_under_way(&home.wait(&run, |run| completed(run) >= reached));
        postgres.restart();
    }
    let after = home.wait(&run, |run| run["status"] == "completed");
    assert_eq!(after["result"], FAN_OUT.1, "{after}");
    let again: Vec<_> = ends(&after).into_iter().filter(|(_, (attempts, _))| attempts.as_u64() > Some(1)).collect();
    assert!(again.is_empty(), "begun again: {again:?}");
}
