//! Runners' work streams: what a runner says becomes a word for the engine, what is said to it a message.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::Stream;
use qflow_model::{
    ids::{AttemptKey, Timestamp},
    limits::{HEARTBEAT_MS, MESSAGE_BYTES},
};
use qflow_proto::{
    line::fields_of,
    v1::{
        self, dispatch_service_server::DispatchService, work_request::Message as Heard, work_response::Message as Told,
    },
};
use qflow_service::Shutdown;
use qflow_telemetry::{Event, Telemetry};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Server, overview};
use crate::{
    dispatch::{Handle, Hello, Said, Say, SecretNames, Shown, Sight, StreamId, Word},
    logs::Logs,
    record::StoredLine,
};

/// Messages that may wait on a stream to a runner.
const QUEUE: usize = 1024;
/// Heartbeats of a runner that may be missed: a deaf stream is a dead runner.
const MISSED: u64 = 3;

/// Where runners dial.
pub struct Work {
    engine: Handle,
    logs: Logs,
    shutdown: Shutdown,
    telemetry: Telemetry,
    owner: String,
    last: AtomicU64,
}

impl Work {
    /// The runners' edge of an engine.
    pub fn new(server: Server, telemetry: Telemetry, owner: String) -> Self {
        let Server { engine, logs, shutdown, .. } = server;
        Self { engine, logs, shutdown, telemetry, owner, last: AtomicU64::new(0) }
    }
}

#[tonic::async_trait]
impl DispatchService for Work {
    type WorkStream = Pin<Box<dyn Stream<Item = Result<v1::WorkResponse, Status>> + Send>>;

    async fn work(&self, request: Request<Streaming<v1::WorkRequest>>) -> Result<Response<Self::WorkStream>, Status> {
        let mut heard = request.into_inner();
        let Some(Heard::Hello(hello)) = heard.message().await?.and_then(|first| first.message) else {
            return Err(Status::invalid_argument("a work stream begins with a hello"));
        };
        let hello = hello_of(hello)?;
        let stream = StreamId(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        let (say, said) = mpsc::unbounded_channel();
        let (to, messages) = mpsc::channel(QUEUE);
        let Beat { peers, shards } = Beat::of(self.engine.sight());
        let first = v1::OrchestratorHello { orchestrator_id: self.owner.clone(), peers, shards };
        // A new queue has room for the first message.
        to.send(Ok(answer(Told::Hello(first)))).await.ok();
        tokio::spawn(write(said, to, self.engine.clone(), self.shutdown.clone()));
        self.engine.say(Word::Runner(stream, Said::Hello(Box::new(hello), say))).await;
        let reader =
            Reader { stream, engine: self.engine.clone(), logs: self.logs.clone(), telemetry: self.telemetry.clone() };
        tokio::spawn(reader.read(heard));
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }
}

/// What an orchestrator says of itself with every beat, and at once when it changes.
#[derive(Clone, PartialEq)]
struct Beat {
    peers: Vec<String>,
    shards: Vec<u32>,
}

impl Beat {
    fn of(sight: Sight) -> Self {
        Self { peers: sight.peers, shards: sight.shards.iter().map(|shard| shard.0.into()).collect() }
    }

