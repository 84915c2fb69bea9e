#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the manual page libp11-kit(3), in scdoc's language, from the comments of the public headers.

usage: reference.py VERSION HEADER... >libp11-kit.3.scd

A header's first comment is what it is for. A comment that begins with /** describes the declaration that follows it:

    /**
     * NAME() - what it does
     * [effects; a list of EFFECTS]
     * @parameter: who owns it, whether it may be NULL   @next: ...
     *
     * What else there is to say, errors and result, since when.
     */

and for the type of a callback the same without () and effects. Whatever a comment has otherwise, be it the order of its
parameters, ends the program with FILE:LINE: a page that says less than the header is not made.
"""

import os
import re
import sys

EFFECTS = re.compile(r"any thread|one thread per \w+|before threads|may call modules|may call back|clears message|sets message")
DESCRIPTION = re.compile(r"/\*\*\n(.*?)\n[ \t]*\*/\n(.*?;)", re.S)
FIRST_LINE = re.compile(r"(\w+)(\(\))? - (.+)")
# What a program sees beside functions: enumerations with the comment above them, and the library's constants.
TYPES = re.compile(r"((?:^/\*(?!\*)[^\n]*\*/\n)?^(?:typedef )?enum \{.*?\}[^;]*;|^#define P11_KIT_\w+ [^\n\\]*$)", re.S | re.M)

# Headers that only another one includes.
INCLUDED = ["deprecated.h"]


class Mistake(Exception):
    """A comment that is not as it should be."""


class Described:
    """One comment and its declaration."""

    def __init__(self, header, line, comment, declaration):
        self.place = f"{header}:{line}"
        # Attributes are for the compiler.
        self.declaration = re.sub(r"^P11_KIT_DEPRECATED_FOR\([^\n]*\)\n", "", declaration.strip())
        lines = [re.sub(r"^[ \t]*\* ?", "", text) for text in comment.split("\n")]
        first = FIRST_LINE.fullmatch(lines[0])
        if not first:
            raise Mistake(f'{self.place}: the first line is not "NAME() - what it does"')
        self.name, self.is_function, self.summary = first.group(1), bool(first.group(2)), first.group(3)
        rest = lines[1:]
        self.effects = ""
        if self.is_function:
            self.effects = rest.pop(0) if rest else ""
            self.check_effects()
        n = rest.index("") if "" in rest else len(rest)
        self.parameters = self.split_parameters(rest[:n])
        self.body = "\n".join(rest[n:]).strip("\n")
        if self.is_function and not re.search(r"\bSince \d", self.body):
            raise Mistake(f"{self.place}: {self.name} does not say since when it is there")
        self.check_declaration()

    def check_effects(self):
        if not re.fullmatch(r"\[.*\]", self.effects):
            raise Mistake(f"{self.place}: {self.name} has no effects in brackets")
        self.effects = self.effects[1:-1]
        for effect in self.effects.split("; "):
            if not EFFECTS.fullmatch(effect):
                raise Mistake(f'{self.place}: {self.name}: "{effect}" is no effect')

    def split_parameters(self, lines):
        text = " ".join(line.strip() for line in lines)
        parts = re.split(r"(?:^|\s+)@(\w+): ", text)
        if parts[0]:
            raise Mistake(f'{self.place}: {self.name}: "{parts[0]}" is no parameter; is an empty line missing?')
        return list(zip(parts[1::2], parts[2::2]))

    def check_declaration(self):
        flat = " ".join(self.declaration.split())
        pattern = rf"\b{self.name} ?\((.*)\);" if self.is_function else rf"typedef .*\(\*{self.name}\)\((.*)\);"
        found = re.search(pattern, flat)
        if not found:
            raise Mistake(f"{self.place}: what follows the comment does not declare {self.name}")
        names = [re.search(r"(\w+)(?:\[\])?$", part.strip()).group(1)
                 for part in found.group(1).split(",") if part.strip() != "void"]
        described = [name for name, _ in self.parameters]
        if names != described:
            raise Mistake(f"{self.place}: {self.name} has the parameters {names}, and the comment describes {described}")


def parse(path):
    """A header's (first comment, types, Described...)."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    name = os.path.basename(path)
    introduction = re.search(r"\A/\*[^\n]*\*/\n/\*(.*?)\*/", text, re.S)
    if not introduction:
        raise Mistake(f"{name}: no comment says what it is for")
    lines = [re.sub(r"^ ?\* ?", "", line).rstrip() for line in introduction.group(1).strip("\n").split("\n")]
    described = [Described(name, text.count("\n", 0, found.start()) + 1, found.group(1), found.group(2))
                 for found in DESCRIPTION.finditer(text)]
    if len(described) != text.count("/**"):
        raise Mistake(f"{name}: a comment that begins with /** has no declaration behind it")
    return name, "\n".join(lines).strip(), TYPES.findall(text), described


def escape(text):
    """Text as scdoc takes it: nothing in it stands out."""
    return re.sub(r"([\\*_<>~+#\[\]`.-])", r"\\\1", text)


def literal(text):
    return "```\n" + text.expandtabs(8) + "\n```\n"


def paragraphs(text):
    """Running text; what is indented is shown as it stands."""
    parts = []
    for block in re.split(r"\n\n", text):
        running = [line for line in block.split("\n") if not line[:1].isspace()]
        shown = [line for line in block.split("\n") if line[:1].isspace()]
        # In a comment the shown lines stand at the end of their paragraph.
        if running:
            parts.append(escape(" ".join(running)) + "\n")
        if shown:
            parts.append(literal("\n".join(shown)))
    return "\n".join(parts)


def entry(described):
    lines = [f"## {escape(described.name)}\n", literal(described.declaration),
             escape(described.summary[0].upper() + described.summary[1:]) + ".\n"]
    if described.parameters:
        lines.append(" ++\n".join(f"_{escape(name)}_: {escape(text)}" for name, text in described.parameters) + "\n")
    if described.body:
        lines.append(paragraphs(described.body))
    if described.effects:
        lines.append(f"Effects: {escape(described.effects)}.\n")
    return "\n".join(lines)


def section(header):
    name, introduction, types, described = header
    parts = [f"# {escape(name.upper())}\n", paragraphs(introduction)]
    parts += [literal(text.strip()) for text in types]
    return "\n".join(parts + [entry(each) for each in described])


PAGE = """libp11-kit(3) "p11-kit {version}" "Programming"

# NAME

libp11-kit - the library that lets several users of a process share PKCS#11 modules

# SYNOPSIS

{includes}

cc _program.c_ $(pkg-config --cflags --libs p11-kit-1)

# DESCRIPTION

What each function does, who owns what, and which errors there are. The words on a function's last line, its effects, are
explained first. PKCS#11 itself is declared by _p11-kit/pkcs11.h_, as OASIS describes it.

{sections}
# SEE ALSO

*pkcs11.conf*(5), *p11-kit-proxy*(7), *p11-kit*(8)
"""


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        headers = [parse(path) for path in sys.argv[2:]]
    except Mistake as mistake:
        sys.exit(str(mistake))
    includes = " ++\n".join(f"*#include \\<p11-kit/{escape(header[0])}\\>*" for header in headers
                              if header[0] not in INCLUDED)
    sections = "\n".join(section(header) for header in headers)
    print(PAGE.format(version=sys.argv[1], includes=includes, sections=sections), end="")


if __name__ == "__main__":
    main()
