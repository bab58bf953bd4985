//! The front door: what HTTP offers is what gRPC offers; every route for every role; what is one tenant's is no other's.

mod document;
mod house;
mod may;

use std::process::Command;

use qflow_e2e::{object, root, said, wait_for};
use serde_json::{Value, json};

use house::{House, id};

#[test]
fn a_run_by_http_is_the_run_that_the_command_shows() {
    let house = House::new();
    let own = house.own();
    let started = house.hello(&own, &json!({}));
    assert_eq!(started.status, 201, "{started:?}");
    let run = id(&started);
    assert!(started.head.to_lowercase().contains(&format!("location: /api/v1/runs/{run}")), "{started:?}");
    let shown = house.ended(&run, &own);
    let by_command = object(&house.home.run(&["runs", "get", &run, "-o", "json"]), 0);
    for (name, value) in by_command.as_object().expect("an object").iter().filter(|(name, _)| *name != "nodes") {
        assert_eq!(&shown[name], value, "{name}");
    }
    let (nodes, others) = (shown["nodes"].as_array().unwrap(), by_command["nodes"].as_array().unwrap());
    for (node, other) in nodes.iter().zip(others) {
        other.as_object().unwrap().iter().for_each(|(name, value)| assert_eq!(&node[name], value, "{name}"));
    }
    assert_eq!((shown["result"].clone(), nodes.len()), (json!("HELLO, ADA!!!"), others.len()));
    // What was asked once is not sent again.
    let path = format!("/api/v1/runs/{run}");
    let tag = house.get(&path, &own).head.lines().find_map(|line| line.strip_prefix("etag: ").map(str::to_owned));
    let again = house.ask("GET", &path, &own, &["-H", &format!("If-None-Match: {}", tag.expect("an ETag"))]);
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    // Its result, its lines and its changes.
    assert_eq!(house.get(&format!("{path}/result"), &own).json(), "HELLO, ADA!!!");
    assert!(house.get(&format!("{path}/logs"), &own).json()["lines"].is_array());
    let events = house.get(&format!("{path}/events"), &own);
    assert!(events.head.contains("text/event-stream") && events.text.contains("event: end\n"), "{events:?}");
    let lines = house.get(&format!("{path}/logs?follow=true"), &own);
    assert!(lines.head.contains("text/event-stream"), "{lines:?}");
}

#[test]
fn a_key_starts_one_run_and_pages_follow_one_another() {
    let house = House::new();
    let own = house.own();
    let text = std::fs::read_to_string(root().join("examples/hello.py")).unwrap();
    let source = json!({"source": {"entry": "hello.py", "files": {"hello.py": text}}});
    let digest = house.send("POST", "/api/v1/workflows", &own, &source).json()["digest"].as_str().unwrap().to_owned();
    let body = json!({"digest": digest, "texts": {"name": "007"}}).to_string();
    let start = |key: &str| {
        let (key, kind) = (format!("Idempotency-Key: {key}"), "Content-Type: application/json");
        house.ask("POST", "/api/v1/runs", &own, &["-H", &key, "-H", kind, "--data-raw", &body])
    };
    let (first, again, other) = (start("one"), start("one"), start("two"));
    assert_eq!((first.status, again.status, other.status), (201, 200, 201), "{first:?} {again:?} {other:?}");
    assert_eq!(id(&first), id(&again));
    assert_eq!(house.ended(&id(&first), &own)["result"], "HELLO, 007!!!", "a text is no number");
    let page = house.get("/api/v1/runs?limit=1", &own).json();
    assert_eq!(page["runs"][0]["run_id"], id(&other));
    let next = page["next"].as_str().expect("there are more");
    let page = house.get(&format!("/api/v1/runs?limit=1&cursor={next}"), &own).json();
    assert_eq!(page["runs"][0]["run_id"], id(&first));
}

