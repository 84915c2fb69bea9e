#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Headers = their comments = the manual page = the version script = exports.txt = what the library exports.

usage: test-api.py SOURCE-ROOT BUILD-ROOT LIBRARY

Each of the six names functions. Where one of them names a function and another does not, that is a finding. The comparison
is then tried on copies in which something is wrong.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE, BUILD, LIBRARY = (os.path.abspath(argument) for argument in sys.argv[1:4])
HEADERS = "include/p11-kit"
MAP = "api/libp11-kit.map"
EXPORTS = "tests/symbols/exports.txt"
NODE = "LIBP11_KIT_1.0"
# pkcs11.h declares them, as the standard does, and the standard describes them.
STANDARD = {"C_GetFunctionList", "C_GetInterface", "C_GetInterfaceList"}

COMMENTED = re.compile(r"/\*\*\n \* (\w+)\(\) - (?:(?!\*/).)*\*/\n([^;/]*;)", re.S)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def headers(root):
    """The headers that people write; those that come later too."""
    return sorted(f"{HEADERS}/{name}" for name in os.listdir(os.path.join(root, HEADERS)) if name.endswith((".h", ".h.in")))


def declared(root):
    """Functions that a header declares: a name and a parenthesis, outside of comments, macros and typedefs."""
    names = set()
    for path in headers(root):
        text = re.sub(r"/\*.*?\*/", "", read(root, path), flags=re.S)
        text = re.sub(r"^#(?:[^\n]*\\\n)*[^\n]*$", "", text, flags=re.M)
        text = re.sub(r"\bP11_KIT_DEPRECATED_FOR\([^\n]*\)", "", text)
        names |= set(re.findall(r"\b(p11_kit_[a-z0-9_]+)\s*\(", text))
    return names


def commented(root):
    """Functions whose comment stands directly before their declaration."""
    names = set()
    for path in headers(root):
        for name, declaration in COMMENTED.findall(read(root, path)):
            if re.search(rf"\b{name}\(", declaration):
                names.add(name)
    return names


def in_map(root):
    node = re.search(rf"^{re.escape(NODE)} \{{\nglobal:\n(.*?)\nlocal:", read(root, MAP), re.S | re.M)
    return set(re.findall(r"^\s*(\w+);", node.group(1), re.M)) - STANDARD


def listed(root):
    lines = [line.split("#")[0].split() for line in read(root, EXPORTS).splitlines()]
    return {words[0] for words in lines if words and "later" not in words} - STANDARD


def exported(library):
    symbols = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", library], capture_output=True, text=True,
                             check=True).stdout
    return set(re.findall(rf"^\S+ T (\w+)@@?{re.escape(NODE)}$", symbols, re.M)) - STANDARD


def on_page(page):
    return set(re.findall(r"^\.SS (p11_kit_\w+)$", page.replace("\\", ""), re.M))


def reference(root):
    """Makes the manual page's source from a tree's headers."""
    return subprocess.run([sys.executable, os.path.join(SOURCE, "tools", "reference.py"), "0",
                           *[os.path.join(root, path) for path in headers(root)]], capture_output=True, text=True, check=False)


def findings(root, library, page):
    """One line for each function that is not everywhere."""
    places = {"headers": declared(root), "comments": commented(root), "map": in_map(root), "exports.txt": listed(root),
              "library": exported(library)}
    if page is not None:
        # Types of callbacks have entries of their own.
        places["manual page"] = {name for name in on_page(page) if not is_type(root, name)}
    found = []
    for name in sorted(set().union(*places.values())):
        lacking = [place for place, names in places.items() if name not in names]
        if lacking:
            found.append(f"{name} is not in: {', '.join(lacking)}")
    return found


def is_type(root, name):
    return any(re.search(rf"^typedef [^;]*\(\*{name}\)\(", read(root, path), re.M) for path in headers(root))


class Copy(unittest.TestCase):
    """A copy of what is compared, for mistakes to be made in it."""

    def setUp(self):
        self.copy = tempfile.mkdtemp(prefix="p11-api-")
        self.addCleanup(shutil.rmtree, self.copy)
        for path in [*headers(SOURCE), MAP, EXPORTS]:
            os.makedirs(os.path.join(self.copy, os.path.dirname(path)), exist_ok=True)
            shutil.copy(os.path.join(SOURCE, path), os.path.join(self.copy, path))
        page = os.path.join(BUILD, "man", "libp11-kit.3")
        self.page = None
        if os.path.exists(page):
            with open(page, encoding="utf-8") as file:
                self.page = file.read()

    def edit(self, path, old, new):
        text = read(self.copy, path)
        self.assertEqual(text.count(old), 1, f"{old!r} in {path}")
        with open(os.path.join(self.copy, path), "w", encoding="utf-8") as file:
            file.write(text.replace(old, new))


