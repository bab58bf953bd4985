//! Real files: those of this repository, and the standard library of a Python that is there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Files of the standard library that are taken.
const LIBRARY: usize = 400;

/// Texts of real files, in a fixed order.
pub(crate) fn files() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths = Vec::new();
    for folder in ["examples", "crates/e2e/cases", "crates/python-source/tests", "python"] {
        walk(&root.join(folder), &mut paths);
    }
    let mut library = Vec::new();
    if let Some(folder) = library_folder() {
        walk(&folder, &mut library);
    }
    library.truncate(LIBRARY);
    paths.extend(library);
    paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir()
            && !name.starts_with(['.', '_'])
            && !matches!(name, "site-packages" | "dist-packages" | "node_modules")
        {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "py") {
            found.push(path);
        }
    }
}

fn library_folder() -> Option<PathBuf> {
    let asked =
        Command::new("python3").args(["-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"]).output().ok()?;
    let folder = PathBuf::from(String::from_utf8(asked.stdout).ok()?.trim());
    folder.is_dir().then_some(folder)
}
