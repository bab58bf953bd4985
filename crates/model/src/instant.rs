//! Points of time as ISO 8601 writes them.

use crate::ids::Timestamp;

/// A point of time, and whether its offset from UTC was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant {
    /// When; without an offset as if in UTC.
    pub at: Timestamp,
    /// Whether an offset was written.
    pub has_offset: bool,
}

/// Reads `2026-11-24T09:30`, with seconds, fractions and an offset (`Z`, `+01:00`) where they are written.
pub fn parse(text: &str) -> Option<Instant> {
    let text = text.trim();
    if !text.is_ascii() || text.len() < 16 {
        return None;
    }
    let (date, rest) = text.split_at(10);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (&rest[..at], Some(offset_seconds(&rest[at..])?)),
        None => (rest, None),
    };
    let seconds = days(date)? * 86_400 - offset.unwrap_or(0);
    let at = seconds.checked_mul(1_000_000)?.checked_add(time_micros(time)?)?;
    Some(Instant { at: Timestamp(at), has_offset: offset.is_some() })
}

/// `2026-11-24T09:30:00Z`, to the second.
pub fn text(at: Timestamp) -> String {
    let seconds = at.0.div_euclid(1_000_000);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Days since 1970 of `YYYY-MM-DD`.
fn days(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let most = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if parts.next().is_some() || !(1..=most).contains(&day) {
        return None;
    }
    // Years from March on, so that a leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Year, month and day of a number of days since 1970.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Microseconds into the day of `HH:MM[:SS[.f]]`.
fn time_micros(time: &str) -> Option<i64> {
    let mut parts = time.split(':');
    let (hour, minute) = (number(parts.next()?)?, number(parts.next()?)?);
    let (second, fraction) = match parts.next() {
        None => (0, 0),
        Some(text) => {
            let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
            let shown = &fraction[..fraction.len().min(6)];
            (number(whole)?, number(shown)? * 10_i64.pow(6 - shown.len() as u32))
        }
    };
    let sound = parts.next().is_none() && hour < 24 && minute < 60 && second < 61;
    sound.then_some((hour * 3600 + minute * 60 + second) * 1_000_000 + fraction)
}

fn offset_seconds(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = (if text.starts_with('-') { -1 } else { 1 }, &text[1..]);
    let digits: String = rest.split(':').collect();
    let seconds = match digits.len() {
        2 => number(&digits)? * 3600,
        4 => number(&digits[..2])? * 3600 + number(&digits[2..])? * 60,
        6 => number(&digits[..2])? * 3600 + number(&digits[2..4])? * 60 + number(&digits[4..])?,
        _ => return None,
    };
    (seconds <= 86_400).then_some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_of_time_reads_as_iso_8601_writes_it() {
        for (text, seconds, has_offset) in [
            ("1970-01-01T00:00:00Z", 0.0, true),
            ("2026-11-24T09:30", 1_795_512_600.0, false),
            ("2026-11-24 09:30:01.5+01:00", 1_795_509_001.5, true),
            ("2024-02-29T23:59:59-0530", 1_709_270_999.0, true),
            ("1969-12-31T23:59:59Z", -1.0, true),
        ] {
            let expected = Instant { at: Timestamp((seconds * 1e6) as i64), has_offset };
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "2026-11-24",
            "2026-02-29T00:00Z",
            "2026-13-01T00:00Z",
            "2026-11-24T24:00Z",
            "10m",
            "2026-11-24T0:0:0x",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_point_of_time_reads_back_what_it_prints() {
        for seconds in [0, 951_782_400, 1_709_164_800, 1_795_512_600, -86_401, 4_102_444_799] {
            let at = Timestamp(seconds * 1_000_000);
            assert_eq!(parse(&text(at)).map(|read| read.at), Some(at), "{}", text(at));
        }
        assert_eq!(text(Timestamp(1_795_512_600_000_000)), "2026-11-24T09:30:00Z");
    }
}
