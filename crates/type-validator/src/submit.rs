//! The only file of this crate that names the wire: questions about a source, and about one edge.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use qflow_model::{
    class::Classes,
    definition::{Problem, Source},
    ids::{Digest, Timestamp},
    limits,
    value::Attachment,
};
use qflow_proto::v1::{
    self, parameter,
    type_validator_service_server::{TypeValidatorService, TypeValidatorServiceServer},
};
use qflow_python_source::NotAType;
use qflow_service::Clock;
use qflow_telemetry::{Event, SpanRecord, Telemetry, labels, traces};
use qflow_types::Ty;
use serde::Serialize;
use serde_json::Value;
use tonic::{Request, Response, Status, service::Routes};

use crate::{
    cache::{self, Cache},
    parameters::{self, Given, Text},
    types::{self, Form},
    validate::{self, Inspected},
};

/// The service's routes.
pub fn routes(telemetry: Telemetry, clock: Arc<dyn Clock>, known: Known) -> Routes {
    let server = TypeValidatorServiceServer::new(Server { telemetry, clock, known });
    Routes::new(server.max_decoding_message_size(limits::MESSAGE_BYTES))
}

/// What was read before, and by which program: until that is known nothing is looked up.
#[derive(Clone)]
pub struct Known {
    /// Where it is kept.
    pub cache: Arc<dyn Cache>,
    /// This program.
    pub program: Arc<OnceLock<Digest>>,
}

struct Server {
    telemetry: Telemetry,
    clock: Arc<dyn Clock>,
    known: Known,
}

#[tonic::async_trait]
impl TypeValidatorService for Server {
    async fn validate_workflow(
        &self,
        request: Request<v1::ValidateWorkflowRequest>,
    ) -> Result<Response<v1::ValidateWorkflowResponse>, Status> {
        let request = request.into_inner();
        let sent = request.source.ok_or_else(|| Status::invalid_argument("a source is needed"))?;
        let source = source(sent)?;
        let given = request.parameters.into_iter().map(given).collect::<Result<Vec<_>, _>>()?;
        let (workflow, with_parameters) = (request.workflow, request.with_parameters);
        let (started, asked) = (tokio::time::Instant::now(), self.clock.now());
        let (inspected, read_now) = self.inspected(&source).await?;
        let found = Arc::clone(&inspected);
        // Parameters may be large: not on a thread that others' calls wait for.
        let task = move || judge(&source, &inspected, &workflow, with_parameters.then_some(given));
        let judging = tokio::time::Instant::now();
        let judged = tokio::task::spawn_blocking(task).await;
        if with_parameters {
            let duration = self.telemetry.metrics().type_validation(labels::Validation::of("parameter"));
            duration.record_in(judging.elapsed().as_secs_f64(), traces::current().as_ref());
        }
        let answer = judged.map_err(|_| Status::internal("the parameters could not be read"))??;
        let took_ms = started.elapsed().as_secs_f64() * 1000.0;
        self.trace(asked, found.edges.get(&answer.workflow).map(Vec::as_slice).unwrap_or_default());
        if read_now {
            for (workflow, edges) in found.edges.clone() {
                self.telemetry.emit(Event::TypeValidated { workflow, edges, took_ms, trace: traces::current() });
            }
        }
        Ok(Response::new(answer))
    }

    async fn check_edge(
        &self,
        request: Request<v1::CheckEdgeRequest>,
    ) -> Result<Response<v1::CheckEdgeResponse>, Status> {
        let (request, started, asked) = (request.into_inner(), tokio::time::Instant::now(), self.clock.now());
        let read = |text: &str| qflow_python_source::annotation(text).map_err(not_a_type);
        let (source, target) = (read(&request.source_type)?, read(&request.target_type)?);
        let types::Edge { compatible, reason, conversion } = types::edge(&source, &target, &Classes::new());
        let edges = vec![(source.root().to_owned(), target.root().to_owned(), compatible)];
        self.trace(asked, &edges);
        self.telemetry.emit(Event::TypeValidated {
            workflow: String::new(),
            edges,
            took_ms: started.elapsed().as_secs_f64() * 1000.0,
            trace: traces::current(),
        });
        let conversion = conversion.to_owned();
        Ok(Response::new(v1::CheckEdgeResponse { compatible, reason, conversion }))
    }

    async fn convert_value(&self, request: Request<v1::ValueRequest>) -> Result<Response<v1::ValueResponse>, Status> {
        self.of_value(request.into_inner(), types::convert).await
    }

