//! What a node's Python lacks of the files that it imports: syntax, and what is evaluated on import.

use std::collections::BTreeMap;

use qflow_model::{
    definition::{Definition, Problem, PythonVersion, Source},
    ids::Digest,
};

use crate::shown;

/// What is written before a node, and the oldest Python 3 that imports it.
const SPELLINGS: &[(u8, &str)] = &[
    (9, "Rows = list[dict]"),
    (9, "from collections import deque\nLast = deque[int]"),
    (9, "from collections.abc import Sequence\n\nclass Many(Sequence[int]): ..."),
    (9, "import re\nSEEN: dict = {\"a\": re.Pattern[str]}"),
    (9, "A = {1: 2} | {3: 4}"),
    (9, "import zoneinfo"),
    (9, "with (open(\"a\") as a, open(\"b\") as b): pass"),
    (9, "@[str][0]\ndef g(): ..."),
    (10, "A = int | None"),
    (10, "def g(kind=int | str): ..."),
    (10, "class Row: ...\nA = dict[str, Row | None]"),
    (10, "from typing import cast\nx = cast(int | None, 1)"),
    (10, "from typing import TypedDict\nT = TypedDict(\"T\", {\"x\": bytes | None | str})"),
    (10, "from typing import TypeAlias"),
    (10, "from dataclasses import dataclass\n\n@dataclass(slots=True)\nclass R: ..."),
    (10, "def g(x):\n    match x:\n        case 1: ..."),
    (10, "from pydantic import BaseModel\n\nclass M(BaseModel):\n    x: int | None"),
    (
        10,
        "from pydantic import BaseModel\n\nclass B(BaseModel): ...\n\nclass M(B):\n    x: int\n    y: list[str | int]",
    ),
    (9, "import pydantic\n\n@pydantic.dataclasses.dataclass\nclass M:\n    x: list[str] = []"),
    (11, "from typing import Self"),
    (11, "from enum import StrEnum"),
    (11, "import tomllib"),
    (11, "def g():\n    try: ...\n    except* ValueError: ..."),
    (11, "def g(a, b): return a[*b]"),
    (11, "def g(*a: *tuple[int]): ..."),
    (12, "type Rows = list[dict]"),
    (12, "def first[T](x: list[T]) -> T: ..."),
    (12, "x = f\"{f\"{1}\"}\""),
    (13, "def first[T = int](x: list[T]) -> T: ..."),
    (14, "def g():\n    try: ...\n    except A, B: ..."),
    (14, "x = t\"{1}\""),
];

/// What every Python imports.
const EVERYWHERE: &[&str] = &[
    "def g(x: list[dict] | None) -> int | None:\n    y: list[int] = []\n    return cast(list[int] | None, x)",
    "from dataclasses import dataclass\n\n@dataclass\nclass R:\n    x: int | None\n    y: list[dict] = None",
    "from typing import NamedTuple, TypedDict\n\nclass R(NamedTuple):\n    x: int | None\n\nclass T(TypedDict):\n    x: list[int]",
    "x: int | None = None",
    "import typing as t\nRows = t.List[t.Optional[int]]",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from typing import Self\n    Rows = list[int]",
    "import sys\nif sys.version_info >= (3, 11):\n    import tomllib\n    from typing import Self\nelse:\n    Self = 1",
    "try:\n    import tomllib\n    Rows = list[int]\nexcept ImportError:\n    tomllib = None",
    "if __name__ == \"__main__\":\n    Rows = list[int] | None",
    "from enum import Flag\n\nclass C(Flag):\n    A = 1\n    B = 2\n\nBOTH = C.A | C.B\nBITS = 1 | 2\nSETS = {1} | {2}",
    "key = lambda x: list[int]",
    "list = {1: 2}\nx = list[1]",
    "from .typing import Self\nfrom mine.collections import deque\nx = deque[1]",
];

fn read(files: &[(&str, &str)]) -> (Definition, Vec<Problem>) {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let source = Source { entry: "w.py".to_owned(), files: files.collect::<BTreeMap<_, _>>() };
    let read = qflow_python_source::read(&source);
    (read.definition, read.problems)
}

/// A file with `head` before a node on this Python.
fn node(python: &str, head: &str) -> String {
    let python = if python.is_empty() { String::new() } else { format!("(python=\"{python}\")") };
    format!(
        "{head}\nfrom qflow import node, workflow\n\n\n@node{python}\ndef f(x: int) -> int:\n    return x\n\n\n\
         @workflow\ndef w(x: int = 1) -> int:\n    return f(x)\n"
    )
}

/// The oldest Python that a text before a node is read for without a word, and what is told for the one before it.
fn oldest(head: &str) -> (u8, Option<Problem>) {
    let mut before = None;
    for minor in 8..=14 {
        let (_, problems) = read(&[("w.py", &node(&format!("3.{minor}"), head))]);
        let Some(problem) = problems.into_iter().next() else { return (minor, before) };
        before = Some(problem);
    }
    (15, before)
}

#[test]
fn each_spelling_is_told_for_the_pythons_that_lack_it() {
    let mut told = String::new();
    for (oldest_python, head) in SPELLINGS {
        let (found, problem) = oldest(head);
        assert_eq!(found, *oldest_python, "{head}: {problem:?}");
        let problem = problem.expect("an older Python was refused");
        told.push_str(&shown::problem(&problem));
    }
    insta::assert_snapshot!("spellings", told);
}

#[test]
fn what_is_not_evaluated_on_import_goes_on_every_python() {
    for head in EVERYWHERE {
        let (_, problems) = read(&[("w.py", &node("3.8", head)), ("typing.py", ""), ("mine/collections.py", "")]);
        assert_eq!(problems, vec![], "{head}");
    }
}

