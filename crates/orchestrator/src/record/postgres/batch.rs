//! What a commit of the engine writes: its fence and all its rows in one go, some statements for any number of runs.

use std::collections::BTreeMap;

use qflow_model::{
    ids::{NodeKey, RunId, Timestamp},
    limits,
    progress::NodeRun,
};
use uuid::Uuid;

use super::{
    super::{Batch, Error, Locked},
    cache, pool,
    rows::{element, text},
    transaction::{At, Done, Param, Sent, Stop, Tx},
};

/// Whose shards these are, that they stay ours, and what time it is: one statement, before any other. The lease counts from
/// this moment; what the batch writes is of the time when its transaction began.
pub(super) const FENCE: &str = "
UPDATE shard SET lease_until = clock_timestamp() + $3::bigint * interval '1 ms'
FROM unnest($1::smallint[], $2::bigint[]) AS ours (id, epoch) WHERE shard.id = ours.id AND shard.epoch = ours.epoch AND owner != ''
RETURNING shard.id, now()";

pub(super) const NOW: &str = "SELECT 0::smallint, now()";

pub(super) const PUT_HEADS: &str = "
UPDATE run SET status = put.status, ended_at = put.ended_at, head = put.head
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[]) AS put (id, status, ended_at, head) WHERE run.id = put.id";

/// Whose rows they are is the run's: a run that is gone gets none.
pub(super) const PUT_NODES: &str = "
INSERT INTO node_run (run, frame, step, element, tenant, username, status, attempt, node)
SELECT put.run, put.frame, put.step, put.element, run.tenant, run.username, put.status, put.attempt, put.node
FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::integer[], $5::text[], $6::integer[], $7::text[])
     AS put (run, frame, step, element, status, attempt, node)
JOIN run ON run.id = put.run
ON CONFLICT (run, frame, step, element) DO UPDATE
SET status = excluded.status, attempt = excluded.attempt, node = excluded.node";

pub(super) const PUT_HISTORY: &str = "
INSERT INTO history (run, tenant, username, at, event)
SELECT put.run, run.tenant, run.username, now(), put.event
FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS put (run, event, place) JOIN run ON run.id = put.run ORDER BY put.place";

pub(super) const FORGET_COMMANDS: &str = "DELETE FROM inbox WHERE id = ANY($1::bigint[])";

/// Each at a moment of its own: several tenants may have asked for one spec, and the key is the spec and the moment. A lock that finds its
/// moment taken is another's to keep: it is made anew when it is next asked for.
pub(super) const PUT_LOCKS: &str = "
INSERT INTO env_lock (spec, at, lock, tenant, username)
SELECT spec, now() + (place - 1) * interval '1 microsecond', lock, tenant, username
FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS put (spec, lock, tenant, username, place)
ON CONFLICT (spec, at) DO NOTHING";

/// Columns of the shards that a batch is fenced by.
#[derive(Default)]
struct Fences {
    ids: Vec<i16>,
    epochs: Vec<i64>,
}

#[derive(Default)]
struct Heads {
    runs: Vec<Uuid>,
    status: Vec<&'static str>,
    ended: Vec<Option<At>>,
    texts: Vec<String>,
}

#[derive(Default)]
struct Nodes {
    runs: Vec<Uuid>,
    frames: Vec<i32>,
    steps: Vec<i32>,
    elements: Vec<i32>,
    status: Vec<&'static str>,
    attempts: Vec<i32>,
    texts: Vec<String>,
}

#[derive(Default)]
struct History {
    runs: Vec<Uuid>,
    events: Vec<String>,
}

#[derive(Default)]
struct Locks {
    specs: Vec<Vec<u8>>,
    texts: Vec<String>,
    tenants: Vec<String>,
    users: Vec<String>,
}

/// A batch as columns.
struct Columns {
    fences: Fences,
    heads: Heads,
    nodes: Nodes,
    history: History,
    locks: Locks,
}

