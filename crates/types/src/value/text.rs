//! Texts as values of the classes that they name: what the command line gives, and what a conversion reads. In one form for each value.

use serde_json::{Value, json};

use super::{decimal::Decimal, iso};

/// The largest integer that every reader of JSON holds exactly.
pub(super) const EXACT: i64 = 1 << 53;

/// Digits of an integer: as many as 2²⁰ bits have, which is what a value may have.
const DIGITS: usize = 315_652;

/// Whether texts of a class are read here.
pub(super) fn is_read(class: &str) -> bool {
    matches!(class, "bool" | "int" | "float" | "Decimal" | "date" | "datetime" | "time" | "timedelta" | "UUID" | "Path")
}

/// A value of a class that holds no others, by its text; `None` where the text is none of it.
pub(super) fn read(text: &str, class: &str) -> Option<Value> {
    let trimmed = text.trim();
    let tagged = |text: String| Some(json!({"$": class.to_ascii_lowercase(), "v": text}));
    match class {
        "bool" => boolean(trimmed).map(Value::from),
        "int" => integer(trimmed),
        "float" => read_float(trimmed).map(float),
        "Decimal" => tagged(Decimal::read(trimmed)?.to_string()),
        "date" => tagged(iso::date(trimmed)?.to_string()),
        "datetime" => iso::datetime(trimmed).and_then(|(date, time)| tagged(format!("{date}T{time}"))),
        "time" => tagged(iso::time(trimmed)?.to_string()),
        "timedelta" => timedelta(trimmed),
        "UUID" => tagged(uuid(trimmed)?),
        // What a path begins and ends with is its own.
        "Path" if !text.is_empty() && !text.contains('\0') => tagged(path(text)),
        _ => None,
    }
}

/// Bytes in base64.
pub(super) fn bytes(text: &str) -> Option<Value> {
    let text = text.trim();
    is_base64(text).then(|| json!({"$": "bytes", "v": text}))
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
        _ => None,
    }
}

/// An integer by its digits, of any size.
pub(super) fn integer(text: &str) -> Option<Value> {
    match text.parse::<i64>() {
        Ok(value) if (-EXACT..=EXACT).contains(&value) => Some(json!(value)),
        _ => {
            let (sign, digits) = match text.strip_prefix('-') {
                Some(digits) => ("-", digits),
                None => ("", text.strip_prefix('+').unwrap_or(text)),
            };
            let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let digits = digits.trim_start_matches('0');
            // Small ones are read above, but for zeros without end.
            let digits = if digits.is_empty() { "0" } else { digits };
            (all && digits.len() <= DIGITS).then(|| match format!("{sign}{digits}").parse::<i64>() {
                Ok(value) if (-EXACT..=EXACT).contains(&value) => json!(value),
                _ => json!({"$": "int", "v": format!("{sign}{digits}")}),
            })
        }
    }
}

pub(super) fn float(value: f64) -> Value {
    if value.is_finite() {
        return json!(value);
    }
    let text = if value.is_nan() {
        "nan"
    } else if value > 0.0 {
        "inf"
    } else {
        "-inf"
    };
    json!({"$": "float", "v": text})
}

/// The float that a text names; nothing where it is too large for one, or so small that nothing would be left.
pub(super) fn read_float(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let vanished = value == 0.0 && mantissa.bytes().any(|b| matches!(b, b'1'..=b'9'));
    let overflown = value.is_infinite() && text.bytes().any(|b| b.is_ascii_digit());
    (!vanished && !overflown).then_some(value)
}

/// What `qflow_model::duration` reads but for two numbers with a `:`, which are hours and minutes to some, minutes and seconds to
/// others; and as Python's `str()` writes it, `3 days, 0:05:00`, `-1 day, 23:59:59`.
fn timedelta(text: &str) -> Option<Value> {
    let text = text.strip_prefix('+').filter(|rest| !rest.starts_with('-')).unwrap_or(text);
    let (days, rest) = text
        .split_once(" day")
        .map_or((None, text), |(days, rest)| (Some(days), rest.strip_prefix('s').unwrap_or(rest)));
    let clock = rest.trim_start_matches([',', ' ']);
    let read = |text: &str| qflow_model::duration::micros(text).filter(|_| text.split(':').count() != 2);
    let is_number = |days: &str| days.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-'));
    // Of a negative one the clock is none, as Python has it, where that is just how it is written: else it would be a guess.
    let is_sure =
        |days: &str| !days.contains('-') || (rest.starts_with(", ") && is_clock(clock) && !days.contains('.'));
    let micros = match days {
        None => read(text)?,
        Some(days) if !is_number(days) => return None,
        Some(days) if rest.is_empty() => read(&format!("{days}d"))?,
        Some(days) if rest.starts_with([',', ' ']) && clock.contains(':') && !clock.contains('-') && is_sure(days) => {
            read(&format!("{days}d"))? + read(clock)?
        }
        Some(_) => return None,
    };
    let micros = Some(micros).filter(|micros| micros.div_euclid(86_400_000_000).abs() <= 999_999_999)?;
    let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    Some(json!({"$": "timedelta", "v": [days as i64, (rest / 1_000_000) as i64, (rest % 1_000_000) as i64]}))
}

