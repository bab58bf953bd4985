//! What a cluster has written, read from its database: a client that asks for runs of 100,000 nodes would be part of what is measured.

use std::time::Duration;

use tokio_postgres::Client;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

const OPEN: &str = "SELECT count(*) FROM run WHERE status IN ('pending', 'running', 'paused')";
const FAILED: &str =
    "SELECT status || ': ' || head FROM run WHERE status NOT IN ('pending', 'running', 'completed') LIMIT 1";
/// What of a node run's life is a transition in the store, and the seconds in which they came about.
const TRANSITIONS: &str = "
SELECT count(*), coalesce(extract(epoch FROM max(at) - min(at)), 0)::float8 FROM history
WHERE run = ANY($1) AND (event LIKE '%node_leased%' OR event LIKE '%node_started%' OR event LIKE '%node_ended%')";
const TOOK: &str = "SELECT extract(epoch FROM ended_at - created_at)::float8 FROM run WHERE id = $1";
const NODES: &str = "SELECT count(*) FROM node_run WHERE run = ANY($1) AND status = 'completed'";

/// Waits until every run has completed; fails where one ends otherwise.
pub(crate) async fn completed(database: &Client) -> anyhow::Result<()> {
    while database.query_one(OPEN, &[]).await?.get::<_, i64>(0) > 0 {
        tokio::time::sleep(LOOK).await;
    }
    match database.query_opt(FAILED, &[]).await? {
        None => Ok(()),
        Some(row) => anyhow::bail!("a run is {}", row.get::<_, &str>(0)),
    }
}

/// What runs came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// Attempts leased, begun and ended.
    pub(crate) transitions: i64,
    /// From the first of them to the last.
    pub(crate) seconds: f64,
    /// Node runs that completed.
    pub(crate) nodes: i64,
}

impl Written {
    /// Transitions a second.
    pub(crate) fn rate(self) -> f64 {
        self.transitions as f64 / self.seconds
    }
}

/// Seconds from a run's acceptance to its end, by the database's own clock.
pub(crate) async fn took(database: &Client, run: &str) -> anyhow::Result<f64> {
    let run: uuid::Uuid = run.parse()?;
    Ok(database.query_one(TOOK, &[&run]).await?.get(0))
}

/// What runs came to, by the database's own clock.
pub(crate) async fn written(database: &Client, runs: &[String]) -> anyhow::Result<Written> {
    let runs: Vec<uuid::Uuid> = runs.iter().map(|run| run.parse()).collect::<Result<_, _>>()?;
    let row = database.query_one(TRANSITIONS, &[&runs]).await?;
    let nodes = database.query_one(NODES, &[&runs]).await?.get(0);
    Ok(Written { transitions: row.get(0), seconds: row.get(1), nodes })
}
