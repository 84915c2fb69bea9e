#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the p11-kit command answers before it has commands: exit codes, and which of its two outputs says what.

usage: test-cli.py P11-KIT VERSION
"""

import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM, VERSION = sys.argv[1:3]
# Those of the incumbent's.
COMMANDS = ["add-profile", "delete-object", "delete-profile", "export-object", "extract", "extract-trust", "generate-keypair",
            "import-object", "list-mechanisms", "list-modules", "list-objects", "list-profiles", "list-tokens", "print-config",
            "remote", "server"]


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)


class Command(unittest.TestCase):
    def assert_refused(self, text, *arguments):
        result = run(*arguments)
        self.assertEqual(result.returncode, 2)
        self.assertEqual(result.stdout, "")
        self.assertRegex(result.stderr, r"\Ap11-kit: [^\n]+\n\Z")
        self.assertIn(text, result.stderr)

    def test_version(self):
        result = run("--version")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, f"p11-kit {VERSION}\n", ""))

    def test_the_version_is_newer_than_the_incumbent(self):
        self.assertGreaterEqual(tuple(map(int, VERSION.split("."))), (0, 27, 0))

    def test_help(self):
        for option in ["-h", "--help", "-vh", "-qh"]:
            with self.subTest(option=option):
                result = run(option)
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertTrue(result.stdout.startswith("usage: p11-kit "))

    def test_no_argument_shows_the_help_but_is_misuse(self):
        result = run()
        self.assertEqual((result.returncode, result.stderr), (2, ""))
        self.assertEqual(result.stdout, run("--help").stdout)

    def test_options_without_a_command(self):
        self.assert_refused("command", "-v")
        self.assert_refused("command", "--quiet")

    def test_unknown_options(self):
        for option in ["-x", "--unheard-of", "--", "-", "-vx", "--Help"]:
            with self.subTest(option=option):
                self.assert_refused(option, option, "list-modules")

    def test_unknown_commands(self):
        self.assert_refused("no such command: list-moduls", "list-moduls")
        self.assert_refused("no such command: ", "")

    def test_commands_to_come(self):
        for command in COMMANDS:
            with self.subTest(command=command):
                self.assert_refused(f"not have the command yet: {command}", command)
        self.assert_refused("not have the command yet: list-modules", "-l")

    def test_no_file_but_a_shim_is_removed(self):
        """In a folder that was named by mistake lie the vendors' own files."""
        with tempfile.TemporaryDirectory(prefix="p11-cli-") as folder:
            path = os.path.join(folder, "vendor.so")
            with open(path, "wb") as file:
                file.write(bytes(range(256)) * 100)
            os.symlink("vendor.so", os.path.join(folder, "link.so"))
            os.mkfifo(os.path.join(folder, "pipe.so"))
            for name in ["vendor", "link", "pipe"]:
                result = run("shim", "--dir=" + folder, "--remove", name)
                self.assertEqual((result.returncode, result.stdout), (1, ""))
                self.assertRegex(result.stderr, rf"\Ap11-kit: [^\n]*/{name}\.so: it was not made by [^\n]+\n\Z")
            self.assertEqual(sorted(os.listdir(folder)), ["link.so", "pipe.so", "vendor.so"])

    def test_what_follows_the_command_belongs_to_it(self):
        self.assert_refused("list-tokens", "list-tokens", "--version", "--help", "-x")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
