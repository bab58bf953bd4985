//! Runs, their commands and what they are made of, row by row.

use std::sync::Arc;

use deadpool_postgres::Object;
use qflow_model::{
    definition::Source,
    ids::{FrameIx, NodeKey, RunId, StepIx},
    limits,
    plan::Plan,
    progress::{NodeRun, RunHead, RunSpec, RunState},
    status::RunStatus,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio_postgres::Row;

use super::{
    super::{Command, Error, Filter, Listed, Loaded, Submission, Submitted, Totals, cache::Scope},
    access,
    transaction::{At, Done, Param, Sent, Stop, Tx},
};
use crate::shared::Shared;

pub(super) const PUT_KEY: &str = "
INSERT INTO idempotency (tenant, key, run, username, at) VALUES ($1, $2, $3, $4, now())
ON CONFLICT (tenant, key) DO UPDATE SET run = excluded.run, username = excluded.username, at = excluded.at
WHERE idempotency.at < now() - $5::bigint * interval '1 ms' RETURNING run";
pub(super) const KEY: &str = "SELECT run FROM idempotency WHERE tenant = $1 AND key = $2";
/// Some of the keys whose time is over, whoever else removes some.
pub(super) const FORGET_KEYS: &str = "
DELETE FROM idempotency WHERE (tenant, key) IN (
  SELECT tenant, key FROM idempotency WHERE at < now() - $1::bigint * interval '1 ms' ORDER BY at LIMIT 10 FOR UPDATE SKIP LOCKED)";
pub(super) const QUEUED: &str = "
SELECT now(), count(*) FROM (SELECT FROM run WHERE status = 'pending' AND tenant = $1 AND username = $2 LIMIT $3) AS queued";
pub(super) const PUT_SOURCE: &str = "
INSERT INTO source (digest, source, at, tenant, username) VALUES ($1, $2, now(), $3, $4) ON CONFLICT (digest, tenant) DO NOTHING";
/// A row changes only where another source was the newest: all submissions of one workflow would wait for each other else.
pub(super) const PUT_WORKFLOWS: &str = "
INSERT INTO registered (tenant, name, digest, username, at)
SELECT $3::text, put.name, $2::bytea, $4::text, now() FROM unnest($1::text[]) AS put (name)
WHERE $2::bytea IS DISTINCT FROM (
  SELECT digest FROM registered WHERE registered.tenant = $3::text AND registered.name = put.name ORDER BY at DESC LIMIT 1)
ON CONFLICT (tenant, name, digest) DO UPDATE SET at = excluded.at, username = excluded.username";
pub(super) const PUT_PLAN: &str =
    "INSERT INTO plan (digest, plan, tenant, username) VALUES ($1, $2, $3, $4) ON CONFLICT (digest, tenant) DO NOTHING";
pub(super) const PUT_RUN: &str = "
INSERT INTO run (id, tenant, username, shard, workflow, plan, status, created_at, spec, head)
VALUES ($1, $2, $3, $4, $5, $6, $7, now(), $8, $9)";
/// A run that is gone gets no command; one that is here does not go before its command is.
pub(super) const PUT_COMMAND: &str = "
INSERT INTO inbox (shard, run, tenant, username, input)
SELECT shard, id, tenant, username, $2::text FROM run WHERE id = $1 FOR KEY SHARE RETURNING id";
pub(super) const RUN: &str = "SELECT spec, head FROM run WHERE id = $1";
pub(super) const PLAN: &str = "SELECT plan FROM plan WHERE digest = $1 AND tenant = $2";
pub(super) const NODES: &str =
    "SELECT frame, step, element, node FROM node_run WHERE run = $1 ORDER BY frame, step, element";
/// One statement for each way to filter, each by its index alone.
pub(super) const LISTS: [&str; 4] = [
    "SELECT spec, workflow, head FROM run WHERE tenant = $1 AND listed < $2 ORDER BY listed DESC LIMIT $3",
    "SELECT spec, workflow, head FROM run WHERE tenant || '/' || status = $1::text || '/' || $4::text
     AND listed < $2 ORDER BY listed DESC LIMIT $3",
    "SELECT spec, workflow, head FROM run WHERE tenant || '/' || workflow = $1::text || '/' || $4::text
     AND listed < $2 ORDER BY listed DESC LIMIT $3",
    "SELECT spec, workflow, head FROM run
     WHERE tenant || '/' || workflow || '/' || status = $1::text || '/' || $4::text || '/' || $5::text
     AND listed < $2 ORDER BY listed DESC LIMIT $3",
];
pub(super) const OPEN: &str = "
SELECT count(*) FILTER (WHERE status = 'pending'), count(*) FILTER (WHERE status = 'running') FROM run
WHERE status IN ('pending', 'running', 'paused')";
pub(super) const ENDED: &str = "
SELECT count(*), count(*) FILTER (WHERE status IN ('failed', 'timed_out')) FROM run
WHERE ended_at > now() - interval '1 hour' AND status IN ('completed', 'failed', 'timed_out')";
/// Whose fault it was: of so many only, since each run's row is read for it. By its text: to Postgres what holds a `\u0000`, as a message of
/// user code may, is no JSON to look into. Within a text the quotes would stand behind backslashes.
pub(super) const FAULTS: &str = r#"
SELECT count(*) FILTER (WHERE class = 'user'), count(*) FILTER (WHERE class = 'platform') FROM (
  SELECT substring(head FROM '"class":"([a-z]+)"') AS class FROM run
  WHERE ended_at > now() - interval '1 hour' AND status IN ('failed', 'timed_out') ORDER BY ended_at DESC LIMIT 1000
) AS failed"#;

pub(super) fn text<T: Serialize>(value: &T) -> Done<String> {
    Ok(serde_json::to_string(value)?)
}

/// What a column of JSON says.
pub(super) fn read<T: DeserializeOwned>(row: &Row, column: usize) -> Done<T> {
    Ok(serde_json::from_str(row.try_get(column)?)?)
}

/// An element's column; a step's own row has −1.
pub(super) fn element(key: NodeKey) -> i32 {
    key.index.map_or(-1, |index| index as i32)
}

/// The rows of one statement that is its own transaction.
pub(super) async fn query(client: &Object, sql: &str, params: &[Param<'_>]) -> Done<Vec<Row>> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, params).await?)
}

pub(super) async fn register(tx: &Tx, owner: &Scope, source: &Source, names: &[String]) -> Done<()> {
    let (digest, source, names) = (source.digest(), text(source)?, sorted(names));
    let (digest, Scope { tenant, user }) = (&digest.0[..], owner);
    let (put_source, put_workflows) = (tx.prepare_cached(PUT_SOURCE).await?, tx.prepare_cached(PUT_WORKFLOWS).await?);
    let mut sent = tx.begin();
    sent.then(tx, &put_source, vec![&digest, &source, tenant, user]);
    sent.then(tx, &put_workflows, vec![&names, &digest, tenant, user]);
    sent.answers().await?;
    Ok(())
}

/// Names in one order for all, so that no two transactions wait for each other's.
fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    names
}

/// Accepts a run within a transaction that begins here.
pub(super) async fn accept(tx: &Tx, submission: &Submission) -> Done<Submitted> {
    let Submission { spec, idempotency_key, .. } = submission;
    let (bound, kept) = (i64::from(limits::QUEUED_RUNS), limits::IDEMPOTENCY_MS as i64);
    let key = idempotency_key.as_ref().map(String::as_bytes);
    let queued = tx.prepare_cached(QUEUED).await?;
    let (put_key, forget_keys) = (tx.prepare_cached(PUT_KEY).await?, tx.prepare_cached(FORGET_KEYS).await?);
    let mut sent = tx.begin();
    sent.then(tx, &queued, vec![&spec.tenant, &spec.user, &bound]);
    if let Some(key) = &key {
        sent.then(tx, &forget_keys, vec![&kept]);
        sent.then(tx, &put_key, vec![&spec.tenant, key, &spec.id.0, &spec.user, &kept]);
    }
    let answers = sent.answers().await?;
    if let (Some(key), Some([])) = (&key, answers.get(3).map(Vec::as_slice)) {
        let known = query(tx, KEY, &[&spec.tenant, key]).await?;
        let known = known.first().ok_or_else(|| Stop::Database("a key was taken back meanwhile".into()))?;
        return Ok(Submitted::Existing(RunId(known.try_get(0)?)));
    }
    let row = answers.get(1).and_then(|rows| rows.first());
    let row = row.ok_or_else(|| Stop::Database("the database did not count the queued runs".into()))?;
    let (At(now), queued): (At, i64) = (row.try_get(0)?, row.try_get(1)?);
    if queued >= bound {
        return Err(Stop::Because(Error::TooManyQueued { queued: queued as u32, bound: limits::QUEUED_RUNS }));
    }
    let spec = Arc::new(RunSpec { created_at: now, ..(**spec).clone() });
    put_run(tx, submission, &spec).await?;
    Ok(Submitted::Created(now))
}

async fn put_run(tx: &Tx, submission: &Submission, spec: &Arc<RunSpec>) -> Done<()> {
    let Submission { plan, source, relock, asked, .. } = submission;
    let head = RunState::new(Arc::clone(spec), Arc::clone(plan)).head;
    let (source_text, plan_text, spec_text, head_text) =
        (text(&**source)?, text(&**plan)?, text(&**spec)?, text(&head)?);
    let command = text(&Command::Start { relock: *relock })?;
    let (source_digest, names) = (source.digest(), [plan.workflow.clone()]);
    let (source_digest, plan_digest, names) = (&source_digest.0[..], &spec.plan.0[..], &names[..]);
    let (shard, status) = (i16::from(spec.id.shard().0), head.status.as_str());
    let (tenant, user): (Param<'_>, Param<'_>) = (&spec.tenant, &spec.user);
    let mut writes: Vec<(&str, Vec<Param<'_>>)> = vec![
        (PUT_SOURCE, vec![&source_digest, &source_text, tenant, user]),
        (PUT_PLAN, vec![&plan_digest, &plan_text, tenant, user]),
        (
            PUT_RUN,
            vec![&spec.id.0, tenant, user, &shard, &plan.workflow, &plan_digest, &status, &spec_text, &head_text],
        ),
        (PUT_COMMAND, vec![&spec.id.0, &command]),
    ];
    writes.extend(asked.iter().map(|asked| (access::NOTE, access::params(asked).to_vec())));
    // Last, for it is what others of the same workflow may wait for.
    writes.push((PUT_WORKFLOWS, vec![&names, &source_digest, tenant, user]));
    let mut statements = Vec::with_capacity(writes.len());
    for (sql, _) in &writes {
        statements.push(tx.prepare_cached(sql).await?);
    }
    let mut sent = Sent::nothing();
    for (statement, (_, params)) in statements.iter().zip(writes) {
        sent.then(tx, statement, params);
    }
    sent.answers().await?;
    Ok(())
}

pub(super) async fn load(tx: &Tx, plans: &Shared<Plan>, run: RunId) -> Done<Option<Loaded>> {
    let (of_run, of_nodes) = (tx.prepare_cached(RUN).await?, tx.prepare_cached(NODES).await?);
    let mut sent = tx.begin_reading();
    sent.then(tx, &of_run, vec![&run.0]);
    sent.then(tx, &of_nodes, vec![&run.0]);
    let answers = sent.answers().await?;
    let [_, found, rows] = &answers[..] else { return Ok(None) };
    let Some(found) = found.first() else { return Ok(None) };
    let node = |row: &Row| {
        let number = |column| row.try_get::<_, i32>(column);
        let index = u32::try_from(number(2)?).ok();
        let key = NodeKey { frame: FrameIx(number(0)? as u32), step: StepIx(number(1)? as u32), index };
        Ok((key, read::<NodeRun>(row, 3)?))
    };
    let nodes = rows.iter().map(node).collect::<Done<_>>()?;
    let spec: Arc<RunSpec> = read(found, 0)?;
    let plan = plan(tx, plans, &spec).await?;
    Ok(Some(Loaded { spec, head: read::<RunHead>(found, 1)?, plan, nodes }))
}

/// A plan, which other runs may have too.
async fn plan(tx: &Tx, plans: &Shared<Plan>, spec: &RunSpec) -> Done<Arc<Plan>> {
    if let Some(plan) = plans.get(spec.plan) {
        return Ok(plan);
    }
    let rows = query(tx, PLAN, &[&&spec.plan.0[..], &spec.tenant]).await?;
    let row = rows.first().ok_or_else(|| Stop::Database("a run in the database has no plan".into()))?;
    Ok(plans.put(spec.plan, read(row, 0)?))
}

pub(super) async fn list(client: &Object, filter: &Filter) -> Done<Vec<Listed>> {
    let before = filter.before.map_or(uuid::Uuid::max(), |run| run.0);
    let (status, limit) = (filter.status.map(RunStatus::as_str), i64::from(filter.limit));
    let mut params: Vec<Param<'_>> = vec![&filter.tenant, &before, &limit];
    let sql = match (&filter.workflow, &status) {
        (None, None) => LISTS[0],
        (None, Some(status)) => {
            params.push(status);
            LISTS[1]
        }
        (Some(workflow), None) => {
            params.push(workflow);
            LISTS[2]
        }
        (Some(workflow), Some(status)) => {
            params.extend([workflow as Param<'_>, status]);
            LISTS[3]
        }
    };
    let listed = |row: &Row| Ok(Listed { spec: read(row, 0)?, workflow: row.try_get(1)?, head: read(row, 2)? });
    query(client, sql, &params).await?.iter().map(listed).collect()
}

pub(super) async fn totals(tx: &Tx) -> Done<Totals> {
    let (open, ended) = (tx.prepare_cached(OPEN).await?, tx.prepare_cached(ENDED).await?);
    let faults = tx.prepare_cached(FAULTS).await?;
    let mut sent = tx.begin_reading();
    sent.then(tx, &open, vec![]);
    sent.then(tx, &ended, vec![]);
    sent.then(tx, &faults, vec![]);
    let answers = sent.answers().await?;
    let count = |answer: usize, column: usize| -> Done<u64> {
        let row = answers.get(answer).and_then(|rows| rows.first());
        let row = row.ok_or_else(|| Stop::Database("the database did not count".into()))?;
        Ok(row.try_get::<_, i64>(column)? as u64)
    };
    Ok(Totals {
        pending: count(1, 0)?,
        running: count(1, 1)?,
        ended_last_hour: count(2, 0)?,
        failed_last_hour: count(2, 1)?,
        failed_user_last_hour: count(3, 0)?,
        failed_platform_last_hour: count(3, 1)?,
    })
}
