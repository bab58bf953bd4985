//! What a store in a file promises besides: it outlives its process, has one at a time, and opens what earlier versions wrote.

use super::*;

#[tokio::test]
async fn a_file_outlives_its_store_and_has_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = Sqlite::open(&path, clock()).unwrap();
    let run = submission(1, None);
    store.submit(run.clone()).await.unwrap();
    let second = Sqlite::open(&path, clock()).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(second.contains("in use by another process"), "{second}");
    drop(store);
    let again = Sqlite::open(&path, clock()).unwrap();
    assert_eq!(again.unfinished(&all_shards()).await.unwrap(), [run.spec.id]);
    let first = again.take_shards("a", 64).await.unwrap();
    assert!(first.values().all(|epoch| *epoch == Epoch(1)));
}

/// What the first version of the schema was, as far as it differs, with one run in it.
fn write_version_1(path: &std::path::Path, run: &RunSpec) {
    let db = rusqlite::Connection::open(path).unwrap();
    db.execute_batch(
        "CREATE TABLE shard (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, epoch INTEGER NOT NULL, lease_until INTEGER NOT NULL);
         CREATE TABLE source (digest TEXT PRIMARY KEY, source TEXT NOT NULL, at INTEGER NOT NULL);
         CREATE TABLE workflow (name TEXT NOT NULL, digest TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (name, digest));
         CREATE TABLE plan (digest TEXT PRIMARY KEY, plan TEXT NOT NULL);
         CREATE TABLE run (
           id TEXT PRIMARY KEY, tenant TEXT NOT NULL, user TEXT NOT NULL, shard INTEGER NOT NULL, workflow TEXT NOT NULL,
           plan TEXT NOT NULL, status TEXT NOT NULL, created_at INTEGER NOT NULL, ended_at INTEGER,
           spec TEXT NOT NULL, head TEXT NOT NULL);
         CREATE TABLE node_run (
           run TEXT NOT NULL, step INTEGER NOT NULL, element INTEGER NOT NULL, status TEXT NOT NULL, attempt INTEGER NOT NULL,
           node TEXT NOT NULL, PRIMARY KEY (run, step, element)) WITHOUT ROWID;
         CREATE TABLE history (id INTEGER PRIMARY KEY, run TEXT NOT NULL, at INTEGER NOT NULL, event TEXT NOT NULL);
         CREATE TABLE inbox (id INTEGER PRIMARY KEY AUTOINCREMENT, shard INTEGER NOT NULL, run TEXT NOT NULL, input TEXT NOT NULL);
         CREATE TABLE idempotency (
           tenant TEXT NOT NULL, key TEXT NOT NULL, run TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (tenant, key));
         CREATE TABLE env_lock (spec TEXT NOT NULL, at INTEGER NOT NULL, lock TEXT NOT NULL, PRIMARY KEY (spec, at));
         CREATE TABLE log_line (
           id INTEGER PRIMARY KEY, run TEXT NOT NULL, node TEXT NOT NULL, attempt INTEGER NOT NULL, sequence INTEGER NOT NULL,
           at INTEGER NOT NULL, stream TEXT NOT NULL, text TEXT NOT NULL, UNIQUE (run, node, attempt, sequence));
         PRAGMA user_version = 1;",
    )
    .unwrap();
    let place = json!({"file": "w.py", "line": 1, "column": 1});
    let step = |id: &str, kind: serde_json::Value, arguments: serde_json::Value, needs: &[u32], enables: &[u32]| {
        json!({"id": id, "kind": kind, "arguments": arguments, "guards": [], "needs": needs, "enables": enables, "asks": [],
               "environment": 0})
    };
    let plan = json!({
        "workflow": "daily", "source": Digest::of(b""), "returns": "Any", "branches": [], "result": {"result": {"step": 1}},
        "params": [{"name": "days", "type": "list[str]", "place": place}], "nodes": {}, "max_parallel": 2,
        "steps": [
            step("a", json!({"node": {"function": "a"}}), json!([]), &[], &[1]),
            step("b", json!({"map": {"function": "b", "over": ["x"]}}), json!([["x", {"param": {"name": "days"}}]]), &[0], &[]),
        ],
        "environments": [{"python": "3.11", "requirements": []}], "on_failure": "finish", "python": "3.11",
    });
    let head = json!({"status": "running", "started_at": 1, "branches": [], "locks": [null]});
    let node = json!({"status": "completed", "attempt": 2, "user_retries": 1, "infra_retries": 0});
    let (id, spec) = (run.id.to_string(), serde_json::to_string(run).unwrap());
    db.execute("INSERT INTO plan VALUES (?, ?)", [run.plan.to_string(), plan.to_string()]).unwrap();
    db.execute(
        "INSERT INTO run VALUES (?1, 'default', 'local', 0, 'daily', ?2, 'running', 1, NULL, ?3, ?4)",
        [&id, &run.plan.to_string(), &spec, &head.to_string()],
    )
    .unwrap();
    db.execute("INSERT INTO node_run VALUES (?, 0, -1, 'completed', 2, ?)", [&id, &node.to_string()]).unwrap();
    let line =
        "INSERT INTO log_line (run, node, attempt, sequence, at, stream, text) VALUES (?, 'a', 1, 0, 1, 'log', 'old')";
    db.execute(line, [&id]).unwrap();
    for event in [r#"{"event":"run_started"}"#, r#"{"event":"branch_taken","branch":0,"holds":true}"#] {
        db.execute("INSERT INTO history (run, at, event) VALUES (?, 1, ?)", [&id, event]).unwrap();
    }
}

