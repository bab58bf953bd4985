//! What an event says: its log line, and the metrics that follow from it.

use qflow_model::status::{FailureClass, NodeStatus as Node, RunStatus as Run};
use serde_json::{Map, Value, json};

use crate::{
    catalogue::Metrics,
    events::{ContainerRef, ErrorInfo, Event, Level, NodeRef, RunRef},
    labels::{
        Class, EnvironmentFailure, ExitReason, NodeStatus, NodeType, Open, PackageCount, Phase, Python, RetryReason,
        RunStatus, Truth, TypeName, Validation,
    },
    traces::TraceContext,
};

/// A line before it is text.
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) action: &'static str,
    pub(crate) message: String,
    pub(crate) fields: Map<String, Value>,
}

impl Line {
    fn new(level: Level, action: &'static str, message: impl Into<String>) -> Self {
        Self { level, action, message: message.into(), fields: Map::new() }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() && value.as_str() != Some("") {
            self.fields.insert(name.to_owned(), value);
        }
        self
    }

    fn run(self, run: &RunRef) -> Self {
        let ids = run.trace.as_ref();
        self.with("run_id", run.run_id.as_str())
            .with("workflow_id", run.workflow.as_str())
            .with("user_id", run.user_id.as_str())
            .with("python_version", run.python_version.as_str())
            .with("trace.id", ids.map(|t| t.trace_id.as_str()))
            .with("span.id", ids.map(|t| t.span_id.as_str()))
    }

    fn node(self, node: &NodeRef) -> Self {
        self.run(&node.run)
            .with("node_id", node.node_id.as_str())
            .with("node_name", node.name.as_str())
            .with("node_type", node.node_type.as_str())
            .with("python_version", node.python_version.as_str())
            .with("attempt", (node.attempt > 0).then_some(node.attempt))
    }

    fn container(self, container: &ContainerRef) -> Self {
        let line = match &container.node {
            Some(node) => self.node(node),
            None => self,
        };
        line.with("container_id", container.container_id.as_str())
            .with("container.image.name", container.image.as_str())
            .with("python_version", container.python_version.as_str())
    }

    fn error(self, error: Option<&ErrorInfo>) -> Self {
        let Some(error) = error else { return self };
        self.with("failure_class", error.class.map(FailureClass::as_str))
            .with("error_type", error.error_type.as_str())
            .with("error_message", error.message.as_str())
            .with("stack_trace", error.stack_trace.as_str())
            .with("error.type", error.error_type.as_str())
            .with("error.message", error.message.as_str())
            .with("error.stack_trace", error.stack_trace.as_str())
    }

    /// The traceback, there also where what ended the code left none: time, memory.
    fn traceback(mut self, error: &ErrorInfo) -> Self {
        self.fields.insert("stack_trace".to_owned(), error.stack_trace.as_str().into());
        self
    }

    /// Within the span in which it was told, where it names none itself.
    pub(crate) fn inside(self, current: impl FnOnce() -> Option<TraceContext>) -> Self {
        if self.fields.contains_key("span.id") {
            return self;
        }
        match current() {
            Some(span) => self.with("trace.id", span.trace_id).with("span.id", span.span_id),
            None => self,
        }
    }

    /// One JSON object with the keys of ECS and of the seed.
    pub(crate) fn json(self, at: &str, service: &str, component: &str) -> String {
        let mut all = Map::new();
        let head = [
            ("@timestamp", at),
            ("log.level", self.level.as_str()),
            ("message", &self.message),
            ("ecs.version", "8.11.0"),
            ("service.name", service),
            ("event.action", self.action),
            ("timestamp", at),
            ("level", self.level.as_str()),
            ("module", component),
            ("event_type", self.action),
            ("qflow.component", component),
        ];
        for (key, value) in head {
            all.insert(key.to_owned(), Value::from(value));
        }
        for (key, value) in self.fields {
            all.entry(key).or_insert(value);
        }
        format!("{}\n", Value::Object(all))
    }
}

/// An event on its way to be a line: the line is put together by the thread that writes it.
pub(crate) struct Told {
    pub(crate) event: Event,
    pub(crate) at: jiff::Timestamp,
    pub(crate) component: &'static str,
    /// Where it was told, if the event does not say that itself.
    pub(crate) span: Option<TraceContext>,
}

impl Told {
    /// The line: JSON in the name of a service, or for people.
    pub(crate) fn text(self, service: Option<&str>) -> String {
        let (line, at) = (line(&self.event).inside(|| self.span), format!("{:.6}", self.at));
        match service {
            Some(service) => line.json(&at, service, self.component),
            None => line.pretty(&at, self.component),
        }
    }
}

