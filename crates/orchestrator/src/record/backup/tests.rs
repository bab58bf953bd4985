//! Both databases, backed up while a store is open on them, and restored: the same words for each.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, sync::Arc};

use qflow_blobs::Blobs;
use qflow_model::{
    environment::EnvLock,
    ids::{Epoch, NodeKey, Shard, StepIx},
    progress::NodeRun,
    status::RunStatus,
    value::{Produced, ValueRef},
};
use qflow_service::SystemClock;
use serde_json::json;

use super::{
    super::{
        Batch, Change, Error as Refused, Filter, StoredLine, Submission, all_shards,
        cache::Cached,
        conformance::{
            ended,
            owners::{locked, owner},
            submission,
        },
        member::{Attending, Replica},
        pool::Pool,
        postgres::Server,
    },
    *,
};
use crate::backup::{Error, Manifest, Progress, System, create, restore, verify};

const PARAM: &[u8] = b"a parameter";
const VALUE: &[u8] = b"a node's value";
const KEPT: &[u8] = b"what is kept for reuse";

fn id(number: u128) -> RunId {
    RunId(uuid::Uuid::from_u128(number))
}

fn stored(content: &[u8]) -> Produced {
    let (digest, size) = (Digest::of(content), content.len() as u64);
    Produced { value: ValueRef { digest, size, inline: None, items: None, attachments: vec![] }, answers: vec![] }
}

fn node(status: &str, produced: Option<&[u8]>) -> NodeRun {
    let produced = produced.map(stored);
    let detail = json!({"runner": "r", "leased_at": 1, "phases": {}, "produced": produced});
    let row = json!({"status": status, "attempt": 1, "user_retries": 0, "infra_retries": 0, "detail": detail});
    serde_json::from_value(row).unwrap()
}

/// An empty system in a folder: a file, or a database of the server.
async fn system(folder: &Path, server: Option<&Server>) -> System {
    let database = match server {
        Some(server) => Database::Postgres(server.database().await),
        None => Database::Sqlite(folder.join("qflow.db")),
    };
    System { database, blobs: Blobs::in_folder(&folder.join("blobs")).unwrap() }
}

async fn open(system: &System) -> Arc<dyn Store> {
    system.database.open(Arc::new(SystemClock), &qflow_telemetry::Telemetry::silent()).await.unwrap()
}

async fn put(system: &System, name: &str, content: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    system.blobs.copy_in(name, file.path()).await.unwrap();
}

async fn has(system: &System, name: &str) -> bool {
    let file = tempfile::NamedTempFile::new().unwrap();
    system.blobs.copy_out(name, file.path()).await.unwrap()
}

/// A run under way, one that has ended, one that waits, a pool, a lock, lines, an output that is kept. The epochs that it has.
async fn fill(system: &System) -> BTreeMap<Shard, Epoch> {
    let store = open(system).await;
    let held = store.take_shards("a", 64).await.unwrap();
    let first = submission(1, Some("key\u{1}"));
    let spec = qflow_model::progress::RunSpec {
        params: [("p".into(), Box::new(stored(PARAM)))].into(),
        ..(*first.spec).clone()
    };
    store.submit(Submission { spec: Arc::new(spec), ..first }).await.unwrap();
    ended(&*store, 2).await;
    store.submit(submission(3, None)).await.unwrap();
    let loaded = store.load(id(1)).await.unwrap().unwrap();
    let head = qflow_model::progress::RunHead { status: RunStatus::Running, ..loaded.head };
    let key = |step| NodeKey::root(StepIx(step), None);
    let nodes = vec![(key(0), node("completed", Some(VALUE))), (key(1), node("running", None))];
    let change = Change { run: id(1), head: Some(head), nodes, history: vec![], slots: vec![] };
    let lock: EnvLock = serde_json::from_value(json!({
        "spec": Digest::of(b""), "python": "3.11", "lock": "", "image": "i", "harness": Digest::of(b""), "uv": "",
        "platform": "linux/amd64", "packages": 0,
    }))
    .unwrap();
    let from = qflow_model::progress::ReusedFrom { run_id: id(1), node_id: "a".into(), attempt: 1 };
    let cached = Cached { scope: owner("t"), key: Digest::of(b"k"), produced: stored(KEPT), from, keep_ms: u64::MAX };
    let batch = Batch {
        fences: held.clone(),
        changes: vec![change],
        locks: vec![locked("t", &lock)],
        cached: vec![cached],
        ..Batch::default()
    };
    store.commit(batch).await.unwrap();
    let line = StoredLine {
        node_id: "a".into(),
        attempt: 1,
        sequence: 0,
        at: Timestamp(5),
        stream: "stdout".into(),
        text: "tab\t, \\, zero \0, line\nfeed, ü".into(),
        fields: [("rows".to_owned(), json!(3))].into_iter().collect(),
    };
    store.append_lines(id(1), vec![line]).await.unwrap();
    let (tenant, user, name) = ("t".into(), "u".into(), "database".into());
    store.set_pool(Pool { tenant, user, name, slots: 2, per_minute: Some(60) }).await.unwrap();
    for (content, name) in [(PARAM, id(1)), (VALUE, id(1))] {
        put(system, &format!("runs/{name}/{}", Digest::of(content)), content).await;
    }
    put(system, &format!("runs/{}/logs/a/1", id(1)), b"lines").await;
    put(system, &format!("cache/{}", Digest::of(KEPT)), KEPT).await;
    put(system, &format!("runs/{}/{}", id(99), Digest::of(b"later")), b"later").await;
    held
}

