//! The end of an attempt: its result is taken, its outcome kept, its container given back.

use qflow_model::{
    definition::TypeText,
    ids::Digest,
    outcome::{Ending, Failure, Outcome},
    progress::KillReason,
    status::FailureClass,
    value::ValueRef,
};
use qflow_proto::order::Order;
use qflow_telemetry::{
    ErrorInfo, Event, TraceContext,
    labels::{DataSize, Open, Python, Serialization, TypeName},
};
use qflow_types::Ty;

use super::{Over, Progress, Runner, Word, carry::size, prepare::laid_out};
use crate::{
    content::Contents,
    ending::{certificate, failed, failure, killed, node_ref, timed_out},
    harness::EndedSaid,
    pool::Container,
};

impl Runner {
    /// The last word, by which a result counts or does not.
    pub(super) fn ended(progress: &mut Progress<'_>, said: EndedSaid) -> Over {
        progress.phases.user_code_ms = said.user_code_ms;
        let healthy = said.clean && !said.oom;
        let ending = match (said.ok, progress.why, progress.value.take()) {
            (true, _, Some(Ok(produced))) => Ending::Completed(Box::new(produced)),
            (true, _, Some(Err(ending))) => ending,
            (true, _, None) => failed(FailureClass::User, "protocol", "the attempt returned without a value"),
            (false, Some(KillReason::TimedOut), _) => timed_out(progress.order.timeout_ms),
            (false, Some(reason), _) => killed(reason),
            (false, None, _) => match failure(&said) {
                mut late if late.error_type == "timeout" && progress.order.timeout_ms.is_some() => {
                    // The harness tells where the code stood; what it was too late for is told here.
                    if let Ending::TimedOut(limit) = timed_out(progress.order.timeout_ms) {
                        late.message = limit.message;
                    }
                    Ending::TimedOut(Box::new(late))
                }
                failure => Ending::Failed(Box::new(failure)),
            },
        };
        Over { ending, said, healthy }
    }

    /// Keeps the outcome, tells that it is there, lets the container go on.
    pub(super) async fn finish(&self, mut progress: Progress<'_>, mut over: Over, container: Option<Container>) {
        let order = progress.order;
        let container_id = container.as_ref().map(|c| c.state.id.clone()).unwrap_or_default();
        if let Ending::Failed(failure) | Ending::TimedOut(failure) = &mut over.ending {
            failure.message = progress.redact(&failure.message);
            failure.traceback = progress.redact(&failure.traceback);
            failure.certificate = Some(Box::new(certificate(order, &progress.last, &over.said, &container_id)));
            let error = ErrorInfo {
                class: failure.class,
                error_type: failure.error_type.clone(),
                message: failure.message.clone(),
                stack_trace: failure.traceback.clone(),
            };
            let node = node_ref(order);
            self.telemetry.emit(Event::PythonError { node, container_id: container_id.clone(), error });
        }
        let oom = out_of_memory(&over);
        over.said.converted_ms.append(&mut progress.converted_ms);
        self.measure(order, &over);
        if over.said.log_lines_dropped > 0 {
            self.telemetry.emit(Event::UserLinesLost { node: node_ref(order), lost: over.said.log_lines_dropped });
        }
        let mut warnings = progress.warnings.clone();
        let log = self.write_log(order).await.unwrap_or_else(|error| {
            warnings.push(self.owe_lines(order, &error));
            None
        });
        warnings.extend(over.said.warnings.iter().map(|warning| progress.redact(warning)));
        let outcome = Outcome {
            ending: over.ending,
            phases: progress.phases,
            container_id,
            peak_memory_bytes: over.said.peak_memory_bytes,
            cpu_seconds: over.said.cpu_seconds,
            log_lines: over.said.log_lines,
            log_lines_dropped: over.said.log_lines_dropped,
            log,
            warnings,
        };
        let kept = self.keep(order, &outcome).await;
        if let Err(error) = &kept {
            // The lease will run out and the attempt be given anew.
            self.telemetry
                .emit(Event::error("outcome_not_kept", error.to_string()).with("attempt", order.key.to_string()));
        }
        let reason = if oom { "oom" } else { "killed" };
        let mut container = container;
        if let Some(container) = &container {
            container.link.ack(progress.seen).await;
            let laid_out = laid_out(container);
            if laid_out.exists() {
                // What stays goes with the container.
                tokio::fs::remove_dir_all(laid_out).await.ok();
            }
        }
        Contents::forget(&self.spool.contents(order.key));
        // A container that goes on is there before its run's next attempt is asked for.
        if over.healthy
            && let Some(container) = container.take()
        {
            self.pool.give_back(container, true, reason);
        }
        self.held.leave(order.key);
        if kept.is_ok() {
            self.say(order, Word::Ended).await;
        }
        if let Some(container) = container {
            self.pool.give_back(container, false, reason);
        }
    }

