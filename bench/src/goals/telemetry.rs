//! Goal 10: what telemetry costs: an event of a metric, transitions where all is told against those where nothing is, and where the
//! collector hangs against where it takes all.

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
use tokio::net::TcpListener;
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
    // It takes connections, and nobody ever reads them.
    let hangs = TcpListener::bind(("127.0.0.1", 0)).await?;
    let spans = |address: SocketAddr| Told::Spans(format!("http://{address}"));
    let shapes = [Told::Nothing, spans(collector().await?), spans(hangs.local_addr()?)];
    let mut rates = shapes.clone().map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (told, rates) in shapes.iter().zip(&mut rates) {
            let shape = Shape { told: told.clone(), ..Shape::default() };
            rates.push(transitions::written(lab, &shape).await?.rate());
        }
    }
    let beside = json!({ "nothing_told_s": rates[0], "all_told_s": rates[1], "collector_hangs_s": rates[2] });
    let [nothing, all, hung] = rates.map(|mut rates| median(&mut rates));
    let cost = |without: f64, with: f64| 100.0 * (without / with - 1.0);
    Ok(vec![
        Row::most(10, "an event of a metric", "150 ns", "ns", 150.0, without),
        Row::most(10, "the same with an exemplar", "500 ns", "ns", 500.0, with),
        Row::most(10, "transitions: all told, nothing told", "2 % of goal 4", "%", 2.0, cost(nothing, all))
            .beside(beside),
        Row::most(10, "transitions: the collector hangs, it takes all", "2 % of goal 4", "%", 2.0, cost(all, hung)),
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
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let serve = Server::builder().add_service(TraceServiceServer::new(Sink));
    tokio::spawn(serve.serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)));
    Ok(address)
}
