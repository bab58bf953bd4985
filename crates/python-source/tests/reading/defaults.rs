//! Defaults of nodes, held to their annotations.

use crate::{classes::HEAD, source};

#[test]
fn a_default_is_held_to_the_members_and_fields_of_its_class() {
    let told = |text: &str| {
        let text = format!(
            "{HEAD}\nclass Colour(Enum):\n    RED = 1\n    def pick(): ...\nclass Row(TypedDict):\n    a: int\n@dataclass\nclass Part:\n    a: int\n\n@node\ndef f({text}) -> None: ...\n"
        );
        let problems = qflow_python_source::read(&source("w.py", &text)).problems;
        problems.into_iter().filter(|p| p.code == "incompatible-default").map(|p| p.message).collect::<Vec<_>>()
    };
    for fine in [
        "c: Colour = Colour.RED",
        "c: Colour = Colour.pick()",
        "r: Row = {\"a\": 1}",
        "p: Part = Part(1)",
        "r: list[Row] = []",
    ] {
        assert_eq!(told(fine), Vec::<String>::new(), "{fine}");
    }
    for (text, why) in [
        ("c: Colour = Colour.GREY", "f.c: Colour ← its default: `Colour` has no member `GREY`; it has RED"),
        ("r: Row = {\"b\": 1}", "f.r: Row ← its default: Row has no field `b`; it has a"),
        ("r: Row = {\"a\": \"x\"}", "f.r: Row ← its default: at [\"a\"]: expected int, got str"),
        ("p: Part = {\"a\": 1}", "f.p: Part ← its default: expected Part, got dict"),
    ] {
        assert_eq!(told(text), [why], "{text}");
    }
}

#[test]
fn a_default_that_is_no_constant_is_held_to_what_is_known_of_it() {
    let told = |text: &str| {
        let head = "import math, os\nfrom datetime import datetime, time, timedelta, timezone\nfrom decimal import Decimal\n\
                    from pathlib import Path\nfrom typing import Any\nfrom uuid import UUID, uuid4\nfrom qflow import File\n";
        let own = "@dataclass\nclass Base:\n    a: int\n@dataclass\nclass Part(Base):\n    b: int = 1\nclass Row(TypedDict):\n    a: int\n\
                   class Plain:\n    pass\nclass Other:\n    pass\nclass Both(Other):\n    pass\nHOUR = 60 * 60\n\
                   class Access(enum.Flag):\n    READ = 1\n    WRITE = 2\n";
        let text = format!(
            "{HEAD}\n{head}{own}\n@node\ndef f({text}) -> None: ...\n@node\ndef g(x: Row, y: Part) -> None: ...\n"
        );
        let problems = qflow_python_source::read(&source("w.py", &text)).problems.into_iter();
        let wanted = problems.filter(|p| ["incompatible-default", "default-not-checked"].contains(&p.code.as_str()));
        wanted.map(|told| (told.warning, told.message)).collect::<Vec<_>>()
    };
    for fine in [
        "x: bytes = b\"a\"",
        "x: bytes | None = b\"a\"",
        "x: int = HOUR",
        "x: int = 24 * HOUR + 2 ** 10 - (1 << 3)",
        "x: float = HOUR / 2",
        "x: str = \"-\" * 10 + f\"{HOUR}\"",
        "x: float = math.inf",
        "x: float = float(\"inf\")",
        "x: Path = Path(\"a\") / \"b\"",
        "x: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)",
        "x: Decimal = Decimal(1.5)",
        "x: UUID = uuid4()",
        "x: list[int] = [HOUR * 2]",
        "x: list[int] = list(range(3))",
        "x: dict[str, int] = dict(a=1)",
        "x: tuple[int, str] = (HOUR * 2, \"a\" + \"b\")",
        "x: Part = Part(1)",
        "x: Base = Part(1)",
        "x: Part | None = Part(1)",
        "x: Plain = Plain()",
        "x: Any = lambda: 3",
        "x: object = ...",
        "x=os.environ",
        "x: T = len(\"a\")",
        "x: int = 1 if HOUR else 2 * 2",
        "x: timedelta = 2 * timedelta(days=1) + timedelta(hours=1)",
        "x: date = date(2026, 1, 31) - timedelta(days=1)",
        "x: Decimal = Decimal(\"1.5\") * 2",
        "x: Access = Access.READ | Access.WRITE",
        "x: File = File(HOUR)",
        "x: dict[str, int] = dict(a=1)",
        "x: list[str] = list(\"ab\")",
        "x: tuple[int, ...] = tuple(range(2))",
        "x: dict[str, int] = dict()",
        "x: set[int] = set()",
        "x: list = list(os.environ)",
    ] {
        assert_eq!(told(fine), [], "{fine}");
    }
    for (text, why) in [
        ("x: int = b\"a\"", "int ← its default: expected int, got bytes"),
        ("x: list[int] = list(\"ab\")", "list[int] ← its default: at […]: str is not int"),
        ("x: dict[str, int] = dict(a=\"x\")", "dict[str, int] ← its default: at […]: str is not int"),
        ("x: int = -\"a\"", "int ← its default: `-` stands before a number, not before str"),
        ("x: int = ...", "int ← its default: expected int, got ellipsis"),
        ("x: date = date(\"a\")", "date ← its default: this is no date"),
        ("x: date = date(2026, 13, 1)", "date ← its default: this is no date"),
        ("x: Any = date(2026, 13, 1)", "Any ← its default: this is no date"),
        ("x: list[date] = [date(2026, 2, 30)]", "list[date] ← its default: this is no date"),
        ("x: Decimal = Decimal(\"x\")", "Decimal ← its default: this is no decimal"),
        ("x: UUID = UUID(\"x\")", "UUID ← its default: this is no UUID"),
        ("x: str = 1 + 1", "str ← its default: expected str, got int"),
        ("x: int = HOUR / 2", "int ← its default: expected int, got float"),
        ("x: int = f\"{HOUR}\"", "int ← its default: expected int, got str"),
        ("x: date = time(tzinfo=timezone.utc)", "date ← its default: expected date, got time"),
        ("x: list[int] = [b\"a\"]", "list[int] ← its default: at […]: bytes is not int"),
        ("x: int = timedelta(days=1) * 2", "int ← its default: expected int, got timedelta"),
        ("x: Part = File(HOUR)", "Part ← its default: expected Part, got File"),
        ("x: int = Part(1)", "int ← its default: expected int, got Part"),
        ("x: Row = Part(1)", "Row ← its default: expected Row, got Part"),
        ("x: int = 1 if HOUR else b\"a\"", "int ← its default: expected int, got bytes | int"),
    ] {
        assert_eq!(told(text), [(false, format!("f.x: {why}"))], "{text}");
    }
    for (text, written) in [
        ("x: int = lambda: 3", "lambda: 3"),
        ("x: str = os.environ[\"HOME\"]", "os.environ[\"HOME\"]"),
        ("x: int = max(1, 2)", "max(1, 2)"),
        ("x: set[int] = {n for n in range(3)}", "{n for n in range(3)}"),
        ("x: Row = dict(a=1)", "dict(a=1)"),
        ("x: Plain = Both()", "Both()"),
    ] {
        let ty = text.trim_start_matches("x: ").split(' ').next().unwrap_or_default();
        let whole = format!("f.x: {ty} ← its default: what `{written}` is only Python knows");
        assert_eq!(told(text), [(true, whole)], "{text}");
    }
}
