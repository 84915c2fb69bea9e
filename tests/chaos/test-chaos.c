/* SPDX-License-Identifier: BSD-3-Clause */
/* The chaos module itself: what it counts, how it fails, and that it does nothing of the kind
 * unasked. */
#include "support/support.h"

#include "p11-kit/pkcs11.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct chaos *chaos;
static CK_FUNCTION_LIST_3_2 *list;

static int
setup(void **state)
{
	CK_C_GetInterface look_up;
	CK_INTERFACE *interface;
	void *file = dlopen(chaos_path("chaos-a"), RTLD_NOW | RTLD_LOCAL);

	(void)state;
	chaos = chaos_load("chaos-a");
	*(void **)&look_up = dlsym(file, "C_GetInterface");
	if (look_up(NULL, NULL, &interface, 0) != CKR_OK)
		return 1;
	list = interface->pFunctionList;
	chaos->reset();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	chaos->release();
	if (chaos->up)
		list->C_Finalize(NULL);
	chaos->reset();
	return 0;
}

static void
up(void)
{
	assert_int_equal(list->C_Initialize(NULL), CKR_OK);
}

static CK_SESSION_HANDLE
open_on(CK_SLOT_ID slot)
{
	CK_SESSION_HANDLE session = 0;

	assert_int_equal(list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session),
			 CKR_OK);
	return session;
}

static struct chaos_signature
sign_with(CK_SESSION_HANDLE session)
{
	struct chaos_signature signature;
	CK_ULONG length = sizeof(signature);

	assert_int_equal(
		list->C_Sign(session, (CK_BYTE_PTR) "text", 4, (CK_BYTE_PTR)&signature, &length),
		CKR_OK);
	assert_int_equal(length, sizeof(signature));
	assert_int_equal(signature.magic, CHAOS_SIGNATURE_MAGIC);
	return signature;
}

