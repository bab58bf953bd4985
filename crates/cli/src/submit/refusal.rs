//! Calls that were refused, as people are told and as exit codes have them.

use qflow_model::definition::Problem;
use serde::de::DeserializeOwned;
use tonic::{Code, Status};

use crate::{
    exit::{Exit, Fail},
    problems,
};

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
        return Fail::new(Exit::Unreachable, format!("the server went away ({})", status.message()));
    }
    let exit = exit_of(status.code());
    let hint = match status.code() {
        Code::Unauthenticated => "\nset QFLOW_TOKEN or QFLOW_TOKEN_FILE to the server's token",
        _ => "",
    };
    Fail::new(exit, format!("{}{hint}", status.message()))
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
}
