//! What every store promises, in the same words for each.

pub(super) mod access;
mod files;
mod limits;
mod lines;
pub(super) mod owners;
mod shards;

use std::{collections::BTreeMap, sync::Arc};

use qflow_model::{
    definition::Source,
    ids::{Digest, Epoch, FrameIx, NodeKey, RunId, StepIx, Timestamp},
    outcome::Failure,
    plan::Plan,
    progress::{Happening, RunError, RunHead, RunSpec, TraceContext},
    status::{FailureClass, RunStatus},
};
use qflow_service::ManualClock;
use serde_json::json;

use super::{
    postgres::Server,
    traced::{Place, Traced},
    *,
};
use access::{
    a_token_lets_in_until_it_is_revoked, a_token_lets_in_until_its_time_is_over, the_audit_is_read_page_by_page,
    what_is_asked_of_a_run_is_in_the_audit,
};
use lines::{lines_are_kept_once_and_in_order, lines_that_lie_elsewhere_are_removed};
use owners::{locked, what_is_one_tenants_is_no_others};

fn plan() -> Arc<Plan> {
    Arc::new(
        serde_json::from_value(json!({
            "workflow": "daily", "source": Digest::of(b""), "environments": [], "nodes": {}, "python": null,
            "workflows": [{
                "name": "daily", "params": [], "returns": "Any", "steps": [], "branches": [], "result": {"literal": 1},
                "on_failure": "finish", "size": 0,
            }],
        }))
        .unwrap(),
    )
}

pub(super) fn submission(id: u128, key: Option<&str>) -> Submission {
    let plan = plan();
    let spec = RunSpec {
        id: RunId(uuid::Uuid::from_u128(id)),
        tenant: "t".into(),
        user: "u".into(),
        plan: plan.digest(),
        params: BTreeMap::new(),
        trace: TraceContext::default(),
        created_at: Timestamp(0),
        no_cache: false,
    };
    let source = Source { entry: "w.py".into(), files: [("w.py".into(), "x".into())].into() };
    Submission {
        spec: Arc::new(spec),
        plan,
        source: Arc::new(source),
        idempotency_key: key.map(str::to_owned),
        relock: false,
        asked: None,
    }
}

fn change(run: RunId, head: RunHead) -> Change {
    Change { run, head: Some(head), nodes: vec![], history: vec![Happening::RunStarted], slots: vec![] }
}

/// Has a run that has ended now.
pub(crate) async fn ended(store: &dyn Store, id: u128) {
    let run = submission(id, None);
    store.submit(run.clone()).await.unwrap();
    let head = store.load(run.spec.id).await.unwrap().unwrap().head;
    let head = RunHead { status: RunStatus::Completed, ended_at: Some(store.now().await.unwrap()), ..head };
    let done = store.inbox(&all_shards()).await.unwrap().iter().map(|row| row.id).collect();
    store.commit(Batch { changes: vec![change(run.spec.id, head)], done, ..Batch::default() }).await.unwrap();
}

/// An accepted run is there with its first command, whatever happens next.
async fn an_accepted_run_is_durable_with_its_first_command(store: &dyn Store) {
    let run = submission(1, None);
    assert!(matches!(store.submit(run.clone()).await.unwrap(), Submitted::Created(_)));
    let loaded = store.load(run.spec.id).await.unwrap().unwrap();
    assert_eq!((loaded.head.status, &loaded.plan), (RunStatus::Pending, &run.plan));
    assert_eq!(store.unfinished(&all_shards()).await.unwrap(), [run.spec.id]);
    let inbox = store.inbox(&all_shards()).await.unwrap();
    assert_eq!(inbox.iter().map(|row| &row.command).collect::<Vec<_>>(), [&Command::Start { relock: false }]);
    assert_eq!(store.source("t".into(), run.source.digest()).await.unwrap(), Some(run.source));
}

