/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A module that fails is the only one that does: the slots of the others stay as they are, through
 * the proxy and through managed tables, a message names it, and it comes back by itself.
 */
#include "core/three.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LATER_MS 20000

/* The i-th slot signs, and it is that module which does. */
static void
assert_signs(CK_FUNCTION_LIST *list, CK_SLOT_ID slot, const char *module)
{
	struct chaos_signature signature;
	CK_SESSION_HANDLE session = core_open(list, slot);

	assert_ok(core_sign(list, session, &signature));
	assert_string_equal(signature.module, module);
	assert_ok(list->C_CloseSession(session));
}

static CK_ULONG
count_slots(CK_FUNCTION_LIST *list, CK_BBOOL present)
{
	CK_ULONG n = 0;

	assert_ok(list->C_GetSlotList(present, NULL, &n));
	return n;
}

static void
assert_only_a_and_c(CK_FUNCTION_LIST *list)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS];

	assert_int_equal(count_slots(list, CK_TRUE), 2);
	assert_int_equal(core_slots(list, ids), 2);
	assert_signs(list, ids[0], "chaos-a");
	assert_signs(list, ids[1], "chaos-c");
}

static unsigned
count_modules(CK_FUNCTION_LIST **modules)
{
	unsigned n = 0;

	while (modules[n])
		n++;
	return n;
}

/* ---- loading ---- */

static void
test_module_that_cannot_be_loaded(void **state)
{
	(void)state;
	three_begin(NULL);
	scene_module(scene, "b", "/nowhere/missing.so", NULL);
	scene_write(scene, "text.so", "This is no module.\n");
	scene_module(scene, "b2", scene_path(scene, "text.so"), NULL);
	CK_FUNCTION_LIST *list = core_list();
	assert_ok(list->C_Initialize(NULL));
	core_assert_said("text.so");
	assert_only_a_and_c(list);
	assert_ok(list->C_Finalize(NULL));

	scene_remove(scene, "modules/b2.module");
	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
	assert_non_null(modules);
	assert_int_equal(count_modules(modules), 2);
	assert_signs(modules[1], 0, "chaos-c");
	p11_kit_modules_finalize_and_release(modules);
	three_end();
}

static void
test_critical_module_that_cannot_be_loaded(void **state)
{
	(void)state;
	three_begin(NULL);
	scene_module(scene, "b", "/nowhere/missing.so", "critical: yes");
	CK_FUNCTION_LIST *list = core_list();
	for (int i = 0; i < 2; i++) {
		assert_rv(list->C_Initialize(NULL), CKR_GENERAL_ERROR);
		core_assert_said("critical");
		core_assert_said("missing.so");
		assert_null(p11_kit_modules_load(NULL, 0));
		core_assert_said("missing.so");
	}
	assert_rv(list->C_GetSlotList(CK_FALSE, NULL, &(CK_ULONG){0}),
		  CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(a->calls[CHAOS_C_Initialize], 0);
	three_end();
}

/* ---- C_Initialize ---- */

static void
test_module_that_cannot_be_initialized(void **state)
{
	(void)state;
	three_begin(NULL);
	b->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR});
	CK_FUNCTION_LIST *list = core_consumer();
	core_assert_said("module b: ");
	core_assert_said("CKR_DEVICE_ERROR");
	assert_only_a_and_c(list);

	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
	assert_non_null(modules);
	core_assert_said("module b: ");
	core_assert_said("CKR_DEVICE_ERROR");
	assert_int_equal(count_modules(modules), 2);
	assert_signs(modules[0], 0, "chaos-a");
	assert_signs(modules[1], 0, "chaos-c");
	assert_only_a_and_c(list);
	p11_kit_modules_finalize_and_release(modules);
	assert_only_a_and_c(list);
	assert_ok(list->C_Finalize(NULL));
	assert_int_equal(b->finalized, 0);
	three_end();
}

static void
test_critical_module_that_cannot_be_initialized(void **state)
{
	(void)state;
	three_begin("critical: yes");
	b->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR});
	CK_FUNCTION_LIST *list = core_list();
	for (unsigned long i = 1; i <= 3; i++) {
		assert_rv(list->C_Initialize(NULL), CKR_DEVICE_ERROR);
		core_assert_said("module b: ");
		assert_int_equal(b->calls[CHAOS_C_Initialize], i); /* whatever its pause is */
		assert_rv(list->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
		assert_int_equal(a->finalized, a->initialized);
	}
	assert_null(p11_kit_modules_load_and_initialize(0));
	core_assert_said("module b: ");
	assert_int_equal(a->finalized, a->initialized);
	b->fault(CHAOS_C_Initialize, NULL);
	assert_ok(list->C_Initialize(NULL));
	assert_int_equal(count_slots(list, CK_TRUE), 3);
	assert_ok(list->C_Finalize(NULL));
	three_end();
}

