//! Parts of values, and how large a value's expression is. Pure.

use qflow_model::expression::{Condition, Expr as Value, Operator, Path, Segment};
use ruff_python_ast::CmpOp;

/// A part of a value; nothing where only Python could tell it.
pub(super) fn part(value: &Value, segment: &Segment) -> Option<Value> {
    let longer = |path: &Path| path.iter().cloned().chain([segment.clone()]).collect::<Path>();
    Some(match value {
        Value::Param { name, path } => Value::Param { name: name.clone(), path: longer(path) },
        Value::Result { step, path } => Value::Result { step: *step, path: longer(path) },
        Value::List(items) | Value::Tuple(items) => {
            let Segment::Index(index) = segment else { return None };
            let index = if *index < 0 { items.len() as i64 + index } else { *index };
            items.get(usize::try_from(index).ok()?)?.clone()
        }
        Value::Dict(items) => {
            let Segment::Key(key) = segment else { return None };
            items.iter().rev().find(|(k, _)| k == key)?.1.clone()
        }
        Value::Select { branch, then, otherwise } => Value::Select {
            branch: *branch,
            then: Box::new(part(then, segment)?),
            otherwise: Box::new(part(otherwise, segment)?),
        },
        Value::Literal(_) | Value::Format(_) | Value::Condition(_) => return None,
    })
}

/// How many terms an expression has, and how deep it nests.
pub(super) fn measure(value: &Value) -> (usize, usize) {
    let (mut size, mut depth) = (1, 0);
    let mut add = |(s, d): (usize, usize)| {
        size += s;
        depth = depth.max(d);
    };
    match value {
        Value::Literal(_) => {}
        Value::Param { path, .. } | Value::Result { path, .. } => add((path.len(), 0)),
        Value::List(items) | Value::Tuple(items) | Value::Format(items) => items.iter().for_each(|i| add(measure(i))),
        Value::Dict(items) => items.iter().for_each(|(_, i)| add(measure(i))),
        Value::Select { then, otherwise, .. } => {
            add(measure(then));
            add(measure(otherwise));
        }
        Value::Condition(condition) => add(measure_condition(condition)),
    }
    (size, depth + 1)
}

fn measure_condition(condition: &Condition) -> (usize, usize) {
    let parts: Vec<_> = match condition {
        Condition::Truth(value) => vec![measure(value)],
        Condition::Not(inner) => vec![measure_condition(inner)],
        Condition::And(parts) | Condition::Or(parts) => parts.iter().map(measure_condition).collect(),
        Condition::Compare { left, right, .. } => vec![measure(left), measure(right)],
    };
    (1 + parts.iter().map(|p| p.0).sum::<usize>(), 1 + parts.iter().map(|p| p.1).max().unwrap_or(0))
}

/// A comparison of Python.
pub(super) const fn operator(op: CmpOp) -> Operator {
    match op {
        CmpOp::Eq => Operator::Eq,
        CmpOp::NotEq => Operator::Ne,
        CmpOp::Lt => Operator::Lt,
        CmpOp::LtE => Operator::Le,
        CmpOp::Gt => Operator::Gt,
        CmpOp::GtE => Operator::Ge,
        CmpOp::Is => Operator::Is,
        CmpOp::IsNot => Operator::IsNot,
        CmpOp::In => Operator::In,
        CmpOp::NotIn => Operator::NotIn,
    }
}
