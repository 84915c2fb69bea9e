/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Session handles of the proxy: each names one session, and when that is gone it names nothing,
 * whatever the module does with its own number meanwhile. And what a callback is told.
 */
#include "core/core.h"

#include <stdlib.h>
#include <string.h>

static struct chaos *a;

static CK_FUNCTION_LIST *
begin(void)
{
	struct scene *scene = core_scene();

	a = scene_chaos(scene, "a", "chaos-a", NULL);
	scene_use(scene, NULL);
	return core_consumer();
}

/* The module has not been asked. */
static void
assert_dead(CK_FUNCTION_LIST *list, CK_SESSION_HANDLE session)
{
	unsigned long before = a->calls[CHAOS_C_Sign] + a->calls[CHAOS_C_CloseSession] +
			       a->calls[CHAOS_C_GetSessionInfo];

	assert_rv(core_sign(list, session, &(struct chaos_signature){0}),
		  CKR_SESSION_HANDLE_INVALID);
	assert_rv(list->C_GetSessionInfo(session, &(CK_SESSION_INFO){0}),
		  CKR_SESSION_HANDLE_INVALID);
	assert_rv(list->C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
	assert_int_equal(a->calls[CHAOS_C_Sign] + a->calls[CHAOS_C_CloseSession] +
				 a->calls[CHAOS_C_GetSessionInfo],
			 before);
}

static void
test_made_up(void **state)
{
	static const CK_SESSION_HANDLE made_up[] = {
		0,
		1,
		0x11,
		0xfffff,
		0x100001,
		0x200000,
		~(CK_SESSION_HANDLE)0,
		~(CK_SESSION_HANDLE)0 - 1,
	};

	(void)state;
	CK_FUNCTION_LIST *list = begin();
	CK_SESSION_HANDLE session = core_open(list, 0x11);

	for (size_t i = 0; i < sizeof made_up / sizeof made_up[0]; i++) {
		if (made_up[i] != session)
			assert_dead(list, made_up[i]);
	}
	assert_dead(list, session + 0x100000); /* another generation */
	assert_ok(list->C_Finalize(NULL));
	assert_true(chaos_is_exact(a));
}

/* A module that gives a closed session's number to the next one, as SoftHSM and OpenSC do. */
static void
closed_and_reused(enum chaos_handles handles)
{
	CK_FUNCTION_LIST *list = begin();
	struct chaos_signature before, after;

	a->handles = handles;
	for (int i = 0; i < 300; i++) {
		CK_SESSION_HANDLE session = core_open(list, 0x11), next;
		assert_ok(core_sign(list, session, &before));
		assert_ok(list->C_CloseSession(session));
		next = core_open(list, 0x11);
		assert_ok(core_sign(list, next, &after));
		assert_int_equal(after.session, before.session);
		assert_int_not_equal(after.serial, before.serial);
		assert_dead(list, session);
		assert_ok(list->C_CloseSession(next));
	}
	assert_ok(list->C_Finalize(NULL));
	assert_true(chaos_is_exact(a));
}

static void
test_closed_and_the_lowest_number_reused(void **state)
{
	(void)state;
	closed_and_reused(CHAOS_HANDLES_REUSE);
}

static void
test_closed_and_an_address_reused(void **state)
{
	(void)state;
	closed_and_reused(CHAOS_HANDLES_HEAP);
}

/* After the last C_Finalize a module counts from 1 again. */
static void
test_stale_after_finalize(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *list = begin();
	CK_SESSION_HANDLE old = core_open(list, 0x11);
	struct chaos_signature signature;

	assert_ok(list->C_Finalize(NULL));
	assert_rv(core_sign(list, old, &signature), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_rv(list->C_CloseSession(old), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_ok(list->C_Initialize(NULL));
	CK_SESSION_HANDLE session = core_open(list, 0x11);
	assert_ok(core_sign(list, session, &signature));
	assert_int_equal(signature.session, 1);
	assert_dead(list, old);
	assert_ok(list->C_Finalize(NULL));
	assert_true(chaos_is_exact(a));
}

static void
test_any_value_of_the_module(void **state)
{
	static const uint64_t values[] = {
		0,
		1,
		0x80000000,
		0xffffffff,
		(uint64_t) ~(CK_ULONG)0,
		(uint64_t)(CK_ULONG)0xff00000000000001,
	};

	(void)state;
	CK_FUNCTION_LIST *list = begin();
	struct chaos_signature signature;

	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		/* 0 cannot be asked for as "the next handle": it means none. */
		a->handle_base = values[i] - 1;
		a->handles = CHAOS_HANDLES_REUSE;
		CK_SESSION_HANDLE session = core_open(list, 0x11);
		assert_ok(core_sign(list, session, &signature));
		assert_int_equal(signature.session, values[i]);
		assert_ok(list->C_CloseSession(session));
	}
	assert_ok(list->C_Finalize(NULL));
	assert_true(chaos_is_exact(a));
}

static void
test_a_refused_close_changes_nothing(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *list = begin();
	CK_SESSION_HANDLE session = core_open(list, 0x11);

	a->fault(CHAOS_C_CloseSession, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR, .times = 2});
	assert_rv(list->C_CloseSession(session), CKR_DEVICE_ERROR);
	assert_rv(list->C_CloseAllSessions(0x11), CKR_DEVICE_ERROR);
	assert_ok(core_sign(list, session, &(struct chaos_signature){0}));
	assert_ok(list->C_CloseSession(session));
	assert_dead(list, session);

	/* An open that failed gives no handle and keeps none. */
	a->fault(CHAOS_C_OpenSession, &(struct chaos_fault){.rv = CKR_SESSION_COUNT});
	session = 0x77;
	assert_rv(list->C_OpenSession(0x11, CKF_SERIAL_SESSION, NULL, NULL, &session),
		  CKR_SESSION_COUNT);
	assert_rv(list->C_OpenSession(0x11, CKF_SERIAL_SESSION, NULL, NULL, NULL),
		  CKR_ARGUMENTS_BAD);
	assert_rv(list->C_OpenSession(0x10, CKF_SERIAL_SESSION, NULL, NULL, &session),
		  CKR_SLOT_ID_INVALID);
	assert_ok(list->C_Finalize(NULL));
	assert_true(chaos_is_exact(a));
}

/* A module that opens a session and then says that it failed: its answer is ours, and no entry is
 * left for it. */
static void
test_an_open_that_fails_late(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *list = begin();
	CK_SESSION_HANDLE session = 0x77;
	struct chaos_signature signature;

	a->fault(CHAOS_C_OpenSession, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR, .late = true});
	for (int i = 0; i < 1000; i++) {
		assert_rv(list->C_OpenSession(0x11, CKF_SERIAL_SESSION, NULL, NULL, &session),
			  CKR_DEVICE_ERROR);
		assert_dead(list, session);
	}
	a->fault(CHAOS_C_OpenSession, NULL);
	session = core_open(list, 0x11);
	assert_ok(core_sign(list, session, &signature));
	assert_int_equal(signature.session, 1001);
	assert_in_range(session & 0xfffff, 0, 255); /* in the first page: those are free again */
	assert_ok(list->C_CloseSession(session));
	assert_ok(list->C_Finalize(NULL));
	assert_int_equal(a->finalized, a->initialized);
}

