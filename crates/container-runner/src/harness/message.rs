//! The messages between runner and harness, as `docs/HARNESS.md` lists them.

use std::collections::BTreeMap;

use qflow_model::{
    expression::{Answer, Path as ValuePath},
    outcome::Failure,
};
use serde::{Deserialize, Serialize};

/// What the runner says.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Say {
    /// The answer to a hello.
    Welcome {
        /// The last `seq` that arrived.
        ack: u64,
    },
    /// Fork a template and import the user's file.
    Load {
        /// The submission's files.
        files: BTreeMap<String, String>,
        /// The one that was named on the command line.
        entry: String,
        /// The node's.
        file: String,
        /// The node's function: whose attempt it is imported for.
        function: String,
        /// A folder of packages.
        site: Option<String>,
        /// Environment variables.
        env: BTreeMap<String, String>,
        /// Where to lay files out.
        workdir: String,
    },
    /// Run one attempt.
    Attempt(Box<AttemptSay>),
    /// End an attempt.
    Kill {
        /// Which.
        attempt: String,
        /// Milliseconds between SIGTERM and SIGKILL.
        grace_ms: u64,
    },
    /// Everything up to here is safe.
    Ack {
        /// The sequence.
        seq: u64,
    },
    /// Leave.
    Exit,
}

/// One attempt, for the harness; bytes of the arguments follow.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptSay {
    /// Its key as text.
    pub attempt: String,
    /// The function's name.
    pub function: String,
    /// Its file.
    pub file: String,
    /// The declared result.
    pub returns: String,
    /// Declared types of the parameters.
    pub types: BTreeMap<String, String>,
    /// Parameters whose values are converted to their declared types, and whether what does not convert fails.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub converts: BTreeMap<String, bool>,
    /// What to answer about the result.
    pub asks: Vec<ValuePath>,
    /// What `qflow.current()` gives.
    pub current: serde_json::Value,
    /// W3C trace context.
    pub traceparent: String,
    /// Milliseconds it may take.
    pub deadline_ms: Option<u64>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Processes that it may start, where nothing else bounds them.
    pub pids: Option<u32>,
    /// Whether it may reach a network.
    pub network: bool,
    /// Whether it is kept from what it may not reach.
    pub isolated: bool,
    /// The environment's lock, and whose run it is: what a pickle is bound to.
    pub lock: String,
    /// Whose run it is.
    pub user: String,
    /// Bytes of the arguments' object.
    pub size: u64,
    /// What follows the object.
    pub attachments: Vec<AttachmentHead>,
}

/// An attachment: one that follows a message, one that came ahead of it in pieces, or one that lies in the container's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentHead {
    /// `arrow`, `npy`, `bytes`, `file`, `folder`, `pickle`.
    pub kind: String,
    /// Bytes that follow the message.
    #[serde(default)]
    pub size: u64,
    /// To the runner: which content that came ahead it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<u32>,
    /// To the harness: where it lies, as seen inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A piece of content that a result will refer to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Piece {
    /// Of which attempt.
    pub attempt: String,
    /// Which content, counted from 0.
    pub content: u32,
    /// Where in it.
    pub offset: u64,
    /// Bytes that follow.
    pub size: u64,
    /// Whether the content is whole with it.
    pub last: bool,
}

/// A line that user code wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Grows by one per line of the attempt.
    pub sequence: u64,
    /// Microseconds since 1970.
    pub at_us: i64,
    /// `stdout`, `stderr`, `log`.
    pub stream: String,
    /// The text.
    pub text: String,
    /// What `qflow.log` was given by name.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// How an attempt ended, as the harness saw it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EndedSaid {
    /// Which.
    pub attempt: String,
    /// Whether it returned.
    pub ok: bool,
    /// Why not.
    pub error: Option<Failure>,
    /// The child's exit code.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the cgroup's `oom_kill` counter moved.
    pub oom: bool,
    /// Peak resident memory.
    pub peak_memory_bytes: u64,
    /// Processor seconds.
    pub cpu_seconds: f64,
    /// Seconds for which the cgroup was throttled.
    pub throttled_seconds: f64,
    /// Milliseconds in the function.
    pub user_code_ms: f64,
    /// Milliseconds in which the result was written.
    pub serialized_ms: f64,
    /// Milliseconds that each converted argument took.
    pub converted_ms: BTreeMap<String, f64>,
    /// Lines kept.
    pub log_lines: u64,
    /// Lines dropped.
    pub log_lines_dropped: u64,
    /// For the user.
    pub warnings: Vec<String>,
    /// Whether nothing that it started is left.
    #[serde(default = "yes")]
    pub clean: bool,
}

fn yes() -> bool {
    true
}

/// What the harness says.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Said {
    /// The first after dialing.
    Hello {
        /// Shows that it is ours.
        token: String,
        /// The interpreter's version.
        python: String,
        /// The zygote's process.
        pid: i64,
    },
    /// The user's file is imported.
    Loaded {
        /// Which.
        file: String,
        /// How long it took.
        ms: f64,
        /// Attempts start fresh.
        #[serde(default)]
        threads: bool,
        /// What it printed: the first lines of the attempt it is imported for.
        #[serde(default)]
        lines: Vec<Line>,
    },
    /// The user's file did not import.
    LoadFailed {
        /// Which.
        file: String,
        /// Why.
        error: Failure,
        /// What it printed.
        #[serde(default)]
        lines: Vec<Line>,
    },
    /// After a redial, and after what was sent again.
    Resumed {
        /// The attempt that is in the container.
        attempt: Option<String>,
    },
    /// The child was forked.
    Started {
        /// Which.
        attempt: String,
    },
    /// Lines.
    Logs {
        /// Of which.
        attempt: String,
        /// In order.
        lines: Vec<Line>,
    },
    /// What user code says of its progress.
    Progress {
        /// Of which.
        attempt: String,
        /// 0 to 1.
        fraction: f64,
    },
    /// A span that user code made.
    Span(SpanSaid),
    /// A piece of content; its bytes follow.
    Content(Piece),
    /// The value; its bytes follow.
    Result {
        /// Of which.
        attempt: String,
        /// Bytes of the encoding.
        size: u64,
        /// Elements, where there is an offset table.
        #[serde(default)]
        items: Option<u32>,
        /// Answers to the asks.
        #[serde(default)]
        answers: Vec<Answer>,
        /// What follows the encoding.
        #[serde(default)]
        attachments: Vec<AttachmentHead>,
    },
    /// The attempt is over.
    Ended(EndedSaid),
}

/// A span that user code made.
#[derive(Clone, Debug, Deserialize)]
pub struct SpanSaid {
    /// Of which attempt.
    pub attempt: String,
    /// Its name.
    pub name: String,
    /// Its id in hex.
    pub span_id: String,
    /// Its parent's.
    #[serde(default)]
    pub parent_id: Option<String>,
    /// Start in microseconds since 1970.
    pub start_us: i64,
    /// End in microseconds since 1970.
    pub end_us: i64,
    /// Its attributes.
    #[serde(default)]
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
}
