//! Values of the standard library that a constructor makes: dates, durations, decimals, UUIDs, paths.

use qflow_model::class::Classes;
use serde_json::{Value, json};

/// The parameters of a constructor that takes as many values as are written, none by name.
pub(super) const AS_MANY: &[&str] = &[];

/// The parameters of a constructor that is as good as a literal, by its dotted name.
pub(super) fn parameters(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "datetime.date" => &["year", "month", "day"],
        "datetime.datetime" => &["year", "month", "day", "hour", "minute", "second", "microsecond"],
        "datetime.timedelta" => &["days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks"],
        "decimal.Decimal" => &["value"],
        "uuid.UUID" => &["hex"],
        "pathlib.Path" => AS_MANY,
        _ => return None,
    })
}

/// The value of a constructor with these arguments; else what is wrong with them.
pub(super) fn value(name: &str, given: &[Option<Value>]) -> Result<Value, &'static str> {
    let text = |class: &str| {
        let text = given[0].as_ref().and_then(Value::as_str)?;
        qflow_types::value::from_text(text, &qflow_types::Ty::class(class), &Classes::new()).ok()
    };
    match name {
        "datetime.timedelta" => timedelta(given).ok_or("this is no duration"),
        "datetime.date" | "datetime.datetime" => instant(name, given).ok_or("this is no date"),
        "decimal.Decimal" => match &given[0] {
            Some(Value::Number(whole)) if whole.is_i64() => Ok(json!({"$": "decimal", "v": whole.to_string()})),
            None => Ok(json!({"$": "decimal", "v": "0"})),
            Some(Value::String(_)) => text("Decimal").ok_or("this is no decimal"),
            Some(_) => Err("a decimal is written as a text: Decimal(\"1.50\")"),
        },
        "uuid.UUID" => text("UUID").ok_or("this is no UUID"),
        _ => path(given).ok_or("this is no path"),
    }
}

/// Whether Python makes no value of these arguments either: what is refused here it may still take, as `Decimal(1.5)`.
pub(super) fn is_impossible(name: &str, given: &[Option<Value>]) -> bool {
    let given_plain = || given.iter().flatten();
    match name {
        // A truth is a whole number to Python.
        "datetime.timedelta" | "datetime.date" | "datetime.datetime" => !given_plain().any(Value::is_boolean),
        "decimal.Decimal" => given[0].as_ref().and_then(Value::as_str).is_some_and(|text| {
            let text = text.trim();
            let named = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
            let is_named = ["inf", "nan", "snan"].iter().any(|name| named.starts_with(name));
            let numeric = |c: char| c.is_ascii_digit() || "+-._eE".contains(c);
            text.is_ascii() && !is_named && !(text.contains(|c: char| c.is_ascii_digit()) && text.chars().all(numeric))
        }),
        // Written with hyphens, in braces or as a URN: 32 digits are left.
        "uuid.UUID" => match &given[0] {
            Some(Value::String(text)) => {
                let digits = text.replace("urn:", "").replace("uuid:", "");
                let digits = digits.trim_matches(['{', '}']).replace('-', "");
                digits.chars().count() != 32
                    || digits.chars().any(|c| c.is_ascii() && !c.is_ascii_hexdigit() && !" _+".contains(c))
            }
            _ => true,
        },
        _ => given_plain().any(|part| !part.is_string() && !part.is_object()),
    }
}

/// A path of these parts, as `pathlib` joins them: one that begins at the root begins anew.
fn path(given: &[Option<Value>]) -> Option<Value> {
    let mut joined = String::new();
    for part in given {
        let part = part.as_ref()?;
        let part = part.as_str().or_else(|| part["v"].as_str().filter(|_| part["$"] == "path"))?;
        if part.starts_with('/') {
            joined.clear();
        } else if !joined.is_empty() && !joined.ends_with('/') && !part.is_empty() {
            joined.push('/');
        }
        joined.push_str(part);
    }
    let joined = if joined.is_empty() { "." } else { &joined };
    qflow_types::value::from_text(joined, &qflow_types::Ty::class("Path"), &Classes::new()).ok()
}