#define N_SESSIONS 3000

/* As many as the module has; then its own answer, until one is closed. */
static void
test_the_limit_is_the_modules(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *list = begin();
	CK_SESSION_HANDLE sessions[N_SESSIONS], session = 0;
	struct chaos_signature signature;

	a->handles = CHAOS_HANDLES_REUSE;
	a->fault(CHAOS_C_OpenSession,
		 &(struct chaos_fault){.skip = N_SESSIONS, .times = 1, .rv = CKR_SESSION_COUNT});
	for (unsigned i = 0; i < N_SESSIONS; i++)
		sessions[i] = core_open(list, 0x11);
	assert_rv(list->C_OpenSession(0x11, CKF_SERIAL_SESSION, NULL, NULL, &session),
		  CKR_SESSION_COUNT);
	for (unsigned i = 0; i < N_SESSIONS; i++) {
		assert_ok(core_sign(list, sessions[i], &signature));
		assert_int_equal(signature.session, i + 1);
	}
	assert_ok(list->C_CloseSession(sessions[500]));
	session = core_open(list, 0x11);
	assert_ok(core_sign(list, session, &signature));
	assert_int_equal(signature.session, 501);
	assert_dead(list, sessions[500]);
	assert_ok(list->C_Finalize(NULL));
	assert_true(chaos_is_exact(a));
}

static void
test_session_info_names_our_slot(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *list = begin();
	CK_SESSION_INFO info;

	a->slots(3);
	a->slot_id(2, 0xabcdef);
	CK_SLOT_ID slot = core_slot(list, 2);
	assert_int_equal(slot, 0x13);
	assert_ok(list->C_GetSessionInfo(core_open(list, slot), &info));
	assert_int_equal(info.slotID, slot);
	assert_ok(list->C_Finalize(NULL));
	assert_true(chaos_is_exact(a));
}

