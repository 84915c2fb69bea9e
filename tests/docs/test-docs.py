#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Do the pages for people agree with the code, and with each other?

usage: test-docs.py SOURCE-ROOT BUILD-ROOT
"""

import os
import re
import shutil
import subprocess
import sys
import unittest

SOURCE, BUILD = sys.argv[1:3]
WRITTEN_PAGES = ["p11-kit.8", "p11-kit-proxy.7", "pkcs11.conf.5"]
MAN_PAGES = ["libp11-kit.3", *WRITTEN_PAGES]  # the first is made from the headers, see test-api.py
MARKDOWN = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md",
            "docs/compatibility.md", "docs/containment.md", "docs/model/README.md", "docs/moving-over.md",
            "docs/manual/developers.md", "docs/manual/users.md", "docs/packaging.md"]
ROOMS = ["base", "pkcs11", "config", "module", "share", "proxy", "api", "doors", "cli"]
SPDX = "SPDX-License-Identifier: BSD-3-Clause"
# Settings of the library that people may use; others (HOME, XDG_...) are the system's.
SETTING = re.compile(r'getenv\("(P11_[A-Z0-9_]+)"\)')


def read(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return file.read()


def sources(*suffixes):
    """Every file of the project with one of the suffixes, as a path from the root."""
    for folder, folders, names in os.walk(SOURCE):
        here = os.path.relpath(folder, SOURCE)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__"
                            and not name.startswith("build"))
        for name in sorted(names):
            if name.endswith(suffixes):
                yield os.path.normpath(os.path.join(here, name))


class Keys(unittest.TestCase):
    """Keys of configuration files: the table in config/keys.c, and pkcs11.conf(5)."""

    def test_every_key_is_described_and_every_described_key_exists(self):
        in_code = set(re.findall(r'^\s*\{\s*"([a-z0-9-]+)"', read("config/keys.c"), re.M))
        on_page = set(re.findall(r"^\*([a-z0-9-]+):\*", read("man/pkcs11.conf.5.scd"), re.M))
        self.assertIn("module", in_code)
        self.assertEqual(sorted(in_code - on_page), [], "in config/keys.c, but not in pkcs11.conf(5)")
        self.assertEqual(sorted(on_page - in_code), [], "in pkcs11.conf(5), but not in config/keys.c")


class Settings(unittest.TestCase):
    def test_every_environment_variable_is_described(self):
        pages = "".join(read(f"man/{page}.scd") for page in WRITTEN_PAGES).replace("\\_", "_")
        used = {name for path in sources(".c") if path.split("/")[0] in ROOMS
                and not os.path.basename(path).startswith("test-") for name in SETTING.findall(read(path))}
        self.assertIn("P11_KIT_STRICT", used)
        self.assertEqual(sorted(name for name in used if name not in pages), [])

    def test_no_setting_steers_a_privileged_program(self):
        """All are read by secure_getenv(), but for the paths of the user's files, which such a program does not read."""
        plain = re.compile(r"(?<!secure_)\bgetenv\((.*?)\)")
        found = {(path, argument) for path in sources(".c") if path.split("/")[0] in ROOMS
                 and not os.path.basename(path).startswith("test-") for argument in plain.findall(read(path))}
        self.assertEqual(found, {("config/paths.c", '"HOME"'), ("config/paths.c", '"XDG_CONFIG_HOME"')})


class ManPages(unittest.TestCase):
    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not installed")
    def test_they_are_well_formed(self):
        for page in MAN_PAGES:
            with self.subTest(page=page):
                file = os.path.join(BUILD, "man", page)
                self.assertTrue(os.path.exists(file), f"{file} was not made: is scdoc installed?")
                result = subprocess.run(["mandoc", "-Tlint", "-Werror", file], capture_output=True, text=True, check=False)
                self.assertEqual((result.returncode, result.stdout), (0, ""))

    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not installed")
    def test_nothing_is_left_to_fill_in(self):
        for page in MAN_PAGES:
            with self.subTest(page=page):
                text = subprocess.run(["mandoc", "-Tutf8", os.path.join(BUILD, "man", page)], capture_output=True, text=True,
                                      check=True).stdout
                self.assertEqual(re.findall(r"@[A-Z]+@", text), [])

    def test_pages_that_they_name_of_ours_exist(self):
        ours = {"libp11-kit", "p11-kit", "p11-kit-proxy", "pkcs11.conf"}
        for page in WRITTEN_PAGES:
            for name, section in re.findall(r"\*([a-z0-9.-]+)\*\((\d)\)", read(f"man/{page}.scd")):
                if name in ours:
                    self.assertIn(f"{name}.{section}", MAN_PAGES, page)

    def test_each_option_of_the_command_is_described(self):
        page = read("man/p11-kit.8.scd")
        for option in re.findall(r'strcmp\(name, "([a-z-]+)"\)', read("cli/p11-kit.c")):
            self.assertIn(f"*--{option}*", page)
        for letter in re.findall(r"case '([a-z])':", read("cli/p11-kit.c")):
            self.assertIn(f"*-{letter}*", page)


class Markdown(unittest.TestCase):
    def test_links_lead_to_files(self):
        for page in MARKDOWN:
            folder = os.path.dirname(page)
            for target in re.findall(r"\]\(([^)#\s]+)", read(page)):
                if "://" not in target:
                    with self.subTest(page=page, target=target):
                        self.assertTrue(os.path.exists(os.path.join(SOURCE, folder, target)))

    def test_paths_that_they_name_exist(self):
        """`room/file.c` in running text: pages outlive the files that they speak of."""
        path_like = re.compile(r"`((?:%s|data|tools|include|tests|examples|docs|man|bench)/[A-Za-z0-9_./-]*)`" % "|".join(ROOMS))
        for page in MARKDOWN:
            for path in path_like.findall(read(page)):
                with self.subTest(page=page, path=path):
                    self.assertTrue(any(os.path.exists(os.path.join(root, path)) for root in (SOURCE, BUILD)), path)


class Sources(unittest.TestCase):
    def test_each_names_its_licence_first(self):
        without = [path for path in sources(".c", ".h", ".h.in", ".py", ".sh")
                   if SPDX not in "".join(read(path).splitlines(True)[:2])]
        self.assertEqual(without, [])

    def test_nothing_is_left_to_do(self):
        marks = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
        left = [f"{path}:{number}" for path in sources(".c", ".h", ".h.in", ".py", ".sh", ".build", ".md", ".scd")
                for number, line in enumerate(read(path).splitlines(), 1) if marks.search(line)]
        self.assertEqual(left, [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
