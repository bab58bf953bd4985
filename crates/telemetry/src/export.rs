//! Spans with given ids as the SDK's exporters take them, to OTLP or to a test.

use std::{
    str::FromStr as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId,
    trace::{Event, Link, SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_otlp::{
    WithExportConfig as _, WithTonicConfig as _,
    tonic_types::transport::{Certificate, ClientTlsConfig},
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks},
};
use serde_json::Value;

use crate::{
    otel::Otel,
    outbox::{Fate, Outbox},
    traces::{Kind, SpanRecord, TraceContext},
};

/// Where spans go.
pub(crate) enum Spans {
    /// To an OTLP receiver.
    Out(Outbox),
    /// To a test.
    Kept(Collected),
}

impl Spans {
    /// Takes a span that has ended.
    pub(crate) fn take(&self, component: &'static str, span: SpanRecord) {
        match self {
            Self::Out(outbox) => outbox.take(component, span),
            Self::Kept(collected) => collected.keep(data(component, span)),
        }
    }

    /// Waits for what was taken before to leave, within a bound.
    pub(crate) fn flush(&self, bound: Duration) {
        if let Self::Out(outbox) = self {
            outbox.flush(bound);
        }
    }
}

/// What sends to an OTLP receiver in batches.
pub(crate) fn otlp(
    endpoint: String,
    otel: &Otel,
    (service, version): (String, &'static str),
    fate: Fate,
) -> Result<Outbox, String> {
    let version = KeyValue::new("service.version", version);
    let resource = Resource::builder().with_service_name(service).with_attribute(version).build();
    let tls = endpoint.starts_with("https://").then(|| tls(otel)).transpose()?;
    Outbox::start(fate, otel.timeout, move || {
        let mut builder = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint);
        if let Some(tls) = tls {
            builder = builder.with_tls_config(tls);
        }
        let mut exporter = builder.build().map_err(|error| error.to_string())?;
        exporter.set_resource(&resource);
        Ok(exporter)
    })
}

/// What a receiver's certificate is held to.
fn tls(otel: &Otel) -> Result<ClientTlsConfig, String> {
    let path = otel.certificate.as_ref().ok_or("for https, name the authority in OTEL_EXPORTER_OTLP_CERTIFICATE")?;
    let pem = std::fs::read(path).map_err(|error| format!("read `{}`: {error}", path.display()))?;
    Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
}

/// A span as exporters take it; nothing where its ids are none. Every span that comes here leaves: whether it is recorded was decided where
/// its trace began.
pub(crate) fn data(component: &'static str, span: SpanRecord) -> Option<SpanData> {
    let context = TraceContext {
        trace_id: span.trace_id,
        span_id: span.span_id,
        sampled: span.sampled,
        tracestate: span.tracestate,
    };
    let (trace, id, flags) = context.ids()?;
    // A list that is none is left out, as the standard says.
    let state = TraceState::from_str(&context.tracestate).unwrap_or_default();
    let parent = span.parent_span_id.as_deref().and_then(|parent| SpanId::from_hex(parent).ok());
    let mut attributes = key_values(span.attributes);
    attributes.push(KeyValue::new("qflow.component", component));
    let (mut events, mut links) = (SpanEvents::default(), SpanLinks::default());
    events.events = span.events.into_iter().map(|e| Event::new(e.name, e.at, key_values(e.attributes), 0)).collect();
    links.links = span
        .links
        .iter()
        .filter_map(|link| {
            let (trace, id, flags) = link.ids()?;
            Some(Link::new(SpanContext::new(trace, id, flags, true, TraceState::default()), Vec::new(), 0))
        })
        .collect();
    Some(SpanData {
        span_context: SpanContext::new(trace, id, flags, false, state),
        parent_span_id: parent.unwrap_or(SpanId::INVALID),
        parent_span_is_remote: parent.is_some(),
        span_kind: match span.kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        },
        name: span.name.into(),
        start_time: span.start,
        end_time: span.end,
        attributes,
        dropped_attributes_count: 0,
        events,
        links,
        status: span.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder("qflow").build(),
    })
}

fn key_values(facts: Vec<(String, Value)>) -> Vec<KeyValue> {
    let one = |(name, value): (String, Value)| match value {
        Value::Bool(b) => KeyValue::new(name, b),
        Value::Number(n) if n.is_i64() => KeyValue::new(name, n.as_i64().unwrap_or_default()),
        Value::Number(n) => KeyValue::new(name, n.as_f64().unwrap_or_default()),
        Value::String(s) => KeyValue::new(name, s),
        other => KeyValue::new(name, other.to_string()),
    };
    facts.into_iter().map(one).collect()
}

/// What a span exporter got, for tests.
#[derive(Clone, Debug, Default)]
pub struct Collected(Arc<Mutex<Vec<SpanData>>>);

impl Collected {
    /// The spans so far.
    pub fn spans(&self) -> Vec<SpanData> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, span: Option<SpanData>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_span_keeps_its_ids_with_and_without_a_parent() {
        let root = TraceContext { tracestate: "vendor=1".into(), ..TraceContext::root() };
        let child = root.child();
        let at = SystemTime::UNIX_EPOCH;
        let with_parent = SpanRecord::new("node_execution", &child, at, at).child_of(root.span_id.clone());
        let spans =
            [with_parent, SpanRecord::new("workflow_execution", &root, at, at)].map(|span| data("test", span).unwrap());
        assert_eq!(spans[0].span_context.span_id().to_string(), child.span_id);
        assert_eq!(spans[0].parent_span_id.to_string(), root.span_id);
        for span in &spans {
            assert_eq!(span.span_context.trace_state().header(), "vendor=1", "{}", span.name);
        }
        assert_eq!(spans[1].span_context.span_id().to_string(), root.span_id);
        assert_eq!(spans[1].span_context.trace_id().to_string(), root.trace_id);
        assert_eq!(spans[1].parent_span_id, SpanId::INVALID);
        let no_ids = TraceContext { span_id: "none".into(), ..root };
        assert!(data("test", SpanRecord::new("workflow_execution", &no_ids, at, at)).is_none());
    }
}
