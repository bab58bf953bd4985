//! Ten million rows of history: what is asked all the time must stay as fast as it was with ten thousand.

use std::time::Duration;

use anyhow::Context;
use tokio_postgres::Client as Database;

use crate::{
    client::Client,
    cluster::Cluster,
    flood::{source, stub_python, stubs},
    now,
    report::{Report, ms, quantile},
};

/// Rows of history that a loaded run has, and rows of node runs.
const EACH: (u64, u64) = (100, 10);
/// How often each is measured.
const TIMES: u32 = 100;
/// How much slower it may be with a thousand times the rows, and how many milliseconds in any case: a moment of a busy machine.
const SLOWER: (f64, f64) = (2.0, 10.0);
/// Loaded runs that have ended longer ago than is kept: retention takes them.
const OVER: u64 = 2_000;
/// How long retention may take for them.
const PATIENCE: Duration = Duration::from_mins(4);
/// Tables that only grow.
const LONG: [&str; 4] = ["run", "node_run", "history", "log_line"];

/// Loads runs with ids of a range that ended a while ago, of many users and workflows, as rows.
async fn load(database: &Database, from: u64, runs: u64, over: u64) -> anyhow::Result<()> {
    let until = from + runs;
    let sql = format!(
        "INSERT INTO run (id, tenant, username, shard, workflow, plan, status, created_at, ended_at, spec, head)
         SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'default', 'u' || n % 50, n % 64, 'old' || n % 20,
           one.plan, (ARRAY['completed', 'failed', 'cancelled'])[1 + n % 3],
           at, at + interval '1 second', one.spec, one.head
         FROM (SELECT plan, spec, head FROM run WHERE status = 'completed' AND workflow = 'soak' LIMIT 1) AS one,
           generate_series({from}, {until} - 1) AS n,
           LATERAL (SELECT now() - CASE WHEN n < {from} + {over} THEN interval '30 days' ELSE n % 7000 * interval '1 second' END AS at) AS t;
         INSERT INTO node_run (run, frame, step, element, tenant, username, status, attempt, node)
         SELECT id, 0, step, -1, tenant, username, 'completed', 1, '{{}}' FROM run, generate_series(1, {nodes}) AS step
         WHERE workflow LIKE 'old%' AND id >= ('00000000-0000-7000-8000-' || lpad(to_hex({from}), 12, '0'))::uuid
           AND id < ('00000000-0000-7000-8000-' || lpad(to_hex({until}), 12, '0'))::uuid;
         INSERT INTO history (run, tenant, username, at, event)
         SELECT id, tenant, username, created_at, '{{\"event\":\"run_started\"}}' FROM run, generate_series(1, {lines})
         WHERE workflow LIKE 'old%' AND id >= ('00000000-0000-7000-8000-' || lpad(to_hex({from}), 12, '0'))::uuid
           AND id < ('00000000-0000-7000-8000-' || lpad(to_hex({until}), 12, '0'))::uuid;",
        nodes = EACH.1,
        lines = EACH.0,
    );
    database.batch_execute(&sql).await.context("load rows")?;
    // One call each: several together would be one transaction, in which nothing is vacuumed.
    for table in ["run", "node_run", "history"] {
        database.batch_execute(&format!("VACUUM ANALYZE {table}")).await?;
    }
    Ok(())
}

