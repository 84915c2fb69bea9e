#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Has every promise and every row of docs/compatibility.md a test, and would tools/check-promises notice if one had not?

usage: test-promises.py SOURCE-ROOT

Each planted error goes into a copy of the two tables of its own. The tests that they name are those of the sources.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = os.path.abspath(sys.argv[1])
CHECK = os.path.join(SOURCE, "tools", "check-promises")
PROMISES, ROWS = "docs/promises.tsv", "docs/compatibility.md"
# A test in C that is run, one that is not, and the same in Python.
IN_C = """
static void
test_run(void **state)
{
}

static void
test_not_run(void **state)
{
}

static void
test_taken_out(void **state)
{
	test_not_run(state);
}

const struct CMUnitTest tests[] = {cmocka_unit_test(test_run), /* cmocka_unit_test(test_taken_out), */};
"""
IN_PYTHON = """
class First(unittest.TestCase):
    def test_once(self):
        pass

    def test_twice(self):
        pass

    def helper(self):
        pass


class Second(unittest.TestCase):
    def test_twice(self):
        pass
"""


def check(root):
    return subprocess.run([sys.executable, CHECK, root], capture_output=True, text=True, check=False)


class Promises(unittest.TestCase):
    def setUp(self):
        self.copy = tempfile.mkdtemp(prefix="p11-promises-")
        self.addCleanup(shutil.rmtree, self.copy)
        for name in os.listdir(SOURCE):
            if name not in ("docs", "build") and os.path.isdir(os.path.join(SOURCE, name)):
                os.symlink(os.path.join(SOURCE, name), os.path.join(self.copy, name))
        os.mkdir(os.path.join(self.copy, "docs"))
        for table in (PROMISES, ROWS):
            shutil.copy(os.path.join(SOURCE, table), os.path.join(self.copy, table))
        os.mkdir(os.path.join(self.copy, "planted"))
        self.write("planted/test-in-c.c", IN_C)
        self.write("planted/test-lost.c", IN_C)
        self.write("planted/test-in-python.py", IN_PYTHON)
        self.write("planted/in-shell.sh", '\nstep "it works"\n')
        self.write("planted/meson.build", "tests = ['in-c']  # 'lost'\n")

    def write(self, path, text):
        with open(os.path.join(self.copy, path), "w", encoding="utf-8") as file:
            file.write(text)

    def lines(self, table):
        with open(os.path.join(self.copy, table), encoding="utf-8") as file:
            return file.read().splitlines()

    def edit(self, table, start, change):
        """Changes the only line that begins so, or removes it (None), and returns its place."""
        lines = self.lines(table)
        found = [number for number, line in enumerate(lines) if line.startswith(start)]
        self.assertEqual(len(found), 1, start)
        changed = change(lines[found[0]])
        lines[found[0]:found[0] + 1] = [] if changed is None else [changed]
        self.write(table, "\n".join(lines) + "\n")
        return f"{table}:{found[0] + 1}: "

    def name_test(self, path, name):
        """Makes a promise and a row name that test and no other, and returns their places."""
        def in_promises(line):
            return "\t".join(line.split("\t")[:2] + [f"{path}:{name}"])

        def in_rows(line):
            cells = line.split("|")
            return "|".join(cells[:4] + [f" [{name}](../{path}) "] + cells[5:])

        return [self.edit(PROMISES, "2.1-1\t", in_promises), self.edit(ROWS, "| B2 |", in_rows)]

    def assert_noticed(self, *findings):
        result = check(self.copy)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        lines = result.stdout.splitlines()[:-1]
        self.assertEqual(len(lines), len(findings), result.stdout)
        for finding in findings:
            self.assertTrue(any(finding in line for line in lines), f"{finding}\n{result.stdout}")

    def assert_fine(self):
        result = check(self.copy)
        self.assertEqual((result.returncode, result.stderr), (0, ""), result.stdout)
        self.assertRegex(result.stdout, r"\A\d+ promises and \d+ rows of compatibility, 0 without a test\n\Z")

    def assert_no_test(self, path, name, why):
        self.assert_noticed(*(place + number + ": " + why for place, number in
                              zip(self.name_test(path, name), ("2.1-1", "B2"))))

    def test_each_of_ours_has_a_test(self):
        self.assert_fine()
        promises, rows = (int(word) for word in check(SOURCE).stdout.split() if word.isdigit() and word != "0")
        self.assertGreater(promises, 300)
        self.assertGreater(rows, 80)

    def test_planted_ones_are_tests(self):
        for path, name in [("planted/test-in-c.c", "test_run"), ("planted/test-in-python.py", "test_once"),
                           ("planted/test-in-python.py", "Second.test_twice"), ("planted/in-shell.sh", "it works")]:
            with self.subTest(path=path, name=name):
                self.name_test(path, name)
                self.assert_fine()

    def test_a_promise_without_a_test(self):
        place = self.edit(PROMISES, "2.1-1\t", lambda line: "\t".join(line.split("\t")[:2] + [""]))
        self.assert_noticed(place + "2.1-1 has no test")
        self.assertRegex(check(self.copy).stdout, r" 1 without a test\n\Z")

    def test_a_row_without_a_test(self):
        place = self.edit(ROWS, "| B2 |", lambda line: "|".join(line.split("|")[:4] + ["  "] + line.split("|")[5:]))
        self.assert_noticed(place + "B2 has no test")

    def test_a_row_with_an_empty_column(self):
        place = self.edit(ROWS, "| B2 |", lambda line: "|".join(line.split("|")[:5] + ["  "] + line.split("|")[6:]))
        self.assert_noticed(place + "B2 has an empty column")

    def test_a_file_that_is_not_there(self):
        self.assert_no_test("planted/test-nowhere.c", "test_run", "there is no file planted/test-nowhere.c")

    def test_a_function_that_is_not_there(self):
        self.assert_no_test("planted/test-in-c.c", "test_ru", "planted/test-in-c.c has no function test_ru")

    def test_a_function_that_is_not_run(self):
        self.assert_no_test("planted/test-in-c.c", "test_not_run", "planted/test-in-c.c never runs test_not_run")

    def test_a_function_that_was_taken_out(self):
        self.assert_no_test("planted/test-in-c.c", "test_taken_out", "planted/test-in-c.c never runs test_taken_out")

    def test_a_file_that_is_not_built(self):
        self.assert_no_test("planted/test-lost.c", "test_run", "no meson.build makes a test of planted/test-lost.c")

    def test_methods(self):
        for name, why in [("test_nowhere", "has no test test_nowhere"), ("First.test_nowhere", "has no test First.test_nowhere"),
                          ("Second.test_once", "has no test Second.test_once"), ("helper", "has no test helper"),
                          ("test_twice", "has 2 tests test_twice: which class?")]:
            with self.subTest(name=name):
                self.assert_no_test("planted/test-in-python.py", name, "planted/test-in-python.py " + why)

    def test_a_step_that_is_not_there(self):
        self.assert_no_test("planted/in-shell.sh", "it work", "planted/in-shell.sh has no step it work")

    def test_a_file_alone(self):
        self.edit(PROMISES, "2.1-1\t", lambda line: "\t".join(line.split("\t")[:2] + ["planted/test-in-c.c"]))
        self.assert_noticed("2.1-1: planted/test-in-c.c names no test of the file")

    def test_a_file_that_is_no_test(self):
        self.assert_no_test("planted/meson.build", "tests", "planted/meson.build is no test")

    def test_a_row_that_is_gone(self):
        self.edit(ROWS, "| B2 |", lambda line: None)
        self.assert_noticed(ROWS + ": B2 is missing")

    def test_a_number_that_is_wrong(self):
        place = self.edit(ROWS, "| B2 |", lambda line: line.replace("B2", "B12", 1))
        self.assert_noticed(place + "B12 is no number", ROWS + ": B2 is missing")

    def test_a_row_that_is_there_twice(self):
        self.edit(ROWS, "| B2 |", lambda line: line + "\n" + line)
        self.assert_noticed("B2 stands there twice", "B2 stands there twice")

    def test_a_promise_that_is_gone(self):
        self.edit(PROMISES, "2.1-1\t", lambda line: None)
        self.assert_noticed("2.1-2 does not follow 2.1-0")

    def test_a_section_that_is_gone(self):
        lines = [line for line in self.lines(PROMISES) if not line.startswith("8.5-")]
        self.write(PROMISES, "\n".join(lines) + "\n")
        self.assert_noticed(PROMISES + ": section 8.5 has no promise")

    def test_too_few_columns(self):
        place = self.edit(PROMISES, "2.1-1\t", lambda line: line.replace("\t", " ", 1))
        self.assert_noticed(place + "2 columns", "2.1-2 does not follow 2.1-0")
        self.setUp()
        place = self.edit(ROWS, "| B2 |", lambda line: line.replace("|", " ", 1))
        self.assert_noticed(ROWS + ": B2 is missing")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
