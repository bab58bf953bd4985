//! Whether a value is of a declared type; the first mismatch with its path.

mod forms;
mod plan;
mod records;
mod streamed;
mod strict;
mod valueless;

use qflow_model::class::Classes;
use serde_json::Value;

use super::{
    ValueError,
    header::{self, Headers},
    kind,
    literals::is_literal,
    python_key, tag,
};
use crate::{
    builtin::{builtin, derived, is_opaque, keys_and_values},
    ty::Ty,
};
pub(super) use records::Records;
pub use streamed::{Found, Misfit, check_encoding, check_encoding_attached, check_reader};
pub use valueless::{Valueless, valueless};

/// Checks a value in the tagged form; an `int` is a `float` too, as in Python. Of the user's own classes only the name is looked at.
pub fn check(value: &Value, ty: &Ty) -> Result<(), ValueError> {
    Records::default().check(value, ty)
}

/// As [`check`], and holds objects of the user's own classes to their fields and members, as far as `classes` tells them.
pub fn check_fields(value: &Value, ty: &Ty, classes: &Classes) -> Result<(), ValueError> {
    Records::read(classes).check(value, ty)
}

/// As [`check_fields`], of a value that is written down where it stands: a key that a `TypedDict` does not declare is a slip there, and a
/// mapping is no dataclass or `NamedTuple`, whatever that makes of its fields.
pub fn check_written(value: &Value, ty: &Ty, classes: &Classes) -> Result<(), ValueError> {
    Records::read(classes).written().check(value, ty)
}

/// As [`check_fields`], of arguments by their names, which were held to what declares them where they were made: an object of another class
/// may be derived from the declared one, and passes. Holds frames and arrays to what is declared of them, by their `headers`.
///
/// # Errors
/// The first that is not of its type, by its name.
pub fn check_each<'v>(
    values: impl IntoIterator<Item = (&'v String, &'v Value, &'v Ty)>,
    classes: &Classes,
    headers: &Headers,
) -> Result<(), (&'v str, ValueError)> {
    let records = Records::read(classes).with(headers).given();
    values
        .into_iter()
        .try_for_each(|(name, value, ty)| records.check(value, ty).map_err(|error| (name.as_str(), error)))
}

