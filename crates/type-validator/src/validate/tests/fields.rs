//! What is known of fields of the user's classes where a body reads them.

use std::collections::BTreeMap;

use qflow_model::definition::Source;

const FILE: &str = r#"
import enum
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

class Shade(enum.Enum):
    RED = "r"

class Box:
    def __getitem__(self, at): ...

@node
def order() -> Order: ...
@node
def pair() -> Pair: ...
@node
def text(x: str) -> str: ...
@node
def number(x: int) -> int: ...
@node
def shade() -> Shade: ...
@node
def box() -> Box: ...
"#;

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
fn a_part_that_a_class_cannot_have_names_what_it_has() {
    for (body, why) in [
        ("o = order(); return text(o.owner)", "order.owner: Order is a TypedDict: read it as [\"owner\"]"),
        (
            "o = order(); return text(o.nope)",
            "order.nope: Order is a TypedDict and has no part .nope; it has owner, lines",
        ),
        ("o = order(); return text(o[0])", "order[0]: Order is a TypedDict and has no part [0]; it has owner, lines"),
        ("p = pair(); return text(p[\"y\"])", "pair[\"y\"]: Pair is a NamedTuple: read it as .y"),
        ("p = pair(); return text(p[-1])", "pair[-1]: Pair is a NamedTuple: read it as .y"),
        ("p = pair(); return text(p[3])", "pair[3]: Pair is a NamedTuple and has no part [3]; it has x, y"),
        ("p = pair(); return text(p.zz)", "pair.zz: Pair has no field `zz`; it has x, y"),
        ("return text(owner[\"name\"])", "owner[\"name\"]: Owner is a dataclass: read it as .name"),
        (
            "return text(owner[\"nam\"])",
            "owner[\"nam\"]: Owner is a dataclass and has no part [\"nam\"]; it has name, age",
        ),
        ("return text(owner[0])", "owner[0]: Owner is a dataclass and has no part [0]; it has name, age"),
        ("c = shade(); return text(c.value)", "shade.value: Shade is an enum: what its members have is read in a node"),
        ("c = shade(); return text(c.zz)", "shade.zz: Shade is an enum: what its members have is read in a node"),
        ("c = shade(); return text(c[0])", "shade[0]: Shade is an enum: what its members have is read in a node"),
    ] {
        assert_eq!(told(body), [why], "{body}");
    }
    // What only Python knows is left to it.
    for body in ["b = box(); return text(b.x)", "b = box(); return text(b[0])"] {
        assert_eq!(told(body), Vec::<String>::new(), "{body}");
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

#[test]
fn what_a_workflow_puts_together_names_both_ends_of_each_part_that_does_not_go() {
    let told = |returns: &str, body: &str| {
        let head = FILE.replace(
            "@node\ndef box",
            &format!("@workflow\ndef gathers(s: str) -> {returns}:\n    {body}\n@node\ndef box"),
        );
        let source = Source { entry: "w.py".into(), files: BTreeMap::from([("w.py".to_owned(), head)]) };
        let problems = super::super::validate(&source).1.into_iter().filter(|problem| !problem.warning);
        problems.map(|p| p.message).collect::<Vec<_>>()
    };
    let ends = "(w.py:32 → w.py:38)";
    let both = ["x", "y"].map(|key| format!("gathers returns at [\"{key}\"]: int ← text → str {ends}"));
    assert_eq!(told("dict[str, int]", "return {\"x\": text(s), \"n\": number(1), \"y\": text(s)}").len(), 2);
    assert_eq!(told("dict[str, int] | None", "t = text(s); return {\"x\": t, \"y\": t}"), both);
    assert_eq!(
        told("tuple[str, int]", "return (text(s), text(s))"),
        [format!("gathers returns at [1]: int ← text-2 → str {ends}")]
    );
    // A part within a part, and a whole of another kind.
    assert_eq!(
        told("list[list[int]]", "return [[number(1)], [text(s)]]"),
        [format!("gathers returns at [1] at [0]: int ← text → str {ends}")]
    );
    assert_eq!(told("int", "return [text(s)]").len(), 1);
    assert_eq!(told("dict[str, str]", "return {\"x\": text(s)}"), Vec::<String>::new());
}
