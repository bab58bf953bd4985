//! Objects of the user's own classes, of mappings; members of enums, of their names and values.

use qflow_model::class::{Class, ClassKind};
use serde_json::{Map, Value, json};

use super::{Converter, containers::at_key};
use crate::{
    ty::Ty,
    value::{
        ValueError, kind, python_key,
        read::{field_type, member_of},
        repr::shown,
        stored_key, tag,
    },
};

impl Converter<'_> {
    /// What the table has no row for: objects and members, where the class is known.
    pub(super) fn made(&self, value: &Value, name: &str, ty: &Ty) -> Result<Value, ValueError> {
        if !self.strict {
            return Ok(value.clone());
        }
        let Some(class) = self.classes.get(name) else {
            let only_python =
                matches!(name, "DataFrame" | "Series" | "ndarray") || crate::builtin::builtin(name).is_none();
            let made_of = indexed_or_mapping(value) && only_python;
            let of = made_of.then(|| format!("a {}, of which only Python makes one", kind(value)));
            return self.left(value, ty, of);
        };
        match (class.kind, value, tag(value)) {
            (ClassKind::Enum, Value::String(_) | Value::Number(_) | Value::Bool(_), _) if !is_float(value) => {
                member_of(value, class).ok_or_else(|| {
                    let names: Vec<_> = class.members.iter().map(|member| member.name.as_str()).collect();
                    ValueError::new(format!("expected {name}, got {}; it has {}", shown(value), names.join(", ")))
                })
            }
            (ClassKind::Model, Value::Object(_), None) => {
                self.left(value, ty, Some("a dict, of which only pydantic makes one".to_owned()))
            }
            (ClassKind::Dataclass | ClassKind::NamedTuple | ClassKind::TypedDict, Value::Object(given), None) => {
                self.tried.once(value, class, || self.fields(given, name, class))
            }
            _ => self.left(value, ty, None),
        }
    }

    /// The given fields by their types: none missing, none more; but what a `TypedDict` does not declare it holds all the same.
    fn fields(&self, given: &Map<String, Value>, name: &str, class: &Class) -> Result<Value, ValueError> {
        let needed = class.fields.iter().filter(|field| field.required);
        if let Some(missing) =
            needed.filter(|field| !given.contains_key(&stored_key(&field.name))).min_by_key(|f| &f.name)
        {
            let missing = &missing.name;
            return Err(ValueError::new(format!("expected {name}, which has [{missing:?}]: it is missing")));
        }
        let mut made = Map::new();
        for (key, value) in given {
            let at = || at_key(&Value::from(python_key(key)));
            let Some(field) = class.field(python_key(key)) else {
                if class.kind == ClassKind::TypedDict {
                    made.insert(key.clone(), value.clone());
                    continue;
                }
                return Err(ValueError::new(format!("{name} has no field of this name")).below(&at()));
            };
            let to = self.convert(value, &field_type(field, self.classes)).map_err(|error| error.below(&at()))?;
            made.insert(key.clone(), to);
        }
        if class.kind == ClassKind::TypedDict {
            return Ok(Value::Object(made));
        }
        // In the order of the class, with what it gives itself; what only Python knows it fills in.
        let mut ordered = Map::new();
        for field in &class.fields {
            let key = stored_key(&field.name);
            if let Some(value) = made.remove(&key).or_else(|| field.default.clone()) {
                ordered.insert(key, value);
            }
        }
        Ok(json!({"$": "object", "t": class.name, "v": ordered}))
    }
}

fn is_float(value: &Value) -> bool {
    value.as_number().is_some_and(serde_json::Number::is_f64)
}

fn indexed_or_mapping(value: &Value) -> bool {
    matches!(kind(value), "list" | "tuple" | "dict")
}
