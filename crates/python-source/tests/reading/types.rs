//! What annotations are read as.

use qflow_model::definition::Source;

use crate::{codes, source};

const HEAD: &str = r#"from __future__ import annotations
import collections.abc as abc
import typing as t
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal as D
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Dict, List, Literal, NewType, Optional, TypeVar, Union
from geo import Path as GeoPath
import numpy as np
import numpy.typing as npt
import pandera.typing as pat
import qflow
from qflow import node
if TYPE_CHECKING:
    import pandas as pd
Rows = list[dict[str, "Cell"]]
Cell = Union[int, float, None]
UserId = NewType("UserId", int)
T = TypeVar("T")
type Modern = tuple[int, ...]
type Tree = dict[str, Tree] | int
Json = Union[None, int, List["Json"], Dict[str, "Json"]]
type Even = list[Odd]
type Odd = list[Even]
Point = t.NamedTuple("Point", [("x", int)])
class Color(Enum):
    RED = 1
class Hue(Enum):
    RED = "r"
    ALSO = "r"
    AGAIN = ALSO
@dataclass
class Row: ...
class Folder: ...
class Outer:
    class Inner: ...
"#;

/// The spelling of an annotation's type, and whether the node needs frames; else the code of what is wrong.
fn read(annotation: &str) -> Result<(String, bool), String> {
    let text = format!("{HEAD}@node\ndef f[V](x: {annotation}) -> None: ...\n");
    let read = qflow_python_source::read(&source("w.py", &text));
    match read.problems.iter().find(|problem| problem.code != "no-workflow") {
        Some(problem) => Err(problem.code.clone()),
        None => Ok((read.definition.nodes["f"].params[0].ty.0.clone(), read.definition.nodes["f"].frames)),
    }
}

#[test]
fn annotations_are_read_through_imports_aliases_and_texts() {
    for (annotation, spelled) in [
        ("int | None", "int | None"),
        ("Optional[List[Dict[str, float]]]", "list[dict[str, float]] | None"),
        ("\"list['Row']\"", "list[Row]"),
        ("Rows", "list[dict[str, float | int | None]]"),
        ("UserId", "int"),
        ("T", "Any"),
        ("list[V]", "list[Any]"),
        ("Modern", "tuple[int, ...]"),
        ("Tree", "int | dict[str, Any]"),
        ("list[Tree | Tree]", "list[int | dict[str, Any]]"),
        ("Json", "int | dict[str, Any] | list[Any] | None"),
        ("Even", "list[list[Any]]"),
        ("Point", "Point"),
        ("Annotated[int, \"metres\"]", "int"),
        ("Literal[\"a\", -1, True, None]", "Literal[True, -1, \"a\"] | None"),
        ("Literal[Color.RED]", "Literal[Color.RED]"),
        ("Literal[Hue.AGAIN, Hue.ALSO]", "Literal[Hue.RED]"),
        ("Literal[Color.RED, b\"x\", -1]", "Literal[-1, b\"x\", Color.RED]"),
        ("tuple[int, *tuple[str, ...]]", "tuple[int, *tuple[str, ...]]"),
        ("object", "object"),
        ("t.Set[int]", "set[int]"),
        ("abc.Set[int]", "Set[int]"),
        ("abc.MutableMapping[str, int]", "MutableMapping[str, int]"),
        ("t.Sequence[abc.Mapping[str, D]]", "Sequence[Mapping[str, Decimal]]"),
        ("tuple[()]", "tuple[()]"),
        ("tuple", "tuple[Any, ...]"),
        ("date | datetime", "date | datetime"),
        ("Path", "Path"),
        ("GeoPath", "geo.Path"),
        ("Folder", "w.Folder"),
        ("qflow.Folder", "Folder"),
        ("qflow.Pickle[Row]", "Pickle[Row]"),
        ("list[qflow.Outcome[t.Tuple[int]]]", "list[Outcome[tuple[int]]]"),
        ("qflow.Outcome", "Outcome"),
        ("qflow.OutcomeError", "OutcomeError"),
        ("list[object]", "list[object]"),
        ("t.NoReturn", "Never"),
        ("np.ndarray[t.Any, np.dtype[np.float64]]", "ndarray[Any, dtype[float64]]"),
        ("npt.NDArray[np.float64]", "ndarray[Any, dtype[float64]]"),
        ("npt.NDArray[np.floating[t.Any]]", "ndarray[Any, dtype[floating]]"),
        ("np.floating[t.Any]", "float"),
        ("npt.ArrayLike", "Any"),
        ("npt.NDArray[np.bool]", "ndarray[Any, dtype[numpy.bool]]"),
        ("npt.NDArray[t.Any]", "ndarray[Any, dtype[Any]]"),
        ("npt.NDArray", "ndarray"),
        ("np.ndarray[tuple[int, int], np.dtype[np.int16]]", "ndarray[tuple[int, int], dtype[int16]]"),
        // By itself a scalar of numpy's travels as Python's.
        ("list[np.float64] | np.int32", "int | list[float]"),
        ("dict[np.str_, np.bool_]", "dict[str, bool]"),
        ("np.datetime64", "datetime"),
        ("np.void", "void"),
        ("dict", "dict"),
    ] {
        assert_eq!(read(annotation), Ok((spelled.to_owned(), false)), "{annotation}");
    }
}

