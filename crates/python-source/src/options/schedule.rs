//! `schedule=cron("0 2 * * *", tz="Europe/Berlin", into="day", catch_up="last", overlap="skip", jitter="5m")`.

use qflow_model::{
    limits::JITTER_MS,
    schedule::{CatchUp, Expression, NotAnExpression, Overlap, Zone},
};
use serde_json::Value;

use super::{Bad, duration, nearest};

/// What `cron` takes, in order.
pub(crate) const CRON: &[&str] = &["expression", "tz", "into", "catch_up", "overlap", "jitter"];
/// What becomes of slots that were missed.
const CATCH_UP: &[(&str, CatchUp)] = &[("last", CatchUp::Last), ("all", CatchUp::All), ("none", CatchUp::None)];
/// What a slot does while a run is open.
const OVERLAP: &[(&str, Overlap)] = &[("allow", Overlap::Allow), ("skip", Overlap::Skip), ("queue", Overlap::Queue)];
/// The zone where none is written.
const UTC: &str = "UTC";
/// A whole one.
const WRITE: &str = "write schedule=cron(\"0 2 * * *\", tz=\"Europe/Berlin\", into=\"day\")";

/// A schedule whose parameter is not looked up yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cron {
    pub(crate) expression: Expression,
    pub(crate) tz: Zone,
    /// The parameter of the workflow that it fills.
    pub(crate) into: Option<String>,
    pub(crate) catch_up: CatchUp,
    pub(crate) overlap: Overlap,
    pub(crate) jitter_ms: u64,
}

fn bad(what: &str, remedy: impl Into<String>) -> Bad {
    Bad { code: "bad-option", message: format!("schedule is no cron(…): {what}"), remedy: remedy.into() }
}

/// What is said where something is written that `cron` does not take.
pub(crate) fn takes() -> Bad {
    bad("it takes an expression, tz, into, catch_up, overlap and jitter, each once", WRITE)
}

/// Reads a schedule by the names of `cron`'s parameters.
pub(super) fn read(value: &Value) -> Result<Cron, Bad> {
    let fields = value.as_object().ok_or_else(|| bad("it is something else", WRITE))?;
    let text = |name: &str| match fields.get(name) {
        // What `cron` has where nothing is written.
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| bad(&format!("its {name} is no text"), WRITE)),
    };
    let expression = text("expression")?.ok_or_else(|| bad("it has no expression", WRITE))?;
    Ok(Cron {
        expression: expression.parse().map_err(|wrong| no_expression(&wrong))?,
        tz: zone(text("tz")?.unwrap_or(UTC))?,
        into: text("into")?.map(str::to_owned),
        catch_up: one_of("catch_up", text("catch_up")?, CATCH_UP)?,
        overlap: one_of("overlap", text("overlap")?, OVERLAP)?,
        jitter_ms: fields.get("jitter").filter(|value| !value.is_null()).map_or(Ok(0), jitter)?,
    })
}

fn no_expression(wrong: &NotAnExpression) -> Bad {
    let remedy = match wrong {
        NotAnExpression::Never { .. } => "write a day that one of the months has: \"0 0 28 2 *\", or \"0 0 1 3 *\"",
        NotAnExpression::Fields | NotAnExpression::Field { .. } => WRITE,
    };
    bad(&wrong.to_string(), remedy)
}

fn zone(name: &str) -> Result<Zone, Bad> {
    name.parse().map_err(|_| {
        let shown: String = name.chars().take(40).collect();
        let remedy = zone_meant(name).map_or_else(
            || "write one of the IANA database, tz=\"Europe/Berlin\"".to_owned(),
            |near| format!("did you mean tz=\"{near}\"?"),
        );
        bad(&format!("no time zone is called `{shown}`"), remedy)
    })
}

/// The zone that is most likely meant: by its case, by its city alone, by a misspelling.
fn zone_meant(name: &str) -> Option<&'static str> {
    let name = name.trim().replace(' ', "_");
    let city = |zone: &str| zone.rsplit_once('/').is_some_and(|(_, city)| city.eq_ignore_ascii_case(&name));
    Zone::names()
        .find(|zone| zone.eq_ignore_ascii_case(&name))
        .or_else(|| Zone::names().find(|zone| city(zone)))
        // Only those of about its length: there are hundreds, and a file may ask for a thousand.
        .or_else(|| nearest(&name, Zone::names().filter(|zone| zone.len().abs_diff(name.len()) <= 3)))
}

