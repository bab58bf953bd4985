//! A store whose commits fail when they are told to.

use tokio::sync::watch;

use super::*;
use crate::record::access::{Access, AuditFilter, Audited, Entry, Token};

/// A store that does not do the next so many commits, and counts how often somebody walks a run's history.
pub(super) struct Flaky {
    pub(super) inner: Box<dyn Store>,
    pub(super) failing: AtomicU32,
    /// Commits are neither done nor refused while this is so.
    pub(super) hangs: watch::Sender<bool>,
    pub(super) walks: AtomicU32,
}

impl Flaky {
    pub(super) fn over(inner: Box<dyn Store>) -> Self {
        Self { inner, failing: AtomicU32::new(0), hangs: watch::channel(false).0, walks: AtomicU32::new(0) }
    }
}

#[async_trait]
impl Store for Flaky {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
    async fn now(&self) -> Result<Timestamp> {
        self.inner.now().await
    }
    async fn takes_commits(&self) -> Result<()> {
        self.inner.takes_commits().await
    }
    async fn attend(&self, attending: Attending<'_>) -> Result<Standing> {
        self.inner.attend(attending).await
    }
    async fn leave(&self, owner: &str) -> Result<()> {
        self.inner.leave(owner).await
    }
    async fn take_shards(&self, owner: &str, most: usize) -> Result<BTreeMap<Shard, Epoch>> {
        self.inner.take_shards(owner, most).await
    }
    async fn release(&self, held: &BTreeMap<Shard, Epoch>) -> Result<()> {
        self.inner.release(held).await
    }
    async fn woken(&self) {
        self.inner.woken().await;
    }
    async fn submit(&self, submission: Submission) -> Result<Submitted> {
        self.inner.submit(submission).await
    }
    async fn register(&self, owner: Scope, source: Arc<Source>, workflows: Vec<String>) -> Result<()> {
        self.inner.register(owner, source, workflows).await
    }
    async fn post(&self, run: RunId, command: Command, asked: Option<Entry>) -> Result<i64> {
        self.inner.post(run, command, asked).await
    }
    async fn inbox(&self, shards: &BTreeSet<Shard>) -> Result<Vec<InboxRow>> {
        self.inner.inbox(shards).await
    }
    async fn is_posted(&self, row: i64) -> Result<bool> {
        self.inner.is_posted(row).await
    }
    async fn commit(&self, batch: Batch) -> Result<Timestamp> {
        // It ends with the test.
        drop(self.hangs.subscribe().wait_for(|hangs| !hangs).await);
        let fails = self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails {
            return Err(Error::Database { doing: "commit", source: "the disk is full".into() });
        }
        self.inner.commit(batch).await
    }
    async fn unfinished(&self, shards: &BTreeSet<Shard>) -> Result<Vec<RunId>> {
        self.inner.unfinished(shards).await
    }
    async fn load(&self, run: RunId) -> Result<Option<Loaded>> {
        self.inner.load(run).await
    }
    async fn known(&self, runs: Vec<RunId>) -> Result<BTreeSet<RunId>> {
        self.inner.known(runs).await
    }
    async fn node(&self, run: RunId, key: NodeKey) -> Result<Option<NodeRun>> {
        self.inner.node(run, key).await
    }
    async fn history(&self, run: RunId) -> Result<Vec<(Timestamp, Happening)>> {
        self.walks.fetch_add(1, Ordering::SeqCst);
        self.inner.history(run).await
    }
    async fn list(&self, filter: Filter) -> Result<Vec<Listed>> {
        self.inner.list(filter).await
    }
    async fn workflows(&self, tenant: String) -> Result<Vec<Registered>> {
        self.inner.workflows(tenant).await
    }
    async fn source(&self, tenant: String, digest: Digest) -> Result<Option<Arc<Source>>> {
        self.inner.source(tenant, digest).await
    }
    async fn lock(&self, tenant: String, spec: Digest, since: Timestamp) -> Result<Option<Arc<EnvLock>>> {
        self.inner.lock(tenant, spec, since).await
    }
    async fn append_lines(&self, run: RunId, lines: Vec<StoredLine>) -> Result<()> {
        self.inner.append_lines(run, lines).await
    }
    async fn lines(&self, run: RunId, after: i64) -> Result<(Vec<StoredLine>, i64)> {
        self.inner.lines(run, after).await
    }
    async fn drop_lines(&self, run: RunId, attempts: Vec<(String, u32)>) -> Result<()> {
        self.inner.drop_lines(run, attempts).await
    }
    async fn set_pool(&self, pool: Pool) -> Result<()> {
        self.inner.set_pool(pool).await
    }
    async fn remove_pool(&self, tenant: String, name: String) -> Result<Removed> {
        self.inner.remove_pool(tenant, name).await
    }
    async fn pools(&self, tenant: String) -> Result<Vec<PoolState>> {
        self.inner.pools(tenant).await
    }
    async fn cached(&self, scope: Scope, keys: Vec<Digest>) -> Result<Vec<Option<Hit>>> {
        self.inner.cached(scope, keys).await
    }
    async fn expire(&self, limit: u32) -> Result<Expired> {
        self.inner.expire(limit).await
    }
    async fn forget(&self, blobs: Vec<Digest>) -> Result<()> {
        self.inner.forget(blobs).await
    }
    async fn expire_runs(&self, older_ms: u64, limit: u32) -> Result<Vec<RunId>> {
        self.inner.expire_runs(older_ms, limit).await
    }
    async fn forget_runs(&self, runs: Vec<RunId>) -> Result<()> {
        self.inner.forget_runs(runs).await
    }
    async fn totals(&self) -> Result<Totals> {
        self.inner.totals().await
    }
}

#[async_trait]
impl Access for Flaky {
    async fn keep_token(&self, token: Token, asked: Entry) -> Result<()> {
        self.inner.keep_token(token, asked).await
    }
    async fn live_token(&self, id: &str) -> Result<Option<Token>> {
        self.inner.live_token(id).await
    }
    async fn tokens(&self, tenant: String) -> Result<Vec<Token>> {
        self.inner.tokens(tenant).await
    }
    async fn revoke_token(&self, tenant: String, id: String, asked: Entry) -> Result<bool> {
        self.inner.revoke_token(tenant, id, asked).await
    }
    async fn note(&self, asked: Entry) -> Result<()> {
        self.inner.note(asked).await
    }
    async fn audit(&self, filter: AuditFilter) -> Result<Vec<Audited>> {
        self.inner.audit(filter).await
    }
}
