//! What every store promises of shards and of the replicas that own them.

use super::{
    super::member::{Attending, Replica, Standing},
    *,
};

fn replica(owner: &str) -> Replica {
    Replica { owner: owner.to_owned(), url: format!("http://{owner}") }
}

async fn stand(store: &dyn Store, owner: &str, held: &BTreeMap<Shard, Epoch>, stranded: bool) -> Standing {
    store.attend(Attending { replica: &replica(owner), held, stranded }).await.unwrap()
}

async fn attend(store: &dyn Store, owner: &str, held: &BTreeMap<Shard, Epoch>) -> BTreeSet<Shard> {
    stand(store, owner, held, false).await.held
}

/// That attempts wait in vain with a replica is known to all of them, until it says otherwise or lives no more.
pub(super) async fn a_replica_that_no_runner_comes_to_is_known_to_the_others(store: &dyn Store, clock: &dyn Hand) {
    let none = BTreeMap::new();
    assert_eq!(stand(store, "a", &none, true).await.stranded, [replica("a")]);
    let other = stand(store, "b", &none, false).await;
    assert_eq!((other.stranded, other.members.len()), (vec![replica("a")], 2));
    assert_eq!(stand(store, "a", &none, false).await.stranded, []);
    assert_eq!(stand(store, "b", &none, false).await.stranded, []);
    stand(store, "a", &none, true).await;
    clock.advance_ms(qflow_model::limits::SHARD_LEASE_MS + 1).await;
    assert_eq!(stand(store, "b", &none, false).await.stranded, [], "it lives no more");
}

/// A shard is taken by one replica, and by no other as long as that one says that it lives.
pub(super) async fn a_shard_has_one_owner_at_a_time(store: &dyn Store, clock: &dyn Hand) {
    attend(store, "a", &BTreeMap::new()).await;
    let ours = store.take_shards("a", 40).await.unwrap();
    assert_eq!(ours.len(), 40);
    let standing = stand(store, "b", &BTreeMap::new(), false).await;
    assert_eq!(standing.members, [replica("a"), replica("b")]);
    let theirs = store.take_shards("b", 64).await.unwrap();
    assert_eq!(theirs.len(), 24);
    assert!(theirs.keys().all(|shard| !ours.contains_key(shard)));
    for _ in 0..3 {
        clock.advance_ms(5_000).await;
        assert_eq!(attend(store, "a", &ours).await.len(), 40);
        attend(store, "b", &theirs).await;
        assert!(store.take_shards("c", 64).await.unwrap().is_empty(), "all are held");
    }
}

/// Without a word from its replica a shard is free after its lease; the replica then hears that it has lost it.
pub(super) async fn a_dead_replicas_shards_are_free_after_a_lease(store: &dyn Store, clock: &dyn Hand) {
    attend(store, "a", &BTreeMap::new()).await;
    let old = store.take_shards("a", 64).await.unwrap();
    attend(store, "a", &old).await;
    clock.advance_ms(qflow_model::limits::SHARD_LEASE_MS + 1).await;
    let alone = stand(store, "b", &BTreeMap::new(), false).await;
    assert_eq!(alone.members, [replica("b")]);
    assert_eq!(alone.missed, ["a"]);
    assert!(stand(store, "b", &BTreeMap::new(), false).await.missed.is_empty(), "it is missed once");
    let new = store.take_shards("b", 64).await.unwrap();
    assert_eq!(new.len(), 64);
    assert!(new.iter().all(|(shard, epoch)| old[shard] < *epoch));
    assert!(attend(store, "a", &old).await.is_empty());
    let batch = Batch { fences: old, ..Batch::default() };
    assert!(matches!(store.commit(batch).await, Err(Error::Fenced(_))));
}

/// What is given back belongs to nobody at once: another may take it, and its former owner writes to it no more.
pub(super) async fn what_is_given_back_is_free_at_once_and_written_to_no_more(store: &dyn Store, _: &dyn Hand) {
    attend(store, "a", &BTreeMap::new()).await;
    attend(store, "b", &BTreeMap::new()).await;
    let ours = store.take_shards("a", 64).await.unwrap();
    let given: BTreeMap<_, _> = ours.iter().take(10).map(|(shard, epoch)| (*shard, *epoch)).collect();
    store.release(&given).await.unwrap();
    let batch = Batch { fences: given.clone(), ..Batch::default() };
    assert!(matches!(store.commit(batch).await, Err(Error::Fenced(_))));
    let taken = store.take_shards("b", 64).await.unwrap();
    assert_eq!(taken.keys().collect::<Vec<_>>(), given.keys().collect::<Vec<_>>());
    store.release(&given).await.unwrap();
    assert_eq!(attend(store, "b", &taken).await.len(), 10, "an older owner gives nothing back");
    store.leave("a").await.unwrap();
    let standing = stand(store, "b", &taken, false).await;
    assert!(standing.missed.is_empty() && standing.members == [replica("b")], "who leaves is not missed: {standing:?}");
    assert_eq!(store.take_shards("b", 64).await.unwrap().len(), 54, "what it holds is not taken once more");
}

/// A replica reads the commands and the open runs of its own shards, and of no others.
pub(super) async fn commands_and_open_runs_are_found_by_shard(store: &dyn Store, _: &dyn Hand) {
    let (one, two) = (submission(1, None), submission(2, None));
    store.submit(one.clone()).await.unwrap();
    store.submit(two.clone()).await.unwrap();
    let of = |run: &Submission| BTreeSet::from([run.spec.id.shard()]);
    assert_eq!(store.unfinished(&of(&one)).await.unwrap(), [one.spec.id]);
    let row = store.post(two.spec.id, Command::Cancel { by: "u".into() }, None).await.unwrap();
    let inbox = store.inbox(&of(&two)).await.unwrap();
    assert_eq!(inbox.iter().map(|row| row.run).collect::<Vec<_>>(), [two.spec.id; 2]);
    assert_eq!(inbox.last().map(|last| last.id), Some(row));
    assert!(store.is_posted(row).await.unwrap());
    store.commit(Batch { done: vec![row], ..Batch::default() }).await.unwrap();
    assert!(!store.is_posted(row).await.unwrap());
}
