# SPDX-License-Identifier: BSD-3-Clause
"""What the rows of data/ mean, checked: what the writers get from here is right, or was never given to them."""

import re

# Where a name comes from: a version of the standard, this project since long, or a vendor.
OURS = "p11-kit"
VENDORS = ["nss", "x", "tc26", "ibm"]
VERSION = re.compile(r"[0-9]+\.[0-9]+")

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ROUTES = ["bound", "session", "parallel"]
DIRECTIONS = ["in", "out", "inout"]
PARAMETER_FLAGS = ["two-calls", "terminated", "key", "secret", "plaintext"]
ATTRIBUTE_KINDS = ["bbool", "ulong", "bytes", "big-integer", "string", "date", "version", "attributes", "mechanisms",
                   "ulongs", "unknown"]
# Types with which a module could tell the consumer a slot or session of its own numbering.
PLACES = ["CK_SLOT_ID", "CK_SESSION_HANDLE"]


def version_of(text):
    major, minor = text.split(".")
    return int(major), int(minor)


class Origin:
    """Cell "origin": which header a name belongs to."""

    def __init__(self, row, column="origin"):
        self.text = row[column]
        self.vendor = self.text if self.text in VENDORS else None
        if not (self.vendor or self.text == OURS or VERSION.fullmatch(self.text)):
            row.fail(f'unknown {column} "{self.text}"; expected a version such as 3.2, {OURS}, '
                     f"or one of {', '.join(VENDORS)}")


class Type:
    """A type that has a name: what it is, and how it is called in the two styles."""

    def __init__(self, row):
        self.row = row
        self.name = row["name"]
        self.definition = row["definition"]
        self.origin = Origin(row)
        self.members = []
        self.up_to = None
        self.result = self.parameters = None
        if not NAME.fullmatch(self.name):
            row.fail(f'"{self.name}" is no name of a type')
        if row["pointers"] not in ("0", "1", "2"):
            row.fail(f'pointers: "{row["pointers"]}", expected 0, 1 or 2')
        self.pointers = int(row["pointers"])
        if not row["gnu"]:
            row.fail("no name in the GNU style")
        callback = re.fullmatch(r"(\w+) \((.*)\)", self.definition)
        calls = re.fullmatch(r"calls ([0-9]+\.[0-9]+)", self.definition)
        if self.definition in ("struct", "opaque"):
            self.kind = self.definition
        elif calls:
            self.kind = "calls"
            self.up_to = version_of(calls.group(1))
        elif callback:
            self.kind = "callback"
            self.result = callback.group(1)
            self.parameters = [split_declaration(row, text) for text in callback.group(2).split(", ")]
        else:
            self.kind = "alias"
        self.is_struct = self.kind in ("struct", "opaque", "calls")
        if row["tag"] and not self.is_struct:
            row.fail("a struct tag, but it is no struct")
        self.gnu, *self.gnu_more = row["gnu"].split(" ") if self.is_struct or row["gnu"].startswith("ck_") else [row["gnu"]]
        self.tag = row["tag"] or self.gnu

    @property
    def gnu_text(self):
        return f"struct {self.gnu}" if self.is_struct else self.gnu


class Member:
    """A member of a struct."""

    def __init__(self, row):
        self.row = row
        match = re.fullmatch(r"(\w+)(?:\[([0-9]+)\])?", row["type"])
        if not match:
            row.fail(f'"{row["type"]}" is no type')
        self.type = match.group(1)
        self.array = int(match.group(2)) if match.group(2) else None
        self.name = row["member"]
        self.also_type, self.also = self.with_type(row["also"])
        self.gnu_type, self.gnu = self.with_type(row["gnu"])
        for name in (self.name, self.gnu):
            if not NAME.fullmatch(name or ""):
                row.fail(f'"{name or ""}" is no name of a member')

    @staticmethod
    def with_type(cell):
        """("type or None", "name or None") of a cell that holds a name, perhaps with a type before it."""
        if not cell:
            return None, None
        before, _, name = cell.rpartition(" ")
        return before or None, name


def split_declaration(row, text):
    words = text.split(" ")
    if len(words) != 2:
        row.fail(f'"{text}" is not "TYPE NAME"')
    return tuple(words)