#[test]
fn a_package_mends_pydantic_on_old_pythons() {
    let head = "from pydantic import BaseModel\n\nclass M(BaseModel):\n    x: int | None";
    for requirement in ["eval_type_backport", "eval-type-backport>=0.2"] {
        let text = node("3.9", head).replace("\"3.9\"", &format!("\"3.9\", requirements=[\"{requirement}\"]"));
        assert_eq!(read(&[("w.py", &text)]).1, vec![]);
    }
}

#[test]
fn only_files_that_a_node_imports_are_held_to_its_python() {
    let text = "import always\ntry:\n    import maybe\nexcept ImportError: ...\nfrom pack.inner import x\n".to_owned();
    let new = "Rows = list[int] | None\nA = f\"{f\"{1}\"}\"\n";
    let through = "import deep\n";
    let files = [
        ("w.py", &*node("3.9", &text)),
        ("always.py", through),
        ("deep.py", new),
        ("maybe.py", new),
        ("never.py", new),
        ("pack/__init__.py", new),
        ("pack/inner.py", "x = 1\n"),
    ];
    let (_, problems) = read(&files);
    let shown: Vec<_> = problems.iter().map(shown::problem).collect();
    insta::assert_snapshot!("imported_files", shown.join("\n"));
}

#[test]
fn of_several_nodes_the_oldest_python_is_named() {
    let more =
        "@node(python=\"3.8\")\ndef g(x: int) -> int: ...\n\n@node(python=\"3.12\")\ndef h(x: int) -> int: ...\n";
    let (_, problems) = read(&[("w.py", &(node("3.9", "A = int | None") + more))]);
    let told: Vec<_> = problems.iter().map(|p| p.message.as_str()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("node `g`") && told[0].contains("3.8"), "{told:?}");
}

#[test]
fn a_node_that_leaves_its_python_open_is_laid_out_for_one_that_has_what_it_needs() {
    let head = "import other\nRows = list[int]\n\ndef g(x):\n    match x:\n        case 1: ...";
    let (definition, problems) = read(&[("w.py", &node("", head)), ("other.py", "type X = int\n")]);
    assert_eq!(problems, vec![]);
    let needs = definition.nodes["f"].needs.as_ref().expect("it needs a newer one");
    assert_eq!((needs.python.minor, needs.place.file.as_str(), needs.place.line), (12, "other.py", 1));
    let plan = |minor: u8| {
        let configured = [PythonVersion { major: 3, minor }];
        qflow_model::plan::plan(&definition, "w", Digest::of(b""), &configured)
    };
    assert!(plan(12).is_ok());
    let problems = plan(11).expect_err("3.11 has no type statement");
    insta::assert_snapshot!("needs", problems.iter().map(shown::problem).collect::<String>());
}

#[test]
fn the_python_of_a_node_must_satisfy_requires_python() {
    let block = "# /// script\n# requires-python = \">=3.10,<3.13\"\n# ///";
    let (_, problems) = read(&[("w.py", &node("3.9", block))]);
    insta::assert_snapshot!("requires_python", problems.iter().map(shown::problem).collect::<String>());
    assert_eq!(read(&[("w.py", &node("3.12", block))]).1, vec![]);
}

#[test]
fn syntax_that_no_python_has_is_an_error() {
    for head in ["x = [*y for y in z]", "f((a)=1)"] {
        let (_, problems) = read(&[("w.py", &node("3.12", head))]);
        assert_eq!(problems.iter().map(|p| p.code.as_str()).collect::<Vec<_>>(), ["syntax"], "{head}");
    }
}

/// Imports each text as the harness does: annotations stay text. Prints the numbers of those that fail.
const IMPORT: &str = "import __future__, io, json, sys, types
failed = []
for at, text in enumerate(json.load(sys.stdin)):
    module = sys.modules['w'] = types.ModuleType('w')
    module.open = lambda *_: io.StringIO()
    try:
        code = compile(text, 'w.py', 'exec', flags=__future__.annotations.compiler_flag, dont_inherit=True)
        exec(code, module.__dict__)
    except Exception:
        failed.append(at)
print(json.dumps(failed))
";

#[test]
fn real_pythons_agree() {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };
    let list = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/local/pythons");
    let found = Command::new(list).output().expect("the list of interpreters runs");
    let pythons = String::from_utf8(found.stdout).expect("paths are text");
    // What needs a package, or files beside it, is not here.
    let alone = |text: &&str| !text.contains("pydantic") && !text.contains("from .");
    let older: Vec<(u8, &str)> = SPELLINGS.iter().copied().filter(|(_, text)| alone(text)).collect();
    let every: Vec<&str> = EVERYWHERE.iter().copied().filter(alone).collect();
    let texts: Vec<&str> = older.iter().map(|(_, text)| *text).chain(every).collect();
    for python in pythons.lines() {
        let mut child = Command::new(python)
            .args(["-c", IMPORT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("an interpreter starts");
        let input = serde_json::to_vec(&texts).expect("texts are JSON");
        child.stdin.take().expect("it is piped").write_all(&input).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let failed: Vec<usize> = serde_json::from_slice(&output.stdout).expect("it prints a list");
        let version = Command::new(python).args(["-c", "import sys; print(sys.version_info[1])"]).output();
        let minor: u8 =
            String::from_utf8(version.expect("it starts").stdout).expect("text").trim().parse().expect("a number");
        for (at, text) in texts.iter().enumerate() {
            let lacks = older.get(at).is_some_and(|(oldest, _)| minor < *oldest);
            assert_eq!(failed.contains(&at), lacks, "Python 3.{minor}: {text}");
        }
    }
}
