"""Values between nodes: rebuilt as they are declared, moved as files, refused with their path."""

import os
import textwrap
import unittest

from tests.driver import Driver

FLOW = textwrap.dedent(
    '''
    import dataclasses, datetime, decimal, enum, os, pathlib, sys, typing
    from typing import Any, Dict, Generic, List, NamedTuple, NewType, Optional, Tuple, TypeVar, Union
    try:
        from typing import Annotated, TypedDict
    except ImportError:
        from typing import TypedDict
        Annotated = None
    import qflow
    from qflow import node
    from shapes import Base, Derived, Same

    T = TypeVar("T")
    Meters = NewType("Meters", float)

    class Colour(enum.Enum):
        RED = "r"
        BLUE = "b"

    class Level(enum.IntEnum):
        LOW = 1
        HIGH = 2

    class Rights(enum.Flag):
        NONE = 0
        READ = 1
        WRITE = 2

    @dataclasses.dataclass
    class Inner:
        day: datetime.date
        colour: Colour = Colour.RED

    @dataclasses.dataclass(frozen=True)
    class Outer(Generic[T]):
        inner: Inner
        item: T
        more: List[Inner] = dataclasses.field(default_factory=list)

    @dataclasses.dataclass
    class Computed:
        a: int
        scale: dataclasses.InitVar[int] = 2
        b: int = dataclasses.field(init=False)
        def __post_init__(self, scale):
            self.b = self.a * scale

    class Slotted:
        pass

    class Point(NamedTuple):
        x: int
        y: float = 0.5

    class Movie(TypedDict):
        name: str
        colour: Colour

    def made(which):
        return {
            "outer": Outer(Inner(datetime.date(2026, 11, 25)), 7, [Inner(datetime.date(2026, 1, 2), Colour.BLUE)]),
            "computed": Computed(3), "flags": Rights.READ | Rights.WRITE, "no flags": Rights.NONE, "point": Point(1),
            "enums": {Colour.RED, Colour.BLUE}, "keys": {Colour.RED: [Level.LOW]}, "movie": {"name": "a", "colour": Colour.RED},
            "length": Meters(2.5), "nested": {"a": (Point(1, 2.0), {1, 2}, frozenset([("x", 1)]))},
        }[which]

    @node
    def either(which: str) -> List[Union[Movie, Base]]:
        return [Same(1) if which == "same" else made(which)]

    @node
    def give(which: str) -> Any:
        return made(which)

    @node
    def check(which: str, value: Any) -> str:
        assert value == made(which) and type(value) is type(made(which)), (value, made(which))
        return repr(value)

    @node
    def same(value: Any) -> Any:
        return value

    @node
    def text(value: Any) -> str:
        return repr(value)

    @dataclasses.dataclass
    class Kept:
        first: qflow.Outcome[int]

    @node
    def kinds(value: Any) -> list[str]:
        inner = value.first if isinstance(value, Kept) else value["a"] if isinstance(value, dict) else value[-1]
        return [type(inner).__name__, type(inner.error).__name__, inner.error.type]

    @node
    def base(which: str) -> Base:
        return {"same": Same(1), "derived": Derived(1, 2), "base": Base(1)}[which]

    @node
    def bases() -> dict[str, list[Base | None]]:
        return {"a": [None, Derived(1, 2)]}

    @node
    def level() -> int:
        return Level.HIGH

    @node
    def pair() -> tuple[int, float]:
        return Point(1, 2.5)

    @node
    def levels() -> list[Level]:
        return [Level.HIGH]

    @node
    def outside(user: Outer[Point], colours: list[Colour], movie: "Movie | None" = None, key: dict[Colour, int] | None = None) -> str:
        return repr((user, colours, movie, key))

    @node
    def one(computed: Computed) -> str:
        return repr(computed)

    @node
    def opaque() -> Any:
        return {"a": [1, open(os.devnull)]}

    @node
    def trained() -> "list[qflow.Pickle[Slotted]]":
        return [Slotted()]

    @node
    def unpickled(model: "list[qflow.Pickle[Slotted]]") -> str:
        return type(model[0]).__name__

    @dataclasses.dataclass
    class Trained:
        model: "qflow.Pickle[Slotted]"
        score: float = 0.5
        by_name: Dict[str, List["qflow.Pickle[Slotted]"]] = dataclasses.field(default_factory=dict)
        maybe: "Optional[qflow.Pickle[Slotted]]" = None
        next: "Optional[Trained]" = None

    class Pair(NamedTuple):
        model: "qflow.Pickle[Slotted]"
        size: int

    class Named(TypedDict):
        model: "qflow.Pickle[Slotted]"

    @node
    def bundle() -> Trained:
        return Trained(Slotted(), 0.25, {"a": [Slotted()]}, Slotted(), Trained(Slotted()))

    @node
    def bundles() -> "dict[str, tuple[Pair, Named] | list[Trained | None]] | None":
        return {"pair": (Pair(Slotted(), 2), {"model": Slotted()}), "list": [None, Trained(Slotted())]}

    @node
    def small() -> "tuple[qflow.Pickle[int], int]":
        return 7, 7

    @node
    def opened(value: Any) -> str:
        first = value["pair"][0] if isinstance(value, dict) else value
        more = value["list"][1] if isinstance(value, dict) else value.next
        return " ".join([type(first.model).__name__, type(more.model).__name__, type(more).__name__])

    @node
    def unnamed() -> Slotted:
        return Slotted()

    @node
    def name() -> pathlib.Path:
        return pathlib.Path("a/b")

    @node
    def write(size: int) -> qflow.File:
        with open("out.bin", "wb") as out:
            for _ in range(size >> 16):
                out.write(os.urandom(1 << 16))
        return qflow.File("out.bin")

    @node
    def folder(link: bool = False) -> qflow.Folder:
        os.makedirs("d/empty"); os.makedirs("d/sub")
        pathlib.Path("d/b.txt").write_text("b"); pathlib.Path("d/sub/a.sh").write_bytes(b"x" * 1000)
        os.chmod("d/sub/a.sh", 0o700)
        if link:
            os.symlink("/etc/passwd", "d/sub/link")
        return qflow.Folder("d")

    @node
    def pipe() -> qflow.File:
        os.mkfifo("p")
        return qflow.File("p")

    @node
    def large() -> qflow.File:
        with open("huge", "wb") as out:
            out.truncate((1 << 30) + 1)
        return qflow.File("huge")

    @node
    def read(file: qflow.File) -> list:
        return [type(file).__name__, file.name, file.suffix, file.read_bytes().decode()]

    @node
    def big() -> bytes:
        return bytes(range(256)) * 1024

    @node
    def length(value: bytes) -> int:
        return len(value)
    '''
)
SHAPES = """
import dataclasses
@dataclasses.dataclass
class Base:
    a: int
@dataclasses.dataclass
class Derived(Base):
    b: int = 0
class Same(Base):
    pass
"""


