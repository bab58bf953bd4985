//! The front door: what HTTP offers is what gRPC offers; every route for every role; what is one tenant's is no other's.

use std::process::Command;

use qflow_e2e::{Dev, Home, object, root, said, wait_for};
use serde_json::{Value, json};

/// A server, and who calls it.
struct House {
    home: Home,
    _dev: Dev,
    url: String,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl House {
    fn new() -> Self {
        let home = Home::new("process");
        let dev = home.dev();
        let server = std::fs::read_to_string(home.path().join("data/server.json")).expect("it serves");
        let server: Value = serde_json::from_str(&server).expect("an object");
        let url = server["http"].as_str().expect("an address").trim_end_matches('/').to_owned();
        Self { home, _dev: dev, url }
    }

    fn own(&self) -> String {
        std::fs::read_to_string(self.home.path().join("data/token")).expect("it has a token").trim().to_owned()
    }

    /// A token of somebody in a tenant.
    fn token(&self, user: &str, role: &str, tenant: &str) -> String {
        let line = ["token", "create", user, "--role", role, "--tenant", tenant, "-o", "raw"];
        let output = self.home.run(&line);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).expect("a token is text").trim().to_owned()
    }

    /// Asks by HTTP/1.1; nobody shows a token that is empty.
    fn ask(&self, method: &str, path: &str, token: &str, more: &[&str]) -> Answer {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60", "--include", "-H", "Expect:", "-X", method]);
        if !token.is_empty() {
            curl.args(["-H", &format!("Authorization: Bearer {token}")]);
        }
        let output = curl.args(more).arg(format!("{}{path}", self.url)).output().expect("curl is here");
        let text = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
        let (head, text) = text.split_once("\n\n").unwrap_or_else(|| panic!("{}", said(&output)));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer { status: status.expect("a status"), head: head.to_owned(), text: text.to_owned() }
    }

    fn get(&self, path: &str, token: &str) -> Answer {
        self.ask("GET", path, token, &[])
    }

    fn send(&self, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        self.ask(method, path, token, &["-H", "Content-Type: application/json", "--data-raw", &body.to_string()])
    }

    /// A run of `examples/hello.py`, started by HTTP.
    fn hello(&self, token: &str, more: &Value) -> Answer {
        let text = std::fs::read_to_string(root().join("examples/hello.py")).expect("the example is there");
        let mut body =
            json!({"source": {"entry": "hello.py", "files": {"hello.py": text}}, "parameters": {"name": "Ada"}});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        self.send("POST", "/api/v1/runs", token, &body)
    }

    fn ended(&self, run: &str, token: &str) -> Value {
        wait_for("the run ends", || !self.get(&format!("/api/v1/runs/{run}"), token).json()["ended_at"].is_null());
        self.get(&format!("/api/v1/runs/{run}"), token).json()
    }
}

fn id(started: &Answer) -> String {
    started.json()["run_id"].as_str().unwrap_or_else(|| panic!("no run: {started:?}")).to_owned()
}

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
fn every_route_is_for_the_roles_that_its_document_names() {
    let house = House::new();
    let document = house.get("/api/v1/openapi.json", &house.own()).json();
    assert_eq!(document["openapi"], "3.1.0");
    let roles = ["viewer", "operator", "author", "admin"];
    let rank = |role: &str| roles.iter().position(|known| *known == role).expect("a role");
    let tokens = roles.map(|role| house.token(role, role, "acme"));
    let mut refused = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let least = operation["x-qflow-role"].as_str().expect("each says its role");
            let method = method.to_uppercase();
            let path = format!("/api/v1{path}").replace("{run_id}", "x").replace("{name}", "x").replace("{id}", "x");
            for (role, token) in roles.iter().zip(&tokens) {
                let answer = house.ask(&method, &path, token, &[]);
                assert_eq!(answer.status == 403, rank(role) < rank(least), "{role}: {method} {path}: {answer:?}");
                assert!(answer.status < 500, "{role}: {method} {path}: {answer:?}");
                refused += usize::from(answer.status == 403);
            }
            assert_eq!(house.ask(&method, &path, "", &[]).status, 401, "{method} {path}");
            assert_eq!(house.ask(&method, &path, "qflow_x_y", &[]).status, 401, "{method} {path}");
        }
    }
    let audit = house.get("/api/v1/audit?limit=500", &tokens[3]).json();
    let told = audit["entries"].as_array().unwrap().iter().filter(|entry| entry["refused"] != "").count();
    assert_eq!(told, refused, "{audit:#}");
}

