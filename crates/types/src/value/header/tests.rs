//! Headers as pyarrow and numpy write them, against declarations.

use polars_arrow_format::ipc::{
    DictionaryEncoding, Field, FloatingPoint, Int, KeyValue, Message, MessageHeader, MetadataVersion, Precision,
    Schema, Type, Utf8, planus::Builder,
};
use qflow_model::class::Classes;
use serde_json::json;

use super::*;
use crate::{
    Ty,
    value::{check_each, check_encoding_attached},
};

/// A stream that begins as pyarrow's: `numbers` are columns of them, by name and type.
fn stream(columns: Vec<Field>, metadata: &[(&str, &str)]) -> Vec<u8> {
    let pairs =
        metadata.iter().map(|(key, value)| KeyValue { key: Some((*key).to_owned()), value: Some((*value).to_owned()) });
    let schema = Schema { fields: Some(columns), custom_metadata: Some(pairs.collect()), ..Schema::default() };
    let message = Message {
        version: MetadataVersion::V5,
        header: Some(MessageHeader::Schema(Box::new(schema))),
        body_length: 0,
        custom_metadata: None,
    };
    let mut builder = Builder::new();
    let told = builder.finish(&message, None).to_vec();
    let mut bytes = [0xff; 4].to_vec();
    bytes.extend((told.len() as u32).to_le_bytes());
    bytes.extend(told);
    bytes.extend(b"what follows is not looked at");
    bytes
}

fn field(name: &str, ty: Type) -> Field {
    Field { name: Some(name.to_owned()), type_: Some(ty), nullable: true, ..Field::default() }
}

fn sales() -> Vec<Field> {
    let amount = Type::FloatingPoint(Box::new(FloatingPoint { precision: Precision::Double }));
    let region = Field {
        dictionary: Some(Box::new(DictionaryEncoding::default())),
        ..field("region", Type::Utf8(Box::new(Utf8 {})))
    };
    vec![
        field("day", Type::Timestamp(Box::default())),
        field("amount", amount),
        field("count", Type::Int(Box::new(Int { bit_width: 32, is_signed: true }))),
        region,
        field("__index_level_0__", Type::Int(Box::new(Int { bit_width: 64, is_signed: true }))),
    ]
}

const PANDAS: &str = r#"{"index_columns": ["__index_level_0__"], "columns": []}"#;

/// What is wrong with a value of one attachment, as a tree and from its bytes.
fn unfit(kind: &str, bytes: &[u8], ty: &str) -> Option<String> {
    let size = header_bytes(kind, &bytes[..16]).unwrap().unwrap();
    let headers = Headers::from([(0, Header::read(kind, &bytes[..size]).unwrap())]);
    let fields = json!([
        {"name": "day", "type": "datetime", "required": true},
        {"name": "amount", "type": "Series[float64]", "required": true},
        {"name": "region", "type": "str", "required": false},
    ]);
    let model = |fields| json!({"name": "w.Sale", "kind": "model", "fields": fields});
    let missing = json!([{"name": "price", "type": "float", "required": true}]);
    let index = json!([{"name": "__index_level_0__", "type": "int", "required": true}]);
    let texts = json!([{"name": "amount", "type": "str", "required": true}]);
    let classes =
        json!({"Sale": model(fields), "Priced": model(missing), "Told": model(texts), "Indexed": model(index)});
    let classes: Classes = serde_json::from_value(classes).unwrap();
    let (value, ty): (_, Ty) =
        (json!([{"$": "attachment", "k": kind, "i": 0}]), format!("list[{ty}]").parse().unwrap());
    let named = [(&String::new(), &value, &ty)];
    let told = check_each(named, &classes, &headers).err().map(|(_, error)| error.to_string());
    let encoded = serde_json::to_vec(&value).unwrap();
    let streamed = check_encoding_attached(&encoded, &ty, &classes, &headers).err().map(|error| error.to_string());
    assert_eq!(told, streamed);
    told
}

