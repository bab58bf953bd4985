//! Defaults of nodes: Python's own and never sent, held to their annotations all the same as far as reading tells what they are.

use qflow_model::class::Classes;
use qflow_types::{Ty, assignable_among, value};
use ruff_python_ast::{Expr, StmtFunctionDef};
use ruff_text_size::{Ranged, TextRange};
use serde_json::Value;

use super::{Head, Kind, kind};
use crate::{
    classes,
    constant::{self, NotConstant, guess},
    problems::Problems,
    project::Project,
};

const REMEDY: &str = "write a default of the declared type";

/// A default of a node as it is written.
pub(crate) struct WrittenDefault {
    unit: usize,
    range: TextRange,
    /// The function and the parameter: `f.x`.
    name: String,
    ty: Ty,
    value: Written,
    /// Any other function is read as a node is, but what it leaves to Python is its own affair.
    is_node: bool,
}

enum Written {
    Value(Value),
    /// Only its type is known: `Any` where nothing is.
    Of(Ty),
    /// What no function has for a default, and what to write: a member that an enum has not, a date that is none.
    Wrong(String, &'static str),
}

impl WrittenDefault {
    /// The classes that its type names, and that it is of.
    pub(crate) fn named(&self) -> Vec<String> {
        let mut named = classes::named(&self.ty);
        if let Written::Of(found) = &self.value {
            named.extend(classes::named(found));
        }
        named
    }
}

/// Holds the defaults of nodes to their types.
pub(crate) fn check_defaults(project: &Project<'_>, classes: &Classes, problems: &mut Problems) {
    for WrittenDefault { unit, range, name, ty, value, is_node } in project.defaults.take() {
        let text = &project.units.files[unit].text;
        let (why, remedy) = match value {
            Written::Wrong(why, remedy) => (why, remedy.to_owned()),
            Written::Value(value) => match value::check_written(&value, &ty, classes) {
                Ok(()) => continue,
                Err(error) if value.is_null() => (error.to_string(), format!("declare {ty} | None")),
                Err(error) => (error.to_string(), REMEDY.to_owned()),
            },
            Written::Of(found) => match goes(&found, &ty, classes) {
                Some(Ok(())) => continue,
                Some(Err(why)) => (why, REMEDY.to_owned()),
                None if !is_node => continue,
                None => {
                    let written = text.written(range);
                    let message = format!("{name}: {ty} ← its default: what `{written}` is only Python knows");
                    let remedy = "leave it so, or write a literal or a name of one";
                    problems.push(text.warning(range, "default-not-checked", message, remedy));
                    continue;
                }
            },
        };
        let message = format!("{name}: {ty} ← its default: {why}");
        problems.push(text.problem(range, "incompatible-default", message, &remedy));
    }
}

/// Whether a default of a type goes where another is declared, and if not, why; nothing where only Python knows.
fn goes(found: &Ty, ty: &Ty, classes: &Classes) -> Option<Result<(), String>> {
    let takes_all = |one: &Ty| matches!(one, Ty::Any | Ty::Variable(_)) || *one == Ty::class("object");
    if ty.members().iter().any(takes_all) {
        return Some(Ok(()));
    }
    // It is not sent, so it may be of any class that is derived from the declared one, with more fields too.
    let is_one = |name: &str, of: &Ty| {
        let Ty::Class(of) = of else { return false };
        of == name || classes.get(name).is_some_and(|class| class.bases.contains(of))
    };
    for one in found.members() {
        let own = match one {
            Ty::Any => return None,
            // What a mapping makes of a `TypedDict`'s keys is not looked into.
            Ty::Class(name) | Ty::Generic(name, _) if name == "dict" => {
                let is_own = |of: &Ty| matches!(of, Ty::Class(name) if !qflow_types::is_builtin(name));
                if ty.members().iter().any(is_own) {
                    return None;
                }
                continue;
            }
            Ty::Class(name) if name == guess::ELLIPSIS => continue,
            Ty::Class(name) | Ty::Generic(name, _) if !qflow_types::is_builtin(name) => name,
            _ => continue,
        };
        let is_there = ty.members().iter().any(|of| is_one(own, of));
        if is_there && found.members().len() == 1 {
            return Some(Ok(()));
        }
        if is_there || !classes.contains_key(own) {
            return None;
        }
    }
    let goes = assignable_among(found, ty, classes);
    if goes.is_ok() && found.members().iter().any(|one| is_unseen(one, ty)) {
        return None;
    }
    Some(goes.map_err(|reason| {
        let is_whole = reason.path.is_empty();
        if is_whole { format!("expected {ty}, got {}", found.clone().widened()) } else { reason.to_string() }
    }))
}

/// Whether it is a container of which nobody sees what it holds, where that is declared: `dict(a="x")` for `dict[str, int]`.
fn is_unseen(found: &Ty, ty: &Ty) -> bool {
    let holds = match found {
        Ty::Class(name) => qflow_types::arity(name).is_some_and(|count| count > 0),
        Ty::Tuples(item) => **item == Ty::Any,
        _ => false,
    };
    let says = |part: &&Ty| **part != Ty::Any && **part != Ty::class("object");
    holds && ty.members().iter().any(|of| of.parts().iter().any(says))
}

impl Head<'_, '_> {
    /// Notes a node's default, to be held to its annotation once all classes are known.
    pub(super) fn written(&mut self, default: &Expr, function: &StmtFunctionDef, parameter: &str, ty: &Ty) {
        let units = &self.project.units;
        let is_node = kind(units, self.unit, function) == Some(Kind::Node);
        let value = match constant::value(units, self.unit, default) {
            Ok(literal) => Written::Value(literal),
            Err(NotConstant::Clock(_) | NotConstant::Told) => return,
            Err(NotConstant::Impossible(_, what)) => Written::Wrong(what.to_owned(), "write one that Python makes"),
            Err(NotConstant::Wrong(..) | NotConstant::Other(_)) => {
                match (classes::missing_member(units, self.unit, default), guess::of(units, self.unit, default)) {
                    (Some(message), _) => Written::Wrong(message, "name a member that it has"),
                    // What a stub says where a default is.
                    _ if default.is_ellipsis_literal_expr() && !is_node => return,
                    (_, Ok(found)) => Written::Of(found),
                    (_, Err(why)) => Written::Wrong(why, REMEDY),
                }
            }
        };
        let name = format!("{}.{parameter}", function.name.id);
        let default = WrittenDefault { unit: self.unit, range: default.range(), name, ty: ty.clone(), value, is_node };
        self.project.defaults.borrow_mut().push(default);
    }
}
