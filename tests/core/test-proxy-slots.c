/* SPDX-License-Identifier: BSD-3-Clause */
/* The proxy's slots: their ids, which are never another slot's, and the lists. */
#include "core/core.h"

#include <stdlib.h>
#include <string.h>

/* ---- ids ---- */

static void
test_order(void **state)
{
	(void)state;
	struct scene *scene = core_scene();
	struct chaos *a = scene_chaos(scene, "z-first", "chaos-a", "priority: 10");
	struct chaos *b = scene_chaos(scene, "b", "chaos-b", NULL);
	struct chaos *c = scene_chaos(scene, "a-third", "chaos-c", "priority: -1");
	CK_SLOT_ID ids[CORE_MAX_SLOTS];
	CK_SLOT_INFO info;

	scene_use(scene, NULL);
	a->slots(2);
	a->slot_id(0, 700);
	b->slots(1);
	c->slots(1);
	CK_FUNCTION_LIST *list = core_consumer();
	assert_int_equal(core_slots(list, ids), 4);
	for (CK_ULONG i = 0; i < 4; i++)
		assert_int_equal(ids[i], 0x11 + i);
	assert_ok(list->C_GetSlotInfo(0x13, &info));
	assert_int_equal(b->calls[CHAOS_C_GetSlotInfo], 1);
	assert_ok(list->C_GetSlotInfo(0x11, &info));
	assert_int_equal(a->last_args[CHAOS_C_GetSlotInfo][0], 700);
	assert_rv(list->C_GetSlotInfo(0x10, &info), CKR_SLOT_ID_INVALID);
	assert_rv(list->C_GetSlotInfo(0x15, &info), CKR_SLOT_ID_INVALID);
	assert_ok(list->C_Finalize(NULL));
}

static int
look_in_child(void *data)
{
	struct chaos *a = data;
	CK_SLOT_ID ids[CORE_MAX_SLOTS];
	CK_FUNCTION_LIST *list = core_consumer();
	CK_ULONG n = core_slots(list, ids);
	bool same = n == 2 && ids[0] == 0x11 && ids[1] == 0x13;

	a->plug(3, true); /* new in the child: an id that was nobody's */
	n = core_slots(list, ids);
	return same && n == 3 && ids[2] == 0x14 ? 0 : 1;
}

/* A slot has its id for ever, and nobody else gets it. */
static void
test_an_id_stays_with_its_slot(void **state)
{
	(void)state;
	struct scene *scene = core_scene();
	struct chaos *a = scene_chaos(scene, "a", "chaos-a", NULL);
	CK_SLOT_ID ids[CORE_MAX_SLOTS];

	scene_use(scene, NULL);
	a->slots(3);
	CK_FUNCTION_LIST *list = core_consumer();
	assert_int_equal(core_slots(list, ids), 3);

	a->plug(1, false);
	assert_int_equal(core_slots(list, ids), 2);
	assert_int_equal(ids[1], 0x13);
	assert_rv(list->C_GetSlotInfo(0x12, &(CK_SLOT_INFO){0}), CKR_SLOT_ID_INVALID);
	a->plug(1, true);
	assert_int_equal(core_slots(list, ids), 3);
	assert_int_equal(ids[1], 0x12);

	/* In another consumer, after C_Finalize, and in a child. */
	a->plug(0, false);
	CK_FUNCTION_LIST *other = core_consumer();
	assert_int_equal(core_slot(other, 0), 0x12);
	assert_ok(other->C_Finalize(NULL));
	assert_ok(list->C_Finalize(NULL));
	assert_ok(list->C_Initialize(NULL));
	assert_int_equal(core_slot(list, 0), 0x12);
	a->plug(0, true);
	a->plug(1, false);
	assert_int_equal(child_run(look_in_child, a, 60), 0);
	assert_ok(list->C_Finalize(NULL));
}

static void
assert_id(CK_FUNCTION_LIST *list, CK_ULONG i, CK_SLOT_ID id)
{
	assert_int_equal(core_slot(list, i), id);
}