/// All that a store tells.
async fn told(store: &dyn Store) -> String {
    let mut text = String::new();
    for number in 1..=3 {
        let run = id(number);
        let loaded = store.load(run).await.unwrap().map(|run| (run.spec, run.plan, run.head, run.nodes));
        writeln!(text, "{loaded:?}\n{:?}", store.history(run).await.unwrap()).unwrap();
        writeln!(text, "{:?}", store.lines(run, 0).await.unwrap().0).unwrap();
    }
    let inbox: Vec<_> =
        store.inbox(&all_shards()).await.unwrap().into_iter().map(|row| (row.run, row.command)).collect();
    let filter = Filter { tenant: "t".into(), limit: 9, ..Filter::default() };
    let workflows = store.workflows("t".into()).await.unwrap();
    writeln!(text, "{inbox:?}\n{:?}\n{workflows:?}", store.list(filter).await.unwrap()).unwrap();
    writeln!(text, "{:?}", store.cached(owner("t"), vec![Digest::of(b"k")]).await.unwrap()).unwrap();
    writeln!(text, "{:?}", store.source("t".into(), submission(1, None).source.digest()).await.unwrap()).unwrap();
    writeln!(text, "{:?}", store.lock("t".into(), Digest::of(b""), Timestamp(0)).await.unwrap()).unwrap();
    writeln!(text, "{:?} {:?}", store.pools("t".into()).await.unwrap(), store.totals().await.unwrap()).unwrap();
    text
}

/// What a restored system tells where this was told: of runs that have not completed, attempts of the one before do not count.
fn restored(told: &str, by: u32) -> String {
    let ahead = format!("attempts_before: {by}");
    let heads = told.split("RunHead { status: ").map(|head| {
        if head.starts_with("Completed") { head.to_owned() } else { head.replace("attempts_before: 0", &ahead) }
    });
    let told = heads.collect::<Vec<_>>().join("RunHead { status: ");
    let (before, held) = told.split_once("status: Running, attempt: 1,").expect("an attempt is under way");
    let held = held.replacen("runner: \"r\"", "runner: \"\"", 1);
    format!("{before}status: Running, attempt: {},{held}", by + 1)
}

/// How far a restored system's attempts are ahead.
fn ahead(told: &str) -> u32 {
    let numbers =
        told.split("attempts_before: ").skip(1).filter_map(|rest| rest.split([',', ' ']).next()?.parse().ok());
    numbers.max().expect("runs tell it")
}

fn quiet(_: Progress) {}

async fn back_up(system: &System, to: &Path) -> Manifest {
    create(system, to, false, &SystemClock, &quiet).await.unwrap()
}

async fn what_is_restored_reads_as_what_was_backed_up(server: Option<&Server>) {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let from = system(&one, server).await;
    fill(&from).await;
    let to = folder.path().join("backup");
    // A server has it meanwhile.
    let store = open(&from).await;
    let manifest = back_up(&from, &to).await;
    assert_eq!(
        (manifest.runs, manifest.blobs, manifest.missing.len()),
        (3, 4, 0),
        "a later run's blob is none of its own"
    );
    assert_eq!(verify(&to, &quiet).await.unwrap(), manifest);
    let before = told(&*store).await;
    let target = system(&two, server).await;
    assert_eq!(restore(&target, &to, false, &quiet).await.unwrap(), manifest);
    let after = open(&target).await;
    let by = ahead(&told(&*after).await);
    assert!(by >= 1000, "{by}");
    assert_eq!(told(&*after).await, restored(&before, by));
    for name in [
        format!("runs/{}/{}", id(1), Digest::of(PARAM)),
        format!("runs/{}/logs/a/1", id(1)),
        format!("cache/{}", Digest::of(KEPT)),
    ] {
        assert!(has(&target, &name).await, "{name}");
    }
    after.submit(submission(4, None)).await.unwrap();
    let line = StoredLine {
        node_id: "b".into(),
        attempt: 1,
        sequence: 0,
        at: Timestamp(6),
        stream: "stdout".into(),
        text: String::new(),
        fields: serde_json::Map::new(),
    };
    after.append_lines(id(1), vec![line]).await.unwrap();
    assert_eq!(after.lines(id(1), 0).await.unwrap().0.len(), 2, "numbers go on behind those that were restored");
}

