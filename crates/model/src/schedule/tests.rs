//! Slots across changes of the clock, the calendar's corners, and what is due.

mod clocks;
mod duty;
mod fields;
mod naive;

use serde_json::json;

use super::*;

/// A schedule by its expression and zone.
pub(super) fn schedule(expression: &str, tz: &str) -> Schedule {
    serde_json::from_value(json!({"expression": expression, "tz": tz})).unwrap()
}

/// An instant as it is written.
pub(super) fn at(text: &str) -> Timestamp {
    instant::parse(text).unwrap_or_else(|| panic!("{text} is no instant")).at
}

/// The slots of a range by their local time.
pub(super) fn local(expression: &str, tz: &str, from: &str, to: &str) -> Vec<String> {
    slots(&schedule(expression, tz), at(from), at(to), 1000).iter().map(Slot::local).collect()
}

#[test]
fn a_schedule_reads_back_what_it_prints_and_leaves_out_what_is_usual() {
    let usual = json!({"expression": "0 2 * * *", "tz": "UTC", "catch_up": "last", "overlap": "allow"});
    assert_eq!(serde_json::to_value(schedule("0  2 * * *", "UTC")).unwrap(), usual);
    let full = json!({
        "expression": "*/15 6-22 * * mon-FRI", "tz": "Europe/Berlin", "into": {"param": "day", "type": "date"},
        "catch_up": "none", "overlap": "queue", "jitter_ms": 300_000,
    });
    let read: Schedule = serde_json::from_value(full.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), full);
    assert_eq!((read.catch_up, read.overlap, read.jitter_ms), (CatchUp::None, Overlap::Queue, 300_000));
}

#[test]
fn a_zone_is_one_that_the_built_in_database_has_spelt_as_there() {
    for name in ["Europe/Berlin", "UTC", "Australia/Lord_Howe", "Etc/GMT+5", "US/Eastern"] {
        assert_eq!(name.parse::<Zone>().map(|zone| zone.to_string()), Ok(name.to_owned()));
    }
    for name in ["europe/berlin", "Berlin", "", "UTC+2", "/etc/passwd", "Etc/Unknown"] {
        assert_eq!(name.parse::<Zone>(), Err(UnknownZone(name.to_owned())), "{name}");
    }
    assert!(Zone::names().count() > 400);
}

#[test]
fn a_slot_is_named_in_utc_and_fills_a_parameter_with_its_local_time() {
    let mut nightly = schedule("30 0 * * *", "Europe/Berlin");
    let slot = next(&nightly, at("2026-11-23T12:00Z")).unwrap();
    assert_eq!((slot.name().as_str(), slot.at), ("2026-11-23T23:30:00Z", at("2026-11-23T23:30Z")));
    assert_eq!(nightly.filled(&slot), None);
    for (gets, value) in [
        (Gets::Date, json!({"$": "date", "v": "2026-11-24"})),
        (Gets::Datetime, json!({"$": "datetime", "v": "2026-11-24T00:30:00+01:00", "zone": "Europe/Berlin"})),
        (Gets::Text, json!("2026-11-24T00:30:00+01:00")),
    ] {
        nightly.into = Some(Into { param: "day".into(), gets });
        assert_eq!(nightly.filled(&slot), Some(("day", value)));
    }
}

#[test]
fn local_times_show_offsets_west_of_greenwich_and_those_with_seconds() {
    let of = |second: i64, offset_s: i32| Slot { at: Timestamp(second * 1_000_000), offset_s, again: false }.local();
    assert_eq!(of(0, -12_600), "1969-12-31T20:30:00-03:30");
    assert_eq!(of(0, 0), "1970-01-01T00:00:00+00:00");
    assert_eq!(of(-1, 3208), "1970-01-01T00:53:27+00:53:28");
}
