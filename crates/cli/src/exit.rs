//! Exit codes, and errors that know theirs.

use qflow_model::status::RunStatus;

/// How the program ends; see the README's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Completed.
    Completed = 0,
    /// The run ended otherwise, or something that none of the others names.
    Failed = 1,
    /// Usage, an unknown or missing parameter, no such file.
    Usage = 2,
    /// The workflow or a value is wrong.
    Invalid = 3,
    /// No server answers.
    Unreachable = 4,
    /// The client's own time-out.
    TimedOut = 124,
    /// Interrupted by the user.
    Interrupted = 130,
}

impl Exit {
    /// What the end of a run means.
    pub fn of_run(status: RunStatus) -> Self {
        if status == RunStatus::Completed { Self::Completed } else { Self::Failed }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fail {
    /// How the program ends.
    pub exit: Exit,
    /// What was tried and went wrong; may have several lines.
    pub message: String,
}

impl Fail {
    /// An error with its exit code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// The command line or a file on it is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }
}

impl From<anyhow::Error> for Fail {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_completed_run_ends_with_0() {
        for status in RunStatus::ALL {
            let expected = u8::from(*status != RunStatus::Completed);
            assert_eq!(Exit::of_run(*status) as u8, expected, "{status}");
        }
    }
}
