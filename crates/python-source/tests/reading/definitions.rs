//! What each part of the surface is read as, a topic at a time.

use qflow_model::{definition::PythonVersion, ids::Digest};

use crate::{shown, source};

/// Nodes that the topics call.
const NODES: &str = r#"from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from enum import Enum

import qflow
from qflow import map, node, workflow

LIMIT = 10
WORDS = ["a", {"b": LIMIT}]


class Color(Enum):
    RED = 1


@node
def fetch(day: str, limit: int = 5) -> list[dict[str, float]]: ...
@node
def parse(row: dict[str, float], field: str = "x") -> float: ...
@node
def pair(x: int) -> tuple[int, str]: ...
@node
def add(x: object, y: object = None, *, z: object = None) -> int: ...
@node
def notify(x: object = None) -> None: ...
@node
def ask() -> bool: ...
"#;

/// The workflows of a text that stands behind the nodes.
fn workflows(text: &str) -> String {
    let read = qflow_python_source::read(&source("w.py", &format!("{NODES}{text}")));
    let errors: Vec<_> = read.problems.iter().filter(|p| !p.warning).map(shown::problem).collect();
    assert_eq!(errors, Vec::<String>::new());
    for name in read.definition.workflows.keys() {
        let python = PythonVersion { major: 3, minor: 12 };
        let planned = qflow_model::plan::plan(&read.definition, name, Digest::of(b""), &[python]);
        assert_eq!(planned.map(|plan| plan.root().steps.len()), Ok(read.definition.workflows[name].steps.len()));
    }
    text.trim_start().to_owned() + "\n" + &read.definition.workflows.values().map(shown::workflow).collect::<String>()
}

macro_rules! topics {
    ($($name:ident: $text:expr;)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), workflows($text));
        }
    )*};
}

