//! Pools and their slots, row by row. Who takes a slot holds the pool's row until the end: replicas take turns.

use std::collections::BTreeMap;

use deadpool_postgres::Object;
use qflow_model::ids::Timestamp;
use tokio_postgres::Row;

use super::{
    super::{
        Error,
        pool::{Holder, MINUTE_MS, Pool, PoolState, Removed, Slot, next},
    },
    rows::query,
    transaction::{At, Done, Stop, Tx},
};

const LOCKED: &str = "SELECT slots, per_minute, username FROM pool WHERE tenant = $1 AND name = $2 FOR UPDATE";
const POOLS: &str = "SELECT slots, per_minute, username, name FROM pool WHERE tenant = $1 ORDER BY name";
const COUNT: &str = "SELECT count(*) FROM pool_slot WHERE tenant = $1 AND pool = $2";
const HOLDERS: &str = "
SELECT node || '@' || attempt, node_id, since FROM pool_slot WHERE tenant = $1 AND pool = $2 ORDER BY since, node";
const STARTS: &str = "
SELECT at FROM pool_start WHERE tenant = $1 AND pool = $2 AND at > now() - $3::bigint * interval '1 ms' ORDER BY at";
const GIVE_BACK: &str = "DELETE FROM pool_slot WHERE node = ANY($1::text[])";
const ATTEMPT: &str = "SELECT attempt FROM pool_slot WHERE node = $1";
const TAKE: &str = "
INSERT INTO pool_slot (node, tenant, pool, node_id, attempt, username, since) VALUES ($1, $2, $3, $4, $5, $6, now())";
const FORGET_STARTS: &str = "
DELETE FROM pool_start WHERE tenant = $1 AND pool = $2 AND at <= now() - $3::bigint * interval '1 ms'";
const START: &str = "INSERT INTO pool_start (tenant, pool, username, at) VALUES ($1, $2, $3, now())";

const MINUTE: i64 = MINUTE_MS as i64;

pub(super) async fn set(client: &Object, pool: &Pool) -> Done<()> {
    let sql = "INSERT INTO pool (tenant, name, slots, per_minute, username) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (tenant, name) DO UPDATE
               SET slots = excluded.slots, per_minute = excluded.per_minute, username = excluded.username";
    let (slots, per_minute) = (i64::from(pool.slots), pool.per_minute.map(i64::from));
    query(client, sql, &[&pool.tenant, &pool.name, &slots, &per_minute, &pool.user]).await?;
    Ok(())
}

/// Removes a pool within a transaction that begins here.
pub(super) async fn remove(tx: &Tx, tenant: &str, name: &str) -> Done<Removed> {
    tx.begin().answers().await?;
    let known = locked(tx, tenant, name).await?;
    let held = count(tx, tenant, name).await?;
    if held > 0 {
        return Ok(Removed::Held(held));
    }
    query(tx, "DELETE FROM pool_start WHERE tenant = $1 AND pool = $2", &[&tenant, &name]).await?;
    query(tx, "DELETE FROM pool WHERE tenant = $1 AND name = $2", &[&tenant, &name]).await?;
    Ok(if known.is_some() { Removed::Gone } else { Removed::Unknown })
}

/// A tenant's pools, of one moment, within a transaction that begins here.
pub(super) async fn all(tx: &Tx, tenant: &str) -> Done<Vec<PoolState>> {
    tx.begin_reading().answers().await?;
    let mut states = Vec::new();
    for row in query(tx, POOLS, &[&tenant]).await? {
        states.push(state(tx, pool(tenant, row.try_get(3)?, &row)?).await?);
    }
    Ok(states)
}

