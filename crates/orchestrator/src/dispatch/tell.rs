//! What happened to runs, told once: events, and the spans of runs and attempts under ids that survive a restart.

use qflow_model::{
    definition::{Param, StepKind},
    ids::{AttemptKey, Digest, NodeKey, Timestamp},
    outcome::{Failure, Phases},
    plan::Plan,
    progress::{Happening, QUARANTINED, ReusedFrom, RunState},
    status::{FailureClass, NodeStatus, RunStatus},
};
use qflow_telemetry::{
    ErrorInfo, Event, NodeRef, RunRef, SpanRecord, Telemetry, TraceContext, labels::NodeType, traces::system_time,
};

use super::flow;

/// The span of an attempt: it follows from its name, so that runner and orchestrator mean the same one.
pub(super) fn attempt_span(key: AttemptKey) -> String {
    Digest::of(key.to_string().as_bytes()).to_string()[..16].to_owned()
}

/// Where a run's root span stands.
pub(super) fn trace(state: &RunState) -> TraceContext {
    TraceContext::from(&state.spec.trace)
}

fn run_ref(state: &RunState) -> RunRef {
    RunRef {
        run_id: state.spec.id.to_string(),
        workflow: state.plan.workflow.clone(),
        user_id: state.spec.user.clone(),
        python_version: state.plan.python.map_or_else(|| "mixed".to_owned(), |python| python.to_string()),
        trace: Some(trace(state)),
    }
}

fn node_ref(state: &RunState, node: NodeKey, attempt: u32) -> NodeRef {
    let step = state.planned(node);
    let span = attempt_span(AttemptKey { run: state.spec.id, node, attempt });
    let run = run_ref(state);
    let environment = step.environment.and_then(|environment| state.plan.environments.get(environment as usize));
    let trace = run.trace.as_ref().map(|trace| trace.with_span(span));
    NodeRef {
        node_id: state.node_id(node),
        name: state.plan.node(step).map_or(step.kind.callee(), |node| &node.name).to_owned(),
        node_type: Plan::node_type(step).to_owned(),
        python_version: environment.map_or_else(|| run.python_version.clone(), |spec| spec.python.to_string()),
        attempt,
        run: RunRef { trace, ..run },
    }
}

/// A note about a run, within the run's own span.
pub(super) fn of_run(note: Event, state: &RunState) -> Event {
    let trace = &state.spec.trace;
    note.with("run_id", state.spec.id.to_string())
        .with("trace.id", trace.trace_id.as_str())
        .with("span.id", trace.span_id.as_str())
}

/// The span under which an attempt's stands: that of whoever called its frame, else the run's.
fn parent_span(state: &RunState, node: NodeKey) -> String {
    let caller = state.caller(node.frame).and_then(|caller| Some((caller, state.node(caller)?.attempt)));
    let span = |(node, attempt)| attempt_span(AttemptKey { run: state.spec.id, node, attempt });
    caller.map_or_else(|| state.spec.trace.span_id.clone(), span)
}

fn error_info(failure: &Failure) -> ErrorInfo {
    ErrorInfo {
        class: failure.class,
        error_type: failure.error_type.clone(),
        message: failure.message.clone(),
        stack_trace: failure.traceback.clone(),
    }
}