static void
test_slot_base(void **state)
{
	(void)state;
	struct scene *scene = core_scene();
	struct chaos *a = scene_chaos(scene, "a", "chaos-a", NULL);
	struct chaos *b = scene_chaos(scene, "b", "chaos-b", "slot-base: 18");
	struct chaos *c = scene_chaos(scene, "c", "chaos-c", "slot-base: 0x186a0"); /* 100000 */

	scene_use(scene, NULL);
	a->slots(3);
	b->slots(2);
	b->slot_id(1, 0x20000); /* above 0xFFFF: used if it is free */
	c->slots(1);
	c->slot_id(0, 7);
	CK_FUNCTION_LIST *list = core_consumer();
	assert_id(list, 0, 0x11);
	assert_id(list, 1, 18 + 0x10000); /* running numbers skip 18 to 18 + 0xFFFF */
	assert_id(list, 2, 18 + 0x10001);
	assert_id(list, 3, 18);
	assert_id(list, 4, 18 + 0x20000);
	assert_id(list, 5, 100007);
	assert_ok(list->C_Finalize(NULL));
}

static void
test_slot_base_of_a_disabled_module(void **state)
{
	(void)state;
	struct scene *scene = core_scene();
	struct chaos *a = scene_chaos(scene, "a", "chaos-a", NULL);

	scene_chaos(scene, "b", "chaos-b", "slot-base: 0x12\nenable-in:");
	scene_use(scene, NULL);
	a->slots(2);
	CK_FUNCTION_LIST *list = core_consumer();
	assert_id(list, 0, 0x11);
	assert_id(list, 1, 0x10012);
	assert_ok(list->C_Finalize(NULL));
}

/* Bases that overlap, or end beyond all numbers: a running number, and a message that names
 * them. */
static void
test_slot_base_that_cannot_be(void **state)
{
	(void)state;
	struct scene *scene = core_scene();
	struct chaos *a = scene_chaos(scene, "a", "chaos-a", "slot-base: 1000");
	struct chaos *b = scene_chaos(scene, "b", "chaos-b", "slot-base: 999");

	scene_use(scene, NULL);
	a->slots(1);
	b->slots(1);
	b->slot_id(0, 1);
	CK_FUNCTION_LIST *list = core_consumer();
	assert_true(core_message_has("module b: slot-base") &&
		    core_message_has("of module a has it"));
	assert_id(list, 0, 1000);
	assert_id(list, 1, 0x11);
	b->slots(2);
	b->slot_id(0, 1);
	b->slot_id(1, (uint64_t)(CK_ULONG)-900);
	assert_id(list, 2, 0x12);
	assert_true(core_message_has("is too large for its slot"));
	assert_ok(list->C_Finalize(NULL));
}

/* ---- lists ---- */

static struct chaos *a;

static CK_FUNCTION_LIST *
begin(unsigned n_slots)
{
	struct scene *scene = core_scene();

	a = scene_chaos(scene, "a", "chaos-a", NULL);
	scene_use(scene, NULL);
	a->slots(n_slots);
	return core_consumer();
}

/* A slot that comes between the count and the list does not make the buffer too small. */
static void
test_the_list_is_that_which_was_counted(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *list = begin(2);
	CK_SLOT_ID ids[8] = {0};
	CK_ULONG n = 0, small = 1;

	assert_ok(list->C_GetSlotList(CK_FALSE, NULL, &n));
	assert_int_equal(n, 2);
	a->plug(2, true);
	assert_rv(list->C_GetSlotList(CK_FALSE, ids, &small), CKR_BUFFER_TOO_SMALL);
	assert_int_equal(small, 2);
	assert_int_equal(ids[0], 0x11); /* what fits is written, and nothing more */
	assert_int_equal(ids[1], 0);
	assert_ok(list->C_GetSlotList(CK_FALSE, ids,
				      &n)); /* it stays while the buffer is too small */
	assert_int_equal(n, 2);
	n = 8;
	assert_ok(list->C_GetSlotList(CK_FALSE, ids, &n)); /* and is used once */
	assert_int_equal(n, 3);
	assert_ok(list->C_Finalize(NULL));
}

static void
list_in_thread(void *data, unsigned i)
{
	CK_SLOT_ID ids[8];
	CK_ULONG n = 8;

	(void)i;
	core_expect(((CK_FUNCTION_LIST *)data)->C_GetSlotList(CK_FALSE, ids, &n) == CKR_OK);
	core_expect(n == 3);
}

