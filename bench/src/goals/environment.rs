//! Goal 7: what a node waits for its packages, where they are installed already and where nobody has asked for them before.

use anyhow::Context;
use serde_json::json;

use super::{Lab, Row, chain::CHAIN};
use crate::{
    client::{Client, What},
    clock::{median, ms, now, now_seconds},
    floors::{Docker, Floor, cold_s},
};

/// One node with packages.
const PACKAGES: &str = include_str!("../../workflows/packages.py");
/// Versions of one of them: the set is another one at each measurement.
const VERSIONS: [&str; 6] = ["2.31.0", "2.32.0", "2.32.2", "2.32.3", "2.32.4", "2.32.5"];
/// Where builders keep what they fetched, on Docker.
const CACHE: &str = "qflow-uv-cache";
/// The version of Python that is installed for.
const PYTHON: &str = "3.13";
/// How often a known set is asked for.
const ROUNDS: u32 = 5;

pub(super) async fn measure(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    anyhow::ensure!(lab.runtime == "docker", "goal 7 is Docker's: --runtime docker");
    let version = VERSIONS[now_seconds() as usize / 60 % VERSIONS.len()];
    let source = PACKAGES.replace("REQUESTS", version);
    let requirements = requirements(&source)?;
    lab.floors.note(Floor::U, cold_s(&requirements, PYTHON).await);
    let docker = Docker::find()?;
    docker.forget_volume(CACHE).await.context("empty the builders' cache: somebody builds with it now")?;
    let cluster = lab.running().await?;
    let client = cluster.client()?;
    let without = until_first(&client, &What::Source(CHAIN.to_owned())).await?.0;
    let what = What::Source(source);
    let (cold, _) = until_first(&client, &what).await?;
    let (mut known, mut mounted) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (took, waited) = until_first(&client, &what).await?;
        known.push(took);
        mounted.push(waited);
    }
    cluster.stop().await?;
    lab.floors.note(Floor::U, cold_s(&requirements, PYTHON).await);
    let cold_gate = 1.2 * lab.floors.of(Floor::U)?;
    let cold = (cold - without) / 1e3;
    let beside = json!({ "requirements": requirements, "known_set_run_ms": median(&mut known), "without_ms": without });
    Ok(vec![
        Row::most(7, "known packages: until mounted", "10 ms", "ms", 10.0, median(&mut mounted)),
        Row::most(7, "unknown packages: locked and installed", "1.2 × U", "s", cold_gate, cold).beside(beside),
    ])
}

/// The requirements as the workflow writes them.
fn requirements(source: &str) -> anyhow::Result<Vec<String>> {
    let line =
        source.lines().find_map(|line| line.strip_prefix("@node(requirements=")).context("a node with packages")?;
    serde_json::from_str(line.trim_end_matches(')')).context("a list of texts")
}

/// Milliseconds from the start of a run to its first node's end, and those that it waited for its environment.
async fn until_first(client: &Client, what: &What) -> anyhow::Result<(f64, f64)> {
    let begun = now();
    let ended = client.run(what, &[]).await?;
    let first = ended.ends.first().context("a run has nodes")?;
    let waited = ended.phase("environment_ms")?;
    Ok((ms(first.duration_since(begun)), *waited.first().context("a node ran")?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn requirements_are_read_from_the_workflow() {
        let read = super::requirements(&super::PACKAGES.replace("REQUESTS", "2.32.5")).unwrap();
        assert_eq!(read[0], "requests==2.32.5");
        assert_eq!(read.len(), 3);
    }
}
