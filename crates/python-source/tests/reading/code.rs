//! Digests of code: what changes them, and what does not.

use std::collections::BTreeMap;

use qflow_model::{definition::Source, ids::Digest};

const ENTRY: &str = r#"# /// script
# [tool.qflow.node]
# env = { REGION = "eu" }
# ///
import logging
import re as regex
from dataclasses import dataclass

import parts
from lib import tables as t
from parts import clean
from qflow import node, workflow

LIMIT = 3
UNUSED = 4
HANDLERS = {}
COUNTS = [1, 2]
logging.basicConfig(level="INFO")


@dataclass
class Row:
    """A row."""

    name: str
    size: "Size"


class Size: ...


@dataclass
class Other:
    name: str


def near(x):
    return clean(x) + LIMIT


def unrelated(x):
    return x + UNUSED


if __name__ == "__main__":
    print(unrelated(1))


@node(cache="7d", retries=1)
def total(rows: list[Row], unused_name: int = 1) -> int:
    # Sums up.
    UNUSED = [near(row) for row in rows]
    return sum(UNUSED) + len(HANDLERS) + t.width(rows) + parts.deep.WIDTH


@node
def fetch(day: str) -> list[Row]:
    return []


@workflow
def w(day: str) -> int:
    return total(fetch(day))
"#;
const PARTS: &str = "import deep\n\ndef clean(x):\n    return deep.far(x)\n\ndef elsewhere(x):\n    return x\n";
const DEEP: &str = "WIDTH = 1\n\ndef far(x):\n    return x * FACTOR\n\nFACTOR = 2\nNEVER = 3\n";
const TABLES: &str = "def width(rows):\n    return len(rows)\n\ndef height(rows):\n    return 1\n";

