//! When a workflow starts by itself: a schedule, its slots, and which of them are due. No clock: `now` is an argument.
//!
//! A **slot** is an instant that a schedule names, once. What becomes of local times that a change of the clock leaves
//! out or repeats is told in `walk.rs`, and for users in `docs/SCHEDULES.md`.

mod due;
mod expression;
mod walk;
mod zone;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    ids::Timestamp,
    instant::{self, civil},
};

pub use due::{Due, Meeting, Missed, Whose, due, meet, start};
pub use expression::{Expression, NotAnExpression};
pub use zone::{UnknownZone, Zone};

/// When a workflow starts by itself, as `schedule=cron(…)` says it; its JSON form stands in definitions and rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Minute, hour, day, month, weekday.
    pub expression: Expression,
    /// Whose clock they are read on.
    pub tz: Zone,
    /// The parameter that gets the slot's local time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<Into>,
    /// What becomes of slots that were missed.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// What a slot does while a run of the schedule is open.
    #[serde(default)]
    pub overlap: Overlap,
    /// Milliseconds over which starts are spread.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub jitter_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(ms: &u64) -> bool {
    *ms == 0
}

/// The parameter that a slot fills.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Into {
    /// Its name.
    pub param: String,
    /// What it gets.
    #[serde(rename = "type")]
    pub gets: Gets,
}

/// What a parameter gets of a slot, by its declared type; all are of the schedule's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Gets {
    /// The day.
    #[serde(rename = "date")]
    Date,
    /// The time, aware of its zone.
    #[serde(rename = "datetime")]
    Datetime,
    /// The time in ISO 8601 with its offset, `2026-11-24T02:00:00+01:00`.
    #[serde(rename = "str")]
    Text,
}

/// What becomes of slots that were missed: while nothing ran that could have fired them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// The newest is fired, the others are told.
    #[default]
    Last,
    /// Each is fired, in order.
    All,
    /// Each is told.
    None,
}

/// What a slot does while a run of its schedule is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It starts a run beside it.
    #[default]
    Allow,
    /// It is skipped, and told.
    Skip,
    /// Its run waits until the one before has ended.
    Queue,
}

/// An instant that a schedule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    /// When; jitter never moves it.
    pub at: Timestamp,
    /// Seconds by which its local time is ahead of UTC.
    pub offset_s: i32,
    /// Whether its local time had been an hour (or so) before already, by a clock that was put back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

impl Slot {
    /// Its name, of which a schedule has no second: its instant in UTC, `2026-11-24T01:00:00Z`.
    pub fn name(&self) -> String {
        instant::text(self.at)
    }

    /// Its local day, `2026-11-24`.
    pub fn date(&self) -> String {
        let (year, month, day) = civil(self.local_s().div_euclid(86_400));
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// Its local time with its offset, `2026-11-24T02:00:00+01:00`.
    pub fn local(&self) -> String {
        let of_day = self.local_s().rem_euclid(86_400);
        let (sign, offset) = (if self.offset_s < 0 { '-' } else { '+' }, self.offset_s.unsigned_abs());
        let clock = |seconds: i64| format!("{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
        // Before there were zones, offsets had seconds.
        let odd = if offset % 60 == 0 { String::new() } else { format!(":{:02}", offset % 60) };
        format!("{}T{}:{:02}{sign}{}{odd}", self.date(), clock(of_day), of_day % 60, clock(offset.into()))
    }

    /// Seconds since 1970 as its zone's clock shows them.
    fn local_s(&self) -> i64 {
        self.at.0.div_euclid(1_000_000) + i64::from(self.offset_s)
    }
}

impl Schedule {
    /// The parameter that a slot fills, and its value in the tagged form.
    pub fn filled(&self, slot: &Slot) -> Option<(&str, Value)> {
        let into = self.into.as_ref()?;
        let value = match into.gets {
            Gets::Date => json!({"$": "date", "v": slot.date()}),
            Gets::Datetime if slot.again => {
                json!({"$": "datetime", "v": slot.local(), "zone": self.tz.name(), "fold": 1})
            }
            Gets::Datetime => json!({"$": "datetime", "v": slot.local(), "zone": self.tz.name()}),
            Gets::Text => json!(slot.local()),
        };
        Some((&into.param, value))
    }
}

/// The first slots in `[from, to)`, at most so many, in order.
pub fn slots(schedule: &Schedule, from: Timestamp, to: Timestamp, most: usize) -> Vec<Slot> {
    walk::walk(schedule, from, to).take(most).collect()
}

/// The first slot after an instant; nothing only before the year 1 and after 9998.
pub fn next(schedule: &Schedule, after: Timestamp) -> Option<Slot> {
    let from = Timestamp(after.0.saturating_add(1));
    walk::walk(schedule, from, from.plus_ms(walk::HORIZON_MS)).next()
}

#[cfg(test)]
mod tests;
