//! Values that hold no others: the first table of `docs/TYPES.md`.

use qflow_model::class::Classes;
use serde_json::{Value, json};

use crate::{
    convertible::{Row, TABLE},
    value::{
        decimal::Decimal,
        iso, kind, tag,
        text::{self, float, integer},
    },
};

/// Whether a class holds no others and has a form.
pub(super) fn is_known(name: &str) -> bool {
    text::is_read(name) || matches!(name, "str" | "bytes" | "complex" | "File" | "Folder")
}

/// A member of an `IntEnum` or `StrEnum` as the number or text that it is; anything else as it is.
pub(super) fn plain(value: &Value, classes: &Classes) -> Value {
    let Some(("enum", Value::String(member))) = tag(value) else { return value.clone() };
    let name = value.get("t").and_then(Value::as_str).unwrap_or_default();
    let class = classes.values().find(|class| class.name == name);
    let class = class.filter(|class| class.bases.iter().any(|base| matches!(base.as_str(), "int" | "str" | "float")));
    class.and_then(|class| class.member(member)).map_or_else(|| value.clone(), |member| member.value.clone())
}

/// By the table; `None` where it has no row, or where the value does not convert.
pub(super) fn convert(value: &Value, to: &str, strict: bool) -> Option<Value> {
    // What is a number to Python is one to the table: `bool` is an `int`, `datetime` a `date`.
    let classes: &[&str] = match kind(value) {
        "bool" => &["bool", "int"],
        "datetime" => &["datetime", "date"],
        kind => &[kind],
    };
    let is_it = |row: &&Row, class: &str| row.to == to && row.from.contains(&class) && (strict || !row.may_fail);
    let row = classes.iter().find_map(|class| TABLE.iter().find(|row| is_it(row, class)))?;
    let decimal = |read: Decimal| json!({"$": "decimal", "v": read.to_string()});
    match (value, tag(value), row.to) {
        (Value::Bool(value), _, "Decimal") => Some(decimal(Decimal::read(if *value { "1" } else { "0" })?)),
        (Value::Number(number), _, "Decimal") => match number.as_f64().filter(|_| number.is_f64()) {
            Some(value) => Decimal::shortest(value).map(decimal),
            None => Decimal::read(&number.to_string()).map(decimal),
        },
        (_, Some(("int", Value::String(digits))), "Decimal") => Decimal::read(digits).map(decimal),
        (Value::Number(number), _, "bool") => match number.as_f64() {
            Some(0.0) => Some(json!(false)),
            Some(1.0) => Some(json!(true)),
            _ => None,
        },
        (Value::Number(number), _, "int") => integer(&Decimal::exact(number.as_f64()?)?.whole()?),
        (_, Some(("decimal", Value::String(digits))), "int") => integer(&Decimal::read(digits)?.whole()?),
        (_, Some(("decimal", Value::String(digits))), "float") => Decimal::read(digits)?.float().map(float),
        (_, Some(("date", Value::String(day))), "datetime") => {
            Some(json!({"$": "datetime", "v": format!("{}T00:00:00", iso::date(day)?)}))
        }
        (_, Some(("date", Value::String(day))), "str") => Some(json!(iso::date(day)?.to_string())),
        // Only where a `date` is declared, and its text is asked for, does nothing else of it count.
        (_, Some(("datetime" | "time", _)), "str") if row.may_fail && has_more(value) => None,
        (_, Some(("datetime", Value::String(read))), "str") => {
            iso::datetime(read).map(|(day, time)| json!(format!("{day}T{time}")))
        }
        (_, Some(("time", Value::String(read))), "str") => Some(json!(iso::time(read)?.to_string())),
        (_, Some(("decimal", Value::String(digits))), "str") => {
            // `NaN` and `Infinity` are no digits.
            Some(json!(Decimal::read(digits).map_or_else(|| digits.clone(), |read| read.to_string())))
        }
        (_, Some(("uuid", Value::String(read))), "str") => Some(json!(read.to_ascii_lowercase())),
        (_, Some(("path", Value::String(path))), "str") => Some(json!(text::path(path))),
        (Value::String(given), None, to) => text::read(given, to),
        _ => None,
    }
}

/// Whether a time has more than ISO 8601 tells of it: a zone by its name, the second of two equal times.
fn has_more(value: &Value) -> bool {
    ["zone", "fold"].iter().any(|key| value.get(key).is_some())
}
