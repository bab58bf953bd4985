//! Follows names from a node to every statement that it reaches.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ruff_python_ast::{Alias, Stmt};

use super::{Files, mentions::Target};
use crate::scope::Bound;

/// Names that are followed for all nodes of a submission: past it the whole submission counts as their code.
pub(super) const STEPS: usize = 250_000;

/// What a node reaches, in the order of files and statements.
#[derive(Default)]
pub(super) struct Reached<'a> {
    /// Statements by file and position.
    pub(super) statements: BTreeSet<(usize, usize)>,
    /// Imported names by file, and what they may stand for.
    pub(super) imports: BTreeMap<(usize, &'a str), Vec<Bound<'a>>>,
}

/// What the function of that name in a file reaches; nothing where `steps` are spent.
pub(super) fn reach<'a>(files: &Files<'_, 'a>, unit: usize, function: &str, steps: &mut usize) -> Option<Reached<'a>> {
    let mut walk = Walk { files, reached: Reached::default(), seen: HashSet::new(), left: vec![Target::Module(unit)] };
    let name = files.units.files[unit].names.get_key_value(function).map(|(name, _)| *name)?;
    walk.left.push(Target::Name(unit, name));
    while let Some(target) = walk.left.pop() {
        *steps = steps.checked_sub(1)?;
        if walk.seen.insert(target) {
            walk.follow(target);
        }
    }
    Some(walk.reached)
}

struct Walk<'w, 'u, 'a> {
    files: &'w Files<'u, 'a>,
    reached: Reached<'a>,
    seen: HashSet<Target<'a>>,
    left: Vec<Target<'a>>,
}

impl<'a> Walk<'_, '_, 'a> {
    fn follow(&mut self, target: Target<'a>) {
        match target {
            Target::Name(unit, name) => {
                for at in self.files.binding.get(&(unit, name)).into_iter().flatten() {
                    self.statement(unit, *at, Some(name), false);
                }
                for (unit, at) in self.files.users.get(&(unit, name)).into_iter().flatten() {
                    self.statement(*unit, *at, None, false);
                }
            }
            Target::Module(unit) => {
                let units = self.files.units;
                self.left.extend(units.modules.packages(units.files[unit].text.path).map(Target::Module));
                for (at, statement) in self.files.statements[unit].iter().enumerate() {
                    if statement.effect {
                        self.statement(unit, at, None, false);
                    }
                    self.left.extend(self.modules(unit, statement.stmt).into_iter().map(Target::Module));
                }
            }
            Target::Whole(unit) => {
                self.left.push(Target::Module(unit));
                for at in 0..self.files.statements[unit].len() {
                    self.statement(unit, at, None, true);
                }
            }
            Target::Everything => self.left.extend((0..self.files.units.files.len()).map(Target::Whole)),
        }
    }

    /// Takes a statement in; of an import only the name that is asked for, or all of them.
    fn statement(&mut self, unit: usize, at: usize, name: Option<&'a str>, whole: bool) {
        let statement = &self.files.statements[unit][at];
        let names: &'a [Alias] = match statement.stmt {
            Stmt::Import(import) => &import.names,
            Stmt::ImportFrom(import) => &import.names,
            _ => {
                if !statement.skipped && self.reached.statements.insert((unit, at)) {
                    self.left.extend_from_slice(statement.mentions(self.files.units, unit));
                }
                return;
            }
        };
        for alias in names {
            let bound_as = bound_as(alias);
            if name.is_some_and(|name| name != bound_as) {
                continue;
            }
            let Some(bound) = self.imported(unit, statement.stmt, alias) else { continue };
            match bound {
                Bound::Module(at) if whole => self.left.push(Target::Whole(at)),
                Bound::Module(at) => self.left.push(Target::Module(at)),
                Bound::In(at, name) => self.left.extend([Target::Module(at), Target::Name(at, name)]),
                _ => {}
            }
            self.reached.imports.entry((unit, bound_as)).or_default().push(bound);
        }
    }

    /// Files that an import at a top level runs.
    fn modules(&self, unit: usize, stmt: &'a Stmt) -> Vec<usize> {
        let names: &[Alias] = match stmt {
            Stmt::Import(import) => &import.names,
            Stmt::ImportFrom(import) => &import.names,
            _ => return Vec::new(),
        };
        let found = names.iter().filter_map(|alias| match self.imported(unit, stmt, alias)? {
            Bound::Module(at) | Bound::In(at, _) => Some(at),
            _ => None,
        });
        found.collect()
    }

    fn imported(&self, unit: usize, stmt: &'a Stmt, alias: &'a Alias) -> Option<Bound<'a>> {
        self.files.units.imported(unit, stmt, alias)
    }
}

/// The name that an import binds.
pub(super) fn bound_as(alias: &Alias) -> &str {
    let dotted = alias.name.id.as_str();
    let first = || dotted.split('.').next().unwrap_or(dotted);
    alias.asname.as_ref().map_or_else(first, |name| name.id.as_str())
}
