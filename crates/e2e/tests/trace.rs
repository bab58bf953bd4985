//! One trace from the caller to the user's own span, seen at an OTLP receiver.

mod receiver;

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::Span;
use qflow_e2e::{Home, said};
use receiver::Receiver;

/// The service that a span is of.
fn component(span: &Span) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == "qflow.component");
    match found.and_then(|attribute| attribute.value.as_ref()?.value.clone()) {
        Some(opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue(name)) => name,
        other => panic!("a span names its service: {other:?}"),
    }
}

/// Whether a span is of a node with this name.
fn named(span: &Span, name: &str) -> bool {
    let told = span.attributes.iter().find(|attribute| attribute.key == "node.name");
    let value = told.and_then(|attribute| attribute.value.as_ref()?.value.clone());
    matches!(value, Some(opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue(text)) if text == name)
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
    write(&[0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31], 0, &children, &mut out);
    out
}

/// The spans that calls of `qflow` send, each call under the caller's span; all must complete.
async fn spans_of(calls: Vec<Vec<&'static str>>) -> Vec<Span> {
    let (receiver, url) = Receiver::start().await;
    let called = tokio::task::spawn_blocking(move || {
        let home = Home::new("process");
        for line in calls {
            let output = home
                .qflow(&line)
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", &url)
                .env("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
                .env("TRACESTATE", "qflow=keep")
                .output()
                .expect("qflow starts");
            assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        }
    });
    called.await.expect("the calls return");
    let trace = [0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c];
    receiver.spans().into_iter().filter(|s| s.trace_id == trace).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_one_trace_from_the_callers_span_to_the_users() {
    let ours = spans_of(vec![vec!["run", "examples/spans.py"]]).await;
    insta::assert_snapshot!(tree(&ours));
    let root = ours.iter().find(|span| span.name == "workflow_execution").expect("the run is a span");
    let commit = ours.iter().find(|span| span.name == "BATCH node_run").expect("the first commit is told");
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
}

/// The seed's spans with their attributes, and the events of them that a run that completes has.
const SEED: &[(&str, &[&str], &[&str])] = &[
    ("workflow_execution", &["workflow_id", "python_version", "user_id"], &["workflow_start", "workflow_complete"]),
    ("node_execution", &["node_id", "node_type", "input_types", "output_types"], &["node_start", "node_complete"]),
    (
        "container_management",
        &["container_id", "python_version", "resource_limits"],
        &["container_created", "container_started"],
    ),
    ("type_validation", &["source_type", "target_type", "compatible"], &["validation_start", "validation_complete"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_user_code_stand_inside_one_another() {
    let ours = spans_of(vec![vec!["run", "crates/e2e/cases/inside/spans.py"]]).await;
    insta::assert_snapshot!(tree(&ours));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_linked_to_the_one_before_it() {
    let ours = spans_of(vec![vec!["run", "crates/e2e/cases/observed.py", "-w", "tries_again"]]).await;
    let attempts = ours.iter().filter(|span| span.name == "node_execution");
    let mut of_flaky: Vec<&Span> = attempts.filter(|span| named(span, "flaky")).collect();
    of_flaky.sort_by_key(|span| span.start_time_unix_nano);
    let [first, second] = of_flaky[..] else { panic!("{} attempts", of_flaky.len()) };
    assert!(first.links.is_empty(), "{:?}", first.links);
    let links: Vec<_> = second.links.iter().map(|link| (&link.trace_id, &link.span_id)).collect();
    assert_eq!(links, [(&first.trace_id, &first.span_id)]);
    let failed = |span: &Span| span.status.as_ref().is_some_and(|status| status.code == 2);
    assert_eq!((failed(first), failed(second)), (true, false), "an error is its attempt's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_tells_whether_its_value_was_made_or_reused() {
    let line = vec!["run", "crates/e2e/cases/limits/cache.py", "-w", "each", "-p", "names:=[\"a\"]"];
    let ours = spans_of(vec![line.clone(), line]).await;
    let hits = ours.iter().filter(|span| span.name == "node_execution").filter_map(|span| {
        let hit = span.attributes.iter().find(|attribute| attribute.key == "cache.hit")?;
        let named = span.attributes.iter().any(|attribute| attribute.key == "cache.run_id");
        Some((hit.value.clone()?.value?, named))
    });
    let mut hits: Vec<(String, bool)> = hits.map(|(hit, named)| (format!("{hit:?}"), named)).collect();
    hits.sort();
    assert_eq!(hits, [("BoolValue(false)".to_owned(), false), ("BoolValue(true)".to_owned(), true)]);
}