impl Records<'_> {
    pub(in crate::value) fn check(&self, value: &Value, ty: &Ty) -> Result<(), ValueError> {
        let expected = || ValueError::new(format!("expected {ty}, got {}", kind(value)));
        match ty {
            Ty::Any | Ty::Variable(_) => Ok(()),
            _ if self.is_of_another(value, ty) => Ok(()),
            Ty::Never => Err(ValueError::new("expected no value: the function is declared not to return")),
            Ty::None if value.is_null() => Ok(()),
            Ty::None => Err(expected()),
            Ty::Union(members) => self.union(value, members, ty),
            Ty::Literal(values) => {
                if values.iter().any(|literal| is_literal(value, literal)) {
                    Ok(())
                } else {
                    Err(ValueError::new(format!("expected {ty}")))
                }
            }
            Ty::Class(_) | Ty::Generic(..) if ty.outcome().is_some() => {
                self.outcome(value, ty, ty.outcome().unwrap_or(&Ty::Any))
            }
            Ty::Class(name) => match self.get(name) {
                Some(record) => self.record(value, name, record),
                None if name == "Counter" => self.generic(value, name, &[], ty),
                None if class(value, name) && !self.is_no_object(value, name) => Ok(()),
                None => Err(expected()),
            },
            Ty::Tuple(types) => {
                let items = tuple(value).ok_or_else(expected)?;
                if items.len() != types.len() {
                    return Err(ValueError::new(format!("expected {ty}, got a tuple of {}", items.len())));
                }
                let mut pairs = items.iter().zip(types).enumerate();
                pairs.try_for_each(|(i, (item, ty))| self.check(item, ty).map_err(|e| e.below(&format!("[{i}]"))))
            }
            Ty::Tuples(item) => self.each(tuple(value).ok_or_else(expected)?, item),
            Ty::Spread(before, item, after) => {
                let items = tuple(value).ok_or_else(expected)?;
                let Some(between) = items.len().checked_sub(before.len() + after.len()) else {
                    return Err(ValueError::new(format!("expected {ty}, got a tuple of {}", items.len())));
                };
                let types = before.iter().chain(std::iter::repeat_n(&**item, between)).chain(after);
                let mut pairs = items.iter().zip(types).enumerate();
                pairs.try_for_each(|(i, (item, ty))| self.check(item, ty).map_err(|e| e.below(&format!("[{i}]"))))
            }
            Ty::Generic(name, parameters) => self.generic(value, name, parameters, ty),
        }
    }

    fn each(&self, items: &[Value], ty: &Ty) -> Result<(), ValueError> {
        let mut items = items.iter().enumerate();
        items.try_for_each(|(i, item)| self.check(item, ty).map_err(|e| e.below(&format!("[{i}]"))))
    }

    /// A text as what it is made of: texts of one character.
    fn characters(&self, text: &str, item: &Ty) -> Result<(), ValueError> {
        if matches!(item, Ty::Any) || *item == Ty::class("str") {
            return Ok(());
        }
        let mut characters = text.chars().enumerate();
        characters.try_for_each(|(i, c)| {
            self.check(&Value::from(c.to_string()), item).map_err(|e| e.below(&format!("[{i}]")))
        })
    }

    /// Whether a value is of a member; where only one may be meant, its own words say more than that none takes it.
    fn union(&self, value: &Value, members: &[Ty], ty: &Ty) -> Result<(), ValueError> {
        let expected = || ValueError::new(format!("expected {ty}, got {}", kind(value)));
        let mut meant = members.iter().filter(|member| may_be(value, member) && !self.is_anothers(value, member));
        match (meant.next(), meant.next()) {
            (None, _) => Err(expected()),
            (Some(one), None) => self.check(value, one),
            (Some(one), Some(other)) => self.trying(|| {
                let mut all = [one, other].into_iter().chain(meant);
                if all.any(|member| self.check(value, member).is_ok()) { Ok(()) } else { Err(expected()) }
            }),
        }
    }

    /// Whether a value is a settled call's: one of the two, never both.
    fn outcome(&self, value: &Value, ty: &Ty, of: &Ty) -> Result<(), ValueError> {
        let Some(("outcome", fields)) = tag(value) else {
            return Err(ValueError::new(format!("expected {ty}, got {}", kind(value))));
        };
        let part = |name: &str| fields.get(name).unwrap_or(&Value::Null);
        match (part("ok").as_bool(), part("value"), part("error")) {
            (Some(true), value, Value::Null) => self.check(value, of).map_err(|e| e.below(".value")),
            (Some(false), Value::Null, error) => {
                let told = tag(error).filter(|(tag, _)| *tag == "object" && kind(error) == "qflow.OutcomeError");
                let part = |name: &str| told.and_then(|(_, fields)| fields.get(name));
                let text = |name: &str| part(name).is_some_and(Value::is_string);
                let attempts = part("attempts").is_some_and(Value::is_u64);
                if ["type", "message", "status"].into_iter().all(text) && attempts {
                    return Ok(());
                }
                Err(ValueError::new("expected OutcomeError with type, message, status and attempts").below(".error"))
            }
            _ => Err(ValueError::new(format!("expected {ty}, got an outcome with neither a value nor an error"))),
        }
    }

    fn generic(&self, value: &Value, name: &str, parameters: &[Ty], ty: &Ty) -> Result<(), ValueError> {
        if !class(value, name) {
            return Err(ValueError::new(format!("expected {ty}, got {}", kind(value))));
        }
        let both = if kind(value) == "dict" { keys_and_values(name, parameters) } else { None };
        let parameters = both.as_ref().map_or(parameters, |both| both);
        match (value, tag(value), parameters) {
            (Value::Array(items), _, [item]) => self.each(items, item),
            (_, Some(("tuple" | "set" | "frozenset", Value::Array(items))), [item]) => self.each(items, item),
            (_, Some(("map", Value::Array(pairs))), [key, item]) => {
                pairs.iter().enumerate().try_for_each(|(i, pair)| {
                    self.check(&pair[0], key).map_err(|e| e.below(&format!("key {i}")))?;
                    self.check(&pair[1], item).map_err(|e| e.below(&format!("[{}]", pair[0])))
                })
            }
            (Value::Object(fields), None, [key, item]) => fields.iter().try_for_each(|(name, value)| {
                let name = python_key(name);
                self.check(&Value::from(name), key).map_err(|e| e.below(&format!("key {name:?}")))?;
                self.check(value, item).map_err(|e| e.below(&format!("[{name:?}]")))
            }),
            (Value::String(text), _, [item]) if is_abstract(name) => self.characters(text, item),
            (_, Some(("bytes", _)), [item]) if is_abstract(name) => self.check(&Value::from(0), item),
            (_, Some(("map", Value::Array(pairs))), [key]) if is_abstract(name) => pairs
                .iter()
                .enumerate()
                .try_for_each(|(i, pair)| self.check(&pair[0], key).map_err(|e| e.below(&format!("key {i}")))),
            (Value::Object(fields), None, [key]) if is_abstract(name) => fields.keys().try_for_each(|name| {
                let name = python_key(name);
                self.check(&Value::from(name), key).map_err(|e| e.below(&format!("key {name:?}")))
            }),
            (_, Some(("attachment", _)), _) => match self.header(value) {
                Some(known) => header::held(known, (name, parameters), ty, self),
                None => Ok(()),
            },
            // What the parameters of other classes mean is theirs to say.
            _ => Ok(()),
        }
    }
}