class Parameter:
    """A parameter of a call, and its part in it."""

    def __init__(self, row, text):
        words = text.split(" ")
        if len(words) < 2:
            row.fail(f'"{text}" is not "TYPE NAME WORD..."')
        self.type, self.name, *self.words = words
        self.direction = None
        self.count = self.filled = None
        self.flags = []
        for word in self.words:
            self.take_word(row, word)

    def take_word(self, row, word):
        before, colon, name = word.partition(":")
        if word in DIRECTIONS:
            if self.direction:
                row.fail(f'{self.name}: both "{self.direction}" and "{word}"')
            self.direction = word
        elif colon and before in ("count", "filled") and name:
            if getattr(self, before):
                row.fail(f'{self.name}: "{before}" twice')
            setattr(self, before, name)
        elif word in PARAMETER_FLAGS:
            if word in self.flags:
                row.fail(f'{self.name}: "{word}" twice')
            self.flags.append(word)
        else:
            row.fail(f'unknown role "{word}"')


class Call:
    """A call: what the generator writes functions and descriptors from."""

    def __init__(self, row):
        self.row = row
        self.name = row["name"]
        if not re.fullmatch(r"C_[A-Za-z0-9]+", self.name):
            row.fail(f'"{self.name}" is no name of a call')
        if not VERSION.fullmatch(row["since"]):
            row.fail(f'since: "{row["since"]}" is no version such as 3.2')
        self.since = version_of(row["since"])
        self.route = row["route"]
        if self.route not in ROUTES:
            row.fail(f'unknown route "{self.route}"; expected {", ".join(ROUTES)}')
        if not row["parameters"]:
            row.fail("no parameters")
        self.parameters = [Parameter(row, text) for text in row["parameters"].split(", ")]
        self.by_name = {}
        for index, parameter in enumerate(self.parameters):
            if parameter.name in self.by_name:
                row.fail(f'two parameters are called "{parameter.name}"')
            self.by_name[parameter.name] = index

    def words(self, parameter):
        return f"{self.name}, {parameter.name}"


class Constant:
    """A constant of any kind: what it is worth, and whether its name may stand for the value."""

    def __init__(self, row):
        self.row = row
        self.name = row["name"]
        self.text = row["value"]
        self.origin = Origin(row)
        self.number = None
        self.is_alias = False
        if not re.fullmatch(r"[A-Z0-9]+(_[A-Za-z0-9]+)+", self.name):
            row.fail(f'"{self.name}" is no name of a constant')

    @property
    def group(self):
        return self.name.split("_")[0]


