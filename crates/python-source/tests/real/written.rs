//! What annotations a file has as they are written, by where the names before them stand.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use qflow_model::definition::Place;
use ruff_python_ast::{
    Expr, Stmt,
    visitor::{Visitor, walk_stmt},
};
use ruff_text_size::{Ranged, TextRange, TextSize};

/// An annotation, and the lines that it stands on.
pub(crate) struct Annotation<'t> {
    pub(crate) text: &'t str,
    pub(crate) lines: RangeInclusive<u32>,
}

/// The annotations of one file: of a parameter by its name, of a result by the function's.
pub(crate) struct Annotations<'t> {
    text: &'t str,
    /// Where each line begins.
    lines: Vec<usize>,
    found: BTreeMap<usize, TextRange>,
    /// What names stand for by an assignment, wherever in the file.
    assigned: BTreeMap<&'t str, Vec<&'t str>>,
}

impl<'t> Annotations<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        let lines =
            text.split_inclusive('\n').scan(0, |at, line| Some(std::mem::replace(at, *at + line.len()))).collect();
        let mut found = Self { text, lines, found: BTreeMap::new(), assigned: BTreeMap::new() };
        if let Ok(parsed) = ruff_python_parser::parse_module(text) {
            parsed.syntax().body.iter().for_each(|stmt| found.visit_stmt(stmt));
        }
        found
    }

    /// What is written behind the name at a place.
    pub(crate) fn behind(&self, place: &Place) -> Option<Annotation<'t>> {
        let range = self.found.get(&self.offset(place))?;
        let line = |at: TextSize| self.lines.partition_point(|begin| *begin <= at.to_usize()) as u32;
        Some(Annotation { text: &self.text[*range], lines: line(range.start())..=line(range.end()) })
    }

    /// Whether an annotation, or an alias that it names, says `Any` itself, or stands for itself within itself, where reading ends; or is a
    /// variable for many types at once, which in the brackets of a class that is not known is that class's affair.
    pub(crate) fn says_any(&self, annotation: &str) -> bool {
        let (mut left, mut seen) = (vec![annotation], BTreeSet::new());
        while let Some(text) = left.pop() {
            for word in words(text) {
                if word == "Any" || word == "ParamSpec" {
                    return true;
                }
                let Some(stands_for) = self.assigned.get(word) else { continue };
                if stands_for.iter().any(|value| words(value).any(|inner| inner == word) && !value.contains('(')) {
                    return true;
                }
                if seen.insert(word) {
                    left.extend(stands_for);
                }
            }
        }
        false
    }

    fn assign(&mut self, target: &Expr, value: &Expr) {
        if let Expr::Name(name) = target {
            self.assigned.entry(&self.text[name.range()]).or_default().push(&self.text[value.range()]);
        }
    }

    fn offset(&self, place: &Place) -> usize {
        let begin = self.lines[place.line as usize - 1];
        let chars = self.text[begin..].chars().take(place.column as usize - 1);
        begin + chars.map(char::len_utf8).sum::<usize>()
    }

    fn put(&mut self, name: TextRange, annotation: Option<&Expr>) {
        if let Some(annotation) = annotation {
            self.found.insert(name.start().to_usize(), annotation.range());
        }
    }
}

impl<'a> Visitor<'a> for Annotations<'_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(function) => {
                self.put(function.name.range(), function.returns.as_deref());
                for parameter in &*function.parameters {
                    self.put(parameter.name().range(), parameter.annotation());
                }
            }
            Stmt::Assign(assign) => assign.targets.iter().for_each(|target| self.assign(target, &assign.value)),
            Stmt::AnnAssign(assign) => assign.value.iter().for_each(|value| self.assign(&assign.target, value)),
            Stmt::TypeAlias(alias) => self.assign(&alias.name, &alias.value),
            _ => {}
        }
        walk_stmt(self, stmt);
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
}