#[test]
fn what_is_wrong_is_a_problem_with_its_place() {
    let house = House::new();
    let own = house.own();
    let wrong = json!({"source": {"entry": "w.py", "files": {"w.py":
        "from qflow import node, workflow\n\n\n@node\ndef f() -> int:\n    return 1\n\n\n@workflow\ndef w() -> str:\n    return f()\n"}}});
    let refused = house.send("POST", "/api/v1/runs", &own, &wrong);
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.head.contains("application/problem+json"), "{refused:?}");
    let problem = &refused.json()["problems"][0];
    assert_eq!((&problem["place"]["file"], &problem["place"]["line"]), (&json!("w.py"), &json!(11)), "{problem}");
    assert_eq!(house.send("POST", "/api/v1/workflows", &own, &wrong).status, 422);
    let unknown = "01890000-0000-7000-8000-000000000000";
    for (method, path, body, status) in [
        ("GET", format!("/api/v1/runs/{unknown}"), "", 404),
        ("GET", "/api/v1/runs/x".into(), "", 404),
        ("GET", "/api/v1/nothing".into(), "", 404),
        ("GET", "/api/v1/runs?limit=x".into(), "", 400),
        ("GET", "/api/v1/runs?colour=red".into(), "", 400),
        ("GET", "/api/v1/runs?status=odd".into(), "", 400),
        ("GET", "/api/v1/runs?cursor=odd".into(), "", 400),
        ("PATCH", "/api/v1/runs".into(), "", 405),
        ("POST", "/api/v1/runs".into(), "{", 400),
        ("POST", "/api/v1/runs".into(), "{}", 400),
        ("POST", "/api/v1/runs".into(), r#"{"digest": "x"}"#, 400),
        ("POST", "/api/v1/runs".into(), r#"{"digest": "x", "colour": "red"}"#, 400),
        ("POST", format!("/api/v1/runs/{unknown}/cancel"), "", 404),
        ("POST", "/api/v1/tokens".into(), r#"{"user": "a b", "role": "viewer"}"#, 400),
        ("POST", "/api/v1/tokens".into(), r#"{"user": "a", "role": "root"}"#, 400),
        ("POST", "/api/v1/tokens".into(), r#"{"user": "a", "role": "viewer", "tenant": "../x"}"#, 400),
        ("DELETE", "/api/v1/tokens/x".into(), "", 404),
        ("PUT", "/api/v1/pools/a%20b".into(), r#"{"slots": 1}"#, 400),
        ("GET", "/api/v1/pools/none".into(), "", 404),
    ] {
        let sent = ["-H", "Content-Type: application/json", "--data-raw", body];
        let answer = house.ask(method, &path, &own, if body.is_empty() { &[] } else { &sent });
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{method} {path}: {problem}");
        assert!(problem["code"].is_string() && problem["detail"].is_string(), "{method} {path}: {problem}");
    }
    let form = house.ask("POST", "/api/v1/runs", &own, &["--data-raw", "a=b"]);
    assert_eq!(form.status, 415, "a form, as any page can send it: {form:?}");
    let large = house.home.path().join("large");
    std::fs::write(&large, vec![b' '; 5 << 20]).unwrap();
    let at = format!("@{}", large.display());
    let large =
        house.ask("POST", "/api/v1/runs", &own, &["-H", "Content-Type: application/json", "--data-binary", &at]);
    assert_eq!(large.status, 413, "{large:?}");
}

#[test]
fn the_command_makes_lists_and_revokes_tokens() {
    let house = House::new();
    let token = house.token("ada", "viewer", "");
    let as_ada = |line: &[&str]| {
        let mut command = house.home.qflow(line);
        command.env("QFLOW_SERVER", &house.url).env("QFLOW_TOKEN", &token).output().expect("qflow starts")
    };
    let who = object(&as_ada(&["whoami", "-o", "json"]), 0);
    assert_eq!((&who["user"], &who["role"], &who["tenant"]), (&json!("ada"), &json!("viewer"), &json!("default")));
    assert_eq!(as_ada(&["runs", "list"]).status.code(), Some(0));
    let refused = as_ada(&["run", "examples/hello.py", "-p", "name=Ada"]);
    assert_ne!(refused.status.code(), Some(0));
    assert!(said(&refused).contains("`ada` is viewer here, and this takes author"), "{}", said(&refused));
    let listed = object_list(&house.home.run(&["token", "list", "-o", "json"]));
    assert_eq!(listed[0]["user"], "ada");
    assert!(!listed[0].to_string().contains(&token), "its text is nowhere");
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(house.home.run(&["token", "revoke", id]).status.code(), Some(0));
    wait_for("it lets nobody in", || as_ada(&["runs", "list"]).status.code() != Some(0));
    let unknown = house.home.run(&["token", "revoke", "none"]);
    assert!(said(&unknown).contains("no token `none`"), "{}", said(&unknown));
    let audit = object_list(&house.home.run(&["audit", "-o", "json"]));
    let actions: Vec<&str> = audit.iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(actions[0], "token.revoke", "{actions:?}");
    assert_eq!(actions.last(), Some(&"token.create"));
}

fn object_list(output: &std::process::Output) -> Vec<Value> {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

#[test]
fn content_is_uploaded_and_comes_back_by_http() {
    let house = House::new();
    let own = house.own();
    let content = house.home.path().join("content.bin");
    std::fs::write(&content, vec![7_u8; 3 << 20]).unwrap();
    let at = format!("@{}", content.display());
    let upload = house.ask(
        "POST",
        "/api/v1/uploads",
        &own,
        &["-H", "Content-Type: application/octet-stream", "--data-binary", &at],
    );
    assert_eq!((upload.status, &upload.json()["size"]), (201, &json!(3 << 20)), "{upload:?}");
    let source = "from qflow import File, node, workflow\n\n\n@node\ndef copy(file: File) -> File:\n    to = File(\"copy.bin\")\n    to.write_bytes(file.read_bytes())\n    return to\n\n\n@workflow\ndef w(file: File) -> File:\n    return copy(file)\n";
    let body = json!({
        "source": {"entry": "w.py", "files": {"w.py": source}},
        "uploads": {"file": {"digest": upload.json()["digest"], "size": 3 << 20, "name": "content.bin"}},
    });
    let run = id(&house.send("POST", "/api/v1/runs", &own, &body));
    let ended = house.ended(&run, &own);
    assert_eq!(ended["status"], "completed", "{ended:#}");
    let back = house.home.path().join("back.bin");
    let fetched = Command::new("curl")
        .args(["--silent", "--fail", "-H", &format!("Authorization: Bearer {own}"), "-o", &back.display().to_string()])
        .arg(format!("{}/api/v1/runs/{run}/result", house.url))
        .status();
    assert!(fetched.is_ok_and(|status| status.success()));
    assert_eq!(std::fs::read(back).unwrap(), vec![7_u8; 3 << 20]);
}
