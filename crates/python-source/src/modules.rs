//! Which modules a file imports: what a client must send with it.

use ruff_python_ast::{
    ModModule, Stmt,
    visitor::{Visitor, walk_stmt},
};
use ruff_python_parser::{Mode, ParseOptions};

use crate::depth;

/// Names of modules that a file imports anywhere in it, relative ones with their dots; `from a import b` names `a` and `a.b`.
/// Nothing of what cannot be parsed.
pub fn imported(text: &str) -> Vec<String> {
    if depth::check(text, Mode::Module).is_err() {
        return Vec::new();
    }
    let options = ParseOptions::from(Mode::Module);
    let parsed = ruff_python_parser::parse_unchecked(text, options).try_into_module();
    let mut found = Imported(Vec::new());
    if let Some(module) = parsed {
        let ModModule { body, .. } = module.syntax();
        body.iter().for_each(|stmt| found.visit_stmt(stmt));
    }
    found.0
}

struct Imported(Vec<String>);

impl<'a> Visitor<'a> for Imported {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Import(import) => self.0.extend(import.names.iter().map(|alias| alias.name.id.to_string())),
            Stmt::ImportFrom(import) => {
                let dots = ".".repeat(import.level as usize);
                let module = import.module.as_ref().map_or("", |module| module.id.as_str());
                let joint = if module.is_empty() { "" } else { "." };
                self.0.push(format!("{dots}{module}"));
                let names = import.names.iter().map(|alias| alias.name.id.as_str()).filter(|name| *name != "*");
                self.0.extend(names.map(|name| format!("{dots}{module}{joint}{name}")));
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
        assert_eq!(imported(text), ["a.b", "d", "e", "e.f", "e.g", ".", ".i", "..j", "l"]);
        assert_eq!(imported(&"(".repeat(5000)), Vec::<String>::new());
    }
}
