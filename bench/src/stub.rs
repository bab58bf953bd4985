//! Runners that run nothing: every attempt is answered at once with the number 1, so what is measured is orchestrators and their store.
//! They keep a runner's promises: an outcome is told again until it is acknowledged, a lost stream dialed again.
//!
//! They ask for nothing that a result could be asked: workflows for them map over parameters, and branch on none.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use qflow_model::{
    environment::{EnvLock, EnvSpec},
    ids::Digest,
    outcome::{Ending, Outcome, Phases},
    value::{Produced, ValueRef},
};
use qflow_proto::v1::{
    self, dispatch_service_client::DispatchServiceClient, work_request::Message as Say, work_response::Message as Heard,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;

/// Messages that may wait on a stream.
const QUEUE: usize = 1024;
/// Bytes of a message: an order may carry a submission's files.
const MESSAGE_BYTES: usize = 8 * 1024 * 1024;
/// Between two words that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// Before it dials again.
const PAUSE: Duration = Duration::from_millis(500);
/// What every attempt gives, encoded.
const VALUE: &[u8] = b"1";

/// How a stub presents itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// The orchestrators' addresses for services, and the token for each.
    pub orchestrators: Vec<(String, String)>,
    /// Its name, one for each stub.
    pub name: String,
    /// The version of Python that it claims to have.
    pub python: String,
    /// Attempts that may be outstanding at each orchestrator.
    pub slots: u32,
}

/// A stub at work, until it is dropped.
#[derive(Debug)]
pub struct Stub {
    tasks: Vec<JoinHandle<()>>,
    first: First,
}

/// When the first order came since that was forgotten.
type First = watch::Sender<Option<Instant>>;

