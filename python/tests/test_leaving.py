"""What happens while the process of an attempt that is over still leaves."""

import os
import textwrap
import unittest

from tests.driver import Heard, Loaded

FLOW = textwrap.dedent(
    """
    import json, os, subprocess, sys, time
    import qflow
    from qflow import node

    @node
    def same(value):
        return value

    @node
    def lasts():
        time.sleep(0.3)

    @node
    def leaves_slowly():
        global kept
        kept = bytearray(b"x") * (384 << 20)

    @node
    def babbles():
        subprocess.Popen(["yes"])
        return 1

    def name_of(pid):
        try:
            with open("/proc/%s/comm" % pid) as comm:
                return comm.read().strip()
        except OSError:
            return ""

    @node
    def babblers():
        return [pid for pid in os.listdir("/proc") if pid.isdigit() and name_of(pid) == "yes"]

    @node
    def boasts(others):
        if others:
            subprocess.Popen(["sleep", "300"], start_new_session=True)
        message = {"type": "took", "ms": 1, "serialized_ms": 0, "dropped": 0, "converted_ms": {}, "cpu_seconds": 1e9}
        message["peak_memory_bytes"] = 1 << 52
        result = {"type": "result", "size": 1, "items": None, "answers": [], "attachments": []}
        for kind, body in ((b"J", json.dumps(message).encode()), (b"J", json.dumps(result).encode()), (b"B", b"1")):
            qflow._runtime.channel().sock.sendall((len(body) + 1).to_bytes(4, "big") + kind + body)
        time.sleep(30)

    @node
    def weighs():
        subprocess.run([sys.executable, "-c", "bytearray(96 << 20)"], check=True)
    """
)


class Leaving(Loaded, unittest.TestCase):
    flow = FLOW

    def run_(self, function, data=None):
        return self.driver.attempt(function, data)

    def test_what_still_writes_does_not_hold_the_attempt_and_is_gone_before_the_next(self):
        self.assertEqual(self.run_("babbles").form, 1)
        self.assertEqual(self.run_("babblers").form, [])

    def test_the_peak_of_memory_is_also_that_of_programs_that_were_waited_for(self):
        self.assertGreater(self.run_("weighs").ended["peak_memory_bytes"], 96 << 20)
        self.assertLess(self.run_("same", {"value": None}).ended["peak_memory_bytes"], 96 << 20)

    def test_nobody_used_more_than_there_was(self):
        ended = self.run_("boasts", {"others": False}).ended
        self.assertLess(ended["cpu_seconds"], 60 * (os.cpu_count() or 1))
        self.assertLessEqual(ended["peak_memory_bytes"], os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        self.assertEqual(self.run_("same", {"value": 3}).form, 3, "it is ended, though it goes on")
        self.assertTrue(self.run_("boasts", {"others": True}).ended["ok"], "and what it started")

    def test_an_attempt_that_waits_can_be_cancelled(self):
        self.assertTrue(self.run_("leaves_slowly").ended["ok"])
        waiting = self.driver.begin("same", b'{"value":null}')
        self.driver.say(type="kill", attempt=waiting, grace_ms=5000)
        heard = Heard(self.driver.until("ended"))
        self.assertEqual([m["type"] for m in heard.messages], ["ended"], "it has not begun")
        self.assertEqual((heard.ended["attempt"], heard.error["error_type"]), (waiting, "cancelled"))
        self.assertEqual(self.run_("same", {"value": 2}).form, 2)

    def test_an_attempt_that_waits_is_named_to_the_next_runner(self):
        self.assertTrue(self.run_("leaves_slowly").ended["ok"])
        waiting = self.driver.begin("lasts")
        self.driver.sock.close()
        self.driver.accept()
        self.assertEqual(self.driver.until("resumed")[-1]["attempt"], waiting)
        self.assertTrue(Heard(self.driver.until("ended")).ended["ok"])
