//! Sources that nobody writes in good faith, and those that only look odd.

use std::fmt::Write as _;

use qflow_python_source::read;

use crate::{codes, problems, shown, source};

const HEAD: &str =
    "from qflow import map, node, workflow\n\n@node\ndef f(x: object = 1, y: object = 1) -> int: ...\n\n";

/// A workflow behind the node `f`.
fn body(text: &str) -> String {
    format!("{HEAD}@workflow\ndef w(n: int = 1) -> int:\n{text}")
}

#[test]
fn what_nests_5000_deep_is_refused_before_it_is_parsed() {
    let around = |open: &str, inner: &str, close: &str| format!("{}{inner}{}", open.repeat(5000), close.repeat(5000));
    for text in [
        "(".repeat(5000),
        format!("x = a{}", ".a".repeat(50_000)),
        format!("x = f{}", "()".repeat(50_000)),
        format!("def f(x: {}) -> int: ...", around("list[", "int", "]")),
        format!("def f(x: \"{}\") -> int: ...", "a|".repeat(5000)),
        body(&format!("    return {}", around("f(", "1", ")"))),
        body(&format!("    return {}", around("not ", "n", ""))),
        (0..5000).fold(String::new(), |mut text, depth| {
            let _ = writeln!(text, "{}if n:", " ".repeat(depth.min(200)));
            text
        }),
    ] {
        let found = codes(&text);
        let known = ["too-deep", "syntax", "too-large", "no-workflow"];
        assert!(found.iter().all(|code| known.contains(&code.as_str())), "{found:?}");
        assert!(!found.is_empty());
    }
    let nested = (0..101).map(|depth| format!("{}if n:\n", " ".repeat(depth))).collect::<Vec<_>>().concat();
    assert_eq!(codes(&format!("{nested}{}pass\n", " ".repeat(101))), ["too-deep"]);
}

#[test]
fn types_in_texts_and_behind_aliases_are_bounded() {
    let node = |annotation: &str| format!("from qflow import node\n\n@node\ndef f(x: {annotation}) -> int: ...\n");
    let text = format!("\"{}int{}\"", "list[".repeat(150), "]".repeat(150));
    assert_eq!(codes(&node(&text)), ["no-workflow"], "within the bound");
    let text = format!("\"{}int{}\"", "list[".repeat(201), "]".repeat(201));
    assert_eq!(codes(&node(&text)), ["too-deep"]);
    let mut doubling = "A0 = int\n".to_owned();
    for at in 1..40 {
        let _ = writeln!(doubling, "A{at} = tuple[A{}, A{}]", at - 1, at - 1);
    }
    assert_eq!(codes(&format!("{doubling}{}", node("A39"))), ["too-large"]);
    assert_eq!(codes(&format!("A = B\nB = A\n{}", node("A"))), ["unknown-type"]);
    assert_eq!(codes(&format!("A = list[B]\nB = list[A]\n{}", node("A"))), ["no-workflow"], "a circle ends");
    assert_eq!(codes(&format!("A = list[\"A\"]\n{}", node("A"))), ["no-workflow"]);
}

#[test]
fn constants_that_double_are_bounded() {
    let mut text = "A0 = [1, 2, 3]\n".to_owned();
    for at in 1..40 {
        let _ = writeln!(text, "A{at} = [A{}, A{}]", at - 1, at - 1);
    }
    assert_eq!(codes(&format!("{text}{}", body("    return f(A39)\n"))), ["bad-literal"]);
    assert_eq!(codes(&format!("A = [B]\nB = [A]\n{}", body("    return f(A)\n"))), ["bad-literal"]);
    let mut wide = format!("A = [{}]\n", "1, ".repeat(5000));
    let _ = write!(wide, "{}", body("    a = A\n"));
    wide.push_str(&"    a = f(A, y=A)\n".repeat(100));
    assert_eq!(codes(&wide), ["bad-literal"]);
}

#[test]
fn values_of_a_body_that_double_are_bounded() {
    let mut text = body("    a0 = [n]\n");
    for at in 1..60 {
        let _ = writeln!(text, "    a{at} = [a{}, a{}]", at - 1, at - 1);
    }
    text.push_str("    return f(a59)\n");
    assert_eq!(codes(&text), ["too-large"]);
    let mut deep = body("    a0 = [n]\n");
    for at in 1..60 {
        let _ = writeln!(deep, "    a{at} = [a{}]", at - 1);
    }
    deep.push_str("    return f(a59)\n");
    assert_eq!(codes(&deep), ["too-deep"]);
}

#[test]
fn a_definition_reads_back_from_json() {
    let mut text = body("    a = n\n");
    for at in 0..40 {
        let _ = writeln!(text, "    {} n == {at}:\n        a = f(a)", if at == 0 { "if" } else { "elif" });
    }
    text.push_str("    return f([[[[[[[[a]]]]]]]])\n");
    let read = read(&source("w.py", &text));
    assert_eq!(read.problems, vec![]);
    let json = serde_json::to_string(&read.definition).unwrap();
    assert_eq!(serde_json::from_str::<qflow_model::definition::Definition>(&json).unwrap(), read.definition);
}

#[test]
fn more_calls_and_branches_than_a_workflow_has_are_refused_once() {
    let calls = body(&"    f(n)\n".repeat(1001));
    assert_eq!(codes(&calls), ["too-many-steps"]);
    let branches = body(&format!("{}    f(n)\n", "    if n: pass\n".repeat(1001)));
    assert_eq!(codes(&branches), ["too-many-branches"]);
    let returns = body(&format!("{}    return f(n)\n", "    if n: return 1\n".repeat(500)));
    assert_eq!(codes(&returns), ["too-deep"]);
    let elifs = body(&format!("    if n: f(n)\n{}", "    elif n: f(n)\n".repeat(500)));
    assert_eq!(codes(&elifs), ["too-deep"]);
}

