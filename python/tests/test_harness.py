"""The harness, driven from the runner's side of docs/HARNESS.md."""

import contextlib
import json
import os
import signal
import sys
import textwrap
import time
import unittest

from tests.driver import Driver, Heard
from tests.processes import children, state, ticks


FLOW = textwrap.dedent(
    '''
    import asyncio, dataclasses, datetime, decimal, enum, os, subprocess, sys, time, typing, uuid
    import surely_not_installed
    import qflow
    from qflow import node, workflow
    import helper

    class Color(enum.Enum):
        RED = 1

    @dataclasses.dataclass(frozen=True)
    class User:
        name: str
        age: int | None = None

    class Point(typing.NamedTuple):
        x: int
        y: int

    @node(retries=2)
    def same(value: list[int] | None):
        return value

    @node
    def everything():
        return {"a": [1, 2.0, None, True], "$x": 2**60, "t": (1,), "s": {2, 1}, "b": b"hi", "d": decimal.Decimal("1.50"),
                "day": datetime.date(2026, 11, 24), "at": datetime.datetime(2026, 11, 24, 1, 2, 3, 4000), "u": User("A", 3),
                "p": Point(1, 2), "c": Color.RED, "m": {1: "x"}, "n": float("nan"), "z": 1j, "big": bytes(5000),
                "delta": datetime.timedelta(1, 2, 3), "id": uuid.UUID(int=5), "e": "\\udc80"}

    @node
    def types(value):
        return repr(value)

    @node
    def fails():
        raise ValueError("no")

    @node
    def helped():
        return helper.fails()

    @node
    def bare():
        return surely_not_installed.get()

    @node
    def prints():
        print("one"); print("two", file=sys.stderr); qflow.log("three", rows=3)
        subprocess.run(["echo", "four"], check=True)
        sys.stdout.write("five")

    @node
    def flood():
        for _ in range(200000):
            print("x" * 99)

    @node
    def sleeps():
        try:
            time.sleep(30)
        finally:
            print("tidy")

    @node
    def deaf():
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("deaf", flush=True)
        time.sleep(30)

    @node
    def leaks():
        subprocess.Popen(["sleep", "30"], start_new_session=True)
        return 1

    @node
    def quits():
        os._exit(3)

    @node
    def garbage():
        channel = qflow._runtime.channel()
        channel.sock.sendall(b"\\0\\0\\0\\0garbage")
        time.sleep(30)

    @node
    def boasts():
        channel = qflow._runtime.channel()
        words = b'{"type":"took","ms":NaN,"serialized_ms":0,"dropped":0,"converted_ms":{},"peak_memory_bytes":-1,"cpu_seconds":0}'
        channel.sock.sendall((len(words) + 1).to_bytes(4, "big") + b"J" + words)
        time.sleep(30)

    @node
    def opaque():
        return {"a": [1, object()]}

    @node
    def many():
        return list(range(20000))

    @node
    async def later():
        await asyncio.sleep(0)
        return "later"

    @node
    async def waits():
        async def other():
            try:
                await asyncio.sleep(30)
            finally:
                print("other tidy")
        task = asyncio.ensure_future(other())
        try:
            await asyncio.sleep(30)
        finally:
            print("tidy")
        await task

    @node
    def counts():
        qflow.log("parsed", rows=3, ratio=0.5, file=None, path=sys)
        qflow.log("a" * 200000)
        return [qflow.current().deadline is not None, qflow.current().scheduled_for]

    @node
    def reaches():
        import socket
        raise OSError("while it connects") from socket.gaierror(-2, "Name or service not known")

    @node
    def forbidden():
        raise PermissionError(13, "Permission denied")

    @node
    def inside():
        with qflow.span("outer", rows=1):
            with qflow.span("inner"):
                qflow.progress(1, 4)
        return [qflow.current().node_id, qflow.secret("db"), os.environ["QFLOW_SECRET_DB"]]

    @node
    def tells():
        secret = qflow.secret("db")
        half = len(secret) // 2
        for at in (half, 1, len(secret) - 1):
            sys.stdout.write("x" * ((64 << 10) - at) + secret + "y" * 20 + "\\n")
            qflow.log("x" * ((64 << 10) - at) + secret)
        sys.stdout.write("x" * ((64 << 10) - half) + secret[:half + 1])  # what is more than a line goes out
        sys.stdout.write(secret[half + 1 :] + "\\n")
        qflow.log("cut", sql="x" * ((16 << 10) - half) + secret)
        raise ValueError("x" * ((16 << 10) - half) + secret)

    @node
    def writes():
        secret = qflow.secret("db").encode()
        for half in (1, len(secret) // 2, len(secret) - 1):
            os.write(1, b"x" * ((64 << 10) + 9 - half) + secret[:half])
            time.sleep(0.1)
            os.write(1, secret[half:] + b"y" * 20 + b"\\n")

    @node
    def again():
        raise qflow.Retry("later", after="30s")

    @node
    def stop():
        raise qflow.Abort("never")
    '''
)
HELPER = "def fails() -> int | None:\n    raise KeyError('k')\n"


