//! What every store promises of whose a row is: each has its tenant and its user, and no tenant reads another's.

use qflow_model::{ids::AttemptKey, progress::ReusedFrom, value::Produced};

use super::{
    super::{
        access::Token,
        cache::{Cached, Scope},
        pool::{Pool, Slot},
    },
    *,
};

pub(in crate::record) fn owner(tenant: &str) -> Scope {
    Scope { tenant: tenant.into(), user: "u".into() }
}

pub(in crate::record) fn locked(tenant: &str, lock: &EnvLock) -> Locked {
    Locked { owner: owner(tenant), lock: Arc::new(lock.clone()) }
}

fn submission_of(id: u128, tenant: &str) -> Submission {
    let run = submission(id, Some("k"));
    Submission { spec: Arc::new(RunSpec { tenant: tenant.into(), ..(*run.spec).clone() }), ..run }
}

fn lock(image: &str) -> EnvLock {
    serde_json::from_value(json!({
        "spec": Digest::of(b"spec"), "python": "3.11", "lock": "", "image": image, "harness": Digest::of(b""), "uv": "",
        "platform": "linux/amd64", "packages": 0,
    }))
    .unwrap()
}

/// Tenants that have the same source, workflow, plan, key, spec and pool have their own of each, and see no other's.
pub(super) async fn what_is_one_tenants_is_no_others(store: &dyn Store) {
    let source = submission(1, None).source;
    let has = async |tenant: &str| {
        let (names, theirs) = (store.workflows(tenant.into()), store.source(tenant.into(), source.digest()));
        (names.await.unwrap().len(), theirs.await.unwrap().is_some())
    };
    store.register(owner("a"), Arc::clone(&source), vec!["daily".into()]).await.unwrap();
    assert_eq!((has("a").await, has("b").await), ((1, true), (0, false)), "its digest alone gives it to nobody");
    store.register(owner("b"), Arc::clone(&source), vec!["daily".into(), "nightly".into()]).await.unwrap();
    assert_eq!((has("a").await, has("b").await, has("c").await), ((1, true), (2, true), (0, false)));

    for (id, tenant) in [(1, "a"), (2, "b")] {
        let run = submission_of(id, tenant);
        assert!(matches!(store.submit(run.clone()).await.unwrap(), Submitted::Created(_)), "a key is one tenant's");
        assert_eq!(store.load(run.spec.id).await.unwrap().unwrap().plan, run.plan);
    }

    let locks = vec![locked("a", &lock("one")), locked("b", &lock("two"))];
    let at = store.commit(Batch { locks, ..Batch::default() }).await.unwrap();
    let image = async |tenant: &str| {
        let lock = store.lock(tenant.into(), Digest::of(b"spec"), at).await.unwrap();
        lock.map(|lock| lock.image.clone())
    };
    assert_eq!((image("a").await, image("b").await), (Some("one".into()), Some("two".into())));
    assert_eq!(image("c").await, None);

    for (tenant, slots) in [("a", 1), ("b", 2)] {
        let pool = Pool { tenant: tenant.into(), user: "u".into(), name: "database".into(), slots, per_minute: None };
        store.set_pool(pool).await.unwrap();
    }
    store.remove_pool("a".into(), "database".into()).await.unwrap();
    let left = store.pools("b".into()).await.unwrap();
    assert_eq!(left.iter().map(|state| state.pool.slots).collect::<Vec<_>>(), [2]);
}

/// Has a row in each table that is somebody's, all of them one's own.
pub(in crate::record) async fn fill(store: &dyn Store) {
    let run = submission(1, Some("k"));
    store.register(owner("t"), Arc::clone(&run.source), vec!["daily".into()]).await.unwrap();
    store.submit(run.clone()).await.unwrap();
    let pool = Pool { tenant: "t".into(), user: "u".into(), name: "p".into(), slots: 1, per_minute: Some(9) };
    store.set_pool(pool).await.unwrap();
    let node: NodeRun =
        serde_json::from_value(json!({"status": "running", "attempt": 1, "user_retries": 0, "infra_retries": 0}))
            .unwrap();
    let key = NodeKey::root(StepIx(0), None);
    let attempt = AttemptKey { run: run.spec.id, node: key, attempt: 1 };
    let slot = Slot { attempt, node_id: "a".into(), pool: ("t".into(), "p".into()), user: "u".into(), held: true };
    let change = Change {
        run: run.spec.id,
        head: None,
        nodes: vec![(key, node)],
        history: vec![Happening::RunStarted],
        slots: vec![slot],
    };
    let value = qflow_model::value::ValueRef {
        digest: Digest::of(b"v"),
        size: 1,
        inline: None,
        items: None,
        attachments: vec![],
    };
    let produced = Produced { value, answers: vec![] };
    let from = ReusedFrom { run_id: run.spec.id, node_id: "a".into(), attempt: 1 };
    let cached = Cached { scope: owner("t"), key: Digest::of(b"k"), produced, from, keep_ms: 1000 };
    let locks = vec![locked("t", &lock("one"))];
    store.commit(Batch { changes: vec![change], locks, cached: vec![cached], ..Batch::default() }).await.unwrap();
    let line = StoredLine {
        node_id: "a".into(),
        attempt: 1,
        sequence: 0,
        at: Timestamp(1),
        stream: "log".into(),
        text: "x".into(),
        fields: serde_json::Map::new(),
    };
    store.append_lines(run.spec.id, vec![line]).await.unwrap();
    let token = Token { user: "u".into(), ..access::token("one", "t", None) };
    store.keep_token(token, access::asked("t", "token.create")).await.unwrap();
}

/// A table as the database's own catalogue tells it, once [`fill`] has written to it.
pub(in crate::record) struct Table {
    pub(in crate::record) name: String,
    pub(in crate::record) columns: Vec<String>,
}

impl Table {
    /// Whether its rows say whose they are.
    pub(in crate::record) fn is_owned(&self, user: &str) -> bool {
        ["tenant", user].iter().all(|name| self.columns.iter().any(|column| column == name))
    }
}

/// Tables that are nobody's: what lives, what it holds, and which version the tables have. ADR 008 says why.
pub(in crate::record) const NOBODYS: [&str; 3] = ["shard", "replica", "refinery_schema_history"];

#[tokio::test]
async fn each_row_of_a_file_says_whose_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = Sqlite::open(&path, clock()).unwrap();
    fill(&store).await;
    let db = rusqlite::Connection::open(&path).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut rows = db.prepare(sql).unwrap();
        let found = rows.query_map([], |row| row.get(0)).unwrap();
        found.collect::<rusqlite::Result<_>>().unwrap()
    };
    let names = texts("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'");
    assert!(names.len() > 10, "{names:?}");
    for name in names.into_iter().filter(|name| !NOBODYS.contains(&name.as_str())) {
        let columns = texts(&format!("SELECT name FROM pragma_table_info('{name}')"));
        let table = Table { name, columns };
        let name = &table.name;
        assert!(table.is_owned("user"), "`{name}` does not say whose its rows are: {:?}", table.columns);
        let owners = texts(&format!("SELECT DISTINCT tenant || '/' || user FROM {name}"));
        assert_eq!(owners, ["t/u"], "`{name}`");
    }
}
