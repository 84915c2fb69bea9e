/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The faulty consumer: it lives through a look-up, C_Initialize, a list of slots, a session and
 * C_Finalize, and calls the function that goes wrong where it belongs. Whatever is answered, it
 * goes on, and looks at nothing: it is the healthy ones that are looked at.
 */
#include "containment.h"
#include "pkcs11/call.h"
#include "pkcs11/table.h"

#include <string.h>

#define N_ELEMENTS 16 /* of every array: none is larger than the memory of an argument */
#define ARGUMENT_SIZE 1024

typedef CK_RV (*any_entry)(CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG,
			   CK_ULONG, CK_ULONG, CK_ULONG);

struct arguments {
	CK_ULONG word[CHAOS_MAX_ARGS];
	CK_ULONG memory[CHAOS_MAX_ARGS][ARGUMENT_SIZE / sizeof(CK_ULONG)];
};

/* Zeros behind every pointer but those that are reserved; 1 for every number. */
static void
fill_simple(struct arguments *out, const struct p11_call *call, CK_SLOT_ID slot,
	    CK_SESSION_HANDLE session)
{
	const struct p11_arg *args = &p11_args[call->first_arg];

	for (unsigned i = 0; i < call->n_args; i++) {
		if (args[i].n_pointers)
			out->word[i] = (CK_ULONG)out->memory[i];
		else if (args[i].kind == P11_KIND_CK_VOID_PTR)
			out->word[i] = args[i].count == P11_ARG_NONE ? 0 : (CK_ULONG)out->memory[i];
		else if (args[i].kind == P11_KIND_CK_SLOT_ID)
			out->word[i] = slot;
		else if (args[i].kind == P11_KIND_CK_SESSION_HANDLE)
			out->word[i] = session;
		else
			out->word[i] = args[i].kind == P11_KIND_CK_NOTIFY ? 0 : 1;
	}
}

/* Counts say how much there is. */
static void
fill_counts(struct arguments *out, const struct p11_call *call)
{
	const struct p11_arg *args = &p11_args[call->first_arg];

	for (unsigned i = 0; i < call->n_args; i++) {
		unsigned count = args[i].count;
		if (count == P11_ARG_NONE || (args[i].roles & P11_ARG_FIXED))
			continue;
		if (args[count].n_pointers)
			out->memory[count][0] = N_ELEMENTS;
		else
			out->word[count] = N_ELEMENTS;
	}
}

static void
call_any(const void *list, enum chaos_call call, CK_SLOT_ID slot, CK_SESSION_HANDLE session)
{
	static _Thread_local struct arguments args;
	any_entry entry;

	memset(&args, 0, sizeof args);
	fill_simple(&args, &p11_calls[call], slot, session);
	fill_counts(&args, &p11_calls[call]);
	/* A list as an array: the version, which is padded to a word, then the functions in the
	 * order of the calls. */
	memcpy(&entry, (const char *)list + sizeof(void *) * (call + 1), sizeof entry);
	const CK_ULONG *word = args.word;
	entry(word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7], word[8],
	      word[9]);
}

/* Those that every life has. */
static bool
is_in_every_life(enum chaos_call call)
{
	switch (call) {
	case CHAOS_C_Initialize:
	case CHAOS_C_GetSlotList:
	case CHAOS_C_OpenSession:
	case CHAOS_C_CloseSession:
	case CHAOS_C_Finalize:
		return true;
	default:
		return false;
	}
}

static void
live(const struct consumer *consumer, CK_SLOT_ID slot, enum chaos_call call)
{
	static _Thread_local CK_SLOT_ID ids[MAX_SLOTS];
	CK_FUNCTION_LIST_3_2 *list = consumer->list;
	CK_SESSION_HANDLE session = 0;
	CK_ULONG n = 0;

	if (consumer_initialize(consumer) != CKR_OK)
		return;
	list->C_GetSlotList(CK_TRUE, NULL, &n);
	n = MAX_SLOTS;
	list->C_GetSlotList(CK_TRUE, ids, &n);
	bool is_open =
		list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session) == CKR_OK;
	if (!is_in_every_life(call) && call < p11_table_n_entries(list->version))
		call_any(list, call, slot, session);
	if (is_open && call != CHAOS_C_CloseAllSessions)
		list->C_CloseSession(session);
	consumer_finalize(consumer);
}

void
drive(enum way way, enum chaos_call call)
{
	struct consumer consumer = consumer_open(way, chaos_path("chaos-a"));

	if (consumer.list)
		live(&consumer, way == WAY_PROXY ? SLOT_BASE : 0, call);
	consumer_close(&consumer);
}