/* ---- callbacks ---- */

static struct {
	unsigned n;
	CK_SESSION_HANDLE session;
	CK_NOTIFICATION event;
	void *application;
} told;

static CK_RV
be_told(CK_SESSION_HANDLE session, CK_NOTIFICATION event, CK_VOID_PTR application)
{
	told.n++;
	told.session = session;
	told.event = event;
	told.application = application;
	return CKR_OK;
}

static void
test_notify(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *list = begin();
	CK_SESSION_HANDLE session, other;
	struct chaos_signature signature;

	/* Already inside C_OpenSession the callback gets the handle that the call will give. */
	a->notify_on_open = true;
	assert_ok(list->C_OpenSession(0x11, CKF_SERIAL_SESSION, &told, be_told, &session));
	assert_int_equal(told.n, 1);
	assert_int_equal(told.session, session);
	assert_ptr_equal(told.application, &told);
	assert_ok(core_sign(list, session, &signature));
	assert_ok(a->notify(signature.session, CKN_SURRENDER));
	assert_int_equal(told.n, 2);
	assert_int_equal(told.session, session);

	/* What the module calls is ours; another session, without callback, is not told. */
	CK_NOTIFY notify = (CK_NOTIFY)(uintptr_t)a->last_args[CHAOS_C_OpenSession][3];
	void *argument = (void *)(uintptr_t)a->last_args[CHAOS_C_OpenSession][2];
	a->notify_on_open = false;
	assert_ok(list->C_CloseSession(session));
	assert_ok(notify((CK_SESSION_HANDLE)signature.session, CKN_SURRENDER, argument));
	other = core_open(list, 0x11);
	assert_ok(notify((CK_SESSION_HANDLE)signature.session, CKN_SURRENDER, argument));
	assert_ok(list->C_CloseSession(other));
	assert_ok(list->C_OpenSession(0x11, CKF_SERIAL_SESSION, &told, be_told, &other));
	assert_ok(notify((CK_SESSION_HANDLE)signature.session, CKN_SURRENDER, argument));
	assert_ok(list->C_Finalize(NULL));
	assert_ok(notify((CK_SESSION_HANDLE)signature.session, CKN_SURRENDER, argument));
	assert_int_equal(told.n, 2);
	assert_true(chaos_is_exact(a));
}

/* ---- one closes what others use ---- */

struct use {
	CK_FUNCTION_LIST *list;
	_Atomic CK_SESSION_HANDLE session;
	atomic_bool is_over;
};

static void
use_it(void *data, unsigned i)
{
	struct use *use = data;
	struct chaos_signature signature;

	(void)i;
	while (!use->is_over) {
		CK_RV rv = core_sign(use->list, use->session, &signature);
		core_expect(rv == CKR_OK || rv == CKR_SESSION_HANDLE_INVALID);
	}
}

static void
test_closed_under_its_users(void **state)
{
	(void)state;
	struct use use = {.list = begin()};

	a->handles = CHAOS_HANDLES_REUSE;
	use.session = core_open(use.list, 0x11);
	struct crew *crew = crew_start(2, use_it, &use);
	for (int i = 0; i < (SUPPORT_TSAN || SUPPORT_ASAN ? 500 : 5000); i++) {
		CK_SESSION_HANDLE session = core_open(use.list, 0x11);
		assert_ok(use.list->C_CloseSession(use.session));
		use.session = session;
	}
	use.is_over = true;
	crew_join(crew);
	assert_int_equal(core_n_wrong, 0);
	assert_ok(use.list->C_Finalize(NULL));
	/* A call that found the session just before it was closed may come too late, as it may
	 * directly. */
	a->bad_sessions = 0;
	assert_true(chaos_is_exact(a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_made_up),
		core_unit_test(test_closed_and_the_lowest_number_reused),
		core_unit_test(test_closed_and_an_address_reused),
		core_unit_test(test_stale_after_finalize),
		core_unit_test(test_any_value_of_the_module),
		core_unit_test(test_a_refused_close_changes_nothing),
		core_unit_test(test_an_open_that_fails_late),
		core_unit_test(test_the_limit_is_the_modules),
		core_unit_test(test_session_info_names_our_slot),
		core_unit_test(test_notify),
		core_unit_test(test_closed_under_its_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
