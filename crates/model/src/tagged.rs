//! The tagged form of values, as far as it is looked into: what a path leads to, what is known of a part. See `docs/VALUES.md`.

use serde_json::Value;

use crate::{
    expression::{Answer, Scalar, Segment},
    instant, limits,
};

/// The tag of a tagged value, and what it stands for.
pub fn tag(value: &Value) -> Option<(&str, &Value)> {
    let fields = value.as_object()?;
    Some((fields.get("$")?.as_str()?, fields.get("v").unwrap_or(&Value::Null)))
}

/// A key of a mapping in the form it is stored in: a leading `$` is doubled.
pub fn stored_key(key: &str) -> String {
    if key.starts_with('$') { format!("${key}") } else { key.to_owned() }
}

/// The elements of a list, tuple or set.
pub fn items(value: &Value) -> Option<&[Value]> {
    let items = match tag(value) {
        Some(("tuple" | "set" | "frozenset", items)) => items,
        _ => value,
    };
    items.as_array().map(Vec::as_slice)
}

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
        (Segment::Field(name), _, Some(("object" | "outcome", Value::Object(fields)))) => {
            fields.get(&stored_key(name)).ok_or_else(|| format!("AttributeError: no attribute '{name}'"))
        }
        (Segment::Field(name), ..) => {
            Err(format!("AttributeError: '{}' object has no attribute '{name}'", kind(value)))
        }
        (Segment::Key(_) | Segment::Index(_) | Segment::Each, ..) => {
            Err(format!("TypeError: '{}' object is not subscriptable", kind(value)))
        }
    }
}

fn item<'a>(items: &'a [Value], index: i64, of: &str) -> Result<&'a Value, String> {
    let at = if index < 0 { index + items.len() as i64 } else { index };
    usize::try_from(at).ok().and_then(|at| items.get(at)).ok_or_else(|| format!("IndexError: {of} index out of range"))
}

