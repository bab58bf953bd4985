"""What the client sends: the files that `qflow run` sends (crates/cli/src/source/tests.rs), and values in the plain form."""

import collections
import dataclasses
import datetime
import decimal
import enum
import pathlib
import tempfile
import unittest
import uuid
from typing import NamedTuple
from unittest import mock

from qflow import File, _includes, _sources
from qflow._errors import QflowError
from qflow._plain import duration, plain


class Tree(unittest.TestCase):
    def tree(self, files):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for path, text in files.items():
            self.write(path, text)

    def write(self, path, text):
        whole = self.root / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_bytes(text if isinstance(text, bytes) else text.encode())

    def sent(self, file):
        return list(_sources.collect(self.root / file).files)

    def refused(self, file):
        with self.assertRaises(QflowError) as caught:
            _sources.collect(self.root / file)
        self.assertEqual(caught.exception.code, "invalid_source")
        return str(caught.exception)


class Imports(Tree):
    def test_imports_beside_the_file_are_sent_and_others_are_not(self):
        flow = "import os, helper\nfrom parts.clean import (\n    f,\n)\nfrom qflow import node\n"
        clean = "from . import names\nimport names\n"
        names = ["helper.py", "parts/names.py", "unused.py", "qflow.py"]
        self.tree(dict({"flow.py": flow, "parts/clean.py": clean}, **{name: "import flow\n" for name in names}))
        self.assertEqual(self.sent("flow.py"), ["flow.py", "helper.py", "parts/clean.py", "parts/names.py"])
        self.assertEqual(_sources.collect(str(self.root / "flow.py")).entry, "flow.py")

    def test_the_nearest_pyproject_is_the_root_and_its_src_is_searched(self):
        self.tree({
            "pyproject.toml": "",
            "flows/daily.py": "import near\nimport shared\nimport app.steps as s\nfrom app import sub\n",
            "flows/near.py": "",
            "shared.py": "",
            "src/app/__init__.py": "from . import base\n",
            "src/app/steps.py": "from .deep.er import x\nfrom ... import beyond\n",
            "src/app/deep/er.py": "",
            "src/app/base.py": "",
            "src/app/sub/__init__.py": "",
            "src/app/other.py": "",
            "src/shared.py": "",
        })  # fmt: skip
        src = ["__init__.py", "base.py", "deep/er.py", "steps.py", "sub/__init__.py"]
        names = ["flows/daily.py", "flows/near.py", "shared.py"] + ["src/app/" + name for name in src]
        self.assertEqual(self.sent("flows/daily.py"), names)

    def test_an_entry_with_relative_imports_brings_its_packages(self):
        self.tree({
            "pyproject.toml": "",
            "app/__init__.py": "",
            "app/flows/__init__.py": "import app.config\n",
            "app/flows/daily.py": "from ..steps import f\nfrom . import near\nfrom .. import VERSION\n",
            "app/flows/near.py": "",
            "app/steps.py": "",
            "app/config.py": "",
        })  # fmt: skip
        names = ["__init__.py", "config.py", "flows/__init__.py", "flows/daily.py", "flows/near.py", "steps.py"]
        self.assertEqual(self.sent("app/flows/daily.py"), ["app/" + name for name in names])

    def test_a_package_comes_before_a_module_and_a_module_before_a_folder(self):
        names = ["a/__init__.py", "a/x.py", "a.py", "b.py", "b/x.py", "c/x.py", "src/c/__init__.py"]
        files = dict.fromkeys(names, "")
        files["flow.py"] = "import a.x, b.x, c.x\nif True:\n    import d\n"
        self.tree(dict(files, **{"d.py": "def f():\n    import e\n", "e.py": "import d\n"}))
        found = ["a/__init__.py", "a/x.py", "b.py", "d.py", "e.py", "flow.py", "src/c/__init__.py"]
        self.assertEqual(self.sent("flow.py"), found)

    def test_imports_are_found_however_they_are_written(self):
        text = "import a.b as c, d\nfrom e import (\n    f,  # why\n    g as h,\n)\nfrom . import i\nfrom ..j import *\n"
        text += "def k():\n    import l\n"
        modules = {"a.b", "d", "e", "e.f", "e.g", ".", ".i", "..j", "l"}
        self.assertEqual(set(_sources.imported(text)), modules)
        self.assertEqual(set(_sources.imported("\ufeff" + text + "match = = =\n")), modules, "in a newer syntax")
        self.assertEqual(_sources.imported("(" * 5000), [])

    def test_a_link_out_of_the_root_is_not_followed(self):
        self.tree({"in/flow.py": "import stolen\n", "in/ok.py": "import link\n", "secret.py": "", "in/real.py": ""})
        (self.root / "in/stolen.py").symlink_to(self.root / "secret.py")
        (self.root / "in/link.py").symlink_to(self.root / "in/real.py")
        self.assertRegex(self.refused("in/flow.py"), "stolen.py is a link to .*, out of ")
        self.assertEqual(self.sent("in/ok.py"), ["link.py", "ok.py"])

    def test_a_submission_past_a_bound_names_the_bound_and_the_value(self):
        flow = "".join("import m%d\n" % at for at in range(600))
        self.tree(dict({"m%d.py" % at: "" for at in range(600)}, **{"flow.py": flow}))
        self.assertRegex(self.refused("flow.py"), "at most 500 files; .* has 601")
        block = "# /// script\n# [tool.qflow]\n# include = [\"data/*\"]\n# ///\n"
        self.write("big.py", block)
        for at in range(3):
            self.write("data/%d.csv" % at, b"x" * (1 << 20))
        with mock.patch.object(_includes, "_reader", lambda: Toml({"tool": {"qflow": {"include": ["data/*"]}}})):
            self.assertRegex(self.refused("big.py"), "at most 2097152 bytes; .* has 3145.*data/0.csv has 1048576")
            self.write("data/0.csv", b"x" * (5 << 20))
            self.assertIn("0.csv has 5242880 bytes; a submission has at most 2097152", self.refused("big.py"))

    def test_what_cannot_be_read_is_named_as_the_user_named_it(self):
        self.tree({"pyproject.toml": "", "a/flow.py": "import b\n", "b.py": b"ab\xff", "huge.py": b"#" * (10 << 20)})
        self.assertEqual(self.refused("a/flow.py"), "%s is not UTF-8 at byte 2; files are sent as text" % (self.root / "b.py"))
        self.assertIn("huge.py has 10485760 bytes; a source file has at most 262144", self.refused("huge.py"))
        self.assertIn("is a folder; name a file in it", self.refused("a"))
        self.assertIn("is no file that can be read", self.refused("absent.py"))


