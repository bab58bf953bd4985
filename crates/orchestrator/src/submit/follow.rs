//! The stream of a run's changes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use qflow_model::{
    ids::{NodeKey, RunId},
    progress::{NodeRun, RunState},
};
use qflow_proto::v1;
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tonic::Status;

use super::{Server, show};
use crate::bus::{Changed, Note, Shown};

/// Answers that a slow client may be behind.
pub(super) const BEHIND: usize = 64;
/// Between two looks at a run that another replica writes.
pub(super) const POLL: Duration = Duration::from_secs(1);

type Answers<T> = mpsc::Sender<Result<T, Status>>;

/// A run as its watcher was last told.
struct Told {
    changed: Changed,
    nodes: BTreeMap<NodeKey, Shown>,
}

impl Told {
    fn of(state: &RunState) -> Self {
        let changed = Changed {
            spec: Arc::clone(&state.spec),
            plan: Arc::clone(&state.plan),
            head: state.head.clone(),
            counts: state.counts(),
            nodes: Vec::new(),
        };
        let shown = |(key, node): (NodeKey, &NodeRun)| (key, Shown::of(state, key, node.clone()));
        Self { changed, nodes: state.nodes().map(shown).collect() }
    }
}

/// Tells a run as it is, then every change, until it has ended or nobody listens.
pub(super) async fn run(server: &Server, id: RunId, to: Answers<v1::WatchRunResponse>) {
    // Heard from before the rows are read, so that nothing falls between.
    let (mut notes, mut last) = (server.bus.watch(id), None);
    'anew: loop {
        let state = match server.state(id).await {
            Ok(state) => state,
            Err(status) => return drop(to.send(Err(status)).await),
        };
        let whole = show::whole(&state, &*server.bus, &server.blobs).await;
        let ended = state.head.status.is_terminal();
        // A look at a run of another replica's is told where it found something new.
        if last.as_ref() != Some(&whole) {
            last = Some(whole.clone());
            if to.send(Ok(v1::WatchRunResponse { run: Some(whole) })).await.is_err() {
                return;
            }
        }
        if ended {
            return;
        }
        let mut told = Told::of(&state);
        loop {
            let note = tokio::select! {
                note = notes.recv() => note,
                () = tokio::time::sleep(POLL), if !server.engine.owns(id) => continue 'anew,
                () = to.closed() => return,
                () = server.shutdown.wait() => return,
            };
            last = None;
            let run = match note {
                Ok(Note::Changed(now)) => {
                    told.nodes.extend(now.nodes.iter().map(|node| (node.key, node.clone())));
                    (told.changed.head, told.changed.counts) = (now.head.clone(), now.counts);
                    if now.head.status.is_terminal() {
                        // The last answer is the whole, with its result.
                        continue 'anew;
                    }
                    show::changed(&now, &*server.bus)
                }
                Ok(Note::Doing(key)) => {
                    let Some(node) = told.nodes.get(&key) else { continue };
                    told.changed.nodes = vec![node.clone()];
                    show::changed(&told.changed, &*server.bus)
                }
                Ok(Note::Lines) => continue,
                Ok(Note::Moved) => {
                    // However often it moved meanwhile, the rows are read once.
                    notes = notes.resubscribe();
                    continue 'anew;
                }
                // Too far behind, or the topic was closed: the rows have it all.
                Err(RecvError::Lagged(_)) => continue 'anew,
                Err(RecvError::Closed) => {
                    notes = server.bus.watch(id);
                    continue 'anew;
                }
            };
            if to.send(Ok(v1::WatchRunResponse { run: Some(run) })).await.is_err() {
                return;
            }
        }
    }
}
