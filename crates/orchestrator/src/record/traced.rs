//! A store whose calls are spans in the trace of whoever makes them. Where nobody takes spans, a store is not made one of these.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use qflow_model::{
    definition::Source,
    environment::EnvLock,
    ids::{Digest, Epoch, NodeKey, RunId, Shard, Timestamp},
    progress::{Happening, NodeRun},
};
use qflow_telemetry::{Ended, Telemetry, traces};
use serde_json::Value;

use super::{
    Batch, Command, Error, Filter, InboxRow, Listed, Loaded, Registered, Result, Store, StoredLine, Submission,
    Submitted, Totals,
    access::{Access, AuditFilter, Audited, Entry, Token},
    cache::{Expired, Hit, Scope},
    member::{Attending, Standing},
    pool::{Pool, PoolState, Removed},
};

/// Which database it is, as the semantic conventions name that.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// `db.system.name`: `postgresql`, `sqlite`.
    pub(super) system: &'static str,
    /// `db.namespace`: the database's name.
    pub(super) namespace: String,
    /// `server.address` and `server.port`, where there is a server.
    pub(super) server: Option<(String, u16)>,
}

/// A store, and where its calls are told.
pub(super) struct Traced {
    inner: Arc<dyn Store>,
    telemetry: Telemetry,
    place: Place,
}

/// What a call does, and to which table foremost: never with what values.
type Operation = (&'static str, &'static str);

impl Traced {
    pub(super) fn new(inner: Arc<dyn Store>, telemetry: Telemetry, place: Place) -> Self {
        Self { inner, telemetry, place }
    }

    async fn told<T: Send>(&self, operation: Operation, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let span = self.telemetry.call(traces::current().as_ref(), traces::Kind::Client);
        let done = call.await;
        if let Some(span) = span {
            span.end(self.ended(operation, done.as_ref().err()));
        }
        done
    }

    fn ended(&self, (operation, table): Operation, error: Option<&Error>) -> Ended {
        let mut facts: Vec<(&'static str, Value)> = vec![
            ("db.system.name", self.place.system.into()),
            ("db.namespace", self.place.namespace.as_str().into()),
            ("db.operation.name", operation.into()),
            ("db.collection.name", table.into()),
        ];
        if let Some((address, port)) = &self.place.server {
            facts.extend([("server.address", address.as_str().into()), ("server.port", (*port).into())]);
        }
        Ended { name: format!("{operation} {table}"), facts, error: error.map(kind) }
    }
}

/// The kind of an error: what the database says of one may hold values.
fn kind(error: &Error) -> String {
    match error {
        Error::Fenced(_) => "fenced",
        Error::TooManyQueued { .. } => "too_many_queued",
        Error::PoolFull(_) => "pool_full",
        Error::Database { doing, .. } => doing,
        _ => "_OTHER",
    }
    .to_owned()
}

