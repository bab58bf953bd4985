//! The fan-out among replicas, over Redis: each hears of the runs that somebody watches there. What Redis loses, the next look into
//! the store mends.

mod active;
mod cause;

use std::{
    collections::{BTreeSet, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use fred::{
    clients::SubscriberClient,
    interfaces::{ClientLike, EventInterface, PubsubInterface},
    prelude::{Client, Config},
    types::{
        Builder, Message,
        config::{ReconnectPolicy, UnresponsiveConfig},
    },
};
use qflow_model::ids::{NodeKey, RunId};
use qflow_service::{AtWork, NotRedis, RedisPlace, RedisSettings, Shutdown};
use qflow_telemetry::{Event, Telemetry, TraceContext, traces};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, broadcast, mpsc},
    time::Instant,
};

use super::{Bus, Changed, Doing, Local, Note};
use crate::active::Words;

/// Words that may wait for Redis; past it they are lost, as when it is away.
const QUEUE: usize = 4096;
/// Words that go out together.
const TOGETHER: usize = 256;
/// How long a connection may take to come up, and any command to be answered.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a connection may be silent with a command unanswered before it is given up.
const SILENT: Duration = Duration::from_secs(5);
/// First and longest wait before connecting again, in milliseconds.
const BACKOFF_MS: (u32, u32) = (100, 5_000);
/// One change of so many is told in the trace of its run, from here to Redis.
const TRACED: u32 = 64;
/// Between two looks at which runs are watched here.
const LOOK: Duration = Duration::from_secs(1);

/// What replicas say to one another of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Moved,
    Lines,
    /// Text, and thousandths or nothing.
    Doing(NodeKey, String, Option<u32>),
    Rest(Option<Vec<NodeKey>>),
}

/// One word, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Word {
    from: String,
    what: What,
}

/// A word about a run, on its way, since when, and the trace in which that is told.
type Out = (RunId, What, Instant, Option<Box<TraceContext>>);

/// The fan-out over Redis.
pub struct Redis {
    local: Arc<Local>,
    out: mpsc::Sender<Out>,
    telemetry: Telemetry,
    changes: AtomicU32,
    /// Told when somebody begins to watch.
    watched: Arc<Notify>,
    speaks: Client,
    at_work: AtWork,
    active: mpsc::Sender<Words>,
}

fn channel(run: RunId) -> String {
    format!("qflow:run:{run}")
}

impl Redis {
    /// Connects when it can, and again whenever the connection is lost; nobody waits for that.
    pub fn open(
        settings: RedisSettings,
        owner: &str,
        telemetry: &Telemetry,
        shutdown: &Shutdown,
    ) -> Result<Self, NotRedis> {
        let wrong = |error| NotRedis::Address(Some(error));
        let address = cause::address(&settings.url);
        let config = settings.config()?;
        let place = RedisPlace::of(&config);
        let builder = bounded(config);
        let (speaks, hears) = (builder.build().map_err(wrong)?, builder.build_subscriber_client().map_err(wrong)?);
        tokio::spawn(tell(speaks.clone(), address, telemetry.clone(), shutdown.clone()));
        let (out, words) = mpsc::channel(QUEUE);
        let (local, watched) = (Arc::new(Local::default()), Arc::new(Notify::new()));
        let up = {
            let (speaks, hears) = (speaks.clone(), hears.clone());
            move || usize::from(speaks.is_connected()) + usize::from(hears.is_connected())
        };
        let at_work = AtWork::of(telemetry, up);
        let told = Told { telemetry: telemetry.clone(), place, at_work: at_work.clone() };
        let (active, actives) = mpsc::channel(active::QUEUE);
        tokio::spawn(active::speak(speaks.clone(), actives, owner.to_owned(), shutdown.clone()));
        tokio::spawn(speak(speaks.clone(), words, owner.to_owned(), told, shutdown.clone()));
        tokio::spawn(hear(hears.clone(), Arc::clone(&local), owner.to_owned(), shutdown.clone()));
        tokio::spawn(subscribe(hears, Arc::clone(&local), Arc::clone(&watched), shutdown.clone()));
        let (telemetry, changes) = (telemetry.clone(), AtomicU32::new(0));
        Ok(Self { local, out, telemetry, changes, watched, speaks, at_work, active })
    }

    fn say(&self, run: RunId, what: What) {
        self.say_in(None, run, what);
    }