/// Tells one happening of a run, after its commit.
pub(super) fn tell(telemetry: &Telemetry, state: &RunState, happening: &Happening, now: Timestamp) {
    match happening {
        Happening::RunStarted => telemetry.emit(Event::RunStarted { run: run_ref(state) }),
        Happening::RunStatus { status, .. } if status.is_terminal() => run_ended(telemetry, state, *status, now),
        Happening::RunStatus { status: RunStatus::Paused, reason } => {
            let reason = reason.clone().unwrap_or_default();
            let note = if reason.starts_with(QUARANTINED) {
                Event::error("run_quarantined", reason)
            } else {
                Event::warning("workflow_paused", reason)
            };
            telemetry.emit(of_run(note, state));
        }
        Happening::Crashed { count } => {
            let note = Event::error("run_crashed", "an orchestrator crashed in the processing of the run");
            telemetry.emit(of_run(note, state).with("count", *count));
        }
        Happening::NeedsAttention { node, attempt, failure } => {
            let note = Event::warning("node_needs_attention", failure.message.clone());
            let note = of_run(note, state).with("node_id", state.node_id(*node));
            telemetry.emit(note.with("attempt", *attempt));
            attempt_ended(telemetry, state, (*node, *attempt), "needs_attention", Some(failure), now);
        }
        Happening::Decided { node, attempt, retry, by } => {
            let decided = if *retry { "it is tried again" } else { "it fails" };
            let note = Event::info("node_decided", format!("{decided}, as {by} decided"));
            let note = of_run(note, state).with("node_id", state.node_id(*node));
            telemetry.emit(note.with("attempt", *attempt));
        }
        Happening::NodeLeased { queued_ms, .. } => {
            telemetry.metrics().queue_wait().record_in(*queued_ms as f64 / 1e3, Some(&trace(state)));
        }
        Happening::NodeStarted { node, attempt } => {
            let detail = state.node(*node).and_then(|run| run.detail.as_ref());
            let target = Plan::node_type(state.planned(*node));
            for from in flow::into(state, *node) {
                flowed(telemetry, state, (from.node_type, target), now.ms_since(from.at));
            }
            telemetry.emit(Event::NodeStarted {
                node: node_ref(state, *node, *attempt),
                container_id: detail.map(|d| d.container_id.clone()),
                queued_ms: detail.map(|d| d.phases.queued_ms),
            });
        }
        Happening::FrameOpened { node, .. } | Happening::Waits { node, .. } => {
            let attempt = state.node(*node).map_or(0, |run| run.attempt);
            let node = node_ref(state, *node, attempt);
            telemetry.emit(Event::NodeStarted { node, container_id: None, queued_ms: None });
        }
        Happening::Approved { node, answered } => {
            let answer = if answered.approved { "approved" } else { "rejected" };
            let by = answered.by.as_deref().unwrap_or("nobody in time");
            let note = Event::info("approval_answered", format!("{answer} by {by}"));
            let note = of_run(note, state).with("node_id", state.node_id(*node));
            telemetry.emit(note.with("approved", answered.approved));
        }
        Happening::NodeRetry { node, attempt, at, kind, failure } => {
            let reason = retry_reason(kind, &failure.error_type);
            telemetry.emit(Event::NodeRetry {
                node: node_ref(state, *node, *attempt),
                reason: reason.to_owned(),
                delay_ms: at.ms_since(now),
                error: Some(error_info(failure)),
            });
            attempt_ended(telemetry, state, (*node, *attempt), "retrying", Some(failure), now);
        }
        Happening::NodeEnded { node, attempt, status, failure, phases } => {
            node_ended(telemetry, state, (*node, *attempt), *status, failure.as_deref(), *phases, now);
        }
        _ => {}
    }
}

/// Tells how long a value was on its way from one kind of node to another.
fn flowed(telemetry: &Telemetry, state: &RunState, (source, target): (&str, &str), took_ms: u64) {
    let flow = telemetry.metrics().data_flow(NodeType::of(source), NodeType::of(target));
    flow.record_in(took_ms as f64 / 1e3, Some(&trace(state)));
}

fn run_ended(telemetry: &Telemetry, state: &RunState, status: RunStatus, now: Timestamp) {
    let (spec, head) = (&state.spec, &state.head);
    let run = run_ref(state);
    let ended = head.ended_at.unwrap_or(now);
    let error = head.error.as_ref().map(|error| error_info(&error.failure));
    let took_ms = ended.ms_since(spec.created_at);
    if status == RunStatus::Completed {
        for (source, at) in flow::out_of(state) {
            flowed(telemetry, state, (source, "output"), ended.ms_since(at));
        }
    }
    let said = match status {
        RunStatus::Completed => "workflow_complete",
        RunStatus::Cancelled => "workflow_cancelled",
        _ => "workflow_error",
    };
    let mut span =
        SpanRecord::new("workflow_execution", &trace(state), system_time(spec.created_at), system_time(ended))
            .with("workflow_id", run.workflow.clone())
            .with("workflow.id", run.workflow.clone())
            .with("python_version", run.python_version.clone())
            .with("workflow.python_version", run.python_version.clone())
            .with("user_id", run.user_id.clone())
            .with("run_id", run.run_id.clone())
            .with("workflow.status", status.as_str())
            .with("cicd.pipeline.name", run.workflow.clone())
            .with("cicd.pipeline.run.id", run.run_id.clone())
            .with("cicd.pipeline.result", result(status.as_str(), head.error.as_ref().map(|error| &error.failure)))
            .event("workflow_start", system_time(head.started_at.unwrap_or(spec.created_at)))
            .event(said, system_time(ended));
    if let Some(error) = &error {
        span = span.with("error.type", error.error_type.clone()).error(Some(error.message.clone()));
    }
    span.parent_span_id.clone_from(&spec.trace.parent_span_id);
    telemetry.record_span(span);
    telemetry.emit(Event::RunEnded { run, status, took_ms, error });
}

