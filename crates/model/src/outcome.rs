//! How an attempt ended, and what is known of it afterwards.

use serde::{Deserialize, Serialize};

use crate::{ids::Digest, status::FailureClass, value::Produced};

/// What a warning begins with where an attempt's lines could not be kept as an object.
pub const LINES_NOT_KEPT: &str = "lines were not kept: ";
/// How the warning of an attempt begins whose runner keeps its lines until the blob store takes them, see [`crate::limits::LINES_LATE_MS`].
pub const LINES_LATE: &str =
    "the blob store did not take its lines when it ended; their runner keeps them and tries again: ";

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// With a value.
    Completed(Box<Produced>),
    /// With an error.
    Failed(Box<Failure>),
    /// Its time was up.
    TimedOut(Box<Failure>),
    /// It was killed because it was cancelled.
    Cancelled,
    /// The attempt did not come to run, or its end is unknown, through no fault of its own: an infrastructure retry.
    Lost {
        /// Why, e.g. `runner_lost`, `container_vanished`, `image_missing`.
        reason: String,
        /// More for people.
        message: String,
    },
}

/// Why an attempt failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose fault.
    pub class: Option<FailureClass>,
    /// The exception's name, or `oom`, `timeout`, `exit`, `import`, `environment`, `output_type`, `serialization`, `protocol`, `output_size`.
    pub error_type: String,
    /// One line or a few.
    pub message: String,
    /// The user's traceback, the harness's frames hidden.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub traceback: String,
    /// Names in the exception's MRO, for `retry_on`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mro: Vec<String>,
    /// The user asked that it not be tried again (`qflow.Abort`).
    #[serde(default)]
    pub abort: bool,
    /// The user asked that it be tried again after so many milliseconds (`qflow.Retry`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What was left of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Box<DeathCertificate>>,
}

/// What was left of a failed attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeathCertificate {
    /// The process's exit code, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Whether the cgroup's `oom_kill` counter moved during the attempt.
    pub oom: bool,
    /// Peak resident memory of the child in bytes.
    pub peak_memory_bytes: u64,
    /// Processor seconds of the child.
    pub cpu_seconds: f64,
    /// Seconds for which the cgroup was throttled.
    pub throttled_seconds: f64,
    /// The last lines it wrote.
    pub last_lines: Vec<String>,
    /// The image by id.
    pub image: String,
    /// The environment's lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Digest>,
    /// The container.
    pub container_id: String,
    /// The trace.
    pub trace_id: String,
}

/// Where the time of an attempt went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Phases {
    /// Ready until leased (the orchestrator's).
    pub queued_ms: f64,
    /// Waiting for or making the environment.
    pub environment_ms: f64,
    /// Waiting for or starting the container.
    pub container_ms: f64,
    /// Importing the user's file.
    pub import_ms: f64,
    /// The function itself.
    pub user_code_ms: f64,
    /// Taking the result.
    pub upload_ms: f64,
}

/// What a runner says of an attempt that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// Where its time went.
    pub phases: Phases,
    /// Where it ran.
    pub container_id: String,
    /// Peak resident memory of the child in bytes.
    pub peak_memory_bytes: u64,
    /// Processor seconds of the child.
    pub cpu_seconds: f64,
    /// Lines of log kept, and dropped.
    pub log_lines: u64,
    /// Lines dropped past the bound.
    pub log_lines_dropped: u64,
    /// The log object `runs/{run}/logs/{node}/{attempt}`, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Digest>,
    /// Things the user should know, though it completed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}
