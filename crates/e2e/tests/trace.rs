//! One trace from the caller to the user's own span, seen at an OTLP receiver.

#[path = "support/spans.rs"]
mod spans;

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::{common::v1::any_value::Value, trace::v1::Span};
use qflow_e2e::{Cluster, Home, object, said, wait_for, wait_seeing};
use spans::{Receiver, hex};

/// The caller's trace, and its span there.
const CALLER: [&str; 2] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];

/// A fact of a span that is a text.
fn fact(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

/// The service that a span is of.
fn component(span: &Span) -> String {
    fact(span, "qflow.component").expect("a span names its service")
}

/// What a client looks on by, and the commits that are told: how many there are of them, and when, is a matter of time.
const BY_TIME: [&str; 5] = [
    "qflow.v1.OrchestratorService/Overview",
    "qflow.v1.OrchestratorService/WatchRun",
    "qflow.v1.OrchestratorService/StreamLogs",
    "qflow.v1.OrchestratorService/GetRun",
    "BATCH node_run",
];

/// The spans as a tree of names, siblings in the order of their start.
fn tree(spans: &[Span]) -> String {
    fn write(of: &[u8], depth: usize, children: &BTreeMap<&[u8], Vec<&Span>>, out: &mut String) {
        for span in children.get(of).map_or(&[][..], Vec::as_slice) {
            out.push_str(&format!("{}{} ({})\n", "  ".repeat(depth), span.name, component(span)));
            write(&span.span_id, depth + 1, children, out);
        }
    }
    let mut children: BTreeMap<&[u8], Vec<&Span>> = BTreeMap::new();
    for span in spans.iter().filter(|span| !BY_TIME.contains(&span.name.as_str())) {
        children.entry(&span.parent_span_id).or_default().push(span);
    }
    children.values_mut().for_each(|c| c.sort_by_key(|s| (s.start_time_unix_nano, s.name.clone())));
    let mut out = String::new();
    for caller in children.keys().copied().filter(|parent| hex(parent) == CALLER[1]) {
        write(caller, 0, &children, &mut out);
    }
    out
}

/// The spans that calls of `qflow` send, each call under the caller's span; all must complete.
fn spans_of(runtime: &'static str, calls: &[&[&str]]) -> Vec<Span> {
    spans_of_what_ends(runtime, calls, 0)
}

/// The same of calls that end with a code.
fn spans_of_what_ends(runtime: &'static str, calls: &[&[&str]], code: i32) -> Vec<Span> {
    let (receiver, home) = (Receiver::start(), Home::new(runtime));
    for line in calls {
        let output = home
            .qflow(line)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.url)
            .env("TRACEPARENT", format!("00-{}-{}-01", CALLER[0], CALLER[1]))
            .env("TRACESTATE", "qflow=keep")
            .output()
            .expect("qflow starts");
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    }
    receiver.of(CALLER[0])
}

/// Whether a span of that name has come of a trace.
fn has(receiver: &Receiver, trace: &str, name: &str) -> bool {
    receiver.of(trace).iter().any(|span| span.name == name)
}

/// The one span of that name.
fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let named: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    let [one] = named[..] else { panic!("{} spans are named {name}", named.len()) };
    one
}

