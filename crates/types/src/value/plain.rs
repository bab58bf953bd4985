//! What users see of a value at the edge.

use serde_json::{Map, Value, json};

use super::{python_key, tag};

/// The published plain form: dates and durations in ISO, decimals as texts, tuples and sets as lists.
pub fn to_plain(value: &Value) -> Value {
    match (value, tag(value)) {
        (_, Some(("tuple" | "set" | "frozenset", Value::Array(items)))) => items.iter().map(to_plain).collect(),
        (_, Some(("object" | "outcome", inner))) => to_plain(inner),
        (_, Some(("map", Value::Array(pairs)))) => {
            let fields: Map<_, _> = pairs.iter().map(|pair| (to_text(&pair[0]), to_plain(&pair[1]))).collect();
            // `1` and `"1"` would be one key.
            let is_all = fields.len() == pairs.len();
            let each = || pairs.iter().map(|pair| json!([to_plain(&pair[0]), to_plain(&pair[1])])).collect();
            if is_all { fields.into() } else { each() }
        }
        (_, Some(("int", Value::String(text)))) => text.parse::<i64>().map_or_else(|_| json!(text), |v| json!(v)),
        (_, Some(("timedelta", Value::Array(parts)))) => duration(parts).map_or_else(|| json!(parts), |iso| json!(iso)),
        (_, Some(("attachment", _))) => json!({"attachment": value.get("k"), "index": value.get("i")}),
        (_, Some((_, inner))) => inner.clone(),
        (Value::Array(items), None) => items.iter().map(to_plain).collect(),
        (Value::Object(fields), None) => fields
            .iter()
            .map(|(key, value)| (python_key(key).to_owned(), to_plain(value)))
            .collect::<Map<_, _>>()
            .into(),
        (other, _) => other.clone(),
    }
}

/// A scalar as Python's `str()` writes it; anything else as its plain form in JSON.
pub fn to_text(value: &Value) -> String {
    match (value, tag(value)) {
        (Value::Null, _) => "None".to_owned(),
        (Value::Bool(true), _) => "True".to_owned(),
        (Value::Bool(false), _) => "False".to_owned(),
        (Value::String(text), _) | (_, Some((_, Value::String(text)))) => text.clone(),
        (Value::Number(number), _) => number.to_string(),
        (_, Some(("timedelta", Value::Array(parts)))) if written(parts).is_some() => written(parts).unwrap_or_default(),
        (other, _) => to_plain(other).to_string(),
    }
}

/// A timedelta's days, seconds and microseconds.
fn counts(parts: &[Value]) -> Option<[i64; 3]> {
    let counts: Vec<i64> = parts.iter().map(Value::as_i64).collect::<Option<_>>()?;
    counts.try_into().ok()
}

/// A timedelta in ISO 8601: `P1DT2H3M4.5S`, a negative one as `-PT1S`.
fn duration(parts: &[Value]) -> Option<String> {
    let [days, seconds, micros] = counts(parts)?;
    let all = (i128::from(days) * 86_400 + i128::from(seconds)) * 1_000_000 + i128::from(micros);
    let (seconds, micros) = (all.abs() / 1_000_000, all.abs() % 1_000_000);
    let fraction = format!(".{micros:06}");
    let last = format!("{}{}", seconds % 60, fraction.trim_end_matches('0').trim_end_matches('.'));
    let part = |count: i128, unit: char| if count > 0 { format!("{count}{unit}") } else { String::new() };
    let date = part(seconds / 86_400, 'D');
    let last = if last == "0" { String::new() } else { format!("{last}S") };
    let mut time = part(seconds / 3600 % 24, 'H') + &part(seconds / 60 % 60, 'M') + &last;
    if date.is_empty() && time.is_empty() {
        time.push_str("0S");
    }
    let t = if time.is_empty() { "" } else { "T" };
    Some(format!("{}P{date}{t}{time}", if all < 0 { "-" } else { "" }))
}

