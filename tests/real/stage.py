#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Builds the library as people get it, and installs it into a folder for the tests with real parties.

usage: stage.py SOURCE STAGE SOFTHSM

A release build without sanitizers, STAGE/build, is installed as STAGE/install, with STAGE/install/etc as the only
configuration that it reads. Only what is installed is built. Called by every such test: when nothing has changed it does
nothing, and two at once wait for one another.
"""

import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import sys


def run(*command):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(result.stdout, end="")
    if result.returncode:
        sys.exit(f"{' '.join(command[:3])} ... failed")
    return result.stdout


def configure(source, build, install):
    if (build / "build.ninja").exists():
        return
    shutil.rmtree(build, ignore_errors=True)
    run("meson", "setup", str(build), str(source), f"--prefix={install}", f"--sysconfdir={install}/etc",
        "--libdir=lib", "--buildtype=release", "-Db_sanitize=none", "-Db_coverage=false")


def installed_files(build):
    targets = json.loads(subprocess.check_output(["meson", "introspect", "--targets", str(build)]))
    files = [name for target in targets if target["installed"] for name in target["filename"]]
    return [os.path.relpath(name, build) for name in files]


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    source, stage = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    softhsm = sys.argv[3]  # as it is named: programs show that name
    build, install = stage / "build", stage / "install"
    stage.mkdir(parents=True, exist_ok=True)
    with open(stage / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        configure(source, build, install)
        output = run("ninja", "-C", str(build), "build.ninja")
        output = run("ninja", "-C", str(build), *installed_files(build))
        done = stage / "installed"
        if "no work to do" not in output or not done.exists():
            done.unlink(missing_ok=True)
            run("meson", "install", "-C", str(build), "--no-rebuild", "--quiet")
            done.touch()
        modules = install / "etc" / "pkcs11" / "modules"
        modules.mkdir(parents=True, exist_ok=True)
        text = f"module: {softhsm}\n"
        module = modules / "softhsm.module"
        if not module.exists() or module.read_text(encoding="utf-8") != text:
            module.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
