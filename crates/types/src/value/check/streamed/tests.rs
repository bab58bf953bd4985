//! What a pass over the bytes finds, beyond what the tree tells.

use serde_json::json;

use super::*;
use crate::value::{encode, encoding::trailer_start};

fn checked(bytes: &[u8], ty: &str) -> Result<Found, String> {
    let (ty, classes) = (ty.parse().unwrap(), Classes::new());
    let of_slice = check_encoding(bytes, &ty, &classes).map_err(|error| error.to_string());
    let of_reader = check_reader(bytes, &ty, &classes).map_err(|error| error.to_string());
    // Of a reader what follows is not looked at.
    if of_slice.is_ok() {
        assert_eq!(of_slice, of_reader);
    }
    of_slice
}

const NO_JSON: &str = "the value's skeleton is not JSON, or nested deeper than 127 levels";

#[test]
fn what_readers_would_disagree_about_is_refused() {
    let many: String = (0..40).map(|key| format!("\"k{key}\":1,")).collect();
    for (bytes, ty, why) in [
        ("{\"a\":1,\"b\":2,\"a\":3}", "dict[str, int]", "the key \"a\" comes twice"),
        ("{\"a\":1,\"\\u0061\":3}", "dict[str, int]", "the key \"a\" comes twice"),
        (&format!("{{{many}\"k7\":2}}"), "dict[str, int]", "the key \"k7\" comes twice"),
        (&format!("{{{many}\"k39\":2}}"), "Any", "the key \"k39\" comes twice"),
        ("[{\"a\":1,\"a\":1}]", "list[int] | list[dict[str, int]]", "the key \"a\" comes twice"),
        ("{\"$\":\"map\",\"v\":[[1,2],[1.0,3]]}", "dict[float, int]", "the key 1.0 comes twice"),
        ("{\"a\":1,\"$\":\"tuple\",\"v\":[]}", "Any", "a mapping with the key `$`, which is written `$$`"),
        ("[{\"$\":\"date\",\"v\":\"soon\"}]", "list[date]", "at [0]: a `date` that is none: soon"),
        ("{\"x\":{\"$\":\"decimal\",\"v\":1}}", "Any", "invalid type: integer `1`, expected a text"),
        ("{\"$\":\"int\",\"v\":\"1.5\"}", "int", "a `int` that is none: 1.5"),
        ("{\"$\":\"timedelta\",\"v\":[0,86400,0]}", "timedelta", "a `timedelta` that is none: [0,86400,0]"),
        (
            "{\"$\":\"date\",\"v\":\"2026-11-24\",\"zone\":\"UTC\"}",
            "date",
            "a `date` that is none: `zone` is left over",
        ),
        (
            "{\"$\":\"time\",\"v\":\"09:30:00\",\"zone\":\"UTC\",\"fold\":2}",
            "time",
            "a `time` that is none: `fold` is 2",
        ),
        ("{\"$\":\"tuple\",\"w\":[]}", "Any", "a `tuple` that is none: `v` does not follow"),
        ("{\"$\":\"map\",\"v\":[[1]]}", "Any", "a `map` that is none: a pair of another length"),
        ("{\"$\":\"map\",\"v\":[[]]}", "Any", "a `map` that is none: a pair without a key"),
        ("{\"$\":\"object\",\"v\":{}}", "Any", "a `object` that is none: `t` does not follow"),
        ("{\"$\":\"other\",\"v\":1}", "Any", "a form that is none: {\"$\":\"other\",\"v\":1}"),
        (
            "{\"$\":\"attachment\",\"k\":\"other\",\"i\":0}",
            "Any",
            "a form that is none: {\"$\":\"attachment\",\"k\":\"other\",\"i\":0}",
        ),
        (
            "{\"$\":\"attachment\",\"k\":\"npy\"}",
            "ndarray",
            "a form that is none: {\"$\":\"attachment\",\"k\":\"npy\"}",
        ),
    ] {
        assert_eq!(checked(bytes.as_bytes(), ty), Err(why.to_owned()), "{bytes} as {ty}");
    }
}

#[test]
fn what_is_no_json_is_told_so() {
    for bytes in [
        &b"NaN"[..],
        b"[Infinity]",
        b"[1e999]",
        b"[1,]",
        b"[1] 2",
        b"{1:2}",
        b"",
        b"\"\xff\"",
        b"{\"\xc3\":1}",
        b"\"\xed\xa0\x80\"",
        b"\"\\ud800\"",
        b"01",
        "[".repeat(200).as_bytes(),
        format!("{}1{}", "[".repeat(128), "]".repeat(128)).as_bytes(),
        format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000)).as_bytes(),
    ] {
        assert_eq!(
            checked(bytes, "Any").unwrap_err(),
            NO_JSON,
            "{:?}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(20)])
        );
    }
    assert!(checked(format!("{}1{}", "[".repeat(127), "]".repeat(127)).as_bytes(), "Any").is_ok());
}