/* It counts as down, and nobody is told but by a message: the others go down too. */
static void
test_module_that_cannot_be_finalized(void **state)
{
	(void)state;
	three_begin(NULL);
	a->fault(CHAOS_C_Finalize, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR, .late = true});
	CK_FUNCTION_LIST *list = core_consumer();
	assert_ok(list->C_Finalize(NULL));
	core_assert_said("module a: ");
	core_assert_said("CKR_DEVICE_ERROR");
	assert_int_equal(a->calls[CHAOS_C_Finalize], 1);
	assert_int_equal(b->up + c->up, 0);
	assert_rv(list->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	a->reset();
	assert_ok(list->C_Initialize(NULL));
	assert_int_equal(count_slots(list, CK_TRUE), 3);
	assert_ok(list->C_Finalize(NULL));
	three_end();
}

/* C_Initialize has failed, and is done all the same; or C_Finalize was refused: the module says that
 * it is up already. It works for who comes next, and is nobody's to finalize. */
static void
test_module_that_is_up_though_it_says_otherwise(void **state)
{
	static const struct {
		enum chaos_call call;
		bool late;
	} rows[] = {{CHAOS_C_Initialize, true}, {CHAOS_C_Finalize, false}};

	(void)state;
	three_begin(NULL);
	CK_FUNCTION_LIST *list = core_list();
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		b->fault(rows[i].call,
			 &(struct chaos_fault){.rv = CKR_DEVICE_ERROR, .late = rows[i].late});
		assert_ok(list->C_Initialize(NULL));
		assert_ok(list->C_Finalize(NULL));
		core_assert_said("module b: ");
		b->fault(rows[i].call, NULL);
		assert_int_equal(b->up, 1);

		unsigned long finalized = b->calls[CHAOS_C_Finalize];
		assert_ok(list->C_Initialize(NULL));
		assert_true(WAIT_UNTIL(count_slots(list, CK_TRUE) == 3, LATER_MS));
		assert_signs(list, core_slot(list, 1), "chaos-b");
		assert_ok(list->C_Finalize(NULL));
		assert_int_equal(b->calls[CHAOS_C_Finalize], finalized);
		assert_int_equal(b->up, 1);
		b->drop();
	}
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(c));
	assert_int_equal(b->overlaps, 0);
	scene_free(scene);
}

/* ---- lists and states ---- */

static void
test_module_that_cannot_list(void **state)
{
	(void)state;
	three_begin(NULL);
	b->fault(CHAOS_C_GetSlotList, &(struct chaos_fault){.rv = CKR_GENERAL_ERROR});
	CK_FUNCTION_LIST *list = core_consumer();
	core_assert_said("module b: ");
	assert_only_a_and_c(list);
	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
	assert_int_equal(count_modules(modules), 3);
	assert_int_equal(count_slots(modules[0], CK_TRUE), 1);
	assert_int_equal(count_slots(modules[2], CK_TRUE), 1);
	p11_kit_modules_finalize_and_release(modules);
	assert_rv(list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &(CK_SLOT_ID){0}, NULL), CKR_NO_EVENT);

	/* Once it has answered, its slots stay: the module may fail to list, and sign all the
	 * same. */
	b->fault(CHAOS_C_GetSlotList, NULL);
	assert_true(WAIT_UNTIL(count_slots(list, CK_TRUE) == 3, LATER_MS));
	b->fault(CHAOS_C_GetSlotList, &(struct chaos_fault){.rv = CKR_GENERAL_ERROR});
	assert_int_equal(count_slots(list, CK_TRUE), 3);
	core_assert_said("module b: ");
	core_assert_said("CKR_GENERAL_ERROR");
	assert_int_equal(count_slots(list, CK_FALSE), 3);
	assert_signs(list, core_slot(list, 1), "chaos-b");
	assert_signs(list, core_slot(list, 2), "chaos-c");
	assert_ok(list->C_Finalize(NULL));
	three_end();
}

