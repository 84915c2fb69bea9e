/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * p11_kit_initialize_module() and its kin with many threads, and from inside a module: counts stay
 * exact, and nobody waits for ever.
 */
#define P11_KIT_NO_DEPRECATIONS 1
#include "core/core.h"

#include <stdlib.h>
#include <string.h>

#define N_THREADS 16

static void
initialize_till_it_works(void *list, unsigned i)
{
	CK_RV rv;

	(void)i;
	while ((rv = p11_kit_initialize_module(list)) != CKR_OK) {
		core_expect(rv == CKR_DEVICE_ERROR);
		core_expect(core_message_has("CKR_DEVICE_ERROR"));
	}
	core_expect(p11_kit_finalize_module(list) == CKR_OK);
}

/* Of all who wait, each sees the failure of its own try only. */
static void
test_failing_initialize_with_threads(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");

	a->fault(CHAOS_C_Initialize,
		 &(struct chaos_fault){.sleep_ms = 2, .rv = CKR_DEVICE_ERROR, .times = 20});
	crew_join(crew_start(N_THREADS, initialize_till_it_works, chaos_list("chaos-a")));
	assert_int_equal(core_n_wrong, 0);
	assert_int_equal(a->calls[CHAOS_C_Initialize], 20 + a->initialized);
	assert_true(chaos_is_exact(a));
}

/* ---- many threads ---- */

#define N_ROUNDS 300

static struct chaos *crowd_chaos[3];
static CK_FUNCTION_LIST *crowd_lists[3];

static void
crowd(void *ignored, unsigned i)
{
	unsigned seed = i;

	(void)ignored;
	for (unsigned round = 0; round < N_ROUNDS; round++) {
		unsigned which = (unsigned)rand_r(&seed) % 3;
		CK_FUNCTION_LIST *list = crowd_lists[which];
		struct chaos_signature signature;

		core_expect(p11_kit_initialize_module(list) == CKR_OK);
		CK_SESSION_HANDLE session = core_open(list, 0);
		core_expect(core_sign(list, session, &signature) == CKR_OK);
		core_expect(list->C_CloseSession(session) == CKR_OK);
		core_expect(crowd_chaos[which]->up == 1);
		core_expect(p11_kit_finalize_module(list) == CKR_OK);
	}
}

static void
test_crowd(void **state)
{
	(void)state;
	static const char *const files[] = {"chaos-a", "chaos-b", "chaos-2.40"};

	for (unsigned i = 0; i < 3; i++) {
		crowd_chaos[i] = core_fresh(files[i]);
		crowd_lists[i] = chaos_list(files[i]);
	}
	crew_join(crew_start(N_THREADS, crowd, NULL));
	assert_int_equal(core_n_wrong, 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(crowd_chaos[i]->initialized > 0);
		assert_true(chaos_is_exact(crowd_chaos[i]));
		assert_rv(p11_kit_finalize_module(crowd_lists[i]), CKR_CRYPTOKI_NOT_INITIALIZED);
	}
}

static void
count_up(void *list, unsigned i)
{
	(void)i;
	core_expect(p11_kit_initialize_module(list) == CKR_OK);
}

/* All come before any goes. */
static void
test_all_at_once(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *list = chaos_list("chaos-a");

	a->fault(CHAOS_C_Initialize, &(struct chaos_fault){.sleep_ms = 20});
	crew_join(crew_start(N_THREADS, count_up, list));
	assert_int_equal(core_n_wrong, 0);
	assert_int_equal(a->calls[CHAOS_C_Initialize], 1);
	for (unsigned i = 0; i < N_THREADS; i++) {
		assert_int_equal(a->up, 1);
		assert_ok(p11_kit_finalize_module(list));
	}
	assert_rv(p11_kit_finalize_module(list), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_true(chaos_is_exact(a));
}

/* ---- recursion ---- */

static unsigned long
initialize_again(struct chaos *chaos, const struct chaos_visit *visit, void *list)
{
	(void)chaos, (void)visit;
	return p11_kit_initialize_module(list);
}

static unsigned long
finalize_again(struct chaos *chaos, const struct chaos_visit *visit, void *list)
{
	(void)chaos, (void)visit;
	core_expect(p11_kit_finalize_module(list) == CKR_FUNCTION_FAILED);
	return CKR_OK;
}

static void
recurse(void *list, unsigned i)
{
	(void)i;
	core_expect(p11_kit_initialize_module(list) == CKR_FUNCTION_FAILED);
	core_expect(p11_kit_message() != NULL);
	core_expect(p11_kit_finalize_module(list) == CKR_CRYPTOKI_NOT_INITIALIZED);
}

static void
test_module_initializes_itself(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *list = chaos_list("chaos-a");

	a->fault(CHAOS_C_Initialize,
		 &(struct chaos_fault){.callback = initialize_again, .data = list});
	recurse(list, 0);
	assert_int_equal(core_n_wrong, 0);
	assert_int_equal(a->calls[CHAOS_C_Initialize], 1);

	/* B15: one that comes meanwhile does not blind the guard. */
	a->fault(CHAOS_C_Initialize,
		 &(struct chaos_fault){.sleep_ms = 5, .callback = initialize_again, .data = list});
	crew_join(crew_start(N_THREADS, recurse, list));
	assert_int_equal(core_n_wrong, 0);

	a->fault(CHAOS_C_Initialize, NULL);
	a->fault(CHAOS_C_Finalize, &(struct chaos_fault){.callback = finalize_again, .data = list});
	assert_ok(p11_kit_initialize_module(list));
	assert_ok(p11_kit_finalize_module(list));
	assert_int_equal(core_n_wrong, 0);
	assert_true(chaos_is_exact(a));
}

static CK_FUNCTION_LIST *ring[2];

static void
start_ring(void *ignored, unsigned i)
{
	(void)ignored;
	CK_RV rv = p11_kit_initialize_module(ring[i % 2]);

	core_expect(rv == CKR_OK || rv == CKR_FUNCTION_FAILED);
	if (rv == CKR_OK)
		core_expect(p11_kit_finalize_module(ring[i % 2]) == CKR_OK);
}

/* Each wants the other inside its own C_Initialize: somebody is refused, and nobody waits for
 * ever. */
static void
test_modules_that_need_each_other(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a"), *b = core_fresh("chaos-b");

	ring[0] = chaos_list("chaos-a");
	ring[1] = chaos_list("chaos-b");
	a->fault(CHAOS_C_Initialize, &(struct chaos_fault){.sleep_ms = 2,
							   .callback = initialize_again,
							   .data = ring[1]});
	b->fault(CHAOS_C_Initialize, &(struct chaos_fault){.sleep_ms = 2,
							   .callback = initialize_again,
							   .data = ring[0]});
	for (unsigned round = 0; round < 20; round++)
		crew_join(crew_start(4, start_ring, NULL));
	assert_int_equal(core_n_wrong, 0);
	assert_int_equal(a->up + b->up, 0);
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(b));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failing_initialize_with_threads),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_module_initializes_itself),
		cmocka_unit_test(test_modules_that_need_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
