//! The main job: the examples by `qflow run` and against `qflow dev`, on processes.

use std::{collections::BTreeSet, process::Output};

use qflow_e2e::{Home, said};
use serde_json::{Value, json};

fn object(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("stdout is one object: {e}\n{}", said(output)))
}

#[test]
fn a_chain_prints_its_result_and_nothing_else() {
    let home = Home::new("process");
    let output = home.run(&["run", "examples/hello.py", "-p", "name=Ada"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "\"HELLO, ADA!!!\"");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("greeting Ada"), "the user's print is shown: {told}");
}

#[test]
fn a_run_as_json_has_the_published_keys() {
    let home = Home::new("process");
    let output = home.run(&["run", "examples/hello.py", "-o", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let run = object(&output);
    let keys: BTreeSet<&str> = run.as_object().expect("an object").keys().map(String::as_str).collect();
    let published = [
        "run_id", "workflow", "status", "result", "error", "trace_id", "created_at", "started_at", "ended_at", "nodes",
    ];
    assert_eq!(keys, published.into_iter().collect());
    assert_eq!(run["status"], "completed");
    assert_eq!(run["result"], "HELLO, WORLD!!!");
    let nodes: Vec<_> = run["nodes"].as_array().expect("a list").iter().map(|n| n["node_id"].clone()).collect();
    assert_eq!(nodes, [json!("greet"), json!("shout")]);
}

#[test]
fn a_fan_out_is_joined() {
    let home = Home::new("process");
    let output = home.run(&["run", "examples/primes.py", "-p", "upto=20000", "-p", "slices=7"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "2262");
}

#[test]
fn a_failure_shows_the_users_own_line_after_its_retries() {
    let home = Home::new("process");
    let output = home.run(&["run", "examples/flaky.py", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let run = object(&output);
    assert_eq!(run["status"], "failed");
    assert_eq!(run["error"]["node_id"], "ratio", "{run}");
    assert_eq!(run["error"]["failure"]["error_type"], "ZeroDivisionError");
    assert!(run["error"]["failure"]["traceback"].as_str().is_some_and(|t| t.contains("amounts[0] / amounts[-1]")), "{run}");
    let nodes = run["nodes"].as_array().expect("a list");
    assert_eq!(nodes[1]["attempts"], 3);
    assert_eq!(nodes[2]["status"], "upstream_failed");
}

#[test]
fn a_branch_takes_either_side_and_meets_again() {
    let home = Home::new("process");
    for (amount, result, skipped) in [
        ("900", "\"billed 1071.00 (reviewed at 1071.00)\"", "wave_through"),
        ("100", "\"billed 119.00 (not reviewed)\"", "review"),
    ] {
        let output = home.run(&["run", "examples/branch.py", "-p", &format!("amount={amount}"), "-o", "json"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let run = object(&output);
        assert_eq!(run["result"].to_string(), result);
        let nodes = run["nodes"].as_array().expect("a list");
        let ids: Vec<_> = nodes.iter().filter(|n| n["status"] == "skipped").map(|n| n["node_id"].clone()).collect();
        assert_eq!(ids, [json!(skipped)]);
    }
}

#[test]
fn bad_input_has_its_exit_code_and_says_what_to_do() {
    let home = Home::new("process");
    let outside = home.path().join("outside.py");
    std::fs::write(
        &outside,
        "from qflow import node, workflow\n\n@node\ndef f(a: int) -> int:\n    return a\n\n@workflow\ndef w(a: int) -> int:\n    for i in [1]:\n        f(i)\n    return f(a) + 1\n",
    )
    .expect("the home takes files");
    let file = outside.to_str().expect("a UTF-8 path");
    for (args, code, words) in [
        (vec!["run", "examples/absent.py"], 2, vec!["absent.py"]),
        (vec!["run", "examples/hello.py", "-p", "nome=Ada"], 2, vec!["nome", "name"]),
        (vec!["run", "examples/primes.py", "-p", "upto=many"], 3, vec!["upto", "int"]),
        (vec!["run", file], 3, vec!["outside.py:9", "outside.py:11", "map", "put it in a node"]),
    ] {
        let output = home.run(&args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        for word in words {
            assert!(told.contains(word), "{args:?} says {word:?}: {told}");
        }
    }
}