    fn say_in(&self, trace: Option<Box<TraceContext>>, run: RunId, what: What) {
        // A queue that is full is a Redis that is away or behind: the others find it in the store.
        if self.out.try_send((run, what, Instant::now(), trace)).is_err() {
            self.at_work.failed();
        }
    }

    /// The trace of a run that changed, for every 64th change, and where somebody takes spans.
    fn traced(&self, how: &dyn Fn() -> Changed) -> Option<Box<TraceContext>> {
        let is_one = || self.changes.fetch_add(1, Ordering::Relaxed).is_multiple_of(TRACED);
        (self.telemetry.takes_spans() && is_one()).then(|| Box::new(TraceContext::from(&how().spec.trace)))
    }
}

/// Where calls of Redis are told.
struct Told {
    telemetry: Telemetry,
    place: RedisPlace,
    at_work: AtWork,
}

/// Tells when Redis is away, and why, once until it is there again.
async fn tell(client: Client, address: String, telemetry: Telemetry, shutdown: Shutdown) {
    let (mut errors, mut connected) = (client.error_rx(), client.reconnect_rx());
    let mut away = false;
    loop {
        tokio::select! {
            // An error comes again until it is connected, but that comes once: it must not be overtaken by an error before it.
            biased;
            error = errors.recv() => {
                let error = match error {
                    Ok((error, _)) => error,
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                if !std::mem::replace(&mut away, true) {
                    let costs = "live views are up to a second late and nothing else";
                    let why = format!("Redis at {address} is away, so {costs}: {}", cause::plain(error.details()));
                    telemetry.emit(Event::warning("redis_away", why));
                }
            }
            _ = connected.recv() => {
                if std::mem::take(&mut away) {
                    telemetry.emit(Event::info("redis_there", format!("Redis at {address} is there again")));
                }
            }
            () = shutdown.wait() => return,
        }
    }
}

/// A client with every time-out set: the defaults wait for ever.
fn bounded(mut config: Config) -> Builder {
    config.fail_fast = false;
    let mut builder = Builder::from_config(config);
    builder
        .with_connection_config(|connection| {
            connection.connection_timeout = PATIENCE;
            connection.internal_command_timeout = PATIENCE;
            connection.max_command_attempts = 1;
            connection.max_command_buffer_len = QUEUE;
            connection.reconnect_on_auth_error = true;
            connection.unresponsive = UnresponsiveConfig { max_timeout: Some(SILENT), interval: LOOK };
        })
        .with_performance_config(|performance| performance.default_command_timeout = PATIENCE)
        .set_policy(ReconnectPolicy::new_exponential(0, BACKOFF_MS.0, BACKOFF_MS.1, 2));
    builder
}

/// Says what is queued, each word once however often it was queued meanwhile.
async fn speak(client: Client, mut words: mpsc::Receiver<Out>, from: String, told: Told, shutdown: Shutdown) {
    let connection = client.connect();
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            count = words.recv_many(&mut batch, TOGETHER) => if count == 0 { break },
            () = shutdown.wait() => break,
        }
        let (mut said, mut spans) = (HashSet::new(), Vec::new());
        let pipeline = client.pipeline();
        // The first has waited longest.
        let waited = batch.first().map_or(0.0, |(_, _, since, _): &Out| since.elapsed().as_secs_f64());
        for (run, what, _, trace) in batch.drain(..) {
            spans.extend(told.telemetry.call(trace.as_deref(), traces::Kind::Client));
            if !said.insert((run, what.clone())) {
                continue;
            }
            let Ok(text) = serde_json::to_string(&Word { from: from.clone(), what }) else { continue };
            // It is only put into the pipeline: this does not fail.
            let _: Result<(), _> = pipeline.publish(channel(run), text).await;
        }
        // Lost where Redis is away: whoever watches looks into the store.
        let asked = told.at_work.asks(waited);
        let done: Result<(), _> = pipeline.all().await;
        drop(asked);
        if done.is_err() {
            told.at_work.failed();
        }
        for span in spans {
            span.end(told.place.ended("PIPELINE PUBLISH", Some(said.len()), done.as_ref().err()));
        }
    }
    connection.abort();
}

