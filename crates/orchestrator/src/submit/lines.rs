//! The stream of a run's lines: rows while its attempts run, objects once they are over; what is missing is told.

use futures_util::TryStreamExt as _;
use qflow_blobs::Written;
use qflow_model::{
    ids::RunId,
    plan::{Plan, WorkflowIx},
    progress::RunState,
};
use qflow_proto::{line::fields_json, v1};
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tonic::Status;

use super::{Server, follow::POLL, show, unavailable};
use crate::{
    bus::Note,
    logs::{
        is_of,
        told::Told,
        whole::{self, Attempt, InTime},
    },
    record::StoredLine,
};

/// Bytes of lines in one answer: well below a message's bound.
const ANSWER_BYTES: usize = 256 * 1024;

/// Whether an id may name nodes of a plan, of elements and calls that are yet to be too; else the ids that there are at that place.
pub(super) fn is_known(plan: &Plan, node_id: &str) -> Result<(), Vec<String>> {
    let (mut workflow, mut above) = (Some(WorkflowIx::ROOT), String::new());
    for part in node_id.split('/').filter(|part| !part.is_empty()) {
        let bare = part.split('[').next().unwrap_or_default();
        let steps = workflow.map_or(&[][..], |workflow| &plan.workflow(workflow).steps);
        let Some(step) = steps.iter().find(|step| step.id == bare) else {
            return Err(steps.iter().map(|step| format!("{above}{}", step.id)).collect());
        };
        above = format!("{above}{bare}/");
        workflow = step.calls;
    }
    Ok(())
}

/// What is told of lines that their runner keeps on its disk until it can write them.
const MAY_COME: &str = "which the runner keeps until the blob store takes them, for a day at most: look again later";

type Answers = mpsc::Sender<Result<v1::StreamLogsResponse, Status>>;

/// Why no more is told: something does not answer, or nobody listens.
enum Stop {
    Broken(Status),
    Gone,
}

/// One reader, and what it was told.
struct Reading<'a> {
    server: &'a Server,
    run: RunId,
    node_id: &'a str,
    to: Answers,
    told: Told,
    after: i64,
    is_first: bool,
}

/// Tells the lines of a run, and with `follow` every further one until it has ended.
pub(super) async fn lines(server: &Server, run: RunId, node_id: &str, follow: bool, to: Answers) {
    let mut notes = server.bus.watch(run);
    let mut reading = Reading { server, run, node_id, to, told: Told::default(), after: 0, is_first: true };
    loop {
        let over = match reading.pass(follow).await {
            Ok(over) => over,
            Err(Stop::Gone) => return,
            Err(Stop::Broken(status)) => return drop(reading.to.send(Err(status)).await),
        };
        if over || !follow {
            return;
        }
        loop {
            let note = tokio::select! {
                note = notes.recv() => note,
                () = tokio::time::sleep(POLL), if !server.engine.owns(run) => break,
                () = reading.to.closed() => return,
                () = server.shutdown.wait() => return,
            };
            match note {
                Ok(Note::Changed(now)) if !now.head.status.is_terminal() => {}
                Ok(Note::Doing(_)) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => {
                    notes = server.bus.watch(run);
                    break;
                }
            }
        }
    }
}

