//! A node: a function that runs in a container, and what may be said of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Param, Place, PythonVersion, TypeText};
use crate::ids::Digest;

/// Whether attempts may share a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// A container belongs to one run; its attempts follow one another in it.
    #[default]
    Run,
    /// A fresh container per attempt.
    Node,
    /// The same workflow version and user reuse it.
    Shared,
}

/// When and how often a failed attempt is tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// How often after the first attempt.
    pub retries: u32,
    /// The first delay in milliseconds.
    pub backoff_ms: u64,
    /// Doubles with each retry, else stays.
    pub exponential: bool,
    /// Names that the exception's MRO must hold one of, a time-out's being `TimeoutError`'s; empty: any `Exception` and time-out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { retries: 0, backoff_ms: 1000, exponential: true, on: Vec::new() }
    }
}

/// What an attempt may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// Bytes of memory, swap included.
    pub memory_bytes: u64,
    /// Thousandths of a processor.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Bytes of `/tmp`.
    pub tmp_bytes: u64,
    /// Whether it reaches a network.
    pub network: bool,
}

impl Default for Resources {
    fn default() -> Self {
        Self { memory_bytes: 512 << 20, cpu_millis: 1000, pids: 256, tmp_bytes: 256 << 20, network: false }
    }
}

/// The oldest Python that can import a node's files, and what makes it so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// The version.
    pub python: PythonVersion,
    /// What is written there, as the subject of a sentence.
    pub what: String,
    /// Where.
    pub place: Place,
}

/// What a generic function declares: `def first(rows: list[T]) -> T`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generic {
    /// Its variables.
    pub variables: BTreeMap<String, TypeVariable>,
    /// Types of its parameters; `~T` is a variable.
    pub params: BTreeMap<String, TypeText>,
    /// Its declared result.
    pub returns: TypeText,
}

/// A variable of a generic function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TypeVariable {
    /// What it must go where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<TypeText>,
    /// What it is one of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<TypeText>,
    /// What it is where nothing tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<TypeText>,
}

/// A function that runs in a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeDef {
    /// The function's name.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// Its parameters in order.
    pub params: Vec<Param>,
    /// Its declared result.
    pub returns: TypeText,
    /// Its signature with variables in it, where it is generic: in `params` and `returns` each of them is `Any`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generic: Option<Box<Generic>>,
    /// The Python it asks for; else the newest that fits is chosen at plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PythonVersion>,
    /// Requirements as written, those of the file's PEP 723 block included unless `inherit=False`; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<String>,
    /// When it is tried again.
    pub retry: Retry,
    /// Milliseconds an attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What an attempt may use.
    pub resources: Resources,
    /// Environment variables, literal ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Secrets by name, and the variables that each also goes to where `env` says so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Vec<String>>,
    /// The pool whose slots limit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// How many of it may run at once in a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Milliseconds its output is reused for; `u64::MAX` for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_ms: Option<u64>,
    /// Names the code that an output depends on, where outputs are reused: the function, all that it reaches in the submission,
    /// and the options that change what it sees. Comments and layout do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Digest>,
    /// Whether arguments that may fail to convert are converted.
    pub convert: bool,
    /// Whether it may be tried again after it began.
    pub idempotent: bool,
    /// Whether attempts may share a container; a node that does not say has its workflow's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// What its Python must have at least, where it does not say which that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Needs>,
    /// Whether a signature names a frame, so that `pyarrow` is needed.
    pub frames: bool,
    /// Where its `def` stands.
    pub place: Place,
}

impl NodeDef {
    /// The types that it declares: of its parameters, and of its result.
    pub fn declared(&self) -> impl Iterator<Item = &TypeText> {
        self.params.iter().map(|param| &param.ty).chain([&self.returns])
    }
}