fn a_run_is_one_trace(runtime: &'static str) {
    let ours = spans_of(runtime, &[&["run", "examples/spans.py"]]);
    insta::assert_snapshot!("a_run_is_one_trace_from_the_callers_span_to_the_users", tree(&ours));
    let (root, commit) = (one(&ours, "workflow_execution"), one(&ours, "BATCH node_run"));
    assert_eq!(commit.parent_span_id, root.span_id);
    let facts: Vec<&str> = commit.attributes.iter().map(|fact| fact.key.as_str()).collect();
    assert_eq!(
        facts,
        ["db.system.name", "db.namespace", "db.operation.name", "db.collection.name", "qflow.component"],
        "no parameter is told"
    );
    for (name, attributes, events) in SEED {
        let span = ours.iter().find(|span| span.name == *name).unwrap_or_else(|| panic!("{name} is a span"));
        let has = |key: &str| span.attributes.iter().any(|attribute| attribute.key == key);
        assert!(attributes.iter().all(|key| has(key)), "{name}: {:?}", span.attributes);
        let told: Vec<&str> = span.events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(told, *events, "{name}");
        // The collector keeps a trace of which one span says so; what a runner adds is told of its ids alone.
        if name.ends_with("_execution") {
            assert_eq!(span.trace_state, "qflow=keep", "{name}");
        }
    }
    say_by_convention(&ours, &fact(root, "workflow_id").expect("it has a workflow"), "success");
    let (attempt, container) = (one(&ours, "node_execution"), one(&ours, "container_management"));
    assert!(attempt.start_time_unix_nano <= container.start_time_unix_nano, "it is got for the attempt");
    let gone = container.events.last().expect("it stopped").time_unix_nano;
    assert_eq!(gone, container.end_time_unix_nano);
    assert!(gone >= attempt.end_time_unix_nano, "it is there until it is gone, not until it is had");
}

#[test]
fn a_run_is_one_trace_from_the_callers_span_to_the_users() {
    a_run_is_one_trace("process");
}

#[test]
fn in_docker_a_run_is_one_trace_too() {
    a_run_is_one_trace("docker");
}

/// The seed's spans with their attributes, and the events of them that a run that completes has.
const SEED: &[(&str, &[&str], &[&str])] = &[
    ("workflow_execution", &["workflow_id", "python_version", "user_id"], &["workflow_start", "workflow_complete"]),
    ("node_execution", &["node_id", "node_type", "input_types", "output_types"], &["node_start", "node_complete"]),
    (
        "container_management",
        &["container_id", "python_version", "resource_limits"],
        &["container_created", "container_started", "container_stopped"],
    ),
    ("type_validation", &["source_type", "target_type", "compatible"], &["validation_start", "validation_complete"]),
];

#[test]
fn spans_of_user_code_stand_inside_one_another() {
    let ours = spans_of("process", &[&["run", "crates/e2e/cases/inside/spans.py"]]);
    insta::assert_snapshot!(tree(&ours));
}

#[test]
fn an_attempt_is_linked_to_the_one_before_it() {
    let ours = spans_of("process", &[&["run", CASE, "-w", "tries_again"]]);
    let attempts = ours.iter().filter(|span| span.name == "node_execution");
    let mut of_flaky: Vec<&Span> =
        attempts.filter(|span| fact(span, "node.name").as_deref() == Some("flaky")).collect();
    of_flaky.sort_by_key(|span| span.start_time_unix_nano);
    let [first, second] = of_flaky[..] else { panic!("{} attempts", of_flaky.len()) };
    assert!(first.links.is_empty(), "{:?}", first.links);
    let links: Vec<_> = second.links.iter().map(|link| (&link.trace_id, &link.span_id)).collect();
    assert_eq!(links, [(&first.trace_id, &first.span_id)]);
    let failed = |span: &Span| span.status.as_ref().is_some_and(|status| status.code == 2);
    assert_eq!((failed(first), failed(second)), (true, false), "an error is its attempt's");
}

const CASE: &str = "crates/e2e/cases/observed.py";

/// What does not complete: where it runs, the workflow, the kind of the error, and the conventions' word for how run and attempts ended.
const ENDS: &[(&str, &str, &str, &str)] = &[
    ("process", "fails", "ValueError", "failure"),
    ("process", "times_out", "timeout", "timeout"),
    ("docker", "runs_out_of_memory", "oom", "failure"),
];

fn events(span: &Span) -> Vec<&str> {
    span.events.iter().map(|event| event.name.as_str()).collect()
}

/// 0 where nothing is said, 2 of an error.
fn status(span: &Span) -> i32 {
    span.status.as_ref().map_or(0, |status| status.code)
}

/// The attempts' spans, of which there are some.
fn attempts(spans: &[Span]) -> Vec<&Span> {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == "node_execution").collect();
    assert!(!found.is_empty());
    found
}

