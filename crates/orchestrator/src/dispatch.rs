//! Dispatch: what reaches the engine, and how others reach it. One engine owns the runs of its shards.

mod engine;
mod flow;
mod locks;
mod orders;
mod runners;
mod tell;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use qflow_model::{
    definition::PythonVersion,
    environment::{EnvLock, EnvSpec},
    ids::{AttemptKey, Digest, RunId, Shard, Timestamp},
    outcome::{Failure, Outcome},
    progress::KillReason,
};
use qflow_proto::order::Order;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use crate::{active::Words, record::cache::Scope};

pub use engine::{Engine, Parts};
pub(crate) use locks::suits;

/// Words that may wait for the engine: past it streams are read more slowly.
pub(crate) const QUEUE: usize = 4096;

/// What a spec resolves to, or why to nothing.
pub type LockResult = Result<Arc<EnvLock>, Box<Failure>>;
/// Names of secrets by tenant.
pub type SecretNames = BTreeMap<String, BTreeSet<String>>;

/// One work stream of a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// What reaches the engine.
#[derive(Debug)]
pub enum Word {
    /// Commands were posted to the inbox; told once they are worked off.
    Posted(Option<oneshot::Sender<()>>),
    /// Somebody wants a spec locked before there is a run for it; told once the lock is recorded.
    Lock(EnvSpec, Scope, oneshot::Sender<LockResult>),
    /// A runner said something.
    Runner(StreamId, Said),
    /// An order is still being made to fit into a message; answered where its attempt is still to be had.
    Fitting(AttemptKey, oneshot::Sender<()>),
    /// An order was made to fit into a message, or why not.
    Fitted(AttemptKey, Result<Box<Order>, String>),
    /// Somebody wants to know all runs that are under way here.
    Active(oneshot::Sender<Words>),
}

/// What a runner says.
#[derive(Debug)]
pub enum Said {
    /// Who it is, what it holds, and how it is spoken to.
    Hello(Box<Hello>, mpsc::UnboundedSender<Say>),
    /// So many attempts more may be outstanding on its stream.
    Credits(u32),
    /// It lives.
    Heartbeat {
        /// Attempts that it holds.
        attempts: Vec<AttemptKey>,
        /// Containers that it has.
        containers: u32,
        /// They, with what they use.
        shown: Vec<Shown>,
        /// Locks of environments that are installed.
        warm: BTreeSet<Digest>,
        /// Secrets that it could read, where they have changed.
        secrets: Option<SecretNames>,
        /// Its number, where an answer is wanted; else 0.
        sequence: u64,
        /// Whether the blob store does not answer it.
        blobs_away: bool,
        /// How its runtime is, as it found it.
        condition: Box<Condition>,
    },
    /// An attempt began.
    Started(AttemptKey, String),
    /// An attempt ended.
    Ended(AttemptKey, Box<Outcome>),
    /// A spec was locked, or cannot be.
    Locked(Digest, Result<EnvLock, Box<Failure>>),
    /// What an attempt is doing, and how far it is.
    Doing(AttemptKey, String, f64),
    /// Its stream has ended.
    Gone,
}

/// A runner as it presents itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hello {
    /// Stable over restarts: what node runs are leased to.
    pub runner_id: String,
    /// `docker`, `process`, `kubernetes`.
    pub runtime: String,
    /// The runtime's version.
    pub runtime_version: String,
    /// Versions of Python that it can run.
    pub pythons: BTreeSet<PythonVersion>,
    /// Attempts that it can run at once.
    pub slots: u32,
    /// Attempts that it holds.
    pub attempts: Vec<AttemptKey>,
    /// Secrets that it could read.
    pub secrets: SecretNames,
    /// The version of its program.
    pub build_version: String,
}

/// A container as its runner last looked at it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// The runtime's id; empty where it is only being started.
    pub id: String,
    /// `starting`, `idle`, `running`, `stopping`.
    pub status: String,
    /// Its Python.
    pub python: String,
    /// The run that it belongs to; empty where to none.
    pub run: String,
    /// The attempt in it; empty where there is none.
    pub attempt: String,
    /// Per cent of the processors that it may use; nothing where that was not measured yet.
    pub cpu_percent: Option<f64>,
    /// Bytes; the same.
    pub memory_bytes: Option<u64>,
    /// When it was started; 0 where that is not known.
    pub started_at: Timestamp,
}

/// What is said to a runner.
#[derive(Debug)]
pub enum Say {
    /// Run this.
    Attempt(Box<Order>),
    /// Kill this.
    Kill(AttemptKey, KillReason),
    /// The outcome is recorded, or refused for good.
    Ack(AttemptKey, bool),
    /// Lock this, for a run where one is there already.
    Lock(EnvSpec, Option<RunId>),
    /// The run's containers may go.
    RunEnded(RunId),
    /// So many credits are not needed now.
    CreditsBack(u32),
    /// There is work, and no credit for it.
    Backlog,
    /// The attempt's code may begin.
    Begin(AttemptKey),
    /// A heartbeat was heard.
    Heard(u64),
}

