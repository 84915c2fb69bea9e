#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Do the models of docs/model/ hold, and would they notice if the code were wrong?

usage: test-model.py SOURCE-ROOT

spin makes a program of each model that visits every state that can be reached. The same is done with errors planted
(-DPLANT_...): each of them must be found.
"""

import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile

SOURCE = sys.argv[1]
MODELS = os.path.join(SOURCE, "docs", "model")
EXIT_SKIP = 77
MAX_MEGABYTES = 800
MAX_DEPTH = 100000

# What must hold: a model, and in which size it is looked at. ENDS: whether everybody comes to his end.
HOLDS = [
    ("life", "N_USERS=3 N_CALLERS=0"),
    ("life", "ROUNDS=2"),
    ("life", "HANG"),
    ("life", "FORK"),
    ("life", "ENDS ROUNDS=2 N_CALLERS=0"),
    ("link", "ROUNDS=2"),
    ("link", "N_THREADS=3"),
    ("heal", "N_CONSUMERS=2 N_USERS=1"),
    ("heal", "N_CONSUMERS=1 N_USERS=2"),
]

# What must be noticed: the planted error, and in what it shows.
STUCK = "invalid end state"
WRONG = "assertion violated"
NOTICED = [
    ("life", "PLANT_LOST_WAKE_UP", STUCK),
    ("life", "PLANT_NO_WAKE_UP", STUCK),
    ("life", "PLANT_SIGNAL N_USERS=3 N_CALLERS=0", STUCK),
    ("life", "PLANT_NO_RECHECK", WRONG),
    ("life", "PLANT_NO_LOOK_FOR_JOINS", WRONG),
    ("life", "PLANT_JOIN_LOOKS_FIRST", WRONG),
    ("life", "PLANT_LEAVE_WITHOUT_A_LOOK", WRONG),
    ("life", "PLANT_NO_RESET FORK", STUCK),
    ("link", "PLANT_LATER_ONE_OVERWRITTEN", WRONG),
    ("link", "PLANT_EARLIER_ONE_FORGOTTEN ROUNDS=2", WRONG),
    ("link", "PLANT_NO_LOOK_AT_OWNER ROUNDS=2", WRONG),
    ("link", "PLANT_LINKS_LEFT", WRONG),
    ("heal", "PLANT_DOWN_BEFORE_ABANDONED", WRONG),
    ("heal", "PLANT_RESTARTED_WHILE_UP", WRONG),
    ("heal", "PLANT_JOINED_WHILE_RESTARTED", WRONG),
    ("heal", "PLANT_RESTARTED_IN_SILENCE N_CONSUMERS=0 N_USERS=3", STUCK),
]


def run(folder, *command):
    result = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {result.returncode}\n{result.stdout}")
    return result.stdout


def trail(folder, model):
    """How the error came about, in the model's own lines, newest last."""
    if not os.path.exists(os.path.join(folder, f"{model}.pml.trail")):
        return ""
    return "\n".join(run(folder, "./pan", "-r", "-n").splitlines()[-60:])


def look(model, words, optimize):
    """What the search says: its output, and the trail to the error if there is one."""
    defines = ["-D" + word for word in words.split()]
    ends = "-DENDS" in defines
    with tempfile.TemporaryDirectory(prefix="p11-model-") as folder:
        for name in os.listdir(MODELS):
            if name.endswith(".pml"):
                shutil.copy(os.path.join(MODELS, name), folder)
        run(folder, "spin", "-a", *defines, f"{model}.pml")
        run(folder, "gcc", optimize, "-w", f"-DMEMLIM={MAX_MEGABYTES}", "-DCOLLAPSE", "-DVECTORSZ=2048",
            *([] if ends else ["-DSAFETY"]), "-o", "pan", "pan.c")
        # -b: a search that is not complete is an error; -a -f: for ever, under weak fairness
        output = run(folder, "./pan", "-b", f"-m{MAX_DEPTH}", "-w22", *(["-a", "-f", "-N", "ends"] if ends else []))
        return output, trail(folder, model)


def check(model, words, error):
    """None, or what is wrong."""
    try:
        output, how = look(model, words, "-O2" if error is None else "-O0")  # an error is found before a -O2 is compiled
    except RuntimeError as problem:
        return str(problem)
    if error is None:
        if "errors: 0" in output and "pan:1:" not in output and "out of memory" not in output:
            return None
        return f"{output}\n{how}"
    return None if error in output and "errors: 1" in output else f"not noticed:\n{output}"


def main():
    if not shutil.which("spin"):
        print("spin is not installed")
        return EXIT_SKIP
    jobs = [(model, words, None) for model, words in HOLDS] + NOTICED
    n_wrong = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for (model, words, error), problem in zip(jobs, pool.map(lambda job: check(*job), jobs)):
            what = "holds" if error is None else "is noticed"
            print(f"{model} {words}: {what if problem is None else 'WRONG'}", flush=True)
            if problem is not None:
                n_wrong += 1
                print(problem)
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
