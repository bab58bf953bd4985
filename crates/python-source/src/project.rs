//! The whole of a submission: parses its files, then reads nodes, then the workflows that call them.

use std::collections::{BTreeMap, HashMap};

use qflow_model::{
    definition::{Definition, NodeDef, Problem, PythonVersion, Source, WorkflowDef},
    limits,
};
use ruff_python_ast::{ModModule, PythonVersion as Target, Stmt, StmtFunctionDef};
use ruff_python_parser::{Mode, ParseOptions, Parsed};
use ruff_text_size::{Ranged, TextRange, TextSize};

use crate::{
    Read, body,
    calls::Calls,
    depth, function, node,
    scope::{self, Unit, Units},
    script::{self, Script},
    text::Text,
};

/// Syntax errors of one file that are told: the first causes the rest.
const SYNTAX_ERRORS: usize = 5;
/// Newest syntax that is read.
const NEWEST: Target = Target::PY314;

/// What bodies are read against.
pub(crate) struct Project<'a> {
    pub(crate) units: Units<'a>,
    pub(crate) script: Script,
    pub(crate) nodes: BTreeMap<String, NodeDef>,
    /// Workflows by file and function, with the names they are known by.
    pub(crate) workflows: HashMap<(usize, &'a str), String>,
}

/// Reads a submission on a stack that is large enough.
pub(crate) fn read(source: &Source) -> Read {
    let mut problems = Vec::new();
    let parsed = parse(source, &mut problems);
    let files: HashMap<&str, usize> = parsed.iter().enumerate().map(|(at, (text, _))| (text.path, at)).collect();
    let units = parsed.iter().enumerate().map(|(at, (text, module))| {
        let suite: &[Stmt] = &module.syntax().body;
        let (names, again) = scope::names(source, &files, text.path, at, suite);
        Unit { text: text.clone(), suite, names, again }
    });
    let units = Units(units.collect());
    let script = match files.get(source.entry.as_str()) {
        Some(entry) => script::read(&units.0[*entry].text, &mut problems),
        None => {
            // Where it is there and could not be parsed, that is told already.
            if !source.files.contains_key(&source.entry) {
                let text = Text::new(&source.entry, "");
                let message = format!("the entry file `{}` is not among the files", source.entry);
                problems.push(text.problem(TextRange::default(), "no-entry", message, "send it with the others"));
            }
            Script::default()
        }
    };
    let requires_python = script.requires_python.clone();
    let mut project = Project { units, script, nodes: BTreeMap::new(), workflows: HashMap::new() };
    let workflows = define(&mut project, &mut problems);
    syntax_of_nodes(&project, &parsed, &mut problems);
    for unit in 0..project.units.0.len() {
        node::check_file(&project, unit, &mut problems);
    }
    let mut definition = Definition { requires_python, ..Definition::default() };
    let calls = Calls::of(&project, &workflows);
    for declared in workflows {
        let name = declared.def.name.clone();
        let read = body::read(&project, declared, &calls, &mut problems);
        definition.workflows.insert(name, read);
    }
    if definition.workflows.is_empty() && !problems.iter().any(|p| !p.warning) {
        let text = Text::new(&source.entry, source.files.get(&source.entry).map_or("", String::as_str));
        let range = TextRange::default();
        problems.push(text.problem(range, "no-workflow", "no workflow here", "write @workflow before a function"));
    }
    definition.nodes = project.nodes;
    Read { definition, problems }
}

/// Every Python file that parses.
fn parse<'a>(source: &'a Source, problems: &mut Vec<Problem>) -> Vec<(Text<'a>, Parsed<ModModule>)> {
    let mut parsed = Vec::new();
    let bytes: usize = source.files.values().map(String::len).sum();
    if source.files.len() > limits::FILES || bytes > limits::SUBMISSION_BYTES {
        let message = format!(
            "{} files with {bytes} bytes; a submission has at most {} and {}",
            source.files.len(),
            limits::FILES,
            limits::SUBMISSION_BYTES
        );
        let text = Text::new(&source.entry, "");
        problems.push(text.problem(TextRange::default(), "too-large", message, "send data otherwise than as source"));
        return parsed;
    }
    for (path, content) in &source.files {
        if !path.rsplit_once('.').is_some_and(|(_, extension)| extension == "py") {
            continue;
        }
        let text = Text::new(path, content);
        if content.len() > limits::SOURCE_BYTES {
            let message =
                format!("{path} has {} bytes; a source file has at most {}", content.len(), limits::SOURCE_BYTES);
            let range = TextRange::default();
            problems.push(Problem {
                excerpt: String::new(),
                ..text.problem(range, "too-large", message, "move data out of the source")
            });
            continue;
        }
        if let Err(deep) = depth::check(content, Mode::Module) {
            let message = format!("more than {} {}", deep.bound, deep.what);
            let range = TextRange::empty(TextSize::new(deep.byte as u32));
            problems.push(text.problem(range, "too-deep", message, "name parts of it"));
            continue;
        }
        let options = ParseOptions::from(Mode::Module).with_target_version(NEWEST);
        let Some(module) = ruff_python_parser::parse_unchecked(content, options).try_into_module() else { continue };
        if module.errors().is_empty() {
            parsed.push((text, module));
            continue;
        }
        for error in module.errors().iter().take(SYNTAX_ERRORS) {
            let message = lower(&error.error.to_string());
            problems.push(text.problem(error.location, "syntax", message, "correct the syntax"));
        }
    }
    parsed
}

