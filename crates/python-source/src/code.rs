//! Names a node's code by a digest, so that an output can be reused while nothing changed that it was made by.
//!
//! What counts is the syntax tree, without comments and layout (docstrings count: code may read them, and one run more is better
//! than a stale output), of the function and of every statement at a top level that it reaches: through names, imports and
//! annotations, over files. What runs on import and may change what is reached (calls, loops, decorators of one's own) counts for
//! every file that is imported. Where code looks names up by itself (`globals`, `importlib`) whole files count; files of data
//! always do. Of the options those count that change what the function sees: `env`, `secrets`, `network`, `convert`.

mod mentions;
mod reach;
mod statement;

use std::collections::{BTreeMap, HashMap};

use qflow_model::{
    definition::{NodeDef, Source},
    ids::Digest,
};

use crate::{
    project::Project,
    scope::{Bound, Units},
};
use mentions::Target;
use reach::{Reached, reach};
use statement::Statement;

/// Changes with what is counted, so that no digest means two things.
const VERSION: &str = "qflow code 1";

/// The digest of each node whose outputs are reused, by the name that the node is known by.
pub(crate) fn digests(project: &Project<'_>, source: &Source) -> BTreeMap<String, Digest> {
    let mut cached = project.nodes.iter().filter(|(_, node)| node.cache_ms.is_some()).peekable();
    if cached.peek().is_none() {
        return BTreeMap::new();
    }
    let files = Files::new(&project.units);
    let data = data(source);
    let mut steps = reach::STEPS;
    cached.map(|(name, node)| (name.clone(), digest(&files, node, data, source, &mut steps))).collect()
}

/// Statements of every file, and which of them bind a name.
struct Files<'u, 'a> {
    units: &'u Units<'a>,
    statements: Vec<Vec<Statement<'a>>>,
    /// By file and name.
    binding: HashMap<(usize, &'a str), Vec<usize>>,
    /// Assignments that call something with a value of that name, and may so change it.
    users: HashMap<(usize, &'a str), Vec<(usize, usize)>>,
}

impl<'u, 'a> Files<'u, 'a> {
    fn new(units: &'u Units<'a>) -> Self {
        let registers = statement::classes_register(units);
        let read = |unit: usize| {
            let suite = units.files[unit].suite;
            suite.iter().map(|stmt| Statement::new(units, unit, stmt, registers)).collect()
        };
        let statements: Vec<Vec<Statement<'a>>> = (0..units.files.len()).map(read).collect();
        let mut files = Self { units, statements, binding: HashMap::new(), users: HashMap::new() };
        for unit in 0..units.files.len() {
            for at in 0..files.statements[unit].len() {
                files.index(unit, at);
            }
        }
        files
    }

    fn index(&mut self, unit: usize, at: usize) {
        let Self { units, statements, binding, users } = self;
        let statement = &statements[unit][at];
        for name in &statement.binds {
            binding.entry((unit, *name)).or_default().push(at);
        }
        if statement.assigns_by_call() {
            for target in statement.mentions(units, unit) {
                if let Target::Name(of, name) = *target
                    && statement::may_change(units, of, name)
                {
                    users.entry((of, name)).or_default().push((unit, at));
                }
            }
        }
    }
}

/// Files that are not Python: which of them code reads is not known.
fn data(source: &Source) -> Digest {
    let files = source.files.iter().filter(|(path, _)| !crate::is_python(path) && **path != source.entry);
    Digest::of_parts(files.flat_map(|(path, text)| [path.as_bytes(), text.as_bytes()]))
}

fn digest(files: &Files<'_, '_>, node: &NodeDef, data: Digest, source: &Source, steps: &mut usize) -> Digest {
    let options = serde_json::json!([node.env, node.secrets, node.resources.network, node.convert]).to_string();
    let head = [VERSION, &node.file, &node.name, &options].map(str::to_owned);
    let Some(unit) = files.units.modules.position(&node.file) else { return source.digest() };
    let Some(reached) = reach(files, unit, &node.name, steps) else {
        // Looking further would take too long: any change counts.
        let parts = head.iter().map(String::as_bytes).collect::<Vec<_>>();
        return Digest::of_parts(parts.into_iter().chain([&source.digest().0[..]]));
    };
    let Reached { statements, imports } = reached;
    let path = |unit: usize| files.units.files[unit].text.path.as_bytes().to_vec();
    let mut parts: Vec<Vec<u8>> = head.map(String::into_bytes).into();
    parts.push(data.0.to_vec());
    for (unit, at) in statements {
        parts.extend([path(unit), files.statements[unit][at].digest(files.units, unit).0.to_vec()]);
    }
    for ((unit, name), bound) in imports {
        parts.extend([path(unit), name.as_bytes().to_vec(), described(files.units, &bound).into_bytes()]);
    }
    Digest::of_parts(parts.iter().map(Vec::as_slice))
}

/// What an import names.
fn described(units: &Units<'_>, bound: &[Bound<'_>]) -> String {
    let one = |bound: &Bound<'_>| match bound {
        Bound::Module(at) => format!("file {}", units.files[*at].text.path),
        Bound::In(at, name) => format!("file {} {name}", units.files[*at].text.path),
        Bound::Folder(paths) => format!("folder {}", paths.join(" ")),
        Bound::Foreign(dotted) => format!("foreign {dotted}"),
        Bound::Qflow(name) => format!("qflow {name}"),
        _ => "qflow".to_owned(),
    };
    bound.iter().map(one).collect::<Vec<_>>().join(", ")
}
