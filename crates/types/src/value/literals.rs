//! Values that `Literal[…]` names.

use base64::{Engine, engine::general_purpose::STANDARD};
use qflow_model::class::Classes;
use serde_json::{Value, json};

use super::{kind, tag};
use crate::ty::Literal;

/// Whether a value is the one that a literal names: of the same class, `True` is not `1`.
pub(super) fn is_literal(value: &Value, literal: &Literal) -> bool {
    match (literal, value) {
        (Literal::Bool(literal), Value::Bool(value)) => literal == value,
        (Literal::Int(literal), Value::Number(value)) => value.as_i64() == Some(*literal),
        (Literal::Text(literal), Value::String(value)) => literal == value,
        (Literal::Bytes(literal), value) => tag(value) == Some(("bytes", &json!(STANDARD.encode(literal)))),
        (Literal::Member(class, member), value) => {
            tag(value).is_some_and(|(tag, name)| tag == "enum" && name == member) && last(kind(value)) == last(class)
        }
        _ => false,
    }
}

/// What a literal names, written as the command line has it; nothing where the text is another. An enum's member goes by its name.
pub(super) fn read_literal(text: &str, literal: &Literal, classes: &Classes) -> Option<Value> {
    match literal {
        Literal::Text(literal) => (literal == text).then(|| json!(literal)),
        Literal::Int(literal) => (text.trim().parse() == Ok(*literal)).then(|| json!(literal)),
        Literal::Bool(literal) => text.trim().eq_ignore_ascii_case(&literal.to_string()).then(|| json!(literal)),
        Literal::Bytes(literal) => {
            let written = STANDARD.encode(literal);
            (text.trim() == written).then(|| json!({"$": "bytes", "v": written}))
        }
        Literal::Member(class, member) => {
            let name = classes.get(class).map_or(class, |class| &class.name);
            (text.trim() == member).then(|| json!({"$": "enum", "t": name, "v": member}))
        }
    }
}

/// The last part of a dotted name.
fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