#[test]
fn a_star_brings_the_names_that_types_are_written_with() {
    for (star, annotation, spelled) in [
        ("typing", "Optional[List[int]]", Ok("list[int] | None")),
        ("typing", "Literal[\"a\"]", Ok("Literal[\"a\"]")),
        ("datetime", "datetime | date", Ok("date | datetime")),
        ("pathlib", "Path", Ok("Path")),
        ("collections.abc", "Sequence[int]", Ok("Sequence[int]")),
        ("typing", "Missing", Err("unknown-type")),
        // What comes from where Qflow does not look may be there.
        ("shapes", "Circle", Ok("Circle")),
    ] {
        let text =
            format!("from {star} import *\nfrom qflow import node\n@node\ndef f(x: {annotation}) -> None: ...\n");
        let read = qflow_python_source::read(&source("w.py", &text));
        let wrong = read.problems.iter().find(|problem| problem.code != "no-workflow");
        let found = match wrong {
            Some(problem) => Err(problem.code.as_str()),
            None => Ok(read.definition.nodes["f"].params[0].ty.0.as_str()),
        };
        assert_eq!(found, spelled, "{star}: {annotation}");
    }
    let own = "from typing import *\nfrom qflow import node\n\nclass Text: ...\n\n@node\ndef f(x: Text) -> None: ...\n";
    assert_eq!(crate::codes(own), ["no-workflow"], "a name that is bound anew is the new one");
}

#[test]
fn frames_are_noticed_wherever_they_stand() {
    for annotation in ["pd.DataFrame", "list[tuple[int, pd.Series]] | None", "\"dict[str, pd.DataFrame]\""] {
        assert!(read(annotation).is_ok_and(|(_, frames)| frames), "{annotation}");
    }
    for (annotation, spelled) in [
        ("pd.Series[np.float64]", "Series[float64]"),
        ("\"pd.Series[float]\"", "Series[float]"),
        ("pat.DataFrame[Row]", "DataFrame[Row]"),
        ("pat.Series[pd.Int64Dtype]", "Series[Int64Dtype]"),
    ] {
        assert_eq!(read(annotation), Ok((spelled.to_owned(), true)), "{annotation}");
    }
}

#[test]
fn what_is_no_type_is_told() {
    for (annotation, code) in [
        ("Missing", "unknown-type"),
        ("missing.Type", "unknown-type"),
        ("\"Missing\"", "unknown-type"),
        ("1", "bad-annotation"),
        ("[int]", "bad-annotation"),
        ("list[int, str]", "bad-annotation"),
        ("dict[str]", "bad-annotation"),
        ("int[str]", "bad-annotation"),
        ("date[int]", "bad-annotation"),
        ("qflow.Outcome[int, str]", "bad-annotation"),
        ("qflow.OutcomeError[int]", "bad-annotation"),
        ("Optional[int, str]", "bad-annotation"),
        ("Literal[1.5]", "bad-annotation"),
        ("Literal[Color.GREY]", "bad-annotation"),
        ("t.NotRequired[int]", "bad-annotation"),
        ("t.Required[int]", "bad-annotation"),
        ("t.ReadOnly[int]", "bad-annotation"),
        ("t.Final[int]", "bad-annotation"),
        ("list[t.Final[int]]", "bad-annotation"),
        ("Annotated[()]", "bad-annotation"),
        ("qflow", "bad-annotation"),
        ("f", "bad-annotation"),
        ("\"list[\"", "bad-annotation"),
        ("t.Callable[[int], str]", "callable-type"),
        ("t.Callable", "callable-type"),
        ("abc.Generator[int, None, None]", "lazy-type"),
    ] {
        assert_eq!(read(annotation), Err(code.to_owned()), "{annotation}");
    }
}