/// A key names one run, however often it is used.
async fn a_key_names_one_run(store: &dyn Store) {
    assert!(matches!(store.submit(submission(1, Some("k"))).await.unwrap(), Submitted::Created(_)));
    let again = store.submit(submission(2, Some("k"))).await.unwrap();
    assert_eq!(again, Submitted::Existing(RunId(uuid::Uuid::from_u128(1))));
    assert_eq!(store.unfinished(&all_shards()).await.unwrap().len(), 1);
}

/// Every state change, its history and the command that caused it commit together.
async fn a_batch_is_written_as_a_whole(store: &dyn Store) {
    let fences = store.take_shards("a", 64).await.unwrap();
    let run = submission(1, None);
    store.submit(run.clone()).await.unwrap();
    let loaded = store.load(run.spec.id).await.unwrap().unwrap();
    let row = store.inbox(&all_shards()).await.unwrap().remove(0);
    let head = RunHead { status: RunStatus::Completed, ended_at: Some(store.now().await.unwrap()), ..loaded.head };
    let batch =
        Batch { fences, changes: vec![change(run.spec.id, head.clone())], done: vec![row.id], ..Batch::default() };
    store.commit(batch).await.unwrap();
    assert_eq!(store.load(run.spec.id).await.unwrap().unwrap().head, head);
    assert_eq!(store.history(run.spec.id).await.unwrap().len(), 1);
    assert!(
        store.inbox(&all_shards()).await.unwrap().is_empty()
            && store.unfinished(&all_shards()).await.unwrap().is_empty()
    );
    assert_eq!(store.totals().await.unwrap(), Totals { ended_last_hour: 1, ..Totals::default() });
}

/// Runs that failed are counted by whose fault it was; those that were cancelled are neither successes nor failures.
async fn failures_are_counted_by_whose_fault_they_were(store: &dyn Store) {
    let fences = store.take_shards("a", 64).await.unwrap();
    let faults = [Some(FailureClass::User), Some(FailureClass::Platform), Some(FailureClass::Platform), None];
    for (number, class) in (1..).zip(faults) {
        let run = submission(number, None);
        store.submit(run.clone()).await.unwrap();
        let head = store.load(run.spec.id).await.unwrap().unwrap().head;
        // What user code says is no end of it.
        let message = "a\0b \u{fffd} \"class\":\"platform\" \\u0000".into();
        let failure = Failure { class, error_type: "timeout".into(), message, ..Failure::default() };
        let error = Some(RunError { node_id: None, failure, timed_out: false });
        let ended_at = Some(store.now().await.unwrap());
        let head = RunHead { status: RunStatus::Failed, ended_at, error, ..head };
        let batch = Batch { fences: fences.clone(), changes: vec![change(run.spec.id, head)], ..Batch::default() };
        store.commit(batch).await.unwrap();
    }
    for (number, status) in [(5, RunStatus::Cancelled), (6, RunStatus::Completed), (7, RunStatus::Cancelled)] {
        let run = submission(number, None);
        store.submit(run.clone()).await.unwrap();
        let head = store.load(run.spec.id).await.unwrap().unwrap().head;
        let head = RunHead { status, ended_at: Some(store.now().await.unwrap()), ..head };
        let batch = Batch { fences: fences.clone(), changes: vec![change(run.spec.id, head)], ..Batch::default() };
        store.commit(batch).await.unwrap();
    }
    let counted = Totals {
        ended_last_hour: 5,
        failed_last_hour: 4,
        failed_user_last_hour: 1,
        failed_platform_last_hour: 2,
        ..Totals::default()
    };
    assert_eq!(store.totals().await.unwrap(), counted);
}

/// What an older owner writes is dropped, all of it.
async fn a_write_under_an_older_epoch_is_refused(store: &dyn Store) {
    let old = store.take_shards("a", 64).await.unwrap();
    store.leave("a").await.unwrap();
    let new = store.take_shards("b", 64).await.unwrap();
    assert!(old.iter().all(|(shard, epoch)| new[shard] > *epoch));
    let run = submission(1, None);
    store.submit(run.clone()).await.unwrap();
    let head = store.load(run.spec.id).await.unwrap().unwrap().head;
    let failed = RunHead { status: RunStatus::Failed, ..head.clone() };
    let batch = Batch { fences: old, changes: vec![change(run.spec.id, failed)], ..Batch::default() };
    assert!(matches!(store.commit(batch).await, Err(Error::Fenced(_))));
    assert_eq!(store.load(run.spec.id).await.unwrap().unwrap().head, head);
}

