//! What a real Prometheus sees of a cluster on Docker, and whom a real Alertmanager tells of what breaks: with our own rules, routes
//! and dashboards, minutes of rules being seconds.

mod asked;
mod breaks;
mod exported;
mod kinds;
mod names;
mod query;
#[path = "../support/spans.rs"]
mod spans;
mod told;

use std::sync::{Mutex, PoisonError};

use qflow_e2e::{Index, Stack, said, wait_for};
use serde_json::Value;

/// One stack at a time: each is a dozen programs.
static ONE: Mutex<()> = Mutex::new(());

/// Jobs of ours that have a target in a cluster.
const JOBS: &str = "qflow-(orchestrator|container-runner|type-validator|health-aggregator)";

/// Admin ports of the four services, of two of which there are two.
const ADMINS: [&str; 6] = ["a1", "a2", "ra1", "ra2", "tva", "ha"];

/// A run of every kind that telemetry tells apart.
const CASE: &str = "crates/e2e/cases/observed.py";

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A workflow of a file, run at one of the orchestrators to its end.
fn run(stack: &Stack, orchestrator: u8, file: &str, workflow: &str) -> Value {
    let output = stack.cluster.run(orchestrator, &["run", file, "-w", workflow, "-o", "json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{workflow}: {error}: {}", said(&output)))
}

/// The same, told to start; the run's id.
fn start(stack: &Stack, orchestrator: u8, file: &str, workflow: &str) -> String {
    let output = stack.cluster.run(orchestrator, &["run", file, "-w", workflow, "--detach", "-o", "json"]);
    text(&qflow_e2e::object(&output, 0), "run_id").to_owned()
}

#[test]
fn whatever_ends_is_seen_and_every_rule_and_panel_asks_for_what_is_there() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (index, receiver) = (Index::start(), spans::Receiver::start());
    let settings = [
        ("UV_INDEX", index.url.clone()),
        ("UV_HTTP_RETRIES", "1".to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url.clone()),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let stack = Stack::with("docker", "metrics", settings);
    kinds::run_every_kind(&stack);
    let told = run(&stack, 1, CASE, "succeeds");
    let trace = text(&told, "trace_id");
    wait_for("its spans leave", || receiver.of(trace).iter().any(|span| span.name == "workflow_execution"));
    breaks::break_much(&stack);
    names::run_many(&stack);
    // The rules of a month look rarely.
    let month = "qflow:slo_budget_left:ratio";
    wait_for("the month's budget is worked out", || !stack.query(month).is_empty());
    let mut problems = asked::unanswered(&stack);
    problems.extend(exported::unfed(&stack));
    problems.extend(exported::differences(&exported::labels(&stack)));
    problems.extend(exported::unused(&stack));
    problems.extend(exported::without_exemplars(&stack));
    problems.extend(exported::unbounded(&stack));
    problems.extend(names::ill_told(&stack));
    problems.extend(exported::unclean(&stack));
    problems.extend(kinds::wrong_lines(&stack));
    assert_none(&problems);
}
