//! Reads parameters: a text of the command line, or plain JSON, by the declared type into the tagged form.

mod reader;
mod users;

pub(super) use users::{member as member_of, ty as field_type};

use qflow_model::class::{ClassKind, Classes};
use serde_json::{Map, Value, json};

use super::{
    ValueError,
    literals::read_literal,
    stored_key,
    text::{self, EXACT, float},
};
use crate::{builtin::derived, ty::Ty};
use reader::Reader;

/// Characters of plain JSON in an error.
const SHOWN_CHARS: usize = 200;

/// Reads a text by its declared type: `str` verbatim, scalars by their spelling, everything else as JSON. `classes` are the user's own.
pub fn from_text(text: &str, ty: &Ty, classes: &Classes) -> Result<Value, ValueError> {
    let (mut first, reader) = (None, Reader::new(classes));
    // Of a union the narrowest member that reads it: str, which takes everything, comes after what is no text, and before
    // bytes, whose base64 many a word is too.
    let mut members: Vec<&Ty> = ty.members().iter().collect();
    members.sort_by_key(|member| (**member == Ty::class("bytes"), **member == Ty::class("str")));
    for member in members {
        match scalar(text, member, &reader) {
            Ok(value) => return Ok(value),
            // That it is not None says the least.
            Err(_) if *member == Ty::None && ty.members().len() > 1 => {}
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    Err(first.unwrap_or_else(|| ValueError::new("no value is of type Never")))
}

fn scalar(text: &str, ty: &Ty, reader: &Reader<'_>) -> Result<Value, ValueError> {
    let wrong = || ValueError::new(format!("expected {ty}, got `{text}`"));
    match ty {
        Ty::Class(name) => match name.as_str() {
            "str" => Ok(Value::from(text)),
            name if text::is_read(name) => text::read(text, name).ok_or_else(wrong),
            "bytes" => {
                let wrong = || ValueError::new(format!("expected bytes in base64, got `{text}`"));
                text::bytes(text).ok_or_else(wrong)
            }
            name if reader.classes.contains_key(name) => users::text(text, name, &reader.classes[name], reader),
            // A class of the user's that is not known: an enum's member by its name, anything else as JSON.
            _ if crate::builtin::builtin(name).is_none() && serde_json::from_str::<Value>(text).is_err() => {
                Ok(json!(text))
            }
            _ => json_text(text, ty, reader),
        },
        Ty::Literal(values) => {
            let found = values.iter().find_map(|value| read_literal(text, value, reader.classes));
            found.ok_or_else(wrong)
        }
        Ty::None => {
            if matches!(text.trim(), "" | "null" | "None") {
                Ok(Value::Null)
            } else {
                Err(wrong())
            }
        }
        Ty::Any => Ok(serde_json::from_str(text)
            .ok()
            .and_then(|plain| from(&plain, ty, reader).ok())
            .unwrap_or_else(|| json!(text))),
        _ => json_text(text, ty, reader),
    }
}

fn json_text(text: &str, ty: &Ty, reader: &Reader<'_>) -> Result<Value, ValueError> {
    let plain = serde_json::from_str(text).map_err(|e| ValueError::new(format!("expected {ty} as JSON: {e}")))?;
    from(&plain, ty, reader)
}

/// Reads plain JSON by the declared type.
pub fn from_plain(plain: &Value, ty: &Ty, classes: &Classes) -> Result<Value, ValueError> {
    from(plain, ty, &Reader::new(classes))
}

/// Small, as everything that calls itself for each level of a value.
fn from(plain: &Value, ty: &Ty, reader: &Reader<'_>) -> Result<Value, ValueError> {
    match (ty, plain) {
        (Ty::Any | Ty::Variable(_), _) => any(plain, reader),
        (Ty::Class(name), _) if name == "object" => any(plain, reader),
        (Ty::Union(members), _) => union(plain, members, ty, reader),
        (Ty::Class(name), _) if reader.classes.contains_key(name) => {
            let class = &reader.classes[name];
            reader.tried.once(plain, class, || users::plain(plain, name, class, reader))
        }
        (_, Value::Object(fields)) if ty.outcome().is_some() => outcome(fields, ty, reader),
        (_, Value::Array(items)) => list(plain, items, ty, reader),
        (Ty::Class(name) | Ty::Generic(name, _), Value::Object(fields)) if super::check::is_mapping(name) => {
            mapping(fields, ty, reader)
        }
        _ => single(plain, ty, reader),
    }
}

fn wrong(plain: &Value, ty: &Ty) -> ValueError {
    let text = plain.to_string();
    let shown =
        text.char_indices().nth(SHOWN_CHARS).map_or_else(|| text.clone(), |(end, _)| format!("{}…", &text[..end]));
    ValueError::new(format!("expected {ty}, got {shown}"))
}

fn any(plain: &Value, reader: &Reader<'_>) -> Result<Value, ValueError> {
    match plain {
        Value::Array(items) => items.iter().map(|item| any(item, reader)).collect::<Result<_, _>>().map(Value::Array),
        Value::Object(fields) => object(fields, &Ty::Any, reader),
        _ => Ok(number(plain)),
    }
}

fn union(plain: &Value, members: &[Ty], ty: &Ty, reader: &Reader<'_>) -> Result<Value, ValueError> {
    reader.union(plain, members).map_err(|errors| {
        let mut meant = errors.into_iter().filter(|(member, _)| *member != Ty::None);
        match (meant.next(), meant.next()) {
            // Where one may be meant, its own words say more.
            (Some((_, error)), None) => error,
            _ => wrong(plain, ty),
        }
    })
}

/// What holds no others.
fn single(plain: &Value, ty: &Ty, reader: &Reader<'_>) -> Result<Value, ValueError> {
    let class = if let Ty::Class(name) = ty { name.as_str() } else { "" };
    match plain {
        Value::String(text) if !matches!(class, "" | "int" | "float" | "bool") => {
            scalar(text, ty, reader).map_err(|_| wrong(plain, ty))
        }
        Value::String(text) if matches!(ty, Ty::Literal(_)) => {
            // A text is not read as a number here: it is one already where JSON says so.
            let read = scalar(text, ty, reader).ok().filter(|value| !value.is_number() && !value.is_boolean());
            read.ok_or_else(|| wrong(plain, ty))
        }
        Value::Number(value) if class == "float" => {
            // An integer that no float is stays what it is: it goes where a float is declared.
            let exact = value.as_i64().is_none_or(|value| value as f64 as i128 == i128::from(value));
            if exact { value.as_f64().map(float).ok_or_else(|| wrong(plain, ty)) } else { Ok(number(plain)) }
        }
        Value::Number(value) if class == "int" && !value.is_f64() => Ok(number(plain)),
        // What is written like a tag is a mapping whose key is `$`.
        Value::Object(_) => Err(wrong(plain, ty)),
        _ => super::check(plain, ty).map(|()| plain.clone()).map_err(|_| wrong(plain, ty)),
    }
}

fn outcome(fields: &Map<String, Value>, ty: &Ty, reader: &Reader<'_>) -> Result<Value, ValueError> {
    let given = fields.get("value").unwrap_or(&Value::Null);
    let of = if fields.get("ok") == Some(&Value::Bool(true)) { ty.outcome().unwrap_or(&Ty::Any) } else { &Ty::Any };
    let value = from(given, of, reader).map_err(|e| e.below(".value"))?;
    let error = fields.get("error").filter(|error| !error.is_null());
    let error = error.map(|error| json!({"$": "object", "t": "qflow.OutcomeError", "v": error}));
    let outcome = json!({"$": "outcome", "v": {"ok": fields.get("ok"), "value": value, "error": error}});
    super::check(&outcome, ty).map(|()| outcome)
}

fn list(plain: &Value, items: &[Value], ty: &Ty, reader: &Reader<'_>) -> Result<Value, ValueError> {
    let (tag, read) = match ty {
        Ty::Class(name) if derived("list", name) => return any(plain, reader),
        Ty::Generic(name, parameters) => {
            let item = parameters.first().unwrap_or(&Ty::Any);
            let tag = match name.as_str() {
                "frozenset" => "frozenset",
                "set" | "Set" | "MutableSet" => "set",
                _ => "list",
            };
            (tag, elements(items, |_| item, reader)?)
        }
        Ty::Tuple(types) if types.len() == items.len() => ("tuple", elements(items, |i| &types[i], reader)?),
        Ty::Tuples(item) => ("tuple", elements(items, |_| item, reader)?),
        Ty::Spread(before, item, after) if items.len() >= before.len() + after.len() => {
            let last = items.len() - after.len();
            let ty = |at: usize| before.get(at).or_else(|| after.get(at.checked_sub(last)?)).unwrap_or(item);
            ("tuple", elements(items, ty, reader)?)
        }
        _ => return super::check(plain, ty).map_err(|_| wrong(plain, ty)).and_then(|()| any(plain, reader)),
    };
    Ok(if tag == "list" { Value::Array(read) } else { json!({"$": tag, "v": read}) })
}

fn mapping(fields: &Map<String, Value>, ty: &Ty, reader: &Reader<'_>) -> Result<Value, ValueError> {
    let parameters = if let Ty::Generic(_, parameters) = ty { parameters.as_slice() } else { &[] };
    match parameters {
        [Ty::Class(key), item] if reader.classes.get(key).is_some_and(|of| of.kind == ClassKind::Enum) => {
            users::by_member(fields, (key, &reader.classes[key]), item, reader)
        }
        _ => object(fields, parameters.get(1).unwrap_or(&Ty::Any), reader),
    }
}

fn number(plain: &Value) -> Value {
    match plain.as_i64() {
        Some(value) if !(-EXACT..=EXACT).contains(&value) => json!({"$": "int", "v": value.to_string()}),
        None if plain.is_u64() => json!({"$": "int", "v": plain.to_string()}),
        _ => plain.clone(),
    }
}

fn elements<'a>(items: &[Value], ty: impl Fn(usize) -> &'a Ty, reader: &Reader<'_>) -> Result<Vec<Value>, ValueError> {
    let read = |(i, item)| from(item, ty(i), reader).map_err(|e: ValueError| e.below(&format!("[{i}]")));
    items.iter().enumerate().map(read).collect()
}

fn object(fields: &Map<String, Value>, ty: &Ty, reader: &Reader<'_>) -> Result<Value, ValueError> {
    let read = |(key, value): (&String, &Value)| {
        let value = from(value, ty, reader).map_err(|e| e.below(&format!("[{key:?}]")))?;
        Ok((stored_key(key), value))
    };
    fields.iter().map(read).collect::<Result<Map<_, _>, _>>().map(Value::Object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, ty: &str) -> Result<Value, String> {
        from_text(text, &ty.parse().unwrap(), &Classes::new()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_text_is_read_by_the_declared_type() {
        for (text, ty, value) in [
            ("007", "str", json!("007")),
            ("null", "str", json!("null")),
            ("007", "int", json!(7)),
            ("1e3", "float", json!(1000.0)),
            ("inf", "float", json!({"$": "float", "v": "inf"})),
            (" a/b ", "Path", json!({"$": "path", "v": " a/b "})),
            ("yes", "bool", json!(true)),
            ("12345678901234567890", "int", json!({"$": "int", "v": "12345678901234567890"})),
            ("2026-02-28", "date", json!({"$": "date", "v": "2026-02-28"})),
            ("[1, 2]", "list[float]", json!([1.0, 2.0])),
            ("[1, 2]", "tuple[int, int]", json!({"$": "tuple", "v": [1, 2]})),
            ("{\"$x\": 1}", "dict[str, int]", json!({"$$x": 1})),
            ("aGk=", "bytes", json!({"$": "bytes", "v": "aGk="})),
            ("aGk=", "bytes | None", json!({"$": "bytes", "v": "aGk="})),
            ("[\"aGk=\"]", "list[bytes]", json!([{"$": "bytes", "v": "aGk="}])),
            ("word", "str | bytes", json!("word")),
            ("7", "int | str", json!(7)),
            ("x", "int | str", json!("x")),
            ("b", "Literal[\"a\", \"b\"]", json!("b")),
            ("plain", "Any", json!("plain")),
            ("{\"$\": \"int\", \"v\": \"7\"}", "dict[str, str]", json!({"$$": "int", "v": "7"})),
            (
                "{\"ok\": true, \"value\": [1], \"error\": null}",
                "Outcome[tuple[int]]",
                json!({"$": "outcome", "v": {"ok": true, "value": {"$": "tuple", "v": [1]}, "error": null}}),
            ),
            (
                "{\"ok\": false, \"error\": {\"type\": \"E\", \"message\": \"\", \"status\": \"failed\", \"attempts\": 1}}",
                "Outcome[int]",
                json!({"$": "outcome", "v": {"ok": false, "value": null, "error": {"$": "object", "t": "qflow.OutcomeError", "v":
                    {"type": "E", "message": "", "status": "failed", "attempts": 1}}}}),
            ),
        ] {
            assert_eq!(read(text, ty), Ok(value), "{text} as {ty}");
        }
    }

    #[test]
    fn a_text_that_does_not_read_says_what_was_expected() {
        for (text, ty, why) in [
            ("many", "int", "expected int, got `many`"),
            // No tag is read from what users write.
            ("[{\"$\": \"int\", \"v\": \"7\"}]", "list[int]", "at [0]: expected int, got {\"$\":\"int\",\"v\":\"7\"}"),
            (
                "{\"$\": \"attachment\", \"k\": \"arrow\", \"i\": 0}",
                "DataFrame",
                "expected DataFrame, got {\"$\":\"attachment\",\"k\":\"arrow\",\"i\":0}",
            ),
            ("2026-02-30", "date", "expected date, got `2026-02-30`"),
            ("[1, \"x\"]", "list[int]", "at [1]: expected int, got \"x\""),
            ("1.5", "int", "expected int, got `1.5`"),
            ("1e999", "float", "expected float, got `1e999`"),
            ("1e-999", "float", "expected float, got `1e-999`"),
            ("aGk", "bytes", "expected bytes in base64, got `aGk`"),
            ("+-5", "Decimal", "expected Decimal, got `+-5`"),
            ("2026-02-28T25:00", "datetime", "expected datetime, got `2026-02-28T25:00`"),
        ] {
            assert_eq!(read(text, ty), Err(why.to_owned()));
        }
    }
}
