//! Lines that user code wrote, row by row.

use deadpool_postgres::Object;
use qflow_model::ids::RunId;
use tokio_postgres::Row;

use super::{
    super::StoredLine,
    rows::query,
    transaction::{At, Done, Stop, Tx},
};

/// Appenders of one run take turns: a reader that has seen a position has seen all before it.
const TURN: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 7))";
pub(super) const PUT_LINES: &str = "
INSERT INTO log_line (run, node_id, attempt, sequence, tenant, username, at, stream, text, fields)
SELECT run.id, put.node_id, put.attempt, put.sequence, run.tenant, run.username, put.at, put.stream, put.text, put.fields
FROM unnest($2::text[], $3::integer[], $4::bigint[], $5::timestamptz[], $6::text[], $7::bytea[], $8::bytea[]) WITH ORDINALITY
     AS put (node_id, attempt, sequence, at, stream, text, fields, place), run
WHERE run.id = $1 ORDER BY put.place ON CONFLICT DO NOTHING";
pub(super) const LINES: &str = "
SELECT node_id, attempt, sequence, at, stream, text, id, fields FROM log_line WHERE run = $1 AND id > $2 ORDER BY id LIMIT 1000";
pub(super) const DROP_LINES: &str = "
DELETE FROM log_line USING unnest($2::text[], $3::integer[]) AS gone (node_id, attempt)
WHERE log_line.run = $1 AND log_line.node_id = gone.node_id AND log_line.attempt = gone.attempt";

/// Appends lines within a transaction that begins here.
pub(super) async fn append(tx: &Tx, run: RunId, lines: &[StoredLine]) -> Done<()> {
    let nodes: Vec<&str> = lines.iter().map(|line| line.node_id.as_str()).collect();
    let attempts: Vec<i32> = lines.iter().map(|line| line.attempt as i32).collect();
    let sequences: Vec<i64> = lines.iter().map(|line| line.sequence as i64).collect();
    let times: Vec<At> = lines.iter().map(|line| At(line.at)).collect();
    let streams: Vec<&str> = lines.iter().map(|line| line.stream.as_str()).collect();
    let texts: Vec<&[u8]> = lines.iter().map(|line| line.text.as_bytes()).collect();
    let fields = lines.iter().map(|line| {
        let said = (!line.fields.is_empty()).then_some(&line.fields);
        said.map(serde_json::to_vec).transpose()
    });
    let fields: Vec<Option<Vec<u8>>> = fields.collect::<Result<_, _>>()?;
    let (turn, put) = (tx.prepare_cached(TURN).await?, tx.prepare_cached(PUT_LINES).await?);
    let mut sent = tx.begin();
    sent.then(tx, &turn, vec![&run.0]);
    sent.then(tx, &put, vec![&run.0, &nodes, &attempts, &sequences, &times, &streams, &texts, &fields]);
    sent.answers().await?;
    Ok(())
}

pub(super) async fn lines(client: &Object, run: RunId, after: i64) -> Done<(Vec<StoredLine>, i64)> {
    let rows = query(client, LINES, &[&run.0, &after]).await?;
    let last = rows.last().map_or(Ok(after), |row| row.try_get(6))?;
    Ok((rows.iter().map(line).collect::<Done<_>>()?, last))
}

/// Removes the lines of attempts.
pub(super) async fn remove(client: &Object, run: RunId, attempts: &[(String, u32)]) -> Done<()> {
    let nodes: Vec<&str> = attempts.iter().map(|(node, _)| node.as_str()).collect();
    let numbers: Vec<i32> = attempts.iter().map(|(_, attempt)| *attempt as i32).collect();
    query(client, DROP_LINES, &[&run.0, &nodes, &numbers]).await.map(drop)
}

fn line(row: &Row) -> Done<StoredLine> {
    let At(at) = row.try_get(3)?;
    Ok(StoredLine {
        node_id: row.try_get(0)?,
        attempt: row.try_get::<_, i32>(1)? as u32,
        sequence: row.try_get::<_, i64>(2)? as u64,
        at,
        stream: row.try_get(4)?,
        text: String::from_utf8(row.try_get(5)?).map_err(|error| Stop::Database(error.into()))?,
        fields: row.try_get::<_, Option<&[u8]>>(7)?.map(serde_json::from_slice).transpose()?.unwrap_or_default(),
    })
}