/// `23:59:59`, `0:05:00.500000`: hours, minutes and seconds of a day.
fn is_clock(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let [hours, minutes, seconds] = parts.as_slice() else { return false };
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let below = |text: &str, bound: u32| text.parse::<u32>().is_ok_and(|part| part < bound);
    let all = [*hours, minutes, seconds, fraction].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    all && below(hours, 24) && below(minutes, 60) && below(seconds, 60)
}

/// 32 hexadecimal digits, with `-` where Python writes them or without, in braces, or after `urn:uuid:`.
fn uuid(text: &str) -> Option<String> {
    let bare = text.strip_prefix("urn:uuid:").unwrap_or(text);
    let bare = bare.strip_prefix('{').map_or(Some(bare), |inner| inner.strip_suffix('}'))?;
    let hyphens = [8, 13, 18, 23];
    let digits: String = match bare.len() {
        32 => bare.to_owned(),
        36 if hyphens.iter().all(|at| bare.as_bytes()[*at] == b'-') => {
            bare.char_indices().filter(|(at, _)| !hyphens.contains(at)).map(|(_, c)| c).collect()
        }
        _ => return None,
    };
    let all = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let digits = digits.to_ascii_lowercase();
    all.then(|| [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
}

/// A path as `pathlib` has it: no `.`, no `/` twice or at its end.
pub(super) fn path(text: &str) -> String {
    let root = match text.len() - text.trim_start_matches('/').len() {
        0 => "",
        // POSIX leaves two to the system.
        2 => "//",
        _ => "/",
    };
    let parts: Vec<_> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let path = format!("{root}{}", parts.join("/"));
    if path.is_empty() { ".".to_owned() } else { path }
}

/// Groups of four characters, the last filled up by `=`.
fn is_base64(text: &str) -> bool {
    let filled = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    text.len().is_multiple_of(4) && filled.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_one_form() {
        let id = "01234567-89ab-cdef-0123-456789abcdef";
        for (texts, class, value) in [
            (&["7", "+7", " 007 "][..], "int", json!(7)),
            (&["9007199254740993", "0009007199254740993"], "int", json!({"$": "int", "v": "9007199254740993"})),
            (&["00000000000000000000000000000005"], "int", json!(5)),
            (&["-000000000000000000000000000000"], "int", json!(0)),
            (&["1e3", "1E+3"], "Decimal", json!({"$": "decimal", "v": "1E+3"})),
            (
                &["2026-11-24T08:30Z", "20261124T083000+00"],
                "datetime",
                json!({"$": "datetime", "v": "2026-11-24T08:30:00+00:00"}),
            ),
            (&["a/b", "a//b/", "./a/./b"], "Path", json!({"$": "path", "v": "a/b"})),
            (&["//a"], "Path", json!({"$": "path", "v": "//a"})),
            (&["///a"], "Path", json!({"$": "path", "v": "/a"})),
            (&["./"], "Path", json!({"$": "path", "v": "."})),
            (
                &[
                    id,
                    "0123456789ABCDEF0123456789abcdef",
                    "{01234567-89ab-cdef-0123-456789abcdef}",
                    &format!("urn:uuid:{id}"),
                ],
                "UUID",
                json!({"$": "uuid", "v": id}),
            ),
        ] {
            for text in texts {
                assert_eq!(read(text, class), Some(value.clone()), "{text} as {class}");
            }
        }
        for (text, class) in [
            ("é1234567-89ab-cdef-0123-456789abcde", "UUID"),
            ("{0123", "UUID"),
            ("a\0b", "Path"),
            ("", "Path"),
            ("x", "str"),
        ] {
            assert_eq!(read(text, class), None, "{text} as {class}");
        }
        assert_eq!(integer(&"9".repeat(DIGITS + 1)), None);
    }
}