#[test]
fn a_path_has_the_key_of_each_level() {
    let many: String = (0..40).map(|key| format!("\"k{key}\":{{\"in\":1}},")).collect();
    for (bytes, ty, place) in [
        ("{\"out\":{\"in\":\"x\"}}", "dict[str, dict[str, int]]", "at [\"out\"][\"in\"]: "),
        ("{\"a\":{\"b\":{\"c\":\"x\"}}}", "dict[str, dict[str, dict[str, int]]]", "at [\"a\"][\"b\"][\"c\"]: "),
        ("[{\"a\":{\"b\":1,\"c\":\"x\"}}]", "list[dict[str, dict[str, int]]]", "at [0][\"a\"][\"c\"]: "),
        (&format!("{{{many}\"z\":{{\"in\":\"x\"}}}}"), "dict[str, dict[str, int]]", "at [\"z\"][\"in\"]: "),
        ("{\"a\":[{\"b\":\"x\"}]}", "dict[str, list[dict[str, int]]]", "at [\"a\"][0][\"b\"]: "),
    ] {
        assert_eq!(checked(bytes.as_bytes(), ty), Err(format!("{place}expected int, got str")), "{bytes}");
    }
}

#[test]
fn keys_that_are_equal_to_nothing_may_be_many() {
    let nan = "{\"$\":\"float\",\"v\":\"nan\"}";
    let pairs = format!("{{\"$\":\"map\",\"v\":[[{nan},1],[{nan},2]]}}");
    assert!(checked(pairs.as_bytes(), "dict[float, int]").is_ok());
}

#[test]
fn numbers_are_of_their_class_whatever_their_size() {
    for (bytes, ty, fits) in [
        ("9007199254740993", "int", true),
        ("18446744073709551615", "int", true),
        ("{\"$\":\"int\",\"v\":\"123456789012345678901234567890\"}", "int", true),
        ("{\"$\":\"int\",\"v\":\"123456789012345678901234567890\"}", "float", true),
        ("{\"$\":\"float\",\"v\":\"nan\"}", "float", true),
        ("{\"$\":\"float\",\"v\":\"-inf\"}", "int", false),
        ("{\"$\":\"float\",\"v\":\"-inf\"}", "complex", true),
        ("{\"$\":\"decimal\",\"v\":\"sNaN\"}", "Decimal", true),
        ("1.0", "int", false),
        ("1", "Literal[1, \"a\"]", true),
        ("1.0", "Literal[1]", false),
        ("true", "Literal[1]", false),
    ] {
        assert_eq!(checked(bytes.as_bytes(), ty).is_ok(), fits, "{bytes} as {ty}");
    }
}

#[test]
fn a_long_list_with_its_offsets_is_counted() {
    let rows: Vec<Value> = (0..5000).map(|i| json!({"row": i, "price": 1.5})).collect();
    let encoded = encode(&Value::Array(rows.clone()));
    assert!(trailer_start(&encoded.bytes).is_some());
    assert_eq!(checked(&encoded.bytes, "list[dict[str, float]]"), Ok(Found { items: Some(5000), is_pickled: false }));
    assert_eq!(checked(&encoded.bytes, "list[dict[str, float]] | list[int]").map(|found| found.items), Ok(Some(5000)));
    assert_eq!(checked(b"{}", "dict[str, int]").map(|found| found.items), Ok(None));
    let mut wrong = rows;
    wrong[4711]["price"] = json!("7");
    let told = checked(&encode(&Value::Array(wrong)).bytes, "list[dict[str, float]]");
    assert_eq!(told, Err("at [4711][\"price\"]: expected float, got str".to_owned()));
}

#[test]
fn a_pickle_is_found_wherever_it_is() {
    let pickle = json!({"$": "attachment", "k": "pickle", "i": 0, "lock": "x", "user": "y"});
    for (value, is_pickled) in [
        (pickle.clone(), true),
        (json!([{"a": {"$": "tuple", "v": [pickle]}}]), true),
        (json!({"$": "outcome", "v": {"ok": true, "value": [pickle], "error": null}}), true),
        (json!({"$": "object", "t": "m.C", "v": {"x": pickle}}), true),
        (json!({"$": "map", "v": [[1, pickle]]}), true),
        (json!({"k": "pickle"}), false),
        (json!({"$": "attachment", "k": "file", "i": 0}), false),
    ] {
        let found = checked(&encode(&value).bytes, "Any").unwrap();
        assert_eq!(found.is_pickled, is_pickled, "{value}");
    }
}
