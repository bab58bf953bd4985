//! Spans with given ids, through the SDK, to OTLP or to a test.

use std::{cell::RefCell, str::FromStr as _};

use opentelemetry::{
    Context, KeyValue, SpanId, TraceId,
    trace::{
        Event, Link, Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, TraceState, Tracer as _,
        TracerProvider as _,
    },
};
use opentelemetry_otlp::{
    WithExportConfig as _, WithTonicConfig as _,
    tonic_types::transport::{Certificate, ClientTlsConfig},
};
use opentelemetry_sdk::{
    Resource,
    trace::{
        IdGenerator, RandomIdGenerator, SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample, SpanExporter,
    },
};
use serde_json::Value;

use crate::{
    otel::Otel,
    outbox::{Fate, Outbox},
    traces::{Kind, SpanRecord, TraceContext},
};

thread_local! { static PINNED: RefCell<Option<Pinning>> = const { RefCell::new(None) }; }

/// What the next span of a thread is given.
struct Pinning {
    trace: TraceId,
    span: SpanId,
    state: TraceState,
}

/// Gives the pinned ids while a pin stands, else random ones.
#[derive(Debug, Default)]
struct Pinned(RandomIdGenerator);

impl IdGenerator for Pinned {
    fn new_trace_id(&self) -> TraceId {
        PINNED
            .with_borrow(|pinned| pinned.as_ref().map(|pinning| pinning.trace))
            .unwrap_or_else(|| self.0.new_trace_id())
    }
    fn new_span_id(&self) -> SpanId {
        PINNED.with_borrow(|pinned| pinned.as_ref().map(|pinning| pinning.span)).unwrap_or_else(|| self.0.new_span_id())
    }
}

/// Every span that is recorded leaves: whether it is was decided where its trace began. A root has the pinned vendors' list too, which it
/// has from no parent.
#[derive(Clone, Debug)]
struct All;

impl ShouldSample for All {
    fn should_sample(
        &self,
        _: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let pinned = PINNED.with_borrow(|pinned| pinned.as_ref().map(|pinning| pinning.state.clone()));
        SamplingResult {
            decision: SamplingDecision::RecordAndSample,
            attributes: Vec::new(),
            trace_state: pinned.unwrap_or_default(),
        }
    }
}

/// Pins ids for one synchronous scope: dropped, the next root of this thread is fresh.
struct Pin;

impl Pin {
    fn set(pinning: Pinning) -> Self {
        PINNED.set(Some(pinning));
        Self
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        PINNED.set(None);
    }
}

/// A provider that sends to an OTLP receiver in batches.
pub(crate) fn otlp(
    endpoint: String,
    otel: &Otel,
    (service, version): (String, &'static str),
    fate: Fate,
) -> Result<SdkTracerProvider, String> {
    let version = KeyValue::new("service.version", version);
    let resource = Resource::builder().with_service_name(service).with_attribute(version).build();
    let tls = endpoint.starts_with("https://").then(|| tls(otel)).transpose()?;
    let of = resource.clone();
    let outbox = Outbox::start(fate, move || {
        let mut builder = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint);
        if let Some(tls) = tls {
            builder = builder.with_tls_config(tls);
        }
        let mut exporter = builder.build().map_err(|error| error.to_string())?;
        exporter.set_resource(&of);
        Ok(exporter)
    })?;
    Ok(provider().with_resource(resource).with_span_processor(outbox).build())
}

/// What a receiver's certificate is held to.
fn tls(otel: &Otel) -> Result<ClientTlsConfig, String> {
    let path = otel.certificate.as_ref().ok_or("for https, name the authority in OTEL_EXPORTER_OTLP_CERTIFICATE")?;
    let pem = std::fs::read(path).map_err(|error| format!("read `{}`: {error}", path.display()))?;
    Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
}

fn provider() -> opentelemetry_sdk::trace::TracerProviderBuilder {
    SdkTracerProvider::builder().with_id_generator(Pinned::default()).with_sampler(All)
}

