#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Do our public headers agree with the incumbent's, and can every program include them?

usage: test-headers.py SOURCE-ROOT BUILD-ROOT COMPILER...

A program compiled against our headers and one compiled against those of Debian's libp11-kit-dev print the size and the
offsets of every struct, and the value of every constant and enumerator, that both have; the two must say the same.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE, BUILD = sys.argv[1:3]
COMPILER = sys.argv[3:]
OURS = ["-I", os.path.join(BUILD, "include"), "-I", os.path.join(SOURCE, "include")]
THEIRS = ["-I", "/usr/include/p11-kit-1"]
INCLUDES = ("#define P11_KIT_FUTURE_UNSTABLE_API 1\n#include <stdio.h>\n#include <stddef.h>\n"
            "#include <p11-kit/pkcs11.h>\n#include <p11-kit/p11-kit.h>\n#include <p11-kit/uri.h>\n"
            "#include <p11-kit/pin.h>\n#include <p11-kit/iter.h>\n#include <p11-kit/remote.h>\n")

# Where the standard has other values than the incumbent.
STANDARD_IS_RIGHT = {"CKR_EXCEEDED_MAX_ITERATIONS", "CKR_FIPS_SELF_TEST_FAILED", "CKR_LIBRARY_LOAD_FAILED",
                     "CKR_PIN_TOO_WEAK", "CKR_PUBLIC_KEY_INVALID"}
MACROS = re.compile(r"^#define ((?:CK[A-Z]?_|CRYPTOKI_|P11_KIT_)\w+) (.+)$", re.M)
PROTOTYPES = re.compile(r"^([\w \t*]*?\bp11_kit_\w+\s*\([^;{}]*\)\s*;)", re.M)
ENUMERATORS = re.compile(r"\b(P11_KIT_[A-Z_]+)\b\s*(?:=|,|\n)")


def compiler(*arguments, text="", folder=None):
    return subprocess.run([*COMPILER, *arguments], input=text, capture_output=True, text=True, check=False, cwd=folder)


def macros(include):
    result = compiler("-dM", "-E", "-x", "c", *include, "-", text=INCLUDES)
    return dict(MACROS.findall(result.stdout))


def table(name):
    with open(os.path.join(SOURCE, "data", name), encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if line.strip() and not line.startswith("#")]
    return [dict(zip(rows[0], row + [""] * len(rows[0]))) for row in rows[1:]]


class Headers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="p11-headers-")
        self.addCleanup(shutil.rmtree, self.folder)

    def compiles(self, text, *arguments, include=OURS):
        return compiler("-fsyntax-only", *include, *arguments, "-", text=text)

    def assert_compiles(self, text, *arguments, include=OURS):
        result = self.compiles(text, *arguments, include=include)
        self.assertEqual(result.returncode, 0, f"{arguments}: {result.stderr[:2000]}")