async fn what_an_earlier_replica_writes_is_refused(server: Option<&Server>) {
    let folder = tempfile::tempdir().unwrap();
    let from = system(&folder.path().join("one"), server).await;
    let held = fill(&from).await;
    let to = folder.path().join("backup");
    back_up(&from, &to).await;
    restore(&from, &to, true, &quiet).await.unwrap();
    let store = open(&from).await;
    let late = Batch { fences: held.clone(), ..Batch::default() };
    assert!(matches!(store.commit(late).await, Err(Refused::Fenced(_))));
    let taken = store.take_shards("b", 64).await.unwrap();
    assert!(taken.iter().all(|(shard, epoch)| epoch.0 > held[shard].0 + (1 << 32)), "{taken:?}");
}

async fn what_is_damaged_or_cut_off_is_refused_and_nothing_is_touched(server: Option<&Server>) {
    let folder = tempfile::tempdir().unwrap();
    let from = system(&folder.path().join("one"), server).await;
    fill(&from).await;
    let to = folder.path().join("backup");
    let manifest = back_up(&from, &to).await;
    let target = system(&folder.path().join("two"), server).await;
    let refused = async |what: &str| {
        let refused = restore(&target, &to, false, &quiet).await.map(drop).unwrap_err().to_string();
        assert!(refused.contains(what), "{refused}");
        assert!(!has(&target, &format!("cache/{}", Digest::of(KEPT))).await);
    };
    let rows = to.join("database").join(&manifest.rows[0].piece.file);
    let blob = to.join(format!("blobs/cache/{}", Digest::of(KEPT)));
    for path in [rows, blob, to.join("blobs.jsonl")] {
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        refused("bytes, ").await;
        let mut other = whole.clone();
        other[whole.len() / 2] ^= 1;
        std::fs::write(&path, other).unwrap();
        refused("another digest").await;
        std::fs::remove_file(&path).unwrap();
        refused("is missing").await;
        std::fs::write(&path, whole).unwrap();
    }
    let path = to.join("manifest.json");
    let newer = Manifest { schema: manifest.schema + 1, ..manifest.clone() };
    std::fs::write(&path, serde_json::to_vec(&newer).unwrap()).unwrap();
    refused("is not what `SHA256SUMS` says of it").await;
    newer.write(&to).unwrap();
    let error = verify(&to, &quiet).await.unwrap_err().to_string();
    assert!(error.starts_with("the back-up has schema version"), "{error}");
    let error = restore(&target, &to, false, &quiet).await.unwrap_err();
    assert!(matches!(error, Error::Record(Refused::Schema { .. })), "{error}");
    std::fs::write(&path, json!({"format": 2, "qflow": "9.9"}).to_string()).unwrap();
    refused("format 2, this program knows 1: restore it with the version that made it (9.9)").await;
    std::fs::remove_file(&path).unwrap();
    refused("no whole back-up").await;
    manifest.write(&to).unwrap();
    restore(&target, &to, false, &quiet).await.unwrap();
}

async fn what_is_not_empty_is_refused_or_replaced(server: Option<&Server>) {
    let folder = tempfile::tempdir().unwrap();
    let from = system(&folder.path().join("one"), server).await;
    fill(&from).await;
    let to = folder.path().join("backup");
    back_up(&from, &to).await;
    let again = create(&from, &to, false, &SystemClock, &quiet).await.map(drop).unwrap_err().to_string();
    assert!(again.contains("is there already"), "{again}");
    let target = system(&folder.path().join("two"), server).await;
    ended(&*open(&target).await, 7).await;
    let blob = format!("runs/{}/{}", id(7), Digest::of(b"old"));
    put(&target, &blob, b"old").await;
    let refused = restore(&target, &to, false, &quiet).await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("--replace"), "{refused}");
    restore(&target, &to, true, &quiet).await.unwrap();
    assert!(!has(&target, &blob).await, "its blobs are gone with it");
    let store = open(&target).await;
    assert!(store.load(id(7)).await.unwrap().is_none() && store.load(id(1)).await.unwrap().is_some());
}