#[test]
fn a_frame_is_held_to_its_declared_columns() {
    let bytes = stream(sales(), &[("pandas", PANDAS), ("qflow", "pandas")]);
    for (ty, why) in [
        ("DataFrame", None),
        ("DataFrame[Sale]", None),
        ("DataFrame[Unknown]", None),
        ("DataFrame[Priced]", Some("at [0]: expected DataFrame[Priced], got a frame without the column `price`")),
        ("DataFrame[Told]", Some("at [0][\"amount\"]: expected str, got a column of float64")),
        (
            "DataFrame[Indexed]",
            Some("at [0]: expected DataFrame[Indexed], got a frame without the column `__index_level_0__`"),
        ),
        ("Series[float]", Some("at [0]: expected Series[float], got DataFrame")),
    ] {
        assert_eq!(unfit("arrow", &bytes, ty).as_deref(), why, "{ty}");
    }
}

#[test]
fn a_series_and_a_category_are_held_to_what_they_hold() {
    let series = |at: usize| stream(vec![sales().swap_remove(at)], &[("qflow", "series=x"), ("pandas", "no JSON")]);
    for (at, ty, why) in [
        (1, "Series[float]", None),
        (1, "Series[float | None]", None),
        (1, "Series[int]", Some("at [0]: expected int, got a column of float64")),
        (2, "Series[float]", None),
        (2, "Series[int64]", Some("at [0]: expected int64, got a column of int32")),
        (3, "Series[str]", None),
        (3, "Series[CategoricalDtype]", None),
        (3, "Series[int]", Some("at [0]: expected int, got a column of category of str")),
        (0, "Series[datetime64]", None),
        (0, "DataFrame[Sale]", Some("at [0]: expected DataFrame[Sale], got Series")),
    ] {
        assert_eq!(unfit("arrow", &series(at), ty).as_deref(), why, "{ty}");
    }
}

#[test]
fn an_array_is_held_to_its_elements_and_its_shape() {
    let told = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((told.len() as u16).to_le_bytes());
    bytes.extend(told.bytes());
    let got = "got an array of float32 with the shape (3, 4)";
    for (ty, fits) in [
        ("ndarray", true),
        ("ndarray[Any, dtype[float32]]", true),
        ("ndarray[Any, dtype[floating]]", true),
        ("ndarray[Any, dtype[float64]]", false),
        ("ndarray[tuple[int, int], dtype[float32]]", true),
        ("ndarray[tuple[int, ...], dtype[float32]]", true),
        ("ndarray[tuple[Literal[3], int], dtype[float32]]", true),
        ("ndarray[tuple[Literal[2], int], dtype[float32]]", false),
        ("ndarray[tuple[int], dtype[float32]]", false),
    ] {
        let why = (!fits).then(|| format!("at [0]: expected {ty}, {got}"));
        assert_eq!(unfit("npy", &bytes, ty), why, "{ty}");
    }
}

#[test]
fn what_is_no_schema_is_told() {
    let bytes = stream(sales(), &[]);
    for (bytes, why) in [
        (&bytes[..3], "a frame that ends in its schema"),
        (&bytes[..40], "a frame that ends in its schema"),
        (&[0xff, 0xff, 0xff, 0xff, 4, 0, 0, 0, 9, 9, 9, 9], "a frame whose schema does not read"),
    ] {
        let told = Header::read("arrow", bytes).unwrap_err().to_string();
        assert!(told.starts_with(why), "{told}");
    }
    let long = header_bytes("arrow", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).unwrap();
    assert_eq!(long.unwrap_err().to_string(), "a header of 2147483655 bytes, where 16777216 are read");
    assert_eq!(header_bytes("file", b"PK"), None);
}

#[test]
fn no_bytes_make_it_panic() {
    let bytes = stream(sales(), &[("pandas", PANDAS)]);
    for at in 8..bytes.len() - 29 {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            drop(Header::read("arrow", &bytes));
        }
    }
}
