//! The stream of all runs that are under way, and of the runners that are seen, for the health-aggregator.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::Stream;
use qflow_model::limits::MESSAGE_BYTES;
use qflow_proto::v1::{
    self,
    activity_service_server::{ActivityService, ActivityServiceServer},
};
use qflow_service::Shutdown;
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Server, follow::BEHIND};
use crate::{
    active::{Active, What, Word},
    bus::Bus,
    dispatch::{Handle, Seen, Shown, Sight},
};

/// Between two looks at runners.
const LOOK: Duration = Duration::from_secs(1);
/// Looks after which they are told though nothing is otherwise: whoever hears nothing for longer hears nobody.
const ANYWAY: u32 = 5;
/// Runs of an answer beyond which the next one goes on, so that each fits into a message.
const RUNS: usize = 1_000;

/// `ActivityService`, over an engine.
pub(super) struct Activity {
    bus: Arc<dyn Bus>,
    engine: Handle,
    shutdown: Shutdown,
}

/// The service with its limits.
pub(super) fn server(Server { bus, engine, shutdown, .. }: Server) -> ActivityServiceServer<Activity> {
    ActivityServiceServer::new(Activity { bus, engine, shutdown }).max_encoding_message_size(2 * MESSAGE_BYTES)
}

type Answers = mpsc::Sender<Result<v1::ActivityWatchResponse, Status>>;

#[tonic::async_trait]
impl ActivityService for Activity {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::ActivityWatchResponse, Status>> + Send>>;

    async fn watch(&self, _: Request<v1::ActivityWatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (to, from) = mpsc::channel(BEHIND);
        tokio::spawn(watch(Arc::clone(&self.bus), self.engine.clone(), to, self.shutdown.clone()));
        Ok(Response::new(Box::pin(ReceiverStream::new(from))))
    }
}

/// Tells all of it, then what changes, until nobody listens.
async fn watch(bus: Arc<dyn Bus>, engine: Handle, to: Answers, shutdown: Shutdown) {
    // Heard from before all is told, so that nothing falls between.
    let mut heard = bus.watch_active();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut all, mut last, mut looks) = (true, None, 0);
    loop {
        if std::mem::take(&mut all) {
            let told = tokio::select! {
                told = engine.active() => told,
                () = to.closed() => return,
                () = shutdown.wait() => return,
            };
            let Some(words) = told else { return };
            if !tell(&to, &words).await {
                return;
            }
        }
        tokio::select! {
            words = heard.recv() => match words {
                Ok(words) => if !tell(&to, &words).await { return },
                // Too far behind: all of it once more; what others said they say again.
                Err(RecvError::Lagged(_)) => all = true,
                Err(RecvError::Closed) => return,
            },
            _ = look.tick() => {
                let (sight, anyway) = (engine.sight(), f64::from(ANYWAY) * LOOK.as_secs_f64());
                let seen = sighting(&sight);
                looks += 1;
                // Whoever does not look around tells nothing: it is missed, and what it saw is not taken for what is.
                let looks_around = sight.age_seconds() < anyway;
                if looks_around && (looks >= ANYWAY || last.as_ref().is_none_or(|last| differs(last, &seen))) {
                    looks = 0;
                    last = Some(seen.clone());
                    let answer = v1::ActivityWatchResponse { words: Vec::new(), sighting: Some(seen) };
                    if to.send(Ok(answer)).await.is_err() {
                        return;
                    }
                }
            }
            () = to.closed() => return,
            () = shutdown.wait() => return,
        }
    }
}

/// Whether there is something to tell beside how long ago each runner was heard.
fn differs(last: &v1::Sighting, now: &v1::Sighting) -> bool {
    let ageless = |seen: &v1::Sighting| {
        let mut seen = seen.clone();
        seen.runners.iter_mut().for_each(|runner| runner.age_seconds = 0.0);
        seen
    };
    ageless(last) != ageless(now)
}

/// Tells words, in as many answers as they need; false where nobody listens.
async fn tell(to: &Answers, words: &[Word]) -> bool {
    let (mut answer, mut runs) = (v1::ActivityWatchResponse::default(), 0);
    for one in words {
        runs += if let What::Shard(_, all) = &one.what { all.len() + 1 } else { 1 };
        answer.words.push(word(one));
        if runs >= RUNS {
            runs = 0;
            if to.send(Ok(std::mem::take(&mut answer))).await.is_err() {
                return false;
            }
        }
    }
    answer.words.is_empty() || to.send(Ok(answer)).await.is_ok()
}

fn word(Word { version, what }: &Word) -> v1::ActivityWord {
    use v1::activity_word::What as Told;
    let what = match what {
        What::Shard(shard, runs) => {
            Told::Shard(v1::ActiveShard { shard: shard.0.into(), runs: runs.iter().map(active).collect() })
        }
        What::Run(run) => Told::Run(active(run)),
        What::Ended(run) => Told::Ended(run.to_string()),
    };
    v1::ActivityWord { epoch: version.epoch.0, sequence: version.sequence, what: Some(what) }
}

fn active(run: &Active) -> v1::ActiveRun {
    v1::ActiveRun {
        run_id: run.run.to_string(),
        workflow: run.workflow.clone(),
        user_id: run.user.clone(),
        status: run.status.to_string(),
        trace_id: run.trace_id.clone(),
        created_at_us: run.created_at.0,
        started_at_us: run.started_at.map_or(0, |at| at.0),
        nodes_completed: run.counts.0,
        total_nodes: run.counts.1,
        queued: run.queued,
        queued_since_us: run.queued_since.map_or(0, |at| at.0),
    }
}

fn sighting(sight: &Sight) -> v1::Sighting {
    let old = sight.age_seconds();
    let runner = |seen: &Seen| v1::RunnerSighting {
        runner_id: seen.hello.runner_id.clone(),
        slots: seen.hello.slots,
        running: seen.running,
        age_seconds: seen.age_seconds + old,
        containers: seen.shown.iter().map(container).collect(),
    };
    v1::Sighting { peers: sight.peers.clone(), runners: sight.runners.iter().map(runner).collect() }
}

fn container(shown: &Shown) -> v1::Container {
    v1::Container {
        container_id: shown.id.clone(),
        status: shown.status.clone(),
        python_version: shown.python.clone(),
        run_id: shown.run.clone(),
        attempt: shown.attempt.clone(),
        cpu_percent: shown.cpu_percent,
        memory_bytes: shown.memory_bytes,
        started_at_us: shown.started_at.0,
    }
}