#[test]
fn what_is_one_tenants_is_no_others() {
    let house = House::new();
    let (ours, theirs) = (house.token("ada", "admin", "acme"), house.token("eve", "admin", "rival"));
    let run = id(&house.hello(&ours, &json!({})));
    house.ended(&run, &ours);
    let lists = |token: &str| house.get("/api/v1/runs", token).json()["runs"].as_array().unwrap().len();
    assert_eq!((lists(&ours), lists(&theirs)), (1, 0));
    for (method, path) in [
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/logs"),
        ("GET", "/logs?follow=true"),
        ("GET", "/result"),
        ("POST", "/cancel"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/retry"),
    ] {
        let answer = house.ask(method, &format!("/api/v1/runs/{run}{path}"), &theirs, &[]);
        assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
        assert!(!answer.text.contains("acme"), "whose it is, is not told: {answer:?}");
    }
    let approve = house.send("POST", &format!("/api/v1/runs/{run}/approve"), &theirs, &json!({"approved": true}));
    assert_eq!(approve.status, 404, "{approve:?}");
    let seen = house.get("/api/v1/audit", &theirs).json();
    let refused: Vec<&Value> =
        seen["entries"].as_array().unwrap().iter().filter(|entry| entry["target"] == run.as_str()).collect();
    assert_eq!(refused.len(), 10, "{seen:#}");
    assert!(refused.iter().all(|entry| entry["refused"] != "" && entry["user"] == "eve"), "{seen:#}");
    // Nor are workflows, pools, tokens and the audit.
    assert_eq!(house.get("/api/v1/workflows", &theirs).json()["workflows"], json!([]));
    assert_eq!(house.send("PUT", "/api/v1/pools/p", &ours, &json!({"slots": 1})).status, 200);
    assert_eq!(house.get("/api/v1/pools", &theirs).json()["pools"], json!([]));
    let known = house.get("/api/v1/tokens", &theirs).json();
    assert_eq!(known["tokens"].as_array().unwrap().len(), 1, "{known:#}");
    let token = house.get("/api/v1/tokens", &ours).json()["tokens"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(house.ask("DELETE", &format!("/api/v1/tokens/{token}"), &theirs, &[]).status, 404);
    for reach in ["/api/v1/tokens", "/api/v1/audit"] {
        assert_eq!(house.get(&format!("{reach}?tenant=acme"), &theirs).status, 403, "{reach}");
    }
    assert_eq!(house.get("/api/v1/whoami", &ours).json()["tenant"], "acme");
    // What ada did is told to her house alone.
    let actions = |token: &str| -> Vec<String> {
        let audit = house.get("/api/v1/audit", token).json();
        audit["entries"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
    };
    assert!(actions(&ours).starts_with(&["pool.set".to_owned(), "run.start".to_owned()]), "{:?}", actions(&ours));
    assert!(!actions(&theirs).contains(&"run.start".to_owned()));
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

#[test]
fn every_example_of_the_page_runs_in_its_order() {
    let house = House::new();
    let page = std::fs::read_to_string(root().join("docs/API.md")).expect("the page is there");
    let mut script = "set -euo pipefail\n".to_owned();
    for block in page.split("```bash\n").skip(1) {
        let (block, _) = block.split_once("\n```").expect("a block ends");
        script += &format!("{}\n", block.replace(">openapi.json", ">/dev/null"));
    }
    assert!(script.matches("$API/").count() > 20, "{script}");
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(root()).env("QFLOW_SERVER", &house.url).env("QFLOW_TOKEN", house.own());
    let output = bash.output().expect("bash starts");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn schemathesis_finds_no_answer_that_the_document_does_not_have() {
    let made = Command::new(root().join("deploy/local/schemathesis")).output().expect("the script starts");
    let bin = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    assert!(made.status.success() && !bin.is_empty(), "{}", said(&made));
    let house = House::new();
    // Whether every request that the document admits means something is no question here: a name may name nothing.
    let output = Command::new(format!("{bin}/st"))
        .args(["run", &format!("{}/api/v1/openapi.json", house.url), "--max-examples", "10", "--request-timeout", "60"])
        .args(["--header", &format!("Authorization: Bearer {}", house.own()), "--phases", "coverage,fuzzing"])
        .args(["--exclude-checks", "positive_data_acceptance", "--no-color", "--seed", "1"])
        .current_dir(house.home.path())
        .output()
        .expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    let tested = told.lines().find(|line| line.contains("Tested:")).unwrap_or_default();
    assert!(tested.trim().ends_with("23"), "every operation: {tested}");
}
