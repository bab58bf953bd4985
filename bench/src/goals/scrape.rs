//! Goal 11: what `/metrics` costs who asks for it, and the nodes that run meanwhile.

use std::{hint::black_box, net::SocketAddr, time::Duration};

use anyhow::Context;
use qflow_telemetry::{
    Telemetry, TraceContext,
    labels::{Open, Python},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Lab, Row, chain::chains};
use crate::clock::{median, ms, now};

/// Functions whose series are written: as many as a row has.
const FUNCTIONS: u32 = 1_000;
/// How often a text is written.
const TEXTS: u32 = 50;
/// Between two scrapes while nodes run: a hundred times as often as Prometheus asks.
const EVERY: Duration = Duration::from_millis(150);

pub(super) async fn measure(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let (ours, exporters) = tokio::task::spawn_blocking(texts).await?;
    let cluster = lab.running().await?;
    let client = cluster.client()?;
    let quiet = chains(&client, lab.rounds).await?;
    let scraper = tokio::spawn(scrape(cluster.admin));
    let scraped = chains(&client, lab.rounds).await?;
    anyhow::ensure!(!scraper.is_finished(), "/metrics did not answer: {:?}", scraper.await);
    scraper.abort();
    cluster.stop().await?;
    let beside = json!({ "p50_quiet_ms": quiet.p50, "p50_scraped_ms": scraped.p50 });
    Ok(vec![
        Row::most(11, "text of /metrics", "1.3 × the exporter's", "ms", 1.3 * exporters, ours),
        Row::most(11, "node overhead p99, scraped", "1.1 × p99 unscraped", "ms", 1.1 * quiet.p99, scraped.p99)
            .beside(beside),
    ])
}

/// Milliseconds that the text of `/metrics` takes, and those that the exporter's own takes.
fn texts() -> (f64, f64) {
    let telemetry = Telemetry::silent();
    for n in 0..FUNCTIONS {
        let handle = telemetry.metrics().python_execution(Python::of("3.13"), Open::of(&format!("function_{n}")));
        (0..100_u32).for_each(|i| handle.record_in(f64::from(i) / 10.0, Some(&TraceContext::root())));
    }
    let (mut ours, mut exporters) = (Vec::new(), Vec::new());
    for _ in 0..TEXTS {
        let begun = now();
        black_box(telemetry.render(None));
        ours.push(ms(begun.elapsed()));
        let begun = now();
        black_box(telemetry.exporter_text());
        exporters.push(ms(begun.elapsed()));
    }
    (median(&mut ours), median(&mut exporters))
}

/// Asks for the metrics again and again.
async fn scrape(admin: SocketAddr) -> anyhow::Result<()> {
    loop {
        let mut stream = TcpStream::connect(admin).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "{}", answer.lines().next().context("an answer")?);
        tokio::time::sleep(EVERY).await;
    }
}
