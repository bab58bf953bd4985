//! A submission: judged, planned, and kept before it is acknowledged.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use qflow_blobs::{Blobs, Patience};
use qflow_model::{
    access::{Caller, Role},
    definition::{Problem, Source},
    ids::{Digest, RunId, Timestamp},
    plan::Plan,
    progress::{RunSpec, TraceContext},
    value::Produced,
};
use qflow_proto::v1::{self, parameter, start_run_request};
use qflow_telemetry::traces;
use tonic::Status;

use super::{Server, json, pools, resolve, secrets, source, unavailable, unsound, upload, whose};
use crate::{
    dispatch::Word,
    plan as planning,
    record::{self, Submission, Submitted, access::Entry},
    validate::{Given, Judged},
};

/// How long a submission waits for the first runner after a start, to plan for versions that it offers.
const MEET: Duration = Duration::from_secs(3);

/// Bytes of an idempotency key.
const KEY: usize = 255;

impl Server {
    /// Starts a run: once this returns, it is not lost.
    pub(super) async fn start(
        &self,
        caller: &Caller,
        request: v1::StartRunRequest,
    ) -> Result<v1::StartRunResponse, Status> {
        let source = match request.what {
            Some(start_run_request::What::Source(sent)) => {
                self.may(caller, Role::Author, "run.start", &sent.entry).await?;
                Arc::new(source(sent)?)
            }
            Some(start_run_request::What::Digest(text)) => self.registered(&caller.tenant, &text).await?,
            None => return Err(Status::invalid_argument("a source or the digest of a registered one is needed")),
        };
        if request.idempotency_key.len() > KEY || request.idempotency_key.contains('\0') {
            return Err(Status::invalid_argument(format!(
                "an idempotency key has at most {KEY} bytes, none of them zero"
            )));
        }
        let given = request.parameters.into_iter().map(given).collect::<Result<Vec<_>, _>>()?;
        let trace = trace(&request.trace)?;
        let root = traces::TraceContext::from(&trace);
        let judging = self.judge(&source, &request.workflow, Some(&given));
        let judged = traces::within(Some(root.clone()), judging).await?;
        let Some(definition) = judged.definition.as_ref().filter(|_| judged.is_sound()) else {
            return Err(unsound(&judged));
        };
        self.engine.meet(MEET).await;
        let offered = self.engine.offered();
        let plan = planning::plan(definition, &judged.workflow, source.digest(), &self.pythons, &offered)
            .map_err(|problems| unsound(&Judged { problems, ..Judged::default() }))?;
        let plan = Arc::new(plan);
        let mut judged = judged;
        judged.problems.extend(self.missing(&caller.tenant, &plan, &source).await?);
        if judged.problems.iter().any(|problem| !problem.warning) {
            return Err(unsound(&judged));
        }
        let resolved = resolve::resolve(self, &whose(caller), &plan, &source, request.relock).await?;
        if !resolved.problems.is_empty() {
            return Err(unsound(&Judged { problems: resolved.problems, ..Judged::default() }));
        }
        let spec = self.spec(caller, &judged, plan.digest(), trace, request.no_cache).await?;
        let (id, trace_id) = (spec.id, spec.trace.trace_id.clone());
        let has_blobs = leaves_rows(&judged);
        let submission = Submission {
            spec: Arc::new(spec),
            plan,
            source,
            idempotency_key: Some(request.idempotency_key).filter(|key| !key.is_empty()),
            relock: request.relock && !resolved.all,
            asked: Some(Entry { trace_id: trace_id.clone(), ..Entry::of(caller, "run.start", id.to_string()) }),
        };
        let submitted = traces::within(Some(root), self.store.submit(submission)).await;
        if has_blobs {
            match &submitted {
                Ok(Submitted::Created(_)) => self.settle(id),
                Ok(Submitted::Existing(_)) | Err(record::Error::TooManyQueued { .. }) => self.forget(id),
                // Where the reply of a commit was lost the run may be there: that shows in a day.
                Err(_) => {}
            }
        }
        let (run, created) = match submitted.map_err(|e| unavailable(&e))? {
            Submitted::Created(_) => (id, true),
            Submitted::Existing(run) => (run, false),
        };
        // The run is durable: where nobody hears this, the next look into the inbox finds it.
        self.engine.say(Word::Posted(None)).await;
        let trace_id = if created { trace_id } else { self.state(run).await?.spec.trace.trace_id.clone() };
        Ok(v1::StartRunResponse { run_id: run.to_string(), created, trace_id, problems_json: json(&judged.problems)? })
    }

    /// What a plan names and this house does not have.
    async fn missing(&self, tenant: &str, plan: &Plan, source: &Source) -> Result<Vec<Problem>, Status> {
        let mut problems = pools::missing(self, tenant, plan, source).await?;
        problems.extend(secrets::missing(&self.engine.sight(), tenant, plan, source));
        problems.sort();
        Ok(problems)
    }

