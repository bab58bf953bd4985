//! What is read exactly, what is refused, and where.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn why(text: &[u8]) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn whole_numbers_are_what_they_are_at_any_size() {
    let digits = "9".repeat(400);
    for (text, value) in [
        ("9007199254740992", json!(9_007_199_254_740_992_i64)),
        ("-9007199254740993", json!({"$": "int", "v": "-9007199254740993"})),
        ("18446744073709551616", json!({"$": "int", "v": "18446744073709551616"})),
        (&*digits, json!({"$": "int", "v": digits})),
        ("-0", json!(0)),
        ("-0.0", json!(-0.0)),
        ("1e2", json!(100.0)),
        ("0.1", json!(0.1)),
        ("[{\"n\": 36893488147419103232}]", json!([{"n": {"$": "int", "v": "36893488147419103232"}}])),
    ] {
        assert_eq!(read(text.as_bytes()), Ok(value.clone()), "{text}");
        assert_eq!(read(text.as_bytes()).unwrap().to_string(), value.to_string(), "{text}");
    }
}

#[test]
fn a_key_that_looks_like_a_tag_is_a_key_but_in_the_tagged_form() {
    let text = br#"{"$": "int", "v": "7", "$x": 1}"#;
    assert_eq!(read(text).unwrap(), json!({"$$": "int", "v": "7", "$$x": 1}));
    assert_eq!(read_tagged(br#"{"$": "int", "v": "7"}"#).unwrap(), json!({"$": "int", "v": "7"}));
}

#[test]
fn fields_are_the_texts_that_were_written() {
    let text = br#" {"n": 36893488147419103232, "rows": [ {"a": 1} ], "$x": "}" } "#;
    let found = fields(text).unwrap();
    let expected = [("n", "36893488147419103232"), ("rows", "[ {\"a\": 1} ]"), ("$x", "\"}\"")];
    assert_eq!(found, expected.map(|(name, text)| (name.to_owned(), text)));
    assert_eq!(fields(b"[1]").unwrap_err().to_string(), "not a JSON object");
    assert_eq!(
        fields(br#"{"a": 1, "b": 2, "a": 3}"#).unwrap_err().to_string(),
        "at [\"a\"]: the key \"a\" comes twice"
    );
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let deep = "[".repeat(128);
    for (text, told) in [
        (&br#"{"a": 1, "a": 2}"#[..], "at [\"a\"]: the key \"a\" comes twice"),
        (br#"[0, {"b": {"\u0061": 1, "a": 1}}]"#, "at [1][\"b\"][\"a\"]: the key \"a\" comes twice"),
        (
            b"[1, NaN]",
            "at [1]: not JSON: JSON has no `NaN`: where a float is declared write \"nan\", \"inf\" or \"-inf\" (line 1, column 5)",
        ),
        (
            b"{\"x\": -Infinity}",
            "at [\"x\"]: not JSON: JSON has no `-Infinity`: where a float is declared write \"nan\", \"inf\" or \"-inf\" (line 1, column 7)",
        ),
        (b"[True]", "at [0]: not JSON: `True` is Python's: write `null`, `true` or `false` (line 1, column 2)"),
        (b"[1,\n \xff]", "at [1]: not JSON: these bytes are not UTF-8 (line 2, column 2)"),
        (b"{\"k\": \"a\xc3\"}", "at [\"k\"]: not JSON: these bytes are not UTF-8 (line 1, column 9)"),
        (b"1e999", "not JSON: `1e999` is too large or too small for a float (line 1, column 1)"),
        (b"[1e-999]", "at [0]: not JSON: `1e-999` is too large or too small for a float (line 1, column 2)"),
        (b"01", "not JSON: `01` is no value (line 1, column 1)"),
        (b"[1,]", "at [1]: not JSON: expected a value (line 1, column 4)"),
        (b"[1 2]", "not JSON: expected `,` or `]` (line 1, column 4)"),
        (b"{\"a\" 1}", "at [\"a\"]: not JSON: expected `:` (line 1, column 6)"),
        (b"{a: 1}", "not JSON: expected a key, which is a text in `\"` (line 1, column 2)"),
        (b"[1", "not JSON: expected `,` or `]`, and it ends (line 1, column 3)"),
        (b"", "not JSON: expected a value, and it ends (line 1, column 1)"),
        (b"1 2", "not JSON: more follows after the value (line 1, column 3)"),
        (b"\"a", "not JSON: a text without its `\"` (line 1, column 3)"),
        (
            b"\"a\nb\"",
            "not JSON: a line break or another sign of control in a text: write \\n, \\u000a (line 1, column 3)",
        ),
        (
            br#"["\ud800"]"#,
            "at [0]: not JSON: a text that does not read: unexpected end of hex escape (line 1, column 2)",
        ),
    ] {
        assert_eq!(why(text), told, "{}", String::from_utf8_lossy(text));
    }
    assert!(
        why(deep.as_bytes()).ends_with(": nested deeper than 127 levels (line 1, column 128)"),
        "{}",
        why(deep.as_bytes())
    );
    let full = format!("{}1{}", "[".repeat(127), "]".repeat(127));
    assert!(read(full.as_bytes()).is_ok());
    assert!(why(&b"9".repeat(400_000)).contains("has more digits than a value may have"));
}

#[test]
fn what_is_read_as_tagged_is_in_its_form() {
    for (text, told) in [
        (r#"{"$":"date","v":"2026-13-24"}"#, "a `date` that is none: 2026-13-24"),
        (r#"[{"$":"decimal","v":"abc"}]"#, "at [0]: a `decimal` that is none: abc"),
        (r#"{"a":{"$":"bogus","v":1}}"#, "at [\"a\"]: a form that is none: {\"$\":\"bogus\",\"v\":1}"),
        (r#"{"$":"timedelta","v":[1,86400,0]}"#, "a `timedelta` that is none: [1,86400,0]"),
        (r#"{"$":"bytes","v":"!!!"}"#, "a `bytes` that is none: !!!"),
        (r#"{"$":"map","v":[[1,2],[true,3]]}"#, "the key true comes twice"),
        (r#"{"v":"2026-11-24","$":"date"}"#, "a mapping with the key `$`, which is written `$$`"),
    ] {
        assert_eq!(read_tagged(text.as_bytes()).unwrap_err().to_string(), told, "{text}");
    }
    for text in [r#" {"$":"date","v":"2026-11-24"}"#, "\n12345678901234567890", r#"{"$$":1}"#, &"9".repeat(400)] {
        assert!(read_tagged(text.as_bytes()).is_ok(), "{text}");
    }
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(read_tagged(nested(100).as_bytes()).is_ok());
    assert_eq!(read_tagged(nested(101).as_bytes()).unwrap_err().to_string(), "nested deeper than 100 levels");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1_i64 << 53)..=1 << 53).prop_map(Value::from),
        any::<f64>().prop_filter("JSON has finite ones", |value| value.is_finite()).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("[^$]{0,6}", inner, 0..6)
                .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_writes_is_read_alike(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        prop_assert_eq!(read_tagged(text.as_bytes()).unwrap(), value);
    }

    /// Both take and refuse the same texts, but where ours refuses a loss.
    #[test]
    fn hostile_texts_are_taken_where_serde_takes_them(text in "[\\[\\]{}:,\"\\\\ 0-9a-f.eE+u-]{0,24}") {
        let theirs = serde_json::from_str::<Value>(&text);
        match (read_tagged(text.as_bytes()), &theirs) {
            (Ok(_), theirs) => prop_assert!(theirs.is_ok(), "{text}"),
            (Err(NotJson::Syntax(error)), theirs) => {
                prop_assert!(theirs.is_err() || error.message.contains("too small"), "{text}: {error}");
            }
            (Err(NotJson::Refused(error)), _) => prop_assert!(error.message.contains("twice"), "{text}: {error}"),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        drop(read(&bytes));
        drop(fields(&bytes));
    }
}
