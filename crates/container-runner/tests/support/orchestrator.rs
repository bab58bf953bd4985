//! A whole runner before an orchestrator that a test plays: attempts are given over its stream and heard out beside each other.

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::{Arc, Mutex},
};

use clap::Parser;
use futures_util::Stream;
use qflow_container_runner::{Config, serve};
use qflow_model::{
    definition::{Isolation, PythonVersion, Resources, TypeText},
    environment::{EnvLock, EnvSpec},
    ids::{AttemptKey, NodeKey, RunId, StepIx},
    outcome::{Failure, Outcome},
    value::Argument,
};
use qflow_proto::{
    order::Order,
    v1::{self, work_request::Message as Said, work_response::Message as Say},
};
use qflow_service::{ServeOptions, Shutdown};
use qflow_telemetry::Telemetry;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Between two looks at a fact that nobody tells of.
pub(crate) const LOOK: std::time::Duration = std::time::Duration::from_millis(20);

/// One stream of a runner: what it says, and the way to answer.
pub(crate) type Line = (Streaming<v1::WorkRequest>, mpsc::Sender<Result<v1::WorkResponse, Status>>);

/// The hello of an orchestrator that writes every run.
pub(crate) fn hello_of_the_only_one() -> Say {
    Say::Hello(v1::OrchestratorHello { orchestrator_id: "o".into(), shards: all_shards(), ..Default::default() })
}

fn all_shards() -> Vec<u32> {
    (0..u32::from(qflow_model::ids::SHARDS)).collect()
}

/// Hands every stream to the test.
struct Orchestrator(mpsc::Sender<Line>);

#[tonic::async_trait]
impl v1::dispatch_service_server::DispatchService for Orchestrator {
    type WorkStream = Pin<Box<dyn Stream<Item = Result<v1::WorkResponse, Status>> + Send>>;
    async fn work(&self, request: Request<Streaming<v1::WorkRequest>>) -> Result<Response<Self::WorkStream>, Status> {
        let (say, said) = mpsc::channel(64);
        self.0.send((request.into_inner(), say)).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(said))))
    }
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    config: Config,
}

