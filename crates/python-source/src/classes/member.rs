//! Members of an enum: names with values that are written down, or counted by `auto()`.

use qflow_model::class::Member;
use ruff_python_ast::{Expr, Stmt, StmtFunctionDef};
use serde_json::{Value, json};

use super::{bases::Shape, called, foreign};
use crate::{
    constant,
    scope::{Bound, Units},
};

/// The value of a member; nothing where only Python knows it.
pub(super) fn value(
    units: &Units<'_>,
    unit: usize,
    name: &str,
    value: &Expr,
    before: &[Member],
    shape: &Shape,
) -> Option<Value> {
    if name.starts_with('_') {
        return None;
    }
    if let Expr::Call(call) = value
        && foreign(units, unit, &call.func).as_deref() == Some("enum.auto")
        && call.arguments.is_empty()
    {
        return counted(name, before, shape);
    }
    // `ALSO = RED`: another name for it.
    if let Expr::Name(other) = value
        && let Some(known) = before.iter().find(|member| member.name == other.id.as_str())
    {
        return Some(known.value.clone());
    }
    constant::value(units, unit, value).ok()
}

/// What `auto()` gives: the name in small letters, or one more than the last, which only whole numbers have.
fn counted(name: &str, before: &[Member], shape: &Shape) -> Option<Value> {
    if shape.is_text {
        return Some(json!(name.to_lowercase()));
    }
    match before.last() {
        None => Some(json!(1)),
        // Newer Pythons count on from the largest, older ones from the last.
        Some(last) => {
            let largest = before.iter().map(|member| member.value.as_i64()).max()??;
            (last.value.as_i64() == Some(largest)).then(|| json!(largest + 1))
        }
    }
}

/// What is wrong with `Colour.GREY` where the enum is known and has no such name.
pub(crate) fn missing(units: &Units<'_>, unit: usize, expr: &Expr) -> Option<String> {
    let attribute = expr.as_attribute_expr()?;
    let name = attribute.attr.id.as_str();
    let is_own = |at: usize, base: &Expr| !matches!(units.resolve(at, base), Some(Bound::Foreign(_)) | None);
    let (class, members) = match units.resolve(unit, &attribute.value)? {
        Bound::Class(at, class) => {
            let binds = |method: &StmtFunctionDef| method.name.id.as_str() == name;
            // What a base binds may be asked for too.
            let is_there = class.body.iter().filter_map(Stmt::as_function_def_stmt).any(binds)
                || class.arguments.as_ref().is_some_and(|of| of.args.iter().any(|base| is_own(at, base)));
            if is_there {
                return None;
            }
            (class.name.id.as_str(), super::members(units, at, class)?)
        }
        Bound::Assigned(at, value) => {
            let members = called::members(units, at, value);
            (called::named(units, at, value)?, members.into_iter().map(str::to_owned).collect())
        }
        _ => return None,
    };
    let is_there = name.starts_with("__") || members.is_empty() || members.iter().any(|member| member == name);
    (!is_there).then(|| format!("`{class}` has no member `{name}`; it has {}", members.join(", ")))
}
