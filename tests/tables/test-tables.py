#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Is one row of data/ all that a new call, constant or mechanism needs, and is a wrong row told with file, line and reason?

usage: test-tables.py SOURCE-ROOT COMPILER...
       test-tables.py SOURCE-ROOT --update      writes the expected files anew
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
SOURCE, COMPILER = sys.argv[1], sys.argv[2:]
GENERATE = os.path.join(SOURCE, "tools", "generate.py")
DATA = os.path.join(SOURCE, "data")
EXPECTED = os.path.join(SOURCE, "tests", "tables", "expected")
ROOMS = ["base", "pkcs11", "config", "module", "share", "proxy", "api", "doors"]
# They call modules as a program would.
CONSUMERS = ["iter.", "iter-"]

sys.path.insert(0, os.path.join(SOURCE, "tools"))
import standard  # noqa: E402
import tables  # noqa: E402

# A small standard: what the expected files are made from.
SMALL_CALLS = ["C_Initialize", "C_GetSlotInfo", "C_CloseSession", "C_GetSessionInfo", "C_Sign", "C_CancelFunction"]
GOLDEN = ["calls.h", "calls.c", "pool.h", "pool.c", "pool-entries.c", "forward.c"]


def run_generator(data, *outputs, contexts="2"):
    return subprocess.run([sys.executable, GENERATE, "--data", data, "--contexts", contexts, *outputs],
                          capture_output=True, text=True, check=False)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def make_small(folder):
    """data/ with only SMALL_CALLS in calls.tsv."""
    shutil.copytree(DATA, folder)
    path = os.path.join(folder, "calls.tsv")
    rows = read(path).splitlines(keepends=True)
    write(path, "".join(row for row in rows
                        if not row.startswith("C_") or row.split("\t")[0] in SMALL_CALLS))


def without_places(text):
    """Line numbers in data/ change with every row above; the expected files do not care."""
    return re.sub(r"\b([a-z]+\.tsv):\d+", r"\1", text)


class Tables(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="p11-tables-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.data = os.path.join(self.folder, "data")

    def generate(self, kind, contexts="2"):
        path = os.path.join(self.folder, kind)
        result = run_generator(self.data, f"{kind}={path}", contexts=contexts)
        self.assertEqual(result.returncode, 0, result.stderr)
        return read(path)

    def edit(self, file, old, new):
        """Replaces the first `old` in a table; returns the number of its line."""
        path = os.path.join(self.data, file)
        text = read(path)
        self.assertIn(old, text)
        write(path, text.replace(old, new, 1))
        return text[:text.index(old)].count("\n") + 1


class Golden(Tables):
    def test_expected_files(self):
        make_small(self.data)
        for kind in GOLDEN:
            with self.subTest(kind):
                self.assertMultiLineEqual(without_places(self.generate(kind)),
                                          read(os.path.join(EXPECTED, kind + ".txt")))

    def test_nothing_of_the_machine_is_in_them(self):
        make_small(self.data)
        for kind in GOLDEN:
            self.assertNotIn(self.folder, self.generate(kind))


class BrokenRows(Tables):
    SIGN = "C_Sign\t2.40\tsession\t"

    def assert_refused(self, file, old, new, reason, line_after=0):
        shutil.copytree(DATA, self.data)
        line = self.edit(file, old, new) + line_after
        result = run_generator(self.data, "calls.h=" + os.path.join(self.folder, "out"))
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertRegex(result.stderr, rf"{re.escape(file)}:{line}: error: .*{reason}")
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "out")))

    def test_unknown_word_of_a_parameter(self):
        self.assert_refused("calls.tsv", "CK_BYTE_PTR pData in", "CK_BYTE_PTR pData inn", "inn")

    def test_unknown_type(self):
        self.assert_refused("calls.tsv", "CK_SLOT_INFO_PTR pInfo", "CK_SLOTINFO_PTR pInfo", "CK_SLOTINFO_PTR")

    def test_unknown_route(self):
        self.assert_refused("calls.tsv", self.SIGN, "C_Sign\t2.40\tsesion\t", "sesion")

    def test_unknown_version(self):
        self.assert_refused("calls.tsv", self.SIGN, "C_Sign\ttwo\tsession\t", "two")

    def test_a_name_twice(self):
        self.assert_refused("calls.tsv", "C_SignUpdate\t", "C_Sign\t", "C_Sign")

    def test_count_of_nothing(self):
        self.assert_refused("calls.tsv", "count:ulDataLen", "count:ulDataLne", "ulDataLne")

    def test_no_number(self):
        self.assert_refused("constants.tsv", "CK_INVALID_HANDLE\t0UL", "CK_INVALID_HANDLE\tzero", "zero")

    def test_too_few_columns(self):
        self.assert_refused("constants.tsv", "CK_INVALID_HANDLE\t0UL\t2.40", "CK_INVALID_HANDLE\t0UL", "column")

    def test_member_of_no_struct(self):
        self.assert_refused("structs.tsv", "CK_SLOT_INFO\tCK_FLAGS", "CK_SLOTT_INFO\tCK_FLAGS", "CK_SLOTT_INFO")


