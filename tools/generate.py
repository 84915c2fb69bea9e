#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes C files from the tables of the standard in data/.

usage: generate.py --data DIR [--contexts N] KIND=OUTPUT...

  --data DIR     where the tables are
  --contexts N   how many contexts the pool of entry points has (256)
  KIND=OUTPUT    what to write, and where

A kind is a function `generate(facts, out_path, **options)` in the KINDS of its file; `facts` is standard.Standard.
A row that makes no sense ends it with exit code 1 and "FILE:LINE: error: REASON".
"""

import argparse
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import calls
import forward
import headers
import names
import pool
import standard
import tables

KINDS = calls.KINDS | names.KINDS | pool.KINDS | forward.KINDS | headers.KINDS


def main():
    parser = argparse.ArgumentParser(usage="generate.py --data DIR [--contexts N] KIND=OUTPUT...",
                                     epilog=f"kinds: {', '.join(sorted(KINDS))}")
    parser.add_argument("--data", required=True, metavar="DIR")
    parser.add_argument("--contexts", type=int, default=256, metavar="N")
    parser.add_argument("outputs", nargs="+", metavar="KIND=OUTPUT")
    options = parser.parse_args()
    wanted = [output.partition("=") for output in options.outputs]
    for kind, equals, path in wanted:
        if kind not in KINDS or not path:
            parser.error(f"{kind}{equals}{path}: must be KIND=OUTPUT, with a kind of {', '.join(sorted(KINDS))}")
    if not 1 <= options.contexts <= 4096:
        parser.error("--contexts must be 1 to 4096")
    try:
        facts = standard.Standard(tables.Tables(options.data))
        for kind, _, path in wanted:
            KINDS[kind](facts, path, contexts=options.contexts)
    except tables.TableError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