    /// Keeps the outcome. What may run again is told at once, and synced where nobody acknowledges it soon.
    async fn keep(&self, order: &Order, outcome: &Outcome) -> std::io::Result<()> {
        self.spool.keep(order.key, outcome)?;
        if order.idempotent { Ok(()) } else { self.spool.sync().await }
    }

    fn measure(&self, order: &Order, over: &Over) {
        let Over { ending, said, .. } = over;
        let (metrics, trace) = (self.telemetry.metrics(), TraceContext::parse(&order.traceparent));
        metrics.container_cpu_seconds().add(said.cpu_seconds);
        metrics.container_throttled().add(said.throttled_seconds);
        if said.peak_memory_bytes > 0 {
            let share = said.peak_memory_bytes as f64 / order.resources.memory_bytes.max(1) as f64;
            metrics.container_peak_memory().record_in(share, trace.as_ref());
        }
        if let Ending::Completed(produced) = ending {
            let (form, size) = (form(&produced.value), DataSize::bytes(size(&produced.value)));
            metrics.serialization(form, size).record_in(said.serialized_ms / 1e3, trace.as_ref());
        }
        if said.user_code_ms > 0.0 {
            let python = Python::of(&order.lock.python.to_string());
            metrics
                .python_execution(python, Open::of(&order.function))
                .record_in(said.user_code_ms / 1e3, trace.as_ref());
        }
        for converted in &order.conversions {
            let declared = order.types.iter().find(|(name, _)| *name == converted.argument);
            if let Some((took, (_, to))) = said.converted_ms.get(&converted.argument).zip(declared) {
                metrics
                    .type_conversion(self.root(&converted.from), self.root(to))
                    .record_in(took / 1e3, trace.as_ref());
            }
        }
        if out_of_memory(over) {
            metrics.container_oom_kills().increment(1);
        }
    }

    /// A type's root constructor, which is what metrics tell types apart by.
    fn root(&self, ty: &TypeText) -> TypeName {
        let ty = self.declared.read(ty).ok();
        TypeName::of(ty.as_deref().unwrap_or(&Ty::Any).root())
    }

    /// The attempt's lines as one object; its digest.
    async fn write_log(&self, order: &Order) -> Result<Option<Digest>, qflow_blobs::Error> {
        let lines = self.spool.read_lines(order.key);
        if lines.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.blobs.write_log(order.key.run, &order.node_id, order.key.attempt, &lines).await?))
    }
}

/// Whether the container's limit ended the attempt, as the harness or, where it ended that too, the runtime says.
fn out_of_memory(over: &Over) -> bool {
    let dead = |failure: &Failure| failure.error_type == "oom" && failure.mro.is_empty();
    over.said.oom || matches!(&over.ending, Ending::Failed(failure) if dead(failure))
}

/// What a value is written in: what of it is not JSON, where there is any.
fn form(value: &ValueRef) -> Serialization {
    let has = |kind: &str| value.attachments.iter().any(|attachment| attachment.kind == kind);
    let of_attachments = ["pickle", "arrow"].into_iter().find(|kind| has(kind));
    Serialization::of(of_attachments.unwrap_or(if value.attachments.is_empty() { "tagged" } else { "other" }))
}
