//! What an outcome's header says of a value: length, truth, small scalars, at a path. As Python would say it.

use qflow_model::{
    expression::{Answer, Scalar, Segment},
    limits,
};
use serde_json::Value;

use super::{stored_key, tag};

/// The part of a value that a path leads to, or Python's error where it leads nowhere.
pub fn at<'a>(value: &'a Value, path: &[Segment]) -> Result<&'a Value, String> {
    path.iter().try_fold(value, part)
}

fn part<'a>(value: &'a Value, segment: &Segment) -> Result<&'a Value, String> {
    match (segment, value, tag(value)) {
        (Segment::Index(index), Value::Array(items), _) => item(items, *index, "list"),
        (Segment::Index(index), _, Some(("tuple", Value::Array(items)))) => item(items, *index, "tuple"),
        (Segment::Index(index), _, Some(("map", Value::Array(pairs)))) => {
            let found = pairs.iter().find(|pair| pair[0].as_i64() == Some(*index)).and_then(|pair| pair.get(1));
            found.ok_or_else(|| format!("KeyError: {index}"))
        }
        (Segment::Key(key), Value::Object(fields), None) => {
            fields.get(&stored_key(key)).ok_or_else(|| format!("KeyError: '{key}'"))
        }
        (Segment::Key(key), _, Some(("map", Value::Array(pairs)))) => {
            let found = pairs.iter().find(|pair| pair[0].as_str() == Some(key)).and_then(|pair| pair.get(1));
            found.ok_or_else(|| format!("KeyError: '{key}'"))
        }
        (Segment::Field(name), _, Some(("object", Value::Object(fields)))) => {
            fields.get(&stored_key(name)).ok_or_else(|| format!("AttributeError: no attribute '{name}'"))
        }
        (Segment::Field(name), ..) => {
            Err(format!("AttributeError: '{}' object has no attribute '{name}'", kind(value)))
        }
        (Segment::Key(_) | Segment::Index(_), ..) => {
            Err(format!("TypeError: '{}' object is not subscriptable", kind(value)))
        }
    }
}

fn item<'a>(items: &'a [Value], index: i64, of: &str) -> Result<&'a Value, String> {
    let at = if index < 0 { index + items.len() as i64 } else { index };
    usize::try_from(at).ok().and_then(|at| items.get(at)).ok_or_else(|| format!("IndexError: {of} index out of range"))
}

/// The name of a value's class, as Python's errors have it.
pub(super) fn kind(value: &Value) -> &str {
    match (value, tag(value)) {
        (_, Some(("object" | "enum", _))) => value.get("t").and_then(Value::as_str).unwrap_or("object"),
        (_, Some(("map", _))) => "dict",
        (_, Some(("attachment", _))) => match value.get("k").and_then(Value::as_str) {
            Some("arrow") => "DataFrame",
            Some("npy") => "ndarray",
            Some("file") => "File",
            _ => "bytes",
        },
        (_, Some(("decimal", _))) => "Decimal",
        (_, Some(("uuid", _))) => "UUID",
        (_, Some(("path", _))) => "Path",
        (_, Some((name, _))) => name,
        (Value::Null, _) => "None",
        (Value::Bool(_), _) => "bool",
        (Value::Number(number), _) => {
            if number.is_i64() || number.is_u64() {
                "int"
            } else {
                "float"
            }
        }
        (Value::String(_), _) => "str",
        (Value::Array(_), _) => "list",
        (Value::Object(_), _) => "dict",
    }
}

/// What the header answers for a path.
pub fn answer(value: &Value, path: &[Segment]) -> Answer {
    match at(value, path) {
        Err(missing) => Answer { missing: Some(missing), ..Answer::default() },
        Ok(found) => whole(found),
    }
}

fn whole(value: &Value) -> Answer {
    let sized = |len: usize| Answer { len: Some(len as u64), truth: Some(len > 0), ..Answer::default() };
    let scalar = |scalar: Scalar, truth: bool| Answer { truth: Some(truth), scalar: Some(scalar), ..Answer::default() };
    match (value, tag(value)) {
        (_, Some(("tuple" | "set" | "frozenset" | "map", Value::Array(items)))) => sized(items.len()),
        (_, Some(("float", Value::String(text)))) => scalar(Scalar::Float(text.parse().unwrap_or(f64::NAN)), true),
        (_, Some(("int", Value::String(text)))) => match text.parse() {
            Ok(value) => scalar(Scalar::Int(value), true),
            Err(_) => Answer { truth: Some(true), ..Answer::default() },
        },
        // Frames and arrays have no truth: Python raises.
        (_, Some(("attachment", _))) if matches!(kind(value), "DataFrame" | "ndarray") => Answer::default(),
        (_, Some(("decimal", Value::String(text)))) => {
            Answer { truth: Some(text.bytes().any(|b| (b'1'..=b'9').contains(&b))), ..Answer::default() }
        }
        (_, Some(("timedelta", Value::Array(parts)))) => {
            Answer { truth: Some(parts.iter().any(|p| p.as_i64() != Some(0))), ..Answer::default() }
        }
        (_, Some(("bytes", Value::String(text)))) => Answer { truth: Some(!text.is_empty()), ..Answer::default() },
        // Objects of the user's own classes may define their truth: it is not ours to say.
        (_, Some(("object" | "enum", _))) => Answer::default(),
        (_, Some(_)) => Answer { truth: Some(true), ..Answer::default() },
        (Value::Null, _) => scalar(Scalar::None, false),
        (Value::Bool(value), _) => scalar(Scalar::Bool(*value), *value),
        (Value::Number(number), _) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => scalar(Scalar::Int(value), value != 0),
            (None, value) => scalar(Scalar::Float(value.unwrap_or(f64::NAN)), value != Some(0.0)),
        },
        (Value::String(text), _) => {
            let known = (text.len() <= limits::SCALAR_TEXT_BYTES).then(|| Scalar::Text(text.clone()));
            Answer { scalar: known, ..sized(text.chars().count()) }
        }
        (Value::Array(items), _) => sized(items.len()),
        (Value::Object(fields), _) => sized(fields.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_that_leads_nowhere_is_pythons_error() {
        let value = json!({"rows": [1, 2], "$$": 5});
        let path = |segments: &[Segment]| at(&value, segments).cloned();
        assert_eq!(path(&[Segment::Key("rows".into()), Segment::Index(-1)]), Ok(json!(2)));
        assert_eq!(path(&[Segment::Key("$".into())]), Ok(json!(5)));
        assert_eq!(path(&[Segment::Key("row".into())]), Err("KeyError: 'row'".into()));
        let beyond = [Segment::Key("rows".into()), Segment::Index(2)];
        assert_eq!(answer(&value, &beyond).missing.as_deref(), Some("IndexError: list index out of range"));
        assert_eq!(
            path(&[Segment::Field("x".into())]),
            Err("AttributeError: 'dict' object has no attribute 'x'".into())
        );
    }

    #[test]
    fn a_long_text_has_a_length_and_no_scalar() {
        let answer = answer(&json!("x".repeat(257)), &[]);
        assert_eq!((answer.len, answer.truth, answer.scalar), (Some(257), Some(true), None));
    }
}
