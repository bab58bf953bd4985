//! Submissions of several files: what names of other files stand for, and what is wrong between files.

use std::collections::BTreeMap;

use qflow_model::definition::{Definition, Problem, Source};

use crate::shown;

const PARTS: &str = "from qflow import node\n\nLIMIT = 3\n\n@node(python=\"3.12\")\ndef clean(x: int) -> int: ...\n";

fn read(entry: &str, files: &[(&str, &str)]) -> (Definition, Vec<Problem>) {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let source = Source { entry: entry.to_owned(), files: files.collect::<BTreeMap<_, _>>() };
    let read = qflow_python_source::read(&source);
    (read.definition, read.problems)
}

/// A workflow that calls `clean` in some spelling.
fn using(import: &str, call: &str) -> String {
    format!("{import}\nfrom qflow import workflow\n\n@workflow\ndef w(x: int = 1) -> int:\n    return {call}\n")
}

#[test]
fn every_import_that_python_resolves_finds_the_node() {
    for (path, import, call) in [
        ("parts.py", "from parts import clean", "clean(x)"),
        ("parts.py", "from parts import clean as c", "c(x)"),
        ("parts.py", "import parts", "parts.clean(x)"),
        ("parts.py", "import parts as p", "p.clean(p.LIMIT)"),
        ("jobs/parts.py", "from .parts import clean", "clean(x)"),
        ("jobs/parts.py", "from . import parts", "parts.clean(x)"),
        ("jobs/parts.py", "import parts", "parts.clean(x)"),
        ("shared/parts.py", "from ..shared.parts import clean", "clean(x)"),
        ("shared/parts.py", "from shared import parts", "parts.clean(x)"),
        ("src/lib/parts.py", "from lib.parts import clean", "clean(x)"),
        ("src/lib/__init__.py", "from lib import clean", "clean(x)"),
        ("src/lib/parts.py", "import lib.parts as p", "p.clean(x)"),
        ("src/lib/parts.py", "import lib.parts", "lib.parts.clean(x)"),
        ("lib/deep/parts.py", "import lib.deep.parts", "lib.deep.parts.clean(lib.deep.parts.LIMIT)"),
    ] {
        let (definition, problems) = read("jobs/w.py", &[("jobs/w.py", &using(import, call)), (path, PARTS)]);
        assert_eq!(problems, vec![], "{import}");
        assert_eq!(definition.workflows["w"].steps[0].kind.callee(), "clean", "{import}");
        assert_eq!(definition.nodes["clean"].file, path, "{import}");
    }
}

#[test]
fn an_import_of_a_file_in_a_package_names_it_through_the_package() {
    let package = "VERSION = 2\n\ndef clean(x: int) -> int: ...\n";
    let entry = using("import lib.parts\nimport lib.more", "lib.parts.clean(lib.more.add(lib.VERSION))");
    let more = PARTS.replace("clean", "add");
    let files =
        [("w.py", entry.as_str()), ("lib/__init__.py", package), ("lib/parts.py", PARTS), ("lib/more.py", &more)];
    let (definition, problems) = read("w.py", &files);
    assert_eq!(problems, vec![]);
    let callees: Vec<_> = definition.workflows["w"].steps.iter().map(|step| step.kind.callee()).collect();
    assert_eq!(callees, ["add", "clean"]);
    // A folder in a package, without a file of its own.
    let entry = using("import lib.deep.parts", "lib.deep.parts.clean(lib.VERSION)");
    let files = [("w.py", entry.as_str()), ("src/lib/__init__.py", package), ("src/lib/deep/parts.py", PARTS)];
    assert_eq!(read("w.py", &files).1, vec![]);
}

#[test]
fn what_another_file_lacks_is_told_where_it_is_called() {
    for (call, message, remedy) in [
        ("lib.other.clean(x)", "`lib` has no `other`", "write what it has"),
        ("lib.parts.claen(x)", "`lib/parts.py` has no `claen`", "did you mean `clean`?"),
        ("lib.parts.other.clean(x)", "`lib/parts.py` has no `other`", "write what it has"),
    ] {
        let entry = using("import lib.parts", call);
        let (_, problems) = read("w.py", &[("w.py", &entry), ("lib/parts.py", PARTS)]);
        let told: Vec<_> = problems.iter().map(|p| (p.message.as_str(), p.remedy.as_deref(), p.place.line)).collect();
        assert_eq!(told, [(message, Some(remedy), 6)], "{call}");
    }
}

