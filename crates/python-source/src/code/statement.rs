//! A statement at the top level of a file: what it binds and mentions, whether importing it does something, its digest.

use std::{
    cell::OnceCell,
    fmt::{self, Write as _},
};

use qflow_model::ids::Digest;
use ruff_python_ast::{
    Decorator, Expr, Stmt,
    comparable::{ComparableDecorator, ComparableExpr, ComparableParameters, ComparableStmt, ComparableTypeParams},
    visitor::{Visitor, walk_expr},
};

use super::mentions::{self, Target};
use crate::{
    function,
    scope::{self, Bound, Units},
};

/// Packages whose decorators only change what they stand before.
const PLAIN_DECORATORS: &[&str] = &[
    "abc",
    "attr",
    "attrs",
    "contextlib",
    "dataclasses",
    "enum",
    "functools",
    "pydantic",
    "typing",
    "typing_extensions",
];

/// A statement at the top level.
pub(super) struct Statement<'a> {
    pub(super) stmt: &'a Stmt,
    pub(super) binds: Vec<&'a str>,
    /// Whether running it may change more than the names it binds.
    pub(super) effect: bool,
    /// Whether it does nothing in a node: a docstring, `if __name__ == "__main__"`.
    pub(super) skipped: bool,
    mentions: OnceCell<Vec<Target<'a>>>,
    digest: OnceCell<Digest>,
}

impl<'a> Statement<'a> {
    pub(super) fn new(units: &Units<'a>, unit: usize, stmt: &'a Stmt, registers: bool) -> Self {
        let skipped = match stmt {
            Stmt::If(branch) => scope::is_main(&branch.test),
            Stmt::Expr(expr) => expr.value.is_literal_expr(),
            Stmt::Pass(_) => true,
            _ => false,
        };
        let mut binds: Vec<&str> = if skipped { Vec::new() } else { scope::stored(stmt).into_iter().collect() };
        binds.sort_unstable();
        let effect = !skipped && effect(units, unit, stmt, registers);
        Self { stmt, binds, effect, skipped, mentions: OnceCell::new(), digest: OnceCell::new() }
    }

    /// What it mentions.
    pub(super) fn mentions(&self, units: &Units<'a>, unit: usize) -> &[Target<'a>] {
        self.mentions.get_or_init(|| mentions::of(units, unit, self.stmt))
    }

    /// Its digest, without layout.
    pub(super) fn digest(&self, units: &Units<'_>, unit: usize) -> Digest {
        *self.digest.get_or_init(|| {
            let mut text = String::new();
            // Writing to a text does not fail.
            let _ = normal(units, unit, self.stmt, &mut text);
            Digest::of(text.as_bytes())
        })
    }

    /// Whether it assigns what a call gave, which may change what the call was given.
    pub(super) fn assigns_by_call(&self) -> bool {
        let value = match self.stmt {
            Stmt::Assign(assign) => &*assign.value,
            Stmt::AugAssign(assign) => &*assign.value,
            Stmt::AnnAssign(assign) => match &assign.value {
                Some(value) => value,
                None => return false,
            },
            _ => return false,
        };
        let mut calls = Calls(false);
        calls.visit_expr(value);
        calls.0 && !self.effect
    }
}

struct Calls(bool);

impl<'v> Visitor<'v> for Calls {
    fn visit_expr(&mut self, expr: &'v Expr) {
        self.0 |= expr.is_call_expr();
        if !self.0 {
            walk_expr(self, expr);
        }
    }
}

/// The statement without places; decorators of Qflow's own are no code.
fn normal(units: &Units<'_>, unit: usize, stmt: &Stmt, text: &mut String) -> fmt::Result {
    let Stmt::FunctionDef(def) = stmt else { return write!(text, "{:?}", ComparableStmt::from(stmt)) };
    let own = def.decorator_list.iter().filter(|d| function::decorator_kind(units, unit, d).is_none());
    let decorators: Vec<_> = own.map(ComparableDecorator::from).collect();
    let type_params = def.type_params.as_deref().map(ComparableTypeParams::from);
    let parameters = ComparableParameters::from(&*def.parameters);
    let returns = def.returns.as_deref().map(ComparableExpr::from);
    let body: Vec<_> = def.body.iter().map(ComparableStmt::from).collect();
    let name = def.name.id.as_str();
    write!(text, "{:?}", (def.is_async, decorators, name, type_params, parameters, returns, body))
}

fn effect(units: &Units<'_>, unit: usize, stmt: &Stmt, registers: bool) -> bool {
    let decorated = |decorators: &[Decorator]| decorators.iter().any(|decorator| !plain(units, unit, decorator));
    match stmt {
        Stmt::Import(_) | Stmt::ImportFrom(_) | Stmt::TypeAlias(_) => false,
        Stmt::FunctionDef(def) => decorated(&def.decorator_list),
        Stmt::ClassDef(class) => decorated(&class.decorator_list) || (registers && class.arguments.is_some()),
        Stmt::Assign(assign) => !assign.targets.iter().all(only_names),
        Stmt::AnnAssign(assign) => !only_names(&assign.target),
        Stmt::AugAssign(assign) => !only_names(&assign.target),
        Stmt::If(branch) => !(scope::is_type_checking(&branch.test) && branch.elif_else_clauses.is_empty()),
        _ => true,
    }
}

fn plain(units: &Units<'_>, unit: usize, decorator: &Decorator) -> bool {
    let callee = match &decorator.expression {
        Expr::Call(call) => &*call.func,
        other => other,
    };
    match units.resolve(unit, callee) {
        Some(Bound::Qflow(_)) => true,
        Some(Bound::Foreign(dotted)) => PLAIN_DECORATORS.contains(&dotted.split('.').next().unwrap_or_default()),
        // A builtin, where nothing binds its name.
        None => scope::root(callee).is_some_and(|root| !units.files[unit].names.contains_key(root)),
        Some(_) => false,
    }
}

fn only_names(target: &Expr) -> bool {
    match target {
        Expr::Name(_) => true,
        Expr::Tuple(tuple) => tuple.elts.iter().all(only_names),
        Expr::List(list) => list.elts.iter().all(only_names),
        Expr::Starred(starred) => only_names(&starred.value),
        _ => false,
    }
}

/// Whether writing a class may do something elsewhere: some class here is told of its subclasses.
pub(super) fn classes_register(units: &Units<'_>) -> bool {
    let told = ["__init_subclass__", "__subclasses__", "__set_name__", "metaclass"];
    units.files.iter().any(|file| told.iter().any(|word| file.text.content.contains(word)))
}

/// Whether the value of a name can be changed by who is given it.
pub(super) fn may_change(units: &Units<'_>, unit: usize, name: &str) -> bool {
    match units.files[unit].names.get(name) {
        Some(Bound::Assigned(_, value)) => !matches!(
            value,
            Expr::StringLiteral(_)
                | Expr::FString(_)
                | Expr::BytesLiteral(_)
                | Expr::NumberLiteral(_)
                | Expr::BooleanLiteral(_)
                | Expr::NoneLiteral(_)
        ),
        Some(Bound::Either(..) | Bound::Other) => true,
        _ => false,
    }
}
