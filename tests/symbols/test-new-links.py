#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a program can link to today: the default symbols of the library, and none that is kept for old programs only.

usage: test-new-links.py LIBRARY COMPILER...
"""

import os
import subprocess
import sys
import tempfile
import unittest

LIBRARY, *COMPILER = sys.argv[1:]


def links(name):
    """Whether a program that refers to `name` links against the library, and what the linker said."""
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "program.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(f"int {name}(void);\nint main(void) {{ return {name}(); }}\n")
        command = [*COMPILER, "-fno-builtin", "-w", source, LIBRARY, "-o", os.path.join(folder, "program"),
                   "-Wl,--allow-shlib-undefined"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        return result.returncode == 0, result.stderr


class NewLinks(unittest.TestCase):
    def test_default_symbols_are_found(self):
        for name in ["C_GetFunctionList", "p11_kit_message", "p11_kit_check_version"]:
            with self.subTest(name=name):
                found, said = links(name)
                self.assertTrue(found, said)

    def test_symbols_for_old_programs_are_not_found(self):
        for name in ["C_GetInterface", "C_GetInterfaceList"]:
            with self.subTest(name=name):
                found, said = links(name)
                self.assertFalse(found)
                self.assertIn(name, said)

    def test_the_rooms_are_not_found(self):
        for name in ["p11_message", "p11_fail"]:
            with self.subTest(name=name):
                found, said = links(name)
                self.assertFalse(found)
                self.assertIn(name, said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