#[test]
fn what_is_no_type_names_what_would_be() {
    let head = "E = Enum(\"E\", \"A B\")\nPair = tuple[T, T]\n";
    for (annotation, told) in [
        ("Literal[Color.GREY]", "`Color` has no member `GREY`; it has RED"),
        ("Literal[E.C]", "`E` has no member `C`; it has A, B"),
        ("Literal[Row.x]", "Literal takes texts, bytes, whole numbers, members of enums, True, False and None"),
        ("Pair[int, str]", "`Pair` takes 1 type, not 2"),
        ("t.ReadOnly[int]", "`typing.ReadOnly` stands around the type of a field, and says nothing of a value"),
    ] {
        let text = format!("{HEAD}{head}@node\ndef f(x: {annotation}) -> None: ...\n");
        let problems = qflow_python_source::read(&source("w.py", &text)).problems;
        let found: Vec<_> =
            problems.iter().filter(|p| p.code == "bad-annotation").map(|p| p.message.as_str()).collect();
        assert_eq!(found, [told], "{annotation}");
    }
}

#[test]
fn a_name_that_is_bound_in_a_branch_or_beside_others_is_followed() {
    let head = "from __future__ import annotations\nimport sys\nimport typing as t\nfrom typing import TypeAliasType\nfrom qflow import node\n";
    let of = |text: &str| {
        let text = format!("{head}{text}\n@node\ndef f(x: Rows) -> None: ...\n");
        let read = qflow_python_source::read(&source("w.py", &text));
        let told = |p: &&qflow_model::definition::Problem| p.code != "no-workflow";
        let codes: Vec<String> = read.problems.iter().filter(told).map(|problem| problem.code.clone()).collect();
        (read.definition.nodes["f"].params[0].ty.0.clone(), codes)
    };
    for text in [
        "if sys.version_info >= (3, 9):\n    Rows = list[int]\nelse:\n    Rows = t.List[int]",
        "try:\n    Rows = list[int]\nexcept TypeError:\n    Rows = t.List[int]",
        "if t.TYPE_CHECKING:\n    Rows = list[int]",
        "Row, Rows = int, list[int]",
        "Rows = TypeAliasType(\"Rows\", list[int])",
        "Rows = list[int]\nif sys.argv:\n    Rows = list[int]",
    ] {
        assert_eq!(of(text), ("list[int]".to_owned(), vec![]), "{text}");
    }
    for text in ["for Rows in (int, str): pass", "Rows = list[int]\nRows = list[str]", "Row, *Rows = int, list[int]"] {
        assert_eq!(of(text), ("Any".to_owned(), vec!["unfollowed-type".to_owned()]), "{text}");
    }
    // Which of two values a constant is nobody knows before it runs.
    let two = "from qflow import node, workflow\nLIMIT = 1\nif LIMIT:\n    LIMIT = 2\n@node\ndef f(x: int) -> int: ...\n@workflow\ndef w(x: int = LIMIT) -> int:\n    return f(x)\n";
    assert_eq!(codes(two), ["bad-default"]);
}

#[test]
fn names_of_typing_that_are_no_types_are_told() {
    let head = "import typing as t\nimport datetime\nimport dataclasses\nfrom qflow import node\n";
    for (written, code) in [
        ("t.Lsit[int]", "unknown-type"),
        ("datetime.now", "unknown-type"),
        ("datetime.datetime.now", "bad-annotation"),
        ("t.Self", "bad-annotation"),
        ("t.ClassVar[int]", "bad-annotation"),
        ("t.Optional", "bad-annotation"),
        ("t.Union", "bad-annotation"),
        ("t.Literal", "bad-annotation"),
        ("t.Protocol", "bad-annotation"),
        ("dataclasses.InitVar[int]", "bad-annotation"),
        ("t.Literal[9007199254740993]", "bad-annotation"),
    ] {
        let found = codes(&format!("{head}@node\ndef f(x: {written}) -> None: ...\n"));
        assert_eq!(found, [code], "{written}");
    }
    let text = format!("{head}@node\ndef f(x: t.AnyStr, y: list[t.AnyStr]) -> t.TypeGuard[int]: ...\n");
    let read = qflow_python_source::read(&source("w.py", &text));
    let node = &read.definition.nodes["f"];
    let generic = node.generic.as_ref().unwrap();
    assert_eq!((generic.params["y"].0.as_str(), node.returns.0.as_str()), ("list[~AnyStr]", "bool"));
    assert_eq!(generic.variables["AnyStr"].constraints.len(), 2);
}

