//! What is due by each policy, jitter, and runs that meet.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{at, schedule};
use crate::{
    ids::Timestamp,
    limits::{CATCH_UP_SLOTS, MISSED_COUNTED, WAITING_SLOTS},
    schedule::{CatchUp, Due, Meeting, Overlap, Schedule, Slot, Whose, due, meet, next, slots, start},
};

const OURS: Whose<'_> = Whose { tenant: "acme", workflow: "nightly" };

fn asked(schedule: &Schedule, after: &str, now: &str) -> Due {
    due(schedule, OURS, at(after), at(now))
}

fn hours(slots: &[Slot]) -> Vec<String> {
    slots.iter().map(|slot| slot.name()[11..16].to_owned()).collect()
}

/// Hourly, with a policy.
fn hourly(catch_up: CatchUp) -> Schedule {
    Schedule { catch_up, ..schedule("0 * * * *", "UTC") }
}

#[test]
fn a_slot_is_due_when_it_is_there_by_every_policy() {
    for policy in [CatchUp::Last, CatchUp::All, CatchUp::None] {
        let hourly = hourly(policy);
        let before = asked(&hourly, "2026-11-24T09:00Z", "2026-11-24T09:59:59Z");
        assert_eq!((before.fire.len(), before.settled), (0, at("2026-11-24T09:00Z")));
        assert_eq!(before.wake, Some(at("2026-11-24T10:00Z")));
        for now in ["2026-11-24T10:00Z", "2026-11-24T10:01Z"] {
            let due = asked(&hourly, "2026-11-24T09:00Z", now);
            assert_eq!((hours(&due.fire), due.missed), (vec!["10:00".to_owned()], None), "{policy:?} {now}");
            assert_eq!((due.settled, due.wake), (at("2026-11-24T10:00Z"), Some(at("2026-11-24T11:00Z"))));
        }
    }
}

#[test]
fn of_missed_slots_the_newest_is_fired_and_the_others_are_told() {
    let due = asked(&hourly(CatchUp::Last), "2026-11-24T05:00Z", "2026-11-24T09:30Z");
    let missed = due.missed.unwrap();
    assert_eq!(hours(&due.fire), ["09:00"]);
    assert_eq!((hours(&[missed.first, missed.last]), missed.count), (vec!["06:00".into(), "08:00".into()], 3));
    assert_eq!(due.wake, Some(at("2026-11-24T10:00Z")));
    // One that is on time is newer than any that was missed.
    let due = asked(&hourly(CatchUp::Last), "2026-11-24T05:00Z", "2026-11-24T09:00:30Z");
    assert_eq!((hours(&due.fire), due.missed.unwrap().count), (vec!["09:00".into()], 3));
    let due = asked(&hourly(CatchUp::Last), "2026-11-24T08:00Z", "2026-11-24T09:30Z");
    assert_eq!((hours(&due.fire), due.missed), (vec!["09:00".into()], None));
}

#[test]
fn all_missed_slots_are_fired_in_order_so_many_at_once() {
    let every = Schedule { catch_up: CatchUp::All, ..schedule("*/10 * * * *", "UTC") };
    let (mut after, now) = (at("2026-11-20T00:00Z"), at("2026-11-24T00:05Z"));
    let mut fired = Vec::new();
    loop {
        let due = due(&every, OURS, after, now);
        assert!(due.fire.len() <= CATCH_UP_SLOTS && due.missed.is_none());
        after = due.settled;
        fired.extend(due.fire);
        // The rest says itself that it is there.
        if due.wake.unwrap() > now {
            break;
        }
    }
    assert_eq!(fired, slots(&every, at("2026-11-20T00:01Z"), now, usize::MAX));
    assert_eq!(fired.len(), 4 * 144);
}

#[test]
fn a_missed_slot_is_told_and_not_fired_where_nothing_is_caught_up() {
    let due = asked(&hourly(CatchUp::None), "2026-11-24T05:00Z", "2026-11-24T09:01:01Z");
    let missed = due.missed.unwrap();
    assert_eq!((due.fire.len(), missed.count), (0, 4));
    assert_eq!(hours(&[missed.first, missed.last]), ["06:00", "09:00"]);
    assert_eq!(due.settled, at("2026-11-24T09:00Z"));
    let due = asked(&hourly(CatchUp::None), "2026-11-24T05:00Z", "2026-11-24T09:01Z");
    assert_eq!((hours(&due.fire), due.missed.unwrap().count), (vec!["09:00".into()], 3));
}

#[test]
fn years_of_missed_minutes_are_told_without_counting_each() {
    for (policy, fired) in [(CatchUp::Last, 1), (CatchUp::None, 0)] {
        let minutely = Schedule { catch_up: policy, ..schedule("* 0-22 * * *", "UTC") };
        let due = asked(&minutely, "2006-01-01T00:00Z", "2026-11-24T23:30:30Z");
        let missed = due.missed.unwrap();
        assert_eq!((due.fire.len(), missed.count), (fired, MISSED_COUNTED), "{policy:?}");
        assert_eq!(missed.first.name(), "2006-01-01T00:01:00Z");
        assert_eq!(missed.last.name(), if fired == 1 { "2026-11-24T22:58:00Z" } else { "2026-11-24T22:59:00Z" });
        assert_eq!(due.settled, at("2026-11-24T22:59Z"));
    }
}

