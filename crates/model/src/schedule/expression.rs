//! The five fields of a cron expression: read as Vixie cron reads them, and asked for the local times that they match.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::instant::civil;

/// Names of months and weekdays, from the least on.
const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// The most that each month has of days.
const DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// Every hour.
const EACH_HOUR: u64 = (1 << 24) - 1;

/// A cron expression: minute, hour, day, month, weekday. It matches some date, and prints as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression {
    text: String,
    /// Bits by value.
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day matches by its day of the month or its weekday: both are restricted. Else by both.
    either: bool,
    /// Whether the minutes say how often and not when: `*`, `*/15`.
    by_minutes: bool,
}

/// A text that is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnExpression {
    /// There are more or fewer than five.
    #[error("its expression has not five fields: minute, hour, day, month, weekday")]
    Fields,
    /// One of them is none.
    #[error("`{shown}` is no field of {least} to {greatest}")]
    Field {
        /// The field, or what it begins with.
        shown: String,
        /// The least number it takes.
        least: u32,
        /// The greatest.
        greatest: u32,
    },
    /// All fields are right, and no year has such a day.
    #[error("no year has a day `{days}` in month `{months}`: it would never start")]
    Never {
        /// The days' field.
        days: String,
        /// The months' field.
        months: String,
    },
}

/// One of the five: what it takes.
#[derive(Clone, Copy)]
struct Field {
    least: u32,
    /// The last of `*`.
    last: u32,
    /// The greatest that may be written: 7 is Sunday too.
    greatest: u32,
    names: &'static [&'static str],
}

const fn field(least: u32, last: u32, greatest: u32, names: &'static [&'static str]) -> Field {
    Field { least, last, greatest, names }
}

const FIELDS: [Field; 5] = [
    field(0, 59, 59, &[]),
    field(0, 23, 23, &[]),
    field(1, 31, 31, &[]),
    field(1, 12, 12, MONTHS),
    field(0, 6, 7, WEEKDAYS),
];

impl FromStr for Expression {
    type Err = NotAnExpression;

    fn from_str(text: &str) -> Result<Self, NotAnExpression> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts[..] else { return Err(NotAnExpression::Fields) };
        let mut bits = [0; 5];
        for ((part, field), bits) in parts.iter().zip(FIELDS).zip(&mut bits) {
            let shown = || part.chars().take(20).collect();
            let wrong = || NotAnExpression::Field { shown: shown(), least: field.least, greatest: field.greatest };
            *bits = field.bits(part).ok_or_else(wrong)?;
        }
        let [minutes, hours, days, months, weekdays] = bits;
        let expression = Self {
            text: [minute, hour, day, month, weekday].join(" "),
            minutes,
            hours,
            days,
            months,
            // 7 is Sunday as 0 is.
            weekdays: (weekdays & 0x7f) | (weekdays >> 7),
            either: !day.starts_with('*') && !weekday.starts_with('*'),
            by_minutes: minute.starts_with('*'),
        };
        if expression.matches_none() {
            return Err(NotAnExpression::Never { days: day.to_owned(), months: month.to_owned() });
        }
        Ok(expression)
    }
}

impl Field {
    /// The numbers of a list, as bits.
    fn bits(self, list: &str) -> Option<u64> {
        list.split(',').try_fold(0, |bits, item| Some(bits | self.item(item)?))
    }

    /// `*`, `3`, `mon`, `1-5`, each with a step where one is written: `*/15`; `3/5` is from 3 on.
    fn item(self, item: &str) -> Option<u64> {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let step = match step {
            None => None,
            Some(text) => Some(digits(text).filter(|step| *step > 0)?),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.least, self.last),
            Some((from, to)) => (self.number(from)?, self.number(to)?),
            None => {
                let from = self.number(range)?;
                (from, if step.is_some() { self.last.max(from) } else { from })
            }
        };
        (from <= to).then(|| (from..=to).step_by(step.unwrap_or(1) as usize).fold(0, |bits, n| bits | (1 << n)))
    }

    fn number(self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| text.eq_ignore_ascii_case(name));
        let number = named.map(|at| self.least + at as u32).or_else(|| digits(text));
        number.filter(|number| (self.least..=self.greatest).contains(number))
    }
}

/// A number of one or two digits.
fn digits(text: &str) -> Option<u32> {
    let plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

impl Expression {
    /// Whether it starts something in each hour of a day: then it goes by the time that passes, and not by what the
    /// clock shows.
    pub(super) const fn each_hour(&self) -> bool {
        self.hours == EACH_HOUR
    }

    /// Whether a local time that comes twice counts twice.
    pub(super) const fn twice(&self) -> bool {
        self.each_hour() || self.by_minutes
    }

    /// The first local time in `[from, to)` that it matches; seconds since 1970 as a clock shows them.
    pub(super) fn first(&self, from: i64, to: i64) -> Option<i64> {
        let mut minute = from.div_euclid(60) + i64::from(from.rem_euclid(60) > 0);
        while minute.saturating_mul(60) < to {
            let (day, of_day) = (minute.div_euclid(1440), minute.rem_euclid(1440));
            if let Some(found) = self.time(of_day as u32).filter(|_| self.day(day)) {
                return Some((day * 1440 + i64::from(found)) * 60).filter(|found| *found < to);
            }
            minute = (day + 1) * 1440;
        }
        None
    }

    /// The first matching minute of a day, from one on.
    fn time(&self, from: u32) -> Option<u32> {
        let (hour, minute) = (from / 60, from % 60);
        let within = from_on(self.minutes, minute).filter(|_| has(self.hours, hour));
        within.map(|minute| hour * 60 + minute).or_else(|| {
            let hour = from_on(self.hours, hour + 1)?;
            Some(hour * 60 + self.minutes.trailing_zeros())
        })
    }

    /// Whether it matches a day, by its number since 1970.
    fn day(&self, number: i64) -> bool {
        let (_, month, day) = civil(number);
        // The first day of 1970 was a Thursday.
        let weekday = (number + 4).rem_euclid(7);
        let (by_day, by_weekday) = (has(self.days, day as u32), has(self.weekdays, weekday as u32));
        has(self.months, month as u32) && if self.either { by_day || by_weekday } else { by_day && by_weekday }
    }

    /// Whether no day ever matches. Any day of a month falls on any weekday in some year, February's 29th too.
    fn matches_none(&self) -> bool {
        let least = self.days.trailing_zeros();
        !self.either && !(1..).zip(DAYS).any(|(month, days)| has(self.months, month) && least <= days)
    }
}

fn has(bits: u64, bit: u32) -> bool {
    bits & (1 << bit) != 0
}

/// The lowest bit that is set, from one on.
fn from_on(bits: u64, from: u32) -> Option<u32> {
    bits.checked_shr(from).filter(|bits| *bits > 0).map(|bits| from + bits.trailing_zeros())
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Expression {
    type Error = NotAnExpression;
    fn try_from(text: String) -> Result<Self, NotAnExpression> {
        text.parse()
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.text
    }
}
