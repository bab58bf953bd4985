//! Whether what a source defines fits together: read, then checked; all problems at once. Pure.

mod ask;
mod check;
mod display;
mod generic;
mod handed;
mod literals;
mod narrow;
mod results;
mod tell;
mod walk;

use std::collections::BTreeMap;

use qflow_model::definition::{Definition, ParamDefault, Place, Problem, Source, StepKind, WorkflowDef};
use qflow_python_source::Spans;
use serde::{Deserialize, Serialize};

pub use check::check;
use tell::problem;

/// What a source defines, what is wrong with it, and which edges were checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inspected {
    /// What it defines; partial where there are errors.
    pub definition: Definition,
    /// Everything wrong, ordered by place; warnings included.
    pub problems: Vec<Problem>,
    /// By workflow: the source's constructor, the target's, whether it goes.
    pub edges: BTreeMap<String, Vec<(String, String, bool)>>,
}

/// Reads a source and checks it: all problems at once.
pub fn validate(source: &Source) -> (Definition, Vec<Problem>) {
    let Inspected { definition, problems, .. } = inspect(source);
    (definition, problems)
}

/// [`validate`], with the edges that were checked.
pub fn inspect(source: &Source) -> Inspected {
    inspect_around(source, |defaults| defaults())
}

/// The same; `around` is handed the check of defaults, and has it done: whoever measures it reads the clock.
pub fn inspect_around(source: &Source, around: impl FnOnce(&mut dyn FnMut())) -> Inspected {
    let read = qflow_python_source::read(source);
    let mut problems = None;
    around(&mut || problems = Some(check::defaults(&read.definition)));
    let problems = problems.unwrap_or_else(|| check::defaults(&read.definition));
    let mut inspected = check::edges(read.definition, problems, &read.spans);
    inspected.problems.extend(read.problems);
    for problem in &mut inspected.problems {
        quote(problem, source, &read.spans);
    }
    inspected.problems.sort();
    inspected.problems.dedup();
    inspected
}

/// Fills in the line of source that a problem stands on, and how far on it what is wrong reaches: a call, an argument, a name.
fn quote(problem: &mut Problem, source: &Source, spans: &Spans) {
    let line = (problem.place.line as usize).checked_sub(1);
    if let (true, Some(line), Some(text)) = (problem.excerpt.is_empty(), line, source.files.get(&problem.place.file)) {
        problem.excerpt = text.lines().nth(line).unwrap_or_default().to_owned();
        if problem.end_column <= problem.place.column {
            problem.end_column = spans.end(&problem.place).unwrap_or_else(|| end_of_name(problem));
        }
    }
}

/// Past the last column of the name that a problem stands on.
fn end_of_name(problem: &Problem) -> u32 {
    let from = problem.excerpt.chars().skip(problem.place.column.saturating_sub(1) as usize);
    problem.place.column + from.take_while(|c| c.is_alphanumeric() || *c == '_').count() as u32
}

impl Inspected {
    /// Whether a workflow has a default that was held to its type.
    pub fn has_defaults(&self) -> bool {
        let params = self.definition.workflows.values().flat_map(|workflow| &workflow.params);
        params.into_iter().any(|param| matches!(param.default, Some(ParamDefault::Value(_))))
    }
}

/// Why no workflow can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Choice {
    /// There is none.
    #[error("no workflow is defined")]
    None,
    /// None of that name.
    #[error("no workflow is called `{name}`")]
    Unknown {
        /// The name.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Several that no other calls, or none such.
    #[error("which workflow is meant: {}", .0.join(", "))]
    Several(Vec<String>),
}

impl Choice {
    /// As a problem of a source.
    pub fn problem(&self, source: &Source) -> Problem {
        let (code, remedy) = match self {
            Self::None => ("no-workflow", "decorate the function that says the order with @workflow".to_owned()),
            Self::Unknown { known, .. } if known.is_empty() => ("unknown-workflow", "the source has none".to_owned()),
            Self::Unknown { known, .. } => ("unknown-workflow", format!("name one of {}", known.join(", "))),
            Self::Several(_) => ("several-workflows", "name one: --workflow NAME".to_owned()),
        };
        let place = Place { file: source.entry.clone(), line: 1, column: 1 };
        problem(&place, code, self.to_string(), &remedy)
    }
}

/// The workflow of a name, its own or its function's where that is one's alone; without a name the only one that no other calls.
pub fn choose<'a>(definition: &'a Definition, name: &str) -> Result<&'a WorkflowDef, Choice> {
    let names = || definition.workflows.keys().cloned().collect::<Vec<_>>();
    if !name.is_empty() {
        let named = definition.workflows.values().find(|w| w.name == name);
        let by_function: Vec<_> = definition.workflows.values().filter(|w| w.function == name).collect();
        return match (named, &by_function[..]) {
            (Some(one), _) => Ok(one),
            (None, [one]) => Ok(*one),
            (None, []) => Err(Choice::Unknown { name: name.to_owned(), known: names() }),
            (None, several) => Err(Choice::Several(several.iter().map(|w| w.name.clone()).collect())),
        };
    }
    let called = |workflow: &WorkflowDef| {
        let others = definition.workflows.values().filter(|other| other.name != workflow.name);
        others
            .flat_map(|other| &other.steps)
            .any(|step| matches!(&step.kind, StepKind::Workflow { workflow: called } if *called == workflow.name))
    };
    let free: Vec<_> = definition.workflows.values().filter(|workflow| !called(workflow)).collect();
    match free[..] {
        [one] => Ok(one),
        [] if definition.workflows.is_empty() => Err(Choice::None),
        [] => Err(Choice::Several(names())),
        _ => Err(Choice::Several(free.into_iter().map(|w| w.name.clone()).collect())),
    }
}

#[cfg(test)]
pub(crate) mod tests;