static void
test_counts(void **state)
{
	CK_SESSION_INFO info;

	(void)state;
	up();
	assert_int_equal(list->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
	CK_SESSION_HANDLE session = open_on(0);
	assert_int_equal(list->C_GetSessionInfo(session, &info), CKR_OK);
	assert_int_equal(info.slotID, 0);
	assert_int_equal(info.state, CKS_RO_PUBLIC_SESSION);
	assert_int_equal(chaos->sessions, 1);
	assert_int_equal(chaos->last_args[CHAOS_C_GetSessionInfo][0], session);
	assert_int_equal(chaos->last_args[CHAOS_C_GetSessionInfo][1], (uintptr_t)&info);
	assert_int_equal(list->C_CloseSession(session), CKR_OK);
	assert_int_equal(list->C_Finalize(NULL), CKR_OK);
	assert_int_equal(chaos->calls[CHAOS_C_Initialize], 2);
	assert_int_equal(chaos->initialized, 1);
	assert_int_equal(chaos->calls[CHAOS_C_GetSessionInfo], 1);
	assert_true(chaos_is_exact(chaos));
}

static void
test_notices_wrong_use(void **state)
{
	CK_SESSION_INFO info;

	(void)state;
	assert_int_equal(list->C_GetSessionInfo(1, &info), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(chaos->down_calls[CHAOS_C_GetSessionInfo], 1);
	assert_false(chaos_is_exact(chaos));
	chaos->reset();
	assert_int_equal(list->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_false(chaos_is_exact(chaos));
	chaos->reset();
	up();
	assert_int_equal(list->C_GetSessionInfo(1, &info), CKR_SESSION_HANDLE_INVALID);
	assert_int_equal(chaos->bad_sessions, 1);
	chaos->reset();
	assert_int_equal(list->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, NULL),
			 CKR_SLOT_ID_INVALID);
}

static void
test_initialize_arguments(void **state)
{
	char reserved[] = "some=parameter";
	char text[32];
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK, .pReserved = reserved};

	(void)state;
	assert_int_equal(list->C_Initialize(&args), CKR_OK);
	assert_int_equal(chaos->init_args.flags, CKF_OS_LOCKING_OK);
	assert_false(chaos->init_args.was_null);
	chaos->reserved(text, sizeof(text));
	assert_string_equal(text, reserved);
	assert_int_equal(list->C_Finalize(NULL), CKR_OK);

	args.LockMutex = (CK_LOCKMUTEX)abort;
	assert_int_equal(list->C_Initialize(&args), CKR_ARGUMENTS_BAD);
	char command[] = "chaos:slots=3; C_GetInfo: rv=CKR_DEVICE_ERROR";
	args = (CK_C_INITIALIZE_ARGS){.pReserved = command};
	assert_int_equal(list->C_Initialize(&args), CKR_OK);
	CK_ULONG n = 0;
	CK_INFO info;
	assert_int_equal(list->C_GetSlotList(CK_FALSE, NULL, &n), CKR_OK);
	assert_int_equal(n, 3);
	assert_int_equal(list->C_GetInfo(&info), CKR_DEVICE_ERROR);
}

static void
test_faults_count_and_aim(void **state)
{
	CK_SLOT_INFO info;

	(void)state;
	up();
	chaos->slots(2);
	chaos->fault(
		CHAOS_C_GetSlotInfo,
		&(struct chaos_fault){
			.skip = 1, .times = 2, .on_slot = true, .slot = 1, .rv = CKR_DEVICE_ERROR});
	assert_int_equal(list->C_GetSlotInfo(1, &info), CKR_OK);
	assert_int_equal(list->C_GetSlotInfo(0, &info), CKR_OK);
	assert_int_equal(list->C_GetSlotInfo(1, &info), CKR_DEVICE_ERROR);
	assert_int_equal(list->C_GetSlotInfo(0, &info), CKR_OK);
	assert_int_equal(list->C_GetSlotInfo(1, &info), CKR_DEVICE_ERROR);
	assert_int_equal(list->C_GetSlotInfo(1, &info), CKR_OK);
	chaos->fault(CHAOS_ANY, &(struct chaos_fault){.rv = CKR_GENERAL_ERROR});
	CK_INFO any;
	assert_int_equal(list->C_GetInfo(&any), CKR_GENERAL_ERROR);
	chaos->fault(CHAOS_ANY, NULL);
	assert_int_equal(list->C_GetInfo(&any), CKR_OK);
}

static void
test_every_function_fails_on_command(void **state)
{
	CK_RV (*const *functions)(CK_ULONG, ...) = (void *)&list->C_Initialize;

	(void)state;
	up();
	for (unsigned i = 0; i < CHAOS_N_CALLS; i++) {
		chaos->fault(i, &(struct chaos_fault){.rv = 0x80001234ul + i});
		/* All arguments of the standard are one word each; ten are enough for every
		 * function. */
		CK_RV(*call)
		(CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG,
		 CK_ULONG, CK_ULONG);
		memcpy(&call, &functions[i], sizeof(call));
		assert_int_equal(call(1, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0x80001234ul + i);
		assert_int_equal(chaos->calls[i], i == CHAOS_C_Initialize ? 2 : 1);
		chaos->fault(i, NULL);
	}
}

static void
test_late_and_over(void **state)
{
	CK_SESSION_HANDLE session = 0;
	CK_SLOT_ID slot;
	CK_ULONG n = 1;

	(void)state;
	up();
	chaos->fault(CHAOS_C_OpenSession,
		     &(struct chaos_fault){.rv = CKR_DEVICE_ERROR, .late = true});
	assert_int_equal(list->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session),
			 CKR_DEVICE_ERROR);
	assert_int_equal(chaos->sessions, 1);
	chaos->fault(CHAOS_C_GetSlotList, &(struct chaos_fault){.over = 5});
	assert_int_equal(list->C_GetSlotList(CK_FALSE, &slot, &n), CKR_OK);
	assert_int_equal(n, 6);
}

struct caught {
	unsigned long calls;
	CK_SESSION_HANDLE session;
	CK_RV rv;
};

static unsigned long
call_back(struct chaos *from, const struct chaos_visit *visit, void *data)
{
	struct caught *caught = data;
	CK_SESSION_INFO info;

	assert_ptr_equal(from, chaos);
	assert_int_equal(visit->call, CHAOS_C_Sign);
	assert_int_equal(visit->n_args, 5);
	caught->calls++;
	caught->session = (CK_SESSION_HANDLE)visit->args[0];
	assert_int_equal(list->C_GetSessionInfo(caught->session, &info), CKR_OK);
	return caught->rv;
}

static void
test_callback_reenters(void **state)
{
	struct caught caught = {0};

	(void)state;
	up();
	CK_SESSION_HANDLE session = open_on(0);
	chaos->fault(CHAOS_C_Sign, &(struct chaos_fault){.callback = call_back, .data = &caught});
	sign_with(session);
	assert_int_equal(caught.calls, 1);
	assert_int_equal(caught.session, session);
	caught.rv = CKR_FUNCTION_CANCELED;
	assert_int_equal(list->C_Sign(session, NULL, 0, NULL, NULL), CKR_FUNCTION_CANCELED);
}

static void
call_info(void *data, unsigned i)
{
	CK_INFO info;

	(void)i;
	*(_Atomic(CK_RV) *)data = list->C_GetInfo(&info);
}

static void
test_hang_until_released(void **state)
{
	_Atomic(CK_RV) rv = CKR_VENDOR_DEFINED;

	(void)state;
	up();
	chaos->fault(CHAOS_C_GetInfo, &(struct chaos_fault){.hang = true, .times = 1});
	struct crew *crew = crew_start(1, call_info, &rv);
	assert_true(WAIT_UNTIL(chaos->hanging == 1, 10000));
	assert_int_equal(chaos->inside[CHAOS_C_GetInfo], 1);
	CK_INFO info;
	assert_int_equal(list->C_GetInfo(&info), CKR_OK);
	assert_int_equal(rv, CKR_VENDOR_DEFINED);
	chaos->release();
	crew_join(crew);
	assert_int_equal(rv, CKR_OK);
	assert_int_equal(chaos->hanging, 0);
}

static int
call_abort(void *data)
{
	CK_INFO info;

	(void)data;
	chaos->fault(CHAOS_C_GetInfo, &(struct chaos_fault){.abort = true});
	list->C_GetInfo(&info);
	return 0;
}

static void
test_abort(void **state)
{
	(void)state;
	up();
	assert_int_equal(child_run(call_abort, NULL, 30), CHILD_DIED + SIGABRT);
}

static void
test_fork_inside(void **state)
{
	CK_INFO info;
	pid_t parent = getpid();

	(void)state;
	up();
	chaos->fault(CHAOS_C_GetInfo, &(struct chaos_fault){.fork = CHAOS_FORK_CHILD_EXITS});
	assert_int_equal(list->C_GetInfo(&info), CKR_OK);
	assert_true(chaos->forked_child > 0);
	chaos->fault(CHAOS_C_GetInfo, &(struct chaos_fault){.fork = CHAOS_FORK_BOTH_RETURN});
	CK_RV rv = list->C_GetInfo(&info);
	if (getpid() != parent)
		_exit(rv == CKR_OK && chaos->forked_child == 0 ? 5 : 6);
	assert_int_equal(child_wait(chaos->forked_child, 30), 5);
}

static int
init_in_child(void *data)
{
	CK_RV wanted = *(CK_RV *)data;
	CK_INFO info;

	if (wanted == CKR_OK && list->C_GetInfo(&info) != CKR_CRYPTOKI_NOT_INITIALIZED)
		return 2;
	return list->C_Initialize(NULL) == wanted ? 0 : 1;
}

static void
test_forked_kinds(void **state)
{
	CK_RV wanted = CKR_CRYPTOKI_ALREADY_INITIALIZED;

	(void)state;
	up();
	assert_int_equal(child_run(init_in_child, &wanted, 30), 0);
	wanted = CKR_OK;
	chaos->forked = CHAOS_FORKED_NOTICES;
	assert_int_equal(child_run(init_in_child, &wanted, 30), 0);
}

static void
test_handles(void **state)
{
	(void)state;
	up();
	assert_int_equal(open_on(0), 1);
	assert_int_equal(open_on(0), 2);
	assert_int_equal(list->C_CloseSession(1), CKR_OK);
	assert_int_equal(open_on(0), 3);
	assert_int_equal(list->C_Finalize(NULL), CKR_OK);
	up();
	assert_int_equal(open_on(0), 1);
	assert_int_equal(list->C_CloseAllSessions(0), CKR_OK);
	assert_int_equal(chaos->sessions, 0);

	chaos->handles = CHAOS_HANDLES_REUSE;
	chaos->handle_base = 0x1000;
	assert_int_equal(open_on(0), 0x1001);
	assert_int_equal(open_on(0), 0x1002);
	uint64_t serial = sign_with(0x1001).serial;
	assert_int_equal(list->C_CloseSession(0x1001), CKR_OK);
	assert_int_equal(open_on(0), 0x1001);
	assert_int_not_equal(sign_with(0x1001).serial, serial);

	chaos->next_handle = (CK_ULONG)-2;
	assert_int_equal(open_on(0), (CK_ULONG)-2);
	assert_int_equal(sign_with((CK_ULONG)-2).session, (CK_ULONG)-2);

	chaos->handles = CHAOS_HANDLES_HEAP;
	CK_SESSION_HANDLE heap = open_on(0);
	assert_true(heap > 0x1000);
	assert_int_equal(heap % sizeof(void *), 0);
	assert_int_equal(list->C_CloseSession(heap), CKR_OK);
	assert_int_equal(open_on(0), heap);
}

static void
test_drop_is_a_strangers_finalize(void **state)
{
	CK_SESSION_INFO info;

	(void)state;
	up();
	CK_SESSION_HANDLE session = open_on(0);
	chaos->drop();
	assert_int_equal(list->C_GetSessionInfo(session, &info), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(chaos->sessions, 0);
	up();
	assert_int_equal(chaos->dropped, 1);
	assert_int_equal(chaos->initialized, 2);
	assert_int_equal(list->C_GetSessionInfo(session, &info), CKR_SESSION_HANDLE_INVALID);
}

static void
test_slots_come_and_go(void **state)
{
	CK_ULONG n = 0;
	CK_SLOT_ID slots[4], slot;

	(void)state;
	up();
	chaos->slots(3);
	chaos->slot_id(1, 0xdeadbeef);
	CK_SESSION_HANDLE session = open_on(0xdeadbeef);
	assert_int_equal(sign_with(session).slot, 0xdeadbeef);
	chaos->plug(1, false);
	n = 4;
	assert_int_equal(list->C_GetSlotList(CK_FALSE, slots, &n), CKR_OK);
	assert_int_equal(n, 2);
	assert_int_equal(slots[1], 2);
	assert_int_equal(list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_OK);
	assert_int_equal(slot, 0xdeadbeef);
	assert_int_equal(list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
	CK_SESSION_INFO info;
	assert_int_equal(list->C_GetSessionInfo(session, &info), CKR_DEVICE_REMOVED);
	assert_int_equal(list->C_CloseSession(session), CKR_OK);

	session = open_on(0);
	chaos->token(0, false);
	assert_int_equal(list->C_GetSessionInfo(session, &info), CKR_SESSION_HANDLE_INVALID);
	assert_int_equal(list->C_GetSlotList(CK_TRUE, NULL, &n), CKR_OK);
	assert_int_equal(n, 1);
	assert_int_equal(list->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session),
			 CKR_TOKEN_NOT_PRESENT);
}

static void
test_lists_change(void **state)
{
	CK_ULONG n = 0;
	CK_SLOT_ID slots[4];

	(void)state;
	up();
	chaos->slots(2);
	chaos->list = CHAOS_LIST_GROWS;
	assert_int_equal(list->C_GetSlotList(CK_FALSE, NULL, &n), CKR_OK);
	assert_int_equal(n, 2);
	assert_int_equal(list->C_GetSlotList(CK_FALSE, slots, &n), CKR_BUFFER_TOO_SMALL);
	assert_int_equal(n, 3);
	chaos->list = CHAOS_LIST_FLICKERS;
	CK_ULONG first = 0, second = 0;
	assert_int_equal(list->C_GetSlotList(CK_FALSE, NULL, &first), CKR_OK);
	assert_int_equal(list->C_GetSlotList(CK_FALSE, NULL, &second), CKR_OK);
	assert_int_equal(first + second, 5);
	chaos->list = CHAOS_LIST_ROTATES;
	CK_SLOT_ID before;
	n = 4;
	assert_int_equal(list->C_GetSlotList(CK_FALSE, slots, &n), CKR_OK);
	before = slots[0];
	assert_int_equal(list->C_GetSlotList(CK_FALSE, slots, &n), CKR_OK);
	assert_int_not_equal(slots[0], before);
}

static void
wait_for_event(void *data, unsigned i)
{
	CK_SLOT_ID slot;

	(void)i;
	*(_Atomic(CK_RV) *)data = list->C_WaitForSlotEvent(0, &slot, NULL);
}

static void
test_blocking_wait_ends(void **state)
{
	_Atomic(CK_RV) rv = CKR_VENDOR_DEFINED;

	(void)state;
	up();
	struct crew *crew = crew_start(1, wait_for_event, &rv);
	assert_true(WAIT_UNTIL(chaos->inside[CHAOS_C_WaitForSlotEvent] == 1, 10000));
	chaos->event(0);
	crew_join(crew);
	assert_int_equal(rv, CKR_OK);
	crew = crew_start(1, wait_for_event, &rv);
	assert_true(WAIT_UNTIL(chaos->inside[CHAOS_C_WaitForSlotEvent] == 1, 10000));
	assert_int_equal(list->C_Finalize(NULL), CKR_OK);
	crew_join(crew);
	assert_int_equal(rv, CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(chaos->undercut, 1);
}

static void
test_many_slots(void **state)
{
	CK_ULONG n = 0;
	CK_SLOT_INFO info;

	(void)state;
	up();
	chaos->slots(10000);
	assert_int_equal(list->C_GetSlotList(CK_TRUE, NULL, &n), CKR_OK);
	assert_int_equal(n, 10000);
	assert_int_equal(list->C_GetSlotInfo(9999, &info), CKR_OK);
	assert_memory_equal(info.slotDescription, "chaos-a 9999 ", 13);
	assert_int_equal(list->C_GetSlotInfo(10000, &info), CKR_SLOT_ID_INVALID);
}

static void
test_one_object_and_login(void **state)
{
	CK_OBJECT_HANDLE object = 0;
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	char label[8];
	CK_ATTRIBUTE match = {CKA_CLASS, &class, sizeof(class)};
	CK_ATTRIBUTE ask[] = {{CKA_LABEL, label, sizeof(label)}, {CKA_MODULUS, NULL, 0}};
	CK_ULONG n = 0;

	(void)state;
	up();
	chaos->object_base = 0x50000000;
	CK_SESSION_HANDLE session = open_on(0);
	assert_int_equal(list->C_FindObjectsInit(session, &match, 1), CKR_OK);
	assert_int_equal(list->C_FindObjects(session, &object, 1, &n), CKR_OK);
	assert_int_equal(n, 1);
	assert_int_equal(object, 0x50000001);
	assert_int_equal(list->C_FindObjects(session, &object, 1, &n), CKR_OK);
	assert_int_equal(n, 0);
	assert_int_equal(list->C_FindObjectsFinal(session), CKR_OK);
	assert_int_equal(list->C_GetAttributeValue(session, object, ask, 2),
			 CKR_ATTRIBUTE_TYPE_INVALID);
	assert_int_equal(ask[0].ulValueLen, 7);
	assert_memory_equal(label, "chaos-a", 7);

	assert_int_equal(list->C_Login(session, CKU_USER, (CK_BYTE_PTR) "0000", 4),
			 CKR_PIN_INCORRECT);
	assert_int_equal(list->C_Login(session, CKU_USER, (CK_BYTE_PTR)CHAOS_PIN, 4), CKR_OK);
	assert_int_equal(list->C_Login(session, CKU_USER, (CK_BYTE_PTR)CHAOS_PIN, 4),
			 CKR_USER_ALREADY_LOGGED_IN);
	assert_int_equal(list->C_CloseSession(session), CKR_OK);
	session = open_on(0);
	assert_int_equal(list->C_Logout(session), CKR_USER_NOT_LOGGED_IN);
}

static CK_RV
take_notice(CK_SESSION_HANDLE session, CK_NOTIFICATION event, CK_VOID_PTR application)
{
	*(CK_SESSION_HANDLE *)application = session;
	return event == CKN_SURRENDER ? CKR_OK : CKR_CANCEL;
}

static void
test_notify(void **state)
{
	CK_SESSION_HANDLE noticed = 0, session = 0;

	(void)state;
	up();
	chaos->notify_on_open = true;
	assert_int_equal(
		list->C_OpenSession(0, CKF_SERIAL_SESSION, &noticed, take_notice, &session),
		CKR_OK);
	assert_int_equal(noticed, session);
	noticed = 0;
	assert_int_equal(chaos->notify(session, CKN_SURRENDER), CKR_OK);
	assert_int_equal(noticed, session);
}

static void
test_commands(void **state)
{
	CK_INFO info;

	(void)state;
	up();
	assert_true(chaos->command("C_GetInfo: rv=CKR_DEVICE_MEMORY, skip=1 , times=1;handles = "
				   "heap\n slot-id=0:0x77;"));
	assert_int_equal(chaos->handles, CHAOS_HANDLES_HEAP);
	assert_int_equal(list->C_GetInfo(&info), CKR_OK);
	assert_int_equal(list->C_GetInfo(&info), CKR_DEVICE_MEMORY);
	assert_int_equal(list->C_GetInfo(&info), CKR_OK);
	open_on(0x77);
	assert_true(chaos->command("*: sleep=0, rv=0x30; list=grows"));
	assert_int_equal(list->C_GetInfo(&info), CKR_OK);
	assert_true(chaos->command("C_GetInfo: none"));
	assert_int_equal(list->C_GetInfo(&info), CKR_DEVICE_ERROR);

	static const char *const wrong[] = {
		"C_Nothing: hang", "slots=",       "slots=70000", "C_Sign: rv=CKR_NONSENSE",
		"C_Sign: sleeps",  "hang",         "handles=big", "plug=1",
		"nonsense=1",      "token=0:maybe"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(chaos->command(wrong[i]));
}

static int
loaded_with_environment(void *data)
{
	CK_FUNCTION_LIST *fresh;
	CK_ULONG n = 0;

	(void)data;
	setenv("CHAOS", "slots=4; C_GetInfo: rv=CKR_DEVICE_ERROR", 1);
	setenv("CHAOS_B", "slots=5", 1);
	fresh = chaos_list("chaos-b");
	CK_INFO info;
	if (fresh->C_Initialize(NULL) != CKR_OK ||
	    fresh->C_GetSlotList(CK_FALSE, NULL, &n) != CKR_OK)
		return 1;
	return n == 5 && fresh->C_GetInfo(&info) == CKR_DEVICE_ERROR ? 0 : 2;
}

static void
test_environment(void **state)
{
	(void)state;
	assert_int_equal(child_run(loaded_with_environment, NULL, 30), 0);
}

static void
test_files_have_states_of_their_own(void **state)
{
	struct chaos *c = chaos_load("chaos-c");
	CK_FUNCTION_LIST *other = chaos_list("chaos-c");

	(void)state;
	up();
	assert_string_equal(c->name, "chaos-c");
	assert_int_equal(c->up, 0);
	assert_int_equal(other->C_Initialize(NULL), CKR_OK);
	assert_int_equal(c->initialized, 1);
	assert_int_equal(other->C_Finalize(NULL), CKR_OK);
	assert_int_equal(chaos->up, 1);
}

static void
test_variants(void **state)
{
	void *old = dlopen(chaos_path("chaos-2.40"), RTLD_NOW | RTLD_LOCAL);
	CK_FUNCTION_LIST *plain = chaos_list("chaos-2.40");
	CK_C_GetInterface look_up;
	CK_INTERFACE *interface;

	(void)state;
	assert_null(dlsym(old, "C_GetInterface"));
	assert_int_equal(plain->version.major, 2);
	void *middle = dlopen(chaos_path("chaos-3.0"), RTLD_NOW | RTLD_LOCAL);
	*(void **)&look_up = dlsym(middle, "C_GetInterface");
	assert_int_equal(look_up(NULL, NULL, &interface, 0), CKR_OK);
	assert_int_equal(((CK_VERSION *)interface->pFunctionList)->minor, 0);
	assert_int_equal(look_up(NULL, &(CK_VERSION){3, 2}, &interface, 0), CKR_ARGUMENTS_BAD);
	CK_FUNCTION_LIST *holes = chaos_list("chaos-nulls");
	assert_null(holes->C_DigestKey);
	assert_non_null(holes->C_Sign);
}

struct storm {
	_Atomic(unsigned long) wrong;
};

static void
come_and_go(void *data, unsigned number)
{
	struct storm *storm = data;

	for (unsigned i = 0; i < 300; i++) {
		CK_SLOT_ID slot = (number + i) % 8;
		CK_SESSION_HANDLE session;
		struct chaos_signature signature;
		CK_ULONG length = sizeof(signature);
		bool good = list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session) ==
				    CKR_OK &&
			    list->C_Sign(session, (CK_BYTE_PTR)&number, sizeof(number),
					 (CK_BYTE_PTR)&signature, &length) == CKR_OK &&
			    signature.slot == slot && signature.session == session &&
			    list->C_Verify(session, (CK_BYTE_PTR)&number, sizeof(number),
					   (CK_BYTE_PTR)&signature, length) == CKR_OK &&
			    list->C_CloseSession(session) == CKR_OK;
		if (!good)
			storm->wrong++;
	}
}

static void
test_threads(void **state)
{
	static const unsigned kinds[] = {CHAOS_HANDLES_COUNT, CHAOS_HANDLES_REUSE,
					 CHAOS_HANDLES_HEAP};

	(void)state;
	chaos->slots(8);
	for (unsigned i = 0; i < 3; i++) {
		struct storm storm = {0};
		up();
		chaos->handles = kinds[i];
		crew_join(crew_start(8, come_and_go, &storm));
		assert_int_equal(storm.wrong, 0);
		assert_int_equal(list->C_Finalize(NULL), CKR_OK);
	}
	assert_int_equal(chaos->calls[CHAOS_C_Sign], 3 * 8 * 300);
	assert_true(chaos_is_exact(chaos));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_counts),
		TEST(test_notices_wrong_use),
		TEST(test_initialize_arguments),
		TEST(test_faults_count_and_aim),
		TEST(test_every_function_fails_on_command),
		TEST(test_late_and_over),
		TEST(test_callback_reenters),
		TEST(test_hang_until_released),
		TEST(test_abort),
		TEST(test_fork_inside),
		TEST(test_forked_kinds),
		TEST(test_handles),
		TEST(test_drop_is_a_strangers_finalize),
		TEST(test_slots_come_and_go),
		TEST(test_lists_change),
		TEST(test_blocking_wait_ends),
		TEST(test_many_slots),
		TEST(test_one_object_and_login),
		TEST(test_notify),
		TEST(test_commands),
		TEST(test_environment),
		TEST(test_files_have_states_of_their_own),
		TEST(test_variants),
		TEST(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
