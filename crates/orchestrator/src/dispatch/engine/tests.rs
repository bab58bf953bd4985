//! The engine against a runner that a test plays, over the store in memory.

mod limits;
mod pauses;
mod shards;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use qflow_blobs::Blobs;
use qflow_model::{
    definition::Source,
    environment::{EnvLock, EnvSpec},
    ids::{AttemptKey, Digest, Epoch, NodeKey, RunId, Shard, StepIx, Timestamp},
    outcome::{Ending, Failure, Outcome, Phases},
    plan::Plan,
    progress::{Happening, KillReason, NodeRun, RunSpec, TraceContext},
    status::{NodeStatus, RunStatus},
    value::{Produced, ValueRef},
};
use qflow_proto::order::Order;
use qflow_service::{ManualClock, Shutdown};
use qflow_telemetry::Telemetry;
use serde_json::json;
use tokio::sync::mpsc;

use super::{Engine, Parts};
use crate::{
    dispatch::{Handle, Hello, Said, Say, StreamId, Word},
    logs::Logs,
    record::{
        Batch, Command, Error, Filter, InboxRow, Listed, Loaded, Memory, Registered, Result, Store, StoredLine,
        Submission, Submitted, Totals,
        cache::{Expired, Hit, Scope},
        member::{Replica, Standing},
        pool::{Pool, PoolState, Removed},
    },
};

/// A store that does not do the next so many commits.
struct Flaky {
    inner: Box<dyn Store>,
    failing: AtomicU32,
}

