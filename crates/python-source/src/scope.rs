//! What the names of a file stand for: resolved through imports and definitions, never by spelling.

use std::collections::{HashMap, HashSet};

use qflow_model::definition::Source;
use ruff_python_ast::{
    Alias, Comprehension, ExceptHandler, Expr, Stmt, StmtClassDef, StmtFunctionDef,
    visitor::{Visitor, walk_except_handler, walk_expr, walk_stmt},
};
use ruff_text_size::{Ranged, TextRange};

use crate::text::Text;

/// How many names may stand for one another before it counts as a circle.
const HOPS: usize = 16;

/// What a top-level name stands for.
#[derive(Clone, Debug)]
pub(crate) enum Bound<'a> {
    /// `import qflow`.
    QflowModule,
    /// `from qflow import node`.
    Qflow(&'a str),
    /// A file of the submission.
    Module(usize),
    /// A name in another file of the submission.
    In(usize, &'a str),
    /// Something outside, by its dotted name: `pandas.DataFrame`.
    Foreign(String),
    /// A class in this file.
    Class(usize, &'a StmtClassDef),
    /// A function in this file.
    Function(usize, &'a StmtFunctionDef),
    /// `NAME = …`, assigned once.
    Assigned(usize, &'a Expr),
    /// Bound in a way that is not looked into.
    Other,
}

/// One file: its text, its statements and its top-level names.
pub(crate) struct Unit<'a> {
    pub(crate) text: Text<'a>,
    pub(crate) suite: &'a [Stmt],
    pub(crate) names: HashMap<&'a str, Bound<'a>>,
    /// Names that are bound more than once, and where again.
    pub(crate) again: Vec<(&'a str, TextRange)>,
}

/// Every file of a submission.
pub(crate) struct Units<'a>(pub(crate) Vec<Unit<'a>>);

impl<'a> Units<'a> {
    /// What an expression stands for, as far as it is a name or a dotted name.
    pub(crate) fn resolve(&self, unit: usize, expr: &Expr) -> Option<Bound<'a>> {
        let mut dotted = Vec::new();
        let mut expr = expr;
        while let Expr::Attribute(attribute) = expr {
            dotted.push(attribute.attr.id.as_str());
            expr = &attribute.value;
        }
        let mut bound = self.named(unit, expr.as_name_expr()?.id.as_str())?;
        for name in dotted.into_iter().rev() {
            bound = match bound {
                Bound::QflowModule => Bound::Qflow(crate::known_to_qflow(name)?),
                Bound::Module(at) => self.named(at, name)?,
                Bound::Foreign(of) => Bound::Foreign(format!("{of}.{name}")),
                _ => return None,
            };
        }
        Some(bound)
    }

    /// [`Self::resolve`] inside a function, whose own names hide those of the file.
    pub(crate) fn visible(&self, unit: usize, expr: &Expr, locals: &HashSet<&str>) -> Option<Bound<'a>> {
        let mut root = expr;
        while let Expr::Attribute(attribute) = root {
            root = &attribute.value;
        }
        if locals.contains(root.as_name_expr()?.id.as_str()) {
            return None;
        }
        self.resolve(unit, expr)
    }

    /// What a top-level name of a file stands for.
    pub(crate) fn named(&self, unit: usize, name: &str) -> Option<Bound<'a>> {
        let mut bound = self.0[unit].names.get(name)?.clone();
        for _ in 0..HOPS {
            match bound {
                Bound::In(at, name) => bound = self.0[at].names.get(name)?.clone(),
                Bound::Assigned(at, Expr::Name(other)) => match self.0[at].names.get(other.id.as_str()) {
                    Some(next) => bound = next.clone(),
                    None => return Some(bound),
                },
                other => return Some(other),
            }
        }
        None
    }
}