fn node_ended(
    telemetry: &Telemetry,
    state: &RunState,
    (node, attempt): (NodeKey, u32),
    status: NodeStatus,
    failure: Option<&Failure>,
    phases: Phases,
    now: Timestamp,
) {
    let Some(run) = state.node(node) else { return };
    if run.map.is_some() {
        // A mapped step is no execution of its own: its elements are.
        return;
    }
    let detail = run.detail.as_deref();
    let started = detail.and_then(|d| d.started_at.or((attempt > 0).then_some(d.leased_at)));
    let took_ms = started.map_or(0, |at| detail.and_then(|d| d.ended_at).unwrap_or(now).ms_since(at));
    telemetry.emit(Event::NodeEnded {
        node: node_ref(state, node, attempt),
        status,
        took_ms,
        phases: (attempt > 0).then_some(phases),
        warm: phases.container_ms < 1.0 && phases.environment_ms < 1.0,
        error: failure.map(error_info),
    });
    if let Some(from) = detail.and_then(|d| d.reused.as_deref()) {
        reused(telemetry, state, node, from, now);
    } else if attempt > 0 && telemetry.takes_spans() {
        attempt_ended(telemetry, state, (node, attempt), status.as_str(), failure, now);
    }
}

/// A node run that took its value from an earlier run: a span of no length, which names that run.
fn reused(telemetry: &Telemetry, state: &RunState, node: NodeKey, from: &ReusedFrom, now: Timestamp) {
    let named = node_ref(state, node, 0);
    let Some(context) = &named.run.trace else { return };
    let span = SpanRecord::new("node_execution", context, system_time(now), system_time(now))
        .child_of(parent_span(state, node))
        .with("node_id", named.node_id.clone())
        .with("node.id", named.node_id.clone())
        .with("node_type", named.node_type.clone())
        .with("node.type", named.node_type.clone())
        .with("node.name", named.name.clone())
        .with("node.status", NodeStatus::Completed.as_str())
        .with("python_version", named.python_version.clone())
        .with("cache.hit", true)
        .with("cache.run_id", from.run_id.to_string())
        .with("cache.node_id", from.node_id.clone())
        .event("node_reused", system_time(now));
    telemetry.record_span(span);
}

fn attempt_ended(
    telemetry: &Telemetry,
    state: &RunState,
    (node, attempt): (NodeKey, u32),
    status: &str,
    failure: Option<&Failure>,
    now: Timestamp,
) {
    let Some(detail) = state.node(node).and_then(|run| run.detail.as_deref()) else { return };
    let named = node_ref(state, node, attempt);
    let Some(context) = &named.run.trace else { return };
    let key = AttemptKey { run: state.spec.id, node, attempt };
    let (begun, ended) = (detail.leased_at, detail.ended_at.unwrap_or(now));
    let (types, returns) = types(state, node);
    let mut span = SpanRecord::new("node_execution", context, system_time(begun), system_time(ended))
        .child_of(parent_span(state, node))
        .with("node_id", named.node_id.clone())
        .with("node.id", named.node_id.clone())
        .with("node_type", named.node_type.clone())
        .with("node.type", named.node_type.clone())
        .with("node.name", named.name.clone())
        .with("input_types", types)
        .with("output_types", vec![returns])
        .with("node.status", status)
        .with("node.duration_ms", ended.ms_since(detail.started_at.unwrap_or(begun)))
        .with("node.attempt", attempt)
        .with("cicd.pipeline.task.name", named.name.clone())
        .with("cicd.pipeline.task.run.id", key.to_string())
        .with("cicd.pipeline.task.run.result", result(status, failure))
        .with("python_version", named.python_version.clone());
    if attempt > 1 {
        let before = AttemptKey { run: state.spec.id, node, attempt: attempt - 1 };
        span.links.push(context.with_span(attempt_span(before)));
    }
    if !detail.container_id.is_empty() {
        span = span.with("container.id", detail.container_id.clone());
    }
    if state.definition(node).is_some_and(|node| node.cache_ms.is_some()) {
        span = span.with("cache.hit", false);
    }
    if let Some(answered) = &detail.answered {
        span = span.with("approval.approved", answered.approved);
        span = span.with("approval.by", answered.by.clone().unwrap_or_default());
    }
    if let Some(started) = detail.started_at {
        span = span.event("node_start", system_time(started));
    }
    let said = match status {
        _ if failure.is_some() => "node_error",
        "cancelled" => "node_cancelled",
        _ => "node_complete",
    };
    span = span.event(said, system_time(ended));
    if let Some(failure) = failure {
        span = span.with("error.type", failure.error_type.clone()).error(Some(failure.message.clone()));
    }
    telemetry.record_span(span);
}