@unittest.skipUnless(os.path.exists("/usr/include/p11-kit-1/p11-kit/pkcs11.h"), "libp11-kit-dev is not installed")
class Agreement(Headers):
    def answers(self, include, body):
        """What a program prints: a dictionary of its lines."""
        path = os.path.join(self.folder, "program")
        text = INCLUDES + "int main(void)\n{\n" + "\n".join(body) + "\n\treturn 0;\n}\n"
        built = compiler("-w", "-x", "c", *include, "-", "-o", path, text=text)
        self.assertEqual(built.returncode, 0, built.stderr[:2000])
        lines = subprocess.run([path], capture_output=True, text=True, check=True).stdout.splitlines()
        return dict(line.split("=") for line in lines)

    def shared(self, lines):
        """Those lines of C, by what they are about, that compile against both."""
        both = {}
        for include in (THEIRS, OURS):
            both[include[1]] = self.compiling(include, lines)
        return {name: line for name, line in lines.items() if all(name in names for names in both.values())}

    def compiling(self, include, lines):
        """The names whose line is no error: one compilation tells them all."""
        names = list(lines)
        text = INCLUDES + "void f(void) {\n" + "".join(f'#line {number + 1} "probe"\n{lines[name]}\n'
                                                       for number, name in enumerate(names)) + "}\n"
        result = compiler("-w", "-fsyntax-only", "-fmax-errors=0" if "clang" not in COMPILER[0] else "-ferror-limit=0",
                          *include, "-x", "c", "-", text=text)
        wrong = {int(number) for number in re.findall(r"^probe:(\d+):\d+: error", result.stderr, re.M)}
        return {name for number, name in enumerate(names) if number + 1 not in wrong}

    def compare(self, lines, at_least, except_for=()):
        shared = self.shared(lines)
        self.assertGreaterEqual(len(shared), at_least)
        ours, theirs = (self.answers(include, shared.values()) for include in (OURS, THEIRS))
        different = {name for name in theirs if ours.get(name) != theirs[name]}
        self.assertEqual(different, set(except_for), {name: (ours.get(name), theirs[name]) for name in different})

    def test_constants(self):
        names = [name for name in macros(THEIRS) if name in macros(OURS) and not name.startswith("CRYPTOKI_VERSION_")]
        lines = {name: f'\tprintf("{name}=%llx\\n", (unsigned long long)({name}));' for name in names}
        for name in ("CK_SPEC", "P11_KIT_URI_SCHEME", "P11_KIT_PIN_FALLBACK"):
            lines.pop(name, None)
        self.compare(lines, at_least=700, except_for=STANDARD_IS_RIGHT & set(macros(THEIRS)))

    def test_every_shared_macro_is_ours_too(self):
        gone = [name for name in macros(THEIRS) if name not in macros(OURS)
                and name not in ("P11_KIT_DEPRECATED_FOR", "P11_KIT_FUTURE_UNSTABLE_API")]
        self.assertEqual(gone, [])

    def test_enumerators(self):
        names = set()
        for header in ("p11-kit.h", "uri.h", "pin.h", "iter.h"):
            with open(os.path.join(THEIRS[1], "p11-kit", header), encoding="utf-8") as file:
                names |= set(ENUMERATORS.findall(file.read()))
        names -= set(macros(THEIRS))
        self.compare({name: f'\tprintf("{name}=%d\\n", (int){name});' for name in sorted(names)}, at_least=25)

    def test_structs(self):
        lines = {}
        for row in table("structs.tsv"):
            struct = row["struct"]
            lines[struct] = f'\tprintf("{struct}=%zu\\n", sizeof({struct}));'
            for member in (row["member"], row["also"].split(" ")[-1]):
                if member:
                    name = f"{struct}.{member}"
                    lines[name] = (f'\tprintf("{name}=%zu/%zu\\n", offsetof({struct}, {member}), '
                                   f"sizeof((({struct} *)0)->{member}));")
        for number, struct in enumerate(("CK_FUNCTION_LIST", "CK_FUNCTION_LIST_3_0")):
            lines[struct] = f'\tprintf("{struct}=%zu\\n", sizeof({struct}));'
        for struct in ("P11KitUriResult", "P11KitUriType", "P11KitPinFlags"):
            lines[struct] = f'\tprintf("{struct}=%zu\\n", sizeof({struct}));'
        self.compare(lines, at_least=100)  # Debian 12's header has 2.40's structs and few more

    def test_prototypes(self):
        """Theirs behind ours: a compiler refuses a declaration that says something else."""
        theirs = []
        for header in ("p11-kit.h", "deprecated.h", "uri.h", "pin.h", "iter.h", "remote.h"):
            with open(os.path.join(THEIRS[1], "p11-kit", header), encoding="utf-8") as file:
                text = re.sub(r"/\*.*?\*/|^[ \t]*#.*?$|P11_KIT_DEPRECATED_FOR\s*\(.*?\)", "", file.read(), flags=re.S | re.M)
            theirs += PROTOTYPES.findall(text)
        self.assertEqual(len(theirs), 99)
        self.assert_compiles(INCLUDES + "\n".join(theirs), "-x", "c", "-w")
        changed = [line.replace("P11KitIterBehavior", "long") for line in theirs]
        self.assertNotEqual(self.compiles(INCLUDES + "\n".join(changed), "-x", "c", "-w").returncode, 0)