#[tokio::test]
async fn a_file_of_the_first_version_opens_and_its_runs_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let spec = RunSpec {
        plan: Digest::of(b"a plan of before"),
        tenant: "default".into(),
        user: "local".into(),
        ..(*submission(1, None).spec).clone()
    };
    write_version_1(&path, &spec);
    let store = Sqlite::open(&path, clock()).unwrap();
    let loaded = store.load(spec.id).await.unwrap().unwrap();
    let root = loaded.plan.root();
    assert_eq!((root.max_parallel, root.size, &root.asks["days"]), (Some(2), 2, &vec![vec![]]));
    assert_eq!((root.steps[1].over.as_slice(), root.steps[1].kind.node()), (&["x".to_owned()][..], Some("b")));
    assert_eq!((loaded.nodes[0].0, loaded.nodes[0].1.attempt), (NodeKey::root(StepIx(0), None), 2));
    let events = store.history(spec.id).await.unwrap();
    assert!(matches!(events[1].1, Happening::BranchTaken { branch: 0, holds: true, .. }));
    let state = qflow_model::progress::RunState::restore(loaded.spec, loaded.plan, loaded.head, loaded.nodes);
    assert_eq!(state.counts(), (1, 2));
    assert!(store.pools("t".into()).await.unwrap().is_empty(), "what later versions added is there");
    let (lines, _) = store.lines(spec.id, 0).await.unwrap();
    assert_eq!((lines.len(), lines[0].text.as_str(), lines[0].fields.len()), (1, "old", 0));
    let fields = [("rows".to_owned(), json!(3))].into_iter().collect();
    let more = StoredLine { sequence: 1, fields, ..lines[0].clone() };
    store.append_lines(spec.id, vec![more.clone()]).await.unwrap();
    assert_eq!(store.lines(spec.id, 0).await.unwrap().0[1], more);
    drop(store);
    let again = Sqlite::open(&path, clock()).unwrap();
    assert!(again.load(spec.id).await.unwrap().is_some(), "brought up to date once");
}

#[tokio::test]
async fn a_file_of_a_later_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let refused = Sqlite::open(&path, clock()).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(refused.contains("has schema version 99"), "{refused}");
}
