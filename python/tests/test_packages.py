"""Submissions of several files."""

import unittest

from tests.driver import Driver


class Packages(unittest.TestCase):
    """A submission of several files, with a package of its own."""

    def test_a_node_in_a_package_is_imported_by_the_name_that_others_import_it_by(self):
        driver = Driver()
        self.addCleanup(driver.close)
        files = {
            "app/main.py": "from pkg.steps import Row, give\n",
            "app/pkg/__init__.py": "",
            "app/pkg/steps.py": "import dataclasses\nfrom .helper import name\n\n"
            "@dataclasses.dataclass\nclass Row:\n    a: int\n\ndef give() -> Row:\n    return Row(len(name))\n\n"
            "def check(row: Row) -> list:\n    return [type(row) is Row, Row.__module__]\n",
            "app/pkg/helper.py": "name = 'x'\n",
        }
        text = files.pop("app/pkg/steps.py")
        said = driver.load(text, "app/pkg/steps.py", entry="app/main.py", **files)
        self.assertEqual(said["type"], "loaded", said)
        form = driver.attempt("give").form
        self.assertEqual(form, {"$": "object", "t": "pkg.steps.Row", "v": {"a": 1}})
        self.assertEqual(driver.attempt("check", {"row": form}).form, [True, "pkg.steps"])
        # As the static reader names it: by its path from the root.
        form["t"] = "app.pkg.steps.Row"
        self.assertEqual(driver.attempt("check", {"row": form}).form, [True, "pkg.steps"])


if __name__ == "__main__":
    unittest.main()