/// Medians and 99th percentiles of what is asked, in milliseconds.
struct Times(Vec<(&'static str, f64, f64)>);

async fn measured(client: &Client, digest: &str, pass: &str) -> anyhow::Result<Times> {
    let mut times = Times(Vec::new());
    let mut run = String::new();
    let mut sample = Vec::new();
    for number in 0..TIMES {
        let begun = now();
        run = client.submit(digest, &format!("{pass}-{number}")).await?.run;
        anyhow::ensure!(client.ended(&run).await? == "completed", "a run completes");
        sample.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.add("submit, claim, record: a run of three nodes to its end", sample);
    let filters = [
        ("list, newest", "", ""),
        ("list, of a workflow", "soak", ""),
        ("list, in a state", "", "failed"),
        ("list, of a workflow in a state", "old3", "completed"),
        ("list, what is under way", "", "running"),
    ];
    for (what, workflow, status) in filters {
        let mut sample = Vec::new();
        for _ in 0..TIMES {
            let begun = now();
            client.list(workflow, status).await?;
            sample.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        times.add(what, sample);
    }
    let mut sample = Vec::new();
    for _ in 0..TIMES {
        let begun = now();
        client.get(&run).await?;
        sample.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.add("get a run", sample);
    Ok(times)
}

impl Times {
    fn add(&mut self, what: &'static str, mut sample: Vec<f64>) {
        self.0.push((what, quantile(&mut sample, 0.5), quantile(&mut sample, 0.99)));
    }
}

/// Has retention run, and waits until it has taken what is over; how many runs a second.
async fn retained(cluster: &Cluster, database: &Database) -> anyhow::Result<f64> {
    for orchestrator in ["orchestrator-1", "orchestrator-2"] {
        cluster.kill(orchestrator).await?;
    }
    cluster.up(&[("QFLOW_RETENTION", "10d")]).await?;
    let left = "SELECT count(*) FROM run WHERE ended_at < now() - interval '10 days'";
    let (begun, all) = (now(), database.query_one(left, &[]).await?.get::<_, i64>(0));
    let mut first = None;
    loop {
        let now_left: i64 = database.query_one(left, &[]).await?.get(0);
        if now_left < all {
            first.get_or_insert_with(|| (now(), now_left));
        }
        if now_left == 0 {
            let (since, from) = first.unwrap_or((begun, all));
            return Ok(from as f64 / since.elapsed().as_secs_f64().max(0.001));
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE, "retention has left {now_left} of {all} runs");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Plans of what the services really asked in a while, from Postgres' own log: how many, and those that read a whole table.
async fn explained(cluster: &Cluster, digest: &str) -> anyhow::Result<(usize, Vec<String>)> {
    let database = cluster.database().await?;
    let on = "ALTER DATABASE postgres SET session_preload_libraries = 'auto_explain';
              ALTER DATABASE postgres SET auto_explain.log_min_duration = 0";
    database.batch_execute(on).await.context("auto_explain comes with PostgreSQL's own package")?;
    let from = cluster.postgres_log()?.len();
    // New sessions: the orchestrators' own hold no plans of before.
    for orchestrator in ["orchestrator-1", "orchestrator-2"] {
        cluster.kill(orchestrator).await?;
    }
    cluster.up(&[("QFLOW_RETENTION", "10d")]).await?;
    let client = cluster.client(1)?;
    drop(measured(&client, digest, "explained").await?);
    let off = "ALTER DATABASE postgres RESET session_preload_libraries; ALTER DATABASE postgres RESET auto_explain.log_min_duration";
    database.batch_execute(off).await?;
    let log = cluster.postgres_log()?;
    let plans: Vec<&str> = log[from.min(log.len())..].split(" LOG:  duration: ").skip(1).collect();
    let whole = |plan: &&&str| LONG.iter().any(|table| plan.contains(&format!("Seq Scan on {table} ")));
    Ok((plans.len(), plans.iter().filter(whole).map(|plan| (**plan).to_owned()).collect()))
}

/// Loads history, and compares.
pub(crate) async fn history(cluster: &Cluster, rows: u64, report: &mut Report) -> anyhow::Result<()> {
    let (few, many) = (OVER.max(10_000 / EACH.0), rows / EACH.0);
    let about = format!(
        "The same asked of an orchestrator with {few} ended runs loaded ({} rows of history), then with {} ({} rows): {TIMES} times each.",
        few * EACH.0,
        few + many,
        (few + many) * EACH.0
    );
    report.section("History", &about);
    let _stubs = stubs(cluster)?;
    let (client, database) = (cluster.client(1)?, cluster.database().await?);
    let digest = client.register(&source("soak", Some(stub_python(cluster)))).await?;
    load(&database, 1, few, OVER).await?;
    drop(measured(&client, &digest, "warm").await?);
    let before = measured(&client, &digest, "few").await?;
    let taken_before = retained(cluster, &database).await?;
    // Without retention again: what is loaded now is to stay until it is measured.
    for orchestrator in ["orchestrator-1", "orchestrator-2"] {
        cluster.kill(orchestrator).await?;
    }
    cluster.up(&[]).await?;
    let begun = now();
    load(&database, 1_000_000_000, many, OVER).await?;
    let size: String = database.query_one("SELECT pg_size_pretty(pg_database_size('postgres'))", &[]).await?.get(0);
    report.tell(&format!(
        "{} rows were loaded in {:.0} s; the database has {size}.\n",
        rows,
        begun.elapsed().as_secs_f64()
    ));
    let client = cluster.client(1)?;
    drop(measured(&client, &digest, "warm-again").await?);
    let after = measured(&client, &digest, "many").await?;
    let taken_after = retained(cluster, &database).await?;
    let mut table = Vec::new();
    for ((what, half, most), (_, half_after, most_after)) in before.0.iter().zip(&after.0) {
        let flat = *half_after <= half * SLOWER.0 || half_after - half <= SLOWER.1;
        report.gate(format!("stays flat: {what}"), format!("p50 {} → {}", ms(*half), ms(*half_after)), flat);
        table.push([(*what).to_owned(), ms(*half), ms(*half_after), ms(*most), ms(*most_after)]);
    }
    report.table(["Asked", "p50, few rows", "p50, many", "p99, few", "p99, many"], &table);
    report.gate(
        "stays flat: retention",
        format!("{taken_before:.0} → {taken_after:.0} runs a second"),
        taken_after * 2.0 >= taken_before,
    );
    let (plans, whole) = explained(cluster, &digest).await?;
    report.gate(
        "no statement that the services ask reads a whole table (auto_explain)",
        format!("{} of {plans} plans", whole.len()),
        whole.is_empty() && plans > 100,
    );
    for plan in whole.iter().take(3) {
        report.tell(&format!("\n```\n{plan}\n```"));
    }
    Ok(())
}
