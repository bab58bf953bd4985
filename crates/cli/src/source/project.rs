//! Where a submission's files lie: its root, and the entry's place below it.

use std::path::{Path, PathBuf};

use super::spelled;
use crate::exit::{Exit, Fail};

/// A submission's root and entry.
#[derive(Clone, Debug)]
pub(super) struct Project {
    /// Absolute, without links.
    pub(super) root: PathBuf,
    /// The named file, below the root.
    pub(super) entry: String,
    /// The root as the user would name it, for messages.
    base: PathBuf,
    /// The root's `pyproject.toml`, where it has one.
    pub(super) pyproject: Option<String>,
}

impl Project {
    /// A file below the root as the user would name it.
    pub(super) fn shown(&self, path: &str) -> String {
        self.base.join(path).display().to_string()
    }
}

/// Finds the root of a file: the nearest folder upwards that has a `pyproject.toml`, else its own.
pub(super) fn locate(file: &Path) -> Result<Project, Fail> {
    let shown = file.display();
    let failed = |e: std::io::Error| Fail::usage(format!("read {shown}: {e}"));
    let metadata = std::fs::metadata(file).map_err(failed)?;
    if metadata.is_dir() {
        return Err(Fail::usage(format!("{shown} is a folder; name a file in it")));
    }
    if !metadata.is_file() {
        return Err(Fail::usage(format!("{shown} is not an ordinary file; write it to one")));
    }
    // As Python does it: a script's folder is the one that it really lies in.
    let path = std::fs::canonicalize(file).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let root = folder.ancestors().find(|folder| folder.join("pyproject.toml").is_file()).unwrap_or(folder);
    let unnamed = || Fail::usage(format!("{shown} has no name in UTF-8"));
    let entry = path.strip_prefix(root).ok().and_then(spelled).ok_or_else(unnamed)?;
    let pyproject = pyproject(&root.join("pyproject.toml"))?;
    let deep = entry.split('/').count();
    let base = match file.ancestors().nth(deep) {
        // A link, or a name with `..`, says nothing of where the root is.
        Some(base)
            if std::fs::canonicalize(if base == Path::new("") { Path::new(".") } else { base })
                .is_ok_and(|b| b == root) =>
        {
            base
        }
        _ => root,
    };
    Ok(Project { root: root.to_owned(), entry, base: base.to_owned(), pyproject })
}

fn pyproject(path: &Path) -> Result<Option<String>, Fail> {
    if !path.is_file() {
        return Ok(None);
    }
    let read = std::fs::read_to_string(path);
    read.map(Some).map_err(|e| Fail::new(Exit::Invalid, format!("read {}: {e}", path.display())))
}
