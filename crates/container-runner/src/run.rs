//! One attempt, from its order to its outcome: environment, container, import, arguments, user code, result.

mod carry;
mod conclude;
mod deliver;
mod hear;
mod insist;
mod prepare;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use qflow_blobs::{Answers, Blobs};
use qflow_model::{
    limits::KILL_GRACE_MS,
    outcome::{Ending, Phases},
    progress::KillReason,
    status::FailureClass,
    value::Produced,
};
use qflow_proto::order::Order;
use qflow_service::Clock;
use qflow_telemetry::Telemetry;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    content::Contents,
    declared::Declared,
    ending::{dead, failed, lost},
    environment::Environments,
    harness::{EndedSaid, Line, Say, Told},
    held::Held,
    lifecycle,
    pool::{Container, Pool, ended},
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
/// How long between SIGTERM and SIGKILL of one that is fenced.
const FENCED_GRACE_MS: u64 = 1_000;
/// How long after SIGKILL the harness may take to say so.
const AFTER_KILL: Duration = Duration::from_secs(3);

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
    pub pool: Arc<Pool>,
    /// Makes environments.
    pub environments: Environments,
    /// Holds values.
    pub blobs: Blobs,
    /// Whether they can be had.
    pub answers: Answers,
    /// Keeps what must survive.
    pub spool: Spool,
    /// Reads secrets.
    pub secrets: Secrets,
    /// Reads what orders declare.
    pub declared: Declared,
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
    /// The sequence of the first line that is not kept yet: after a restart some are said again.
    next_line: u64,
    value: Option<Result<Produced, Ending>>,
    contents: Contents,
    /// Milliseconds of the conversions that were made here, by argument.
    converted_ms: BTreeMap<String, f64>,
    /// Why content was not taken.
    untaken: Option<Ending>,
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
        let Some(kill) = self.held.enter(order.key, !order.idempotent) else { return };
        let mut progress = Progress::new(&order, &self.spool);
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
        let mut progress = Progress::new(&order, &self.spool);
        progress.secrets = self.secrets.read(&order).unwrap_or_default();
        // Its files are not kept: the import that it had is not known, and the next order is asked to load anew.
        container.state.loaded = None;
        progress.stage = Stage::Running;
        progress.began = Some(Instant::now());
        progress.next_line = self.spool.lines_kept(order.key);
        match Contents::resume(self.spool.contents(order.key)).await {
            Ok(contents) => progress.contents = contents,
            Err(error) => progress.untaken = Some(lost("blob_unwritable", &error.to_string())),
        }
        let over = self.drive(&mut container, &mut progress, kill).await;
        self.finish(progress, over, Some(container)).await;
    }

    /// Tells that an attempt's container did not outlive the runner before.
    pub async fn vanished(&self, order: &Order) {
        let ending = lost("container_vanished", "the container ended while its runner was away");
        self.finish(Progress::new(order, &self.spool), broken(ending), None).await;
    }

    pub(crate) async fn say(&self, order: &Order, word: Word) {
        // The receiver leaves only when the process does.
        self.words.send((order.key, word)).await.ok();
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
        // One that is fenced has to be dead before its lease is over.
        let grace_ms = if progress.why == Some(KillReason::Fenced) { FENCED_GRACE_MS } else { KILL_GRACE_MS };
        let kill = Say::Kill { attempt: progress.order.key.to_string(), grace_ms };
        container.link.say(kill, Vec::new()).await;
        Instant::now() + Duration::from_millis(grace_ms) + AFTER_KILL
    }
}

impl<'a> Progress<'a> {
    fn new(order: &'a Order, spool: &Spool) -> Self {
        Self {
            order,
            stage: Stage::Loading,
            phases: Phases::default(),
            secrets: BTreeMap::new(),
            last: Vec::new(),
            seen: 0,
            next_line: 0,
            value: None,
            contents: Contents::new(spool.contents(order.key)),
            converted_ms: BTreeMap::new(),
            untaken: None,
            warnings: Vec::new(),
            why: None,
            began: None,
            loaded: lifecycle::template(order),
        }
    }

    fn redact(&self, text: &str) -> String {
        crate::secrets::redact(text, self.secrets.values())
    }

    fn redacted(&self, value: serde_json::Value) -> serde_json::Value {
        crate::secrets::redact_json(value, &|text| self.redact(text))
    }

    fn redacted_fields(&self, fields: Fields) -> Fields {
        crate::secrets::redact_fields(fields, &|text| self.redact(text))
    }
}

/// What `qflow.log` was given by name.
type Fields = serde_json::Map<String, serde_json::Value>;

fn broken(ending: Ending) -> Over {
    Over { ending, said: EndedSaid::default(), healthy: false }
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
