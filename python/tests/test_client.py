"""The client against a server's double: what it asks, what it tries again, what it tells of what went wrong."""

import io
import os
import pathlib
import socket
import tarfile
import tempfile
import threading
import unittest
from unittest import mock

from qflow import File, Folder, client
from qflow.client import Client, QflowError, RunFailed

from tests.double import Double, Reply, events, problem

FLOW = "from qflow import node, workflow\n"


def run(status, **more):
    return dict({"run_id": "r1", "status": status, "result": None, "error": None, "trace_id": "t1", "nodes": []}, **more)


def started(**more):
    return Reply(201, dict({"run_id": "r1", "created": True, "trace_id": "t1", "warnings": []}, **more))


class Base(unittest.TestCase):
    def setUp(self):
        self.double = self.enter(Double())
        self.folder = pathlib.Path(self.enter(tempfile.TemporaryDirectory()))
        self.file = self.folder / "flow.py"
        self.file.write_text(FLOW)
        self.client, self.pauses = self.at(self.double.url)

    def enter(self, manager):
        value = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return value

    def at(self, url):
        """A client to which no time passes, and how long it would have waited."""
        at, pauses = Client(url, "secret"), []
        at._wire.pause, at._wire.chance = pauses.append, lambda: 1.0
        return at, pauses

    def refused(self, kind, call, *args, **kwargs):
        with self.assertRaises(kind) as caught:
            call(*args, **kwargs)
        return caught.exception


