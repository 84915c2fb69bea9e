# SPDX-License-Identifier: BSD-3-Clause
"""Writes the pool of functions that belong to a consumer: pkcs11/pool.h, pool.c and pool-entries.c."""

import cfile


def bound(facts):
    return [call for call in facts.calls if call.route == "bound"]


def prototype(call, extra):
    return [f"{parameter.type} {parameter.name}" for parameter in call.parameters] + [extra]


def names(call):
    return [parameter.name for parameter in call.parameters]


HEADER = """#ifndef P11_POOL_H
#define P11_POOL_H

#include "base/base.h"
#include "pkcs11/calls.h"
#include "pkcs11/entry.h"

#include <stdatomic.h>

/*
 * Calls that have no session which could say whose they are: of each there is one function per context, and they differ in
 * nothing but the number of the context. Whoever has a context puts here what its functions do.
 *
 * A build that tries to break itself has fewer contexts than there are functions for (tests).
 */
#ifndef P11_N_CONTEXTS
#define P11_N_CONTEXTS {contexts}
#endif

/* The calls of one kind of consumer, with what stands in p11_bounds[].context as last argument. */
struct p11_bound_ops {{
{members}
}};

struct p11_bound {{
	const struct p11_bound_ops *_Atomic ops; /* NULL: every call answers CKR_CRYPTOKI_NOT_INITIALIZED */
	void *_Atomic context;
}};

extern struct p11_bound p11_bounds[P11_N_CONTEXTS] P11_HIDDEN;

/* The function of context `n` for a call; NULL if the call is none of these, or there is no such context. */
p11_entry p11_bound_entry(unsigned n, enum p11_call_id call);

#endif
"""


def generate_header(facts, out_path, contexts=256, **_options):
    members = [cfile.wrapped(f"\tCK_RV (*{call.name})(", prototype(call, "void *context"), ");")
               for call in bound(facts)]
    text = cfile.head("tools/pool.py", "calls") + HEADER.format(contexts=contexts, members="\n".join(members))
    cfile.write(out_path, text)


DISPATCHER = """
/* {place} */
{prototype}
{head}
{{
	const struct p11_bound_ops *ops =
		atomic_load_explicit(&p11_bounds[n].ops, memory_order_acquire);

	if (!ops)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!ops->{name})
		return CKR_FUNCTION_NOT_SUPPORTED;
	void *context = atomic_load_explicit(&p11_bounds[n].context, memory_order_acquire);
{call}
}}
"""


def dispatcher(call):
    items = prototype(call, "unsigned n")
    return DISPATCHER.format(
        place=call.row.short_place, name=call.name,
        prototype=cfile.wrapped(f"CK_RV p11_dispatch_{call.name}(", items, ") P11_HIDDEN;"),
        head="CK_RV\n" + cfile.wrapped(f"p11_dispatch_{call.name}(", items, ")"),
        call=cfile.wrapped(f"\treturn ops->{call.name}(", names(call) + ["context"], ");"))


LOOKUP = """
/* Of all contexts, in the order of their numbers; see pool-entries.c. */
extern const int32_t p11_pool_entries[] P11_HIDDEN;

p11_entry
p11_bound_entry(unsigned n, enum p11_call_id call)
{{
	/* Position among the functions of one context, from 1. */
	static const unsigned char positions[P11_N_CALLS] = {{
{positions}
	}};

	if (n >= P11_N_CONTEXTS || (unsigned)call >= P11_N_CALLS || !positions[call])
		return NULL;
	const int32_t *entry = &p11_pool_entries[n * {n_bound}u + positions[call] - 1];
	return (p11_entry)((uintptr_t)entry + (uintptr_t)(intptr_t)*entry);
}}
"""


def generate_source(facts, out_path, contexts=256, **_options):
    calls = bound(facts)
    text = cfile.head("tools/pool.py", "calls")
    text += '#include "pkcs11/pool.h"\n\n#include <stddef.h>\n#include <stdint.h>\n\n'
    text += f'_Static_assert(P11_N_CONTEXTS <= {contexts}, "there are no functions for more");\n\n'
    text += "struct p11_bound p11_bounds[P11_N_CONTEXTS];\n"
    text += "".join(dispatcher(call) for call in calls)
    positions = [f"\t\t[P11_CALL_{call.name}] = {position}," for position, call in enumerate(calls, 1)]
    cfile.write(out_path, text + LOOKUP.format(positions="\n".join(positions), n_bound=len(calls)))


ENTRIES = """#include "base/base.h"

#include <p11-kit/pkcs11.h>

#include <stdint.h>

/*
 * {contexts} times {n_bound} functions of two instructions: the number of the context, and a jump. They are compiled small,
 * without sanitizers and without link-time optimization, which would rename what the table below names.
 */
#define ENTRY static __attribute__((used)) CK_RV
"""


def macro(call):
    """ENTRY_C_X(n): the function of context n."""
    body = [cfile.wrapped(f"\tENTRY bound_##n##_{call.name}(", prototype(call, "")[:-1], ")"), "\t{",
            cfile.wrapped(f"\t\treturn p11_dispatch_{call.name}(", names(call) + ["n"], ");"), "\t}"]
    lines = [f"#define ENTRY_{call.name}(n)"] + "\n".join(body).split("\n")
    return "\n".join(f"{line} \\" for line in lines[:-1]) + f"\n{lines[-1]}\n"


def generate_entries(facts, out_path, contexts=256, **_options):
    calls = bound(facts)
    text = cfile.head("tools/pool.py", "calls") + ENTRIES.format(contexts=contexts, n_bound=len(calls)) + "\n"
    for call in calls:
        items = prototype(call, "unsigned n")
        text += cfile.wrapped(f"CK_RV p11_dispatch_{call.name}(", items, ") P11_HIDDEN;") + "\n"
    text += "".join("\n" + macro(call) for call in calls)
    text += "\n#define CONTEXT(n) \\\n" + " \\\n".join(f"\tENTRY_{call.name}(n)" for call in calls) + "\n\n"
    text += "".join(f"CONTEXT({n})\n" for n in range(contexts)) + "\n"
    functions = [f"bound_{n}_{call.name}" for n in range(contexts) for call in calls]
    cfile.write(out_path, text + cfile.differences("p11_pool_entries", functions))


KINDS = {"pool.h": generate_header, "pool.c": generate_source, "pool-entries.c": generate_entries}