class MadeUp(Tables):
    def setUp(self):
        super().setUp()
        shutil.copytree(DATA, self.data)
        columns = {name: read(os.path.join(DATA, name)).splitlines() for name in
                   ("calls.tsv", "constants.tsv", "mechanisms.tsv")}
        self.append("calls.tsv", columns["calls.tsv"], {
            "name": "C_MadeUp", "since": "3.2", "route": "session",
            "parameters": "CK_SESSION_HANDLE hSession, CK_BYTE_PTR pIn in count:ulInLen, CK_ULONG ulInLen"})
        self.append("constants.tsv", columns["constants.tsv"], {
            "name": "CKO_MADE_UP", "value": "0x7777UL", "origin": "3.2"})
        self.append("mechanisms.tsv", columns["mechanisms.tsv"], {
            "name": "CKM_MADE_UP", "value": "0x77777UL", "origin": "3.2", "parameter": "none"})

    def append(self, file, lines, values):
        names = next(line for line in lines if line and not line.startswith("#")).split("\t")
        unknown = [name for name in values if name not in names]
        for name in unknown:
            del values[name]
        with open(os.path.join(self.data, file), "a", encoding="utf-8") as table:
            table.write("\t".join(values.get(name, "") for name in names) + "\n")

    def test_a_row_is_enough(self):
        header = self.generate("pkcs11.h")
        for pattern in (r"C_MadeUp, \(CK_SESSION_HANDLE hSession", r"CK_C_MadeUp C_MadeUp;",
                        r"#define CKO_MADE_UP\s+0x7777UL", r"#define CKM_MADE_UP\s+0x77777UL"):
            self.assertTrue(re.search(pattern, header), pattern)
        self.assertIn("P11_CALL_C_MadeUp", self.generate("calls.h"))
        self.assertIn("C_MadeUp", self.generate("calls.c"))
        self.assertIn("MADE_UP", self.generate("names.c"))
        self.assertIn("target.table->C_MadeUp(target.session, pIn, ulInLen)", self.generate("forward.c"))

    def test_it_compiles(self):
        include = os.path.join(self.folder, "p11-kit")
        os.mkdir(include)
        os.mkdir(os.path.join(self.folder, "pkcs11"))
        for kind in ("calls.h", "forward.c"):
            self.generate(kind)
        shutil.move(os.path.join(self.folder, "calls.h"), os.path.join(self.folder, "pkcs11", "calls.h"))
        write(os.path.join(include, "pkcs11.h"), self.generate("pkcs11.h"))
        result = subprocess.run([*COMPILER, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                                 "-I", self.folder, "-I", SOURCE, os.path.join(self.folder, "forward.c")],
                                capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)


class Facts(unittest.TestCase):
    """What the proxy translates is all that there is to translate."""

    def setUp(self):
        self.facts = standard.Standard(tables.Tables(DATA))
        self.members = {}
        for row in read(os.path.join(DATA, "structs.tsv")).splitlines():
            if row and not row.startswith(("#", "struct\t")):
                struct, kind, *_ = row.split("\t")
                self.members.setdefault(struct, []).append(re.sub(r"\[.*|( \*|_PTR)+$", "", kind))

    def carries(self, kind, seen=()):
        kind = re.sub(r"(_PTR)+$", "", kind)
        if kind in ("CK_SLOT_ID", "CK_SESSION_HANDLE"):
            return True
        return kind not in seen and any(self.carries(member, (*seen, kind)) for member in self.members.get(kind, []))

    def test_who_carries_a_slot_or_session_back(self):
        back = {call.name for call in self.facts.calls for parameter in call.parameters
                if parameter.type.endswith("_PTR") and self.carries(parameter.type)}
        self.assertEqual(back, {"C_GetSlotList", "C_OpenSession", "C_GetSessionInfo", "C_WaitForSlotEvent"})

    def test_who_gives_a_callback(self):
        callbacks = {parameter.type for call in self.facts.calls for parameter in call.parameters
                     if not parameter.type.endswith("_PTR") and parameter.type.startswith("CK_NOTIFY")}
        self.assertEqual(callbacks, {"CK_NOTIFY"})

    def test_no_ordinary_call_is_named_by_hand(self):
        ordinary = [call.name for call in self.facts.calls if call.route == "session"]
        pattern = re.compile(r"\b(" + "|".join(ordinary) + r")\b")
        for room in ROOMS:
            for folder, _, files in os.walk(os.path.join(SOURCE, room)):
                for name in files:
                    if name.endswith((".c", ".h")) and not name.startswith(("test-", *CONSUMERS)):
                        found = pattern.search(read(os.path.join(folder, name)))
                        self.assertIsNone(found, f"{room}/{name}: {found}")


def update():
    folder = tempfile.mkdtemp(prefix="p11-tables-")
    make_small(os.path.join(folder, "data"))
    os.makedirs(EXPECTED, exist_ok=True)
    for kind in GOLDEN:
        path = os.path.join(folder, kind)
        result = run_generator(os.path.join(folder, "data"), f"{kind}={path}")
        if result.returncode:
            sys.exit(result.stderr)
        write(os.path.join(EXPECTED, kind + ".txt"), without_places(read(path)))
    shutil.rmtree(folder)


if __name__ == "__main__":
    if COMPILER == ["--update"]:
        update()
    else:
        unittest.main(argv=sys.argv[:1])
