# SPDX-License-Identifier: BSD-3-Clause
"""The one reader of the tables in data/; what their rows mean stands in standard.py.

A table is a text file: lines that start with # are comments, empty lines are skipped, the first other line has the names
of the columns, the rest are rows. Columns are separated by one tab each, nothing is quoted. A row knows its file and
line, so that every complaint says where to look: "data/calls.tsv:57: error: REASON".
"""

import pathlib


class TableError(Exception):
    """What is wrong, with file and line: the text is the whole message."""


class Row(dict):
    """One row: a dict from column to text."""

    def __init__(self, cells, file, line):
        super().__init__(cells)
        self.file = file
        self.line = line

    @property
    def place(self):
        """Where it stands, for messages: "data/calls.tsv:57"."""
        return f"{self.file}:{self.line}"

    @property
    def short_place(self):
        """The same for comments in generated files: "calls.tsv:57"."""
        return f"{pathlib.PurePath(self.file).name}:{self.line}"

    def fail(self, reason):
        """The row cannot be used."""
        fail(self.place, reason)


def fail(place, reason):
    raise TableError(f"{place}: error: {reason}")


def shown(path):
    """How a table is named in messages: its folder and itself, the same on every machine."""
    path = pathlib.Path(path).absolute()
    return f"{path.parent.name}/{path.name}"


def read(path, columns, unique="name", optional=0):
    """The rows of a table that has exactly these columns; in a row the last `optional` ones may be missing.

    `unique`: a column, or a tuple of them, that is never empty and never the same twice; None for no such check.
    """
    file = shown(path)
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except OSError as error:
        fail(file, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        fail(file, "is not UTF-8")
    rows, heading, seen = [], None, {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        cells = line.split("\t")
        if heading is None:
            heading = cells
            if heading != list(columns):
                fail(f"{file}:{number}", f"the columns must be {', '.join(columns)}, not {', '.join(heading)}")
            continue
        if not len(columns) - optional <= len(cells) <= len(columns):
            fail(f"{file}:{number}", f"{len(cells)} columns, must be {len(columns)}")
        cells += [""] * (len(columns) - len(cells))
        row = Row(zip(columns, cells), file, number)
        check_blanks(row)
        check_unique(row, unique, seen)
        rows.append(row)
    if heading is None:
        fail(file, "has no line with the names of the columns")
    return rows


def check_blanks(row):
    for column, cell in row.items():
        if cell != cell.strip() or "  " in cell:
            row.fail(f"blanks that say nothing in the column {column}")


def check_unique(row, unique, seen):
    if not unique:
        return
    names = (unique,) if isinstance(unique, str) else unique
    for name in names:
        if not row[name]:
            row.fail(f"no {name}")
    key = tuple(row[name] for name in names)
    if key in seen:
        row.fail(f"{' '.join(key)} stands in line {seen[key]} already")
    seen[key] = row.line


class Tables:
    """All tables of one folder, each read when it is first asked for: tables.rows("calls", [...])."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.known = {}

    def rows(self, name, columns, **options):
        if name not in self.known:
            self.known[name] = read(self.folder / f"{name}.tsv", columns, **options)
        return self.known[name]