/// Outcomes that nobody has acknowledged, by attempt: whoever writes the run does. With each, whether it waited at the last beat.
type Kept = Arc<Mutex<BTreeMap<String, bool>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stub {
    /// Dials, again and again, and answers from then on.
    pub fn start(options: &Options) -> Self {
        let (kept, first) = (Kept::default(), First::default());
        let one = |orchestrator: &(String, String)| {
            let (orchestrator, options) = (orchestrator.clone(), options.clone());
            let (kept, first) = (Arc::clone(&kept), first.clone());
            tokio::spawn(async move {
                loop {
                    if let Err(error) = work(&options, &orchestrator, &kept, &first).await {
                        eprintln!("{}: the stream to {} ended: {error:#}", options.name, orchestrator.0);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            })
        };
        let tasks = options.orchestrators.iter().map(one).collect();
        Self { tasks, first }
    }

    /// Forgets when an order last came first.
    pub fn forget_first(&self) {
        self.first.send_replace(None);
    }

    /// When the first order came since that was forgotten; waits for it.
    pub async fn first(&self) -> anyhow::Result<std::time::Instant> {
        let mut first = self.first.subscribe();
        let came = *first.wait_for(Option::is_some).await.context("the stub is gone")?;
        Ok(came.context("a time was waited for")?.into_std())
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What waits since the beat before.
fn waiting(kept: &Kept) -> Vec<String> {
    let since = |(attempt, waits): (&String, &mut bool)| std::mem::replace(waits, true).then(|| attempt.clone());
    lock(kept).iter_mut().filter_map(since).collect()
}

fn request(message: Say) -> v1::WorkRequest {
    v1::WorkRequest { message: Some(message) }
}

async fn work(options: &Options, (url, token): &(String, String), kept: &Kept, first: &First) -> anyhow::Result<()> {
    let held = || lock(kept).keys().cloned().collect::<Vec<_>>();
    let channel = qflow_service::authed_channel(url, Some(token))?;
    let mut client = DispatchServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let (to, from) = mpsc::channel(QUEUE);
    let outcome_json = serde_json::to_vec(&outcome())?;
    let ended = |attempt: &str| {
        request(Say::Ended(v1::AttemptEnded { attempt: attempt.to_owned(), outcome_json: outcome_json.clone() }))
    };
    to.send(request(Say::Hello(hello(options, held())))).await?;
    if options.slots > 0 {
        to.send(request(Say::Credits(v1::Credits { count: options.slots }))).await?;
    }
    let mut heard = client.work(ReceiverStream::new(from)).await?.into_inner();
    let (mut beat, mut spare) = (tokio::time::interval(BEAT), 0);
    loop {
        let message = tokio::select! {
            message = heard.message() => message?.context("the orchestrator ended it")?.message,
            _ = beat.tick() => {
                let again: Vec<_> = waiting(kept).iter().map(|attempt| ended(attempt)).collect();
                let attempts = held();
                to.send(request(Say::Heartbeat(v1::RunnerHeartbeat { attempts, ..Default::default() }))).await?;
                // What another may have taken over since is told again: whoever writes the run acknowledges it.
                for ended in again {
                    to.send(ended).await?;
                }
                continue;
            }
        };
        match message {
            Some(Heard::Attempt(v1::AttemptOrder { attempt, .. })) => {
                first.send_if_modified(|at| at.is_none().then(|| *at = Some(Instant::now())).is_some());
                let started = v1::AttemptStarted { attempt: attempt.clone(), container_id: options.name.clone() };
                to.send(request(Say::Started(started))).await?;
                lock(kept).insert(attempt.clone(), false);
                to.send(ended(&attempt)).await?;
                to.send(request(Say::Credits(v1::Credits { count: 1 }))).await?;
            }
            Some(Heard::Ack(ack)) => drop(lock(kept).remove(&ack.attempt)),
            Some(Heard::Kill(kill)) => drop(lock(kept).remove(&kill.attempt)),
            Some(Heard::Lock(v1::LockOrder { spec_digest, spec_json, .. })) => {
                let spec: EnvSpec = serde_json::from_slice(&spec_json).context("read a lock's order")?;
                let result_json = serde_json::to_vec(&Ok::<_, ()>(locked(&spec)))?;
                to.send(request(Say::Locked(v1::LockAnswer { spec_digest, result_json }))).await?;
            }
            Some(Heard::CreditsBack(back)) => spare += back.count,
            Some(Heard::Backlog(_)) if spare > 0 => {
                to.send(request(Say::Credits(v1::Credits { count: std::mem::take(&mut spare) }))).await?;
            }
            _ => {}
        }
    }
}

fn hello(options: &Options, attempts: Vec<String>) -> v1::RunnerHello {
    v1::RunnerHello {
        runner_id: options.name.clone(),
        session: options.name.clone(),
        runtime: "stub".to_owned(),
        runtime_version: String::new(),
        python_versions: vec![options.python.clone()],
        slots: options.slots,
        attempts,
        secrets: Some(v1::SecretNames::default()),
        build_version: env!("CARGO_PKG_VERSION").into(),
    }
}

fn outcome() -> Outcome {
    let inline = Some(VALUE.to_vec());
    let value =
        ValueRef { digest: Digest::of(VALUE), size: VALUE.len() as u64, inline, items: None, attachments: Vec::new() };
    Outcome {
        ending: Ending::Completed(Box::new(Produced { value, answers: Vec::new() })),
        phases: Phases::default(),
        container_id: "stub".to_owned(),
        peak_memory_bytes: 0,
        cpu_seconds: 0.0,
        log_lines: 0,
        log_lines_dropped: 0,
        log: None,
        warnings: Vec::new(),
    }
}

fn locked(spec: &EnvSpec) -> EnvLock {
    EnvLock {
        spec: spec.digest(),
        python: spec.python,
        lock: String::new(),
        image: "stub".to_owned(),
        harness: Digest::of(b"stub"),
        uv: String::new(),
        platform: "stub".to_owned(),
        packages: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_an_outcome_that_completes() {
        let read: Outcome = serde_json::from_slice(&serde_json::to_vec(&outcome()).unwrap()).unwrap();
        assert!(matches!(read.ending, Ending::Completed(produced) if produced.value.inline.as_deref() == Some(VALUE)));
    }
}
