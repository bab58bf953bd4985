//! The edge: gets orders from orchestrators over their work streams, gives words back, and describes itself.

mod condition;
mod describe;
mod known;
mod reach;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use qflow_model::{
    environment::EnvSpec,
    ids::{AttemptKey, RunId, Shard},
    limits::{HEARTBEAT_MS, MESSAGE_BYTES},
    progress::KillReason,
};
use qflow_proto::{line::fields_json, order::Order, v1};
use qflow_service::{Readiness, Shutdown};
use qflow_telemetry::Event;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use v1::{work_request::Message as Say, work_response::Message as Heard};

use crate::{
    credits::Credits,
    fence::Beats,
    look::Looks,
    run::{Runner, Word},
    said::Said,
    sample::Samples,
};
pub use describe::{Service, routes};
use reach::Reach;

/// Messages that may wait on a stream.
const QUEUE: usize = 1024;
/// Heartbeats of an orchestrator that may be missed: a deaf stream is a dead one.
const MISSED: u64 = 3;
/// Between two looks at the names of secrets and at containers: who has just put one there, or watches, should not wait for a heartbeat.
const LOOK: Duration = Duration::from_secs(1);
/// The part that a runner requires.
const ORCHESTRATOR: &str = "orchestrator";

/// All streams of a runner.
pub struct Edge {
    pub(crate) runner: Arc<Runner>,
    /// Stable over restarts.
    pub runner_id: String,
    /// New with each start.
    pub session: String,
    /// How many attempts run at once.
    pub slots: u32,
    token: Option<String>,
    samples: Arc<Samples>,
    streams: Mutex<BTreeMap<String, Open>>,
    credits: Mutex<Credits>,
    dialed: Mutex<BTreeMap<String, Reach>>,
    /// Those of which another one told last.
    known: Mutex<BTreeSet<String>>,
    said: Mutex<Said>,
    /// Not ready until an orchestrator has answered.
    pub(crate) readiness: Readiness,
    /// The last look at the runtime.
    pub(crate) looks: Arc<Looks>,
    shutdown: Shutdown,
}

struct Open {
    to: mpsc::Sender<v1::WorkRequest>,
    shards: Vec<u32>,
    /// When the newest heartbeat was sent that its engine is known to have heard.
    heard: Option<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn request(message: Say) -> v1::WorkRequest {
    v1::WorkRequest { message: Some(message) }
}

impl Edge {
    /// An edge that has dialed nobody yet.
    pub fn new(
        runner: Arc<Runner>,
        samples: Arc<Samples>,
        runner_id: String,
        session: String,
        slots: u32,
        token: Option<String>,
        shutdown: Shutdown,
    ) -> Arc<Self> {
        let adopted = runner.held.keys();
        let readiness = Readiness::new();
        readiness.set(ORCHESTRATOR, false);
        Arc::new(Self {
            runner,
            runner_id,
            session,
            slots,
            token,
            credits: Mutex::new(Credits::new(slots, adopted)),
            samples,
            streams: Mutex::default(),
            dialed: Mutex::default(),
            known: Mutex::default(),
            said: Mutex::default(),
            readiness,
            looks: Arc::default(),
            shutdown,
        })
    }

    /// One stream, from its hello to its end.
    async fn work(self: &Arc<Self>, url: &str) -> Result<(), Status> {
        let channel = qflow_service::authed_channel(url, self.token.as_deref())
            .map_err(|e| Status::invalid_argument(e.to_string()))?
            .telling(&self.runner.telemetry);
        let mut client = v1::dispatch_service_client::DispatchServiceClient::new(channel)
            .max_decoding_message_size(2 * MESSAGE_BYTES)
            .max_encoding_message_size(2 * MESSAGE_BYTES);
        let (to, from) = mpsc::channel(QUEUE);
        let hello = self.hello();
        let mut secrets = hello.secrets.clone();
        // A new queue has room for the first two messages.
        to.send(request(Say::Hello(hello))).await.ok();
        let mut heard = client.work(ReceiverStream::new(from)).await?.into_inner();
        let mut beat = tokio::time::interval(Duration::from_millis(HEARTBEAT_MS));
        let mut look = tokio::time::interval(LOOK);
        let deaf = Duration::from_millis(HEARTBEAT_MS * MISSED);
        let mut silent_until = Instant::now() + deaf;
        let (mut beats, mut stood) = (Beats::default(), Vec::new());
        loop {
            tokio::select! {
                message = heard.message() => {
                    silent_until = Instant::now() + deaf;
                    match message?.and_then(|m| m.message) {
                        Some(Heard::Heard(heard)) => {
                            beats.hear(heard.sequence);
                            if let Some(open) = lock(&self.streams).get_mut(url) {
                                open.heard = beats.heard();
                            }
                        }
                        Some(message) => self.hear(url, &to, message).await,
                        None => return Ok(()),
                    }
                }
                _ = beat.tick() => {
                    let beat = v1::RunnerHeartbeat { sequence: beats.next(), ..self.heartbeat() };
                    if to.try_send(request(Say::Heartbeat(beat))).is_err() {
                        return Err(Status::unavailable("the orchestrator does not read"));
                    }
                }
                _ = look.tick() => {
                    let (now, stands) = (Some(self.secrets()), self.stands());
                    let changed = (now != secrets).then(|| now.clone()).flatten();
                    if changed.is_some() || stands != stood {
                        let beat = v1::RunnerHeartbeat { secrets: changed, ..self.heartbeat() };
                        if to.try_send(request(Say::Heartbeat(beat))).is_ok() {
                            (secrets, stood) = (now, stands);
                        }
                    }
                }
                () = tokio::time::sleep_until(silent_until) => return Err(Status::unavailable("the orchestrator is silent")),
            }
        }
    }

