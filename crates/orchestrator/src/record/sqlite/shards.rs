//! Shards: who owns which. The file's lock keeps other processes out, so who lives is known here and needs no write to the disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use qflow_model::{
    ids::{Epoch, Shard, Timestamp},
    limits,
};
use rusqlite::{Transaction, params};

use super::{
    super::member::{Attending, Member, Replica},
    Done,
};

/// Replicas by owner.
pub(super) type Members = BTreeMap<String, Member>;

/// Says that a replica lives; all that do, those with which attempts wait in vain, and who does not live any more.
pub(super) fn attend(
    members: &Mutex<Members>,
    Attending { replica, stranded, .. }: Attending<'_>,
    now: Timestamp,
) -> (Vec<Replica>, Vec<Replica>, Vec<String>) {
    let mut members = members.lock().unwrap_or_else(PoisonError::into_inner);
    let missed = members.extract_if(.., |_, member| member.until <= now).map(|(owner, _)| owner).collect();
    let until = now.plus_ms(limits::SHARD_LEASE_MS);
    members.insert(replica.owner.clone(), Member { replica: replica.clone(), until, stranded });
    let (all, stranded) = Member::told(members.values());
    (all, stranded, missed)
}

/// Says that a replica has left.
pub(super) fn leave(members: &Mutex<Members>, owner: &str) {
    members.lock().unwrap_or_else(PoisonError::into_inner).remove(owner);
}

/// Who lives now.
pub(super) fn living(members: &Mutex<Members>, now: Timestamp) -> Vec<String> {
    let members = members.lock().unwrap_or_else(PoisonError::into_inner);
    members.iter().filter(|(_, member)| member.until > now).map(|(owner, _)| owner.clone()).collect()
}

/// Of the shards those that are still held under these epochs.
pub(super) fn ours(db: &Transaction<'_>, held: &BTreeMap<Shard, Epoch>) -> Done<BTreeSet<Shard>> {
    let mut rows = db.prepare_cached("SELECT 1 FROM shard WHERE id = ? AND epoch = ? AND owner != ''")?;
    let mut ours = BTreeSet::new();
    for (shard, epoch) in held {
        if rows.exists(params![shard.0, epoch.0 as i64])? {
            ours.insert(*shard);
        }
    }
    Ok(ours)
}

/// Takes shards whose owner does not live, at most so many.
pub(super) fn take(
    db: &Transaction<'_>,
    owner: &str,
    most: usize,
    living: &[String],
    now: Timestamp,
) -> Done<BTreeMap<Shard, Epoch>> {
    let mut rows = db.prepare_cached("SELECT id, epoch, owner FROM shard ORDER BY id")?;
    let all = rows.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?)))?;
    let all = all.collect::<rusqlite::Result<Vec<(u8, i64, String)>>>()?;
    let free = all.into_iter().filter(|(_, _, holder)| !living.contains(holder));
    let until = now.plus_ms(limits::SHARD_LEASE_MS);
    let mut take = db.prepare_cached("UPDATE shard SET owner = ?, epoch = ?, lease_until = ? WHERE id = ?")?;
    let mut taken = BTreeMap::new();
    for (shard, epoch, _) in free.take(most) {
        take.execute(params![owner, epoch + 1, until.0, shard])?;
        taken.insert(Shard(shard), Epoch(epoch as u64 + 1));
    }
    Ok(taken)
}

pub(super) fn release(db: &Transaction<'_>, held: &BTreeMap<Shard, Epoch>) -> Done<()> {
    let mut free = db.prepare_cached("UPDATE shard SET owner = '', lease_until = 0 WHERE id = ? AND epoch = ?")?;
    for (shard, epoch) in held {
        free.execute(params![shard.0, epoch.0 as i64])?;
    }
    Ok(())
}

/// Frees all that an owner holds.
pub(super) fn free(db: &Transaction<'_>, owner: &str) -> Done<()> {
    db.execute("UPDATE shard SET owner = '', lease_until = 0 WHERE owner = ?", [owner])?;
    Ok(())
}
