//! Whether what is tagged is in its form: a date is a date, an integer has digits.

use serde_json::Value;

use crate::value::{ValueError, decimal::Decimal, iso, python_key};

/// Characters of a form in an error.
const FORM_CHARS: usize = 100;

/// The class of a tag that stands for a scalar; none of another tag.
pub(super) fn class(tag: &str) -> Option<&'static str> {
    Some(match tag {
        "int" => "int",
        "float" => "float",
        "complex" => "complex",
        "decimal" => "Decimal",
        "date" => "date",
        "datetime" => "datetime",
        "time" => "time",
        "timedelta" => "timedelta",
        "uuid" => "UUID",
        "path" => "Path",
        "bytes" => "bytes",
        "str" => "str",
        _ => return None,
    })
}

/// The class of an attachment's kind.
pub(super) fn attached(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "bytes" => "bytes",
        "arrow" => "DataFrame",
        "npy" => "ndarray",
        "file" => "File",
        "folder" => "Folder",
        "pickle" => "Pickle",
        _ => return None,
    })
}

/// Whether what stands under a tag is in its form.
pub(super) fn is_good(tag: &str, value: &Value) -> bool {
    match (tag, value) {
        (_, Value::String(text)) => is_good_text(tag, text),
        ("complex", Value::Array(parts)) => {
            parts.len() == 2 && parts.iter().all(|part| part.as_str().is_some_and(|text| text.parse::<f64>().is_ok()))
        }
        // `datetime.timedelta(*parts)`: whole numbers, in Python's own bounds.
        ("timedelta", Value::Array(parts)) => {
            match parts.iter().map(Value::as_i64).collect::<Option<Vec<_>>>().as_deref() {
                Some([days, seconds, micros]) => {
                    days.abs() <= 999_999_999 && (0..86_400).contains(seconds) && (0..1_000_000).contains(micros)
                }
                _ => false,
            }
        }
        _ => false,
    }
}

/// Whether all of a value is in its form.
pub(super) fn formed(value: &Value) -> Result<(), ValueError> {
    let below = |(at, part): (usize, &Value)| formed(part).map_err(|error| error.below(&format!("[{at}]")));
    let each = |parts: &[Value]| parts.iter().enumerate().try_for_each(below);
    let fields = |fields: &serde_json::Map<String, Value>| {
        let mut fields = fields.iter();
        fields
            .try_for_each(|(key, part)| formed(part).map_err(|error| error.below(&format!("[{:?}]", python_key(key)))))
    };
    let Some(tag) = value.get("$") else {
        return match value {
            Value::Array(items) => each(items),
            Value::Object(object) => fields(object),
            _ => Ok(()),
        };
    };
    let inner = value.get("v").unwrap_or(&Value::Null);
    let text = |key: &str| value.get(key).is_some_and(Value::is_string);
    let is_good = match (tag.as_str().unwrap_or_default(), inner) {
        ("tuple" | "set" | "frozenset", Value::Array(items)) => return each(items),
        ("map", Value::Array(pairs))
            if pairs.iter().all(|pair| pair.as_array().is_some_and(|pair| pair.len() == 2)) =>
        {
            return pairs.iter().flat_map(|pair| [&pair[0], &pair[1]]).try_for_each(formed);
        }
        ("object", Value::Object(object)) if text("t") => return fields(object),
        ("outcome", Value::Object(object)) => return fields(object),
        ("enum", Value::String(_)) => text("t"),
        ("attachment", _) => {
            let kind = value.get("k").and_then(Value::as_str).and_then(attached);
            kind.is_some() && value.get("i").is_some_and(Value::is_u64)
        }
        (tag, inner) => class(tag).is_some() && is_good(tag, inner),
    };
    if is_good { Ok(()) } else { Err(ValueError::new(format!("a form that is none: {}", shown_form(value)))) }
}

/// The beginning of a form, for an error.
fn shown_form(value: &Value) -> String {
    let text = value.to_string();
    text.char_indices().nth(FORM_CHARS).map_or_else(|| text.clone(), |(end, _)| format!("{}…", &text[..end]))
}

/// Whether a pickle is among what a value holds.
pub(super) fn is_pickled(value: &Value) -> bool {
    match value {
        Value::Array(parts) => parts.iter().any(is_pickled),
        Value::Object(object) => {
            let is = |key: &str, text: &str| object.get(key).and_then(Value::as_str) == Some(text);
            (is("$", "attachment") && is("k", "pickle")) || object.values().any(is_pickled)
        }
        _ => false,
    }
}

/// The same of a text.
pub(super) fn is_good_text(tag: &str, text: &str) -> bool {
    match tag {
        "int" => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
        }
        "float" => matches!(text, "nan" | "inf" | "-inf"),
        "decimal" => is_word(text.strip_prefix('-').unwrap_or(text)) || Decimal::read(text).is_some(),
        "date" => iso::date(text).is_some(),
        "datetime" => iso::datetime(text).is_some(),
        "time" => iso::time(text).is_some(),
        "uuid" => {
            let hyphen = |at: usize| matches!(at, 8 | 13 | 18 | 23);
            text.len() == 36
                && text.bytes().enumerate().all(|(at, b)| if hyphen(at) { b == b'-' } else { b.is_ascii_hexdigit() })
        }
        "path" => !text.is_empty() && !text.contains('\0'),
        "bytes" | "str" => crate::value::text::bytes(text).is_some() && text.trim() == text,
        _ => false,
    }
}

/// What a Decimal is besides a number: a quiet or a loud `NaN`, which may carry digits.
fn is_word(text: &str) -> bool {
    let nan = text.strip_prefix("NaN").or_else(|| text.strip_prefix("sNaN"));
    text == "Infinity" || nan.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_python_cannot_read_is_in_no_form() {
        for (tag, good, bad) in [
            ("int", json!(["-5", "123456789012345678901"]), json!(["", "-", "1.0", "+5", "0x1", 5])),
            ("float", json!(["nan", "inf", "-inf"]), json!(["-nan", "1.0", "Infinity", 1.0])),
            (
                "decimal",
                json!(["1.50", "-0", "1E+3", "NaN", "-sNaN12", "-Infinity"]),
                json!(["", "one", "inf", "1_0", "--1", 1]),
            ),
            ("date", json!(["2024-02-29"]), json!(["2026-02-29", "2026-11-24T00:00", "soon", 1])),
            ("datetime", json!(["2026-11-24T09:30:00+01:00"]), json!(["2026-11-24T25:00", "now"])),
            ("time", json!(["09:30:00.000001"]), json!(["9:30", "24:00"])),
            (
                "timedelta",
                json!([[0, 0, 0], [-1, 86_399, 999_999]]),
                json!([[0, 0], [0, 86_400, 0], [1.5, 0, 0], "1d", [1_000_000_000, 0, 0]]),
            ),
            ("uuid", json!(["01234567-89ab-cdef-0123-456789abcdef"]), json!(["0123456789abcdef0123456789abcdef", "x"])),
            ("path", json!(["a/b"]), json!(["", "a\0b"])),
            ("bytes", json!(["", "aGk="]), json!(["aGk", "a b=", " aGk="])),
            ("complex", json!([["1.0", "nan"]]), json!([["1.0"], [1.0, 2.0], "1j"])),
            ("nothing", json!([]), json!(["x"])),
        ] {
            for good in good.as_array().unwrap() {
                assert!(is_good(tag, good), "{tag} {good}");
            }
            for bad in bad.as_array().unwrap() {
                assert!(!is_good(tag, bad), "{tag} {bad}");
            }
        }
    }
}
