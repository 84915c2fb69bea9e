/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several consumers of the proxy in one process, who share modules and nothing else: who gets which
 * instance, what is counted, and that nobody's C_Finalize or C_Close... reaches another.
 */
#include "core/core.h"

#include <stdlib.h>
#include <string.h>

static struct chaos *a, *b;

static void
make_scene(void)
{
	struct scene *scene = core_scene();

	a = scene_chaos(scene, "a", "chaos-a", NULL);
	b = scene_chaos(scene, "b", "chaos-2.40", NULL);
	scene_use(scene, NULL);
}

static void
assert_exact(void)
{
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(b));
}

/* ---- who gets which ---- */

/* What a caller looks up before it initializes has one state, whatever the version. */
static void
test_lists_before_initialize_are_one(void **state)
{
	(void)state;
	make_scene();
	CK_FUNCTION_LIST *list = core_list();
	CK_FUNCTION_LIST_3_2 *lists[] = {core_interface(3, 0), core_interface(3, 1),
					 core_interface(3, 2), core_interface(2, 40)};
	CK_SESSION_HANDLE session;

	assert_ok(list->C_Initialize(NULL));
	for (size_t i = 0; i < 4; i++)
		assert_ok(lists[i]->C_GetSlotList(CK_FALSE, NULL, &(CK_ULONG){0}));
	session = core_open(list, core_slot(list, 0));
	assert_ok(lists[1]->C_CloseSession(session));
	assert_ok(lists[2]->C_Finalize(NULL));
	assert_rv(list->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(a->initialized, 1);
	assert_exact();
}

/* Those inside a list lead to that list's own state, however many consumers there are. */
static void
test_look_ups_inside_a_list(void **state)
{
	(void)state;
	make_scene();
	CK_FUNCTION_LIST *one = core_consumer(), *two = core_consumer(), *again = NULL;
	CK_FUNCTION_LIST_3_2 *newest;
	CK_INTERFACE *interface = NULL, interfaces[4];
	CK_ULONG n = 4;

	assert_ptr_not_equal(one, two);
	assert_ok(one->C_GetFunctionList(&again));
	assert_ptr_equal(again, one);

	CK_FUNCTION_LIST_3_2 *another =
		core_interface(3, 2); /* a third consumer, not initialized */
	assert_rv(another->C_GetInfo(&(CK_INFO){0}), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_ok(another->C_Initialize(NULL));
	assert_ok(another->C_GetInterface(NULL, NULL, &interface, 0));
	newest = interface->pFunctionList;
	assert_ptr_equal(newest, another);
	assert_ok(another->C_GetInterfaceList(interfaces, &n));
	assert_int_equal(n, 2);
	assert_ptr_equal(interfaces[0].pFunctionList, another);
	assert_ok(((CK_FUNCTION_LIST *)interfaces[1].pFunctionList)->C_Finalize(NULL));
	assert_rv(another->C_GetInfo(&(CK_INFO){0}), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_ok(one->C_Finalize(NULL));
	assert_ok(two->C_Finalize(NULL));
	assert_exact();
}

/* An initialized instance is never handed out again; a finalized one is. */
static void
test_a_finalized_instance_comes_back(void **state)
{
	(void)state;
	make_scene();
	CK_FUNCTION_LIST *one = core_consumer();
	CK_FUNCTION_LIST *two = core_consumer();

	assert_ptr_not_equal(one, two);
	assert_ok(one->C_Finalize(NULL));
	assert_ptr_equal(core_list(), one);
	assert_ok(two->C_Finalize(NULL));
	assert_exact();
}

static void
look_up_and_keep(void *data, unsigned i)
{
	((CK_FUNCTION_LIST **)data)[i] = core_list();
}

/* Threads that look up at the same time get lists of their own, until too many are left lying. */
static void
test_threads_do_not_share_what_they_obtain(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *lists[40] = {0};

	make_scene();
	for (unsigned round = 0; round < 5; round++)
		crew_join(crew_start(8, look_up_and_keep, lists + round * 8));
	for (unsigned i = 0; i < 8; i++) {
		for (unsigned j = 0; j < i; j++)
			assert_ptr_not_equal(lists[i], lists[j]);
	}
	/* At most 16 that nobody initialized are kept apart. */
	unsigned n_different = 0;
	for (unsigned i = 0; i < 40; i++) {
		bool is_new = true;
		for (unsigned j = 0; j < i; j++)
			is_new &= lists[i] != lists[j];
		n_different += is_new;
	}
	assert_in_range(n_different, 8, 16);
}

static void
look_up_in_thread(void *data, unsigned i)
{
	(void)i;
	*(CK_FUNCTION_LIST **)data = core_list();
}

/* A thread that has ended may have left its pthread_t to the next one, but not its list. */
static void
test_threads_one_after_another(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *first, *second;

	make_scene();
	crew_join(crew_start(1, look_up_in_thread, &first));
	crew_join(crew_start(1, look_up_in_thread, &second));
	assert_ptr_not_equal(first, second);
	assert_ok(first->C_Initialize(NULL));
	assert_rv(second->C_GetInfo(&(CK_INFO){0}), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_ok(first->C_Finalize(NULL));
}

/* ---- counting ---- */

static void
test_initialize_is_counted(void **state)
{
	(void)state;
	make_scene();
	CK_FUNCTION_LIST *list = core_list();

	for (int i = 0; i < 5; i++)
		assert_ok(list->C_Initialize(NULL));
	CK_SESSION_HANDLE session = core_open(list, core_slot(list, 0));
	for (int i = 0; i < 4; i++)
		assert_ok(list->C_Finalize(NULL));
	assert_ok(core_sign(list, session, &(struct chaos_signature){0}));
	assert_int_equal(a->finalized, 0);
	assert_rv(list->C_Finalize(&session), CKR_ARGUMENTS_BAD);
	assert_ok(list->C_Finalize(NULL));
	assert_rv(list->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(a->initialized, 1);
	assert_int_equal(b->initialized, 1);
	assert_exact();
}

/* pReserved is for other modules, and is neither looked at nor handed on; mutexes come all or
 * none. */
static void
test_init_args(void **state)
{
	(void)state;
	make_scene();
	CK_FUNCTION_LIST *list = core_list();
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK, .pReserved = (void *)16};

	assert_ok(list->C_Initialize(&args));
	assert_int_equal(a->init_args.reserved, 0);
	args.LockMutex = (CK_LOCKMUTEX)(uintptr_t)make_scene;
	assert_rv(list->C_Initialize(&args), CKR_ARGUMENTS_BAD);
	assert_ok(list->C_Finalize(NULL));
	assert_rv(list->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_exact();
}

#define N_RACERS 8
#define N_RACES (SUPPORT_TSAN || SUPPORT_ASAN ? 300u : 3000u)

static void
race(void *data, unsigned i)
{
	CK_FUNCTION_LIST *list = ((CK_FUNCTION_LIST **)data)[i];

	for (unsigned n = 0; n < N_RACES; n++) {
		core_expect(list->C_Initialize(NULL) == CKR_OK);
		CK_SESSION_HANDLE session = 0;
		CK_RV rv = list->C_OpenSession(0x11, CKF_SERIAL_SESSION, NULL, NULL, &session);
		core_expect(rv == CKR_OK);
		core_expect(list->C_CloseSession(session) == CKR_OK);
		core_expect(list->C_Finalize(NULL) == CKR_OK);
	}
}

static void
race_over(CK_FUNCTION_LIST **lists)
{
	crew_join(crew_start(N_RACERS, race, lists));
	assert_int_equal(core_n_wrong, 0);
	for (unsigned i = 0; i < N_RACERS; i++)
		assert_rv(lists[i]->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_exact();
}

static void
test_threads_race_over_one_list(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *lists[N_RACERS];

	make_scene();
	lists[0] = core_consumer();
	assert_int_equal(core_slot(lists[0], 0), 0x11);
	assert_ok(lists[0]->C_Finalize(NULL));
	for (unsigned i = 1; i < N_RACERS; i++)
		lists[i] = lists[0];
	race_over(lists);
}

static void
test_threads_race_over_lists_of_their_own(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *lists[N_RACERS];

	make_scene();
	for (unsigned i = 0; i < N_RACERS; i++) {
		lists[i] = core_consumer();
		assert_int_equal(core_slot(lists[i], 0), 0x11);
	}
	for (unsigned i = 0; i < N_RACERS; i++)
		assert_ok(lists[i]->C_Finalize(NULL));
	race_over(lists);
}

/* ---- nobody reaches another ---- */

static void
test_close_reaches_ones_own_only(void **state)
{
	(void)state;
	make_scene();
	CK_FUNCTION_LIST *one = core_consumer(), *two = core_consumer();
	CK_SLOT_ID slot = core_slot(one, 0);
	CK_SESSION_HANDLE of_one = core_open(one, slot), of_two = core_open(two, slot);
	struct chaos_signature signature;

	assert_rv(one->C_CloseSession(of_two), CKR_SESSION_HANDLE_INVALID);
	assert_ok(core_sign(two, of_two, &signature));
	assert_ok(one->C_CloseAllSessions(slot));
	assert_rv(core_sign(one, of_one, &signature), CKR_SESSION_HANDLE_INVALID);
	assert_ok(core_sign(two, of_two, &signature));
	assert_rv(one->C_CloseAllSessions(0x10), CKR_SLOT_ID_INVALID);

	of_one = core_open(one, slot);
	assert_ok(one->C_Finalize(NULL));
	assert_int_equal(a->sessions, 1);
	assert_int_equal(a->finalized, 0);
	assert_ok(core_sign(two, of_two, &signature));
	assert_rv(core_sign(two, of_one, &signature), CKR_SESSION_HANDLE_INVALID);
	assert_ok(two->C_Finalize(NULL));
	assert_rv(core_sign(two, of_two, &signature), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_exact();
}

/* C_CloseAllSessions is of one slot. */
static void
test_close_all_is_of_one_slot(void **state)
{
	(void)state;
	make_scene();
	CK_FUNCTION_LIST *list = core_consumer();
	CK_SESSION_HANDLE first = core_open(list, 0x11), second = core_open(list, 0x12);

	assert_ok(list->C_CloseAllSessions(0x11));
	assert_rv(list->C_CloseSession(first), CKR_SESSION_HANDLE_INVALID);
	assert_ok(core_sign(list, second, &(struct chaos_signature){0}));
	assert_ok(list->C_Finalize(NULL));
	assert_exact();
}

static void
live_a_life(void *data, unsigned i)
{
	struct chaos_signature first, signature;

	(void)data, (void)i;
	for (unsigned n = 0; n < N_RACES / 3; n++) {
		CK_FUNCTION_LIST *list = core_list();
		CK_SESSION_HANDLE session = 0, other = 0;

		core_expect(list->C_Initialize(NULL) == CKR_OK);
		core_expect(list->C_OpenSession(0x11, CKF_SERIAL_SESSION, NULL, NULL, &session) ==
			    CKR_OK);
		core_expect(list->C_OpenSession(0x12, CKF_SERIAL_SESSION, NULL, NULL, &other) ==
			    CKR_OK);
		core_expect(core_sign(list, session, &first) == CKR_OK);
		core_expect(list->C_CloseAllSessions(0x12) == CKR_OK);
		core_expect(core_sign(list, other, &signature) == CKR_SESSION_HANDLE_INVALID);
		core_expect(core_sign(list, session, &signature) == CKR_OK);
		core_expect(signature.serial == first.serial);
		core_expect(list->C_Finalize(NULL) == CKR_OK);
	}
}

/* Look up, initialize, use, close all, finalize: in every thread, all the time. */
static void
test_threads_never_disturb_one_another(void **state)
{
	(void)state;
	make_scene();
	CK_FUNCTION_LIST *list = core_consumer();
	assert_int_equal(core_slot(list, 1), 0x12);
	assert_ok(list->C_Finalize(NULL));

	crew_join(crew_start(N_RACERS, live_a_life, NULL));
	assert_int_equal(core_n_wrong, 0);
	assert_exact();
}

/* ---- many ---- */

/* ThreadSanitizer says nothing of memory, and takes its time to start and stop. */
#define N_CYCLES (SUPPORT_TSAN ? 300u : SUPPORT_ASAN ? 2000u : 100000u)

static void
test_cycles_leave_memory_flat(void **state)
{
	unsigned long before = 0;

	(void)state;
	make_scene();
	for (unsigned i = 0; i < N_CYCLES; i++) {
		CK_FUNCTION_LIST *list = core_list();
		assert_ok(list->C_Initialize(NULL));
		assert_ok(list->C_Finalize(NULL));
		if (i == 100)
			before = support_resident_kib();
	}
	if (!SUPPORT_ASAN && !SUPPORT_TSAN)
		assert_in_range(support_resident_kib(), 0, before + 256);
	assert_int_equal(a->initialized, N_CYCLES);
	assert_exact();
}

#define N_CONSUMERS 300

/* When the pool of functions is dry, consumers share a list, which a message says: no error. */
static void
test_300_consumers(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *lists[N_CONSUMERS];
	CK_SESSION_HANDLE sessions[N_CONSUMERS];
	struct chaos_signature signature;
	unsigned n_told = 0;

	make_scene();
	for (unsigned i = 0; i < N_CONSUMERS; i++) {
		lists[i] = core_list();
		n_told += core_message_has("no function table is free");
		assert_ok(lists[i]->C_Initialize(NULL));
		sessions[i] = core_open(lists[i], core_slot(lists[i], i % 2));
	}
	assert_in_range(n_told, N_CONSUMERS - 256, N_CONSUMERS - 100);
	for (unsigned i = 0; i < N_CONSUMERS; i++) {
		assert_ok(core_sign(lists[i], sessions[i], &signature));
		assert_string_equal(signature.module, i % 2 ? "chaos-2.40" : "chaos-a");
	}
	for (unsigned i = 0; i < N_CONSUMERS; i++) {
		assert_ok(core_sign(lists[i], sessions[i], &signature));
		assert_ok(lists[i]->C_Finalize(NULL));
	}
	assert_int_equal(a->initialized, 1);
	for (unsigned i = 0; i < N_CONSUMERS; i++)
		assert_rv(lists[i]->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_exact();
}

static void
count_in_thread(void *data, unsigned i)
{
	(void)i;
	core_expect(((CK_FUNCTION_LIST *)data)->C_GetSlotList(CK_FALSE, NULL, &(CK_ULONG){0}) ==
		    CKR_OK);
}

/* Whoever was listing when the consumer finalized starts no module for it any more. */
static void
test_nothing_is_started_after_finalize(void **state)
{
	(void)state;
	make_scene();
	CK_FUNCTION_LIST *list = core_consumer();

	a->fault(CHAOS_C_GetSlotList, &(struct chaos_fault){.hang = true, .times = 1});
	struct crew *crew = crew_start(1, count_in_thread, list);
	assert_true(WAIT_UNTIL(a->hanging == 1, 60000));
	assert_ok(list->C_Finalize(NULL));
	a->release();
	crew_join(crew);
	assert_int_equal(core_n_wrong, 0);
	assert_int_equal(b->calls[CHAOS_C_Initialize], 1);
	assert_exact();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_lists_before_initialize_are_one),
		core_unit_test(test_look_ups_inside_a_list),
		core_unit_test(test_a_finalized_instance_comes_back),
		core_unit_test(test_threads_do_not_share_what_they_obtain),
		core_unit_test(test_threads_one_after_another),
		core_unit_test(test_initialize_is_counted),
		core_unit_test(test_init_args),
		core_unit_test(test_threads_race_over_one_list),
		core_unit_test(test_threads_race_over_lists_of_their_own),
		core_unit_test(test_close_reaches_ones_own_only),
		core_unit_test(test_close_all_is_of_one_slot),
		core_unit_test(test_threads_never_disturb_one_another),
		core_unit_test(test_cycles_leave_memory_flat),
		core_unit_test(test_300_consumers),
		core_unit_test(test_nothing_is_started_after_finalize),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
