// What checking and converting promise of every input. The fuzz target and its twin in `crates/types` both hold it to this.

use qflow_model::class::Classes;
use qflow_types::{
    Ty,
    value::{self, Misfit},
};
use serde_json::Value;

/// Types that an input is checked against: of each kind of check one, and such as have to try.
pub(crate) const TYPES: &[&str] = &[
    "Any",
    "int",
    "float | None",
    "str",
    "Decimal | date | datetime",
    "list[dict[str, float]]",
    "list[list[int] | int] | dict[str, list[str] | str]",
    "dict[int, tuple[str, ...]] | tuple[int, str]",
    "set[int] | frozenset[str]",
    "Sequence[int | str]",
    "Mapping[str, Row | Unit | None]",
    "list[Row]",
    "User | Row",
    "Outcome[int] | bytes | DataFrame",
    "Literal[\"a\", 1, True] | UUID | timedelta",
];

/// Classes that those types name: one that holds itself, one of each kind.
pub(crate) fn classes() -> Classes {
    let text = r#"{
        "Unit": {"name": "w.Unit", "kind": "enum", "members": [{"name": "DAY", "value": "day"}, {"name": "HOUR", "value": 1}]},
        "Row": {"name": "w.Row", "kind": "typed_dict", "fields": [
            {"name": "day", "type": "date | str", "required": true}, {"name": "rows", "type": "list[Row] | None", "required": false}]},
        "User": {"name": "w.User", "kind": "dataclass", "fields": [
            {"name": "name", "type": "str", "required": true}, {"name": "boss", "type": "User | Row | None", "required": false, "default": null}]}
    }"#;
    serde_json::from_str(text).unwrap_or_default()
}

/// Whether an input keeps every promise; else which is broken.
pub(crate) fn kept(bytes: &[u8], types: &[Ty], classes: &Classes) -> Result<(), String> {
    let decoded = value::decode(bytes);
    for ty in types {
        let streamed = value::check_encoding(bytes, ty, classes);
        match (&streamed, value::check_reader(bytes, ty, classes)) {
            // What follows a value only the whole of it tells.
            (Err(Misfit::NotAValue(_)), _) | (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
            (one, other) => return Err(format!("{ty}: of the whole {one:?}, of a reader {other:?}")),
        }
        match (&streamed, &decoded) {
            (Ok(_), Err(error)) => return Err(format!("{ty}: what checks does not decode: {error}")),
            (Err(Misfit::NotAValue(error)), Ok(_)) => {
                return Err(format!("{ty}: what decodes is told to be no value: {error}"));
            }
            (Ok(found), Ok(value)) => {
                value::check_fields(value, ty, classes)
                    .map_err(|error| format!("{ty}: the bytes fit, the tree does not: {error}"))?;
                if found.items.map(|items| items as usize) != value.as_array().map(Vec::len) {
                    return Err(format!("{ty}: {found:?} of {value}"));
                }
                again(value, ty, classes)?;
            }
            (Err(Misfit::Unfit(error)), _) if error.message.is_empty() => return Err(format!("{ty}: no words")),
            _ => {}
        }
        if let Ok(value) = &decoded {
            converted(value, ty, classes)?;
        }
    }
    if let Ok(value) = &decoded {
        drop((value::to_text(value), value::shown(value)));
    }
    for ty in types {
        if let Ok(read) = value::from_json(bytes, ty, classes) {
            again(&read, &Ty::Any, classes)?;
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        for ty in types {
            if let Ok(read) = value::from_text(text, ty, classes) {
                again(&read, &Ty::Any, classes)?;
            }
        }
    }
    Ok(())
}

/// What is written of a value reads back and fits.
fn again(value: &Value, ty: &Ty, classes: &Classes) -> Result<(), String> {
    let encoded = value::encode(value);
    if value::decode(&encoded.bytes).ok().as_ref() != Some(value) {
        return Err(format!("{value} does not read back"));
    }
    let fits = value::check_encoding(&encoded.bytes, ty, classes);
    fits.map(drop).map_err(|error| format!("{ty}: {value} does not fit once more: {error}"))
}

/// What is made of a value is of its type, and stays as it is.
fn converted(value: &Value, ty: &Ty, classes: &Classes) -> Result<(), String> {
    let made = value::convert(value, ty, classes);
    let taken = value::convert_taken(value.clone(), ty, classes, true);
    if taken != made {
        return Err(format!("{ty}: of {value} is made {made:?}, and {taken:?} where it is taken"));
    }
    let Ok(made) = made else { return Ok(()) };
    value::check_fields(&made, ty, classes).map_err(|error| format!("{ty}: of {value} is made {made}: {error}"))?;
    match value::convert(&made, ty, classes) {
        Ok(once_more) if once_more == made => Ok(()),
        other => Err(format!("{ty}: of {value} is made {made}, of that {other:?}")),
    }
}
