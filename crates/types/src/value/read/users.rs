//! Parameters of the user's own classes, as far as those are known: members of enums by name or value, records by their fields.

use qflow_model::class::{Class, ClassKind, Classes, Field};
use serde_json::{Map, Value, json};

use super::{Reader, ValueError, from, json_text, scalar, shown};
use crate::{
    ty::Ty,
    value::{check, json, python_key, stored_key, tag, to_plain},
};

/// Members that an error lists; of more the number is told.
const LISTED: usize = 20;

/// Reads a text of the command line: of an enum the name or value of a member, of a record JSON.
pub(super) fn text(text: &str, name: &str, class: &Class, reader: &Reader<'_>) -> Result<Value, ValueError> {
    if class.kind != ClassKind::Enum {
        return json_text(text, &Ty::class(name), reader);
    }
    let as_text = member(&json!(text), class);
    // A number, as JSON writes it.
    let found = as_text.or_else(|| member(&json::read(text.as_bytes()).ok()?, class));
    found.ok_or_else(|| no_member(&format!("`{text}`"), name, class))
}

/// Reads plain JSON.
pub(super) fn plain(plain: &Value, name: &str, class: &Class, reader: &Reader<'_>) -> Result<Value, ValueError> {
    let expected = || ValueError::new(format!("expected {name}, got {}", shown(plain)));
    match (class.kind, plain) {
        (ClassKind::Enum, _) => member(plain, class).ok_or_else(|| no_member(&shown(plain), name, class)),
        // A number, of whose digits there are many.
        _ if tag(plain).is_some() => Err(expected()),
        (ClassKind::Model, Value::Object(given)) => {
            needs(given, name, class)?;
            for (key, value) in given {
                if let Some(field) = class.field(python_key(key)) {
                    lax(value, &ty(field, reader.classes), reader).map_err(|e| e.below(&format!(".{key}")))?;
                }
            }
            // What pydantic converts it converts itself.
            from(plain, &Ty::Any, reader)
        }
        (ClassKind::TypedDict, Value::Object(given)) => {
            Ok(Value::Object(fields(given, name, class, reader)?.into_iter().collect()))
        }
        (ClassKind::Dataclass | ClassKind::NamedTuple, Value::Object(given)) => {
            let mut read = fields(given, name, class, reader)?;
            for field in &class.fields {
                // Told here, so that what asks for it finds it; what is not known Python fills in.
                if let (None, Some(default)) = (given.get(&stored_key(&field.name)), &field.default) {
                    read.push((stored_key(&field.name), default.clone()));
                }
            }
            let order = |key: &str| class.fields.iter().position(|field| stored_key(&field.name) == key);
            read.sort_by_key(|(key, _)| order(key));
            Ok(json!({"$": "object", "t": class.name, "v": read.into_iter().collect::<Map<_, _>>()}))
        }
        _ => Err(expected()),
    }
}

/// A mapping whose keys are members.
pub(super) fn by_member(
    fields: &Map<String, Value>,
    (name, class): (&str, &Class),
    item: &Ty,
    reader: &Reader<'_>,
) -> Result<Value, ValueError> {
    let read = |(key, value): (&String, &Value)| {
        let key = python_key(key);
        let value = from(value, item, reader).map_err(|e| e.below(&format!("[{key:?}]")))?;
        Ok(json!([text(key, name, class, reader)?, value]))
    };
    let pairs = fields.iter().map(read).collect::<Result<Vec<_>, ValueError>>()?;
    Ok(json!({"$": "map", "v": pairs}))
}

/// The member of a name, or else of a value.
pub(in crate::value) fn member(given: &Value, class: &Class) -> Option<Value> {
    let named = given.as_str().and_then(|name| class.member(name));
    let equal = |value: &Value| match (value, given) {
        // `1.0` is no member where `1` is one.
        (Value::Number(one), Value::Number(other)) => {
            (one.is_f64() || !other.is_f64()) && one.as_f64() == other.as_f64()
        }
        (value, given) => value == given || (value.is_object() && to_plain(value) == *given),
    };
    let found = named.or_else(|| class.members.iter().find(|member| equal(&member.value)))?;
    Some(json!({"$": "enum", "t": class.name, "v": found.name}))
}

