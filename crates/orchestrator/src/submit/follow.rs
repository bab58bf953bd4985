//! Streams that follow a run: its changes, and the lines that its nodes write.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use qflow_model::{
    ids::{NodeKey, RunId},
    progress::{NodeRun, RunState},
};
use qflow_proto::{line::fields_json, v1};
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tonic::Status;

use super::{Server, show, unavailable};
use crate::{
    bus::{Changed, Note, Shown},
    record::StoredLine,
};

/// Answers that a slow client may be behind.
pub(super) const BEHIND: usize = 64;
/// Bytes of lines in one answer: well below a message's bound.
const ANSWER_BYTES: usize = 256 * 1024;

/// Between two looks at a run that another replica writes.
const POLL: Duration = Duration::from_secs(1);

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

/// Tells the lines of a run, and with `follow` every further one until it has ended.
pub(super) async fn lines(
    server: &Server,
    id: RunId,
    node_id: &str,
    follow: bool,
    to: Answers<v1::StreamLogsResponse>,
) {
    let mut notes = server.bus.watch(id);
    let mut after = 0;
    loop {
        let over = match server.state(id).await {
            Ok(state) => state.head.status.is_terminal() || !follow,
            Err(status) => return drop(to.send(Err(status)).await),
        };
        if over {
            server.logs.flush().await;
        }
        loop {
            let (lines, last) = match server.store.lines(id, after).await {
                Ok(read) => read,
                Err(error) => return drop(to.send(Err(unavailable(&error))).await),
            };
            if lines.is_empty() {
                break;
            }
            after = last;
            for answer in answers(lines.into_iter().filter(|line| is_of(line, node_id))) {
                if to.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
        }
        if over {
            return;
        }
        loop {
            let note = tokio::select! {
                note = notes.recv() => note,
                () = tokio::time::sleep(POLL), if !server.engine.owns(id) => break,
                () = to.closed() => return,
                () = server.shutdown.wait() => return,
            };
            match note {
                Ok(Note::Changed(now)) if !now.head.status.is_terminal() => {}
                Ok(Note::Doing(_)) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => {
                    notes = server.bus.watch(id);
                    break;
                }
            }
        }
    }
}

/// Whether a line is of a node, of an element of it, or of a node below it.
fn is_of(line: &StoredLine, node_id: &str) -> bool {
    node_id.is_empty()
        || line.node_id.strip_prefix(node_id).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '/']))
}

fn answers(lines: impl Iterator<Item = StoredLine>) -> Vec<v1::StreamLogsResponse> {
    let (mut answers, mut bytes) = (vec![v1::StreamLogsResponse { lines: Vec::new() }], 0);
    for line in lines {
        let fields_json = fields_json(&line.fields);
        let size = line.text.len() + line.node_id.len() + fields_json.len() + 64;
        if bytes > 0 && bytes + size > ANSWER_BYTES {
            answers.push(v1::StreamLogsResponse { lines: Vec::new() });
            bytes = 0;
        }
        bytes += size;
        let wire = v1::LogLine {
            node_id: line.node_id,
            attempt: line.attempt,
            sequence: line.sequence,
            at: Some(show::time(line.at)),
            stream: line.stream,
            text: line.text,
            fields_json,
        };
        if let Some(answer) = answers.last_mut() {
            answer.lines.push(wire);
        }
    }
    answers.retain(|answer| !answer.lines.is_empty());
    answers
}
