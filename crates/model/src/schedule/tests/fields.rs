//! What expressions match, and what is none.

use super::{at, local, schedule};
use crate::schedule::{Expression, NotAnExpression, next};

fn days(expression: &str, from: &str, to: &str) -> Vec<String> {
    local(expression, "UTC", from, to).iter().map(|time| time[..10].to_owned()).collect()
}

#[test]
fn a_leap_day_comes_when_there_is_one() {
    assert_eq!(
        days("0 0 29 2 *", "2023-01-01T00:00Z", "2033-01-01T00:00Z"),
        ["2024-02-29", "2028-02-29", "2032-02-29"]
    );
    // On a Sunday, and not in 2100.
    let leap = schedule("0 0 29 2 */7", "UTC");
    assert_eq!(next(&leap, at("2088-03-01T00:00Z")).unwrap().date(), "2128-02-29");
}

#[test]
fn a_day_matches_by_its_number_or_its_weekday_where_both_are_restricted() {
    let november = |expression| days(expression, "2026-11-01T00:00Z", "2026-12-01T00:00Z");
    // The 2nd, 9th, 16th, 23rd and 30th are Mondays.
    assert_eq!(
        november("0 0 1,15 * mon"),
        ["2026-11-01", "2026-11-02", "2026-11-09", "2026-11-15", "2026-11-16", "2026-11-23", "2026-11-30"]
    );
    assert_eq!(november("0 0 16 * *"), ["2026-11-16"]);
    assert_eq!(november("0 0 * * mon").len(), 5);
    // What begins with `*` restricts together with the other, as in Vixie cron.
    assert_eq!(november("0 0 */2 * mon"), ["2026-11-09", "2026-11-23"]);
    assert_eq!(november("0 0 8-14 * */7"), ["2026-11-08"]);
}

#[test]
fn names_ranges_steps_and_both_sundays_are_read() {
    let november = |expression| days(expression, "2026-11-01T00:00Z", "2026-12-01T00:00Z");
    assert_eq!(november("0 0 * NOV 7"), november("0 0 * 11 Sun"));
    assert_eq!(november("0 0 * * 5-7").len(), 4 + 4 + 5);
    assert_eq!(november("0 0 28/2 * *"), ["2026-11-28", "2026-11-30"]);
    assert_eq!(november("0 0 1-10/4 jan,nov *"), ["2026-11-01", "2026-11-05", "2026-11-09"]);
    // From Monday on, and not to Sunday as a seventh day.
    assert_eq!(november("0 0 * * 1/3"), november("0 0 * * mon,thu"));
    assert_eq!(local("5/20 8,20 1 11 *", "UTC", "2026-11-01T00:00Z", "2026-12-01T00:00Z").len(), 6);
}

#[test]
fn what_no_year_has_is_refused_and_what_some_year_has_is_not() {
    let read = |text: &str| text.parse::<Expression>();
    for (text, days, months) in [("0 0 30 2 *", "30", "2"), ("0 0 31 2,4-6/2,9,nov *", "31", "2,4-6/2,9,nov")] {
        assert_eq!(read(text), Err(NotAnExpression::Never { days: days.into(), months: months.into() }), "{text}");
    }
    for text in ["0 0 29 2 *", "0 0 31 * *", "0 0 30 2 mon", "0 0 30,28 2 *"] {
        assert!(read(text).is_ok_and(|read| read.to_string() == text), "{text}");
        assert!(next(&schedule(text, "UTC"), at("2026-01-01T00:00Z")).is_some(), "{text}");
    }
}

#[test]
fn what_is_no_expression_says_which_field() {
    for (text, said) in [
        ("0 2 * *", "its expression has not five fields: minute, hour, day, month, weekday"),
        ("0 0 2 * * *", "its expression has not five fields: minute, hour, day, month, weekday"),
        ("@daily", "its expression has not five fields: minute, hour, day, month, weekday"),
        ("0 24 * * *", "`24` is no field of 0 to 23"),
        ("60 * * * *", "`60` is no field of 0 to 59"),
        ("5-1 * * * *", "`5-1` is no field of 0 to 59"),
        ("*/0 * * * *", "`*/0` is no field of 0 to 59"),
        ("0 0 0 * *", "`0` is no field of 1 to 31"),
        ("0 0 * 13 *", "`13` is no field of 1 to 12"),
        ("0 0 * * 8", "`8` is no field of 0 to 7"),
        ("0 0 L * *", "`L` is no field of 1 to 31"),
        ("1, * * * *", "`1,` is no field of 0 to 59"),
        ("+1 * * * *", "`+1` is no field of 0 to 59"),
        ("*/+5 * * * *", "`*/+5` is no field of 0 to 59"),
        ("١ * * * *", "`١` is no field of 0 to 59"),
    ] {
        assert_eq!(text.parse::<Expression>().unwrap_err().to_string(), said, "{text}");
    }
}

#[test]
fn past_the_calendar_nothing_is_next() {
    let yearly = schedule("0 0 1 1 *", "Europe/Berlin");
    for end in [i64::MIN, i64::MAX] {
        assert_eq!(next(&yearly, crate::ids::Timestamp(end)), None);
    }
    assert_eq!(next(&yearly, at("9996-06-01T00:00Z")).unwrap().date(), "9997-01-01");
}