#[async_trait]
impl Store for Flaky {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
    async fn now(&self) -> Result<Timestamp> {
        self.inner.now().await
    }
    async fn attend(&self, replica: &Replica, held: &BTreeMap<Shard, Epoch>) -> Result<Standing> {
        self.inner.attend(replica, held).await
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
    async fn register(&self, source: Arc<Source>, workflows: Vec<String>) -> Result<()> {
        self.inner.register(source, workflows).await
    }
    async fn post(&self, run: RunId, command: Command) -> Result<i64> {
        self.inner.post(run, command).await
    }
    async fn inbox(&self, shards: &BTreeSet<Shard>) -> Result<Vec<InboxRow>> {
        self.inner.inbox(shards).await
    }
    async fn is_posted(&self, row: i64) -> Result<bool> {
        self.inner.is_posted(row).await
    }
    async fn commit(&self, batch: Batch) -> Result<Timestamp> {
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
    async fn history(&self, run: RunId) -> Result<Vec<(Timestamp, Happening)>> {
        self.inner.history(run).await
    }
    async fn list(&self, filter: Filter) -> Result<Vec<Listed>> {
        self.inner.list(filter).await
    }
    async fn workflows(&self) -> Result<Vec<Registered>> {
        self.inner.workflows().await
    }
    async fn source(&self, digest: Digest) -> Result<Option<Arc<Source>>> {
        self.inner.source(digest).await
    }
    async fn lock(&self, spec: Digest, since: Timestamp) -> Result<Option<Arc<EnvLock>>> {
        self.inner.lock(spec, since).await
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

/// A chain of `length` steps `a`, `a-2`, …, each after the one before.
fn plan(length: u32) -> Arc<Plan> {
    plan_of(length, &json!({}))
}

/// The same of a node with further options.
fn plan_of(length: u32, options: &serde_json::Value) -> Arc<Plan> {
    let definition = serde_json::from_value(definition(length, options)).unwrap();
    let python = ["3.11".parse().unwrap()];
    Arc::new(qflow_model::plan::plan(&definition, "w", source().digest(), &python).unwrap())
}

fn definition(length: u32, options: &serde_json::Value) -> serde_json::Value {
    let mut node = json!({
        "name": "a", "file": "w.py", "params": [], "returns": "Any", "convert": false, "idempotent": true,
        "isolation": "run", "frames": false, "place": {"file": "w.py", "line": 1, "column": 1},
        "retry": {"retries": 0, "backoff_ms": 0, "exponential": false},
        "resources": qflow_model::definition::Resources::default(),
    });
    for (name, value) in options.as_object().into_iter().flatten() {
        node[name] = value.clone();
    }
    let id = |ix: u32| if ix == 0 { "a".to_owned() } else { format!("a-{}", ix + 1) };
    let place = json!({"file": "w.py", "line": 9, "column": 1});
    let step = |ix: u32| {
        json!({"id": id(ix), "kind": {"node": {"function": "a"}}, "arguments": [], "guards": [], "place": place,
               "after": if ix == 0 { vec![] } else { vec![ix - 1] }})
    };
    json!({
        "nodes": {"a": node},
        "workflows": {"w": {
            "name": "w", "function": "w", "params": [], "returns": "Any", "branches": [], "on_failure": "finish",
            "steps": (0..length).map(step).collect::<Vec<_>>(), "place": place,
            "result": {"result": {"step": length - 1}},
        }},
    })
}

fn source() -> Source {
    Source { entry: "w.py".into(), files: [("w.py".into(), "…".into())].into() }
}

fn lock(spec: &EnvSpec) -> EnvLock {
    EnvLock {
        spec: spec.digest(),
        python: spec.python,
        lock: String::new(),
        image: "/usr/bin/python".into(),
        harness: Digest::of(b""),
        uv: String::new(),
        platform: "linux/amd64".into(),
        packages: 0,
    }
}

fn outcome(ending: Ending) -> Box<Outcome> {
    Box::new(Outcome {
        ending,
        phases: Phases::default(),
        container_id: "c".into(),
        peak_memory_bytes: 0,
        cpu_seconds: 0.0,
        log_lines: 0,
        log_lines_dropped: 0,
        log: None,
        warnings: vec![],
    })
}

fn done() -> Box<Outcome> {
    let bytes = b"1".to_vec();
    let value = ValueRef { digest: Digest::of(&bytes), size: 1, inline: Some(bytes), items: None, attachments: vec![] };
    outcome(Ending::Completed(Box::new(Produced { value, answers: vec![] })))
}

/// A store, and the engine on it that was started last.
struct House {
    store: Arc<Flaky>,
    engine: Handle,
    shutdown: Shutdown,
    ended: tokio::task::JoinHandle<()>,
}

impl House {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp(1)));
        Self::over(Box::new(Memory::new(clock))).await
    }

    async fn over(inner: Box<dyn Store>) -> Self {
        Self::on(Arc::new(Flaky { inner, failing: AtomicU32::new(0) })).await
    }

    async fn on(store: Arc<Flaky>) -> Self {
        Self::replica(store, "o").await
    }

    async fn replica(store: Arc<Flaky>, owner: &str) -> Self {
        Self::marking(store, owner, None).await
    }

    /// A replica that marks which run is in hand.
    async fn marking(store: Arc<Flaky>, owner: &str, in_hand: Option<std::path::PathBuf>) -> Self {
        let shutdown = Shutdown::new();
        let (blobs, bus) = (Arc::new(Blobs::in_memory()), Arc::new(crate::bus::Local::default()));
        let parts = Parts {
            logs: Logs::start(store.clone(), blobs.clone(), bus.clone(), Telemetry::silent()),
            store: Arc::clone(&store) as Arc<dyn Store>,
            blobs,
            bus,
            telemetry: Telemetry::silent(),
            replica: Replica { owner: owner.to_owned(), url: format!("http://{owner}") },
            in_hand,
        };
        let (engine, ended) = Engine::start(parts, shutdown.clone()).await.unwrap();
        Self { store, engine, shutdown, ended }
    }

    /// Stops the engine as a crash would: with whatever it has committed.
    async fn restarted(self) -> Self {
        self.shutdown.trigger();
        self.ended.await.unwrap();
        Self::on(self.store).await
    }

    async fn submit(&self, id: u128, length: u32) -> RunId {
        self.submit_plan(id, plan(length), false).await
    }

    async fn submit_plan(&self, id: u128, plan: Arc<Plan>, no_cache: bool) -> RunId {
        let run = RunId(uuid::Uuid::from_u128(id));
        let spec = RunSpec {
            id: run,
            tenant: "t".into(),
            user: "u".into(),
            plan: plan.digest(),
            params: BTreeMap::new(),
            trace: TraceContext::default(),
            created_at: Timestamp(0),
            no_cache,
        };
        let submission =
            Submission { spec: Arc::new(spec), plan, source: Arc::new(source()), idempotency_key: None, relock: false };
        self.store.submit(submission).await.unwrap();
        self.engine.work_off().await;
        run
    }

    async fn node(&self, run: RunId, at: usize) -> NodeRun {
        self.store.load(run).await.unwrap().unwrap().nodes.remove(at).1
    }

    async fn status(&self, run: RunId) -> RunStatus {
        self.store.load(run).await.unwrap().unwrap().head.status
    }
}

/// A runner that the test plays.
struct Player {
    engine: Handle,
    stream: StreamId,
    told: mpsc::UnboundedReceiver<Say>,
    /// Orders that were heard while something else was waited for.
    orders: VecDeque<Order>,
}

impl Player {
    async fn connect(house: &House, stream: u64, attempts: Vec<AttemptKey>) -> Self {
        let (to, told) = mpsc::unbounded_channel();
        let player = Self { engine: house.engine.clone(), stream: StreamId(stream), told, orders: VecDeque::new() };
        let hello = Hello {
            runner_id: "r".into(),
            runtime: "process".into(),
            pythons: ["3.11".parse().unwrap()].into(),
            slots: 2,
            attempts,
            ..Hello::default()
        };
        player.say(Said::Hello(Box::new(hello), to)).await;
        player.say(Said::Credits(2)).await;
        player
    }

