// What reading promises of every input. The fuzz target and its twin in `crates/python-source` both hold it to this.

use qflow_model::definition::{Definition, Problem, Source};
use qflow_python_source::Read;

/// Whether what was read keeps every promise; else which is broken.
pub(crate) fn kept(source: &Source, read: &Read) -> Result<(), String> {
    for problem in &read.problems {
        told(source, problem).map_err(|why| format!("{why}: {problem:?}"))?;
    }
    if !read.problems.is_sorted() {
        return Err("problems are not in the order of their places".to_owned());
    }
    let json = serde_json::to_string(&read.definition).map_err(|error| format!("no JSON: {error}"))?;
    let again: Definition =
        serde_json::from_str(&json).map_err(|error| format!("its JSON does not read back: {error}"))?;
    if again != read.definition {
        return Err("its JSON reads back as another definition".to_owned());
    }
    Ok(())
}

/// Whether a problem has words, a remedy, and a place that is there.
fn told(source: &Source, problem: &Problem) -> Result<(), &'static str> {
    if problem.code == "internal" {
        return Err("reading broke down");
    }
    if problem.code.is_empty() || problem.message.is_empty() || problem.message.ends_with('.') {
        return Err("no words, or a full stop");
    }
    if problem.remedy.as_ref().is_none_or(String::is_empty) {
        return Err("no remedy");
    }
    let steers = |text: &str| text.contains(|c: char| c.is_control() && c != '\t');
    if steers(&problem.message) || steers(&problem.excerpt) || problem.remedy.as_deref().is_some_and(steers) {
        return Err("a character that steers a terminal");
    }
    let place = &problem.place;
    let text = match source.files.get(&place.file) {
        Some(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        // Of an entry that was not sent there is no text.
        None if place.file == source.entry => "",
        None => return Err("a file that was not sent"),
    };
    let line = lines(text).nth((place.line as usize).wrapping_sub(1)).ok_or("a line that is not there")?;
    let columns = line.chars().count() as u32 + 1;
    if !(1..=columns).contains(&place.column) {
        return Err("a column that is not there");
    }
    if !(place.column..=columns).contains(&problem.end_column) {
        return Err("an end that is not there");
    }
    Ok(())
}

/// Lines as Python has them: ended by `\n`, `\r\n` or `\r`.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let length = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[end + length..]);
        Some(&text[..end])
    })
}
