//! What a runner is told to run: one attempt, complete, so that nothing is asked for on the way.

use std::{collections::BTreeMap, sync::Arc};

use qflow_model::{
    class::Classes,
    definition::{Isolation, Resources, TypeText},
    environment::EnvLock,
    expression::Path,
    ids::AttemptKey,
    value::Argument,
};
use serde::{Deserialize, Serialize};

/// An argument that is converted to its declared type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Converted {
    /// Its name.
    pub argument: String,
    /// The type that it has.
    pub from: TypeText,
    /// Whether some values of that type do not convert, and then fail the attempt.
    pub may_fail: bool,
}

/// One attempt of a node run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Which attempt.
    pub key: AttemptKey,
    /// The node run's id: `fetch[3]`.
    pub node_id: String,
    /// The node's name in its definition.
    pub function: String,
    /// The file the function stands in, one of `files`.
    pub file: String,
    /// The file that was named on the command line, one of `files`.
    #[serde(default)]
    pub entry: String,
    /// The submission's files.
    pub files: Arc<BTreeMap<String, String>>,
    /// The workflow's name.
    pub workflow: String,
    /// Whose run it is.
    pub tenant: String,
    /// Who started it.
    pub user: String,
    /// The arguments by name.
    pub arguments: Vec<(String, Argument)>,
    /// What kind of node each argument comes from, `input` where it is a parameter of the run; literals have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<(String, String)>,
    /// Declared types of the parameters by name.
    pub types: Vec<(String, TypeText)>,
    /// Which arguments are converted to their declared type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conversions: Vec<Converted>,
    /// The declared result.
    pub returns: TypeText,
    /// What is known of the user's own classes that the result may hold, and arguments that are converted.
    #[serde(default, skip_serializing_if = "Classes::is_empty")]
    pub classes: Classes,
    /// What the outcome's header must answer.
    pub asks: Vec<Path>,
    /// The environment.
    pub lock: Arc<EnvLock>,
    /// What it may use.
    pub resources: Resources,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Secrets by name, and the variables that each also goes to.
    pub secrets: BTreeMap<String, Vec<String>>,
    /// Milliseconds it may take.
    pub timeout_ms: Option<u64>,
    /// Whether attempts may share a container.
    pub isolation: Isolation,
    /// Whether it may run again after it began.
    pub idempotent: bool,
    /// The span of this attempt, W3C: `00-TRACE-SPAN-FLAGS`.
    pub traceparent: String,
    /// Stable over attempts, for the user's own idempotency.
    pub idempotency_key: String,
}
