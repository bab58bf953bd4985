//! Goal 1: what a node costs beside its own work, one after another.

use serde_json::json;

use super::{Lab, Row};
use crate::{
    client::{Client, What},
    clock::{median, quantile},
    floors::Floor,
};

/// Forty nodes, each after the one before.
pub(super) const CHAIN: &str = include_str!("../../workflows/chain.py");

/// What chains came to, in milliseconds.
pub(super) struct Chains {
    pub(super) p50: f64,
    pub(super) p99: f64,
    whole: f64,
}

pub(super) async fn measure(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let floors = [Floor::F, Floor::K, Floor::R, Floor::H, Floor::W];
    lab.floors(&floors).await;
    let cluster = lab.running().await?;
    let chains = chains(&cluster.client()?, lab.rounds).await?;
    cluster.stop().await?;
    lab.floors(&floors).await;
    told(lab, "cluster", Floor::K, &chains)
}

/// The rows of a shape whose commits are held to a floor.
pub(super) fn told(lab: &Lab, shape: &str, commit: Floor, chains: &Chains) -> anyhow::Result<Vec<Row>> {
    let of = |floor| lab.floors.of(floor);
    let gate = 2.0 * (of(Floor::F)? + of(commit)? + 2.0 * of(Floor::R)?);
    // What a fork alone does not have, and no attempt can do without, told beside the gate.
    let least = of(Floor::W).ok().zip(of(commit).ok()).zip(of(Floor::R).ok()).map(|((w, k), r)| w + k + 2.0 * r);
    let rule = format!("2 × (F + {commit:?} + 2R)");
    Ok(vec![
        Row::most(1, &format!("node overhead p50, {shape}"), &rule, "ms", gate, chains.p50)
            .beside(json!({ "w_and_commit_and_two_calls_ms": least })),
        Row::most(1, &format!("node overhead p99, {shape}"), "5 × p50", "ms", 5.0 * chains.p50, chains.p99),
        Row::most(1, &format!("40 nodes, {shape}"), "150 ms, where a commit is fast", "ms", 150.0, chains.whole),
    ])
}

/// Runs the chain some times, and once before, for what only the first one pays.
pub(super) async fn chains(client: &Client, rounds: u32) -> anyhow::Result<Chains> {
    let (what, mut gaps, mut spans) = (client.register(CHAIN).await?, Vec::new(), Vec::new());
    client.run(&what, &[]).await?;
    for _ in 0..rounds {
        let ended = client.run(&What::clone(&what), &[]).await?;
        gaps.extend(ended.gaps());
        spans.push(ended.span());
    }
    Ok(Chains { p50: median(&mut gaps), p99: quantile(&mut gaps, 0.99), whole: median(&mut spans) })
}
