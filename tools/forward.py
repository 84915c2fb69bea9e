# SPDX-License-Identifier: BSD-3-Clause
"""Writes the forwarding of calls that have a session: proxy/forward.c, for proxy/forward.h."""

import cfile

INCLUDES = """#include "proxy/forward.h"

#include "base/base.h"
#include "pkcs11/table.h"
#include "share/handle.h"

#include <stddef.h>
#include <stdint.h>

/* The table at the end names them, which the compiler cannot see. */
#define FORWARD P11_HIDDEN __attribute__((used))
"""

FUNCTION = """
/* {place} */
{prototype}
{head}
{{
	struct p11_target target;
{slot}
	if (__builtin_expect(!{find}, 0))
		return p11_handle_missing({session});
{call}
}}
"""

# What the module says about a slot is in its own numbers.
SLOT = """	if (rv == CKR_OK && {pointer})
		{pointer}->{member} = slot;
"""

LOOKUP = """
p11_entry
p11_forward_entry(enum p11_call_id call)
{
	if ((unsigned)call >= P11_N_CALLS || !p11_forward_entries[call])
		return NULL;
	const int32_t *entry = &p11_forward_entries[call];
	return (p11_entry)((uintptr_t)entry + (uintptr_t)(intptr_t)*entry);
}
"""


def function(call):
    items = [f"{parameter.type} {parameter.name}" for parameter in call.parameters]
    session = call.parameters[0].name
    passed = ["target.session"] + [parameter.name for parameter in call.parameters[1:]]
    result = "CK_RV rv =" if call.slots_out else "return"
    body = cfile.wrapped(f"\t{result} target.table->{call.name}(", passed, ");")
    if call.slots_out:
        body += "\n" + "".join(SLOT.format(pointer=parameter.name, member=member.name)
                               for parameter, member in call.slots_out) + "\treturn rv;"
    find = f"p11_handle_find_slot({session}, &target, &slot)" if call.slots_out else f"p11_handle_find({session}, &target)"
    return FUNCTION.format(
        place=call.row.short_place, session=session, call=body, find=find,
        slot="\tCK_SLOT_ID slot;\n" if call.slots_out else "",
        prototype=cfile.wrapped(f"CK_RV p11_forward_{call.name}(", items, ") FORWARD;"),
        head="CK_RV\n" + cfile.wrapped(f"p11_forward_{call.name}(", items, ")"))


def generate(facts, out_path, **_options):
    text = cfile.head("tools/forward.py", "calls", "structs") + INCLUDES
    text += "".join(function(call) for call in facts.calls if call.route == "session")
    functions = {"session": lambda call: f"p11_forward_{call.name}", "parallel": lambda call: "p11_not_parallel",
                 "bound": lambda call: None}
    entries = [functions[call.route](call) for call in facts.calls]
    cfile.write(out_path, text + "\n" + cfile.differences("p11_forward_entries", entries) + LOOKUP)


KINDS = {"forward.c": generate}
