//! Environments are resolved before a run is accepted: requirements that no versions satisfy are the submitter's to hear of.

use std::time::Duration;

use qflow_model::{
    definition::{NodeDef, Place, Problem, Source},
    environment::EnvSpec,
    ids::Timestamp,
    limits,
    outcome::Failure,
    plan::Plan,
    status::FailureClass,
};
use tokio::sync::oneshot;
use tonic::Status;

use super::{
    Server,
    problem::{at, of_node},
    unavailable,
};
use crate::{
    dispatch::{Word, suits},
    record::cache::Scope,
};

/// How long a submission waits for all its environments: within the time that clients give a call. Past it the run is accepted and
/// waits itself.
const RESOLVE: Duration = Duration::from_secs(45);

/// What came of resolving.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// Requirements that no versions satisfy.
    pub(super) problems: Vec<Problem>,
    /// Every environment with requirements was resolved just now: the run need not do so again.
    pub(super) all: bool,
}

/// Has a runner resolve what has requirements and no young lock. What is not the user's fault stops no submission: the run waits for
/// it, or fails with it.
pub(super) async fn resolve(
    server: &Server,
    whose: &Scope,
    plan: &Plan,
    source: &Source,
    relock: bool,
) -> Result<Resolved, Status> {
    let sight = server.engine.sight();
    let offered = server.engine.offered();
    let runtime = sight.runners.iter().map(|seen| seen.hello.runtime.as_str()).min();
    let now = server.store.now().await.map_err(|e| unavailable(&e))?;
    let since = Timestamp(now.0.saturating_sub(limits::LOCK_REUSE_MS as i64 * 1000));
    let mut asked = Vec::new();
    let mut all = true;
    for (position, spec) in (0..).zip(&plan.environments) {
        if spec.requirements.is_empty() {
            continue;
        }
        let kept = async || server.store.lock(whose.tenant.clone(), spec.digest(), since).await;
        let known = if relock { None } else { kept().await.map_err(|e| unavailable(&e))? };
        let young = known.is_some_and(|lock| suits(&lock, runtime));
        all &= !young;
        if !young && offered.contains(&spec.python) {
            let (answer, answered) = oneshot::channel();
            server.engine.say(Word::Lock(spec.clone(), whose.clone(), answer)).await;
            asked.push((position, spec, answered));
        }
    }
    let until = tokio::time::Instant::now() + RESOLVE;
    let mut problems = Vec::new();
    for (position, spec, answered) in asked {
        match tokio::time::timeout_at(until, answered).await {
            Ok(Ok(Ok(_))) => {}
            Ok(Ok(Err(failure))) if failure.class == Some(FailureClass::User) => {
                problems.push(unsatisfiable(plan, position, spec, source, &failure));
            }
            Ok(_) | Err(_) => all = false,
        }
    }
    Ok(Resolved { problems, all })
}

/// What uv said of an environment, at the requirement that it named.
fn unsatisfiable(plan: &Plan, position: u32, spec: &EnvSpec, source: &Source, failure: &Failure) -> Problem {
    const CODE: &str = "unsatisfiable-requirements";
    let nodes: Vec<&NodeDef> = plan.nodes_in(position).collect();
    let names = nodes.iter().map(|node| format!("`{}`", node.name)).collect::<Vec<_>>().join(", ");
    let what = if nodes.len() == 1 { "node" } else { "nodes" };
    let message = format!("the environment of {what} {names} cannot be resolved: {}", failure.message.trim());
    let remedy = "change the requirements that uv names; inherit=False leaves the file's out".to_owned();
    let named = spec.requirements.iter().filter(|requirement| names_it(&failure.message, requirement));
    let mut places: Vec<(Place, u32)> = named.filter_map(|requirement| written(requirement, &nodes, source)).collect();
    if places.is_empty() {
        places.extend(spec.requirements.iter().filter_map(|requirement| written(requirement, &nodes, source)));
    }
    // What a node adds is younger than what the file has: the reader begins there.
    places.sort_by_key(|(place, _)| std::cmp::Reverse(place.line));
    let mut places = places.into_iter();
    let problem = match (places.next(), nodes.first()) {
        (Some((place, width)), _) => at(place, width, source, CODE, message, remedy),
        (None, Some(node)) => of_node(node, source, CODE, message, remedy),
        (None, None) => at(Place::default(), 0, source, CODE, message, remedy),
    };
    Problem { other: places.next().map(|(place, _)| place), ..problem }
}