    fn told(self) -> Told {
        Told::Heartbeat(v1::OrchestratorHeartbeat { peers: self.peers, shards: self.shards })
    }
}

const fn answer(message: Told) -> v1::WorkResponse {
    v1::WorkResponse { message: Some(message) }
}

/// Writes what the engine says, and heartbeats between, until either end is gone.
async fn write(
    mut said: mpsc::UnboundedReceiver<Say>,
    to: mpsc::Sender<Result<v1::WorkResponse, Status>>,
    mut engine: Handle,
    shutdown: Shutdown,
) {
    let mut tick = tokio::time::interval(Duration::from_millis(HEARTBEAT_MS));
    let mut beat = Beat::of(engine.sight());
    loop {
        let message = tokio::select! {
            say = said.recv() => match say {
                Some(say) => message(say),
                None => return,
            },
            sight = engine.changed() => match sight.map(Beat::of) {
                Some(now) if now == beat => continue,
                Some(now) => {
                    beat = now.clone();
                    Ok(now.told())
                }
                None => return,
            },
            _ = tick.tick() => Ok(beat.clone().told()),
            () = to.closed() => return,
            () = shutdown.wait() => return,
        };
        if to.send(message.map(answer)).await.is_err() {
            return;
        }
    }
}

fn message(say: Say) -> Result<Told, Status> {
    let unwritable = |e: serde_json::Error| Status::internal(format!("write an order: {e}"));
    Ok(match say {
        Say::Attempt(order) => {
            let order_json = serde_json::to_vec(&order).map_err(unwritable)?;
            Told::Attempt(v1::AttemptOrder { attempt: order.key.to_string(), order_json })
        }
        Say::Kill(key, reason) => {
            let reason = serde_json::to_value(reason).map_err(unwritable)?;
            let reason = reason.as_str().unwrap_or_default().to_owned();
            Told::Kill(v1::KillOrder { attempt: key.to_string(), reason })
        }
        Say::Ack(key, accepted) => Told::Ack(v1::EndedAck { attempt: key.to_string(), accepted }),
        Say::Lock(spec, run) => Told::Lock(v1::LockOrder {
            spec_digest: spec.digest().to_string(),
            spec_json: serde_json::to_vec(&spec).map_err(unwritable)?,
            run_id: run.map(|run| run.to_string()).unwrap_or_default(),
        }),
        Say::CreditsBack(count) => Told::CreditsBack(v1::CreditsBack { count }),
        Say::Begin(key) => Told::Begin(v1::BeginOrder { attempt: key.to_string() }),
        Say::Heard(sequence) => Told::Heard(v1::HeartbeatHeard { sequence }),
        Say::Backlog => Told::Backlog(v1::Backlog {}),
        Say::RunEnded(run) => Told::RunEnded(v1::RunEnded { run_id: run.to_string() }),
    })
}

fn hello_of(hello: v1::RunnerHello) -> Result<Hello, Status> {
    Ok(Hello {
        pythons: hello.python_versions.iter().filter_map(|version| version.parse().ok()).collect(),
        attempts: hello.attempts.iter().map(|key| attempt(key)).collect::<Result<_, _>>()?,
        runner_id: hello.runner_id,
        runtime: hello.runtime,
        runtime_version: hello.runtime_version,
        slots: hello.slots,
        secrets: hello.secrets.map(secrets).unwrap_or_default(),
        build_version: hello.build_version,
    })
}

fn secrets(sent: v1::SecretNames) -> SecretNames {
    sent.tenants.into_iter().map(|of| (of.tenant, of.names.into_iter().collect())).collect()
}

fn attempt(text: &str) -> Result<AttemptKey, Status> {
    text.parse().map_err(|e| Status::invalid_argument(format!("`{text}`: {e}")))
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Status> {
    serde_json::from_slice(bytes).map_err(|e| Status::invalid_argument(format!("does not read: {e}")))
}

fn shown(sent: v1::Container) -> Shown {
    Shown {
        id: sent.container_id,
        status: sent.status,
        python: sent.python_version,
        run: sent.run_id,
        attempt: sent.attempt,
        cpu_percent: sent.cpu_percent,
        memory_bytes: sent.memory_bytes,
        started_at: Timestamp(sent.started_at_us),
    }
}

/// One stream's reading half.
struct Reader {
    stream: StreamId,
    engine: Handle,
    logs: Logs,
    telemetry: Telemetry,
}

impl Reader {
    async fn read(self, mut heard: Streaming<v1::WorkRequest>) {
        let deaf = Duration::from_millis(HEARTBEAT_MS * MISSED);
        while let Ok(Ok(Some(request))) = tokio::time::timeout(deaf, heard.message()).await {
            if let Some(message) = request.message
                && let Err(status) = self.hear(message).await
            {
                // One message that does not read is dropped; what it was about is mended by the lease.
                let note = Event::error("runner_message_unreadable", status.message().to_owned());
                self.telemetry.emit(note);
            }
        }
        self.say(Said::Gone).await;
    }

    async fn say(&self, said: Said) {
        self.engine.say(Word::Runner(self.stream, said)).await;
    }

    async fn hear(&self, message: Heard) -> Result<(), Status> {
        match message {
            Heard::Hello(_) => return Err(Status::invalid_argument("a second hello")),
            Heard::Credits(credits) => self.say(Said::Credits(credits.count)).await,
            Heard::Heartbeat(beat) => {
                let attempts = beat.attempts.iter().map(|key| attempt(key)).collect::<Result<_, _>>()?;
                let warm = beat.warm_environments.iter().filter_map(|digest| digest.parse().ok()).collect();
                let (secrets, sequence, blobs_away) = (beat.secrets.map(secrets), beat.sequence, beat.blobs_away);
                let condition = Box::new(overview::condition(beat.condition.unwrap_or_default()));
                let (containers, shown) = (beat.containers, beat.shown.into_iter().map(shown).collect());
                let beat =
                    Said::Heartbeat { attempts, containers, shown, warm, secrets, sequence, blobs_away, condition };
                self.say(beat).await;
            }
            Heard::Started(started) => self.say(Said::Started(attempt(&started.attempt)?, started.container_id)).await,
            Heard::Ended(ended) => {
                let outcome = json(&ended.outcome_json)?;
                self.say(Said::Ended(attempt(&ended.attempt)?, Box::new(outcome))).await;
            }
            Heard::Logs(lines) => {
                let key = attempt(&lines.attempt)?;
                let line = |line: v1::RunnerLogLine| StoredLine {
                    node_id: lines.node_id.clone(),
                    attempt: key.attempt,
                    sequence: line.sequence,
                    at: Timestamp(line.at_us),
                    stream: line.stream,
                    text: line.text,
                    fields: fields_of(&line.fields_json),
                };
                self.logs.lines(key.run, lines.lines.into_iter().map(line).collect()).await;
            }
            Heard::Progress(progress) => {
                self.say(Said::Doing(attempt(&progress.attempt)?, progress.doing, progress.fraction)).await;
            }
            Heard::Locked(locked) => {
                let spec = locked.spec_digest.parse().map_err(|_| Status::invalid_argument("not a digest"))?;
                self.say(Said::Locked(spec, json(&locked.result_json)?)).await;
            }
        }
        Ok(())
    }
}

/// The service with its limits.
pub(super) fn server(work: Work) -> v1::dispatch_service_server::DispatchServiceServer<Work> {
    // An order holds a submission's files and up to a mebibyte of values, both written as JSON.
    v1::dispatch_service_server::DispatchServiceServer::from_arc(Arc::new(work))
        .max_decoding_message_size(2 * MESSAGE_BYTES)
        .max_encoding_message_size(2 * MESSAGE_BYTES)
}
