/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stranger, who loaded the vendor's file directly, finalizes a module under us. It is noticed at
 * the next C_OpenSession, list or wait; then no handle of before reaches a session of after, the
 * module is initialized again, never finalized for it, and a message says what to do about it.
 */
#define P11_KIT_NO_DEPRECATIONS 1
#include "core/core.h"

#include <stdlib.h>
#include <string.h>

#define DEADLINE_MS 60000

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

/* Everybody is done: b was initialized and finalized so often, and no dead session reached it. */
static void
end(unsigned long initialized, unsigned long finalized)
{
	assert_true(chaos_is_exact(a));
	assert_int_equal(b->initialized, initialized);
	assert_int_equal(b->calls[CHAOS_C_Finalize], finalized);
	assert_int_equal(b->overlaps, 0);
	assert_int_equal(b->bad_sessions, 0);
	assert_int_equal(b->down_calls[CHAOS_C_Finalize], 0);
	scene_free(scene);
}

static void
assert_healed_message(void)
{
	core_assert_said("module ");
	core_assert_said("somebody else in this program finalized it");
	core_assert_said("load it through p11-kit");
}

static CK_RV
sign_rv(CK_FUNCTION_LIST *list, CK_SESSION_HANDLE session)
{
	struct chaos_signature signature;

	return core_sign(list, session, &signature);
}

static CK_RV
open_rv(CK_FUNCTION_LIST *list, CK_SLOT_ID slot, CK_SESSION_HANDLE *session)
{
	return list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, session);
}

/* ---- who notices ---- */

static void
notice_by_open(CK_FUNCTION_LIST *list, CK_SLOT_ID slot)
{
	CK_SESSION_HANDLE session = core_open(list, slot);

	assert_ok(sign_rv(list, session));
}

static void
notice_by_list(CK_FUNCTION_LIST *list, CK_SLOT_ID slot)
{
	assert_int_equal(core_slot(list, 1), slot);
}

