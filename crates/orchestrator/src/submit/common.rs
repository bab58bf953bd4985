//! What the calls of clients have in common: a source judged, a run found, a command posted, and who may.

use std::time::Duration;

use qflow_model::{
    access::{Caller, Role},
    definition::{Problem, Source},
    ids::RunId,
    limits,
    progress::RunState,
};
use qflow_proto::v1;
use serde::Serialize;
use tonic::{Code, Status};

use super::{PATIENCE, Server, door, show, table, unavailable};
use crate::{
    record::{Command, access::Entry},
    validate::{self, Given, Judged},
};

/// Between two looks whether another replica has worked a command off.
const LOOK: Duration = Duration::from_millis(25);

impl Server {
    pub(super) async fn judge(
        &self,
        source: &Source,
        workflow: &str,
        given: Option<&[(String, Given)]>,
    ) -> Result<Judged, Status> {
        self.validator.judge(source, workflow, given).await.map_err(|error| match error {
            validate::Error::Refused(message) => Status::invalid_argument(message),
            error => Status::unavailable(format!("{error}; nothing was accepted, try again")),
        })
    }

    /// Posts a command of somebody's, and waits until it is worked off.
    pub(super) async fn command(&self, caller: &Caller, run: RunId, command: Command) -> Result<(), Status> {
        let asked = Entry::of(caller, table::action(&command), run.to_string());
        let row = self.store.post(run, command, Some(asked)).await.map_err(|e| unavailable(&e))?;
        self.engine.work_off().await;
        if self.engine.owns(run) {
            return Ok(());
        }
        // Another replica writes the run, and finds the command in the store.
        let worked_off = async {
            while self.store.is_posted(row).await.unwrap_or(false) {
                tokio::time::sleep(LOOK).await;
            }
        };
        // Past it the command is kept all the same; the answer shows the run as it is.
        tokio::time::timeout(PATIENCE, worked_off).await.ok();
        Ok(())
    }

    pub(super) async fn state(&self, run: RunId) -> Result<RunState, Status> {
        let loaded = self.store.load(run).await.map_err(|e| unavailable(&e))?;
        let loaded = loaded.ok_or_else(|| Status::not_found(format!("no run {run}")))?;
        Ok(RunState::restore(loaded.spec, loaded.plan, loaded.head, loaded.nodes))
    }

    /// A run of the caller's tenant. That there is one of another's is told to nobody but the audit.
    pub(super) async fn run_named(&self, caller: &Caller, id: &str) -> Result<RunState, Status> {
        let run: RunId = id.parse().map_err(|_| Status::not_found(format!("no run `{id}`: an id is a UUID")))?;
        let state = self.state(run).await?;
        if state.spec.tenant == caller.tenant {
            return Ok(state);
        }
        let refused = format!("it is of tenant `{}`", state.spec.tenant);
        self.refuse(Entry { refused, ..Entry::of(caller, "run.see", id) }).await;
        Err(Status::not_found(format!("no run {run}")))
    }

    pub(super) async fn shown(&self, caller: &Caller, id: &str) -> Result<v1::Run, Status> {
        Ok(show::whole(&self.run_named(caller, id).await?, &*self.bus, &self.blobs).await)
    }

    /// Refuses a caller who has less than a role, where what is asked for says which it takes.
    pub(super) async fn may(&self, caller: &Caller, least: Role, action: &str, target: &str) -> Result<(), Status> {
        let Err(refused) = table::has(caller, least) else { return Ok(()) };
        self.refuse(Entry { refused: refused.clone(), ..Entry::of(caller, action, target) }).await;
        Err(Status::permission_denied(refused))
    }

    /// Has the audit say that something was refused. It is, whether or not that can be written.
    pub(super) async fn refuse(&self, entry: Entry) {
        door::note(&*self.store, &self.telemetry, entry).await;
    }
}

pub(super) fn source(sent: v1::Source) -> Result<Source, Status> {
    let bytes: usize = sent.files.iter().map(|file| file.path.len() + file.text.len()).sum();
    if bytes > limits::SUBMISSION_BYTES {
        let bound = limits::SUBMISSION_BYTES;
        return Err(Status::invalid_argument(format!("a submission has at most {bound} bytes, this one {bytes}")));
    }
    Ok(Source { entry: sent.entry, files: sent.files.into_iter().map(|file| (file.path, file.text)).collect() })
}

pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>, Status> {
    serde_json::to_vec(value).map_err(|e| Status::internal(format!("write the answer: {e}")))
}

/// Everything that is wrong, for people in the message and for programs in the details.
pub(super) fn unsound(judged: &Judged) -> Status {
    let problem = |problem: &Problem| {
        let remedy = problem.remedy.as_ref().map_or_else(String::new, |remedy| format!(": {remedy}"));
        format!("{}: {}{remedy}", problem.place, problem.message)
    };
    let problems = judged.problems.iter().filter(|p| !p.warning).map(problem);
    let lines: Vec<String> = problems.chain(judged.parameter_errors.iter().map(|e| e.message.clone())).collect();
    let details = serde_json::json!({"problems": judged.problems, "parameters": judged.parameter_errors});
    Status::with_details(Code::InvalidArgument, lines.join("\n"), details.to_string().into_bytes().into())
}
