//! Runs that stand still: paused, quarantined, or with a node that must not run twice and is gone.

use std::{os::unix::process::ExitStatusExt as _, path::Path, process::Command as Process};

use qflow_model::{expression::BranchIx, progress::QUARANTINED};

use super::*;
use crate::record::{Server, Sqlite};

fn sqlite(path: &Path) -> Arc<Flaky> {
    let inner = Box::new(Sqlite::open(path, Arc::new(qflow_service::SystemClock)).unwrap());
    Arc::new(Flaky::over(inner))
}

impl House {
    async fn asks(&self, run: RunId, command: Command) {
        self.store.post(run, command, None).await.unwrap();
        self.engine.work_off().await;
    }

    async fn pauses(&self, run: RunId) {
        self.asks(run, Command::Pause { by: "ada".into() }).await;
    }

    async fn resumes(&self, run: RunId, retry: Vec<NodeKey>) {
        self.asks(run, Command::Resume { retry, fail: vec![], by: "ada".into() }).await;
    }

    async fn reason(&self, run: RunId) -> String {
        self.store.load(run).await.unwrap().unwrap().head.reason.unwrap_or_default()
    }

    /// Waits until a run stands so.
    async fn reaches(&self, run: RunId, status: RunStatus) {
        let reached = async {
            while self.status(run).await != status {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_mins(2), reached).await.expect("it comes about");
    }

    /// Waits until metrics tell of one run in quarantine, as they do at the engine's next look.
    async fn counts_quarantined(&self) {
        let told = || self.telemetry.render(None).1.contains("qflow_workflows_paused{cause=\"quarantined\"} 1\n");
        let counted = async {
            while !told() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_mins(2), counted).await.expect("it is counted");
    }
}

/// A paused run keeps what its attempts give, gives out nothing, survives a restart, and goes on where it was.
async fn a_paused_run_goes_on_where_it_was(store: Box<dyn Store>) {
    let house = House::over(store).await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let run = house.submit(1, 2).await;
    let first = runner.order().await.key;
    house.pauses(run).await;
    house.pauses(run).await;
    assert_eq!((house.status(run).await, house.reason(run).await), (RunStatus::Paused, "paused by ada".to_owned()));
    assert!(runner.ends(first, done()).await, "what ran counts");
    let house = house.restarted().await;
    let mut runner = Player::connect(&house, 2, vec![]).await;
    // Another run's order is heard before this one's: this one's is not given.
    let other = house.submit(2, 1).await;
    let next = runner.order().await.key;
    assert_eq!(next.run, other);
    assert!(runner.ends(next, done()).await);
    house.resumes(run, vec![]).await;
    house.resumes(run, vec![]).await;
    let second = runner.order().await.key;
    assert_eq!((second.run, second.node.step, second.attempt), (run, StepIx(1), 1));
    assert!(runner.ends(second, done()).await);
    house.reaches(run, RunStatus::Completed).await;
    house.pauses(run).await;
    assert_eq!(house.status(run).await, RunStatus::Completed, "what has ended stays so");
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_goes_on_where_it_was_in_memory() {
    a_paused_run_goes_on_where_it_was(Box::new(Memory::new(Arc::new(ManualClock::at(Timestamp(1)))))).await;
}

#[tokio::test]
async fn a_paused_run_goes_on_where_it_was_in_sqlite() {
    a_paused_run_goes_on_where_it_was(Box::new(Sqlite::in_memory(Arc::new(ManualClock::at(Timestamp(1)))).unwrap()))
        .await;
}

#[tokio::test]
async fn a_paused_run_goes_on_where_it_was_on_postgres() {
    let Some(server) = Server::get() else { return };
    a_paused_run_goes_on_where_it_was(Box::new(server.store().await)).await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_may_be_cancelled() {
    let house = House::new().await;
    let run = house.submit(1, 2).await;
    house.pauses(run).await;
    house.asks(run, Command::Cancel { by: "u".into() }).await;
    assert_eq!(house.status(run).await, RunStatus::Cancelled);
}

/// Its command to start is worked off when it breaks: resumed, it is started all the same, and breaks again.
#[tokio::test(start_paused = true)]
async fn a_run_that_was_paused_before_its_start_starts_once_it_is_resumed() {
    let house = House::new().await;
    let run = house.submit_plan(1, broken(0), false).await;
    house.reaches(run, RunStatus::Paused).await;
    house.resumes(run, vec![]).await;
    assert_eq!(house.status(run).await, RunStatus::Paused, "without a start it would be pending");
    assert!(house.store.inbox(&crate::record::all_shards()).await.unwrap().is_empty(), "nothing is left to do");
}

fn once() -> Arc<Plan> {
    plan_of(1, &json!({"idempotent": false}))
}

/// Connects a runner of another name, which has one slot.
async fn another(house: &House, stream: u64) -> Player {
    let (to, told) = mpsc::unbounded_channel();
    let player = Player { engine: house.engine.clone(), stream: StreamId(stream), told, orders: VecDeque::new() };
    let hello =
        Hello { runner_id: "other".into(), pythons: ["3.11".parse().unwrap()].into(), slots: 1, ..Hello::default() };
    player.say(Said::Hello(Box::new(hello), to)).await;
    player.say(Said::Credits(1)).await;
    player
}

/// Says that an attempt could begin, until it may.
async fn begins(runner: &mut Player, key: AttemptKey) {
    runner.say(Said::Started(key, "c".into())).await;
    while !matches!(runner.hears().await, Say::Begin(begun) if begun == key) {}
}

#[tokio::test(start_paused = true)]
async fn a_node_that_must_not_run_twice_begins_once_that_is_kept_and_is_asked_about_once_it_is_lost() {
    let house = House::new().await;
    let mut first = Player::connect(&house, 1, vec![]).await;
    let run = house.submit_plan(1, once(), false).await;
    let key = first.order().await.key;
    begins(&mut first, key).await;
    assert!(house.node(run, 0).await.detail.unwrap().started_at.is_some(), "it is in the rows before it begins");
    begins(&mut first, key).await;
    first.say(Said::Gone).await;
    let mut other = another(&house, 2).await;
    house.reaches(run, RunStatus::Paused).await;
    let head = house.store.load(run).await.unwrap().unwrap().head;
    assert_eq!((head.paused_for(), head.needs_attention.unwrap().node_id), (Some("needs_attention"), "a".to_owned()));
    house.resumes(run, vec![]).await;
    assert_eq!(house.status(run).await, RunStatus::Paused, "nobody has decided");
    house.resumes(run, vec![key.node]).await;
    let again = other.order().await.key;
    assert_eq!(again, AttemptKey { attempt: 2, ..key });
    assert!(!other.ends(key, done()).await, "the first attempt's outcome comes too late now");
    assert!(other.ends(again, done()).await);
    assert_eq!(house.status(run).await, RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_one_that_was_lost_decides_where_it_comes_after_all() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let run = house.submit_plan(1, once(), false).await;
    let key = runner.order().await.key;
    begins(&mut runner, key).await;
    runner.say(Said::Gone).await;
    house.reaches(run, RunStatus::Paused).await;
    let house = house.restarted().await;
    let mut runner = Player::connect(&house, 2, vec![key]).await;
    // It is not told to end it, and neither does a heartbeat.
    let beat = Said::Heartbeat {
        attempts: vec![key],
        containers: 1,
        shown: Vec::new(),
        warm: BTreeSet::new(),
        secrets: None,
        sequence: 1,
        blobs_away: false,
        condition: Box::default(),
    };
    runner.say(beat).await;
    loop {
        match runner.hears().await {
            Say::Heard(1) => break,
            Say::Kill(..) => panic!("it may go on"),
            _ => {}
        }
    }
    let fenced = outcome(Ending::Lost { reason: "fenced".into(), message: String::new() });
    assert!(!runner.ends(key, fenced).await, "that it is gone is known");
    assert!(runner.ends(key, done()).await);
    assert_eq!(house.status(run).await, RunStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_known_to_have_begun_is_given_to_another() {
    let house = House::new().await;
    let mut first = Player::connect(&house, 1, vec![]).await;
    house.submit_plan(1, once(), false).await;
    let key = first.order().await.key;
    first.say(Said::Gone).await;
    let mut other = another(&house, 2).await;
    assert_eq!(other.order().await.key, AttemptKey { attempt: 2, ..key });
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_lets_nothing_begin() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let run = house.submit_plan(1, once(), false).await;
    let key = runner.order().await.key;
    house.store.failing.store(1, Ordering::SeqCst);
    runner.say(Said::Started(key, "c".into())).await;
    // It says so again, as long as it may not: only now it is kept.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(house.node(run, 0).await.detail.unwrap().started_at.is_none());
    begins(&mut runner, key).await;
    assert!(house.node(run, 0).await.detail.unwrap().started_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_is_numbered_is_answered() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let beat = Said::Heartbeat {
        attempts: vec![],
        containers: 0,
        shown: Vec::new(),
        warm: BTreeSet::new(),
        secrets: None,
        sequence: 7,
        blobs_away: false,
        condition: Box::default(),
    };
    runner.say(beat).await;
    while !matches!(runner.hears().await, Say::Heard(7)) {}
}

/// A chain of which a step asks for a branch that there is not: a defect, as it were.
fn broken(step: usize) -> Arc<Plan> {
    let mut plan = (*plan(2)).clone();
    plan.workflows[0].steps[step].guards.push(qflow_model::definition::Guard { branch: BranchIx(7), holds: true });
    Arc::new(plan)
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_step_breaks_stands_still_and_the_others_go_on() {
    let house = House::new().await;
    let mut runner = Player::connect(&house, 1, vec![]).await;
    let run = house.submit_plan(1, broken(1), false).await;
    let key = runner.order().await.key;
    runner.say(Said::Ended(key, done())).await;
    house.reaches(run, RunStatus::Paused).await;
    assert!(house.reason(run).await.starts_with(QUARANTINED));
    let other = house.submit(2, 1).await;
    house.counts_quarantined().await;
    let key = runner.order().await.key;
    assert_eq!(key.run, other);
    assert!(runner.ends(key, done()).await);
}

/// What a process that is to crash gets, and which run is to make it.
const CRASHES: &str = "QFLOW_TEST_CRASHES_IN";

/// Runs an engine on a store until it dies: its run's step panics, and here a panic is the process's end.
async fn crash(folder: &Path, run: RunId) {
    std::panic::set_hook(Box::new(|_| std::process::abort()));
    let house = House::marking(sqlite(&folder.join("q.db")), "o", Some(folder.join("in-hand"))).await;
    let key = AttemptKey { run, node: NodeKey::root(StepIx(0), None), attempt: 1 };
    let first = house.node(run, 0).await.attempt == 0;
    let mut runner = Player::connect(&house, 1, if first { vec![] } else { vec![key] }).await;
    if first {
        assert_eq!(runner.order().await.key, key);
    }
    runner.say(Said::Ended(key, done())).await;
    house.ended.await.unwrap();
}

/// A process that dies in the middle of a step, three times, on a real store: the fourth does not.
#[tokio::test]
async fn a_run_that_crashes_the_orchestrator_three_times_is_paused_and_the_others_go_on() {
    let run = RunId(uuid::Uuid::from_u128(1));
    if let Some(folder) = std::env::var_os(CRASHES) {
        return crash(Path::new(&folder), run).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let (store, mark) = (folder.path().join("q.db"), folder.path().join("in-hand"));
    let house = House::marking(sqlite(&store), "o", Some(mark.clone())).await;
    house.submit_plan(1, broken(1), false).await;
    let other = house.submit(2, 1).await;
    house.shutdown.trigger();
    house.ended.await.unwrap();
    drop(house.store);
    drop(house.engine);
    for _ in 0..3 {
        let name = "dispatch::engine::tests::pauses::a_run_that_crashes_the_orchestrator_three_times_is_paused_and_the_others_go_on";
        let mut child = Process::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", name, "--nocapture"]).env(CRASHES, folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(6), "it aborts: {said}");
    }
    let house = House::marking(sqlite(&store), "o", Some(mark)).await;
    house.reaches(run, RunStatus::Paused).await;
    assert_eq!(house.reason(run).await, "quarantined: its processing crashed the orchestrator 3 times");
    let key = AttemptKey { run, node: NodeKey::root(StepIx(0), None), attempt: 1 };
    let mut runner = Player::connect(&house, 1, vec![key]).await;
    let key = runner.order().await.key;
    assert_eq!(key.run, other);
    assert!(runner.ends(key, done()).await);
    house.reaches(other, RunStatus::Completed).await;
    house.resumes(run, vec![]).await;
    let head = house.store.load(run).await.unwrap().unwrap().head;
    assert_eq!((head.status, head.crashes), (RunStatus::Running, 0), "it counts anew");
}
