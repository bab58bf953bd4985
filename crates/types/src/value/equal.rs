//! Which values are equal in Python, where sets and mappings hold them: `1`, `1.0` and `True` are, `date` and `datetime` never.

use std::collections::BTreeSet;

use qflow_model::class::{ClassKind, Classes};
use serde_json::Value;

use super::{decimal::Decimal, iso, tag};

/// What equal values have in common, and others do not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    None,
    Number(Decimal),
    Complex(Box<Key>, Box<Key>),
    /// Of classes whose values are texts or counts once they are written in one way.
    Text(&'static str, String),
    Tuple(Vec<Key>),
    Set(BTreeSet<Key>),
    /// A member, an object: of a class, by its name and its parts.
    Named(String, Vec<Key>),
    /// Equal to nothing else: `nan`, an attachment.
    Only(usize),
}

/// The key of a value; `None` where no set can hold it.
pub(super) fn key(value: &Value, classes: &Classes) -> Option<Key> {
    let text = |class, text: &str| Some(Key::Text(class, text.to_owned()));
    let only = || Some(Key::Only(std::ptr::from_ref(value) as usize));
    let number = |read: Option<Decimal>| read.map_or_else(only, |read| Some(Key::Number(read.reduced())));
    let Some((tag, inner)) = tag(value) else {
        return match value {
            Value::Null => Some(Key::None),
            Value::Bool(value) => number(Decimal::read(if *value { "1" } else { "0" })),
            Value::Number(value) if value.is_f64() => number(value.as_f64().and_then(Decimal::exact)),
            Value::Number(value) => number(Decimal::read(&value.to_string())),
            Value::String(value) => text("str", value),
            Value::Array(_) | Value::Object(_) => None,
        };
    };
    let keys = |items: &[Value]| items.iter().map(|item| key(item, classes)).collect::<Option<Vec<_>>>();
    match (tag, inner) {
        ("int", Value::String(digits)) => number(Decimal::read(digits)),
        ("float", Value::String(word)) => match word.as_str() {
            "nan" => only(),
            word => text("infinite", word),
        },
        ("decimal", Value::String(digits)) => match digits.as_str() {
            "Infinity" => text("infinite", "inf"),
            "-Infinity" => text("infinite", "-inf"),
            digits => number(Decimal::read(digits)),
        },
        ("complex", Value::Array(parts)) => {
            let part = |at: usize| {
                let text = parts.get(at)?.as_str()?;
                let found = text.parse::<f64>().ok()?;
                Some(
                    Decimal::exact(found)
                        .map_or_else(|| Key::Text("infinite", text.to_owned()), |d| Key::Number(d.reduced())),
                )
            };
            match (part(0)?, part(1)?) {
                (real, Key::Number(none)) if none.to_string() == "0" => Some(real),
                (real, imaginary) => Some(Key::Complex(Box::new(real), Box::new(imaginary))),
            }
        }
        ("date", Value::String(day)) => {
            text("date", &iso::date(day).map_or_else(|| day.clone(), |day| day.to_string()))
        }
        ("datetime", Value::String(read)) => {
            let Some((day, time)) = iso::datetime(read) else { return only() };
            let class = if time.offset.is_some() { "instant" } else { "datetime" };
            text(class, &(day.days() * iso::DAY + time.micros - time.offset.unwrap_or(0)).to_string())
        }
        ("time", Value::String(read)) => {
            let Some(time) = iso::time(read) else { return only() };
            let class = if time.offset.is_some() { "placed time" } else { "time" };
            text(class, &(time.micros - time.offset.unwrap_or(0)).to_string())
        }
        ("timedelta", parts) => text("timedelta", &parts.to_string()),
        ("uuid", Value::String(read)) => text("uuid", &read.to_ascii_lowercase()),
        ("path", Value::String(path)) => text("path", &super::text::path(path)),
        ("str", Value::String(coded)) => text("surrogates", coded),
        ("bytes", Value::String(coded)) => text("bytes", coded),
        ("tuple", Value::Array(items)) => Some(Key::Tuple(keys(items)?)),
        ("frozenset", Value::Array(items)) => Some(Key::Set(keys(items)?.into_iter().collect())),
        ("enum", Value::String(member)) => {
            let name = value.get("t").and_then(Value::as_str).unwrap_or_default();
            let class = classes.values().find(|class| class.name == name);
            // A member of an `IntEnum` is equal to its number.
            let plain =
                class.filter(|class| class.bases.iter().any(|base| matches!(base.as_str(), "int" | "str" | "float")));
            match plain.and_then(|class| class.member(member)) {
                Some(member) => key(&member.value, classes),
                None => Some(Key::Named(format!("{name}.{member}"), vec![])),
            }
        }
        ("object", Value::Object(fields)) => {
            let name = value.get("t").and_then(Value::as_str).unwrap_or_default();
            let parts = fields.values().map(|part| key(part, classes)).collect::<Option<Vec<_>>>()?;
            let class = classes.values().find(|class| class.name == name);
            let is_tuple = class.is_some_and(|class| class.kind == ClassKind::NamedTuple);
            Some(if is_tuple { Key::Tuple(parts) } else { Key::Named(name.to_owned(), parts) })
        }
        ("attachment", _) => match value.get("k").and_then(Value::as_str) {
            Some("arrow" | "npy") => None,
            _ => only(),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: &Value) -> Option<Key> {
        key(value, &Classes::new())
    }

    #[test]
    fn equal_values_have_one_key() {
        for (one, other) in [
            (json!(1), json!(1.0)),
            (json!(1), json!(true)),
            (json!(0.0), json!(-0.0)),
            (json!(1), json!({"$": "decimal", "v": "1.00"})),
            (json!(0.5), json!({"$": "decimal", "v": "0.50"})),
            (json!(1e20), json!({"$": "int", "v": "100000000000000000000"})),
            (json!(1), json!({"$": "complex", "v": ["1.0", "0.0"]})),
            (json!({"$": "float", "v": "inf"}), json!({"$": "decimal", "v": "Infinity"})),
            (
                json!({"$": "datetime", "v": "2026-11-24T09:30:00+01:00"}),
                json!({"$": "datetime", "v": "2026-11-24T08:30:00+00:00"}),
            ),
            (json!({"$": "path", "v": "a//b/./c/"}), json!({"$": "path", "v": "a/b/c"})),
            (json!({"$": "tuple", "v": [1, "x"]}), json!({"$": "tuple", "v": [1.0, "x"]})),
            (json!({"$": "frozenset", "v": [1, 2]}), json!({"$": "frozenset", "v": [2.0, 1]})),
        ] {
            assert!(of(&one).is_some(), "{one}");
            assert_eq!(of(&one), of(&other), "{one} {other}");
        }
    }

    #[test]
    fn others_have_another_and_what_no_set_holds_has_none() {
        for (one, other) in [
            (json!("1"), json!(1)),
            (json!(0.1), json!({"$": "decimal", "v": "0.1"})),
            (json!(null), json!(false)),
            (json!({"$": "date", "v": "2026-11-24"}), json!({"$": "datetime", "v": "2026-11-24T00:00:00"})),
            (
                json!({"$": "datetime", "v": "2026-11-24T00:00:00"}),
                json!({"$": "datetime", "v": "2026-11-24T00:00:00+00:00"}),
            ),
            (json!({"$": "path", "v": "a/.."}), json!({"$": "path", "v": "."})),
            (json!({"$": "float", "v": "nan"}), json!({"$": "float", "v": "nan"})),
        ] {
            assert_ne!(of(&one), of(&other), "{one} {other}");
        }
        for value in [json!([]), json!({}), json!({"$": "set", "v": []}), json!({"$": "tuple", "v": [[1]]})] {
            assert_eq!(of(&value), None);
        }
    }
}