/// Why an attempt is tried again, as a label: whose fault it was, and of ours the kinds that are told apart.
fn retry_reason<'a>(kind: &str, error_type: &'a str) -> &'a str {
    match error_type {
        _ if kind == "user" && error_type != "timeout" => "user",
        known @ ("timeout" | "runner_lost" | "container_vanished" | "image_missing") => known,
        _ => "platform",
    }
}

/// How a run or an attempt went, in the words of the semantic conventions of `cicd.*`: `error` is ours, `failure` the user's.
fn result(status: &str, failure: Option<&Failure>) -> &'static str {
    match status {
        "completed" => "success",
        "cancelled" => "cancellation",
        "timed_out" => "timeout",
        _ if failure.is_some_and(|failure| failure.error_type == "timeout") => "timeout",
        _ if failure.is_some_and(|failure| failure.class == Some(FailureClass::User)) => "failure",
        _ => "error",
    }
}

/// The types that a node run takes, and the one that it gives.
fn types(state: &RunState, node: NodeKey) -> (Vec<String>, String) {
    let of = |params: &[Param]| params.iter().map(|param| param.ty.0.clone()).collect();
    let step = state.planned(node);
    match (state.plan.node(step), step.calls.map(|called| state.plan.workflow(called))) {
        (Some(node), _) => (of(&node.params), node.returns.0.clone()),
        (None, Some(workflow)) => (of(&workflow.params), workflow.returns.0.clone()),
        (None, None) => (Vec::new(), if matches!(step.kind, StepKind::Sleep) { "None" } else { "bool" }.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_missing_and_a_runtime_that_fails_are_told_apart_from_the_users_own_failures() {
        for (kind, error_type, reason) in [
            ("user", "ValueError", "user"),
            // An exception of the user's may be named as ours are.
            ("user", "image_missing", "user"),
            ("user", "timeout", "timeout"),
            ("infrastructure", "image_missing", "image_missing"),
            ("infrastructure", "container_vanished", "container_vanished"),
            ("infrastructure", "runner_lost", "runner_lost"),
            ("infrastructure", "runtime", "platform"),
            ("infrastructure", "link_lost", "platform"),
        ] {
            assert_eq!(retry_reason(kind, error_type), reason, "{kind} {error_type}");
        }
    }

    #[test]
    fn the_conventions_words_tell_the_users_failures_from_ours() {
        let of = |class, error_type: &str| Failure { class, error_type: error_type.into(), ..Failure::default() };
        let user = of(Some(FailureClass::User), "ValueError");
        for (status, failure, said) in [
            ("completed", None, "success"),
            ("cancelled", None, "cancellation"),
            ("timed_out", Some(of(Some(FailureClass::User), "timeout")), "timeout"),
            // An attempt that is tried again has the failure alone.
            ("retrying", Some(of(Some(FailureClass::User), "timeout")), "timeout"),
            ("retrying", Some(user.clone()), "failure"),
            ("failed", Some(user), "failure"),
            ("failed", Some(of(Some(FailureClass::Platform), "runner_lost")), "error"),
            ("failed", None, "error"),
        ] {
            assert_eq!(result(status, failure.as_ref()), said, "{status} {failure:?}");
        }
    }
}
