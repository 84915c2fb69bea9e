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

/* A list as an array: the version, which is padded to a word, then the functions in the order of the calls. */
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

/* What a call of the proxy is: its own, or handed on by the session. */
static bool
is_handed_on(unsigned call)
{
	return p11_calls[call].route == P11_ROUTE_SESSION;
}

static void
call_all(CK_FUNCTION_LIST_3_2 *list, CK_SESSION_HANDLE session, CK_RV expected, unsigned from)
{
	for (unsigned i = from; i < CHAOS_N_CALLS; i++) {
		if (is_handed_on(i))
			assert_rv(entry_of(list, i)(session, 0, 0, 0, 0, 0, 0, 0, 0, 0), expected);
	}
}

/* Each call arrives at the module with its own session, and all other arguments as they were. */
static void
test_every_call_arrives_unchanged(void **state)
{
	(void)state;
	struct chaos *chaos = begin("chaos-a");
	CK_FUNCTION_LIST_3_2 *list = core_interface(3, 2);
	CK_SESSION_HANDLE session;
	unsigned n = 0;

	assert_ok(list->C_Initialize(NULL));
	chaos->next_handle = 0x1234567;
	assert_ok(list->C_OpenSession(0x11, CKF_SERIAL_SESSION, NULL, NULL, &session));
	chaos->fault(CHAOS_ANY, &(struct chaos_fault){.rv = CKR_VENDOR_DEFINED + 7});
	for (unsigned i = 0; i < CHAOS_N_CALLS; i++) {
		if (!is_handed_on(i) || !strcmp(chaos_call_names[i], "C_GetSessionInfo"))
			continue;
		CK_RV rv = entry_of(list, i)(session, 0x1002, 0x1003, 0x1004, 0x1005, 0x1006,
					     0x1007, 0x1008, 0x1009, 0x100a);
		assert_rv(rv, CKR_VENDOR_DEFINED + 7);
		assert_int_equal(chaos->calls[i], 1);
		assert_int_equal(chaos->last_args[i][0], 0x1234567);
		for (unsigned j = 1; j < p11_calls[i].n_args; j++) {
			/* Narrower types come as they are passed. */
			assert_int_equal(chaos->last_args[i][j] & 0xff, (0x1001 + j) & 0xff);
		}
		n++;
	}
	assert_true(n > 80);
	chaos->fault(CHAOS_ANY, NULL);
	assert_ok(list->C_Finalize(NULL));
	call_all(list, session, CKR_CRYPTOKI_NOT_INITIALIZED, 0);
	assert_true(chaos_is_exact(chaos));
}

/* What a module's version does not have is not supported; nothing is called. */
static void
test_calls_that_a_module_lacks(void **state)
{
	(void)state;
	struct chaos *chaos = begin("chaos-2.40");
	CK_FUNCTION_LIST_3_2 *list = core_interface(3, 2);
	CK_SESSION_HANDLE session;

	assert_ok(list->C_Initialize(NULL));
	assert_ok(list->C_OpenSession(0x11, CKF_SERIAL_SESSION, NULL, NULL, &session));
	call_all(list, session, CKR_FUNCTION_NOT_SUPPORTED, 68);
	assert_ok(core_sign((CK_FUNCTION_LIST *)list, session, &(struct chaos_signature){0}));
	assert_rv(list->C_GetFunctionStatus(session), CKR_FUNCTION_NOT_PARALLEL);
	assert_rv(list->C_CancelFunction(session), CKR_FUNCTION_NOT_PARALLEL);
	assert_ok(list->C_Finalize(NULL));
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

static void
assert_empty_and_working(void)
{
	CK_FUNCTION_LIST *list = core_consumer();
	CK_SLOT_ID ids[CORE_MAX_SLOTS];

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
	assert_empty_and_working();
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
	core_list();
	assert_non_null(p11_kit_message());
	assert_empty_and_working();
	assert_int_equal(chaos->up, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_no_entry_is_null),
		core_unit_test(test_every_call_arrives_unchanged),
		core_unit_test(test_calls_that_a_module_lacks),
		core_unit_test(test_what_can_be_asked_for),
		core_unit_test(test_the_library_is_a_module),
		core_unit_test(test_nothing_configured),
		core_unit_test(test_nothing_works),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