class Facts(Headers):
    """Every name of the standard is there, as the tables have it."""

    def test_members_with_two_names(self):
        rows = [row for row in table("structs.tsv") if row["also"]]
        self.assertGreaterEqual(len(rows), 8)
        self.assert_compiles("#include <p11-kit/pkcs11.h>\n#include <stddef.h>\n" + "".join(
            f'_Static_assert(offsetof({row["struct"]}, {row["member"]}) == '
            f'offsetof({row["struct"]}, {row["also"].split()[-1]}), "{row["struct"]}");\n' for row in rows
            if row["struct"] != "CK_ECDH_AES_KEY_WRAP_PARAMS"), "-x", "c", "-std=c11")

    def test_values(self):
        checks = []
        for name in ("constants.tsv", "attributes.tsv", "mechanisms.tsv", "errors.tsv"):
            checks += [f'_Static_assert(({row["name"]}) == ({row["value"]}), "{row["name"]}");' for row in table(name)
                       if row["origin"] in ("2.40", "3.0", "3.1", "3.2")]
        self.assertGreater(len(checks), 900)
        self.assert_compiles("#include <p11-kit/pkcs11.h>\n" + "\n".join(checks), "-x", "c", "-std=c11")

    def test_positions_in_the_lists(self):
        checks = []
        for position, row in enumerate(table("calls.tsv"), 1):
            lists = [name for since, name in (("2.40", "CK_FUNCTION_LIST"), ("3.0", "CK_FUNCTION_LIST_3_0"),
                                              ("3.2", "CK_FUNCTION_LIST_3_2")) if since >= row["since"]]
            checks += [f'_Static_assert(offsetof({name}, {row["name"]}) == {position} * sizeof(void *), "");'
                       for name in lists]
        self.assert_compiles("#include <p11-kit/pkcs11.h>\n#include <stddef.h>\n" + "\n".join(checks), "-x", "c",
                             "-std=c11")


class Standard(Headers):
    """What PKCS#11 3.2 says, by a list that was not made from data/ (oasis-3.2.tsv)."""

    def standard(self, kind):
        with open(os.path.join(SOURCE, "tests", "headers", "oasis-3.2.tsv"), encoding="utf-8") as file:
            rows = [line.rstrip("\n").split("\t") for line in file if line.startswith(kind + "\t")]
        self.assertGreater(len(rows), 80)
        return [row[1:] for row in rows]

    def assert_holds(self, lines):
        self.assert_compiles("#include <p11-kit/pkcs11.h>\n#include <stddef.h>\n" + "\n".join(lines) + "\n",
                             "-x", "c", "-std=c11", "-Wall", "-Werror")

    def test_constants(self):
        self.assert_holds(f'_Static_assert(({name}) == ({value}), "{name}");' for name, value in self.standard("constant"))

    def test_types(self):
        self.assert_holds(f"extern {name} *use_{name};" for name, in self.standard("type"))

    def test_prototypes(self):
        self.assert_holds(f"CK_RV {name}({params});\nCK_C_{name[2:]} use_{name} = {name};"
                          for name, params in self.standard("call"))

    def test_a_wrong_prototype_is_found(self):
        with self.assertRaises(AssertionError):
            self.assert_holds(["CK_RV C_Login(CK_SESSION_HANDLE hSession);"])

    @unittest.skipUnless(sys.maxsize > 2**32, "the offsets are those of 64 bits")
    def test_members(self):
        lines = []
        for member, place in self.standard("member"):
            struct, field = member.split(".")
            offset, size, whole = place.split(":")
            lines.append(f'_Static_assert(offsetof({struct}, {field}) == {offset} && sizeof((({struct} *)0)->{field}) == {size} '
                         f'&& sizeof({struct}) == {whole}, "{member}");')
        self.assert_holds(lines)