    fn attempts(&self) -> Vec<String> {
        let mut keys: BTreeSet<AttemptKey> = self.runner.held.keys().into_iter().collect();
        keys.extend(self.runner.spool.waiting());
        keys.iter().map(ToString::to_string).collect()
    }

    fn hello(&self) -> v1::RunnerHello {
        v1::RunnerHello {
            runner_id: self.runner_id.clone(),
            session: self.session.clone(),
            runtime: self.runner.runtime.name().to_owned(),
            runtime_version: self.runner.runtime.version(),
            python_versions: self.runner.runtime.pythons().iter().map(ToString::to_string).collect(),
            slots: self.slots,
            attempts: self.attempts(),
            secrets: Some(self.secrets()),
            build_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn secrets(&self) -> v1::SecretNames {
        let tenant = |(tenant, names)| v1::TenantSecrets { tenant, names };
        v1::SecretNames { tenants: self.runner.secrets.names().into_iter().map(tenant).collect() }
    }

    async fn hear(self: &Arc<Self>, url: &str, to: &mpsc::Sender<v1::WorkRequest>, message: Heard) {
        match message {
            Heard::Hello(hello) => {
                lock(&self.streams).insert(url.to_owned(), Open { to: to.clone(), shards: Vec::new(), heard: None });
                self.answered(url);
                self.meet(&hello.peers).await;
                lock(&self.credits).open(url);
                self.deal().await;
                self.owns(url, hello.shards).await;
            }
            Heard::Heartbeat(heartbeat) => {
                self.meet(&heartbeat.peers).await;
                self.owns(url, heartbeat.shards).await;
            }
            Heard::CreditsBack(back) => {
                lock(&self.credits).returned(url, back.count);
                self.deal().await;
            }
            Heard::Backlog(_) => {
                lock(&self.credits).wants(url);
                self.deal().await;
            }
            Heard::Attempt(order) => {
                lock(&self.credits).spent(url);
                self.begin(order);
            }
            Heard::Kill(kill) => {
                let reason = serde_json::from_value(serde_json::Value::String(kill.reason));
                if let Ok(key) = kill.attempt.parse() {
                    self.runner.held.kill(key, reason.unwrap_or(KillReason::Cancelled));
                }
            }
            Heard::Begin(begin) => {
                if let Ok(key) = begin.attempt.parse() {
                    self.runner.held.begin(key);
                }
            }
            // Where its heartbeats are numbered.
            Heard::Heard(_) => {}
            Heard::Ack(ack) => {
                if let Ok(key) = ack.attempt.parse() {
                    self.runner.spool.forget(key);
                }
            }
            Heard::Lock(order) => {
                tokio::spawn(Arc::clone(self).lock(order, to.clone()));
            }
            Heard::RunEnded(ended) => {
                if let Ok(run) = ended.run_id.parse() {
                    self.runner.pool.run_ended(run);
                }
            }
        }
    }

    /// Notes whose runs are written where, and tells whoever took some over of the outcomes that nobody has acknowledged, and how the
    /// attempts stand that are under way.
    async fn owns(&self, url: &str, shards: Vec<u32>) {
        let before = lock(&self.streams).get_mut(url).map(|open| std::mem::replace(&mut open.shards, shards.clone()));
        let before = before.unwrap_or_default();
        for key in self.runner.spool.waiting() {
            let shard = u32::from(key.run.shard().0);
            if shards.contains(&shard) && !before.contains(&shard) {
                self.tell_ended(key).await;
            }
        }
        for shard in shards.iter().filter(|shard| !before.contains(shard)) {
            let again = lock(&self.said).of(Shard(u8::try_from(*shard).unwrap_or(u8::MAX)));
            for (key, word) in again {
                self.tell(key, word).await;
            }
        }
    }

    /// Gives what is free to the orchestrators that have work for it.
    async fn deal(&self) {
        let dealt = lock(&self.credits).deal();
        for (url, count) in dealt {
            let to = lock(&self.streams).get(&url).map(|open| open.to.clone());
            if let Some(to) = to {
                // Where its stream has ended meanwhile, closing it gives them back.
                to.send(request(Say::Credits(v1::Credits { count }))).await.ok();
            }
        }
    }

    /// Runs an order; its slot is free when it has ended.
    fn begin(self: &Arc<Self>, order: v1::AttemptOrder) {
        let edge = Arc::clone(self);
        tokio::spawn(async move {
            match serde_json::from_slice::<Order>(&order.order_json) {
                Ok(order) => Arc::clone(&edge.runner).run(order).await,
                Err(error) => {
                    // The lease runs out; a runner of the same version would read it.
                    let note = Event::error("order_unreadable", error.to_string());
                    edge.runner.telemetry.emit(note.with("attempt", order.attempt));
                }
            }
            lock(&edge.credits).ended();
            edge.deal().await;
        });
    }

    async fn lock(self: Arc<Self>, order: v1::LockOrder, to: mpsc::Sender<v1::WorkRequest>) {
        let spec: Result<EnvSpec, _> = serde_json::from_slice(&order.spec_json);
        let result = match &spec {
            Ok(spec) => {
                self.runner.environments.ask(spec.python);
                self.runner.environments.lock(spec).await
            }
            Err(error) => Err(Box::new(qflow_model::outcome::Failure {
                error_type: "protocol".into(),
                message: error.to_string(),
                ..qflow_model::outcome::Failure::default()
            })),
        };
        let result_json = serde_json::to_vec(&result).unwrap_or_default();
        to.send(request(Say::Locked(v1::LockAnswer { spec_digest: order.spec_digest, result_json }))).await.ok();
    }

    /// When the newest word was sent that the run's orchestrator is known to have heard.
    pub(crate) fn heard_of(&self, run: RunId) -> Option<Instant> {
        let shard = u32::from(run.shard().0);
        lock(&self.streams).values().filter(|open| open.shards.contains(&shard)).filter_map(|open| open.heard).max()
    }

    /// The stream of the shard's owner, else any.
    fn stream(&self, run: RunId) -> Option<mpsc::Sender<v1::WorkRequest>> {
        let streams = lock(&self.streams);
        let shard = u32::from(run.shard().0);
        let owner = streams.values().find(|open| open.shards.contains(&shard));
        owner.or_else(|| streams.values().next()).map(|open| open.to.clone())
    }

    async fn send(&self, run: RunId, message: Say) {
        if let Some(to) = self.stream(run) {
            // A stream that ended loses words, never outcomes: those are sent again.
            to.send(request(message)).await.ok();
        }
    }

    async fn tell_ended(&self, key: AttemptKey) {
        if let Some(outcome_json) = self.runner.spool.kept(key) {
            self.send(key.run, Say::Ended(v1::AttemptEnded { attempt: key.to_string(), outcome_json })).await;
        }
    }

    /// Passes words of attempts on, until the runner ends.
    pub async fn speak(self: Arc<Self>, mut words: mpsc::Receiver<(AttemptKey, Word)>) {
        while let Some((key, word)) = words.recv().await {
            lock(&self.said).note(key, &word);
            self.tell(key, word).await;
        }
    }

    async fn tell(&self, key: AttemptKey, word: Word) {
        let attempt = key.to_string();
        let message = match word {
            Word::Started { container_id } => Say::Started(v1::AttemptStarted { attempt, container_id }),
            Word::Doing { doing, fraction } => Say::Progress(v1::AttemptProgress { attempt, doing, fraction }),
            Word::Lines { node_id, lines } => {
                let lines = lines.into_iter().map(|line| v1::RunnerLogLine {
                    sequence: line.sequence,
                    at_us: line.at_us,
                    stream: line.stream,
                    text: line.text,
                    fields_json: fields_json(&line.fields),
                });
                Say::Logs(v1::LogLines { attempt, node_id, lines: lines.collect() })
            }
            Word::Ended => {
                self.tell_ended(key).await;
                if lock(&self.credits).left(key) {
                    self.deal().await;
                }
                return;
            }
        };
        self.send(key.run, message).await;
    }
}