class Harness(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.driver = Driver()
        cls.loaded = cls.driver.load(FLOW, **{"helper.py": HELPER})
        assert cls.loaded["type"] == "loaded", cls.loaded

    @classmethod
    def tearDownClass(cls):
        assert cls.driver.close() == 0

    def run_(self, function, data=None, **options):
        return self.driver.attempt(function, data, **options)

    def test_a_value_comes_back_as_it_went_in(self):
        self.assertEqual(self.run_("same", {"value": [1, "é", None]}).form, [1, "é", None])

    def test_every_kind_of_value_survives_the_way_out_and_in(self):
        out = self.run_("everything")
        self.assertTrue(out.ended["ok"], out.error)
        self.assertEqual(out.form["$$x"], {"$": "int", "v": str(2**60)})
        self.assertEqual(out.form["u"], {"$": "object", "t": "flow.User", "v": {"name": "A", "age": 3}})
        size = out.result["size"]
        data = b'{"value":' + out.result["bytes"][:size] + b"}" + out.result["bytes"][size:]
        back = self.run_("same", data, attachments=out.result["attachments"])
        self.assertEqual(back.form, out.form)
        self.assertIn("User(name='A', age=3)", self.run_("types", data, attachments=out.result["attachments"]).form)

    def test_an_error_shows_the_users_frames_only(self):
        error = self.run_("fails").error
        self.assertEqual((error["error_type"], error["message"]), ("ValueError", "no"))
        self.assertIn('File "flow.py", line', error["traceback"])
        self.assertNotIn("qflow_harness", error["traceback"])
        self.assertEqual(error["mro"][:2], ["ValueError", "Exception"])

    def test_other_files_are_importable_and_told_by_their_name(self):
        self.assertIn('File "helper.py", line 2, in fails', self.run_("helped").error["traceback"])

    def test_a_missing_package_is_told_where_it_is_used(self):
        error = self.run_("bare").error
        self.assertEqual(error["error_type"], "ModuleNotFoundError")
        self.assertEqual(error["message"], "surely_not_installed: add it to requirements of node 'bare'")

    def test_lines_arrive_with_their_stream(self):
        lines = [(line["stream"], line["text"]) for line in self.run_("prints").lines]
        expected = [("stdout", "one"), ("stderr", "two"), ("log", "three rows=3"), ("stdout", "four"), ("stdout", "five")]
        self.assertEqual(sorted(lines), sorted(expected))
        self.assertEqual(lines[:2], expected[:2])

    def test_a_flood_is_cut_and_counted(self):
        ended = self.run_("flood").ended
        self.assertTrue(ended["ok"])
        self.assertEqual(ended["log_lines"] - 1 + ended["log_lines_dropped"], 200000)
        self.assertGreater(ended["log_lines_dropped"], 0)

    def test_a_time_out_lets_finally_run(self):
        heard = self.run_("sleeps", deadline_ms=100)
        self.assertEqual(heard.error["error_type"], "timeout")
        self.assertIn("tidy", heard.texts)

    def test_a_kill_that_is_not_heard_is_followed_by_sigkill(self):
        attempt = self.driver.begin("deaf")
        before = self.driver.until("logs")
        self.driver.say(type="kill", attempt=attempt, grace_ms=50)
        heard = Heard(before + self.driver.until("ended"))
        self.assertEqual((heard.error["error_type"], heard.ended["signal"]), ("cancelled", 9))

    def test_a_process_that_holds_the_pipes_does_not_hold_the_attempt(self):
        heard = self.run_("leaks")
        self.assertEqual(heard.form, 1)
        self.assertLess(heard.ended["user_code_ms"], 10000)

    def test_an_exit_and_garbage_have_names(self):
        quits = self.run_("quits")
        self.assertEqual((quits.error["error_type"], quits.ended["exit_code"]), ("exit", 3))
        self.assertEqual(self.run_("garbage").error["error_type"], "protocol")
        self.assertEqual(self.run_("boasts").error["error_type"], "protocol")
        self.assertEqual(self.run_("same", {"value": None}).form, None)

    def test_a_value_without_a_form_is_told_by_path_and_type(self):
        error = self.run_("opaque").error
        self.assertEqual(error["error_type"], "serialization")
        self.assertIn("result['a'][1]", error["message"])
        self.assertIn("builtins.object", error["message"])

    def test_a_long_list_has_an_offset_table(self):
        result = self.run_("many").result
        data = result["bytes"]
        size = int(data[-20:])
        starts = [int(n) for n in data[size + 1 : -21].split(b",")]
        self.assertEqual((result["items"], len(starts)), (20000, 20000))
        self.assertEqual(data[starts[777] : starts[778] - 1], b"777")

    def test_asks_are_answered(self):
        asks = [[], [{"key": "n"}], [{"key": "x"}, {"index": 0}]]
        answers = self.run_("same", {"value": {"n": 2}}, asks=asks).result["answers"]
        self.assertEqual(answers[0], {"len": 1, "truth": True})
        self.assertEqual(answers[1], {"truth": True, "scalar": {"int": 2}})
        self.assertIn("KeyError", answers[2]["missing"])

    def test_an_async_node_is_awaited(self):
        self.assertEqual(self.run_("later").form, "later")

    def test_a_coroutine_is_cancelled_with_its_tasks(self):
        heard = self.run_("waits", deadline_ms=200)
        self.assertEqual(heard.error["error_type"], "timeout")
        self.assertIn("Cancelled", heard.error["mro"])
        self.assertEqual(sorted(heard.texts), ["other tidy", "tidy"])
        if sys.version_info >= (3, 9):  # before, a cancelled task forgets where it stood
            self.assertIn("in waits", heard.error["traceback"])

    def test_a_line_keeps_its_fields(self):
        heard = self.run_("counts", deadline_ms=10000)
        self.assertEqual(heard.form, [True, None])
        first = heard.lines[0]
        self.assertTrue(first["text"].startswith("parsed rows=3 ratio=0.5 file=None path=<module"), first)
        self.assertEqual({k: v for k, v in first["fields"].items() if k != "path"}, {"rows": 3, "ratio": 0.5, "file": None})
        self.assertEqual("".join(line["text"] for line in heard.lines[1:]), "a" * 200000)

    def test_a_name_that_does_not_resolve_hints_at_the_network(self):
        error = self.run_("reaches").error
        self.assertEqual(error["message"], "while it connects: a node reaches a network only with network=True")
        self.assertTrue(error["traceback"].endswith("only with network=True\n"), error["traceback"])
        self.assertEqual(self.run_("reaches", network=True).error["message"], "while it connects")

    def test_an_address_that_is_kept_from_it_hints_at_who_may_allow_it(self):
        error = self.run_("forbidden", network=True).error
        self.assertTrue(error["message"].endswith("only where the runner's QFLOW_EGRESS_ALLOW lists it"), error["message"])
        self.assertEqual(self.run_("forbidden", network=True, isolated=False).error["message"], "[Errno 13] Permission denied")

    def test_what_a_node_says_joins_the_runs_trace(self):
        heard = self.run_("inside", secrets={"db": "s3"})
        self.assertEqual(heard.form, ["inside", "s3", "s3"])
        inner, outer = [m for m in heard.messages if m["type"] == "span"]
        self.assertEqual((inner["parent_id"], outer["parent_id"]), (outer["span_id"], "2" * 16))
        self.assertEqual([m["fraction"] for m in heard.messages if m["type"] == "progress"], [0.25])

    def test_no_half_of_a_secret_is_where_something_is_cut(self):
        secret = "hunter2-and-something-more"
        heard = self.run_("tells", secrets={"db": secret})
        said = json.dumps([heard.lines, heard.error])
        for end in range(4, len(secret)):
            self.assertNotIn("x" + secret[:end] + '"', said)
        self.assertNotIn(secret[-6:], said)
        self.assertNotIn(secret[:6], said)
        self.assertEqual(sum(line["text"].count("y") for line in heard.lines), 60)
        self.assertTrue(heard.error["message"].endswith("***"), heard.error["message"][-20:])

    def test_nor_where_what_is_written_past_python_is_cut(self):
        secret = "hunter2-and-something-more"
        texts = [line["text"] for line in self.run_("writes", secrets={"db": secret}).lines]
        self.assertEqual(len(texts), 6)
        for begun, rest in zip(texts[::2], texts[1::2]):
            self.assertEqual(set(begun), {"x"})
            self.assertEqual(rest.lstrip("x").replace(secret, "***"), "***" + "y" * 20)

    def test_retry_and_abort_are_told(self):
        self.assertEqual(self.run_("again").error["retry_after_ms"], 30000)
        self.assertTrue(self.run_("stop").error["abort"])

    def test_the_runner_may_come_back_in_the_middle(self):
        self.driver.begin("sleeps", deadline_ms=700)
        self.driver.next()
        self.driver.sock.close()
        self.driver.accept()
        self.assertEqual(self.driver.hello["token"], "t0ken")
        heard = Heard(self.driver.until("ended"))
        self.assertEqual(heard.error["error_type"], "timeout")
        self.assertEqual([m["attempt"] for m in heard.messages if m["type"] == "resumed"], [str(self.driver.count)])

    def test_a_template_without_a_runner_waits_and_burns_no_processor(self):
        self.driver.attempt("same", {"value": 1})
        (template, *_) = children(self.driver.process.pid)
        self.driver.sock.close()
        begun = ticks(template)
        time.sleep(0.5)  # what is looked at is what it burns in half a second
        burnt = ticks(template) - begun
        self.driver.accept()
        self.assertLess(burnt, 10)
        self.assertEqual(self.driver.attempt("same", {"value": 2}).form, 2)

    def test_a_process_forked_ahead_that_dies_is_replaced(self):
        (template, *_) = children(self.driver.process.pid)
        for _ in range(2):
            self.driver.attempt("same", {"value": 1})
            for pid in children(template):
                with contextlib.suppress(ProcessLookupError):  # the attempt's own process may leave before it is asked to
                    os.kill(pid, signal.SIGKILL)
                while state(pid) not in "ZX":
                    time.sleep(0.001)  # a signal is sent at once and takes effect when its process is next run
            self.assertEqual(self.driver.attempt("same", {"value": 2}).form, 2)


if __name__ == "__main__":
    unittest.main()
