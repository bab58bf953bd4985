//! `[tool.qflow] include`: files that go with the modules, by pattern.

use std::{collections::VecDeque, path::Path};

use qflow_model::limits;

use super::{Files, LOOKED_AT, glob};
use crate::exit::{Exit, Fail};

/// Reads what the entry's script block and the root's `pyproject.toml` include.
pub(super) fn include(files: &mut Files<'_>, entry: &str) -> Result<(), Fail> {
    let project = files.project;
    let block = qflow_python_source::script_block(entry).unwrap_or_default();
    let pyproject = project.pyproject.as_deref().unwrap_or_default();
    for (file, text, table) in
        [(project.entry.as_str(), entry, block.as_str()), ("pyproject.toml", pyproject, pyproject)]
    {
        let line =
            text.lines().position(|line| line.trim_start_matches(['#', ' ']).starts_with("include")).unwrap_or(0);
        for pattern in patterns(table, &format!("{}:{}", project.shown(file), line + 1))? {
            one(files, &pattern, (file, text), line + 1)?;
        }
    }
    Ok(())
}

/// The patterns of a table; what is not TOML is told by whoever reads it whole.
fn patterns(table: &str, place: &str) -> Result<Vec<String>, Fail> {
    let table: toml::Table = match table.parse() {
        Ok(table) => table,
        Err(error) if place.contains("pyproject.toml") => {
            return Err(Fail::new(Exit::Invalid, format!("{place}: it is not TOML: {}", error.message())));
        }
        Err(_) => return Ok(Vec::new()),
    };
    let Some(include) = table.get("tool").and_then(|tool| tool.get("qflow")).and_then(|qflow| qflow.get("include"))
    else {
        return Ok(Vec::new());
    };
    let all: Option<Vec<String>> =
        include.as_array().and_then(|all| all.iter().map(|one| one.as_str().map(str::to_owned)).collect());
    all.ok_or_else(|| {
        Fail::new(Exit::Invalid, format!("{place}: include is no list of patterns; write include = [\"sql/*.sql\"]"))
    })
}

fn one(files: &mut Files<'_>, pattern: &str, told: (&str, &str), line: usize) -> Result<(), Fail> {
    let wrong = |why: String| {
        let message = format!("{}:{line}: include \"{pattern}\": {why}", files.project.shown(told.0));
        Fail::new(Exit::Invalid, message)
    };
    let found = glob::find(&files.project.root, pattern).map_err(wrong)?;
    if found.is_empty() {
        let folder = files.project.root.join(pattern).is_dir();
        let remedy = if folder {
            "it is a folder: write its files as in \"data/*\" or \"data/**\""
        } else {
            "patterns count from the root"
        };
        let message = format!("include \"{pattern}\" matches no file below {}", files.project.root.display());
        files.warn(told, line, ("include-nothing", message), remedy);
    }
    let mut modules = VecDeque::new();
    for path in found {
        if files.texts.contains_key(&path) || files.texts.len() >= LOOKED_AT {
            continue;
        }
        if Path::new(&path).extension().is_some_and(|extension| extension == "py") {
            modules.push_back(path);
        } else {
            let text = files.read(&path, limits::SUBMISSION_BYTES, "a submission")?;
            files.texts.insert(path, text);
        }
    }
    files.wanted.append(&mut modules);
    Ok(())
}