/// Whether a class is one that a text, bytes and a mapping are too, by their characters, numbers and keys.
fn is_abstract(name: &str) -> bool {
    matches!(name, "Sequence" | "Reversible" | "Collection" | "Container" | "Iterable")
}

/// Whether a value may be of a member of a union, going by what it is and not by what it holds.
fn may_be(value: &Value, member: &Ty) -> bool {
    match member {
        Ty::Any | Ty::Union(_) | Ty::Variable(_) => true,
        Ty::Never => false,
        Ty::None => value.is_null(),
        Ty::Literal(values) => values.iter().any(|literal| is_literal(value, literal)),
        Ty::Class(name) | Ty::Generic(name, _) => class(value, name),
        Ty::Tuple(_) | Ty::Tuples(_) | Ty::Spread(..) => tuple(value).is_some(),
    }
}

fn tuple(value: &Value) -> Option<&[Value]> {
    tag(value).filter(|(name, _)| *name == "tuple").and_then(|(_, v)| v.as_array()).map(Vec::as_slice)
}

/// Whether a value's class is `name` or one that goes for it.
fn class(value: &Value, name: &str) -> bool {
    goes(kind(value), value.is_object() && tag(value).is_none(), name)
}

/// Whether a mapping goes where a class is declared.
pub(super) fn is_mapping(name: &str) -> bool {
    goes("dict", true, name)
}

/// Whether a value of a class goes where `name` is declared; `is_plain` where it is a mapping with texts as keys.
fn goes(kind: &str, is_plain: bool, name: &str) -> bool {
    match name {
        "float" => matches!(kind, "float" | "int" | "bool"),
        "int" => matches!(kind, "int" | "bool"),
        // Of a `complex` that is a float or an int, too.
        "complex" | "SupportsComplex" => matches!(kind, "complex" | "float" | "int" | "bool"),
        "date" => matches!(kind, "date" | "datetime"),
        "object" => true,
        // Whatever has a hash; what is not known here has that of `object`.
        "Hashable" => kind == "None" || kind == "tuple" || builtin(kind).is_none() || derived(kind, name),
        "Path" => matches!(kind, "Path" | "File" | "Folder"),
        // Paths of this system travel as such, whatever their class.
        "PosixPath" | "PurePosixPath" if kind == "Path" => true,
        // A frame's or a series' columns are known to its reader only; both are Arrow.
        "Series" => kind == "DataFrame",
        // What is derived from `dict` travels as one.
        name if kind == "dict" && derived(name, kind) => true,
        name if derived(kind, name) || (kind == "tuple" && derived("Sequence", name)) => true,
        // A `TypedDict` of the user's is stored as a mapping.
        name => is_named(kind, name) || (is_plain && !is_opaque(name)),
    }
}