#[test]
fn variables_of_an_alias_are_given_in_the_order_of_their_declaration() {
    let head = "from typing import Dict, List, TypeAliasType, TypeVar, Union\nfrom qflow import node\nT = TypeVar(\"T\")\nK = TypeVar(\"K\")\n";
    for (alias, written, ty) in [
        ("X = Union[list[T], dict[K, int]]", "X[float, str]", "dict[str, int] | list[float]"),
        ("X = TypeAliasType(\"X\", dict[T, K], type_params=(K, T))", "X[int, str]", "dict[str, int]"),
        ("type X[A] = tuple[A, A]", "X[int]", "tuple[int, int]"),
        ("type X[K, V] = dict[V, K]", "X[int, str]", "dict[str, int]"),
        ("type X[A, B = int] = dict[A, B]", "X[str]", "dict[str, int]"),
        ("type X[A] = tuple[A, A]", "X", "tuple[Any, Any]"),
        ("Y = list[T]\nX = dict[K, Y[T]]", "X[str, int]", "dict[str, list[int]]"),
        ("Y = list[T]\nX = dict[str, Y]", "X", "dict[str, list[Any]]"),
    ] {
        let text = format!("{head}{alias}\n@node\ndef f(x: {written}) -> None: ...\n");
        let read = qflow_python_source::read(&source("w.py", &text));
        let wrong: Vec<_> = read.problems.iter().filter(|p| !p.warning && p.code != "no-workflow").collect();
        assert_eq!((read.definition.nodes["f"].params[0].ty.0.as_str(), wrong), (ty, vec![]), "{alias}");
    }
    for (alias, written) in [("type X[A, B] = dict[A, B]", "X[int]"), ("type X[A] = list[A]", "X[int, str]")] {
        let found = codes(&format!("{head}{alias}\n@node\ndef f(x: {written}) -> None: ...\n"));
        assert!(found.contains(&"bad-annotation".to_owned()), "{alias}: {found:?}");
    }
}

#[test]
fn a_text_over_several_lines_is_a_type() {
    let text =
        "from qflow import node\n@node\ndef f(x: \"\"\"\n    int |\n    None\n\"\"\") -> \"list[\\n int]\": ...\n";
    let read = qflow_python_source::read(&source("w.py", text));
    let node = &read.definition.nodes["f"];
    assert_eq!(
        (node.params[0].ty.0.as_str(), node.returns.0.as_str()),
        ("int | None", "list[int]"),
        "{:?}",
        read.problems
    );
}

#[test]
fn signatures_are_read_wherever_a_file_defines_functions() {
    let text = "import sys\nif sys.argv:\n    def a(x: int) -> int: ...\nelse:\n    def b() -> None: ...\ntry:\n    def c() -> None: ...\nexcept ImportError:\n    def d() -> None: ...\nclass Outer:\n    class Inner:\n        def e(self, y: str) -> None: ...\n    def f(self) -> None:\n        def hidden() -> None: ...\n";
    let read = qflow_python_source::signatures(&source("w.py", text));
    let names: Vec<&str> = read.signatures.iter().map(|signature| signature.function.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "Outer.Inner.e", "Outer.f"]);
    assert_eq!(read.signatures[4].params.len(), 1);
}

#[test]
fn aliases_that_double_with_each_other_are_bounded() {
    let read = |levels: usize, of: &str| {
        let aliases = (2..=levels).map(|at| format!("A{at} = A{}[tuple[T, T]]\n", at - 1)).collect::<String>();
        let head = "from typing import TypeVar\nfrom qflow import node\nT = TypeVar(\"T\")\nA1 = tuple[T, T]\n";
        let told = codes(&format!("{head}{aliases}@node\ndef f(x: {of}) -> None: ...\n"));
        told.into_iter().filter(|code| code != "no-workflow").collect::<Vec<_>>()
    };
    assert_eq!(read(6, "A6[int]"), Vec::<String>::new());
    assert_eq!(read(60, "A60[int]"), ["too-large"]);
}

#[test]
fn a_name_that_a_module_does_not_have_is_no_type() {
    let parts = ("parts.py", "class Row: ...\n");
    let read = |ty: &str| {
        let text = format!("import parts as p\nfrom qflow import node\n@node\ndef f(x: p.{ty}) -> None: ...\n");
        let files = [("w.py".to_owned(), text), (parts.0.to_owned(), parts.1.to_owned())].into();
        let read = qflow_python_source::read(&Source { entry: "w.py".to_owned(), files });
        read.problems.into_iter().map(|told| told.message).find(|told| told.contains("has no type"))
    };
    assert_eq!(read("Row"), None);
    assert_eq!(read("Nope").as_deref(), Some("`parts` has no type `Nope`"));
}
