"""Values come back exactly as they went, or the node that gave them fails with their path."""

import importlib.util
import json
import pathlib
import sys
import textwrap
import unittest

from tests.driver import Driver

PYTHON = pathlib.Path(__file__).resolve().parents[1]
HAS_FRAMES = all(importlib.util.find_spec(name) for name in ("numpy", "pandas", "pyarrow", "pydantic"))

FLOW = textwrap.dedent(
    '''
    import collections, dataclasses, datetime as dt, functools, pathlib, typing
    try:
        from zoneinfo import ZoneInfo
        BERLIN = ZoneInfo("Europe/Berlin")
    except Exception:  # 3.8, or no data of zones here
        BERLIN = None
    from qflow import node

    @dataclasses.dataclass
    class Noted:
        a: int
        def __post_init__(self):
            self.note = "x"

    @dataclasses.dataclass
    class Lazy(typing.Generic[typing.TypeVar("T")]):
        a: int
        @functools.cached_property
        def twice(self):
            return self.a * 2

    class Rows(list):
        pass

    class Nowhere(dt.tzinfo):
        def utcoffset(self, at):
            return None if at is None else dt.timedelta(hours=1)
        def dst(self, at):
            return dt.timedelta(0)

    def lazy():
        made = Lazy[int](2)
        made.twice
        return made

    def labelled():
        rows = Rows([1])
        rows.label = "x"
        return rows

    def deep(levels, wrap=lambda v: [v]):
        value = 1
        for _ in range(levels):
            value = wrap(value)
        return value

    EXACT = [
        lambda: dt.datetime(2026, 10, 25, 2, 30, fold=1), lambda: dt.time(2, 30, fold=1), lambda: 10**5000, lambda: -(10**5000),
        lambda: dt.datetime(2026, 7, 1, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))), lazy, lambda: Rows([1]) + [2],
        lambda: deep(100), lambda: deep(50, lambda v: (v,)), lambda: {10**5000: 1},
    ]
    if BERLIN:
        EXACT += [lambda: dt.datetime(2026, 7, 1, tzinfo=BERLIN), lambda: dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN),
                  lambda: dt.time(9, tzinfo=BERLIN), lambda: dt.datetime(2026, 7, 1, tzinfo=ZoneInfo("UTC"))]
    REFUSED = {
        "deque": lambda: {"a": [collections.deque([1])]}, "bytearray": lambda: bytearray(b"x"), "memoryview": lambda: memoryview(b"x"),
        "windows": lambda: pathlib.PureWindowsPath("c:/x"), "noted": lambda: [Noted(1)], "labelled": lambda: (labelled(),),
        "zone": lambda: dt.datetime(2026, 1, 1, tzinfo=Nowhere()), "bits": lambda: 1 << (1 << 21), "path": lambda: pathlib.Path("caf\\udce9"),
        "deep": lambda: {"a": deep(100)}, "deep tuple": lambda: deep(51, lambda v: (v,)), "deepest": lambda: deep(500),
    }

    def zone(value):
        return getattr(getattr(value, "tzinfo", None), "key", None), getattr(value, "fold", None)

    @node
    def give(n):
        return EXACT[n]()

    @node
    def see(n, got):
        made = EXACT[n]()
        return (type(made) is type(got), made == got, zone(made) == zone(got)) == (True, True, True)

    @node
    def count():
        return len(EXACT)

    @node
    def refused(which):
        return REFUSED[which]()
    '''
)


