/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The longest call on one slot while another module's slot takes a second to answer C_GetSlotInfo.
 * One thread has that slot asked in the two ways there are (C_GetSlotInfo, and the list of slots
 * with tokens, for which the proxies ask it); the other thread uses its own slot all the while, and
 * never a list: those ask every module by nature.
 */
#include "bench/lanes.h"
#include "bench/measures.h"
#include "bench/null-module.h"
#include "bench/party.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SLEEP_MS 1000

/* A slot as seen through a list. */
struct place {
	CK_FUNCTION_LIST *list;
	CK_SLOT_ID slot;
};

struct sleeper {
	struct place place;
	atomic_bool has_begun;
	atomic_bool is_over;
};

static void *
ask_slow_slot(void *argument)
{
	struct sleeper *sleeper = argument;
	CK_FUNCTION_LIST *list = sleeper->place.list;
	CK_SLOT_INFO info;
	CK_ULONG n_slots = 0;
	bench_pin(1);
	atomic_store(&sleeper->has_begun, true);
	bench_expect_ok(list->C_GetSlotInfo(sleeper->place.slot, &info), "the slow C_GetSlotInfo");
	bench_expect_ok(list->C_GetSlotList(CK_TRUE, NULL, &n_slots), "the slow C_GetSlotList");
	atomic_store(&sleeper->is_over, true);
	return NULL;
}

/* The slow module's slot, or a slot of another module whose token is ready to use. */
static struct place
find_slot(CK_FUNCTION_LIST *list, bool is_slow)
{
	CK_ULONG n_slots = 0;
	CK_SLOT_ID *slots = bench_slots(list, &n_slots);
	struct place place = {NULL, 0};
	for (CK_ULONG i = 0; i < n_slots && !place.list; i++) {
		CK_SLOT_INFO slot;
		CK_TOKEN_INFO token;
		bench_expect_ok(list->C_GetSlotInfo(slots[i], &slot), "C_GetSlotInfo");
		bool matches = memcmp(slot.slotDescription, "slow ", 5) == 0;
		if (matches != is_slow || list->C_GetTokenInfo(slots[i], &token) != CKR_OK)
			continue;
		if (token.flags & CKF_TOKEN_INITIALIZED)
			place = (struct place){list, slots[i]};
	}
	free(slots);
	if (!place.list)
		bench_die("the %s slot is missing", is_slow ? "slow" : "other");
	return place;
}

static void
keep_longest(double *longest, double *before)
{
	double now = bench_now();
	if (now - *before > *longest)
		*longest = now - *before;
	*before = now;
}

/* One of each kind of call that a program at work makes. */
static void
use_slot(struct place place, double *longest)
{
	CK_FUNCTION_LIST *list = place.list;
	CK_SLOT_INFO slot;
	CK_TOKEN_INFO token;
	CK_SESSION_INFO info;
	CK_SESSION_HANDLE session = 0;
	CK_MECHANISM mechanism = {CKM_SHA256, NULL, 0};
	CK_BYTE data[32] = {0};
	CK_BYTE digest[32];
	CK_ULONG size = sizeof(digest);
	double before = bench_now();

	bench_expect_ok(list->C_GetSlotInfo(place.slot, &slot), "C_GetSlotInfo");
	keep_longest(longest, &before);
	bench_expect_ok(list->C_GetTokenInfo(place.slot, &token), "C_GetTokenInfo");
	keep_longest(longest, &before);
	session = bench_open_session(list, place.slot);
	keep_longest(longest, &before);
	bench_expect_ok(list->C_GetSessionInfo(session, &info), "C_GetSessionInfo");
	keep_longest(longest, &before);
	bench_expect_ok(list->C_DigestInit(session, &mechanism), "C_DigestInit");
	keep_longest(longest, &before);
	bench_expect_ok(list->C_Digest(session, data, sizeof(data), digest, &size), "C_Digest");
	keep_longest(longest, &before);
	bench_expect_ok(list->C_CloseSession(session), "C_CloseSession");
	keep_longest(longest, &before);
}

void
bench_blocking(const char *library, const char *config, const char *module_path,
	       const char *slow_path)
{
	void *slow_module = bench_open(slow_path);
	void *module = bench_open(module_path);
	CK_FUNCTION_LIST *list =
		library ? bench_functions(bench_open_library(library, config)) : NULL;
	CK_FUNCTION_LIST *own = list ? list : bench_functions(module);
	CK_FUNCTION_LIST *slow = list ? list : bench_functions(slow_module);
	void (*set_sleep)(unsigned) = bench_symbol(slow_module, "null_module_set_sleep");

	bench_pin(0);
	bench_expect_ok(own->C_Initialize(NULL), "C_Initialize");
	struct place place = find_slot(own, false);
	struct sleeper sleeper = {.place = find_slot(slow, true)};
	set_sleep(SLEEP_MS);

	pthread_t thread;
	if (pthread_create(&thread, NULL, ask_slow_slot, &sleeper))
		bench_die("pthread_create() failed");
	while (!atomic_load(&sleeper.has_begun))
		;
	double longest = 0;
	unsigned long turns = 0;
	while (!atomic_load(&sleeper.is_over)) {
		use_slot(place, &longest);
		turns++;
	}
	pthread_join(thread, NULL);
	bench_report(longest / 1e6, "longest");
	bench_report((double)turns, "turns");
}