fn files() -> BTreeMap<String, String> {
    let files = [
        ("w.py", ENTRY),
        ("parts.py", PARTS),
        ("deep.py", DEEP),
        ("lib/__init__.py", "VERSION = 1\n"),
        ("lib/tables.py", TABLES),
        ("never.py", "x = 1\n"),
        ("sql/a.sql", "select 1"),
    ];
    files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

fn code_of(files: BTreeMap<String, String>, node: &str) -> Option<Digest> {
    let read = qflow_python_source::read(&Source { entry: "w.py".to_owned(), files });
    let errors: Vec<_> = read.problems.iter().filter(|problem| !problem.warning).collect();
    assert!(errors.is_empty(), "{errors:?}");
    read.definition.nodes[node].code
}

/// The digest with one text of a file replaced.
fn changed(path: &str, from: &str, to: &str) -> Option<Digest> {
    let mut files = files();
    let text = files.get_mut(path).expect("the file is there");
    assert!(text.contains(from), "{path} has no {from}");
    *text = text.replacen(from, to, 1);
    code_of(files, "total")
}

#[test]
fn only_nodes_with_a_cache_have_a_digest() {
    assert_eq!(code_of(files(), "fetch"), None);
    assert!(code_of(files(), "total").is_some());
}

#[test]
fn what_does_not_change_the_code_keeps_the_digest() {
    let before = code_of(files(), "total");
    for (path, from, to) in [
        ("w.py", "# Sums up.", "# Adds up,\n\n    # slowly."),
        ("w.py", "return sum(UNUSED) + len(HANDLERS)", "return (\n        sum(UNUSED)\n        + len(HANDLERS)\n    )"),
        ("w.py", "level=\"INFO\"", "level='INFO',"),
        ("w.py", "\"INFO\"", "\"IN\" \"FO\""),
        ("w.py", "return x + UNUSED", "return x - UNUSED"),
        ("w.py", "UNUSED = 4", "UNUSED = 5"),
        ("w.py", "print(unrelated(1))", "print(unrelated(2))"),
        ("w.py", "class Other:\n    name: str", "class Other:\n    name: int"),
        ("w.py", "import re as regex", "import re as regex, json"),
        ("w.py", "retries=1", "retries=2, timeout=\"1m\", memory=\"1GiB\", pool=\"box\", max_parallel=2"),
        ("w.py", "cache=\"7d\"", "cache=True"),
        ("w.py", "def fetch(day: str)", "def fetch(day: str, more: int = 1)"),
        ("w.py", "LIMIT = 3", "def more(x):\n    return x\n\nLIMIT = 3"),
        ("parts.py", "def elsewhere(x):\n    return x", "def elsewhere(x):\n    return -x"),
        ("deep.py", "NEVER = 3", "NEVER = 4"),
        ("lib/tables.py", "return 1", "return 2"),
        ("lib/__init__.py", "VERSION = 1", "VERSION = 2"),
        ("never.py", "x = 1", "x = 2"),
    ] {
        assert_eq!(changed(path, from, to), before, "{path}: {from} → {to}");
    }
}

#[test]
fn what_changes_the_code_changes_the_digest() {
    let mut seen = vec![code_of(files(), "total")];
    for (path, from, to) in [
        ("w.py", "sum(UNUSED)", "max(UNUSED)"),
        ("w.py", "LIMIT = 3", "LIMIT = 4"),
        ("w.py", "HANDLERS = {}", "HANDLERS = {}\nHANDLERS[\"a\"] = 1"),
        ("w.py", "HANDLERS = {}", "HANDLERS = {}\nlast = COUNTS.pop(len(HANDLERS))"),
        ("w.py", "HANDLERS = {}", "HANDLERS = {}\nHANDLERS |= {2: 3}"),
        ("w.py", "level=\"INFO\"", "level=\"DEBUG\""),
        ("w.py", "    name: str\n    size", "    name: int\n    size"),
        ("w.py", "\"\"\"A row.\"\"\"", "\"\"\"One row.\"\"\""),
        ("w.py", "class Size: ...", "class Size:\n    x: int = 1"),
        ("w.py", "unused_name: int = 1", "unused_name: int = 2"),
        ("w.py", "from parts import clean", "from parts import elsewhere as clean"),
        ("w.py", "REGION = \"eu\"", "REGION = \"us\""),
        ("w.py", "retries=1", "network=True"),
        ("w.py", "retries=1", "secrets=[\"a\"]"),
        ("w.py", "@node(cache", "@node(python=\"3.12\", env={\"A\": \"b\"}, cache"),
        ("w.py", "LIMIT = 3", "LIMIT = 3\nfor i in range(3):\n    COUNTS.append(i)"),
        ("parts.py", "deep.far(x)", "deep.far(x + 1)"),
        ("parts.py", "import deep", "import deep\nprint(1)"),
        ("deep.py", "x * FACTOR", "x + FACTOR"),
        ("deep.py", "FACTOR = 2", "FACTOR = 3"),
        ("deep.py", "WIDTH = 1", "WIDTH = 2"),
        ("lib/tables.py", "len(rows)", "len(rows) + 1"),
        ("lib/__init__.py", "VERSION = 1", "print(1)"),
        ("sql/a.sql", "select 1", "select 2"),
    ] {
        let after = changed(path, from, to);
        assert!(after.is_some() && !seen.contains(&after), "{path}: {from} → {to}");
        seen.push(after);
    }
}

/// The digest of `n` in a file with this text, beside `parts.py`.
fn with(text: &str, parts: &str) -> Option<Digest> {
    let text =
        format!("from qflow import node, workflow\n{text}\n\n@workflow\ndef w(x: int) -> int:\n    return n(x)\n");
    code_of([("w.py".to_owned(), text), ("parts.py".to_owned(), parts.to_owned())].into(), "n")
}

#[test]
fn where_names_are_looked_up_as_code_runs_whole_files_count() {
    let node = |head: &str, body: &str| {
        format!("{head}\n@node(cache=True)\ndef n(x: int) -> int:\n    {body}\n\ndef unrelated(x):\n    return 1\n")
    };
    for (head, body) in [
        ("import parts", "return getattr(parts, 'far')(x)"),
        ("import parts as p\nq = p", "return q.far(x)"),
        ("import importlib", "return importlib.import_module('parts').far(x)"),
        ("", "import importlib\n    return importlib.import_module('parts').far(x)"),
        ("", "return __import__('parts').far(x)"),
        ("import sys, parts", "return sys.modules['parts'].far(x)"),
        ("", "import parts\n    return parts.far(x)"),
        ("", "from parts import far\n    return far(x)"),
        ("try:\n    from parts import far\nexcept ImportError:\n    far = None", "return far(x)"),
        ("if LIMIT:\n    import parts\n", "return parts.far(x)"),
        ("import parts", "return eval('parts.far(x)')"),
        ("import parts", "return globals()['parts'].far(x)"),
        ("from parts import REGISTRY", "return REGISTRY['far'](x)"),
    ] {
        let text = node(head, body);
        let registry = "REGISTRY = {}\n\ndef register(f):\n    REGISTRY[f.__name__] = f\n    return f\n\n";
        let parts = |value: i64| format!("{registry}@register\ndef far(x):\n    return {value}\n");
        assert_ne!(with(&text, &parts(1)), with(&text, &parts(2)), "{text}");
        assert_eq!(with(&text, &parts(1)), with(&text.replace("return 1\n", "return 1  # one\n"), &parts(1)), "{text}");
    }
    let text = node("", "return globals()['unrelated'](x)");
    assert_ne!(with(&text, ""), with(&text.replace("return 1", "return 2"), ""));
}

#[test]
fn a_functions_own_names_hide_those_of_the_file() {
    let node = |body: &str| format!("y = [1]\n\n@node(cache=True)\ndef n(x: int) -> int:\n    {body}\n");
    for (body, counts) in [
        ("y = 2\n    return y", false),
        ("return [y for y in [x]][0]", false),
        ("return (lambda y: y)(x)", false),
        ("for y in [x]: pass\n    return y", false),
        ("def f(y): return y\n    return f(x)", false),
        ("return {y: y for y in [x]}[x]", false),
        ("return [y for y in y][0]", true),
        ("return (lambda z=y: z)()[0]", true),
        ("def f(): return y\n    return f()[0]", true),
        ("global y\n    y = [y[0]]\n    return y[0]", true),
        ("return f'{y}' and x", true),
        ("z: y = x\n    return z", true),
        ("z: 'y' = x\n    return z", true),
    ] {
        let text = node(body);
        let same = with(&text, "") == with(&text.replace("y = [1]", "y = [2]"), "");
        assert_eq!(!same, counts, "{body}");
    }
}

#[test]
fn classes_that_are_told_of_their_subclasses_have_them_counted() {
    let base = "class Base:\n    found = []\n\n    def __init_subclass__(cls):\n        Base.found.append(cls)\n";
    let text = |plugin: &str| {
        format!(
            "{base}\nclass Plugin(Base):\n    {plugin}\n\n@node(cache=True)\ndef n(x: int) -> int:\n    return Base.found[0].x\n"
        )
    };
    assert_ne!(with(&text("x = 1"), ""), with(&text("x = 2"), ""));
}

#[test]
fn following_names_takes_bounded_time() {
    // Every node reaches every function.
    let mut text = "from qflow import node\n".to_owned();
    let all = (0..990).map(|at| format!("f{at}")).collect::<Vec<_>>().join(", ");
    for at in 0..990 {
        text.push_str(&format!(
            "@node(cache=True)\ndef f{at}(x: int) -> int:\n    return g{at}()\ndef g{at}():\n    return every\n"
        ));
    }
    text.push_str(&format!("every = [{all}]\n"));
    let files = BTreeMap::from([("w.py".to_owned(), text)]);
    let read = qflow_python_source::read(&Source { entry: "w.py".to_owned(), files });
    assert!(read.definition.nodes.values().all(|node| node.code.is_some()));
    let codes: std::collections::BTreeSet<_> = read.definition.nodes.values().map(|node| node.code).collect();
    assert_eq!(codes.len(), 990);
}

#[test]
fn a_file_that_is_named_through_its_folder_is_part_of_the_code_name_by_name() {
    for package in ["tools/__init__.py", "elsewhere.py"] {
        let entry = "import tools.deep.text\nfrom qflow import node, workflow\n\n@node(cache=True)\ndef cut(x: str) -> str:\n    \
                 return tools.deep.text.short(x)\n\n@workflow\ndef w(x: str) -> str:\n    return cut(x)\n";
        let with = |text: &str| {
            let files = [("w.py", entry), ("tools/deep/text.py", text), (package, "")];
            let files = files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned()));
            code_of(files.collect(), "cut")
        };
        let before = with("def short(x):\n    return x[:3]\n\ndef long(x):\n    return x\n");
        assert_eq!(with("def short(x):\n    return x[:3]\n\ndef long(x):\n    return x * 2\n"), before);
        assert_ne!(with("def short(x):\n    return x[:4]\n\ndef long(x):\n    return x\n"), before);
    }
}