#[async_trait]
impl Store for Traced {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
    async fn now(&self) -> Result<Timestamp> {
        self.told(("SELECT", "clock"), self.inner.now()).await
    }
    async fn takes_commits(&self) -> Result<()> {
        self.inner.takes_commits().await
    }
    async fn attend(&self, attending: Attending<'_>) -> Result<Standing> {
        self.told(("UPDATE", "shard"), self.inner.attend(attending)).await
    }
    async fn leave(&self, owner: &str) -> Result<()> {
        self.told(("UPDATE", "shard"), self.inner.leave(owner)).await
    }
    async fn take_shards(&self, owner: &str, most: usize) -> Result<BTreeMap<Shard, Epoch>> {
        self.told(("UPDATE", "shard"), self.inner.take_shards(owner, most)).await
    }
    async fn release(&self, held: &BTreeMap<Shard, Epoch>) -> Result<()> {
        self.told(("UPDATE", "shard"), self.inner.release(held)).await
    }
    async fn woken(&self) {
        self.inner.woken().await;
    }
    async fn submit(&self, submission: Submission) -> Result<Submitted> {
        self.told(("INSERT", "run"), self.inner.submit(submission)).await
    }
    async fn register(&self, owner: Scope, source: Arc<Source>, workflows: Vec<String>) -> Result<()> {
        self.told(("INSERT", "workflow"), self.inner.register(owner, source, workflows)).await
    }
    async fn post(&self, run: RunId, command: Command, asked: Option<Entry>) -> Result<i64> {
        self.told(("INSERT", "inbox"), self.inner.post(run, command, asked)).await
    }
    async fn inbox(&self, shards: &BTreeSet<Shard>) -> Result<Vec<InboxRow>> {
        self.told(("SELECT", "inbox"), self.inner.inbox(shards)).await
    }
    async fn is_posted(&self, row: i64) -> Result<bool> {
        self.told(("SELECT", "inbox"), self.inner.is_posted(row)).await
    }
    async fn commit(&self, batch: Batch) -> Result<Timestamp> {
        self.told(("BATCH", "node_run"), self.inner.commit(batch)).await
    }
    async fn unfinished(&self, shards: &BTreeSet<Shard>) -> Result<Vec<RunId>> {
        self.told(("SELECT", "run"), self.inner.unfinished(shards)).await
    }
    async fn load(&self, run: RunId) -> Result<Option<Loaded>> {
        self.told(("SELECT", "run"), self.inner.load(run)).await
    }
    async fn known(&self, runs: Vec<RunId>) -> Result<BTreeSet<RunId>> {
        self.told(("SELECT", "run"), self.inner.known(runs)).await
    }
    async fn node(&self, run: RunId, key: NodeKey) -> Result<Option<NodeRun>> {
        self.told(("SELECT", "node_run"), self.inner.node(run, key)).await
    }
    async fn history(&self, run: RunId) -> Result<Vec<(Timestamp, Happening)>> {
        self.told(("SELECT", "history"), self.inner.history(run)).await
    }
    async fn list(&self, filter: Filter) -> Result<Vec<Listed>> {
        self.told(("SELECT", "run"), self.inner.list(filter)).await
    }
    async fn workflows(&self, tenant: String) -> Result<Vec<Registered>> {
        self.told(("SELECT", "workflow"), self.inner.workflows(tenant)).await
    }
    async fn source(&self, tenant: String, digest: Digest) -> Result<Option<Arc<Source>>> {
        self.told(("SELECT", "source"), self.inner.source(tenant, digest)).await
    }
    async fn lock(&self, tenant: String, spec: Digest, since: Timestamp) -> Result<Option<Arc<EnvLock>>> {
        self.told(("SELECT", "env_lock"), self.inner.lock(tenant, spec, since)).await
    }
    async fn append_lines(&self, run: RunId, lines: Vec<StoredLine>) -> Result<()> {
        self.told(("INSERT", "log_line"), self.inner.append_lines(run, lines)).await
    }
    async fn lines(&self, run: RunId, after: i64) -> Result<(Vec<StoredLine>, i64)> {
        self.told(("SELECT", "log_line"), self.inner.lines(run, after)).await
    }
    async fn drop_lines(&self, run: RunId, attempts: Vec<(String, u32)>) -> Result<()> {
        self.told(("DELETE", "log_line"), self.inner.drop_lines(run, attempts)).await
    }
    async fn set_pool(&self, pool: Pool) -> Result<()> {
        self.told(("INSERT", "pool"), self.inner.set_pool(pool)).await
    }
    async fn remove_pool(&self, tenant: String, name: String) -> Result<Removed> {
        self.told(("DELETE", "pool"), self.inner.remove_pool(tenant, name)).await
    }
    async fn pools(&self, tenant: String) -> Result<Vec<PoolState>> {
        self.told(("SELECT", "pool"), self.inner.pools(tenant)).await
    }
    async fn cached(&self, scope: Scope, keys: Vec<Digest>) -> Result<Vec<Option<Hit>>> {
        self.told(("SELECT", "cache"), self.inner.cached(scope, keys)).await
    }
    async fn expire(&self, limit: u32) -> Result<Expired> {
        self.told(("DELETE", "cache"), self.inner.expire(limit)).await
    }
    async fn forget(&self, blobs: Vec<Digest>) -> Result<()> {
        self.told(("DELETE", "cache"), self.inner.forget(blobs)).await
    }
    async fn expire_runs(&self, older_ms: u64, limit: u32) -> Result<Vec<RunId>> {
        self.told(("SELECT", "run"), self.inner.expire_runs(older_ms, limit)).await
    }
    async fn forget_runs(&self, runs: Vec<RunId>) -> Result<()> {
        self.told(("DELETE", "run"), self.inner.forget_runs(runs)).await
    }
    async fn totals(&self) -> Result<Totals> {
        self.told(("SELECT", "run"), self.inner.totals()).await
    }
}

