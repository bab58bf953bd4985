//! A runner that runs nothing: it answers every attempt at once with the number 1. What is measured with it is the orchestrator and its store.
//!
//! It asks for nothing that a result could be asked: workflows for it map over parameters, and branch on none.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use qflow_model::{
    definition::PythonVersion,
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
};
use tokio_stream::wrappers::ReceiverStream;

use crate::clock::now;

/// Messages that may wait on the stream.
const QUEUE: usize = 1024;
/// Bytes of a message: an order may carry a mebibyte of values and a submission's files.
const MESSAGE_BYTES: usize = 8 * 1024 * 1024;
/// Between two words that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// What every attempt gives, encoded.
const VALUE: &[u8] = b"1";

/// How a stub presents itself.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The orchestrator's address for services.
    pub(crate) url: String,
    /// The token that services show.
    pub(crate) token: String,
    /// Its name, one for each stub.
    pub(crate) name: String,
    /// The version of Python that it claims to have.
    pub(crate) python: String,
    /// Attempts that may be outstanding.
    pub(crate) slots: u32,
}

/// A stub at work, until it is dropped.
pub(crate) struct Stub {
    first: watch::Receiver<Option<std::time::Instant>>,
    forget: Arc<watch::Sender<Option<std::time::Instant>>>,
    task: JoinHandle<()>,
}

impl Stub {
    /// Dials, and answers from then on; why its stream ended is told on standard error.
    pub(crate) fn start(options: Options) -> Self {
        let (tell, first) = watch::channel(None);
        let tell = Arc::new(tell);
        let work = work(options, Arc::clone(&tell));
        let task = tokio::spawn(async move {
            if let Err(error) = work.await {
                eprintln!("the stub runner's stream ended: {error:#}");
            }
        });
        Self { first, forget: tell, task }
    }

    /// Forgets when an order last came first.
    pub(crate) fn forget_first(&self) {
        self.forget.send_replace(None);
    }

    /// When the first order came since that was forgotten.
    pub(crate) async fn first(&self) -> anyhow::Result<std::time::Instant> {
        let mut first = self.first.clone();
        let first = first.wait_for(Option::is_some).await.context("the stub runner's stream ended")?;
        first.context("a time was waited for")
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn request(message: Say) -> v1::WorkRequest {
    v1::WorkRequest { message: Some(message) }
}

async fn work(options: Options, first: Arc<watch::Sender<Option<std::time::Instant>>>) -> anyhow::Result<()> {
    let channel = qflow_service::authed_channel(&options.url, Some(&options.token))?;
    let mut client = DispatchServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let (to, from) = mpsc::channel(QUEUE);
    to.send(request(Say::Hello(hello(&options)))).await?;
    if options.slots > 0 {
        to.send(request(Say::Credits(v1::Credits { count: options.slots }))).await?;
    }
    let mut heard = client.work(ReceiverStream::new(from)).await?.into_inner();
    let (outcome_json, mut spare) = (serde_json::to_vec(&outcome())?, 0);
    let mut beat = tokio::time::interval(BEAT);
    loop {
        let message = tokio::select! {
            message = heard.message() => message?.context("the orchestrator ended it")?.message,
            _ = beat.tick() => {
                to.send(request(Say::Heartbeat(v1::RunnerHeartbeat::default()))).await?;
                continue;
            }
        };
        match message {
            Some(Heard::Attempt(v1::AttemptOrder { attempt, .. })) => {
                first.send_if_modified(|at| at.is_none().then(|| *at = Some(now())).is_some());
                let started = v1::AttemptStarted { attempt: attempt.clone(), container_id: options.name.clone() };
                let ended = v1::AttemptEnded { attempt, outcome_json: outcome_json.clone() };
                to.send(request(Say::Started(started))).await?;
                to.send(request(Say::Ended(ended))).await?;
                to.send(request(Say::Credits(v1::Credits { count: 1 }))).await?;
            }
            Some(Heard::Lock(v1::LockOrder { spec_digest, spec_json, .. })) => {
                let spec: EnvSpec = serde_json::from_slice(&spec_json).context("read a lock's order")?;
                let result_json = serde_json::to_vec(&Ok::<_, ()>(lock(&spec)))?;
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

fn hello(options: &Options) -> v1::RunnerHello {
    v1::RunnerHello {
        runner_id: options.name.clone(),
        session: options.name.clone(),
        runtime: "stub".to_owned(),
        runtime_version: String::new(),
        python_versions: vec![options.python.clone()],
        slots: options.slots,
        attempts: Vec::new(),
        secrets: Some(v1::SecretNames::default()),
    }
}

fn outcome() -> Outcome {
    let value = ValueRef {
        digest: Digest::of(VALUE),
        size: VALUE.len() as u64,
        inline: Some(VALUE.to_vec()),
        items: None,
        attachments: Vec::new(),
    };
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

fn lock(spec: &EnvSpec) -> EnvLock {
    let python: PythonVersion = spec.python;
    EnvLock {
        spec: spec.digest(),
        python,
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
