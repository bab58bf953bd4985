//! Shards and the replicas that share them, by the database's clock.

use std::collections::{BTreeMap, BTreeSet};

use qflow_model::{
    ids::{Epoch, Shard},
    limits,
};

use super::{
    super::member::{Attending, Replica, Standing},
    batch::FENCE,
    transaction::{Done, Param, Tx},
};

/// Free are shards that nobody has, and whose owner has not said for a lease that it lives. One that somebody writes to at this moment
/// is not free.
pub(super) const TAKE: &str = "
WITH free AS (SELECT id FROM shard WHERE owner = '' OR lease_until < now() ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED)
UPDATE shard SET owner = $1, epoch = epoch + 1, lease_until = clock_timestamp() + $2::bigint * interval '1 ms'
FROM free WHERE shard.id = free.id RETURNING shard.id, shard.epoch";
pub(super) const RELEASE: &str = "
UPDATE shard SET owner = '', lease_until = '-infinity'
FROM unnest($1::smallint[], $2::bigint[]) AS ours (id, epoch) WHERE shard.id = ours.id AND shard.epoch = ours.epoch";
const FREE: &str = "UPDATE shard SET owner = '', lease_until = '-infinity' WHERE owner = $1";
const GONE: &str = "DELETE FROM replica WHERE owner = $1";
const LIVES: &str = "
INSERT INTO replica (owner, url, stranded, lease_until)
VALUES ($1, $2, $4, clock_timestamp() + $3::bigint * interval '1 ms')
ON CONFLICT (owner) DO UPDATE SET url = excluded.url, stranded = excluded.stranded, lease_until = excluded.lease_until";
const BURY: &str = "DELETE FROM replica WHERE lease_until < now() RETURNING owner";
const LIVING: &str = "SELECT owner, url, stranded FROM replica ORDER BY owner";

/// Shards and epochs as columns.
pub(super) fn columns(held: &BTreeMap<Shard, Epoch>) -> (Vec<i16>, Vec<i64>) {
    held.iter().map(|(shard, epoch)| (i16::from(shard.0), epoch.0 as i64)).unzip()
}

/// Says that a replica lives, renews what it holds, and reads who else lives.
pub(super) async fn attend(tx: &Tx, Attending { replica, held, stranded }: Attending<'_>) -> Done<Standing> {
    let (ids, epochs) = columns(held);
    let lease = limits::SHARD_LEASE_MS as i64;
    let writes: [(&str, Vec<Param<'_>>); 4] = [
        (FENCE, vec![&ids, &epochs, &lease]),
        (LIVES, vec![&replica.owner, &replica.url, &lease, &stranded]),
        (BURY, vec![]),
        (LIVING, vec![]),
    ];
    let mut statements = Vec::with_capacity(writes.len());
    for (sql, _) in &writes {
        statements.push(tx.prepare_cached(sql).await?);
    }
    let mut sent = tx.begin();
    for (statement, (_, params)) in statements.iter().zip(writes) {
        sent.then(tx, statement, params);
    }
    // The first answer is that of BEGIN.
    let mut answers = sent.answers().await?.into_iter().skip(1);
    let mut next = || answers.next().unwrap_or_default();
    let (ours, _, buried, living) = (next(), next(), next(), next());
    let missed: Done<Vec<String>> = buried.iter().map(|row| Ok(row.try_get(0)?)).collect();
    let shard = |row: &tokio_postgres::Row| Ok(Shard(row.try_get::<_, i16>(0)? as u8));
    let ours: Done<BTreeSet<Shard>> = ours.iter().map(shard).collect();
    let replica = |row: &tokio_postgres::Row| Ok(Replica { owner: row.try_get(0)?, url: row.try_get(1)? });
    let members: Done<Vec<Replica>> = living.iter().map(replica).collect();
    let waits = |row: &&tokio_postgres::Row| row.try_get(2).unwrap_or(false);
    let stranded: Done<Vec<Replica>> = living.iter().filter(waits).map(replica).collect();
    Ok(Standing { members: members?, stranded: stranded?, held: ours?, missed: missed? })
}

/// Forgets a replica, and frees what it holds.
pub(super) async fn leave(tx: &Tx, owner: &str) -> Done<()> {
    let (gone, free) = (tx.prepare_cached(GONE).await?, tx.prepare_cached(FREE).await?);
    let mut sent = tx.begin();
    sent.then(tx, &gone, vec![&owner]);
    sent.then(tx, &free, vec![&owner]);
    sent.answers().await?;
    Ok(())
}