/// Messages begin in lower case, except where a name does.
fn lower(message: &str) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => message.to_owned(),
    }
}

/// Nodes and workflows with their signatures; bodies come later.
fn define<'a>(project: &mut Project<'a>, problems: &mut Vec<Problem>) -> Vec<function::Workflow<'a>> {
    let mut workflows: Vec<function::Workflow<'a>> = Vec::new();
    for unit in 0..project.units.0.len() {
        let suite = project.units.0[unit].suite;
        let functions = suite.iter().filter_map(Stmt::as_function_def_stmt);
        for def in functions {
            match function::kind(&project.units, unit, def) {
                None => {}
                Some(function::Kind::Node) => {
                    let node = function::node(project, unit, def, problems);
                    let known = project.nodes.get(&node.name).map(|n| n.place.clone());
                    match known {
                        None => drop(project.nodes.insert(node.name.clone(), node)),
                        Some(first) => duplicate(project, unit, def, "node", &first, problems),
                    }
                }
                Some(function::Kind::Workflow) => {
                    let workflow = function::workflow(project, unit, def, problems);
                    match workflows.iter().find(|w| w.def.name == workflow.def.name) {
                        None => {
                            let key = (unit, def.name.id.as_str());
                            project.workflows.insert(key, workflow.def.name.clone());
                            workflows.push(workflow);
                        }
                        Some(first) => {
                            duplicate(project, unit, def, "workflow", &WorkflowDef::clone(&first.def).place, problems);
                        }
                    }
                }
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
    what: &str,
    first: &qflow_model::definition::Place,
    problems: &mut Vec<Problem>,
) {
    let name = def.name.id.as_str();
    let text = &project.units.0[unit].text;
    let message = format!("a second {what} `{name}`; the first stands at {first}");
    let problem = text.problem(def.name.range(), "duplicate-name", message, "give it a name of its own");
    problems.push(Problem { other: Some(first.clone()), ..problem });
}

/// Names of nodes and workflows that something else takes over later in the file.
fn rebound(project: &Project<'_>, unit: usize, problems: &mut Vec<Problem>) {
    let Unit { text, suite, again, .. } = &project.units.0[unit];
    for (name, range) in again {
        let functions = suite.iter().filter_map(Stmt::as_function_def_stmt).filter(|d| d.name.id.as_str() == *name);
        let mut decorated = functions.filter(|d| function::kind(&project.units, unit, d).is_some());
        // Two functions of a kind are told as duplicates.
        let first = decorated.next();
        if first.is_some_and(|d| d.name.range() != *range) && decorated.all(|d| d.name.range() != *range) {
            let message = format!("`{name}` is a node or workflow and is bound again here");
            problems.push(text.problem(*range, "duplicate-name", message, "give it a name of its own"));
        }
    }
}

/// Syntax that the oldest Python which a file's nodes ask for does not have.
fn syntax_of_nodes(project: &Project<'_>, parsed: &[(Text<'_>, Parsed<ModModule>)], problems: &mut Vec<Problem>) {
    for (text, _) in parsed {
        let pythons = project.nodes.values().filter(|n| n.file == text.path).filter_map(|n| Some((n.python?, &n.name)));
        let Some((oldest, node)) = pythons.min() else { continue };
        let PythonVersion { major, minor } = oldest;
        let target = Target { major, minor };
        if target >= NEWEST {
            continue;
        }
        let options = ParseOptions::from(Mode::Module).with_target_version(target);
        let again = ruff_python_parser::parse_unchecked(text.text, options);
        for error in again.unsupported_syntax_errors().iter().take(SYNTAX_ERRORS) {
            let message = format!("{} (node `{node}` asks for Python {oldest})", lower(&error.to_string()));
            problems.push(text.problem(
                error.range,
                "syntax",
                message,
                "write it as that Python has it, or ask for a newer one",
            ));
        }
    }
}
