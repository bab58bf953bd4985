//! Spans of calls: between services, over HTTP, to a database. Each stands in its caller's trace; where nobody records that, there is none.

use std::time::SystemTime;

use serde_json::Value;

use crate::{
    Telemetry,
    traces::{Kind, SpanRecord, TraceContext},
};

/// A call under way, whose span leaves with its end.
pub struct Call {
    telemetry: Telemetry,
    own: TraceContext,
    caller: String,
    kind: Kind,
    start: SystemTime,
}

/// How a call ended, by which its span is named and described.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// The span's name: of few values, e.g. a method's.
    pub name: String,
    /// Facts, under the names of the semantic conventions.
    pub facts: Vec<(&'static str, Value)>,
    /// What kind of error ended it, where one did.
    pub error: Option<String>,
}

#[expect(clippy::disallowed_methods, reason = "a span carries the wall time of its call")]
fn now() -> SystemTime {
    SystemTime::now()
}

impl Telemetry {
    /// Begins a call in a trace; nothing where nobody takes spans, or nobody records that trace.
    pub fn call(&self, trace: Option<&TraceContext>, kind: Kind) -> Option<Call> {
        let caller = trace.filter(|trace| trace.sampled && self.takes_spans())?;
        Some(Call { telemetry: self.clone(), own: caller.child(), caller: caller.span_id.clone(), kind, start: now() })
    }
}

impl Call {
    /// Where what is done for the call stands.
    pub fn context(&self) -> &TraceContext {
        &self.own
    }

    /// Ends it.
    pub fn end(self, ended: Ended) {
        let mut span = SpanRecord::new(ended.name, &self.own, self.start, now()).child_of(self.caller);
        span.kind = self.kind;
        span.attributes.extend(ended.facts.into_iter().map(|(name, value)| (name.to_owned(), value)));
        if let Some(error) = &ended.error {
            span = span.with("error.type", error.as_str());
        }
        self.telemetry.record_span(span.error(ended.error));
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanKind, Status};

    use super::*;

    #[test]
    fn a_call_stands_below_its_caller_and_says_how_it_ended() {
        let (telemetry, collected) = Telemetry::collecting();
        let caller = TraceContext::root();
        let call = telemetry.call(Some(&caller), Kind::Client).unwrap();
        let below = call.context().clone();
        call.end(Ended {
            name: "GET".into(),
            facts: vec![("db.system.name", "redis".into())],
            error: Some("timeout".into()),
        });
        let spans = collected.spans();
        assert_eq!((spans.len(), spans[0].name.as_ref(), &spans[0].span_kind), (1, "GET", &SpanKind::Client));
        assert_eq!(spans[0].parent_span_id.to_string(), caller.span_id);
        assert_eq!(spans[0].span_context.span_id().to_string(), below.span_id);
        assert_eq!(spans[0].status, Status::error("timeout"));
        let facts: Vec<String> =
            spans[0].attributes.iter().map(|fact| format!("{}={}", fact.key, fact.value)).collect();
        assert_eq!(facts, ["db.system.name=redis", "error.type=timeout", "qflow.component=test"]);
    }

    #[test]
    fn where_nobody_records_a_trace_or_takes_spans_there_is_no_call() {
        let (telemetry, collected) = Telemetry::collecting();
        let unsampled = TraceContext { sampled: false, ..TraceContext::root() };
        assert!(telemetry.call(Some(&unsampled), Kind::Server).is_none());
        assert!(telemetry.call(None, Kind::Server).is_none());
        assert!(Telemetry::silent().call(Some(&TraceContext::root()), Kind::Server).is_none());
        assert!(collected.spans().is_empty());
    }
}
