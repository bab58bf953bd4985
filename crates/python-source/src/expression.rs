//! Reads constants, and says of an expression what a workflow's body cannot hold.

use qflow_model::expression::{Condition, Expr as Value, Operator, Path, Segment};
use ruff_python_ast::{CmpOp, Expr, Number, UnaryOp};
use serde_json::{Value as Json, json};

use crate::Module;

/// The value of a constant in the tagged form; names of the module's constants included.
pub(crate) fn constant(expr: &Expr, module: Option<&Module<'_>>) -> Option<Json> {
    let all = |items: &[Expr]| items.iter().map(|item| constant(item, module)).collect::<Option<Vec<_>>>();
    Some(match expr {
        Expr::NoneLiteral(_) => Json::Null,
        Expr::BooleanLiteral(value) => json!(value.value),
        Expr::StringLiteral(text) => json!(text.value.to_str()),
        Expr::NumberLiteral(number) => self::number(&number.value, false)?,
        Expr::UnaryOp(minus) if minus.op == UnaryOp::USub => match &*minus.operand {
            Expr::NumberLiteral(number) => self::number(&number.value, true)?,
            _ => return None,
        },
        Expr::List(list) => Json::Array(all(&list.elts)?),
        Expr::Tuple(tuple) => json!({"$": "tuple", "v": all(&tuple.elts)?}),
        Expr::Set(set) => json!({"$": "set", "v": all(&set.elts)?}),
        Expr::Dict(dict) => {
            let mut fields = serde_json::Map::new();
            for item in &dict.items {
                let Some(Expr::StringLiteral(key)) = &item.key else { return None };
                fields.insert(stored_key(key.value.to_str()), constant(&item.value, module)?);
            }
            Json::Object(fields)
        }
        Expr::Name(name) => module?.constants.get(name.id.as_str())?.clone(),
        _ => return None,
    })
}

/// A key of a mapping in the form it is stored in.
pub(crate) fn stored_key(key: &str) -> String {
    if key.starts_with('$') { format!("${key}") } else { key.to_owned() }
}

fn number(number: &Number, negative: bool) -> Option<Json> {
    Some(match number {
        Number::Int(int) => {
            let text = format!("{}{int}", if negative { "-" } else { "" });
            match text.parse::<i64>() {
                Ok(small) if small.unsigned_abs() <= 1 << 53 => json!(small),
                _ if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') => json!({"$": "int", "v": text}),
                _ => return None,
            }
        }
        Number::Float(float) if float.is_finite() => json!(if negative { -float } else { *float }),
        Number::Float(_) => json!({"$": "float", "v": if negative { "-inf" } else { "inf" }}),
        Number::Complex { .. } => return None,
    })
}

/// Whether this asks for the time, as `date.today()` does.
pub(crate) fn is_now(expr: &Expr) -> bool {
    let Expr::Call(call) = expr else { return false };
    let Expr::Attribute(attribute) = &*call.func else { return false };
    matches!(attribute.attr.as_str(), "today" | "now" | "utcnow")
}

/// The part of a value that a subscript names.
pub(crate) fn segment(slice: &Expr) -> Option<Segment> {
    match constant(slice, None)? {
        Json::String(key) => Some(Segment::Key(key)),
        index => index.as_i64().map(Segment::Index),
    }
}

/// A part of a value; nothing where only Python could tell it.
pub(crate) fn part(value: &Value, segment: &Segment) -> Option<Value> {
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
pub(crate) fn measure(value: &Value) -> (usize, usize) {
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
pub(crate) fn operator(op: CmpOp) -> Operator {
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

/// What is wrong with an expression that a body cannot hold, and what to write instead.
pub(crate) fn refusal(expr: &Expr) -> (&'static str, &'static str) {
    match expr {
        Expr::BinOp(_) | Expr::UnaryOp(_) => ("arithmetic in a workflow's body", "put it in a node"),
        Expr::If(_) => ("a conditional expression", "write an `if` and a new name"),
        Expr::Named(_) => ("an assignment inside an expression", "assign in a statement of its own"),
        Expr::Lambda(_) => ("a lambda", "write a top-level function"),
        Expr::Await(_) => ("`await` in a workflow", "leave it out; calls are parallel anyway"),
        Expr::Yield(_) | Expr::YieldFrom(_) => ("`yield` in a workflow", "return a list"),
        Expr::ListComp(_) | Expr::SetComp(_) | Expr::DictComp(_) | Expr::Generator(_) => {
            ("a comprehension in a workflow's body", "write `map(fn, xs, k=c)`")
        }
        Expr::Starred(_) => ("unpacked arguments", "write each argument by name"),
        Expr::Slice(_) => ("a slice", "put it in a node"),
        _ => ("this expression in a workflow's body", "put it in a node"),
    }
}
