//! Generic nodes, from source: what their variables stand for at each call.

use qflow_model::definition::Source;

use crate::validate::inspect;

const HEAD: &str = r#"from typing import Sequence, TypeVar
from qflow import map, node, workflow
T = TypeVar("T")
N = TypeVar("N", bound=float)
S = TypeVar("S", int, str)
Pair = tuple[T, T]

@node
def first(rows: Sequence[T]) -> T: ...
@node
def largest(rows: list[N]) -> N: ...
@node
def one_of(x: S) -> list[S]: ...
@node
def swap[A, B](pair: tuple[A, B]) -> tuple[B, A]: ...
@node
def pair(x: T) -> Pair[T]: ...
@node
def text(x: str) -> str: ...
@node
def number(x: int) -> int: ...
@node
def numbers() -> list[int]: ...
@node
def texts() -> list[str]: ...

@workflow
def flow(given: dict[str, int]) -> object:
"#;

/// What is wrong with a workflow of this body.
fn wrong(body: &str) -> Vec<String> {
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    let files = [("w.py".to_owned(), format!("{HEAD}{body}"))].into();
    let inspected = inspect(&Source { entry: "w.py".to_owned(), files });
    inspected.problems.into_iter().map(|problem| format!("{}: {}", problem.code, problem.message)).collect()
}

#[test]
fn a_result_is_what_the_arguments_make_of_it() {
    for body in [
        "return number(first(numbers()))",
        "return text(first(texts()))",
        "return number(first(swap((\"a\", [1]))[0]))",
        "return text(swap((1, \"a\"))[0])",
        "return number(pair(1)[1])",
        "return number(largest(numbers()))",
        "return map(number, map(first, [numbers(), numbers()]))",
        "return number(one_of(1)[0])",
        "return map(one_of, [1, 2])",
        "return map(text, map(first, [[\"a\"], [\"b\"]]))",
    ] {
        assert_eq!(wrong(body), Vec::<String>::new(), "{body}");
    }
}

#[test]
fn what_may_be_changed_is_mapped_over_and_taken_apart_as_what_it_is() {
    let wrong = |declared: &str, body: &str| {
        let text = format!(
            "from collections.abc import MutableMapping, MutableSequence, MutableSet, Reversible\nfrom qflow import map, node, workflow\n\
            @node\ndef number(x: int) -> int: ...\n@node\ndef text(x: str) -> str: ...\n\
            @workflow\ndef w(xs: {declared}) -> object:\n    return {body}\n"
        );
        let source = Source { entry: "w.py".to_owned(), files: [("w.py".to_owned(), text)].into() };
        inspect(&source).problems.into_iter().map(|problem| problem.code).collect::<Vec<_>>()
    };
    for declared in ["MutableSequence[int]", "MutableSet[int]", "Reversible[int]"] {
        assert_eq!(wrong(declared, "map(number, xs)"), Vec::<String>::new(), "{declared}");
        assert_eq!(wrong(declared, "map(text, xs)"), ["incompatible-types"], "{declared}");
    }
    assert_eq!(wrong("MutableSequence[int]", "number(xs[0])"), Vec::<String>::new());
    assert_eq!(wrong("MutableSequence[int]", "text(xs[0])"), ["incompatible-types"]);
    assert_eq!(wrong("MutableMapping[str, int]", "text(xs[\"a\"])"), ["incompatible-types"]);
}

#[test]
fn what_does_not_fit_names_what_the_variable_stands_for() {
    for (body, expected) in [
        ("return text(first(numbers()))", "incompatible-types: text.x: str ← first → int (w.py:9 → w.py:19)"),
        (
            "return largest(texts())",
            "incompatible-types: largest.rows: list[N] ← texts → list[str] (w.py:25 → w.py:11): N would be str, and is bound to float: str is not float",
        ),
        (
            "return one_of(numbers())",
            "incompatible-types: one_of.x: S ← numbers → list[int] (w.py:23 → w.py:13): S would be list[int], and is one of int, str",
        ),
        ("return number(first(\"ab\"))", "incompatible-types: number.x: int ← first → str (w.py:9 → w.py:21)"),
        ("return number(swap((1, \"a\"))[0])", "incompatible-types: number.x: int ← swap[0] → str (w.py:15 → w.py:21)"),
        (
            "return first(given)",
            "incompatible-types: first.rows: Sequence[Any] ← given → dict[str, int] (w.py:28 → w.py:9)",
        ),
    ] {
        assert_eq!(wrong(body), [expected], "{body}");
    }
}