/// Whether a class's qualified name is one that types spell shorter.
fn is_named(kind: &str, name: &str) -> bool {
    let last = |name: &str| name.rfind('.').map_or(0, |dot| dot + 1);
    kind[last(kind)..] == name[last(name)..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(clippy::needless_pass_by_value, reason = "cases are written as json!(…)")]
    fn mismatch(value: Value, ty: &str) -> Option<String> {
        check(&value, &ty.parse().unwrap()).err().map(|error| error.to_string())
    }

    #[test]
    fn values_of_their_type_pass() {
        for (value, ty) in [
            (json!(1), "float"),
            (json!(null), "int | None"),
            (json!([{"a": 1.5}]), "list[dict[str, float]]"),
            (json!({"$": "tuple", "v": [1, "x"]}), "tuple[int, str]"),
            (json!({"$": "attachment", "k": "arrow", "i": 0}), "DataFrame"),
            (json!({"a": 1}), "Counter[str]"),
            (json!({"$": "map", "v": [[1, 2]]}), "Counter[int]"),
            (json!({"a": true}), "Counter"),
            (json!({"a": "x"}), "Box[int]"),
            (json!(1), "SupportsComplex"),
            (json!({"$": "path", "v": "a"}), "PosixPath"),
            (json!({"$": "path", "v": "a"}), "PurePath"),
            (json!({"$": "map", "v": [[1, "a"]]}), "defaultdict[int, str]"),
            (json!({"a": 1}), "OrderedDict[str, int]"),
            (json!({"$": "object", "t": "sales.Row", "v": {}}), "Row"),
            (json!("a"), "Literal[\"a\", \"b\"]"),
            (json!({"$": "map", "v": [[1, "x"]]}), "dict[int, str]"),
        ] {
            assert_eq!(mismatch(value.clone(), ty), None, "{value} as {ty}");
        }
    }

    #[test]
    fn an_outcome_has_a_value_of_its_type_or_an_error() {
        let fine = |value: Value| json!({"$": "outcome", "v": {"ok": true, "value": value, "error": null}});
        let error = json!({"type": "ValueError", "message": "", "status": "failed", "attempts": 1});
        let told = |error: Value| json!({"$": "object", "t": "qflow.OutcomeError", "v": error});
        let failed = |error: Value| json!({"$": "outcome", "v": {"ok": false, "value": null, "error": told(error)}});
        assert_eq!(mismatch(fine(json!(1)), "Outcome[float]"), None);
        assert_eq!(mismatch(failed(error.clone()), "list[int] | Outcome[int]"), None);
        assert_eq!(mismatch(failed(error), "Outcome"), None);
        for (value, why) in [
            (fine(json!("x")), "at .value: expected int, got str"),
            (failed(json!({"type": "X"})), "at .error: expected OutcomeError with type, message, status and attempts"),
            (failed(json!(null)), "at .error: expected OutcomeError with type, message, status and attempts"),
            (
                json!({"$": "outcome", "v": {}}),
                "expected Outcome[int], got an outcome with neither a value nor an error",
            ),
            (json!({"ok": true}), "expected Outcome[int], got dict"),
        ] {
            assert_eq!(mismatch(value, "Outcome[int]").as_deref(), Some(why));
        }
    }

    #[test]
    fn the_first_mismatch_is_told_with_its_path() {
        for (value, ty, why) in [
            (json!([1, "x"]), "list[int]", "at [1]: expected int, got str"),
            (json!([{"price": "7"}]), "list[dict[str, float]]", "at [0][\"price\"]: expected float, got str"),
            (json!(1.5), "int", "expected int, got float"),
            (json!({"$": "tuple", "v": [1]}), "tuple[int, str]", "expected tuple[int, str], got a tuple of 1"),
            (json!(null), "str", "expected str, got None"),
            (json!({"a": "x"}), "Counter[str]", "at [\"a\"]: expected int, got str"),
            (json!({"$": "map", "v": [[1, 1.5]]}), "Counter", "at [1]: expected int, got float"),
            (json!({"a": 1}), "Counter[int]", "at key \"a\": expected int, got str"),
            (json!("x"), "SupportsComplex", "expected SupportsComplex, got str"),
            (json!({"a": 1}), "Pickle[int]", "expected Pickle[int], got dict"),
            (json!({"a": 1}), "slice", "expected slice, got dict"),
        ] {
            assert_eq!(mismatch(value, ty).as_deref(), Some(why));
        }
    }
}
