//! What is known of fields of the user's classes where a body reads them.

use std::collections::BTreeMap;

use qflow_model::definition::Source;

const FILE: &str = r"
from dataclasses import dataclass
from typing import NamedTuple, Optional, TypedDict

from qflow import map, node, workflow

@dataclass
class Owner:
    name: str
    age: Optional[int] = None

class Order(TypedDict):
    owner: Owner
    lines: list[int]

class Pair(NamedTuple):
    x: int
    y: str

@node
def order() -> Order: ...
@node
def pair() -> Pair: ...
@node
def text(x: str) -> str: ...
@node
def number(x: int) -> int: ...
";

/// What is told of a workflow's body, without warnings.
fn told(body: &str) -> Vec<String> {
    let text = format!("{FILE}\n@workflow\ndef w(owner: Owner) -> object:\n    {}", body.replace("; ", "\n    "));
    let source = Source { entry: "w.py".into(), files: BTreeMap::from([("w.py".to_owned(), text)]) };
    let problems = super::super::validate(&source).1.into_iter().filter(|problem| !problem.warning);
    problems.map(|p| p.message).collect()
}

#[test]
fn a_field_has_the_type_that_its_class_declares() {
    for body in [
        "return text(owner.name)",
        "o = order(); return text(o[\"owner\"].name)",
        "o = order(); return map(number, o[\"lines\"])",
        "p = pair(); return number(p.x)",
    ] {
        assert_eq!(told(body), Vec::<String>::new(), "{body}");
    }
    for (body, why) in [
        ("return number(owner.name)", "number.x: int ← owner.name → str (w.py:8 → w.py:26)"),
        ("return number(owner.age)", "number.x: int ← owner.age → int | None"),
        ("o = order(); return map(text, o[\"lines\"])", "text.x: str ← each of order[\"lines\"] → int"),
        ("return text(owner.nam)", "owner.nam: Owner has no field `nam`; it has name, age"),
        ("o = order(); return text(o[\"own\"])", "order[\"own\"]: Order has no field `own`; it has owner, lines"),
    ] {
        let told = told(body);
        let prefix = why.split(" (w.py").next().unwrap_or(why);
        assert!(told.len() == 1 && told[0].starts_with(prefix), "{body}: {told:?}");
    }
}

#[test]
fn what_is_written_down_is_held_to_fields_and_members() {
    let told = |call: &str| {
        let text = format!(
            "{FILE}\nclass Colour(Enum):\n    RED = 1\n@node\ndef takes(order: Order) -> int: ...\n@node\ndef owns(owner: Owner) -> int: ...\n@workflow\ndef w() -> object:\n    return {call}"
        );
        let text = text.replace("from typing", "from enum import Enum\nfrom typing");
        let source = Source { entry: "w.py".into(), files: BTreeMap::from([("w.py".to_owned(), text)]) };
        let problems = super::super::validate(&source).1.into_iter().filter(|problem| !problem.warning);
        problems.map(|p| p.message).collect::<Vec<_>>()
    };
    assert_eq!(told("owns({\"name\": \"a\"})").len(), 1, "a mapping is no dataclass");
    for call in [
        "takes({\"lines\": [1]})",
        "takes({\"owner\": 1, \"lines\": [1]})",
        "takes({\"owner\": None, \"lines\": [], \"more\": 1})",
    ] {
        assert_eq!(told(call).len(), 1, "{call}: {:?}", told(call));
    }
}

#[test]
fn a_workflows_default_is_held_to_fields_and_members() {
    let told = |default: &str| {
        let text = format!(
            "{FILE}\nclass Row(TypedDict):\n    a: int\n@workflow\ndef w(row: Row = {default}) -> object:\n    return row"
        );
        let source = Source { entry: "w.py".into(), files: BTreeMap::from([("w.py".to_owned(), text)]) };
        let problems = super::super::validate(&source).1.into_iter().filter(|problem| !problem.warning);
        problems.map(|p| p.message).collect::<Vec<_>>()
    };
    assert_eq!(told("{\"a\": 1}"), Vec::<String>::new());
    assert_eq!(told("{\"b\": 1}"), ["w.row: Row ← its default: Row has no field `b`; it has a"]);
    assert_eq!(told("{\"a\": \"x\"}"), ["w.row: Row ← its default: at [\"a\"]: expected int, got str"]);
}
