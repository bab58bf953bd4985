"""Arguments converted to their declared types: the cases that `crates/types/tests/conversions.rs` holds the types of, and a harness."""

import dataclasses
import datetime
import enum
import json
import re
import sys
import textwrap
import typing
import unittest

from tests.driver import PYTHON, Driver

sys.path[:0] = [str(PYTHON), str(PYTHON / "harness")]
import qflow  # noqa: E402,F401 (shapes know its classes)
import qflow_convert  # noqa: E402
import qflow_decoder  # noqa: E402
import qflow_fit  # noqa: E402
import qflow_scalars  # noqa: E402
import qflow_shapes  # noqa: E402

CASES = json.loads((PYTHON.parent / "crates/types/tests/conversions.json").read_text(encoding="utf-8"))
if sys.version_info < (3, 11):  # before, `*tuple[…]` is no syntax: `Unpack[tuple[…]]` is written
    CASES = [case for case in CASES if "*tuple[" not in case["from"] + case["to"]]


@dataclasses.dataclass
class Order:
    item: str
    amount: "int" = 1


class Row(typing.TypedDict):
    item: str
    amount: "int"


class Wide(Row):
    note: str


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 1


OWN = {"Order": Order, "Row": Row, "Wide": Wide, "Colour": Colour, "Level": Level}
# What has no class here: frames, and what is not converted in any case.
UNKNOWN = ("DataFrame", "Pickle", "Invoice", "File")


class Decoder(qflow_decoder.Decoder):
    def _object(self, form):
        return OWN[form["t"]](**{k: self.value(v) for k, v in form["v"].items()})

    def _enum(self, form):
        return OWN[form["t"]][form["v"]]


def decoded(form):
    return Decoder([], "").value(form)


def shape_of(text):
    return qflow_shapes.shape_of(text, dict(qflow_scalars.classes(), **OWN))


