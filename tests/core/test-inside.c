/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens inside a module's call: the module uses us itself, a consumer finalizes meanwhile,
 * or the thread is cancelled. Nothing hangs, and all counts are exact.
 */
#include "core/core.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct chaos *a, *b;

static void
begin(void)
{
	struct scene *scene = core_scene();

	a = scene_chaos(scene, "a", "chaos-a", NULL);
	b = scene_chaos(scene, "b", "chaos-b", NULL);
	scene_use(scene, NULL);
}

static void
assert_exact(void)
{
	assert_int_equal(core_n_wrong, 0);
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(b));
}

static bool
shows(CK_FUNCTION_LIST *list, const char *name)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS];
	CK_ULONG n = core_slots(list, ids);
	CK_TOKEN_INFO info;

	for (CK_ULONG i = 0; i < n; i++) {
		if (list->C_GetTokenInfo(ids[i], &info) == CKR_OK &&
		    strncmp((const char *)info.label, name, strlen(name)) == 0)
			return true;
	}
	return false;
}

/* ---- a module that uses us inside its own C_Initialize ---- */

static bool
has(CK_FUNCTION_LIST **modules, const char *name)
{
	CK_TOKEN_INFO info;

	for (size_t i = 0; modules && modules[i]; i++) {
		if (modules[i]->C_GetTokenInfo(0, &info) == CKR_OK &&
		    strncmp((const char *)info.label, name, strlen(name)) == 0)
			return true;
	}
	return false;
}

/* The name of the other module, that must be seen; NULL: whatever is up is. */
static unsigned long
use_the_proxy(struct chaos *chaos, const struct chaos_visit *visit, void *data)
{
	CK_FUNCTION_LIST *list = core_list();

	(void)visit;
	core_expect(list->C_Initialize(NULL) == CKR_OK);
	core_expect(!shows(list, chaos->name));
	core_expect(!data || shows(list, data));
	core_expect(list->C_Finalize(NULL) == CKR_OK);

	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
	core_expect(modules != NULL);
	core_expect(!has(modules, chaos->name));
	core_expect(!data || has(modules, data));
	p11_kit_modules_finalize_and_release(modules);
	return CKR_OK;
}

static void
test_a_module_uses_the_proxy(void **state)
{
	(void)state;
	static char other[] = "chaos-b";

	begin();
	a->fault(CHAOS_C_Initialize,
		 &(struct chaos_fault){.callback = use_the_proxy, .data = other});
	CK_FUNCTION_LIST *list = core_consumer();
	assert_true(shows(list, "chaos-a"));
	assert_true(shows(list, "chaos-b"));
	assert_ok(list->C_Finalize(NULL));

	CK_FUNCTION_LIST *managed = p11_kit_module_load(chaos_path("chaos-a"), 0);
	assert_ok(managed->C_Initialize(NULL));
	assert_ok(managed->C_Finalize(NULL));
	p11_kit_module_release(managed);
	assert_exact();
}

static unsigned long
look_up_the_proxy(struct chaos *chaos, const struct chaos_visit *visit, void *data)
{
	static _Thread_local bool is_inside;

	(void)chaos, (void)visit;
	if (!is_inside) {
		is_inside = true;
		*(CK_FUNCTION_LIST **)data = core_list();
		is_inside = false;
	}
	return CKR_OK;
}

/* While the first look-up loads a module, that one looks up the proxy; here even for the same
 * library. */
static void
test_a_module_looks_up_the_proxy_while_loaded(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *from_inside = NULL;

	begin();
	a->fault(CHAOS_ANY,
		 &(struct chaos_fault){.callback = look_up_the_proxy, .data = &from_inside});
	CK_FUNCTION_LIST *list = core_list();
	a->fault(CHAOS_ANY, NULL);
	assert_non_null(from_inside);
	assert_ok(from_inside->C_Initialize(NULL));
	assert_ok(list->C_Initialize(NULL));
	assert_true(shows(from_inside, "chaos-a"));
	assert_ok(from_inside->C_Finalize(NULL));
	assert_ok(list->C_Finalize(NULL));
	assert_exact();
}

static void
come_and_go(void *data, unsigned i)
{
	(void)data, (void)i;
	for (int n = 0; n < 20; n++) {
		CK_FUNCTION_LIST *list = core_list();
		core_expect(list->C_Initialize(NULL) == CKR_OK);
		core_expect(list->C_Finalize(NULL) == CKR_OK);
	}
}