static void
test_slot_that_cannot_tell_its_state(void **state)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS], present[CORE_MAX_SLOTS];
	CK_ULONG n = CORE_MAX_SLOTS;
	CK_SLOT_INFO slot_info;
	CK_TOKEN_INFO token_info;

	(void)state;
	three_begin(NULL);
	b->slots(2);
	b->no_events = true; /* events are concluded from its lists */
	struct chaos_fault fault = {.rv = CKR_DEVICE_ERROR, .on_slot = true, .slot = 0};
	b->fault(CHAOS_C_GetSlotInfo, &fault);
	b->fault(CHAOS_C_GetTokenInfo, &fault);
	CK_FUNCTION_LIST *list = core_consumer();
	assert_int_equal(core_slots(list, ids), 4);
	assert_ok(list->C_GetSlotList(CK_TRUE, present, &n));
	core_assert_said("module b: ");
	core_assert_said("CKR_DEVICE_ERROR");
	assert_int_equal(n, 3);
	assert_int_equal(present[0], ids[0]);
	assert_int_equal(present[1], ids[2]);
	assert_int_equal(present[2], ids[3]);
	for (int i = 0; i < 4; i++) {
		CK_RV expected = i == 1 ? CKR_DEVICE_ERROR : CKR_OK;
		assert_rv(list->C_GetSlotInfo(ids[i], &slot_info), expected);
		assert_rv(list->C_GetTokenInfo(ids[i], &token_info), expected);
	}
	assert_signs(list, ids[0], "chaos-a");
	assert_signs(list, ids[1], "chaos-b");
	assert_signs(list, ids[2], "chaos-b");
	/* When it can tell again it is there; all that is no event. */
	b->fault(CHAOS_C_GetSlotInfo, NULL);
	assert_int_equal(count_slots(list, CK_TRUE), 4);
	assert_rv(list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &(CK_SLOT_ID){0}, NULL), CKR_NO_EVENT);
	assert_ok(list->C_Finalize(NULL));
	three_end();
}

/* ---- coming back ---- */

static void
test_late_module_appears_by_itself(void **state)
{
	(void)state;
	three_begin(NULL);
	b->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_FUNCTION_FAILED});
	CK_FUNCTION_LIST *list = core_consumer();
	unsigned long began = support_ms();
	while (support_ms() - began < 2500)
		assert_int_equal(count_slots(list, CK_TRUE), 2);
	/* Once by C_Initialize, and then not before a second has passed each time. */
	unsigned long n = b->calls[CHAOS_C_Initialize];
	assert_in_range(n, 2, 1 + (support_ms() - began) / 1000);

	/* Another consumer's C_Initialize insists. */
	CK_FUNCTION_LIST *other = core_consumer();
	assert_int_equal(b->calls[CHAOS_C_Initialize], n + 1);
	b->fault(CHAOS_C_Initialize, NULL);
	assert_true(WAIT_UNTIL(count_slots(list, CK_TRUE) == 3, LATER_MS));
	assert_true(WAIT_UNTIL(count_slots(other, CK_TRUE) == 3, LATER_MS));
	assert_signs(other, core_slot(other, 1), "chaos-b");
	assert_ok(list->C_Finalize(NULL));
	assert_signs(other, core_slot(other, 1), "chaos-b");
	assert_ok(other->C_Finalize(NULL));
	assert_int_equal(b->initialized, 1);
	three_end();
}

/* Its pause is over as soon as somebody else has started it, or listed its slots. */
static void
test_success_of_others_ends_the_pause(void **state)
{
	struct chaos_fault fault = {.sleep_ms = 500, .rv = CKR_DEVICE_ERROR}; /* a pause of 10 s */

	(void)state;
	three_begin(NULL);
	b->fault(CHAOS_C_Initialize, &fault);
	CK_FUNCTION_LIST *list = core_consumer();
	assert_only_a_and_c(list);
	b->fault(CHAOS_C_Initialize, NULL);
	CK_FUNCTION_LIST *table = p11_kit_module_load(chaos_path("chaos-b"), 0);
	assert_ok(table->C_Initialize(NULL));
	assert_int_equal(count_slots(list, CK_TRUE), 3);

	b->fault(CHAOS_C_GetSlotList, &fault);
	assert_int_equal(count_slots(list, CK_TRUE), 3);
	core_assert_said("CKR_DEVICE_ERROR");
	b->fault(CHAOS_C_GetSlotList, NULL);
	b->plug(1, true);
	assert_int_equal(count_slots(list, CK_TRUE), 3);
	CK_FUNCTION_LIST *other = core_consumer();
	assert_int_equal(count_slots(list, CK_TRUE), 4);
	assert_ok(table->C_Finalize(NULL));
	p11_kit_module_release(table);
	assert_ok(other->C_Finalize(NULL));
	assert_ok(list->C_Finalize(NULL));
	three_end();
}

