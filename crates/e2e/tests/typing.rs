//! What mypy and pyright say of workflows with the SDK's stubs: they accept what is right, and find the errors that Qflow finds.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use qflow_e2e::{Home, root, said};
use serde_json::Value;

/// What stands for the installed packages that workflows import: their stubs are not ours to check.
const FOREIGN: [&str; 2] = ["reportMissingImports", "reportMissingModuleSource"];
/// Folders of files that are meant to be right.
const RIGHT: [&str; 4] = ["examples", "docs/examples/python", "crates/e2e/cases", "crates/cli/templates"];

/// Where the checkers' programs are.
static CHECKERS: LazyLock<PathBuf> = LazyLock::new(|| {
    let made = Command::new(root().join("deploy/local/checkers")).output().expect("the script starts");
    assert!(made.status.success(), "{}", said(&made));
    PathBuf::from(String::from_utf8_lossy(&made.stdout).trim())
});

/// Every Python file under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "py") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Lines with an error, as `file:line: what`, by file and line.
type Errors = BTreeMap<(PathBuf, usize), String>;

fn mypy(folder: &Path, files: &[PathBuf]) -> Errors {
    let mut command = Command::new(CHECKERS.join("mypy"));
    command.args(["--strict", "--ignore-missing-imports", "--explicit-package-bases", "--no-color-output"]);
    command.args(["--python-version", "3.12", "--hide-error-context", "--no-error-summary", "--cache-dir"]);
    // Of a project in the `src` layout, as pyright sees it by itself.
    command.env("MYPYPATH", folder.join("src"));
    command.arg(CHECKERS.join("../mypy-cache")).args(files).current_dir(folder);
    let output = command.output().expect("mypy starts");
    assert!(output.status.code().is_some_and(|code| code < 2), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = text.lines().filter_map(|line| {
        let (place, what) = line.split_once(": error: ")?;
        let (file, line) = place.rsplit_once(':')?;
        Some(((folder.join(file), line.parse().ok()?), what.to_owned()))
    });
    errors.collect()
}

fn pyright(folder: &Path, files: &[PathBuf]) -> Errors {
    let mut command = Command::new(CHECKERS.join("pyright"));
    command.env("PYRIGHT_PYTHON_CACHE_DIR", CHECKERS.join("../pyright")).env("PYRIGHT_PYTHON_IGNORE_WARNINGS", "1");
    command.args(["--outputjson", "--pythonversion", "3.12", "--pythonpath"]).arg(CHECKERS.join("python"));
    let output = command.args(files).current_dir(folder).output().expect("pyright starts");
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("pyright prints JSON: {e}\n{}", said(&output)));
    let checked = told["summary"]["filesAnalyzed"].as_u64().unwrap_or_default();
    assert_eq!(usize::try_from(checked), Ok(files.len()), "pyright read every file: {}", said(&output));
    let problems = told["generalDiagnostics"].as_array().expect("a list of problems");
    let ours = problems.iter().filter(|problem| {
        problem["severity"] == "error" && !FOREIGN.contains(&problem["rule"].as_str().unwrap_or_default())
    });
    let errors = ours.map(|problem| {
        let line = problem["range"]["start"]["line"].as_u64().and_then(|line| usize::try_from(line).ok());
        let file = PathBuf::from(problem["file"].as_str().unwrap_or_default());
        ((file, line.map_or(0, |line| line + 1)), problem["message"].as_str().unwrap_or_default().to_owned())
    });
    errors.collect()
}

/// A folder that modules are imported from, and its files: one of those above, or one directly below it.
fn roots() -> Vec<(PathBuf, Vec<PathBuf>)> {
    let mut all: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for folder in RIGHT {
        let top = root().join(folder);
        for file in files(&top) {
            let inside = file.strip_prefix(&top).expect("it lies there");
            let root = match inside.components().count() {
                1 => top.clone(),
                _ => top.join(inside.components().next().expect("a path has parts")),
            };
            all.entry(root).or_default().push(file);
        }
    }
    all.into_iter().collect()
}

#[test]
fn checkers_accept_every_file_that_is_meant_to_be_right() {
    let roots = roots();
    assert!(roots.iter().map(|(_, files)| files.len()).sum::<usize>() > 10, "{roots:?}");
    for (folder, files) in roots {
        assert_eq!(mypy(&folder, &files), Errors::new(), "mypy --strict");
        assert_eq!(pyright(&folder, &files), Errors::new(), "pyright");
    }
}

/// Files of the SDK that are typed in its stubs, not in themselves.
const STUBBED: [&str; 4] = ["__init__.py", "_inside.py", "_runtime.py", "_values.py"];

#[test]
fn checkers_accept_the_client() {
    let folder = root().join("python");
    let is_typed = |file: &PathBuf| !STUBBED.iter().any(|name| file.ends_with(name));
    let client: Vec<PathBuf> = files(&folder.join("qflow")).into_iter().filter(is_typed).collect();
    assert!(client.iter().any(|file| file.ends_with("client.py")), "{client:?}");
    assert_eq!(mypy(&folder, &client), Errors::new(), "mypy --strict");
    assert_eq!(pyright(&folder, &client), Errors::new(), "pyright");
}

/// Lines of a file that are marked for one of those that read it.
fn marked(text: &str, reader: &str) -> BTreeSet<usize> {
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let mark = line.rsplit_once("# expect").map(|(_, rest)| rest.trim_start_matches(": "));
        mark.is_some_and(|mark| mark.is_empty() || mark == reader)
    });
    lines.map(|(at, _)| at + 1).collect()
}

#[test]
fn qflow_and_the_checkers_find_the_same_errors() {
    let (folder, home) = (root().join("crates/e2e/typing"), Home::new("process"));
    let file = folder.join("wrong.py");
    let text = std::fs::read_to_string(&file).expect("the file is there");
    let only = std::slice::from_ref(&file);

    let output = home.run(&["validate", file.to_str().expect("a path of text"), "-o", "json"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let told: Value = serde_json::from_slice(&output.stdout).expect("stdout is one object");
    let problems = told["problems"].as_array().expect("a list of problems");
    let errors = problems.iter().filter(|problem| problem["warning"] != true);
    let lines = errors.filter_map(|problem| problem["place"]["line"].as_u64()).filter_map(|l| usize::try_from(l).ok());
    assert_eq!(lines.collect::<BTreeSet<_>>(), marked(&text, "qflow"), "qflow validate: {told:#}");

    for (name, errors) in [("mypy", mypy(&folder, only)), ("pyright", pyright(&folder, only))] {
        let lines: BTreeSet<usize> = errors.keys().map(|(_, line)| *line).collect();
        assert_eq!(lines, marked(&text, "checkers"), "{name}: {errors:#?}");
    }
}
