//! Goal 2: what a node costs in a fresh container, while the pool holds some.

use std::time::Duration;

use serde_json::json;

use super::{Lab, Row};
use crate::{clock::median, floors::Floor};

/// As many nodes as the pool holds containers, each in one of its own.
const FRESH: &str = include_str!("../../workflows/fresh.py");
/// How long the pool may take to be full again.
const REFILL: Duration = Duration::from_secs(4);
/// Milliseconds within which a container of the pool is handed out.
const HANDED: f64 = 5.0;
/// How often it is emptied.
const ROUNDS: u32 = 5;

pub(super) async fn measure(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let floors = [Floor::F, Floor::K, Floor::R, Floor::W];
    lab.floors(&floors).await;
    let cluster = lab.running().await?;
    let client = cluster.client()?;
    let (what, mut gaps, mut containers) = (client.register(FRESH).await?, Vec::new(), Vec::new());
    client.run(&what, &[]).await?;
    for _ in 0..ROUNDS {
        tokio::time::sleep(REFILL).await;
        let ended = client.run(&what, &[]).await?;
        gaps.extend(ended.gaps());
        containers.extend(ended.phase("container_ms")?);
    }
    cluster.stop().await?;
    lab.floors(&floors).await;
    let of = |floor| lab.floors.of(floor);
    let gate = 2.0 * (of(Floor::F)? + of(Floor::K)? + 2.0 * of(Floor::R)?) + 5.0;
    let row = Row::most(2, "fresh container, pool warm, p50", "goal 1 + 5 ms", "ms", gate, median(&mut gaps));
    let least = of(Floor::W)? + of(Floor::K)? + 2.0 * of(Floor::R)?;
    // While the pool holds containers none is started for an attempt: what it waits for is only to be handed one.
    let longest = containers.iter().copied().fold(0.0, f64::max);
    let refill = Row::most(2, "fresh container, pool warm: longest wait for one", "5 ms", "ms", HANDED, longest);
    let beside =
        json!({ "waited_for_a_container_ms": median(&mut containers), "w_and_commit_and_two_calls_ms": least });
    Ok(vec![row.beside(beside), refill])
}
