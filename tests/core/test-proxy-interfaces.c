/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The proxy's function lists, over modules of every version: each entry is there and does what the
 * descriptors say of it, one by one, as a loop over the tables.
 */
#include "core/core.h"
#include "pkcs11/call.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef CK_RV (*any_entry)(CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG,
			   CK_ULONG, CK_ULONG, CK_ULONG);

/* A list as an array: the version, which is padded to a word, then the functions in the order of
 * the calls. */
static any_entry
entry_of(const void *list, unsigned call)
{
	any_entry entry;

	memcpy(&entry, (const char *)list + sizeof(void *) * (call + 1), sizeof entry);
	return entry;
}

static unsigned
n_entries(const CK_VERSION *version)
{
	return version->major == 2 ? 68 : version->minor < 2 ? 92 : CHAOS_N_CALLS;
}

static struct chaos *
begin(const char *file)
{
	struct scene *scene = core_scene();
	struct chaos *chaos = scene_chaos(scene, "m", file, NULL);

	scene_use(scene, NULL);
	return chaos;
}

static void
assert_complete(const void *list)
{
	for (unsigned i = 0; i < n_entries(list); i++)
		assert_true(entry_of(list, i) != NULL);
}

static void
test_no_entry_is_null(void **state)
{
	static const CK_VERSION versions[] = {{2, 40}, {3, 0}, {3, 1}, {3, 2}};

	(void)state;
	begin("chaos-nulls");
	assert_complete(core_list());
	for (size_t i = 0; i < 4; i++) {
		CK_FUNCTION_LIST_3_2 *list = core_interface(versions[i].major, versions[i].minor);
		assert_memory_equal(&list->version, &versions[i], sizeof versions[i]);
		assert_complete(list);
	}
}

/* What a call of the proxy is: its own, or handed on by the session, or by the slot. */
static bool
is_by_session(unsigned call)
{
	return p11_calls[call].route == P11_ROUTE_SESSION;
}

static bool
is_by_slot(unsigned call)
{
	const struct p11_arg *first = &p11_args[p11_calls[call].first_arg];

	return p11_calls[call].route == P11_ROUTE_BOUND && first->kind == P11_KIND_CK_SLOT_ID &&
	       first->n_pointers == 0 && call != CHAOS_C_OpenSession &&
	       call != CHAOS_C_CloseAllSessions;
}

/* The j-th argument has the same byte everywhere, which no other has: a lost half is seen. */
static CK_ULONG
argument(unsigned j)
{
	return ~(CK_ULONG)0 / 0xff * (0xa0 + j);
}

static CK_RV
call_with_arguments(any_entry entry, CK_ULONG first)
{
	return entry(first, argument(1), argument(2), argument(3), argument(4), argument(5),
		     argument(6), argument(7), argument(8), argument(9));
}

static CK_RV
call_with_zeros(const void *list, unsigned call, CK_ULONG first)
{
	return entry_of(list, call)(first, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

static unsigned long
n_calls(const struct chaos *chaos)
{
	unsigned long n = 0;

	for (unsigned i = 0; i < CHAOS_N_CALLS; i++)
		n += chaos->calls[i];
	return n;
}

/* The newest list of the module itself. */
static const void *
list_of_module(const char *file)
{
	void *module = dlopen(chaos_path(file), RTLD_NOW | RTLD_LOCAL);
	CK_C_GetInterface get;
	CK_INTERFACE *interface = NULL;

	assert_non_null(module);
	*(void **)&get = dlsym(module, "C_GetInterface");
	if (!get)
		return chaos_list(file);
	assert_ok(get(NULL, NULL, &interface, 0));
	return interface->pFunctionList;
}

#define THE_MODULES_SLOT 0xabcd1234
#define THE_MODULES_SESSION 0x87654321
#define THE_MODULES_ANSWER (CKR_VENDOR_DEFINED + 7)

/* How many calls of the standard name a session or a slot, and are the module's to answer. */
#define N_2_40 57
#define N_3_0 (N_2_40 + 22)
#define N_3_2 (N_3_0 + 12)

static void
assert_arrived(struct chaos *chaos, unsigned call, CK_ULONG first)
{
	const struct p11_arg *args = &p11_args[p11_calls[call].first_arg];

	assert_int_equal(chaos->calls[call], 1);
	assert_int_equal(chaos->last_args[call][0], first);
	for (unsigned j = 1; j < p11_calls[call].n_args; j++) {
		bool is_byte = args[j].n_pointers == 0 && args[j].kind <= P11_KIND_CK_BBOOL;
		CK_ULONG sent = argument(j);
		assert_int_equal(chaos->last_args[call][j], is_byte ? sent & 0xff : sent);
	}
}

/* Each call of the list arrives once, or, if the module has none, answers that. How many did. */
static unsigned
call_each(struct chaos *chaos, const void *theirs, const void *ours, CK_SESSION_HANDLE session)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_entries(ours); i++) {
		if (!is_by_session(i) && !is_by_slot(i))
			continue;
		bool has_it = i < n_entries(theirs) && entry_of(theirs, i);
		chaos->calls[i] = 0;
		unsigned long before = n_calls(chaos);
		CK_RV rv = call_with_arguments(entry_of(ours, i), is_by_slot(i) ? 0x11 : session);
		if (!has_it) {
			assert_rv(rv, CKR_FUNCTION_NOT_SUPPORTED);
			assert_int_equal(n_calls(chaos), before);
			continue;
		}
		assert_rv(rv, THE_MODULES_ANSWER);
		assert_int_equal(n_calls(chaos), before + 1);
		assert_arrived(chaos, i, is_by_slot(i) ? THE_MODULES_SLOT : THE_MODULES_SESSION);
		n++;
	}
	return n;
}

