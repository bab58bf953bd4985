"""How files are imported: in the harness, and as plain Python."""

import textwrap
import unittest

from tests.driver import Driver


class Loading(unittest.TestCase):
    def driven(self):
        driver = Driver()
        self.addCleanup(driver.close)
        return driver

    def test_a_file_that_does_not_import_is_told_and_another_may_follow(self):
        driver = self.driven()
        said = driver.load("1 / 0\n")
        self.assertEqual((said["type"], said["error"]["error_type"]), ("load_failed", "ZeroDivisionError"))
        self.assertEqual(driver.load("def f():\n    return 7\n", "other.py")["type"], "loaded")
        self.assertEqual(driver.attempt("f").form, 7)

    def test_a_missing_package_that_an_import_uses_names_the_node_it_is_imported_for(self):
        text = "import surely_not_installed\n\nLIMIT = surely_not_installed.LIMIT\n\ndef count():\n    return LIMIT\n"
        error = self.driven().load(text, function="count")["error"]
        said = "surely_not_installed: add it to requirements of node 'count', or use it inside the nodes that have it: "
        self.assertEqual(error["message"], said + "it is used while the file is imported, for every node of it")
        self.assertIn('File "flow.py", line 3', error["traceback"])

    def test_an_import_inside_try_is_left_alone(self):
        driver = self.driven()
        text = "try:\n    import surely_not_installed\nexcept ImportError:\n    surely_not_installed = None\n\n"
        driver.load(text + "def found():\n    return surely_not_installed\n")
        self.assertIsNone(driver.attempt("found").form)

    def test_a_file_is_one_module_under_all_of_its_names(self):
        driver = self.driven()
        files = {
            "src/shop/__init__.py": "LOADED = []\n",
            "src/shop/types.py": "import shop\nshop.LOADED.append(__name__)\nclass Row: pass\n",
            "src/shop/other.py": "import src.shop.types\nfrom src.shop.types import Row\ndef row():\n    return Row()\n",
            "flows/daily.py": "",
        }
        text = """
            import importlib
            import shop.types
            from . import LOADED
            from .types import Row
            from shop.other import row
            def same():
                before = [isinstance(row(), Row), shop.types.Row is Row, LOADED, __package__]
                return before + [importlib.reload(shop.types).Row is Row, len(LOADED)]
        """
        driver.load(textwrap.dedent(text), "src/shop/prices.py", "flows/daily.py", **files)
        self.assertEqual(driver.attempt("same").form, [True, True, ["shop.types", "shop.types"], "shop", False, 2])

    def test_what_a_file_prints_comes_before_what_its_first_attempt_prints(self):
        driver = self.driven()
        said = driver.load("print('at import')\ndef f():\n    print('in f')\n")
        self.assertEqual([(line["sequence"], line["text"]) for line in said["lines"]], [(0, "at import")])
        self.assertEqual([(line["sequence"], line["text"]) for line in driver.attempt("f").lines], [(1, "in f")])
        self.assertEqual([line["sequence"] for line in driver.attempt("f").lines], [0])
        said = driver.load("print('whole'); print('part', end='')\n1 / 0\n", "other.py")
        self.assertEqual([line["text"] for line in said["lines"]], ["whole", "part"])

    def test_a_module_with_threads_is_imported_afresh_for_each_attempt(self):
        driver = self.driven()
        text = "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()\ndef f():\n    return 7\n"
        self.assertTrue(driver.load(text)["threads"])
        self.assertEqual(driver.attempt("f").form, 7)


class PlainPython(unittest.TestCase):
    def test_decorators_leave_functions_as_they_are(self):
        import qflow

        @qflow.node
        def double(x, by=2):
            return x * by

        @qflow.workflow(name="w")
        def flow():
            return qflow.map(double, [1, 2], by=3)

        self.assertEqual(flow(), [3, 6])
        self.assertEqual(list(qflow.map(str, [1])), ["1"])
        self.assertEqual(qflow.settled(double)(2).value, 4)
        self.assertEqual(qflow.settled(lambda: 1 / 0)().error.type, "ZeroDivisionError")


if __name__ == "__main__":
    unittest.main()
