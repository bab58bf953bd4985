//! Durations as people write them: `90s`, `1h30m`, `00:05:00`, `P1DT2H`, or seconds. To the microsecond, and never rounded.

/// Microseconds of a second.
const SECOND: i128 = 1_000_000;
/// Microseconds of a day.
const DAY: i128 = 86_400 * SECOND;
/// Microseconds of each unit, as a suffix.
const UNITS: [(&str, i128); 7] =
    [("ms", 1000), ("us", 1), ("w", 7 * DAY), ("d", DAY), ("h", 3600 * SECOND), ("m", 60 * SECOND), ("s", SECOND)];
/// Python's own bound, in days.
const DAYS: i128 = 999_999_999;
/// Digits of a number: more are no duration.
const DIGITS: usize = 20;

/// Microseconds of a duration, negative ones too; nothing where the text is none, parts of a microsecond, or past Python's own bound.
pub fn micros(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let micros = seconds(text).or_else(|| clock(text)).or_else(|| iso(text)).or_else(|| suffixed(text))?;
    let micros = if negative { -micros } else { micros };
    (micros.div_euclid(DAY).abs() <= DAYS).then_some(micros)
}

/// So many of a unit, in whole microseconds.
fn number(text: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}");
    let plain = (1..=DIGITS).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let parts = plain.then(|| digits.parse::<i128>().ok())?? * unit;
    let to_one = 10_i128.pow(fraction.len() as u32);
    (parts % to_one == 0).then_some(parts / to_one)
}

fn seconds(text: &str) -> Option<i128> {
    number(text, SECOND)
}

/// `[HH:]MM:SS[.f]`
fn clock(text: &str) -> Option<i128> {
    let parts: Vec<&str> = text.split(':').collect();
    let units: &[i128] = match parts.len() {
        2 => &[60 * SECOND, SECOND],
        3 => &[3600 * SECOND, 60 * SECOND, SECOND],
        _ => return None,
    };
    parts.iter().zip(units).map(|(part, unit)| number(part, *unit)).sum()
}

/// `P[nW][nD][T[nH][nM][nS]]` of ISO 8601.
fn iso(text: &str) -> Option<i128> {
    let text = text.strip_prefix('P')?;
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    if date.is_empty() && time.is_empty() {
        return None;
    }
    Some(units(date, &["W", "D"])? + units(time, &["H", "M", "S"])?)
}

fn suffixed(text: &str) -> Option<i128> {
    if text.is_empty() { None } else { units(text, &["w", "d", "h", "ms", "us", "m", "s"]) }
}

/// Numbers, each with one of the units; nothing is no time.
fn units(mut text: &str, known: &[&str]) -> Option<i128> {
    let mut total = 0;
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (amount, rest) = text.split_at(digits);
        let unit = known.iter().filter(|unit| rest.starts_with(**unit)).max_by_key(|unit| unit.len())?;
        let (_, micros) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
        total += number(amount, *micros)?;
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
            ("0.1000000000", 100_000),
        ] {
            assert_eq!(micros(text), Some(expected), "{text}");
        }
        for text in
            ["", "P", "soon", "1x", "1:2:3:4", "9999999999d", "0.1234567", "0.5us", "1.2.3", ".", "١s", &"9".repeat(40)]
        {
            assert_eq!(micros(text), None, "{text}");
        }
    }
}