    async fn check_value(&self, request: Request<v1::ValueRequest>) -> Result<Response<v1::ValueResponse>, Status> {
        self.of_value(request.into_inner(), types::check).await
    }

    async fn describe_type(
        &self,
        request: Request<v1::DescribeTypeRequest>,
    ) -> Result<Response<v1::DescribeTypeResponse>, Status> {
        let asked = self.clock.now();
        let ty = qflow_python_source::annotation(&request.into_inner().r#type).map_err(not_a_type)?;
        let description_json = json(&types::describe(&ty, &Classes::new()))?;
        let of = ty.root().to_owned();
        self.trace(asked, &[(of.clone(), of, true)]);
        Ok(Response::new(v1::DescribeTypeResponse { description_json }))
    }

    async fn infer_signatures(
        &self,
        request: Request<v1::InferSignaturesRequest>,
    ) -> Result<Response<v1::InferSignaturesResponse>, Status> {
        let sent = request.into_inner().source.ok_or_else(|| Status::invalid_argument("a source is needed"))?;
        let (source, asked) = (source(sent)?, self.clock.now());
        let read = tokio::task::spawn_blocking(move || qflow_python_source::signatures(&source)).await;
        let read = read.map_err(|_| Status::internal("the source could not be read"))?;
        let (signatures_json, problems_json) = (json(&read.signatures)?, json(&read.problems)?);
        self.trace(asked, &[]);
        Ok(Response::new(v1::InferSignaturesResponse { signatures_json, problems_json }))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "errors are mapped by value")]
fn not_a_type(wrong: NotAType) -> Status {
    Status::invalid_argument(format!("{wrong}; {}", wrong.remedy))
}

/// Edges whose types a span names: a definition may have thousands.
const TRACED_EDGES: usize = 32;

impl Server {
    /// What a source says, and whether it was read now: else it was before.
    async fn inspected(&self, source: &Source) -> Result<(Arc<Inspected>, bool), Status> {
        let key = self.known.program.get().map(|program| cache::key(source, *program));
        let kept = match key {
            Some(key) => self.known.cache.get(key).await,
            None => None,
        };
        let looked = labels::Cache::of(if kept.is_some() { "hit" } else { "miss" });
        self.telemetry.metrics().cache_requests(labels::CacheName::of("definition"), looked).increment(1);
        if let Some(kept) = kept {
            return Ok((kept, false));
        }
        // Reading takes as long as the source is large: not on a thread that others' calls wait for.
        let source = source.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut took = Duration::ZERO;
            let read = validate::inspect_around(&source, |defaults| {
                let began = tokio::time::Instant::now();
                defaults();
                took = began.elapsed();
            });
            (read, took)
        });
        let (read, took) = read.await.map_err(|_| Status::internal("the source could not be read"))?;
        if read.has_defaults() {
            let duration = self.telemetry.metrics().type_validation(labels::Validation::of("default"));
            duration.record_in(took.as_secs_f64(), traces::current().as_ref());
        }
        let read = Arc::new(read);
        if let Some(key) = key {
            self.known.cache.put(key, &read);
        }
        Ok((read, true))
    }

    /// What is asked of a value, which may be large: not on a thread that others' calls wait for.
    async fn of_value(&self, request: v1::ValueRequest, ask: Asked) -> Result<Response<v1::ValueResponse>, Status> {
        let (started, asked) = (tokio::time::Instant::now(), self.clock.now());
        let task = move || {
            let form = if request.tagged { Form::Tagged } else { Form::Plain };
            let value = types::read(&request.value_json, form)
                .map_err(|error| Status::invalid_argument(format!("the value does not read: {error}")))?;
            let ty = qflow_python_source::annotation(&request.r#type).map_err(not_a_type)?;
            let given = qflow_model::tagged::kind(&value).to_owned();
            let types::Answer { ok, value, reason, path } = ask(&value, form, &ty, &Classes::new());
            let value_json = if ok { json(&value)? } else { Vec::new() };
            Ok::<_, Status>((
                v1::ValueResponse { ok, value_json, reason, path },
                vec![(given, ty.root().to_owned(), ok)],
            ))
        };
        let answered = tokio::task::spawn_blocking(task).await;
        let (answer, edges) = answered.map_err(|_| Status::internal("the value could not be read"))??;
        self.trace(asked, &edges);
        let duration = self.telemetry.metrics().type_validation(labels::Validation::of("value"));
        duration.record_in(started.elapsed().as_secs_f64(), traces::current().as_ref());
        Ok(Response::new(answer))
    }

    /// The validation as a span of the caller's trace, where it has one.
    fn trace(&self, asked: Timestamp, edges: &[(String, String, bool)]) {
        let Some(caller) = traces::current() else { return };
        let (start, end) = (traces::system_time(asked), traces::system_time(self.clock.now()));
        let checked = || edges.iter().take(TRACED_EDGES);
        let compatible = edges.iter().all(|(_, _, compatible)| *compatible);
        let span = SpanRecord::new("type_validation", &caller.child(), start, end)
            .child_of(caller.span_id)
            .with("source_type", checked().map(|(source, ..)| source.clone()).collect::<Vec<_>>())
            .with("target_type", checked().map(|(_, target, _)| target.clone()).collect::<Vec<_>>())
            .with("compatible", compatible)
            .event("validation_start", start)
            .event("validation_complete", end);
        self.telemetry.record_span(span);
    }
}

