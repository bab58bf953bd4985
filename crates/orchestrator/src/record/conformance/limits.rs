//! What every store promises of pools and of outputs that are kept.

use qflow_model::{
    ids::AttemptKey,
    progress::ReusedFrom,
    value::{Attachment, Produced, ValueRef},
};

use super::{
    super::{
        cache::{Cached, Expired, Hit, Scope},
        pool::{MINUTE_MS, Pool, Removed, Slot},
    },
    *,
};

fn pool(slots: u32, per_minute: Option<u32>) -> Pool {
    Pool { tenant: "t".into(), user: "u".into(), name: "database".into(), slots, per_minute }
}

fn slot(element: u32, attempt: u32, held: bool) -> Slot {
    let node = NodeKey::root(StepIx(0), Some(element));
    let attempt = AttemptKey { run: RunId(uuid::Uuid::from_u128(1)), node, attempt };
    Slot { attempt, node_id: format!("a[{element}]"), pool: ("t".into(), "database".into()), user: "u".into(), held }
}

async fn exchange(store: &dyn Store, slots: Vec<Slot>) -> Result<Timestamp> {
    let change = Change { run: RunId(uuid::Uuid::from_u128(1)), head: None, nodes: vec![], history: vec![], slots };
    store.commit(Batch { changes: vec![change], ..Batch::default() }).await
}

/// Ids of the node runs that hold slots.
async fn holders(store: &dyn Store) -> Vec<String> {
    let pools = store.pools("t".into()).await.unwrap();
    pools[0].holders.iter().map(|holder| format!("{}@{}", holder.node_id, holder.attempt.attempt)).collect()
}

/// No more attempts hold a pool than it has slots, and a transaction that would take one more writes nothing.
pub(super) async fn a_pool_is_held_by_no_more_than_its_slots(store: &dyn Store, _: &dyn Hand) {
    store.set_pool(pool(2, None)).await.unwrap();
    exchange(store, vec![slot(0, 1, true), slot(1, 1, true)]).await.unwrap();
    assert_eq!(holders(store).await, ["a[0]@1", "a[1]@1"]);
    let full = exchange(store, vec![slot(2, 1, true)]).await;
    assert!(matches!(full, Err(Error::PoolFull(name)) if name == "database"));
    exchange(store, vec![slot(2, 1, true), slot(0, 1, false)]).await.unwrap();
    assert_eq!(holders(store).await, ["a[1]@1", "a[2]@1"], "what is given back is taken in the same transaction");
    let others = store.pools("another".into()).await.unwrap();
    assert!(others.is_empty(), "another tenant's pools are not seen");
}

/// An attempt holds one slot, however often that is written; the next attempt of its node run takes it over.
pub(super) async fn a_node_run_holds_one_slot(store: &dyn Store, _: &dyn Hand) {
    store.set_pool(pool(1, None)).await.unwrap();
    for slots in [vec![slot(0, 1, true)], vec![slot(0, 1, true)], vec![slot(0, 2, true)]] {
        exchange(store, slots).await.unwrap();
    }
    assert_eq!(holders(store).await, ["a[0]@2"]);
    exchange(store, vec![slot(0, 2, false)]).await.unwrap();
    assert!(holders(store).await.is_empty());
}

/// Starts count for a minute of the store's clock.
pub(super) async fn starts_count_for_a_minute(store: &dyn Store, clock: &dyn Hand) {
    store.set_pool(pool(9, Some(2))).await.unwrap();
    let first = exchange(store, vec![slot(0, 1, true)]).await.unwrap();
    clock.advance_ms(1000).await;
    exchange(store, vec![slot(1, 1, true), slot(0, 1, false)]).await.unwrap();
    let state = store.pools("t".into()).await.unwrap().remove(0);
    assert_eq!((state.started, state.next), (2, Some(first.plus_ms(MINUTE_MS))), "a slot that is back still counts");
    assert!(matches!(exchange(store, vec![slot(2, 1, true)]).await, Err(Error::PoolFull(_))));
    clock.advance_ms(MINUTE_MS - 1000).await;
    exchange(store, vec![slot(2, 1, true)]).await.unwrap();
    assert!(matches!(exchange(store, vec![slot(3, 1, true)]).await, Err(Error::PoolFull(_))));
}

/// A pool that is held stays; one that is not goes, and then nothing takes a slot of it.
pub(super) async fn a_pool_goes_once_nobody_holds_it(store: &dyn Store, _: &dyn Hand) {
    let remove = async || store.remove_pool("t".into(), "database".into()).await.unwrap();
    assert_eq!(remove().await, Removed::Unknown);
    store.set_pool(pool(1, None)).await.unwrap();
    exchange(store, vec![slot(0, 1, true)]).await.unwrap();
    assert_eq!(remove().await, Removed::Held(1));
    exchange(store, vec![slot(0, 1, false)]).await.unwrap();
    assert_eq!(remove().await, Removed::Gone);
    assert!(matches!(exchange(store, vec![slot(0, 2, true)]).await, Err(Error::PoolFull(_))));
}

fn scope(user: &str) -> Scope {
    Scope { tenant: "t".into(), user: user.into() }
}