/// Whether run and attempts say in the words of `cicd.*` which they are and how they ended.
fn say_by_convention(spans: &[Span], workflow: &str, result: &str) {
    let root = one(spans, "workflow_execution");
    assert_eq!(fact(root, "cicd.pipeline.name").as_deref(), Some(workflow));
    assert_eq!(fact(root, "cicd.pipeline.run.id"), fact(root, "run_id"), "{workflow}");
    assert_eq!(fact(root, "cicd.pipeline.result").as_deref(), Some(result), "{workflow}");
    let mut ids = BTreeSet::new();
    for attempt in attempts(spans) {
        assert_eq!(fact(attempt, "cicd.pipeline.task.name"), fact(attempt, "node.name"), "{workflow}");
        assert_eq!(fact(attempt, "cicd.pipeline.task.run.result").as_deref(), Some(result), "{workflow}");
        assert!(ids.insert(fact(attempt, "cicd.pipeline.task.run.id").expect("it has one")), "each has its own");
    }
}

#[test]
fn the_spans_of_what_fails_say_so_and_name_the_kind_of_the_error() {
    for (runtime, workflow, kind, result) in ENDS {
        let ours = spans_of_what_ends(runtime, &[&["run", CASE, "-w", workflow]], 1);
        let root = one(&ours, "workflow_execution");
        assert_eq!((events(root), status(root)), (vec!["workflow_start", "workflow_error"], 2), "{workflow}");
        for attempt in attempts(&ours) {
            assert_eq!((events(attempt), status(attempt)), (vec!["node_start", "node_error"], 2), "{workflow}");
            assert_eq!(fact(attempt, "error.type").as_deref(), Some(*kind), "{workflow}");
        }
        say_by_convention(&ours, workflow, result);
        // What outgrew its memory took its container with it, and that says of what; what ran out of time is killed in it.
        let containers: Vec<&Span> = ours.iter().filter(|span| span.name == "container_management").collect();
        assert!(!containers.is_empty(), "{workflow}");
        for container in containers {
            let oom = fact(container, "reason").as_deref() == Some("oom");
            assert_eq!((oom, status(container) == 2), (*kind == "oom", *kind == "oom"), "{workflow}: {container:?}");
            assert_eq!(events(container).last(), Some(&"container_stopped"), "{workflow}");
        }
        assert_eq!(fact(root, "error.type").as_deref(), Some(*kind), "{workflow}");
    }
}

#[test]
fn the_spans_of_what_is_cancelled_say_that_and_no_error() {
    let (receiver, home) = (Receiver::start(), Home::new("process"));
    let _dev = home.dev_with(|dev| {
        dev.env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.url);
    });
    let started = object(&home.run(&["run", CASE, "-w", "is_cancelled", "--detach", "-o", "json"]), 0);
    let (id, trace) = (started["run_id"].as_str().expect("an id"), started["trace_id"].as_str().expect("a trace"));
    home.wait(id, |run| run["nodes"][0]["status"] == "running");
    let cancelled = home.run(&["runs", "cancel", id]);
    assert!(cancelled.status.success(), "{}", said(&cancelled));
    home.wait(id, |run| run["status"] == "cancelled");
    let there =
        || ["workflow_execution", "node_execution", "container_management"].map(|name| has(&receiver, trace, name));
    wait_for("its spans come", || there() == [true; 3]);
    let ours = receiver.of(trace);
    let (root, attempt) = (one(&ours, "workflow_execution"), one(&ours, "node_execution"));
    assert_eq!((events(root), status(root)), (vec!["workflow_start", "workflow_cancelled"], 0));
    assert_eq!((events(attempt), status(attempt)), (vec!["node_start", "node_cancelled"], 0));
    for (span, key) in [(root, "workflow.status"), (attempt, "node.status")] {
        assert_eq!(fact(span, key).as_deref(), Some("cancelled"));
        assert_eq!(fact(span, "error.type"), None);
    }
    say_by_convention(&ours, "is_cancelled", "cancellation");
}

