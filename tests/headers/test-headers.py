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

    def test_their_prototypes_behind_ours(self):
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

    CPLUSPLUS = shutil.which("g++") or shutil.which("clang++")

    @unittest.skipUnless(CPLUSPLUS, "there is no compiler for C++")
    def test_cplusplus(self):
        for standard in ("c++11", "c++17"):
            for text in (self.EVERYTHING, self.GNU):
                result = subprocess.run([self.CPLUSPLUS, "-x", "c++", f"-std={standard}", "-Wall", "-Wextra", "-Werror",
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


    def test_deprecated_is_not_for_direct_use(self):
        self.assertNotEqual(self.compiles("#include <p11-kit/deprecated.h>\n", "-x", "c").returncode, 0)

    def test_a_foreign_header_first(self):
        self.assert_compiles("#define PKCS11_H 1\n#include <p11-kit/pkcs11.h>\nint CK_RV;\n", "-x", "c")


class Promises(Headers):
    """What docs/promises.tsv says of the headers and no table does."""

    HEADERS = ("pkcs11.h", "p11-kit.h", "uri.h", "pin.h", "iter.h", "remote.h", "version.h")
    WHOLE = "".join(f"#include <p11-kit/{name}>\n" for name in HEADERS)
    UNSTABLE = "#define P11_KIT_FUTURE_UNSTABLE_API 1\n"

    def assert_c(self, text, *arguments):
        self.assert_compiles(text, "-x", "c", "-std=c11", "-Wall", "-Werror", *arguments)

    def assert_unknown(self, before, name):
        """Whether a program may have the name itself: nothing has declared it."""
        self.assert_c(f"{before}\ntypedef int {name};\nextern {name} use;\n", "-Wno-unused")

    def assert_known(self, before, name):
        self.assertNotEqual(self.compiles(f"{before}\ntypedef int {name};\nextern {name} use;\n", "-x", "c").returncode, 0,
                            name)

    def prototypes(self):
        with open(os.path.join(SOURCE, "tests", "headers", "prototypes.h"), encoding="utf-8") as file:
            return file.read()

    def test_prototypes_and_enumerators(self):
        self.assert_c("#define P11_KIT_NO_DEPRECATIONS\n" + self.UNSTABLE + self.WHOLE + self.prototypes())
        with open(os.path.join(SOURCE, "tests", "symbols", "exports.txt"), encoding="utf-8") as file:
            names = re.findall(r"^p11_kit_\w+", file.read(), re.M)
        self.assertGreater(len(names), 95)
        self.assertEqual([name for name in names if not re.search(rf"\b{name}\(", self.prototypes())], [])

    def test_a_wrong_prototype_is_found(self):
        with self.assertRaises(AssertionError):
            self.assert_c(self.WHOLE + "char *p11_kit_message(void);\n")

    def test_unstable_parts_are_to_be_asked_for(self):
        for name in ("p11_kit_set_progname", "p11_kit_override_system_files", "p11_kit_iter_next", "P11KitIter",
                     "P11_KIT_ITER_WITH_SLOTS", "p11_kit_remote_serve_module", "p11_kit_remote_serve_tokens"):
            with self.subTest(name=name):
                self.assert_unknown(self.WHOLE, name)
                self.assert_known(self.UNSTABLE + self.WHOLE, name)

    def test_deprecated_parts_can_be_hidden(self):
        for name in ("p11_kit_initialize_registered", "p11_kit_initialize_module", "p11_kit_load_initialize_module",
                     "p11_kit_uri_get_pinfile", "p11_kit_uri_set_pinfile", "p11_kit_remote_serve_token"):
            with self.subTest(name=name):
                self.assert_unknown("#define P11_KIT_DISABLE_DEPRECATED\n" + self.UNSTABLE + self.WHOLE, name)
                self.assert_known(self.UNSTABLE + self.WHOLE, name)

    def test_deprecated_functions_warn(self):
        for name in ("initialize_registered()", "finalize_registered()", "registered_modules()",
                     'registered_name_to_module("")', "registered_module_to_name(0)", 'registered_option(0, "")',
                     "initialize_module(0)", "finalize_module(0)", 'load_initialize_module("", 0)'):
            with self.subTest(name=name):
                use = f"#include <p11-kit/p11-kit.h>\nvoid f(void);\nvoid f(void) {{ (void)p11_kit_{name}; }}\n"
                result = self.compiles(use, "-x", "c", "-Werror=deprecated-declarations")
                self.assertNotEqual(result.returncode, 0)
                self.assertIn("deprecated", result.stderr)
                self.assert_c("#define P11_KIT_NO_DEPRECATIONS\n" + use)
        self.assert_c(self.WHOLE + "#ifdef P11_KIT_DEPRECATED_FOR\n#error left over\n#endif\nint x;\n")

    def test_guards(self):
        for header, guard in (("p11-kit.h", "__P11_KIT_H__"), ("p11-kit.h", "__P11_KIT_DEPRECATED_H__"),
                              ("iter.h", "P11_KIT_ITER_H"), ("uri.h", "P11_KIT_URI_H"), ("pin.h", "P11_KIT_PIN_H"),
                              ("remote.h", "__P11_KIT_REMOTE_H__"), ("version.h", "P11_KIT_VERSION_H"),
                              ("pkcs11.h", "PKCS11_H")):
            with self.subTest(header=header):
                self.assert_c(f"#include <p11-kit/{header}>\n#ifndef {guard}\n#error {guard}\n#endif\nint x;\n")
        self.assert_c("#include <p11-kit/pkcs11.h>\n#include <p11-kit/pkcs11x.h>\n#ifndef PKCS11_X_H_\n#error\n#endif\n")

    def test_what_includes_what(self):
        for header, name in (("p11-kit.h", "p11_kit_initialize_module"), ("p11-kit.h", "CK_RV"), ("p11-kit.h", "size_t"),
                             ("uri.h", "p11_kit_modules_load"), ("uri.h", "CK_RV"), ("pin.h", "p11_kit_uri_new"),
                             ("iter.h", "p11_kit_uri_new"), ("iter.h", "p11_kit_modules_load"),
                             ("remote.h", "p11_kit_modules_load")):
            with self.subTest(header=header, name=name):
                self.assert_known(self.UNSTABLE + f"#include <p11-kit/{header}>", name)
        self.assert_unknown("#include <p11-kit/pkcs11.h>", "CK_IBM_KYBER_PARAMS")

    def test_the_two_styles(self):
        gnu = "#define CRYPTOKI_GNU 1\n#include <p11-kit/pkcs11.h>\n"
        for name in ("CK_ULONG", "CK_BYTE", "CK_BYTE_PTR", "CK_INFO", "CK_RV", "CK_TRUE", "CK_FALSE", "NULL_PTR"):
            with self.subTest(name=name):
                self.assert_unknown(gnu, name)
                self.assert_known("#include <p11-kit/pkcs11.h>\n", name)
        self.assert_c(gnu + "ck_rv_t f(struct ck_info *, ck_slot_id_t, struct ck_token_info *);\n"
                      "_Static_assert(CKA_CLASS == 0 && CKR_OK == 0, \"\");\n")
        self.assert_unknown("#include <p11-kit/pkcs11.h>\n", "ck_rv_t")
        compat = "#if CRYPTOKI_COMPAT != 1\n#error COMPAT\n#endif\nCK_RV f(CK_INFO *);\n"
        self.assert_c("#include <p11-kit/pkcs11.h>\n" + compat)
        self.assert_c("#define CRYPTOKI_GNU 1\n#define CRYPTOKI_COMPAT 1\n#include <p11-kit/pkcs11.h>\n" + compat)

    def test_gnu_programs_have_the_names_of_the_prototypes(self):
        names = ["CK_ATTRIBUTE_TYPE", "CK_OBJECT_HANDLE", "CK_RV", "CK_SESSION_HANDLE", "CK_SLOT_ID", "CK_ATTRIBUTE",
                 "CK_ATTRIBUTE_PTR", "CK_FUNCTION_LIST", "CK_FUNCTION_LIST_PTR", "CK_INFO", "CK_INFO_PTR", "CK_SLOT_INFO",
                 "CK_SLOT_INFO_PTR", "CK_TOKEN_INFO", "CK_TOKEN_INFO_PTR", "CK_BBOOL", "CK_ULONG"]
        self.assert_c("#define CRYPTOKI_GNU 1\n#include <p11-kit/p11-kit.h>\n" +
                      "".join(f"extern {name} use_{name};\n" for name in names))
        self.assert_c("#define CRYPTOKI_GNU 1\n#include <p11-kit/uri.h>\nextern p11_kit_uri_type_t a;\n"
                      "extern P11KitUriType a;\nextern p11_kit_uri_result_t b;\nextern P11KitUriResult b;\n")

    def test_tags_of_structs(self):
        names = ["VERSION", "INFO", "SLOT_INFO", "TOKEN_INFO", "SESSION_INFO", "ATTRIBUTE", "DATE", "MECHANISM",
                 "MECHANISM_INFO", "FUNCTION_LIST", "FUNCTION_LIST_3_0", "FUNCTION_LIST_3_2", "C_INITIALIZE_ARGS"]
        self.assert_c("#include <p11-kit/pkcs11.h>\n" + "".join(
            f"extern struct _CK_{name} *use_{name};\nextern CK_{name} *use_{name};\nextern CK_{name}_PTR use_{name};\n"
            for name in names))

    def test_version_of_the_standard(self):
        self.assert_c("#include <p11-kit/pkcs11.h>\n" + "".join(
            f"#if {name} != {value}\n#error {name}\n#endif\n" for name, value in (
                ("CRYPTOKI_VERSION_MAJOR", 3), ("CRYPTOKI_VERSION_MINOR", 2), ("CRYPTOKI_VERSION_REVISION", 0),
                ("CRYPTOKI_LEGACY_VERSION_MAJOR", 2), ("CRYPTOKI_LEGACY_VERSION_MINOR", 40),
                ("P11_KIT_CRYPTOKI_VERSION_REVISION", 0))) + "int x;\n")

    def test_what_the_standard_wants_defined(self):
        self.assert_c("#include <p11-kit/pkcs11.h>\n#ifndef CK_SPEC\n#error CK_SPEC\n#endif\nint CK_SPEC x;\n"
                      "CK_DEFINE_FUNCTION(CK_RV, C_Finalize)(CK_VOID_PTR reserved) { return reserved ? 1UL : CKR_OK; }\n"
                      "CK_VOID_PTR p = NULL_PTR;\n_Static_assert(TRUE == CK_TRUE && FALSE == CK_FALSE, \"\");\n")
        self.assert_unknown("#define CK_DISABLE_TRUE_FALSE\n#include <p11-kit/pkcs11.h>\n", "TRUE")
        self.assert_c("#define TRUE 7\n#define FALSE 8\n#define NULL_PTR 9\n#include <p11-kit/pkcs11.h>\n"
                      "_Static_assert(TRUE == 7 && FALSE == 8 && NULL_PTR == 9, \"\");\n")

    def test_packing(self):
        sizes = ("#include <p11-kit/pkcs11.h>\n#include <p11-kit/pkcs11x.h>\n#include <stddef.h>\n"
                 "#define PACKED(type, size, aligned) _Static_assert(sizeof(type) == (PACK ? (size) : (aligned)), #type)\n"
                 "enum { L = sizeof(long) };\n"
                 "PACKED(CK_FUNCTION_LIST, 2 + 68 * L, 69 * L);\n"
                 "PACKED(CK_IBM_KYBER_PARAMS, 8 * L + 1, 9 * L);\n"
                 "struct mine { char a; long b; };\n"
                 "_Static_assert(sizeof(struct mine) == 2 * L, \"the program's own structs\");\n")
        self.assert_c("#define PACK 0\n" + sizes)
        self.assert_c("#define PACK 1\n" + sizes, "-DCRYPTOKI_FORCE_WIN32")

    def test_additions_of_vendors(self):
        x = "#include <p11-kit/pkcs11.h>\n#include <p11-kit/pkcs11x.h>\n#include <stddef.h>\n"
        self.assert_c(x + "".join(f"#if {name} != 1\n#error {name}\n#endif\n" for name in (
            "CRYPTOKI_NSS_VENDOR_DEFINED", "CRYPTOKI_X_VENDOR_DEFINED", "CRYPTOKI_RU_TEAM_TC26_VENDOR_DEFINED",
            "CRYPTOKI_IBM_VENDOR_DEFINED")) + "extern CK_TRUST trust;\nextern CK_ULONG trust;\n"
            "_Static_assert(CKA_NSS_TRUST_STEP_UP_APPROVED == 0xce536360 && CKA_NSS_CERT_SHA1_HASH == 0xce5363b4 && "
            "CKA_NSS_CERT_MD5_HASH == 0xce5363b5 && CKA_X_DISTRUSTED == 0xd8444764 && CKK_KUZNECHIK == 0xd4321003 + 1 && "
            'CKA_IBM_OPAQUE == 0x80000001 && CKM_IBM_KYBER == 0x80010024, "");\n')
        self.assert_c("#include <p11-kit/pkcs11.h>\n" + "".join(
            f"_Static_assert(CKA_TRUST_{name} == {value}, \"{name}\");\n" for name, value in (
                ("SERVER_AUTH", 0x62c), ("CLIENT_AUTH", 0x62d), ("CODE_SIGNING", 0x62e), ("EMAIL_PROTECTION", 0x62f),
                ("TIME_STAMPING", 0x631))))

    def test_structs_of_ibm(self):
        members = {
            "ECDSA_OTHER_PARAMS": (["submechanism"], ["submechanism"]),
            "BTC_DERIVE_PARAMS": (["type", "childKeyIndex", "pChainCode", "ulChainCodeLen", "version"],
                                  ["type", "child_key_index", "p_chain_code", "ul_cahin_code_len", "version"]),
            "KYBER_PARAMS": (["ulVersion", "mode", "kdf", "bPrepend", "pCipher", "ulCipherLen", "pSharedData",
                              "ulSharedDataLen", "hSecret"],
                             ["ul_version", "mode", "kdf", "b_prepend", "p_cipher", "ul_cipher_len", "p_shared_data", None,
                              "h_secret"]),
            "ATTRIBUTEBOUND_WRAP_PARAMS": (["hSignVerifyKey"], ["h_sign_verify_key"]),
        }
        for style, before in enumerate(("", "#define CRYPTOKI_GNU 1\n")):
            self.assert_c(before + "#include <p11-kit/pkcs11.h>\n#include <p11-kit/pkcs11x.h>\n#include <stddef.h>\n" + "".join(
                f'_Static_assert(offsetof(CK_IBM_{struct}, {name}) == {place} * sizeof(long), "{name}");\n'
                for struct, names in members.items() for place, name in enumerate(names[style]) if name))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
