//! A value as Python's `repr` shows it, cut to what a line holds: what errors say of it.

use std::fmt::{self, Write};

use serde_json::Value;

use super::{iso, python_key, tag};

/// Characters of a value in an error.
const SHOWN_CHARS: usize = 60;

/// As `repr(value)`; of what is longer the beginning.
pub fn shown(value: &Value) -> String {
    let mut cut = Cut { text: String::new(), left: SHOWN_CHARS + 1 };
    // It ends where there is no room, and that is no error of ours.
    let whole = write(&mut cut, value).is_ok();
    if whole && cut.left > 0 {
        return cut.text;
    }
    cut.text.chars().take(SHOWN_CHARS - 1).chain(['…']).collect()
}

/// A text that takes so many characters and no more: a long value is not written out.
struct Cut {
    text: String,
    left: usize,
}

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(c);
        }
        Ok(())
    }
}

fn write(to: &mut Cut, value: &Value) -> fmt::Result {
    let Some((tag, inner)) = tag(value) else {
        return match value {
            Value::Null => to.write_str("None"),
            Value::Bool(value) => to.write_str(if *value { "True" } else { "False" }),
            Value::Number(value) if value.is_f64() => float(to, value.as_f64().unwrap_or(f64::NAN)),
            Value::Number(value) => write!(to, "{value}"),
            Value::String(value) => text(to, value),
            Value::Array(items) => between(to, "[", items, "]"),
            Value::Object(fields) => mapping(to, fields),
        };
    };
    match (tag, inner) {
        ("int" | "float", Value::String(digits)) => to.write_str(digits),
        ("complex", Value::Array(parts)) => complex(to, parts),
        ("decimal", Value::String(digits)) => write!(to, "Decimal('{digits}')"),
        ("uuid", Value::String(read)) => write!(to, "UUID('{read}')"),
        ("path", Value::String(path)) => {
            to.write_str("PosixPath(")?;
            text(to, path)?;
            to.write_str(")")
        }
        ("date" | "datetime" | "time", Value::String(read)) => time(to, tag, read, value),
        ("timedelta", Value::Array(parts)) => timedelta(to, parts),
        ("bytes", Value::String(coded)) => write!(to, "bytes {coded}"),
        ("tuple", Value::Array(items)) => between(to, "(", items, if items.len() == 1 { ",)" } else { ")" }),
        ("set", Value::Array(items)) if items.is_empty() => to.write_str("set()"),
        ("set", Value::Array(items)) => between(to, "{", items, "}"),
        ("frozenset", Value::Array(items)) if items.is_empty() => to.write_str("frozenset()"),
        ("frozenset", Value::Array(items)) => between(to, "frozenset({", items, "})"),
        ("map", Value::Array(pairs)) => map(to, pairs),
        ("enum", Value::String(member)) => write!(to, "{}.{member}", class(value)),
        ("object", Value::Object(fields)) => object(to, class(value), fields),
        _ => write!(to, "<{}>", super::kind(value)),
    }
}

fn class(value: &Value) -> &str {
    let name = value.get("t").and_then(Value::as_str).unwrap_or("object");
    name.rsplit('.').next().unwrap_or(name)
}

fn between(to: &mut Cut, open: &str, items: &[Value], close: &str) -> fmt::Result {
    to.write_str(open)?;
    for (at, item) in items.iter().enumerate() {
        to.write_str(if at > 0 { ", " } else { "" })?;
        write(to, item)?;
    }
    to.write_str(close)
}

fn mapping(to: &mut Cut, fields: &serde_json::Map<String, Value>) -> fmt::Result {
    to.write_str("{")?;
    for (at, (key, value)) in fields.iter().enumerate() {
        to.write_str(if at > 0 { ", " } else { "" })?;
        text(to, python_key(key))?;
        to.write_str(": ")?;
        write(to, value)?;
    }
    to.write_str("}")
}

fn map(to: &mut Cut, pairs: &[Value]) -> fmt::Result {
    to.write_str("{")?;
    for (at, pair) in pairs.iter().enumerate() {
        to.write_str(if at > 0 { ", " } else { "" })?;
        write(to, pair.get(0).unwrap_or(&Value::Null))?;
        to.write_str(": ")?;
        write(to, pair.get(1).unwrap_or(&Value::Null))?;
    }
    to.write_str("}")
}

fn object(to: &mut Cut, class: &str, fields: &serde_json::Map<String, Value>) -> fmt::Result {
    write!(to, "{class}(")?;
    for (at, (name, value)) in fields.iter().enumerate() {
        write!(to, "{}{}=", if at > 0 { ", " } else { "" }, python_key(name))?;
        write(to, value)?;
    }
    to.write_str(")")
}