/// The name of a value's class, as Python's errors have it.
pub fn kind(value: &Value) -> &str {
    match (value, tag(value)) {
        (_, Some(("object" | "enum", _))) => value.get("t").and_then(Value::as_str).unwrap_or("object"),
        (_, Some(("map", _))) => "dict",
        (_, Some(("attachment", _))) => match value.get("k").and_then(Value::as_str) {
            Some("arrow") => "DataFrame",
            Some("npy") => "ndarray",
            Some("file") => "File",
            Some("folder") => "Folder",
            // What it is of is known to its reader only.
            Some("pickle") => "Pickle",
            _ => "bytes",
        },
        (_, Some(("outcome", _))) => "Outcome",
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
    let mut left = limits::ASKED_ELEMENTS;
    bounded(value, path, &mut left).unwrap_or_default()
}

/// Nothing where it would be about more elements than are left.
fn bounded(value: &Value, path: &[Segment], left: &mut usize) -> Option<Answer> {
    let each = path.iter().position(|segment| *segment == Segment::Each);
    let found = match at(value, &path[..each.unwrap_or(path.len())]) {
        Err(missing) => return Some(Answer { missing: Some(missing), ..Answer::default() }),
        Ok(found) => found,
    };
    let Some(each) = each else { return Some(whole(found)) };
    let items = items(found)?;
    *left = left.checked_sub(items.len())?;
    let answers = items.iter().map(|item| bounded(item, &path[each + 1..], left)).collect::<Option<Vec<_>>>()?;
    Some(Answer { each: Some(answers), ..Answer::default() })
}

/// What is known of a value in the tagged form.
pub fn whole(value: &Value) -> Answer {
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
        (_, Some(("timedelta", Value::Array(parts)))) => Answer {
            truth: Some(parts.iter().any(|p| p.as_i64() != Some(0))),
            scalar: micros(parts).map(Scalar::Duration),
            ..Answer::default()
        },
        (_, Some(("datetime", Value::String(text)))) => Answer {
            truth: Some(true),
            scalar: instant::parse(text).map(|instant| Scalar::Instant(instant.at.0)),
            ..Answer::default()
        },
        (_, Some(("bytes", Value::String(text)))) => Answer { truth: Some(!text.is_empty()), ..Answer::default() },
        (_, Some(("outcome", _))) => Answer { truth: Some(true), ..Answer::default() },
        // Objects of the user's own classes may define their truth: it is not ours to say.
        (_, Some(("enum", Value::String(name)))) => {
            let class = kind(value).rsplit('.').next().unwrap_or_default();
            let member = format!("{class}.{name}");
            let scalar = (member.len() <= limits::SCALAR_TEXT_BYTES).then_some(Scalar::Member(member));
            Answer { scalar, ..Answer::default() }
        }
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

/// Microseconds of a tagged `timedelta`: days, seconds, microseconds.
fn micros(parts: &[Value]) -> Option<i64> {
    let part = |at: usize| parts.get(at).map_or(Some(0), Value::as_i64);
    let seconds = part(0)?.checked_mul(86_400)?.checked_add(part(1)?)?;
    seconds.checked_mul(1_000_000)?.checked_add(part(2)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{OutcomeError, outcome, outcome_error};
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
    fn a_path_leads_through_an_outcome_to_its_error() {
        let error = OutcomeError { error_type: "E".into(), message: "no".into(), status: "failed".into(), attempts: 2 };
        let (failed, fine) = (outcome(None, Some(&error)), outcome(Some(&json!({"$": "tuple", "v": [1]})), None));
        let value = json!({"pair": {"$": "tuple", "v": [failed, fine]}});
        let path = |index: i64, rest: &[&str]| {
            let mut path = vec![Segment::Key("pair".into()), Segment::Index(index)];
            path.extend(rest.iter().map(|name| Segment::Field((*name).into())));
            at(&value, &path).cloned()
        };
        assert_eq!(path(0, &["error", "type"]), Ok(json!("E")));
        assert_eq!(path(0, &["error", "attempts"]), Ok(json!(2)));
        // By itself it is an object of its class, for whoever it is given to.
        assert_eq!(path(0, &["error"]), Ok(outcome_error(Some(&error))));
        assert_eq!(path(1, &["error"]), Ok(Value::Null));
        assert_eq!(path(1, &["error", "type"]), Err("AttributeError: 'None' object has no attribute 'type'".into()));
        assert_eq!(path(0, &["error", "kind"]), Err("AttributeError: no attribute 'kind'".into()));
    }

    #[test]
    fn each_element_is_answered_for_within_a_bound() {
        let value = json!({"rows": [{"n": 1}, {"n": "x"}, {}]});
        let path = [Segment::Key("rows".into()), Segment::Each, Segment::Key("n".into())];
        let each = answer(&value, &path).each.unwrap();
        assert_eq!(each[0].scalar, Some(Scalar::Int(1)));
        assert_eq!((each.len(), each[2].missing.as_deref()), (3, Some("KeyError: 'n'")));
        assert_eq!(answer(&json!(vec![0; limits::ASKED_ELEMENTS + 1]), &[Segment::Each]), Answer::default());
        assert_eq!(answer(&json!(3), &[Segment::Each]), Answer::default());
    }

    #[test]
    fn times_are_scalars_of_their_own() {
        let scalar = |value: Value| answer(&value, &[]).scalar;
        assert_eq!(scalar(json!({"$": "timedelta", "v": [1, 2, 3]})), Some(Scalar::Duration(86_402_000_003)));
        assert_eq!(
            scalar(json!({"$": "datetime", "v": "1970-01-01T00:00:01+00:00"})),
            Some(Scalar::Instant(1_000_000))
        );
    }

    #[test]
    fn a_long_text_has_a_length_and_no_scalar() {
        let answer = answer(&json!("x".repeat(257)), &[]);
        assert_eq!((answer.len, answer.truth, answer.scalar), (Some(257), Some(true), None));
    }
}
