"""Processes that a node starts: pools of workers, programs of the same interpreter, and the files they find."""

import os
import tempfile
import textwrap
import unittest

from tests.driver import Driver

FLOW = textwrap.dedent(
    '''
    import concurrent.futures, datetime, multiprocessing, os, subprocess, sys, warnings
    from surely_not_installed import thing
    import qflow
    from qflow import node

    def double(x: int | None) -> int:
        return x * 2

    @node
    def pooled(method):
        with multiprocessing.get_context(method).Pool(2) as pool:
            return pool.map(double, [1, 2])

    @node
    def futures(method):
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
            return pool.submit(double, 4).result()

    @node
    def program(text):
        return subprocess.run([sys.executable, "-c", text], stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout

    @node
    def script():
        return subprocess.run(["hello"], stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout

    @node
    def streams():
        sys.__stdout__.write("out\\n")
        sys.__stderr__.write("err\\n")
        print("last")

    @node
    def clock():
        return datetime.datetime.fromtimestamp(0).hour

    @node
    def warned():
        warnings.warn("careful")
    '''
)


class Children(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.site = tempfile.TemporaryDirectory()
        os.mkdir(cls.site.name + "/bin")
        with open(cls.site.name + "/only_here.py", "w") as out:
            out.write("NAME = 'only here'\n")
        with open(cls.site.name + "/bin/hello", "w") as out:
            out.write("#!/bin/sh\necho hello\n")
        os.chmod(cls.site.name + "/bin/hello", 0o755)
        cls.driver = Driver()
        assert cls.driver.load(FLOW, site=cls.site.name)["type"] == "loaded"

    @classmethod
    def tearDownClass(cls):
        cls.driver.close()
        cls.site.cleanup()

    def test_pools_work_by_every_way_of_starting_processes(self):
        for method in ("fork", "spawn", "forkserver"):
            heard = self.driver.attempt("pooled", {"method": method}, deadline_ms=60000)
            self.assertEqual((heard.form, heard.texts), ([2, 4], []), (method, heard.error))
            heard = self.driver.attempt("futures", {"method": method}, deadline_ms=60000)
            self.assertEqual(heard.form, 8, (method, heard.error, heard.texts))

    def test_programs_see_the_packages_of_the_environment(self):
        heard = self.driver.attempt("program", {"text": "import only_here, qflow; print(only_here.NAME)"})
        self.assertEqual(heard.form, "only here\n", heard.texts)
        self.assertEqual(self.driver.attempt("script").form, "hello\n")

    def test_packages_stay_visible_where_a_node_sets_the_path(self):
        heard = self.driver.attempt("program", {"text": "import only_here, sys; print('/other' in sys.path)"}, env={"PYTHONPATH": "/other"})
        self.assertEqual(heard.form, "True\n", heard.texts)

    def test_the_original_streams_are_the_attempts_too(self):
        lines = [(line["stream"], line["text"]) for line in self.driver.attempt("streams").lines]
        self.assertEqual(lines, [("stdout", "out"), ("stderr", "err"), ("stdout", "last")])

    def test_a_time_zone_of_the_environment_holds(self):
        self.assertEqual(self.driver.attempt("clock", env={"TZ": "XYZ-5"}).form, 5)

    def test_a_warning_names_the_file_as_it_was_submitted(self):
        self.assertRegex(self.driver.attempt("warned").texts[0], r"^flow\.py:\d+: UserWarning: careful")

    def test_a_file_with_a_dot_in_its_name_is_loaded(self):
        driver = Driver()
        self.addCleanup(driver.close)
        said = driver.load("def f():\n    return __name__\n", "foo.bar.py")
        self.assertEqual(said["type"], "loaded", said)
        self.assertEqual(driver.attempt("f").form, "qflow_user_foo_bar")


if __name__ == "__main__":
    unittest.main()