/// Where runners dial: it outlives them.
pub(crate) struct Desk {
    pub(crate) url: String,
    pub(crate) opened: mpsc::Receiver<Line>,
    shutdown: Shutdown,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        Self::open_at("127.0.0.1:0", ServeOptions::default()).await
    }

    /// One at an address, that may ask for a token.
    pub(crate) async fn open_at(address: &str, options: ServeOptions) -> Self {
        let (open, opened) = mpsc::channel(4);
        let listener = qflow_service::bind(address.parse().unwrap()).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = v1::dispatch_service_server::DispatchServiceServer::new(Orchestrator(open));
        let routes = tonic::service::Routes::new(service);
        let shutdown = Shutdown::new();
        let served = qflow_service::serve_grpc(listener, routes, options, Telemetry::silent(), shutdown.child());
        tokio::spawn(served);
        Self { url, opened, shutdown }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// A runner that serves.
pub(crate) struct Serving {
    /// Where its own service listens.
    pub(crate) grpc: String,
    stop: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Serving {
    /// Starts a runner whose data is in a folder, with further words for its command line.
    pub(crate) async fn start(desk: &Desk, runtime: &str, folder: &std::path::Path, more: &[&str]) -> Self {
        let data = folder.display().to_string();
        let words = ["runner", "--runtime", runtime, "--runner-listen", "127.0.0.1:0", "--data-dir", &data];
        let words = words.into_iter().chain(["--orchestrator-urls", &desk.url]).chain(more.iter().copied());
        let config = Arguments::parse_from(words).config;
        let (listening, heard) = oneshot::channel();
        let stop = Shutdown::new();
        let task = tokio::spawn(serve(config, Telemetry::silent(), stop.clone(), listening));
        Self { grpc: format!("http://{}", heard.await.unwrap().grpc), stop, task }
    }

    /// Orders it to stop, and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.trigger();
        self.task.await.unwrap().unwrap();
    }
}

/// What a runner says of one attempt.
pub(crate) struct Attempt {
    pub(crate) key: AttemptKey,
    heard: mpsc::UnboundedReceiver<Said>,
    /// Lines so far, by stream.
    pub(crate) lines: Vec<(String, String)>,
}

impl Attempt {
    async fn next(&mut self) -> Said {
        let next = tokio::time::timeout(std::time::Duration::from_mins(3), self.heard.recv());
        next.await.unwrap_or_else(|_| panic!("{} says nothing any more", self.key)).expect("the runner stays")
    }

    /// Waits until user code runs.
    pub(crate) async fn started(&mut self) {
        while !matches!(self.next().await, Said::Started(_)) {}
    }

    /// Waits until user code has written a line.
    pub(crate) async fn wrote(&mut self, text: &str) {
        while !self.lines.iter().any(|(_, line)| line == text) {
            self.wrote_some().await;
        }
    }

    /// Waits until user code has written further lines.
    pub(crate) async fn wrote_some(&mut self) {
        loop {
            if let Said::Logs(logs) = self.next().await {
                return self.lines.extend(logs.lines.into_iter().map(|line| (line.stream, line.text)));
            }
        }
    }

    /// Waits for the outcome.
    pub(crate) async fn ended(&mut self) -> Outcome {
        loop {
            match self.next().await {
                Said::Logs(logs) => self.lines.extend(logs.lines.into_iter().map(|line| (line.stream, line.text))),
                Said::Ended(ended) => return serde_json::from_slice(&ended.outcome_json).unwrap(),
                _ => {}
            }
        }
    }
}

/// One runner and its stream, whose words go to those who wait for them.
pub(crate) struct Played {
    _desk: Desk,
    grpc: String,
    stop: Shutdown,
    serving: JoinHandle<anyhow::Result<()>>,
    runtime: String,
    say: mpsc::Sender<Result<v1::WorkResponse, Status>>,
    heard: Arc<Mutex<HashMap<String, mpsc::UnboundedSender<Said>>>>,
    pub(crate) pythons: Vec<PythonVersion>,
    locks: HashMap<EnvSpec, EnvLock>,
    pub(crate) run: RunId,
    steps: u32,
    pub(crate) folder: std::path::PathBuf,
}

impl Played {
    /// A runner with four slots over a runtime; `None` where that is Docker, which is not here and not required.
    pub(crate) async fn start(runtime: &str, more: &[&str]) -> Option<Self> {
        if runtime == "docker" {
            super::docker().await?;
        }
        let folder = super::folder();
        let mut desk = Desk::open().await;
        let versions = ["--python-versions", "3.9,3.10,3.11,3.12,3.13", "--slots", "4"];
        let serving = Serving::start(&desk, runtime, &folder, &[&versions, more].concat()).await;
        let (mut said, say) = desk.opened.recv().await.unwrap();
        let Some(Said::Hello(hello)) = said.message().await.unwrap().unwrap().message else { panic!("no hello") };
        say.send(Ok(v1::WorkResponse { message: Some(hello_of_the_only_one()) })).await.unwrap();
        let heard = Arc::new(Mutex::new(HashMap::new()));
        tokio::spawn(pass_on(said, say.clone(), Arc::clone(&heard)));
        Some(Self {
            _desk: desk,
            grpc: serving.grpc,
            stop: serving.stop,
            serving: serving.task,
            runtime: runtime.to_owned(),
            say,
            heard,
            pythons: hello.python_versions.iter().map(|v| v.parse().unwrap()).collect(),
            locks: HashMap::new(),
            run: RunId(uuid::Uuid::now_v7()),
            steps: 0,
            folder,
        })
    }

    pub(crate) async fn say(&self, message: Say) {
        self.say.send(Ok(v1::WorkResponse { message: Some(message) })).await.unwrap();
    }

    fn listen(&self, name: String) -> mpsc::UnboundedReceiver<Said> {
        let (to, from) = mpsc::unbounded_channel();
        self.heard.lock().unwrap().insert(name, to);
        from
    }

    /// Asks for a lock.
    pub(crate) async fn lock(&self, spec: &EnvSpec) -> Result<EnvLock, Failure> {
        let mut heard = self.listen(spec.digest().to_string());
        let spec_json = serde_json::to_vec(spec).unwrap();
        let spec_digest = spec.digest().to_string();
        self.say(Say::Lock(v1::LockOrder { spec_digest, spec_json, run_id: self.run.to_string() })).await;
        let Some(Said::Locked(answer)) = heard.recv().await else { panic!("no answer") };
        serde_json::from_slice(&answer.result_json).unwrap()
    }

    /// An order for a function of a source, in an environment of requirements.
    pub(crate) async fn order(&mut self, source: &str, function: &str, returns: &str, requires: &[&str]) -> Order {
        let spec = EnvSpec {
            python: *self.pythons.last().unwrap(),
            requirements: requires.iter().map(|r| (*r).to_owned()).collect(),
        };
        if !self.locks.contains_key(&spec) {
            let lock = self.lock(&spec).await.unwrap();
            self.locks.insert(spec.clone(), lock);
        }
        self.steps += 1;
        Order {
            key: AttemptKey { run: self.run, node: NodeKey::root(StepIx(self.steps), None), attempt: 1 },
            node_id: function.into(),
            function: function.into(),
            file: "flow.py".into(),
            entry: "flow.py".into(),
            files: Arc::new(BTreeMap::from([("flow.py".to_owned(), source.to_owned())])),
            workflow: "flow".into(),
            tenant: "default".into(),
            user: "me".into(),
            arguments: vec![],
            types: vec![],
            returns: TypeText(returns.into()),
            classes: qflow_model::class::Classes::new(),
            asks: vec![],
            conversions: vec![],
            lock: Arc::new(self.locks[&spec].clone()),
            resources: Resources::default(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            timeout_ms: None,
            isolation: Isolation::Run,
            idempotent: true,
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            sources: Vec::new(),
            idempotency_key: "k".into(),
        }
    }

    /// Gives an order.
    pub(crate) async fn begin(&self, order: &Order) -> Attempt {
        let heard = self.listen(order.key.to_string());
        let order_json = serde_json::to_vec(order).unwrap();
        self.say(Say::Attempt(v1::AttemptOrder { attempt: order.key.to_string(), order_json })).await;
        Attempt { key: order.key, heard, lines: vec![] }
    }

    /// Gives an order and hears it out; its outcome and its lines.
    pub(crate) async fn through(&self, order: &Order) -> (Outcome, Vec<(String, String)>) {
        let mut attempt = self.begin(order).await;
        (attempt.ended().await, attempt.lines)
    }

    /// Runs a function of a source without arguments.
    pub(crate) async fn call(&mut self, source: &str, function: &str, returns: &str) -> Outcome {
        let order = self.order(source, function, returns, &[]).await;
        self.through(&order).await.0
    }

    /// Orders an attempt to end.
    pub(crate) async fn kill(&self, key: AttemptKey, reason: &str) {
        self.say(Say::Kill(v1::KillOrder { attempt: key.to_string(), reason: reason.into() })).await;
    }

    /// Containers as the runner's own service lists them, by status.
    pub(crate) async fn containers(&self) -> Vec<v1::Container> {
        let channel = qflow_service::channel(&self.grpc).unwrap();
        let mut client = v1::container_runner_service_client::ContainerRunnerServiceClient::new(channel);
        client.list_containers(v1::ListContainersRequest {}).await.unwrap().into_inner().containers
    }

    /// Containers that its runtime has, whatever the runner says.
    pub(crate) async fn there(&self) -> Vec<(String, String)> {
        let runner = std::fs::read_to_string(self.folder.join("runner/id")).unwrap();
        let runtime = if self.runtime == "docker" { super::docker().await } else { None };
        let runtime = match runtime {
            Some(docker) => docker,
            None => super::processes(&self.folder).await,
        };
        runtime.list(runner.trim()).await.unwrap()
    }

    /// Ends the run and the runner; nothing of it stays.
    pub(crate) async fn close(mut self) {
        self.say(Say::RunEnded(v1::RunEnded { run_id: self.run.to_string() })).await;
        let gone = async {
            while !self.containers().await.iter().all(|c| c.run_id.is_empty() && c.status == "idle") {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), gone).await.expect("the run's containers leave");
        self.stop.trigger();
        (&mut self.serving).await.unwrap().unwrap();
        assert_eq!(self.there().await, []);
        std::fs::remove_dir_all(self.folder).unwrap();
    }
}

/// An argument as written.
pub(crate) fn given(order: &mut Order, name: &str, value: impl Into<serde_json::Value>) {
    order.arguments.push((name.to_owned(), Argument::Literal(value.into())));
}

/// Passes what a runner says on, and acknowledges every outcome.
async fn pass_on(
    mut said: Streaming<v1::WorkRequest>,
    say: mpsc::Sender<Result<v1::WorkResponse, Status>>,
    heard: Arc<Mutex<HashMap<String, mpsc::UnboundedSender<Said>>>>,
) {
    while let Ok(Some(request)) = said.message().await {
        let Some(message) = request.message else { continue };
        let name = match &message {
            Said::Started(m) => m.attempt.clone(),
            Said::Ended(m) => m.attempt.clone(),
            Said::Logs(m) => m.attempt.clone(),
            Said::Progress(m) => m.attempt.clone(),
            Said::Locked(m) => m.spec_digest.clone(),
            Said::Heartbeat(_) => {
                let beat = Say::Heartbeat(v1::OrchestratorHeartbeat { shards: all_shards(), ..Default::default() });
                say.send(Ok(v1::WorkResponse { message: Some(beat) })).await.ok();
                continue;
            }
            _ => continue,
        };
        if matches!(message, Said::Ended(_)) {
            let ack = v1::EndedAck { attempt: name.clone(), accepted: true };
            // The runner may have ended meanwhile.
            say.send(Ok(v1::WorkResponse { message: Some(Say::Ack(ack)) })).await.ok();
        }
        if let Some(to) = heard.lock().unwrap().get(&name) {
            // Nobody may wait for it any more.
            to.send(message).ok();
        }
    }
}
