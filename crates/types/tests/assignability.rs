//! The rules of the typing specification, a row for each case: `assignability.txt`.

use std::collections::HashSet;

use qflow_model::class::{Class, Classes};
use qflow_types::{Ty, assignable_among};
use serde_json::{Value, json};

const TABLE: &str = include_str!("assignability.txt");

/// `Movie typed_dict name: str, year?: int : Base`
fn class(line: &str) -> (String, Class) {
    let (head, bases) = line.rsplit_once(" : ").unwrap_or((line, ""));
    let mut words = head.splitn(3, ' ');
    let (name, kind, held) = (
        words.next().expect("a line of the table"),
        words.next().expect("a line of the table"),
        words.next().expect("a line of the table"),
    );
    // `mutable_dataclass`: one that compares by value and may be changed.
    let (kind, unhashable) = kind.strip_prefix("mutable_").map_or((kind, false), |kind| (kind, true));
    let parts = held.split(", ");
    let mut record = json!({"name": format!("w.{name}"), "kind": kind, "unhashable": unhashable});
    if kind == "enum" {
        let members = parts.map(|part| part.split_once('=').expect("a line of the table"));
        let members =
            members.map(|(name, value)| json!({"name": name, "value": serde_json::from_str::<Value>(value).expect("a line of the table")}));
        record["members"] = members.collect();
    } else {
        let fields = parts.map(|part| part.split_once(": ").expect("a line of the table")).map(
            |(name, ty)| json!({"name": name.trim_end_matches('?'), "type": ty, "required": !name.ends_with('?')}),
        );
        record["fields"] = fields.collect();
    }
    record["bases"] = bases.split(", ").filter(|base| !base.is_empty()).collect();
    (name.to_owned(), serde_json::from_value(record).expect("a line of the table"))
}

fn ty(text: &str) -> Ty {
    text.trim().parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_row_of_the_table_holds() {
    let (mut classes, mut chapter, mut rows, mut wrong) = (Classes::new(), "", HashSet::new(), Vec::new());
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        if let Some(source) = line.strip_prefix("## ") {
            (chapter, classes) = (source, Classes::new());
        } else if let Some((name, above)) = line.strip_prefix("class ").and_then(|line| line.split_once(" opaque : ")) {
            classes.put_above(name.to_owned(), above.split(", ").map(str::to_owned).collect());
        } else if let Some(line) = line.strip_prefix("class ") {
            classes.extend([class(line)]);
        } else {
            assert!(chapter.starts_with("https://typing.python.org/en/latest/spec/"), "{line} has no source");
            assert!(rows.insert((chapter, line)), "{line} is there twice");
            let (pair, reason) = line.split_once(" : ").map_or((line, None), |(pair, reason)| (pair, Some(reason)));
            let (source, target, goes) = match pair.split_once(" -/-> ") {
                Some((source, target)) => (source, target, false),
                None => pair.split_once(" -> ").map(|(source, target)| (source, target, true)).unwrap(),
            };
            let found = assignable_among(&ty(source), &ty(target), &classes).map_err(|reason| reason.to_string());
            if found.is_ok() != goes || reason.is_some_and(|reason| found != Err(reason.to_owned())) {
                wrong.push(format!("{line}\n    {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows.len() >= 500, "{} rows", rows.len());
}