/// The names that a file binds at its top level, also within `if` and `try` there.
pub(crate) fn names<'a>(
    source: &'a Source,
    files: &HashMap<&'a str, usize>,
    path: &'a str,
    unit: usize,
    suite: &'a [Stmt],
) -> (HashMap<&'a str, Bound<'a>>, Vec<(&'a str, TextRange)>) {
    let mut binder =
        Binder { source, files, path, unit, names: HashMap::new(), again: Vec::new(), conditional: HashSet::new() };
    binder.block(suite, false);
    (binder.names, binder.again)
}

struct Binder<'a, 'f> {
    source: &'a Source,
    files: &'f HashMap<&'a str, usize>,
    path: &'a str,
    unit: usize,
    names: HashMap<&'a str, Bound<'a>>,
    again: Vec<(&'a str, TextRange)>,
    /// Names bound inside an `if` or `try`: another binding of them is the other case.
    conditional: HashSet<&'a str>,
}

impl<'a> Binder<'a, '_> {
    fn block(&mut self, suite: &'a [Stmt], conditional: bool) {
        for stmt in suite {
            self.statement(stmt, conditional);
        }
    }

    fn bind(&mut self, name: &'a str, bound: Bound<'a>, range: TextRange, conditional: bool) {
        if conditional {
            // The first case that names it says what it is: `try: import tomllib`, `except: tomllib = None`.
            self.conditional.insert(name);
            self.names.entry(name).or_insert(bound);
        } else if self.names.contains_key(name) && !self.conditional.contains(name) {
            self.again.push((name, range));
            // A constant that is assigned twice is none.
            let bound = if matches!(bound, Bound::Assigned(..)) { Bound::Other } else { bound };
            self.names.insert(name, bound);
        } else {
            self.names.insert(name, bound);
        }
    }

    fn statement(&mut self, stmt: &'a Stmt, conditional: bool) {
        match stmt {
            Stmt::Import(import) => {
                for alias in &import.names {
                    let dotted = alias.name.id.as_str();
                    let first = dotted.split('.').next().unwrap_or(dotted);
                    let (name, target) = match &alias.asname {
                        Some(name) => (name.id.as_str(), dotted),
                        None => (first, first),
                    };
                    let bound = self.module(target, 0);
                    self.bind(name, bound, alias.range(), true);
                }
            }
            Stmt::ImportFrom(import) => self.import_from(import),
            Stmt::FunctionDef(function) => {
                let bound = Bound::Function(self.unit, function);
                self.bind(function.name.id.as_str(), bound, function.name.range(), conditional);
            }
            Stmt::ClassDef(class) => {
                self.bind(class.name.id.as_str(), Bound::Class(self.unit, class), class.name.range(), conditional);
            }
            Stmt::Assign(assign) => {
                for target in &assign.targets {
                    self.target(target, Some(&assign.value), conditional);
                }
            }
            Stmt::AnnAssign(assign) => self.target(&assign.target, assign.value.as_deref(), conditional),
            Stmt::AugAssign(assign) => self.target(&assign.target, None, conditional),
            Stmt::TypeAlias(alias) => self.target(&alias.name, Some(&alias.value), conditional),
            Stmt::If(branch) if is_main(&branch.test) => {}
            Stmt::If(branch) => {
                self.block(&branch.body, true);
                branch.elif_else_clauses.iter().for_each(|clause| self.block(&clause.body, true));
            }
            Stmt::Try(attempt) => {
                self.block(&attempt.body, true);
                for handler in &attempt.handlers {
                    let ruff_python_ast::ExceptHandler::ExceptHandler(handler) = handler;
                    self.block(&handler.body, true);
                }
                self.block(&attempt.orelse, true);
                self.block(&attempt.finalbody, true);
            }
            Stmt::For(each) => {
                self.target(&each.target, None, true);
                self.block(&each.body, true);
            }
            Stmt::While(each) => self.block(&each.body, true),
            Stmt::With(with) => {
                with.items.iter().filter_map(|i| i.optional_vars.as_deref()).for_each(|t| self.target(t, None, true));
                self.block(&with.body, true);
            }
            _ => {}
        }
    }

    fn target(&mut self, target: &'a Expr, value: Option<&'a Expr>, conditional: bool) {
        match target {
            Expr::Name(name) => {
                let bound = match value {
                    Some(value) if !conditional => Bound::Assigned(self.unit, value),
                    _ => Bound::Other,
                };
                self.bind(name.id.as_str(), bound, name.range(), conditional);
            }
            Expr::Tuple(tuple) => tuple.elts.iter().for_each(|t| self.target(t, None, conditional)),
            Expr::List(list) => list.elts.iter().for_each(|t| self.target(t, None, conditional)),
            Expr::Starred(starred) => self.target(&starred.value, None, conditional),
            _ => {}
        }
    }

    fn import_from(&mut self, import: &'a ruff_python_ast::StmtImportFrom) {
        let module = import.module.as_ref().map_or("", |m| m.id.as_str());
        let from = self.module(module, import.level as usize);
        for alias in &import.names {
            let name = alias.name.id.as_str();
            if name == "*" {
                if matches!(from, Bound::QflowModule) {
                    for name in crate::QFLOW_NAMES {
                        self.bind(name, Bound::Qflow(name), alias.range(), true);
                    }
                }
                continue;
            }
            let bound = match &from {
                Bound::QflowModule => crate::known_to_qflow(name).map_or(Bound::Other, Bound::Qflow),
                // `from parts import clean` names a module where there is one, else a name in `parts`.
                Bound::Module(at) => match self.module(&join(module, name), import.level as usize) {
                    Bound::Module(inner) => Bound::Module(inner),
                    _ => Bound::In(*at, name),
                },
                Bound::Foreign(_) => match self.module(&join(module, name), import.level as usize) {
                    Bound::Module(inner) => Bound::Module(inner),
                    _ => Bound::Foreign(join(module, name)),
                },
                _ => Bound::Other,
            };
            let bound_as = alias.asname.as_ref().map_or(name, |n| n.id.as_str());
            self.bind(bound_as, bound, alias.range(), true);
        }
    }

    /// What a module's name stands for; `level` dots before it.
    fn module(&self, dotted: &str, level: usize) -> Bound<'a> {
        if level == 0 && dotted == "qflow" {
            return Bound::QflowModule;
        }
        let folder = |path: &'a str| path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let relative = dotted.replace('.', "/");
        let bases: Vec<&str> = if level > 0 {
            let mut base = folder(self.path);
            for _ in 1..level {
                base = base.rsplit_once('/').map_or("", |(folder, _)| folder);
            }
            vec![base]
        } else {
            vec![folder(self.path), folder(&self.source.entry), "", "src"]
        };
        for base in bases {
            let path = [base, &relative].iter().filter(|p| !p.is_empty()).copied().collect::<Vec<_>>().join("/");
            let candidates = [
                format!("{path}.py"),
                if path.is_empty() { "__init__.py".into() } else { format!("{path}/__init__.py") },
            ];
            if let Some(at) = candidates.iter().find_map(|c| self.files.get(c.as_str())) {
                return Bound::Module(*at);
            }
        }
        Bound::Foreign(dotted.to_owned())
    }
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}.{name}") }
}

