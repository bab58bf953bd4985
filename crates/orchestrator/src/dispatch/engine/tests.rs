//! The engine against a runner that a test plays, over the store in memory.

mod active;
mod crashes;
mod fit;
mod flaky;
mod given;
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

use self::{
    flaky::Flaky,
    given::{definition, done, lock, outcome, plan, plan_of, source},
};
use super::{Engine, Parts};
use crate::{
    dispatch::{Handle, Hello, Said, Say, StreamId, Word},
    logs::Logs,
    record::{
        Batch, Command, Error, Filter, InboxRow, Listed, Loaded, Memory, Registered, Result, Store, StoredLine,
        Submission, Submitted, Totals,
        cache::{Expired, Hit, Scope},
        member::{Attending, Replica, Standing},
        pool::{Pool, PoolState, Removed},
    },
};

/// A store, and the engine on it that was started last.
struct House {
    store: Arc<Flaky>,
    engine: Handle,
    bus: Arc<crate::bus::Local>,
    telemetry: Telemetry,
    shutdown: Shutdown,
    ended: tokio::task::JoinHandle<()>,
}

impl House {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp(1)));
        Self::over(Box::new(Memory::new(clock))).await
    }

    async fn over(inner: Box<dyn Store>) -> Self {
        Self::on(Arc::new(Flaky::over(inner))).await
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
        let telemetry = Telemetry::silent();
        let parts = Parts {
            logs: Logs::start(store.clone(), blobs.clone(), bus.clone(), Telemetry::silent()),
            store: Arc::clone(&store) as Arc<dyn Store>,
            blobs,
            bus: bus.clone(),
            telemetry: telemetry.clone(),
            replica: Replica { owner: owner.to_owned(), url: format!("http://{owner}") },
            in_hand,
        };
        let (engine, ended) = Engine::start(parts, shutdown.clone()).await.unwrap();
        Self { store, engine, bus, telemetry, shutdown, ended }
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
        let run = self.submit_unheard(id, plan, no_cache).await;
        self.engine.work_off().await;
        run
    }

    /// The same, while the engine may not come round.
    async fn submit_unheard(&self, id: u128, plan: Arc<Plan>, no_cache: bool) -> RunId {
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
        let submission = Submission {
            spec: Arc::new(spec),
            plan,
            source: Arc::new(source()),
            idempotency_key: None,
            relock: false,
            asked: None,
        };
        self.store.submit(submission).await.unwrap();
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
    house.submit(1, 2).await;
    let first = runner.order().await.key;
    assert!(runner.ends(first, done()).await && runner.ends(first, done()).await);
    let key = runner.order().await.key;
    assert!(runner.ends(key, done()).await);
    // The run has ended, and has left memory.
    assert!(runner.ends(key, done()).await && runner.ends(first, done()).await);
    assert_eq!(house.store.walks.load(Ordering::SeqCst), 0, "a run of 100,000 nodes is not read for one of them");
    let never_ordered = AttemptKey { attempt: 7, ..key };
    assert!(!runner.ends(never_ordered, done()).await);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_was_tried_again_gets_the_same_answer_however_late_it_comes() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let retry = json!({"retry": {"retries": 1, "backoff_ms": 0, "exponential": false}});
    let run = house.submit_plan(1, plan_of(1, &retry), false).await;
    let failed = || {
        let failure = Failure { error_type: "KeyError".into(), mro: vec!["Exception".into()], ..Failure::default() };
        outcome(Ending::Failed(Box::new(failure)))
    };
    let first = runner.order().await.key;
    assert!(runner.ends(first, failed()).await);
    let second = runner.order().await.key;
    assert_eq!(second, AttemptKey { attempt: 2, ..first });
    assert!(runner.ends(first, failed()).await, "its node is held by another attempt");
    assert!(runner.ends(second, done()).await);
    assert!(runner.ends(first, failed()).await, "the run has ended, and has left memory");
    assert_eq!(house.status(run).await, RunStatus::Completed);
    let history = house.store.history(run).await.unwrap();
    let late = history.iter().filter(|(_, happening)| matches!(happening, Happening::Superseded { .. }));
    assert_eq!(late.count(), 0, "what was taken is not late");
    let house = house.restarted().await;
    let mut runner = Player::connect(&house, 2, vec![]).await;
    assert!(runner.ends(first, failed()).await && runner.ends(second, done()).await);
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
    house.store.post(run, Command::Cancel { by: "u".into() }, None).await.unwrap();
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
    house.store.post(run, Command::RetryFailed { by: "u".into() }, None).await.unwrap();
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
