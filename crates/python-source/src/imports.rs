//! Resolves names through a module's imports, never by their spelling.

use std::collections::BTreeMap;

use ruff_python_ast::{Expr, Stmt};

/// What each name of a module was imported as, e.g. `task` → `qflow.node`.
#[derive(Debug, Default)]
pub(crate) struct Imports(BTreeMap<String, String>);

impl Imports {
    /// Reads the imports of a module, those inside `if` and `try` included.
    pub(crate) fn read(body: &[Stmt]) -> Self {
        let mut imports = Self::default();
        imports.scan(body);
        imports
    }

    fn scan(&mut self, body: &[Stmt]) {
        for stmt in body {
            match stmt {
                Stmt::Import(import) => {
                    for alias in &import.names {
                        let name = alias.name.as_str();
                        let (bound, full) = match &alias.asname {
                            Some(asname) => (asname.as_str(), name),
                            None => {
                                let root = name.split('.').next().unwrap_or(name);
                                (root, root)
                            }
                        };
                        self.0.insert(bound.to_owned(), full.to_owned());
                    }
                }
                Stmt::ImportFrom(import) => {
                    let module = import.module.as_ref().map_or("", |m| m.as_str());
                    let dots = ".".repeat(import.level as usize);
                    for alias in &import.names {
                        let bound = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
                        self.0.insert(bound.to_owned(), format!("{dots}{module}.{}", alias.name.as_str()));
                    }
                }
                Stmt::If(test) => {
                    self.scan(&test.body);
                    test.elif_else_clauses.iter().for_each(|clause| self.scan(&clause.body));
                }
                Stmt::Try(attempt) => {
                    self.scan(&attempt.body);
                    self.scan(&attempt.orelse);
                }
                _ => {}
            }
        }
    }

    /// The full name of `name` or `module.name`, where an import gives one.
    pub(crate) fn resolve(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Name(name) => self.0.get(name.id.as_str()).cloned(),
            Expr::Attribute(attribute) => Some(format!("{}.{}", self.resolve(&attribute.value)?, attribute.attr.as_str())),
            _ => None,
        }
    }

    /// What of Qflow an expression names, e.g. `map`.
    pub(crate) fn qflow(&self, expr: &Expr) -> Option<String> {
        self.resolve(expr)?.strip_prefix("qflow.").map(str::to_owned)
    }
}
