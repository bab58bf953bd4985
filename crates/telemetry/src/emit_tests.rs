use qflow_model::{outcome::Phases, status::FailureClass};

use super::*;
use crate::TraceContext;

fn run() -> RunRef {
    let trace = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    RunRef {
        run_id: "01890a5d".into(),
        workflow: "etl".into(),
        user_id: "ada".into(),
        python_version: "mixed".into(),
        trace,
    }
}

fn node() -> NodeRef {
    NodeRef {
        run: run(),
        node_id: "clean[3]".into(),
        name: "clean".into(),
        node_type: "python".into(),
        python_version: "3.11".into(),
        attempt: 2,
    }
}

fn container() -> ContainerRef {
    let (container_id, image) = ("f00d".into(), "python:3.11-slim".into());
    ContainerRef { container_id, python_version: "3.11".into(), image, node: Some(node()) }
}

fn error() -> ErrorInfo {
    ErrorInfo {
        class: Some(FailureClass::User),
        error_type: "ValueError".into(),
        message: "no such row".into(),
        stack_trace:
            "Traceback (most recent call last):\n  File \"etl.py\", line 3, in clean\nValueError: no such row\n".into(),
    }
}

fn run_events() -> Vec<Event> {
    let ended = |status, error| Event::RunEnded { run: run(), status, took_ms: 1500, error };
    vec![
        Event::RunStarted { run: run() },
        ended(Run::Completed, None),
        ended(Run::Failed, Some(error())),
        ended(Run::TimedOut, Some(ErrorInfo { stack_trace: String::new(), ..error() })),
        ended(Run::Cancelled, None),
    ]
}

fn node_events() -> Vec<Event> {
    let phases = Phases { queued_ms: 1.0, user_code_ms: 12.5, ..Phases::default() };
    let ended =
        |status, error| Event::NodeEnded { node: node(), status, took_ms: 20, phases: Some(phases), warm: true, error };
    vec![
        Event::NodeStarted { node: node(), container_id: Some("f00d".into()), queued_ms: Some(1.5) },
        ended(Node::Completed, None),
        ended(Node::Failed, Some(error())),
        ended(Node::TimedOut, Some(error())),
        ended(Node::Skipped, None),
        Event::NodeRetry { node: node(), reason: "user".into(), delay_ms: 1000, error: Some(error()) },
        Event::PythonError { node: node(), container_id: "f00d".into(), error: error() },
        Event::UserLine {
            node: node(),
            sequence: 7,
            stream: "stdout".into(),
            text: "42 rows".into(),
            fields: serde_json::Map::from_iter([("rows".to_owned(), 42.into())]),
        },
        Event::UserLinesLost { node: node(), lost: 3 },
    ]
}

fn other_events() -> Vec<Event> {
    let prepared = |step, error| {
        let python_version = "3.11".into();
        Event::EnvironmentPrepared { step, python_version, packages: 4, took_ms: 2100.5, error }
    };
    vec![
        Event::ContainerCreated { container: container(), took_ms: 80.5 },
        Event::ContainerStarted { container: container(), took_ms: 120.25 },
        Event::ContainerStopped { container: container(), reason: "oom".into(), exit_code: Some(137) },
        Event::ContainerError { container: container(), error: error() },
        prepared("install", None),
        prepared("install", Some(error())),
        prepared("lock", Some(error())),
        Event::ServiceListening { listener: "grpc", address: "127.0.0.1:7401".into() },
        Event::TypeValidated {
            workflow: "etl".into(),
            edges: vec![("int".into(), "float".into(), true), ("str".into(), "int".into(), false)],
            took_ms: 0.5,
            trace: run().trace,
        },
        Event::warning("store_recovered", "the store answers again").with("after_ms", 250),
    ]
}

fn told(as_text: impl Fn(Line) -> String) -> String {
    let events = run_events().into_iter().chain(node_events()).chain(other_events());
    events.map(|event| as_text(line(&event))).collect()
}

const AT: &str = "2026-01-02T03:04:05.678901Z";

#[test]
fn every_event_is_one_json_object_with_the_keys_of_ecs_and_of_the_seed() {
    insta::assert_snapshot!(told(|line| line.json(AT, "qflow-dev", "orchestrator")));
}

#[test]
fn every_event_is_a_line_for_people() {
    insta::assert_snapshot!(told(|line| line.pretty(AT, "orchestrator")));
}
