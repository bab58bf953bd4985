//! Pools and their slots, row by row.

use qflow_model::ids::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use super::{
    super::{
        Error,
        pool::{Holder, MINUTE_MS, Pool, PoolState, Removed, Slot, next},
    },
    Done, Stop,
};

pub(super) const TABLES: &str = "
CREATE TABLE pool (
  tenant TEXT NOT NULL, name TEXT NOT NULL, slots INTEGER NOT NULL, per_minute INTEGER, user TEXT NOT NULL,
  PRIMARY KEY (tenant, name));
CREATE TABLE pool_slot (
  node TEXT PRIMARY KEY, tenant TEXT NOT NULL, pool TEXT NOT NULL, node_id TEXT NOT NULL,
  attempt INTEGER NOT NULL, since INTEGER NOT NULL, user TEXT NOT NULL);
CREATE INDEX pool_slot_by_pool ON pool_slot (tenant, pool, since);
CREATE TABLE pool_start (tenant TEXT NOT NULL, pool TEXT NOT NULL, at INTEGER NOT NULL, user TEXT NOT NULL);
CREATE INDEX pool_start_by_pool ON pool_start (tenant, pool, at);
";

pub(super) fn set(db: &Transaction<'_>, pool: &Pool) -> Done<()> {
    let mut put = db
        .prepare_cached("INSERT OR REPLACE INTO pool (tenant, name, slots, per_minute, user) VALUES (?, ?, ?, ?, ?)")?;
    put.execute(params![pool.tenant, pool.name, pool.slots, pool.per_minute, pool.user])?;
    Ok(())
}

pub(super) fn remove(db: &Transaction<'_>, tenant: &str, name: &str) -> Done<Removed> {
    let held = count(db, tenant, name)?;
    if held > 0 {
        return Ok(Removed::Held(held));
    }
    db.execute("DELETE FROM pool_start WHERE tenant = ? AND pool = ?", [tenant, name])?;
    let gone = db.execute("DELETE FROM pool WHERE tenant = ? AND name = ?", [tenant, name])?;
    Ok(if gone > 0 { Removed::Gone } else { Removed::Unknown })
}

pub(super) fn all(db: &Transaction<'_>, tenant: &str, now: Timestamp) -> Done<Vec<PoolState>> {
    let mut rows = db.prepare_cached("SELECT * FROM pool WHERE tenant = ? ORDER BY name")?;
    let pools = rows.query_map([tenant], pool)?.collect::<rusqlite::Result<Vec<_>>>()?;
    pools.into_iter().map(|pool| state(db, pool, now)).collect()
}

fn pool(row: &rusqlite::Row<'_>) -> rusqlite::Result<Pool> {
    Ok(Pool {
        tenant: row.get("tenant")?,
        user: row.get("user")?,
        name: row.get("name")?,
        slots: row.get("slots")?,
        per_minute: row.get("per_minute")?,
    })
}

fn state(db: &Transaction<'_>, pool: Pool, now: Timestamp) -> Done<PoolState> {
    let holders = holders(db, &pool.tenant, &pool.name)?;
    let starts = starts(db, &pool, now)?;
    let next = pool.per_minute.and_then(|most| next(&starts, most));
    Ok(PoolState { holders, started: starts.len() as u32, next, pool })
}

/// When attempts began within the last minute, where that is limited.
fn starts(db: &Transaction<'_>, pool: &Pool, now: Timestamp) -> Done<Vec<Timestamp>> {
    if pool.per_minute.is_none() {
        return Ok(Vec::new());
    }
    let mut rows =
        db.prepare_cached("SELECT at FROM pool_start WHERE tenant = ? AND pool = ? AND at > ? ORDER BY at")?;
    let found = rows.query_map(params![pool.tenant, pool.name, a_minute_before(now)], |r| r.get(0).map(Timestamp))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

const fn a_minute_before(now: Timestamp) -> i64 {
    now.0 - MINUTE_MS as i64 * 1000
}

fn count(db: &Transaction<'_>, tenant: &str, name: &str) -> Done<u32> {
    let mut count = db.prepare_cached("SELECT count(*) FROM pool_slot WHERE tenant = ? AND pool = ?")?;
    Ok(count.query_row([tenant, name], |row| row.get(0))?)
}

fn holders(db: &Transaction<'_>, tenant: &str, name: &str) -> Done<Vec<Holder>> {
    let mut rows = db.prepare_cached(
        "SELECT node || '@' || attempt, node_id, since FROM pool_slot WHERE tenant = ? AND pool = ? ORDER BY since, node",
    )?;
    let mut found = rows.query([tenant, name])?;
    let mut holders = Vec::new();
    while let Some(row) = found.next()? {
        if let Ok(attempt) = row.get::<_, String>(0)?.parse() {
            holders.push(Holder { attempt, node_id: row.get(1)?, since: Timestamp(row.get(2)?) });
        }
    }
    Ok(holders)
}

/// Gives back what is given back, then takes what is taken: all of it, or the transaction fails.
pub(super) fn exchange<'a>(
    db: &Transaction<'_>,
    slots: impl Iterator<Item = &'a Slot> + Clone,
    now: Timestamp,
) -> Done<()> {
    for slot in slots.clone().filter(|slot| !slot.held) {
        db.prepare_cached("DELETE FROM pool_slot WHERE node = ?")?.execute([slot.node()])?;
    }
    slots.filter(|slot| slot.held).try_for_each(|slot| take(db, slot, now))
}

fn take(db: &Transaction<'_>, slot: &Slot, now: Timestamp) -> Done<()> {
    let (node, (tenant, name), attempt) = (slot.node(), &slot.pool, slot.attempt.attempt);
    let known: Option<u32> = db
        .prepare_cached("SELECT attempt FROM pool_slot WHERE node = ?")?
        .query_row([&node], |row| row.get(0))
        .optional()?;
    if known == Some(attempt) {
        return Ok(());
    }
    // An attempt that takes the place of an earlier one takes its slot over.
    db.prepare_cached("DELETE FROM pool_slot WHERE node = ?")?.execute([&node])?;
    let pool = db
        .prepare_cached("SELECT * FROM pool WHERE tenant = ? AND name = ?")?
        .query_row([tenant, name], pool)
        .optional()?;
    let full = || Stop::Because(Error::PoolFull(name.clone()));
    let pool = pool.ok_or_else(full)?;
    let started = starts(db, &pool, now)?.len() as u32;
    if pool.wait(count(db, tenant, name)?, started).is_some() {
        return Err(full());
    }
    let mut put = db.prepare_cached(
        "INSERT INTO pool_slot (node, tenant, pool, node_id, attempt, since, user) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    put.execute(params![node, tenant, name, slot.node_id, attempt, now.0, slot.user])?;
    db.prepare_cached("DELETE FROM pool_start WHERE tenant = ? AND pool = ? AND at <= ?")?.execute(params![
        tenant,
        name,
        a_minute_before(now)
    ])?;
    if pool.per_minute.is_some() {
        let mut put = db.prepare_cached("INSERT INTO pool_start (tenant, pool, at, user) VALUES (?, ?, ?, ?)")?;
        put.execute(params![tenant, name, now.0, slot.user])?;
    }
    Ok(())
}
