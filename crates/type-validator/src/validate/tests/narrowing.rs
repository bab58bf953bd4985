//! What branches say of types, from Python as people write it.

use std::collections::BTreeMap;

use qflow_model::definition::Source;

const NODES: &str = r#"
from typing import Literal

from qflow import Outcome, OutcomeError, approval, map, node, settled, sleep, workflow

@node
def maybe() -> int | None: ...
@node
def mode() -> Literal["fast", "slow", "off"]: ...
@node
def word() -> str: ...
@node
def take(n: int) -> int: ...
@node
def go(mode: Literal["fast", "slow"]) -> None: ...
@node
def tell(error: OutcomeError) -> None: ...
@node
def read(rows: list[int]) -> dict[str, int | None]: ...
@node
def rows() -> list[int] | None: ...
@workflow
def child(n: int, times: int = 2) -> int | None:
    return maybe()
"#;

/// What is told of a workflow's body, without warnings.
fn told(body: &str) -> Vec<String> {
    let body: String =
        body.trim().lines().map(|line| format!("    {}\n", line.strip_prefix("        ").unwrap_or(line))).collect();
    let text = format!("{NODES}\n@workflow\ndef w(n: int, x: int | None, flag: bool) -> object:\n{body}");
    let source = Source { entry: "w.py".into(), files: BTreeMap::from([("w.py".to_owned(), text)]) };
    let problems = super::super::validate(&source).1.into_iter().filter(|problem| !problem.warning);
    problems.map(|p| format!("{}: {} → {}", p.code, p.message, p.remedy.unwrap_or_default())).collect()
}

#[test]
fn what_a_branch_has_asked_is_known_behind_it() {
    for body in [
        "if x is not None:\n    take(x)",
        "if None is not x:\n    take(x)",
        "if x is None:\n    return 0\ntake(x)",
        "if x:\n    take(x)",
        "if not x:\n    return 0\ntake(x)",
        "if x is None or n > 1:\n    pass\nelse:\n    take(x)",
        "if flag and x is not None and x > 2:\n    take(x)",
        "if not (x is None or x < 2):\n    take(x)",
        "if x == 3:\n    take(x)",
        "if x in (1, 2):\n    take(x)",
        "if x not in (1, None):\n    take(x)",
        "if x != None:\n    take(x)",
        "m = mode()\nif m != \"off\":\n    go(m)",
        "m = mode()\nif m == \"off\":\n    return 1\ngo(m)",
        "m = mode()\nif m in (\"fast\", \"slow\"):\n    go(m)",
        "s = word()\nif s == \"fast\" or s == \"slow\":\n    go(s)",
        "d = read([n])\nif d[\"k\"] is not None and d[\"k\"] > 1:\n    take(d[\"k\"])",
        "y = None\nif flag:\n    y = maybe()\nif y is not None:\n    take(y)",
        "y = x\nif flag:\n    y = maybe()\nif y is None:\n    y = 0\ntake(y)",
        "y = x\nif flag:\n    y = maybe()\nif y is not None and y > 1:\n    take(y)",
        "r = rows()\nif r is not None:\n    map(take, r)",
    ] {
        assert_eq!(told(body), Vec::<String>::new(), "{body}");
    }
}

#[test]
fn an_outcome_has_its_value_where_ok_holds_and_its_error_where_not() {
    for body in [
        "o = settled(take)(n)\nif o.ok:\n    take(o.value)\nelse:\n    tell(o.error)",
        "o = settled(take)(n)\nif not o.ok:\n    return o.error.message\ntake(o.value)",
        "o = settled(take)(n)\nif o.ok == False:\n    return 1\ntake(o.value)",
        "o = settled(take)(n)\nif o.error is None:\n    take(o.value)",
        "o = settled(take)(n)\nif o.error:\n    return o.error.attempts\ntake(o.value)",
        "o = settled(take)(n)\nif flag and o.ok and o.value > 1:\n    take(o.value)",
        "o = settled(take)(n)\nif o.value is not None:\n    take(o.value)",
        "o = settled(child)(n)\nif o.ok and o.value is not None:\n    take(o.value)",
        "o = None\nif flag:\n    o = settled(take)(n)\nif o is None or not o.ok:\n    return 1\ntake(o.value)",
        "o = map(settled(take), [n])\nif o[0].ok:\n    take(o[0].value)",
        "o = settled(take)(n)\nif o.error is not None and o.error.type == \"E\":\n    tell(o.error)",
    ] {
        assert_eq!(told(body), Vec::<String>::new(), "{body}");
    }
}

#[test]
fn what_no_branch_has_asked_is_told_with_both_ends() {
    let all: Vec<_> = [
        "take(x)",
        "if x is None:\n    take(x)",
        "if x is not None or flag:\n    take(x)",
        "if x != 3:\n    take(x)",
        "take(child(n))",
        "go(mode())",
        "m = mode()\nif m == \"off\":\n    go(m)",
        "o = settled(take)(n)\ntake(o)",
        "o = settled(take)(n)\ntake(o.value)",
        "o = settled(take)(n)\nif o.ok:\n    tell(o.error)",
        "o = settled(take)(n)\nif o.ok or flag:\n    take(o.value)",
        "o = settled(take)(n)\ntake(o.result)",
        "o = settled(take)(n)\nif o.eror is None:\n    pass",
        "o = settled(take)(n)\ntake(o.error.attempts)",
        "y = None\nif flag:\n    y = maybe()\nif y is not None or n > 1:\n    take(y)",
        "y = 1\nif flag:\n    y = word()\ntake(y)",
        "map(take, rows())",
        "if x > 1:\n    pass",
        "if word() < n:\n    pass",
        "sleep(x)",
        "take(approval(\"a\"))\ntake(sleep(1))",
        "child(word())",
        "map(child, [n], times=word())",
    ]
    .into_iter()
    .map(|body| format!("{body}\n{}\n", told(body).join("\n")))
    .collect();
    insta::assert_snapshot!("told", all.join("\n"));
}
