//! Reads parameters: a text of the command line, or plain JSON, by the declared type into the tagged form.
//!
//! Plain JSON is read by [`json`](super::json) first, which has each value as it is under `Any`; then each part becomes what is declared.

mod reader;
mod users;

pub(super) use users::member as member_of;
pub(crate) use users::ty as field_type;

use std::collections::HashSet;

use qflow_model::class::{ClassKind, Classes};
use serde_json::{Map, Value, json};

use super::{
    ValueError,
    decimal::Decimal,
    equal::key,
    json,
    literals::read_literal,
    plain::to_plain,
    python_key, tag,
    text::{self, float},
};
use crate::{builtin::derived, ty::Ty};
use reader::Reader;

/// Characters of plain JSON in an error.
const SHOWN_CHARS: usize = 200;
/// Levels of JSON that a value has at most, as the harness has it: what bodies put around it has the rest of what readers take.
const LEVELS: usize = 100;

/// Reads a text by its declared type: `str` verbatim, scalars by their spelling, everything else as JSON. `classes` are the user's own.
pub fn from_text(text: &str, ty: &Ty, classes: &Classes) -> Result<Value, ValueError> {
    let (mut first, reader) = (None, Reader::new(classes));
    // Lists and objects are JSON in any case: which member is meant their parts tell.
    let holds_others = |plain: &Value| plain.is_array() || (plain.is_object() && tag(plain).is_none());
    if matches!(ty, Ty::Union(_))
        && let Some(plain) = json::read(text.as_bytes()).ok().filter(holds_others)
        && let Ok(value) = from(&plain, ty, &reader)
    {
        return within_levels(value);
    }
    let mut members: Vec<&Ty> = ty.members().iter().collect();
    members.sort_by_key(|member| breadth(member));
    for member in members {
        match scalar(text, member, &reader) {
            Ok(value) => return within_levels(value),
            // That it is not None says the least.
            Err(_) if *member == Ty::None && ty.members().len() > 1 => {}
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    Err(first.unwrap_or_else(|| ValueError::new("no value is of type Never")))
}

/// Of a union the narrowest member that reads a text is meant: a whole number is an `int` before it is a `float` or a yes; `str`, which takes
/// everything, comes after what is no text, and before bytes, whose base64 many a word is too.
fn breadth(member: &Ty) -> u8 {
    match member {
        Ty::Class(name) => match name.as_str() {
            "int" => 0,
            "bool" => 2,
            "str" => 3,
            "bytes" => 4,
            _ => 1,
        },
        _ => 1,
    }
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
            _ if crate::builtin::builtin(name).is_none() && is_no_json(text) => Ok(json!(text)),
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
        Ty::Any if is_no_json(text) => Ok(json!(text)),
        _ => json_text(text, ty, reader),
    }
}

fn is_no_json(text: &str) -> bool {
    matches!(json::read(text.as_bytes()), Err(json::NotJson::Syntax(_)))
}

fn json_text(text: &str, ty: &Ty, reader: &Reader<'_>) -> Result<Value, ValueError> {
    let plain = json::read(text.as_bytes()).map_err(|error| match error {
        json::NotJson::Syntax(ValueError { path, message }) => {
            ValueError { path, message: format!("expected {ty} as JSON: {message}") }
        }
        json::NotJson::Refused(error) => error,
    })?;
    from(&plain, ty, reader)
}

/// Reads plain JSON by the declared type.
pub fn from_json(text: &[u8], ty: &Ty, classes: &Classes) -> Result<Value, ValueError> {
    let plain = json::read(text).map_err(json::NotJson::told)?;
    from(&plain, ty, &Reader::new(classes)).and_then(within_levels)
}

pub(super) fn within_levels(value: Value) -> Result<Value, ValueError> {
    fn fits(value: &Value, left: usize) -> bool {
        let within = |inner: &Value| left > 0 && fits(inner, left - 1);
        match value {
            Value::Array(items) => left > 0 && items.iter().all(within),
            Value::Object(fields) => left > 0 && fields.values().all(within),
            _ => true,
        }
    }
    if fits(&value, LEVELS) { Ok(value) } else { Err(ValueError::new(format!("nested deeper than {LEVELS} levels"))) }
}

/// What plain JSON says, by the declared type. Small, as everything that calls itself for each level of a value.
fn from(plain: &Value, ty: &Ty, reader: &Reader<'_>) -> Result<Value, ValueError> {
    match (ty, plain) {
        (Ty::Any | Ty::Variable(_), _) => Ok(plain.clone()),
        (Ty::Class(name), _) if name == "object" => Ok(plain.clone()),
        (Ty::Union(members), _) => union(plain, members, ty, reader),
        (Ty::Class(name), _) if reader.classes.contains_key(name) => {
            let class = &reader.classes[name];
            reader.tried.once(plain, class, || users::plain(plain, name, class, reader))
        }
        // The only tag that plain JSON is read into.
        (_, Value::Object(_)) if tag(plain).is_some() => large(plain, ty),
        (_, Value::Object(fields)) if ty.outcome().is_some() => outcome(fields, ty, reader),
        (_, Value::Array(items)) => list(plain, items, ty, reader),
        (Ty::Class(name) | Ty::Generic(name, _), Value::Object(fields)) if super::check::is_mapping(name) => {
            mapping(fields, ty, reader)
        }
        _ => single(plain, ty, reader),
    }
}

fn wrong(plain: &Value, ty: &Ty) -> ValueError {
    let text = shown(plain);
    let shown =
        text.char_indices().nth(SHOWN_CHARS).map_or_else(|| text.clone(), |(end, _)| format!("{}…", &text[..end]));
    ValueError::new(format!("expected {ty}, got {shown}"))
}

/// As it was written, or nearly.
fn shown(plain: &Value) -> String {
    match tag(plain) {
        Some((_, Value::String(digits))) => digits.clone(),
        _ => to_plain(plain).to_string(),
    }
}

/// A whole number past 2⁵³: an `int`, and a `float` where it is one exactly.
fn large(plain: &Value, ty: &Ty) -> Result<Value, ValueError> {
    let digits = plain["v"].as_str().unwrap_or_default();
    if *ty == Ty::class("float") {
        let exact = digits.parse().ok().filter(|value| {
            Decimal::exact(*value).map(Decimal::reduced) == Decimal::read(digits).map(Decimal::reduced)
        });
        // An integer that no float is stays what it is: it goes where a float is declared.
        return Ok(exact.map_or_else(|| plain.clone(), float));
    }
    super::check(plain, ty).map(|()| plain.clone()).map_err(|_| wrong(plain, ty))
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
        // JSON has no other way to say them.
        Value::String(text) if class == "float" && matches!(text.as_str(), "nan" | "inf" | "-inf") => {
            Ok(json!({"$": "float", "v": text}))
        }
        Value::Number(value) if class == "float" => value.as_f64().map(float).ok_or_else(|| wrong(plain, ty)),
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
        Ty::Class(name) if derived("list", name) => return Ok(plain.clone()),
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
        _ => return super::check(plain, ty).map_err(|_| wrong(plain, ty)).map(|()| plain.clone()),
    };
    if matches!(tag, "set" | "frozenset") {
        let mut seen = HashSet::new();
        if let Some(at) = read.iter().position(|one| key(one, reader.classes).is_some_and(|key| !seen.insert(key))) {
            return Err(ValueError::new(format!("{} comes twice", shown(&items[at]))).below(&format!("[{at}]")));
        }
    }
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

fn elements<'a>(items: &[Value], ty: impl Fn(usize) -> &'a Ty, reader: &Reader<'_>) -> Result<Vec<Value>, ValueError> {
    let read = |(i, item)| from(item, ty(i), reader).map_err(|e: ValueError| e.below(&format!("[{i}]")));
    items.iter().enumerate().map(read).collect()
}

fn object(fields: &Map<String, Value>, ty: &Ty, reader: &Reader<'_>) -> Result<Value, ValueError> {
    let read = |(key, value): (&String, &Value)| {
        let value = from(value, ty, reader).map_err(|e| e.below(&format!("[{:?}]", python_key(key))))?;
        Ok((key.clone(), value))
    };
    fields.iter().map(read).collect::<Result<Map<_, _>, _>>().map(Value::Object)
}

#[cfg(test)]
mod tests;