/// Whether an event says in which span it was.
pub(crate) fn names_span(event: &Event) -> bool {
    match event {
        Event::RunStarted { run } | Event::RunEnded { run, .. } => run.trace.is_some(),
        Event::NodeStarted { node, .. }
        | Event::NodeEnded { node, .. }
        | Event::NodeRetry { node, .. }
        | Event::PythonError { node, .. }
        | Event::UserLine { node, .. }
        | Event::UserLinesLost { node, .. } => node.run.trace.is_some(),
        Event::ContainerCreated { container, .. }
        | Event::ContainerStarted { container, .. }
        | Event::ContainerStopped { container, .. }
        | Event::ContainerError { container, .. } => {
            container.node.as_ref().is_some_and(|node| node.run.trace.is_some())
        }
        _ => false,
    }
}

/// How much a line says, and what of: all that decides whether it is written.
pub(crate) fn head(event: &Event) -> (Level, &'static str) {
    match event {
        Event::RunStarted { .. } => (Level::Info, "workflow_start"),
        Event::RunEnded { status: Run::Completed, .. } => (Level::Info, "workflow_complete"),
        Event::RunEnded { status: Run::Cancelled, .. } => (Level::Warning, "workflow_cancelled"),
        Event::RunEnded { .. } => (Level::Error, "workflow_error"),
        Event::NodeStarted { .. } => (Level::Info, "node_start"),
        Event::NodeEnded { status: Node::Failed | Node::TimedOut, .. } => (Level::Error, "node_error"),
        Event::NodeEnded { .. } => (Level::Info, "node_complete"),
        Event::NodeRetry { .. } => (Level::Warning, "node_retry"),
        Event::ContainerCreated { .. } => (Level::Info, "container_created"),
        Event::ContainerStarted { .. } => (Level::Info, "container_started"),
        Event::ContainerStopped { .. } => (Level::Info, "container_stopped"),
        Event::ContainerError { .. } => (Level::Error, "container_error"),
        Event::EnvironmentPrepared { error: None, .. } => (Level::Info, "environment_prepared"),
        Event::EnvironmentPrepared { step, error, .. } if is_unsatisfiable(step, error.as_ref()) => {
            (Level::Warning, "environment_prepared")
        }
        Event::EnvironmentPrepared { .. } => (Level::Error, "environment_prepared"),
        Event::PythonError { .. } => (Level::Error, "python_error"),
        Event::UserLine { .. } => (Level::Info, "user_line"),
        Event::UserLinesLost { .. } => (Level::Warning, "user_lines_lost"),
        Event::ServiceListening { .. } => (Level::Info, "service_listening"),
        Event::TypeValidated { .. } => (Level::Debug, "type_validated"),
        Event::Note { level, action, .. } => (*level, action),
    }
}

/// The log line of an event.
pub(crate) fn line(event: &Event) -> Line {
    let (level, action) = head(event);
    let says = |message: &str| Line::new(level, action, message);
    match event {
        Event::RunStarted { run } => says("Workflow execution started").run(run),
        Event::RunEnded { run, status, took_ms, error } => says(&format!("Workflow execution {status}"))
            .run(run)
            .with("status", status.as_str())
            .with("duration_ms", *took_ms)
            .error(error.as_ref()),
        Event::NodeStarted { node, container_id, queued_ms } => says("Node execution started")
            .node(node)
            .with("container_id", container_id.as_deref())
            .with("queued_ms", *queued_ms),
        Event::NodeEnded { node, status, took_ms, phases, error, .. } => says(&format!("Node execution {status}"))
            .node(node)
            .with("status", status.as_str())
            .with("duration_ms", *took_ms)
            .with("phases", phases.map(|p| json!(p)))
            .error(error.as_ref()),
        Event::NodeRetry { node, reason, delay_ms, error } => says("Node execution will be tried again")
            .node(node)
            .with("reason", reason.as_str())
            .with("delay_ms", *delay_ms)
            .error(error.as_ref()),
        Event::ContainerCreated { container, took_ms } => {
            says("Container created").container(container).with("duration_ms", *took_ms)
        }
        Event::ContainerStarted { container, took_ms } => {
            says("Container started").container(container).with("duration_ms", *took_ms)
        }
        Event::ContainerStopped { container, reason, exit_code } => {
            says("Container stopped").container(container).with("reason", reason.as_str()).with("exit_code", *exit_code)
        }
        Event::ContainerError { container, error } => says("Container failed").container(container).error(Some(error)),
        Event::EnvironmentPrepared { step, python_version, packages, took_ms, error } => says(match error {
            None => "Environment prepared",
            Some(_) if is_unsatisfiable(step, error.as_ref()) => {
                "Environment not prepared: its requirements are not to be had together"
            }
            Some(_) => "Environment not prepared",
        })
        .with("python_version", python_version.as_str())
        .with("step", *step)
        .with("packages", *packages)
        .with("duration_ms", *took_ms)
        .error(error.as_ref()),
        Event::PythonError { node, container_id, error } => {
            let message = format!("Python execution error: {}", error.message);
            says(&message).node(node).with("container_id", container_id.as_str()).error(Some(error)).traceback(error)
        }
        Event::UserLine { node, sequence, stream, text, fields } => {
            let line = says(text).node(node).with("sequence", *sequence).with("stream", stream.as_str());
            if fields.is_empty() { line } else { line.with("fields", fields.clone()) }
        }
        Event::UserLinesLost { node, lost } => says(&format!("{lost} lines were lost")).node(node).with("lost", *lost),
        Event::ServiceListening { listener, address } => says(&format!("Listening for {listener} on {address}"))
            .with("listener", *listener)
            .with("address", address.as_str()),
        Event::TypeValidated { workflow, edges, took_ms, trace } => {
            let refused = edges.iter().filter(|(_, _, compatible)| !compatible).count();
            says("Types validated")
                .with("workflow_id", workflow.as_str())
                .with("edges", edges.len())
                .with("incompatible", refused)
                .with("duration_ms", *took_ms)
                .with("trace.id", trace.as_ref().map(|t| t.trace_id.as_str()))
        }
        Event::Note { message, fields, .. } => {
            fields.iter().fold(says(message), |line, (k, v)| line.with(k, v.clone()))
        }
    }
}