/*
 * Each call reaches the module with its own session or slot, and all other arguments as they were;
 * each version of the proxy's list over a module of each version. The counts are the standard's.
 */
static void
calls_arrive(const char *file, unsigned n_of_newest)
{
	static const CK_VERSION versions[] = {{2, 40}, {3, 0}, {3, 1}, {3, 2}};
	struct chaos *chaos = begin(file);
	const void *theirs = list_of_module(file);
	CK_FUNCTION_LIST_3_2 *lists[4];
	CK_SESSION_HANDLE session;
	unsigned n = 0;

	for (unsigned i = 0; i < 4; i++)
		lists[i] = core_interface(versions[i].major, versions[i].minor);
	chaos->slot_id(0, THE_MODULES_SLOT);
	assert_ok(lists[0]->C_Initialize(NULL));
	assert_int_equal(core_slot((CK_FUNCTION_LIST *)lists[0], 0), 0x11);
	chaos->next_handle = THE_MODULES_SESSION;
	session = core_open((CK_FUNCTION_LIST *)lists[0], 0x11);
	for (unsigned i = 0; i < 4; i++) {
		chaos->fault(CHAOS_ANY, &(struct chaos_fault){.rv = THE_MODULES_ANSWER});
		n = call_each(chaos, theirs, lists[i], session);
		chaos->fault(CHAOS_ANY, NULL);
		assert_rv(lists[i]->C_GetFunctionStatus(session), CKR_FUNCTION_NOT_PARALLEL);
		assert_rv(lists[i]->C_CancelFunction(session), CKR_FUNCTION_NOT_PARALLEL);
	}
	assert_int_equal(n, n_of_newest);
	assert_ok(lists[0]->C_Finalize(NULL));
	assert_true(chaos_is_exact(chaos));
}

static void
test_calls_arrive_at_3_2(void **state)
{
	(void)state;
	calls_arrive("chaos-a", N_3_2);
}

static void
test_calls_arrive_at_3_0(void **state)
{
	(void)state;
	calls_arrive("chaos-3.0", N_3_0);
}

static void
test_calls_arrive_at_2_40(void **state)
{
	(void)state;
	calls_arrive("chaos-2.40", N_2_40);
}

/* NULL in a module's list is what it does not support: nobody jumps there. */
static void
test_calls_arrive_at_a_module_with_holes(void **state)
{
	(void)state;
	const void *list = list_of_module("chaos-nulls");
	unsigned n = 0;

	for (unsigned i = 0; i < CHAOS_N_CALLS; i++)
		n += (is_by_session(i) || is_by_slot(i)) && entry_of(list, i);
	assert_in_range(n, 1, N_3_2 - 1);
	calls_arrive("chaos-nulls", n);
}

static void
assert_all_dead(struct chaos *chaos, const void *list, CK_SESSION_HANDLE session)
{
	unsigned long before = n_calls(chaos);

	for (unsigned i = 0; i < CHAOS_N_CALLS; i++) {
		if (is_by_session(i) || i == CHAOS_C_CloseSession)
			assert_rv(call_with_zeros(list, i, session), CKR_SESSION_HANDLE_INVALID);
	}
	assert_int_equal(n_calls(chaos), before);
}

