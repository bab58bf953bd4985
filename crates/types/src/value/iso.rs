//! Dates and times as ISO 8601 writes them: read in each form that leaves nothing out, written as Python's `isoformat` does.

use std::fmt;

/// More digits of a second than these are lost in Python.
const FRACTION_DIGITS: usize = 6;
/// Microseconds of a second.
const SECOND: i64 = 1_000_000;
/// Microseconds of a day.
pub(super) const DAY: i64 = 86_400 * SECOND;

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date {
    /// 1 to 9999, as Python has it.
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
}

/// A time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time {
    /// Microseconds since midnight.
    pub(super) micros: i64,
    /// Microseconds that it is ahead of UTC, where that is written.
    pub(super) offset: Option<i64>,
}

/// `2026-11-24`, `20261124`, `2026-W48-2` or `2026W482`.
pub(super) fn date(text: &str) -> Option<Date> {
    let part = |from: usize, to: usize| digits(text.get(from..to)?);
    let found = match (text.len(), text.as_bytes()) {
        (10, [.., b'-', _]) if text.get(4..6)? == "-W" => week(part(0, 4)?, part(6, 8)?, part(9, 10)?)?,
        (10, [_, _, _, _, b'-', _, _, b'-', _, _]) => Date { year: part(0, 4)?, month: part(5, 7)?, day: part(8, 10)? },
        (8, [_, _, _, _, b'W', ..]) => week(part(0, 4)?, part(5, 7)?, part(7, 8)?)?,
        (8, _) => Date { year: part(0, 4)?, month: part(4, 6)?, day: part(6, 8)? },
        _ => return None,
    };
    (found.year >= 1 && (1..=12).contains(&found.month) && (1..=found.month_days()).contains(&found.day))
        .then_some(found)
}

/// A date, `T` or a space, and a time; a date alone is its midnight.
pub(super) fn datetime(text: &str) -> Option<(Date, Time)> {
    let split = [10, 8].into_iter().find_map(|at| Some((date(text.get(..at)?)?, text.get(at..)?)));
    let (date, rest) = split?;
    let time = match rest.strip_prefix(' ') {
        None if rest.is_empty() => Time { micros: 0, offset: None },
        None if rest.starts_with(['T', 't']) => time(rest)?,
        Some(clock) if !clock.starts_with(['T', 't']) => time(clock)?,
        _ => return None,
    };
    Some((date, time))
}

/// `09:30`, `09:30:15`, `09:30:15.5`; after a `T` the same without `:`, which would be a number else. With an offset where there is one.
pub(super) fn time(text: &str) -> Option<Time> {
    match text.strip_prefix(['T', 't']) {
        Some(rest) => after_t(rest),
        None if text.as_bytes().get(2) == Some(&b':') => after_t(text),
        None => None,
    }
}

fn after_t(text: &str) -> Option<Time> {
    let (clock, offset) = text.find(['Z', 'z', '+', '-']).map_or((text, None), |at| (&text[..at], Some(&text[at..])));
    let (micros, parts) = parts(clock)?;
    if parts < 2 {
        return None;
    }
    let offset = match offset {
        None => None,
        Some("Z" | "z") => Some(0),
        Some(signed) => {
            let (micros, _) = self::parts(&signed[1..])?;
            Some(if signed.starts_with('-') { -micros } else { micros })
        }
    };
    Some(Time { micros, offset })
}

/// Microseconds of hours, with minutes, with seconds and a fraction of these, all with or all without `:`; and how many of the three.
fn parts(text: &str) -> Option<(i64, usize)> {
    let (clock, fraction) =
        text.split_once(['.', ',']).map_or((text, None), |(clock, fraction)| (clock, Some(fraction)));
    let between = usize::from(clock.as_bytes().get(2) == Some(&b':'));
    let count = (clock.len() + between) / (2 + between);
    let fits = (1..=3).contains(&count) && clock.len() + between == count * (2 + between);
    if !fits || (fraction.is_some() && count < 3) {
        return None;
    }
    let mut micros = 0;
    for at in 0..count {
        let from = at * (2 + between);
        if at > 0 && between == 1 && clock.as_bytes()[from - 1] != b':' {
            return None;
        }
        let (below, unit) = [(24, 3600 * SECOND), (60, 60 * SECOND), (60, SECOND)][at];
        micros += digits(clock.get(from..from + 2)?).filter(|part| *part < below)? * unit;
    }
    if let Some(fraction) = fraction {
        let digits = digits(fraction).filter(|_| fraction.len() <= FRACTION_DIGITS)?;
        micros += digits * 10_i64.pow((FRACTION_DIGITS - fraction.len()) as u32);
    }
    Some((micros, count))
}

