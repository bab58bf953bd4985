//! What parameters of known classes are read as, and what is said of those that do not read.

use super::*;
use crate::value::from_json;

fn classes() -> Classes {
    let field = |name: &str, ty: &str, default: Option<Value>| {
        let mut field = json!({"name": name, "type": ty, "required": default.is_none()});
        default.into_iter().for_each(|default| field["default"] = default);
        field
    };
    serde_json::from_value(json!({
        "Unit": {"name": "w.Unit", "kind": "enum", "members": [
            {"name": "DAY", "value": "day"}, {"name": "HOUR", "value": "hour"}, {"name": "D", "value": "day"},
        ]},
        "Level": {"name": "w.Level", "kind": "enum", "members": [{"name": "LOW", "value": 1}, {"name": "HIGH", "value": 2}]},
        "Part": {"name": "w.Part", "kind": "dataclass", "fields": [
            field("name", "str", None), field("since", "date | None", Some(json!(null))), field("unit", "Unit", Some(json!({"$": "enum", "t": "w.Unit", "v": "DAY"}))),
        ]},
        "Order": {"name": "w.Order", "kind": "typed_dict", "fields": [
            field("parts", "list[Part]", None), {"name": "note", "type": "str", "required": false},
        ]},
        "Pair": {"name": "w.Pair", "kind": "named_tuple", "fields": [field("x", "int", None), field("y", "Unknown", None)]},
        "Basket": {"name": "w.Basket", "kind": "model", "fields": [field("count", "int", None), field("parts", "list[Inner]", Some(json!([])))]},
        "Inner": {"name": "w.Inner", "kind": "model", "fields": [field("day", "date", None)]},
    }))
    .unwrap()
}

fn read(text: &str, ty: &str) -> Result<Value, String> {
    super::super::from_text(text, &ty.parse().unwrap(), &classes()).map_err(|e| e.to_string())
}

#[test]
fn a_member_is_named_or_given_by_its_value() {
    let day = json!({"$": "enum", "t": "w.Unit", "v": "DAY"});
    for text in ["DAY", "day", "D"] {
        assert_eq!(read(text, "Unit"), Ok(day.clone()), "{text}");
        assert_eq!(read(text, "Unit | None"), Ok(day.clone()), "{text}");
    }
    assert_eq!(read("[\"DAY\"]", "list[Unit]"), Ok(json!([day])));
    assert_eq!(read("{\"day\": 1}", "dict[Unit, int]"), Ok(json!({"$": "map", "v": [[day, 1]]})));
    let high = json!({"$": "enum", "t": "w.Level", "v": "HIGH"});
    assert_eq!(
        (read("2", "Level"), read("HIGH", "Level"), read("[2]", "list[Level]")),
        (Ok(high.clone()), Ok(high.clone()), Ok(json!([high])))
    );
    assert_eq!(read("null", "Unit | None"), Ok(Value::Null));
    for (text, ty, why) in [
        ("DY", "Unit", "`DY` is no member of Unit, which has DAY, HOUR, D"),
        ("[1.0]", "list[Level]", "at [0]: 1.0 is no member of Level, which has LOW, HIGH"),
        ("3", "Level | None", "`3` is no member of Level, which has LOW, HIGH"),
        ("[\"x\"]", "list[Unit]", "at [0]: \"x\" is no member of Unit, which has DAY, HOUR, D"),
    ] {
        assert_eq!(read(text, ty), Err(why.to_owned()));
    }
}

#[test]
fn a_record_is_made_of_its_fields() {
    let part = json!({"$": "object", "t": "w.Part", "v": {
        "name": "a", "since": {"$": "date", "v": "2026-11-24"}, "unit": {"$": "enum", "t": "w.Unit", "v": "DAY"},
    }});
    assert_eq!(read(r#"{"since": "2026-11-24", "name": "a"}"#, "Part"), Ok(part.clone()));
    let order = r#"{"parts": [{"name": "a", "since": "2026-11-24"}], "note": "x"}"#;
    assert_eq!(read(order, "Order | None"), Ok(json!({"parts": [part], "note": "x"})));
    let pair = json!({"$": "object", "t": "w.Pair", "v": {"x": 1, "y": 5}});
    assert_eq!(read(r#"{"y": 5, "x": 1}"#, "Pair"), Ok(pair));
    let large = r#"{"count": 36893488147419103232, "parts": [], "$x": 1}"#;
    let digits = json!({"$": "int", "v": "36893488147419103232"});
    assert_eq!(read(large, "Basket"), Ok(json!({"count": digits, "parts": [], "$$x": 1})));
    let basket = r#"{"count": "3", "parts": [{"day": "2026-11-24"}], "more": 1}"#;
    assert_eq!(
        read(basket, "Basket"),
        Ok(serde_json::from_str(basket).unwrap()),
        "pydantic converts, and passes over more"
    );
}

#[test]
fn what_is_wrong_with_a_record_is_told_with_its_path() {
    for (text, ty, why) in [
        ("{}", "Part", "Part needs `name`"),
        (r#"{"name": "a", "prise": 1}"#, "Part", "Part has no field `prise`; it has name, since, unit"),
        (r#"{"name": 7}"#, "Part | None", "at .name: expected str, got 7"),
        (r#"{"name": "a", "unit": "DY"}"#, "Part", "at .unit: \"DY\" is no member of Unit, which has DAY, HOUR, D"),
        (r#"{"parts": [{"name": "a"}, {"since": null}]}"#, "Order", "at [\"parts\"][1]: Part needs `name`"),
        ("5", "Part", "expected Part, got 5"),
        ("a", "Part", "expected Part as JSON: `a` is no value (line 1, column 1)"),
        (r#"{"parts": []}"#, "Basket", "Basket needs `count`"),
        (r#"{"count": "many"}"#, "Basket", "at .count: expected int, got \"many\""),
        (r#"{"count": 1, "parts": [{"day": []}]}"#, "Basket", "at .parts[0].day: expected date, got []"),
        (r#"{"count": 1, "count": 2}"#, "Basket", "at [\"count\"]: the key \"count\" comes twice"),
        ("36893488147419103232", "Part", "expected Part, got 36893488147419103232"),
        (r#"{"parts": [36893488147419103232]}"#, "Order", "at [\"parts\"][0]: expected Part, got 36893488147419103232"),
    ] {
        assert_eq!(read(text, ty), Err(why.to_owned()), "{text}");
    }
}

#[test]
fn classes_that_hold_one_another_are_tried_once_for_each_object() {
    let field = |name: &str, ty: &str| json!({"name": name, "type": ty, "required": true});
    for kind in ["typed_dict", "model"] {
        let of = |end: &str| json!({"name": "w.C", "kind": kind, "fields": [field("next", "None | Left | list[Right] | Right"), field("end", end)]});
        let classes: Classes = serde_json::from_value(json!({"Left": of("int"), "Right": of("date")})).unwrap();
        // Tried anew in each member, ninety-nine levels would never end.
        let deep = |innermost: Value| (0..99).fold(innermost, |next, _| json!({"next": next, "end": "2026-11-24"}));
        let read = |plain: Value| from_json(plain.to_string().as_bytes(), &"Left | Right".parse().unwrap(), &classes);
        assert_eq!(read(deep(json!(null))).map(drop), Ok(()), "{kind}");
        // Of a model pydantic has the last word.
        assert_eq!(read(deep(json!(1))).is_err(), kind == "typed_dict");
    }
}
