# SPDX-License-Identifier: BSD-3-Clause
"""Writes names of constants and texts of errors: pkcs11/names.c, for pkcs11/names.h."""

import cfile

# The groups of enum p11_constant_group. CKF_ and CKP_ are missing: their numbers mean different things in different places.
GROUPS = ["CKA", "CKC", "CKD", "CKG", "CKH", "CKK", "CKM", "CKN", "CKO", "CKR", "CKS", "CKU", "CKZ"]

# Of two names for one number the first row has it, except that the standard's goes before a vendor's.
FUNCTIONS = """
/* Where `value` is in its group, or -1. */
static int
find(enum p11_constant_group group, unsigned long value)
{
	int low = groups[group], high = groups[group + 1];

	while (low < high) {
		int middle = low + (high - low) / 2;
		if (values[middle] == value)
			return middle;
		if (values[middle] < value)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

const char *
p11_constant_name(enum p11_constant_group group, unsigned long value)
{
	int index = find(group, value);

	return index < 0 ? NULL : text + names[index];
}

const char *
p11_rv_name(CK_RV rv, char buffer[24])
{
	const char *name = p11_constant_name(P11_CKR, rv);

	if (name)
		return name;
	snprintf(buffer, 24, "0x%08lx", (unsigned long)rv);
	return buffer;
}

const char *
p11_error_text(CK_RV rv)
{
	int index = find(P11_CKR, rv);

	return index < 0 ? "The module reports an error that has no description" :
	                   text + errors[index - groups[P11_CKR]];
}
"""


def members_of(facts, group):
    """The constants that give a number of a group its name, by number."""
    chosen = {}
    for constant in facts.all_constants:
        if constant.group != group or constant.is_alias:
            continue
        before = chosen.get(constant.number)
        if not before or (before.origin.vendor and not constant.origin.vendor):
            chosen[constant.number] = constant
        if constant.number >= 1 << 32:
            constant.row.fail(f"{constant.name} does not fit into 32 bits")
    return [chosen[number] for number in sorted(chosen)]


def generate(facts, out_path, **_options):
    strings = cfile.Strings()
    starts, values, names, errors = [], [], [], []
    for group in GROUPS:
        starts.append(f"\t[P11_{group}] = {len(values)},")
        for constant in members_of(facts, group):
            offset = strings.add(constant.name)
            values.append(f"\t0x{constant.number:08x}, /* {constant.name} */")
            names.append(f"\t{offset}, /* {constant.name} */")
            if group == "CKR":
                errors.append(f"\t{strings.add(constant.row['text'])}, /* {constant.name}, {constant.row.short_place} */")
    starts.append(f"\t[P11_N_CONSTANT_GROUPS] = {len(values)},")
    text = cfile.head("tools/names.py", "constants", "attributes", "mechanisms", "errors")
    text += '#include "pkcs11/names.h"\n\n#include <stdint.h>\n#include <stdio.h>\n\n'
    text += strings.definition("text")
    text += "\n/* Where each group begins in the next two tables, and ends: where the next one begins. Sorted by value. */\n"
    text += "static const uint16_t groups[P11_N_CONSTANT_GROUPS + 1] = {\n" + "\n".join(starts) + "\n};\n"
    text += "\nstatic const uint32_t values[] = {\n" + "\n".join(values) + "\n};\n"
    text += "\nstatic const uint16_t names[] = {\n" + "\n".join(names) + "\n};\n"
    text += "\n/* Only of the group CKR. */\nstatic const uint16_t errors[] = {\n" + "\n".join(errors) + "\n};\n"
    cfile.write(out_path, text + FUNCTIONS)


KINDS = {"names.c": generate}
