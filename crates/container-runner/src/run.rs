//! One attempt, from its order to its outcome: environment, container, import, arguments, user code, result.

mod conclude;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use qflow_model::{
    ids::Timestamp,
    limits::KILL_GRACE_MS,
    outcome::{Ending, Phases},
    progress::KillReason,
    status::FailureClass,
    value::Produced,
};
use qflow_proto::order::Order;
use qflow_service::Clock;
use qflow_telemetry::{Event, SpanRecord, Telemetry, TraceContext, traces};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    blobs::Blobs,
    ending::{dead, failed, import, killed, lost, node_ref},
    environment::Environments,
    harness::{AttemptSay, EndedSaid, Heard, Line, Said, Say, SpanSaid, Told},
    held::Held,
    lifecycle,
    pool::{Container, Pool, ended},
    resolve, result,
    runtime::{Exit, Runtime},
    secrets::Secrets,
    spool::Spool,
};

/// How long an import may take, and a harness to begin: past it the container is at fault.
const IMPORT: Duration = Duration::from_mins(10);
/// How long a harness may take to fork.
const BEGIN: Duration = Duration::from_mins(1);
/// How long messages of a dead container may still come.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// How long after SIGKILL the harness may take to say so.
const AFTER_KILL: Duration = Duration::from_secs(3);
/// Lines that a death certificate keeps.
const LAST_LINES: usize = 20;

/// What a runner tells the orchestrators.
#[derive(Clone, Debug)]
pub enum Word {
    /// User code begins.
    Started {
        /// Where.
        container_id: String,
    },
    /// Lines of user code.
    Lines {
        /// The node run's id.
        node_id: String,
        /// In order.
        lines: Vec<Line>,
    },
    /// What the attempt is at.
    Doing {
        /// In words; empty where only the fraction changed.
        doing: String,
        /// 0 to 1, negative where unknown.
        fraction: f64,
    },
    /// The outcome is kept and may be sent.
    Ended,
}

/// Everything an attempt needs.
pub struct Runner {
    /// Starts containers.
    pub runtime: Arc<dyn Runtime>,
    /// Holds containers.
    pub pool: Pool,
    /// Makes environments.
    pub environments: Environments,
    /// Holds values.
    pub blobs: Blobs,
    /// Keeps what must survive.
    pub spool: Spool,
    /// Reads secrets.
    pub secrets: Secrets,
    /// Attempts at work, and how to end them.
    pub held: Held,
    /// Where words go.
    pub words: mpsc::Sender<(qflow_model::ids::AttemptKey, Word)>,
    /// Where events go.
    pub telemetry: Telemetry,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// How far an attempt has come in its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Loading,
    Beginning,
    Running,
}

/// What is gathered on the way.
struct Progress<'a> {
    order: &'a Order,
    stage: Stage,
    phases: Phases,
    secrets: BTreeMap<String, String>,
    last: Vec<String>,
    seen: u64,
    value: Option<Result<Produced, Ending>>,
    warnings: Vec<String>,
    why: Option<KillReason>,
    began: Option<Instant>,
    loaded: String,
}

/// An attempt that is over: its ending, what the harness said, and whether the container may go on.
struct Over {
    ending: Ending,
    said: EndedSaid,
    healthy: bool,
}

impl Runner {
    /// Runs an order to its kept outcome; an order that is held already is the same one, told again.
    pub async fn run(self: Arc<Self>, order: Order) {
        let Some(kill) = self.held.enter(order.key) else { return };
        let mut progress = Progress::new(&order);
        let (over, container) = match self.prepare(&mut progress, &kill).await {
            Ok(mut container) => (self.drive(&mut container, &mut progress, kill).await, Some(container)),
            Err(ending) => (Over { ending, said: EndedSaid::default(), healthy: false }, None),
        };
        self.finish(progress, over, container).await;
    }

    /// Goes on with an attempt that an earlier runner began.
    pub async fn resume(
        self: Arc<Self>,
        mut container: Container,
        order: Order,
        kill: watch::Receiver<Option<KillReason>>,
    ) {
        let mut progress = Progress::new(&order);
        progress.secrets = self.secrets.read(&order).unwrap_or_default();
        // Its files are not kept: the import that it had is not known, and the next order is asked to load anew.
        container.state.loaded = None;
        progress.stage = Stage::Running;
        progress.began = Some(Instant::now());
        let over = self.drive(&mut container, &mut progress, kill).await;
        self.finish(progress, over, Some(container)).await;
    }

