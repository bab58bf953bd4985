//! Goal 9: what four idle services hold, and what 10,000 runs of 40 nodes add while they wait.

use anyhow::Context;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::json;

use super::{Lab, Row, chain::CHAIN, transitions::stub};
use crate::cluster::{Cluster, Shape, settle};

/// Runs that wait.
const RUNS: usize = 10_000;
/// Submissions at once.
const AT_ONCE: usize = 16;
/// Bytes of a mebibyte, which the design writes MB.
const MB: f64 = 1024.0 * 1024.0;

pub(super) async fn measure(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let idle = lab.cluster(&Shape { runtime: Some(lab.runtime.clone()), health: true, ..Shape::default() }).await?;
    let by_service = held(&idle)?;
    let sum: f64 = by_service.iter().map(|(_, held)| held).sum();
    idle.stop().await?;
    // A runner without room: what is ready waits.
    let cluster = lab.cluster(&Shape::default()).await?;
    let full = stub(&cluster, 0);
    let client = cluster.client()?;
    let what = client.register(CHAIN).await?;
    client.start(&what, &[]).await?;
    settle().await;
    let before = orchestrator(&cluster)?;
    let starts = futures_util::stream::iter(0..RUNS).map(|_| client.start(&what, &[])).buffer_unordered(AT_ONCE);
    starts.try_for_each(|_| std::future::ready(Ok(()))).await?;
    settle().await;
    let after = orchestrator(&cluster)?;
    drop(full);
    cluster.stop().await?;
    let services: serde_json::Map<String, serde_json::Value> =
        by_service.into_iter().map(|(name, held)| (name, json!(held))).collect();
    Ok(vec![
        Row::most(9, "four idle services, PSS", "100 MB", "MB", 100.0, sum).beside(json!({ "mb": services })),
        Row::most(9, "10,000 pending runs × 40 nodes", "+64 MB", "MB", 64.0, after - before)
            .beside(json!({ "before_mb": before, "after_mb": after })),
    ])
}

/// What each service holds.
fn held(cluster: &Cluster) -> anyhow::Result<Vec<(String, f64)>> {
    cluster.services()?.into_iter().map(|(name, process)| Ok((name, pss(process)?))).collect()
}

fn orchestrator(cluster: &Cluster) -> anyhow::Result<f64> {
    let held = held(cluster)?.into_iter().find(|(name, _)| name == "orchestrator");
    held.map(|(_, held)| held).context("a cluster has an orchestrator")
}

/// Proportional set size of a process: pages that several have are shared out among them.
fn pss(process: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    read(&text).with_context(|| format!("{path} has a line `Pss:`"))
}

fn read(rollup: &str) -> Option<f64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / MB)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_tells_its_share() {
        assert_eq!(super::read("5581 [rollup]\nRss: 4096 kB\nPss:   2048 kB\nPss_Dirty: 1 kB\n"), Some(2.0));
        assert_eq!(super::read(""), None);
    }
}