/// A pool from a row that begins with its slots, its starts a minute and who set it.
fn pool(tenant: &str, name: String, row: &Row) -> Done<Pool> {
    let (slots, per_minute): (i64, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    let (slots, per_minute) = (slots as u32, per_minute.map(|most| most as u32));
    Ok(Pool { tenant: tenant.to_owned(), user: row.try_get(2)?, name, slots, per_minute })
}

async fn locked(tx: &Tx, tenant: &str, name: &str) -> Done<Option<Pool>> {
    let rows = query(tx, LOCKED, &[&tenant, &name]).await?;
    rows.first().map(|row| pool(tenant, name.to_owned(), row)).transpose()
}

async fn state(tx: &Tx, pool: Pool) -> Done<PoolState> {
    let mut holders = Vec::new();
    for row in query(tx, HOLDERS, &[&pool.tenant, &pool.name]).await? {
        if let Ok(attempt) = row.try_get::<_, &str>(0)?.parse() {
            let At(since) = row.try_get(2)?;
            holders.push(Holder { attempt, node_id: row.try_get(1)?, since });
        }
    }
    let starts = starts(tx, &pool).await?;
    let next = pool.per_minute.and_then(|most| next(&starts, most));
    Ok(PoolState { holders, started: starts.len() as u32, next, pool })
}

/// When attempts began within the last minute, where that is limited.
async fn starts(tx: &Tx, pool: &Pool) -> Done<Vec<Timestamp>> {
    if pool.per_minute.is_none() {
        return Ok(Vec::new());
    }
    let rows = query(tx, STARTS, &[&pool.tenant, &pool.name, &MINUTE]).await?;
    rows.iter().map(|row| Ok(row.try_get::<_, At>(0)?.0)).collect()
}

async fn count(tx: &Tx, tenant: &str, name: &str) -> Done<u32> {
    let rows = query(tx, COUNT, &[&tenant, &name]).await?;
    let row = rows.first().ok_or_else(|| Stop::Database("the database did not count the slots".into()))?;
    Ok(row.try_get::<_, i64>(0)? as u32)
}

/// Gives back what is given back, then takes what is taken: all of it, or the transaction is to be undone.
pub(super) async fn exchange(tx: &Tx, slots: impl Iterator<Item = &Slot>) -> Done<()> {
    let (taken, back): (Vec<&Slot>, Vec<&Slot>) = slots.partition(|slot| slot.held);
    if !back.is_empty() {
        let nodes: Vec<String> = back.iter().map(|slot| slot.node()).collect();
        query(tx, GIVE_BACK, &[&nodes]).await?;
    }
    // In one order for all, so that no two replicas wait for each other's pools.
    let mut by_pool = BTreeMap::<&(String, String), Vec<&Slot>>::new();
    for slot in taken {
        by_pool.entry(&slot.pool).or_default().push(slot);
    }
    for ((tenant, name), slots) in by_pool {
        let pool = locked(tx, tenant, name).await?;
        for slot in slots {
            take(tx, slot, pool.as_ref()).await?;
        }
    }
    Ok(())
}

async fn take(tx: &Tx, slot: &Slot, pool: Option<&Pool>) -> Done<()> {
    let (node, attempt) = (slot.node(), slot.attempt.attempt as i32);
    if let Some(known) = query(tx, ATTEMPT, &[&node]).await?.first() {
        if known.try_get::<_, i32>(0)? == attempt {
            return Ok(());
        }
        // An attempt that takes the place of an earlier one takes its slot over.
        query(tx, GIVE_BACK, &[&vec![node.as_str()]]).await?;
    }
    let full = || Stop::Because(Error::PoolFull(slot.pool.1.clone()));
    let pool = pool.ok_or_else(full)?;
    let started = starts(tx, pool).await?.len() as u32;
    if pool.wait(count(tx, &pool.tenant, &pool.name).await?, started).is_some() {
        return Err(full());
    }
    query(tx, TAKE, &[&node, &pool.tenant, &pool.name, &slot.node_id, &attempt, &slot.user]).await?;
    query(tx, FORGET_STARTS, &[&pool.tenant, &pool.name, &MINUTE]).await?;
    if pool.per_minute.is_some() {
        query(tx, START, &[&pool.tenant, &pool.name, &slot.user]).await?;
    }
    Ok(())
}
