//! What is asked all the time stays as fast as it was: no statement of the hot path reads a whole table, however long its history.

use super::{
    super::{HISTORY, INBOX, UNFINISHED, batch, cache, logs, retention, rows, shards},
    server::{Server, connect},
    *,
};

/// Some 200,000 rows of history over 20,000 runs, of which the last few are under way.
const ROWS: &str = "
INSERT INTO run (id, tenant, username, shard, workflow, plan, status, created_at, ended_at, spec, head)
SELECT lpad(to_hex(n), 32, '0')::uuid, 't' || n % 3, 'u' || n % 50, n % 64, 'w' || n % 20, '\\x00',
       CASE WHEN n <= 19990 THEN (ARRAY['completed', 'failed', 'cancelled'])[1 + n % 3] ELSE 'running' END,
       now() - n * interval '1 minute', CASE WHEN n <= 19990 THEN now() - n * interval '1 minute' END, '{}', '{}'
FROM generate_series(1, 20000) AS n;
INSERT INTO node_run (run, frame, step, element, tenant, username, status, attempt, node)
SELECT id, 0, step, -1, tenant, username, 'completed', 1, '{}' FROM run, generate_series(1, 10) AS step;
INSERT INTO history (run, tenant, username, at, event)
SELECT id, tenant, username, created_at, '{}' FROM run, generate_series(1, 10);
INSERT INTO log_line (run, node_id, attempt, sequence, tenant, username, at, stream, text)
SELECT id, 'a', 1, sequence, tenant, username, created_at, 'stdout', 'x' FROM run, generate_series(1, 10) AS sequence;
INSERT INTO cached (tenant, username, key, expires, produced, source)
SELECT 't', 'u', decode(lpad(to_hex(n), 64, '0'), 'hex'), now() + n * interval '1 second', '{}', '{}'
FROM generate_series(1, 20000) AS n;
INSERT INTO idempotency (tenant, key, run, username, at)
SELECT 't', decode(lpad(to_hex(n), 64, '0'), 'hex'), lpad(to_hex(n), 32, '0')::uuid, 'u', now() - n * interval '1 second'
FROM generate_series(1, 20000) AS n;
INSERT INTO plan (digest, plan) SELECT decode(lpad(to_hex(n), 64, '0'), 'hex'), '{}' FROM generate_series(1, 20000) AS n;
ANALYZE";

/// Tables that only grow.
const LONG: [&str; 7] = ["run", "node_run", "history", "log_line", "cached", "idempotency", "plan"];

#[tokio::test]
async fn no_statement_of_the_hot_path_reads_a_whole_table() {
    let Some(server) = Server::get() else { return };
    let settings = server.database().await;
    drop(Postgres::open(&settings).await.unwrap());
    let client = connect(&settings.url).await;
    client.batch_execute(ROWS).await.unwrap();
    // Our sessions forbid reading whole tables besides: here it is the statements that are looked at.
    let told = "SET plan_cache_mode = force_generic_plan; SET enable_bitmapscan = off";
    client.batch_execute(told).await.unwrap();
    let mut statements = vec![
        shards::TAKE,
        UNFINISHED,
        INBOX,
        batch::FENCE,
        batch::PUT_HEADS,
        batch::PUT_NODES,
        batch::PUT_HISTORY,
        batch::FORGET_COMMANDS,
        rows::PUT_KEY,
        rows::KEY,
        rows::FORGET_KEYS,
        rows::QUEUED,
        rows::PUT_RUN,
        rows::PUT_COMMAND,
        rows::RUN,
        rows::PLAN,
        rows::OPEN,
        rows::ENDED,
        rows::FAULTS,
        logs::PUT_LINES,
        logs::DROP_LINES,
        cache::FIND,
        cache::OVER,
        retention::OVER,
        retention::STILL_OVER,
        retention::KNOWN,
    ];
    statements.extend(retention::FORGET);
    // What these read is what they give, in order: they end with their page.
    let walks = [&rows::LISTS[..], &[logs::LINES, HISTORY, rows::NODES]].concat();
    statements.extend(&walks);
    let mut whole = Vec::new();
    for (number, sql) in statements.into_iter().enumerate() {
        let plan = explain(&client, number, sql).await;
        let reads_all = LONG.iter().any(|table| plan.contains(&format!("Seq Scan on {table} ")));
        let passes_over = walks.contains(&sql) && (plan.contains("Filter:") || plan.contains("Sort"));
        if reads_all || passes_over {
            whole.push(format!("{sql}\n{plan}"));
        }
    }
    assert!(whole.is_empty(), "{}", whole.join("\n\n"));
}

/// The plan of a statement for whatever it is asked with.
async fn explain(client: &tokio_postgres::Client, number: usize, sql: &str) -> String {
    let params = (1..=9).filter(|n| sql.contains(&format!("${n}"))).map(|_| "NULL").collect::<Vec<_>>().join(", ");
    let params = if params.is_empty() { params } else { format!("({params})") };
    client.batch_execute(&format!("PREPARE s{number} AS {sql}")).await.unwrap();
    let rows = client.query(&format!("EXPLAIN EXECUTE s{number}{params}"), &[]).await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}
