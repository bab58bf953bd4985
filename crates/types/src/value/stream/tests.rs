//! What is streamed is what is read whole and turned into the plain form.

use proptest::prelude::*;
use qflow_model::tagged;
use serde_json::json;

use super::*;
use crate::value::{encode, to_plain};

struct Whole(Vec<u8>);

impl Bytes for Whole {
    fn open(&self) -> impl Read {
        self.0.as_slice()
    }
}

fn streamed(value: &Value, path: &[Segment], how: Written) -> Result<String, String> {
    let mut out = Vec::new();
    plain_part(&Whole(encode(value).bytes), path, how, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn a_text_goes_without_quotes_where_that_is_asked_for() {
    let raw = Written { raw: true, first: 0 };
    assert_eq!(streamed(&json!("a \"b\"\n"), &[], raw).unwrap(), "a \"b\"\n");
    assert_eq!(streamed(&json!({"$": "date", "v": "2026-11-24"}), &[], raw).unwrap(), "2026-11-24");
    assert_eq!(streamed(&json!(["a"]), &[], raw).unwrap(), "[\"a\"]");
}

#[test]
fn a_part_is_found_in_whatever_holds_it() {
    let value = json!({
        "rows": [1, 2, 3], "$$": 5, "": 6,
        "pair": {"$": "tuple", "v": [{"$": "decimal", "v": "1.50"}, "x"]},
        "by": {"$": "map", "v": [[7, "seven"], ["k", "text"]]},
        "row": {"$": "object", "t": "m.Row", "v": {"day": {"$": "date", "v": "2026-11-24"}}},
    });
    let (key, index, field) = (|k: &str| Segment::Key(k.into()), Segment::Index, |f: &str| Segment::Field(f.into()));
    for path in [
        vec![key("rows"), index(-1)],
        vec![key("rows"), index(0)],
        vec![key("$")],
        vec![key("pair"), index(-2)],
        vec![key("by"), index(7)],
        vec![key("by"), key("k")],
        vec![key("row"), field("day")],
        vec![],
    ] {
        let expected = to_plain(tagged::at(&value, &path).unwrap()).to_string();
        assert_eq!(streamed(&value, &path, Written::default()), Ok(expected), "{path:?}");
    }
    for path in [vec![key("none")], vec![key("rows"), index(3)], vec![key("rows"), index(-4)], vec![index(0)]] {
        assert!(streamed(&value, &path, Written::default()).is_err(), "{path:?}");
    }
}

#[test]
fn an_attachment_is_told_from_everything_else() {
    let file = json!({"$": "attachment", "k": "file", "i": 2, "n": "a.csv"});
    let value = json!({"report": file, "rows": [1]});
    let bytes = Whole(encode(&value).bytes);
    let found = attachment_at(&bytes, &[Segment::Key("report".into())]).unwrap().unwrap();
    assert_eq!((&found["k"], &found["n"]), (&json!("file"), &json!("a.csv")));
    assert_eq!(attachment_at(&bytes, &[]).unwrap(), None);
    assert_eq!(attachment_at(&bytes, &[Segment::Key("rows".into()), Segment::Index(0)]).unwrap(), None);
    let numbered = streamed(&value, &[Segment::Key("report".into())], Written { first: 3, raw: false });
    assert_eq!(numbered.unwrap(), r#"{"attachment":"file","index":5}"#);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        Just(json!({"$": "decimal", "v": "1.5"})),
        Just(json!({"$": "int", "v": "123456789012345678901"})),
        Just(json!({"$": "timedelta", "v": [1, 2, 3]})),
        Just(json!({"$": "attachment", "k": "arrow", "i": 1})),
        Just(json!({"$": "enum", "t": "m.E", "v": "RED"})),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..5);
        prop_oneof![
            list.clone().prop_map(Value::Array),
            list.clone().prop_map(|v| json!({"$": "tuple", "v": v})),
            list.prop_map(|v| json!({"$": "set", "v": v})),
            prop::collection::btree_map("[a-z$]{0,3}", inner.clone(), 0..4).prop_map(|fields| {
                fields.into_iter().map(|(k, v)| (stored_key(&k), v)).collect::<Map<_, _>>().into()
            }),
            prop::collection::btree_map(0..9_i64, inner.clone(), 0..4)
                .prop_map(|pairs| json!({"$": "map", "v": pairs.into_iter().collect::<Vec<_>>()})),
            inner.prop_map(|v| json!({"$": "object", "t": "m.C", "v": {"f": v}})),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_streamed_is_the_plain_form(value in values()) {
        prop_assert_eq!(streamed(&value, &[], Written::default()), Ok(to_plain(&value).to_string()));
    }
}
