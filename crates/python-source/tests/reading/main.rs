//! What submissions are read as: definitions of the examples and of one topic each, every refusal, and hostile sources.

mod as_python;
mod classes;
mod code;
mod defaults;
mod definitions;
mod examples;
mod files;
mod hostile;
mod never_panics;
#[path = "../pieces/mod.rs"]
mod pieces;
mod refusals;
mod shown;
mod surface;
mod types;
mod versions;

use std::collections::BTreeMap;

use qflow_model::definition::{Problem, Source};

/// A submission of one file.
fn source(entry: &str, text: &str) -> Source {
    Source { entry: entry.to_owned(), files: BTreeMap::from([(entry.to_owned(), text.to_owned())]) }
}

/// The problems of one file `w.py`.
fn problems(text: &str) -> Vec<Problem> {
    qflow_python_source::read(&source("w.py", text)).problems
}

/// The codes of a file's problems.
fn codes(text: &str) -> Vec<String> {
    problems(text).into_iter().map(|problem| problem.code).collect()
}
