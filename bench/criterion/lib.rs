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
pub const RECORDS: &[(&str, &str)] = &[
    ("list[Order]", "Sequence[Order]"),
    ("Row", "Mapping[str, object]"),
    ("Colour", "Literal[Colour.RED, Colour.BLUE]"),
];

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

/// Types that differ, of the results of as many nodes as there are in the large workflow.
const KINDS: usize = 200;
/// Ways in which the same type is declared where it is taken.
const TAKEN: usize = 4;

/// What the node of a number makes, and how the others take it: records, containers, unions, of 25 records of each kind.
fn kind(number: usize) -> (String, [String; TAKEN]) {
    let at = number / 8 % 25;
    let (made, taken) = match number % 8 {
        0 => ("Row@", ["Row@", "Base@", "Mapping[str, object]", "Row@ | None"]),
        1 => (
            "list[Row@]",
            ["Sequence[Row@]", "list[Base@]", "Iterable[Base@] | None", "Sequence[Mapping[str, object]]"],
        ),
        2 => {
            let taken = [
                "Mapping[str, Sequence[float]]",
                "dict[str, list[int]]",
                "dict[object, list[int | Row@]]",
                "dict[str, Iterable[int]] | Row@",
            ];
            ("dict[str, list[int]]", taken)
        }
        3 => (
            "tuple[int, Row@, str]",
            [
                "tuple[float, Base@, str]",
                "tuple[object, ...]",
                "tuple[int, *tuple[Row@ | str, ...]]",
                "Sequence[object]",
            ],
        ),
        4 => ("Row@ | None", ["Base@ | None", "Row@ | int | None", "Order@ | Base@ | None", "object"]),
        5 => ("Order@", ["Order@", "Order@ | None", "Order@ | Row@ | str", "object"]),
        6 => {
            let taken = [
                "Mapping[Colour@, Sequence[Order@]]",
                "dict[Colour@, Iterable[Order@ | None]]",
                "Mapping[object, list[Order@]]",
                "dict[Colour@ | str, list[Order@]]",
            ];
            ("dict[Colour@, list[Order@]]", taken)
        }
        _ => ("Literal['a@', 'b@']", ["str", "Literal['a@', 'b@', 'c@']", "str | None", "Sequence[str]"]),
    };
    let own = |ty: &str| ty.replace('@', &at.to_string());
    (own(made), taken.map(own))
}

/// The types of the large workflow's edges, each pair once, and their classes.
pub fn varied() -> (Vec<(Ty, Ty)>, Classes) {
    let definition = qflow_python_source::read(&large_workflow()).definition;
    let read = |text: &str| text.replace('\'', "\"").parse().expect("a type");
    let pairs = (0..KINDS).map(kind).flat_map(|(made, taken)| taken.map(|taken| (read(&made), read(&taken))));
    (pairs.collect(), definition.classes)
}

/// A workflow of 1,000 steps, each of which takes what ten before it have made: 10,000 edges, as many as one may have, of 800 pairs of types.
pub fn large_workflow() -> Source {
    const STEPS: usize = 1_000;
    const ARGUMENTS: usize = 10;
    let mut text = "from collections.abc import Iterable, Mapping, Sequence\nfrom dataclasses import dataclass\nfrom enum import Enum\n\
                    from typing import Literal, NotRequired, TypedDict\n\nfrom qflow import node, workflow\n\n\n"
        .to_owned();
    for at in 0..KINDS / 8 {
        text += &format!(
            "class Base{at}(TypedDict):\n    id: int\n    key{at}: str\n\n\nclass Row{at}(Base{at}):\n    price: float\n    note: NotRequired[str]\n\n\n"
        );
        text += &format!(
            "class Colour{at}(Enum):\n    RED = {at}\n    BLUE = \"b\"\n\n\n@dataclass\nclass Order{at}:\n    colour: Colour{at}\n    rows: list[Row{at}]\n\n\n"
        );
    }
    // What the step of a number makes; steps take what they are given by the kinds of those before them.
    let node = |name: &str, step: usize, given: &[usize]| {
        let takes = |(at, from): (usize, &usize)| format!("a{at}: {}", kind(from % KINDS).1[(at + step) % TAKEN]);
        let takes: Vec<_> = given.iter().enumerate().map(takes).collect();
        format!("@node\ndef {name}{step}({}) -> {}:\n    ...\n\n\n", takes.join(", "), kind(step % KINDS).0)
    };
    let before = |step: usize| -> Vec<usize> {
        (1..=ARGUMENTS)
            .filter(|_| step > 0)
            .map(|back| if back <= step { step - back } else { back % step.max(1) })
            .collect()
    };
    for step in 0..ARGUMENTS {
        text += &node("start", step, &before(step));
    }
    for step in ARGUMENTS..ARGUMENTS + KINDS {
        text += &node("node", step, &before(step));
    }
    text += "@workflow\ndef large() -> object:\n";
    for step in 0..STEPS {
        let given: Vec<String> = before(step).iter().map(|from| format!("r{from}")).collect();
        let called = if step < ARGUMENTS {
            format!("start{step}")
        } else {
            format!("node{}", (step - ARGUMENTS) % KINDS + ARGUMENTS)
        };
        text += &format!("    r{step} = {called}({})\n", given.join(", "));
    }
    text += &format!("    return r{}\n", STEPS - 1);
    Source { entry: "large.py".to_owned(), files: [("large.py".to_owned(), text)].into() }
}