/* No call with a handle that is no session's touches the module, which has its number in use. */
static void
test_no_call_takes_a_dead_handle(void **state)
{
	(void)state;
	struct chaos *chaos = begin("chaos-a");
	CK_FUNCTION_LIST_3_2 *list = core_interface(3, 2);
	CK_FUNCTION_LIST *old = (CK_FUNCTION_LIST *)list;

	assert_ok(list->C_Initialize(NULL));
	chaos->handles = CHAOS_HANDLES_REUSE;
	(void)core_slot(old, 0);
	CK_SESSION_HANDLE closed = core_open(old, 0x11);
	assert_ok(list->C_CloseSession(closed));
	CK_SESSION_HANDLE session = core_open(old, 0x11);
	struct chaos_signature signature;
	assert_ok(core_sign(old, session, &signature));
	assert_int_equal(signature.session, 1);

	assert_all_dead(chaos, list, closed);
	assert_all_dead(chaos, list, 1); /* the module's own number */
	assert_all_dead(chaos, list, 0);
	assert_all_dead(chaos, list, ~(CK_ULONG)0);
	assert_ok(core_sign(old, session, &signature));
	assert_ok(list->C_Finalize(NULL));
	assert_true(chaos_is_exact(chaos));
}

static void
assert_all_down(struct chaos *chaos, const void *list, CK_SESSION_HANDLE session)
{
	unsigned long before = n_calls(chaos);

	for (unsigned i = 0; i < CHAOS_N_CALLS; i++) {
		bool is_look_up = i == CHAOS_C_GetFunctionList || i == CHAOS_C_GetInterface ||
				  i == CHAOS_C_GetInterfaceList;
		if (i == CHAOS_C_Initialize || is_look_up ||
		    p11_calls[i].route == P11_ROUTE_PARALLEL)
			continue;
		CK_ULONG first = is_by_slot(i) ? 0x11 : i == CHAOS_C_Finalize ? 0 : session;
		assert_rv(call_with_zeros(list, i, first), CKR_CRYPTOKI_NOT_INITIALIZED);
	}
	assert_int_equal(n_calls(chaos), before);
}

/* Whatever is called before C_Initialize and after C_Finalize. */
static void
test_no_call_works_uninitialized(void **state)
{
	(void)state;
	struct chaos *chaos = begin("chaos-a");
	CK_FUNCTION_LIST_3_2 *list = core_interface(3, 2);

	assert_all_down(chaos, list, 0x100001);
	assert_ok(list->C_Initialize(NULL));
	(void)core_slot((CK_FUNCTION_LIST *)list, 0);
	CK_SESSION_HANDLE session = core_open((CK_FUNCTION_LIST *)list, 0x11);
	assert_ok(list->C_Finalize(NULL));
	assert_all_down(chaos, list, session);
	assert_true(chaos_is_exact(chaos));
}

static void
test_what_can_be_asked_for(void **state)
{
	(void)state;
	begin("chaos-a");
	CK_C_GetInterface get;
	CK_C_GetInterfaceList get_list;
	CK_C_GetFunctionList get_functions;
	CK_INTERFACE *interface = NULL, list[2];
	CK_ULONG n = 0;
	CK_UTF8CHAR name[] = "PKCS 11", other[] = "Vendor X";

	*(void **)&get = dlsym(core_proxy(), "C_GetInterface");
	*(void **)&get_list = dlsym(core_proxy(), "C_GetInterfaceList");
	*(void **)&get_functions = dlsym(core_proxy(), "C_GetFunctionList");
	assert_rv(get_functions(NULL), CKR_ARGUMENTS_BAD);
	assert_rv(get_list(NULL, NULL), CKR_ARGUMENTS_BAD);
	assert_ok(get_list(NULL, &n));
	assert_int_equal(n, 2);
	n = 1;
	assert_rv(get_list(list, &n), CKR_BUFFER_TOO_SMALL);
	assert_int_equal(n, 2);
	assert_ok(get_list(list, &n));
	assert_string_equal((char *)list[0].pInterfaceName, "PKCS 11");
	assert_int_equal(((CK_VERSION *)list[0].pFunctionList)->major, 3);
	assert_int_equal(((CK_VERSION *)list[1].pFunctionList)->major, 2);
	assert_int_equal(list[0].flags | list[1].flags, 0);

	assert_rv(get(name, NULL, NULL, 0), CKR_ARGUMENTS_BAD);
	assert_rv(get(other, NULL, &interface, 0), CKR_ARGUMENTS_BAD);
	assert_rv(get(NULL, &(CK_VERSION){3, 3}, &interface, 0), CKR_ARGUMENTS_BAD);
	assert_rv(get(NULL, &(CK_VERSION){2, 20}, &interface, 0), CKR_ARGUMENTS_BAD);
	assert_rv(get(NULL, NULL, &interface, CKF_INTERFACE_FORK_SAFE), CKR_ARGUMENTS_BAD);
	assert_ok(get(NULL, NULL, &interface, 0));
	assert_int_equal(interface->flags, 0);
	assert_int_equal(((CK_VERSION *)interface->pFunctionList)->minor, 2);
}