/// What is asked of a value.
type Asked = fn(&Value, Form, &Ty, &Classes) -> types::Answer;

fn judge(
    source: &Source,
    inspected: &Inspected,
    name: &str,
    given: Option<Vec<Given>>,
) -> Result<v1::ValidateWorkflowResponse, Status> {
    let Inspected { definition, problems, .. } = inspected;
    let mut problems = problems.clone();
    let mut answer = v1::ValidateWorkflowResponse::default();
    let sound = |problems: &[Problem]| problems.iter().all(|problem| problem.warning);
    match validate::choose(definition, name) {
        Ok(workflow) => {
            answer.workflow.clone_from(&workflow.name);
            // All that is wrong in one answer: with the source's errors also those of what was given.
            match given.map(|given| parameters::read(definition, workflow, given)) {
                Some(Ok(read)) if sound(&problems) => answer.parameters_json = json(&read)?,
                Some(Err(errors)) => answer.parameter_errors_json = json(&errors)?,
                _ => {}
            }
        }
        // What does not read has fewer workflows than were written: no word about the choice then. Without a name and without a run in
        // sight, any number of workflows will do.
        Err(_) if !sound(&problems) || (name.is_empty() && given.is_none()) => {}
        Err(choice) => problems.push(choice.problem(source)),
    }
    if sound(&problems) {
        answer.definition_json = json(definition)?;
    }
    answer.problems_json = json(&problems)?;
    Ok(answer)
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Status> {
    serde_json::to_vec(value).map_err(|error| Status::internal(format!("write the answer: {error}")))
}

fn source(sent: v1::Source) -> Result<Source, Status> {
    let bytes: usize = sent.files.iter().map(|file| file.path.len() + file.text.len()).sum();
    if bytes > limits::SUBMISSION_BYTES {
        let bound = limits::SUBMISSION_BYTES;
        return Err(Status::invalid_argument(format!("a submission has at most {bound} bytes, this one {bytes}")));
    }
    if sent.files.len() > limits::FILES {
        let (bound, files) = (limits::FILES, sent.files.len());
        return Err(Status::invalid_argument(format!("a submission has at most {bound} files, this one {files}")));
    }
    let files: BTreeMap<_, _> = sent.files.into_iter().map(|file| (file.path, file.text)).collect();
    if !files.contains_key(&sent.entry) {
        return Err(Status::invalid_argument(format!("the entry `{}` is none of the files", sent.entry)));
    }
    Ok(Source { entry: sent.entry, files })
}

fn given(sent: v1::Parameter) -> Result<Given, Status> {
    let text = match sent.value {
        Some(parameter::Value::Text(text)) => Text::Plain(text),
        Some(parameter::Value::Json(json)) => Text::Json(json),
        Some(parameter::Value::Upload(v1::Upload { digest, size, kind, name })) => {
            let digest = digest.parse().map_err(|e| Status::invalid_argument(format!("upload `{digest}`: {e}")))?;
            Text::Upload { content: Attachment { digest, size, kind }, name }
        }
        None => return Err(Status::invalid_argument(format!("parameter `{}` has no value", sent.name))),
    };
    Ok(Given { name: sent.name, text })
}

/// Asks a service about one edge.
#[cfg(test)]
pub(crate) async fn edge(channel: tonic::transport::Channel, source: &str, target: &str) -> (bool, String) {
    let mut client = v1::type_validator_service_client::TypeValidatorServiceClient::new(channel);
    let request = v1::CheckEdgeRequest { source_type: source.to_owned(), target_type: target.to_owned() };
    let answer = client.check_edge(request).await.unwrap().into_inner();
    (answer.compatible, answer.reason)
}