topics! {
    calls_nest_and_take_keywords: r"
@workflow
def w(day: str, limit: int = 3) -> int:
    rows = fetch(day, limit=limit)
    again = fetch(limit=LIMIT, day=day)
    return add(fetch(day), add(rows, y=again), z=Color.RED)
";

    statements_of_their_own_keep_their_order: r#"
@workflow
def w(day: str) -> None:
    a = fetch(day)
    b = fetch(day)
    notify(a)
    c = add(b)
    notify()
    d = add(b)
    if d > 1:
        e = add(1)
        notify(e)
        add(2)
    notify("last")
"#;

    fstrings_hold_parameters_and_literals: r#"
@workflow
def w(day: str, n: int = 1) -> int:
    name = "é" f"{day}-{LIMIT}/{n!s}" "{}"
    plain = f"a{'b'}c"
    return add(name, plain)
"#;

    comprehensions_map_one_list_or_several: r"
@workflow
def w(day: str, xs: list[int], ys: Sequence[int]) -> list[int]:
    rows = fetch(day)
    one = map(parse, rows, field=day)
    two = [parse(r) for r in fetch(day)]
    three = [add(a, LIMIT, z=b) for a, b in zip(xs, ys, strict=True)]
    four = [add(x, x) for x in [1, 2]]
    five = [add(y=x, x=day) for x in three]
    [notify(x) for x in xs]
    return qflow.map(add, five)
";

    parts_of_results_are_paths: r#"
@workflow
def w(rows: list[dict[str, float]], user: object) -> int:
    a, b = pair(1)
    (c, d), e = (pair(2), 3)
    [f, g] = [fetch("x")[0]["k"], rows[-1]]
    h = user.address["street"].name
    i = WORDS[1]["b"]
    j = pair(3)
    k, l = j
    return add([a, b, c, d, e], [f, g, h, i], z=(k, l, j[1]))
"#;

    results_are_gathered: r#"
@workflow
def w(x: int) -> dict[str, object]:
    a = [add(x), 1, "two"]
    b = (add(x),)
    c = {"k": add(x), "$k": a, "k": b}
    d = [1, (2, {"$": 3}), [], {}, date(2026, 1, 2), Decimal("1.50"), -1, 2.5, None, True]
    return {"c": c, "d": d}
"#;

    conditions_are_pythons: r#"
@workflow
def w(x: int, y: str | None, flag: bool) -> bool:
    a = ask()
    if a and not flag or x in (1, 2, None) and y not in {"b", "a"}:
        notify()
    elif 0 < add(x) <= x:
        notify()
    elif y is None or None is not y:
        notify()
    if not a and flag == True and y != "x" and "q" in "quux":
        notify(x == 1)
    b = flag and x > 1
    return not b
"#;

    branches_choose_what_names_stand_for: r"
@workflow
def w(x: int) -> int:
    a = None
    same = add(x)
    if x > 3:
        a = add(1)
        b = add(2)
    elif x > 2:
        b = add(3)
    elif x > 1:
        b = same
    else:
        b = 4
        if ask():
            b = add(5)
    return add(a, b, z=same)
";

    returns_inside_branches_leave_the_rest_to_the_others: r#"
@workflow
def simple(x: int) -> int:
    if x > 1:
        return add(1)
    notify()
    if x < -1:
        y = add(2)
    else:
        return 2
    return y


@workflow
def several(x: int) -> int:
    y = 0
    if x > 3:
        if x > 4:
            return 1
        y = add(1)
    elif x > 2:
        return 2
    else:
        y = add(2)
    notify(y)
    if y:
        if x:
            return 3
        notify("x")
    else:
        notify("y")
    return add(y)


@workflow
def ends(x: int) -> None:
    if x:
        if ask():
            return
        notify(1)
    else:
        notify(2)


@workflow
def every(x: int) -> int:
    if x:
        return 1
    elif ask():
        return 2
    else:
        return add(3)
"#;

    defaults_of_workflows_are_values: r#"
DAY = date(2026, 11, 24)

@workflow(name="daily-sales", max_parallel=4, timeout="1h30m", on_failure="stop")
def w(a: int = -1, b: float = 1e3, c: str = "x" "y", d: list[int] = [1, 2], e: date = DAY, f: Color = Color.RED,
      g: Decimal = Decimal("1.5"), h: "dict[int, str]" = {1: "a"}, i: tuple[int, ...] = (), j: int | None = None,
      k: int = 9007199254740993, l: float = 1e999, *, m: set[str] = {"b", "a", "b"}) -> int:
    """A docstring is no statement."""
    ...
    pass
    note: str = "kept"
    return add(note)
"#;

    workflows_call_workflows: r#"
@workflow
def child(day: str, limit: int = 3, *, words: list[str] = WORDS) -> list[int]:
    return map(add, fetch(day, limit))


@workflow(name="other-child")
def other(x: int) -> int:
    return add(x)


@workflow
def parent(day: str, days: list[str], ns: list[int]) -> object:
    a = child(day)
    b = child(limit=2, day=day)
    c = map(child, days, limit=4)
    d = [child(d, n) for d, n in zip(days, ns)]
    e = other(1)
    other(a[0])
    f = map(qflow.settled(other), b)
    return [c, d, e, f[0].value]
"#;

    failures_are_values: r#"
from qflow import settled
from qflow import settled as tried


@workflow
def child(rows: list[dict[str, float]]) -> list[float]:
    return map(parse, rows)


@workflow
def w(day: str, xs: list[int], ys: list[int]) -> object:
    rows = settled(fetch)(day, limit=1)
    if not rows.ok:
        return rows.error.message
    each = map(settled(parse), rows.value, field="y")
    both = [tried(add)(x, y=y) for x, y in zip(xs, ys)]
    below = qflow.settled(child)(rows.value)
    if below.ok and each[0].ok:
        add(below.value, each[0].value)
    elif below.error is not None and below.error.attempts > 1:
        notify(below.error.type)
    settled(notify)()
    return [each, both, (settled(ask)()).ok]
"#;

    waits_keep_their_place: r#"
import datetime as dt
from qflow import approval, sleep

PAUSE = dt.timedelta(minutes=5)
WHO = "finance"


@workflow
def w(day: str, pause: str | None, seconds: float) -> bool:
    rows = fetch(day)
    sleep("1h30m")
    again = fetch(day)
    ok = approval(WHO, timeout="2d")
    if not approval(name="legal", timeout=dt.timedelta(days=1)) and ok:
        sleep(duration=seconds)
        last = add(again)
        sleep(PAUSE)
    elif pause is not None:
        sleep(pause)
        qflow.sleep(dt.datetime(2026, 12, 24, 18))
        sleep("2026-12-24T18:00:00Z")
        sleep(90)
        sleep(add(rows))
    approval("last")
    return ok
"#;

    a_choice_is_its_known_side_where_it_is_read: r#"
from qflow import settled


@workflow
def w(x: int, y: int | None) -> object:
    a = None
    b = None
    if x > 1:
        a = add(x)
        b = settled(fetch)("x")
    c = add(a)
    if a is not None and a > 2:
        d = add(a)
    if b is None or not b.ok:
        notify(b)
    else:
        notify(b.value[0]["k"])
    if x > 1:
        e = 1
    else:
        e = "one"
        if e == "one":
            notify(e)
    if e == "one":
        notify(e)
        return e
    return (e, c)
"#;

    names_of_functions_are_free_for_others: r"
@workflow
def w(parse: int, rows: list[int]) -> list[int]:
    zip_codes = add(parse)
    rows = map(add, rows)
    return rows
";
}

#[test]
fn a_schedule_stands_beside_its_workflow_with_what_it_fills() {
    let text = r#"
from datetime import date, timedelta

from qflow import cron, node, workflow

EVERY = "*/15 6-22 * * mon-fri"


@node
def fetch(day: str) -> int: ...


@workflow(schedule=cron("0 2 * * *", tz="Europe/Berlin", into="day", catch_up="all", overlap="queue", jitter="5m"))
def nightly(day: date, region: str = "eu") -> int:
    return fetch(region)


@workflow(name="often", schedule=cron(EVERY, jitter=timedelta(seconds=90), catch_up="none"))
def quarters(region: str = "eu") -> int:
    return fetch(region)


@workflow
def by_hand(region: str) -> int:
    return fetch(region)
"#;
    let read = qflow_python_source::read(&source("w.py", text));
    // Read whole, and refused until the engine fires slots.
    let codes: Vec<_> = read.problems.iter().map(|problem| problem.code.as_str()).collect();
    assert_eq!(codes, ["not-yet", "not-yet"]);
    let schedules = serde_json::to_value(&read.definition.schedules).unwrap();
    let expected = serde_json::json!({
        "nightly": {
            "expression": "0 2 * * *", "tz": "Europe/Berlin", "into": {"param": "day", "type": "date"},
            "catch_up": "all", "overlap": "queue", "jitter_ms": 300_000,
        },
        "often": {
            "expression": "*/15 6-22 * * mon-fri", "tz": "UTC", "catch_up": "none", "overlap": "allow", "jitter_ms": 90_000,
        },
    });
    assert_eq!(schedules, expected);
}
