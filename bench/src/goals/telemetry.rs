//! Goal 10: what telemetry costs: an event of a metric, and transitions where all is told against those where nothing is.

use std::{hint::black_box, net::SocketAddr};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use qflow_telemetry::{
    Telemetry, TraceContext,
    labels::{Open, Python},
};
use serde_json::json;
use tonic::{Request, Response, Status, transport::Server};

use super::{Lab, Row, transitions};
use crate::{
    clock::{median, now},
    cluster::{Shape, Told},
};

/// Events of a measurement.
const EVENTS: u32 = 2_000_000;
/// How often transitions are measured each way, one after the other: they swing by more than what is looked for.
const ROUNDS: u32 = 3;

pub(super) async fn measure(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let (without, with) =
        tokio::task::spawn_blocking(|| (event_ns(None), event_ns(Some(&TraceContext::root())))).await?;
    let collector = collector().await?;
    let (mut nothing, mut all) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (told, rates) in [(Told::Nothing, &mut nothing), (Told::Spans(format!("http://{collector}")), &mut all)] {
            rates.push(transitions::written(lab, &Shape { told, ..Shape::default() }).await?.rate());
        }
    }
    let beside = json!({ "all_told_s": all, "nothing_told_s": nothing });
    let cost = 100.0 * (median(&mut nothing) / median(&mut all) - 1.0);
    Ok(vec![
        Row::most(10, "an event of a metric", "150 ns", "ns", 150.0, without),
        Row::most(10, "the same with an exemplar", "500 ns", "ns", 500.0, with),
        Row::most(10, "transitions: all told, nothing told", "2 % of goal 4", "%", 2.0, cost).beside(beside),
    ])
}

/// Nanoseconds to record a value at a handle that is kept, as hot paths keep theirs.
fn event_ns(trace: Option<&TraceContext>) -> f64 {
    let telemetry = Telemetry::silent();
    let handle = telemetry.metrics().python_execution(Python::of("3.13"), Open::of("each"));
    let begun = now();
    for n in 0..EVENTS {
        handle.record_in(black_box(f64::from(n % 1000) / 1e3), trace);
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(EVENTS)
}

/// Takes spans, and does nothing with them.
struct Sink;

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// The address of a collector that takes all.
async fn collector() -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let serve = Server::builder().add_service(TraceServiceServer::new(Sink));
    tokio::spawn(serve.serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)));
    Ok(address)
}
