//! Goal 8: what a node costs in a run of 10 to 100,000, and how long a map of 100,000 takes to be planned.

use qflow_bench::stub::Stub;
use serde_json::json;

use super::{
    Lab, Row,
    transitions::{MANY, SLOTS, numbers, stub},
};
use crate::{
    client::{Client, What},
    clock::{ms, now},
    cluster::Shape,
    rows,
};

/// Nodes of a run: the map itself is one of them.
const SIZES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
/// Nodes of a size in all: small runs follow one another until then.
const NODES: usize = 2_000;

pub(super) async fn measure(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let cluster = lab.cluster(&Shape::default()).await?;
    let (stub, client) = (stub(&cluster, SLOTS), cluster.client()?);
    let what = client.register(MANY).await?;
    let database = lab.postgres.connect(&cluster.database).await?;
    client.run(&what, &numbers(200)).await?;
    let (mut costs, mut planned) = (Vec::new(), 0.0);
    for size in SIZES {
        let (parameters, mut cost) = (numbers(size - 1), Vec::new());
        for _ in 0..(NODES / size).max(1) {
            let (run, until_first) = run(&client, &stub, &what, &parameters).await?;
            rows::completed(&database).await?;
            cost.push(rows::took(&database, &run).await? * 1e6 / size as f64);
            planned = until_first;
        }
        let cost = crate::clock::median(&mut cost);
        eprintln!("  {size} nodes: {cost:.0} µs a node, first leased after {planned:.0} ms");
        costs.push(cost);
    }
    drop(stub);
    cluster.stop().await?;
    let by_size: serde_json::Map<String, serde_json::Value> =
        SIZES.iter().zip(&costs).map(|(size, cost)| (size.to_string(), json!(cost))).collect();
    let (at_hundred, at_most) = (costs[1], costs[SIZES.len() - 1]);
    let row = Row::most(8, "a node in a run of 100,000", "1.2 × in one of 100", "µs", 1.2 * at_hundred, at_most);
    Ok(vec![
        row.beside(json!({ "us_a_node": by_size })),
        Row::most(8, "a map of 100,000, started to first leased", "1 s", "ms", 1000.0, planned),
    ])
}

/// Starts a run; its id, and milliseconds until the stub was given the first of its nodes.
async fn run(
    client: &Client,
    stub: &Stub,
    what: &What,
    parameters: &[(&str, String)],
) -> anyhow::Result<(String, f64)> {
    stub.forget_first();
    let begun = now();
    let run = client.start(what, parameters).await?;
    Ok((run, ms(stub.first().await?.duration_since(begun))))
}
