//! The whole of a submission: parses its files, then reads nodes, then the workflows that call them.

mod parse;

use std::collections::{BTreeMap, HashMap};

use qflow_model::definition::{Definition, NodeDef, Param, Place, Problem, Source, TypeText, WorkflowDef};
use ruff_python_ast::{Stmt, StmtFunctionDef};
use ruff_text_size::{Ranged, TextRange};

use crate::{
    Read, body,
    calls::Calls,
    classes, code,
    function::{self, Kind},
    node, paths,
    problems::Problems,
    scope::{self, Unit, Units},
    script::{self, Script},
    text::Text,
    versions,
};

/// Nodes and workflows of a submission, as many as a workflow has steps.
const FUNCTIONS: usize = qflow_model::limits::STEPS;

/// What bodies are read against.
pub(crate) struct Project<'a> {
    pub(crate) units: Units<'a>,
    pub(crate) script: Script,
    pub(crate) nodes: BTreeMap<String, NodeDef>,
    /// Workflows by file and function, with the names they are known by.
    pub(crate) workflows: HashMap<(usize, &'a str), String>,
    /// What each of them takes and gives, by that name.
    pub(crate) signatures: BTreeMap<String, Signature>,
}

/// What a workflow takes and gives.
pub(crate) struct Signature {
    pub(crate) params: Vec<Param>,
    pub(crate) returns: TypeText,
}

/// Reads a submission; wants a large stack.
pub(crate) fn read(source: &Source) -> Read {
    let mut problems = Problems::default();
    let files = parse::files(source, &mut problems);
    let modules = scope::Modules::new(source, files.iter().map(|file| file.text.path));
    let units = files.iter().map(|file| match file.suite() {
        Some(suite) => scope::names(&modules, file.text.clone(), suite, &mut problems),
        None => Unit::unread(file.text.clone()),
    });
    let units = units.collect();
    let units = Units::new(modules, units);
    let entry = units.modules.position(&source.entry).map(|at| &units.files[at]).filter(|unit| unit.read);
    let script = entry.map_or_else(Script::default, |unit| script::read(&unit.text, &mut problems));
    let requires_python = script.requires_python.clone();
    let (workflows, signatures) = (HashMap::new(), BTreeMap::new());
    let mut project = Project { units, script, nodes: BTreeMap::new(), workflows, signatures };
    let workflows = define(&mut project, &mut problems);
    versions::check(&mut project, &mut problems);
    for unit in 0..project.units.files.len() {
        node::check_file(&project, unit, &mut problems);
    }
    for (name, code) in code::digests(&project, source) {
        if let Some(node) = project.nodes.get_mut(&name) {
            node.code = Some(code);
        }
    }
    let mut definition = Definition { requires_python, ..Definition::default() };
    let calls = Calls::of(&project, &workflows);
    for declared in workflows {
        let name = declared.def.name.clone();
        let read = body::read(&project, declared, &calls, &mut problems);
        definition.workflows.insert(name, read);
    }
    paths::check(&project, &definition, &mut problems);
    if definition.workflows.is_empty() && problems.none() {
        let text = Text::new(&source.entry, source.files.get(&source.entry).map_or("", String::as_str));
        let range = TextRange::default();
        problems.push(text.problem(range, "no-workflow", "no workflow here", "write @workflow before a function"));
    }
    definition.nodes = project.nodes;
    definition.classes = classes::read(&project.units, &definition);
    Read { definition, problems: problems.told() }
}

/// Nodes and workflows with their signatures; bodies come later.
fn define<'a>(project: &mut Project<'a>, problems: &mut Problems) -> Vec<function::Workflow<'a>> {
    let mut workflows: Vec<function::Workflow<'a>> = Vec::new();
    // Nodes and workflows together: ids and `-w` name either.
    let mut places: HashMap<String, Place> = HashMap::new();
    let mut count = 0;
    for unit in 0..project.units.files.len() {
        let suite = project.units.files[unit].suite;
        for def in suite.iter().filter_map(Stmt::as_function_def_stmt) {
            let Some(kind) = function::kind(&project.units, unit, def) else { continue };
            count += 1;
            if count > FUNCTIONS {
                if count == FUNCTIONS + 1 {
                    let text = &project.units.files[unit].text;
                    let message = format!("more than {FUNCTIONS} nodes and workflows");
                    problems.push(text.problem(
                        def.name.range(),
                        "too-many-nodes",
                        message,
                        "use map for calls that differ only in their arguments",
                    ));
                }
                break;
            }
            let (name, place) = match kind {
                Kind::Node => {
                    let node = function::node(project, unit, def, problems);
                    let (name, place) = (node.name.clone(), node.place.clone());
                    // Of two, the first is kept.
                    if !places.contains_key(&name) {
                        project.nodes.insert(name.clone(), node);
                    }
                    (name, place)
                }
                Kind::Workflow => {
                    let workflow = function::workflow(project, unit, def, problems);
                    let (name, place) = (workflow.def.name.clone(), workflow.def.place.clone());
                    if !places.contains_key(&name) {
                        project.workflows.insert((unit, def.name.id.as_str()), name.clone());
                        let WorkflowDef { params, returns, .. } = &workflow.def;
                        let signature = Signature { params: params.clone(), returns: returns.clone() };
                        project.signatures.insert(name.clone(), signature);
                        workflows.push(workflow);
                    }
                    (name, place)
                }
            };
            if let Some(first) = places.get(&name) {
                duplicate(project, unit, def, (kind, &name), first, problems);
            } else {
                places.insert(name, place);
            }
        }
        rebound(project, unit, problems);
    }
    workflows
}

fn duplicate(
    project: &Project<'_>,
    unit: usize,
    def: &StmtFunctionDef,
    (kind, name): (Kind, &str),
    first: &Place,
    problems: &mut Problems,
) {
    let text = &project.units.files[unit].text;
    let message = format!("the {} `{name}` has a name that is taken at {first}", kind.word());
    let problem = text.problem(def.name.range(), "duplicate-name", message, "give it a name of its own");
    problems.push(Problem { other: Some(first.clone()), ..problem });
}

/// Names of nodes and workflows that something else takes over later in the file.
fn rebound(project: &Project<'_>, unit: usize, problems: &mut Problems) {
    let Unit { text, suite, again, .. } = &project.units.files[unit];
    if again.is_empty() {
        return;
    }
    let mut decorated: HashMap<&str, Vec<TextRange>> = HashMap::new();
    for def in suite.iter().filter_map(Stmt::as_function_def_stmt) {
        if function::kind(&project.units, unit, def).is_some() {
            decorated.entry(def.name.id.as_str()).or_default().push(def.name.range());
        }
    }
    for (name, range) in again {
        // Two functions of a kind are told as duplicates.
        if decorated.get(name).is_some_and(|places| !places.contains(range)) {
            let message = format!("`{name}` is a node or workflow and is bound again here");
            problems.push(text.problem(*range, "duplicate-name", message, "give it a name of its own"));
        }
    }
}