class Toml:
    """What reads TOML, for every Python: the same table whatever is written."""

    def __init__(self, table):
        self.table = table

    def loads(self, text):
        return self.table if "include" in text else {}


class Includes(Tree):
    BLOCK = "# /// script\n# [tool.qflow]\n# include = %s\n# ///\n"

    def reads(self, include):
        patched = mock.patch.object(_includes, "_reader", lambda: Toml({"tool": {"qflow": {"include": include}}}))
        patched.start()
        self.addCleanup(patched.stop)

    def test_data_is_included_by_pattern(self):
        self.reads(["sql/*.sql", "gone/*", "extra", "plugins/*.py"])
        files = {"flows/daily.py": self.BLOCK % "…", "sql/a.sql": "select 1\r\n", "sql/b.txt": "", "extra/x": "", "dep.py": ""}
        self.tree(dict(files, **{"pyproject.toml": "", "plugins/p.py": "import dep\n"}))
        source = _sources.collect(self.root / "flows/daily.py")
        self.assertEqual(list(source.files), ["dep.py", "flows/daily.py", "plugins/p.py", "sql/a.sql"])
        self.assertEqual(source.files["sql/a.sql"], "select 1\r\n")
        place = "%s:3: include " % (self.root / "flows/daily.py")
        self.assertEqual([warning.startswith(place) for warning in source.warnings], [True, True])
        self.assertIn("write its files as in \"data/*\"", source.warnings[1])

    def test_what_cannot_be_included_says_why(self):
        self.tree({"flow.py": self.BLOCK % "…"})
        out = "flow.py:3: include \"../*\": it leads out of the root"
        for include, why in [(["../*"], out), ("*.sql", "write include = [\"sql/*.sql\"]")]:
            self.reads(include)
            self.assertIn(why, self.refused("flow.py"))

    def test_a_python_that_cannot_read_toml_says_so_where_something_is_included(self):
        patched = mock.patch.object(_includes, "_reader", lambda: None)
        patched.start()
        self.addCleanup(patched.stop)
        others = "[tool.black]\ninclude = '.py'\n[tool.setuptools.packages.find]\ninclude = ['a']\n"
        self.tree({"flow.py": self.BLOCK % "[\"*.sql\"]", "other/pyproject.toml": others, "other/flow.py": ""})
        self.assertIn("flow.py:3: this Python cannot read TOML", self.refused("flow.py"))
        self.assertEqual(self.sent("other/flow.py"), ["flow.py"])
        for table in ("[tool.qflow]\ninclude = []\n", "[tool]\nqflow.include = []\n", "tool.qflow.include = []\n"):
            self.write("other/pyproject.toml", table)
            self.assertIn("cannot read TOML", self.refused("other/flow.py"))

    def test_files_are_found_below_the_root_and_nowhere_else(self):
        names = ["sql/a.sql", "sql/b.sql", "sql/deep/c.sql", "sql/.hidden/d.sql", "x.txt", "__pycache__/e.sql"]
        self.tree(dict.fromkeys(names, ""))
        (self.root / "sql/loop").symlink_to(self.root)
        found = [
            ("sql/*.sql", names[:2]), ("./sql//a.sql", names[:1]), ("**/*.sql", names[:3]), ("sql/**", names[:3]), ("sql", []),
            ("absent/*", []), ("sql/[!a].sql", names[1:2]), ("sql/.hidden/*", names[3:4]),
        ]  # fmt: skip
        for pattern, files in found:
            self.assertEqual(_includes.find(str(self.root), pattern), files, pattern)
        for pattern in ("../*", "/etc/*", "sql/../../*"):
            self.assertRaises(ValueError, _includes.find, str(self.root), pattern)

    def test_the_block_is_what_stands_between_its_lines(self):
        for text, block in [
            ("x\n# /// script\n# a = 1\n#\n# b = 2\n# ///\ny", "a = 1\n\nb = 2\n"),
            ("\ufeff# /// script\r\n# a = 1\r\n# ///\r\n", "a = 1\n"),
            ("# /// script\n# a = 1\n# ///\n# c\n# ///\n", "a = 1\n///\nc\n"),
            ("# /// script\n# a = 1\n", ""),
            ("", ""),
        ]:
            self.assertEqual(_includes.block(text), block)


