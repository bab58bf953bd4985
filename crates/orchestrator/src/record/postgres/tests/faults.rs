//! A server that dies in the middle of commits: what was acknowledged is there, and nothing is there by half.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use qflow_model::{
    ids::{FrameIx, NodeKey, RunId, StepIx},
    progress::{Happening, NodeRun},
};
use serde_json::json;

use super::{
    super::super::{Change, conformance::submission},
    server::Server,
    *,
};

/// Commits before the server dies.
const BEFORE: u32 = 60;

fn run() -> RunId {
    RunId(uuid::Uuid::from_u128(1))
}

/// A batch that says its number in two lines of history and in a node run.
fn numbered(number: u32, fences: BTreeMap<Shard, Epoch>) -> Batch {
    let said = |holds| Happening::BranchTaken { frame: FrameIx::ROOT, branch: number, holds };
    let node: NodeRun =
        serde_json::from_value(json!({"status": "running", "attempt": number, "user_retries": 0, "infra_retries": 0}))
            .unwrap();
    let nodes = vec![(NodeKey::root(StepIx(number), None), node)];
    let change = Change { run: run(), head: None, nodes, history: vec![said(true), said(false)], slots: vec![] };
    Batch { fences, changes: vec![change], ..Batch::default() }
}

/// Numbers that are there, each with all three of its rows.
async fn whole(store: &Postgres) -> BTreeSet<u32> {
    let mut lines = BTreeMap::<u32, u32>::new();
    for (_, happening) in store.history(run()).await.unwrap() {
        if let Happening::BranchTaken { branch, .. } = happening {
            *lines.entry(branch).or_default() += 1;
        }
    }
    let nodes = store.load(run()).await.unwrap().unwrap().nodes;
    let nodes: BTreeSet<u32> = nodes.iter().map(|(key, _)| key.step.0).collect();
    assert!(lines.values().all(|count| *count == 2), "by half: {lines:?}");
    assert_eq!(nodes, lines.keys().copied().collect());
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_there_or_not_when_the_server_dies_in_the_middle() {
    let Some(server) = Server::start(&[]) else { return };
    let server = Arc::new(server);
    let store = server.store().await;
    store.submit(submission(1, None)).await.unwrap();
    let fences = store.take_shards("a", 64).await.unwrap();
    let (mut acknowledged, mut refused, mut number, mut restarting) = (BTreeSet::new(), 0, 0, None);
    // Until one is taken again after some were refused.
    while refused == 0 || !acknowledged.contains(&(number - 1)) {
        if number == BEFORE {
            let server = Arc::clone(&server);
            restarting = Some(tokio::task::spawn_blocking(move || server.restart()));
        }
        match store.commit(numbered(number, fences.clone())).await {
            Ok(_) => drop(acknowledged.insert(number)),
            Err(Error::Database { .. }) => {
                refused += 1;
                while store.now().await.is_err() {
                    tokio::task::yield_now().await;
                }
            }
            Err(other) => panic!("{other}"),
        }
        number += 1;
    }
    restarting.unwrap().await.unwrap();
    let there = whole(&store).await;
    assert!(acknowledged.is_subset(&there), "lost: {:?}", acknowledged.difference(&there));
}

#[tokio::test]
async fn a_caller_that_goes_in_the_middle_leaves_nothing() {
    let Some(server) = Server::get() else { return };
    let store = server.store().await;
    store.submit(submission(1, None)).await.unwrap();
    let fences = store.take_shards("a", 64).await.unwrap();
    let tx = store.transaction("write").await.unwrap();
    batch::write(&tx, &numbered(1, fences.clone())).await.unwrap();
    drop(tx);
    store.commit(numbered(2, fences)).await.unwrap();
    assert_eq!(whole(&store).await, BTreeSet::from([2]));
}

#[tokio::test]
async fn a_commit_whose_connection_is_lost_is_an_error() {
    let Some(server) = Server::get() else { return };
    let store = server.store().await;
    store.submit(submission(1, None)).await.unwrap();
    let tx = store.transaction("write").await.unwrap();
    batch::write(&tx, &numbered(1, BTreeMap::new())).await.unwrap();
    let process: i32 = query(&tx, "SELECT pg_backend_pid()", &[]).await.unwrap()[0].get(0);
    store.rows("end a session", "SELECT pg_terminate_backend($1)", &[&process]).await.unwrap();
    assert!(tx.end(Ok(())).await.is_err());
    assert!(whole(&store).await.is_empty());
}