impl Columns {
    fn of(batch: &Batch) -> Done<Self> {
        let (mut heads, mut history, mut locks) = (Heads::default(), History::default(), Locks::default());
        // One statement writes a row once: what stands last holds.
        let mut last = BTreeMap::<(RunId, NodeKey), &NodeRun>::new();
        for change in &batch.changes {
            if let Some(head) = &change.head {
                heads.runs.push(change.run.0);
                heads.status.push(head.status.as_str());
                heads.ended.push(head.ended_at.map(At));
                heads.texts.push(text(head)?);
            }
            last.extend(change.nodes.iter().map(|(key, node)| ((change.run, *key), node)));
            for event in &change.history {
                history.runs.push(change.run.0);
                history.events.push(text(event)?);
            }
        }
        let mut nodes = Nodes::default();
        for ((run, key), node) in last {
            nodes.put(run, key, node)?;
        }
        for Locked { owner, lock } in &batch.locks {
            locks.specs.push(lock.spec.0.to_vec());
            locks.texts.push(text(&**lock)?);
            locks.tenants.push(owner.tenant.clone());
            locks.users.push(owner.user.clone());
        }
        let ids = batch.fences.keys().map(|shard| i16::from(shard.0)).collect();
        let epochs = batch.fences.values().map(|epoch| epoch.0 as i64).collect();
        Ok(Self { fences: Fences { ids, epochs }, heads, nodes, history, locks })
    }
}

impl Nodes {
    fn put(&mut self, run: RunId, key: NodeKey, node: &NodeRun) -> Done<()> {
        self.runs.push(run.0);
        self.frames.push(key.frame.0 as i32);
        self.steps.push(key.step.0 as i32);
        self.elements.push(element(key));
        self.status.push(node.status.as_str());
        self.attempts.push(node.attempt as i32);
        self.texts.push(text(node)?);
        Ok(())
    }
}

/// Writes a batch within a transaction that begins here.
pub(super) async fn write(tx: &Tx, batch: &Batch) -> Done<Timestamp> {
    let Columns { fences, heads, nodes, history, locks } = Columns::of(batch)?;
    let lease = limits::SHARD_LEASE_MS as i64;
    // First the fence: where a shard is no longer ours, nothing of what follows stays.
    let fence: (_, Vec<Param<'_>>) =
        if fences.ids.is_empty() { (NOW, vec![]) } else { (FENCE, vec![&fences.ids, &fences.epochs, &lease]) };
    let mut writes: Vec<(&str, Vec<Param<'_>>)> = vec![fence];
    if !heads.runs.is_empty() {
        writes.push((PUT_HEADS, vec![&heads.runs, &heads.status, &heads.ended, &heads.texts]));
    }
    if !nodes.runs.is_empty() {
        let Nodes { runs, frames, steps, elements, status, attempts, texts } = &nodes;
        writes.push((PUT_NODES, vec![runs, frames, steps, elements, status, attempts, texts]));
    }
    if !history.runs.is_empty() {
        writes.push((PUT_HISTORY, vec![&history.runs, &history.events]));
    }
    if !batch.done.is_empty() {
        writes.push((FORGET_COMMANDS, vec![&batch.done]));
    }
    if !locks.specs.is_empty() {
        writes.push((PUT_LOCKS, vec![&locks.specs, &locks.texts, &locks.tenants, &locks.users]));
    }
    let mut statements = Vec::with_capacity(writes.len());
    for (sql, _) in &writes {
        statements.push(tx.prepare_cached(sql).await?);
    }
    let mut sent: Sent<'_> = tx.begin();
    for (statement, (_, params)) in statements.iter().zip(writes) {
        sent.then(tx, statement, params);
    }
    let answers = sent.answers().await?;
    // The first answer is that of BEGIN.
    let fenced = answers.get(1).map_or(&[][..], Vec::as_slice);
    let ours: Vec<i16> = fenced.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    if let Some(lost) = batch.fences.keys().find(|shard| !ours.contains(&i16::from(shard.0))) {
        return Err(Stop::Because(Error::Fenced(*lost)));
    }
    let at = fenced.first().ok_or_else(|| Stop::Database("the database did not tell the time".into()))?;
    let at: At = at.try_get(1)?;
    pool::exchange(tx, batch.changes.iter().flat_map(|change| &change.slots)).await?;
    cache::put(tx, &batch.cached).await?;
    Ok(at.0)
}