/// A runner as seen from outside.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Who it is.
    pub hello: Hello,
    /// Attempts that it holds.
    pub running: u32,
    /// Containers that it has.
    pub containers: u32,
    /// They.
    pub shown: Arc<[Shown]>,
    /// Seconds since it was heard.
    pub age_seconds: f64,
    /// Whether the blob store does not answer it.
    pub blobs_away: bool,
    /// How its runtime is, as it told it last.
    pub condition: Condition,
}

/// How a runner's runtime is, as it found it: kept for who asks, and never acted on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// Seconds since it looked; nothing where it has not.
    pub age_seconds: Option<f64>,
    /// Whether the runtime does not answer.
    pub runtime_away: bool,
    /// How long it took to.
    pub ping_ms: f64,
    /// Its version.
    pub runtime_version: String,
    /// Containers of the runner that it has.
    pub total_containers: u32,
    /// Those of them that run.
    pub running_containers: u32,
    /// Bytes of the file system where images and containers lie.
    pub disk_bytes: u64,
    /// Those of them that are free.
    pub disk_free_bytes: u64,
    /// Each configured version of Python.
    pub pythons: Vec<PythonCondition>,
}

/// How a version of Python is on a runner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PythonCondition {
    /// Which.
    pub version: String,
    /// Its image, or its interpreter, is there.
    pub is_there: bool,
    /// It has been there since the runner started.
    pub is_wanted: bool,
    /// Containers of it that wait for an attempt.
    pub warm: u32,
    /// Seconds since a container of it last came up, or did not; nothing where none was tried.
    pub smoke_age_seconds: Option<f64>,
    /// Why it did not, as a code; empty where it did.
    pub smoke_error: String,
}

/// The whole as seen from outside.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// When the engine last looked around: the rest is so old.
    pub at: Option<Instant>,
    /// Runners that are connected.
    pub runners: Vec<Seen>,
    /// Node runs that wait for a runner.
    pub queue_depth: u32,
    /// Seconds since the run that waits longest for one was last served.
    pub oldest_queued_seconds: f64,
    /// Whether a runner was ever connected since the start.
    pub met: bool,
    /// Shards whose runs are written here.
    pub shards: BTreeSet<Shard>,
    /// Orchestrators with which attempts wait that no runner comes for.
    pub stranded: Vec<String>,
    /// Where runners reach the orchestrators that live, this one included.
    pub peers: Vec<String>,
}

impl Sight {
    /// Seconds since the engine looked around: what it sees is so old.
    pub fn age_seconds(&self) -> f64 {
        self.at.map_or(0.0, |at| at.elapsed().as_secs_f64())
    }
}

/// The engine's other end.
#[derive(Clone)]
pub struct Handle {
    words: mpsc::Sender<Word>,
    sight: watch::Receiver<Sight>,
}

impl Handle {
    /// Hands a word over; false where the engine has ended.
    pub async fn say(&self, word: Word) -> bool {
        self.words.send(word).await.is_ok()
    }

    /// Has the engine look into the inbox, and waits until that is worked off.
    pub async fn work_off(&self) {
        let (done, worked) = oneshot::channel();
        if self.say(Word::Posted(Some(done))).await {
            worked.await.ok();
        }
    }

    /// Whether a run is written here.
    pub fn owns(&self, run: RunId) -> bool {
        self.sight.borrow().shards.contains(&run.shard())
    }

    /// Waits until what is seen has changed; `None` where the engine has ended.
    pub async fn changed(&mut self) -> Option<Sight> {
        self.sight.changed().await.ok()?;
        Some(self.sight.borrow_and_update().clone())
    }

    /// All runs that are under way here; nothing where the engine has ended.
    pub async fn active(&self) -> Option<Words> {
        let (answer, answered) = oneshot::channel();
        self.say(Word::Active(answer)).await;
        answered.await.ok()
    }

    /// The whole as seen now.
    pub fn sight(&self) -> Sight {
        self.sight.borrow().clone()
    }

    /// Waits until a runner has connected, at most so long.
    pub async fn meet(&self, most: std::time::Duration) {
        let mut sight = self.sight.clone();
        // Without a runner by then the run waits, and says so.
        drop(tokio::time::timeout(most, sight.wait_for(|seen| seen.met)).await);
    }

    /// Versions of Python that connected runners offer.
    pub fn offered(&self) -> BTreeSet<PythonVersion> {
        self.sight.borrow().runners.iter().flat_map(|seen| seen.hello.pythons.iter().copied()).collect()
    }
}