impl Reading<'_> {
    /// Tells what is there and was not told; whether the run has ended, and that was all.
    async fn pass(&mut self, follow: bool) -> Result<bool, Stop> {
        let state = self.state().await?;
        if state.head.status.is_terminal() {
            self.server.logs.flush().await;
            return self.whole(&state).await.map(|()| true);
        }
        if !follow {
            self.server.logs.flush().await;
        }
        self.rows(&Written::default()).await?;
        if std::mem::take(&mut self.is_first) {
            // Rows of attempts before a restart from failed nodes are gone.
            let written = self.written().await?;
            let attempts = whole::written(&state, self.node_id, &written);
            let unknown = attempts.into_iter().filter(|(node, attempt)| !self.told.knows(node, *attempt)).collect();
            self.objects(unknown).await?;
        }
        if follow {
            return Ok(false);
        }
        // It may have ended meanwhile, and its rows have left.
        let state = self.state().await?;
        if state.head.status.is_terminal() { self.whole(&state).await.map(|()| true) } else { Ok(false) }
    }

    /// All of a run that has ended, but what was told.
    async fn whole(&mut self, state: &RunState) -> Result<(), Stop> {
        let written = match self.written().await {
            Ok(written) => written,
            Err(stop) => {
                // What is there is told all the same.
                self.rows(&Written::default()).await?;
                return Err(stop);
            }
        };
        self.rows(&written).await?;
        // Looked at again: rows leave once there is an object.
        let written = self.written().await?;
        self.objects(whole::written(state, self.node_id, &written)).await?;
        self.ends(state, &written).await
    }

    /// Rows that are new, but those of attempts that are objects.
    async fn rows(&mut self, but: &Written) -> Result<(), Stop> {
        loop {
            let read = self.server.store.lines(self.run, self.after).await;
            let (lines, last) = read.map_err(|error| Stop::Broken(unavailable(&error)))?;
            if lines.is_empty() {
                return Ok(());
            }
            self.after = last;
            let wanted =
                |line: &StoredLine| is_of(&line.node_id, self.node_id) && !but.has(&line.node_id, line.attempt);
            let lines: Vec<_> = lines.into_iter().filter(wanted).collect();
            let told = &mut self.told;
            let answers = answers(lines.into_iter().flat_map(|line| told.next(line)));
            self.tell(answers).await?;
        }
    }

    async fn objects(&mut self, attempts: Vec<Attempt>) -> Result<(), Stop> {
        let mut objects = whole::read(&self.server.blobs, self.run, attempts);
        let mut in_time = InTime::default();
        while let Some(lines) = objects.try_next().await.map_err(|error| broken(&error))? {
            let told = &mut self.told;
            in_time.add(lines.into_iter().flat_map(|line| told.next(line)));
            if in_time.is_full() {
                self.tell(answers(in_time.take())).await?;
            }
        }
        self.tell(answers(in_time.take())).await
    }

    /// Tells of attempts that nobody knows all lines of.
    async fn ends(&mut self, state: &RunState, written: &Written) -> Result<(), Stop> {
        let mut torn = Vec::new();
        if whole::may_be_torn(state) {
            let history = self.server.store.history(self.run).await;
            let history = history.map_err(|error| Stop::Broken(unavailable(&error)))?;
            torn = whole::torn(state, &history);
        }
        let lost = torn.into_iter().map(|(attempt, at)| (attempt, at, "where the runner was lost before it kept them"));
        let unkept = whole::unkept(state, self.server.clock.now()).into_iter().map(|one| {
            let why = if one.may_come { MAY_COME } else { "where the runner could not keep them in the blob store" };
            (one.attempt, one.at, why)
        });
        let mut ends: Vec<_> = lost.chain(unkept).collect();
        ends.retain(|((node, attempt), ..)| is_of(node, self.node_id) && !written.has(node, *attempt));
        let told = &mut self.told;
        let ends = ends.into_iter().map(|((node, attempt), at, why)| told.torn(&node, attempt, at, why));
        let answers = answers(ends);
        self.tell(answers).await
    }

    async fn state(&self) -> Result<RunState, Stop> {
        self.server.state(self.run).await.map_err(Stop::Broken)
    }

    async fn written(&self) -> Result<Written, Stop> {
        self.server.blobs.logs(self.run).await.map_err(|error| broken(&error))
    }

    async fn tell(&self, answers: Vec<v1::StreamLogsResponse>) -> Result<(), Stop> {
        for answer in answers {
            self.to.send(Ok(answer)).await.map_err(|_| Stop::Gone)?;
        }
        Ok(())
    }
}

/// The orchestrator answers, the store behind it does not: what was told is good, and not all.
fn broken(error: &qflow_blobs::Error) -> Stop {
    let why = if error.is_absent() {
        "have left the blob store"
    } else {
        "cannot be had: the blob store does not answer; try again later"
    };
    Stop::Broken(Status::aborted(format!("lines of attempts that are over {why}")))
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