static void
notice_by_wait(CK_FUNCTION_LIST *list, CK_SLOT_ID slot)
{
	assert_rv(list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
}

static void
assert_table_is_down(CK_FUNCTION_LIST *list, CK_SESSION_HANDLE session)
{
	assert_rv(sign_rv(list, session), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_rv(list->C_CloseSession(session), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_rv(list->C_GetSlotList(CK_FALSE, NULL, &(CK_ULONG){0}),
		  CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_rv(list->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
}

/* Two consumers of the proxy, a managed table and an unmanaged caller, each of whom had a
 * session. */
static void
heal_by(void (*notice)(CK_FUNCTION_LIST *list, CK_SLOT_ID slot))
{
	begin();
	CK_FUNCTION_LIST *one = core_consumer(), *two = core_consumer(),
			 *table = core_managed("chaos-b");
	CK_FUNCTION_LIST *raw = chaos_list("chaos-b");
	assert_ok(p11_kit_initialize_module(raw));
	CK_SLOT_ID slot = core_slot(one, 1);
	CK_SESSION_HANDLE of_a = core_open(one, core_slot(one, 0));
	CK_SESSION_HANDLE of_one = core_open(one, slot), of_two = core_open(two, slot);
	CK_SESSION_HANDLE of_table = core_open(table, 0);

	b->drop();
	notice(one, slot);
	assert_healed_message();
	assert_int_equal(b->initialized, 2);

	/* The module numbers its sessions from 1 again; the old handles are nobody's. */
	(void)core_open(two, slot);
	(void)core_open(two, slot);
	(void)core_open(two, slot);
	assert_true(b->sessions >= 3);
	assert_rv(sign_rv(one, of_one), CKR_SESSION_HANDLE_INVALID);
	assert_rv(sign_rv(two, of_two), CKR_SESSION_HANDLE_INVALID);
	assert_rv(one->C_CloseSession(of_one), CKR_SESSION_HANDLE_INVALID);
	assert_ok(sign_rv(one, of_a));
	assert_table_is_down(table, of_table);
	assert_ok(table->C_Initialize(NULL));
	assert_ok(sign_rv(table, core_open(table, 0)));
	assert_int_equal(b->calls[CHAOS_C_Initialize], 2);
	assert_int_equal(b->calls[CHAOS_C_Finalize], 0);

	assert_ok(table->C_Finalize(NULL));
	assert_ok(one->C_Finalize(NULL));
	assert_ok(two->C_Finalize(NULL));
	assert_int_equal(b->calls[CHAOS_C_Finalize], 0);
	assert_ok(p11_kit_finalize_module(raw));
	assert_int_equal(b->up, 0);
	assert_int_equal(b->sessions, 0);
	p11_kit_module_release(table);
	end(2, 1);
}

static void
test_noticed_at_open(void **state)
{
	(void)state;
	heal_by(notice_by_open);
}

static void
test_noticed_at_list(void **state)
{
	(void)state;
	heal_by(notice_by_list);
}

static void
test_noticed_at_wait(void **state)
{
	(void)state;
	heal_by(notice_by_wait);
}

struct waiter {
	CK_FUNCTION_LIST *list;
	CK_SLOT_ID slot;
	_Atomic CK_RV rv;
	atomic_bool is_out;
};

static void
wait_for_event(void *data, unsigned i)
{
	struct waiter *waiter = data;

	(void)i;
	waiter->rv = waiter->list->C_WaitForSlotEvent(0, &waiter->slot, NULL);
	waiter->is_out = true;
}

/* One who waits notices by itself, goes on waiting, and is told what happens next. */
static void
test_noticed_while_waiting(void **state)
{
	(void)state;
	begin();
	struct waiter waiter = {.list = core_consumer()};
	CK_SLOT_ID slot = core_slot(waiter.list, 1);
	struct crew *crew = crew_start(1, wait_for_event, &waiter);
	assert_true(WAIT_UNTIL(b->calls[CHAOS_C_WaitForSlotEvent] > 0, DEADLINE_MS));
	b->drop();
	assert_true(WAIT_UNTIL(b->initialized == 2, DEADLINE_MS));
	assert_false(waiter.is_out);
	b->token(0, false);
	crew_join(crew);
	assert_ok(waiter.rv);
	assert_int_equal(waiter.slot, slot);
	assert_ok(waiter.list->C_Finalize(NULL));
	end(2, 1);
}

/* ---- nobody but managed tables ---- */

/* Whoever notices, the table goes down; the module is initialized by the next C_Initialize only. */
static void
test_managed_tables_go_down(void **state)
{
	CK_SESSION_HANDLE session;
	CK_SLOT_ID slot;

	(void)state;
	begin();
	CK_FUNCTION_LIST *one = core_managed("chaos-b"), *two = core_managed("chaos-b");
	CK_SESSION_HANDLE of_one = core_open(one, 0), of_two = core_open(two, 0);
	b->drop();
	assert_rv(open_rv(one, 0, &session), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_healed_message();
	core_assert_said("C_Initialize must be called again");
	assert_table_is_down(one, of_one);
	assert_table_is_down(two, of_two);
	assert_int_equal(b->calls[CHAOS_C_Initialize], 1);
	assert_int_equal(b->calls[CHAOS_C_Finalize], 0);
	assert_ok(two->C_Initialize(NULL));
	assert_int_equal(b->calls[CHAOS_C_Initialize], 2);
	session = core_open(two, 0);
	assert_ok(sign_rv(two, session));
	assert_rv(one->C_CloseSession(session), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_ok(two->C_CloseSession(session));
	assert_rv(two->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
	assert_ok(two->C_Finalize(NULL));
	p11_kit_module_release(one);
	p11_kit_module_release(two);
	end(2, 1);
}

static void
test_managed_wait_ends(void **state)
{
	CK_SLOT_ID slot;

	(void)state;
	begin();
	CK_FUNCTION_LIST *one = core_managed("chaos-b");
	struct waiter waiter = {.list = core_managed("chaos-b")};
	struct crew *crew = crew_start(1, wait_for_event, &waiter);
	assert_true(WAIT_UNTIL(b->calls[CHAOS_C_WaitForSlotEvent] > 0, DEADLINE_MS));
	b->drop();
	(void)one->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL);
	assert_rv(one->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL),
		  CKR_CRYPTOKI_NOT_INITIALIZED);
	crew_join(crew);
	assert_rv(waiter.rv, CKR_CRYPTOKI_NOT_INITIALIZED);
	p11_kit_module_release(one);
	p11_kit_module_release(waiter.list);
	end(1, 0);
}

/* ---- a session that was just being opened ---- */

struct opening {
	CK_FUNCTION_LIST *other;
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE session; /* the other's, opened after the heal */
};

/* Inside the module's C_OpenSession, when the session is made. */
static CK_RV
drop_and_heal(CK_SESSION_HANDLE session, CK_NOTIFICATION event, CK_VOID_PTR application)
{
	struct opening *opening = application;

	(void)session, (void)event;
	b->drop();
	if (open_rv(opening->other, opening->slot, &opening->session) != CKR_OK) {
		/* A managed table. */
		assert_ok(opening->other->C_Initialize(NULL));
		opening->session = core_open(opening->other, opening->slot);
	}
	return CKR_OK;
}

static void
open_across_heal(CK_FUNCTION_LIST *list, CK_FUNCTION_LIST *other, CK_SLOT_ID slot, CK_RV expected)
{
	struct opening opening = {.other = other, .slot = slot};
	CK_SESSION_HANDLE session = 0;
	struct chaos_signature before, after;

	b->notify_on_open = true;
	assert_rv(list->C_OpenSession(slot, CKF_SERIAL_SESSION, &opening, drop_and_heal, &session),
		  expected);
	assert_int_equal(session, 0);
	b->notify_on_open = false;
	/* The other one's session, which has the same number in the module, is as it was. */
	assert_ok(core_sign(other, opening.session, &before));
	assert_int_equal(before.session, 1);
	(void)core_open(other, slot);
	assert_ok(core_sign(other, opening.session, &after));
	assert_int_equal(before.serial, after.serial);
	assert_ok(other->C_CloseSession(opening.session));
}

static void
test_session_that_was_being_opened(void **state)
{
	(void)state;
	begin();
	CK_FUNCTION_LIST *one = core_consumer(), *two = core_consumer();
	open_across_heal(one, two, core_slot(one, 1), CKR_DEVICE_ERROR);
	core_assert_said("open it again");
	assert_ok(sign_rv(one, core_open(one, core_slot(one, 1))));
	assert_ok(one->C_Finalize(NULL));
	assert_ok(two->C_Finalize(NULL));
	assert_int_equal(b->sessions, 0);
	end(2, 1);
}

/* Here no user is left while the call is in flight: the next C_Initialize is the module's. */
static void
test_managed_session_that_was_being_opened(void **state)
{
	(void)state;
	begin();
	CK_FUNCTION_LIST *one = core_managed("chaos-b"), *two = core_managed("chaos-b");
	open_across_heal(one, two, 0, CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_rv(one->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_ok(two->C_Finalize(NULL));
	assert_int_equal(b->sessions, 0);
	p11_kit_module_release(one);
	p11_kit_module_release(two);
	end(2, 1);
}

/* ---- how often ---- */

static void
test_at_most_every_five_seconds(void **state)
{
	CK_SESSION_HANDLE session;

	(void)state;
	begin();
	CK_FUNCTION_LIST *list = core_consumer();
	CK_SLOT_ID slot = core_slot(list, 1);
	b->drop();
	(void)core_open(list, slot);
	unsigned long healed = support_ms();
	b->drop();
	assert_rv(open_rv(list, slot, &session), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_true(WAIT_UNTIL(open_rv(list, slot, &session) == CKR_OK, DEADLINE_MS));
	assert_true(support_ms() - healed >= 4900);
	assert_ok(sign_rv(list, session));
	assert_int_equal(core_slot(list, 1), slot);
	assert_ok(list->C_Finalize(NULL));
	end(3, 1);
}

static void
test_restart_that_fails(void **state)
{
	CK_SESSION_HANDLE session;

	(void)state;
	begin();
	CK_FUNCTION_LIST *list = core_consumer();
	CK_SLOT_ID slot = core_slot(list, 1);
	b->drop();
	b->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_DEVICE_REMOVED, .times = 1});
	assert_rv(open_rv(list, slot, &session), CKR_CRYPTOKI_NOT_INITIALIZED);
	core_assert_said("module b: ");
	core_assert_said("CKR_DEVICE_REMOVED");
	core_assert_said("load it through p11-kit");
	assert_int_equal(core_slot(list, 1), slot); /* as seen last */
	assert_ok(sign_rv(list, core_open(list, core_slot(list, 0))));
	assert_true(WAIT_UNTIL(open_rv(list, slot, &session) == CKR_OK, DEADLINE_MS));
	assert_ok(list->C_Finalize(NULL));
	end(2, 1);
}

/* ... and is down at the end: nothing is finalized. */
static void
test_restart_that_failed_last(void **state)
{
	(void)state;
	begin();
	CK_FUNCTION_LIST *list = core_consumer();
	b->drop();
	b->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_DEVICE_REMOVED});
	assert_int_equal(core_slot(list, 1), 0x12);
	assert_ok(list->C_Finalize(NULL));
	end(1, 0);
}

static void
open_in_thread(void *data, unsigned i)
{
	struct waiter *waiter = data;
	CK_SESSION_HANDLE session;

	(void)i;
	waiter->rv = open_rv(waiter->list, waiter->slot, &session);
}

/*
 * It holds up the thread that noticed, and no other one tries at the same time. Who initializes
 * meanwhile waits for it, but not for ever, and finds it later.
 */
static void
test_restart_that_hangs(void **state)
{
	CK_SESSION_HANDLE session;

	(void)state;
	begin();
	struct waiter waiter = {.list = core_consumer(), .slot = 0x12};
	CK_FUNCTION_LIST *other = core_consumer();
	b->drop();
	b->fault(CHAOS_C_Initialize, &(struct chaos_fault){.hang = true, .times = 1});
	struct crew *crew = crew_start(1, open_in_thread, &waiter);
	assert_true(WAIT_UNTIL(b->hanging == 1, DEADLINE_MS));
	unsigned long began = support_ms();
	unsigned long n_down = b->down_calls[CHAOS_C_OpenSession];
	CK_SLOT_INFO info;
	assert_rv(open_rv(other, 0x12, &session), CKR_DEVICE_ERROR);
	assert_rv(other->C_GetSlotInfo(0x12, &info), CKR_DEVICE_ERROR);
	assert_int_equal(core_slot(other, 1), 0x12);
	assert_ok(sign_rv(other, core_open(other, 0x11)));
	assert_in_range(support_ms() - began, 0, 1500);
	support_pause_ms(5500);
	assert_rv(open_rv(other, 0x12, &session), CKR_DEVICE_ERROR);
	assert_int_equal(b->calls[CHAOS_C_Initialize], 2);
	/* Nobody enters a module that is being initialized. */
	assert_int_equal(b->down_calls[CHAOS_C_OpenSession], n_down);
	assert_int_equal(b->down_calls[CHAOS_C_GetSlotInfo], 0);
	assert_int_equal(b->down_calls[CHAOS_C_GetSlotList], 0);
	assert_ok(other->C_Finalize(NULL));
	began = support_ms();
	assert_ok(other->C_Initialize(NULL));
	assert_in_range(support_ms() - began, 2900, 20000);
	assert_ok(sign_rv(other, core_open(other, 0x11)));
	b->release();
	crew_join(crew);
	assert_ok(waiter.rv);
	assert_int_equal(core_slot(other, 1), 0x12);
	assert_ok(sign_rv(other, core_open(other, 0x12)));
	assert_ok(other->C_Finalize(NULL));
	assert_ok(waiter.list->C_Finalize(NULL));
	end(2, 1);
}

/* ---- a stranger who goes on ---- */

static unsigned long
drop_and_initialize(struct chaos *chaos, const struct chaos_visit *visit, void *stranger)
{
	(void)visit;
	chaos->drop();
	assert_ok(((CK_FUNCTION_LIST *)stranger)->C_Initialize(NULL));
	return CKR_CRYPTOKI_NOT_INITIALIZED;
}

/* It is up by the stranger's C_Initialize, and the stranger's to finalize. */
static void
test_stranger_who_initializes_again(void **state)
{
	(void)state;
	begin();
	CK_FUNCTION_LIST *stranger = chaos_list("chaos-b"), *list = core_consumer();
	CK_SLOT_ID slot = core_slot(list, 1);
	CK_SESSION_HANDLE old = core_open(list, slot), strange;
	b->fault(CHAOS_C_OpenSession, &(struct chaos_fault){.callback = drop_and_initialize,
							    .data = stranger,
							    .times = 1});
	CK_SESSION_HANDLE session = core_open(list, slot);
	assert_healed_message();
	assert_ok(sign_rv(list, session));
	assert_rv(sign_rv(list, old), CKR_SESSION_HANDLE_INVALID);
	strange = core_open(stranger, 0);
	assert_ok(list->C_Finalize(NULL));
	assert_int_equal(b->calls[CHAOS_C_Finalize], 0);
	assert_ok(sign_rv(stranger, strange));
	assert_int_equal(b->sessions, 1);
	assert_ok(stranger->C_Finalize(NULL));
	end(2, 1);
}

/* ---- a module that lies ---- */

static void
try_all(CK_FUNCTION_LIST *list, CK_SLOT_ID slot)
{
	CK_SESSION_HANDLE session;

	(void)open_rv(list, slot, &session);
	(void)list->C_GetSlotList(CK_TRUE, NULL, &(CK_ULONG){0});
	(void)list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL);
}

/* It is up all the time, and is never finalized, nor initialized over and over. */
static void
test_module_that_lies(void **state)
{
	static const enum chaos_call calls[] = {CHAOS_C_OpenSession, CHAOS_C_GetSlotList,
						CHAOS_C_GetSlotInfo, CHAOS_C_WaitForSlotEvent};

	(void)state;
	begin();
	CK_FUNCTION_LIST *list = core_consumer();
	CK_SLOT_ID slot = core_slot(list, 1);
	unsigned long began = support_ms();
	for (int i = 0; i < 200; i++) {
		enum chaos_call call = calls[i % 4];
		b->fault(call, &(struct chaos_fault){.rv = CKR_CRYPTOKI_NOT_INITIALIZED});
		try_all(list, slot);
		b->fault(call, NULL);
	}
	assert_in_range(b->calls[CHAOS_C_Initialize], 2, 2 + (support_ms() - began) / 5000);
	assert_ok(sign_rv(list, core_open(list, slot)));
	assert_int_equal(core_slot(list, 1), slot);
	assert_ok(sign_rv(list, core_open(list, core_slot(list, 0))));
	assert_ok(list->C_Finalize(NULL));
	assert_int_equal(b->up, 1);
	/* The next consumer finds it up. */
	assert_ok(list->C_Initialize(NULL));
	assert_ok(sign_rv(list, core_open(list, slot)));
	assert_ok(list->C_Finalize(NULL));
	end(1, 0);
}

static void
test_managed_module_that_lies(void **state)
{
	CK_SESSION_HANDLE session;

	(void)state;
	begin();
	CK_FUNCTION_LIST *list = core_managed("chaos-b");
	b->fault(CHAOS_C_OpenSession, &(struct chaos_fault){.rv = CKR_CRYPTOKI_NOT_INITIALIZED});
	assert_rv(open_rv(list, 0, &session), CKR_CRYPTOKI_NOT_INITIALIZED);
	for (int i = 0; i < 50; i++) {
		CK_RV rv = list->C_Initialize(NULL);
		assert_true(rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED);
		assert_rv(open_rv(list, 0, &session), CKR_CRYPTOKI_NOT_INITIALIZED);
	}
	b->fault(CHAOS_C_OpenSession, NULL);
	assert_ok(sign_rv(list, core_open(list, 0)));
	assert_ok(list->C_Finalize(NULL));
	p11_kit_module_release(list);
	end(1, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_noticed_at_open),
		core_unit_test(test_noticed_at_list),
		core_unit_test(test_noticed_at_wait),
		core_unit_test(test_noticed_while_waiting),
		core_unit_test(test_managed_tables_go_down),
		core_unit_test(test_managed_wait_ends),
		core_unit_test(test_session_that_was_being_opened),
		core_unit_test(test_managed_session_that_was_being_opened),
		core_unit_test(test_at_most_every_five_seconds),
		core_unit_test(test_restart_that_fails),
		core_unit_test(test_restart_that_failed_last),
		core_unit_test(test_restart_that_hangs),
		core_unit_test(test_stranger_who_initializes_again),
		core_unit_test(test_module_that_lies),
		core_unit_test(test_managed_module_that_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