fn one_of<T: Copy + Default>(name: &str, written: Option<&str>, known: &[(&str, T)]) -> Result<T, Bad> {
    let Some(written) = written else { return Ok(T::default()) };
    known.iter().find(|(word, _)| *word == written).map(|(_, policy)| *policy).ok_or_else(|| {
        let words: Vec<String> = known.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let (last, others) = words
            .split_last()
            .map_or((String::new(), String::new()), |(last, others)| (last.clone(), others.join(", ")));
        let near = nearest(written, known.iter().map(|(word, _)| *word));
        let remedy = near.map_or_else(|| WRITE.to_owned(), |near| format!("did you mean {name}=\"{near}\"?"));
        bad(&format!("its {name} is one of {others} and {last}"), remedy)
    })
}

fn jitter(value: &Value) -> Result<u64, Bad> {
    duration("jitter", value).ok().filter(|ms| *ms <= JITTER_MS).ok_or_else(|| {
        let what = "its jitter is a time of at most a day by which starts are spread";
        bad(what, "write jitter=\"5m\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schedule_has_five_fields_and_what_else_it_takes() {
        for expression in ["0 2 * * *", "*/15 0-6,22 1 jan-MAR mon", "59 23 31 12 7"] {
            let read = read(&json!({"expression": expression})).unwrap();
            assert_eq!((read.expression.to_string().as_str(), read.tz.name()), (expression, "UTC"));
            assert_eq!((read.into, read.catch_up, read.overlap), (None, CatchUp::Last, Overlap::Allow));
        }
        let full = read(&json!({
            "expression": "0 2 * * *", "tz": "Europe/Berlin", "into": "day", "catch_up": "all", "overlap": "queue",
            "jitter": "5m",
        }))
        .unwrap();
        assert_eq!((full.tz.name(), full.into.as_deref()), ("Europe/Berlin", Some("day")));
        assert_eq!((full.catch_up, full.overlap, full.jitter_ms), (CatchUp::All, Overlap::Queue, 300_000));
        let bare = read(&json!({"expression": "0 2 * * *", "into": null, "jitter": null}));
        assert_eq!(bare, read(&json!({"expression": "0 2 * * *"})));
    }

    #[test]
    fn what_is_no_schedule_says_what_it_lacks() {
        let with = |name: &str, value: Value| json!({"expression": "0 2 * * *", name: value});
        for (value, what, remedy) in [
            (json!("0 2 * * *"), "it is something else", WRITE),
            (json!({"tz": "UTC"}), "it has no expression", WRITE),
            (json!({"expression": 5}), "its expression is no text", WRITE),
            (
                json!({"expression": "0 2 * *"}),
                "its expression has not five fields: minute, hour, day, month, weekday",
                WRITE,
            ),
            (json!({"expression": "0 24 * * *"}), "`24` is no field of 0 to 23", WRITE),
            (
                json!({"expression": "0 0 30 2 *"}),
                "no year has a day `30` in month `2`: it would never start",
                "write a day that one of the months has: \"0 0 28 2 *\", or \"0 0 1 3 *\"",
            ),
            (with("catch_up", json!("sometimes")), "its catch_up is one of \"last\", \"all\" and \"none\"", WRITE),
            (
                with("overlap", json!("skipp")),
                "its overlap is one of \"allow\", \"skip\" and \"queue\"",
                "did you mean overlap=\"skip\"?",
            ),
            (
                with("jitter", json!("2 days")),
                "its jitter is a time of at most a day by which starts are spread",
                "write jitter=\"5m\"",
            ),
            (
                with("jitter", json!("25h")),
                "its jitter is a time of at most a day by which starts are spread",
                "write jitter=\"5m\"",
            ),
        ] {
            let wrong = read(&value).unwrap_err();
            assert_eq!((wrong.message, wrong.remedy), (format!("schedule is no cron(…): {what}"), remedy.to_owned()));
        }
    }

    #[test]
    fn a_zone_that_nobody_knows_is_answered_with_the_nearest() {
        let any = "write one of the IANA database, tz=\"Europe/Berlin\"";
        for (tz, remedy) in [
            ("europe/berlin", "did you mean tz=\"Europe/Berlin\"?"),
            ("Europe/Berlim", "did you mean tz=\"Europe/Berlin\"?"),
            ("Berlin", "did you mean tz=\"Europe/Berlin\"?"),
            ("new york", "did you mean tz=\"America/New_York\"?"),
            ("utc", "did you mean tz=\"UTC\"?"),
            ("Mars; rm", any),
            ("/etc/passwd", any),
        ] {
            let wrong = read(&json!({"expression": "0 2 * * *", "tz": tz})).unwrap_err();
            assert_eq!(wrong.message, format!("schedule is no cron(…): no time zone is called `{tz}`"));
            assert_eq!(wrong.remedy, remedy, "{tz}");
        }
    }
}