/* Each try takes 100 ms, so tries are two seconds apart; also for who waits for events. */
static void
test_poller_pays_a_twentieth(void **state)
{
	(void)state;
	three_begin(NULL);
	b->fault(CHAOS_C_Initialize,
		 &(struct chaos_fault){.sleep_ms = 100, .rv = CKR_DEVICE_ERROR});
	CK_FUNCTION_LIST *list = core_consumer();
	unsigned long began = support_ms();
	while (support_ms() - began < 4500) {
		CK_SLOT_ID slot;
		assert_int_equal(count_slots(list, CK_FALSE), 2);
		assert_rv(list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
	}
	assert_in_range(b->calls[CHAOS_C_Initialize], 2, 1 + (support_ms() - began) / 2000);
	assert_ok(list->C_Finalize(NULL));

	/* The same for one that cannot list. */
	b->fault(CHAOS_C_Initialize, NULL);
	b->fault(CHAOS_C_GetSlotList,
		 &(struct chaos_fault){.sleep_ms = 100, .rv = CKR_DEVICE_ERROR});
	assert_ok(list->C_Initialize(NULL));
	began = support_ms();
	unsigned long n = b->calls[CHAOS_C_GetSlotList];
	while (support_ms() - began < 4500)
		assert_int_equal(count_slots(list, CK_TRUE), 2);
	assert_in_range(b->calls[CHAOS_C_GetSlotList] - n, 1, (support_ms() - began) / 2000);
	assert_ok(list->C_Finalize(NULL));
	three_end();
}

/* ---- what could not be loaded ---- */

/* It appears by itself when it can be, in the proxy and among its events; the others never
 * notice. */
static void
test_file_that_comes_late(void **state)
{
	char command[8192];
	CK_SLOT_ID ids[CORE_MAX_SLOTS];

	(void)state;
	struct scene *late = core_scene();
	scene_chaos(late, "a", "chaos-a", NULL);
	scene_module(late, "late", scene_path(late, "late.so"), NULL);
	scene_use(late, NULL);
	CK_FUNCTION_LIST *list = core_consumer();
	assert_true(core_message_has("late.so"));
	CK_SESSION_HANDLE session = core_open(list, 0x11);
	assert_int_equal(core_slots(list, ids), 1);

	snprintf(command, sizeof command, "cp %s %s", chaos_path("chaos-c"),
		 scene_path(late, "late.so"));
	assert_int_equal(system(command), 0);
	assert_true(WAIT_UNTIL(core_slots(list, ids) == 2, 60000));
	assert_int_equal(ids[0], 0x11);
	assert_int_equal(ids[1], 0x12);
	struct chaos_signature signature;
	assert_ok(core_sign(list, core_open(list, 0x12), &signature));
	assert_string_equal(signature.module, "chaos-c");
	assert_ok(core_sign(list, session, &signature));
	assert_ok(list->C_Finalize(NULL));
	assert_ok(list->C_Initialize(NULL));
	assert_int_equal(core_slots(list, ids), 2);
	assert_int_equal(ids[1], 0x12);
	assert_ok(list->C_Finalize(NULL));
}

/* Where no module could be loaded at all, too. */
static void
test_the_only_file_comes_late(void **state)
{
	char command[8192];
	CK_SLOT_ID ids[CORE_MAX_SLOTS];

	(void)state;
	struct scene *late = core_scene();
	scene_module(late, "late", scene_path(late, "late.so"), NULL);
	scene_use(late, NULL);
	CK_FUNCTION_LIST *list = core_consumer();
	assert_int_equal(core_slots(list, ids), 0);
	snprintf(command, sizeof command, "cp %s %s", chaos_path("chaos-c"),
		 scene_path(late, "late.so"));
	assert_int_equal(system(command), 0);
	assert_true(WAIT_UNTIL(core_slots(list, ids) == 1, 60000));
	assert_ok(list->C_Finalize(NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_module_that_cannot_be_loaded),
		core_unit_test(test_critical_module_that_cannot_be_loaded),
		core_unit_test(test_module_that_cannot_be_initialized),
		core_unit_test(test_critical_module_that_cannot_be_initialized),
		core_unit_test(test_module_that_cannot_be_finalized),
		core_unit_test(test_module_that_is_up_though_it_says_otherwise),
		core_unit_test(test_module_that_cannot_list),
		core_unit_test(test_slot_that_cannot_tell_its_state),
		core_unit_test(test_late_module_appears_by_itself),
		core_unit_test(test_success_of_others_ends_the_pause),
		core_unit_test(test_poller_pays_a_twentieth),
		core_unit_test(test_file_that_comes_late),
		core_unit_test(test_the_only_file_comes_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