#[cfg(test)]
mod tests {
    use qflow_telemetry::TraceContext;

    use super::{
        super::{Memory, backup::Database, conformance::submission},
        *,
    };

    fn facts(span: &impl std::fmt::Debug) -> String {
        format!("{span:?}")
    }

    #[tokio::test]
    async fn a_call_within_a_trace_is_a_span_of_it_and_one_without_is_none() {
        let (telemetry, collected) = Telemetry::collecting();
        let place = Place { system: "postgresql", namespace: "qflow".into(), server: Some(("db".into(), 5432)) };
        let store = Traced::new(Arc::new(Memory::new(Arc::new(qflow_service::SystemClock))), telemetry, place);
        store.now().await.unwrap();
        assert!(collected.spans().is_empty(), "the engine's own calls have no trace");
        let trace = TraceContext::root();
        traces::within(Some(trace.clone()), store.submit(submission(1, Some("a key of the caller's")))).await.unwrap();
        let spans = collected.spans();
        assert_eq!((spans.len(), spans[0].name.as_ref()), (1, "INSERT run"));
        assert_eq!(spans[0].parent_span_id.to_string(), trace.span_id);
        let told: Vec<String> = spans[0].attributes.iter().map(|fact| format!("{}={}", fact.key, fact.value)).collect();
        assert_eq!(
            told,
            [
                "db.system.name=postgresql",
                "db.namespace=qflow",
                "db.operation.name=INSERT",
                "db.collection.name=run",
                "server.address=db",
                "server.port=5432",
                "qflow.component=test",
            ]
        );
        assert!(!facts(&spans[0]).contains("a key of the caller's"), "no value of a parameter is told");
    }

    #[tokio::test]
    async fn an_error_is_told_by_its_kind_alone() {
        let (telemetry, collected) = Telemetry::collecting();
        let store =
            Traced::new(Arc::new(Memory::new(Arc::new(qflow_service::SystemClock))), telemetry, Place::default());
        let failing = async {
            let source = "Key (tenant, key)=(default, secret) already exists".into();
            Err::<(), _>(Error::Database { doing: "accept a run", source })
        };
        traces::within(Some(TraceContext::root()), store.told(("INSERT", "run"), failing)).await.unwrap_err();
        let told = facts(&collected.spans());
        assert!(told.contains("accept a run") && !told.contains("secret"), "{told}");
    }

    #[tokio::test]
    async fn a_store_is_traced_where_somebody_takes_spans() {
        let folder = tempfile::tempdir().unwrap();
        let (telemetry, collected) = Telemetry::collecting();
        let database = Database::Sqlite(folder.path().join("state.db"));
        let store = database.open(Arc::new(qflow_service::SystemClock), &telemetry).await.unwrap();
        traces::within(Some(TraceContext::root()), store.workflows("t".into())).await.unwrap();
        let spans = collected.spans();
        assert_eq!((spans.len(), spans[0].name.as_ref()), (1, "SELECT workflow"));
        let told = facts(&spans);
        assert!(told.contains("sqlite") && told.contains("state.db"), "{told}");
    }
}

#[async_trait]
impl Access for Traced {
    async fn keep_token(&self, token: Token, asked: Entry) -> Result<()> {
        self.told(("INSERT", "token"), self.inner.keep_token(token, asked)).await
    }
    async fn live_token(&self, id: &str) -> Result<Option<Token>> {
        self.told(("SELECT", "token"), self.inner.live_token(id)).await
    }
    async fn tokens(&self, tenant: String) -> Result<Vec<Token>> {
        self.told(("SELECT", "token"), self.inner.tokens(tenant)).await
    }
    async fn revoke_token(&self, tenant: String, id: String, asked: Entry) -> Result<bool> {
        self.told(("UPDATE", "token"), self.inner.revoke_token(tenant, id, asked)).await
    }
    async fn note(&self, asked: Entry) -> Result<()> {
        self.told(("INSERT", "audit"), self.inner.note(asked)).await
    }
    async fn audit(&self, filter: AuditFilter) -> Result<Vec<Audited>> {
        self.told(("SELECT", "audit"), self.inner.audit(filter)).await
    }
}
