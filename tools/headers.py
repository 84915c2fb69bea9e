# SPDX-License-Identifier: BSD-3-Clause
"""Writes the public headers pkcs11.h and pkcs11x.h.

pkcs11.h is one header with two styles of names, the standard's and the GNU one (see the comment at its top). The two are
written as two branches of text, so that no macro of a common word is ever defined, not even for a while. pkcs11x.h has
what vendors add, a section for each.
"""

import re

import cfile

# The sections of pkcs11x.h: origin, the macro that stands for the section, and whose it is.
SECTIONS = [
    ("nss", "CRYPTOKI_NSS_VENDOR_DEFINED", "NSS"),
    ("x", "CRYPTOKI_X_VENDOR_DEFINED", "p11-kit's trust module"),
    ("tc26", "CRYPTOKI_RU_TEAM_TC26_VENDOR_DEFINED", "TC26, Russia's committee for the GOST algorithms"),
    ("ibm", "CRYPTOKI_IBM_VENDOR_DEFINED", "IBM"),
]

# What the first part of a constant's name means; constants without a heading stand in paragraphs of their own.
HEADINGS = {
    "CRYPTOKI": "The version of the standard that this header describes.",
    "CK_CERTIFICATE": "CK_CERTIFICATE_CATEGORY",
    "CK_SECURITY": "CK_JAVA_MIDP_SECURITY_DOMAIN",
    "CK_OTP": "One-time passwords: formats, what is required, types of parameters.",
    "CK_SP800": "Key derivation of SP 800-108: types of data, how lengths are counted.",
    "CKA": "Attributes: CK_ATTRIBUTE_TYPE",
    "CKC": "CK_CERTIFICATE_TYPE",
    "CKD": "Key derivation functions: CK_EC_KDF_TYPE and others.",
    "CKF": "CK_FLAGS of slots, tokens, sessions, mechanisms, arguments, parameters.",
    "CKG": "Mask generation functions, and generators of nonces.",
    "CKH": "CK_HW_FEATURE_TYPE, CK_HEDGE_TYPE",
    "CKK": "CK_KEY_TYPE",
    "CKM": "CK_MECHANISM_TYPE",
    "CKN": "CK_NOTIFICATION",
    "CKO": "CK_OBJECT_CLASS",
    "CKP": "Profiles, pseudo-random functions, sets of parameters.",
    "CKR": "What calls return: CK_RV",
    "CKS": "CK_STATE, CK_SESSION_VALIDATION_FLAGS_TYPE",
    "CKT": "CK_TRUST",
    "CKU": "CK_USER_TYPE",
    "CKV": "CK_VALIDATION_TYPE, CK_VALIDATION_AUTHORITY_TYPE",
    "CKZ": "Where a parameter comes from.",
}

# Where values begin, in columns; a name that is too long has one tab.
VALUE_COLUMN = 48


def pointer(text, depth):
    glue = "" if text.endswith("*") or not depth else " "
    return text + glue + "*" * depth


def declare(type_text, name, array=None):
    glue = "" if type_text.endswith("*") else " "
    return f"{type_text}{glue}{name}{f'[{array}]' if array else ''}"


def struct(opening, members, closing):
    return ["", f"{opening} {{", *(f"\t{member}" for member in members), closing]


class StandardStyle:
    """The names as the standard spells them."""

    def __init__(self, facts):
        self.facts = facts

    def spell(self, name):
        return name

    def tag(self, type_):
        return type_.tag

    def parameter(self, name):
        return name

    def member(self, member):
        line = declare(member.type, member.name, member.array) + ";"
        if not member.also:
            return [line]
        other = declare(member.also_type or member.type, member.also, member.array) + ";"
        return ["CK_EXTENSION_ union {", f"\t{line}", f"\t{other} /* its older name here */", "};"]

    def members(self, type_):
        return [line for member in type_.members for line in self.member(member)]

    def type(self, type_):
        name = type_.name
        if type_.kind == "struct":
            lines = struct(f"typedef struct {type_.tag}", self.members(type_), f"}} {name};")
        elif type_.is_struct:
            lines = ["", f"typedef struct {type_.tag} {name};"]
        elif type_.kind == "callback":
            lines = callback(self, type_, name)
        else:
            lines = [f"typedef {declare(type_.definition, name)};"]
        for _ in range(type_.pointers):
            lines.append(f"typedef {name} *{name}_PTR;")
            name += "_PTR"
        return lines