class Api(Copy):
    def assert_found(self, *lines):
        self.assertEqual(findings(self.copy, LIBRARY, self.page), list(lines))

    def test_all_agree(self):
        self.assertGreater(len(exported(LIBRARY)), 90)
        self.assert_found()

    @unittest.skipUnless(shutil.which("scdoc"), "scdoc is not installed")
    def test_the_manual_page_is_there(self):
        self.assertIsNotNone(self.page)
        self.assertIn("p11_kit_modules_load", on_page(self.page))

    def test_not_declared(self):
        self.edit(f"{HEADERS}/pin.h", "P11KitPin *p11_kit_pin_ref(P11KitPin *pin);", "")
        self.assert_found("p11_kit_pin_ref is not in: headers, comments")

    def test_not_described(self):
        self.edit(f"{HEADERS}/pin.h", "/**\n * p11_kit_pin_ref() -", "/*\n * p11_kit_pin_ref() -")
        self.assert_found("p11_kit_pin_ref is not in: comments")

    def test_described_somewhere_else(self):
        self.edit(f"{HEADERS}/pin.h", " * p11_kit_pin_ref() -", " * p11_kit_pin_reference() -")
        self.assert_found("p11_kit_pin_ref is not in: comments")

    def test_not_in_the_map(self):
        self.edit(MAP, "\tp11_kit_pin_ref;\n", "")
        self.assert_found("p11_kit_pin_ref is not in: map")

    def test_not_listed(self):
        self.edit(EXPORTS, "p11_kit_pin_ref\n", "")
        self.assert_found("p11_kit_pin_ref is not in: exports.txt")

    def test_not_exported(self):
        self.edit(MAP, "\tp11_kit_pin_ref;\n", "\tp11_kit_pin_ref;\n\tp11_kit_pin_to_come;\n")
        places = ["headers", "comments", "exports.txt", "library"] + (["manual page"] if self.page else [])
        self.assert_found(f"p11_kit_pin_to_come is not in: {', '.join(places)}")

    def test_not_on_the_page(self):
        if self.page is None:
            self.skipTest("scdoc is not installed")
        self.page = re.sub(r"(?m)^\.SS p11\\?_kit\\?_pin\\?_ref$", ".SS something", self.page)
        self.assert_found("p11_kit_pin_ref is not in: manual page")

    def test_a_header_that_comes_later(self):
        with open(os.path.join(self.copy, HEADERS, "later.h"), "w", encoding="utf-8") as file:
            file.write("int p11_kit_later(void);\n")
        places = ["comments", "map", "exports.txt", "library"] + (["manual page"] if self.page else [])
        self.assert_found(f"p11_kit_later is not in: {', '.join(places)}")


class Reference(Copy):
    """Comments that tools/reference.py refuses."""

    PIN_REF = " * p11_kit_pin_ref() - one more reference to a PIN\n * [any thread]\n * @pin: the PIN\n *\n"

    def assert_refused(self, old, new, why):
        self.edit(f"{HEADERS}/pin.h", old, new)
        result = reference(self.copy)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, rf"\Apin\.h:\d+: .*{why}")

    def test_ours_is_fine(self):
        result = reference(self.copy)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("P11_KIT_PIN_FLAGS_RETRY", result.stdout)

    def test_another_order(self):
        self.assert_refused(
            " * @value: borrowed, copied; may be NULL if the length is 0   @length: in bytes, may be 0\n",
            " * @length: in bytes, may be 0   @value: borrowed, copied; may be NULL if the length is 0\n", "has the parameters")

    def test_a_parameter_that_is_missing(self):
        self.assert_refused(self.PIN_REF, self.PIN_REF.replace(" * @pin: the PIN\n", ""), "has the parameters")

    def test_no_effects(self):
        self.assert_refused(self.PIN_REF, self.PIN_REF.replace(" * [any thread]\n", ""), "has no effects")

    def test_an_effect_that_nobody_explains(self):
        self.assert_refused(self.PIN_REF, self.PIN_REF.replace("[any thread]", "[any thread; waits]"), '"waits" is no effect')

    def test_no_summary(self):
        self.assert_refused(self.PIN_REF, self.PIN_REF.replace(" - one more reference to a PIN", ""), "the first line")

    def test_no_version(self):
        self.assert_refused(" * Returns the PIN; NULL for a broken precondition.\n * Since 0.23.\n",
                            " * Returns the PIN; NULL for a broken precondition.\n", "since when")

    def test_the_declaration_of_something_else(self):
        self.assert_refused("P11KitPin *p11_kit_pin_ref(P11KitPin *pin);", "P11KitPin *p11_kit_pin_reference(P11KitPin *pin);",
                            "does not declare")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
