//! What users see of a value at the edge.

use serde_json::{Map, Value, json};

use super::{python_key, tag};

/// The published plain form: dates in ISO, decimals as texts, tuples and sets as lists.
pub fn to_plain(value: &Value) -> Value {
    match (value, tag(value)) {
        (_, Some(("tuple" | "set" | "frozenset", Value::Array(items)))) => items.iter().map(to_plain).collect(),
        (_, Some(("object" | "outcome", inner))) => to_plain(inner),
        (_, Some(("map", Value::Array(pairs)))) => {
            pairs.iter().map(|pair| (to_text(&pair[0]), to_plain(&pair[1]))).collect::<Map<_, _>>().into()
        }
        (_, Some(("int", Value::String(text)))) => text.parse::<i64>().map_or_else(|_| json!(text), |v| json!(v)),
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
        (other, _) => to_plain(other).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
