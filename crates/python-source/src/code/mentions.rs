//! Which names of which files a statement mentions.

use std::collections::HashSet;

use ruff_python_ast::{
    Comprehension, Expr, Stmt, StmtFunctionDef,
    visitor::{Visitor, walk_expr, walk_stmt},
};
use ruff_python_parser::Mode;

use crate::{
    depth, function,
    scope::{self, Bound, Units},
};

/// What a mention leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target<'a> {
    /// A name at the top level of a file.
    Name(usize, &'a str),
    /// What happens when a file is imported.
    Module(usize),
    /// All of a file: the name is looked up as it runs.
    Whole(usize),
    /// All files.
    Everything,
}

/// What a statement mentions, each once.
pub(super) fn of<'a>(units: &Units<'a>, unit: usize, stmt: &'a Stmt) -> Vec<Target<'a>> {
    let mut mentions =
        Mentions { units, unit, hidden: Vec::new(), annotation: false, found: HashSet::new(), order: vec![] };
    mentions.visit_stmt(stmt);
    mentions.order
}

struct Mentions<'u, 'a> {
    units: &'u Units<'a>,
    unit: usize,
    /// Names of the functions and comprehensions around.
    hidden: Vec<HashSet<&'a str>>,
    /// Whether texts are types.
    annotation: bool,
    found: HashSet<Target<'a>>,
    order: Vec<Target<'a>>,
}

impl<'a> Mentions<'_, 'a> {
    fn push(&mut self, target: Target<'a>) {
        if self.found.insert(target) {
            self.order.push(target);
        }
    }

    /// A name, and what is asked of it by dots.
    fn dotted(&mut self, root: &'a str, attributes: &[&'a str]) {
        if self.hidden.iter().any(|names| names.contains(root)) {
            return;
        }
        self.push(Target::Name(self.unit, root));
        if !self.units.files[self.unit].names.contains_key(root) {
            match root {
                "globals" | "locals" | "vars" | "dir" | "eval" | "exec" | "__doc__" => {
                    self.push(Target::Whole(self.unit));
                }
                "__import__" | "__builtins__" | "__loader__" | "__spec__" => self.push(Target::Everything),
                _ => {}
            }
            return;
        }
        let mut bound = self.units.named(self.unit, root);
        for attribute in attributes {
            match bound {
                Some(Bound::Module(at)) if self.units.files[at].names.contains_key(attribute) => {
                    self.push(Target::Name(at, attribute));
                    bound = self.units.named(at, attribute);
                }
                Some(Bound::Module(at)) => match self.units.modules.beside(self.units.files[at].text.path, attribute) {
                    Some(folders @ Bound::Folder(_)) => {
                        self.push(Target::Whole(at));
                        bound = Some(folders);
                    }
                    _ => return self.submodule(at, attribute),
                },
                Some(Bound::Folder(of)) => bound = self.units.modules.below(&of, attribute),
                Some(Bound::Foreign(of)) => bound = Some(Bound::Foreign(format!("{of}.{attribute}"))),
                _ => return,
            }
        }
        match bound {
            Some(Bound::Module(at)) => self.push(Target::Whole(at)),
            // A folder that is handed on: which of its files are asked for is not seen.
            Some(Bound::Folder(_)) => self.push(Target::Everything),
            Some(Bound::Foreign(dotted)) if is_loader(&dotted) => self.push(Target::Everything),
            _ => {}
        }
    }

    /// What a file does not bind by itself: a file beside it, or a name that appears as it runs.
    fn submodule(&mut self, of: usize, name: &str) {
        self.push(Target::Whole(of));
        if let Bound::Module(at) = self.units.modules.find(self.units.files[of].text.path, name, 1) {
            self.push(Target::Whole(at));
        }
    }

    fn function(&mut self, def: &'a StmtFunctionDef) {
        for decorator in &def.decorator_list {
            if function::decorator_kind(self.units, self.unit, decorator).is_none() {
                self.visit_expr(&decorator.expression);
            }
        }
        if let Some(type_params) = &def.type_params {
            self.visit_type_params(type_params);
        }
        self.visit_parameters(&def.parameters);
        if let Some(returns) = &def.returns {
            self.visit_annotation(returns);
        }
        let mut names = scope::locals(def);
        let mut globals = Globals(HashSet::new());
        globals.visit_body(&def.body);
        names.retain(|name| !globals.0.contains(name));
        self.hidden.push(names);
        self.visit_body(&def.body);
        self.hidden.pop();
    }

    /// An import that is not at the top level, or only under a condition.
    fn import(&mut self, stmt: &'a Stmt) {
        let names = match stmt {
            Stmt::Import(import) => &import.names,
            Stmt::ImportFrom(import) => &import.names,
            _ => return,
        };
        for alias in names {
            match self.units.imported(self.unit, stmt, alias) {
                Some(Bound::Module(at)) => self.push(Target::Whole(at)),
                Some(Bound::In(at, "*")) => self.push(Target::Whole(at)),
                Some(Bound::In(at, name)) => {
                    self.push(Target::Module(at));
                    self.push(Target::Name(at, name));
                }
                // Its name is the function's own, so that what is asked of it is not seen.
                Some(Bound::Foreign(dotted)) if dotted == "sys" && !self.asks_for_modules() => {}
                Some(Bound::Foreign(dotted)) if is_loader(&dotted) => self.push(Target::Everything),
                _ => {}
            }
        }
    }

    fn asks_for_modules(&self) -> bool {
        self.units.files[self.unit].text.content.contains(".modules")
    }

    /// Names in a text that is a type.
    fn text(&mut self, text: &str) {
        if depth::check(text, Mode::Expression).is_err() {
            return self.push(Target::Whole(self.unit));
        }
        let Ok(parsed) = ruff_python_parser::parse_expression(text.trim()) else { return };
        let mut names = Names(Vec::new());
        names.visit_expr(parsed.expr());
        for name in names.0 {
            if let Some((name, bound)) = self.units.files[self.unit].names.get_key_value(name.as_str()) {
                self.push(Target::Name(self.unit, name));
                match bound {
                    Bound::Module(at) => self.push(Target::Whole(*at)),
                    Bound::Folder(_) => self.push(Target::Everything),
                    _ => {}
                }
            }
        }
    }

    fn comprehension(&mut self, parts: &[&'a Expr], generators: &'a [Comprehension]) {
        // The first list is looked up outside, where the targets hide nothing.
        if let Some(first) = generators.first() {
            self.visit_expr(&first.iter);
        }
        let mut targets = Names(Vec::new());
        generators.iter().for_each(|generator| targets.visit_expr(&generator.target));
        let known =
            |name: String| self.units.files[self.unit].names.get_key_value(name.as_str()).map(|(name, _)| *name);
        self.hidden.push(targets.0.into_iter().filter_map(known).collect());
        parts.iter().for_each(|part| self.visit_expr(part));
        for (at, generator) in generators.iter().enumerate() {
            self.visit_expr(&generator.target);
            if at > 0 {
                self.visit_expr(&generator.iter);
            }
            generator.ifs.iter().for_each(|test| self.visit_expr(test));
        }
        self.hidden.pop();
    }
}