#[test]
fn what_every_node_has_a_copy_of_is_bounded() {
    let mut text = "# /// script\n# dependencies = [\n".to_owned();
    (0..2000).for_each(|at| text.push_str(&format!("# \"package-{at}\",\n")));
    text.push_str("# ]\n# ///\nfrom qflow import node\n");
    (0..1001).for_each(|at| text.push_str(&format!("@node\ndef f{at}() -> None: ...\n")));
    let read = read(&source("w.py", &text));
    let codes: Vec<_> = read.problems.iter().map(|p| p.code.as_str()).collect();
    assert_eq!(codes.iter().filter(|code| **code == "too-many-nodes").count(), 1);
    assert_eq!(codes.iter().filter(|code| **code == "too-large").count(), 1);
    assert_eq!(read.definition.nodes.len(), 1000);
    assert!(serde_json::to_vec(&read.definition).unwrap().len() < 8 << 20);
}

#[test]
fn large_sources_are_refused_without_being_read() {
    let ten = "x = 1\n".repeat(10 * 1024 * 1024 / 6);
    let found = problems(&ten);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].code, "too-large");
    assert!(found[0].message.contains("2097152 bytes"), "{}", found[0].message);
    let found = problems(&"x = 1\n".repeat(50_000));
    assert_eq!((found.len(), found[0].code.as_str()), (1, "too-large"));
    assert!(found[0].message.contains("262144"), "{}", found[0].message);
    let text = format!("{HEAD}def g({}): ...\n", "a, ".repeat(80_000));
    assert!(text.len() < 262_144);
    let _ = codes(&text);
}

#[test]
fn odd_line_ends_and_spaces_do_not_move_places() {
    for text in [
        format!("\u{feff}{}", body("    f(1)\n    return g\n")),
        body("    f(1)\n    return g\n").replace('\n', "\r\n"),
        body("    f(1)\n    return g\n").replace('\n', "\r"),
        body("\u{c}    f(1)\n    return g\n"),
        body("    f(1)\n    return g"),
    ] {
        let found = problems(&text);
        let told: Vec<_> =
            found.iter().map(|p| (p.place.line, p.place.column, p.end_column, p.code.as_str())).collect();
        assert_eq!(told, [(9, 12, 13, "unbound-name")], "{text:?}");
        assert_eq!(found[0].excerpt, "    return g");
    }
    let found = problems(&body("\tf(1)\n\treturn g\n"));
    assert_eq!((found[0].place.column, found[0].excerpt.as_str()), (9, "\treturn g"));
}

#[test]
fn hostile_names_are_read_as_python_reads_them() {
    let text = "from qflow import node, workflow

@node
def ｆetch(ﬁeld: int) -> int: ...

@node
def fеtch(größe: int) -> int: ...

@node
def 取得(x: str = \"\u{202e}\u{1b}[2J\") -> int: ...

@workflow
def w(größe: int) -> int:
    é = fetch(field=größe) ; fеtch(größe)
    取得(größe, größé)
    return é
";
    let read = read(&source("w.py", text));
    let shown: Vec<_> = read.problems.iter().map(shown::problem).collect();
    insta::assert_snapshot!("hostile_names", shown.join("\n"));
    let steps = &read.definition.workflows["w"].steps;
    assert_eq!(steps.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["fetch", "f\u{435}tch", "取得"]);
    for id in read.definition.nodes.keys() {
        assert!(id.chars().all(|c| c.is_alphanumeric() || c == '_'), "{id}");
    }
}

#[test]
fn names_that_are_no_ids_are_refused() {
    let long = "f".repeat(101);
    let text = format!("from qflow import node, workflow\n\n@node\ndef {long}({long}: int) -> int: ...\n");
    assert_eq!(codes(&text), ["long-name", "long-name"]);
    assert!(codes("def f\u{202e}(): ...\n").contains(&"syntax".to_owned()));
    assert_eq!(codes("x = '\u{202e}'\n"), ["no-workflow", "bidi-character"]);
}

#[test]
fn syntax_errors_are_told_as_such() {
    let found: Vec<_> = [
        "def f(:\n",
        "x = (\n",
        "'",
        "if x:\n",
        "  x\n y\n",
        "\0",
        "x = 1 +\n",
        "$",
        "from qflow import node\n@node\ndef f(x: int, x: int) -> int: ...\n",
    ]
    .iter()
    .flat_map(|text| problems(text))
    .map(|p| format!("{}-{} {}: {}", p.place, p.end_column, p.code, p.message))
    .collect();
    insta::assert_snapshot!("syntax_errors", found.join("\n"));
}

#[test]
fn syntax_that_a_nodes_python_lacks_is_told() {
    let text = "from qflow import node, workflow

@node(python=\"3.9\")
def f(x: int) -> int:
    match x:
        case 1: return 1
    return x

@node(python=\"3.12\")
def g(x: int) -> int:
    return x

@workflow
def w(x: int = 1) -> int:
    return f(g(x))
";
    let found = problems(text);
    let shown: Vec<_> = found.iter().map(shown::problem).collect();
    insta::assert_snapshot!("older_python", shown.join("\n"));
    assert_eq!(codes(&text.replace("3.9", "3.10")), Vec::<String>::new());
}
