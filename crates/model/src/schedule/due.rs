//! Which slots are to be fired now, which were missed, and what one does while a run is open.

use super::{CatchUp, Overlap, Schedule, Slot, next, walk::walk};
use crate::{
    ids::{Digest, Timestamp},
    limits::{CATCH_UP_SLOTS, MISSED_COUNTED, SLOT_GRACE_MS, WAITING_SLOTS},
};

/// Whose schedule it is: by these starts are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The workflow's name.
    pub workflow: &'a str,
}

/// What is to be done now, and when to ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// To be fired, in order; at most [`CATCH_UP_SLOTS`] and what is on time.
    pub fire: Vec<Slot>,
    /// Not to be fired, and to be told.
    pub missed: Option<Missed>,
    /// All slots up to here are settled by the above: from where to ask next.
    pub settled: Timestamp,
    /// The first that is not.
    pub next: Option<Slot>,
    /// When that starts: where it is not after now, more are to be caught up, and to be asked for at once.
    pub wake: Option<Timestamp>,
}

/// Slots that nobody fires any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The first.
    pub first: Slot,
    /// The last.
    pub last: Slot,
    /// How many; [`MISSED_COUNTED`] stands for that and more.
    pub count: usize,
}

/// What a slot does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// It starts a run.
    Start,
    /// Its run waits until those before it have ended.
    Wait,
    /// It is skipped, and told.
    Skip,
}

/// What a slot does where so many runs of its schedule are open, and so many of them wait.
pub const fn meet(overlap: Overlap, open: u32, waiting: u32) -> Meeting {
    match overlap {
        Overlap::Allow => Meeting::Start,
        _ if open == 0 => Meeting::Start,
        Overlap::Queue if waiting < WAITING_SLOTS => Meeting::Wait,
        Overlap::Queue | Overlap::Skip => Meeting::Skip,
    }
}

/// When a slot's run starts: somewhat after it where the schedule has jitter, but always before the next slot. Every
/// replica says the same.
pub fn start(schedule: &Schedule, whose: Whose<'_>, slot: &Slot) -> Timestamp {
    if schedule.jitter_ms == 0 {
        return slot.at;
    }
    let room = next(schedule, slot.at).map_or(u64::MAX, |next| next.at.ms_since(slot.at));
    let name = slot.name();
    let Digest(bytes) = Digest::of_parts([whose.tenant, whose.workflow, &name].map(str::as_bytes));
    let drawn = bytes[..8].iter().fold(0, |drawn, byte| (drawn << 8) | u128::from(*byte));
    let spread = u128::from(schedule.jitter_ms.min(room));
    // A part of the whole, so that all of it is drawn evenly.
    slot.at.plus_ms(((drawn * spread) >> 64) as u64)
}

/// What is to be fired now, where all slots up to `after` are settled: the last that was fired, or when the schedule
/// was made.
pub fn due(schedule: &Schedule, whose: Whose<'_>, after: Timestamp, now: Timestamp) -> Due {
    let open = Open { schedule, whose, after, now };
    let (fire, missed) = match schedule.catch_up {
        CatchUp::All => (open.begun(after).take(CATCH_UP_SLOTS).collect(), None),
        CatchUp::Last | CatchUp::None => open.newest(),
    };
    let last = fire.last().map(|slot: &Slot| slot.at).max(missed.map(|missed: Missed| missed.last.at));
    let settled = last.unwrap_or(after);
    let next = next(schedule, settled);
    Due { fire, missed, settled, next, wake: next.map(|slot| start(schedule, whose, &slot)) }
}

/// Slots that are not settled.
struct Open<'a> {
    schedule: &'a Schedule,
    whose: Whose<'a>,
    after: Timestamp,
    now: Timestamp,
}

impl Open<'_> {
    /// Slots after an instant whose start has come. Each starts before the next slot is, so none that has waits for one
    /// that has not.
    fn begun(&self, after: Timestamp) -> impl Iterator<Item = Slot> {
        let slots = walk(self.schedule, just_after(after), just_after(self.now));
        slots.take_while(|slot| start(self.schedule, self.whose, slot) <= self.now)
    }

    /// What is on time, or else the newest where that is caught up; and the others.
    fn newest(&self) -> (Vec<Slot>, Option<Missed>) {
        let grace = Timestamp(self.now.0.saturating_sub(micros(SLOT_GRACE_MS)));
        // Older ones have missed their start whatever it was.
        let oldest = grace.0.saturating_sub(micros(self.schedule.jitter_ms));
        let old = Timestamp(oldest.saturating_sub(1)).max(self.after);
        let mut late: Vec<Slot> = self.begun(old).collect();
        let on_time = late.split_off(late.partition_point(|slot| start(self.schedule, self.whose, slot) < grace));
        let mut missed = self.missed(old, &late);
        if self.schedule.catch_up == CatchUp::None || !on_time.is_empty() {
            return (on_time, missed);
        }
        let fire: Vec<Slot> = missed.iter().map(|missed| missed.last).collect();
        missed = missed.and_then(|all| {
            let last = self.before(all.last.at).filter(|_| all.count > 1)?;
            let more = all.count == MISSED_COUNTED;
            Some(Missed { last, count: if more { all.count } else { all.count - 1 }, ..all })
        });
        (fire, missed)
    }

    /// All that were missed: what lies up to an instant, and then these.
    fn missed(&self, old: Timestamp, late: &[Slot]) -> Option<Missed> {
        let oldest = || walk(self.schedule, just_after(self.after), just_after(old));
        let count = oldest().take(MISSED_COUNTED).count();
        let first = oldest().next().or_else(|| late.first().copied())?;
        let last = late.last().copied().or_else(|| self.before(just_after(old)))?;
        Some(Missed { first, last, count: (count + late.len()).min(MISSED_COUNTED) })
    }

    /// The newest slot after what is settled and before an instant.
    fn before(&self, end: Timestamp) -> Option<Slot> {
        let first = just_after(self.after);
        // Looks further back each time: cheap for what comes every minute, and soon there for what comes every year.
        let mut back = micros(3600 * 1000);
        loop {
            let from = Timestamp(end.0.saturating_sub(back)).max(first);
            let found = walk(self.schedule, from, end).last();
            if found.is_some() || from == first {
                return found;
            }
            back = back.saturating_mul(4);
        }
    }
}

fn just_after(at: Timestamp) -> Timestamp {
    Timestamp(at.0.saturating_add(1))
}

fn micros(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1000)
}