    async fn registered(&self, tenant: &str, digest: &str) -> Result<Arc<Source>, Status> {
        let digest: Digest = digest.parse().map_err(|e| Status::invalid_argument(format!("`{digest}`: {e}")))?;
        let known = self.store.source(tenant.to_owned(), digest).await.map_err(|e| unavailable(&e))?;
        known.ok_or_else(|| Status::not_found(format!("no source {digest} is registered; register it first")))
    }

    /// A new run's parameters: large values are kept as blobs, uploads given to it.
    async fn parameters(&self, tenant: &str, id: RunId, judged: &Judged) -> Result<BTreeMap<String, Produced>, Status> {
        let mut params = judged.parameters.clone();
        if leaves_rows(judged) {
            // Before anything of it is written: who dies until the run is accepted leaves values that no row names.
            Patience::CALL.insist(|| self.blobs.doubt(id), |_| true).await.map_err(|error| away(&error))?;
        }
        for produced in params.values_mut() {
            let outline = || {
                let mut value = produced.value.clone();
                async move { self.blobs.outline(id, &mut value).await.map(|()| value) }
            };
            produced.value = Patience::CALL.insist(outline, |_| true).await.map_err(|error| away(&error))?;
            for attachment in &produced.value.attachments {
                let take = || self.blobs.take_upload(tenant, id, attachment.digest);
                let taken = Patience::CALL.insist(take, |_| true).await.map_err(|error| away(&error))?;
                upload::is_whole(attachment, taken)?;
            }
        }
        Ok(params)
    }

    /// There is no run: what was kept for it leaves, once it can, and nobody waits for that. What does not is found a day later.
    fn forget(&self, id: RunId) {
        let blobs = Arc::clone(&self.blobs);
        tokio::spawn(async move {
            let leave = || async {
                blobs.forget_run(id).await?;
                blobs.settle(id).await
            };
            Patience::ATTEMPT.insist(leave, |_| true).await.ok()
        });
    }

    /// The run is there: its values are in no doubt any more, and nobody waits until that is noted.
    fn settle(&self, id: RunId) {
        let blobs = Arc::clone(&self.blobs);
        tokio::spawn(async move { Patience::CALL.insist(|| blobs.settle(id), |_| true).await.ok() });
    }

    /// What never changes of a new run, its parameters' large values kept apart.
    async fn spec(
        &self,
        caller: &Caller,
        judged: &Judged,
        plan: Digest,
        trace: TraceContext,
        no_cache: bool,
    ) -> Result<RunSpec, Status> {
        let created_at = self.clock.now();
        let id = RunId(uuid::Uuid::new_v7(uuid_time(created_at)));
        let params = match self.parameters(&caller.tenant, id, judged).await {
            Ok(params) => params,
            Err(status) => {
                self.forget(id);
                return Err(status);
            }
        };
        let params = params.into_iter().map(|(name, produced)| (name, Box::new(produced))).collect();
        let Caller { tenant, user, .. } = caller.clone();
        Ok(RunSpec { id, tenant, user, plan, params, trace, created_at, no_cache })
    }
}

/// Whether anything of a run's parameters lies outside its row.
fn leaves_rows(judged: &Judged) -> bool {
    judged.parameters.values().any(|produced| Blobs::takes(&produced.value))
}

/// What a caller whose run was not accepted hears of a blob store that is away.
fn away(error: &qflow_blobs::Error) -> Status {
    let waited = Patience::CALL.most.as_secs();
    Status::unavailable(format!(
        "the blob store has not taken the large parameters of this run for {waited} s ({error}); nothing was accepted, try again in a minute"
    ))
}

/// The caller's trace with a root span of ours under the caller's, or a new one; recorded as was asked for, else as that trace is.
fn trace(asked: &str) -> Result<TraceContext, Status> {
    let caller = traces::current();
    let parent_span_id = caller.as_ref().map(|context| context.span_id.clone());
    let root = caller.unwrap_or_else(traces::TraceContext::root);
    let root = match asked {
        "" => root,
        "always" => root.kept(),
        "never" => traces::TraceContext { sampled: false, ..root },
        other => return Err(Status::invalid_argument(format!("trace is `{other}`, neither `always` nor `never`"))),
    };
    Ok(TraceContext {
        trace_id: root.trace_id,
        span_id: traces::new_span_id(),
        parent_span_id,
        flags: u8::from(root.sampled),
        state: root.tracestate,
    })
}

fn uuid_time(at: Timestamp) -> uuid::Timestamp {
    let (seconds, micros) = (at.0.div_euclid(1_000_000), at.0.rem_euclid(1_000_000));
    uuid::Timestamp::from_unix(uuid::NoContext, seconds.unsigned_abs(), micros as u32 * 1000)
}

fn given(sent: v1::Parameter) -> Result<(String, Given), Status> {
    match sent.value {
        Some(parameter::Value::Text(text)) => Ok((sent.name, Given::Text(text))),
        Some(parameter::Value::Json(json)) => Ok((sent.name, Given::Json(json))),
        Some(parameter::Value::Upload(sent_upload)) => Ok((sent.name, Given::Upload(upload::read(sent_upload)?))),
        None => Err(Status::invalid_argument(format!("parameter `{}` has no value", sent.name))),
    }
}
