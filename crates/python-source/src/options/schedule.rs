//! `schedule=cron("0 2 * * *", tz="Europe/Berlin", into="day", catch_up="last")`: whether it is one.

use serde_json::Value;

use super::Bad;

/// What `cron` takes, in order.
pub(crate) const CRON: &[&str] = &["expression", "tz", "into", "catch_up"];
/// What becomes of slots that were missed.
const CATCH_UP: &[&str] = &["last", "all", "none"];
/// Fields of an expression: the least and the greatest number of each, and names from the least on.
const FIELDS: [(u32, u32, &[&str]); 5] = [
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    (0, 7, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// What a schedule does not take.
pub(crate) fn bad(what: &str) -> Bad {
    let remedy = "write schedule=cron(\"0 2 * * *\", tz=\"Europe/Berlin\", into=\"day\")".to_owned();
    Bad { code: "bad-option", message: format!("schedule is no cron(…): {what}"), remedy }
}

/// Checks a schedule by the names of `cron`'s parameters; the parameter of the workflow that it fills.
pub(super) fn read(value: &Value) -> Result<Option<String>, Bad> {
    let fields = value.as_object().ok_or_else(|| bad("it is something else"))?;
    let text = |name: &str| match fields.get(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| bad(&format!("its {name} is no text"))),
    };
    let expression = text("expression")?.ok_or_else(|| bad("it has no expression"))?;
    expression_of(expression)?;
    if let Some(zone) = text("tz")? {
        let good = !zone.is_empty() && zone.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b));
        if !good {
            return Err(bad("its tz is no time zone such as \"Europe/Berlin\""));
        }
    }
    if text("catch_up")?.is_some_and(|policy| !CATCH_UP.contains(&policy)) {
        return Err(bad("its catch_up is one of \"last\", \"all\" and \"none\""));
    }
    Ok(text("into")?.map(str::to_owned))
}

fn expression_of(text: &str) -> Result<(), Bad> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        return Err(bad("its expression has not five fields: minute, hour, day, month, weekday"));
    }
    let wrong = parts.iter().zip(FIELDS).find(|(part, field)| !part.split(',').all(|item| is_item(item, *field)));
    wrong.map_or(Ok(()), |(part, (least, greatest, _))| {
        let shown: String = part.chars().take(20).collect();
        Err(bad(&format!("`{shown}` is no field of {least} to {greatest}")))
    })
}

/// `*`, `3`, `mon`, `1-5`, each with a step where one is written: `*/15`.
fn is_item(item: &str, (least, greatest, names): (u32, u32, &[&str])) -> bool {
    let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
    let number = |text: &str| {
        let named = names.iter().position(|name| text.eq_ignore_ascii_case(name)).map(|at| least + at as u32);
        let digits = !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
        named.or_else(|| text.parse().ok().filter(|_| digits)).filter(|value| (least..=greatest).contains(value))
    };
    let good = match range.split_once('-') {
        _ if range == "*" => true,
        Some((from, to)) => number(from).zip(number(to)).is_some_and(|(from, to)| from <= to),
        None => number(range).is_some(),
    };
    let stepped = |step: &str| step.len() <= 2 && step.parse::<u32>().is_ok_and(|step| step > 0);
    good && step.is_none_or(stepped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schedule_has_five_fields_and_what_else_it_takes() {
        for expression in ["0 2 * * *", "*/15 0-6,22 1 jan-MAR mon", "59 23 31 12 7"] {
            assert_eq!(read(&json!({"expression": expression})), Ok(None), "{expression}");
        }
        let full = json!({"expression": "0 2 * * *", "tz": "Europe/Berlin", "into": "day", "catch_up": "last"});
        assert_eq!(read(&full), Ok(Some("day".to_owned())));
    }

    #[test]
    fn what_is_no_schedule_says_what_it_lacks() {
        for (value, what) in [
            (json!("0 2 * * *"), "it is something else"),
            (json!({"tz": "UTC"}), "it has no expression"),
            (json!({"expression": "0 2 * *"}), "its expression has not five fields: minute, hour, day, month, weekday"),
            (json!({"expression": "0 24 * * *"}), "`24` is no field of 0 to 23"),
            (json!({"expression": "5-1 * * * *"}), "`5-1` is no field of 0 to 59"),
            (json!({"expression": "*/0 * * * *"}), "`*/0` is no field of 0 to 59"),
            (json!({"expression": "0 2 * * *", "tz": "Mars; rm"}), "its tz is no time zone such as \"Europe/Berlin\""),
            (
                json!({"expression": "0 2 * * *", "catch_up": "some"}),
                "its catch_up is one of \"last\", \"all\" and \"none\"",
            ),
            (json!({"expression": 5}), "its expression is no text"),
        ] {
            assert_eq!(read(&value).unwrap_err().message, format!("schedule is no cron(…): {what}"));
        }
    }
}
