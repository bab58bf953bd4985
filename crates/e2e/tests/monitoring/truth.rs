//! The status of hundreds of runs with two orchestrators, against what the database says: nothing is lost, nothing left over.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use qflow_e2e::{Cluster, root, said, wait_for, wait_seeing};
use qflow_proto::v1::{
    self, monitoring_client::MonitoringClient, orchestrator_service_client::OrchestratorServiceClient,
};
use tokio::task::JoinSet;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

/// Runs that are under way at once.
const RUNS: usize = 300;
/// Calls at a time.
const AT_ONCE: usize = 16;

/// Runs that have not ended, each with its nodes that completed, as the database has it.
const TRUTH: &str = "SELECT run.id, count(node_run.run) FILTER (WHERE node_run.status IN ('completed', 'skipped')) \
    FROM run LEFT JOIN node_run ON node_run.run = run.id \
    WHERE run.status NOT IN ('completed', 'failed', 'cancelled', 'timed_out') GROUP BY run.id";

/// Runs, each with its nodes that completed.
type Runs = BTreeMap<String, u32>;
type Through = InterceptedService<Channel, Bearer>;
type Client = OrchestratorServiceClient<Through>;

/// The clients' token, on every call.
#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

async fn channel(cluster: &Cluster, port: &str) -> Through {
    let url = format!("http://127.0.0.1:{}", cluster.port(port));
    let channel = Channel::from_shared(url).expect("an address").connect().await.expect("it listens");
    let token = std::fs::read_to_string(cluster.path().join("token")).expect("the cluster has a token");
    InterceptedService::new(channel, Bearer(format!("Bearer {}", token.trim()).parse().expect("a token is of ASCII")))
}

async fn client(cluster: &Cluster, orchestrator: u8) -> Client {
    OrchestratorServiceClient::new(channel(cluster, &format!("h{orchestrator}")).await)
}

/// What was seen by somebody who watches.
#[derive(Default)]
struct Seen {
    /// The newest.
    now: Runs,
    statuses: usize,
    /// Runs that must stay once they were seen, and that must not come back once they were gone.
    stay: BTreeSet<String>,
    gone: BTreeSet<String>,
    /// Those of either that did not.
    lost: BTreeSet<String>,
    back: BTreeSet<String>,
    newest: v1::SystemStatus,
}

impl Seen {
    fn take(&mut self, status: v1::SystemStatus) {
        let now: Runs = status.workflows.iter().map(|run| (run.run_id.clone(), run.nodes_completed)).collect();
        let missing = self.now.keys().filter(|run| self.stay.contains(*run) && !now.contains_key(*run));
        self.lost.extend(missing.cloned().collect::<Vec<_>>());
        self.back.extend(now.keys().filter(|run| self.gone.contains(*run)).cloned());
        (self.now, self.newest, self.statuses) = (now, status, self.statuses + 1);
    }
}

#[derive(Clone, Default)]
struct Watcher(Arc<Mutex<Seen>>);

