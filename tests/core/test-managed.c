/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Managed modules: each consumer has a table of its own, starts and stops the module when it likes,
 * closes its own sessions only, and pays nothing for all other calls.
 */
#include "core/core.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* A table of its own; not initialized. */
static CK_FUNCTION_LIST *
load(const char *file)
{
	CK_FUNCTION_LIST *list = p11_kit_module_load(chaos_path(file), 0);

	assert_non_null(list);
	assert_int_equal(p11_kit_module_get_flags(list) & P11_KIT_MODULE_UNMANAGED, 0);
	return list;
}

static CK_FUNCTION_LIST *
start(const char *file)
{
	CK_FUNCTION_LIST *list = load(file);

	assert_ok(list->C_Initialize(NULL));
	return list;
}

static void
stop(CK_FUNCTION_LIST *list)
{
	assert_ok(list->C_Finalize(NULL));
	p11_kit_module_release(list);
}

static void
assert_signs(CK_FUNCTION_LIST *list, CK_SESSION_HANDLE session)
{
	struct chaos_signature signature;

	assert_ok(core_sign(list, session, &signature));
	assert_int_equal(signature.session, session);
}

/* ---- what stands in a table ---- */

#define FIRST offsetof(CK_FUNCTION_LIST_3_2, C_Initialize)
#define N_ENTRIES ((sizeof(CK_FUNCTION_LIST_3_2) - FIRST) / sizeof(entry))
#define PLACE(name) ((offsetof(CK_FUNCTION_LIST_3_2, name) - FIRST) / sizeof(entry))

typedef CK_RV (*entry)(void);

static entry
entry_at(const void *list, size_t i)
{
	entry function;

	memcpy(&function, (const char *)list + FIRST + i * sizeof function, sizeof function);
	return function;
}

static const size_t ours[] = {
	PLACE(C_Initialize),        PLACE(C_Finalize),         PLACE(C_GetFunctionList),
	PLACE(C_GetInterface),      PLACE(C_GetInterfaceList), PLACE(C_OpenSession),
	PLACE(C_CloseSession),      PLACE(C_CloseAllSessions), PLACE(C_WaitForSlotEvent),
	PLACE(C_GetFunctionStatus), PLACE(C_CancelFunction),
};

static bool
is_ours(size_t i)
{
	for (size_t j = 0; j < sizeof ours / sizeof ours[0]; j++) {
		if (ours[j] == i)
			return true;
	}
	return false;
}

/* The list that the file itself gives by C_GetInterface, or by C_GetFunctionList. */
static const void *
own_list(const char *file)
{
	void *handle = dlopen(chaos_path(file), RTLD_NOW | RTLD_NOLOAD);
	CK_C_GetInterface look_up;
	CK_INTERFACE *interface = NULL;

	assert_non_null(handle);
	*(void **)&look_up = dlsym(handle, "C_GetInterface");
	dlclose(handle);
	if (!look_up)
		return chaos_list(file);
	assert_ok(look_up((CK_UTF8CHAR_PTR) "PKCS 11", NULL, &interface, 0));
	return interface->pFunctionList;
}

/* Of the first `n_own` entries those that are not ours are the module's, or a function that says
 * that it is not there; all that follow are such. */
static void
check_table(const char *file, size_t n_own)
{
	core_fresh(file);
	CK_FUNCTION_LIST *list = load(file);
	const void *own = own_list(file);

	assert_int_equal(list->version.major, 3);
	assert_int_equal(list->version.minor, 2);
	for (size_t i = 0; i < N_ENTRIES; i++) {
		entry theirs = i < n_own ? entry_at(own, i) : NULL, function = entry_at(list, i);

		assert_true(function != NULL);
		if (is_ours(i))
			assert_true(function != theirs);
		else if (theirs)
			assert_true(function == theirs);
		else
			assert_rv(function(), CKR_FUNCTION_NOT_SUPPORTED);
	}
	p11_kit_module_release(list);
}

static void
test_entries_are_the_modules_own(void **state)
{
	(void)state;
	check_table("chaos-a", N_ENTRIES);
	check_table("chaos-3.0", PLACE(C_EncapsulateKey));
	check_table("chaos-2.40", PLACE(C_GetInterfaceList));
	check_table("chaos-nulls", N_ENTRIES);
}

/* Before the first C_Initialize they may be copied; what is ours says that nobody has
 * initialized. */