async fn a_run_that_retention_removes_meanwhile_is_left_out(server: Option<&Server>) {
    let folder = tempfile::tempdir().unwrap();
    let from = system(&folder.path().join("one"), server).await;
    fill(&from).await;
    let store = open(&from).await;
    let large = submission(5, None);
    let spec = qflow_model::progress::RunSpec {
        params: [("p".into(), Box::new(stored(b"large")))].into(),
        ..(*large.spec).clone()
    };
    store.submit(Submission { spec: Arc::new(spec), ..large }).await.unwrap();
    let to = folder.path().join("backup");
    let missing = create(&from, &to, false, &SystemClock, &quiet).await.map(drop).unwrap_err();
    assert!(matches!(&missing, Error::Missing { count: 1, .. }), "{missing}");
    assert!(!to.exists(), "no back-up lacks what its database names");
    let removed = |progress| {
        if !matches!(progress, Progress::Runs { done: 1, .. }) {
            return;
        }
        let remove = async {
            let loaded = store.load(id(5)).await.unwrap().unwrap();
            let head = qflow_model::progress::RunHead {
                status: RunStatus::Failed,
                ended_at: Some(Timestamp(1)),
                ..loaded.head
            };
            let change = Change { run: id(5), head: Some(head), nodes: vec![], history: vec![], slots: vec![] };
            let inbox = store.inbox(&all_shards()).await.unwrap();
            let done = inbox.iter().filter(|row| row.run == id(5)).map(|row| row.id).collect();
            store.commit(Batch { changes: vec![change], done, ..Batch::default() }).await.unwrap();
            store.forget_runs(vec![id(5)]).await.unwrap();
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(remove));
    };
    let manifest = create(&from, &to, false, &SystemClock, &removed).await.unwrap();
    assert_eq!((manifest.runs, &manifest.removed_runs), (4, &vec![id(5)]));
    let target = system(&folder.path().join("two"), server).await;
    restore(&target, &to, false, &quiet).await.unwrap();
    let store = open(&target).await;
    assert!(store.load(id(5)).await.unwrap().is_none() && store.load(id(1)).await.unwrap().is_some());
}

macro_rules! on_both {
    ($($name:ident)*) => {
        mod sqlite_file {
            $( #[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(None).await; } )*
        }
        mod postgres_database {
            use super::Server;
            $( #[tokio::test(flavor = "multi_thread")] async fn $name() {
                let Some(server) = Server::get() else { return };
                super::$name(Some(server)).await;
            } )*
        }
    };
}

on_both! {
    what_is_restored_reads_as_what_was_backed_up
    what_an_earlier_replica_writes_is_refused
    what_is_damaged_or_cut_off_is_refused_and_nothing_is_touched
    what_is_not_empty_is_refused_or_replaced
    a_run_that_retention_removes_meanwhile_is_left_out
}

#[tokio::test]
async fn a_database_that_replicas_live_on_is_not_restored_into() {
    let Some(server) = Server::get() else { return };
    let folder = tempfile::tempdir().unwrap();
    let from = system(folder.path(), Some(server)).await;
    let store = open(&from).await;
    back_up(&from, &folder.path().join("backup")).await;
    let replica = Replica { owner: "orchestrator-1".into(), url: "http://a".into() };
    let held = BTreeMap::new();
    store.attend(Attending { replica: &replica, held: &held, stranded: false }).await.unwrap();
    let refused = restore(&from, &folder.path().join("backup"), true, &quiet).await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("orchestrators run on this database (orchestrator-1 http://a)"), "{refused}");
    store.leave("orchestrator-1").await.unwrap();
    restore(&from, &folder.path().join("backup"), true, &quiet).await.unwrap();
}

#[tokio::test]
async fn a_file_that_a_server_has_is_not_restored_into() {
    let folder = tempfile::tempdir().unwrap();
    let from = system(folder.path(), None).await;
    let store = open(&from).await;
    back_up(&from, &folder.path().join("backup")).await;
    let refused = restore(&from, &folder.path().join("backup"), true, &quiet).await.map(drop).unwrap_err();
    assert!(matches!(refused, Error::Record(Refused::InUse { .. })), "{refused}");
    drop(store);
}

#[tokio::test]
async fn rows_of_one_kind_of_database_go_into_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let from = system(folder.path(), None).await;
    drop(open(&from).await);
    back_up(&from, &folder.path().join("backup")).await;
    let settings = Settings { url: "postgres://q@127.0.0.1:1/q".into(), ..Settings::default() };
    let target = System { database: Database::Postgres(settings), ..from };
    let refused =
        restore(&target, &folder.path().join("backup"), false, &quiet).await.map(drop).unwrap_err().to_string();
    assert_eq!(refused, "the back-up is of sqlite, QFLOW_DATABASE_URL leads to postgres");
}
