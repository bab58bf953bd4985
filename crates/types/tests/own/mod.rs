//! Classes of the user's own, by chance: records that hold one another, wider and narrower ones, named tuples, enums.

use proptest::{prelude::*, sample::select};
use qflow_model::class::{Class, Classes};
use serde_json::{Value, json};

/// The names of the classes; every one of them is there, whatever it holds.
pub(crate) const NAMES: [&str; 15] = [
    "Row", "Wide", "Loose", "More", "Pair", "Twin", "Base", "Child", "Larger", "Anew", "Model", "Colour", "Level",
    "Word", "One",
];

/// Those that are records of their own; one holds only those before it without a way to end.
const RECORDS: [(&str, &str); 6] = [
    ("Row", "typed_dict"),
    ("Wide", "typed_dict"),
    ("Loose", "typed_dict"),
    ("Pair", "named_tuple"),
    ("Base", "dataclass"),
    ("Model", "model"),
];

const TYPES: [&str; 17] = [
    "int",
    "float",
    "bool",
    "str",
    "object",
    "None | str",
    "None | object",
    "list[int]",
    "dict[str, int]",
    "Literal[1]",
    "Colour",
    "Level",
    "Literal[Level.LOW]",
    "Word",
    "tuple[int, *tuple[str, ...]]",
    "tuple[int, str]",
    "Mapping[str, object]",
];

fn field(before: usize) -> impl Strategy<Value = Value> {
    let own = RECORDS.map(|(name, _)| name);
    let ty = prop_oneof![
        3 => select(TYPES.to_vec()).prop_map(str::to_owned),
        1 => select(own.to_vec()).prop_map(|name| format!("None | {name}")),
        1 => select(own.to_vec()).prop_map(|name| format!("list[{name}]")),
        1 => select([&["int"], &own[..before]].concat()).prop_map(str::to_owned),
    ];
    (ty, prop::bool::weighted(0.6)).prop_map(|(ty, required)| json!({"type": ty, "required": required}))
}

fn fields(before: usize) -> impl Strategy<Value = Vec<Value>> {
    let named = |(fields, names): (Vec<Value>, Vec<&str>)| {
        let named = fields.into_iter().zip(names).map(|(mut field, name)| {
            field["name"] = json!(name);
            field
        });
        named.collect()
    };
    (prop::collection::vec(field(before), 3), prop::sample::subsequence(vec!["a", "b", "$c"], 0..=3)).prop_map(named)
}

/// So many cases, unless `PROPTEST_CASES` says how many.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig::with_cases(asked.unwrap_or(usual))
}

/// Classes, each by its name in [`NAMES`].
pub(crate) fn classes() -> impl Strategy<Value = Classes> {
    let records: Vec<_> = (0..RECORDS.len()).map(|at| fields(at).boxed()).collect();
    (records, field(0), any::<bool>()).prop_map(|(records, mut more, unhashable)| {
        more["name"] = json!("d");
        let record = |at: usize, name: &str, bases: &[&str], more: &[Value]| -> Class {
            let fields: Vec<_> = records[at].iter().chain(more).collect();
            let kind = RECORDS[at].1;
            let unhashable = unhashable && kind != "named_tuple";
            let class = json!({"name": format!("w.{name}"), "kind": kind, "bases": bases, "fields": fields, "unhashable": unhashable});
            serde_json::from_value(class).expect("a class")
        };
        // It declares its base's fields anew.
        let mut anew = record(4, "Anew", &["Base"], &[]);
        for (field, other) in anew.fields.iter_mut().zip(&records[1]) {
            other["type"].as_str().expect("a text").clone_into(&mut field.ty.0);
        }
        let members = |name: &str, base: &[&str], members: &[(&str, Value)]| -> Class {
            let members: Vec<_> = members.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
            let class = json!({"name": format!("w.{name}"), "kind": "enum", "bases": base, "members": members});
            serde_json::from_value(class).expect("a class")
        };
        let mut all: Classes = RECORDS.iter().enumerate().map(|(at, (name, _))| ((*name).to_owned(), record(at, name, &[], &[]))).collect();
        all.extend(
            [
                ("More", record(1, "More", &["Wide"], std::slice::from_ref(&more))),
                ("Twin", record(3, "Twin", &["Pair"], &[])),
                ("Child", record(4, "Child", &["Base"], &[])),
                ("Larger", record(4, "Larger", &["Child", "Base"], &[more])),
                ("Anew", anew),
                ("Colour", members("Colour", &[], &[("RED", json!("r")), ("BLUE", json!("b"))])),
                ("Level", members("Level", &["int"], &[("LOW", json!(1)), ("HIGH", json!(2))])),
                ("Word", members("Word", &["str"], &[("A", json!("a")), ("DAY", json!("2026-11-24"))])),
                ("One", members("One", &[], &[("ONLY", json!(1))])),
            ]
            .map(|(name, class)| (name.to_owned(), class)),
        );
        all
    })
}
