//! Problems that only the orchestrator sees, with the place in the source that they are about.

use qflow_model::definition::{NodeDef, Place, Problem, Source};

/// A problem of a node, at its `def`.
pub(super) fn of_node(node: &NodeDef, source: &Source, code: &str, message: String, remedy: String) -> Problem {
    at(node.place.clone(), 0, source, code, message, remedy)
}

/// A problem at a place; `width` characters of its line are meant, 0 for what is not known.
pub(super) fn at(place: Place, width: u32, source: &Source, code: &str, message: String, remedy: String) -> Problem {
    Problem {
        excerpt: line(source, &place).to_owned(),
        end_column: place.column + width,
        place,
        code: code.to_owned(),
        message,
        remedy: Some(remedy).filter(|remedy| !remedy.is_empty()),
        other: None,
        warning: false,
    }
}

/// The line that a place stands on.
fn line<'a>(source: &'a Source, place: &Place) -> &'a str {
    let text = source.files.get(&place.file).map_or("", String::as_str);
    text.lines().nth((place.line as usize).saturating_sub(1)).unwrap_or_default()
}
