/* SPDX-License-Identifier: BSD-3-Clause */
/* How the time of C_GetSlotList grows with the number of slots. */
#include "bench/lanes.h"
#include "bench/measures.h"
#include "bench/null-module.h"
#include "bench/party.h"

#include <math.h>
#include <stdlib.h>

#define ROUNDS 25
#define ENOUGH_US 300e3 /* of one way to list: then fewer rounds do */

/* As consumers list: once for the number, once for the slots. Returns microseconds. */
static double
list_once(CK_FUNCTION_LIST *list, CK_BBOOL token_present, CK_SLOT_ID *slots, CK_ULONG n_slots)
{
	CK_ULONG count = 0;
	CK_ULONG room = n_slots;
	double start = bench_now();
	CK_RV rv = list->C_GetSlotList(token_present, NULL, &count);
	rv |= list->C_GetSlotList(token_present, slots, &room);
	double end = bench_now();
	bench_expect_ok(rv, "C_GetSlotList");
	if (count != n_slots || room != n_slots)
		bench_die("%lu slots were listed, %lu expected", (unsigned long)room,
			  (unsigned long)n_slots);
	return (end - start) / 1000;
}

void
bench_listing(const char *library_path, const char *config, const char *module_path,
	      unsigned long n_slots)
{
	bench_pin(0);
	bench_start_bystander();
	void *module = bench_open(module_path);
	void (*set_slots)(unsigned long) = bench_symbol(module, "null_module_set_slots");
	set_slots(n_slots);
	CK_FUNCTION_LIST *direct = bench_functions(module);
	CK_FUNCTION_LIST *proxied = bench_functions(bench_open_library(library_path, config));
	CK_SLOT_ID *slots = calloc(n_slots, sizeof(*slots));
	if (!slots)
		bench_die("no memory");

	double start = bench_now();
	bench_expect_ok(proxied->C_Initialize(NULL), "the proxy's C_Initialize");
	double first = (bench_now() - start) / 1000;
	first += list_once(proxied, CK_FALSE, slots, n_slots);
	bench_report(first, "first.proxied");

	double least[2][2] = {{HUGE_VAL, HUGE_VAL}, {HUGE_VAL, HUGE_VAL}};
	for (unsigned round = 0; round < ROUNDS && (round < 3 || round * least[1][0] < ENOUGH_US);
	     round++) {
		for (unsigned present = 0; present < 2; present++) {
			least[0][present] =
				fmin(least[0][present], list_once(direct, present, slots, n_slots));
			least[1][present] = fmin(least[1][present],
						 list_once(proxied, present, slots, n_slots));
		}
	}
	bench_report(least[0][0], "all.direct");
	bench_report(least[1][0], "all.proxied");
	bench_report(least[0][1], "present.direct");
	bench_report(least[1][1], "present.proxied");
	free(slots);
}
