//! Bad input: each a clear error with the right class and reason, and neighbours unharmed.

use qflow_e2e::{Home, object, said};
use serde_json::Value;

/// A workflow of the nodes `bad` and `neighbour`, which run beside each other; `bad` has `options` and `body`.
fn beside(options: &str, returns: &str, body: &str) -> String {
    let body = body.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "import os, signal, sys, time\n\nfrom qflow import node, workflow\n\n\n@node{options}\ndef bad() -> {returns}:\n{body}\n\n\
         @node\ndef neighbour() -> int:\n    for second in range(20):\n        time.sleep(0.1)\n    return 7\n\n\n\
         @workflow\ndef both() -> int:\n    bad()\n    return 1\n\n\n@workflow\ndef pair() -> list[object]:\n    return [bad(), neighbour()]\n"
    )
}

/// A file in the home.
fn file(home: &Home, name: &str, text: &str) -> String {
    let path = home.path().join(name);
    std::fs::write(&path, text).expect("the home takes files");
    path.to_str().expect("a UTF-8 path").to_owned()
}

/// The node of an id in a run.
fn node<'r>(run: &'r Value, id: &str) -> &'r Value {
    let nodes = run["nodes"].as_array().expect("a list");
    nodes.iter().find(|node| node["node_id"] == id).unwrap_or_else(|| panic!("{id} is in {run}"))
}

/// Runs `bad` beside its neighbour: the failure of `bad`, once the neighbour is seen to be unharmed.
fn failure(home: &Home, options: &str, returns: &str, body: &str) -> Value {
    let path = file(home, "bad.py", &beside(options, returns, body));
    let run = object(&home.run(&["run", &path, "-w", "pair", "-o", "json"]), 1);
    assert_eq!(node(&run, "neighbour")["status"], "completed", "{run}");
    assert_eq!(node(&run, "neighbour")["attempts"], 1, "{run}");
    node(&run, "bad")["error"].clone()
}

/// What a call that is refused says on stderr.
fn refused(home: &Home, args: &[&str], code: i32) -> String {
    let output = home.run(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
    assert!(output.stdout.is_empty(), "stdout carries results alone: {}", said(&output));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that every word stands in a text.
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "says {word:?}: {text}");
    }
}

#[test]
fn everything_outside_the_subset_is_told_at_once_with_its_line_and_remedy() {
    let home = Home::new("process");
    let text = "from qflow import node, workflow\n\n@node\ndef f(a: int) -> int:\n    return a\n\n@workflow\ndef w(a: int) -> int:\n    for i in [1]:\n        f(i)\n    return f(a) + 1\n";
    let path = file(&home, "outside.py", text);
    let told = refused(&home, &["run", &path], 3);
    says(&told, &["outside.py:9", "outside.py:11", "for i in [1]:", "map(fn, xs)", "put it in a node"]);
}

const EDGES: &str = r#"from typing import TypeVar

from qflow import node, workflow

N = TypeVar("N", bound=float)

@node(convert=True)
def total(rows: list[int]) -> int: ...

@node
def names(prefix: str) -> list[str]: ...

@node
def largest(rows: list[N]) -> N: ...

@workflow
def w(prefix: int) -> object:
    largest(names("a"))
    total([1, "x", total([])])
    return names(
        prefix=prefix,
    )
"#;

#[test]
fn an_edge_that_does_not_go_is_underlined_whole_and_names_both_ends() {
    let home = Home::new("process");
    let path = file(&home, "edges.py", EDGES);
    let told = refused(&home, &["validate", &path], 3);
    let shown = [
        "largest.rows: list[N] ← names → list[str] (edges.py:11 → edges.py:14): N would be str, and is bound to float",
        "18 |     largest(names(\"a\"))\n   |             ^^^^^^^^^^",
        "11 | def names(prefix: str) -> list[str]: ...\n   |     ----- declared here",
        "at [1]: expected int, got 'x'",
        "19 |     total([1, \"x\", total([])])\n   |           ^^^^^^^^^^^^^^^^^^^",
        "names.prefix: str ← prefix → int (edges.py:17 → edges.py:11)",
        "21 |         prefix=prefix,\n   |                ^^^^^^",
    ];
    says(&told, &shown);
    assert_eq!(told.matches("error[").count(), 3, "{told}");
}

