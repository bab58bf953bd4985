"""Placeholders for packages that an environment lacks: named in types, told wherever they are used."""

import textwrap
import unittest

from tests.driver import Driver

FLOW = textwrap.dedent(
    '''
    import types, typing
    from surely_not_installed import __version__, pi, norm, Problem, Frame
    Frames = typing.Optional[typing.List[Frame]]

    USES = [
        lambda: f"{__version__}", lambda: "%s" % pi, lambda: str(pi), lambda: repr(pi), lambda: pi == 3, lambda: pi != 3, lambda: 3 > pi,
        lambda: 2 * pi, lambda: pi + 1, lambda: -pi, lambda: pi in [3, 4], lambda: 3 in pi, lambda: {pi: 1}, lambda: isinstance(3, norm),
        lambda: issubclass(int, norm), lambda: bool(pi), lambda: int(pi), lambda: float(pi), lambda: list(pi), lambda: pi[0], lambda: pi.x,
        lambda: setattr(pi, "x", 1), lambda: round(pi), lambda: [1][pi], lambda: open(pi), lambda: pi(), lambda: types.new_class("C", (norm,)),
        lambda: pi,
    ]

    def use(n):
        return USES[n]()

    def uses():
        return len(USES)

    def catches(both):
        try:
            raise ValueError("x")
        except (KeyError, Problem) if both else Problem:
            return "?"
        except ValueError:
            return "not asked for"

    def catches_one():
        try:
            raise ValueError("x")
        except Problem:
            return "?"

    def catches_first():
        try:
            raise ValueError("x")
        except ValueError:
            return "caught"
        except Problem:
            return "?"

    def raises():
        raise Problem
    '''
)


class Placeholders(unittest.TestCase):
    def driven(self, text, **options):
        driver = Driver()
        self.addCleanup(driver.close)
        return driver, driver.load(text, **options)

    def test_every_use_of_a_placeholder_names_its_remedy(self):
        driver, said = self.driven(FLOW)
        self.assertEqual(said["type"], "loaded", said)
        for number in range(driver.attempt("uses").form):
            heard = driver.attempt("use", {"n": number})
            told = heard.error and (heard.error["error_type"], heard.error["message"])
            self.assertEqual(told, ("ModuleNotFoundError", "surely_not_installed: add it to requirements of node 'use'"), number)
        for function in ("catches_one", "raises"):
            heard = driver.attempt(function)
            self.assertEqual(heard.error["message"], "surely_not_installed: add it to requirements of node '%s'" % function)
        self.assertEqual(driver.attempt("catches_first").form, "caught")

    def test_what_star_would_bind_is_told_at_the_import(self):
        _, said = self.driven("from surely_not_installed import *\n", function="count")
        self.assertIn("surely_not_installed: add it to requirements of node 'count'", said["error"]["message"])


if __name__ == "__main__":
    unittest.main()
