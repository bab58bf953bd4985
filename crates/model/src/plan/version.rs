//! Which Python a node runs on: what it asks for, what its file allows, what is configured.

use std::collections::BTreeSet;

use super::checks::problem;
use crate::{
    definition::{Needs, NodeDef, Problem, PythonVersion},
    environment::EnvSpec,
};

pub(super) fn environment(
    node: &NodeDef,
    requires: Option<&str>,
    configured: &[PythonVersion],
) -> Result<EnvSpec, Box<Problem>> {
    let fits = |version: &PythonVersion| requires.is_none_or(|r| satisfies(*version, r));
    let names = |versions: &[PythonVersion]| versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let python = match node.python {
        Some(asked) if !configured.contains(&asked) => {
            let message = format!("node `{}` asks for Python {asked}; configured are {}", node.name, names(configured));
            let remedy = Some("choose one of these, or have QFLOW_PYTHON_VERSIONS name it".to_owned());
            return Err(Box::new(Problem { remedy, ..problem(&node.place, "python-version", message) }));
        }
        Some(asked) if !fits(&asked) => {
            let requires = requires.unwrap_or_default();
            let message = format!("node `{}` asks for Python {asked}, the file for {requires}", node.name);
            let remedy = Some("ask for one that requires-python allows".to_owned());
            return Err(Box::new(Problem { remedy, ..problem(&node.place, "python-version", message) }));
        }
        Some(asked) => asked,
        None => configured.iter().copied().filter(fits).max().ok_or_else(|| {
            let requires = requires.unwrap_or("any");
            let message = format!("no configured Python satisfies `{requires}`; configured are {}", names(configured));
            let remedy = Some("widen requires-python, or have QFLOW_PYTHON_VERSIONS name one that fits".to_owned());
            Box::new(Problem { remedy, ..problem(&node.place, "python-version", message) })
        })?,
    };
    if let Some(needs) = node.needs.as_ref().filter(|needs| python < needs.python) {
        let Needs { python: least, what, place } = needs;
        let message = format!(
            "{what}, and node `{}` needs Python {least} for it: the newest that is configured and fits is {python}",
            node.name
        );
        let remedy = Some(format!("write it as Python {python} has it, or have QFLOW_PYTHON_VERSIONS name {least}"));
        return Err(Box::new(Problem { remedy, ..problem(place, "python-version", message) }));
    }
    let mut requirements: BTreeSet<String> = node.requirements.iter().cloned().collect();
    let named = |r: &String| r.to_ascii_lowercase().starts_with("pyarrow");
    if node.frames && !requirements.iter().any(named) {
        requirements.insert("pyarrow".to_owned());
    }
    Ok(EnvSpec { python, requirements: requirements.into_iter().collect() })
}

/// Whether a version satisfies a `requires-python` of comma-separated clauses; micro versions count as met.
pub fn satisfies(version: PythonVersion, requires: &str) -> bool {
    requires.split(',').map(str::trim).filter(|clause| !clause.is_empty()).all(|clause| {
        let digits = clause.find(|c: char| c.is_ascii_digit()).unwrap_or(clause.len());
        let (operator, bound) = clause.split_at(digits);
        let mut parts = bound.split('.').take_while(|p| *p != "*").map(|p| p.parse::<u8>().unwrap_or(0));
        let major = parts.next().unwrap_or(0);
        let minor = parts.next();
        let micro = parts.next().unwrap_or(0);
        let (ours, theirs) = ((version.major, version.minor), (major, minor.unwrap_or(0)));
        match operator.trim() {
            ">=" => ours >= theirs,
            ">" => ours > theirs || (ours == theirs && micro > 0),
            "<=" => ours <= theirs,
            "<" => ours < theirs || (ours == theirs && micro > 0),
            "==" => version.major == major && minor.is_none_or(|m| version.minor == m),
            "!=" => version.major != major || minor.is_some_and(|m| version.minor != m),
            "~=" => version.major == major && (micro == 0 || ours == theirs) && ours >= theirs,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requires_python_is_read_as_pep_440_reads_it() {
        let version = |text: &str| text.parse::<PythonVersion>().unwrap();
        for (ours, requires, fits) in [
            ("3.11", ">=3.11", true),
            ("3.10", ">=3.11", false),
            ("3.12", ">=3.9,<3.12", false),
            ("3.12", ">=3.9, <3.12.4", true),
            ("3.9", "==3.*", true),
            ("3.9", "~=3.8", true),
            ("3.9", "~=3.8.1", false),
            ("3.9", "!=3.9", false),
            ("3.9", "", true),
        ] {
            assert_eq!(satisfies(version(ours), requires), fits, "{ours} {requires}");
        }
    }
}
