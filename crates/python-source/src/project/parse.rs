//! From the files of a submission to syntax trees, within every bound; what cannot be parsed is told and kept without statements.

use qflow_model::{definition::Source, limits};
use ruff_python_ast::{ModModule, PythonVersion as Target, Stmt};
use ruff_python_parser::{Mode, ParseOptions, Parsed};
use ruff_text_size::{TextRange, TextSize};

use crate::{depth, problems::Problems, text};
use text::Text;

/// Syntax errors of one file that are told: the first causes the rest.
const SYNTAX_ERRORS: usize = 5;
/// Newest syntax that is read.
const NEWEST: Target = Target::PY314;

/// A Python file.
pub(crate) struct File<'a> {
    pub(crate) text: Text<'a>,
    module: Option<Parsed<ModModule>>,
}

impl File<'_> {
    /// Its statements; `None` where it could not be parsed.
    pub(crate) fn suite(&self) -> Option<&[Stmt]> {
        Some(&self.module.as_ref()?.syntax().body)
    }
}

/// Every Python file, in the order of their paths.
pub(crate) fn files<'a>(source: &'a Source, problems: &mut Problems) -> Vec<File<'a>> {
    let bytes: usize = source.files.values().map(String::len).sum();
    if source.files.len() > limits::FILES || bytes > limits::SUBMISSION_BYTES {
        let (count, files, most) = (source.files.len(), limits::FILES, limits::SUBMISSION_BYTES);
        let message =
            format!("{count} files with {bytes} bytes; a submission has at most {files} files and {most} bytes");
        let text = Text::new(&source.entry, "");
        problems.push(text.problem(TextRange::default(), "too-large", message, "send data otherwise than as source"));
        return Vec::new();
    }
    if !source.files.contains_key(&source.entry) {
        let text = Text::new(&source.entry, "");
        let message = format!("the entry file `{}` is not among the files", source.entry);
        problems.push(text.problem(TextRange::default(), "no-entry", message, "send it with the others"));
    }
    let mut parsed = Vec::new();
    for (path, content) in &source.files {
        let text = Text::new(path, content);
        if !is_relative(path) {
            let message = format!("`{path}` does not lie below the submission's root");
            problems.push(text.problem(TextRange::default(), "bad-path", message, "write paths as in src/parts.py"));
            continue;
        }
        if crate::is_python(path) || *path == source.entry {
            let module = module(&text, problems);
            parsed.push(File { text, module });
        }
    }
    parsed
}

/// Whether a path stays below the root on every system.
fn is_relative(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !path.contains(|c: char| c.is_control() || c == '\\')
}

fn module(text: &Text<'_>, problems: &mut Problems) -> Option<Parsed<ModModule>> {
    let content = text.content;
    if content.len() > limits::SOURCE_BYTES {
        let message = format!("{} bytes; a source file has at most {}", content.len(), limits::SOURCE_BYTES);
        problems.push(text.problem(TextRange::default(), "too-large", message, "move data out of the source"));
        return None;
    }
    if let Err(deep) = depth::check(content, Mode::Module) {
        let message = format!("more than {} {}", deep.bound, deep.what);
        let range = TextRange::empty(TextSize::new(deep.byte as u32));
        problems.push(text.problem(range, "too-deep", message, "name parts of it"));
        return None;
    }
    if let Some((at, turning)) = content.char_indices().find(|(_, c)| text::turns(*c)) {
        let range = TextRange::at(TextSize::new(at as u32), TextSize::of(turning));
        let message = format!(
            "a character that turns the direction of text (U+{:04X}): code may read other than it runs",
            turning as u32
        );
        let remedy = format!("write it as an escape: \"\\u{:04x}\"", turning as u32);
        problems.push(text.warning(range, "bidi-character", message, &remedy));
    }
    let options = ParseOptions::from(Mode::Module).with_target_version(NEWEST);
    let module = ruff_python_parser::parse_unchecked(content, options).try_into_module()?;
    for error in module.errors().iter().take(SYNTAX_ERRORS) {
        let message = lower(&error.error.to_string());
        problems.push(text.problem(error.location, "syntax", message, "correct the syntax"));
    }
    // Syntax that no Python has yet, or none any more.
    let unsupported = module.unsupported_syntax_errors();
    for error in unsupported.iter().take(SYNTAX_ERRORS) {
        let message = lower(&error.to_string());
        problems.push(text.problem(error.range, "syntax", message, "write it as Python has it"));
    }
    (module.errors().is_empty() && unsupported.is_empty()).then_some(module)
}

/// Messages begin in lower case, except where a name does, and have no full stop.
fn lower(message: &str) -> String {
    let message = message.trim_end_matches('.');
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => message.to_owned(),
    }
}