/* People name libp11-kit.so.0 itself as a module. */
static void
test_the_library_is_a_module(void **state)
{
	(void)state;
	begin("chaos-a");
	void *library = dlopen(support_env("P11_LIBRARY"), RTLD_NOW | RTLD_LOCAL);
	CK_C_GetFunctionList get_functions;
	CK_FUNCTION_LIST *list;

	assert_non_null(library);
	*(void **)&get_functions = dlsym(library, "C_GetFunctionList");
	assert_ok(get_functions(&list));
	assert_ok(list->C_Initialize(NULL));
	assert_ok(core_sign(list, core_open(list, 0x11), &(struct chaos_signature){0}));
	assert_ok(list->C_Finalize(NULL));
}

/* C_Initialize says why. */
static void
assert_empty_and_working(const char *message)
{
	CK_FUNCTION_LIST *list = core_consumer();
	CK_SLOT_ID ids[CORE_MAX_SLOTS];

	assert_true(core_message_has(message));
	assert_int_equal(core_slots(list, ids), 0);
	assert_ok(list->C_GetInfo(&(CK_INFO){0}));
	assert_rv(list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &ids[0], NULL), CKR_NO_EVENT);
	assert_rv(list->C_GetSlotInfo(0x11, &(CK_SLOT_INFO){0}), CKR_SLOT_ID_INVALID);
	assert_ok(list->C_Finalize(NULL));
}

static void
test_nothing_configured(void **state)
{
	(void)state;
	scene_use(core_scene(), NULL);
	assert_empty_and_working("no module");
}

/* Configured, but not for this program. */
static void
test_nothing_enabled(void **state)
{
	(void)state;
	struct scene *scene = core_scene();

	scene_chaos(scene, "off", "chaos-a", "enable-in:");
	scene_use(scene, NULL);
	assert_empty_and_working("no module");
}

/* What is wrong with the file is worth more than that nothing is left. */
static void
test_nothing_can_be_loaded(void **state)
{
	(void)state;
	struct scene *scene = core_scene();

	scene_module(scene, "gone", "/nowhere/gone.so", NULL);
	scene_use(scene, NULL);
	assert_empty_and_working("/nowhere/gone.so");
}

static void
test_nothing_works(void **state)
{
	(void)state;
	struct scene *scene = core_scene();

	scene_module(scene, "gone", "/nowhere/gone.so", NULL);
	scene_module(scene, "text", "/etc/passwd", NULL);
	scene_write(scene, "modules/bad.module", "this is no line of it\n");
	struct chaos *chaos = scene_chaos(scene, "fails", "chaos-a", NULL);
	chaos->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR});
	scene_use(scene, NULL);
	assert_empty_and_working("module fails");
	assert_int_equal(chaos->up, 0);
}

/* A message of before stays where there is nothing to say. */
static void
test_a_look_up_keeps_the_message(void **state)
{
	(void)state;
	begin("chaos-a");
	CK_FUNCTION_LIST *list = core_consumer();

	assert_rv(list->C_OpenSession(0x11, CKF_SERIAL_SESSION, NULL, NULL, NULL),
		  CKR_ARGUMENTS_BAD);
	assert_true(core_message_has("C_OpenSession"));
	assert_ok(core_consumer()->C_Finalize(NULL));
	assert_true(core_message_has("C_OpenSession"));
	assert_ok(list->C_Finalize(NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_no_entry_is_null),
		core_unit_test(test_calls_arrive_at_3_2),
		core_unit_test(test_calls_arrive_at_3_0),
		core_unit_test(test_calls_arrive_at_2_40),
		core_unit_test(test_calls_arrive_at_a_module_with_holes),
		core_unit_test(test_no_call_takes_a_dead_handle),
		core_unit_test(test_no_call_works_uninitialized),
		core_unit_test(test_what_can_be_asked_for),
		core_unit_test(test_the_library_is_a_module),
		core_unit_test(test_nothing_configured),
		core_unit_test(test_nothing_enabled),
		core_unit_test(test_nothing_can_be_loaded),
		core_unit_test(test_nothing_works),
		core_unit_test(test_a_look_up_keeps_the_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