class GnuStyle:
    """The GNU style: struct ck_info, ck_rv_t, members in lower case, and C's own types instead of CK_ULONG and its like."""

    def __init__(self, facts):
        self.facts = facts

    def spell(self, name):
        found = self.facts.find_type(name)
        return pointer(found[0].gnu_text, found[1]) if found else name

    def tag(self, type_):
        return type_.gnu

    def parameter(self, name):
        """phKey, ulPinLen and pTemplate become key, pin_len and templ (the whole word is one of C++)."""
        name = re.sub(r"^(pp|pul|ph|ul|p|h)(?=[A-Z])", "", name)
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
        return {"template": "templ"}.get(name, name)

    def members(self, type_):
        return [declare(self.spell(member.gnu_type or member.type), member.gnu, member.array) + ";"
                for member in type_.members]

    def type(self, type_):
        if type_.kind == "struct":
            lines = struct(f"struct {type_.gnu}", self.members(type_), "};")
        elif type_.is_struct:
            lines = ["", f"struct {type_.gnu};"]
        elif not type_.gnu.startswith("ck_"):
            return []
        elif type_.kind == "callback":
            lines = callback(self, type_, type_.gnu)
        else:
            lines = [f"typedef {declare(self.spell(type_.definition), type_.gnu)};"]
        return lines + [f"typedef {type_.gnu_text} {name};" for name in type_.gnu_more]


def callback(style, type_, name):
    items = [declare(style.spell(kind), style.parameter(parameter)) for kind, parameter in type_.parameters]
    return [cfile.wrapped(f"typedef {style.spell(type_.result)} (*{name})(", items, ");")]


def parameters(style, call):
    """The parameters as declared in a style. A number whose name is taken (pData, ulData) is a length."""
    items, taken = [], set()
    for parameter in call.parameters:
        name = style.parameter(parameter.name)
        if name in taken and parameter.type == "CK_ULONG":
            name += "_len"
        if name in taken:
            call.row.fail(f'in the GNU style two parameters would be called "{name}"')
        taken.add(name)
        items.append(declare(style.spell(parameter.type), name))
    return items


def call_lines(style, calls):
    """Each call's prototype and pointer type, by a macro that is gone behind them."""
    result = style.spell("CK_RV")
    lines = [
        "",
        "/* Each call, and CK_ and its name for the type of a pointer to it. */",
        "#define CK_CALL_(name, parameters) \\",
        f"\ttypedef {result} (*CK_##name) parameters; \\",
        f"\t{result} CK_SPEC name parameters",
        "",
    ]
    lines += [cfile.wrapped(f"CK_CALL_({call.name}, (", parameters(style, call), "));") for call in calls]
    return lines + ["", "#undef CK_CALL_"]


def list_lines(style, facts):
    """The structs of pointers to all calls of a version."""
    lines = []
    for type_ in facts.lists:
        members = [f"{style.spell('CK_VERSION')} version;"]
        members += [f"CK_{call.name} {call.name};" for call in facts.calls_of(type_)]
        lines += struct(f"struct {style.tag(type_)}", members, "};")
    return lines


def style_text(style, facts):
    lines = [line for type_ in facts.types.values() if not type_.origin.vendor for line in style.type(type_)]
    return text_of(lines + call_lines(style, facts.calls) + list_lines(style, facts))


def heading_of(constant):
    first, second, *_ = constant.name.split("_")
    return next((name for name in (f"{first}_{second}", first) if name in HEADINGS), f"{first}_{second}")


def constant_lines(facts, vendor):
    lines, current = [], None
    for constant in facts.all_constants:
        if constant.origin.vendor != vendor:
            continue
        if heading_of(constant) != current:
            current = heading_of(constant)
            lines += [""] + ([f"/* {HEADINGS[current]} */"] if current in HEADINGS else [])
        define = f"#define {constant.name}\t"
        while cfile.columns(define) < VALUE_COLUMN:
            define += "\t"
        value = constant.text
        lines.append(define + (value if re.fullmatch(r"\w+", value) else f"({value})"))
    return lines


def text_of(lines):
    return "".join(f"{line}\n" for line in lines)


TITLE = """\
/* SPDX-License-Identifier: BSD-3-Clause */
/* Generated by tools/headers.py from the tables in data/. Change the row, not this file. */
"""

PKCS11_HEAD = """\
/*
 * PKCS#11 up to version 3.2: its constants, types and calls.
 *
 * There are two styles of names. If nothing is defined they are the standard's own: CK_INFO, CK_RV,
 * pValue. If CRYPTOKI_GNU is defined, and CRYPTOKI_COMPAT is not, they are the GNU style's: struct
 * ck_info, ck_rv_t, value; there CK_ULONG, the pointer types, CK_TRUE and NULL_PTR do not exist.
 * Constants, calls and the types of pointers to calls are called the same in both.
 *
 * Nothing else has to be defined before, and no macro of a common word is touched.
 */
#ifndef PKCS11_H
#define PKCS11_H 1

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* On Windows structs are packed; CRYPTOKI_FORCE_WIN32 packs them elsewhere too. */
#if defined(_WIN32) || defined(CRYPTOKI_FORCE_WIN32)
#pragma pack(push, cryptoki, 1)
#endif

#if defined(_WIN32) && defined(CRYPTOKI_EXPORTS)
#define CK_SPEC __declspec(dllexport)
#elif defined(_WIN32)
#define CK_SPEC __declspec(dllimport)
#else
#define CK_SPEC
#endif
"""

