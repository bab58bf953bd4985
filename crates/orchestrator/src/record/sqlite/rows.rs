//! What each transaction reads and writes, row by row.

use std::sync::Arc;

use qflow_model::{
    definition::Source,
    ids::{FrameIx, NodeKey, RunId, StepIx, Timestamp},
    limits,
    progress::{NodeRun, RunHead, RunSpec},
    status::RunStatus,
};
use rusqlite::{OptionalExtension, Transaction, params};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    super::{Batch, Command, Error, Filter, Listed, Loaded, Locked, Submission, Submitted, Totals, cache::Scope},
    Done, Stop, access, cache, pool,
};

pub(super) fn text<T: Serialize>(value: &T) -> Done<String> {
    Ok(serde_json::to_string(value)?)
}

pub(super) fn read<T: DeserializeOwned>(text: &str) -> Done<T> {
    Ok(serde_json::from_str(text)?)
}

/// An element's column; a step's own row has −1.
pub(super) fn element(key: NodeKey) -> i64 {
    key.index.map_or(-1, i64::from)
}

pub(super) fn put_source(
    db: &Transaction<'_>,
    Scope { tenant, user }: &Scope,
    source: &Source,
    workflows: &[String],
    now: Timestamp,
) -> Done<()> {
    let digest = source.digest().to_string();
    let mut put = db.prepare_cached(
        "INSERT INTO source (digest, tenant, user, source, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )?;
    put.execute(params![digest, tenant, user, text(source)?, now.0])?;
    let mut put = db.prepare_cached(
        "INSERT INTO workflow (tenant, name, digest, user, at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET at = excluded.at, user = excluded.user",
    )?;
    for name in workflows {
        put.execute(params![tenant, name, digest, user, now.0])?;
    }
    Ok(())
}

/// A run that is gone gets no command, as it gets no rows below: whose they are is the run's.
pub(super) fn put_command(db: &Transaction<'_>, run: RunId, command: &Command) -> Done<i64> {
    let mut put = db.prepare_cached(
        "INSERT INTO inbox (shard, run, input, tenant, user) SELECT shard, id, ?2, tenant, user FROM run WHERE id = ?1",
    )?;
    let posted = put.execute(params![run.to_string(), text(command)?])?;
    Ok(if posted > 0 { db.last_insert_rowid() } else { 0 })
}

pub(super) fn accept(db: &Transaction<'_>, submission: &Submission, now: Timestamp) -> Done<Submitted> {
    let Submission { spec, plan, source, idempotency_key, relock, asked } = submission;
    if let Some(key) = idempotency_key {
        let since = now.0 - limits::IDEMPOTENCY_MS as i64 * 1000;
        db.execute("DELETE FROM idempotency WHERE at < ?", [since])?;
        let known: Option<String> = db
            .query_row("SELECT run FROM idempotency WHERE tenant = ? AND key = ?", params![spec.tenant, key], |r| {
                r.get(0)
            })
            .optional()?;
        if let Some(run) = known.and_then(|run| run.parse().ok()) {
            return Ok(Submitted::Existing(run));
        }
        db.execute(
            "INSERT INTO idempotency (tenant, key, run, at, user) VALUES (?, ?, ?, ?, ?)",
            params![spec.tenant, key, spec.id.to_string(), now.0, spec.user],
        )?;
    }
    let queued: u32 = db.query_row(
        "SELECT count(*) FROM run WHERE status = 'pending' AND tenant = ? AND user = ?",
        params![spec.tenant, spec.user],
        |row| row.get(0),
    )?;
    if queued >= limits::QUEUED_RUNS {
        return Err(Stop::Because(Error::TooManyQueued { queued, bound: limits::QUEUED_RUNS }));
    }
    let owner = Scope { tenant: spec.tenant.clone(), user: spec.user.clone() };
    put_source(db, &owner, source, std::slice::from_ref(&plan.workflow), now)?;
    let mut put =
        db.prepare_cached("INSERT INTO plan (digest, tenant, user, plan) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")?;
    put.execute(params![spec.plan.to_string(), spec.tenant, spec.user, text(&**plan)?])?;
    let spec = Arc::new(RunSpec { created_at: now, ..(**spec).clone() });
    let head = qflow_model::progress::RunState::new(spec.clone(), plan.clone()).head;
    let mut put = db.prepare_cached("INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?)")?;
    put.execute(params![
        spec.id.to_string(),
        spec.tenant,
        spec.user,
        spec.id.shard().0,
        plan.workflow,
        spec.plan.to_string(),
        head.status.as_str(),
        now.0,
        text(&*spec)?,
        text(&head)?,
    ])?;
    put_command(db, spec.id, &Command::Start { relock: *relock })?;
    asked.iter().try_for_each(|asked| access::note(db, asked, now))?;
    Ok(Submitted::Created(now))
}

pub(super) fn write(db: &Transaction<'_>, batch: &Batch, now: Timestamp) -> Done<Timestamp> {
    let until = now.plus_ms(limits::SHARD_LEASE_MS);
    let mut fence =
        db.prepare_cached("UPDATE shard SET lease_until = ? WHERE id = ? AND epoch = ? AND owner != '' RETURNING id")?;
    for (shard, epoch) in &batch.fences {
        let ours = fence.query_row(params![until.0, shard.0, epoch.0 as i64], |row| row.get::<_, u8>(0)).optional()?;
        if ours.is_none() {
            return Err(Stop::Because(Error::Fenced(*shard)));
        }
    }
    let mut put_head = db.prepare_cached("UPDATE run SET status = ?, ended_at = ?, head = ? WHERE id = ?")?;
    let mut put_node = db.prepare_cached(
        "INSERT OR REPLACE INTO node_run (run, frame, step, element, status, attempt, node, tenant, user)
         SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, tenant, user FROM run WHERE id = ?1",
    )?;
    let mut put_event = db.prepare_cached(
        "INSERT INTO history (run, at, event, tenant, user) SELECT id, ?2, ?3, tenant, user FROM run WHERE id = ?1",
    )?;
    for change in &batch.changes {
        let run = change.run.to_string();
        if let Some(head) = &change.head {
            put_head.execute(params![head.status.as_str(), head.ended_at.map(|at| at.0), text(head)?, run])?;
        }
        for (key, node) in &change.nodes {
            put_node.execute(params![
                run,
                key.frame.0,
                key.step.0,
                element(*key),
                node.status.as_str(),
                node.attempt,
                text(node)?
            ])?;
        }
        for event in &change.history {
            put_event.execute(params![run, now.0, text(event)?])?;
        }
    }
    pool::exchange(db, batch.changes.iter().flat_map(|change| &change.slots), now)?;
    for cached in &batch.cached {
        cache::put(db, cached, now)?;
    }
    let mut forget = db.prepare_cached("DELETE FROM inbox WHERE id = ?")?;
    for id in &batch.done {
        forget.execute([id])?;
    }
    let mut put_lock =
        db.prepare_cached("INSERT OR REPLACE INTO env_lock (tenant, user, spec, at, lock) VALUES (?, ?, ?, ?, ?)")?;
    for Locked { owner, lock } in &batch.locks {
        put_lock.execute(params![owner.tenant, owner.user, lock.spec.to_string(), now.0, text(&**lock)?])?;
    }
    Ok(now)
}

pub(super) fn load(db: &Transaction<'_>, run: RunId) -> Done<Option<Loaded>> {
    let id = run.to_string();
    let mut rows = db.prepare_cached(
        "SELECT spec, head, plan.plan FROM run JOIN plan ON plan.digest = run.plan AND plan.tenant = run.tenant WHERE id = ?",
    )?;
    let found = rows.query_row([&id], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?, r.get::<_, String>(2)?)));
    let Some((spec, head, plan)) = found.optional()? else { return Ok(None) };
    let mut rows = db.prepare_cached(
        "SELECT frame, step, element, node FROM node_run WHERE run = ? ORDER BY frame, step, element",
    )?;
    let mut nodes = Vec::new();
    let mut found = rows.query([&id])?;
    while let Some(row) = found.next()? {
        let index = u32::try_from(row.get::<_, i64>(2)?).ok();
        let key = NodeKey { frame: FrameIx(row.get(0)?), step: StepIx(row.get(1)?), index };
        nodes.push((key, read::<NodeRun>(&row.get::<_, String>(3)?)?));
    }
    Ok(Some(Loaded { spec: read(&spec)?, head: read::<RunHead>(&head)?, plan: read(&plan)?, nodes }))
}

