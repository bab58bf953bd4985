//! Values that hold others, element by element.

use std::{borrow::Cow, collections::HashSet};

use serde_json::{Map, Value};

use super::Converter;
use crate::{
    assignable::Shape,
    builtin::{derived, keys_and_values},
    ty::Ty,
    value::{ValueError, equal::key, kind, python_key, repr::shown, stored_key, tag, tagged},
};

/// Whether a class holds others, and is one that conversions go through.
pub(super) fn is_known(name: &str) -> bool {
    is_list(name) || is_set(name) || is_mapping(name)
}

pub(super) fn is_list(name: &str) -> bool {
    matches!(name, "list" | "Sequence" | "MutableSequence" | "Iterable" | "Collection" | "Reversible" | "Container")
}

fn is_set(name: &str) -> bool {
    matches!(name, "set" | "frozenset" | "Set" | "MutableSet")
}

fn is_mapping(name: &str) -> bool {
    matches!(name, "dict" | "Mapping" | "MutableMapping" | "OrderedDict" | "defaultdict" | "Counter")
}

/// The elements of a list or a tuple.
fn indexed(value: &Value) -> Option<&[Value]> {
    match (value, tag(value)) {
        (Value::Array(items), _) | (_, Some(("tuple", Value::Array(items)))) => Some(items),
        _ => None,
    }
}

/// Each key of a mapping as a value, its key and its value.
fn pairs(value: &Value) -> Option<Vec<(Cow<'_, Value>, &Value)>> {
    match (value, tag(value)) {
        (_, Some(("map", Value::Array(pairs)))) => {
            pairs.iter().map(|pair| Some((Cow::Borrowed(pair.get(0)?), pair.get(1)?))).collect()
        }
        (Value::Object(fields), None) => {
            Some(fields.iter().map(|(key, value)| (Cow::Owned(Value::from(python_key(key))), value)).collect())
        }
        _ => None,
    }
}

/// `["price"]`, `[1]`
pub(super) fn at_key(key: &Value) -> String {
    key.as_str().map_or_else(|| format!("[{}]", shown(key)), |key| format!("[{key:?}]"))
}

impl Converter<'_> {
    pub(super) fn container(&self, value: &Value, name: &str, parameters: &[Ty], ty: &Ty) -> Result<Value, ValueError> {
        let parameter = |ix: usize| parameters.get(ix).unwrap_or(&Ty::Any);
        if is_set(name) {
            self.set(value, name, parameter(0), ty)
        } else if is_mapping(name) {
            let both = keys_and_values(name, parameters);
            let [key, item] = both.as_ref().map_or([parameter(0), parameter(1)], |[key, item]| [key, item]);
            self.mapping(value, key, item, ty)
        } else {
            self.list(value, name, parameter(0), ty)
        }
    }

    fn each(&self, items: &[Value], item: &Ty) -> Result<Vec<Value>, ValueError> {
        let convert = |(at, one)| self.convert(one, item).map_err(|error: ValueError| error.below(&format!("[{at}]")));
        items.iter().enumerate().map(convert).collect()
    }

    pub(super) fn tuple(&self, value: &Value, ty: &Ty) -> Result<Value, ValueError> {
        let Some(items) = indexed(value) else { return self.left(value, ty, None) };
        if let Ty::Tuples(item) = ty {
            return Ok(tagged("tuple", Value::Array(self.each(items, item)?)));
        }
        if !self.strict && value.is_array() {
            return Ok(value.clone());
        }
        let Some(types) = Shape::of(ty).and_then(|shape| shape.elements(items.len())) else {
            return self.left(value, ty, Some(format!("a {} of {}", kind(value), items.len())));
        };
        let convert =
            |(at, (one, ty))| self.convert(one, ty).map_err(|error: ValueError| error.below(&format!("[{at}]")));
        let made = items.iter().zip(types).enumerate().map(convert).collect::<Result<_, _>>()?;
        Ok(tagged("tuple", Value::Array(made)))
    }

    fn list(&self, value: &Value, name: &str, item: &Ty, ty: &Ty) -> Result<Value, ValueError> {
        let Some(items) = indexed(value) else {
            // A text, a set or a mapping may be what an abstract class means.
            return if self.fits(value, ty) { Ok(value.clone()) } else { self.left(value, ty, None) };
        };
        let made = self.each(items, item)?;
        let stays = derived("Sequence", name) && !value.is_array();
        Ok(if stays { tagged("tuple", Value::Array(made)) } else { Value::Array(made) })
    }

    fn set(&self, value: &Value, name: &str, item: &Ty, ty: &Ty) -> Result<Value, ValueError> {
        let (items, is_frozen) = match (tag(value), indexed(value)) {
            (Some((tag @ ("set" | "frozenset"), Value::Array(items))), _) => (items.as_slice(), tag == "frozenset"),
            (_, Some(items)) if self.strict => (items, false),
            _ => return self.left(value, ty, None),
        };
        let has_places = indexed(value).is_some();
        let mut seen = HashSet::with_capacity(items.len());
        let mut made = Vec::with_capacity(items.len());
        for (at, one) in items.iter().enumerate() {
            let place = || if has_places { format!("[{at}]") } else { "{…}".to_owned() };
            let one = self.convert(one, item).map_err(|error| error.below(&place()))?;
            let Some(key) = key(&one, self.classes) else {
                return self.left(value, ty, Some(format!("{}, which a set cannot hold", shown(&one))));
            };
            if !seen.insert(key) {
                return self.left(value, ty, Some(format!("{} twice", shown(&one))));
            }
            made.push(one);
        }
        made.sort_by_cached_key(Value::to_string);
        let frozen = name == "frozenset" || (name == "Set" && is_frozen);
        Ok(tagged(if frozen { "frozenset" } else { "set" }, Value::Array(made)))
    }

    fn mapping(&self, value: &Value, key_ty: &Ty, item: &Ty, ty: &Ty) -> Result<Value, ValueError> {
        let Some(pairs) = pairs(value) else { return self.left(value, ty, None) };
        let mut seen = HashSet::with_capacity(pairs.len());
        let mut made = Vec::with_capacity(pairs.len());
        for (from, inner) in pairs {
            let to = self.convert(&from, key_ty).map_err(|error| error.below(&format!("key {}", shown(&from))))?;
            let Some(key) = key(&to, self.classes) else {
                return self.left(value, ty, Some(format!("the key {}, which a mapping cannot hold", shown(&to))));
            };
            if !seen.insert(key) {
                return self.left(value, ty, Some(format!("the key {} twice", shown(&to))));
            }
            made.push((to, self.convert(inner, item).map_err(|error| error.below(&at_key(&from)))?));
        }
        if made.iter().all(|(key, _)| key.is_string()) {
            let fields = made.into_iter().map(|(key, value)| (stored_key(key.as_str().unwrap_or_default()), value));
            return Ok(Value::Object(fields.collect::<Map<_, _>>()));
        }
        let pairs = made.into_iter().map(|(key, value)| Value::Array(vec![key, value])).collect();
        Ok(tagged("map", Value::Array(pairs)))
    }
}