    async fn say(&self, said: Said) {
        assert!(self.engine.say(Word::Runner(self.stream, said)).await);
    }

    async fn hears(&mut self) -> Say {
        let heard = tokio::time::timeout(std::time::Duration::from_mins(5), self.told.recv());
        heard.await.expect("the engine says something").expect("the stream is open")
    }

    /// The next order; locks what is asked for on the way.
    async fn order(&mut self) -> Order {
        if let Some(order) = self.orders.pop_front() {
            return order;
        }
        loop {
            match self.hears().await {
                Say::Attempt(order) => return *order,
                Say::Lock(spec, _) => self.say(Said::Locked(spec.digest(), Ok(lock(&spec)))).await,
                Say::Ack(..) | Say::RunEnded(_) | Say::CreditsBack(_) | Say::Backlog => {}
                Say::Begin(_) | Say::Heard(_) => {}
                Say::Kill(..) => panic!("nothing is to be killed"),
            }
        }
    }

    /// Says that an attempt ended, and gives the credit back; whether that was accepted.
    async fn ends(&mut self, key: AttemptKey, outcome: Box<Outcome>) -> bool {
        self.say(Said::Ended(key, outcome)).await;
        self.say(Said::Credits(1)).await;
        loop {
            match self.hears().await {
                Say::Ack(acked, accepted) if acked == key => return accepted,
                Say::Attempt(order) => self.orders.push_back(*order),
                _ => {}
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_runs_one_step_after_the_other_to_its_end() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let run = house.submit(1, 3).await;
    for ix in 0..3 {
        let order = runner.order().await;
        assert_eq!((order.key.node, order.key.attempt), (NodeKey::root(StepIx(ix), None), 1));
        runner.say(Said::Started(order.key, "c".into())).await;
        // The next order may be heard before the acknowledgement: both follow the same commit.
        runner.say(Said::Ended(order.key, done())).await;
        runner.say(Said::Credits(1)).await;
    }
    while !matches!(runner.hears().await, Say::RunEnded(ended) if ended == run) {}
    assert_eq!(house.status(run).await, RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_comes_twice_gets_the_same_answer() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    house.submit(1, 1).await;
    let key = runner.order().await.key;
    assert!(runner.ends(key, done()).await);
    assert!(runner.ends(key, done()).await);
    let never_ordered = AttemptKey { attempt: 7, ..key };
    assert!(!runner.ends(never_ordered, done()).await);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_loses_nothing() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let run = house.submit(1, 2).await;
    let first = runner.order().await.key;
    house.store.failing.store(3, Ordering::SeqCst);
    assert!(runner.ends(first, done()).await, "heard again once the store is back");
    let second = runner.order().await.key;
    assert_eq!(second.node.step, StepIx(1));
    assert!(runner.ends(second, done()).await);
    assert_eq!(house.status(run).await, RunStatus::Completed);
    let history = house.store.history(run).await.unwrap();
    let ends = history.iter().filter(|(_, happening)| matches!(happening, Happening::NodeEnded { .. }));
    assert_eq!(ends.count(), 2, "no node completed twice");
}

#[tokio::test(start_paused = true)]
async fn a_restarted_engine_goes_on_with_what_runners_hold() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let run = house.submit(1, 2).await;
    let held = runner.order().await.key;
    runner.say(Said::Started(held, "c".into())).await;
    let house = house.restarted().await;
    let mut runner = Player::connect(&house, 1, vec![held]).await;
    assert!(runner.ends(held, done()).await);
    let next = runner.order().await.key;
    assert_eq!((next.node.step, next.attempt), (StepIx(1), 1));
    assert!(runner.ends(next, done()).await);
    assert_eq!(house.status(run).await, RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_did_not_arrive_is_given_again_once() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    house.submit(1, 1).await;
    let lost = runner.order().await.key;
    let mut runner = Player::connect(&house, 2, vec![]).await;
    assert_eq!(runner.order().await.key, lost);
    let mut runner = Player::connect(&house, 3, vec![]).await;
    assert_eq!(runner.order().await.key, AttemptKey { attempt: 2, ..lost }, "then it counts as lost");
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_stays_away_loses_its_attempt_after_a_lease() {
    let house = House::new().await;
    let mut first = Player::connect(&house, 1, vec![]).await;
    house.submit(1, 1).await;
    let key = first.order().await.key;
    first.say(Said::Started(key, "c".into())).await;
    first.say(Said::Gone).await;
    let (to, told) = mpsc::unbounded_channel();
    let mut other = Player { engine: house.engine.clone(), stream: StreamId(2), told, orders: VecDeque::new() };
    let hello =
        Hello { runner_id: "other".into(), pythons: ["3.11".parse().unwrap()].into(), slots: 1, ..Hello::default() };
    other.say(Said::Hello(Box::new(hello), to)).await;
    other.say(Said::Credits(1)).await;
    let again = other.order().await.key;
    assert_eq!(again, AttemptKey { attempt: 2, ..key });
    assert!(!other.ends(key, done()).await, "the first attempt's outcome comes too late");
    assert!(other.ends(again, done()).await);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_has_its_attempts_killed() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let run = house.submit(1, 2).await;
    let key = runner.order().await.key;
    house.store.post(run, Command::Cancel { by: "u".into() }).await.unwrap();
    house.engine.work_off().await;
    assert_eq!(house.status(run).await, RunStatus::Cancelled);
    let kill = loop {
        if let Say::Kill(key, reason) = runner.hears().await {
            break (key, reason);
        }
    };
    assert_eq!(kill, (key, KillReason::Cancelled));
    assert!(!runner.ends(key, done()).await, "what comes after the cancel is refused");
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_is_run_again_from_its_failed_node() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let run = house.submit(1, 2).await;
    let first = runner.order().await.key;
    assert!(runner.ends(first, done()).await);
    let second = runner.order().await.key;
    let failure = Failure { error_type: "ValueError".into(), ..Failure::default() };
    assert!(runner.ends(second, outcome(Ending::Failed(Box::new(failure)))).await);
    assert_eq!(house.status(run).await, RunStatus::Failed);
    house.store.post(run, Command::RetryFailed { by: "u".into() }).await.unwrap();
    house.engine.work_off().await;
    let again = runner.order().await.key;
    assert_eq!((again.node, again.attempt), (second.node, 2));
    assert!(runner.ends(again, done()).await);
    let loaded = house.store.load(run).await.unwrap().unwrap();
    assert_eq!(loaded.head.status, RunStatus::Completed);
    let statuses: BTreeSet<NodeStatus> = loaded.nodes.iter().map(|(_, node)| node.status).collect();
    assert_eq!(statuses, [NodeStatus::Completed].into());
}

#[tokio::test(start_paused = true)]
async fn runs_take_turns_at_few_slots() {
    let house = House::new().await;
    let first = house.submit(1, 2).await;
    let second = house.submit(2, 2).await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let served: BTreeSet<RunId> = [runner.order().await.key.run, runner.order().await.key.run].into();
    assert_eq!(served, [first, second].into());
}

/// `map(child, [1, 2])`, where `child` is a chain of two; then an approval, a sleep, and one node more.
fn plan_of_calls(sleep: &str) -> Arc<Plan> {
    let mut definition = definition(2, &json!({}));
    let place = json!({"file": "w.py", "line": 9, "column": 1});
    let step = |id: &str, kind: serde_json::Value, more: serde_json::Value| {
        let mut step = json!({"id": id, "kind": kind, "arguments": [], "guards": [], "place": place});
        more.as_object().unwrap().iter().for_each(|(key, value)| step[key] = value.clone());
        step
    };
    definition["workflows"]["child"] = definition["workflows"]["w"].clone();
    definition["workflows"]["child"]["name"] = json!("child");
    definition["workflows"]["child"]["params"] = json!([{"name": "x", "type": "int", "place": place}]);
    definition["workflows"]["w"]["steps"] = json!([
        step(
            "child",
            json!({"workflow": {"workflow": "child"}}),
            json!({"over": ["x"], "arguments": [["x", {"literal": [1, 2]}]]})
        ),
        step("approval", json!({"approval": {"name": "finance"}}), json!({"after": [0]})),
        step("sleep", json!("sleep"), json!({"after": [1], "arguments": [["duration", {"literal": sleep}]]})),
        step("a", json!({"node": {"function": "a"}}), json!({"after": [2]})),
    ]);
    definition["workflows"]["w"]["result"] = json!({"result": {"step": 0}});
    let python = ["3.11".parse().unwrap()];
    let definition = serde_json::from_value(definition).unwrap();
    Arc::new(qflow_model::plan::plan(&definition, "w", source().digest(), &python).unwrap())
}

/// Ends what is ordered, with a crash of the engine after each; what was ordered.
async fn crash_by_crash(mut house: House, count: u32, stream: &mut u64) -> (House, Vec<String>) {
    let mut ordered = Vec::new();
    for _ in 0..count {
        *stream += 1;
        let mut runner = Player::connect(&house, *stream, vec![]).await;
        let order = runner.order().await;
        assert!(runner.ends(order.key, done()).await);
        ordered.push(format!("{}@{}", order.node_id, order.key.attempt));
        house = house.restarted().await;
    }
    (house, ordered)
}

async fn calls_and_waits_survive_crashes(store: Box<dyn Store>, sleep: &str) {
    let house = House::over(store).await;
    let run = house.submit_plan(1, plan_of_calls(sleep), false).await;
    let mut stream = 0;
    let (house, ordered) = crash_by_crash(house, 4, &mut stream).await;
    assert_eq!(
        ordered.iter().map(|id| &id[..id.len() - 2]).collect::<BTreeSet<_>>().len(),
        4,
        "each once: {ordered:?}"
    );
    assert!(ordered.iter().any(|id| id.starts_with("child[1]/a-2@")), "{ordered:?}");
    let state = async |house: &House| {
        let loaded = house.store.load(run).await.unwrap().unwrap();
        qflow_model::progress::RunState::restore(loaded.spec, loaded.plan, loaded.head, loaded.nodes)
    };
    let waiting = state(&house).await;
    assert_eq!(waiting.head.asked.as_ref().map(|asked| asked.name.as_str()), Some("finance"));
    let node = waiting.find("approval").unwrap();
    let answer = Command::Approve { node, approved: true, by: "ada".into(), comment: String::new() };
    house.store.post(run, answer).await.unwrap();
    house.engine.work_off().await;
    let house = house.restarted().await;
    let slept = state(&house).await;
    let detail = |id: &str| slept.node(slept.find(id).unwrap()).unwrap().detail.clone().unwrap();
    assert_eq!(detail("approval").answered.unwrap().by.as_deref(), Some("ada"));
    assert!(detail("sleep").until.is_some(), "the timer is in the rows");
    let (house, ordered) = crash_by_crash(house, 1, &mut stream).await;
    assert!(ordered[0].starts_with("a@"), "{ordered:?}");
    assert_eq!(house.status(run).await, RunStatus::Completed);
    let history = house.store.history(run).await.unwrap();
    let mut completed = BTreeSet::new();
    for (_, happening) in history {
        if let Happening::NodeEnded { node, status: NodeStatus::Completed, .. } = happening {
            assert!(completed.insert(node), "{node:?} completed twice");
        }
    }
    assert_eq!(completed.len(), 10, "four nodes in two calls, the calls and their map, two waits, one node");
}

#[tokio::test(start_paused = true)]
async fn calls_and_waits_survive_crashes_in_memory() {
    calls_and_waits_survive_crashes(Box::new(Memory::new(Arc::new(ManualClock::at(Timestamp(1))))), "2m").await;
}

/// In real time: a database on its own thread looks idle to a clock that stands.
#[tokio::test]
async fn calls_and_waits_survive_crashes_in_sqlite() {
    let clock = Arc::new(ManualClock::at(Timestamp(1)));
    calls_and_waits_survive_crashes(Box::new(crate::record::Sqlite::in_memory(clock).unwrap()), "1s").await;
}