#[test]
fn a_cycle_of_workflows_is_refused() {
    let home = Home::new("process");
    let text = "from qflow import node, workflow\n\n@workflow\ndef a(n: int) -> int:\n    return b(n)\n\n@workflow\ndef b(n: int) -> int:\n    return a(n)\n";
    let told = refused(&home, &["run", &file(&home, "cycle.py", text), "-w", "a"], 3);
    says(&told, &["cycle.py:5", "cycle.py:9", "a workflow does not call itself", "bounded"]);
}

#[test]
fn parameters_that_are_unknown_missing_or_wrong_have_their_own_exit_codes() {
    let home = Home::new("process");
    let told = refused(&home, &["run", "examples/hello.py", "-p", "nome=Ada"], 2);
    says(&told, &["nome", "name"]);
    let told = refused(&home, &["run", "examples/hello.py", "-p", "name=Ada", "-p", "name=Eve"], 2);
    says(&told, &["name", "twice"]);
    let text = "from qflow import node, workflow\n\n@node\ndef f(a: int) -> int:\n    return a\n\n@workflow\ndef w(a: int, day: str) -> int:\n    return f(a)\n";
    let told = refused(&home, &["run", &file(&home, "missing.py", text)], 2);
    says(&told, &["a", "day", "-p"]);
    let told = refused(&home, &["run", "examples/primes.py", "-p", "upto=many"], 3);
    says(&told, &["upto", "int", "many"]);
    let told = refused(&home, &["run", "examples/absent.py"], 2);
    says(&told, &["absent.py"]);
}

#[test]
fn a_source_of_ten_megabytes_is_refused_by_its_bound() {
    let home = Home::new("process");
    let mut text = "from qflow import node, workflow\n".to_owned();
    text.push_str(&"# padding padding padding padding padding padding padding padding\n".repeat(160_000));
    let told = refused(&home, &["run", &file(&home, "large.py", &text)], 3);
    says(&told, &["large.py", "262144"]);
}

#[test]
fn a_type_nested_five_thousand_deep_is_refused_by_its_bound() {
    let home = Home::new("process");
    let deep = format!("{}int{}", "list[".repeat(5000), "]".repeat(5000));
    let text = format!(
        "from qflow import node, workflow\n\n@node\ndef f(a: {deep}) -> int:\n    return 1\n\n@workflow\ndef w() -> int:\n    return f([])\n"
    );
    let told = refused(&home, &["run", &file(&home, "deep.py", &text)], 3);
    says(&told, &["deep.py:4", "200"]);
}

#[test]
fn hostile_unicode_in_names_does_no_harm() {
    let home = Home::new("process");
    // A name in a right-to-left script, one with combining marks, and an override that turns a comment around.
    let text = "from qflow import node, workflow\n\n\n@node\ndef שלום(e\u{301}té: str) -> str:\n    # \u{202e}reversed\n    return e\u{301}té + '\u{1b}[31m'\n\n\n@workflow\ndef ﬁn(who: str = '\u{202e}x') -> str:\n    return שלום(who)\n";
    let output = home.run(&["run", &file(&home, "names.py", text), "-o", "json"]);
    let run = object(&output, 0);
    assert_eq!(run["result"], "\u{202e}x\u{1b}[31m");
    assert!(!said(&output).contains('\u{1b}'), "nothing that steers a terminal is printed raw: {}", said(&output));
}

#[test]
fn a_requirement_that_does_not_exist_is_the_users_in_uvs_words() {
    for runtime in ["process", "docker"] {
        let home = Home::new(runtime);
        let options = "(requirements=[\"qflow-no-such-package==9.9\"])";
        let path = file(&home, "bad.py", &beside(options, "int", "return 1"));
        let told = refused(&home, &["run", &path, "-w", "pair"], 3);
        says(&told, &["bad.py:6", "`bad`", "qflow-no-such-package", "not found in the package registry"]);
        let runs = object(&home.run(&["runs", "list", "-o", "json"]), 0);
        assert_eq!(runs, serde_json::json!([]), "{runtime}: nothing is stored");
    }
}

