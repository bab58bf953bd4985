//! The files of a submission: the one that was named, those that it imports, and the data that it includes.

mod data;
mod glob;
mod modules;
mod project;
mod shadow;

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
};

use qflow_model::{
    definition::{Place, Problem, Source},
    limits,
};

use crate::exit::{Exit, Fail};
use project::Project;

/// Files that are looked at before a submission counts as past every bound: enough to tell how far past.
const LOOKED_AT: usize = 10 * limits::FILES;
/// Files that are named where a submission is too large.
const NAMED: usize = 3;

/// A submission, and what there is to know of it although it may go.
#[derive(Clone, Debug)]
pub struct Collected {
    /// What is sent.
    pub source: Source,
    /// Names that hide others, patterns that match nothing.
    pub warnings: Vec<Problem>,
}

/// Reads the file, the modules under its root that it imports, and what `[tool.qflow] include` names.
///
/// The root is the nearest folder upwards with a `pyproject.toml`, else the file's own. Modules are looked for as Python does it with
/// the file's folder, the root and its `src` on `sys.path`.
pub fn collect(file: &Path) -> Result<Collected, Fail> {
    let project = project::locate(file)?;
    let mut files = Files { project: &project, texts: BTreeMap::new(), wanted: VecDeque::new(), warnings: Vec::new() };
    files.wanted.push_back(project.entry.clone());
    files.follow()?;
    let entry = files.texts.get(&project.entry).cloned().unwrap_or_default();
    data::include(&mut files, &entry)?;
    files.follow()?;
    shadow::packages(&mut files, &entry);
    let Files { texts, mut warnings, .. } = files;
    within(file, &texts)?;
    warnings.sort();
    warnings.dedup();
    Ok(Collected { source: Source { entry: project.entry.clone(), files: texts }, warnings })
}

/// What has been read, and what is still to be.
struct Files<'p> {
    project: &'p Project,
    /// By path below the root.
    texts: BTreeMap<String, String>,
    /// Modules that were found and not read.
    wanted: VecDeque<String>,
    warnings: Vec<Problem>,
}

impl Files<'_> {
    /// Reads what is wanted, and what that imports.
    fn follow(&mut self) -> Result<(), Fail> {
        while let Some(path) = self.wanted.pop_front() {
            if self.texts.contains_key(&path) || self.texts.len() >= LOOKED_AT {
                continue;
            }
            let text = self.read(&path, limits::SOURCE_BYTES, "a source file")?;
            for import in qflow_python_source::imported(&text) {
                let found = modules::resolve(self.project, &path, &import.module);
                self.warnings.extend(shadow::python(&path, &text, &import, &found));
                self.wanted.extend(found);
            }
            self.texts.insert(path, text);
        }
        Ok(())
    }

    /// A file below the root, as text and within a bound.
    fn read(&self, path: &str, bound: usize, what: &str) -> Result<String, Fail> {
        let full = self.project.root.join(path);
        let shown = self.project.shown(path);
        let failed = |e: std::io::Error| Fail::usage(format!("read {shown}: {e}"));
        let target = std::fs::canonicalize(&full).map_err(failed)?;
        if !target.starts_with(&self.project.root) {
            let (target, root) = (target.display(), self.project.root.display());
            let remedy = "copy the file, or put pyproject.toml where both lie below it";
            return Err(Fail::new(Exit::Invalid, format!("{shown} is a link to {target}, out of {root}: {remedy}")));
        }
        let size = std::fs::metadata(&target).map_err(failed)?.len();
        if size > bound as u64 {
            return Err(Fail::new(Exit::Invalid, format!("{shown} has {size} bytes; {what} has at most {bound}")));
        }
        let bytes = std::fs::read(&target).map_err(failed)?;
        String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            Fail::new(Exit::Invalid, format!("{shown} is not UTF-8 at byte {at}; files are sent as text"))
        })
    }

    /// Something to know at a line of a file.
    fn warn(&mut self, (file, text): (&str, &str), line: usize, (code, message): (&str, String), remedy: &str) {
        self.warnings.push(warning((file, text), line, (code, message), remedy));
    }
}

/// A warning at a line that counts from 1.
fn warning((file, text): (&str, &str), line: usize, (code, message): (&str, String), remedy: &str) -> Problem {
    let excerpt = text.lines().nth(line.saturating_sub(1)).unwrap_or_default().to_owned();
    let indent = excerpt.chars().take_while(|c| c.is_whitespace()).count() as u32;
    let end_column = excerpt.trim_end().chars().count() as u32 + 1;
    Problem {
        place: Place { file: file.to_owned(), line: line as u32, column: indent + 1 },
        end_column,
        code: code.to_owned(),
        message,
        remedy: Some(remedy.to_owned()),
        other: None,
        excerpt,
        warning: true,
    }
}

/// Whether a submission keeps its bounds.
fn within(file: &Path, texts: &BTreeMap<String, String>) -> Result<(), Fail> {
    let (count, most) = (texts.len(), limits::FILES);
    let shown = file.display();
    if count > most {
        let least = if count >= LOOKED_AT { "at least " } else { "" };
        let message = format!(
            "a submission has at most {most} files; {shown} with what it imports and includes has {least}{count}"
        );
        return Err(Fail::new(Exit::Invalid, message));
    }
    let size = |(path, text): (&String, &String)| path.len() + text.len();
    let (bytes, most) = (texts.iter().map(size).sum::<usize>(), limits::SUBMISSION_BYTES);
    if bytes > most {
        let mut largest: Vec<_> = texts.iter().map(|(path, text)| (text.len(), path)).collect();
        largest.sort_by(|a, b| b.cmp(a));
        let largest: Vec<_> = largest.iter().take(NAMED).map(|(size, path)| format!("{path} has {size}")).collect();
        let message = format!(
            "a submission has at most {most} bytes; {shown} with what it imports and includes has {bytes} ({}); give data as a `File` parameter",
            largest.join(", ")
        );
        return Err(Fail::new(Exit::Invalid, message));
    }
    Ok(())
}

/// A path below the root as submissions spell it.
fn spelled(path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = path.components().map(|part| part.as_os_str().to_str()).collect();
    parts.map(|parts| parts.join("/"))
}

/// The folder of a path below the root.
fn folder(path: &str) -> PathBuf {
    Path::new(path).parent().unwrap_or(Path::new("")).to_owned()
}

#[cfg(test)]
mod tests;
