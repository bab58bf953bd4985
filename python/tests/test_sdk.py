"""The SDK in plain Python: the same file runs as an ordinary program."""

import ast
import contextlib
import datetime
import io
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import textwrap
import unittest
from unittest import mock

import qflow
from qflow import map, node, settled, workflow

PYTHON = pathlib.Path(__file__).resolve().parents[1]


@node
def double(x, plus=0):
    return 2 * x + plus


@node(retries=3, timeout="2m")
def picky(x):
    if x < 0:
        raise ValueError("%d is below nothing" % x)
    return x


@workflow
def doubled(xs, plus=0):
    return map(double, xs, plus=plus)


@node
async def fetch(x):
    import asyncio

    await asyncio.sleep(0)
    return x + 1


@workflow(name="fetch-all")
def fetch_all(xs):
    return map(fetch, xs)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class PlainPython(unittest.TestCase):
    def test_decorated_functions_stay_ordinary_functions(self):
        self.assertEqual(double(2, plus=1), 5)
        self.assertEqual((double.__name__, doubled.__name__), ("double", "doubled"))
        self.assertIs(pickle.loads(pickle.dumps(double)), double)
        with self.assertRaises(TypeError):
            node(5)

    def test_map_is_a_loop_over_nodes_and_workflows_and_the_builtin_over_anything_else(self):
        self.assertEqual(doubled([1, 2], plus=1), [3, 5])
        self.assertEqual(map(doubled, [[1], [2, 3]]), [[2], [4, 6]])
        self.assertEqual(map(double, []), [])
        builtin = map(pow, [2, 3], [3, 2])
        self.assertEqual((next(builtin), next(builtin)), (8, 9))
        with self.assertRaises(TypeError):
            map(double, [1], [2])

    def test_a_retry_waits_for_a_time_that_is_to_come(self):
        for after, ms in [(None, None), ("1.5s", 1500), ("57ms", 57), (0.2, 200), (-5, 0), (datetime.timedelta(seconds=-1), 0)]:
            self.assertEqual(qflow.Retry("busy", after=after).after_ms, ms, after)
        for after in (float("nan"), float("inf"), 10**30, datetime.timedelta.max, "99999999d", "soon", True, []):
            with self.assertRaisesRegex(ValueError, "^a duration "):
                qflow.Retry("busy", after=after)

    def test_settled_gives_a_failure_as_a_value(self):
        fine, failed = map(settled(picky), [1, -1])
        self.assertEqual((fine.ok, fine.value, fine.error), (True, 1, None))
        self.assertEqual((failed.ok, failed.value), (False, None))
        error = failed.error
        self.assertEqual((error.type, error.message, error.status, error.attempts), ("ValueError", "-1 is below nothing", "failed", 1))
        self.assertEqual(settled(doubled)([4]).value, [8])
        self.assertEqual(settled(fetch)(4).value, 5)

    def test_what_ends_a_node_goes_through_to_the_caller(self):
        def raising(error):
            @node(retries=5)
            def end():
                raise error

            return end

        for error in (qflow.Abort("no use"), qflow.Retry("later", after="30s"), ZeroDivisionError("x")):
            with self.assertRaises(type(error)) as raised:
                raising(error)()
            self.assertIs(raised.exception, error)
        self.assertEqual(qflow.Retry(after="1m30s").after_ms, 90000)
        # A cancellation is no failure.
        with self.assertRaises(qflow.Cancelled):
            settled(raising(qflow.Cancelled()))()

    def test_a_call_of_an_async_node_gives_its_value(self):
        self.assertEqual(fetch(1), 2)
        self.assertEqual(fetch_all([1, 2]), [2, 3])

    def test_an_async_node_is_awaited_where_something_runs_that_can(self):
        import asyncio

        async def main():
            return await fetch(1), await asyncio.gather(fetch(2), fetch(3))

        self.assertEqual(asyncio.run(main()), (2, [3, 4]))

    def test_sleep_says_so_and_goes_on(self):
        told = io.StringIO()
        with contextlib.redirect_stderr(told):
            for wait in ("10m", 90, datetime.timedelta(hours=1), datetime.datetime(2026, 11, 25, 2, 0), "2026-11-25T02:00:00+01:00"):
                qflow.sleep(wait)
        self.assertEqual(told.getvalue().count("qflow: sleep("), 5)
        self.assertIn("10m", told.getvalue())
        with self.assertRaises(ValueError):
            qflow.sleep("soon")

    def test_approval_asks_on_a_terminal_and_is_given_elsewhere(self):
        with mock.patch("sys.stdin", io.StringIO()):
            self.assertTrue(qflow.approval("finance", timeout="2d"))
        for said, given in (("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False)):
            with mock.patch("sys.stdin", Terminal(said)), contextlib.redirect_stdout(io.StringIO()) as asked:
                self.assertEqual(qflow.approval("finance"), given)
            self.assertIn("finance", asked.getvalue())

    def test_what_a_node_tells_is_printed_or_ignored(self):
        told = io.StringIO()
        with contextlib.redirect_stderr(told):
            qflow.progress(1, 10)
            qflow.progress(0.4)
            with qflow.span("parse", rows=3):
                qflow.log("parsed", rows=3)
        self.assertEqual(told.getvalue(), "parsed rows=3\n")
        with self.assertRaises(KeyError):
            with qflow.span("parse"):
                raise KeyError("x")
        here = qflow.current()
        self.assertEqual((here.attempt, here.index, here.scheduled_for), (1, None, None))

    def test_a_secret_is_read_from_the_environment(self):
        with mock.patch.dict(os.environ, {"QFLOW_SECRET_OPEN_AI": "s3cret"}):
            self.assertEqual(qflow.secret("open-ai"), "s3cret")
        with self.assertRaisesRegex(KeyError, "QFLOW_SECRET_ABSENT"):
            qflow.secret("absent")

    def test_a_secret_of_a_decorator_is_only_a_mark(self):
        self.assertEqual(eval(compile("secret('absent')", "file.py", "eval"), {"secret": qflow.secret}), "")

    def test_types_of_values_are_written_and_made(self):
        outcome = qflow.Outcome[int]
        self.assertIsNotNone(outcome)
        self.assertIsNotNone(qflow.Pickle[dict])
        with tempfile.TemporaryDirectory() as folder:
            path = qflow.File(folder) / "a.txt"
            path.write_text("a")
            self.assertEqual(qflow.File(str(path)).read_text(), "a")
            self.assertIsInstance(qflow.Folder(folder), pathlib.Path)

    def test_the_stubs_name_what_the_sdk_has(self):
        with open(str(PYTHON / "qflow" / "__init__.pyi")) as stubs:
            tree = ast.parse(stubs.read())
        kinds = (ast.FunctionDef, ast.ClassDef)
        named = {node.name for node in tree.body if isinstance(node, kinds)} | {
            node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        self.assertEqual({name for name in named if not name.startswith("_")}, set(qflow.__all__))
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name == "Current":
                fields = [field.target.id for field in node.body if isinstance(field, ast.AnnAssign)]
                self.assertEqual(fields, list(qflow.Current._names))

    def test_a_schedule_keeps_what_it_is_given(self):
        usual = qflow.cron("0 2 * * *")
        self.assertEqual((usual.tz, usual.into, usual.catch_up), ("UTC", None, "last"))
        self.assertEqual((usual.overlap, usual.jitter), ("allow", None))
        full = qflow.cron("0 2 * * *", "Europe/Berlin", "day", "all", overlap="skip", jitter="5m")
        self.assertEqual((full.tz, full.into, full.catch_up), ("Europe/Berlin", "day", "all"))
        self.assertEqual((full.overlap, full.jitter), ("skip", "5m"))

    def test_a_file_of_nodes_runs_as_a_program(self):
        text = textwrap.dedent(
            '''
            from qflow import cron, map, node, secret, settled, workflow

            @node(python="3.9", retries=2, env={"KEY": secret("absent")})
            async def half(x: int) -> int:
                if x % 2:
                    raise ValueError("odd")
                return x // 2

            @workflow(schedule=cron("0 2 * * *", tz="Europe/Berlin", into="day"))
            def main(day: str = "2026-11-24") -> list:
                return map(settled(half), [4, 5])

            if __name__ == "__main__":
                print([o.value if o.ok else o.error.message for o in main()])
            '''
        )
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "flow.py")
            with open(path, "w") as out:
                out.write(text)
            env = dict(os.environ, PYTHONPATH=str(PYTHON))
            ran = subprocess.run([sys.executable, path], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        self.assertEqual((ran.returncode, ran.stdout), (0, "[2, 'odd']\n"), ran.stderr)


if __name__ == "__main__":
    unittest.main()