#[test]
fn a_python_version_without_an_image_is_named_with_those_that_are_there() {
    let home = Home::new("docker");
    let path = file(&home, "old.py", &beside("(python=\"3.8\")", "int", "return 1"));
    let told = refused(&home, &["run", &path, "-w", "pair"], 3);
    says(&told, &["old.py:7", "3.8", "QFLOW_PYTHON_VERSIONS"]);
    let line = ["run", &path, "-w", "pair", "-o", "json"];
    let output = home.qflow(&line).env("QFLOW_PYTHON_VERSIONS", "3.8,3.11").output().expect("qflow starts");
    let run = object(&output, 1);
    assert_eq!(node(&run, "neighbour")["status"], "completed", "{run}");
    let error = node(&run, "bad")["error"].clone();
    assert_eq!((&error["class"], &error["error_type"]), (&"platform".into(), &"environment".into()), "{error}");
    says(error["message"].as_str().unwrap_or_default(), &["3.8", "3.11"]);
}

#[test]
fn a_node_that_prints_100_mb_keeps_8_and_counts_the_rest() {
    for runtime in ["process", "docker"] {
        let home = Home::new(runtime);
        let text = beside("", "int", "for i in range(1_000_000):\n    print('x' * 99)\nreturn 5");
        let path = file(&home, "flood.py", &text);
        let output =
            home.qflow(&["run", &path, "-w", "pair", "-o", "json"]).stderr(std::process::Stdio::null()).output();
        let run = object(&output.expect("qflow starts"), 0);
        assert_eq!(run["result"], serde_json::json!([5, 7]), "{run}");
        let lines =
            home.run(&["runs", "logs", run["run_id"].as_str().expect("a run has an id"), "--node", "bad", "-o", "raw"]);
        let (kept, marker) = (lines.stdout.len(), String::from_utf8_lossy(&lines.stdout).into_owned());
        assert!(((7 << 20)..(9 << 20)).contains(&kept), "{runtime} keeps 8 MiB, not {kept} bytes");
        let dropped = marker.lines().last().and_then(|line| line.split(' ').nth(1)?.parse::<usize>().ok());
        let counted = dropped.map(|dropped| dropped + marker.lines().count() - 1);
        assert_eq!(counted, Some(1_000_000), "the rest is counted: {:?}", marker.lines().last());
    }
}

#[test]
fn a_value_without_a_form_fails_the_node_with_its_path_and_type() {
    for runtime in ["process", "docker"] {
        let error = failure(&Home::new(runtime), "", "object", "return {'rows': [1, open('/dev/null')]}");
        assert_eq!((&error["class"], &error["error_type"]), (&"user".into(), &"serialization".into()), "{error}");
        says(error["message"].as_str().unwrap_or_default(), &["rows", "TextIOWrapper"]);
    }
}

#[test]
fn a_value_of_another_type_fails_the_node_with_the_path_of_the_mismatch() {
    let error = failure(&Home::new("process"), "", "dict[str, list[int]]", "return {'a': [1, 'two']}");
    assert_eq!((&error["class"], &error["error_type"]), (&"user".into(), &"output_type".into()), "{error}");
    says(error["message"].as_str().unwrap_or_default(), &["a", "1", "int"]);
}

/// Nodes whose results are not as their classes declare, and one that is.
const RECORDS: &str = r#"
from dataclasses import dataclass
from enum import Enum
from typing import List, NamedTuple, Optional, TypedDict

from qflow import node, workflow


class Unit(Enum):
    DAY = "day"


class Row(TypedDict, total=False):
    day: str
    amount: float


@dataclass
class User:
    name: str
    age: int
    unit: Unit = Unit.DAY
    mail: str = None


class Point(NamedTuple):
    x: int
    y: Optional["User"] = None


@node(retries=3)
def row() -> Row:
    return {"amount": "not a number"}


@node(retries=3)
def rows() -> List[Row]:
    return [{"day": "", "extra": 1}, {"extra": 1, "day": None}]


@node(retries=3)
def user() -> User:
    return User("Ann", "forty")


