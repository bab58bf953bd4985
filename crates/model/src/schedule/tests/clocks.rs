//! Both changes of the clock, in zones that do it each in their own way.

use super::{at, local, schedule};
use crate::schedule::{Gets, Into, next, slots};

#[test]
fn a_local_time_that_is_left_out_starts_at_the_first_instant_after_it_once() {
    let night = ("2026-03-28T12:00Z", "2026-03-30T12:00Z");
    // 02:00 to 03:00 is left out on the 29th.
    let berlin = |expression| local(expression, "Europe/Berlin", night.0, night.1);
    assert_eq!(berlin("30 2 * * *"), ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]);
    assert_eq!(
        berlin("*/20 2 * * *"),
        [
            "2026-03-29T03:00:00+02:00",
            "2026-03-30T02:00:00+02:00",
            "2026-03-30T02:20:00+02:00",
            "2026-03-30T02:40:00+02:00"
        ]
    );
    // What starts then by itself is the same slot.
    assert_eq!(berlin("0 2,3 29 * *"), ["2026-03-29T03:00:00+02:00"]);
    assert_eq!(
        local("15 2 * * *", "America/New_York", "2026-03-08T00:00Z", "2026-03-09T12:00Z"),
        ["2026-03-08T03:00:00-04:00", "2026-03-09T02:15:00-04:00"]
    );
    // 02:00 to 02:30.
    assert_eq!(
        local("10 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00Z", "2026-10-05T00:00Z"),
        ["2026-10-04T02:30:00+11:00", "2026-10-05T02:10:00+11:00"]
    );
    assert_eq!(
        local("45 2 4 * *", "Australia/Lord_Howe", "2026-10-03T00:00Z", "2026-10-05T00:00Z"),
        ["2026-10-04T02:45:00+11:00"]
    );
}

#[test]
fn a_local_time_that_comes_twice_starts_at_the_first_once() {
    // 02:00 to 03:00 comes twice on the 25th.
    let berlin = |expression| local(expression, "Europe/Berlin", "2026-10-24T12:00Z", "2026-10-26T12:00Z");
    assert_eq!(berlin("30 2 * * *"), ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]);
    assert_eq!(
        berlin("0 1-3 25 * *"),
        ["2026-10-25T01:00:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00"]
    );
    assert_eq!(
        local("30 1 * * *", "America/New_York", "2026-11-01T00:00Z", "2026-11-02T12:00Z"),
        ["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"]
    );
    // 01:30 to 02:00.
    assert_eq!(
        local("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00Z", "2026-04-06T00:00Z"),
        ["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"]
    );
}

#[test]
fn what_starts_every_so_often_goes_by_the_time_that_passes() {
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"] {
        let apart = |expression: &str| -> Vec<i64> {
            let found = slots(&schedule(expression, zone), at("2026-01-01T00:00Z"), at("2027-01-01T00:00Z"), 40_000);
            found.windows(2).map(|pair| (pair[1].at.0 - pair[0].at.0) / 60_000_000).collect()
        };
        assert!(apart("*/15 * * * *").iter().all(|minutes| *minutes == 15), "{zone}");
        if zone != "Australia/Lord_Howe" {
            assert!(apart("20 * * * *").iter().all(|minutes| *minutes == 60), "{zone}");
        }
    }
    assert_eq!(
        local("*/30 1-3 * * *", "Europe/Berlin", "2026-10-24T22:00Z", "2026-10-25T02:15Z"),
        [
            "2026-10-25T01:00:00+02:00",
            "2026-10-25T01:30:00+02:00",
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T02:30:00+01:00",
            "2026-10-25T03:00:00+01:00"
        ]
    );
    assert_eq!(
        local("30 * * * *", "Europe/Berlin", "2026-03-29T00:00Z", "2026-03-29T02:00Z"),
        ["2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"]
    );
}

#[test]
fn the_second_of_two_equal_times_says_so() {
    let mut hourly = schedule("30 * * * *", "Europe/Berlin");
    hourly.into = Some(Into { param: "at".into(), gets: Gets::Datetime });
    let found = slots(&hourly, at("2026-10-24T23:45Z"), at("2026-10-25T02:00Z"), 9);
    let folds = found.iter().map(|slot| hourly.filled(slot).unwrap().1["fold"].as_i64());
    assert_eq!(folds.collect::<Vec<_>>(), [None, Some(1)]);
    assert_eq!(found.iter().map(|slot| slot.again).collect::<Vec<_>>(), [false, true]);
    assert_ne!(found[0].name(), found[1].name());
}

#[test]
fn a_zone_without_changes_has_a_slot_a_day() {
    let days = local("0 2 * * *", "Asia/Tokyo", "2026-01-01T00:00Z", "2027-01-01T00:00Z");
    assert_eq!((days.len(), days[0].as_str()), (365, "2026-01-02T02:00:00+09:00"));
    assert_eq!(local("0 2 * * *", "UTC", "2026-01-01T00:00Z", "2027-01-01T00:00Z").len(), 365);
}

#[test]
fn a_day_that_was_left_out_starts_with_the_next_once() {
    // Samoa went over the date line: there was no 30th.
    assert_eq!(
        local("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00Z", "2011-12-31T00:00Z"),
        ["2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"]
    );
}

#[test]
fn a_year_of_nights_has_as_many_slots_as_nights() {
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Havana"] {
        for expression in ["0 2 * * *", "30 2 * * *", "0 0 * * *", "30 23 * * *", "45 1 * * *"] {
            let nightly = schedule(expression, zone);
            let found = slots(&nightly, at("2026-01-01T12:00Z"), at("2028-01-01T12:00Z"), 1000);
            let days: std::collections::BTreeSet<_> = found.iter().map(super::Slot::date).collect();
            assert_eq!((found.len(), days.len()), (730, 730), "{expression} in {zone}");
        }
    }
}

#[test]
fn a_slot_after_a_slot_is_the_next_also_where_the_clock_changes() {
    let nightly = schedule("30 2 * * *", "Europe/Berlin");
    let gap = next(&nightly, at("2026-03-29T00:59:59Z")).unwrap();
    assert_eq!(gap.name(), "2026-03-29T01:00:00Z");
    assert_eq!(next(&nightly, gap.at).unwrap().name(), "2026-03-30T00:30:00Z");
    let first = next(&nightly, at("2026-10-25T00:00Z")).unwrap();
    assert_eq!(first.name(), "2026-10-25T00:30:00Z");
    assert_eq!(next(&nightly, first.at).unwrap().name(), "2026-10-26T01:30:00Z");
}
