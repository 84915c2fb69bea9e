#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the linked files export, need and weigh, against exports.txt and the limits below.

usage: test-exports.py [--release] LIBRARY PROXY [MODULE...]

LIBRARY is libp11-kit.so.0, PROXY p11-kit-proxy.so, a MODULE is any other file of ours that is loaded into foreign
processes. With --release the size limits hold too; other builds are larger.
"""

import os
import re
import subprocess
import sys
import unittest

RELEASE = "--release" in sys.argv
LIBRARY, PROXY, *MODULES = [argument for argument in sys.argv[1:] if argument != "--release"]

PUBLIC_NODE = "LIBP11_KIT_1.0"
PRIVATE_NODE = "LIBP11_KIT_PRIVATE"
PRIVATE_NAMES = {"p11_kit_door"}
ENTRY_POINTS = {"C_GetFunctionList", "C_GetInterface", "C_GetInterfaceList"}
# glibc binds unversioned references even to hidden symbols of index 2, so the public node must not be second.
PUBLIC_NODE_INDEX = 3
SYSTEM_LIBRARIES = re.compile(r"libc\.so\.6|ld-linux.*\.so\.[0-9]+")
MAX_TEXT = 250_000
MAX_RELOCATIONS = 400


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


def defined_symbols(file):
    """{name: (node, is_default)} of what a file exports; the node is None without a version."""
    symbols = {}
    for line in run("nm", "-D", "--defined-only", "--with-symbol-versions", file).splitlines():
        name = line.split()[-1]
        name, at, node = name.partition("@")
        if name == node.lstrip("@") or name.startswith("LIBP11_KIT_"):
            continue  # the node itself
        symbols[name] = (node.lstrip("@") or None, not at or node.startswith("@"))
    return symbols


def listed_exports():
    """{name: mark} of exports.txt."""
    exports = {}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "exports.txt")
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            words = line.split("#")[0].split()
            if words:
                exports[words[0]] = words[1] if len(words) > 1 else ""
    return exports


def dynamic(file, tag):
    return re.findall(rf"\({tag}\)\s+(.*)", run("readelf", "-dW", file))


def needed(file):
    return {re.search(r"\[(.*)\]", line).group(1) for line in dynamic(file, "NEEDED")}


class Library(unittest.TestCase):
    def setUp(self):
        self.symbols = defined_symbols(LIBRARY)

    def in_node(self, node):
        return {name for name, (where, _) in self.symbols.items() if where == node}

    def test_public_node_holds_what_the_headers_declare(self):
        listed = listed_exports()
        now = {name for name, mark in listed.items() if mark != "later"}
        exported = self.in_node(PUBLIC_NODE)
        self.assertEqual(sorted(now - exported), [], "missing")
        self.assertEqual(sorted(exported - set(listed)), [], "not in exports.txt")
        self.assertEqual(sorted(exported - now), [], "there already: take the mark \"later\" away in exports.txt")

    def test_private_node_holds_the_door_alone(self):
        self.assertEqual(self.in_node(PRIVATE_NODE), PRIVATE_NAMES)

    def test_nothing_else_is_exported(self):
        known = self.in_node(PUBLIC_NODE) | self.in_node(PRIVATE_NODE)
        self.assertEqual(sorted(set(self.symbols) - known), [])

    def test_only_the_marked_names_are_hidden_from_new_links(self):
        hidden = {name for name, (_, is_default) in self.symbols.items() if not is_default}
        marked = {name for name, mark in listed_exports().items() if mark == "hidden"}
        self.assertEqual(hidden, marked)

    def test_no_data_is_exported(self):
        kinds = {line.split()[-2] for line in run("nm", "-D", "--defined-only", LIBRARY).splitlines()}
        self.assertLessEqual(kinds, {"T", "A", "i"})

    def test_public_node_has_its_index(self):
        definitions = re.search(r"Version definition section.*?(?=\nVersion needs|\Z)", run("readelf", "-VW", LIBRARY), re.S)
        indexes = dict((name, int(index)) for index, name in
                       re.findall(r"Index: (\d+)\s+Cnt: \d+\s+Name: (\S+)", definitions.group(0)))
        self.assertEqual(indexes.get(PUBLIC_NODE), PUBLIC_NODE_INDEX, indexes)

    def test_soname(self):
        self.assertEqual(dynamic(LIBRARY, "SONAME"), ["Library soname: [libp11-kit.so.0]"])

    def test_needs_only_libc(self):
        others = {name for name in needed(LIBRARY) if not SYSTEM_LIBRARIES.fullmatch(name)}
        self.assertEqual(others, set())

    @unittest.skipUnless(RELEASE, "limits are for release builds")
    def test_text_stays_small(self):
        text = int(run("size", LIBRARY).splitlines()[1].split()[0])
        self.assertLessEqual(text, MAX_TEXT)

    @unittest.skipUnless(RELEASE, "limits are for release builds")
    def test_relocations_stay_few(self):
        counts = re.findall(r"contains (\d+) entr", run("readelf", "-rW", LIBRARY))
        self.assertLessEqual(sum(map(int, counts)), MAX_RELOCATIONS)


class Package(unittest.TestCase):
    """debian/libp11-kit0.symbols. dpkg-gensymbols compares it with the library, but only when the package is built."""

    def test_the_package_lists_what_is_exported(self):
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../debian/libp11-kit0.symbols")
        with open(path, encoding="utf-8") as file:
            listed = re.findall(r"^ (\w+)@(\S+) \S+$", file.read(), re.M)
        self.assertEqual(sorted(name for name, node in listed if node == PUBLIC_NODE and name != node),
                         sorted(name for name, mark in listed_exports().items() if mark != "later"))
        self.assertEqual({name for name, node in listed if node == PRIVATE_NODE and name != node}, PRIVATE_NAMES)


class Modules(unittest.TestCase):
    def test_the_doors_export_the_entry_points_alone(self):
        for file in [PROXY, *MODULES]:
            with self.subTest(file=os.path.basename(file)):
                self.assertEqual(set(defined_symbols(file)), ENTRY_POINTS)

    def test_the_doors_need_the_library_by_its_soname(self):
        for file in [PROXY, *MODULES]:
            with self.subTest(file=os.path.basename(file)):
                names = needed(file)
                self.assertIn("libp11-kit.so.0", names)
                self.assertEqual({n for n in names if not SYSTEM_LIBRARIES.fullmatch(n)}, {"libp11-kit.so.0"})

    def test_the_doors_bind_no_entry_point_at_link_time(self):
        """A door that reached in by a C_ name would be bound to itself, or to a module that the program links."""
        for file in [PROXY, *MODULES]:
            with self.subTest(file=os.path.basename(file)):
                undefined = run("nm", "-D", "--undefined-only", file).split()
                self.assertEqual([name for name in undefined if name.startswith("C_")], [])
                self.assertEqual([name for name in undefined if "p11_kit_door" in name], [])


class Files(unittest.TestCase):
    """What holds for every file of ours that is mapped into foreign processes."""

    def test_never_unmapped(self):
        for file in [LIBRARY, PROXY, *MODULES]:
            with self.subTest(file=os.path.basename(file)):
                self.assertIn("NODELETE", " ".join(dynamic(file, "FLAGS_1")))

    def test_no_text_relocations(self):
        for file in [LIBRARY, PROXY, *MODULES]:
            with self.subTest(file=os.path.basename(file)):
                self.assertEqual(dynamic(file, "TEXTREL"), [])

    def test_the_stack_is_not_executable(self):
        for file in [LIBRARY, PROXY, *MODULES]:
            with self.subTest(file=os.path.basename(file)):
                self.assertRegex(run("readelf", "-lW", file), r"GNU_STACK.* RW +0x")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