class Runs(Base):
    def test_a_run_is_started_followed_to_its_end_and_its_result_returned(self):
        done = run("completed", result={"n": 2**60 + 1, "x": 0.1})
        self.double.on("POST /runs", started())
        self.double.on("GET /runs/r1/events", events(("run", 0, run("running")), ("end", 1, done)))
        self.double.on("GET /runs/r1", Reply(200, done))
        self.assertEqual(self.client.run(self.file, "daily", day="2026-11-23"), {"n": 2**60 + 1, "x": 0.1})
        start = self.double.asked[0]
        self.assertEqual(start.headers["Authorization"], "Bearer secret")
        sent = start.json()
        self.assertEqual(sent["source"], {"entry": "flow.py", "files": {"flow.py": FLOW}})
        self.assertEqual((sent["workflow"], sent["parameters"], sent["uploads"]), ("daily", {"day": "2026-11-23"}, {}))
        self.assertEqual(self.double.told(), ["POST /runs", "GET /runs/r1/events", "GET /runs/r1"])

    def test_a_run_that_fails_raises_its_traceback(self):
        failure = {"class": "user", "error_type": "KeyError", "message": "'x'", "traceback": "Traceback …\nKeyError: 'x'\n"}
        failed = run("failed", error={"node_id": "fetch", "failure": failure})
        self.double.on("POST /runs", started())
        self.double.on("GET /runs/r1/events", events(("end", 0, failed)))
        self.double.on("GET /runs/r1", Reply(200, failed))
        error = self.refused(RunFailed, self.client.run, self.file)
        self.assertEqual((error.status, error.run_id, error.trace_id, error.error["node_id"]), ("failed", "r1", "t1", "fetch"))
        self.assertEqual(str(error), "run r1 failed in fetch: KeyError:\nTraceback …\nKeyError: 'x'")
        self.assertEqual(str(RunFailed(run("cancelled"))), "run r1 cancelled")

    def test_an_interrupt_cancels_the_run(self):
        self.double.on("POST /runs", started())
        self.double.on("POST /runs/r1/cancel", Reply(200, run("cancelled")))
        with mock.patch.object(Client, "wait", side_effect=KeyboardInterrupt):
            self.refused(KeyboardInterrupt, self.client.run, self.file)
        self.assertEqual(self.double.told(), ["POST /runs", "POST /runs/r1/cancel"])

    def test_a_result_that_is_too_large_to_be_shown_is_fetched(self):
        done = run("completed", reason="the result has 40000 bytes")
        self.double.on("POST /runs", started())
        self.double.on("GET /runs/r1/events", events(("end", 0, done)))
        self.double.on("GET /runs/r1", Reply(200, done))
        self.double.on("GET /runs/r1/result", Reply(200, [1, 2], {"Qflow-Kind": "json"}))
        self.assertEqual(self.client.run(self.file), [1, 2])

    def test_files_and_folders_are_uploaded_and_referred_to(self):
        (self.folder / "in").mkdir()
        (self.folder / "in" / "a.csv").write_text("a\n")
        self.double.on("POST /uploads", Reply(201, {"digest": "d", "size": 2}))
        self.double.on("POST /runs", started())
        given = {"rows": self.folder / "in" / "a.csv", "parts": Folder(self.folder / "in"), "name": self.folder / "absent"}
        self.client.start(self.file, parameters=given)
        sent = self.double.asked[-1].json()
        self.assertEqual(sent["uploads"]["rows"], {"digest": "d", "size": 2, "kind": "file", "name": "a.csv"})
        self.assertEqual(sent["uploads"]["parts"]["kind"], "folder")
        self.assertEqual(sent["parameters"], {"name": str(self.folder / "absent")})
        self.assertEqual(self.double.asked[0].body, b"a\n")
        with tarfile.open(fileobj=io.BytesIO(self.double.asked[1].body)) as archive:
            self.assertEqual([(member.name, member.mode, member.mtime) for member in archive], [("a.csv", 0o644, 0)])
        self.double.on("POST /uploads", problem(503, "unavailable"), Reply(201, {"digest": "d", "size": 2}))
        self.assertEqual(self.client.upload(self.folder / "in" / "a.csv")["size"], 2)
        self.assertEqual(self.double.asked[-1].body, b"a\n", "all of it goes again")
        (self.folder / "in" / "link").symlink_to("a.csv")
        for name in ("absent", "in"):
            error = self.refused(QflowError, self.client.start, self.file, parameters={"x": File(self.folder / name)})
            self.assertEqual(error.code, "invalid_content")

    def test_lists_are_asked_for_page_by_page(self):
        self.double.on("GET /runs", Reply(200, {"runs": [1, 2], "next": "a b"}), Reply(200, {"runs": [3], "next": None}))
        self.assertEqual(list(self.client.runs(status="failed")), [1, 2, 3])
        self.assertEqual(self.double.told(), ["GET /runs?status=failed", "GET /runs?status=failed&cursor=a+b"])

    def test_what_is_done_to_a_run_goes_to_its_route(self):
        calls = [("cancel", {}), ("pause", {}), ("retry", {}), ("resume", {"retry": ["a"]}), ("approve", {"comment": "fine"})]
        for name, given in calls:
            self.double.on("POST /runs/r1/%s" % name, Reply(200, run("running")))
            self.assertEqual(getattr(self.client, name)("r1", **given)["run_id"], "r1")
        bodies = [asked.body and asked.json() for asked in self.double.asked]
        approve = {"approved": True, "node": "", "comment": "fine"}
        self.assertEqual(bodies, [b"", b"", b"", {"retry": ["a"], "fail": []}, approve])


