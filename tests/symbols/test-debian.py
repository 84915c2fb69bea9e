#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Can Debian's libp11-kit.so.0 and ours stand for each other?

usage: test-debian.py LIBRARY SOURCE-ROOT BUILD-ROOT MODULE COMPILER...

MODULE is a PKCS#11 module for everything.c, which calls every function. It is built with Debian's headers and library
and with ours; each of the two programs runs on each of the two libraries, and all four say the same.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

LIBRARY, SOURCE, BUILD, MODULE = sys.argv[1:5]
COMPILER = sys.argv[5:]
HERE = os.path.dirname(os.path.abspath(__file__))
OUR_HEADERS = ["-I", os.path.join(BUILD, "include"), "-I", os.path.join(SOURCE, "include")]
DEBIAN_HEADERS = ["-I", "/usr/include/p11-kit-1"]
# Exported by Debian's 0.24.1; a change of the list is one of what is promised.
N_DEBIAN = 100
# What `abidiff` exits with (abidiff(1)): an error of its own; wrong usage.
ABIDIFF_ERRORS = 1 | 2


def run(*command, **settings):
    return subprocess.run(command, capture_output=True, text=True, check=False,
                          env={**os.environ, **settings, "LC_ALL": "C"})


def debian_library():
    """The system's libp11-kit.so.0, or None if there is none or it is ours, too."""
    path = run(*COMPILER, "-print-file-name=libp11-kit.so.0").stdout.strip()
    if not os.path.isabs(path) or not os.path.exists(path):
        return None
    path = os.path.realpath(path)
    return None if "p11_kit_door" in run("nm", "-D", path).stdout else path


DEBIAN = debian_library()
NO_DEBIAN = "Debian's libp11-kit.so.0 is not installed, or its headers are not"
HAVE_DEBIAN = DEBIAN and os.path.exists("/usr/include/p11-kit-1/p11-kit/iter.h")


def functions(library):
    return {line.split()[-1].split("@")[0] for line in run("nm", "-D", "--defined-only", library).stdout.splitlines()
            if " T " in line}


@unittest.skipUnless(HAVE_DEBIAN, NO_DEBIAN)
class Abi(unittest.TestCase):
    def abidiff(self, old, new, *options):
        result = run("abidiff", *options, old, new)
        self.assertEqual(result.returncode & ABIDIFF_ERRORS, 0, result.stdout + result.stderr)
        return result

    @unittest.skipUnless(shutil.which("abidiff"), "abidiff (abigail-tools) is not installed")
    def test_nothing_is_removed_or_changed(self):
        result = self.abidiff(DEBIAN, LIBRARY, "--no-added-syms")
        self.assertEqual(result.returncode, 0, result.stdout)

    @unittest.skipUnless(shutil.which("abidiff"), "abidiff (abigail-tools) is not installed")
    def test_what_is_removed_would_be_found(self):
        """The same the other way round: Debian's lacks what we added."""
        result = self.abidiff(LIBRARY, DEBIAN, "--no-added-syms")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("p11_kit_check_version", result.stdout)

    def test_every_function_of_debians_is_there(self):
        debian = functions(DEBIAN)
        self.assertEqual(len(debian), N_DEBIAN)
        self.assertEqual(sorted(debian - functions(LIBRARY)), [])


@unittest.skipUnless(HAVE_DEBIAN, NO_DEBIAN)
class Programs(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="p11-debian-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for name in ("package", "modules", "user", "home"):
            os.mkdir(os.path.join(cls.folder, name))
        cls.write("system.conf", "user-config: none\n")
        cls.write("modules/any.module", f"module: {MODULE}\nx-own: value\n")
        cls.libraries = {"debian": os.path.dirname(DEBIAN), "ours": os.path.dirname(os.path.abspath(LIBRARY))}
        cls.build("debian", DEBIAN_HEADERS, DEBIAN)
        cls.build("ours", OUR_HEADERS, LIBRARY)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    @classmethod
    def write(cls, name, text):
        with open(cls.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    @classmethod
    def build(cls, name, headers, library):
        result = run(*COMPILER, "-std=gnu11", "-Wall", *headers, os.path.join(HERE, "everything.c"), library,
                     "-o", cls.path("linked-with-" + name))
        if result.returncode != 0:
            raise AssertionError(result.stderr)

    def said(self, program, library):
        """What the program prints on a library, and the file of the library that it had."""
        where = {"LD_LIBRARY_PATH": self.libraries[library], "HOME": self.path("home")}
        program = self.path("linked-with-" + program)
        result = run(program, self.folder, MODULE, **where)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        loaded = re.search(r"libp11-kit\.so\.0 => (\S+)", run("ldd", program, **where).stdout).group(1)
        return result.stdout, os.path.dirname(os.path.realpath(loaded))

    def test_all_four_say_the_same(self):
        expected, _ = self.said("debian", "debian")
        self.assertGreater(len(expected.splitlines()), 100)
        for program in ("debian", "ours"):
            for library in ("debian", "ours"):
                with self.subTest(linked_with=program, runs_on=library):
                    said, where = self.said(program, library)
                    self.assertEqual(where, os.path.realpath(self.libraries[library]))
                    self.assertEqual(said.splitlines(), expected.splitlines())

    def test_the_program_calls_every_function_of_debians(self):
        for program in ("debian", "ours"):
            with self.subTest(linked_with=program):
                undefined = run("nm", "-D", "--undefined-only", self.path("linked-with-" + program)).stdout
                called = set(re.findall(r"\b(C_\w+|p11_kit_\w+)", undefined))
                self.assertEqual(called, functions(DEBIAN))

    def test_programs_linked_with_ours_ask_for_no_other_version(self):
        """A version that Debian's does not have would keep them from starting there."""
        versions = run("readelf", "-VW", self.path("linked-with-ours")).stdout
        self.assertEqual(set(re.findall(r"Name: (LIBP11_\w+\.?\w*)", versions)), {"LIBP11_KIT_1.0"})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