class Exact(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.driver = Driver()
        said = cls.driver.load(FLOW)
        assert said["type"] == "loaded", said

    @classmethod
    def tearDownClass(cls):
        assert cls.driver.close() == 0

    def test_what_has_a_form_comes_back_as_it_went(self):
        for number in range(self.driver.attempt("count").form):
            gave = self.driver.attempt("give", {"n": number})
            self.assertTrue(gave.ended["ok"], (number, gave.error))
            data = b'{"n":%d,"got":%s}' % (number, gave.result["bytes"][: gave.result["size"]])
            seen = self.driver.attempt("see", data)
            self.assertEqual(seen.form, True, (number, seen.error))

    def test_what_would_come_back_changed_is_refused_with_its_path(self):
        for which, told in (
            ("deque", "result['a'][0]: a deque would come back as a list: give list(…)"),
            ("bytearray", "result: a bytearray would come back as bytes: give bytes(…)"),
            ("memoryview", "result: a memoryview would come back as bytes: give bytes(…)"),
            ("windows", "result: a PureWindowsPath would come back as a path of another system: give str(…)"),
            ("noted", "result[0].note: an attribute that is no field of flow.Noted, or a private one, and would be lost: make it a field"),
            ("labelled", "result[0].label: an attribute of a flow.Rows, which travels without it: return it beside"),
            ("bits", "result: an int of 2097153 bits, where 1048576 are allowed"),
            ("path", "result: the path 'caf\\udce9' is not UTF-8"),
        ):
            error = self.driver.attempt("refused", {"which": which}).error
            self.assertEqual((error["error_type"], error["message"]), ("serialization", told))
        error = self.driver.attempt("refused", {"which": "zone"}).error
        self.assertIn("result: a time zone of type flow.Nowhere, which has no name", error["message"])

    def test_a_value_that_is_nested_too_deeply_is_refused_with_its_path_and_the_bound(self):
        for which in ("deep", "deep tuple", "deepest"):
            error = self.driver.attempt("refused", {"which": which}).error
            self.assertEqual(error["error_type"], "serialization")
            self.assertRegex(error["message"], r"^result(\['a'\])?(\[0\])+.{0,3}: nested too deeply: a value has at most 100 levels")

    def test_the_deepest_value_is_json_that_the_runner_reads(self):
        data = self.driver.attempt("give", {"n": 7}).result["bytes"]
        self.assertEqual((data.count(b"["), json.loads(data.decode()) is not None), (100, True))


@unittest.skipUnless(HAS_FRAMES, "numpy, pandas, pyarrow or pydantic is not here")
class Scientific(unittest.TestCase):
    def setUp(self):
        sys.path[:0] = [str(PYTHON), str(PYTHON / "harness")]
        self.addCleanup(sys.path.__delitem__, slice(0, 2))
        import numpy
        import pandas
        import pydantic
        import qflow  # noqa: F401 (the encoder asks for it)
        import qflow_decoder
        import qflow_encoder

        self.np, self.pd, self.pydantic, self.encoder, self.decoder = numpy, pandas, pydantic, qflow_encoder, qflow_decoder

    def back(self, value):
        data, _, attachments = self.encoder.encoding(value)
        return self.decoder.Decoder([source for _, source, _, _ in attachments], "").value(json.loads(data.decode()))

    def refused(self, value):
        with self.assertRaises(self.encoder.Unserialisable) as caught:
            self.encoder.encoding(value)
        return str(caught.exception)

    def test_frames_come_back_with_the_cells_they_had(self):
        np, objects = self.np, lambda *cells: self.pd.DataFrame({"a": self.pd.Series(cells, dtype=object)})
        for frame in (
            objects("x", np.nan, "y"), objects("x", None), objects([1, 2], [3]), objects({"x": 1}, {"x": 2}), objects(1, None, 2**40),
            objects(True, False), objects(b"x"), self.pd.DataFrame({1: [1], 2: [2]}), self.pd.DataFrame({"a": [np.array([1.0]), np.array([2.0])]}),
        ):
            got = self.back(frame)
            self.pd.testing.assert_frame_equal(got, frame)
            self.assertEqual([type(cell) for cell in got.iloc[:, 0]], [type(cell) for cell in frame.iloc[:, 0]])
        for name in (5, None, "a", ("a", 1)):
            self.assertEqual(self.back(self.pd.Series([1], name=name)).name, name)

    def test_what_numpy_and_pandas_have_alone_is_refused(self):
        np, pd = self.np, self.pd
        for value, told in (
            (np.ma.array([1, 2], mask=[0, 1]), "would come back as a plain array"),
            (np.datetime64("2026-01-01T00:00:00.000000001"), "to its last digit"),
            (np.timedelta64(5, "ns"), "to its last digit"),
            (np.datetime64("NaT"), "NaT"),
            (pd.Timestamp("2026-01-01T00:00:00.123456789"), "nanoseconds"),
            (pd.Timedelta(1, "ns"), "nanoseconds"),
            (pd.NaT, "NaT"),
            (pd.DataFrame({"a": [{1, 2}]}), "column 'a' holds a set"),
            (pd.DataFrame({"a": [{"x": 1}, {"y": 2}]}), "column 'a' holds a dict"),
            (pd.DataFrame({"a": [1j]}), "column a with type complex128"),
            (pd.DataFrame([[1, 2]], columns=[1, "b"]), "names of columns"),
        ):
            said = self.refused({"k": [value]})
            self.assertTrue(said.startswith("result['k'][0]: ") and told in said, said)
        self.assertEqual(self.back([np.int64(3), np.float32(1.5), np.datetime64("2026-01-01")])[:2], [3, 1.5])

    def test_models_with_private_attributes_travel_as_they_were_made_only(self):
        pydantic = self.pydantic
        if not hasattr(pydantic, "RootModel"):
            self.skipTest("pydantic 1")
        Secretive = type("Secretive", (pydantic.BaseModel,), {"__annotations__": {"a": int, "_seen": int}, "_seen": pydantic.PrivateAttr(default=0), "__module__": __name__})  # fmt: skip
        Numbers = type("Numbers", (pydantic.RootModel[list],), {"__module__": __name__})
        globals().update(Secretive=Secretive, Numbers=Numbers)
        made = Secretive(a=1)
        self.assertEqual(self.back(made), made)
        made._seen = 7
        self.assertIn("result._seen: ", self.refused(made))
        self.assertEqual(self.back(Numbers([1, 2])), Numbers([1, 2]))


if __name__ == "__main__":
    unittest.main()