/// The exporter's patience is an hour: until then no call of it ends while the receiver hears all and answers nothing. So what is asserted is
/// an order, whatever the clock says: the run completes, at its first attempt, and not one of the spans that it told has left or been given up.
#[test]
fn a_run_completes_before_anything_that_it_told_has_left() {
    let receiver = Receiver::that(true);
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url.as_str()), ("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::with("process", settings);
    let completes = || {
        let run = object(&cluster.run(1, &["run", CASE, "-w", "is_traced", "-o", "json"]), 0);
        assert_eq!((&run["status"], &run["nodes"][0]["attempts"]), (&"completed".into(), &1.into()), "{run:#}");
        run["trace_id"].as_str().expect("a run has a trace").to_owned()
    };
    let first = completes();
    wait_for("an exporter has told of it, and hangs", || !receiver.of(&first).is_empty());
    completes();
    for admin in ["a1", "a2", "ra1", "ra2", "tva", "ha"] {
        let ended = cluster.metric(admin, "qflow_telemetry_spans_total");
        assert!(ended < 1.0, "of {admin} {ended} spans have left or were given up");
    }
}

#[test]
fn a_span_tells_whether_its_value_was_made_or_reused() {
    let line: &[&str] = &["run", "crates/e2e/cases/limits/cache.py", "-w", "each", "-p", "names:=[\"a\"]"];
    let ours = spans_of("process", &[line, line]);
    let hits = ours.iter().filter(|span| span.name == "node_execution").filter_map(|span| {
        let hit = span.attributes.iter().find(|attribute| attribute.key == "cache.hit")?;
        let named = span.attributes.iter().any(|attribute| attribute.key == "cache.run_id");
        Some((hit.value.clone()?.value?, named))
    });
    let mut hits: Vec<(String, bool)> = hits.map(|(hit, named)| (format!("{hit:?}"), named)).collect();
    hits.sort();
    assert_eq!(hits, [("BoolValue(false)".to_owned(), false), ("BoolValue(true)".to_owned(), true)]);
}

/// What is named after the run itself, of the spans of a trace.
fn of_the_run(spans: &[Span]) -> Vec<&str> {
    let names = spans.iter().map(|span| span.name.as_str());
    names.filter(|name| SEED.iter().any(|(seed, ..)| seed == name) || *name == "parse words").collect()
}