#[test]
fn jitter_moves_the_start_and_not_the_slot_and_each_replica_says_the_same() {
    let spread = Schedule { jitter_ms: 300_000, ..schedule("0 * * * *", "UTC") };
    let day = slots(&spread, at("2026-11-24T00:00Z"), at("2026-11-25T00:00Z"), 99);
    assert_eq!(day, slots(&hourly(CatchUp::Last), at("2026-11-24T00:00Z"), at("2026-11-25T00:00Z"), 99));
    let late = |whose: Whose<'_>| -> Vec<u64> {
        day.iter().map(|slot| start(&spread, whose, slot).ms_since(slot.at)).collect()
    };
    let ours = late(OURS);
    assert_eq!(ours, late(OURS));
    assert!(ours.iter().all(|ms| *ms < 300_000), "{ours:?}");
    assert!(ours.iter().collect::<BTreeSet<_>>().len() > 20, "each slot is spread by itself: {ours:?}");
    assert_ne!(ours, late(Whose { workflow: "other", ..OURS }));
    assert_ne!(ours, late(Whose { tenant: "other", ..OURS }));
    // What another version of this program would say too: a slot's start must not move while replicas are updated.
    assert_eq!(ours[..3], PINNED);
}

/// Milliseconds of the first three slots above.
const PINNED: [u64; 3] = [187_919, 150_058, 69_782];

#[test]
fn a_slot_with_jitter_is_due_from_its_start_on() {
    let spread = Schedule { jitter_ms: 600_000, catch_up: CatchUp::None, ..schedule("0 * * * *", "UTC") };
    let slot = next(&spread, at("2026-11-24T09:00Z")).unwrap();
    let start = start(&spread, OURS, &slot);
    assert!(start > slot.at);
    let before = due(&spread, OURS, at("2026-11-24T09:00Z"), Timestamp(start.0 - 1));
    assert_eq!((before.fire.len(), before.missed, before.wake), (0, None, Some(start)));
    for late in [0, 60_000] {
        let due = due(&spread, OURS, at("2026-11-24T09:00Z"), start.plus_ms(late));
        assert_eq!((due.fire, due.missed), (vec![slot], None), "grace counts from the start");
    }
    let missed = due(&spread, OURS, at("2026-11-24T09:00Z"), start.plus_ms(60_001));
    assert_eq!((missed.fire.len(), missed.missed.map(|missed| missed.count)), (0, Some(1)));
}

#[test]
fn a_start_comes_before_the_next_slot_however_far_it_is_spread() {
    let spread = Schedule { jitter_ms: 24 * 3_600_000, ..schedule("*/5 * * * *", "UTC") };
    for slot in slots(&spread, at("2026-11-24T00:00Z"), at("2026-11-25T00:00Z"), 999) {
        assert!(start(&spread, OURS, &slot) < next(&spread, slot.at).unwrap().at);
    }
}

#[test]
fn a_slot_meets_open_runs_by_its_policy() {
    for (overlap, open, waiting, meeting) in [
        (Overlap::Allow, 5, 0, Meeting::Start),
        (Overlap::Skip, 0, 0, Meeting::Start),
        (Overlap::Skip, 1, 0, Meeting::Skip),
        (Overlap::Queue, 0, 0, Meeting::Start),
        (Overlap::Queue, 1, 0, Meeting::Wait),
        (Overlap::Queue, 1, WAITING_SLOTS - 1, Meeting::Wait),
        (Overlap::Queue, 1, WAITING_SLOTS, Meeting::Skip),
    ] {
        assert_eq!(meet(overlap, open, waiting), meeting, "{overlap:?} {open} {waiting}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whenever it is asked, and however long nobody asks: each slot is fired or told once, in order.
    #[test]
    fn each_slot_is_settled_once(
        expression in prop_oneof![Just("*/7 * * * *"), Just("30 2 * * *"), Just("0 */3 * * *"), Just("* * * * *")],
        policy in prop_oneof![Just(CatchUp::Last), Just(CatchUp::All), Just(CatchUp::None)],
        jitter_ms in prop_oneof![Just(0), 1_u64..3_600_000],
        pauses in prop::collection::vec(prop_oneof![10 => 1_i64..120, 1 => 3600_i64..200_000], 1..60),
    ) {
        let schedule = Schedule { catch_up: policy, jitter_ms, ..schedule(expression, "Europe/Berlin") };
        let made = at("2026-10-24T20:00Z");
        let (mut after, mut now) = (made, made);
        let mut settled: Vec<Slot> = Vec::new();
        for pause in pauses {
            now = Timestamp(now.0 + pause * 1_000_000);
            loop {
                let due = due(&schedule, OURS, after, now);
                let mut found = due.fire.clone();
                if let Some(missed) = due.missed {
                    let told = slots(&schedule, missed.first.at, Timestamp(missed.last.at.0 + 1), usize::MAX);
                    prop_assert_eq!(told.len().min(MISSED_COUNTED), missed.count);
                    found.extend(told);
                    found.sort();
                }
                prop_assert!(due.fire.iter().all(|slot| start(&schedule, OURS, slot) <= now));
                settled.extend(found);
                after = due.settled;
                if due.wake.unwrap() > now {
                    break;
                }
                prop_assert_eq!(policy, CatchUp::All, "only these have a rest");
            }
        }
        let mut all = slots(&schedule, Timestamp(made.0 + 1), Timestamp(now.0 + 1), usize::MAX);
        all.retain(|slot| start(&schedule, OURS, slot) <= now);
        prop_assert_eq!(settled, all);
    }
}