/// Node runs read back as they were written, a step before its elements, a frame before those it calls.
async fn node_runs_read_back(store: &dyn Store) {
    let run = submission(1, None);
    store.submit(run.clone()).await.unwrap();
    let node: NodeRun =
        serde_json::from_value(json!({"status": "running", "attempt": 2, "user_retries": 1, "infra_retries": 0}))
            .unwrap();
    let key = |index| NodeKey::root(StepIx(0), index);
    let below = NodeKey { frame: FrameIx(7), ..key(None) };
    let nodes =
        vec![(key(None), node.clone()), (key(Some(0)), node.clone()), (key(Some(1)), node.clone()), (below, node)];
    let change = Change { run: run.spec.id, head: None, nodes: nodes.clone(), history: vec![], slots: vec![] };
    store.commit(Batch { changes: vec![change], ..Batch::default() }).await.unwrap();
    assert_eq!(store.load(run.spec.id).await.unwrap().unwrap().nodes, nodes);
    for (key, node) in nodes {
        assert_eq!(store.node(run.spec.id, key).await.unwrap(), Some(node));
    }
    assert_eq!(store.node(run.spec.id, key(Some(2))).await.unwrap(), None);
}

/// Of any runs that are asked for, those are named that are there.
async fn runs_that_are_there_are_told_from_others(store: &dyn Store) {
    for id in [1, 3] {
        store.submit(submission(id, None)).await.unwrap();
    }
    let ids = |ids: &[u128]| ids.iter().map(|id| RunId(uuid::Uuid::from_u128(*id))).collect::<Vec<_>>();
    let known = store.known(ids(&[3, 2, 1, 4])).await.unwrap();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), ids(&[1, 3]));
    assert!(store.known(Vec::new()).await.unwrap().is_empty());
}

/// Lists are newest first, by filter, page by page.
async fn lists_are_newest_first_and_paged(store: &dyn Store) {
    for id in 1..=3 {
        store.submit(submission(id, None)).await.unwrap();
    }
    let list = async |before, status| {
        let filter = Filter { tenant: "t".into(), before, status, limit: 2, ..Filter::default() };
        store.list(filter).await.unwrap().into_iter().map(|run| run.spec.id).collect::<Vec<_>>()
    };
    let id = |id| RunId(uuid::Uuid::from_u128(id));
    assert_eq!(list(None, None).await, [id(3), id(2)]);
    assert_eq!(list(Some(id(2)), None).await, [id(1)]);
    assert!(list(None, Some(RunStatus::Failed)).await.is_empty());
    let others = Filter { tenant: "other".into(), limit: 9, ..Filter::default() };
    assert!(store.list(others).await.unwrap().is_empty(), "another tenant's runs are not seen");
    assert_eq!(store.workflows("t".into()).await.unwrap()[0].name, "daily");
}

/// The newest lock of a spec is found until it is too old.
async fn a_lock_is_found_until_it_is_too_old(store: &dyn Store) {
    let spec = Digest::of(b"spec");
    let lock: EnvLock = serde_json::from_value(json!({
        "spec": spec, "python": "3.11", "lock": "", "image": "i", "harness": Digest::of(b""), "uv": "",
        "platform": "linux/amd64", "packages": 0,
    }))
    .unwrap();
    let at = store.commit(Batch { locks: vec![locked("t", &lock)], ..Batch::default() }).await.unwrap();
    assert_eq!(store.lock("t".into(), spec, at).await.unwrap().as_deref(), Some(&lock));
    assert_eq!(store.lock("t".into(), spec, at.plus_ms(1)).await.unwrap(), None);
}