pub(super) fn node(db: &Transaction<'_>, run: RunId, key: NodeKey) -> Done<Option<NodeRun>> {
    let mut rows =
        db.prepare_cached("SELECT node FROM node_run WHERE run = ? AND frame = ? AND step = ? AND element = ?")?;
    let at = params![run.to_string(), key.frame.0, key.step.0, element(key)];
    let found = rows.query_row(at, |row| row.get::<_, String>(0)).optional()?;
    found.map(|node| read(&node)).transpose()
}

pub(super) fn list(db: &Transaction<'_>, filter: &Filter) -> Done<Vec<Listed>> {
    let mut rows = db.prepare_cached(
        "SELECT spec, workflow, head FROM run WHERE tenant = ?1 AND (?2 IS NULL OR workflow = ?2)
         AND (?3 IS NULL OR status = ?3) AND (?4 IS NULL OR id < ?4) ORDER BY id DESC LIMIT ?5",
    )?;
    let (status, before) = (filter.status.map(RunStatus::as_str), filter.before.map(|run| run.to_string()));
    let mut found = rows.query(params![filter.tenant, filter.workflow, status, before, filter.limit])?;
    let mut listed = Vec::new();
    while let Some(row) = found.next()? {
        listed.push(Listed {
            spec: read(&row.get::<_, String>(0)?)?,
            workflow: row.get(1)?,
            head: read(&row.get::<_, String>(2)?)?,
        });
    }
    Ok(listed)
}

pub(super) fn totals(db: &Transaction<'_>, now: Timestamp) -> Done<Totals> {
    let count = |status: &str| {
        db.query_row("SELECT count(*) FROM run WHERE status = ?", [status], |row| {
            row.get::<_, i64>(0).map(|n| n as u64)
        })
    };
    let hour = now.0 - 3_600_000_000;
    let (ended_last_hour, failed_last_hour) = db.query_row(
        "SELECT count(*), count(*) FILTER (WHERE status IN ('failed', 'timed_out')) FROM run
         WHERE ended_at > ? AND status IN ('completed', 'failed', 'timed_out')",
        [hour],
        |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)),
    )?;
    let (failed_user_last_hour, failed_platform_last_hour) = db.query_row(
        "SELECT count(*) FILTER (WHERE class = 'user'), count(*) FILTER (WHERE class = 'platform') FROM (
           SELECT json_extract(head, '$.error.failure.class') AS class FROM run
           WHERE ended_at > ? AND status IN ('failed', 'timed_out') ORDER BY ended_at DESC LIMIT 1000)",
        [hour],
        |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)),
    )?;
    let (pending, running) = (count("pending")?, count("running")?);
    Ok(Totals { pending, running, ended_last_hour, failed_last_hour, failed_user_last_hour, failed_platform_last_hour })
}