/// A project's name as indexes and uv write it.
fn project(requirement: &str) -> String {
    let name = requirement.trim_start().split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).next();
    let lower = name.unwrap_or_default().to_ascii_lowercase().replace(['_', '.'], "-");
    lower.trim_matches('-').to_owned()
}

/// Whether a message names the project of a requirement, as a word of its own.
fn names_it(message: &str, requirement: &str) -> bool {
    let name = project(requirement);
    let part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && message.to_ascii_lowercase().split(|c| !part(c)).any(|word| word.trim_matches('-') == name)
}

/// Where a requirement is written, and how many characters it takes: in the decorator of one of the nodes, else in the entry's block.
fn written(requirement: &str, nodes: &[&NodeDef], source: &Source) -> Option<(Place, u32)> {
    let in_decorator = nodes.iter().find_map(|node| {
        let lines: Vec<&str> = source.files.get(&node.file)?.lines().take(node.place.line as usize).collect();
        let above = lines.iter().rev().skip(1).take_while(|line| !is_other_statement(line)).count();
        let first = lines.len().saturating_sub(1 + above);
        find(requirement, &node.file, first, lines.get(first..)?)
    });
    in_decorator.or_else(|| {
        let lines: Vec<&str> = source.files.get(&source.entry)?.lines().collect();
        let opened = lines.iter().position(|line| line.trim_start_matches('\u{feff}') == "# /// script")?;
        let count = lines[opened..].iter().take_while(|line| line.starts_with('#')).count();
        find(requirement, &source.entry, opened, &lines[opened..opened + count])
    })
}

/// Whether a line begins something else than a decorator or a further line of one.
fn is_other_statement(line: &str) -> bool {
    line.chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '"' || c == '\'')
}

fn find(requirement: &str, file: &str, first: usize, lines: &[&str]) -> Option<(Place, u32)> {
    let quoted = [format!("\"{requirement}\""), format!("'{requirement}'")];
    lines.iter().enumerate().find_map(|(offset, line)| {
        let byte = quoted.iter().find_map(|text| line.find(text.as_str()))?;
        let column = line[..byte].chars().count() as u32 + 1;
        let line = (first + offset) as u32 + 1;
        Some((Place { file: file.to_owned(), line, column }, quoted[0].chars().count() as u32))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# /// script\n# dependencies = [\"pandas>=2.2\"]\n# ///\nfrom qflow import node\n\n\n@node(\n    requirements=[\n        'numpy<2',\n    ],\n)\ndef f() -> int:\n    return 1\n";

    fn source() -> Source {
        Source { entry: "w.py".into(), files: [("w.py".to_owned(), TEXT.to_owned())].into() }
    }

    fn node() -> NodeDef {
        serde_json::from_value(serde_json::json!({
            "name": "f", "file": "w.py", "params": [], "returns": "Any", "convert": false, "idempotent": true,
            "isolation": "run", "frames": false, "place": {"file": "w.py", "line": 12, "column": 5},
            "retry": qflow_model::definition::Retry::default(),
            "resources": qflow_model::definition::Resources::default(),
        }))
        .unwrap()
    }

    #[test]
    fn a_requirement_is_found_in_the_decorator_and_in_the_block() {
        let (source, node) = (source(), node());
        let place = |requirement| written(requirement, &[&node], &source).map(|(p, width)| (p.line, p.column, width));
        assert_eq!(place("numpy<2"), Some((9, 9, 9)));
        assert_eq!(place("pandas>=2.2"), Some((2, 19, 13)));
        assert_eq!(place("httpx"), None);
    }

    #[test]
    fn uv_names_projects_in_its_own_spelling() {
        let message = "Because only ruamel-yaml<=0.18 is available and you require ruamel-yaml>=9, no.";
        assert!(names_it(message, "Ruamel.YAML>=9"));
        assert!(!names_it(message, "yaml"), "a part of a name is another name");
        assert!(names_it("Because qflow-no-such was not found", "qflow_no_such[x]==1 ; python_version > '3'"));
    }
}