static void
test_copied_before_initialize(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *list = load("chaos-a"), copy = *list;
	CK_SESSION_HANDLE session = 0;
	CK_SLOT_ID slot;

	assert_rv(list->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session),
		  CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_rv(list->C_CloseSession(1), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_rv(list->C_CloseAllSessions(0), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_rv(list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL),
		  CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_rv(list->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(a->calls[CHAOS_C_OpenSession], 0);

	assert_ok(copy.C_Initialize(NULL));
	session = core_open(&copy, 0);
	assert_signs(&copy, session);
	assert_ok(copy.C_CloseSession(session));
	assert_ok(copy.C_Finalize(NULL));
	p11_kit_module_release(list);
	assert_true(chaos_is_exact(a));
}

/* ... also while somebody else has the module up (B18, B19). */
static void
test_finalized_consumer_has_nothing(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *other = start("chaos-a"), *list = start("chaos-a");
	CK_SESSION_HANDLE session = core_open(other, 0);
	CK_ULONG n;

	assert_signs(list, session); /* handles are the module's own */
	assert_ok(list->C_Finalize(NULL));
	for (size_t i = 0; i < N_ENTRIES; i++) {
		if (!is_ours(i))
			assert_rv(entry_at(list, i)(), CKR_CRYPTOKI_NOT_INITIALIZED);
	}
	assert_rv(list->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session),
		  CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_rv(list->C_CloseAllSessions(0), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_rv(list->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);

	/* Back, and gone for ever. */
	assert_ok(list->C_Initialize(NULL));
	assert_ok(list->C_GetSlotList(CK_FALSE, NULL, &n));
	assert_ok(list->C_Finalize(NULL));
	p11_kit_module_release(list);
	assert_rv(list->C_GetSlotList(CK_FALSE, NULL, &n), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_rv(list->C_Initialize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_rv(list->C_CloseSession(session), CKR_CRYPTOKI_NOT_INITIALIZED);

	assert_signs(other, session);
	stop(other);
	assert_true(chaos_is_exact(a));
}

static void
test_nothing_runs_in_parallel(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *list = start("chaos-a");

	assert_rv(list->C_GetFunctionStatus(core_open(list, 0)), CKR_FUNCTION_NOT_PARALLEL);
	assert_rv(list->C_CancelFunction(core_open(list, 0)), CKR_FUNCTION_NOT_PARALLEL);
	stop(list);
}

/* ---- life cycle ---- */

static void
test_each_consumer_has_its_own_life(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *one = load("chaos-a"), *two = load("chaos-a");

	assert_ptr_not_equal(one, two);
	assert_ok(one->C_Initialize(NULL));
	assert_ok(two->C_Initialize(NULL));
	assert_int_equal(a->calls[CHAOS_C_Initialize], 1);
	assert_rv(one->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
	assert_ok(one->C_Finalize(NULL)); /* the refused one did not count */
	assert_rv(one->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(a->calls[CHAOS_C_Finalize], 0);
	assert_ok(one->C_Initialize(NULL));
	assert_ok(two->C_Finalize(NULL));
	assert_int_equal(a->up, 1);
	assert_ok(one->C_Finalize(NULL));
	assert_int_equal(a->initialized, 1);
	assert_true(chaos_is_exact(a));
	p11_kit_module_release(one);
	p11_kit_module_release(two);
}

static CK_RV
no_mutex(void *mutex)
{
	(void)mutex;
	return CKR_GENERAL_ERROR;
}

static void
test_arguments(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *one = load("chaos-a"), *two = load("chaos-a");
	CK_C_INITIALIZE_ARGS args = {.LockMutex = no_mutex, .UnlockMutex = no_mutex};
	char text[64], of_starter[] = "of the starter", of_another[] = "of another";

	/* All four mutex functions or none. */
	assert_rv(one->C_Initialize(&args), CKR_ARGUMENTS_BAD);
	assert_non_null(p11_kit_message());
	assert_int_equal(a->calls[CHAOS_C_Initialize], 0);
	assert_rv(one->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);

	/* A consumer's functions may be unmapped before the module is: ours are given, and only its
	 * pReserved goes on, if it is the one that starts the module. */
	args.CreateMutex = (CK_CREATEMUTEX)no_mutex;
	args.DestroyMutex = no_mutex;
	args.pReserved = of_starter;
	assert_ok(one->C_Initialize(&args));
	assert_true(a->init_args.mutexes_work);
	assert_int_equal(a->init_args.flags, CKF_OS_LOCKING_OK);
	args.pReserved = of_another;
	assert_ok(two->C_Initialize(&args));
	a->reserved(text, sizeof text);
	assert_string_equal(text, of_starter);

	assert_rv(one->C_Finalize(text), CKR_ARGUMENTS_BAD); /* B22 */
	assert_ok(one->C_Finalize(NULL));
	assert_ok(two->C_Finalize(NULL));
	assert_ok(two->C_Initialize(NULL));
	assert_int_equal(a->init_args.reserved, 0);
	assert_ok(two->C_Finalize(NULL));
	p11_kit_module_release(one);
	p11_kit_module_release(two);
	assert_true(chaos_is_exact(a));
}

static void
test_failing_initialize(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *one = load("chaos-a"), *two = load("chaos-a");

	a->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR, .times = 1});
	assert_rv(p11_kit_module_initialize(one), CKR_DEVICE_ERROR);
	assert_true(core_message_has("CKR_DEVICE_ERROR"));
	assert_rv(one->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_ok(two->C_Initialize(NULL));
	assert_ok(one->C_Initialize(NULL));
	stop(two);
	stop(one);
	assert_true(chaos_is_exact(a));
}

static void
test_releasing_finalizes(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *one = start("chaos-a"), *two = start("chaos-a");
	CK_SESSION_HANDLE session = core_open(two, 0);

	core_open(one, 0);
	p11_kit_module_release(one); /* B4 */
	assert_int_equal(a->sessions, 1);
	assert_signs(two, session);
	p11_kit_module_release(two);
	assert_true(chaos_is_exact(a));
	assert_int_equal(a->initialized, 1);
}

static unsigned long
initialize_another(struct chaos *chaos, const struct chaos_visit *visit, void *list)
{
	(void)chaos, (void)visit;
	return ((CK_FUNCTION_LIST *)list)->C_Initialize(NULL);
}

/* By its own table or by another's: it would wait for itself. */
static void
test_module_initializes_itself(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *one = load("chaos-a"), *two = load("chaos-a");
	struct chaos_fault fault = {.callback = initialize_another, .data = one};

	a->fault(CHAOS_C_Initialize, &fault);
	assert_rv(one->C_Initialize(NULL), CKR_FUNCTION_FAILED);
	assert_non_null(p11_kit_message());
	fault.data = two;
	a->fault(CHAOS_C_Initialize, &fault);
	assert_rv(one->C_Initialize(NULL), CKR_FUNCTION_FAILED);
	assert_int_equal(a->calls[CHAOS_C_Initialize], 2);

	a->fault(CHAOS_C_Initialize,
		 &(struct chaos_fault){.fork = CHAOS_FORK_CHILD_EXITS, .times = 1});
	assert_ok(one->C_Initialize(NULL));
	assert_ok(two->C_Initialize(NULL));
	stop(one);
	stop(two);
	assert_true(chaos_is_exact(a));
}

/* ---- sessions ---- */

static void
test_only_the_opener_closes(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *one = start("chaos-a"), *two = start("chaos-a");
	CK_SESSION_HANDLE session = core_open(one, 0);

	assert_rv(two->C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
	assert_non_null(p11_kit_message());
	assert_rv(two->C_CloseSession(4711), CKR_SESSION_HANDLE_INVALID);
	assert_int_equal(a->calls[CHAOS_C_CloseSession], 0);
	assert_rv(one->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, NULL), CKR_ARGUMENTS_BAD);
	assert_rv(one->C_OpenSession(7, CKF_SERIAL_SESSION, NULL, NULL, &(CK_SESSION_HANDLE){0}),
		  CKR_SLOT_ID_INVALID);

	/* What the module refuses to close stays the opener's. */
	a->fault(CHAOS_C_CloseSession, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR, .times = 1});
	assert_rv(one->C_CloseSession(session), CKR_DEVICE_ERROR);
	assert_rv(two->C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
	assert_signs(one, session);
	assert_ok(one->C_CloseSession(session));
	assert_rv(one->C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
	stop(one);
	stop(two);
	assert_true(chaos_is_exact(a));
}

static void
test_close_all_closes_ones_own_on_the_slot(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *one = start("chaos-a"), *two = start("chaos-a");

	a->slots(2);
	CK_SESSION_HANDLE elsewhere = core_open(one, 1), others = core_open(two, 0);
	core_open(one, 0);
	core_open(one, 0);
	assert_ok(one->C_CloseAllSessions(7)); /* a slot that is not there has no sessions */
	assert_int_equal(a->sessions, 4);
	assert_ok(one->C_CloseAllSessions(0));
	assert_int_equal(a->sessions, 2);
	assert_int_equal(a->calls[CHAOS_C_CloseAllSessions], 0);
	assert_signs(one, elsewhere);
	assert_signs(two, others);

	core_open(one, 0);
	stop(one);
	assert_int_equal(a->sessions, 1);
	assert_signs(two, others);
	stop(two);
	assert_true(chaos_is_exact(a));
}

/* The token went, and with it its sessions: the module gives their handles to whoever opens
 * next. */
static void
test_a_handle_that_the_module_uses_again(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *one = start("chaos-a"), *two = start("chaos-a");

	a->handles = CHAOS_HANDLES_REUSE;
	CK_SESSION_HANDLE session = core_open(one, 0);
	a->token(0, false);
	a->token(0, true);
	assert_int_equal(core_open(two, 0), session);
	assert_rv(one->C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
	assert_ok(one->C_CloseAllSessions(0));
	stop(one);
	assert_signs(two, session);
	assert_ok(two->C_CloseSession(session));
	stop(two);
	assert_true(chaos_is_exact(a));
}

/* ---- interfaces ---- */

static void
test_interfaces(void **state)
{
	(void)state;
	static const CK_VERSION versions[] = {{2, 40}, {3, 0}, {3, 1}, {3, 2}};
	struct chaos *a = core_fresh("chaos-2.40");
	CK_FUNCTION_LIST_3_2 *list = (CK_FUNCTION_LIST_3_2 *)load("chaos-2.40");
	CK_UTF8CHAR name[] = "PKCS 11", vendor[] = "Vendor Example";
	CK_INTERFACE *found = NULL, only[2];
	CK_FUNCTION_LIST *lists[4], *same;
	CK_VERSION wrong = {3, 3};
	CK_ULONG n = 0;

	for (size_t i = 0; i < 4; i++) {
		CK_VERSION version = versions[i];
		assert_ok(list->C_GetInterface(name, &version, &found, 0));
		lists[i] = found->pFunctionList;
		assert_string_equal((char *)found->pInterfaceName, "PKCS 11");
		assert_int_equal(found->flags, 0);
		assert_memory_equal(&lists[i]->version, &versions[i], sizeof versions[i]);
	}
	assert_ok(list->C_GetInterface(NULL, NULL, &found, 0));
	assert_ptr_equal(found->pFunctionList, list);
	assert_ok(list->C_GetFunctionList(&same));
	assert_ptr_equal(same, list);
	assert_rv(list->C_GetInterface(NULL, NULL, &found, CKF_INTERFACE_FORK_SAFE),
		  CKR_ARGUMENTS_BAD);
	assert_rv(list->C_GetInterface(vendor, NULL, &found, 0), CKR_ARGUMENTS_BAD);
	assert_rv(list->C_GetInterface(NULL, &wrong, &found, 0), CKR_ARGUMENTS_BAD);
	assert_rv(list->C_GetInterface(NULL, NULL, NULL, 0), CKR_ARGUMENTS_BAD);
	assert_rv(list->C_GetFunctionList(NULL), CKR_ARGUMENTS_BAD);

	assert_ok(list->C_GetInterfaceList(NULL, &n));
	assert_int_equal(n, 1);
	n = 2;
	assert_ok(list->C_GetInterfaceList(only, &n));
	assert_int_equal(n, 1);
	assert_ptr_equal(only[0].pFunctionList, list);

	/* They are one consumer. */
	assert_ok(lists[0]->C_Initialize(NULL));
	assert_rv(lists[3]->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
	assert_ok(lists[1]->C_CloseSession(core_open(lists[2], 0)));
	assert_ok(lists[3]->C_Finalize(NULL));
	assert_rv(lists[0]->C_GetSlotList(CK_FALSE, NULL, &n), CKR_CRYPTOKI_NOT_INITIALIZED);
	p11_kit_module_release(lists[1]);
	assert_rv(lists[3]->C_Initialize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_true(chaos_is_exact(a));
}

/* ---- events ---- */

static void
test_nobody_takes_anothers_event(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *lists[] = {start("chaos-a"), start("chaos-a")};
	CK_SLOT_ID slot;

	a->slots(2);
	for (size_t i = 0; i < 2; i++)
		assert_rv(lists[i]->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
	a->event(1);
	for (size_t i = 0; i < 2; i++) {
		slot = 0;
		assert_ok(lists[i]->C_WaitForSlotEvent(0, &slot, NULL));
		assert_int_equal(slot, 1);
		assert_rv(lists[i]->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
	}
	assert_rv(lists[0]->C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL), CKR_ARGUMENTS_BAD);
	stop(lists[0]);
	stop(lists[1]);
	assert_true(chaos_is_exact(a));
}

/* ---- released under its callers ---- */

#define N_RELEASES 2000

static CK_FUNCTION_LIST *_Atomic released;
static atomic_bool is_over;

static void
call_what_is_released(void *data, unsigned i)
{
	CK_SLOT_ID slot;

	(void)data;
	(void)i;
	while (!is_over) {
		CK_FUNCTION_LIST *list = released;
		CK_SESSION_HANDLE session;
		if (!list)
			continue;
		if (list->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session) == CKR_OK)
			(void)list->C_CloseSession(session);
		(void)list->C_CloseAllSessions(0);
		(void)list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL);
	}
}

/* The consumer's mistake, and no crash: late calls answer that the table is down. */
static void
test_released_while_it_is_called(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	struct crew *crew = crew_start(3, call_what_is_released, NULL);

	for (int i = 0; i < N_RELEASES; i++) {
		CK_FUNCTION_LIST *list = start("chaos-a");
		released = list;
		if (i % 2)
			support_pause_ms(0);
		p11_kit_module_release(list);
	}
	is_over = true;
	crew_join(crew);
	assert_int_equal(a->up, 0);
	assert_int_equal(a->initialized, a->finalized);
	assert_int_equal(a->overlaps, 0);
	assert_int_equal(a->sessions, 0);
}

static void
finalize_in_thread(void *data, unsigned i)
{
	CK_FUNCTION_LIST *list = data;

	(void)i;
	core_expect(list->C_Finalize(NULL) == CKR_OK);
}

static void
initialize_in_thread(void *data, unsigned i)
{
	CK_FUNCTION_LIST *list = data;

	(void)i;
	core_expect(list->C_Initialize(NULL) == CKR_OK);
}

/* Who starts it finds at the end that nobody has the table any more, and gives it back as it
 * was. */
static void
test_released_while_it_is_started(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *list = load("chaos-a");

	a->fault(CHAOS_C_Initialize, &(struct chaos_fault){.hang = true, .times = 1});
	struct crew *crew = crew_start(1, initialize_in_thread, list);
	assert_true(WAIT_UNTIL(a->hanging == 1, 60000));
	p11_kit_module_release(list);
	a->release();
	crew_join(crew);
	assert_int_equal(core_n_wrong, 0);
	assert_int_equal(a->up, 0);
	assert_true(chaos_is_exact(a));

	/* Each table has been another consumer's then. */
	for (int i = 0; i < 600; i++)
		stop(start("chaos-a"));
	assert_true(chaos_is_exact(a));
}

/* The same where it is being stopped. */
static void
test_released_while_it_is_stopped(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *list = start("chaos-a");

	a->fault(CHAOS_C_Finalize, &(struct chaos_fault){.hang = true, .times = 1});
	struct crew *crew = crew_start(1, finalize_in_thread, list);
	assert_true(WAIT_UNTIL(a->hanging == 1, 60000));
	p11_kit_module_release(list);
	a->release();
	crew_join(crew);
	assert_int_equal(core_n_wrong, 0);
	for (int i = 0; i < 600; i++)
		stop(start("chaos-a"));
	assert_true(chaos_is_exact(a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries_are_the_modules_own),
		cmocka_unit_test(test_copied_before_initialize),
		cmocka_unit_test(test_finalized_consumer_has_nothing),
		cmocka_unit_test(test_nothing_runs_in_parallel),
		cmocka_unit_test(test_each_consumer_has_its_own_life),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_failing_initialize),
		cmocka_unit_test(test_releasing_finalizes),
		cmocka_unit_test(test_module_initializes_itself),
		cmocka_unit_test(test_only_the_opener_closes),
		cmocka_unit_test(test_close_all_closes_ones_own_on_the_slot),
		cmocka_unit_test(test_a_handle_that_the_module_uses_again),
		cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_nobody_takes_anothers_event),
		cmocka_unit_test(test_released_while_it_is_called),
		cmocka_unit_test(test_released_while_it_is_started),
		cmocka_unit_test(test_released_while_it_is_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