class Standard:
    """All of data/, checked."""

    def __init__(self, tables):
        self.tables = tables
        self.read_types()
        self.read_members()
        self.read_calls()
        self.read_constants()

    # Types

    def read_types(self):
        self.types = {}
        self.pointers = {}
        columns = ["name", "definition", "gnu", "tag", "pointers", "origin"]
        for row in self.tables.rows("types", columns):
            type_ = Type(row)
            if self.find_type(type_.name):
                row.fail(f"{type_.name} is there already")
            self.check_definition(type_)
            self.types[type_.name] = type_
            for level in range(1, type_.pointers + 1):
                # CK_VOID_PTR is a pointer already.
                self.pointers[type_.name + "_PTR" * level] = (type_, level)

    def check_definition(self, type_):
        if type_.kind == "alias":
            known = re.fullmatch(r"(unsigned )?(char|long)|void \*", type_.definition)
            if not known and type_.definition not in self.types:
                type_.row.fail(f'unknown type "{type_.definition}"')
        if type_.kind == "callback":
            for name in [type_.result] + [type_name for type_name, _ in type_.parameters]:
                self.need_type(type_.row, name)

    def find_type(self, name):
        """(type, levels of pointer) of a name, or None."""
        if name in self.types:
            return self.types[name], 0
        return self.pointers.get(name)

    def need_type(self, row, name):
        found = self.find_type(name)
        if not found:
            row.fail(f'unknown type "{name}"')
        return found

    def pointed_to(self, name):
        """The type that stands behind a pointer, seen through other names; ("void", 1) for void *."""
        type_, level = self.find_type(name)
        while type_.kind == "alias" and level == 0:
            if type_.definition == "void *":
                return "void", 1
            if not self.find_type(type_.definition):
                return type_.definition, 0
            type_, level = self.find_type(type_.definition)
        return type_.name, level

    def read_members(self):
        columns = ["struct", "type", "member", "gnu", "also"]
        names = {}
        last = None
        for row in self.tables.rows("structs", columns, unique=("struct", "member"), optional=1):
            owner = self.types.get(row["struct"])
            if not owner or owner.kind != "struct":
                row.fail(f'"{row["struct"]}" is no struct of types.tsv')
            if owner is not last and owner.members:
                row.fail(f"the members of {owner.name} do not stand together")
            last = owner
            member = Member(row)
            self.need_type(row, member.type)
            for other in (member.also_type, member.gnu_type):
                if other and other != "char *":
                    self.need_type(row, other)
            for style, name in (("standard", member.name), ("standard", member.also), ("gnu", member.gnu)):
                if name and (owner.name, style, name) in names:
                    row.fail(f"{owner.name} has a member {name} already")
                names[owner.name, style, name] = True
            owner.members.append(member)
        for type_ in self.types.values():
            if type_.kind == "struct" and not type_.members:
                type_.row.fail(f"structs.tsv has no members of {type_.name}")

    # Calls

    def read_calls(self):
        columns = ["name", "since", "route", "parameters"]
        self.calls = []
        names = set()
        for row in self.tables.rows("calls", columns):
            call = Call(row)
            if call.name in names:
                row.fail(f"{call.name} is there already")
            names.add(call.name)
            if self.calls and call.since < self.calls[-1].since:
                row.fail(f"{row['since']} after {self.calls[-1].row['since']}: the lists of older versions are the "
                         "beginning of the newer ones")
            for parameter in call.parameters:
                self.check_parameter(call, parameter)
            self.check_route(call)
            self.calls.append(call)
        self.lists = sorted((t for t in self.types.values() if t.kind == "calls"), key=lambda t: t.up_to)
        for call in self.calls:
            if not self.lists or call.since > self.lists[-1].up_to:
                call.row.fail(f"types.tsv has no function list of version {call.row['since']}")

    def calls_of(self, list_type):
        return [call for call in self.calls if call.since <= list_type.up_to]

    def check_parameter(self, call, parameter):
        row = call.row
        where = call.words(parameter)
        self.need_type(row, parameter.type)
        base, level = self.pointed_to(parameter.type)
        # CK_VOID_PTR hides its star.
        parameter.is_pointer = level > 0 or parameter.type == "CK_VOID_PTR"
        parameter.base = base
        parameter.level = level
        if parameter.is_pointer and not parameter.direction:
            row.fail(f"{where}: a pointer needs in, out or inout")
        if not parameter.is_pointer and parameter.direction:
            row.fail(f'{where}: "{parameter.direction}", but it is no pointer')
        for word in ("count", "filled"):
            self.check_counter(call, parameter, word)
        if "two-calls" in parameter.flags and (parameter.direction == "in" or not parameter.count):
            row.fail(f"{where}: two-calls needs out or inout, and a count")
        if "key" in parameter.flags and self.named_type(parameter) != "CK_OBJECT_HANDLE":
            row.fail(f"{where}: key, but it is no CK_OBJECT_HANDLE")

    def named_type(self, parameter):
        """The named type behind a parameter's own pointers: CK_SLOT_ID of CK_SLOT_ID_PTR."""
        return self.find_type(parameter.type)[0].name

    def check_counter(self, call, parameter, word):
        name = getattr(parameter, word)
        setattr(parameter, word + "_index", None)
        if not name:
            return
        where = call.words(parameter)
        if not parameter.is_pointer:
            call.row.fail(f"{where}: {word}, but it is no pointer")
        if name.isdigit() and word == "count" and 0 < int(name) < 256:
            return
        if name not in call.by_name:
            call.row.fail(f'{where}: {word} names "{name}", which is no parameter of it')
        index = call.by_name[name]
        if call.parameters[index].type not in ("CK_ULONG", "CK_ULONG_PTR"):
            call.row.fail(f"{where}: {word} names {name}, which is no number")
        setattr(parameter, word + "_index", index)

    def check_route(self, call):
        first = call.parameters[0].type
        if call.route != "bound" and first != "CK_SESSION_HANDLE":
            call.row.fail(f'route "{call.route}", but the first parameter is no CK_SESSION_HANDLE')
        call.slots_out = []
        for parameter in call.parameters:
            if call.route != "session" or parameter.direction not in ("out", "inout"):
                continue
            type_, level = self.find_type(parameter.type)
            if type_.name in PLACES:
                call.row.fail(f"{call.words(parameter)}: hands out a {type_.name}, so it cannot be forwarded by rule; "
                              'its route is "bound"')
            if type_.kind == "struct" and level == 1:
                self.find_slots(call, parameter, type_)

    def find_slots(self, call, parameter, struct):
        for member in struct.members:
            if member.type == "CK_SLOT_ID" and member.array is None:
                call.slots_out.append((parameter, member))
            elif self.carries_place(member.type):
                call.row.fail(f"{call.words(parameter)}: {struct.name}.{member.name} carries a slot or session in a way "
                              "that the forwarding cannot translate")

    def carries_place(self, name, seen=()):
        """Whether a value of that type has a slot or session in it, at any depth."""
        type_, _ = self.find_type(name)
        if type_.name in PLACES:
            return True
        if type_.name in seen or type_.kind != "struct":
            return False
        return any(self.carries_place(member.type, seen + (type_.name,)) for member in type_.members)

    # Constants

    def read_constants(self):
        self.by_name = {}
        common = ["name", "value", "origin"]
        self.constants = self.read_constant_table("constants", common, None)
        self.attributes = self.read_constant_table("attributes", common + ["kind"], "CKA")
        self.mechanisms = self.read_constant_table("mechanisms", common + ["parameter"], "CKM")
        self.errors = self.read_constant_table("errors", common + ["text"], "CKR")
        self.all_constants = self.constants + self.attributes + self.mechanisms + self.errors
        for constant in self.all_constants:
            self.number_of(constant, ())
        for constant in self.attributes:
            self.check_attribute(constant)
        for constant in self.mechanisms:
            self.check_mechanism(constant)
        self.check_texts()

    def read_constant_table(self, name, columns, group):
        constants = []
        for row in self.tables.rows(name, columns, optional=1 if name == "errors" else 0):
            constant = Constant(row)
            if group and constant.group != group:
                row.fail(f'"{constant.name}" does not begin with {group}_')
            if not group and constant.group in ("CKA", "CKM", "CKR"):
                row.fail(f'"{constant.name}" belongs into the table of its kind')
            if constant.name in self.by_name:
                row.fail(f"{constant.name} is there already")
            self.by_name[constant.name] = constant
            constants.append(constant)
        return constants

    def number_of(self, constant, seen):
        """The value, of which the parts between "|" may be names."""
        if constant.number is not None:
            return constant.number
        if constant.name in seen:
            constant.row.fail(f"{constant.name} is defined by itself")
        number = 0
        parts = constant.text.split("|")
        for part in parts:
            literal = re.fullmatch(r"(~?)(0x[0-9a-f]+|[0-9]+)(?:UL)?", part)
            if literal:
                value = int(literal.group(2), 0)
                number |= (~value & 0xFFFFFFFFFFFFFFFF) if literal.group(1) else value
            elif part in self.by_name:
                number |= self.number_of(self.by_name[part], seen + (constant.name,))
            else:
                constant.row.fail(f'"{part}" is neither a number nor a constant')
        constant.is_alias = parts[0] in self.by_name and len(parts) == 1
        constant.number = number
        return number

    def check_attribute(self, constant):
        kinds, _, secret = constant.row["kind"].partition(" ")
        if secret not in ("", "secret"):
            constant.row.fail(f'"{secret}" behind the kind; expected "secret" or nothing')
        constant.kinds = kinds.split("|")
        constant.is_secret = bool(secret)
        for kind in constant.kinds:
            if kind not in ATTRIBUTE_KINDS:
                constant.row.fail(f'unknown kind "{kind}"; expected {", ".join(ATTRIBUTE_KINDS)}')

    def check_mechanism(self, constant):
        text = constant.row["parameter"]
        constant.is_optional = text.endswith("?")
        constant.parameters = text.removesuffix("?").split("|")
        for parameter in constant.parameters:
            if parameter in ("none", "unknown") or re.fullmatch(r"bytes(\[[0-9]+\])?", parameter):
                continue
            if not self.find_type(parameter):
                constant.row.fail(f'unknown type "{parameter}" of the parameter')

    def check_texts(self):
        for constant in self.errors:
            text = constant.row["text"]
            if text and (text.endswith(".") or not text[0].isupper() or '"' in text or "\\" in text):
                constant.row.fail("the text is a sentence without its full stop, quotes and backslashes")
