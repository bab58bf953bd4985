//! Reads Python source with ruff's parser; never runs it.

mod annotation;
mod body;
mod calls;
mod classes;
mod code;
mod constant;
mod depth;
mod function;
mod modules;
mod node;
mod options;
mod paths;
mod problems;
mod project;
mod refuse;
mod scope;
mod script;
mod signatures;
mod spans;
mod text;
mod typed;
mod units;
mod versions;

pub use modules::{Import, imported};
use qflow_model::definition::{Definition, Problem, Source};
pub use script::script_block;
pub use signatures::{Signature, Signatures};
pub use spans::Spans;
pub use typed::{NotAType, Types, annotation, with_types};

/// Stack of the thread that reads: what `depth` lets through fits many times over.
const STACK_BYTES: usize = 64 << 20;

/// What `qflow` exports.
pub(crate) const QFLOW_NAMES: &[&str] = &[
    "Abort",
    "Cancelled",
    "Current",
    "File",
    "Folder",
    "Outcome",
    "OutcomeError",
    "Pickle",
    "Retry",
    "approval",
    "cron",
    "current",
    "log",
    "map",
    "node",
    "progress",
    "secret",
    "settled",
    "sleep",
    "span",
    "workflow",
];

/// The same name with a longer life, where `qflow` exports it.
pub(crate) fn known_to_qflow(name: &str) -> Option<&'static str> {
    QFLOW_NAMES.iter().copied().find(|known| *known == name)
}

/// Whether a path is a Python file's.
pub(crate) fn is_python(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extension == "py")
}

/// What a submission's files say, and everything that is wrong with them.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// As far as it could be read.
    pub definition: Definition,
    /// Ordered by place; warnings included.
    pub problems: Vec<Problem>,
    /// How far the calls and arguments of bodies reach.
    pub spans: Spans,
}

/// Reads a submission; never fails: what is wrong is told as problems, all at once.
///
/// Takes milliseconds of processor time: call it on a blocking thread.
pub fn read(source: &Source) -> Read {
    let broken = || Read { problems: vec![broken_down(source)], ..Read::default() };
    on_a_large_stack(|| project::read(source)).unwrap_or_else(broken)
}

/// Reads the signatures of all functions and methods of a submission's files; never fails, and takes what `read` takes.
pub fn signatures(source: &Source) -> Signatures {
    let broken = || Signatures { signatures: Vec::new(), problems: vec![broken_down(source)] };
    on_a_large_stack(|| signatures::read(source)).unwrap_or_else(broken)
}

/// What a function gives that wants a stack of its own; nothing where it panicked.
fn on_a_large_stack<T: Send>(read: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().name("python-source".to_owned()).stack_size(STACK_BYTES);
        let started = reader.spawn_scoped(scope, read);
        started.ok().and_then(|thread| thread.join().ok())
    })
}

fn broken_down(source: &Source) -> Problem {
    let text = text::Text::new(&source.entry, "");
    let remedy = "please report it with the file";
    text.problem(ruff_text_size::TextRange::default(), "internal", "reading broke down", remedy)
}