    /// Tells that an attempt's container did not outlive the runner before.
    pub async fn vanished(&self, order: &Order) {
        let ending = lost("container_vanished", "the container ended while its runner was away");
        self.finish(Progress::new(order), broken(ending), None).await;
    }

    async fn say(&self, order: &Order, word: Word) {
        // The receiver leaves only when the process does.
        self.words.send((order.key, word)).await.ok();
    }

    /// The environment, the container, and the word to import.
    async fn prepare(
        &self,
        progress: &mut Progress<'_>,
        kill: &watch::Receiver<Option<KillReason>>,
    ) -> Result<Container, Ending> {
        let order = progress.order;
        progress.secrets = self.secrets.read(order).map_err(|e| failed(FailureClass::User, "secret", e))?;
        let began = Instant::now();
        let told = |doing: String| self.say(order, Word::Doing { doing, fraction: -1.0 });
        if !self.environments.is_ready(&order.lock) {
            told(format!("environment: installing {} packages", order.lock.packages)).await;
        }
        let site = self.environments.ready(&order.lock).await.map_err(Ending::Failed)?;
        progress.phases.environment_ms = ms(began);
        if let Some(reason) = *kill.borrow() {
            return Err(killed(reason));
        }
        let (began, asked) = (Instant::now(), self.clock.now());
        let container = self
            .pool
            .take(order, &order.lock, &progress.loaded)
            .await
            .map_err(|error| Ending::Lost { reason: error.code().to_owned(), message: error.to_string() })?;
        progress.phases.container_ms = ms(began);
        if container.state.attempts <= 1 && container.state.loaded.is_none() {
            self.container_span(order, &container, asked);
        }
        if container.state.loaded.as_ref() == Some(&progress.loaded) {
            match self.begin(&container, progress).await {
                Ok(()) => {}
                Err(ending) => {
                    self.pool.give_back(container, true, "retired").await;
                    return Err(ending);
                }
            }
        } else {
            let load = Say::Load {
                files: (*order.files).clone(),
                file: order.file.clone(),
                site,
                env: order.env.clone(),
                workdir: self.runtime.workdir(&container.state.spec),
            };
            container.link.say(load, Vec::new()).await;
        }
        Ok(container)
    }

    /// Puts the arguments together and hands them in.
    async fn begin(&self, container: &Container, progress: &mut Progress<'_>) -> Result<(), Ending> {
        let order = progress.order;
        let resolved = resolve::arguments(&self.blobs, order.key.run, &order.arguments).await.map_err(|e| match e {
            resolve::Error::Path { .. } => failed(FailureClass::User, "argument", e.to_string()),
            resolve::Error::Blob(_) => Ending::Lost { reason: "blob_unreadable".into(), message: e.to_string() },
            resolve::Error::Stored(_) => failed(FailureClass::Platform, "argument", e.to_string()),
        })?;
        let trace_id = order.traceparent.split('-').nth(1).unwrap_or_default();
        let say = AttemptSay {
            attempt: order.key.to_string(),
            function: order.function.clone(),
            file: order.file.clone(),
            returns: order.returns.0.clone(),
            types: order.types.iter().map(|(name, ty)| (name.clone(), ty.0.clone())).collect(),
            asks: order.asks.clone(),
            current: serde_json::json!({
                "run_id": order.key.run.to_string(),
                "workflow": order.workflow,
                "node_id": order.node_id,
                "index": order.key.node.index,
                "attempt": order.key.attempt,
                "key": order.idempotency_key,
                "trace_id": trace_id,
            }),
            traceparent: order.traceparent.clone(),
            deadline_ms: order.timeout_ms,
            secrets: progress.secrets.clone(),
            env: order.env.clone(),
            pids: (!self.runtime.isolated()).then_some(order.resources.pids),
            size: resolved.object.len() as u64,
            attachments: resolved.heads,
        };
        let parts = std::iter::once(resolved.object).chain(resolved.attachments).collect();
        progress.stage = Stage::Beginning;
        container.link.say(Say::Attempt(Box::new(say)), parts).await;
        Ok(())
    }