class Colour(enum.Enum):
    RED = "r"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: float


@dataclasses.dataclass
class Order:
    item: str
    amount: decimal.Decimal


class Plain(unittest.TestCase):
    def test_values_have_the_form_of_the_page(self):
        day, zone = datetime.date(2026, 11, 23), datetime.timezone.utc
        for value, form in [
            (None, None), (True, True), (2**80, 2**80), (0.1, 0.1), ("ä", "ä"), (float("nan"), "nan"), (-float("inf"), "-inf"),
            (decimal.Decimal("1.50"), "1.50"), (day, "2026-11-23"), (datetime.time(9, 30), "09:30:00"), (b"hi\xff", "aGn/"),
            (datetime.datetime(2026, 11, 23, 9, tzinfo=zone), "2026-11-23T09:00:00+00:00"), (Colour.RED, "RED"),
            (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"), (pathlib.PurePosixPath("/a"), "/a"), ({3, 1}, [1, 3]),
            (Access.READ | Access.WRITE, "READ|WRITE"), (Access(0), "0"), (Point(1, 2.5), {"x": 1, "y": 2.5}), (1 + 2j, ["1.0", "2.0"]),
            ([Order("tea", decimal.Decimal("1.50"))], [{"item": "tea", "amount": "1.50"}]), ((1, (2,)), [1, [2]]),
            ({1: "a", day: "b", None: 2}, {"1": "a", "2026-11-23": "b", "None": 2}), ({1: day, "1": 2}, [[1, "2026-11-23"], ["1", 2]]),
            (collections.OrderedDict(a=1), {"a": 1}),
        ]:  # fmt: skip
            self.assertEqual(plain(value, "x"), form, value)

    def test_durations_are_in_iso(self):
        for parts, form in [
            ((0, 0, 0), "PT0S"), ((1, 7384, 500000), "P1DT2H3M4.5S"), ((0, -1, 0), "-PT1S"), ((-1, 0, 0), "-P1D"),
            ((2, 3600, 0), "P2DT1H"), ((0, 60, 1), "PT1M0.000001S"), ((-2, 86399, 999999), "-P1DT0.000001S"),
        ]:  # fmt: skip
            self.assertEqual(duration(datetime.timedelta(*parts)), form)

    def test_what_has_no_form_is_named_by_its_path(self):
        circle = []
        circle.append(circle)
        for value, why in [
            ({"a": [object()]}, "parameter `x`['a'][0]: object has no plain form (docs/VALUES.md)"),
            ("\ud800", "parameter `x`: a text with half of a surrogate pair cannot be given"),
            ([File("a")], "parameter `x`[0]: a file or folder is a parameter of its own, and stands in no list or mapping"),
        ]:
            with self.assertRaises(QflowError) as caught:
                plain(value, "parameter `x`")
            self.assertEqual((str(caught.exception), caught.exception.code), (why, "invalid_value"))
        with self.assertRaisesRegex(QflowError, "more than 100 levels"):
            plain(circle, "x")