class Errors(Base):
    def test_each_problem_is_shown_with_its_place_and_remedy(self):
        wrong = {"place": {"file": "flow.py", "line": 3, "column": 5}, "message": "no loops", "remedy": "write map(fn, xs)"}
        told = {"problems": [wrong, dict(wrong, remedy=None, warning=True)], "parameters": [{"message": "no `day`"}], "trace_id": "t9"}
        self.double.on("POST /runs", problem(422, "invalid_argument", "nothing was started", told=told))
        error = self.refused(QflowError, self.client.start, self.file)
        self.assertEqual((error.code, error.status, error.trace_id, len(error.problems)), ("invalid_argument", 422, "t9", 2))
        self.assertEqual(
            str(error).splitlines(),
            ["nothing was started", "no `day`", "flow.py:3:5: no loops: write map(fn, xs)", "flow.py:3:5: warning: no loops", "trace t9"],
        )
        self.assertEqual((self.pauses, error.retryable), ([], False))

    def test_what_answers_without_problem_details_is_told_by_its_status(self):
        self.double.on("GET /runs/r1", Reply(405, b"<html>"))
        error = self.refused(QflowError, self.client.get, "r1")
        self.assertEqual((str(error), error.code), ("the server answers 405 Method Not Allowed", "http_405"))
        self.double.on("GET /runs/r1", Reply(200, b"<html>"))
        self.assertIn("is it Qflow's address?", str(self.refused(QflowError, self.client.get, "r1")))
        self.double.on("GET /runs/r1", problem(401, "unauthenticated"))
        self.assertIn("QFLOW_TOKEN", str(self.refused(QflowError, self.client.get, "r1")))

    def test_what_is_busy_is_asked_again_as_late_as_it_says(self):
        self.double.on("GET /runs/r1", problem(503, "unavailable", **{"Retry-After": "7"}), problem(429, "x"), Reply(200, run("running")))
        self.assertEqual(self.client.get("r1")["status"], "running")
        self.assertEqual(self.pauses, [7.0, 0.5])
        self.double.on("GET /runs/r2", problem(503, "unavailable", "the store is away"))
        self.assertEqual(self.refused(QflowError, self.client.get, "r2").detail, "the store is away")
        self.assertEqual(self.double.told().count("GET /runs/r2"), 6)
        self.double.on("GET /runs/r3", problem(503, "unavailable", **{"Retry-After": "3600"}))
        self.refused(QflowError, self.client.get, "r3")
        self.assertEqual(self.double.told().count("GET /runs/r3"), 1)

    def test_a_start_that_is_tried_again_has_the_same_key(self):
        self.double.on("POST /runs", problem(503, "unavailable"), None, started())
        self.client.start(self.file)
        keys = [asked.headers["Idempotency-Key"] for asked in self.double.asked]
        self.assertEqual((len(keys), len(set(keys))), (3, 1))
        self.client.start(self.file, idempotency_key="mine")
        self.client.start(self.file)
        more = [asked.headers["Idempotency-Key"] for asked in self.double.asked[3:]]
        self.assertTrue(more[0] == "mine" and more[1] not in keys, more)
        for odd in ("", "ä", "a\nb"):
            self.refused(ValueError, self.client.start, self.file, idempotency_key=odd)

    def test_what_is_not_the_same_twice_is_asked_once(self):
        for name in ("retry", "resume"):
            self.double.on("POST /runs/r1/%s" % name, problem(503, "unavailable"))
            self.refused(QflowError, getattr(self.client, name), "r1")
        self.assertEqual(self.double.told(), ["POST /runs/r1/retry", "POST /runs/r1/resume"])

    def test_where_nothing_answers_it_says_how_a_server_is_started(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            nobody, pauses = self.at("127.0.0.1:%d" % free.getsockname()[1])
            error = self.refused(QflowError, nobody.get, "r1")
        self.assertEqual((error.code, pauses), ("unreachable", []))
        self.assertIn("start one with `qflow dev`", str(error))
        self.refused(ValueError, Client, "ftp://x")
        self.refused(ValueError, Client, "http://x", "a\nb")


class Follows(Base):
    def test_a_stream_that_breaks_is_taken_up_again(self):
        first = events(("run", 0, run("running")), breaks=True)
        self.double.on("GET /runs/r1/events", first, None, events(("run", 0, run("running")), ("end", 1, run("failed"))))
        self.double.on("GET /runs/r1", Reply(200, run("running")), Reply(200, run("running")), Reply(200, run("failed")))
        self.assertEqual(self.client.wait("r1")["status"], "failed")
        self.assertEqual(self.double.told().count("GET /runs/r1/events"), 3)

    def test_where_no_events_get_through_the_run_is_looked_at(self):
        self.double.on("GET /runs/r1/events", Reply(200, b"<html>", {"Content-Type": "text/html"}))
        self.double.on("GET /runs/r1", *[Reply(200, run("running"))] * 6, Reply(200, run("completed")))
        self.assertEqual(self.client.wait("r1")["status"], "completed")
        self.assertEqual(self.double.told().count("GET /runs/r1/events"), 3)
        self.assertEqual(self.pauses[-3:], [5.0] * 3)

    def test_a_server_that_stays_away_is_not_waited_for_without_end(self):
        self.double.on("GET /runs/r1/events", None)
        self.double.on("GET /runs/r1", None)
        self.assertEqual(self.refused(QflowError, self.client.wait, "r1").code, "broken")
        self.assertEqual((len(self.pauses), self.pauses[-1]), (10, 8.0))
        self.double.on("GET /runs/r2/events", problem(403, "permission_denied"))
        self.assertEqual(self.refused(QflowError, self.client.wait, "r2").code, "permission_denied")

    def test_who_waits_for_so_long_only_is_told_that_the_run_goes_on(self):
        hold = threading.Event()
        self.addCleanup(hold.set)
        self.double.on("GET /runs/r1/events", events(("run", 0, run("running")), hold=hold))
        error = self.refused(TimeoutError, self.client.wait, "r1", timeout=0.05)
        self.assertEqual(str(error), "run r1 has not ended within 0.05 s; it goes on")

    def test_a_problem_on_a_stream_is_an_error(self):
        told = {"status": 500, "code": "internal", "detail": "it cannot be read"}
        self.double.on("GET /runs/r1/events", events(("problem", 0, told)))
        self.assertEqual(str(self.refused(QflowError, self.client.wait, "r1")), "it cannot be read")

    def test_each_line_is_told_once_however_often_the_stream_breaks(self):
        def line(node, sequence, attempt=1):
            ident = "%s@%d:%d" % (node, attempt, sequence)
            return ("line", ident, {"node_id": node, "attempt": attempt, "sequence": sequence, "text": ident})

        a, b = [line("a", at) for at in range(3)], [line("b[0]", at) for at in range(2)]
        self.double.on(
            "GET /runs/r1/logs",
            events(a[0], b[0], a[1], breaks=True),
            events(b[0], b[1], a[2], breaks=True),
            events(a[0], a[1], b[0], b[1], line("a", 0, attempt=2)),
        )
        self.double.on("GET /runs/r1", Reply(200, run("completed")))
        told = [line["text"] for line in self.client.logs("r1", follow=True)]
        self.assertEqual(told, ["a@1:0", "b[0]@1:0", "a@1:1", "b[0]@1:1", "a@1:2", "a@2:0"])
        asked = [asked for asked in self.double.asked if asked.path.endswith("?follow=true")]
        self.assertEqual([one.headers.get("Last-Event-ID") for one in asked], [None, "a@1:1", "a@1:2"])

    def test_lines_that_were_missing_are_told_when_they_come(self):
        def line(sequence, stream="stdout"):
            return ("line", "a@1:%d" % sequence, {"node_id": "a", "attempt": 1, "sequence": sequence, "stream": stream, "text": stream})

        gap = line(1, "gap")
        self.double.on(
            "GET /runs/r1/logs",
            events(line(0), gap, line(4), line(2), line(2), breaks=True),
            events(line(0), gap, line(4), line(5), line(1), line(3)),
        )
        self.double.on("GET /runs/r1", Reply(200, run("completed")))
        told = [(line["sequence"], line["stream"]) for line in self.client.logs("r1", follow=True)]
        self.assertEqual(told, [(0, "stdout"), (1, "gap")] + [(at, "stdout") for at in (4, 2, 5, 1, 3)])
        self.assertNotIn("Last-Event-ID", self.double.asked[1].headers, "whoever names a line is not told those before it")

    def test_a_run_that_is_silent_for_long_is_listened_to(self):
        silent, line = [events(breaks=True), events()] * 8, {"node_id": "a", "attempt": 1, "sequence": 0, "text": "at last"}
        self.double.on("GET /runs/r1/logs", *silent, events(("line", "a@1:0", line)))
        self.double.on("GET /runs/r1", *[Reply(200, run("running"))] * 16, Reply(200, run("completed")))
        self.assertEqual([line["text"] for line in self.client.logs("r1", follow=True)], ["at last"])

    def test_lines_that_never_come_whole_are_not_asked_for_without_end(self):
        self.double.on("GET /runs/r1", Reply(200, run("completed")))
        for reply in (Reply(200, {"lines": []}), events(breaks=True)):
            self.double.on("GET /runs/r1/logs", reply)
            self.assertEqual(self.refused(QflowError, list, self.client.logs("r1", follow=True)).code, "broken")

    def test_lines_so_far_come_in_one_answer(self):
        self.double.on("GET /runs/r1/logs", Reply(200, {"lines": [{"text": "x"}]}))
        self.assertEqual(list(self.client.logs("r1", "a[0]")), [{"text": "x"}])
        self.assertEqual(self.double.told(), ["GET /runs/r1/logs?node=a%5B0%5D"])


class Contents(Base):
    def archive(self, *names):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = 3
                archive.addfile(info, io.BytesIO(b"abc"))
        return Reply(200, out.getvalue(), {"Qflow-Kind": "folder"})

    def test_content_is_written_once_it_is_whole(self):
        whole = Reply(200, b"x" * 100000, {"Qflow-Kind": "file"})
        broken = Reply(200, b"x" * 100000, {"Qflow-Kind": "file"}, breaks=True)
        self.double.on("GET /runs/r1/result", broken)
        to = self.folder / "out.bin"
        self.assertEqual(self.refused(QflowError, self.client.download, "r1", to).code, "broken")
        self.assertEqual(os.listdir(str(self.folder)), ["flow.py"])
        self.double.on("GET /runs/r1/result", broken, whole)
        self.assertEqual(self.client.download("r1", to, node="a", content=2).read_bytes(), b"x" * 100000)
        self.assertEqual(self.double.told()[-1], "GET /runs/r1/result?node=a&content=2")
        self.refused(FileExistsError, self.client.download, "r1", to)
        self.client.download("r1", to, replace=True)
        self.assertEqual(self.client.result("r1"), {"attachment": "file", "index": 0})

    def test_a_folder_is_unpacked_and_nothing_beside_it(self):
        self.double.on("GET /runs/r1/result", self.archive("a/b", "c"))
        to = self.client.download("r1", self.folder / "out")
        self.assertEqual(sorted(str(path.relative_to(to)) for path in to.rglob("*")), ["a", "a/b", "c"])
        self.refused(FileExistsError, self.client.download, "r1", to)
        for name in ("../x", "/tmp/x", "a/../../x"):
            self.double.on("GET /runs/r1/result", self.archive(name))
            self.refused(QflowError, self.client.download, "r1", self.folder / "bad")
        self.assertEqual(sorted(os.listdir(str(self.folder))), ["flow.py", "out"])

    def test_an_upload_that_is_refused_says_why(self):
        self.double.on("POST /uploads", problem(413, "too_large", "too much"))
        self.assertEqual(str(self.refused(QflowError, self.client.upload, self.file)), "too much")


class Finds(Base):
    def find(self, url=None, token=None, **environment):
        return client._server.find(url, token, dict({"QFLOW_DATA_DIR": str(self.folder)}, **environment))

    def test_the_data_directorys_server_is_found_with_its_token(self):
        self.assertIn("start one with `qflow dev`", str(self.refused(QflowError, self.find)))
        (self.folder / "token").write_text("own\n")
        (self.folder / "server.json").write_text('{"pid": %d, "http": "http://127.0.0.1:1/"}' % os.getpid())
        self.assertEqual(self.find(), ("http://127.0.0.1:1", "own"))
        self.assertEqual(self.find(QFLOW_TOKEN="t"), ("http://127.0.0.1:1", "t"))
        self.assertEqual(self.find(QFLOW_TOKEN_FILE=str(self.folder / "token")), ("http://127.0.0.1:1", "own"))
        self.refused(QflowError, self.find, QFLOW_TOKEN_FILE=str(self.folder / "absent"))
        self.assertEqual(self.find("localhost:2"), ("http://localhost:2", "own"))
        self.assertEqual(self.find(QFLOW_SERVER="https://there/"), ("https://there", None), "no other machine is shown it")
        self.assertEqual(self.find("http://there", "given", QFLOW_SERVER="x", QFLOW_TOKEN="y"), ("http://there", "given"))
        (self.folder / "server.json").write_text('{"pid": 2147483647, "http": "http://127.0.0.1:1"}')
        self.refused(QflowError, self.find)

    def test_the_data_directory_is_where_the_program_has_it(self):
        home = pathlib.Path("~/.local/share/qflow").expanduser()
        for environment, folder in [({}, home), ({"XDG_DATA_HOME": "/x"}, "/x/qflow"), ({"XDG_DATA_HOME": "x"}, home)]:
            self.assertEqual(client._server.data_dir(environment), pathlib.Path(folder))
