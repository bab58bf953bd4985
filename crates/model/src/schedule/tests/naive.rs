//! Slots are those of a walk that looks at every minute and knows nothing else.

use std::collections::BTreeSet;

use jiff::{ToSpan, civil, tz::TimeZoneDatabase};
use proptest::prelude::*;

use super::{at, schedule};
use crate::{
    ids::Timestamp,
    schedule::{next, slots},
};

/// The numbers of a field, by another way of reading it.
fn numbers(field: &str, least: i8, last: i8) -> BTreeSet<i8> {
    let mut found = BTreeSet::new();
    for item in field.split(',') {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let ends: Vec<i8> = range.split('-').filter_map(|n| n.parse().ok()).collect();
        let (from, to) = match ends[..] {
            [] => (least, last),
            [one] if item.contains('/') => (one, last),
            [one] => (one, one),
            [from, to, ..] => (from, to),
        };
        let step: i8 = step.parse().unwrap();
        found.extend((from..=to).filter(|n| (n - from) % step == 0));
    }
    found
}

/// Slots of whole local days, minute by minute of the calendar: each local time is asked what instants it is.
fn naive(expression: &str, zone: &str, from: Timestamp, to: Timestamp) -> Vec<i64> {
    let tz = TimeZoneDatabase::bundled().get(zone).unwrap();
    let fields: Vec<&str> = expression.split(' ').collect();
    let [minutes, hours, days, months] =
        [(0, 0, 59), (1, 0, 23), (2, 1, 31), (3, 1, 12)].map(|(at, least, last)| numbers(fields[at], least, last));
    let weekdays: BTreeSet<i8> = numbers(fields[4], 0, 6).iter().map(|n| n % 7).collect();
    let star = |at: usize| fields[at].starts_with('*');
    let each_hour = hours.len() == 24;
    let civil = |at: Timestamp| jiff::Timestamp::from_microsecond(at.0).unwrap().to_zoned(tz.clone()).datetime();
    let (mut local, last) = (civil(from) - 3.days(), civil(to) + 3.days());
    local = local.date().to_datetime(civil::Time::midnight());
    let mut found = BTreeSet::new();
    while local < last {
        let weekday = local.weekday().to_sunday_zero_offset();
        let (by_day, by_weekday) = (days.contains(&local.day()), weekdays.contains(&weekday));
        let day = if star(2) || star(4) { by_day && by_weekday } else { by_day || by_weekday };
        if day && months.contains(&local.month()) && hours.contains(&local.hour()) && minutes.contains(&local.minute())
        {
            let ambiguous = tz.to_ambiguous_zoned(local);
            let offset = ambiguous.offset();
            let instant = |zoned: jiff::Zoned| zoned.timestamp().as_microsecond();
            match offset {
                jiff::tz::AmbiguousOffset::Unambiguous { .. } => {
                    found.insert(instant(ambiguous.unambiguous().unwrap()));
                }
                jiff::tz::AmbiguousOffset::Fold { .. } => {
                    found.insert(instant(ambiguous.clone().earlier().unwrap()));
                    if each_hour || star(0) {
                        found.insert(instant(ambiguous.later().unwrap()));
                    }
                }
                // The first minute from here on that is there; a day may be left out.
                jiff::tz::AmbiguousOffset::Gap { .. } if !each_hour => {
                    let there = (1_i64..=1440).map(|n| local + n.minutes()).find(|later| {
                        !matches!(tz.to_ambiguous_zoned(*later).offset(), jiff::tz::AmbiguousOffset::Gap { .. })
                    });
                    found.insert(instant(tz.to_ambiguous_zoned(there.unwrap()).earlier().unwrap()));
                }
                jiff::tz::AmbiguousOffset::Gap { .. } => {}
            }
        }
        local += 1.minutes();
    }
    found.range(from.0..to.0).copied().collect()
}

