#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Does every room use only rooms below it, and would tools/check-layers notice if one did not?

usage: test-layers.py SOURCE-ROOT BUILD-ROOT

Each planted violation goes into a copy of the sources of its own, so that one that is overlooked cannot hide behind
another that is found.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE, BUILD = sys.argv[1:3]
CHECK = os.path.join(SOURCE, "tools", "check-layers")
ROOMS = ["base", "pkcs11", "config", "module", "share", "proxy", "api", "doors", "cli", "include"]


def check(*roots):
    return subprocess.run([sys.executable, CHECK, *roots], capture_output=True, text=True, check=False)


class Layers(unittest.TestCase):
    def setUp(self):
        self.copy = tempfile.mkdtemp(prefix="p11-layers-")
        self.addCleanup(shutil.rmtree, self.copy)
        for room in ROOMS:
            shutil.copytree(os.path.join(SOURCE, room), os.path.join(self.copy, room))

    def plant(self, file, *lines):
        """Writes a file into the copy, or appends to it, and returns the place of the last line."""
        path = os.path.join(self.copy, file)
        with open(path, "a+", encoding="utf-8") as planted:
            planted.write("\n" + "\n".join(lines) + "\n")
            planted.seek(0)
            return f"{file}:{len(planted.readlines())}:"

    def assert_noticed(self, place):
        result = check(self.copy)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertIn(place, result.stdout)
        self.assertEqual(len(result.stdout.splitlines()), 1, result.stdout)

    def assert_fine(self):
        result = check(self.copy)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_the_sources_are_clean(self):
        result = check(SOURCE)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_the_generated_sources_are_clean(self):
        result = check(SOURCE, BUILD)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_a_higher_room_is_noticed(self):
        self.assert_noticed(self.plant("base/planted.c", '#include "base/base.h"', '#include "share/planted.h"'))

    def test_the_room_beside_is_noticed(self):
        self.assert_noticed(self.plant("config/planted.c", '#include "module/planted.h"'))

    def test_the_other_room_beside_is_noticed(self):
        self.assert_noticed(self.plant("module/planted.c", '#include "config/planted.h"'))

    def test_a_relative_path_is_noticed(self):
        self.assert_noticed(self.plant("share/planted.c", '#include "../proxy/planted.h"'))

    def test_angle_brackets_and_blanks_are_noticed(self):
        self.assert_noticed(self.plant("module/planted.c", "#  include <api/planted.h>"))

    def test_a_generated_file_is_noticed(self):
        self.assert_noticed(self.plant("pkcs11/planted.c.in", '#include "proxy/planted.h"'))

    def test_a_unit_test_is_noticed(self):
        self.assert_noticed(self.plant("share/test-planted.c", '#include "proxy/planted.h"'))

    def test_the_command_looking_inside_is_noticed(self):
        self.assert_noticed(self.plant("cli/planted.c", '#include "base/base.h"'))

    def test_pkcs11_in_base_is_noticed(self):
        self.assert_noticed(self.plant("base/planted.c", '#include "p11-kit/pkcs11.h"'))

    def test_a_public_header_looking_inside_is_noticed(self):
        self.assert_noticed(self.plant("include/p11-kit/planted.h", '#include "base/base.h"'))

    def test_the_tests_tools_in_the_library_are_noticed(self):
        self.assert_noticed(self.plant("proxy/planted.c", '#include "tests/support/planted.h"'))

    def test_linking_a_higher_room_is_noticed(self):
        self.assert_noticed(self.plant("base/meson.build", "planted = declare_dependency(dependencies: [share_dep])"))

    def test_lower_rooms_are_fine(self):
        self.plant("share/planted.c", '#include "planted.h"', '#include "config/planted.h"', '#include <stdio.h>',
                   '#include "p11-kit/uri.h"', '#include "./planted.h"')
        self.plant("share/test-planted.c", '#include "tests/support/planted.h"')
        self.plant("share/meson.build", "planted = [config_dep, module_dep, share_dep]  # not proxy_dep")
        self.assert_fine()

    def test_an_empty_tree_is_no_success(self):
        with tempfile.TemporaryDirectory() as empty:
            self.assertNotEqual(check(empty).returncode, 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
