//! Where runs are kept: the trait, and what moves through it. SQL stands only below this module.

pub mod access;
pub mod backup;
pub mod cache;
mod command;
#[cfg(test)]
mod conformance;
pub mod member;
mod memory;
pub mod pool;
mod postgres;
pub(crate) mod sqlite;
mod traced;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use qflow_model::{
    definition::Source,
    environment::EnvLock,
    ids::{Digest, Epoch, NodeKey, RunId, Shard, Timestamp},
    plan::Plan,
    progress::{Happening, NodeRun, RunHead, RunSpec},
    status::RunStatus,
};

use access::{Access, Entry};
use cache::{Cached, Expired, Hit, Scope};
use member::{Attending, Standing};
use pool::{Pool, PoolState, Removed, Slot};

pub use command::{Command, InboxRow};
#[cfg(test)]
pub(crate) use conformance::ended;
pub use memory::Memory;
pub use postgres::{Postgres, Settings};
#[cfg(test)]
pub(crate) use postgres::{Server, certify};
pub use sqlite::Sqlite;

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another replica owns the shard: what was written under the older epoch is dropped.
    #[error("shard {} is no longer ours", .0.0)]
    Fenced(Shard),
    /// Another process has the file.
    #[error(
        "`{path}` is in use by another process: wait for it, start `qflow dev` once so that calls share one server, or set QFLOW_DATA_DIR to another folder"
    )]
    InUse {
        /// The file.
        path: String,
    },
    /// The file was written by another version.
    #[error("{what} has schema version {found}, this program knows {known}")]
    Schema {
        /// What.
        what: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Rows are to go into tables of a later version than theirs.
    #[error(
        "the database has schema version {found}, the back-up {rows}: restore into a new database, which is brought up to date when an orchestrator starts"
    )]
    Older {
        /// The database's.
        found: i64,
        /// The rows'.
        rows: i64,
    },
    /// What is to be restored into has something.
    #[error("`{0}` is not empty: restore into an empty one, or say --replace, which removes what is there")]
    NotEmpty(String),
    /// What is to be restored into has replicas that live.
    #[error("orchestrators run on this database ({0}): stop them, and wait until their leases of 6 s are over")]
    Attended(String),
    /// The user has too many queued runs.
    #[error("{queued} runs are queued; the bound for a user is {bound}")]
    TooManyQueued {
        /// How many.
        queued: u32,
        /// At most.
        bound: u32,
    },
    /// A pool had no room left in the transaction that was to take a slot of it: another replica took the last, or it was changed.
    #[error("pool `{0}` has no room")]
    PoolFull(String),
    /// The database said no.
    #[error("{doing}")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What comes back.
pub type Result<T> = std::result::Result<T, Error>;

/// A run to be accepted, with all that it needs.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What never changes of it.
    pub spec: Arc<RunSpec>,
    /// What it does.
    pub plan: Arc<Plan>,
    /// The source it was read from.
    pub source: Arc<Source>,
    /// The client's key, unique per tenant for 24 h.
    pub idempotency_key: Option<String>,
    /// Resolve environments anew.
    pub relock: bool,
    /// Who asked for it, where that is to be in the audit.
    pub asked: Option<Entry>,
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// The run is durable.
    Created(Timestamp),
    /// The key named this run.
    Existing(RunId),
}

/// What changed of one run, to be written as a whole.
#[derive(Clone, Debug)]
pub struct Change {
    /// The run.
    pub run: RunId,
    /// Its row, where that changed.
    pub head: Option<RunHead>,
    /// Rows of node runs that changed.
    pub nodes: Vec<(NodeKey, NodeRun)>,
    /// Lines of its history.
    pub history: Vec<Happening>,
    /// Slots of pools that its attempts take or give back.
    pub slots: Vec<Slot>,
}

