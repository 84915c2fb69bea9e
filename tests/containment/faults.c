/* SPDX-License-Identifier: BSD-3-Clause */
/* The faults: one column of the table each. */
#include "containment.h"
#include "pkcs11/call.h"

#include <string.h>

const struct fault faults[] = {
	{.name = "error",
	 .what = "answers CKR_DEVICE_ERROR, and does nothing",
	 .chaos = {.rv = CKR_DEVICE_ERROR}},
	{.name = "lie",
	 .what = "answers CKR_CRYPTOKI_NOT_INITIALIZED though the module is up",
	 .chaos = {.rv = CKR_CRYPTOKI_NOT_INITIALIZED}},
	{.name = "late",
	 .what = "does its work, and answers CKR_DEVICE_ERROR then",
	 .chaos = {.rv = CKR_DEVICE_ERROR, .late = true}},
	{.name = "over",
	 .what = "returns a count that is larger by 8 than what it wrote",
	 .chaos = {.over = 8}},
	{.name = "sleep",
	 .what = "sleeps while the others work",
	 .once = true,
	 .chaos = {.sleep_ms = SLEEP_MS}},
	{.name = "hang",
	 .what = "does not return until the others are done",
	 .once = true,
	 .chaos = {.hang = true}},
	{.name = "drop", .what = "a stranger has finalized the module", .chaos = {.drop = true}},
	{.name = "re-entrance",
	 .what = "becomes a consumer of the proxy itself, inside the call",
	 .calls_back = true},
	{.name = "fork",
	 .what = "forks; the child exits at once",
	 .once = true,
	 .chaos = {.fork = CHAOS_FORK_CHILD_EXITS}},
	{.name = "rotates",
	 .what = "each list begins with another slot",
	 .is_list = true,
	 .list = CHAOS_LIST_ROTATES},
	{.name = "grows",
	 .what = "a slot appears between the counting call and the list",
	 .is_list = true,
	 .list = CHAOS_LIST_GROWS},
	{.name = "flickers",
	 .what = "each second list leaves out the last slot",
	 .is_list = true,
	 .list = CHAOS_LIST_FLICKERS},
};
const unsigned n_faults = sizeof faults / sizeof faults[0];

/* Whether the function returns a count that could be too large. */
static bool
returns_count(enum chaos_call call)
{
	const struct p11_arg *args = &p11_args[p11_calls[call].first_arg];

	for (unsigned i = 0; i < p11_calls[call].n_args; i++) {
		unsigned count = args[i].filled != P11_ARG_NONE ? args[i].filled : args[i].count;
		if ((args[i].roles & P11_ARG_OUT) && !(args[i].roles & P11_ARG_FIXED) &&
		    count != P11_ARG_NONE && args[count].n_pointers == 1)
			return true;
	}
	return false;
}

bool
fault_applies(const struct fault *fault, enum chaos_call call)
{
	if (fault->is_list)
		return call == CHAOS_C_GetSlotList;
	return !fault->chaos.over || returns_count(call);
}

/* A consumer of the proxy, unless the thread is inside such a call already. */
static unsigned long
use_the_proxy(struct chaos *chaos, const struct chaos_visit *visit, void *data)
{
	static _Thread_local bool is_inside;

	(void)chaos, (void)visit, (void)data;
	if (is_inside)
		return CKR_OK;
	is_inside = true;
	CK_FUNCTION_LIST *list = core_list();
	core_expect(list->C_Initialize(NULL) == CKR_OK);
	core_expect(list->C_GetSlotList(CK_TRUE, NULL, &(CK_ULONG){0}) == CKR_OK);
	core_expect(list->C_Finalize(NULL) == CKR_OK);
	is_inside = false;
	return CKR_OK;
}

void
fault_set(const struct fault *fault, struct chaos *chaos, enum chaos_call call, bool always)
{
	struct chaos_fault what = fault->chaos;

	if (fault->is_list) {
		chaos->list = fault->list;
		return;
	}
	if (fault->once && !always)
		what.times = 1;
	if (fault->calls_back)
		what.callback = use_the_proxy;
	chaos->fault(call, &what);
}

void
fault_clear(struct chaos *chaos, enum chaos_call call)
{
	chaos->list = CHAOS_LIST_STEADY;
	chaos->fault(call, NULL);
}

static bool
is_life_cycle(enum chaos_call call)
{
	return call == CHAOS_C_Initialize || call == CHAOS_C_Finalize;
}

void
fault_forgive(const struct fault *fault, struct chaos *chaos, enum chaos_call call)
{
	bool is_lie = fault->chaos.rv == CKR_CRYPTOKI_NOT_INITIALIZED;

	/* Who is told that the module is down does not finalize it, nor does who is told that it
	 * did not come up. */
	if (is_lie || (fault->chaos.rv && is_life_cycle(call))) {
		chaos->finalized = chaos->initialized - chaos->dropped;
		if (chaos->up)
			chaos->sessions = 0;
		chaos->up = 0;
	}
	/* Nobody can know of it before a call says so; one may be on its way while the module comes
	 * up again. */
	if (fault->chaos.drop) {
		for (unsigned i = 0; i < CHAOS_N_CALLS; i++)
			chaos->down_calls[i] = 0;
		chaos->bad_sessions = 0;
	}
	/* The session is closed, but its owner was told that it is not. */
	if (fault->chaos.late && call == CHAOS_C_CloseSession)
		chaos->bad_sessions = 0;
}