@node(retries=3)
def point() -> Point:
    return Point(1, User("Ann", 40, "day"))


@node
def fine() -> List[Point]:
    return [Point(1), Point(2, User("Ann", 40))]


@workflow
def everything() -> List[object]:
    return [row(), rows(), user(), point(), fine()]
"#;

#[test]
fn an_object_that_is_not_as_its_class_declares_fails_its_node_with_the_path_of_the_field() {
    for runtime in ["process", "docker"] {
        let home = Home::new(runtime);
        let run = object(&home.run(&["run", &file(&home, "records.py", RECORDS), "-o", "json"]), 1);
        for (id, message) in [
            ("row", "at [\"amount\"]: expected float, got str"),
            ("rows", "at [1][\"day\"]: expected str, got None"),
            ("user", "at .age: expected int, got str"),
            ("point", "at .y.unit: expected Unit, got str"),
        ] {
            let (error, attempts) = (&node(&run, id)["error"], &node(&run, id)["attempts"]);
            assert_eq!((&error["class"], &error["error_type"]), (&"user".into(), &"output_type".into()), "{run}");
            assert_eq!((&error["message"], attempts), (&message.into(), &1.into()), "{runtime}: {run}");
        }
        assert_eq!(node(&run, "fine")["status"], "completed", "{run}");
    }
}

#[test]
fn a_node_that_exhausts_memory_is_out_of_memory_and_its_neighbour_is_not() {
    let home = Home::new("docker");
    let body = "held = []\nwhile True:\n    held.append(bytearray(8 << 20))";
    let error = failure(&home, "(memory=\"64MiB\")", "int", body);
    assert_eq!((&error["class"], &error["error_type"]), (&"user".into(), &"oom".into()), "{error}");
    assert_eq!(error["certificate"]["oom"], true, "{error}");
}

#[test]
fn a_node_that_forks_for_ever_is_stopped_by_its_limit() {
    let home = Home::new("docker");
    let body = "while True:\n    if os.fork() == 0:\n        time.sleep(60)";
    let error = failure(&home, "(pids=32)", "int", body);
    assert_eq!(error["class"], "user", "{error}");
    says(error["error_type"].as_str().unwrap_or_default(), &["BlockingIOError"]);
}

#[test]
fn a_node_that_ignores_sigterm_is_timed_out_all_the_same() {
    for runtime in ["process", "docker"] {
        let slow = failure(&Home::new(runtime), "(timeout=\"1s\")", "int", "time.sleep(60)");
        says(slow["message"].as_str().unwrap_or_default(), &["longer than 1 s"]);
        let body = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True:\n    try:\n        time.sleep(60)\n    except BaseException:\n        pass";
        let error = failure(&Home::new(runtime), "(timeout=\"1s\")", "int", body);
        assert_eq!(error["error_type"], "timeout", "{error}");
    }
}

#[test]
fn a_node_that_writes_garbage_to_every_descriptor_harms_itself_alone() {
    for runtime in ["process", "docker"] {
        let body = "for fd in range(3, 256):\n    try:\n        os.write(fd, b'\\xff' * 4096)\n    except OSError:\n        pass\nos._exit(3)";
        let error = failure(&Home::new(runtime), "", "int", body);
        assert_eq!(error["class"], "user", "{error}");
        assert!(["exit", "protocol"].contains(&error["error_type"].as_str().unwrap_or_default()), "{error}");
    }
}

#[test]
fn what_is_too_large_for_a_message_is_told_by_its_size() {
    let home = Home::new("process");
    let text = "from qflow import node, workflow\n\n\n@node\ndef big(n: int) -> str:\n    return \"x\" * n\n\n\n@workflow\ndef w(n: int, extra: str = \"\") -> str:\n    return big(n)\n";
    let path = file(&home, "big.py", text);
    let output = home.run(&["run", &path, "-p", "n=5000000"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    says(&said(&output), &["no result is shown", "3145728"]);
    let extra = file(&home, "extra.txt", &"y".repeat(6_000_000));
    let told = refused(&home, &["run", &path, "-p", "n=1", "-p", &format!("extra=@{extra}")], 3);
    says(&told, &["6000007 bytes", "2097152"]);
}
