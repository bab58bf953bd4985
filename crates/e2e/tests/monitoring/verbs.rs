//! `qflow status` and `qflow health` against a server and without one, and the routes for browsers.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use qflow_e2e::{Home, Served, object, said, until};
use serde_json::Value;

/// Where the server's health-aggregator listens for browsers: beside its gRPC address in what `qflow dev` told.
fn http(served: &Served) -> String {
    let log = std::fs::read_to_string(served.home.path().join("dev.log")).expect("it tells its addresses");
    let mut told = log.lines().filter_map(|line| line.trim().strip_prefix("health-aggregator")).map(str::trim);
    told.find(|address| address.starts_with("http://")).expect("it has one").to_owned()
}

#[test]
fn status_and_health_tell_of_a_server_that_runs() {
    let served = Served::new(Home::new("process"));
    let line = ["run", "crates/e2e/cases/watched.py", "-p", "name=Ada", "--detach", "-o", "json"];
    let run = object(&served.home.run(&line), 0)["run_id"].as_str().expect("a run has an id").to_owned();
    // One that only starts has neither an id nor been measured.
    let is_there = |status: &Value| {
        let containers = status["containers"].as_array().map_or(&[][..], Vec::as_slice);
        status["workflows"].as_array().is_some_and(|all| all.iter().any(|one| one["nodes_completed"] == 1))
            && !containers.is_empty()
            && containers.iter().all(|one| one["cpu_usage"].is_number())
    };
    let status = until(|| served.home.run(&["status", "-o", "json"]), is_there);
    let workflow = &status["workflows"][0];
    assert_eq!((&workflow["run_id"], &workflow["workflow_id"]), (&run.as_str().into(), &"main".into()), "{status:#}");
    assert_eq!((&status["active_workflows"], &status["total_users"]), (&1.into(), &1.into()), "{status:#}");
    assert!(workflow["user_id"].is_string() && workflow["started_at"].is_string(), "{status:#}");
    let (done, all) = (workflow["nodes_completed"].as_f64().unwrap(), workflow["total_nodes"].as_f64().unwrap());
    assert_eq!(workflow["progress_percent"], (done / all * 10_000.0).round() / 100.0, "{status:#}");
    let container = &status["containers"][0];
    assert!(container["python_version"].as_str().is_some_and(|version| version.starts_with("3.")), "{status:#}");
    assert!(container["started_at"].is_string(), "{status:#}");
    assert!(container["cpu_usage"].is_number() && container["memory_usage"].is_number(), "{status:#}");

    // The same as a table without a colour, as ids, and as browsers have it.
    let table = said(&served.home.run(&["status"]));
    assert!(table.contains("1 runs of 1 users") && table.contains(&run) && !table.contains('\u{1b}'), "{table}");
    assert_eq!(String::from_utf8_lossy(&served.home.run(&["status", "-o", "raw"]).stdout).trim(), run);
    let curl = |path: &str| Command::new("curl").args(["-fsS", &format!("{}{path}", http(&served))]).output().unwrap();
    let shown = object(&curl("/monitoring/status"), 0);
    for key in ["active_workflows", "active_containers", "total_users", "system_load"] {
        assert_eq!(shown[key], status[key], "{shown:#}");
    }
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let forms = |status: &Value| (keys(status), keys(&status["workflows"][0]), keys(&status["containers"][0]));
    assert_eq!(forms(&shown), forms(&status), "one form, whoever asks");

    // Once the run has ended it leaves, and whoever has the stream open sees that.
    let mut stream = Command::new("curl")
        .args(["-NsS", &format!("{}/monitoring/stream", http(&served))])
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl starts");
    let mut lines = BufReader::new(stream.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let mut next = || -> Value {
        let data = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).expect("an event comes");
        serde_json::from_str(&data).expect("an event is JSON")
    };
    assert_eq!(next()["active_workflows"], 1);
    let answered = served.home.run(&["approve", &run]);
    assert!(answered.status.success(), "{}", said(&answered));
    while next()["active_workflows"] != 0 {}
    stream.kill().and_then(|()| stream.wait()).expect("it ran");

    let health = object(&served.home.run(&["health", "-o", "json"]), 0);
    assert!(health["status"] == "healthy" || health["status"] == "degraded", "{health:#}");
    assert_eq!(health["checks"]["database"]["status"], "healthy", "{health:#}");
    let table = said(&served.home.run(&["health"]));
    assert!(table.contains("PART") && table.contains("database") && !table.contains('\u{1b}'), "{table}");
}

#[test]
fn without_a_server_one_is_started_for_the_call() {
    let home = Home::new("process");
    let status = object(&home.run(&["status", "-o", "json"]), 0);
    assert_eq!((&status["active_workflows"], &status["orchestrators_heard"]), (&0.into(), &1.into()), "{status:#}");
    assert_eq!(status["workflows"], Value::Array(Vec::new()));
    let health = object(&home.run(&["health", "-o", "json"]), 0);
    for part in ["orchestrator", "docker"] {
        assert_eq!(health["checks"][part]["status"], "healthy", "its runner was waited for: {health:#}");
    }
}

#[test]
fn an_address_where_nobody_listens_is_unreachable_and_top_needs_a_terminal() {
    let home = Home::new("process");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for verb in ["status", "health"] {
        let output = home.run(&[verb, "--health-server", &format!("http://127.0.0.1:{port}")]);
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        assert!(said(&output).contains("--health-server"), "{}", said(&output));
    }
    let output = home.run(&["top"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("needs a terminal; `qflow status`"), "{}", said(&output));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "bounds how long a test waits for a fact")]
fn a_port_of_another_service_is_no_verdict_and_whoever_hangs_is_not_waited_for() {
    let served = Served::new(Home::new("process"));
    let told = std::fs::read_to_string(served.home.path().join("data/server.json")).expect("it serves");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let (page, orchestrator) = (http(&served), told["http"].as_str().expect("an address"));
    // Its kernel takes connections, and nobody is there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let hung = format!("http://{}", listener.local_addr().expect("it is bound"));
    for verb in ["status", "health"] {
        for other in [page.as_str(), orchestrator] {
            let output = served.home.run(&[verb, "--health-server", other]);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(4), "{verb} {other}: {said}");
            let is_told = [other, "this is not the health-aggregator's gRPC port", "QFLOW_HEALTH_SERVER"];
            assert!(is_told.iter().all(|part| said.contains(part)), "{verb} {other}: {said}");
        }
        let begun = std::time::Instant::now();
        let output = served.home.run(&[verb, "--health-server", &hung]);
        let (took, said) = (begun.elapsed().as_secs(), said(&output));
        assert_eq!(output.status.code(), Some(4), "{verb}: {said}");
        assert!((9..20).contains(&took), "{verb}: {took} s, {said}");
        assert!(said.contains(&hung) && said.contains("QFLOW_HEALTH_SERVER"), "{verb}: {said}");
    }
}
