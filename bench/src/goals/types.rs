//! Goal 12: what a value's check costs beside pydantic-core's on the same JSON, and an edge's.

use std::{hint::black_box, path::Path};

use anyhow::Context;
use qflow_model::class::Classes;
use qflow_types::{Edges, Ty, assignable, value};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{Lab, Row};
use crate::clock::{median, ms, now};

/// Elements of the lists that are checked.
const ROWS: u32 = 10_000;
/// How often one is checked.
const ROUNDS: u32 = 41;
/// Edges that are judged at once: one alone is shorter than the clock's step.
const EDGES: u32 = 100_000;

/// Types of ordinary edges.
const ORDINARY: &[(&str, &str)] = &[
    ("int", "float"),
    ("list[int]", "list[float]"),
    ("dict[str, int]", "Mapping[str, float]"),
    ("list[dict[str, float]]", "list[dict[str, float]]"),
    ("str", "str | None"),
    ("tuple[int, str]", "tuple[float, str]"),
    ("int | None", "float | str | None"),
    ("dict[str, list[int]]", "dict[str, list[float]]"),
];

pub(super) async fn measure(_: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let classes: Classes = serde_json::from_value(json!({"Row": {"name": "w.Row", "kind": "typed_dict", "fields": [
        {"name": "id", "type": "int", "required": true},
        {"name": "name", "type": "str", "required": true},
        {"name": "price", "type": "float", "required": true},
        {"name": "note", "type": "None | str", "required": false},
    ]}}))?;
    let mut rows = Vec::new();
    for (name, ty, what) in
        [("floats", "list[dict[str, float]]", "value check"), ("rows", "list[Row]", "value check, TypedDict")]
    {
        let bytes = value::encode(&list(name)).bytes;
        // Without the offset table, which is no JSON.
        let skeleton = value::trailer_start(&bytes).map_or(bytes.len(), |end| end as usize);
        let (ours, bytes) = tokio::task::spawn_blocking({
            let (ty, classes) = (ty.parse::<Ty>()?, classes.clone());
            move || (checked(&bytes[..skeleton], &ty, &classes), bytes)
        })
        .await?;
        let theirs = pydantic(&bytes[..skeleton], name).await?;
        rows.push(Row::most(12, what, "pydantic-core on the same JSON", "ms", theirs, ours?));
    }
    rows.push(Row::most(12, "edge", "150 ns", "ns", 150.0, tokio::task::spawn_blocking(edge_ns).await?));
    rows.push(Row::most(12, "edge, known", "20 ns", "ns", 20.0, tokio::task::spawn_blocking(known_ns).await?));
    Ok(rows)
}

/// A list of so many mappings.
fn list(name: &str) -> Value {
    let of = |row: u32| {
        let number = f64::from(row) * 1.37 + 0.25;
        match name {
            "floats" => {
                json!({"price": number, "amount": f64::from(row % 100), "tax": number / 7.0, "total": -number * 1e3})
            }
            _ => json!({"id": row, "name": format!("the name of row {row}"), "price": number, "note": null}),
        }
    };
    (0..ROWS).map(of).collect()
}

/// Milliseconds of a check.
fn checked(bytes: &[u8], ty: &Ty, classes: &Classes) -> anyhow::Result<f64> {
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let begun = now();
        let found = value::check_encoding(black_box(bytes), ty, classes)?;
        took.push(ms(begun.elapsed()));
        anyhow::ensure!(found.items == Some(ROWS), "{found:?}");
    }
    Ok(median(&mut took))
}

/// Milliseconds that pydantic-core takes for the same.
async fn pydantic(bytes: &[u8], name: &str) -> anyhow::Result<f64> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = Command::new(root.join("../deploy/local/pydantic")).arg("here").output().await?;
    anyhow::ensure!(python.status.success(), "no pydantic: {}", String::from_utf8_lossy(&python.stderr));
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), bytes)?;
    let mut command = Command::new(String::from_utf8_lossy(&python.stdout).trim());
    let output = command.arg(root.join("pydantic_floor.py")).arg(file.path()).arg(name).output().await?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().context("milliseconds")
}

/// Nanoseconds of an edge of ordinary types.
fn edge_ns() -> f64 {
    let read = |text: &str| text.parse::<Ty>().expect("an ordinary type");
    let edges: Vec<(Ty, Ty)> = ORDINARY.iter().map(|(source, target)| (read(source), read(target))).collect();
    each_ns(&edges, |(source, target)| assignable(black_box(source), black_box(target)).is_ok())
}

/// Nanoseconds of an edge whose two ends are written where those of one before were.
fn known_ns() -> f64 {
    let (none, edges) = (Classes::new(), ORDINARY.to_vec());
    let known = Edges::among(&none);
    each_ns(&edges, |(source, target)| known.written(black_box(*source), black_box(*target)).is_some())
}

fn each_ns<E>(edges: &[E], goes: impl Fn(&E) -> bool) -> f64 {
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let begun = now();
        for edge in edges.iter().cycle().take(EDGES as usize) {
            black_box(goes(edge));
        }
        took.push(ms(begun.elapsed()) * 1e6 / f64::from(EDGES));
    }
    median(&mut took)
}