fn instant(name: &str, given: &[Option<Value>]) -> Option<Value> {
    let part = |at: usize| match given.get(at).and_then(Option::as_ref) {
        None => Some(0),
        Some(value) => value.as_i64().filter(|n| (0..=999_999).contains(n)),
    };
    let date = format!("{:04}-{:02}-{:02}", part(0)?, part(1)?, part(2)?);
    let date = qflow_types::value::from_text(&date, &qflow_types::Ty::class("date"), &Classes::new()).ok()?["v"]
        .as_str()?
        .to_owned();
    if name == "datetime.date" {
        return Some(json!({"$": "date", "v": date}));
    }
    let (hour, minute, second, micro) = (part(3)?, part(4)?, part(5)?, part(6)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = if micro > 0 { format!(".{micro:06}") } else { String::new() };
    Some(json!({"$": "datetime", "v": format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}")}))
}

fn timedelta(given: &[Option<Value>]) -> Option<Value> {
    const MICROS: [f64; 7] = [86_400e6, 1e6, 1.0, 1e3, 60e6, 3_600e6, 604_800e6];
    /// Python's own bound, in days.
    const DAYS: i64 = 999_999_999;
    let mut total = 0.0;
    for (value, factor) in given.iter().zip(MICROS) {
        total += value.as_ref().map_or(Some(0.0), Value::as_f64)? * factor;
    }
    let micros = total.round() as i128;
    let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let days = i64::try_from(days).ok().filter(|d| d.abs() <= DAYS)?;
    Some(json!({"$": "timedelta", "v": [days, rest as i64 / 1_000_000, rest as i64 % 1_000_000]}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str, given: &[Value]) -> Result<Value, &'static str> {
        let mut all: Vec<_> = given.iter().cloned().map(Some).collect();
        all.resize(parameters(name).unwrap().len().max(given.len()), None);
        value(name, &all)
    }

    #[test]
    fn values_are_made_in_the_tagged_form() {
        for (name, given, expected) in [
            ("datetime.date", vec![json!(2024), json!(2), json!(29)], json!({"$": "date", "v": "2024-02-29"})),
            (
                "datetime.datetime",
                vec![json!(2026), json!(1), json!(2), json!(3), json!(4), json!(5), json!(60)],
                json!({"$": "datetime", "v": "2026-01-02T03:04:05.000060"}),
            ),
            ("datetime.timedelta", vec![json!(-1), json!(0.5)], json!({"$": "timedelta", "v": [-1, 0, 500_000]})),
            ("decimal.Decimal", vec![json!("1.50")], json!({"$": "decimal", "v": "1.50"})),
            ("pathlib.Path", vec![json!("a/b")], json!({"$": "path", "v": "a/b"})),
            ("pathlib.Path", vec![json!("a"), json!("b/"), json!("c")], json!({"$": "path", "v": "a/b/c"})),
            ("pathlib.Path", vec![json!("a"), json!("/b")], json!({"$": "path", "v": "/b"})),
            ("pathlib.Path", vec![], json!({"$": "path", "v": "."})),
        ] {
            assert_eq!(made(name, &given), Ok(expected), "{name}");
        }
    }

    #[test]
    fn what_python_would_not_make_either_is_told() {
        for (name, given) in [
            ("datetime.date", vec![json!(2026), json!(2), json!(29)]),
            ("datetime.date", vec![json!(2026)]),
            ("datetime.datetime", vec![json!(2026), json!(1), json!(1), json!(24)]),
            ("datetime.timedelta", vec![json!(1e300)]),
            ("decimal.Decimal", vec![json!(1.5)]),
            ("uuid.UUID", vec![json!("x")]),
            ("pathlib.Path", vec![json!("a"), json!(1)]),
        ] {
            assert!(made(name, &given).is_err(), "{name} {given:?}");
        }
    }

    #[test]
    fn what_python_makes_all_the_same_is_told_from_what_it_does_not() {
        let impossible = |name: &str, given: &[Value]| {
            let mut all: Vec<_> = given.iter().cloned().map(Some).collect();
            all.resize(parameters(name).unwrap().len().max(given.len()), None);
            value(name, &all).is_err() && is_impossible(name, &all)
        };
        for (name, given, expected) in [
            ("datetime.date", json!([2026, 13, 1]), true),
            ("datetime.date", json!(["a"]), true),
            ("datetime.date", json!([2026, 1, true]), false),
            ("datetime.timedelta", json!(["a"]), true),
            ("datetime.timedelta", json!([1e300]), true),
            ("datetime.timedelta", json!([true]), false),
            ("decimal.Decimal", json!(["x"]), true),
            ("decimal.Decimal", json!([""]), true),
            ("decimal.Decimal", json!(["1,5"]), true),
            ("decimal.Decimal", json!(["1_000.5"]), false),
            ("decimal.Decimal", json!(["-sNaN7"]), false),
            ("decimal.Decimal", json!(["Infinity"]), false),
            ("decimal.Decimal", json!(["\u{661}"]), false),
            ("decimal.Decimal", json!([1.5]), false),
            ("uuid.UUID", json!(["x"]), true),
            ("uuid.UUID", json!([5]), true),
            ("uuid.UUID", json!(["{urn:uuid:12345678-1234-5678-1234-567812345678}"]), false),
            ("pathlib.Path", json!(["a", 1]), true),
            ("pathlib.Path", json!(["a", "b"]), false),
        ] {
            assert_eq!(impossible(name, given.as_array().unwrap()), expected, "{name} {given}");
        }
    }
}
