"""What user code says of itself never fails its attempt: odd texts, large ones, and classes that cannot be written."""

import textwrap
import unittest

from tests.driver import Loaded

FLOW = textwrap.dedent(
    '''
    import qflow
    from qflow import node

    class Odd:
        def __str__(self):
            raise KeyError("detail")
        __repr__ = __str__
        __float__ = __str__

    class Broken(Exception):
        def __str__(self):
            return self.args[0]["detail"]

    class NoText(Exception):
        def __str__(self):
            return None

    class Mute(qflow.Retry):
        def __init__(self):
            pass

    @node
    def odd_names():
        qflow.log("seen caf\\udce9", **{"caf\\udce9": "caf\\udce9.csv"})
        with qflow.span("caf\\udce9", name_of_file="caf\\udce9.csv"):
            pass

    @node
    def huge():
        qflow.log("q", sql="\\U0001f600" * 2000000, **{"k%d" % n: n for n in range(1000)})
        with qflow.span("s" * 6000000, sql="select 1 " * 600000):
            pass
        for _ in range(200):
            qflow.log("many", text="\\U0001f600" * 16000)

    @node
    def unwritable():
        qflow.log(Odd(), x=Odd(), n=10**5000, m=10**400)
        qflow.progress(Odd())
        qflow.progress("half")
        try:
            with qflow.span(Odd(), x=Odd()):
                raise Broken({})
        except Broken:
            pass

    @node
    def broken():
        raise Broken({"error": "no"})

    @node
    def broken_cause():
        raise ValueError("outer") from Broken({})

    @node
    def no_text():
        raise NoText()

    @node
    def mute():
        raise Mute()
    '''
)


class Saying(Loaded, unittest.TestCase):
    flow = FLOW

    def heard(self, function):
        heard = self.driver.attempt(function)
        self.assertTrue(heard.ended["ok"], heard.error)
        return heard

    def test_names_that_are_not_utf_8_are_cleaned(self):
        heard = self.heard("odd_names")
        self.assertEqual(heard.lines[0]["fields"], {"caf?": "caf?.csv"})
        (span,) = [m for m in heard.messages if m["type"] == "span"]
        self.assertEqual((span["name"], span["attributes"]), ("caf?", {"name_of_file": "caf?.csv"}))

    def test_what_is_too_large_is_cut_with_a_warning(self):
        heard = self.heard("huge")
        fields = heard.lines[0]["fields"]
        self.assertEqual((len(fields), len(fields["sql"])), (64, 16 << 10))
        (span,) = [m for m in heard.messages if m["type"] == "span"]
        self.assertEqual((len(span["name"]), len(span["attributes"]["sql"])), (1 << 10, 16 << 10))
        self.assertEqual([w.partition(":")[0] for w in heard.ended["warnings"]], ["qflow.log", "qflow.span"])

    def test_what_cannot_be_written_says_so(self):
        heard = self.heard("unwritable")
        self.assertEqual(heard.lines[0]["fields"]["x"], "<Odd: its str() raised KeyError>")
        self.assertEqual(heard.lines[0]["fields"]["m"], str(10**400))
        (span,) = [m for m in heard.messages if m["type"] == "span"]
        self.assertEqual(span["error"], "Broken: <Broken: its str() raised KeyError>")
        self.assertEqual([w.partition("(")[0] for w in heard.ended["warnings"]], ["qflow.progress"] * 2)

    def test_an_exception_whose_text_fails_is_an_ordinary_failure(self):
        error = self.driver.attempt("broken").error
        told = (error["error_type"], error["message"], error["mro"][:2])
        self.assertEqual(told, ("Broken", "<no message: the __str__ of Broken raised KeyError>", ["Broken", "Exception"]))
        self.assertIn("in broken", error["traceback"])
        self.assertEqual(self.driver.attempt("broken_cause").error["message"], "outer")
        self.assertEqual(self.driver.attempt("no_text").error["error_type"], "NoText")
        self.assertEqual(self.driver.attempt("mute").error["error_type"], "Mute")


if __name__ == "__main__":
    unittest.main()
