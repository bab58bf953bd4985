//! What is known of the user's own classes, and which are left to Python.

use std::collections::BTreeMap;

use qflow_model::{class::Class, definition::Source};
use serde_json::json;

use crate::source;

pub(crate) const HEAD: &str = "import collections
import enum
from dataclasses import KW_ONLY, InitVar, dataclass, field
from datetime import date
from enum import Enum, IntEnum, StrEnum, auto, unique
from typing import Annotated, ClassVar, Generic, NamedTuple, NotRequired, Optional, Required, TypedDict, TypeVar
from pydantic import BaseModel, Field, field_validator
from other import Base, mark
from qflow import node

T = TypeVar(\"T\")
";

/// What is known of the class `C` that a node takes.
fn class(text: &str) -> Option<Class> {
    let text = format!("{HEAD}\n{text}\n\n@node\ndef f(x: C) -> None: ...\n");
    let read = qflow_python_source::read(&source("w.py", &text));
    let wrong = read.problems.iter().find(|problem| !problem.warning && problem.code != "no-workflow");
    assert_eq!(wrong, None, "{text}");
    read.definition.classes.get("C").cloned()
}

/// Fields as `name: type`, with `?` where one need not be given, and its default where that is known.
fn fields(text: &str) -> Option<String> {
    let class = class(text)?;
    let field = |field: &qflow_model::class::Field| {
        let mark = if field.required { "" } else { "?" };
        let default = field.default.as_ref().map_or_else(String::new, |default| format!(" = {default}"));
        format!("{}{mark}: {}{default}", field.name, field.ty.0)
    };
    Some(class.fields.iter().map(field).collect::<Vec<_>>().join(", "))
}

#[test]
fn members_of_an_enum_are_known_where_their_values_are_written_down() {
    let members = |text: &str| {
        let members = class(text).map(|class| class.members)?;
        Some(members.into_iter().map(|m| format!("{}={}", m.name, m.value)).collect::<Vec<_>>().join(" "))
    };
    for (text, known) in [
        (
            "class C(Enum):\n    \"\"\"Units.\"\"\"\n    DAY = \"day\"\n    HOUR = 1.5\n    def label(self): ...",
            "DAY=\"day\" HOUR=1.5",
        ),
        ("@unique\nclass C(str, Enum):\n    DAY = \"day\"\n    @property\n    def label(self): ...", "DAY=\"day\""),
        ("class C(enum.IntEnum):\n    LOW = auto()\n    HIGH = auto()", "LOW=1 HIGH=2"),
        ("class C(StrEnum):\n    LOW = auto()", "LOW=\"low\""),
        ("class C(Enum):\n    RED = \"r\"\n    ALSO = RED", "RED=\"r\" ALSO=\"r\""),
        ("class B(Enum):\n    def label(self): ...\nclass C(B):\n    LOW = -1", "LOW=-1"),
        ("C = Enum(\"C\", \"LOW, HIGH\")", "LOW=1 HIGH=2"),
        ("C = enum.StrEnum(\"C\", [\"LOW\", \"High\"])", "LOW=\"low\" High=\"high\""),
        ("C = IntEnum(\"C\", [(\"LOW\", 4), (\"HIGH\", 5)])", "LOW=4 HIGH=5"),
        ("C = Enum(\"C\", {\"LOW\": \"l\"}, module=__name__)", "LOW=\"l\""),
    ] {
        assert_eq!(members(text).as_deref(), Some(known), "{text}");
    }
    for text in [
        "class C(Enum):\n    DAY = len(\"day\")",
        "class C(Enum):\n    DAY = 1\n    _missing_ = None",
        "class C(Enum):\n    DAY = 1\n    @classmethod\n    def _missing_(cls, value): ...",
        "class C(Enum):\n    DAY = \"x\"\n    NEXT = auto()",
        "class C(enum.Flag):\n    A = 1",
        "class C(Base, Enum):\n    A = 1",
        "class C(Enum, metaclass=Base):\n    A = 1",
        "@mark\nclass C(Enum):\n    A = 1",
        "class C(Enum):\n    if True:\n        A = 1",
    ] {
        assert_eq!(members(text), None, "{text}");
    }
}

#[test]
fn fields_of_a_record_are_known_with_what_need_not_be_given() {
    for (text, known) in [
        (
            "@dataclass(frozen=True)\nclass C:\n    a: int\n    b: \"list[str]\" = field(default_factory=list)\n    c: date = date(2026, 1, 1)\n    d: Optional[int] = compute()\n    e: ClassVar[int] = 1\n    f: int = field(compare=False)\n    g = 3\n    def total(self) -> int: ...",
            "a: int, b?: list[str] = [], c?: date = {\"$\":\"date\",\"v\":\"2026-01-01\"}, d?: int | None, f: int",
        ),
        (
            "@dataclass\nclass B:\n    a: int\n    b: int\n@dataclass\nclass C(B):\n    a: str\n    c: int = 1",
            "a: str, b: int, c?: int = 1",
        ),
        ("class C(NamedTuple):\n    x: int\n    y: int = 0", "x: int, y?: int = 0"),
        ("class C(TypedDict):\n    a: int\n    b: NotRequired[list[int]]", "a: int, b?: list[int]"),
        (
            "class B(TypedDict):\n    a: int\nclass C(B, total=False):\n    b: str\n    c: Required[int]",
            "a: int, b?: str, c: int",
        ),
        (
            "class C(BaseModel):\n    a: int = Field(gt=0)\n    b: int | None\n    c: list[int] = Field(default_factory=list)\n    d: str = ...\n    _p: int = 1",
            "a: int, b?: int | None, c?: list[int] = [], d: str",
        ),
        ("@dataclass\nclass C:\n    inner: \"C | None\" = None", "inner?: C | None = null"),
        ("@dataclass\nclass C:\n    a: int\n    _: KW_ONLY\n    b: int", "a: int, b: int"),
        // Derived without a decorator, or from a named tuple: the fields are those above, whatever is declared.
        ("@dataclass\nclass B:\n    a: int\nclass C(B):\n    b: int\n    def total(self) -> int: ...", "a: int"),
        ("class B(NamedTuple):\n    x: int\nclass C(B):\n    y: int", "x: int"),
        // A plain subclass, with what adds nothing but methods.
        ("class B(TypedDict):\n    a: int\nclass C(B): pass", "a: int"),
        ("class B(BaseModel):\n    a: int\nclass C(B):\n    \"\"\"One.\"\"\"", "a: int"),
        ("@dataclass\nclass B:\n    a: int\nclass M(B): ...\n@dataclass\nclass C(M):\n    b: int", "a: int, b: int"),
        ("class B(NamedTuple):\n    x: int\nclass C(B):\n    __slots__ = ()\n    def total(self): ...", "x: int"),
        ("class C(collections.namedtuple(\"B\", \"x y\")):\n    __slots__ = ()", "x: Any, y: Any"),
        ("class C(NamedTuple(\"C\", [(\"x\", int)])): ...", "x: int"),
        ("class M:\n    def show(self): ...\n@dataclass\nclass C(M):\n    a: int", "a: int"),
        (
            "from abc import ABC\nclass M(ABC): ...\n@dataclass\nclass B(object):\n    a: int\nclass C(M, B): pass",
            "a: int",
        ),
        (
            "C = TypedDict(\"C\", {\"a\": int, \"b-c\": NotRequired[\"list[int]\"], \"class\": str})",
            "a: int, b-c?: list[int], class: str",
        ),
        ("C = TypedDict(\"C\", {\"a\": int, \"b\": Required[str]}, total=False)", "a?: int, b: str"),
        ("C = NamedTuple(\"C\", [(\"x\", int), (\"y\", \"date\")])", "x: int, y: date"),
        ("C = collections.namedtuple(\"C\", \"x, y z\", defaults=(1, [2]))", "x: Any, y?: Any = 1, z?: Any = [2]"),
        ("B = TypedDict(\"B\", {\"a\": int})\nclass C(B):\n    b: str", "a: int, b: str"),
        (
            "class C(BaseModel):\n    model_config = {\"frozen\": True}\n    a: Annotated[int, Field(gt=0, default=1)]\n    b: Annotated[str, \"said\"] = \"x\"",
            "a?: int = 1, b?: str = \"x\"",
        ),
        (
            "import pydantic\nclass C(BaseModel):\n    model_config = pydantic.ConfigDict(extra=\"forbid\", str_strip_whitespace=True)\n    a: int",
            "a: int",
        ),
    ] {
        assert_eq!(fields(text).as_deref(), Some(known), "{text}");
    }
}

#[test]
fn what_reading_does_not_tell_is_left_to_python_and_told() {
    for (text, why) in [
        ("@dataclass(init=False)\nclass C:\n    a: int", "`@dataclass(init=False)` does not make it by its fields"),
        (
            "@dataclass\nclass C:\n    a: int\n    def __post_init__(self): ...",
            "`__post_init__` may change what it takes",
        ),
        ("@dataclass\nclass C:\n    a: int\n    def __init__(self, b): ...", "`__init__` may change what it takes"),
        ("@dataclass\nclass C:\n    a: InitVar[int]", "an InitVar is given and not kept"),
        ("@dataclass\nclass C:\n    a: int = field(init=False)", "what this says of the field is not followed"),
        ("@dataclass\nclass C(Base):\n    a: int", "what its base `Base` does is not followed"),
        ("@dataclass\nclass C(Generic[T]):\n    a: T", "it is generic"),
        ("@dataclass\nclass C[T]:\n    a: int", "it is generic"),
        (
            "class M:\n    def __init__(self): ...\n@dataclass\nclass C(M):\n    a: int",
            "what its bases do is not followed",
        ),
        ("class M:\n    a = 1\n@dataclass\nclass C(M):\n    a: int", "what its bases do is not followed"),
        ("class B(NamedTuple):\n    x: int\nclass C(B):\n    x = 1", "what is assigned here is not followed"),
        ("class C(enum.Flag):\n    A = 1", "members of a Flag are combined"),
        ("class C(TypedDict, Generic[T]):\n    a: T", "it is generic"),
        (
            "from dataclasses import make_dataclass\nC = make_dataclass(\"C\", [\"a\"])",
            "only Python knows what makes it",
        ),
        ("@mark\nclass C(Enum):\n    A = 1", "`@mark` may make something else of it"),
        ("class C(Enum):\n    DAY = len(\"day\")", "only Python knows the value of this member"),
        ("C = TypedDict(\"C\", parts)", "only Python knows what stands here"),
        ("@dataclass\nclass C:\n    a: int\nC = mark(C)", ""),
    ] {
        let told = warned(text, "unread-class");
        assert_eq!(class(text), None, "{text}");
        match told.as_slice() {
            [told] => assert!(told.ends_with(why), "{text}: {told}"),
            told => assert!(why.is_empty(), "{text}: {told:?}"),
        }
    }
    // What pydantic holds it checks itself, and of what is no record nothing was to be read.
    for text in [
        "class C:\n    a: int",
        "class C(Base):\n    a: int",
        "class C(BaseModel):\n    a: int = Field(alias=\"A\")",
        "class C(BaseModel):\n    model_config = {\"alias_generator\": mark}\n    a: int",
        "class C(BaseModel):\n    a: int\n    @field_validator(\"a\")\n    def check(cls, v): ...",
        "class C(BaseModel):\n    a: Annotated[int, Field(alias=\"A\")]",
        "class C(BaseModel):\n    a: Annotated[int, mark(1)]",
        "class C(BaseModel, extra=\"forbid\"):\n    a: int",
    ] {
        assert_eq!((class(text), warned(text, "unread-class")), (None, vec![]), "{text}");
    }
}

#[test]
fn a_generic_class_is_told_of_where_it_is_given_types_too() {
    let generic = "@dataclass\nclass G[T]:\n    a: T\n@dataclass\nclass H(Generic[T]):\n    a: T\n\
                   class D(TypedDict, Generic[T]):\n    a: T\nclass N(NamedTuple, Generic[T]):\n    a: T\n";
    for (ty, named) in [
        ("G[int]", "G"),
        ("H[str]", "H"),
        ("list[D[int]]", "D"),
        ("dict[str, N[str] | None]", "N"),
        ("list[G]", "G"),
        ("Outer", "G"),
    ] {
        let outer = "@dataclass\nclass Outer:\n    inner: G[int]\n";
        let text = format!("{HEAD}\n{generic}{outer}\n@node\ndef f() -> \"{ty}\": ...\n");
        let problems = qflow_python_source::read(&source("w.py", &text)).problems;
        let told: Vec<_> = problems.into_iter().filter(|told| told.code == "unread-class").map(|p| p.message).collect();
        let whole = format!("values of `{named}` are held to its name only, not to what it holds: it is generic");
        assert_eq!(told, [whole], "{ty}");
    }
}

/// The messages of a code about a file in which a node takes a `C`.
fn warned(text: &str, code: &str) -> Vec<String> {
    let text = format!("{HEAD}\n{text}\n\n@node\ndef f(x: C) -> None: ...\n");
    let problems = qflow_python_source::read(&source("w.py", &text)).problems;
    problems.into_iter().filter(|problem| problem.code == code).map(|problem| problem.message).collect()
}

#[test]
fn a_dataclass_that_compares_by_value_has_no_hash() {
    for (text, unhashable) in [
        ("@dataclass\nclass C:\n    a: int", true),
        ("@dataclass(frozen=True)\nclass C:\n    a: int", false),
        ("@dataclass(eq=False)\nclass C:\n    a: int", false),
        ("@dataclass(unsafe_hash=True)\nclass C:\n    a: int", false),
        ("@dataclass\nclass C:\n    a: int\n    def __hash__(self) -> int: ...", false),
        ("@dataclass\nclass B:\n    a: int\nclass C(B):\n    pass", true),
        ("class C(NamedTuple):\n    a: int", false),
    ] {
        assert_eq!(class(text).unwrap().unhashable, unhashable, "{text}");
    }
}

#[test]
fn classes_of_one_name_are_told_apart() {
    let files = |other: &str| {
        let entry = "from dataclasses import dataclass\nfrom qflow import node\nimport b\n@dataclass\nclass C:\n    x: int\n@node\ndef f(x: C) -> None: ...\n";
        let files = [("a.py", entry), ("b.py", other)].map(|(path, text)| (path.to_owned(), text.to_owned()));
        let read = qflow_python_source::read(&Source { entry: "a.py".into(), files: BTreeMap::from(files) });
        let types = read.definition.nodes.values().map(|node| node.params[0].ty.0.clone()).collect::<Vec<_>>();
        (read.definition.classes.keys().cloned().collect::<Vec<_>>(), types)
    };
    let told = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let other = "from qflow import node\nclass D: ...\n@node\ndef g(x: D) -> None: ...\n";
    assert_eq!(files(other), (told(&["C"]), told(&["C", "D"])));
    let same = "from qflow import node\nfrom dataclasses import dataclass\n@dataclass\nclass C:\n    y: int\n@node\ndef g(x: C) -> None: ...\n";
    assert_eq!(files(same), (told(&["a.C", "b.C"]), told(&["a.C", "b.C"])));
    let foreign = "from qflow import node\nfrom lib import C\n@node\ndef g(x: C) -> None: ...\n";
    assert_eq!(files(foreign), (told(&["C"]), told(&["C", "lib.C"])));
    let inner =
        "from qflow import node\nclass Outer:\n    class C:\n        y: str\n@node\ndef g(x: Outer.C) -> None: ...\n";
    assert_eq!(files(inner), (told(&["C"]), told(&["C", "Outer.C"])));
}

#[test]
fn members_of_every_enum_that_is_read_are_constants() {
    for made in [
        "class Bare(str, Enum):\n    pass\nclass C(Bare):\n    RED = \"r\"",
        "C = Enum(\"C\", \"RED BLUE\")",
        "C = Enum(\"C\", [(\"RED\", \"r\")])",
        "C = Enum(\"C\", {\"RED\": \"r\"})",
    ] {
        let of = |default: &str, ty: &str| {
            let text = format!(
                "{HEAD}\nfrom typing import Literal\nfrom qflow import workflow\n{made}\n@node\ndef f(x: {ty} = {default}) -> str: ...\n@workflow\ndef w(x: C = {default}) -> str:\n    return f(x=C.RED)\n"
            );
            let problems = qflow_python_source::read(&source("w.py", &text)).problems;
            problems.into_iter().filter(|problem| !problem.warning).map(|problem| problem.code).collect::<Vec<_>>()
        };
        assert_eq!(of("C.RED", "C"), Vec::<String>::new(), "{made}");
        assert_eq!(of("C.RED", "Literal[C.RED]"), Vec::<String>::new(), "{made}");
        assert!(!of("C.GREY", "C").is_empty(), "{made}");
    }
    // A member that names its own enum is no circle.
    let text = format!(
        "{HEAD}\nclass C(Enum):\n    RED = 1\n    BLUE = RED\nD = Enum(\"D\", [(\"A\", D.A)])\n@node\ndef f(x: C = C.RED, y: D = D.A) -> None: ...\n"
    );
    qflow_python_source::read(&source("w.py", &text));
}

#[test]
fn a_field_of_a_type_that_is_not_there_is_an_error_and_no_other_hides_it() {
    let text = format!(
        "{HEAD}\n@dataclass\nclass C:\n    a: Lsit[int]\n@dataclass\nclass D:\n    b: Itn\n@node\ndef f(x: C, y: D) -> None: ...\n"
    );
    let problems = qflow_python_source::read(&source("w.py", &text)).problems;
    let told: Vec<_> =
        problems.iter().filter(|p| p.code == "unknown-type").map(|p| (p.warning, p.message.as_str())).collect();
    assert_eq!(told, [(false, "no type `Lsit` here"), (false, "no type `Itn` here")]);
}

#[test]
fn classes_are_named_as_values_name_them_and_only_where_they_are_needed() {
    let inner = "from dataclasses import dataclass\n@dataclass\nclass Part:\n    name: str\n@dataclass\nclass Unused:\n    name: str\n";
    let entry = "from typing import NamedTuple\nfrom shapes.parts import Part\nfrom qflow import node\nclass Order(NamedTuple):\n    parts: list[Part]\n@node\ndef f() -> Order: ...\n";
    let files = [("w.py", entry), ("shapes/parts.py", inner)].map(|(path, text)| (path.to_owned(), text.to_owned()));
    let read = qflow_python_source::read(&Source { entry: "w.py".into(), files: BTreeMap::from(files) });
    assert_eq!(
        serde_json::to_value(&read.definition.classes).unwrap(),
        json!({
            "Order": {"name": "w.Order", "kind": "named_tuple", "fields": [{"name": "parts", "type": "list[Part]", "required": true}]},
            "Part": {"name": "shapes.parts.Part", "kind": "dataclass", "fields": [{"name": "name", "type": "str", "required": true}], "unhashable": true},
        })
    );
}

#[test]
fn bases_of_bases_are_followed_within_a_bound() {
    let mut text = format!("{HEAD}class C0(Enum): ...\n");
    for at in 0..40 {
        let bases = vec![format!("C{at}"); 60].join(", ");
        text.push_str(&format!("class C{}({bases}): ...\n", at + 1));
    }
    text.push_str("@node\ndef f(a: C12, b: C40) -> None: ...\n");
    let read = qflow_python_source::read(&source("w.py", &text));
    assert!(read.definition.classes.is_empty(), "{:?}", read.definition.classes.keys());
}

#[test]
fn of_a_class_that_is_not_read_its_bases_are_known() {
    for (text, above) in [
        ("class A: ...\nclass B(A):\n    def __init__(self): ...\nclass C(B):\n    x = 1", &["A", "B"][..]),
        ("@dataclass\nclass B:\n    a: int\n@dataclass\nclass C(B):\n    def __post_init__(self): ...", &["B"]),
        ("class B(Generic[T]): ...\nclass C(B[int]): ...", &["B"]),
        ("class C(Base): ...", &["Base"]),
        ("class C(collections.OrderedDict): ...", &["OrderedDict"]),
        ("class C(enum.IntFlag):\n    A = 1", &["int"]),
        ("class C(NamedTuple, Generic[T]):\n    a: T", &["tuple"]),
        ("class C(unheard_of()): ...", &[]),
        ("class C: ...", &[]),
    ] {
        let whole = format!("{HEAD}\n{text}\n\n@node\ndef f(x: C) -> None: ...\n");
        let classes = qflow_python_source::read(&source("w.py", &whole)).definition.classes;
        assert!(!classes.contains_key("C"), "{text}");
        assert_eq!(classes.above("C"), above, "{text}");
    }
}
