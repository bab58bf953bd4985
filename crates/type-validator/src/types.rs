//! Questions about types and values by themselves, without a workflow: what the service and `qflow types` answer alike. Pure.

mod describe;

pub use describe::{Conversion, Description, describe};

use qflow_model::class::Classes;
use qflow_python_source::NotAType;
pub use qflow_types::value::json::NotJson;
use qflow_types::{Ty, Way, assignable_among, convertible, value};
use serde::Serialize;
use serde_json::{Map, Value};

/// Whether a value of one type goes where another is declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// Whether it does, as it is.
    pub compatible: bool,
    /// Why not; empty where it does.
    pub reason: String,
    /// How it gets there otherwise: `as_it_is`, `converted` (never fails), `may_fail` (needs `convert=True`), `not`.
    pub conversion: &'static str,
}

/// A value of a type, made or checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Whether it is one.
    pub ok: bool,
    /// What was made of it, in the form that was asked for; nothing where nothing was.
    pub value: Value,
    /// What is wrong; empty where nothing is.
    pub reason: String,
    /// Where in the value, e.g. `[3]["price"]`; empty for the whole.
    pub path: String,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Plain JSON: dates in ISO 8601, decimals as texts, tuples and sets as lists.
    #[default]
    Plain,
    /// As it is stored, every type told: `{"$": "decimal", "v": "1.50"}`.
    Tagged,
}

/// Answers about one edge.
pub fn edge(source: &Ty, target: &Ty, classes: &Classes) -> Edge {
    let reason = assignable_among(source, target, classes).err().map(|reason| reason.to_string());
    let conversion = match convertible(source, target, classes) {
        Way::AsItIs => "as_it_is",
        Way::Converted => "converted",
        Way::MayFail => "may_fail",
        Way::Not => "not",
    };
    Edge { compatible: reason.is_none(), reason: reason.unwrap_or_default(), conversion }
}

/// A value as it is stored; plain JSON says no more than JSON does.
pub fn read(text: &[u8], form: Form) -> Result<Value, NotJson> {
    match form {
        Form::Plain => value::json::read_digits(text),
        Form::Tagged => value::json::read_tagged(text),
    }
}

/// Converts a value by the published table; what is of the type already stays as it is. The answer is in the given form.
pub fn convert(given: &Value, form: Form, ty: &Ty, classes: &Classes) -> Answer {
    answer(value::convert(given, ty, classes).map(value::json::as_floats), form)
}

/// Whether a value is of a type.
pub fn check(given: &Value, form: Form, ty: &Ty, classes: &Classes) -> Answer {
    let given = value::json::as_floats(given.clone());
    answer(value::check_fields(&given, ty, classes).map(|()| given), form)
}

/// What is said of a value that is not there, or of no type.
pub fn answer(made: Result<Value, value::ValueError>, form: Form) -> Answer {
    match made {
        Ok(value) => {
            let value = if form == Form::Plain { value::to_plain(&value) } else { value };
            Answer { ok: true, value, reason: String::new(), path: String::new() }
        }
        Err(error) => Answer { ok: false, value: Value::Null, reason: error.message, path: error.path },
    }
}

/// The JSON of an answer, and the same keys where a type could not be read.
pub fn refused(wrong: &NotAType, keys: &[(&str, Value)]) -> Value {
    let mut told: Map<String, Value> = keys.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    told.insert("reason".to_owned(), Value::from(wrong.to_string()));
    told.insert("error".to_owned(), Value::from("not-a-type"));
    Value::Object(told)
}

#[cfg(test)]
mod tests {
    use qflow_python_source::annotation;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_edge_says_why_not_and_what_would_be_converted() {
        let told = |source: &str, target: &str| {
            let edge = edge(&annotation(source).unwrap(), &annotation(target).unwrap(), &Classes::new());
            (edge.compatible, edge.reason, edge.conversion)
        };
        assert_eq!(told("bool", "t.Optional[float]"), (true, String::new(), "as_it_is"));
        assert_eq!(told("date", "datetime"), (false, "date is not datetime".to_owned(), "converted"));
        assert_eq!(told("list[str]", "list[int]"), (false, "at […]: str is not int".to_owned(), "may_fail"));
        assert_eq!(told("set[int]", "list[int]"), (false, "set[int] is not list[int]".to_owned(), "not"));
    }

    #[test]
    fn a_value_is_converted_and_checked_in_either_form() {
        let asked = |ask: fn(&Value, Form, &Ty, &Classes) -> Answer, text: &str, form: Form, ty: &str| {
            ask(&read(text.as_bytes(), form).unwrap(), form, &annotation(ty).unwrap(), &Classes::new())
        };
        let made = asked(convert, r#"[{"price": "1.50"}]"#, Form::Plain, "list[dict[str, Decimal]]");
        assert_eq!((made.ok, made.value), (true, json!([{"price": "1.50"}])));
        let made = asked(convert, r#""1.50""#, Form::Tagged, "Decimal");
        assert_eq!(made.value, json!({"$": "decimal", "v": "1.50"}));
        let wrong = asked(convert, r#"[{"price": "x"}]"#, Form::Plain, "list[dict[str, float]]");
        assert_eq!((wrong.ok, wrong.value, wrong.path.as_str()), (false, Value::Null, "[0][\"price\"]"));
        let wrong = asked(check, r#"[1, "x"]"#, Form::Plain, "list[int]");
        assert_eq!((wrong.ok, wrong.reason.as_str(), wrong.path.as_str()), (false, "expected int, got str", "[1]"));
        assert!(asked(check, r#"{"$": "tuple", "v": [1, "x"]}"#, Form::Tagged, "tuple[int, str]").ok);
        // A key that looks like a tag is a key in the plain form.
        assert!(!asked(check, r#"{"$": "tuple", "v": [1, "x"]}"#, Form::Plain, "tuple[int, str]").ok);
        let large = asked(convert, "[36893488147419103232]", Form::Tagged, "list[Decimal]");
        assert_eq!(large.value, json!([{"$": "decimal", "v": "36893488147419103232"}]));
        assert_eq!(
            read(br#"[{"a": 1, "a": 2}]"#, Form::Tagged).unwrap_err().to_string(),
            "at [0][\"a\"]: the key \"a\" comes twice"
        );
    }
}
