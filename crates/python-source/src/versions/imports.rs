//! Which files are imported with a file: in any case, or only where a branch is taken or a function called.

use std::collections::BTreeMap;

use ruff_python_ast::{
    Alias, Stmt,
    visitor::{Visitor, walk_stmt},
};

use crate::scope::{self, Bound, Units};

/// Imports between the files of a submission.
pub(super) struct Imports(Vec<BTreeMap<usize, bool>>);

impl Imports {
    /// Of all files.
    pub(super) fn of(units: &Units<'_>) -> Self {
        let one = |unit: usize| {
            let mut found = Found { units, unit, always: true, files: BTreeMap::new() };
            found.visit_body(units.files[unit].suite);
            found.files
        };
        Self((0..units.files.len()).map(one).collect())
    }

    /// The files that are imported with one, itself among them, and whether in any case.
    pub(super) fn from(&self, unit: usize) -> BTreeMap<usize, bool> {
        let mut reached = BTreeMap::new();
        let mut left = vec![(unit, true)];
        while let Some((at, always)) = left.pop() {
            let known = reached.get(&at);
            if known.is_none_or(|known| !known && always) {
                reached.insert(at, always);
                left.extend(self.0[at].iter().map(|(to, straight)| (*to, always && *straight)));
            }
        }
        reached
    }
}

struct Found<'u, 'a> {
    units: &'u Units<'a>,
    unit: usize,
    /// Whether what is looked at runs whenever the file is imported.
    always: bool,
    files: BTreeMap<usize, bool>,
}

impl<'a> Found<'_, 'a> {
    fn names(&mut self, stmt: &'a Stmt, names: &'a [Alias]) {
        for alias in names {
            let (Bound::Module(at) | Bound::In(at, _)) = (match self.units.imported(self.unit, stmt, alias) {
                Some(bound) => bound,
                None => continue,
            }) else {
                continue;
            };
            for file in self.units.modules.packages(self.units.files[at].text.path).chain([at]) {
                *self.files.entry(file).or_default() |= self.always;
            }
        }
    }
}

impl<'a> Visitor<'a> for Found<'_, 'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        let before = self.always;
        match stmt {
            Stmt::Import(import) => self.names(stmt, &import.names),
            Stmt::ImportFrom(import) => self.names(stmt, &import.names),
            Stmt::If(branch) if scope::is_main(&branch.test) || scope::is_type_checking(&branch.test) => {
                self.always = false;
                branch.elif_else_clauses.iter().for_each(|clause| self.visit_body(&clause.body));
            }
            Stmt::If(_) | Stmt::Try(_) | Stmt::For(_) | Stmt::While(_) | Stmt::Match(_) | Stmt::FunctionDef(_) => {
                self.always = false;
                walk_stmt(self, stmt);
            }
            Stmt::With(_) | Stmt::ClassDef(_) => walk_stmt(self, stmt),
            // No others hold statements.
            _ => {}
        }
        self.always = before;
    }
}
