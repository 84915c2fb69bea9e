# SPDX-License-Identifier: BSD-3-Clause
"""Writes the descriptors of the calls: pkcs11/calls.h and pkcs11/calls.c, for pkcs11/call.h."""

import cfile

DIRECTIONS = {"in": ["P11_ARG_IN"], "out": ["P11_ARG_OUT"], "inout": ["P11_ARG_IN", "P11_ARG_OUT"], None: []}


def kinds(facts):
    """The types that parameters have, without their pointers, in the order of types.tsv."""
    used = {facts.named_type(parameter) for call in facts.calls for parameter in call.parameters}
    return [name for name in facts.types if name in used]


def generate_header(facts, out_path, **_options):
    text = cfile.head("tools/calls.py", "calls", "types") + """#ifndef P11_CALLS_H
#define P11_CALLS_H

/* The calls in the order of the function lists: an id is also the position in the list. */
enum p11_call_id {
"""
    text += "".join(f"\tP11_CALL_{call.name},\n" for call in facts.calls)
    text += """	P11_N_CALLS,
};

/* The types that arguments have, without the pointers to them. */
enum p11_kind {
"""
    text += "".join(f"\tP11_KIND_{kind},\n" for kind in kinds(facts))
    cfile.write(out_path, text + "\tP11_N_KINDS,\n};\n\n#endif\n")


def roles(parameter):
    names = DIRECTIONS[parameter.direction] + [f"P11_ARG_{flag.upper().replace('-', '_')}" for flag in parameter.flags]
    if parameter.count and parameter.count_index is None:
        names.append("P11_ARG_FIXED")
    return names


def arg_line(facts, parameter, strings):
    levels = facts.find_type(parameter.type)[1]
    count = parameter.count if parameter.count_index is None else parameter.count_index
    filled = parameter.filled_index
    fields = [f".name = {strings.add(parameter.name)}", f".kind = P11_KIND_{facts.named_type(parameter)}"]
    if levels:
        fields.append(f".n_pointers = {levels}")
    if roles(parameter):
        fields.append(f".roles = {' | '.join(roles(parameter))}")
    fields.append(f".count = {'P11_ARG_NONE' if count is None else count}")
    fields.append(f".filled = {'P11_ARG_NONE' if filled is None else filled}")
    return cfile.wrapped("\t{", fields, "},")


def call_line(call, first_arg, strings):
    fields = [f".name = {strings.add(call.name)}", f".since = P11_SINCE({call.since[0]}, {call.since[1]})",
              f".route = P11_ROUTE_{call.route.upper()}", f".first_arg = {first_arg}",
              f".n_args = {len(call.parameters)}"]
    return f"\t/* {call.row.short_place} */\n" + cfile.wrapped(f"\t[P11_CALL_{call.name}] = {{", fields, "},")


def generate_source(facts, out_path, **_options):
    strings = cfile.Strings()
    call_lines, arg_lines, n_args = [], [], 0
    for call in facts.calls:
        call_lines.append(call_line(call, n_args, strings))
        arg_lines.append(f"\t/* {n_args}: {call.name} */")
        arg_lines += [arg_line(facts, parameter, strings) for parameter in call.parameters]
        n_args += len(call.parameters)
    text = cfile.head("tools/calls.py", "calls") + '#include "pkcs11/call.h"\n\n'
    text += strings.definition("text")
    text += "\nconst struct p11_call p11_calls[P11_N_CALLS] = {\n" + "\n".join(call_lines) + "\n};\n"
    text += "\nconst struct p11_arg p11_args[] = {\n" + "\n".join(arg_lines) + "\n};\n"
    text += """
const unsigned p11_n_args = P11_N_ELEMENTS(p11_args);

const char *
p11_call_name(enum p11_call_id id)
{
	return text + p11_calls[id].name;
}

const char *
p11_arg_name(const struct p11_arg *arg)
{
	return text + arg->name;
}
"""
    cfile.write(out_path, text)


KINDS = {"calls.h": generate_header, "calls.c": generate_source}