/// `__name__ == "__main__"`.
pub(crate) fn is_main(test: &Expr) -> bool {
    let Expr::Compare(compare) = test else { return false };
    let named = |e: &Expr| e.as_name_expr().is_some_and(|n| n.id.as_str() == "__name__");
    named(&compare.left) || compare.comparators.iter().any(named)
}

/// The names that a function binds anywhere in its body, and its parameters: in Python they hide the file's throughout.
pub(crate) fn locals(function: &StmtFunctionDef) -> HashSet<&str> {
    let mut stored = Stored { names: function.parameters.iter().map(|p| p.name().id.as_str()).collect() };
    stored.visit_body(&function.body);
    stored.names
}

/// The names that one statement binds.
pub(crate) fn stored(stmt: &Stmt) -> HashSet<&str> {
    let mut stored = Stored { names: HashSet::new() };
    stored.visit_stmt(stmt);
    stored.names
}

struct Stored<'a> {
    names: HashSet<&'a str>,
}

impl<'a> Visitor<'a> for Stored<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(def) => drop(self.names.insert(def.name.id.as_str())),
            Stmt::ClassDef(class) => drop(self.names.insert(class.name.id.as_str())),
            other => walk_stmt(self, other),
        }
    }

    fn visit_alias(&mut self, alias: &'a Alias) {
        let dotted = alias.name.id.as_str();
        let name = alias.asname.as_ref().map_or(dotted.split('.').next().unwrap_or(dotted), |n| n.id.as_str());
        self.names.insert(name);
    }

    fn visit_except_handler(&mut self, handler: &'a ExceptHandler) {
        let ExceptHandler::ExceptHandler(inner) = handler;
        self.names.extend(inner.name.as_ref().map(|n| n.id.as_str()));
        walk_except_handler(self, handler);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) if !name.ctx.is_load() => drop(self.names.insert(name.id.as_str())),
            Expr::Lambda(_) => {}
            other => walk_expr(self, other),
        }
    }

    fn visit_comprehension(&mut self, comprehension: &'a Comprehension) {
        // The targets of a comprehension are its own.
        self.visit_expr(&comprehension.iter);
        comprehension.ifs.iter().for_each(|test| self.visit_expr(test));
    }
}
