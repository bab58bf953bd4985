//! Calls that were refused, as people are told and as exit codes have them.

use qflow_model::definition::Problem;
use serde::de::DeserializeOwned;
use tonic::{Code, Status};

use crate::{
    exit::{Exit, Fail},
    problems,
};

/// Which address is meant, where one does not answer.
pub(super) const OVERSEER: &str =
    "it is the health-aggregator's gRPC port (7404): name it with --health-server or QFLOW_HEALTH_SERVER";
/// The same, where another service answers.
const NOT_OVERSEER: &str =
    "this is not the health-aggregator's gRPC port (7404): name that with --health-server or QFLOW_HEALTH_SERVER";

/// The same, where that may be so.
const UNTAKEN: &str = "set QFLOW_TOKEN or QFLOW_TOKEN_FILE to the server's token; \
    or this is not the health-aggregator's gRPC port (7404): name that with --health-server or QFLOW_HEALTH_SERVER";

/// What is wrong with a submission, as the details of a refusal have it.
#[derive(Default, serde::Deserialize)]
struct Details {
    #[serde(default)]
    problems: Vec<Problem>,
    #[serde(default)]
    parameters: Vec<Parameter>,
}

/// A parameter that is not taken.
#[derive(serde::Deserialize)]
struct Parameter {
    message: String,
}

pub(super) fn fail(status: &Status) -> Fail {
    let details: Details = serde_json::from_slice(status.details()).unwrap_or_default();
    // Warnings stop nothing: beside them the message says what does.
    if details.problems.iter().any(|problem| !problem.warning) {
        let renderer = annotate_snippets::Renderer::plain();
        let shown = problems::render(&details.problems, None, &renderer);
        let count = problems::count(&details.problems);
        let parameters: String = details.parameters.iter().map(|one| format!("\n{}", one.message)).collect();
        let told = format!("nothing was started: {count}{parameters}\n\n{}", shown.trim_end());
        return Fail::new(exit_of(status.code()), told);
    }
    // A status that the transport made and no server: the connection broke.
    if std::error::Error::source(status).is_some() {
        return Fail::new(Exit::Unreachable, format!("the server went away ({})", said(status)));
    }
    if is_no_grpc(status) {
        let told = format!("what answers at the server's address does not speak gRPC ({})", said(status));
        return Fail::new(Exit::Unreachable, format!("{told}\nlook at --server and QFLOW_SERVER"));
    }
    let exit = exit_of(status.code());
    let hint = match status.code() {
        Code::Unauthenticated => "\nset QFLOW_TOKEN or QFLOW_TOKEN_FILE to the server's token",
        _ => "",
    };
    Fail::new(exit, format!("{}{hint}", said(status)))
}

/// The same of a call of the health-aggregator at an address: its port is easily taken for another, which no verdict comes of.
pub(super) fn of_overseer(status: &Status, url: &str) -> Fail {
    let (what, remedy) = match status.code() {
        _ if std::error::Error::source(status).is_some() => ("the connection broke", OVERSEER),
        _ if is_no_grpc(status) => ("what answers there does not speak gRPC", NOT_OVERSEER),
        Code::Unimplemented => ("what answers there is another service", NOT_OVERSEER),
        // Tokens are looked at before methods: whoever does not take ours does not say that it is another service.
        Code::Unauthenticated => ("the token is not taken", UNTAKEN),
        Code::Unavailable | Code::DeadlineExceeded => ("no answer", OVERSEER),
        _ => return fail(status),
    };
    Fail::new(Exit::Unreachable, format!("{url}: {what} ({})\n{remedy}", said(status)))
}

/// What a refusal says; where it has no words, what its code means.
fn said(status: &Status) -> &str {
    if status.message().is_empty() { status.code().description() } else { status.message() }
}

/// Whether an answer was none of gRPC: a page, or another protocol. The client has no code of its own for that.
fn is_no_grpc(status: &Status) -> bool {
    let says = |part| status.message().contains(part);
    says("grpc-status header missing") || says("missing grpc-status trailer") || says("invalid compression flag")
}

/// What a refused call means for the exit code.
fn exit_of(code: Code) -> Exit {
    match code {
        Code::InvalidArgument | Code::OutOfRange => Exit::Invalid,
        Code::NotFound => Exit::Usage,
        Code::Unavailable | Code::DeadlineExceeded | Code::Unauthenticated => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

pub(super) fn read<T: DeserializeOwned>(json: &[u8]) -> Result<Option<T>, Fail> {
    if json.is_empty() {
        return Ok(None);
    }
    let wrong =
        |e| Fail::new(Exit::Failed, format!("the server's answer does not read ({e}): is it of another version?"));
    serde_json::from_slice(json).map(Some).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_call_ends_with_the_published_exit_code() {
        assert_eq!(exit_of(Code::InvalidArgument) as u8, 3);
        assert_eq!(exit_of(Code::Unavailable) as u8, 4);
        assert_eq!(exit_of(Code::NotFound) as u8, 2);
        assert_eq!(exit_of(Code::Internal) as u8, 1);
    }

    #[test]
    fn a_port_that_is_not_the_health_aggregators_is_told_as_such_and_is_no_verdict() {
        let told = |code, message: &str| {
            let fail = of_overseer(&Status::new(code, message), "http://127.0.0.1:7405");
            (fail.exit as u8, fail.message)
        };
        for (code, message) in [
            (Code::Unimplemented, "grpc-status header missing, mapped from HTTP status code 404"),
            (Code::Unimplemented, ""),
            (
                Code::Internal,
                "protocol error: received message with invalid compression flag: 60 (valid flags are 0 and 1)",
            ),
        ] {
            let (exit, told) = told(code, message);
            assert_eq!(exit, 4, "{told}");
            let is_whole =
                ["http://127.0.0.1:7405: what answers there", "this is not the health-aggregator's gRPC port"];
            assert!(is_whole.iter().all(|part| told.contains(part)) && !told.contains("()"), "{told}");
        }
        assert_eq!(told(Code::Internal, "broken"), (1, "broken".to_owned()));
        let (exit, told) = told(Code::Unauthenticated, "a valid bearer token is required");
        let both = ["the token is not taken (a valid bearer token is required)", "QFLOW_TOKEN_FILE", "--health-server"];
        assert!(exit == 4 && both.iter().all(|part| told.contains(part)), "{told}");
    }

    #[test]
    fn no_refusal_is_without_words() {
        for code in 1..=16 {
            let fail = fail(&Status::new(Code::from_i32(code), ""));
            assert!(!fail.message.lines().next().unwrap_or_default().is_empty(), "{code}");
        }
        let page = fail(&Status::new(Code::Unknown, "grpc-status header missing, mapped from HTTP status code 302"));
        assert!(page.exit == Exit::Unreachable && page.message.contains("QFLOW_SERVER"), "{}", page.message);
    }
}
