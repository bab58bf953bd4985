//! What the benches of goal 12 are given: types, classes, rows, and a workflow of as many edges as one may have.

use qflow_model::{class::Classes, definition::Source};
use qflow_types::Ty;
use serde_json::{Value, json};

/// Types of ordinary edges: all but the last go.
pub const ORDINARY: &[(&str, &str)] = &[
    ("int", "float"),
    ("str", "str | None"),
    ("list[int]", "Sequence[float]"),
    ("dict[str, int]", "Mapping[str, float]"),
    ("tuple[int, str]", "tuple[float, str]"),
    ("int | None", "float | str | None"),
    ("dict[str, list[int]]", "dict[str, list[float]]"),
    ("list[dict[str, str]]", "list[dict[str, float]]"),
];

/// Edges of the user's own classes.
pub const RECORDS: &[(&str, &str)] =
    &[("list[Order]", "Sequence[Order]"), ("Row", "Mapping[str, object]"), ("Colour", "Literal[Colour.RED, Colour.BLUE]")];

/// Both ends of each.
pub fn types(edges: &[(&str, &str)]) -> Vec<(Ty, Ty)> {
    let read = |text: &str| text.parse().expect("a type");
    edges.iter().map(|(source, target)| (read(source), read(target))).collect()
}

/// The classes of those.
pub fn classes() -> Classes {
    serde_json::from_value(json!({
        "Row": {"name": "w.Row", "kind": "typed_dict", "fields": [
            {"name": "id", "type": "int", "required": true},
            {"name": "name", "type": "str", "required": true},
            {"name": "price", "type": "float", "required": true},
            {"name": "note", "type": "None | str", "required": false},
        ]},
        "Order": {"name": "w.Order", "kind": "dataclass", "fields": [
            {"name": "colour", "type": "Colour", "required": true}, {"name": "rows", "type": "list[Row]", "required": true},
        ]},
        "Colour": {"name": "w.Colour", "kind": "enum", "members": [{"name": "RED", "value": "r"}, {"name": "BLUE", "value": "b"}]},
    }))
    .expect("classes")
}

/// So many rows.
pub fn rows(count: u32) -> Value {
    let row = |row: u32| {
        let price = f64::from(row) * 1.37 + 0.25;
        json!({"id": row, "name": format!("the name of row {row}"), "price": price, "note": null})
    };
    (0..count).map(row).collect()
}

/// A workflow of 1,000 steps, each of which takes what ten before it have made: 10,000 edges, as many as one may have.
pub fn large_workflow() -> Source {
    const STEPS: usize = 1_000;
    const ARGUMENTS: usize = 10;
    let names: Vec<String> = (0..ARGUMENTS).map(|at| format!("a{at}")).collect();
    let declared: Vec<String> = names.iter().map(|name| format!("{name}: dict[str, Sequence[float]]")).collect();
    let mut text = format!(
        "from collections.abc import Sequence\n\nfrom qflow import node, workflow\n\n\n@node\ndef first() -> dict[str, list[int]]:\n    ...\n\n\n\
         @node\ndef one({}) -> dict[str, list[int]]:\n    ...\n\n\n@workflow\ndef large() -> dict[str, list[int]]:\n    r0 = first()\n",
        declared.join(", ")
    );
    for step in 1..STEPS {
        let given: Vec<String> = (1..=ARGUMENTS).map(|back| format!("r{}", step.saturating_sub(back))).collect();
        text += &format!("    r{step} = one({})\n", given.join(", "));
    }
    text += &format!("    return r{}\n", STEPS - 1);
    Source { entry: "large.py".to_owned(), files: [("large.py".to_owned(), text)].into() }
}
