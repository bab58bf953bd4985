//! Values that `Literal[…]` names.

use base64::{Engine, engine::general_purpose::STANDARD};
use qflow_model::class::Classes;
use serde_json::{Value, json};

use super::{kind, tag, text::integer};
use crate::ty::Literal;

/// Whether a value is the one that a literal names: of the same class, `True` is not `1`.
pub(super) fn is_literal(value: &Value, literal: &Literal) -> bool {
    match (literal, value) {
        (Literal::Bool(literal), Value::Bool(value)) => literal == value,
        (Literal::Int(literal), Value::Number(value)) => value.as_i64() == Some(*literal),
        // Past 2⁵³ it is tagged, by its digits.
        (Literal::Int(literal), Value::Object(_)) => {
            matches!(tag(value), Some(("int", Value::String(digits))) if digits.parse() == Ok(*literal))
        }
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
        Literal::Int(literal) => (text.trim().parse() == Ok(*literal)).then(|| integer(text.trim())).flatten(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Ty,
        value::{check, check_encoding, convert, encode, from_json, from_text},
    };

    #[test]
    fn whole_numbers_are_compared_at_any_size() {
        for number in [1_i64 << 53, (1 << 53) + 1, -(1 << 53) - 1, i64::MAX, i64::MIN] {
            let classes = Classes::new();
            let [ty, next] = [number, number.wrapping_add(1)].map(|number| Ty::literal(vec![Literal::Int(number)]));
            let value = from_text(&number.to_string(), &Ty::class("int"), &classes).unwrap();
            assert_eq!(check(&value, &ty), Ok(()), "{value}");
            assert!(check(&value, &next).is_err(), "{value}");
            assert!(check_encoding(&encode(&value).bytes, &ty, &classes).is_ok(), "{value}");
            assert!(check_encoding(&encode(&value).bytes, &next, &classes).is_err(), "{value}");
            assert_eq!(convert(&value, &ty, &classes), Ok(value.clone()));
            assert_eq!(from_text(&format!(" {number} "), &ty, &classes).as_ref(), Ok(&value));
            assert_eq!(from_json(number.to_string().as_bytes(), &ty, &classes), Ok(value));
        }
    }
}