class Cases(unittest.TestCase):
    def made(self, case, strict):
        return qflow_convert.argument("x", decoded(case["value"]), shape_of(case["to"]), case["to"], strict)

    def test_what_converts_becomes_what_is_expected(self):
        for case in (case for case in CASES if "expected" in case):
            with self.subTest(case):
                expected, made = decoded(case["expected"]), self.made(case, case["way"] == "may fail")
                # Python's own equality takes 1 for True and 1.0.
                self.assertEqual((repr(made), type(made)), (repr(expected), type(expected)))

    def test_what_does_not_convert_fails_with_its_path(self):
        for case in (case for case in CASES if "error" in case):
            with self.subTest(case):
                with self.assertRaises(qflow_fit.Unfit) as told:
                    self.made(case, True)
                where = " " if case["error"].startswith("at ") else ": "
                self.assertEqual(str(told.exception), "argument `x`" + where + case["error"])

    def test_what_has_no_conversion_is_refused_here_too(self):
        for case in (case for case in CASES if case["way"] == "not" and "value" in case):
            if any(name in case["to"] for name in UNKNOWN):
                continue
            with self.subTest(case):
                self.assertRaises(qflow_fit.Unfit, self.made, case, True)

    def test_without_convert_nothing_is_converted_that_may_fail(self):
        for case in (case for case in CASES if case["way"] in ("may fail", "not") and "value" in case):
            whole = all(word not in case["to"] for word in UNKNOWN + ("tuple", "list"))
            if whole:
                with self.subTest(case):
                    self.made(case, False)

    def test_the_table_is_the_published_one(self):
        page = (PYTHON.parent / "docs/TYPES.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| (`.+?`) \| `(\w+)` \| (`convert=True`)? *\| .+ \|$", page, re.MULTILINE)
        published = {(name, to): bool(asked) for names, to, asked in rows for name in re.findall(r"`(\w+)`", names)}
        self.assertGreater(len(published), 20)
        known = {name: c for name, c in qflow_scalars.classes().items() if isinstance(c, type) and c.__module__ != "typing"}
        known.update({c.__name__: c for c in (bool, int, float, complex, str, bytes)})
        for name, source in known.items():
            for to, target in known.items():
                if issubclass(source, target):
                    continue
                found = {(name, to): asked for asked, rules in enumerate(qflow_scalars._table()) for c in source.__mro__ if (c, target) in rules}
                self.assertEqual(found, {pair: asked for pair, asked in published.items() if pair == (name, to)})

    def test_tuples_written_out_in_others_are_read_in_each_spelling(self):
        whole, text = ("class", int, ()), ("class", str, ())
        unpack = getattr(typing, "Unpack", None)
        spread = ("spread", (whole,), text, (whole,))
        read = {"Tuple[int, Tuple[str, ...]]": ("tuple", (whole, ("tuples", text)))}
        if unpack:  # Python 3.11
            read.update({"tuple[int, *tuple[str, ...], int]": spread, "tuple[int, Unpack[tuple[str, ...]], int]": spread})
            read.update({"tuple[int, *tuple[str, int]]": ("tuple", (whole, text, whole)), "tuple[*tuple[str, ...]]": ("tuples", text)})
            read.update({"tuple[*tuple[int, *tuple[str, ...]], int]": spread, "tuple[int, *Unknown]": ("spread", (whole,), ("any",), ())})
            evaluated = [typing.Tuple[int, unpack[typing.Tuple[str, ...]], int], eval("tuple[int, *tuple[str, ...], int]")]
            for annotation in evaluated:
                self.assertEqual(qflow_shapes.shape_of(annotation, {}), spread, annotation)
        for annotation, shape in read.items():
            self.assertEqual(qflow_shapes.shape_of(annotation, vars(typing)), shape, annotation)

    def test_of_what_python_reads_of_iso_8601_just_what_is_published_is_not_read(self):
        if sys.version_info < (3, 11):
            self.skipTest("Python reads little of it before 3.11")
        dates = ["2026-11-24", "20261124", "2026-W48-2", "2026W482", "2026-W48", "2026W48", "2026-328", "2026328", "2026-11", "2026", "2026-1-2"]
        clocks = ["09", "09:30", "0930", "09:30:15", "093015", "09:30:15.5", "09:30:15,5", "093015.5", "09:30:15.1234567", "09:30.5", "09.5",
                  "24:00", "9:30", "09:3015", "0930:15", "09:30:60"]  # fmt: skip
        zones = ["", "Z", "z", "+01:00", "+0100", "+01", "-00:30:15", "+01:00:00.5", "+24:00", "+1", "-00:00"]
        times = [mark + clock + zone for mark in ("", "T", "t") for clock in clocks for zone in zones]
        both = [date + sign + time for date in dates for sign in ("T", "t", " ", "_") for time in times]
        reads = (("date", datetime.date, dates), ("time", datetime.time, times), ("datetime", datetime.datetime, dates + both))
        # A week, an hour, a number, parts of a minute, of a microsecond, another sign.
        published = r"\d{4}-?W\d\d($|[Tt _])|(^|[Tt _])\d\d([Zz+-]|$)|(^| )\d{4}(\d\d)?([Zz+.,-]|$)|[Tt _]\d\d\.5|^\d\d\.5|\d\d:30\.5|\.\d{7}|_"
        for name, cls, texts in reads:
            for text in texts:
                try:
                    theirs = cls.fromisoformat(text)
                except ValueError:
                    theirs = None
                ours = qflow_scalars.scalar(text, cls, True)
                if ours is None and theirs is not None:
                    self.assertRegex(text, published)
                elif ours != theirs:
                    self.assertRegex(text, "[tz]", "%s: %r, %r" % (name, ours, theirs))

    def test_what_fits_stays_the_same_object(self):
        for text, value in (("list[int | str]", [1, "x"]), ("dict[str, tuple[int, ...]]", {"a": (1,)}), ("Sequence[int]", (1, 2))):
            self.assertIs(qflow_convert.argument("x", value, shape_of(text), text, True), value)


FLOW = textwrap.dedent(
    '''
    import dataclasses, enum, typing
    from datetime import date
    from qflow import node
    if typing.TYPE_CHECKING:
        from uuid import UUID

    Amounts = typing.List[int]

    class Colour(enum.Enum):
        RED = "r"

    class Row(typing.TypedDict):
        amount: int
        day: date | None

    @dataclasses.dataclass
    class Order:
        rows: list[Row]
        colour: Colour = Colour.RED

    @node(convert=True)
    def total(rows: list[Row]) -> str:
        return repr(rows)

    @node(convert=True)
    def alias(rows: Amounts) -> str:
        return repr(rows)

    @node(convert=True)
    def order(order: Order, at: UUID) -> str:
        return repr((order, at))

    @node
    def pairs(rows: tuple[tuple[int, ...], ...]) -> str:
        return repr(rows)

    @node(convert=True)
    def frame(df: DataFrame) -> str:
        return repr(df)
    '''
)