fn no_member(given: &str, name: &str, class: &Class) -> ValueError {
    let mut names: Vec<_> = class.members.iter().take(LISTED).map(|member| member.name.clone()).collect();
    let more = class.members.len().saturating_sub(LISTED);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    ValueError::new(format!("{given} is no member of {name}, which has {}", names.join(", ")))
}

/// The given fields of a record by their types; one that is unknown or missing is an error.
fn fields(
    given: &Map<String, Value>,
    name: &str,
    class: &Class,
    reader: &Reader<'_>,
) -> Result<Vec<(String, Value)>, ValueError> {
    if let Some(unknown) = given.keys().map(|key| python_key(key)).find(|key| class.field(key).is_none()) {
        return Err(ValueError::new(format!("{name} has no field `{unknown}`; it has {}", class.fields_named())));
    }
    needs(given, name, class)?;
    let read = |(key, value): (&String, &Value)| {
        let name = python_key(key);
        let ty = class.field(name).map_or(Ty::Any, |field| ty(field, reader.classes));
        let read = from(value, &ty, reader).and_then(|value| check(&value, &ty).map(|()| value));
        let at = if class.kind == ClassKind::TypedDict { format!("[{name:?}]") } else { format!(".{name}") };
        Ok((key.clone(), read.map_err(|e| e.below(&at))?))
    };
    given.iter().map(read).collect()
}

fn needs(given: &Map<String, Value>, name: &str, class: &Class) -> Result<(), ValueError> {
    let missing = class.fields.iter().filter(|field| field.required && !given.contains_key(&stored_key(&field.name)));
    let missing: Vec<_> = missing.map(|field| format!("`{}`", field.name)).collect();
    if missing.is_empty() { Ok(()) } else { Err(ValueError::new(format!("{name} needs {}", missing.join(", ")))) }
}

/// What a field is held to: a class that is not known here may be anything.
pub(crate) fn ty(field: &Field, classes: &Classes) -> Ty {
    fn known(ty: Ty, classes: &Classes) -> Ty {
        match ty {
            Ty::Class(name) if crate::builtin::builtin(&name).is_none() && !classes.contains_key(&name) => Ty::Any,
            Ty::Generic(name, _) if crate::builtin::builtin(&name).is_none() => Ty::Any,
            other => other.map(|part| known(part, classes)),
        }
    }
    known(field.ty.0.parse().unwrap_or(Ty::Any), classes)
}

/// Whether pydantic may take a value for a type: it converts texts and numbers where those say the same.
fn lax(value: &Value, ty: &Ty, reader: &Reader<'_>) -> Result<(), ValueError> {
    let wrong = || ValueError::new(format!("expected {ty}, got {}", shown(value)));
    match (ty, value) {
        // A number, of whose digits there are many.
        (Ty::Class(name), Value::Object(_)) if tag(value).is_some() && !reader.classes.contains_key(name) => {
            if matches!(name.as_str(), "str" | "bool" | "date") { Err(wrong()) } else { Ok(()) }
        }
        (Ty::Union(members), _) => {
            if reader.tried.members(|| members.iter().any(|member| lax(value, member, reader).is_ok())) {
                Ok(())
            } else {
                Err(wrong())
            }
        }
        (Ty::Class(name), _) if reader.classes.contains_key(name) => {
            let class = &reader.classes[name];
            // By its name pydantic takes no member.
            let is_value = || class.members.iter().any(|member| to_plain(&member.value) == *value);
            if class.kind == ClassKind::Enum && !value.is_object() {
                return if is_value() { Ok(()) } else { Err(no_member(&shown(value), name, class)) };
            }
            reader.tried.once(value, class, || plain(value, name, class, reader)).map(drop)
        }
        (Ty::Generic(name, parts), Value::Array(items)) if name == "list" => {
            items.iter().enumerate().try_for_each(|(at, item)| {
                lax(item, parts.first().unwrap_or(&Ty::Any), reader).map_err(|e| e.below(&format!("[{at}]")))
            })
        }
        (Ty::Class(name), Value::String(text)) if matches!(name.as_str(), "int" | "float" | "bool" | "date") => {
            scalar(text, ty, reader).map(drop).map_err(|_| wrong())
        }
        (Ty::Class(name), Value::Object(_) | Value::Array(_) | Value::Null)
            if matches!(name.as_str(), "int" | "float" | "bool" | "str" | "date" | "datetime") =>
        {
            Err(wrong())
        }
        (Ty::Class(name), Value::Number(_) | Value::Bool(_)) if name == "str" => Err(wrong()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