impl<'a> Visitor<'a> for Mentions<'_, 'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(def) => self.function(def),
            Stmt::Import(_) | Stmt::ImportFrom(_) => self.import(stmt),
            other => walk_stmt(self, other),
        }
    }

    fn visit_annotation(&mut self, expr: &'a Expr) {
        let before = std::mem::replace(&mut self.annotation, true);
        self.visit_expr(expr);
        self.annotation = before;
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) => self.dotted(name.id.as_str(), &[]),
            Expr::Attribute(_) => {
                let (mut attributes, mut inner) = (Vec::new(), expr);
                while let Expr::Attribute(attribute) = inner {
                    attributes.push(attribute.attr.id.as_str());
                    inner = &attribute.value;
                }
                attributes.reverse();
                match inner {
                    Expr::Name(name) => self.dotted(name.id.as_str(), &attributes),
                    other => self.visit_expr(other),
                }
            }
            Expr::StringLiteral(literal) if self.annotation => self.text(literal.value.to_str()),
            Expr::Lambda(lambda) => {
                let mut names = HashSet::new();
                for parameter in lambda.parameters.iter().flat_map(|parameters| parameters.iter()) {
                    names.insert(parameter.name().id.as_str());
                    parameter.default().into_iter().for_each(|default| self.visit_expr(default));
                }
                self.hidden.push(names);
                self.visit_expr(&lambda.body);
                self.hidden.pop();
            }
            Expr::ListComp(inner) => self.comprehension(&[&*inner.elt], &inner.generators),
            Expr::SetComp(inner) => self.comprehension(&[&*inner.elt], &inner.generators),
            Expr::Generator(inner) => self.comprehension(&[&*inner.elt], &inner.generators),
            Expr::DictComp(inner) => {
                let parts: Vec<&Expr> = inner.key.iter().map(|key| &**key).chain([&*inner.value]).collect();
                self.comprehension(&parts, &inner.generators);
            }
            other => walk_expr(self, other),
        }
    }
}

/// Whether a name of the standard library finds modules as it runs.
fn is_loader(dotted: &str) -> bool {
    let loads = ["importlib.import_module", "importlib.reload", "importlib.util", "importlib.machinery", "sys.modules"];
    matches!(dotted, "importlib" | "builtins" | "runpy" | "pkgutil" | "imp" | "sys")
        || loads.iter().chain(&["builtins.", "runpy.", "pkgutil.", "imp."]).any(|prefix| dotted.starts_with(prefix))
}

/// Names that stand anywhere in an expression.
struct Names(Vec<String>);

impl<'v> Visitor<'v> for Names {
    fn visit_expr(&mut self, expr: &'v Expr) {
        if let Expr::Name(name) = expr {
            self.0.push(name.id.to_string());
        }
        walk_expr(self, expr);
    }
}

/// Names that a function takes from the file although it binds them.
struct Globals<'v>(HashSet<&'v str>);

impl<'v> Visitor<'v> for Globals<'v> {
    fn visit_stmt(&mut self, stmt: &'v Stmt) {
        match stmt {
            Stmt::Global(global) => self.0.extend(global.names.iter().map(|name| name.id.as_str())),
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => {}
            other => walk_stmt(self, other),
        }
    }
}
