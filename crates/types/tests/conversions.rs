//! The table of conversions as Rust judges types by it; `python/tests/test_conversions.py` makes the values of the same cases.

use std::collections::BTreeSet;

use qflow_model::class::Classes;
use qflow_types::{TABLE, Ty, Way, convertible, value};
use serde::Deserialize;
use serde_json::{Value, json};

/// A case that both sides read: types, how the one gets to the other, and where given a value with what comes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    from: String,
    to: String,
    way: String,
    #[serde(default, deserialize_with = "given")]
    value: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    expected: Option<Value>,
    error: Option<String>,
}

/// A value that is there, `null` too.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Case {
    fn types(&self) -> (Ty, Ty) {
        (self.from.parse().expect("a type"), self.to.parse().expect("a type"))
    }
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("conversions.json")).expect("a list of cases")
}

#[test]
fn every_case_goes_as_it_says() {
    let classes = classes();
    for case in cases() {
        let (from, to) = case.types();
        let way = match convertible(&from, &to, &classes) {
            Way::AsItIs => "as it is",
            Way::Converted => "converted",
            Way::MayFail => "may fail",
            Way::Not => "not",
        };
        assert_eq!(way, case.way, "{case:?}");
    }
}

#[test]
fn values_are_of_the_types_that_the_cases_name() {
    for case in cases() {
        let (from, to) = case.types();
        if let Some(value) = &case.value {
            assert_eq!(value::check(value, &from), Ok(()), "{case:?}");
        }
        // What stands under `Any` is nobody's promise.
        if let Some(expected) = case.expected.as_ref().filter(|_| !case.from.contains("Any") && case.from != "list") {
            assert_eq!(value::check(expected, &to), Ok(()), "{case:?}");
        }
        let never_fails = matches!(case.way.as_str(), "as it is" | "converted");
        assert!(!never_fails || case.error.is_none(), "{case:?}");
    }
}

/// The classes of the user's own that the cases name, as `python/tests/test_conversions.py` has them.
fn classes() -> Classes {
    let fields = |optional: bool| {
        let amount = if optional {
            json!({"name": "amount", "type": "int", "required": false, "default": 1})
        } else {
            json!({"name": "amount", "type": "int", "required": true})
        };
        json!([{"name": "item", "type": "str", "required": true}, amount])
    };
    let mut wide = fields(false);
    wide.as_array_mut().expect("a list").push(json!({"name": "note", "type": "str", "required": true}));
    serde_json::from_value(json!({
        "Order": {"name": "Order", "kind": "dataclass", "fields": fields(true)},
        "Row": {"name": "Row", "kind": "typed_dict", "fields": fields(false)},
        "Wide": {"name": "Wide", "kind": "typed_dict", "fields": wide},
        "Level": {"name": "Level", "kind": "enum", "bases": ["int"], "members": [{"name": "LOW", "value": 1}]},
        "Colour": {"name": "Colour", "kind": "enum", "members": [{"name": "RED", "value": "r"}, {"name": "BLUE", "value": "b"}]},
    }))
    .expect("classes")
}

/// What only Python makes or knows.
const UNKNOWN: &[&str] = &["DataFrame", "Pickle", "Invoice", "File"];

#[test]
fn values_are_made_as_the_cases_say() {
    let classes = classes();
    for case in cases() {
        let (_, to) = case.types();
        let Some(value) = case.value.as_ref().filter(|_| !UNKNOWN.iter().any(|name| case.to.contains(name))) else {
            continue;
        };
        let made = if case.way == "converted" {
            value::convert_taken(value.clone(), &to, &classes, false).map_err(|error| error.to_string())
        } else if case.way == "as it is" {
            continue;
        } else {
            value::convert(value, &to, &classes).map_err(|error| error.to_string())
        };
        match (&case.expected, &case.error) {
            (Some(expected), _) => assert_eq!(made.as_ref(), Ok(expected), "{case:?}"),
            (_, Some(error)) => assert_eq!(made.as_ref(), Err(error), "{case:?}"),
            // There is no conversion.
            _ => assert!(made.is_err(), "{case:?} made {made:?}"),
        }
    }
}

/// Whatever may fail is left alone where it was not asked for.
#[test]
fn without_convert_nothing_is_converted_that_may_fail() {
    let classes = classes();
    for case in cases().iter().filter(|case| matches!(case.way.as_str(), "may fail" | "not")) {
        let whole = !case.to.contains("tuple")
            && !case.to.contains("list")
            && !case.to.contains("set")
            && !case.to.contains("dict");
        // An `int` goes where a `float` is declared, and becomes a `Decimal` without being asked; a `datetime` as a `date` a text.
        let is_text = case.from == "datetime" && case.to == "str";
        let is_sure = |value: &Value| is_text || (case.from == "float" && value.is_i64());
        if let Some(value) = case.value.as_ref().filter(|value| whole && !case.to.contains('|') && !is_sure(value)) {
            let made = value::convert_taken(value.clone(), &case.types().1, &classes, false);
            assert_eq!(made.as_ref(), Ok(value), "{case:?}");
        }
    }
}

#[test]
fn a_text_is_read_as_the_command_line_reads_it() {
    for case in cases().iter().filter(|case| case.from == "str" && TABLE.iter().any(|row| row.to == case.to)) {
        let Some(Value::String(text)) = &case.value else { continue };
        let read = value::from_text(text, &case.types().1, &Classes::new());
        assert_eq!(read.ok(), case.expected, "{case:?}");
    }
}

#[test]
fn every_row_of_the_table_has_a_value_that_converts_and_where_it_may_fail_one_that_does_not() {
    let cases = cases();
    let with = |found: fn(&Case) -> bool| -> BTreeSet<(&str, &str)> {
        cases.iter().filter(|case| found(case)).map(|case| (case.from.as_str(), case.to.as_str())).collect()
    };
    let (converts, fails) = (with(|case| case.expected.is_some()), with(|case| case.error.is_some()));
    for (row, from) in TABLE.iter().flat_map(|row| row.from.iter().map(move |from| (row, *from))) {
        assert!(converts.contains(&(from, row.to)), "{from} → {}", row.to);
        assert_eq!(fails.contains(&(from, row.to)), row.may_fail, "{from} → {}", row.to);
    }
}
