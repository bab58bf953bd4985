//! Files that an older version wrote are brought up to date when they are opened: all of it, or nothing.

use qflow_model::plan::{LaidOut, Plan, own_asks};
use rusqlite::{Connection, Transaction};
use serde_json::{Value, json};

use super::{
    super::{Error, Result},
    Done, SCHEMA, Stop, access, cache, failed,
    open::CONTENT,
    pool,
    rows::{read, text},
};

/// What tables up to version 4 lacked to say whose a row is; and how many of them the first version had.
const LACKING: [(&str, &[&str]); 9] = [
    ("node_run", &["tenant", "user"]),
    ("history", &["tenant", "user"]),
    ("inbox", &["tenant", "user"]),
    ("log_line", &["tenant", "user"]),
    ("idempotency", &["user"]),
    ("pool", &["user"]),
    ("pool_slot", &["user"]),
    ("pool_start", &["user"]),
    ("cached_blob", &["tenant", "user"]),
];
const FIRST: usize = 5;

/// Brings a file of an older schema to ours.
pub(super) fn bring_up(connection: &mut Connection, found: i64) -> Result<()> {
    let wrong = failed("bring the database up to date");
    let transaction = connection.transaction().map_err(&wrong)?;
    if found < 2 {
        frames(&transaction).map_err(|stop| match stop {
            Stop::Because(error) => error,
            Stop::Database(source) => wrong(source),
            Stop::Json(source) => Error::Database { doing: "bring the database up to date", source: source.into() },
        })?;
    }
    if found < 3 {
        // From 2 to 3: pools, and outputs that are kept.
        for tables in [pool::TABLES, cache::TABLES] {
            transaction.execute_batch(tables).map_err(&wrong)?;
        }
    }
    if found < 4 {
        // From 3 to 4: lines with fields.
        transaction.execute_batch("ALTER TABLE log_line ADD COLUMN fields TEXT").map_err(&wrong)?;
    }
    if found < 5 {
        // From 4 to 5: whose each row is. Tables that were made above have that already.
        let lacking = if found < 3 { &LACKING[..FIRST] } else { &LACKING[..] };
        for (table, columns) in lacking {
            owned(&transaction, table, columns).map_err(&wrong)?;
        }
        content(&transaction).map_err(&wrong)?;
    }
    if found < 6 {
        // From 5 to 6: tokens, and the audit.
        transaction.execute_batch(access::TABLES).map_err(&wrong)?;
    }
    transaction.pragma_update(None, "user_version", SCHEMA).map_err(&wrong)?;
    transaction.commit().map_err(&wrong)
}

/// Adds columns for whose a row is: who wrote rows before knew one tenant and one user.
fn owned(db: &Transaction<'_>, table: &str, columns: &[&str]) -> rusqlite::Result<()> {
    for column in columns {
        let only = if *column == "tenant" { "default" } else { "local" };
        db.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} TEXT NOT NULL DEFAULT '{only}'"))?;
    }
    Ok(())
}

/// What is named by its content gets tenants' keys, which only a new table can have.
fn content(db: &Transaction<'_>) -> rusqlite::Result<()> {
    let tables = ["source", "workflow", "plan", "env_lock"];
    for table in tables {
        db.execute_batch(&format!("ALTER TABLE {table} RENAME TO {table}_4"))?;
    }
    db.execute_batch(CONTENT)?;
    db.execute_batch(
        "INSERT INTO source SELECT digest, 'default', 'local', source, at FROM source_4;
         INSERT INTO workflow SELECT 'default', name, digest, 'local', at FROM workflow_4;
         INSERT INTO plan SELECT digest, 'default', 'local', plan FROM plan_4;
         INSERT INTO env_lock SELECT 'default', spec, at, 'local', lock FROM env_lock_4;",
    )?;
    tables.iter().try_for_each(|table| db.execute_batch(&format!("DROP TABLE {table}_4")))
}

/// From 1 to 2: node runs stand in frames, and a plan has several workflows.
fn frames(db: &Transaction<'_>) -> Done<()> {
    db.execute_batch(
        "CREATE TABLE node_run_2 (
           run TEXT NOT NULL, frame INTEGER NOT NULL, step INTEGER NOT NULL, element INTEGER NOT NULL, status TEXT NOT NULL,
           attempt INTEGER NOT NULL, node TEXT NOT NULL, PRIMARY KEY (run, frame, step, element)) WITHOUT ROWID;
         INSERT INTO node_run_2 SELECT run, 0, step, element, status, attempt, node FROM node_run;
         DROP TABLE node_run;
         ALTER TABLE node_run_2 RENAME TO node_run;",
    )?;
    let mut plans = db.prepare("SELECT digest, plan FROM plan")?;
    let rows = plans.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut put = db.prepare("UPDATE plan SET plan = ? WHERE digest = ?")?;
    for (digest, plan) in rows {
        // Runs name their plan by the digest that it had: it stays.
        put.execute([text(&plan_of_frames(read(&plan)?)?)?, digest])?;
    }
    Ok(())
}

/// A plan of one workflow as a plan of several, of which it is the first.
fn plan_of_frames(old: Value) -> Done<Plan> {
    let mut old = old;
    let mut take = |name: &str| old.get_mut(name).map(Value::take).unwrap_or_default();
    let mut steps = take("steps");
    for step in steps.as_array_mut().into_iter().flatten() {
        if let Some(Value::Object(map)) = step.get_mut("kind").and_then(|kind| kind.get_mut("map")).map(Value::take) {
            step["over"] = map.get("over").cloned().unwrap_or_default();
            step["kind"] = json!({"node": {"function": map.get("function")}});
        }
    }
    let workflow = take("workflow");
    let size = steps.as_array().map_or(0, Vec::len);
    let laid_out = json!({
        "name": workflow, "params": take("params"), "returns": take("returns"), "steps": steps, "branches": take("branches"),
        "result": take("result"), "max_parallel": take("max_parallel"), "timeout_ms": take("timeout_ms"),
        "on_failure": take("on_failure"), "size": size,
    });
    let mut laid_out: LaidOut = serde_json::from_value(laid_out)?;
    laid_out.asks = own_asks(&laid_out);
    let plan = json!({
        "workflow": workflow, "source": take("source"), "workflows": [laid_out], "environments": take("environments"),
        "nodes": take("nodes"), "python": take("python"),
    });
    Ok(serde_json::from_value(plan)?)
}
