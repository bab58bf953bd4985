//! The main job: the examples by `qflow run` and against `qflow dev`, on processes and in Docker.

use std::collections::BTreeSet;

use qflow_e2e::{Home, object, said, told};
use serde_json::{Value, json};

/// Each of these is a test on processes and one in Docker.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod process { $( #[test] fn $name() { super::$name("process"); } )* }
        mod docker { $( #[test] fn $name() { super::$name("docker"); } )* }
    };
}

on_both! {
    a_chain_prints_its_result_and_nothing_else
    a_run_as_json_has_the_published_keys
    a_fan_out_is_joined
    a_failure_shows_the_users_own_line_after_its_retries
    a_branch_takes_either_side_and_meets_again
    two_python_versions_share_frames_of_pandas
    a_running_server_gives_the_same_as_a_single_call
}

fn a_chain_prints_its_result_and_nothing_else(runtime: &'static str) {
    let home = Home::new(runtime);
    let output = home.run(&["run", "examples/hello.py", "-p", "name=Ada"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "\"HELLO, ADA!!!\"");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("greeting Ada"), "the user's print is shown: {told}");
    assert_eq!(
        told.contains("NOT isolated"),
        runtime == "process",
        "processes are said loudly to be unisolated: {told}"
    );
}

fn a_run_as_json_has_the_published_keys(runtime: &'static str) {
    let home = Home::new(runtime);
    let run = object(&home.run(&["run", "examples/hello.py", "-o", "json"]), 0);
    let keys: BTreeSet<&str> = run.as_object().expect("an object").keys().map(String::as_str).collect();
    let published = [
        "run_id",
        "workflow",
        "status",
        "result",
        "error",
        "trace_id",
        "created_at",
        "started_at",
        "ended_at",
        "nodes",
    ];
    assert_eq!(keys, published.into_iter().collect());
    assert_eq!(run["status"], "completed");
    assert_eq!(run["result"], "HELLO, WORLD!!!");
    let nodes: Vec<_> = run["nodes"].as_array().expect("a list").iter().map(|n| n["node_id"].clone()).collect();
    assert_eq!(nodes, [json!("greet"), json!("shout")]);
}

fn a_fan_out_is_joined(runtime: &'static str) {
    let home = Home::new(runtime);
    let output = home.run(&["run", "examples/primes.py", "-p", "upto=20000", "-p", "slices=7"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "2262");
}

fn a_failure_shows_the_users_own_line_after_its_retries(runtime: &'static str) {
    let home = Home::new(runtime);
    let run = object(&home.run(&["run", "examples/flaky.py", "-o", "json"]), 1);
    assert_eq!(run["status"], "failed");
    assert_eq!(run["error"]["node_id"], "ratio", "{run}");
    assert_eq!(run["error"]["failure"]["error_type"], "ZeroDivisionError");
    let traceback = run["error"]["failure"]["traceback"].as_str().expect("a failure of user code has one");
    assert!(traceback.contains("amounts[0] / amounts[-1]"), "{traceback}");
    let nodes = run["nodes"].as_array().expect("a list");
    assert_eq!(nodes[1]["attempts"], 3);
    assert_eq!(nodes[2]["status"], "upstream_failed");
}

fn a_branch_takes_either_side_and_meets_again(runtime: &'static str) {
    let home = Home::new(runtime);
    for (amount, result, skipped) in [
        ("900", "billed 1071.00 (reviewed at 1071.00)", "wave_through"),
        ("100", "billed 119.00 (not reviewed)", "review"),
    ] {
        let run = object(&home.run(&["run", "examples/branch.py", "-p", &format!("amount={amount}"), "-o", "json"]), 0);
        assert_eq!(run["result"], result);
        let nodes = run["nodes"].as_array().expect("a list");
        let ids: Vec<_> = nodes.iter().filter(|n| n["status"] == "skipped").map(|n| n["node_id"].clone()).collect();
        assert_eq!(ids, [json!(skipped)]);
    }
}

fn two_python_versions_share_frames_of_pandas(runtime: &'static str) {
    let home = Home::new(runtime);
    let run = object(&home.run(&["run", "examples/airports.py", "-o", "json"]), 0);
    assert_eq!(run["result"]["airports"], 3364, "{run}");
    assert_eq!(run["result"]["states"], 56);
    assert_eq!(run["result"]["northernmost"], "Wiley Post Will Rogers Memorial");
    let nodes = run["nodes"].as_array().expect("a list");
    assert!(nodes.len() >= 5 && nodes.iter().all(|node| node["status"] == "completed"), "{run}");
}

fn a_running_server_gives_the_same_as_a_single_call(runtime: &'static str) {
    let (alone, served) = (Home::new(runtime), Home::new(runtime));
    let _dev = served.dev();
    for (args, code) in [
        (vec!["examples/airports.py"], 0),
        (vec!["examples/primes.py", "-p", "upto=5000", "-p", "slices=3"], 0),
        (vec!["examples/flaky.py"], 1),
        (vec!["examples/branch.py", "-p", "amount=900"], 0),
    ] {
        let mut line = vec!["run", "-o", "json"];
        line.extend(args);
        let (one, other) = (object(&alone.run(&line), code), object(&served.run(&line), code));
        assert_eq!(told(one), told(other), "{line:?}");
    }
    let listed = served.run(&["runs", "list", "-o", "json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&listed)));
    assert_eq!(listed.as_array().map(Vec::len), Some(4), "the server ran them: {listed}");
}