/// What one commit writes.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Shards it writes to, under these epochs.
    pub fences: BTreeMap<Shard, Epoch>,
    /// Runs that changed.
    pub changes: Vec<Change>,
    /// Inbox rows that were worked off.
    pub done: Vec<i64>,
    /// Locks that runners answered.
    pub locks: Vec<Locked>,
    /// Outputs to keep for reuse; their blobs are copied already.
    pub cached: Vec<Cached>,
}

/// A lock, and whose it is: each tenant that asked for it has its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// Whose.
    pub owner: Scope,
    /// It.
    pub lock: Arc<EnvLock>,
}

/// A run as its rows tell it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What never changes of it.
    pub spec: Arc<RunSpec>,
    /// What it does.
    pub plan: Arc<Plan>,
    /// Its row.
    pub head: RunHead,
    /// Its node runs.
    pub nodes: Vec<(NodeKey, NodeRun)>,
}

/// A run in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// What never changes of it.
    pub spec: Arc<RunSpec>,
    /// The workflow's name.
    pub workflow: String,
    /// Its row.
    pub head: RunHead,
}

/// Which runs to list; newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Whose.
    pub tenant: String,
    /// Of this workflow only.
    pub workflow: Option<String>,
    /// In this state only.
    pub status: Option<RunStatus>,
    /// Older than this run only.
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: u32,
}

/// A workflow that was registered or run.
#[derive(Clone, Debug, PartialEq)]
pub struct Registered {
    /// Its name.
    pub name: String,
    /// Its source's digest.
    pub digest: Digest,
    /// When its source was first seen.
    pub at: Timestamp,
}

/// How the store is, for health.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Runs not begun.
    pub pending: u64,
    /// Runs under way.
    pub running: u64,
    /// Runs that completed, failed or timed out within the last hour: one that somebody cancelled was no success and no failure.
    pub ended_last_hour: u64,
    /// Of these, failed or timed out.
    pub failed_last_hour: u64,
    /// Of the newest thousand of these, those that failed of what a user wrote.
    pub failed_user_last_hour: u64,
    /// Of the same, those that failed of what runs it.
    pub failed_platform_last_hour: u64,
}

/// A line that user code wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLine {
    /// The node run's id.
    pub node_id: String,
    /// The attempt's number.
    pub attempt: u32,
    /// Its place among the attempt's lines.
    pub sequence: u64,
    /// When it was written.
    pub at: Timestamp,
    /// `stdout`, `stderr`, `log`.
    pub stream: String,
    /// What it says.
    pub text: String,
    /// What `qflow.log` was given by name; the text has it too.
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// Every shard that there is.
pub fn all_shards() -> BTreeSet<Shard> {
    (0..qflow_model::ids::SHARDS).map(Shard).collect()
}

