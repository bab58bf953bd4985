//! Goal 4: durable transitions of nodes a second, with a runner that answers at once.

use futures_util::future::try_join_all;
use qflow_bench::stub::{Options, Stub};
use serde_json::json;

use super::{Lab, Row};
use crate::{
    client::{Client, What},
    cluster::{Cluster, Shape},
    floors::Floor,
    rows,
};

/// A map over a list.
pub(super) const MANY: &str = include_str!("../../workflows/many.py");
/// Runs at once, and nodes of each.
const RUNS: usize = 8;
const NODES: usize = 2_500;
/// Transitions a second that the design asks for.
const LEAST: f64 = 20_000.0;
/// Attempts that the stub takes at once: as many as 64 runners of two processors would.
pub(super) const SLOTS: u32 = 256;

/// The stub for a cluster without a runner, with room for so many attempts.
pub(super) fn stub(cluster: &Cluster, slots: u32) -> Stub {
    Stub::start(&Options {
        orchestrators: vec![(cluster.services.clone(), cluster.token().to_owned())],
        name: "stub".to_owned(),
        python: "3.11".to_owned(),
        slots,
    })
}

/// A list as long as this, as a parameter.
pub(super) fn numbers(count: usize) -> Vec<(&'static str, String)> {
    let numbers: Vec<usize> = (0..count).collect();
    vec![("numbers", serde_json::to_string(&numbers).unwrap_or_default())]
}

pub(super) async fn measure(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let floors = [Floor::C, Floor::K];
    lab.floors(&floors).await;
    let written = written(lab, &Shape::default()).await?;
    lab.floors(&floors).await;
    let row =
        Row::least(4, "durable node transitions", "1.5 × C", "/s", 1.5 * lab.floors.of(Floor::C)?, written.rate());
    let nodes_s = written.nodes as f64 / written.seconds;
    let row = row.beside(json!({ "nodes_s": nodes_s, "nodes": written.nodes, "seconds": written.seconds }));
    // What the design asks of a machine whose C is as it was there.
    let known = Row::least(4, "the same, whatever C is", "20,000 /s", "/s", LEAST, written.rate());
    Ok(vec![row, known])
}

/// What a cluster of this shape writes of maps whose attempts a stub answers.
async fn written(lab: &Lab, shape: &Shape) -> anyhow::Result<rows::Written> {
    let desk = Desk::open(lab, shape).await?;
    let written = desk.written().await?;
    desk.close().await?;
    Ok(written)
}

/// A cluster with a stub for a runner, come to rest and tried once.
pub(super) struct Desk {
    cluster: Cluster,
    stub: Stub,
    client: Client,
    what: What,
    database: tokio_postgres::Client,
}

impl Desk {
    pub(super) async fn open(lab: &Lab, shape: &Shape) -> anyhow::Result<Self> {
        let cluster = lab.cluster(shape).await?;
        let (stub, client) = (stub(&cluster, SLOTS), cluster.client()?);
        let what = client.register(MANY).await?;
        client.run(&what, &numbers(200)).await?;
        let database = lab.postgres.connect(&cluster.database).await?;
        Ok(Self { cluster, stub, client, what, database })
    }

    /// What it writes of one more set of runs.
    pub(super) async fn written(&self) -> anyhow::Result<rows::Written> {
        let parameters = numbers(NODES);
        let runs = try_join_all((0..RUNS).map(|_| self.client.start(&self.what, &parameters))).await?;
        rows::completed(&self.database).await?;
        rows::written(&self.database, &runs).await
    }

    pub(super) async fn close(self) -> anyhow::Result<()> {
        drop(self.stub);
        self.cluster.stop().await
    }
}