STANDARD_HEAD = """
#if !defined(CRYPTOKI_GNU) || defined(CRYPTOKI_COMPAT)

/* The standard's names. */

#ifndef CRYPTOKI_COMPAT
#define CRYPTOKI_COMPAT 1
#endif

#ifndef CK_DEFINE_FUNCTION
#define CK_DEFINE_FUNCTION(retval, name) retval CK_SPEC name
#endif

#ifndef NULL_PTR
#define NULL_PTR NULL
#endif

#define CK_FALSE 0
#define CK_TRUE 1
#ifndef CK_DISABLE_TRUE_FALSE
#ifndef FALSE
#define FALSE CK_FALSE
#endif
#ifndef TRUE
#define TRUE CK_TRUE
#endif
#endif

/* Members that had another name in older versions of this header have both, by a union. */
#ifdef __GNUC__
#define CK_EXTENSION_ __extension__
#else
#define CK_EXTENSION_
#endif

"""

GNU_HEAD = """
#undef CK_EXTENSION_

#else

/* The GNU style's names. */

"""

PKCS11_TAIL = """
#endif

#if defined(_WIN32) || defined(CRYPTOKI_FORCE_WIN32)
#pragma pack(pop, cryptoki)
#endif

#ifdef __cplusplus
}
#endif

#endif
"""


def write_pkcs11_h(facts, path, **_options):
    cfile.write(path, TITLE + PKCS11_HEAD + text_of(constant_lines(facts, None))
                + STANDARD_HEAD + style_text(StandardStyle(facts), facts)
                + GNU_HEAD + style_text(GnuStyle(facts), facts) + PKCS11_TAIL)


PKCS11X_HEAD = """\
/*
 * What vendors add to PKCS#11. Include it behind pkcs11.h, in either style.
 *
 * The trust attributes of NSS are called CKA_NSS_TRUST_... here, as NSS calls them now. Their older
 * names, such as CKA_TRUST_SERVER_AUTH, are names of PKCS#11 3.2 with other values: see pkcs11.h.
 */
#ifndef PKCS11_X_H_
#define PKCS11_X_H_ 1

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32) || defined(CRYPTOKI_FORCE_WIN32)
#pragma pack(push, cryptoki, 1)
#endif

/* What is missing in the GNU style, and behind a pkcs11.h that is not ours and older than 3.2. */
#if defined(CRYPTOKI_GNU) && !defined(CRYPTOKI_COMPAT)
typedef unsigned long CK_TRUST;
#elif !defined(CKT_TRUST_ANCHOR)
typedef CK_ULONG CK_TRUST;
#endif
#ifndef CKA_PUBLIC_KEY_INFO
#define CKA_PUBLIC_KEY_INFO PUBLIC_KEY_INFO_VALUE
#endif
"""

SECTION_HEAD = """
/* ---- {owner} ---- */

#define {macro} 1
#ifdef {macro}
"""

STYLES = """
#if !defined(CRYPTOKI_GNU) || defined(CRYPTOKI_COMPAT)
{standard}
#else
{gnu}
#endif
"""


def vendor_types(style, types):
    """A vendor's types are called the same in both styles; only their members differ."""
    lines = []
    for type_ in types:
        if type_.kind == "struct":
            lines += struct(f"typedef struct {type_.tag}", style.members(type_), f"}} {type_.name};")
        elif type_.kind == "alias":
            lines.append(f"typedef {declare(style.spell(type_.definition), type_.name)};")
        else:
            type_.row.fail("a vendor's type can only be a struct or another type's name")
    return text_of(lines)


def section_text(facts, vendor, macro, owner):
    text = SECTION_HEAD.format(owner=owner, macro=macro) + text_of(constant_lines(facts, vendor))
    types = [type_ for type_ in facts.types.values() if type_.origin.vendor == vendor]
    if types:
        text += STYLES.format(standard=vendor_types(StandardStyle(facts), types), gnu=vendor_types(GnuStyle(facts), types))
    return text + "\n#endif\n"


PKCS11X_TAIL = PKCS11_TAIL.removeprefix("\n#endif\n")


def write_pkcs11x_h(facts, path, **_options):
    head = PKCS11X_HEAD.replace("PUBLIC_KEY_INFO_VALUE", facts.by_name["CKA_PUBLIC_KEY_INFO"].text)
    cfile.write(path, TITLE + head + "".join(section_text(facts, *section) for section in SECTIONS) + PKCS11X_TAIL)


KINDS = {
    "pkcs11.h": write_pkcs11_h,
    "pkcs11x.h": write_pkcs11x_h,
}