#[test]
fn functions_of_one_name_are_told_apart_by_their_files() {
    let load = |options: &str| {
        format!(
            "from qflow import node, workflow\n\n@node({options})\ndef load(x: int) -> int: ...\n\n@workflow\ndef w(x: int) -> int:\n    return load(x)\n"
        )
    };
    let entry = "import sales\nimport shop.orders\nfrom qflow import map, node, workflow\nfrom shop import load as third\n\n\
                 @node\ndef only(x: int) -> int: ...\n\n@workflow\ndef w(x: int = 1) -> object:\n    \
                 a = sales.load(only(x))\n    b = shop.orders.load(a)\n    c = map(third, [b])\n    \
                 return [c, sales.w(x), shop.orders.w(x)]\n";
    let (sales, orders, shop) = (load("cache=True"), load("python=\"3.12\""), load("cache=True, retries=1"));
    let files =
        [("w.py", entry), ("sales.py", &sales), ("src/shop/orders.py", &orders), ("src/shop/__init__.py", &shop)];
    let (definition, problems) = read("w.py", &files);
    assert_eq!(problems, vec![]);
    let names: Vec<_> = definition.nodes.keys().collect();
    assert_eq!(names, ["only", "sales.load", "shop.load", "shop.orders.load"]);
    let workflows: Vec<_> = definition.workflows.keys().collect();
    assert_eq!(workflows, ["sales.w", "shop.orders.w", "shop.w", "w"]);
    let steps = definition.workflows["w"].steps.iter().map(|step| (step.id.as_str(), step.kind.callee()));
    assert_eq!(
        steps.collect::<Vec<_>>(),
        [
            ("only", "only"),
            ("load", "sales.load"),
            ("load-2", "shop.orders.load"),
            ("load-3", "shop.load"),
            ("w", "sales.w"),
            ("w-2", "shop.orders.w"),
        ]
    );
    assert_eq!(definition.workflows["shop.w"].steps[0].kind.callee(), "shop.load", "each file's own");
    let (sales, shop) = (&definition.nodes["sales.load"], &definition.nodes["shop.load"]);
    assert_eq!((sales.name.as_str(), sales.file.as_str(), shop.retry.retries), ("load", "sales.py", 1));
    assert!(sales.code.is_some() && shop.code.is_some() && sales.code != shop.code);
}

#[test]
fn a_node_that_calls_its_namesake_of_another_file_is_told() {
    let other = "import parts\nfrom qflow import node\n\n@node\ndef clean(x: int) -> int:\n    return parts.clean(x)\n";
    let (_, problems) =
        read("w.py", &[("w.py", &using("import other", "other.clean(x)")), ("other.py", other), ("parts.py", PARTS)]);
    let told: Vec<_> = problems.iter().map(|p| (p.code.as_str(), p.message.as_str())).collect();
    let message = "`parts.clean` inside `other.clean` is a plain call, and its environment differs";
    assert_eq!(told, [("node-in-node", message)]);
}

#[test]
fn two_functions_of_one_name_in_a_file_are_one_too_many() {
    let twice = format!("{PARTS}\n\n@node\ndef clean(y: int) -> int: ...\n");
    let (_, problems) =
        read("w.py", &[("w.py", &using("import parts", "parts.clean(x)")), ("parts.py", &twice), ("other.py", PARTS)]);
    assert_eq!(problems.iter().map(|p| p.code.as_str()).collect::<Vec<_>>(), ["duplicate-name"]);
}

#[test]
fn names_are_imported_through_other_files() {
    let through = "from parts import clean\nclean_up = clean\n";
    let entry = using("from middle import clean_up", "clean_up(x)");
    let (definition, problems) = read("w.py", &[("w.py", &entry), ("middle.py", through), ("parts.py", PARTS)]);
    assert_eq!(problems, vec![]);
    assert_eq!(definition.workflows["w"].steps[0].id, "clean");
}

#[test]
fn only_the_entry_files_block_counts() {
    let block = |name: &str| format!("# /// script\n# dependencies = [\"{name}\"]\n# ///\n");
    let entry = block("pandas") + &using("from parts import clean", "clean(x)");
    let (definition, problems) = read("w.py", &[("w.py", &entry), ("parts.py", &(block("numpy") + PARTS))]);
    assert_eq!(problems, vec![]);
    assert_eq!(definition.nodes["clean"].requirements, ["pandas"]);
}

#[test]
fn a_file_that_does_not_parse_is_told_once() {
    let entry = using("from parts import clean, Row", "clean(x)").replace("x: int", "x: Row");
    let (_, problems) = read("w.py", &[("w.py", &entry), ("parts.py", "def clean(:\n")]);
    let told: Vec<_> = problems.iter().map(|p| (p.place.file.as_str(), p.code.as_str())).collect();
    assert_eq!(told, [("parts.py", "syntax"); 2]);
}

#[test]
fn what_is_wrong_between_files_is_told() {
    let files = [
        ("../up.py", "x = 1\n"),
        ("a\\b.py", "x = 1\n"),
        ("data.sql", "not Python ("),
        ("lib/parts.py", PARTS),
        ("old.py", "type Row = int\n"),
        (
            "other.py",
            "from qflow import node\n\n@node(python=\"3.9\")\ndef tidy(x: int) -> int:\n    match x:\n        case 1: ...\n",
        ),
        ("w.py", "import lib.parts\nfrom lib.parts import *\n\nclean = lib.parts.clean\n"),
    ];
    let (_, problems) = read("w.py", &files);
    let shown: Vec<_> = problems.iter().map(shown::problem).collect();
    insta::assert_snapshot!("between_files", shown.join("\n"));
}

#[test]
fn an_entry_that_is_not_there_is_told() {
    let (_, problems) = read("w.py", &[("v.py", "x = 1\n")]);
    assert_eq!(problems.iter().map(|p| p.code.as_str()).collect::<Vec<_>>(), ["no-entry"]);
}
