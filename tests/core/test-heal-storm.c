/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stranger finalizes a module again and again while many threads use it: the counts are exact, no
 * two calls of the life cycle overlap, and no handle of before reaches a session of after.
 */
#include "core/core.h"

#include <sched.h>

#define DEADLINE_MS 60000
#define HEAL_PAUSE_MS 5100 /* it is not healed more often than every 5 s */

static struct scene *scene;
static struct chaos *a, *b;

static void
begin(void)
{
	scene = scene_new();
	a = scene_chaos(scene, "a", "chaos-a", NULL);
	b = scene_chaos(scene, "b", "chaos-b", NULL);
	scene_use(scene, NULL);
}

static CK_RV
open_rv(CK_FUNCTION_LIST *list, CK_SLOT_ID slot, CK_SESSION_HANDLE *session)
{
	return CORE_ENTRY(list, C_OpenSession)(slot, CKF_SERIAL_SESSION, NULL, NULL, session);
}

#define N_DROPS 3

struct storm {
	CK_FUNCTION_LIST *lists[2]; /* two consumers of the proxy, with two threads each */
	CK_SLOT_ID slot;
	CK_FUNCTION_LIST *tables[2]; /* two managed ones, which come and go */
	atomic_bool is_over;
	atomic_ulong refusal;                 /* what a C_Initialize answered that it must not */
	atomic_ulong n_signed[2], n_mixed[2]; /* of the proxy's consumers, of the managed ones */
};

/* One session: whoever signs with it twice signs with the same one, or not at all. */
static void
use_session(struct storm *storm, CK_FUNCTION_LIST *list, CK_SLOT_ID slot, unsigned part)
{
	struct chaos_signature first, second;
	CK_SESSION_HANDLE session;

	if (open_rv(list, slot, &session) != CKR_OK)
		return;
	CK_RV rv = core_sign(list, session, &first);
	sched_yield();
	if (rv == CKR_OK && core_sign(list, session, &second) == CKR_OK) {
		storm->n_mixed[part] += first.serial != second.serial;
		storm->n_signed[part]++;
	}
	(void)CORE_ENTRY(list, C_CloseSession)(session);
}

static void
live_in_storm(void *data, unsigned i)
{
	struct storm *storm = data;

	while (!storm->is_over) {
		if (i >= 2) {
			use_session(storm, storm->lists[i % 2], storm->slot, 0);
			continue;
		}
		CK_FUNCTION_LIST *table = storm->tables[i];
		CK_RV rv = CORE_ENTRY(table, C_Initialize)(NULL);
		if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED)
			storm->refusal = rv;
		for (int j = 0; j < 5; j++)
			use_session(storm, table, 0, 1);
		(void)CORE_ENTRY(table, C_Finalize)(NULL);
	}
}

static void
drop_again_and_again(struct storm *storm, unsigned n_threads, unsigned part)
{
	for (int i = 0; i < 2; i++)
		storm->tables[i] = p11_kit_module_load(chaos_path("chaos-b"), 0);
	struct crew *crew = crew_start(n_threads, live_in_storm, storm);
	for (int i = 0; i < N_DROPS; i++) {
		unsigned long before = storm->n_signed[part];
		assert_true(WAIT_UNTIL(storm->n_signed[part] > before + 100, DEADLINE_MS));
		b->drop();
		support_pause_ms(i + 1 < N_DROPS ? HEAL_PAUSE_MS : 0);
	}
	unsigned long before = storm->n_signed[part];
	assert_true(WAIT_UNTIL(storm->n_signed[part] > before + 100, DEADLINE_MS));
	storm->is_over = true;
	crew_join(crew);
	for (int i = 0; i < 2; i++)
		p11_kit_module_release(storm->tables[i]);
	assert_int_equal(storm->refusal, 0);
	assert_int_equal(storm->n_mixed[0], 0);
	assert_int_equal(storm->n_mixed[1], 0);
	assert_int_equal(b->overlaps, 0);
}

static void
test_storm_of_drops(void **state)
{
	struct storm storm = {.lists = {NULL}};

	(void)state;
	begin();
	storm.lists[0] = core_consumer();
	storm.lists[1] = core_consumer();
	storm.slot = core_slot(storm.lists[0], 1);
	drop_again_and_again(&storm, 6, 0);
	assert_int_equal(b->initialized, 1 + N_DROPS);
	assert_int_equal(b->calls[CHAOS_C_Finalize], 0);
	assert_ok(storm.lists[0]->C_Finalize(NULL));
	assert_ok(storm.lists[1]->C_Finalize(NULL));
	assert_int_equal(b->finalized, 1);
	assert_int_equal(b->up, 0);
	assert_true(chaos_is_exact(a));
	scene_free(scene);
}

/* Here each C_Finalize may be the last, and each C_Initialize the first. */
static void
test_storm_of_drops_under_managed_tables(void **state)
{
	struct storm storm = {.lists = {NULL}};

	(void)state;
	begin();
	drop_again_and_again(&storm, 2, 1);
	assert_int_equal(b->up, 0);
	assert_int_equal(b->initialized, b->finalized + b->dropped);
	scene_free(scene);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_storm_of_drops),
		core_unit_test(test_storm_of_drops_under_managed_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