/* Another thread, another question and another consumer are not answered from it. */
static void
test_a_count_is_of_one_thread_and_question(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *list = begin(2), *other = core_consumer();
	CK_SLOT_ID ids[8];
	CK_ULONG n = 0;

	assert_ok(list->C_GetSlotList(CK_FALSE, NULL, &n));
	a->plug(2, true);
	crew_join(crew_start(1, list_in_thread, list));
	assert_int_equal(core_n_wrong, 0);
	n = 8;
	assert_ok(list->C_GetSlotList(CK_TRUE, ids, &n));
	assert_int_equal(n, 3);
	n = 8;
	assert_ok(other->C_GetSlotList(CK_FALSE, ids, &n));
	assert_int_equal(n, 3);
	n = 8;
	assert_ok(list->C_GetSlotList(CK_FALSE, ids, &n));
	assert_int_equal(n, 2);
	assert_ok(other->C_Finalize(NULL));
	assert_ok(list->C_Finalize(NULL));
}

#define N_COUNTERS 100
static atomic_uint n_counted;
static atomic_bool is_grown;

static void
count_then_list(void *data, unsigned i)
{
	CK_FUNCTION_LIST *list = data;
	CK_SLOT_ID ids[CORE_MAX_SLOTS];
	CK_ULONG n = 0;

	(void)i;
	core_expect(list->C_GetSlotList(CK_FALSE, NULL, &n) == CKR_OK && n == 2);
	n_counted++;
	while (!is_grown)
		support_pause_ms(1);
	core_expect(list->C_GetSlotList(CK_FALSE, ids, &n) == CKR_OK && n == 2);
}

static void
test_many_threads_count(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *list = begin(2);
	struct crew *crew = crew_start(N_COUNTERS, count_then_list, list);

	assert_true(WAIT_UNTIL(n_counted == N_COUNTERS, 60000));
	a->plug(2, true);
	is_grown = true;
	crew_join(crew);
	assert_int_equal(core_n_wrong, 0);
	assert_ok(list->C_Finalize(NULL));
}

static void
test_slots_with_tokens(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *list = begin(4);
	CK_SLOT_ID ids[CORE_MAX_SLOTS];
	CK_ULONG n = 8;

	a->token(1, false);
	a->fault(CHAOS_C_GetSlotInfo,
		 &(struct chaos_fault){.on_slot = true, .slot = 2, .rv = CKR_DEVICE_ERROR});
	assert_ok(list->C_GetSlotList(CK_TRUE, ids, &n));
	assert_int_equal(n, 2);
	assert_int_equal(ids[0], 0x11);
	assert_int_equal(ids[1], 0x14);
	assert_int_equal(core_slots(list, ids), 4);
	assert_rv(list->C_GetSlotList(CK_FALSE, ids, NULL), CKR_ARGUMENTS_BAD);
	assert_ok(list->C_Finalize(NULL));
}

static void
test_info(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *list = begin(1);
	CK_INFO info;

	assert_ok(list->C_GetInfo(&info));
	assert_memory_equal(info.manufacturerID, "PKCS#11 Kit                     ", 32);
	assert_memory_equal(info.libraryDescription, "PKCS#11 Kit Proxy Module        ", 32);
	assert_int_equal(info.libraryVersion.major * 100 + info.libraryVersion.minor, 101);
	assert_int_equal(info.cryptokiVersion.major * 100 + info.cryptokiVersion.minor, 240);
	assert_int_equal(info.flags, 0);
	assert_rv(list->C_GetInfo(NULL), CKR_ARGUMENTS_BAD);
	assert_ok(list->C_Finalize(NULL));

	CK_FUNCTION_LIST_3_2 *newest = core_interface(3, 2);
	assert_ok(newest->C_Initialize(NULL));
	assert_ok(newest->C_GetInfo(&info));
	assert_int_equal(info.cryptokiVersion.major * 100 + info.cryptokiVersion.minor, 302);
	assert_ok(newest->C_Finalize(NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_order),
		core_unit_test(test_an_id_stays_with_its_slot),
		core_unit_test(test_slot_base),
		core_unit_test(test_slot_base_of_a_disabled_module),
		core_unit_test(test_slot_base_that_cannot_be),
		core_unit_test(test_the_list_is_that_which_was_counted),
		core_unit_test(test_a_count_is_of_one_thread_and_question),
		core_unit_test(test_many_threads_count),
		core_unit_test(test_slots_with_tokens),
		core_unit_test(test_info),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