fn field(least: u32, last: u32) -> BoxedStrategy<String> {
    let number = least..=last;
    let item = prop_oneof![
        4 => number.clone().prop_map(|n| n.to_string()),
        2 => (number.clone(), number.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (number.clone(), number.clone(), 1_u32..20)
            .prop_map(|(a, b, step)| format!("{}-{}/{step}", a.min(b), a.max(b))),
        1 => (number, 1_u32..20).prop_map(|(n, step)| format!("{n}/{step}")),
    ];
    prop_oneof![
        3 => Just("*".to_owned()),
        2 => (1_u32..40).prop_map(|step| format!("*/{step}")),
        4 => prop::collection::vec(item, 1..4).prop_map(|items| items.join(",")),
    ]
    .boxed()
}

fn expression() -> impl Strategy<Value = String> {
    let days = prop_oneof![2 => Just("*".to_owned()), 1 => field(1, 28)];
    let months = prop_oneof![3 => Just("*".to_owned()), 1 => field(1, 12)];
    (field(0, 59), prop_oneof![field(0, 23), field(0, 4)], days, months, field(0, 6))
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

const ZONES: [&str; 8] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Tokyo",
    "America/Havana",
    "Africa/Cairo",
    "America/Sao_Paulo",
    "Pacific/Apia",
];
/// Days about which clocks change in one of them, and when some wrote down otherwise: midnight, a whole day, a rule of
/// before.
const DAYS: [&str; 12] = [
    "2026-03-28T09:00Z",
    "2026-10-24T21:00Z",
    "2026-03-07T23:59Z",
    "2026-10-31T12:00Z",
    "2026-10-03T00:00Z",
    "2026-04-04T13:31Z",
    "2026-04-23T05:00Z",
    "2026-10-29T01:00Z",
    "2018-11-03T00:00Z",
    "2018-02-17T00:00Z",
    "2011-12-29T00:00Z",
    "2040-02-28T10:10Z",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slots_are_those_of_a_walk_minute_by_minute(
        expression in expression(), zone in 0..ZONES.len(), day in 0..DAYS.len(), hours in 1_i64..72,
        ahead in -1440_i64..1440,
    ) {
        let schedule = schedule(&expression, ZONES[zone]);
        let from = Timestamp(at(DAYS[day]).0 + ahead * 60_000_000);
        let to = Timestamp(from.0 + hours * 3_600_000_000);
        let found: Vec<i64> = slots(&schedule, from, to, usize::MAX).iter().map(|slot| slot.at.0).collect();
        prop_assert_eq!(&found, &naive(&expression, ZONES[zone], from, to));
        prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "strictly increasing");
    }

    #[test]
    fn a_range_that_is_split_anywhere_has_the_same_slots(
        expression in expression(), zone in 0..ZONES.len(), day in 0..DAYS.len(), hours in 1_i64..2000,
        part in 0.0..1.0_f64,
    ) {
        let schedule = schedule(&expression, ZONES[zone]);
        let (from, micros) = (at(DAYS[day]), hours * 3_600_000_000);
        let (middle, to) = (Timestamp(from.0 + (micros as f64 * part) as i64), Timestamp(from.0 + micros));
        let whole = slots(&schedule, from, to, usize::MAX);
        let mut parts = slots(&schedule, from, middle, usize::MAX);
        parts.extend(slots(&schedule, middle, to, usize::MAX));
        prop_assert_eq!(&whole, &parts);
        // The next of each is the one after it, and the first is the next of what lies before.
        let mut walked = Vec::new();
        let mut last = Timestamp(from.0 - 1);
        while let Some(slot) = next(&schedule, last).filter(|slot| slot.at < to).filter(|_| walked.len() < 200) {
            last = slot.at;
            walked.push(slot);
        }
        prop_assert_eq!(&whole[..walked.len()], &walked);
        prop_assert!(walked.len() == whole.len() || walked.len() == 200);
        prop_assert_eq!(slots(&schedule, from, to, 3), whole.into_iter().take(3).collect::<Vec<_>>());
    }
}