/// Where runs are kept. Every write is one transaction.
#[async_trait]
pub trait Store: Access {
    /// `sqlite`, `postgres`, `memory`.
    fn kind(&self) -> &'static str;
    /// The store's clock: it alone decides what has expired.
    async fn now(&self) -> Result<Timestamp>;
    /// Waits until a commit would be taken.
    async fn takes_commits(&self) -> Result<()> {
        self.now().await.map(drop)
    }
    /// Says that a replica lives, for the time of a shard's lease, and renews the leases of shards that it holds under these epochs.
    async fn attend(&self, attending: Attending<'_>) -> Result<Standing>;
    /// Says that a replica has left: whatever it holds is free at once.
    async fn leave(&self, owner: &str) -> Result<()>;
    /// Takes at most so many shards for `owner`, each under a higher epoch, of those that are nobody's or whose lease is over.
    async fn take_shards(&self, owner: &str, most: usize) -> Result<BTreeMap<Shard, Epoch>>;
    /// Gives shards back that are held under these epochs: free at once.
    async fn release(&self, held: &BTreeMap<Shard, Epoch>) -> Result<()>;
    /// Returns once the inbox is worth a look though nobody here has posted to it.
    async fn woken(&self) {
        std::future::pending::<()>().await;
    }
    /// Accepts a run: the run, its plan and source, its first command and its key, or nothing.
    async fn submit(&self, submission: Submission) -> Result<Submitted>;
    /// Keeps a source and the workflows in it for somebody.
    async fn register(&self, owner: Scope, source: Arc<Source>, workflows: Vec<String>) -> Result<()>;
    /// Appends a command for a run and who asked for it, and names its row; its commit is the acknowledgement.
    async fn post(&self, run: RunId, command: Command, asked: Option<Entry>) -> Result<i64>;
    /// Commands for runs of these shards that are not yet worked off, oldest first.
    async fn inbox(&self, shards: &BTreeSet<Shard>) -> Result<Vec<InboxRow>>;
    /// Whether a command still waits to be worked off.
    async fn is_posted(&self, row: i64) -> Result<bool>;
    /// Writes a batch, or nothing where a shard is no longer ours; the store's time of it.
    async fn commit(&self, batch: Batch) -> Result<Timestamp>;
    /// Runs of these shards that have not ended.
    async fn unfinished(&self, shards: &BTreeSet<Shard>) -> Result<Vec<RunId>>;
    /// A run as its rows tell it.
    async fn load(&self, run: RunId) -> Result<Option<Loaded>>;
    /// Which of these runs are there.
    async fn known(&self, runs: Vec<RunId>) -> Result<BTreeSet<RunId>>;
    /// One node run of a run.
    async fn node(&self, run: RunId, key: NodeKey) -> Result<Option<NodeRun>>;
    /// The lines of a run's history, oldest first.
    async fn history(&self, run: RunId) -> Result<Vec<(Timestamp, Happening)>>;
    /// Runs by a filter, newest first.
    async fn list(&self, filter: Filter) -> Result<Vec<Listed>>;
    /// A tenant's workflows by name, each under its newest source.
    async fn workflows(&self, tenant: String) -> Result<Vec<Registered>>;
    /// A source by its digest, where the tenant has it.
    async fn source(&self, tenant: String, digest: Digest) -> Result<Option<Arc<Source>>>;
    /// A tenant's newest lock of a spec that is not older than `since`.
    async fn lock(&self, tenant: String, spec: Digest, since: Timestamp) -> Result<Option<Arc<EnvLock>>>;
    /// Appends lines of a run; one that is there already is left as it is.
    async fn append_lines(&self, run: RunId, lines: Vec<StoredLine>) -> Result<()>;
    /// Lines of a run after a position, and the position of the last.
    async fn lines(&self, run: RunId, after: i64) -> Result<(Vec<StoredLine>, i64)>;
    /// Removes the lines of attempts of a run, by node and number: they lie elsewhere.
    async fn drop_lines(&self, run: RunId, attempts: Vec<(String, u32)>) -> Result<()>;
    /// Makes a pool, or changes it.
    async fn set_pool(&self, pool: Pool) -> Result<()>;
    /// Removes a pool that nobody holds.
    async fn remove_pool(&self, tenant: String, name: String) -> Result<Removed>;
    /// A tenant's pools as they stand now, by name.
    async fn pools(&self, tenant: String) -> Result<Vec<PoolState>>;
    /// What is kept under each of the keys, in their order.
    async fn cached(&self, scope: Scope, keys: Vec<Digest>) -> Result<Vec<Option<Hit>>>;
    /// Removes at most so many entries whose time is over, and names at most so many blobs that nobody owns any more.
    async fn expire(&self, limit: u32) -> Result<Expired>;
    /// Forgets blobs that are removed now.
    async fn forget(&self, blobs: Vec<Digest>) -> Result<()>;
    /// At most so many runs that ended longer ago than that, oldest first: their values are to be removed, and then they.
    async fn expire_runs(&self, older_ms: u64, limit: u32) -> Result<Vec<RunId>>;
    /// Removes all rows of runs, as far as they have still ended and nobody wants anything of them.
    async fn forget_runs(&self, runs: Vec<RunId>) -> Result<()>;
    /// How the store is.
    async fn totals(&self) -> Result<Totals>;
}