/// What no versions satisfy.
const UNSATISFIABLE: &str = "unsatisfiable";

fn is_unsatisfiable(step: &str, error: Option<&ErrorInfo>) -> bool {
    error.is_some() && environment_failure(step, error) == UNSATISFIABLE
}

/// Why an environment did not come about.
fn environment_failure(step: &str, error: Option<&ErrorInfo>) -> &'static str {
    match (step, error.and_then(|error| error.class)) {
        ("lock", Some(FailureClass::User)) => UNSATISFIABLE,
        ("lock", _) => "not_locked",
        _ => "not_installed",
    }
}

/// The metrics that follow from an event.
pub(crate) fn count(metrics: &Metrics, event: &Event) {
    match event {
        Event::RunEnded { run, status, took_ms, error } => {
            let (ended, python) = (RunStatus::of(status.as_str()), Python::of(&run.python_version));
            metrics.workflow_executions(ended, python).increment(1);
            let duration = metrics.workflow_duration(Open::of(&run.workflow), ended, python);
            duration.record_in(*took_ms as f64 / 1e3, run.trace.as_ref());
            if matches!(status, Run::Failed | Run::TimedOut) {
                let class = error.as_ref().and_then(|e| e.class).map_or("unknown", |c| c.as_str());
                let kind = error.as_ref().map_or("unknown", |e| e.error_type.as_str());
                metrics.workflow_failures(Class::of(class), Open::of(kind)).increment(1);
                metrics.workflow_failures_by_class(Class::of(class)).increment(1);
            }
        }
        Event::NodeStarted { node, queued_ms: Some(queued), .. } => {
            metrics.schedule_to_start().record_in(queued / 1e3, node.run.trace.as_ref());
        }
        Event::NodeEnded { node, status, took_ms, phases, warm, .. } => {
            let (kind, ended) = (NodeType::of(&node.node_type), NodeStatus::of(status.as_str()));
            let trace = node.run.trace.as_ref();
            metrics.node_executions(kind, ended).increment(1);
            metrics.node_duration(kind, Open::of(&node.name), ended).record_in(*took_ms as f64 / 1e3, trace);
            if let Some(p) = phases {
                let cache = crate::labels::Cache::of(if *warm { "hit" } else { "miss" });
                let all = [
                    ("queued", p.queued_ms),
                    ("environment", p.environment_ms),
                    ("container", p.container_ms),
                    ("import", p.import_ms),
                    ("user_code", p.user_code_ms),
                    ("upload", p.upload_ms),
                ];
                for (phase, ms) in all {
                    metrics.node_phase(Phase::of(phase), cache).record_in(ms / 1e3, trace);
                }
            }
        }
        Event::NodeRetry { reason, .. } => metrics.node_retries(RetryReason::of(reason)).increment(1),
        Event::ContainerCreated { container, took_ms } => {
            metrics.container_creation(Python::of(&container.python_version)).record(took_ms / 1e3);
        }
        Event::ContainerStopped { reason, .. } => {
            metrics.container_exits(ExitReason::of(reason)).increment(1);
        }
        Event::EnvironmentPrepared { python_version, packages, took_ms, error: None, .. } => {
            let handle = metrics.dependency_installation(Python::of(python_version), PackageCount::count(*packages));
            handle.record(took_ms / 1e3);
        }
        Event::EnvironmentPrepared { step, python_version, error, .. } => {
            let reason = EnvironmentFailure::of(environment_failure(step, error.as_ref()));
            metrics.environment_failures(Python::of(python_version), reason).increment(1);
        }
        Event::TypeValidated { edges, took_ms, trace, .. } => {
            metrics.type_validation(Validation::of("edge")).record_in(took_ms / 1e3, trace.as_ref());
            for (source, target, compatible) in edges {
                let compatible = Truth::of(if *compatible { "true" } else { "false" });
                metrics.type_checks(TypeName::of(source), TypeName::of(target), compatible).increment(1);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
#[path = "emit_tests.rs"]
mod tests;