fn digits(text: &str) -> Option<i64> {
    let all = (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if all { text.parse().ok() } else { None }
}

/// The day of a week; a year has 52 of them or 53, each the year of its Thursday.
fn week(year: i64, week: i64, day: i64) -> Option<Date> {
    let fourth = Date { year, month: 1, day: 4 }.days();
    let monday = fourth - (fourth + 3).rem_euclid(7) + (week - 1) * 7;
    let good =
        (1..=9999).contains(&year) && (1..=7).contains(&day) && week >= 1 && Date::of_days(monday + 3).year == year;
    good.then(|| Date::of_days(monday + day - 1)).filter(|date| (1..=9999).contains(&date.year))
}

impl Date {
    fn month_days(self) -> i64 {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        match self.month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// Days since 1970.
    pub(super) fn days(self) -> i64 {
        // Years from March on, so that a leap day is the last of its year.
        let year = self.year - i64::from(self.month <= 2);
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
    }

    fn of_days(days: i64) -> Self {
        let days = days + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self { year: year + era * 400 + i64::from(month <= 2), month, day }
    }
}

impl Time {
    /// Hours, minutes, seconds, microseconds.
    pub(super) fn parts(self) -> [i64; 4] {
        clock(self.micros)
    }
}

fn clock(micros: i64) -> [i64; 4] {
    [micros / (3600 * SECOND), micros / (60 * SECOND) % 60, micros / SECOND % 60, micros % SECOND]
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [hour, minute, second, micros] = self.parts();
        write!(f, "{hour:02}:{minute:02}:{second:02}")?;
        if micros > 0 {
            write!(f, ".{micros:06}")?;
        }
        let Some(offset) = self.offset else { return Ok(()) };
        let [hour, minute, second, micros] = clock(offset.abs());
        write!(f, "{}{hour:02}:{minute:02}", if offset < 0 { '-' } else { '+' })?;
        if second > 0 || micros > 0 {
            write!(f, ":{second:02}")?;
        }
        if micros > 0 {
            write!(f, ".{micros:06}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_that_leaves_nothing_out_is_read() {
        for (text, written) in [
            ("2026-11-24", "2026-11-24"),
            ("20261124", "2026-11-24"),
            ("2026-W48-2", "2026-11-24"),
            ("2026W482", "2026-11-24"),
            ("2020-W53-7", "2021-01-03"),
            ("2024-W01-1", "2024-01-01"),
            ("2025-W01-1", "2024-12-30"),
            ("2024-02-29", "2024-02-29"),
            ("0001-01-01", "0001-01-01"),
            ("9999-12-31", "9999-12-31"),
        ] {
            assert_eq!(date(text).map(|date| date.to_string()).as_deref(), Some(written), "{text}");
            let midnight = datetime(text).map(|(date, time)| format!("{date}T{time}"));
            assert_eq!(midnight, Some(format!("{written}T00:00:00")), "{text}");
        }
        for (text, written) in [
            ("09:30", "09:30:00"),
            ("T0930", "09:30:00"),
            ("t09:30", "09:30:00"),
            ("23:59:59", "23:59:59"),
            ("T235959.5-0130", "23:59:59.500000-01:30"),
            ("09:30:00.5", "09:30:00.500000"),
            ("09:30:00,123456", "09:30:00.123456"),
            ("09:30Z", "09:30:00+00:00"),
            ("09:30:00+01:00", "09:30:00+01:00"),
            ("09:30:00+0100", "09:30:00+01:00"),
            ("09:30:00+01", "09:30:00+01:00"),
            ("09:30-00:30:15", "09:30:00-00:30:15"),
            ("09:30-00:30:15.25", "09:30:00-00:30:15.250000"),
        ] {
            assert_eq!(time(text).map(|time| time.to_string()).as_deref(), Some(written), "{text}");
            let clock = text.trim_start_matches(['T', 't']);
            let space = if clock == text { " " } else { "T" };
            for day in ["2026-11-24T", &format!("20261124{space}"), "2026-W48-2t"] {
                let read = datetime(&format!("{day}{clock}")).map(|(date, time)| format!("{date}T{time}"));
                assert_eq!(read, Some(format!("2026-11-24T{written}")), "{day}{clock}");
            }
        }
    }

    #[test]
    fn what_is_missing_a_part_or_is_not_there_is_none() {
        for text in [
            "9:30",
            "24:00",
            "09",
            "09:30:60",
            "09:30.5",
            "09:30:00.1234567",
            "09:30:00.",
            "09:30+1",
            "09:30+24:00",
            "noon",
            "09:3015",
            "0930:15",
            "09:30:15:20",
            "٠٩:٣٠",
            "",
            "+01:00",
            "09:30:00Z+01:00",
            "0930",
            "2026-11",
            "T",
            "TT09:30",
        ] {
            assert_eq!(time(text), None, "{text}");
            assert_eq!(datetime(&format!("2026-11-24 {text}")), None, "{text}");
        }
        for text in [
            "2026-02-29",
            "2026-1-1",
            "0000-01-01",
            "2026-11-24T",
            "+026-11-24",
            "2026-11",
            "2026-W48",
            "2026-W54-1",
            "2026-W00-1",
            "2026-W48-0",
            "2026-W48-8",
            "2026-328",
            "2026328",
            "2026-1124",
            "202611-24",
            "2026-13-01",
            "9999-W52-6",
            "2026-11-24 0930",
            "2026-11-24 T09:30",
            "2026-11-24TT09:30",
            "2026-11-2409:30",
            "é026-11-24",
            "",
        ] {
            assert_eq!((date(text), datetime(text)), (None, None), "{text}");
        }
    }

    #[test]
    fn days_are_counted_both_ways() {
        for days in (-719_162..2_932_897).step_by(97) {
            let date = Date::of_days(days);
            assert_eq!(date.days(), days);
            assert_eq!(super::date(&date.to_string()), Some(date));
        }
    }
}