/// Hears what others say, and tells those who watch here.
async fn hear(client: SubscriberClient, local: Arc<Local>, owner: String, shutdown: Shutdown) {
    let mut heard = client.message_rx();
    loop {
        let message = tokio::select! {
            message = heard.recv() => message,
            () = shutdown.wait() => return,
        };
        match message {
            Ok(message) if &*message.channel == active::CHANNEL => active::hear(&message, &local, &owner),
            Ok(message) => {
                if let Some((run, word)) = read(&message)
                    && word.from != owner
                {
                    pass_on(&local, run, word.what);
                }
            }
            // Too far behind: what was missed is in the store.
            Err(broadcast::error::RecvError::Lagged(_)) => {
                local.watched().into_iter().for_each(|run| local.tell(run, Note::Moved));
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

fn read(message: &Message) -> Option<(RunId, Word)> {
    let run = message.channel.strip_prefix("qflow:run:")?.parse().ok()?;
    let text = message.value.as_str()?;
    Some((run, serde_json::from_str(&text).ok()?))
}

fn pass_on(local: &Local, run: RunId, what: What) {
    match what {
        What::Moved => local.tell(run, Note::Moved),
        What::Lines => local.lines(run),
        What::Doing(node, text, thousandths) => {
            local.doing(run, node, (text, thousandths.map_or(-1.0, |part| f64::from(part) / 1000.0)));
        }
        What::Rest(nodes) => local.rest(run, nodes.as_deref()),
    }
}

/// Keeps the subscriptions to what is watched here.
async fn subscribe(client: SubscriberClient, local: Arc<Local>, watched: Arc<Notify>, shutdown: Shutdown) {
    let connection = client.connect();
    let again = client.manage_subscriptions();
    let mut connected = client.reconnect_rx();
    let mut subscribed: BTreeSet<RunId> = BTreeSet::new();
    let mut hears_active = false;
    loop {
        tokio::select! {
            () = watched.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            // What was said in between was missed.
            Ok(_) = connected.recv() => subscribed.iter().for_each(|run| local.tell(*run, Note::Moved)),
            () = shutdown.wait() => break,
        }
        if hears_active != local.is_heard() {
            hears_active = active::turn(&client, local.is_heard()).await;
        }
        let wanted: BTreeSet<RunId> = local.watched().into_iter().collect();
        for run in wanted.difference(&subscribed.clone()) {
            // Where Redis is away this is tried again at the next look.
            if client.subscribe(channel(*run)).await.is_ok() {
                subscribed.insert(*run);
                // What was said before is in the store by now.
                local.tell(*run, Note::Moved);
            }
        }
        for run in subscribed.clone().difference(&wanted) {
            if client.unsubscribe(channel(*run)).await.is_ok() {
                subscribed.remove(run);
                local.rest(*run, None);
            }
        }
    }
    again.abort();
    connection.abort();
}

impl Bus for Redis {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn is_up(&self) -> bool {
        self.speaks.is_connected()
    }

    fn watch(&self, run: RunId) -> broadcast::Receiver<Note> {
        let notes = self.local.watch(run);
        self.watched.notify_one();
        notes
    }

    fn changed(&self, run: RunId, how: &dyn Fn() -> Changed) {
        self.local.changed(run, how);
        self.say_in(self.traced(how), run, What::Moved);
    }

    fn lines(&self, run: RunId) {
        self.local.lines(run);
        self.say(run, What::Lines);
    }

    fn doing(&self, run: RunId, node: NodeKey, doing: Doing) {
        let thousandths = (doing.1 >= 0.0).then(|| (doing.1 * 1000.0).round() as u32);
        self.say(run, What::Doing(node, doing.0.clone(), thousandths));
        self.local.doing(run, node, doing);
    }

    fn what(&self, run: RunId, node: NodeKey) -> Option<Doing> {
        self.local.what(run, node)
    }

    fn watch_active(&self) -> broadcast::Receiver<Words> {
        let words = self.local.watch_active();
        self.watched.notify_one();
        words
    }

    fn active(&self, words: Words) {
        // A queue that is full is a Redis that is away or behind: what was said is said again as a whole.
        if self.active.try_send(Arc::clone(&words)).is_err() {
            self.at_work.failed();
        }
        self.local.active(words);
    }

    /// Who listens at another replica is not known here.
    fn is_heard(&self) -> bool {
        true
    }

    fn rest(&self, run: RunId, nodes: Option<&[NodeKey]>) {
        if self.local.forget(run, nodes) {
            self.say(run, What::Rest(nodes.map(<[NodeKey]>::to_vec)));
        }
    }
}
