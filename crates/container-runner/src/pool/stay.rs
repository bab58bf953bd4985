//! A container's span: from when it was asked for until it is gone, below the first attempt in it.

use qflow_model::ids::Timestamp;
use qflow_proto::order::Order;
use qflow_telemetry::{Event, SpanRecord, TraceContext, traces::system_time};

use super::{Pool, State};

/// What is known of a container's span until it ends; kept with the container, so that the next runner can end it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Stay {
    /// The first attempt's span, which is the parent.
    attempt: TraceContext,
    /// When that attempt asked for a container.
    asked: Timestamp,
    /// When it had this one.
    had: Timestamp,
    /// What the container may use.
    limits: String,
}

impl Stay {
    /// The stay that begins with an attempt, where its trace is recorded.
    pub(super) fn of(order: &Order, asked: Timestamp, had: Timestamp) -> Option<Self> {
        let attempt = TraceContext::parse(&order.traceparent).filter(|attempt| attempt.sampled)?;
        let (memory, cpus, pids) = (order.resources.memory_bytes, order.resources.cpu_millis, order.resources.pids);
        Some(Self { attempt, asked, had, limits: format!("memory={memory} cpus={cpus}m pids={pids}") })
    }

    /// The span of a container that is gone now, and why.
    pub(super) fn span(&self, state: &State, reason: &str, exit_code: Option<i32>, gone: Timestamp) -> SpanRecord {
        let [asked, had, gone] = [self.asked, self.had, gone].map(system_time);
        let failed = matches!(reason, "oom" | "exited").then(|| format!("the container ended: {reason}"));
        let mut span = SpanRecord::new("container_management", &self.attempt.child(), asked, gone)
            .child_of(self.attempt.span_id.clone())
            .with("container_id", state.id.clone())
            .with("container.id", state.id.clone())
            .with("container.image.name", state.spec.image.clone())
            .with("python_version", state.spec.python.to_string())
            .with("resource_limits", self.limits.clone())
            .with("container.attempts", state.attempts)
            .with("reason", reason)
            .event("container_created", asked)
            .event("container_started", had)
            .event("container_stopped", gone)
            .error(failed);
        if let Some(code) = exit_code {
            span = span.with("exit_code", code);
        }
        span
    }
}

impl Pool {
    /// Tells that a container is gone.
    pub fn stopped(&self, state: &State, reason: &str, exit_code: Option<i32>) {
        if let Some(stay) = &state.stay {
            self.telemetry.record_span(stay.span(state, reason, exit_code, self.clock.now()));
        }
        let (container, reason) = (state.reference(), reason.to_owned());
        self.telemetry.emit(Event::ContainerStopped { container, reason, exit_code: exit_code.map(i64::from) });
    }
}