/* Two that use each other, from two threads: nobody waits for who waits for him. */
static void
test_two_modules_use_each_other(void **state)
{
	(void)state;
	begin();
	a->fault(CHAOS_C_Initialize, &(struct chaos_fault){.callback = use_the_proxy});
	b->fault(CHAOS_C_Initialize, &(struct chaos_fault){.callback = use_the_proxy});
	crew_join(crew_start(2, come_and_go, NULL));
	assert_exact();
}

/* ---- C_Finalize at the wrong moment ---- */

static unsigned long
wait_inside(struct chaos *chaos, const struct chaos_visit *visit, void *data)
{
	(void)chaos, (void)visit;
	atomic_int *step = data;

	*step = 1;
	WAIT_UNTIL(*step == 2, 20000);
	return CKR_OK;
}

struct late {
	CK_FUNCTION_LIST *list;
	CK_RV rv;
};

static void
initialize_late(void *data, unsigned i)
{
	struct late *late = data;

	(void)i;
	late->rv = late->list->C_Initialize(NULL);
}

/* One consumer's C_Finalize comes while its C_Initialize is still inside a module. */
static void
test_finalize_during_initialize(void **state)
{
	(void)state;
	atomic_int step = 0;

	begin();
	CK_FUNCTION_LIST *other = core_consumer();
	assert_ok(other->C_Finalize(NULL));
	CK_FUNCTION_LIST *list = core_list();
	struct late late = {.list = list};
	a->fault(CHAOS_C_Initialize,
		 &(struct chaos_fault){.callback = wait_inside, .data = &step, .times = 1});
	struct crew *crew = crew_start(1, initialize_late, &late);
	assert_true(WAIT_UNTIL(step == 1, 20000));
	assert_ok(list->C_Finalize(NULL));
	assert_rv(list->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	step = 2;
	crew_join(crew);
	assert_ok(late.rv);
	assert_exact();
}

static void
open_late(void *data, unsigned i)
{
	struct late *late = data;
	CK_SESSION_HANDLE session = 0;

	(void)i;
	late->rv = late->list->C_OpenSession(0x11, CKF_SERIAL_SESSION, NULL, NULL, &session);
}

/* A consumer's C_Finalize comes while its C_OpenSession is inside the module: no session is left,
 * and others go on. */
static void
test_finalize_during_open(void **state)
{
	(void)state;
	atomic_int step = 0;
	struct chaos_signature signature;

	begin();
	CK_FUNCTION_LIST *other = core_consumer(), *list = core_consumer();
	CK_SESSION_HANDLE session = core_open(other, core_slot(other, 0));
	struct late late = {.list = list};
	a->fault(CHAOS_C_OpenSession,
		 &(struct chaos_fault){.callback = wait_inside, .data = &step, .times = 1});
	struct crew *crew = crew_start(1, open_late, &late);
	assert_true(WAIT_UNTIL(step == 1, 20000));
	assert_ok(list->C_Finalize(NULL));
	assert_ok(core_sign(other, session, &signature));
	step = 2;
	crew_join(crew);
	assert_rv(late.rv, CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(a->sessions, 1);
	assert_ok(core_sign(other, session, &signature));
	assert_ok(other->C_Finalize(NULL));
	assert_exact();
}

/* The last consumer goes while its call is inside: the module is finalized by who leaves it
 * last. */
static void
test_the_last_one_out_finalizes(void **state)
{
	(void)state;
	atomic_int step = 0;

	begin();
	CK_FUNCTION_LIST *list = core_consumer();
	assert_int_equal(core_slot(list, 0), 0x11);
	struct late late = {.list = list};
	a->fault(CHAOS_C_OpenSession,
		 &(struct chaos_fault){.callback = wait_inside, .data = &step, .times = 1});
	struct crew *crew = crew_start(1, open_late, &late);
	assert_true(WAIT_UNTIL(step == 1, 20000));
	assert_ok(list->C_Finalize(NULL));
	assert_int_equal(a->finalized, 0);
	assert_int_equal(b->finalized, 1);
	step = 2;
	crew_join(crew);
	assert_rv(late.rv, CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_exact();
}

/* ---- cancelled threads ---- */

static CK_FUNCTION_LIST *cancelled_list, *cancelled_managed;

static void *
initialize_and_die(void *data)
{
	(void)data;
	cancelled_list->C_Initialize(NULL);
	pthread_testcancel();
	return NULL;
}

static void *
ask_slot_and_die(void *data)
{
	(void)data;
	cancelled_list->C_GetSlotInfo(0x11, &(CK_SLOT_INFO){0});
	pthread_testcancel();
	return NULL;
}

static void *
open_and_die(void *data)
{
	CK_SESSION_HANDLE session;

	(void)data;
	cancelled_list->C_OpenSession(0x11, CKF_SERIAL_SESSION, NULL, NULL, &session);
	pthread_testcancel();
	return NULL;
}

static void *
close_all_and_die(void *data)
{
	(void)data;
	cancelled_list->C_CloseAllSessions(0x11);
	pthread_testcancel();
	return NULL;
}

static void *
close_all_managed_and_die(void *data)
{
	(void)data;
	cancelled_managed->C_CloseAllSessions(0);
	pthread_testcancel();
	return NULL;
}

static void *
wait_and_die(void *data)
{
	CK_SLOT_ID slot;

	(void)data;
	cancelled_list->C_WaitForSlotEvent(0, &slot, NULL);
	return NULL;
}

/* The thread is cancelled while it sleeps inside the module, where it could be. */
static void
cancel_inside(void *(*work)(void *), enum chaos_call call)
{
	unsigned long before = a->calls[call];
	pthread_t thread;
	void *result;

	a->fault(call, &(struct chaos_fault){.sleep_ms = 100});
	assert_int_equal(pthread_create(&thread, NULL, work, NULL), 0);
	assert_true(WAIT_UNTIL(a->calls[call] > before, 20000));
	pthread_cancel(thread);
	pthread_join(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	a->fault(call, NULL);
}

static void
test_cancelled(void **state)
{
	(void)state;
	begin();
	cancelled_list = core_list();
	cancel_inside(initialize_and_die, CHAOS_C_Initialize);
	/* It is initialized, as the thread was told. */
	assert_int_equal(core_slot(cancelled_list, 0), 0x11);
	cancel_inside(ask_slot_and_die, CHAOS_C_GetSlotInfo);
	cancel_inside(open_and_die, CHAOS_C_OpenSession);
	cancel_inside(wait_and_die, CHAOS_C_WaitForSlotEvent);
	assert_ok(cancelled_list->C_Finalize(NULL));
	assert_exact();
}

/* C_CloseAllSessions closes them all first: nobody could close those that are left. */
static void
test_cancelled_while_all_sessions_close(void **state)
{
	(void)state;
	begin();
	CK_FUNCTION_LIST *other = core_consumer();
	cancelled_list = core_consumer();
	cancelled_managed = p11_kit_module_load(chaos_path("chaos-a"), 0);
	assert_ok(cancelled_managed->C_Initialize(NULL));
	for (int i = 0; i < 3; i++) {
		core_open(cancelled_list, core_slot(cancelled_list, 0));
		core_open(cancelled_managed, 0);
	}
	assert_int_equal(a->sessions, 6);
	cancel_inside(close_all_and_die, CHAOS_C_CloseSession);
	assert_int_equal(a->sessions, 3);
	cancel_inside(close_all_managed_and_die, CHAOS_C_CloseSession);
	assert_int_equal(a->sessions, 0);
	assert_ok(cancelled_managed->C_Finalize(NULL));
	p11_kit_module_release(cancelled_managed);
	assert_ok(cancelled_list->C_Finalize(NULL));
	assert_ok(other->C_Finalize(NULL));
	assert_exact();
}

/* The last consumer goes while its call is inside, and then that is cancelled: the thread's end
 * finalizes the module. */
static void
test_the_last_one_out_is_cancelled(void **state)
{
	pthread_t thread;
	void *result;

	(void)state;
	if (SUPPORT_ASAN || SUPPORT_TSAN)
		skip(); /* they lose track of a thread that is unwound out of a call */
	begin();
	cancelled_list = core_consumer();
	assert_int_equal(core_slot(cancelled_list, 0), 0x11);
	a->fault(CHAOS_C_GetSlotInfo, &(struct chaos_fault){.sleep_ms = 60000});
	assert_int_equal(pthread_create(&thread, NULL, ask_slot_and_die, NULL), 0);
	assert_true(WAIT_UNTIL(a->inside[CHAOS_C_GetSlotInfo] > 0, 20000));
	assert_ok(cancelled_list->C_Finalize(NULL));
	assert_int_equal(a->finalized, 0);
	assert_int_equal(b->finalized, 1);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_int_equal(a->finalized, 1);
	assert_int_equal(a->overlaps, 0);
	assert_int_equal(a->up, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_a_module_uses_the_proxy),
		core_unit_test(test_a_module_looks_up_the_proxy_while_loaded),
		core_unit_test(test_two_modules_use_each_other),
		core_unit_test(test_finalize_during_initialize),
		core_unit_test(test_finalize_during_open),
		core_unit_test(test_the_last_one_out_finalizes),
		core_unit_test(test_cancelled),
		core_unit_test(test_cancelled_while_all_sessions_close),
		core_unit_test(test_the_last_one_out_is_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