class Includes(Headers):
    EVERYTHING = ("#define P11_KIT_FUTURE_UNSTABLE_API 1\n#include <p11-kit/pkcs11.h>\n#include <p11-kit/pkcs11x.h>\n#include <p11-kit/p11-kit.h>\n"
                  "#include <p11-kit/uri.h>\n#include <p11-kit/pin.h>\n#include <p11-kit/iter.h>\n"
                  "#include <p11-kit/remote.h>\n")
    GNU = ("#define CRYPTOKI_GNU 1\n#define P11_KIT_FUTURE_UNSTABLE_API 1\n#include <p11-kit/p11-kit.h>\n#include <p11-kit/uri.h>\n#include <p11-kit/pin.h>\n"
           "#include <p11-kit/iter.h>\n#include <p11-kit/remote.h>\nck_rv_t f(struct ck_function_list *list, struct ck_attribute *attribute, ck_session_handle_t session)\n{\n"
           "\tattribute->value_len = 0;\n\tattribute->value = 0;\n\tattribute->type = CKA_CLASS;\n"
           "\treturn list->C_CloseSession(session);\n}\nck_rv_t f(struct ck_function_list *, struct ck_attribute *, "
           "ck_session_handle_t);\np11_kit_uri_type_t type = P11_KIT_URI_FOR_ANY;\n")

    def test_c(self):
        for standard in ("c99", "c11", "gnu11", "gnu17"):
            for text in (self.EVERYTHING, self.GNU):
                self.assert_compiles(text, "-x", "c", f"-std={standard}", "-Wall", "-Wextra", "-Werror")

    @unittest.skipUnless(shutil.which("g++"), "there is no g++")
    def test_cplusplus(self):
        for standard in ("c++11", "c++17"):
            for text in (self.EVERYTHING, self.GNU):
                result = subprocess.run(["g++", "-x", "c++", f"-std={standard}", "-Wall", "-Wextra", "-Werror",
                                         "-fsyntax-only", *OURS, "-"], input=text, capture_output=True, text=True,
                                        check=False)
                self.assertEqual(result.returncode, 0, result.stderr[:2000])

    def test_macros_of_common_words_survive(self):
        words = ("value", "count", "key", "flag", "info", "index", "params", "parameter", "reserved", "templ")
        text = "#include <p11-kit/pkcs11.h>\n" + "".join(f"#ifdef {word}\n#error {word}\n#endif\n" for word in words)
        self.assert_compiles(text, "-x", "c")

    # Whether a function is declared, as the macros and headers that come before it say.
    SEEN = (
        ("", "iter.h", "p11_kit_iter_new", False),
        ("", "remote.h", "p11_kit_remote_serve_tokens", False),
        ("", "p11-kit.h", "p11_kit_set_progname", False),
        ("-DP11_KIT_FUTURE_UNSTABLE_API", "iter.h", "p11_kit_iter_new", True),
        ("-DP11_KIT_FUTURE_UNSTABLE_API", "remote.h", "p11_kit_remote_serve_tokens", True),
        ("-DP11_KIT_FUTURE_UNSTABLE_API", "remote.h", "p11_kit_remote_serve_token", True),
        ("-DP11_KIT_FUTURE_UNSTABLE_API", "p11-kit.h", "p11_kit_set_progname", True),
        ("-DP11_KIT_FUTURE_UNSTABLE_API -DP11_KIT_DISABLE_DEPRECATED", "remote.h", "p11_kit_remote_serve_token", False),
        ("-DP11_KIT_DISABLE_DEPRECATED", "p11-kit.h", "p11_kit_registered_modules", False),
        ("-DP11_KIT_DISABLE_DEPRECATED", "uri.h", "p11_kit_uri_get_pinfile", False),
        ("", "uri.h", "p11_kit_uri_get_pinfile", True),
    )

    def test_what_the_macros_show(self):
        for include in (OURS, THEIRS) if os.path.isdir(THEIRS[1]) else (OURS,):
            for options, header, name, is_seen in self.SEEN:
                with self.subTest(include=include[1], options=options, name=name):
                    result = self.compiles(f"#include <p11-kit/{header}>\nvoid *f(void) {{ return (void *){name}; }}\n",
                                           "-x", "c", "-w", *options.split(), include=include)
                    self.assertEqual(result.returncode == 0, is_seen, result.stderr[:500])

    GUARDS = {"p11-kit.h": "__P11_KIT_H__", "iter.h": "P11_KIT_ITER_H", "uri.h": "P11_KIT_URI_H", "pin.h": "P11_KIT_PIN_H",
              "remote.h": "__P11_KIT_REMOTE_H__", "version.h": "P11_KIT_VERSION_H", "pkcs11.h": "PKCS11_H",
              "pkcs11x.h": "PKCS11_X_H_"}

    def test_guards(self):
        for header, guard in self.GUARDS.items():
            with self.subTest(header=header):
                self.assert_compiles(f"#include <p11-kit/pkcs11.h>\n#include <p11-kit/{header}>\n#ifndef {guard}\n#error none\n#endif\n", "-x", "c")

    def test_deprecated_is_not_for_direct_use(self):
        self.assertNotEqual(self.compiles("#include <p11-kit/deprecated.h>\n", "-x", "c").returncode, 0)

    def test_a_foreign_header_first(self):
        self.assert_compiles("#define PKCS11_H 1\n#include <p11-kit/pkcs11.h>\nint CK_RV;\n", "-x", "c")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