impl Watcher {
    /// Watches until the runtime ends.
    async fn start(cluster: &Cluster) -> Self {
        let watcher = Self::default();
        let mut client = MonitoringClient::new(channel(cluster, "hg").await);
        let answers = client.watch_system_status(v1::WatchSystemStatusRequest {}).await;
        let (mut answers, seen) = (answers.expect("it may be watched").into_inner(), watcher.clone());
        tokio::spawn(async move {
            while let Ok(Some(answer)) = answers.message().await {
                seen.seen().take(answer.status.expect("an answer has a status"));
            }
        });
        watcher
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until what is seen is what the database says, and holds this many runs.
    fn agrees(&self, what: &str, cluster: &Cluster, runs: usize) {
        let so = || {
            let truth = truth(cluster);
            truth.len() == runs && self.seen().now == truth
        };
        wait_seeing(what, so, || {
            let (truth, now) = (truth(cluster), self.seen().now.clone());
            let differs = |a: &Runs, b: &Runs| a.iter().filter(|(run, done)| b.get(*run) != Some(done)).count();
            format!(
                "{} in the store, {} seen, {} and {} differ",
                truth.len(),
                now.len(),
                differs(&truth, &now),
                differs(&now, &truth)
            )
        });
        let seen = self.seen();
        assert!(seen.lost.is_empty(), "{what}: {} were lost for a while: {:?}", seen.lost.len(), seen.lost);
        assert!(seen.back.is_empty(), "{what}: {} came back: {:?}", seen.back.len(), seen.back);
    }
}

fn truth(cluster: &Cluster) -> Runs {
    let rows = cluster.sql(TRUTH);
    let row = |row: &str| {
        let (run, done) = row.split_once('|').expect("two columns");
        (run.to_owned(), done.parse().expect("a number"))
    };
    rows.lines().filter(|line| !line.is_empty()).map(row).collect()
}

/// Does all of it, so many at a time.
async fn all<F>(calls: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let (mut tasks, mut done) = (JoinSet::new(), Vec::new());
    for call in calls {
        if tasks.len() >= AT_ONCE {
            done.push(tasks.join_next().await.expect("there are some").expect("it does not panic"));
        }
        tasks.spawn(call);
    }
    done.extend(tasks.join_all().await);
    done
}

async fn start(client: &Client, digest: &str, count: usize) -> Vec<String> {
    let start = |_| {
        let (mut client, what) = (client.clone(), Some(v1::start_run_request::What::Digest(digest.to_owned())));
        async move {
            let answer = client.start_run(v1::StartRunRequest { what, ..Default::default() }).await;
            answer.expect("it starts").into_inner().run_id
        }
    };
    all((0..count).map(start)).await
}

async fn approve(client: &Client, runs: &[String]) {
    let answer = |run: &String| {
        let (mut client, run_id) = (client.clone(), run.clone());
        async move {
            let request = v1::ApproveNodeRequest { run_id, approved: true, ..Default::default() };
            client.approve_node(request).await.expect("it is answered");
        }
    };
    all(runs.iter().map(answer)).await;
}

async fn cancel(client: &Client, runs: &[String]) {
    let stop = |run: &String| {
        let (mut client, run_id) = (client.clone(), run.clone());
        async move {
            client.cancel_run(v1::CancelRunRequest { run_id }).await.expect("it is cancelled");
        }
    };
    all(runs.iter().map(stop)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_run_is_lost_and_none_is_left_over_also_when_an_orchestrator_is_killed() {
    let cluster = Cluster::start("process");
    let watcher = Watcher::start(&cluster).await;
    let (mut one, other) = (client(&cluster, 1).await, client(&cluster, 2).await);
    let text = std::fs::read_to_string(root().join("crates/e2e/cases/approvals.py")).expect("the case is there");
    let files = vec![v1::SourceFile { path: "approvals.py".to_owned(), text }];
    let source = Some(v1::Source { entry: "approvals.py".to_owned(), files });
    let registered = one.register_workflow(v1::RegisterWorkflowRequest { source }).await;
    let digest = registered.expect("it is sound").into_inner().digest;

    // Both take calls, and each writes a part of the runs, whoever took the call.
    let (first, second) = tokio::join!(start(&one, &digest, RUNS / 2), start(&other, &digest, RUNS / 2));
    let runs = [first, second].concat();
    watcher.agrees("all are under way", &cluster, RUNS);
    {
        let status = watcher.seen().newest.clone();
        assert_eq!((status.active_workflows as usize, status.total_users), (RUNS, 1));
        assert_eq!((status.orchestrators_heard, status.orchestrators), (2, 2), "{} runs", status.workflows.len());
        assert!(status.workflows.iter().all(|run| run.total_nodes > 0 && run.progress_percent == 0.0));
    }
    watcher.seen().stay.extend(runs.iter().cloned());

    // A third of them goes on, a third ends by going on twice or by being cancelled.
    let (goes_on, ends) = (&runs[..100], &runs[100..200]);
    approve(&one, goes_on).await;
    watcher.agrees("some have got further", &cluster, RUNS);
    assert!(watcher.seen().now.values().filter(|done| **done == 1).count() == goes_on.len());
    {
        let mut seen = watcher.seen();
        seen.stay.retain(|run| !ends.contains(run));
    }
    approve(&other, &ends[..50]).await;
    approve(&other, &ends[..50]).await;
    cancel(&one, &ends[50..]).await;
    watcher.agrees("those that have ended have left", &cluster, RUNS - ends.len());
    watcher.seen().gone.extend(ends.iter().cloned());

    // Whoever is killed takes nothing with it: its runs are the other's within ten seconds.
    cluster.kill("orchestrator-1");
    let late = start(&other, &digest, 30).await;
    approve(&other, &runs[200..250]).await;
    watcher.agrees("the other has all of it", &cluster, RUNS - ends.len() + late.len());
    wait_for("one orchestrator is left", || {
        let status = watcher.seen().newest.clone();
        (status.orchestrators_heard, status.orchestrators) == (1, 1)
    });
    let rest: Vec<String> = runs[..100].iter().chain(&runs[200..]).chain(&late).cloned().collect();
    {
        let mut seen = watcher.seen();
        seen.stay.clear();
    }
    cancel(&other, &rest).await;
    watcher.agrees("nothing is under way any more", &cluster, 0);
    let seen = watcher.seen();
    assert!(seen.statuses > 10, "it was a stream: {}", seen.statuses);
    println!("{} statuses of up to {} runs", seen.statuses, RUNS);
    drop(seen);

    // The verdict ends the verb: a critical part is down, and the address is the aggregator's own.
    let health = || cluster.overseer(&["health", "-o", "json"]);
    cluster.again();
    wait_seeing("all is well again", || health().status.code() == Some(0), || said(&health()));
    cluster.kill("type-validator");
    wait_seeing("the verdict is unhealthy", || health().status.code() == Some(1), || said(&health()));
}