/// The shortest digits that read back, with Python's exponents.
fn float(to: &mut Cut, value: f64) -> fmt::Result {
    let text = format!("{value:?}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return to.write_str(&text) };
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    write!(to, "{}e{sign}{digits:0>2}", mantissa.strip_suffix(".0").unwrap_or(mantissa))
}

fn complex(to: &mut Cut, parts: &[Value]) -> fmt::Result {
    let part = |at: usize| parts.get(at).and_then(Value::as_str).unwrap_or("nan");
    let short = |text: &str| text.strip_suffix(".0").unwrap_or(text).to_owned();
    let imaginary = short(part(1));
    if part(0) == "0.0" {
        return write!(to, "{imaginary}j");
    }
    write!(to, "({}{}{imaginary}j)", short(part(0)), if imaginary.starts_with('-') { "" } else { "+" })
}

/// A text in quotes: single ones, unless only those stand in it.
fn text(to: &mut Cut, text: &str) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    to.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\\' => to.write_str("\\\\")?,
            '\n' => to.write_str("\\n")?,
            '\r' => to.write_str("\\r")?,
            '\t' => to.write_str("\\t")?,
            c if c == quote => write!(to, "\\{c}")?,
            c if c.is_control() => write!(to, "\\x{:02x}", c as u32)?,
            c => to.write_char(c)?,
        }
    }
    to.write_char(quote)
}

fn time(to: &mut Cut, class: &str, read: &str, value: &Value) -> fmt::Result {
    let (day, time) = match class {
        "date" => (iso::date(read), None),
        "time" => (None, iso::time(read)),
        _ => iso::datetime(read).map_or((None, None), |(day, time)| (Some(day), Some(time))),
    };
    let mut parts: Vec<String> = Vec::new();
    if let Some(day) = day {
        parts.extend([day.year, day.month, day.day].map(|part| part.to_string()));
    }
    if let Some(time) = time {
        let [hour, minute, second, micros] = time.parts();
        parts.extend([hour, minute].map(|part| part.to_string()));
        if second > 0 || micros > 0 {
            parts.push(second.to_string());
        }
        if micros > 0 {
            parts.push(micros.to_string());
        }
        // How Python would show the zone is nobody's concern.
        if let Some(zone) = value.get("zone").and_then(Value::as_str) {
            return write!(to, "{class} {read} {zone}");
        }
        if time.offset.is_some() {
            return write!(to, "{class} {read}");
        }
        if value.get("fold").is_some() {
            parts.push("fold=1".to_owned());
        }
    }
    if parts.is_empty() { write!(to, "{class} {read}") } else { write!(to, "datetime.{class}({})", parts.join(", ")) }
}

fn timedelta(to: &mut Cut, parts: &[Value]) -> fmt::Result {
    let names = ["days", "seconds", "microseconds"];
    let told = names.iter().zip(parts).filter(|(_, part)| part.as_i64() != Some(0));
    let told: Vec<String> = told.map(|(name, part)| format!("{name}={part}")).collect();
    write!(to, "datetime.timedelta({})", if told.is_empty() { "0".to_owned() } else { told.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_shown_as_python_shows_it() {
        for (value, text) in [
            (json!(null), "None"),
            (json!([true, 1, 1.5, "x"]), "[True, 1, 1.5, 'x']"),
            (json!([1e20, 1e-7, 1.5e300, 1e15]), "[1e+20, 1e-07, 1.5e+300, 1000000000000000.0]"),
            (json!({"a": 1, "$$": "it's"}), "{'a': 1, '$': \"it's\"}"),
            (json!("a\n\u{7}\"'"), "'a\\n\\x07\"\\''"),
            (json!({"$": "tuple", "v": [1]}), "(1,)"),
            (json!({"$": "set", "v": [1, 2]}), "{1, 2}"),
            (json!({"$": "decimal", "v": "2.01"}), "Decimal('2.01')"),
            (json!({"$": "datetime", "v": "2026-11-24T09:30:00"}), "datetime.datetime(2026, 11, 24, 9, 30)"),
            (json!({"$": "time", "v": "00:00:00.000001"}), "datetime.time(0, 0, 0, 1)"),
            (json!({"$": "time", "v": "02:30:00", "fold": 1}), "datetime.time(2, 30, fold=1)"),
            (
                json!({"$": "datetime", "v": "2026-11-24T09:30:00+01:00", "zone": "Europe/Berlin"}),
                "datetime 2026-11-24T09:30:00+01:00 Europe/Berlin",
            ),
            (json!({"$": "timedelta", "v": [-1, 0, 5]}), "datetime.timedelta(days=-1, microseconds=5)"),
            (json!({"$": "map", "v": [[1, "x"]]}), "{1: 'x'}"),
            (json!({"$": "object", "t": "m.Order", "v": {"item": "tea"}}), "Order(item='tea')"),
            (json!({"$": "complex", "v": ["1.0", "-2.5"]}), "(1-2.5j)"),
            (json!("x".repeat(58)), &format!("'{}'", "x".repeat(58))),
            (json!("x".repeat(59)), &format!("'{}…", "x".repeat(58))),
            (json!(vec![1; 100_000]), "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1…"),
        ] {
            assert_eq!(shown(&value), *text, "{value}");
        }
    }
}