/// A timedelta as Python's `str()` writes it: `1 day, 2:03:04`, a negative one as `-1 day, 23:59:59`.
fn written(parts: &[Value]) -> Option<String> {
    let [days, seconds, micros] = counts(parts)?;
    let clock = format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    let plural = if days.abs() == 1 { "" } else { "s" };
    Some(if days == 0 { clock + &fraction } else { format!("{days} day{plural}, {clock}{fraction}") })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use qflow_model::class::Classes;

    use super::*;
    use crate::{
        Ty,
        value::{from_json, from_text},
    };

    fn timedelta(days: i64, seconds: i64, micros: i64) -> Value {
        json!({"$": "timedelta", "v": [days, seconds, micros]})
    }

    #[test]
    fn durations_are_written_in_iso_and_as_python_writes_them() {
        for ([days, seconds, micros], iso, python) in [
            ([0, 0, 0], "PT0S", "0:00:00"),
            ([1, 7384, 500_000], "P1DT2H3M4.5S", "1 day, 2:03:04.500000"),
            ([-1, 86_399, 0], "-PT1S", "-1 day, 23:59:59"),
            ([-1, 0, 0], "-P1D", "-1 day, 0:00:00"),
            ([2, 3600, 0], "P2DT1H", "2 days, 1:00:00"),
            ([0, 60, 1], "PT1M0.000001S", "0:01:00.000001"),
            ([-2, 86_399, 999_999], "-P1DT0.000001S", "-2 days, 23:59:59.999999"),
            ([999_999_999, 86_399, 999_999], "P999999999DT23H59M59.999999S", "999999999 days, 23:59:59.999999"),
            ([-999_999_999, 0, 0], "-P999999999D", "-999999999 days, 0:00:00"),
        ] {
            let value = timedelta(days, seconds, micros);
            assert_eq!((to_plain(&value), to_text(&value)), (json!(iso), python.to_owned()));
        }
        assert_eq!(to_plain(&json!({"$": "map", "v": [[timedelta(1, 0, 0), 1]]})), json!({"1 day, 0:00:00": 1}));
    }

    proptest! {
        #[test]
        fn a_duration_reads_back(
            days in prop_oneof![-3_i64..3, -999_999_999_i64..=999_999_999],
            seconds in prop_oneof![Just(0), 0_i64..86_400],
            micros in prop_oneof![Just(0), 0_i64..1_000_000],
        ) {
            let (value, ty, classes) = (timedelta(days, seconds, micros), Ty::class("timedelta"), Classes::new());
            let plain = to_plain(&value);
            prop_assert_eq!(from_json(plain.to_string().as_bytes(), &ty, &classes), Ok(value.clone()), "{}", plain);
            prop_assert_eq!(from_text(plain.as_str().unwrap(), &ty, &classes), Ok(value.clone()), "{}", plain);
            let text = to_text(&value);
            prop_assert_eq!(from_text(&text, &ty, &classes), Ok(value), "{}", text);
        }
    }

    #[test]
    fn keys_that_would_be_one_text_stay_apart() {
        let map = |pairs: Value| to_plain(&json!({"$": "map", "v": pairs}));
        assert_eq!(map(json!([[1, 2], ["a", 3]])), json!({"1": 2, "a": 3}));
        assert_eq!(map(json!([[1, 2], ["1", 3]])), json!([[1, 2], ["1", 3]]));
    }

    #[test]
    fn the_plain_form_has_no_tags() {
        let value = json!({
            "$$key": {"$": "date", "v": "2026-11-24"},
            "pair": {"$": "tuple", "v": [1, {"$": "decimal", "v": "1.50"}]},
            "row": {"$": "object", "t": "m.Row", "v": {"a": {"$": "float", "v": "nan"}}},
        });
        let plain = json!({"$key": "2026-11-24", "pair": [1, "1.50"], "row": {"a": "nan"}});
        assert_eq!(to_plain(&value), plain);
        let error = json!({"type": "ValueError", "message": "x", "status": "failed", "attempts": 1});
        let told = json!({"$": "object", "t": "qflow.OutcomeError", "v": error});
        let failed = json!({"$": "outcome", "v": {"ok": false, "value": null, "error": told}});
        assert_eq!(to_plain(&failed), json!({"ok": false, "value": null, "error": error}));
        let fine = json!({"$": "outcome", "v": {"ok": true, "value": {"$": "tuple", "v": [1]}, "error": null}});
        assert_eq!(to_plain(&fine), json!({"ok": true, "value": [1], "error": null}));
        assert_eq!(to_text(&json!(true)), "True");
    }
}