macro_rules! conformance {
    ($($promise:ident),* $(,)?) => {
        mod on_memory { $(#[tokio::test] async fn $promise() { super::$promise(&super::memory()).await; })* }
        mod on_sqlite { $(#[tokio::test] async fn $promise() { super::$promise(&super::sqlite()).await; })* }
        mod on_one_that_is_traced {
            $(#[tokio::test] async fn $promise() {
                let store = super::traced(std::sync::Arc::new(super::memory()));
                qflow_telemetry::traces::within(Some(qflow_telemetry::TraceContext::root()), super::$promise(&store)).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test] async fn $promise() {
                let Some(server) = super::Server::get() else { return };
                super::$promise(&server.store().await).await;
            })*
        }
    };
}

conformance!(
    an_accepted_run_is_durable_with_its_first_command,
    a_key_names_one_run,
    a_batch_is_written_as_a_whole,
    failures_are_counted_by_whose_fault_they_were,
    a_write_under_an_older_epoch_is_refused,
    node_runs_read_back,
    runs_that_are_there_are_told_from_others,
    lists_are_newest_first_and_paged,
    lines_are_kept_once_and_in_order,
    lines_that_lie_elsewhere_are_removed,
    a_lock_is_found_until_it_is_too_old,
    what_is_one_tenants_is_no_others,
    a_token_lets_in_until_it_is_revoked,
    a_token_lets_in_until_its_time_is_over,
    what_is_asked_of_a_run_is_in_the_audit,
    the_audit_is_read_page_by_page,
);

/// The hand of a store's clock.
#[async_trait]
pub(crate) trait Hand: Sync {
    async fn advance_ms(&self, ms: u64);
}

#[async_trait]
impl Hand for ManualClock {
    async fn advance_ms(&self, ms: u64) {
        Self::advance_ms(self, ms);
    }
}

macro_rules! conformance_in_time {
    ($($promise:ident),* $(,)?) => {
        mod in_time_on_memory {
            $(#[tokio::test] async fn $promise() {
                let clock = super::clock();
                super::in_time::$promise(&super::Memory::new(clock.clone()), &*clock).await;
            })*
        }
        mod in_time_on_sqlite {
            $(#[tokio::test] async fn $promise() {
                let clock = super::clock();
                super::in_time::$promise(&super::Sqlite::in_memory(clock.clone()).unwrap(), &*clock).await;
            })*
        }
        mod in_time_on_one_that_is_traced {
            $(#[tokio::test] async fn $promise() {
                let clock = super::clock();
                let store = super::traced(std::sync::Arc::new(super::Memory::new(clock.clone())));
                super::in_time::$promise(&store, &*clock).await;
            })*
        }
        mod in_time_on_postgres {
            $(#[tokio::test] async fn $promise() {
                let Some(server) = super::Server::get() else { return };
                let (store, hand) = server.store_in_time().await;
                super::in_time::$promise(&store, &hand).await;
            })*
        }
    };
}

conformance_in_time!(
    a_pool_is_held_by_no_more_than_its_slots,
    a_node_run_holds_one_slot,
    starts_count_for_a_minute,
    a_pool_goes_once_nobody_holds_it,
    an_output_is_found_until_its_time_is_over,
    an_output_that_is_kept_anew_takes_the_place,
    blobs_go_with_the_last_entry_that_owns_them,
    a_shard_has_one_owner_at_a_time,
    a_replica_that_no_runner_comes_to_is_known_to_the_others,
    a_dead_replicas_shards_are_free_after_a_lease,
    what_is_given_back_is_free_at_once_and_written_to_no_more,
    commands_and_open_runs_are_found_by_shard,
    runs_that_ended_long_ago_are_named_until_they_are_removed,
    a_run_that_is_asked_for_is_not_removed,
);

/// Promises that are held with a clock in hand.
mod in_time {
    pub(super) use super::{limits::*, shards::*};
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp(7_200_000_000)))
}

fn memory() -> Memory {
    Memory::new(clock())
}

fn traced(store: Arc<dyn Store>) -> Traced {
    Traced::new(store, qflow_telemetry::Telemetry::collecting().0, Place::default())
}

fn sqlite() -> Sqlite {
    Sqlite::in_memory(clock()).unwrap()
}
