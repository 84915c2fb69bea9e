/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Slots and tokens that vanish while sessions are open there: the module's own answer comes
 * through, the sessions can be closed, and a slot that comes back has its old id.
 */
#include "core/core.h"

#include <string.h>

#define INDEX_MASK 0xfffff /* of a handle of the proxy's: which entry of its table */

static struct scene *scene;
static struct chaos *a, *b;

static void
begin(void)
{
	scene = scene_new();
	a = scene_chaos(scene, "a", "chaos-a", NULL);
	b = scene_chaos(scene, "b", "chaos-b", NULL);
	scene_use(scene, NULL);
	b->slots(2);
}

static void
end(void)
{
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(b));
	scene_free(scene);
}

static CK_RV
sign_rv(CK_FUNCTION_LIST *list, CK_SESSION_HANDLE session)
{
	struct chaos_signature signature;

	return core_sign(list, session, &signature);
}

/* Sessions of one consumer on b's second slot, which goes and comes. `slot`: the id that it has. */
static void
lose_slot(CK_FUNCTION_LIST *list, CK_SLOT_ID slot)
{
	CK_SESSION_HANDLE sessions[3], session;
	CK_SLOT_INFO info;

	for (int i = 0; i < 3; i++)
		sessions[i] = core_open(list, slot);
	b->plug(1, false);
	for (int i = 0; i < 3; i++)
		assert_rv(sign_rv(list, sessions[i]), CKR_DEVICE_REMOVED);
	assert_rv(list->C_GetSlotInfo(slot, &info), CKR_SLOT_ID_INVALID);
	assert_rv(list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session),
		  CKR_SLOT_ID_INVALID);
	assert_ok(list->C_CloseSession(sessions[0]));
	assert_rv(list->C_CloseSession(sessions[0]), CKR_SESSION_HANDLE_INVALID);
	assert_int_equal(b->sessions, 2);
	assert_ok(list->C_CloseAllSessions(slot));
	assert_int_equal(b->sessions, 0);

	b->plug(1, true);
	assert_rv(list->C_CloseSession(sessions[1]), CKR_SESSION_HANDLE_INVALID);
	session = core_open(list, slot);
	assert_ok(sign_rv(list, session));
	assert_int_equal(b->bad_sessions, 0);
	/* What is still open there is closed by C_Finalize. */
	b->plug(1, false);
	assert_ok(list->C_Finalize(NULL));
	assert_int_equal(b->sessions, 0);
	b->plug(1, true);
}

static void
test_slot_that_vanishes(void **state)
{
	CK_SLOT_ID before[CORE_MAX_SLOTS], after[CORE_MAX_SLOTS];

	(void)state;
	begin();
	CK_FUNCTION_LIST *list = core_consumer(), *table = core_managed("chaos-b");
	assert_int_equal(core_slots(list, before), 3);
	lose_slot(list, before[2]);
	lose_slot(table, 1);

	/* Gone while others come: its id is kept for it. */
	assert_ok(list->C_Initialize(NULL));
	b->plug(1, false);
	b->plug(2, true);
	assert_int_equal(core_slots(list, after), 3);
	assert_int_equal(after[1], before[1]);
	assert_int_equal(after[2], 0x14);
	b->plug(1, true);
	assert_int_equal(core_slots(list, after), 4);
	assert_int_equal(after[2], before[2]);
	assert_int_equal(after[3], 0x14);
	assert_ok(list->C_Finalize(NULL));
	p11_kit_module_release(table);
	end();
}