class Values(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.driver = Driver()
        cls.loaded = cls.driver.load(FLOW, **{"shapes.py": SHAPES})
        assert cls.loaded["type"] == "loaded", cls.loaded

    @classmethod
    def tearDownClass(cls):
        assert cls.driver.close() == 0

    def form(self, function, data=None, **options):
        heard = self.driver.attempt(function, data, **options)
        self.assertIsNone(heard.error, heard.error)
        return heard.form

    def error(self, function, data=None, **options):
        return self.driver.attempt(function, data, **options).error

    def test_values_are_rebuilt_as_they_were(self):
        for which in ("outer", "computed", "flags", "no flags", "point", "enums", "keys", "movie", "length", "nested"):
            with self.subTest(which):
                form = self.form("give", {"which": which})
                self.form("check", {"which": which, "value": form})

    def test_a_mapping_and_a_record_stand_in_one_union(self):
        self.assertEqual(self.form("either", {"which": "same"}, returns="list[Movie | Base]")[0]["t"], "shapes.Base")
        self.assertEqual(self.form("either", {"which": "movie"}, returns="list[Movie | Base]")[0]["name"], "a")

    def test_a_failure_as_a_value_comes_and_goes(self):
        told = {"type": "KeyError", "message": "'k'", "status": "failed", "attempts": 2}
        error = {"$": "object", "t": "qflow.OutcomeError", "v": told}
        for told in ({"ok": True, "value": {"$": "tuple", "v": [1]}, "error": None}, {"ok": False, "value": None, "error": error}):
            form = {"$": "outcome", "v": told}
            self.assertEqual(self.form("same", {"value": form}), form)
        self.assertIn("OutcomeError(type='KeyError'", self.form("text", {"value": form}))
        for inside in ([form], {"a": form}, {"$": "tuple", "v": [1, form]}, {"$": "object", "t": "flow.Kept", "v": {"first": form}}):
            with self.subTest(inside):
                self.assertEqual(self.form("same", {"value": inside}), inside)
                self.assertEqual(self.form("kinds", {"value": inside}), ["Outcome", "OutcomeError", "KeyError"])

    def test_flags_are_told_by_their_names(self):
        self.assertEqual(self.form("give", {"which": "flags"}), {"$": "enum", "t": "flow.Rights", "v": "READ|WRITE"})

    def test_a_subclass_goes_as_its_declared_base_and_not_with_more_fields(self):
        self.assertEqual(self.form("base", {"which": "same"}, returns="Base"), {"$": "object", "t": "shapes.Base", "v": {"a": 1}})
        error = self.error("base", {"which": "derived"}, returns="Base")
        self.assertEqual(error["error_type"], "serialization")
        self.assertEqual(error["message"].partition(";")[0], "result: a Derived has the field 'b', which the declared Base has not")
        error = self.error("bases", returns="dict[str, list[Base | None]]")
        self.assertTrue(error["message"].startswith("result['a'][1]: a Derived has the field 'b'"), error["message"])

    def test_an_enum_and_a_named_tuple_go_as_what_is_declared(self):
        self.assertEqual(self.form("level", returns="int"), 2)
        self.assertEqual(self.form("levels", returns="list[Level]"), [{"$": "enum", "t": "flow.Level", "v": "HIGH"}])
        self.assertEqual(self.form("pair", returns="tuple[int, float]"), {"$": "tuple", "v": [1, 2.5]})

    def test_plain_json_from_outside_becomes_what_is_declared(self):
        types = {"user": "Outer[Point]", "colours": "list[Colour]", "movie": "Movie | None", "key": "dict[Colour, int] | None"}
        user = {"inner": {"day": "2026-11-25", "colour": "BLUE"}, "item": {"x": 1}, "more": [{"day": "2026-01-02"}]}
        data = {"user": user, "colours": ["RED", "b"], "movie": {"name": "a", "colour": "r"}, "key": {"RED": 1}}
        said = self.form("outside", data, types=types)
        self.assertEqual(
            said.replace("<Colour.BLUE: 'b'>", "BLUE").replace("<Colour.RED: 'r'>", "RED"),
            "(Outer(inner=Inner(day=datetime.date(2026, 11, 25), colour=BLUE), item=Point(x=1, y=0.5), "
            "more=[Inner(day=datetime.date(2026, 1, 2), colour=RED)]), [RED, BLUE], {'name': 'a', 'colour': RED}, {RED: 1})",
        )
        self.assertEqual(self.form("one", {"computed": {"a": 2, "scale": 5}}, types={"computed": "Computed"}), "Computed(a=2, b=10)")

    def test_what_does_not_fit_is_told_by_its_path(self):
        types = {"user": "Outer[Point]", "colours": "list[Colour]"}
        user = {"inner": {"day": "2026-11-25", "colour": "GREEN"}, "item": {"x": 1}}
        error = self.error("outside", {"user": user, "colours": []}, types=types)
        self.assertEqual(error["error_type"], "argument")
        self.assertEqual(error["message"], "argument `user`.inner.colour: 'GREEN' is no member of Colour, which has RED, BLUE")
        error = self.error("one", {"computed": {"b": 1}}, types={"computed": "Computed"})
        self.assertIn("argument `computed`: no Computed can be made of it:", error["message"])

    def test_a_value_without_a_form_is_told_with_a_remedy(self):
        message = self.error("opaque")["message"]
        self.assertTrue(message.startswith("result['a'][1]: a value of type _io.TextIOWrapper has no form"), message)
        self.assertIn("declare it as Pickle[Slotted]", self.error("unnamed")["message"])

    def test_what_is_declared_as_a_pickle_goes_as_one_wherever_it_stands(self):
        pickle = {"$": "attachment", "k": "pickle", "lock": "l", "user": "u"}
        for function, returns, expected in (("bundle", "Trained", 4), ("bundles", "dict[str, Trained]", 3)):
            with self.subTest(function):
                heard = self.driver.attempt(function, returns=returns)
                self.assertIsNone(heard.error)
                size = heard.result["size"]
                form, rest = heard.result["bytes"][:size], heard.result["bytes"][size:]
                data = b'{"value":%s}' % form + rest
                told = self.form("opened", data, attachments=heard.result["attachments"])
                self.assertEqual(told, "Slotted Slotted Trained")
                self.assertEqual(len(heard.result["attachments"]), expected)
        self.assertEqual(self.form("small", returns="tuple[Pickle[int], int]"), {"$": "tuple", "v": [dict(pickle, i=0), 7]})

    def test_a_pickle_says_where_it_was_made(self):
        heard = self.driver.attempt("trained", returns="list[Pickle[Slotted]]")
        self.assertEqual(heard.form, [{"$": "attachment", "k": "pickle", "i": 0, "lock": "l", "user": "u"}])
        size = heard.result["size"]
        data = b'{"model":' + heard.result["bytes"][:size] + b"}" + heard.result["bytes"][size:]
        types = {"model": "list[Pickle[Slotted]]"}
        self.assertEqual(self.form("unpickled", data, attachments=heard.result["attachments"], types=types), "Slotted")

    def test_a_path_is_a_name_and_says_so(self):
        heard = self.driver.attempt("name")
        self.assertEqual(heard.form, {"$": "path", "v": "a/b"})
        self.assertIn("return qflow.File(path)", heard.ended["warnings"][0])

    def test_a_file_is_streamed_and_read_where_the_runner_has_put_it(self):
        heard = self.driver.attempt("write", {"size": 5 << 20})
        self.assertEqual(heard.form, {"$": "attachment", "k": "file", "i": 0, "n": "out.bin"})
        self.assertEqual(heard.result["attachments"], [{"kind": "file", "content": 0}])
        self.assertEqual(len(heard.contents[0]), 5 << 20)
        place = os.path.join(self.driver.home, "report.csv")
        with open(place, "w") as out:
            out.write("1,2")
        form = {"file": {"$": "attachment", "k": "file", "i": 0, "n": "report.csv"}}
        self.assertEqual(self.form("read", form, attachments=[{"kind": "file", "path": place}]), ["File", "report.csv", ".csv", "1,2"])

    def test_an_empty_file_travels(self):
        heard = self.driver.attempt("write", {"size": 0})
        self.assertEqual((heard.contents[0], [m["last"] for m in heard.messages if m["type"] == "content"]), (b"", [True]))

    def test_large_bytes_are_streamed_too(self):
        heard = self.driver.attempt("big", returns="bytes")
        self.assertEqual(heard.contents[0], bytes(range(256)) * 1024)
        place = os.path.join(self.driver.home, "content")
        with open(place, "wb") as out:
            out.write(heard.contents[0])
        form = {"value": {"$": "attachment", "k": "bytes", "i": 0}}
        self.assertEqual(self.form("length", form, attachments=[{"kind": "bytes", "path": place}]), 1 << 18)

    def test_a_folder_is_the_same_archive_each_time(self):
        import io
        import tarfile

        first, second = (self.driver.attempt("folder").contents[0] for _ in range(2))
        self.assertEqual(first, second)
        with tarfile.open(fileobj=io.BytesIO(first)) as archive:
            told = [(member.name, member.mode, member.mtime, member.uid, member.size) for member in archive]
            self.assertEqual(
                told, [("b.txt", 0o644, 0, 0, 1), ("empty", 0o755, 0, 0, 0), ("sub", 0o755, 0, 0, 0), ("sub/a.sh", 0o755, 0, 0, 1000)]
            )
            self.assertEqual(archive.extractfile("sub/a.sh").read(), b"x" * 1000)

    def test_what_does_not_travel_is_refused_with_its_path(self):
        link = self.error("folder", {"link": True})
        self.assertEqual(link["message"], "result/sub/link: a symbolic link does not travel; copy what it points to")
        self.assertEqual(self.error("pipe")["message"], "result: p is not a regular file")
        large = self.error("large")
        self.assertEqual(large["error_type"], "output_size")
        self.assertIn("a file of 1073741825 bytes, where 1073741824 are allowed", large["message"])


if __name__ == "__main__":
    unittest.main()
