//! How an attempt ended, told from what the harness said and what became of its container. Pure.

use qflow_model::{
    outcome::{DeathCertificate, Ending, Failure},
    progress::KillReason,
    status::FailureClass,
};
use qflow_proto::order::Order;
use qflow_telemetry::{NodeRef, RunRef, TraceContext};

use crate::{harness::EndedSaid, runtime::Exit};

/// The harness's exit code when its template was killed and it was not.
const TEMPLATE_KILLED: i32 = 71;

/// A file that did not import: the exception's own name stands in the message, and in the MRO for `retry_on`.
pub(crate) fn import(error: Failure) -> Failure {
    Failure {
        class: Some(FailureClass::User),
        message: format!("{}: {}", error.error_type, error.message),
        error_type: "import".into(),
        ..error
    }
}

/// What an attempt failed of, as the harness saw it.
pub(crate) fn failure(said: &EndedSaid) -> Failure {
    let mut failure = said.error.clone().unwrap_or_else(|| {
        let (error_type, message) = match (said.oom, said.signal, said.exit_code) {
            (true, ..) => ("oom", "out of memory: the container's limit was reached".to_owned()),
            (false, Some(signal), _) => ("exit", format!("the process was ended by signal {signal}")),
            (false, None, code) => ("exit", format!("the process exited with code {}", code.unwrap_or_default())),
        };
        Failure { error_type: error_type.into(), message, ..Failure::default() }
    });
    failure.class.get_or_insert(FailureClass::User);
    failure
}

/// How an attempt ended whose container has gone, or did not obey.
pub(crate) fn dead(why: Option<KillReason>, timeout_ms: Option<u64>, exit: Option<Exit>) -> Ending {
    match (why, exit) {
        (Some(KillReason::TimedOut), _) => timed_out(timeout_ms),
        (Some(reason), _) => killed(reason),
        (None, Some(Exit { oom: true, .. })) => {
            failed(FailureClass::User, "oom", "out of memory: the container's limit was reached")
        }
        (None, Some(Exit { code: Some(TEMPLATE_KILLED), .. })) => failed(
            FailureClass::User,
            "exit",
            "the process that attempts are forked from was killed from within: a node may signal its own processes only",
        ),
        (None, exit) => {
            let how = match exit.unwrap_or_default() {
                Exit { signal: Some(signal), .. } => format!("signal {signal}"),
                Exit { code: Some(code), .. } => format!("exit code {code}"),
                _ => "unknown end".to_owned(),
            };
            lost("container_vanished", &format!("the container ended ({how}) while the attempt was in it"))
        }
    }
}

/// An attempt past its time.
pub(crate) fn timed_out(timeout_ms: Option<u64>) -> Ending {
    let message = match timeout_ms {
        Some(ms) => format!("took longer than {} s", ms as f64 / 1e3),
        None => "the run's time was up".to_owned(),
    };
    Ending::TimedOut(Box::new(Failure {
        class: Some(FailureClass::User),
        error_type: "timeout".into(),
        message,
        ..Failure::default()
    }))
}

/// An attempt that was ended by request.
pub(crate) fn killed(reason: KillReason) -> Ending {
    match reason {
        KillReason::TimedOut => Ending::TimedOut(Box::new(Failure {
            class: Some(FailureClass::User),
            error_type: "timeout".into(),
            message: "its time was up before it began".into(),
            ..Failure::default()
        })),
        KillReason::Cancelled | KillReason::Superseded => Ending::Cancelled,
        KillReason::Fenced => {
            lost("fenced", "its runner killed it: the run's orchestrator had not heard of it for 25 s")
        }
    }
}

/// A failure that the runner found.
pub(crate) fn failed(class: FailureClass, error_type: &str, message: impl Into<String>) -> Ending {
    Ending::Failed(Box::new(Failure {
        class: Some(class),
        error_type: error_type.into(),
        message: message.into(),
        ..Failure::default()
    }))
}

/// An attempt that failed through no fault of its own.
pub(crate) fn lost(reason: &str, message: &str) -> Ending {
    Ending::Lost { reason: reason.into(), message: message.into() }
}

/// What was left of an attempt.
pub(crate) fn certificate(
    order: &Order,
    last_lines: &[String],
    said: &EndedSaid,
    container_id: &str,
) -> DeathCertificate {
    DeathCertificate {
        exit_code: said.exit_code,
        signal: said.signal,
        oom: said.oom,
        peak_memory_bytes: said.peak_memory_bytes,
        cpu_seconds: said.cpu_seconds,
        throttled_seconds: said.throttled_seconds,
        last_lines: last_lines.to_vec(),
        image: order.lock.image.clone(),
        lock: Some(order.lock.digest()),
        container_id: container_id.to_owned(),
        trace_id: order.traceparent.split('-').nth(1).unwrap_or_default().to_owned(),
    }
}

/// The attempt as telemetry names it.
pub(crate) fn node_ref(order: &Order) -> NodeRef {
    NodeRef {
        run: RunRef {
            run_id: order.key.run.to_string(),
            workflow: order.workflow.clone(),
            user_id: order.user.clone(),
            python_version: order.lock.python.to_string(),
            trace: TraceContext::parse(&order.traceparent),
        },
        node_id: order.node_id.clone(),
        name: order.function.clone(),
        node_type: "python".into(),
        python_version: order.lock.python.to_string(),
        attempt: order.key.attempt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_is_gone_is_nobodys_fault_unless_the_attempt_was_to_end() {
        let exit = Some(Exit { code: Some(137), ..Exit::default() });
        assert!(matches!(dead(None, None, exit), Ending::Lost { reason, .. } if reason == "container_vanished"));
        assert_eq!(dead(Some(KillReason::Cancelled), None, exit), Ending::Cancelled);
        assert!(matches!(dead(Some(KillReason::TimedOut), Some(1), exit), Ending::TimedOut(_)));
        let forked = Some(Exit { code: Some(TEMPLATE_KILLED), ..Exit::default() });
        assert!(
            matches!(dead(None, None, forked), Ending::Failed(failure) if failure.class == Some(FailureClass::User))
        );
        let oom = Some(Exit { oom: true, ..Exit::default() });
        assert!(matches!(dead(None, None, oom), Ending::Failed(failure) if failure.error_type == "oom"));
    }

    #[test]
    fn an_exit_without_an_exception_tells_code_or_signal() {
        let code = failure(&EndedSaid { exit_code: Some(3), ..EndedSaid::default() });
        assert_eq!(code.message, "the process exited with code 3");
        let signal = failure(&EndedSaid { signal: Some(11), ..EndedSaid::default() });
        assert_eq!(signal.message, "the process was ended by signal 11");
    }
}