/* The module has ended its sessions itself, and says so once; then it is not asked again. */
static void
lose_token(CK_FUNCTION_LIST *list, CK_SLOT_ID slot)
{
	CK_SESSION_HANDLE session = core_open(list, slot), next;

	b->token(1, false);
	assert_rv(sign_rv(list, session), CKR_SESSION_HANDLE_INVALID);
	assert_rv(list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &next),
		  CKR_TOKEN_NOT_PRESENT);
	unsigned long n = b->calls[CHAOS_C_CloseSession];
	assert_rv(list->C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
	assert_rv(list->C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
	assert_int_equal(b->calls[CHAOS_C_CloseSession], n + 1);
	assert_ok(list->C_CloseAllSessions(slot));

	b->token(1, true);
	next = core_open(list, slot);
	assert_ok(sign_rv(list, next));
	assert_ok(list->C_CloseSession(next));
	b->bad_sessions = 0; /* the calls that it was there to refuse */
}

static void
test_token_that_vanishes(void **state)
{
	(void)state;
	begin();
	CK_FUNCTION_LIST *list = core_consumer(), *table = core_managed("chaos-b");
	CK_SLOT_ID slot = core_slot(list, 2);
	b->handle_base = 1000;
	lose_token(list, slot);
	lose_token(table, 1);
	assert_ok(list->C_Finalize(NULL));
	assert_ok(table->C_Finalize(NULL));
	p11_kit_module_release(table);
	end();
}

/* Whatever the module answers to C_CloseSession is the consumer's; a session that is gone is
 * gone. */
static void
test_close_that_fails(void **state)
{
	static const CK_RV gone[] = {CKR_DEVICE_REMOVED, CKR_SESSION_CLOSED,
				     CKR_SESSION_HANDLE_INVALID};

	(void)state;
	begin();
	CK_FUNCTION_LIST *lists[] = {core_consumer(), core_managed("chaos-b")};
	CK_SLOT_ID slots[] = {core_slot(lists[0], 2), 1};
	for (int i = 0; i < 2; i++) {
		CK_SESSION_HANDLE session;
		for (size_t j = 0; j < sizeof gone / sizeof gone[0]; j++) {
			session = core_open(lists[i], slots[i]);
			b->fault(CHAOS_C_CloseSession,
				 &(struct chaos_fault){.rv = gone[j], .late = true, .times = 1});
			assert_rv(lists[i]->C_CloseSession(session), gone[j]);
			assert_rv(lists[i]->C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
		}
		/* Refused: it is open, and can be closed later. */
		session = core_open(lists[i], slots[i]);
		b->fault(CHAOS_C_CloseSession,
			 &(struct chaos_fault){.rv = CKR_DEVICE_ERROR, .times = 2});
		assert_rv(lists[i]->C_CloseSession(session), CKR_DEVICE_ERROR);
		/* A managed table has always answered CKR_OK here. */
		assert_rv(lists[i]->C_CloseAllSessions(slots[i]), i ? CKR_OK : CKR_DEVICE_ERROR);
		assert_ok(sign_rv(lists[i], session));
		assert_ok(lists[i]->C_CloseSession(session));
		assert_ok(lists[i]->C_Finalize(NULL));
	}
	p11_kit_module_release(lists[1]);
	end();
}

/*
 * The module has ended the session of `before`, and gives its number to the next one, of `after`:
 * what `before` still has leads nowhere, and takes nothing away from `after`.
 */
static void
reuse_number(CK_FUNCTION_LIST *before, CK_SLOT_ID slot_before, CK_FUNCTION_LIST *after,
	     CK_SLOT_ID slot_after)
{
	struct chaos_signature signature;

	CK_SESSION_HANDLE old = core_open(before, slot_before);
	assert_ok(core_sign(before, old, &signature));
	uint64_t number = signature.session;
	b->token(1, false);
	b->token(1, true);
	CK_SESSION_HANDLE session = core_open(after, slot_after);
	assert_ok(core_sign(after, session, &signature));
	assert_int_equal(signature.session, number);
	if (slot_before !=
	    1) /* the handles of a managed table are the module's, and nobody checks */
		assert_rv(sign_rv(before, old), CKR_SESSION_HANDLE_INVALID);
	assert_rv(before->C_CloseSession(old), CKR_SESSION_HANDLE_INVALID);
	assert_ok(before->C_CloseAllSessions(slot_before));
	assert_ok(before->C_Finalize(NULL));
	assert_ok(before->C_Initialize(NULL));
	assert_ok(sign_rv(after, session));
	assert_ok(after->C_CloseSession(session));
	assert_int_equal(b->sessions, 0);
}

static void
test_number_that_is_used_again(void **state)
{
	(void)state;
	begin();
	CK_FUNCTION_LIST *lists[] = {core_consumer(), core_consumer(), core_managed("chaos-b"),
				     core_managed("chaos-b")};
	CK_SLOT_ID id = core_slot(lists[0], 2), slots[] = {id, id, 1, 1};
	for (int kind = CHAOS_HANDLES_REUSE; kind <= CHAOS_HANDLES_HEAP; kind++) {
		b->handles = (unsigned)kind;
		for (int i = 0; i < 4; i++) {
			for (int j = 0; j < 4; j++) {
				if (i != j)
					reuse_number(lists[i], slots[i], lists[j], slots[j]);
			}
		}
	}
	for (int i = 0; i < 4; i++)
		assert_ok(lists[i]->C_Finalize(NULL));
	p11_kit_module_release(lists[2]);
	p11_kit_module_release(lists[3]);
	end();
}

struct nested {
	CK_FUNCTION_LIST *list;
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE session;
	bool is_inside;
};

static unsigned long
open_nested(struct chaos *chaos, const struct chaos_visit *visit, void *data)
{
	struct nested *nested = data;

	(void)chaos, (void)visit;
	if (nested->is_inside)
		return CKR_OK;
	nested->is_inside = true;
	nested->session = core_open(nested->list, nested->slot);
	nested->is_inside = false;
	return CKR_OK;
}

/* Numbers that are used again because they were closed take nothing from who is just opening. */
static void
test_number_that_is_given_while_another_is_opened(void **state)
{
	(void)state;
	begin();
	b->handles = CHAOS_HANDLES_REUSE;
	CK_FUNCTION_LIST *list = core_consumer();
	CK_SLOT_ID slot = core_slot(list, 1);
	struct nested nested = {.list = core_consumer(), .slot = slot};
	(void)core_open(list, core_slot(list, 0)); /* another module's session 1 */
	b->fault(CHAOS_C_OpenSession,
		 &(struct chaos_fault){.callback = open_nested, .data = &nested});
	for (int i = 0; i < 2000; i++) {
		CK_SESSION_HANDLE session = core_open(list, slot);
		assert_ok(sign_rv(list, session));
		assert_ok(sign_rv(nested.list, nested.session));
		assert_ok(list->C_CloseSession(session));
		assert_ok(nested.list->C_CloseSession(nested.session));
		if (i % 100 == 0) { /* the entries of the two are the other's from now on */
			nested.is_inside = true;
			assert_ok(list->C_CloseSession(core_open(list, slot)));
			nested.is_inside = false;
		}
	}
	assert_ok(list->C_Finalize(NULL));
	assert_ok(nested.list->C_Finalize(NULL));
	end();
}

/* Cards that come and go all day, under sessions: entries and notes are used again. */
static void
test_nothing_leaks(void **state)
{
	(void)state;
	begin();
	CK_FUNCTION_LIST *lists[] = {core_consumer(), core_managed("chaos-b")};
	CK_SLOT_ID slots[] = {core_slot(lists[0], 2), 1};
	unsigned long before = 0;
	for (unsigned i = 0; i < 20000; i++) {
		CK_FUNCTION_LIST *list = lists[i % 2];
		CK_SESSION_HANDLE session = core_open(list, slots[i % 2]);
		if (i % 2 == 0)
			assert_true((session & INDEX_MASK) < 1024);
		b->plug(1, false);
		assert_rv(sign_rv(list, session), CKR_DEVICE_REMOVED);
		if (i % 4 < 2)
			assert_ok(list->C_CloseSession(session));
		else
			assert_ok(list->C_CloseAllSessions(slots[i % 2]));
		b->plug(1, true);
		if (i == 2000)
			before = support_resident_kib();
	}
	assert_true(SUPPORT_ASAN || SUPPORT_TSAN || support_resident_kib() < before + 1024);
	assert_int_equal(b->sessions, 0);
	assert_ok(lists[0]->C_Finalize(NULL));
	assert_ok(lists[1]->C_Finalize(NULL));
	p11_kit_module_release(lists[1]);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_slot_that_vanishes),
		core_unit_test(test_token_that_vanishes),
		core_unit_test(test_close_that_fails),
		core_unit_test(test_number_that_is_used_again),
		core_unit_test(test_number_that_is_given_while_another_is_opened),
		core_unit_test(test_nothing_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