#[test]
fn classes_of_the_users_solve_variables_as_what_they_are_besides() {
    let head = "from enum import StrEnum\nfrom typing import Iterable, Mapping, NamedTuple, Sequence, TypedDict, TypeVar\n\
        from qflow import node, workflow\nT = TypeVar(\"T\")\nU = TypeVar(\"U\")\nW = TypeVar(\"W\", bound=str)\n\
        class Pair(NamedTuple):\n    x: str\n    y: str\nclass Row(TypedDict):\n    x: str\nclass Name(StrEnum):\n    A = \"a\"\n\
        @node\ndef first(x: Sequence[T]) -> T: ...\n@node\ndef second(x: tuple[T, U]) -> U: ...\n\
        @node\ndef held(x: Mapping[str, T]) -> T: ...\n@node\ndef keys(x: Iterable[T]) -> T: ...\n\
        @node\ndef word(x: W) -> W: ...\n@node\ndef number(x: int) -> int: ...\n@node\ndef text(x: str) -> str: ...\n\
        @node\ndef pair() -> Pair: ...\n@node\ndef row() -> Row: ...\n@node\ndef name() -> Name: ...\n\
        @workflow\ndef w() -> object:\n    return ";
    let told = |call: &str| {
        let files = [("w.py".to_owned(), format!("{head}{call}\n"))].into();
        let problems = inspect(&Source { entry: "w.py".to_owned(), files }).problems;
        problems.into_iter().map(|told| told.message).collect::<Vec<_>>()
    };
    for call in [
        "text(first(pair()))",
        "text(second(pair()))",
        "text(keys(row()))",
        "text(first(name()))",
        "text(word(name()))",
    ] {
        assert_eq!(told(call), Vec::<String>::new(), "{call}");
    }
    for (call, edge) in [
        ("number(first(pair()))", "number.x: int ← first → str"),
        ("number(second(pair()))", "number.x: int ← second → str"),
        ("number(held(row()))", "number.x: int ← held → object"),
        ("number(keys(row()))", "number.x: int ← keys → str"),
        ("number(first(name()))", "number.x: int ← first → str"),
        ("number(word(name()))", "number.x: int ← word → Name"),
    ] {
        let told = told(call);
        assert!(told.len() == 1 && told[0].starts_with(edge), "{call}: {told:?}");
    }
}

/// Neither argument is wrong by itself, so both are told.
#[test]
fn what_arguments_make_of_a_variable_together_names_each_of_them() {
    let text = "from typing import TypeVar\nfrom qflow import node, workflow\nS = TypeVar(\"S\", int, str)\n\
        @node\ndef both(a: S, b: list[S], c: int) -> S: ...\n\
        @node\ndef texts() -> list[str]: ...\n\
        @workflow\ndef w() -> object:\n    return both(1, texts(), 2)\n";
    let source = Source { entry: "w.py".to_owned(), files: [("w.py".to_owned(), text.to_owned())].into() };
    let told = inspect(&source).problems;
    let expected = "both.a: S ← literal → Literal[1] (w.py:10 → w.py:5) and both.b: list[S] ← texts → list[str] (w.py:7 → w.py:5): \
        S would be int | str, and is one of int, str";
    assert_eq!(told.iter().map(|told| told.message.as_str()).collect::<Vec<_>>(), [expected]);
    assert_eq!(told[0].other.as_ref().map(|other| other.line), Some(7));
}

