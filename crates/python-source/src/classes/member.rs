//! Members of an enum: names with values that are written down, or counted by `auto()`.

use qflow_model::class::Member;
use ruff_python_ast::Expr;
use serde_json::{Value, json};

use super::{bases::Shape, foreign};
use crate::{constant, scope::Units};

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
