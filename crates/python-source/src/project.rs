//! The whole of a submission: parses its files, then reads nodes, then the workflows that call them.

pub(crate) mod parse;

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
};

use qflow_model::definition::{Definition, NodeDef, Param, Place, Problem, Source, StepKind, TypeText, WorkflowDef};
use ruff_python_ast::{Stmt, StmtFunctionDef};
use ruff_text_size::{Ranged, TextRange};

use crate::{
    Read, Spans, body,
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
    /// Nodes by file and function, with the names they are known by.
    pub(crate) known: HashMap<(usize, &'a str), String>,
    /// Workflows by file and function, with the names they are known by.
    pub(crate) workflows: HashMap<(usize, &'a str), String>,
    /// What each of them takes and gives, by that name.
    pub(crate) signatures: BTreeMap<String, Signature>,
    /// Defaults of nodes, to be held to their types once classes are known.
    pub(crate) defaults: RefCell<Vec<function::WrittenDefault>>,
}

impl<'a> Project<'a> {
    /// Of these files, before anything in them is read.
    pub(crate) fn new(units: Units<'a>, script: Script) -> Self {
        Self {
            units,
            script,
            nodes: BTreeMap::new(),
            known: HashMap::new(),
            workflows: HashMap::new(),
            signatures: BTreeMap::new(),
            defaults: RefCell::default(),
        }
    }

    /// Warns of names in annotations that are `Any` since what they stand for is not followed.
    pub(crate) fn tell_unsure(&self, problems: &mut Problems) {
        for (unit, range, name, why) in self.units.unread.take() {
            problems.push(classes::unread_warning(&self.units, (unit, range), &name, why));
        }
        for (unit, range, name) in self.units.unsure.take() {
            let message = format!("what `{name}` stands for is not followed: it is Any and nothing is checked");
            let remedy = "assign it once, at the top level";
            problems.push(self.units.files[unit].text.warning(range, "unfollowed-type", message, remedy));
        }
    }

    /// The node of a function in a file, and the name it is known by.
    pub(crate) fn node<'s>(&'s self, unit: usize, function: &'s str) -> Option<(&'s str, &'s NodeDef)> {
        let name = self.known.get(&(unit, function))?;
        Some((name, self.nodes.get(name)?))
    }

    /// What the ids of a step's runs begin with: the name of the function that is called, or a workflow's own.
    pub(crate) fn id<'k>(&'k self, kind: &'k StepKind) -> &'k str {
        match kind {
            StepKind::Node { function } => self.nodes.get(function).map_or(function, |node| &node.name),
            StepKind::Workflow { workflow } => self.signatures.get(workflow).map_or(workflow, |known| &known.id),
            StepKind::Sleep | StepKind::Approval { .. } => kind.callee(),
        }
    }
}

/// What a workflow takes and gives.
pub(crate) struct Signature {
    /// What ids of its calls begin with.
    pub(crate) id: String,
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
    let mut project = Project::new(units, script);
    let workflows = define(&mut project, &source.entry, &mut problems);
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
    let mut spans = Spans::default();
    for mut declared in workflows {
        let name = declared.def.name.clone();
        definition.schedules.extend(declared.schedule.take().map(|schedule| (name.clone(), schedule)));
        let read = body::read(&project, declared, &calls, &mut spans, &mut problems);
        definition.workflows.insert(name, read);
    }
    paths::check(&project, &definition, &mut problems);
    if definition.workflows.is_empty() && problems.none() {
        let text = Text::new(&source.entry, source.files.get(&source.entry).map_or("", String::as_str));
        let range = TextRange::default();
        problems.push(text.problem(range, "no-workflow", "no workflow here", "write @workflow before a function"));
    }
    definition.nodes = std::mem::take(&mut project.nodes);
    definition.classes = classes::read(&project.units, &definition, &mut problems);
    function::check_defaults(&project, &definition.classes, &mut problems);
    project.tell_unsure(&mut problems);
    Read { definition, problems: problems.told(), spans }
}

/// Nodes and workflows with their signatures; bodies come later.
///
/// A name that several files have is told apart by the file's before it, but for the entry's: it is what `-w` means.
fn define<'a>(project: &mut Project<'a>, entry: &str, problems: &mut Problems) -> Vec<function::Workflow<'a>> {
    let shared = shared(&project.units);
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
                    too_many(project, unit, def, problems);
                }
                break;
            }
            let function = def.name.id.as_str();
            let known = match &project.units.files[unit].text {
                text if shared.contains(function) && text.path != entry => qualified(text, function),
                _ => function.to_owned(),
            };
            let (name, place) = match kind {
                Kind::Node => {
                    let node = function::node(project, unit, def, problems);
                    let place = node.place.clone();
                    // Of two, the first is kept.
                    if !places.contains_key(&known) {
                        project.known.insert((unit, function), known.clone());
                        project.nodes.insert(known.clone(), node);
                    }
                    (known, place)
                }
                Kind::Workflow => {
                    let workflow = function::workflow(project, unit, (def, &known), problems);
                    let (name, place) = (workflow.def.name.clone(), workflow.def.place.clone());
                    if !places.contains_key(&name) {
                        project.workflows.insert((unit, function), name.clone());
                        let WorkflowDef { params, returns, .. } = &workflow.def;
                        let id = if name == known { function.to_owned() } else { name.clone() };
                        let signature = Signature { id, params: params.clone(), returns: returns.clone() };
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

/// Names of nodes and workflows that several files have.
fn shared<'a>(units: &Units<'a>) -> HashSet<&'a str> {
    let (mut first, mut shared) = (HashMap::new(), HashSet::new());
    for (unit, file) in units.files.iter().enumerate() {
        let suite: &'a [Stmt] = file.suite;
        let decorated = suite.iter().filter_map(Stmt::as_function_def_stmt);
        for def in decorated.filter(|def| function::kind(units, unit, def).is_some()) {
            let name = def.name.id.as_str();
            if *first.entry(name).or_insert(unit) != unit {
                shared.insert(name);
            }
        }
    }
    shared
}

/// A function's name with its file's before it, as Python imports that.
fn qualified(text: &Text<'_>, function: &str) -> String {
    format!("{}.{function}", text.module())
}

fn too_many(project: &Project<'_>, unit: usize, def: &StmtFunctionDef, problems: &mut Problems) {
    let message = format!("more than {FUNCTIONS} nodes and workflows");
    let remedy = "use map for calls that differ only in their arguments";
    problems.push(project.units.files[unit].text.problem(def.name.range(), "too-many-nodes", message, remedy));
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
