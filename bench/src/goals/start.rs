//! Goal 3: a container that no pool has, against Docker's own create and start of one like it.

use anyhow::Context;
use serde_json::{Value, json};

use super::{Lab, Row};
use crate::{
    client::{Client, What},
    clock::median,
    floors::{Docker, Floor},
};

/// One node in a container of its own kind.
const COLD: &str = include_str!("../../workflows/cold.py");
/// How often one is started.
const ROUNDS: u32 = 5;

pub(super) async fn measure(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    anyhow::ensure!(lab.runtime == "docker", "goal 3 is Docker's: --runtime docker");
    let docker = Docker::find()?;
    let cluster = lab.running().await?;
    let client = cluster.client()?;
    let what = client.register(COLD).await?;
    let mut took = Vec::new();
    // The container of the first run is there while that is: what it is like is what the floor is measured with.
    let config = docker.like(&warm(&cluster.log("runner"))?).await?;
    started(&client, &what).await?;
    floors(lab, &docker, &config).await;
    for _ in 0..ROUNDS {
        took.push(started(&client, &what).await?);
    }
    floors(lab, &docker, &config).await;
    let (created, hello) = events(&cluster.log("runner"))?;
    cluster.stop().await?;
    let gate = 1.15 * lab.floors.of(Floor::D)?;
    let row = Row::most(3, "container start without a pool", "1.15 × D", "ms", gate, median(&mut took));
    let beside = json!({
        "until_docker_started_it_ms": created,
        "until_its_harness_dialed_ms": hello,
        "until_a_bare_python_speaks_ms": lab.floors.of(Floor::E).ok(),
    });
    Ok(vec![row.beside(beside)])
}

/// Looks at both floors once more.
async fn floors(lab: &mut Lab, docker: &Docker, config: &Value) {
    match docker.start_ms(config).await {
        Ok((started, spoke)) => {
            lab.floors.note(Floor::D, Ok(started));
            lab.floors.note(Floor::E, Ok(spoke));
        }
        Err(error) => {
            let why = format!("{error:#}");
            for floor in [Floor::D, Floor::E] {
                lab.floors.note(floor, Err(anyhow::anyhow!("{why}")));
            }
        }
    }
}

/// Milliseconds that the node of a run waited for its container.
async fn started(client: &Client, what: &What) -> anyhow::Result<f64> {
    client.run(what, &[]).await?.phase("container_ms")?.first().copied().context("one node ran")
}

fn lines(log: &std::path::Path) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(log)?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// The container that the runner started first.
fn warm(log: &std::path::Path) -> anyhow::Result<String> {
    let id = |line: &Value| line["container_id"].as_str().map(str::to_owned);
    lines(log)?.iter().find_map(id).context("the runner has a warm container")
}

/// Medians of what the runner says of starts: until Docker had started one, until its harness dialed.
fn events(log: &std::path::Path) -> anyhow::Result<(f64, f64)> {
    let lines = lines(log)?;
    let of = |event: &str| {
        let named = lines.iter().filter(|line| line["event.action"] == event || line["event"] == event);
        let mut took: Vec<f64> =
            named.filter_map(|line| line.get("duration_ms").or_else(|| line.get("took_ms"))?.as_f64()).collect();
        median(&mut took)
    };
    Ok((of("container_created"), of("container_started")))
}