    /// Hears the container out until the attempt is over.
    async fn drive(
        &self,
        container: &mut Container,
        progress: &mut Progress<'_>,
        mut kill: watch::Receiver<Option<KillReason>>,
    ) -> Over {
        let (mut exit, mut gone) = (container.exit.clone(), None::<Exit>);
        let mut stage = (progress.stage, Instant::now());
        let mut end_by: Option<Instant> = None;
        loop {
            if stage.0 != progress.stage {
                stage = (progress.stage, Instant::now());
            }
            let limit = match progress.stage {
                Stage::Loading => Some(stage.1 + IMPORT),
                Stage::Beginning => Some(stage.1 + BEGIN),
                Stage::Running => {
                    // The harness keeps the time itself; this is for one that does not.
                    let late = Duration::from_millis(KILL_GRACE_MS) + AFTER_KILL;
                    progress
                        .order
                        .timeout_ms
                        .zip(progress.began)
                        .map(|(ms, began)| began + Duration::from_millis(ms) + late)
                }
            };
            let limit = if progress.why.is_some() { None } else { limit };
            tokio::select! {
                biased;
                told = container.link.next() => match told {
                    Some(Told::Heard(heard)) => {
                        if let Some(over) = self.hear(container, progress, *heard).await {
                            return over;
                        }
                    }
                    Some(Told::Fault(message)) => return broken(failed(FailureClass::User, "protocol", message)),
                    None => return broken(lost("link_lost", "the link to the container ended")),
                },
                ended = ended(&mut exit), if gone.is_none() => {
                    gone = Some(ended);
                    end_by = Some(Instant::now() + LAST_WORDS);
                }
                Ok(()) = kill.changed(), if progress.why.is_none() => {
                    progress.why = *kill.borrow_and_update();
                    end_by = Some(self.end(container, progress).await);
                }
                () = at(limit), if limit.is_some() => {
                    if progress.stage != Stage::Running {
                        return broken(lost("harness_stuck", "the harness did not answer in time"));
                    }
                    progress.why = Some(KillReason::TimedOut);
                    end_by = Some(self.end(container, progress).await);
                }
                () = at(end_by), if end_by.is_some() => return broken(dead(progress.why, progress.order.timeout_ms, gone)),
            }
        }
    }

    /// Orders the harness to end the attempt; gives the time by which it must be over.
    async fn end(&self, container: &Container, progress: &Progress<'_>) -> Instant {
        let kill = Say::Kill { attempt: progress.order.key.to_string(), grace_ms: KILL_GRACE_MS };
        container.link.say(kill, Vec::new()).await;
        Instant::now() + Duration::from_millis(KILL_GRACE_MS) + AFTER_KILL
    }

    /// Takes one message; gives the end where it was the last.
    async fn hear(&self, container: &mut Container, progress: &mut Progress<'_>, heard: Heard) -> Option<Over> {
        progress.seen = progress.seen.max(heard.seq);
        let key = progress.order.key.to_string();
        match heard.said {
            Said::Loaded { ms, threads, .. } => {
                progress.phases.import_ms = ms;
                if threads {
                    progress.warnings.push("the file starts threads when imported, so attempts start fresh".into());
                }
                container.state.loaded = Some(progress.loaded.clone());
                container.link.ack(heard.seq).await;
                self.begin(container, progress).await.err().map(|ending| Over {
                    ending,
                    said: EndedSaid::default(),
                    healthy: true,
                })
            }
            Said::LoadFailed { error, .. } => {
                let ending = Ending::Failed(Box::new(import(error)));
                Some(Over { ending, said: EndedSaid::default(), healthy: false })
            }
            // What it had to say of the attempt it said again before this: the order never came to it.
            Said::Resumed { attempt } if progress.stage == Stage::Running && attempt.as_ref() != Some(&key) => {
                let ending = lost("runner_lost", "the runner ended before the attempt was in its container");
                Some(Over { ending, said: EndedSaid::default(), healthy: true })
            }
            Said::Started { attempt } if attempt == key => {
                progress.stage = Stage::Running;
                progress.began = Some(Instant::now());
                self.say(progress.order, Word::Started { container_id: container.state.id.clone() }).await;
                None
            }
            Said::Logs { attempt, lines } if attempt == key => {
                self.lines(progress, lines).await;
                acknowledge(container, progress).await;
                None
            }
            Said::Progress { attempt, fraction } if attempt == key => {
                self.say(progress.order, Word::Doing { doing: String::new(), fraction }).await;
                acknowledge(container, progress).await;
                None
            }
            Said::Span(span) if span.attempt == key => {
                self.span(progress, span);
                acknowledge(container, progress).await;
                None
            }
            Said::Result { attempt, items, attachments, .. } if attempt == key => {
                let began = Instant::now();
                let (order, raw) = (progress.order, result::Raw { parts: heard.parts, items, attachments });
                progress.value = Some(result::take(&self.blobs, order.key.run, raw, &order.returns, &order.asks).await);
                progress.phases.upload_ms = ms(began);
                None
            }
            Said::Ended(said) if said.attempt == key => Some(Self::ended(progress, said)),
            // A hello again, or of an attempt before this one: a message that was sent again.
            _ => None,
        }
    }

