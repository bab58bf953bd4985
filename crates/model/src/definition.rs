//! A workflow's definition: what was written, after reading and before planning. Its JSON form is public (`qflow validate -o json`).

mod conversion;
mod node;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    class::Classes,
    expression::{BranchIx, Condition, Expr},
    ids::{Digest, StepIx},
    schedule::Schedule,
};

pub use conversion::Conversion;
pub use node::{Generic, Isolation, Needs, NodeDef, Resources, Retry, TypeVariable};

/// A place in a source file, for errors and traces; lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The file, relative to the submission's root.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Something wrong with a submission: where, what, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// Past the last character of it, on the same line; equal to the start's column where unknown.
    pub end_column: u32,
    /// A stable name for the kind, e.g. `unsupported-statement`.
    pub code: String,
    /// What is wrong; lower case, no full stop.
    pub message: String,
    /// What to write instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The other end, for an edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<Place>,
    /// The line of source it stands on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub excerpt: String,
    /// A warning does not stop a submission.
    #[serde(default)]
    pub warning: bool,
}

/// The files of a submission, as the client sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The file that was named on the command line.
    pub entry: String,
    /// Text by path relative to the root, `/` between parts.
    pub files: BTreeMap<String, String>,
}

impl Source {
    /// Names the content: equal sources have equal digests.
    pub fn digest(&self) -> Digest {
        let head = [self.entry.as_bytes()];
        Digest::of_parts(
            head.into_iter().chain(self.files.iter().flat_map(|(path, text)| [path.as_bytes(), text.as_bytes()])),
        )
    }
}

/// A type in Qflow's canonical spelling (`list[dict[str, float]]`); `qflow-types` parses and prints it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TypeText(pub String);

impl TypeText {
    /// What an unannotated name has.
    pub fn any() -> Self {
        Self("Any".to_owned())
    }
}

/// A Python version, `3.11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PythonVersion {
    /// 3.
    pub major: u8,
    /// 11.
    pub minor: u8,
}

impl std::fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text that is not `3.MINOR`.
#[derive(Debug, thiserror::Error)]
#[error("a Python version reads like 3.11")]
pub struct NotAVersion;

impl std::str::FromStr for PythonVersion {
    type Err = NotAVersion;
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let (major, minor) = text.split_once('.').ok_or(NotAVersion)?;
        let digits = |part: &str| {
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten().ok_or(NotAVersion)
        };
        Ok(Self { major: digits(major)?, minor: digits(minor)? })
    }
}

impl Serialize for PythonVersion {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PythonVersion {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A parameter of a node or a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its declared type.
    #[serde(rename = "type")]
    pub ty: TypeText,
    /// What it is where not given. A node's default is Python's own: it is only known to exist, and is not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<ParamDefault>,
    /// Where it is written.
    pub place: Place,
}

/// A default of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamDefault {
    /// A value in the tagged form (always so for workflows).
    Value(serde_json::Value),
    /// An expression that only Python evaluates (nodes only).
    Python,
}

/// What a run does when a node has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Independent nodes go on.
    #[default]
    Finish,
    /// They are cancelled.
    Stop,
}

/// What a step calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// A node.
    Node {
        /// The node's name in [`Definition::nodes`].
        function: String,
    },
    /// A workflow of the same submission.
    Workflow {
        /// The workflow's name in [`Definition::workflows`].
        workflow: String,
    },
    /// `sleep(…)`: waits as long, or until, its one argument `duration` says.
    Sleep,
    /// `approval(…)`: waits for a person's answer.
    Approval {
        /// What is asked for: who answers it looks for this name.
        name: String,
        /// Milliseconds after which nobody's answer counts as no.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
    },
}

impl StepKind {
    /// What is called, by the name that the step's id begins with.
    pub fn callee(&self) -> &str {
        match self {
            Self::Node { function } => function,
            Self::Workflow { workflow } => workflow,
            Self::Sleep => "sleep",
            Self::Approval { .. } => "approval",
        }
    }

    /// The node that is called, where it is one.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::Node { function } => Some(function),
            _ => None,
        }
    }
}

/// On which side of a branch something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// The branch.
    pub branch: BranchIx,
    /// Whether its condition must hold.
    pub holds: bool,
}

/// An `if` of the body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// What it asks.
    pub condition: Condition,
    /// Where it stands itself: all must hold, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<Guard>,
    /// Where it is written.
    pub place: Place,
}

/// One call of the body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its id in the run: `fetch`, `fetch-2`.
    pub id: String,
    /// What it calls.
    pub kind: StepKind,
    /// Names of arguments that are lists whose elements go one by one, a call each; of equal length at run time. Empty: one call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<String>,
    /// Each call gives an `Outcome`, and its failure is a value: `settled(fn)`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
    /// Its arguments by the parameter's name; a parameter with a default may lack.
    pub arguments: Vec<(String, Expr)>,
    /// What of them is converted; the type-validator says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conversions: Vec<Conversion>,
    /// What a generic node's result is here, its variables solved; the type-validator says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returns: Option<TypeText>,
    /// Where it stands: all must hold, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<Guard>,
    /// Steps that must have ended before, for the order of statements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<StepIx>,
    /// Where it is written.
    pub place: Place,
}

/// A function that says in which order nodes run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkflowDef {
    /// Its name: the function's, or `@workflow(name=…)`.
    pub name: String,
    /// The function's name.
    pub function: String,
    /// Its parameters in order.
    pub params: Vec<Param>,
    /// Its declared result.
    pub returns: TypeText,
    /// Calls in source order; a step refers only to earlier ones.
    pub steps: Vec<Step>,
    /// Branches in source order.
    pub branches: Vec<Branch>,
    /// What it returns.
    pub result: Expr,
    /// How many attempts may run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Milliseconds a run may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What a run does when a node has failed.
    pub on_failure: OnFailure,
    /// Whether attempts of nodes that do not say may share a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Where its `def` stands.
    pub place: Place,
}

/// All that one submission defines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Nodes by the name that steps call them by: the function's, with the file's before it (`parts.load`) where several have it.
    pub nodes: BTreeMap<String, NodeDef>,
    /// Workflows by name.
    pub workflows: BTreeMap<String, WorkflowDef>,
    /// When workflows start by themselves, by their names. Beside them, since whoever calls one does not start it so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schedules: BTreeMap<String, Schedule>,
    /// What is known of the user's own classes that signatures name.
    #[serde(default, skip_serializing_if = "Classes::is_empty")]
    pub classes: Classes,
    /// `requires-python` of the entry file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_python: Option<String>,
}