#[test]
fn an_argument_is_underlined_whole() {
    let told = |body: &str| {
        let source = Source { entry: "w.py".to_owned(), files: [("w.py".to_owned(), format!("{HEAD}{body}"))].into() };
        let one = |told: qflow_model::definition::Problem| {
            let (from, to) = (told.place.column as usize - 1, told.end_column as usize - 1);
            (told.place.line, told.excerpt.chars().skip(from).take(to - from).collect::<String>())
        };
        inspect(&source).problems.into_iter().map(one).collect::<Vec<_>>()
    };
    for (body, line, underlined) in [
        ("    return text(first(numbers()))\n", 29, "first(numbers())"),
        ("    return text(x=first(numbers()))\n", 29, "first(numbers())"),
        ("    return largest(texts())\n", 29, "texts()"),
        ("    return text(\n        given[\"é\"],\n    )\n", 30, "given[\"é\"]"),
        ("    return number([\n        1,\n    ])\n", 29, "["),
        ("    return [text(x) for x in numbers()]\n", 29, "x"),
        ("    return map(text, numbers())\n", 29, "numbers()"),
        ("    if text(\"a\") < number(1):\n        return 1\n    return 2\n", 29, "text(\"a\") < number(1)"),
    ] {
        assert_eq!(told(body), [(line, underlined.to_owned())], "{body}");
    }
    // A default is told where it is declared, by its name; a result where it is returned, or by the workflow's name where that is in several places.
    let head = "from qflow import node, workflow\n@node\ndef one() -> int: ...\n@workflow\ndef flow(size: int = \"a\") -> str:\n";
    for (body, columns) in [
        ("    return one()\n", &[(10, 14), (12, 17)][..]),
        ("    if size == 1:\n        return one()\n    return one()\n", &[(5, 9), (5, 9), (10, 14)]),
    ] {
        let source = Source { entry: "w.py".to_owned(), files: [("w.py".to_owned(), format!("{head}{body}"))].into() };
        let told = inspect(&source).problems.into_iter().map(|told| (told.place.column, told.end_column));
        assert_eq!(told.collect::<Vec<_>>(), columns, "{body}");
    }
}

#[test]
fn what_is_put_together_in_a_call_goes_part_by_part() {
    let wrong = |call: &str| {
        let text = format!(
            "from typing import NotRequired, TypedDict\nfrom qflow import node, workflow\n\
            class Item(TypedDict):\n    name: str\n    price: float\n    note: NotRequired[str]\n\
            @node\ndef total(rows: list[Item]) -> float: ...\n\
            @node\ndef count(x: list[float | None]) -> int: ...\n\
            @node\ndef one() -> int: ...\n\
            @workflow\ndef w(name: str) -> float:\n    return {call}\n"
        );
        let source = Source { entry: "w.py".to_owned(), files: [("w.py".to_owned(), text)].into() };
        inspect(&source).problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>()
    };
    for call in ["total([{\"name\": name, \"price\": one()}])", "count([1, None, one()])", "total([])"] {
        assert_eq!(wrong(call), Vec::<String>::new(), "{call}");
    }
    for call in [
        "total([{\"name\": name}])",
        "total([{\"name\": name, \"price\": name}])",
        "total([{\"name\": name, \"price\": 1, \"more\": one()}])",
        "count([name])",
    ] {
        assert_eq!(wrong(call).len(), 1, "{call}: {:?}", wrong(call));
    }
}

#[test]
fn a_nodes_default_is_held_to_its_annotation() {
    let told = |default: &str| {
        let text = format!(
            "from qflow import node, workflow\n@node\ndef f(x: int = {default}) -> int: ...\n@workflow\ndef w() -> int:\n    return f()\n"
        );
        let source = Source { entry: "w.py".to_owned(), files: [("w.py".to_owned(), text)].into() };
        let problems = inspect(&source).problems.into_iter();
        problems.map(|problem| (problem.place.to_string(), problem.message, problem.remedy)).collect::<Vec<_>>()
    };
    assert_eq!(told("1"), []);
    assert_eq!(told("len([])"), []);
    assert_eq!(told("max(1, 2)")[0].1, "f.x: int ← its default: what `max(1, 2)` is only Python knows");
    let (place, remedy) = ("w.py:3:16".to_owned(), |text: &str| Some(text.to_owned()));
    let none = "f.x: int ← its default: expected int, got None".to_owned();
    assert_eq!(told("None"), [(place.clone(), none, remedy("declare int | None"))]);
    let text = "f.x: int ← its default: expected int, got str".to_owned();
    assert_eq!(told("\"a\""), [(place, text, remedy("write a default of the declared type"))]);
}

#[test]
fn a_type_that_doubles_with_each_call_is_bounded() {
    let calls = |count: usize| {
        let calls: String = (1..=count).map(|at| format!("a{at} = pair(a{})\n", at - 1)).collect();
        wrong(&format!("a0 = number(1)\n{calls}return a{count}"))
    };
    assert_eq!(calls(7), Vec::<String>::new());
    let told = calls(60);
    assert_eq!(told[0], "too-large: the result of `pair` is of a type of more than 500 parts");
    assert!(told.len() <= 60 / 7, "{told:?}");
}
