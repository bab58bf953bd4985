//! Durations as people write them: `90s`, `1h30m`, `00:05:00`, `P1DT2H`, or seconds.

use serde_json::{Value, json};

const SECOND: f64 = 1e6;
/// Microseconds of each unit, as a suffix.
const UNITS: [(&str, f64); 7] = [
    ("ms", 1e3),
    ("us", 1.0),
    ("w", 604_800.0 * SECOND),
    ("d", 86_400.0 * SECOND),
    ("h", 3_600.0 * SECOND),
    ("m", 60.0 * SECOND),
    ("s", SECOND),
];
/// Python's own bound, in days.
const DAYS: i128 = 999_999_999;

/// A `timedelta` in the tagged form.
pub(super) fn timedelta(text: &str) -> Option<Value> {
    let text = text.trim();
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let micros = seconds(text).or_else(|| clock(text)).or_else(|| iso(text)).or_else(|| suffixed(text))?;
    let micros = if negative { -micros } else { micros }.round() as i128;
    let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    (days.abs() <= DAYS)
        .then(|| json!({"$": "timedelta", "v": [days as i64, (rest / 1_000_000) as i64, (rest % 1_000_000) as i64]}))
}

fn number(text: &str) -> Option<f64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if plain { text.parse().ok() } else { None }
}

fn seconds(text: &str) -> Option<f64> {
    Some(number(text)? * SECOND)
}

/// `[HH:]MM:SS[.f]`
fn clock(text: &str) -> Option<f64> {
    let parts: Vec<f64> = text.split(':').map(number).collect::<Option<_>>()?;
    match parts[..] {
        [minutes, seconds] => Some((minutes * 60.0 + seconds) * SECOND),
        [hours, minutes, seconds] => Some((hours * 3600.0 + minutes * 60.0 + seconds) * SECOND),
        _ => None,
    }
}

/// `P[nW][nD][T[nH][nM][nS]]` of ISO 8601.
fn iso(text: &str) -> Option<f64> {
    let text = text.strip_prefix('P')?;
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    if date.is_empty() && time.is_empty() {
        return None;
    }
    Some(units(date, &["W", "D"])? + units(time, &["H", "M", "S"])?)
}

fn suffixed(text: &str) -> Option<f64> {
    if text.is_empty() { None } else { units(text, &["w", "d", "h", "ms", "us", "m", "s"]) }
}

/// Numbers, each with one of the units; nothing is no time.
fn units(mut text: &str, known: &[&str]) -> Option<f64> {
    let mut total = 0.0;
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (amount, rest) = text.split_at(digits);
        let unit = known.iter().filter(|unit| rest.starts_with(**unit)).max_by_key(|unit| unit.len())?;
        let (_, micros) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
        total += number(amount)? * micros;
        text = &rest[unit.len()..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, days, seconds, micros) in [
            ("90", 0, 90, 0),
            ("1.5", 0, 1, 500_000),
            ("90s", 0, 90, 0),
            ("1h30m", 0, 5400, 0),
            ("250ms", 0, 0, 250_000),
            ("00:05:00", 0, 300, 0),
            ("P1DT2H", 1, 7200, 0),
            ("PT0.5S", 0, 0, 500_000),
            ("-1d", -1, 0, 0),
        ] {
            assert_eq!(timedelta(text), Some(json!({"$": "timedelta", "v": [days, seconds, micros]})), "{text}");
        }
        for text in ["", "P", "soon", "1x", "1:2:3:4", "9999999999d"] {
            assert_eq!(timedelta(text), None, "{text}");
        }
    }
}