/// A provider that sends each span at once, for tests.
pub(crate) fn simple<E: SpanExporter + 'static>(exporter: E) -> SdkTracerProvider {
    provider().with_simple_exporter(exporter).build()
}

/// Sends a span; says whether its ids were ids.
pub(crate) fn record(provider: &SdkTracerProvider, component: &'static str, span: SpanRecord) -> bool {
    let context = TraceContext {
        trace_id: span.trace_id,
        span_id: span.span_id,
        sampled: span.sampled,
        tracestate: span.tracestate,
    };
    let Some((trace, id, flags)) = context.ids() else { return false };
    // A list that is none is left out, as the standard says.
    let state = TraceState::from_str(&context.tracestate).unwrap_or_default();
    let parent = match span.parent_span_id.as_deref().map(SpanId::from_hex) {
        Some(Ok(parent)) => {
            Context::new().with_remote_span_context(SpanContext::new(trace, parent, flags, true, state.clone()))
        }
        _ => Context::new(),
    };
    let links = span.links.iter().filter_map(|link| {
        let (trace, id, flags) = link.ids()?;
        Some(Link::new(SpanContext::new(trace, id, flags, true, TraceState::default()), Vec::new(), 0))
    });
    let tracer = provider.tracer("qflow");
    let mut attributes = key_values(span.attributes);
    attributes.push(KeyValue::new("qflow.component", component));
    let kind = match span.kind {
        Kind::Internal => SpanKind::Internal,
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
    };
    let events = span.events.into_iter().map(|e| Event::new(e.name, e.at, key_values(e.attributes), 0)).collect();
    let builder = tracer
        .span_builder(span.name)
        .with_kind(kind)
        .with_start_time(span.start)
        .with_attributes(attributes)
        .with_events(events)
        .with_links(links.collect());
    let mut started = {
        let _pin = Pin::set(Pinning { trace, span: id, state });
        builder.start_with_context(&tracer, &parent)
    };
    if let Some(error) = span.error {
        started.set_status(Status::error(error));
    }
    started.end_with_timestamp(span.end);
    true
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
pub struct Collected(std::sync::Arc<std::sync::Mutex<Vec<opentelemetry_sdk::trace::SpanData>>>);

impl Collected {
    /// The spans so far.
    pub fn spans(&self) -> Vec<opentelemetry_sdk::trace::SpanData> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl SpanExporter for Collected {
    async fn export(&self, batch: Vec<opentelemetry_sdk::trace::SpanData>) -> opentelemetry_sdk::error::OTelSdkResult {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(batch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_span_keeps_its_ids_with_and_without_a_parent_and_the_next_root_is_fresh() {
        let collected = Collected::default();
        let provider = simple(collected.clone());
        let root = TraceContext { tracestate: "vendor=1".into(), ..TraceContext::root() };
        let child = root.child();
        let at = SystemTime::UNIX_EPOCH;
        let with_parent = SpanRecord::new("node_execution", &child, at, at).child_of(root.span_id.clone());
        assert!(record(&provider, "test", with_parent));
        assert!(record(&provider, "test", SpanRecord::new("workflow_execution", &root, at, at)));
        provider.tracer("x").start("fresh").end();
        let spans = collected.spans();
        assert_eq!(spans[0].span_context.span_id().to_string(), child.span_id);
        assert_eq!(spans[0].parent_span_id.to_string(), root.span_id);
        for span in &spans[..2] {
            assert_eq!(span.span_context.trace_state().header(), "vendor=1", "{}", span.name);
        }
        assert_eq!(spans[1].span_context.span_id().to_string(), root.span_id);
        assert_eq!(spans[1].span_context.trace_id().to_string(), root.trace_id);
        assert_ne!(spans[2].span_context.trace_id().to_string(), root.trace_id);
        assert_ne!(spans[2].span_context.span_id().to_string(), root.span_id);
    }
}