    async fn lines(&self, progress: &mut Progress<'_>, mut lines: Vec<Line>) {
        let order = progress.order;
        for line in &mut lines {
            line.text = progress.redact(&line.text);
            progress.last.push(line.text.clone());
            self.telemetry.emit(Event::UserLine {
                node: node_ref(order),
                sequence: line.sequence,
                stream: line.stream.clone(),
                text: line.text.clone(),
            });
        }
        let surplus = progress.last.len().saturating_sub(LAST_LINES);
        progress.last.drain(..surplus);
        if let Err(error) = self.spool.add_lines(order.key, &lines) {
            progress.warnings.push(format!("lines were not kept: {error}"));
        }
        self.say(order, Word::Lines { node_id: order.node_id.clone(), lines }).await;
    }

    /// A container that was got for this attempt, as a span of the attempt.
    fn container_span(&self, order: &Order, container: &Container, asked: Timestamp) {
        let Some(attempt) = TraceContext::parse(&order.traceparent) else { return };
        let (start, end) = (traces::system_time(asked), traces::system_time(self.clock.now()));
        let limits = &order.resources;
        let span = SpanRecord::new("container_management", &attempt.child(), start, end)
            .child_of(attempt.span_id)
            .with("container_id", container.state.id.clone())
            .with("container.id", container.state.id.clone())
            .with("python_version", order.lock.python.to_string())
            .with(
                "resource_limits",
                format!("memory={} cpus={}m pids={}", limits.memory_bytes, limits.cpu_millis, limits.pids),
            )
            .event("container_created", start)
            .event("container_started", end);
        self.telemetry.record_span(span);
    }

    /// A span of user code joins the run's trace.
    fn span(&self, progress: &Progress<'_>, span: SpanSaid) {
        let Some(context) = TraceContext::parse(&progress.order.traceparent) else { return };
        let mut record = SpanRecord::new(span.name, &context, time(span.start_us), time(span.end_us));
        record.span_id = span.span_id;
        record.parent_span_id = Some(span.parent_id.unwrap_or(context.span_id));
        record.attributes = span.attributes.into_iter().collect();
        record.error = span.error.map(|error| progress.redact(&error));
        self.telemetry.record_span(record);
    }
}

impl<'a> Progress<'a> {
    fn new(order: &'a Order) -> Self {
        Self {
            order,
            stage: Stage::Loading,
            phases: Phases::default(),
            secrets: BTreeMap::new(),
            last: Vec::new(),
            seen: 0,
            value: None,
            warnings: Vec::new(),
            why: None,
            began: None,
            loaded: lifecycle::template(order),
        }
    }

    fn redact(&self, text: &str) -> String {
        crate::secrets::redact(text, self.secrets.values())
    }
}

/// Tells the harness that what it said is safe. Nothing is while a result waits for its `ended`: after a restart both are needed.
async fn acknowledge(container: &Container, progress: &Progress<'_>) {
    if progress.value.is_none() {
        container.link.ack(progress.seen).await;
    }
}

fn broken(ending: Ending) -> Over {
    Over { ending, said: EndedSaid::default(), healthy: false }
}

fn time(us: i64) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
