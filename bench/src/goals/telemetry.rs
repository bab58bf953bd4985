//! Goal 10: what telemetry costs: an event of a metric, transitions where all is told against those where nothing is, and where the
//! collector hangs against where it takes all.

use std::{hint::black_box, net::SocketAddr, time::Duration};

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

use super::{Lab, Row, transitions::Desk};
use crate::{
    clock::{median, now},
    cluster::{Shape, Told},
};

/// Events of a measurement.
const EVENTS: u32 = 2_000_000;
/// Rounds in which transitions are measured each way: at least so many, and then until what is looked for is above the noise, or so many.
const ROUNDS: (usize, usize) = (8, 40);
/// For how long rounds go on: what is known by then is told.
const TIME: Duration = Duration::from_mins(4);
/// Per cent that telemetry may cost.
const GATE: f64 = 2.0;

pub(super) async fn measure(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let (without, with) =
        tokio::task::spawn_blocking(|| (event_ns(None), event_ns(Some(&TraceContext::root())))).await?;
    // It takes connections, and nobody ever reads them.
    let hangs = TcpListener::bind(("127.0.0.1", 0)).await?;
    let spans = |address: SocketAddr| Told::Spans(format!("http://{address}"));
    let shapes = [Told::Nothing, spans(collector().await?), spans(hangs.local_addr()?)];
    let mut desks = Vec::new();
    for told in shapes {
        desks.push(Desk::open(lab, &Shape { told, ..Shape::default() }).await?);
    }
    let mut rates: [Vec<f64>; 3] = Default::default();
    let began = now();
    'rounds: while !is_enough(&rates) {
        // Each takes each place: what comes and goes on the machine falls on all alike.
        let round = rates[0].len();
        for turn in 0..desks.len() {
            if began.elapsed() >= TIME {
                break 'rounds;
            }
            let at = (turn + round) % desks.len();
            rates[at].push(desks[at].written().await?.rate());
        }
        eprintln!("goal 10: round {}", round + 1);
    }
    for desk in desks {
        desk.close().await?;
    }
    let mut rows = vec![
        Row::most(10, "an event of a metric", "150 ns", "ns", 150.0, without),
        Row::most(10, "the same with an exemplar", "500 ns", "ns", 500.0, with),
    ];
    let [nothing, all, hung] = &rates;
    for (what, before, after) in [
        ("transitions: all told, nothing told", nothing, all),
        ("transitions: the collector hangs, it takes all", all, hung),
    ] {
        let (cost, noise) = cost(before, after);
        if is_sure(cost, noise) {
            let beside = json!({ "noise": noise, "before_s": before, "after_s": after });
            rows.push(Row::most(10, what, "2 % of goal 4", "%", GATE, cost).beside(beside));
        } else {
            let swings = format!("{what}: {cost:.1} %, ± {noise:.1} after {} rounds", before.len());
            let known = lab.failed.entry(10).or_insert_with(|| "the machine swings too much".to_owned());
            known.push_str(&format!("; {swings}"));
        }
    }
    Ok(rows)
}

/// Whether the noise of both figures is below half their gate, or can be helped no more.
fn is_enough(rates: &[Vec<f64>; 3]) -> bool {
    let [nothing, all, hung] = rates;
    let rounds = nothing.len().min(all.len()).min(hung.len());
    let quiet = || [cost(nothing, all), cost(all, hung)].iter().all(|(_, noise)| *noise < GATE / 2.0);
    rounds >= ROUNDS.1 || rounds >= ROUNDS.0 && quiet()
}

/// Per cent by which the second are slower than the first, and how far that may be off (at 95 %): the medians of ratios of one round each,
/// and what these differ from it by.
fn cost(before: &[f64], after: &[f64]) -> (f64, f64) {
    let mut costs: Vec<f64> = before.iter().zip(after).map(|(before, after)| 100.0 * (before / after - 1.0)).collect();
    let middle = median(&mut costs);
    if costs.len() < ROUNDS.0 {
        return (middle, f64::INFINITY);
    }
    let mut off: Vec<f64> = costs.iter().map(|cost| (cost - middle).abs()).collect();
    // 1.4826: from the median of differences to a standard deviation; 1.2533: from that of a mean to that of a median.
    let noise = 1.96 * 1.2533 * 1.4826 * median(&mut off) / (costs.len() as f64).sqrt();
    (middle, noise)
}

/// Whether a figure says something: it is above the noise, or so far from the gate that the noise decides nothing.
fn is_sure(cost: f64, noise: f64) -> bool {
    noise < GATE || (cost - GATE).abs() > noise
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_swings_more_than_the_gate_says_nothing_and_more_rounds_help() {
        let (before, steady) = (vec![101.0; 8], vec![100.0; 8]);
        let (found, noise) = cost(&before, &steady);
        assert!((found - 1.0).abs() < 1e-9 && noise < 1e-9);
        assert!(cost(&before[..2], &steady[..2]).1 > GATE, "two that agree are chance");
        let swings = |rounds: usize| (0..rounds).map(|n| if n % 2 == 0 { 97.0 } else { 103.0 }).collect::<Vec<_>>();
        let noise = |rounds| cost(&vec![100.0; rounds], &swings(rounds)).1;
        assert!(noise(8) > GATE && noise(800) < GATE, "{} {}", noise(8), noise(800));
    }

    #[test]
    fn what_is_far_from_the_gate_is_told_whatever_the_noise() {
        assert!(is_sure(35.8, 4.0) && is_sure(-8.7, 4.0) && is_sure(2.5, 1.0));
        assert!(!is_sure(4.0, 4.0) && !is_sure(0.0, f64::INFINITY));
    }

    #[test]
    fn rounds_go_on_until_both_figures_are_above_the_noise() {
        let steady = |rounds| [vec![100.0; rounds], vec![100.0; rounds], vec![100.0; rounds]];
        assert!(!is_enough(&steady(ROUNDS.0 - 1)) && is_enough(&steady(ROUNDS.0)));
        let mut swings = steady(ROUNDS.0);
        swings[2] = (0..ROUNDS.0).map(|n| 80.0 + 5.0 * n as f64).collect();
        assert!(!is_enough(&swings));
    }
}
