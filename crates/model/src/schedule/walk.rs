//! Walks a schedule's slots in order, over changes of the clock.
//!
//! - A local time that is left out (the clock is put forward) starts at the first instant after it, once for all that
//!   were left out. Where something starts in each hour anyway, nothing does for it: no time has passed.
//! - A local time that comes twice (the clock is put back) starts at the first, once. What goes by the time that passes
//!   starts both times: where the hours are all hours, or the minutes are `*` or `*/n`.
//!
//! So a job of the night runs once in each night, and one of every quarter of an hour every quarter of an hour. That is
//! what the manual of Vixie cron says of its jobs; there, `*` alone decides, so that `*/15 2 * * *` is left out in
//! spring, and `0 */2 * * *` comes twice in autumn.

use super::{Schedule, Slot, zone::Stretch};
use crate::ids::Timestamp;

/// How far ahead of an instant a slot may be: a weekday's 29th of February comes after 40 years where 2100 lies
/// between.
pub(super) const HORIZON_MS: u64 = 41 * 366 * 86_400 * 1000;
/// The seconds that zones are known for: from the year 1 to 9998.
const SECONDS: (i64, i64) = (-62_135_596_800, 253_370_764_800);

/// Slots in order.
pub(super) struct Walk<'a> {
    schedule: &'a Schedule,
    /// The next second to look at.
    at: i64,
    /// Where to stop.
    end: i64,
    stretch: Stretch,
}

/// The slots in `[from, to)`.
pub(super) fn walk(schedule: &Schedule, from: Timestamp, to: Timestamp) -> Walk<'_> {
    // Slots are whole seconds.
    let second = |at: Timestamp| {
        let begun = at.0.rem_euclid(1_000_000) > 0;
        (at.0.div_euclid(1_000_000) + i64::from(begun)).clamp(SECONDS.0, SECONDS.1)
    };
    let at = second(from);
    Walk { schedule, at, end: second(to), stretch: schedule.tz.stretch(at) }
}

impl Iterator for Walk<'_> {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        while self.at < self.end {
            if let Some(found) = self.left_out().or_else(|| self.shown()) {
                self.at = found + 1;
                let Stretch { start, offset, before, .. } = self.stretch;
                let again = offset < before && found + offset < start + before;
                return Some(Slot { at: Timestamp(found * 1_000_000), offset_s: offset as i32, again });
            }
            self.at = self.stretch.end;
            if self.at < self.end {
                self.stretch = self.schedule.tz.stretch(self.at);
            }
        }
        None
    }
}

impl Walk<'_> {
    /// The beginning of this stretch, where local times were left out before it.
    fn left_out(&self) -> Option<i64> {
        let (Stretch { start, offset, before, .. }, expression) = (self.stretch, &self.schedule.expression);
        let jumps = self.at == start && before < offset && !expression.each_hour();
        jumps.then(|| expression.first(start + before, start + offset)).flatten().map(|_| start)
    }

    /// The first of what the clock shows in this stretch.
    fn shown(&self) -> Option<i64> {
        let (Stretch { start, end, offset, before }, expression) = (self.stretch, &self.schedule.expression);
        let repeats = offset < before && !expression.twice();
        let from = if repeats { (self.at + offset).max(start + before) } else { self.at + offset };
        expression.first(from, end.min(self.end) + offset).map(|local| local - offset)
    }
}