fn cached(key: &[u8], text: &str, blob: &[u8], keep_ms: u64) -> Cached {
    let attachment = Attachment { digest: Digest::of(blob), size: 1, kind: "file".into() };
    let inline = Some(text.as_bytes().to_vec());
    let value =
        ValueRef { digest: Digest::of(text.as_bytes()), size: 1, inline, items: None, attachments: vec![attachment] };
    let from = ReusedFrom { run_id: RunId(uuid::Uuid::from_u128(1)), node_id: "a".into(), attempt: 2 };
    Cached { scope: scope("u"), key: Digest::of(key), produced: Produced { value, answers: vec![] }, from, keep_ms }
}

async fn keep(store: &dyn Store, cached: Vec<Cached>) {
    store.commit(Batch { cached, ..Batch::default() }).await.unwrap();
}

/// An output is found by its user under its key until its time is over; for ever is for ever.
pub(super) async fn an_output_is_found_until_its_time_is_over(store: &dyn Store, clock: &dyn Hand) {
    let (short, long) = (cached(b"1", "1", b"x", 1000), cached(b"2", "2", b"x", u64::MAX));
    keep(store, vec![short.clone(), long.clone()]).await;
    let keys = || vec![short.key, Digest::of(b"none"), long.key];
    let hit = |cached: &Cached| Some(Hit { produced: cached.produced.clone(), from: cached.from.clone() });
    assert_eq!(store.cached(scope("u"), keys()).await.unwrap(), [hit(&short), None, hit(&long)]);
    assert_eq!(store.cached(scope("v"), keys()).await.unwrap(), [None, None, None], "another user's are not seen");
    clock.advance_ms(1000).await;
    assert_eq!(store.cached(scope("u"), keys()).await.unwrap(), [None, None, hit(&long)]);
}

/// An output that is kept anew takes the place of the one before.
pub(super) async fn an_output_that_is_kept_anew_takes_the_place(store: &dyn Store, _: &dyn Hand) {
    keep(store, vec![cached(b"1", "1", b"x", 1000)]).await;
    let newer = cached(b"1", "2", b"y", 1000);
    keep(store, vec![newer.clone()]).await;
    let found = store.cached(scope("u"), vec![newer.key]).await.unwrap().remove(0);
    assert_eq!(found.map(|hit| hit.produced), Some(newer.produced));
    let left = store.expire(9).await.unwrap();
    assert_eq!((left.entries, left.blobs), (0, vec![Digest::of(b"x")]), "the blob of the one before is nobody's");
}

/// Blobs are named for removal once the last entry that owns them is gone, and again until they are said to be removed.
pub(super) async fn blobs_go_with_the_last_entry_that_owns_them(store: &dyn Store, clock: &dyn Hand) {
    keep(store, vec![cached(b"1", "1", b"x", 1000), cached(b"2", "2", b"x", 2000), cached(b"3", "3", b"y", 3000)])
        .await;
    clock.advance_ms(1000).await;
    let first = store.expire(9).await.unwrap();
    assert_eq!((first.entries, first.blobs.len()), (1, 0), "another entry owns it");
    clock.advance_ms(5000).await;
    let second = store.expire(1).await.unwrap();
    assert_eq!((second.entries, &second.blobs), (1, &vec![Digest::of(b"x")]), "in batches");
    assert_eq!(store.expire(1).await.unwrap().entries, 1);
    store.forget(vec![Digest::of(b"x")]).await.unwrap();
    let last = store.expire(9).await.unwrap();
    assert_eq!((last.entries, &last.blobs), (0, &vec![Digest::of(b"y")]));
    store.forget(last.blobs).await.unwrap();
    assert_eq!(store.expire(9).await.unwrap(), Expired::default());
}

/// Runs that ended long ago are named, oldest first, until they are removed, and then nothing of them is left.
pub(super) async fn runs_that_ended_long_ago_are_named_until_they_are_removed(store: &dyn Store, clock: &dyn Hand) {
    let id = |id| RunId(uuid::Uuid::from_u128(id));
    for number in 1..=3 {
        ended(store, number).await;
        clock.advance_ms(1000).await;
    }
    store.submit(submission(4, None)).await.unwrap();
    clock.advance_ms(1000).await;
    assert_eq!(store.expire_runs(2500, 9).await.unwrap(), [id(1), id(2)]);
    assert_eq!(store.expire_runs(0, 2).await.unwrap(), [id(1), id(2)], "in batches");
    store.forget_runs(vec![id(1), id(2)]).await.unwrap();
    assert!(store.load(id(1)).await.unwrap().is_none() && store.history(id(1)).await.unwrap().is_empty());
    assert_eq!(store.expire_runs(0, 9).await.unwrap(), [id(3)], "what has not ended stays");
    store.forget_runs(vec![id(4)]).await.unwrap();
    assert!(store.load(id(4)).await.unwrap().is_some());
}

/// A run that has ended and that somebody wants something of stays.
pub(super) async fn a_run_that_is_asked_for_is_not_removed(store: &dyn Store, clock: &dyn Hand) {
    ended(store, 1).await;
    clock.advance_ms(1000).await;
    let run = RunId(uuid::Uuid::from_u128(1));
    store.post(run, Command::RetryFailed { by: "u".into() }, None).await.unwrap();
    assert!(store.expire_runs(0, 9).await.unwrap().is_empty());
    store.forget_runs(vec![run]).await.unwrap();
    assert!(store.load(run).await.unwrap().is_some() && store.inbox(&all_shards()).await.unwrap().len() == 1);
}
