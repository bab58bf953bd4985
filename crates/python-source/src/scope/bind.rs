//! The names that a file binds at its top level, also within `if` and `try` there.

use std::collections::{HashMap, HashSet};

use ruff_python_ast::{ExceptHandler, Expr, Stmt, StmtImportFrom};
use ruff_text_size::{Ranged, TextRange};

use super::{Bound, Modules, Unit, is_main, star};
use crate::{options, problems::Problems, text::Text};

/// Binds a file's names.
pub(crate) fn names<'a>(modules: &Modules<'a>, text: Text<'a>, suite: &'a [Stmt], problems: &mut Problems) -> Unit<'a> {
    let at = modules.position(text.path).unwrap_or_default();
    let unit = Unit {
        text,
        suite,
        names: HashMap::new(),
        again: Vec::new(),
        parameters: HashMap::new(),
        stars: false,
        read: true,
    };
    let mut binder = Binder { modules, at, unit, conditional: HashSet::new(), problems };
    binder.block(suite, false);
    binder.unit
}

struct Binder<'a, 'f> {
    modules: &'f Modules<'a>,
    at: usize,
    unit: Unit<'a>,
    /// Names bound inside an `if` or `try`, or imported: another binding of them is the other case.
    conditional: HashSet<&'a str>,
    problems: &'f mut Problems,
}

impl<'a> Binder<'a, '_> {
    fn block(&mut self, suite: &'a [Stmt], conditional: bool) {
        for stmt in suite {
            self.statement(stmt, conditional);
        }
    }

    fn bind(&mut self, name: &'a str, bound: Bound<'a>, range: TextRange, conditional: bool) {
        let Unit { names, again, .. } = &mut self.unit;
        let taken = names.contains_key(name) && !self.conditional.contains(name);
        if taken {
            again.push((name, range));
        }
        if conditional {
            // The first case that names it says what it is: `try: import tomllib`, `except: tomllib = None`.
            let known = names.entry(name).or_insert(bound);
            if !taken {
                self.conditional.insert(name);
            } else if let Bound::Assigned(at, value) = *known {
                // A constant that may be another one is none.
                *known = Bound::Either(at, value);
            }
        } else {
            // A constant that is assigned twice is none.
            let bound = if taken && matches!(bound, Bound::Assigned(..)) { Bound::Other } else { bound };
            names.insert(name, bound);
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
                    let bound = match (self.module(target, 0), self.module(dotted, 0)) {
                        // `import a.b` binds `a`, which may be no more than a folder.
                        (bound @ Bound::Foreign(_), Bound::Module(_)) => self.modules.folders(target).unwrap_or(bound),
                        (bound, _) => bound,
                    };
                    self.bind(name, bound, alias.range(), true);
                }
            }
            Stmt::ImportFrom(import) => self.import_from(import),
            Stmt::FunctionDef(function) => {
                let bound = Bound::Function(self.at, function);
                self.bind(function.name.id.as_str(), bound, function.name.range(), conditional);
            }
            Stmt::ClassDef(class) => {
                self.bind(class.name.id.as_str(), Bound::Class(self.at, class), class.name.range(), conditional);
            }
            Stmt::Assign(assign) => {
                for target in &assign.targets {
                    self.target(target, Some(&assign.value), conditional);
                }
            }
            Stmt::AnnAssign(assign) => self.target(&assign.target, assign.value.as_deref(), conditional),
            Stmt::AugAssign(assign) => self.target(&assign.target, None, conditional),
            Stmt::TypeAlias(alias) => {
                if let Some(parameters) = &alias.type_params {
                    self.unit.parameters.insert(alias.value.range(), &parameters.type_params);
                }
                self.target(&alias.name, Some(&alias.value), conditional);
            }
            other => self.compound(other),
        }
    }

    /// Statements that hold others, which may or may not run.
    fn compound(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::If(branch) if is_main(&branch.test) => {}
            Stmt::If(branch) => {
                self.block(&branch.body, true);
                branch.elif_else_clauses.iter().for_each(|clause| self.block(&clause.body, true));
            }
            Stmt::Try(attempt) => {
                self.block(&attempt.body, true);
                for handler in &attempt.handlers {
                    let ExceptHandler::ExceptHandler(handler) = handler;
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
            Stmt::Match(choice) => choice.cases.iter().for_each(|case| self.block(&case.body, true)),
            _ => {}
        }
    }

    fn target(&mut self, target: &'a Expr, value: Option<&'a Expr>, conditional: bool) {
        match target {
            Expr::Name(name) => {
                let bound = match value {
                    Some(value) if conditional => Bound::Either(self.at, value),
                    Some(value) => Bound::Assigned(self.at, value),
                    None => Bound::Other,
                };
                self.bind(name.id.as_str(), bound, name.range(), conditional);
            }
            Expr::Tuple(tuple) => self.targets(&tuple.elts, value, conditional),
            Expr::List(list) => self.targets(&list.elts, value, conditional),
            Expr::Starred(starred) => self.target(&starred.value, None, conditional),
            _ => {}
        }
    }

    /// `Row, Rows = dict[str, int], list[int]`: each of its own, where as many are written.
    fn targets(&mut self, targets: &'a [Expr], value: Option<&'a Expr>, conditional: bool) {
        let values: &[Expr] = match value {
            Some(Expr::Tuple(tuple)) => &tuple.elts,
            Some(Expr::List(list)) => &list.elts,
            _ => &[],
        };
        let paired = values.len() == targets.len() && !targets.iter().chain(values).any(Expr::is_starred_expr);
        for (at, target) in targets.iter().enumerate() {
            self.target(target, values.get(at).filter(|_| paired), conditional);
        }
    }

    fn import_from(&mut self, import: &'a StmtImportFrom) {
        let module = import.module.as_ref().map_or("", |m| m.id.as_str());
        let from = self.module(module, import.level as usize);
        for alias in &import.names {
            let name = alias.name.id.as_str();
            if name == "*" {
                self.star(&from, alias.range());
                continue;
            }
            let bound = match self.modules.member(self.unit.text.path, import, name) {
                Some(bound) => bound,
                None => self.unknown(name, alias.range()),
            };
            let bound_as = alias.asname.as_ref().map_or(name, |n| n.id.as_str());
            self.bind(bound_as, bound, alias.range(), true);
        }
    }

    fn star(&mut self, from: &Bound<'a>, range: TextRange) {
        match from {
            Bound::QflowModule => {
                for name in crate::QFLOW_NAMES {
                    self.bind(name, Bound::Qflow(name), range, true);
                }
            }
            Bound::Module(_) => {
                let message = "a star does not say which names come from the other file";
                self.problems.push(self.unit.text.problem(range, "star-import", message, "write each name"));
            }
            Bound::Foreign(module) => {
                let Some(names) = star::names(module) else {
                    self.unit.stars = true;
                    return;
                };
                for name in names {
                    self.bind(name, Bound::Foreign(format!("{module}.{name}")), range, true);
                }
            }
            _ => {}
        }
    }

    fn unknown(&mut self, name: &str, range: TextRange) -> Bound<'a> {
        let near = options::nearest(name, crate::QFLOW_NAMES.iter().copied());
        let remedy =
            near.map_or_else(|| "see what it has: help(qflow)".to_owned(), |near| format!("did you mean `{near}`?"));
        let message = format!("qflow has no `{name}`");
        self.problems.push(self.unit.text.problem(range, "unknown-import", message, &remedy));
        Bound::Unread
    }

    fn module(&self, dotted: &str, level: usize) -> Bound<'a> {
        self.modules.find(self.unit.text.path, dotted, level)
    }
}
