//! What the database says of the runs: how many stand where, and whether anything was made twice.

use std::collections::BTreeMap;

use tokio_postgres::Client;

/// Runs by state, of those whose workflow is one of the soak's own.
pub(crate) async fn by_status(database: &Client) -> anyhow::Result<BTreeMap<String, i64>> {
    let sql = "SELECT status, count(*) FROM run WHERE workflow LIKE 'soak%' GROUP BY status";
    let rows = database.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Keys of submissions, and the runs that they name.
pub(crate) async fn keys(database: &Client) -> anyhow::Result<(i64, i64)> {
    let row = database.query_one("SELECT count(*), count(DISTINCT run) FROM idempotency", &[]).await?;
    Ok((row.get(0), row.get(1)))
}

/// Node runs that completed more than once.
pub(crate) async fn completed_twice(database: &Client) -> anyhow::Result<i64> {
    let sql = "SELECT count(*) FROM (
                 SELECT run, event::jsonb -> 'node' FROM history
                 WHERE event LIKE '%\"node_ended\"%' AND event::jsonb ->> 'status' = 'completed'
                 GROUP BY 1, 2 HAVING count(*) > 1) AS twice";
    Ok(database.query_one(sql, &[]).await?.get(0))
}

/// What has not ended, for people: a few of the runs that still stand somewhere, with what they wait for.
pub(crate) async fn left(database: &Client) -> anyhow::Result<String> {
    let sql =
        "SELECT run.id::text, run.status, left(run.head, 300), string_agg(node_run.step || ':' || node_run.status, ' ')
               FROM run LEFT JOIN node_run ON node_run.run = run.id
               WHERE run.status IN ('pending', 'running', 'paused') GROUP BY 1, 2, 3 LIMIT 5";
    let rows = database.query(sql, &[]).await?;
    let told = rows.iter().map(|row| {
        let steps: Option<String> = row.get(3);
        format!(
            "{} {} {} {}",
            row.get::<_, String>(0),
            row.get::<_, String>(1),
            row.get::<_, String>(2),
            steps.unwrap_or_default()
        )
    });
    Ok(told.collect::<Vec<_>>().join("\n"))
}
