//! Whether each node's Python can import the files that it is given: their syntax, and what is evaluated on import.

mod evaluated;
mod imports;
mod names;
mod spelling;
mod syntax;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use qflow_model::definition::{Needs, NodeDef, Problem, PythonVersion};

use crate::{problems::Problems, project::Project, scope::Units, text::Text};
use imports::Imports;
use spelling::Spelling;

/// The oldest Python that a node may ask for.
const OLDEST: PythonVersion = PythonVersion { major: 3, minor: 8 };
/// Spellings of one file that are told: who has more writes for a newer Python.
const PER_FILE: usize = 5;

/// Tells what the Python that a node asks for lacks, and notes what a node needs that leaves the choice open.
pub(crate) fn check(project: &mut Project<'_>, problems: &mut Problems) {
    let units = &project.units;
    let imports = Imports::of(units);
    let mut spellings: HashMap<usize, Vec<Spelling>> = HashMap::new();
    // By file: nodes that import it in any case, and those that may.
    let mut importers: BTreeMap<usize, Vec<(&NodeDef, bool)>> = BTreeMap::new();
    let mut needs = Vec::new();
    let mut by_file: BTreeMap<&str, Vec<(&String, &NodeDef)>> = BTreeMap::new();
    for (name, node) in &project.nodes {
        by_file.entry(&node.file).or_default().push((name, node));
    }
    for (file, nodes) in by_file {
        let Some(unit) = units.modules.position(file) else { continue };
        for (imported, always) in imports.from(unit) {
            let found = spellings.entry(imported).or_insert_with(|| read(units, imported));
            if found.is_empty() {
                continue;
            }
            importers.entry(imported).or_default().extend(nodes.iter().map(|(_, node)| (*node, always)));
            let text = &units.files[imported].text;
            let open = nodes.iter().filter(|(_, node)| always && node.python.is_none());
            needs.extend(open.filter_map(|(name, node)| Some(((*name).clone(), need(text, found, node)?))));
        }
    }
    for (unit, nodes) in importers {
        tell(&units.files[unit].text, &spellings[&unit], &nodes, problems);
    }
    for (name, need) in needs {
        if let Some(node) = project.nodes.get_mut(&name)
            && node.needs.as_ref().is_none_or(|known| known.python < need.python)
        {
            node.needs = Some(need);
        }
    }
}

/// What a file spells that some Python lacks.
fn read(units: &Units<'_>, unit: usize) -> Vec<Spelling> {
    let mut found = syntax::read(&units.files[unit].text);
    found.extend(evaluated::read(units, unit));
    found.sort_by_key(|spelling| (spelling.range.start(), spelling.since));
    found
}

/// Tells each spelling by the node with the oldest Python of those that lack it.
fn tell(text: &Text<'_>, spellings: &[Spelling], nodes: &[(&NodeDef, bool)], problems: &mut Problems) {
    let mut told: BTreeSet<u32> = BTreeSet::new();
    for spelling in spellings {
        let lacking = nodes.iter().filter_map(|(node, always)| {
            let python = node.python?;
            let lacks = python < spelling.since && !spelling.is_mended(node);
            // Those that import it in any case come first.
            lacks.then_some((!always, python, node))
        });
        let Some((maybe, python, node)) = lacking.min_by_key(|(maybe, python, node)| (*maybe, *python, &node.name))
        else {
            continue;
        };
        if told.len() >= PER_FILE || !told.insert(spelling.range.start().to_u32()) {
            continue;
        }
        let message = format!("{} (node `{}` asks for Python {python})", spelling.message(python), node.name);
        let remedy = format!("{}, or ask for Python {}", spelling.remedy, spelling.since);
        let problem = text.problem(spelling.range, spelling.code, message, &remedy);
        problems.push(Problem { warning: maybe || spelling.soft, ..problem });
    }
}

/// The newest Python that a file needs of a node that leaves the choice open.
fn need(text: &Text<'_>, spellings: &[Spelling], node: &NodeDef) -> Option<Needs> {
    let hard = spellings.iter().filter(|spelling| !spelling.soft && !spelling.is_mended(node));
    let first = hard.rev().max_by_key(|spelling| spelling.since)?;
    Some(Needs { python: first.since, what: first.what.clone(), place: text.place(first.range) })
}