#[test]
fn a_run_is_recorded_as_it_was_asked_for_whatever_is_sampled() {
    let (receiver, home) = (Receiver::start(), Home::new("process"));
    let run = |file: &[&str], asked: &str, caller: &[(&str, String)]| {
        let line = [&["run"], file, &["--trace", asked, "-o", "json"]].concat();
        let mut qflow = home.qflow(&line);
        qflow.env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.url).env("OTEL_TRACES_SAMPLER", "always_off");
        let run = object(&qflow.envs(caller.iter().cloned()).output().expect("qflow starts"), 0);
        let trace = run["trace_id"].as_str().expect("a run has a trace").to_owned();
        receiver.of(&trace)
    };
    let file = ["examples/spans.py"];
    assert!(of_the_run(&run(&file, "auto", &[])).is_empty(), "the sampler takes none");

    let ours = run(&file, "always", &[]);
    let root = one(&ours, "workflow_execution");
    assert_eq!((root.trace_state.as_str(), root.parent_span_id.is_empty()), ("qflow=keep", true));
    for name in ["node_execution", "container_management", "parse words"] {
        assert!(ours.iter().any(|span| span.name == name), "{name}: {}", tree(&ours));
    }

    let parent = |flags: &str| ("TRACEPARENT", format!("00-{}-{}-{flags}", CALLER[0], CALLER[1]));
    let told = of_the_run(&run(&file, "never", &[parent("01")])).iter().map(ToString::to_string).collect::<Vec<_>>();
    // Registering the file is a call by itself, below the caller's span, and no part of the run.
    assert_eq!(told, ["type_validation"], "neither the run nor its nodes nor their container");

    // Whoever passes by leaves what others wrote.
    let state = ("TRACESTATE", "other=1,qflow=drop".to_owned());
    let ours = run(&[CASE, "-w", "tries_again"], "always", &[parent("00"), state]);
    let root = one(&ours, "workflow_execution");
    assert_eq!((root.trace_state.as_str(), hex(&root.parent_span_id)), ("qflow=keep,other=1", CALLER[1].to_owned()));
    let attempts = ours.iter().filter(|span| fact(span, "node.name").as_deref() == Some("flaky"));
    let states: Vec<&str> = attempts.map(|span| span.trace_state.as_str()).collect();
    assert_eq!(states, ["qflow=keep,other=1"; 2], "also what is tried again");

    let wrong = home.run(&["run", "examples/spans.py", "--trace", "sometimes"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
}

#[test]
fn the_root_survives_a_restart_with_its_ids() {
    let receiver = Receiver::start();
    // What is sampled by chance would be so anew: what was asked for lasts.
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url.as_str()), ("OTEL_TRACES_SAMPLER", "always_off")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::with("process", settings);
    let gate = cluster.path().join("gate");
    let given = format!("gate={}", gate.display());
    let file = [CASE, "-w", "waits_for_a_file", "-p", &given];
    let started = cluster.run(1, &[&["run"], &file[..], &["--trace", "always", "--detach", "-o", "json"]].concat());
    let started = object(&started, 0);
    let (id, trace) = (started["run_id"].as_str().expect("an id"), started["trace_id"].as_str().expect("a trace"));
    let of_the_record = || cluster.sql(&format!("SELECT spec::json->'trace' FROM run WHERE id = '{id}'"));
    let record = of_the_record();
    let kept: serde_json::Value = serde_json::from_str(&record).expect("the record has a trace");
    assert_eq!((&kept["trace_id"], &kept["flags"], &kept["state"]), (&trace.into(), &1.into(), &"qflow=keep".into()));
    let run = || object(&cluster.run(2, &["runs", "get", id, "-o", "json"]), 0);
    let ended = |name: &str| receiver.of(trace).iter().any(|span| fact(span, "node.name").as_deref() == Some(name));
    wait_for("the first node's span has come", || ended("numbers"));
    wait_for("the second runs", || run()["nodes"][1]["status"] == "running");
    for orchestrator in ["orchestrator-1", "orchestrator-2"] {
        cluster.kill(orchestrator);
    }
    assert!(receiver.of(trace).iter().all(|span| span.name != "workflow_execution"), "the root has not ended");
    cluster.again();
    assert_eq!(of_the_record(), record, "what is kept is as it was");
    std::fs::write(&gate, "").expect("the cluster's folder takes files");
    wait_seeing("the run completes", || run()["status"] == "completed", || format!("{:#}", run()));
    let root_came = || has(&receiver, trace, "workflow_execution");
    wait_for("its root's span has come", || root_came() && ended("waits"));
    // Whatever else is on its way leaves with those who tell it.
    cluster.down();

    let spans = receiver.of(trace);
    let root = one(&spans, "workflow_execution");
    assert_eq!(hex(&root.span_id), kept["span_id"].as_str().expect("an id"), "{}", tree(&spans));
    assert_eq!((root.parent_span_id.is_empty(), root.trace_state.as_str()), (true, "qflow=keep"));
    let by_id: BTreeMap<&[u8], &Span> = spans.iter().map(|span| (&span.span_id[..], span)).collect();
    assert_eq!(by_id.len(), spans.len(), "no span is told twice");
    for span in &spans {
        let mut above = span;
        while above.span_id != root.span_id {
            above = by_id.get(&above.parent_span_id[..]).unwrap_or_else(|| panic!("{} hangs nowhere", above.name));
        }
    }
    let mut nodes: Vec<String> = spans.iter().filter_map(|span| fact(span, "node.name")).collect();
    nodes.sort();
    assert_eq!(nodes, ["numbers", "total", "waits"], "each attempt is one span, on both sides of the restart");
}