class Harness(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.driver = Driver()
        cls.loaded = cls.driver.load(FLOW)
        assert cls.loaded["type"] == "loaded", cls.loaded

    @classmethod
    def tearDownClass(cls):
        assert cls.driver.close() == 0

    def attempt(self, function, name, value, declared, may_fail, **more):
        data = dict({name: value}, **more)
        types = {name: declared, "at": "UUID"}
        converts = dict({name: may_fail}, **{other: True for other in more})
        return self.driver.attempt(function, data, types=types, converts=converts)

    def test_an_argument_is_converted_by_its_annotation(self):
        heard = self.attempt("total", "rows", [{"amount": "3", "day": "2026-11-24"}, {"amount": 4, "day": None}], "list[Row]", True)
        self.assertEqual(heard.form, "[{'amount': 3, 'day': datetime.date(2026, 11, 24)}, {'amount': 4, 'day': None}]")
        self.assertGreater(heard.ended["converted_ms"]["rows"], 0)
        self.assertEqual(self.attempt("alias", "rows", ["1"], "list[int]", True).form, "[1]")
        self.assertEqual(self.attempt("pairs", "rows", [[1, 2], [3]], "tuple[tuple[int, ...], ...]", False).form, "((1, 2), (3,))")

    def test_classes_and_names_that_only_checkers_import_are_known(self):
        value = {"rows": [{"amount": "3", "day": None}], "colour": "RED"}
        heard = self.attempt("order", "order", value, "Order", True, at="01234567-89ab-cdef-0123-456789abcdef")
        said = "(Order(rows=[{'amount': 3, 'day': None}], colour=<Colour.RED: 'r'>), UUID('01234567-89ab-cdef-0123-456789abcdef'))"
        self.assertEqual(heard.form, said)

    def test_a_value_that_does_not_convert_fails_the_attempt_for_good(self):
        rows = [{"amount": "1", "day": None}] * 3 + [{"amount": "x", "day": None}]
        error = self.attempt("total", "rows", rows, "list[Row]", True).error
        self.assertEqual((error["error_type"], error["mro"]), ("argument", []))
        self.assertEqual(error["message"], "argument `rows` at [3][\"amount\"]: expected int, got 'x'")
        error = self.attempt("frame", "df", [{"a": 1}], "DataFrame", True).error
        self.assertEqual(error["message"], "argument `df`: its type DataFrame is not known here: import it where it is declared")


class Frames(unittest.TestCase):
    def setUp(self):
        try:
            import pandas
        except ImportError:
            self.skipTest("pandas is not installed")
        self.shape, self.frame = ("class", pandas.DataFrame, ()), pandas.DataFrame

    def made(self, value):
        return qflow_convert.argument("df", value, self.shape, "DataFrame", True)

    def test_rows_and_columns_become_a_frame(self):
        for value in ([{"a": 1, "b": "x"}, {"b": "y", "a": 2}], {"a": [1, 2], "b": ["x", "y"]}):
            self.assertEqual(self.made(value).to_dict("list"), {"a": [1, 2], "b": ["x", "y"]})
        self.assertEqual(len(self.made([])), 0)

    def test_what_would_lose_something_is_refused(self):
        for value, text in (
            ([{"a": 1}, {"b": 1}], " at [1]: expected the columns a, got b"),
            ([{"a": 1}, 7], " at [1]: expected a mapping, a frame's row, got 7"),
            ([{"a": 1.5}, {"a": 2**53 + 1}], " at [1][\"a\"]: 9007199254740993 is too large for a column of floats"),
        ):
            with self.assertRaises(qflow_fit.Unfit) as told:
                self.made(value)
            self.assertEqual(str(told.exception), "argument `df`" + text)


if __name__ == "__main__":
    unittest.main()
