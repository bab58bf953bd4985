//! Goal 5: a hundred nodes at once, in containers.

use serde_json::json;

use super::{
    Lab, Row,
    transitions::{MANY, numbers},
};
use crate::{
    clock::{median, ms, now},
    floors::Floor,
};

/// Nodes at once.
const WIDE: usize = 100;
/// How long the pool may take to be full again.
const REFILL: std::time::Duration = std::time::Duration::from_secs(4);
/// How often.
const ROUNDS: u32 = 5;

pub(super) async fn measure(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let floors = [Floor::T, Floor::K, Floor::A, Floor::V];
    lab.floors(&floors).await;
    let cluster = lab.running().await?;
    let client = cluster.client()?;
    let (what, parameters, mut took, mut containers) = (client.register(MANY).await?, numbers(WIDE), Vec::new(), 0);
    client.run(&what, &parameters).await?;
    for _ in 0..ROUNDS {
        tokio::time::sleep(REFILL).await;
        let begun = now();
        let ended = client.run(&what, &parameters).await?;
        took.push(ended.ends.last().map_or(0.0, |last| ms(last.duration_since(begun))));
        let names: std::collections::BTreeSet<_> = ended.nodes.iter().map(|node| &node.container_id).collect();
        containers = names.len();
    }
    cluster.stop().await?;
    lab.floors(&floors).await;
    let gate = 1.5 * WIDE as f64 / lab.floors.of(Floor::T)? * 1e3 + 4.0 * lab.floors.of(Floor::K)?;
    let row = Row::most(5, "100-way fan-out, started to ended", "1.5 × 100/T + 4K", "ms", gate, median(&mut took));
    let least = lab.floors.of(Floor::V).ok().map(|rate| WIDE as f64 / rate * 1e3);
    Ok(vec![row.beside(json!({ "rounds_ms": took, "containers": containers, "a_hundred_by_v_ms": least }))])
}
