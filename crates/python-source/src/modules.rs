//! Which modules a file imports: what a client must send with it.

use ruff_python_ast::{
    ModModule, Stmt,
    visitor::{Visitor, walk_stmt},
};
use ruff_python_parser::{Mode, ParseOptions};
use ruff_text_size::Ranged;

use crate::depth;

/// A module that a file imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its dotted name, with its dots before it where it is relative.
    pub module: String,
    /// The line of the statement, from 1.
    pub line: usize,
}

/// Modules that a file imports anywhere in it; `from a import b` names `a` and `a.b`. Nothing of what cannot be parsed.
pub fn imported(text: &str) -> Vec<Import> {
    if depth::check(text, Mode::Module).is_err() {
        return Vec::new();
    }
    let options = ParseOptions::from(Mode::Module);
    let parsed = ruff_python_parser::parse_unchecked(text, options).try_into_module();
    let mut found = Imported { text, at: 0, line: 1, all: Vec::new() };
    if let Some(module) = parsed {
        let ModModule { body, .. } = module.syntax();
        body.iter().for_each(|stmt| found.visit_stmt(stmt));
    }
    found.all
}

struct Imported<'t> {
    text: &'t str,
    /// A byte that has been passed, and the line it stands on: statements come in the order of their places.
    at: usize,
    line: usize,
    all: Vec<Import>,
}

impl Imported<'_> {
    fn push(&mut self, stmt: &Stmt, module: String) {
        let start = stmt.range().start().to_usize();
        self.line += self.text[self.at.min(start)..start].matches('\n').count();
        self.at = start;
        self.all.push(Import { module, line: self.line });
    }
}

impl<'a> Visitor<'a> for Imported<'_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Import(import) => import.names.iter().for_each(|alias| self.push(stmt, alias.name.id.to_string())),
            Stmt::ImportFrom(import) => {
                let dots = ".".repeat(import.level as usize);
                let module = import.module.as_ref().map_or("", |module| module.id.as_str());
                let joint = if module.is_empty() { "" } else { "." };
                self.push(stmt, format!("{dots}{module}"));
                let names = import.names.iter().map(|alias| alias.name.id.as_str()).filter(|name| *name != "*");
                names.for_each(|name| self.push(stmt, format!("{dots}{module}{joint}{name}")));
            }
            _ => {}
        }
        walk_stmt(self, stmt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_found_however_they_are_written() {
        let text = "import a.b as c, d\nfrom e import (\n    f,  # why\n    g as h,\n)\nfrom . import i\nfrom ..j import *\n\
                    def k():\n    import l\n\"\"\"\nimport m\n\"\"\"\n";
        let (modules, lines): (Vec<_>, Vec<_>) = imported(text).into_iter().map(|i| (i.module, i.line)).unzip();
        assert_eq!(modules, ["a.b", "d", "e", "e.f", "e.g", ".", ".i", "..j", "l"]);
        assert_eq!(lines, [1, 1, 2, 2, 2, 6, 6, 7, 9]);
        assert_eq!(imported(&"(".repeat(5000)), Vec::new());
    }
}
