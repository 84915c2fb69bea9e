#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Installs the project as a packager would, in a release build of its own, and looks at what arrived.

usage: test-install.py SOURCE-ROOT VERSION

Nothing is installed outside of a temporary folder.
"""

import filecmp
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE, VERSION = sys.argv[1:3]
HERE = os.path.dirname(os.path.abspath(__file__))

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
HEADERS = ["deprecated.h", "iter.h", "p11-kit.h", "pin.h", "pkcs11.h", "pkcs11x.h", "remote.h", "uri.h", "version.h"]
MAN_PAGES = ["man3/libp11-kit.3", "man5/pkcs11.conf.5", "man7/p11-kit-proxy.7", "man8/p11-kit.8"]
# Where packages look (contract: variables of p11-kit-1.pc), relative to the prefix.
PC_VARIABLES = {
    "datarootdir": "share",
    "datadir": "share",
    "pkgdatadir": "share/p11-kit",
    "sysconfdir": "etc",
    "p11_module_configs": "share/p11-kit/modules",
    "p11_system_config_modules": "share/p11-kit/modules",
}


def run(*command, **settings):
    environment = {**os.environ, **settings, "LC_ALL": "C.UTF-8"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(command)} exited with {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


def files_below(folder):
    return sorted(os.path.relpath(os.path.join(where, name), folder)
                  for where, _, names in os.walk(folder) for name in names)


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="p11-install-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.build = os.path.join(cls.folder, "build")
        cls.prefix = os.path.join(cls.folder, "prefix")
        run("meson", "setup", cls.build, SOURCE, "--prefix=" + cls.prefix, "--werror")
        run("meson", "install", "-C", cls.build)
        cls.libdir = os.path.dirname(cls.find("p11-kit-proxy.so"))

    @classmethod
    def find(cls, name):
        found = [file for file in files_below(cls.prefix) if os.path.basename(file) == name]
        if len(found) != 1:
            raise AssertionError(f"{name}: found {found}")
        return os.path.join(cls.prefix, found[0])

    def pkg_config(self, *arguments):
        return run("pkg-config", *arguments, "p11-kit-1",
                   PKG_CONFIG_PATH=os.path.join(self.libdir, "pkgconfig")).strip()

    def in_libdir(self, name):
        return os.path.join(self.libdir, name)

    def test_library(self):
        for name in ["libp11-kit.so.0", "libp11-kit.so"]:
            self.assertTrue(os.path.exists(self.in_libdir(name)), name)
        self.assertEqual(os.path.realpath(self.in_libdir("libp11-kit.so")),
                         os.path.realpath(self.in_libdir("libp11-kit.so.0")))

    def test_proxy_is_a_file_of_its_own(self):
        """ssh-agent resolves links before it compares a provider's path with those it allows."""
        proxy = self.in_libdir("p11-kit-proxy.so")
        self.assertFalse(os.path.islink(proxy))
        self.assertTrue(os.path.isfile(proxy))
        self.assertFalse(os.path.samefile(proxy, self.in_libdir("libp11-kit.so.0")))

    def test_limits_and_exports_of_the_release_build(self):
        run(sys.executable, os.path.join(HERE, "..", "symbols", "test-exports.py"), "--release",
            self.in_libdir("libp11-kit.so.0"), self.in_libdir("p11-kit-proxy.so"))

    def test_no_search_path_of_the_build_stays(self):
        """The proxy looks beside itself: in a folder that the dynamic linker does not search there may be another library."""
        self.assertNotRegex(run("readelf", "-dW", self.in_libdir("libp11-kit.so.0")), r"\((RPATH|RUNPATH)\)")
        paths = re.findall(r"\((?:RPATH|RUNPATH)\)\s+(.*)", run("readelf", "-dW", self.in_libdir("p11-kit-proxy.so")))
        self.assertEqual(paths, ["Library runpath: [$ORIGIN]"])
        for name in ["p11-kit", "p11-kit-shim.so"]:  # elsewhere than the library; copies of the template are anywhere
            paths = re.findall(r"\((?:RPATH|RUNPATH)\)\s+(.*)", run("readelf", "-dW", self.find(name)))
            self.assertEqual(paths, [f"Library runpath: [{self.libdir}]"])

    def test_no_path_of_the_sources_stays(self):
        for name in ["libp11-kit.so.0", "p11-kit-proxy.so"]:
            with open(self.in_libdir(name), "rb") as file:
                self.assertNotIn(self.build.encode(), file.read(), name)

    def test_headers(self):
        folder = os.path.join(self.prefix, "include", "p11-kit-1", "p11-kit")
        self.assertEqual(sorted(set(HEADERS) - set(os.listdir(folder))), [])
        self.assertEqual([name for name in files_below(self.prefix) if name.endswith(".h")
                          and not name.startswith("include/p11-kit-1/p11-kit/")], [])

    def test_each_header_compiles_alone(self):
        compiler = os.environ.get("CC", "cc").split()
        flags = self.pkg_config("--cflags").split()
        for name in HEADERS:
            if name == "deprecated.h":  # p11-kit.h includes it, and nobody else may
                continue
            for language in ["-std=c99", "-std=c11"]:
                with self.subTest(header=name, language=language):
                    source = os.path.join(self.folder, "alone.c")
                    with open(source, "w", encoding="utf-8") as file:
                        # The vendors' additions are told to stand behind the standard.
                        before = '#include "p11-kit/pkcs11.h"\n' if name == "pkcs11x.h" else ""
                        file.write(f'{before}#include "p11-kit/{name}"\nint not_empty;\n')
                    run(*compiler, language, "-Wall", "-Wextra", "-Werror", *flags, "-fsyntax-only", source)

    def test_command(self):
        self.assertEqual(run(os.path.join(self.prefix, "bin", "p11-kit"), "--version"), f"p11-kit {VERSION}\n")

    def shim(self, *arguments):
        return subprocess.run([os.path.join(self.prefix, "bin", "p11-kit"), "shim", *arguments], capture_output=True,
                              text=True, check=False, env={**os.environ, "P11_KIT_NO_USER_CONFIG": "1", "LC_ALL": "C.UTF-8"})

    def assert_refused(self, code, text, *arguments):
        result = self.shim(*arguments)
        self.assertEqual((result.returncode, result.stdout), (code, ""))
        self.assertIn(text, result.stderr)

    @unittest.skipUnless(os.path.exists(SOFTHSM), "SoftHSM is not installed")
    def test_shim(self):
        """The command makes real files that open their module, and takes them away."""
        modules = os.path.join(self.prefix, "etc", "pkcs11", "modules")
        os.makedirs(modules)
        self.addCleanup(shutil.rmtree, os.path.join(self.prefix, "etc", "pkcs11"))
        with open(os.path.join(modules, "soft.module"), "w", encoding="utf-8") as file:
            file.write(f"module: {SOFTHSM}\n")
        made = self.in_libdir("pkcs11/shared/soft.so")

        result = self.shim("soft")
        self.assertEqual((result.stdout, result.stderr), (made + "\n", ""))
        self.assertTrue(os.path.isfile(made) and not os.path.islink(made))
        self.assertTrue(filecmp.cmp(made, self.find("p11-kit-shim.so"), shallow=False))
        ask = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).C_GetFunctionList(ctypes.byref(ctypes.c_void_p())))"
        self.assertEqual(run(sys.executable, "-c", ask, made), "0\n")
        nobody = os.path.join(self.folder, "nobody.so")
        shutil.copy(made, nobody)
        self.assertNotEqual(run(sys.executable, "-c", ask, nobody), "0\n")

        result = self.shim("--dir=" + self.folder, "--all", "--quiet")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        self.assertTrue(os.path.isfile(os.path.join(self.folder, "soft.so")))
        self.assert_only_shims_are_replaced(modules, made)
        self.assert_refused(1, "no module 'nobody'", "nobody")
        self.assert_refused(2, "p11-kit: unrecognized option '--dirr'", "--dirr", "soft")
        self.assert_refused(2, "--dir names no folder", "--dir=", "soft")
        self.assert_refused(2, "no name of a module", "../soft")
        self.assert_refused(2, "usage", "--all", "soft")
        self.assert_refused(2, "usage")
        result = self.shim("--remove", "nobody", "soft")  # the first keeps no other from it
        self.assertEqual((result.returncode, result.stdout), (1, made + "\n"))
        self.assertFalse(os.path.exists(made))
        self.assert_refused(1, made, "--remove", "soft")
        self.assertTrue(self.shim("--help").stdout.startswith("usage: p11-kit shim"))
        self.assert_says_why_there_is_no_module(modules)

    def assert_says_why_there_is_no_module(self, modules):
        path = os.path.join(modules, "soft.module")
        with open(path, "w", encoding="utf-8") as file:
            file.write("module: /nowhere/soft.so\n")
        with open(os.path.join(modules, "zz.module"), "w", encoding="utf-8") as file:
            file.write("critical: no\n")  # another's reason, which is told last
        self.assert_refused(1, "/soft.module:1: module soft: /nowhere/soft.so: cannot be loaded", "soft")
        for name in os.listdir(modules):
            os.remove(os.path.join(modules, name))
        self.assert_refused(0, "no module is configured", "--all")

    def assert_only_shims_are_replaced(self, modules, made):
        """What --all cannot make does not keep it from the rest: a name that is none, a vendor's file in the way."""
        folder = os.path.join(self.folder, "vendor")
        os.makedirs(folder)
        vendor = os.path.join(folder, "copy.so")
        shutil.copy(SOFTHSM, vendor)
        for name in ["a module", "copy"]:  # one file cannot be two modules
            copy = os.path.join(self.folder, f"{name}.so")
            shutil.copy(SOFTHSM, copy)
            with open(os.path.join(modules, f"{name}.module"), "w", encoding="utf-8") as file:
                file.write(f"module: {copy}\npriority: 1\n")
        self.assert_refused(2, vendor, "--dir=" + folder, "--all", "-q")
        self.assertTrue(filecmp.cmp(vendor, SOFTHSM, shallow=False))
        self.assertEqual(sorted(os.listdir(folder)), ["copy.so", "soft.so"])
        self.assertTrue(filecmp.cmp(made, os.path.join(folder, "soft.so"), shallow=False))
        result = self.shim("--dir=" + folder, "soft")
        self.assertEqual((result.returncode, result.stdout), (0, os.path.join(folder, "soft.so") + "\n"))

    def test_man_pages(self):
        for page in MAN_PAGES:
            with self.subTest(page=page):
                file = os.path.join(self.prefix, "share", "man", page)
                self.assertTrue(os.path.isfile(file), file)
                said = run("mandoc", "-Tutf8", file)
                self.assertIn(VERSION, said)

    def test_example_configuration_is_no_configuration(self):
        """What we install switches nothing on."""
        installed = files_below(self.prefix)
        self.assertEqual([file for file in installed if file.endswith((".module", "pkcs11.conf"))], [])

    def test_pkg_config(self):
        self.assertEqual(self.pkg_config("--modversion"), VERSION)
        self.assertEqual(self.pkg_config("--variable=prefix"), self.prefix)
        self.assertEqual(self.pkg_config("--variable=exec_prefix"), self.prefix)
        self.assertEqual(self.pkg_config("--variable=libdir"), self.libdir)
        self.assertEqual(self.pkg_config("--variable=includedir"), os.path.join(self.prefix, "include"))
        for variable, where in PC_VARIABLES.items():
            with self.subTest(variable=variable):
                self.assertEqual(self.pkg_config("--variable=" + variable), os.path.join(self.prefix, where))
        self.assertEqual(self.pkg_config("--variable=p11_module_path"), self.in_libdir("pkcs11"))
        self.assertEqual(self.pkg_config("--variable=proxy_module"), self.in_libdir("p11-kit-proxy.so"))
        self.assertEqual(self.pkg_config("--variable=p11_trust_paths"), "")
        self.assertEqual(self.pkg_config("--cflags").split(), [f"-I{self.prefix}/include/p11-kit-1"])
        self.assertEqual(self.pkg_config("--libs").split(), [f"-L{self.libdir}", "-lp11-kit"])

    def test_the_library_looks_where_pkg_config_says(self):
        with open(self.in_libdir("libp11-kit.so.0"), "rb") as file:
            library = file.read()
        for path in [self.pkg_config("--variable=p11_module_configs"), self.pkg_config("--variable=p11_module_path"),
                     os.path.join(self.prefix, "etc", "pkcs11")]:
            with self.subTest(path=path):
                self.assertIn(path.encode(), library)

    def test_versions_agree(self):
        parts = VERSION.split(".")
        with open(self.find("version.h"), encoding="utf-8") as file:
            numbers = re.findall(r"define P11_KIT_VERSION_(?:MAJOR|MINOR|MICRO) \((\d+)\)", file.read())
        self.assertEqual(numbers, parts)
        self.assertGreaterEqual(tuple(map(int, parts)), (0, 27, 0))

    def test_a_program_compiles_and_runs(self):
        compiler = os.environ.get("CC", "cc").split()
        program = os.path.join(self.folder, "program")
        run(*compiler, "-Wall", "-Werror", os.path.join(HERE, "program.c"), *self.pkg_config("--cflags", "--libs").split(),
            "-o", program)
        said = run(program, self.in_libdir("p11-kit-proxy.so"), VERSION, LD_LIBRARY_PATH=self.libdir, HOME=self.folder)
        self.assertEqual(said, "all is well\n")

    def test_destdir(self):
        destination = os.path.join(self.folder, "staged")
        run("meson", "install", "-C", self.build, "--no-rebuild", "--destdir", destination)
        self.assertEqual(files_below(destination + self.prefix), files_below(self.prefix))

    def test_usr_keeps_its_configuration_in_etc(self):
        build = os.path.join(self.folder, "usr")
        run("meson", "setup", build, SOURCE, "--prefix=/usr", "-Dtrust_paths=/some/where.crt",
            "-Dmodule_path=/of/vendors")
        path = os.path.join(build, "meson-private")
        for variable, value in {"sysconfdir": "/etc", "p11_module_configs": "/usr/share/p11-kit/modules",
                                "p11_trust_paths": "/some/where.crt", "p11_module_path": "/of/vendors"}.items():
            self.assertEqual(run("pkg-config", "--variable=" + variable, "p11-kit-1", PKG_CONFIG_PATH=path).strip(), value)
        with open(os.path.join(build, "build.ninja"), encoding="utf-8") as file:
            self.assertIn('MODULE_DIR="/of/vendors"', file.read().replace("\\", ""))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
