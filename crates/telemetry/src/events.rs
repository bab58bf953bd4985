//! What happens, said once: an event becomes a log line, the counters and histograms that follow from it.

use qflow_model::{
    outcome::Phases,
    status::{FailureClass, NodeStatus, RunStatus},
};

use crate::traces::TraceContext;

/// Which run an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunRef {
    /// The run's id.
    pub run_id: String,
    /// The workflow's name in its file.
    pub workflow: String,
    /// Who started it.
    pub user_id: String,
    /// Its one Python version, else `mixed`.
    pub python_version: String,
    /// The trace, with the span that log lines and exemplars name.
    pub trace: Option<TraceContext>,
}

/// Which node run, and which attempt of it, an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeRef {
    /// The run it belongs to; `run.python_version` is the run's.
    pub run: RunRef,
    /// The node run's id, e.g. `clean[3]`.
    pub node_id: String,
    /// The node's name in its definition: bounded, and so a label.
    pub name: String,
    /// `python`, `workflow`, `wait`, `approval`.
    pub node_type: String,
    /// The node's own Python version.
    pub python_version: String,
    /// The attempt, 1 for the first, 0 where none is meant.
    pub attempt: u32,
}

/// Which container an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerRef {
    /// The container's id, or `process-PID`.
    pub container_id: String,
    /// Its Python version.
    pub python_version: String,
    /// Its image.
    pub image: String,
    /// The node it was made for, where there is one.
    pub node: Option<NodeRef>,
}

/// An error as logs, metrics and spans tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorInfo {
    /// Whose fault, where known.
    pub class: Option<FailureClass>,
    /// The exception's name or a word such as `oom`.
    pub error_type: String,
    /// For people.
    pub message: String,
    /// The traceback, empty where there is none.
    pub stack_trace: String,
}

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For developers.
    Debug,
    /// Ordinary.
    Info,
    /// Someone may want to look.
    Warning,
    /// Someone should look.
    Error,
}

impl Level {
    /// The name in a log line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        }
    }
}

/// A thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// `workflow_start`.
    RunStarted {
        /// The run.
        run: RunRef,
    },
    /// `workflow_complete`, `workflow_error` or `workflow_cancelled`, by the status.
    RunEnded {
        /// The run.
        run: RunRef,
        /// A terminal status.
        status: RunStatus,
        /// From creation to end.
        took_ms: u64,
        /// Why, where it did not complete.
        error: Option<ErrorInfo>,
    },
    /// `node_start`: an attempt began to run.
    NodeStarted {
        /// The attempt.
        node: NodeRef,
        /// Where it runs, where known.
        container_id: Option<String>,
        /// From ready to start, in milliseconds.
        queued_ms: Option<f64>,
    },
    /// `node_complete` or `node_error`, by the status: a node run reached its end.
    NodeEnded {
        /// The last attempt.
        node: NodeRef,
        /// A terminal status.
        status: NodeStatus,
        /// From its first start to its end.
        took_ms: u64,
        /// Where the last attempt's time went.
        phases: Option<Phases>,
        /// Whether a warm container took it.
        warm: bool,
        /// Why, where it did not complete.
        error: Option<ErrorInfo>,
    },
    /// `node_retry`: an attempt failed and another will follow.
    NodeRetry {
        /// The attempt that failed.
        node: NodeRef,
        /// `user`, `platform`, `timeout`: why it is tried again.
        reason: String,
        /// The wait before the next attempt.
        delay_ms: u64,
        /// What failed.
        error: Option<ErrorInfo>,
    },
    /// `container_created`.
    ContainerCreated {
        /// The container.
        container: ContainerRef,
        /// How long it took, in milliseconds.
        took_ms: f64,
    },
    /// `container_started`: its harness has said hello.
    ContainerStarted {
        /// The container.
        container: ContainerRef,
        /// From the request to the hello, in milliseconds.
        took_ms: f64,
    },
    /// `container_stopped`.
    ContainerStopped {
        /// The container.
        container: ContainerRef,
        /// `retired`, `idle`, `run_ended`, `killed`, `oom`, `exited`, `shutdown`.
        reason: String,
        /// Its exit code, where known.
        exit_code: Option<i64>,
    },
    /// `container_error`.
    ContainerError {
        /// The container.
        container: ContainerRef,
        /// What went wrong.
        error: ErrorInfo,
    },
    /// `environment_prepared`: requirements were installed, or failed to be locked or installed.
    EnvironmentPrepared {
        /// `lock`, `install`: how far it came.
        step: &'static str,
        /// Its Python version.
        python_version: String,
        /// How many packages.
        packages: u64,
        /// How long, in milliseconds.
        took_ms: f64,
        /// What went wrong.
        error: Option<ErrorInfo>,
    },
    /// `python_error`: user code raised; carries the traceback.
    PythonError {
        /// The attempt.
        node: NodeRef,
        /// Where it ran.
        container_id: String,
        /// What it raised.
        error: ErrorInfo,
    },
    /// `user_line`: a line that user code wrote.
    UserLine {
        /// The attempt.
        node: NodeRef,
        /// Its number within the attempt.
        sequence: u64,
        /// `stdout`, `stderr`, `raw`.
        stream: String,
        /// The text.
        text: String,
        /// What `qflow.log` was given by name.
        fields: serde_json::Map<String, serde_json::Value>,
    },
    /// `user_lines_lost`: a gap.
    UserLinesLost {
        /// The attempt.
        node: NodeRef,
        /// How many lines were lost.
        lost: u64,
    },
    /// `service_listening`.
    ServiceListening {
        /// Which listener, e.g. `grpc`, `http`, `admin`.
        listener: &'static str,
        /// The address, with the port that was chosen.
        address: String,
    },
    /// `type_validated`: edges of a workflow were checked.
    TypeValidated {
        /// The workflow.
        workflow: String,
        /// Source constructor, target constructor, assignable: one for each edge.
        edges: Vec<(String, String, bool)>,
        /// How long, in milliseconds.
        took_ms: f64,
        /// The trace.
        trace: Option<TraceContext>,
    },
    /// Anything else that is worth a line and no metric.
    Note {
        /// How grave.
        level: Level,
        /// A snake-case name for `event.action`, e.g. `store_recovered`.
        action: &'static str,
        /// For people.
        message: String,
        /// Facts, by snake-case names.
        fields: Vec<(&'static str, serde_json::Value)>,
    },
}

impl Event {
    /// An informational note.
    pub fn info(action: &'static str, message: impl Into<String>) -> Self {
        Self::Note { level: Level::Info, action, message: message.into(), fields: Vec::new() }
    }

    /// A warning.
    pub fn warning(action: &'static str, message: impl Into<String>) -> Self {
        Self::Note { level: Level::Warning, action, message: message.into(), fields: Vec::new() }
    }

    /// An error that no other event tells.
    pub fn error(action: &'static str, message: impl Into<String>) -> Self {
        Self::Note { level: Level::Error, action, message: message.into(), fields: Vec::new() }
    }

    /// A note with one more field; other events stay as they are.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<serde_json::Value>) -> Self {
        if let Self::Note { fields, .. } = &mut self {
            fields.push((name, value.into()));
        }
        self
    }
}
