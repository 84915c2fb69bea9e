/* SPDX-License-Identifier: BSD-3-Clause */
/* One consumer of the proxy, from look-up to C_Finalize: what every other test of the core builds
 * on. */
#include "core/core.h"

static void
test_one_consumer(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = scene_chaos(scene, "a", "chaos-a", NULL);
	struct chaos *b = scene_chaos(scene, "b", "chaos-2.40", NULL);
	struct chaos_signature signature;

	scene_use(scene, NULL);
	CK_FUNCTION_LIST *list = core_list();
	assert_int_equal(list->version.major * 100 + list->version.minor, 240);
	assert_rv(list->C_GetSlotList(CK_FALSE, NULL, &(CK_ULONG){0}),
		  CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(a->calls[CHAOS_C_Initialize], 0);
	assert_ok(list->C_Initialize(NULL));
	assert_int_equal(core_slot(list, 0), 0x11);
	assert_int_equal(core_slot(list, 1), 0x12);

	CK_SESSION_HANDLE session = core_open(list, 0x12);
	assert_ok(core_sign(list, session, &signature));
	assert_string_equal(signature.module, "chaos-2.40");
	assert_ok(list->C_Finalize(NULL));
	assert_rv(core_sign(list, session, &signature), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(b));
	assert_int_equal(a->initialized, 1);
	scene_free(scene);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_consumer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
