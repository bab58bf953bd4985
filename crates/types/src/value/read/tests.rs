//! Texts and plain JSON by their declared types.

use super::*;

fn read(text: &str, ty: &str) -> Result<Value, String> {
    from_text(text, &ty.parse().unwrap(), &Classes::new()).map_err(|e| e.to_string())
}

#[test]
fn a_text_is_read_by_the_declared_type() {
    for (text, ty, value) in [
        ("007", "str", json!("007")),
        ("null", "str", json!("null")),
        ("007", "int", json!(7)),
        ("1e3", "float", json!(1000.0)),
        ("inf", "float", json!({"$": "float", "v": "inf"})),
        (" a/b ", "Path", json!({"$": "path", "v": " a/b "})),
        ("yes", "bool", json!(true)),
        ("12345678901234567890", "int", json!({"$": "int", "v": "12345678901234567890"})),
        ("2026-02-28", "date", json!({"$": "date", "v": "2026-02-28"})),
        ("[1, 2]", "list[float]", json!([1.0, 2.0])),
        ("[\"nan\", \"-inf\"]", "list[float]", json!([{"$": "float", "v": "nan"}, {"$": "float", "v": "-inf"}])),
        ("[\"nan\"]", "list[float | str]", json!(["nan"])),
        // 2⁷⁰ is a float, and one more is none.
        ("[1180591620717411303424]", "list[float]", json!([1_180_591_620_717_411_303_424.0])),
        ("[1180591620717411303425]", "list[float]", json!([{"$": "int", "v": "1180591620717411303425"}])),
        ("[9007199254740993]", "list[float]", json!([{"$": "int", "v": "9007199254740993"}])),
        (
            "{\"a\": 1180591620717411303425}",
            "dict[str, int]",
            json!({"a": {"$": "int", "v": "1180591620717411303425"}}),
        ),
        ("[1180591620717411303425]", "Any", json!([{"$": "int", "v": "1180591620717411303425"}])),
        ("{\"$\": 1}", "Any", json!({"$$": 1})),
        ("12e4567", "Any", json!("12e4567")),
        ("[1, 2]", "tuple[int, int]", json!({"$": "tuple", "v": [1, 2]})),
        ("{\"$x\": 1}", "dict[str, int]", json!({"$$x": 1})),
        ("aGk=", "bytes", json!({"$": "bytes", "v": "aGk="})),
        ("aGk=", "bytes | None", json!({"$": "bytes", "v": "aGk="})),
        ("[\"aGk=\"]", "list[bytes]", json!([{"$": "bytes", "v": "aGk="}])),
        ("word", "str | bytes", json!("word")),
        ("7", "int | str", json!(7)),
        ("7", "int | float", json!(7)),
        ("7", "Decimal | int", json!(7)),
        ("7.5", "int | float", json!(7.5)),
        ("9007199254740993", "int | float", json!({"$": "int", "v": "9007199254740993"})),
        ("1", "bool | int", json!(1)),
        ("yes", "bool | int", json!(true)),
        ("[1, 2.5]", "list[int | float]", json!([1, 2.5])),
        ("[1]", "list[float] | list[int]", json!([1])),
        ("[1]", "str | list[float]", json!([1.0])),
        ("[x]", "str | list[float]", json!("[x]")),
        ("x", "int | str", json!("x")),
        ("b", "Literal[\"a\", \"b\"]", json!("b")),
        ("plain", "Any", json!("plain")),
        ("{\"$\": \"int\", \"v\": \"7\"}", "dict[str, str]", json!({"$$": "int", "v": "7"})),
        (
            "{\"ok\": true, \"value\": [1], \"error\": null}",
            "Outcome[tuple[int]]",
            json!({"$": "outcome", "v": {"ok": true, "value": {"$": "tuple", "v": [1]}, "error": null}}),
        ),
        (
            "{\"ok\": false, \"error\": {\"type\": \"E\", \"message\": \"\", \"status\": \"failed\", \"attempts\": 1}}",
            "Outcome[int]",
            json!({"$": "outcome", "v": {"ok": false, "value": null, "error": {"$": "object", "t": "qflow.OutcomeError", "v":
                {"type": "E", "message": "", "status": "failed", "attempts": 1}}}}),
        ),
    ] {
        assert_eq!(read(text, ty), Ok(value), "{text} as {ty}");
    }
}

#[test]
fn a_text_that_does_not_read_says_what_was_expected() {
    for (text, ty, why) in [
        ("many", "int", "expected int, got `many`"),
        // No tag is read from what users write.
        ("[{\"$\": \"int\", \"v\": \"7\"}]", "list[int]", "at [0]: expected int, got {\"$\":\"int\",\"v\":\"7\"}"),
        (
            "{\"$\": \"attachment\", \"k\": \"arrow\", \"i\": 0}",
            "DataFrame",
            "expected DataFrame, got {\"$\":\"attachment\",\"k\":\"arrow\",\"i\":0}",
        ),
        ("[1180591620717411303425]", "list[str]", "at [0]: expected str, got 1180591620717411303425"),
        ("[1180591620717411303425]", "list[Decimal | None]", "at [0]: expected Decimal, got 1180591620717411303425"),
        ("{\"a\": {\"b\": 1, \"b\": 2}}", "Any", "at [\"a\"][\"b\"]: the key \"b\" comes twice"),
        ("{\"b\": 1, \"b\": 1}", "dict[str, int] | None", "at [\"b\"]: the key \"b\" comes twice"),
        ("[1, 2", "list[int]", "expected list[int] as JSON: expected `,` or `]`, and it ends (line 1, column 6)"),
        ("2026-02-30", "date", "expected date, got `2026-02-30`"),
        ("[1, \"x\"]", "list[int]", "at [1]: expected int, got \"x\""),
        ("1.5", "int", "expected int, got `1.5`"),
        ("[\"x\", \"y\", \"x\"]", "set[str]", "at [2]: \"x\" comes twice"),
        ("[\"2026-01-01\", \"20260101\"]", "frozenset[date]", "at [1]: \"20260101\" comes twice"),
        ("1e999", "float", "expected float, got `1e999`"),
        ("1e-999", "float", "expected float, got `1e-999`"),
        ("aGk", "bytes", "expected bytes in base64, got `aGk`"),
        ("+-5", "Decimal", "expected Decimal, got `+-5`"),
        ("2026-02-28T25:00", "datetime", "expected datetime, got `2026-02-28T25:00`"),
    ] {
        assert_eq!(read(text, ty), Err(why.to_owned()));
    }
}

#[test]
fn a_value_has_a_hundred_levels_whatever_is_made_of_it() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let deep = Err("nested deeper than 100 levels".to_owned());
    assert!(read(&nested(100), "Any").is_ok());
    assert_eq!(read(&nested(101), "Any"), deep);
    let json = |text: &str, ty: &str| {
        from_json(text.as_bytes(), &ty.parse().unwrap(), &Classes::new()).map_err(|e| e.to_string())
    };
    assert!(json(&nested(99), "tuple[Any]").is_ok());
    // A tuple is two levels.
    assert_eq!(json(&nested(100), "tuple[Any]"), deep);
}
