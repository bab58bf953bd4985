//! Durations as people write them: `90s`, `1h30m`, `00:05:00`, `P1DT2H`, or seconds.

const SECOND: f64 = 1e6;
/// Microseconds of a day.
const DAY: i128 = 86_400_000_000;
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

/// Microseconds of a duration, negative ones too; nothing where the text is none, or past Python's own bound.
pub fn micros(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let micros = seconds(text).or_else(|| clock(text)).or_else(|| iso(text)).or_else(|| suffixed(text))?;
    let micros = if negative { -micros } else { micros }.round() as i128;
    (micros.div_euclid(DAY).abs() <= DAYS).then_some(micros)
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
        for (text, expected) in [
            ("90", 90_000_000),
            ("1.5", 1_500_000),
            ("90s", 90_000_000),
            ("1h30m", 5_400_000_000),
            ("250ms", 250_000),
            ("00:05:00", 300_000_000),
            ("P1DT2H", 93_600_000_000),
            ("PT0.5S", 500_000),
            ("-1d", -86_400_000_000),
        ] {
            assert_eq!(micros(text), Some(expected), "{text}");
        }
        for text in ["", "P", "soon", "1x", "1:2:3:4", "9999999999d"] {
            assert_eq!(micros(text), None, "{text}");
        }
    }
}
