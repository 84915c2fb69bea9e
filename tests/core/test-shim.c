/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file that holds one module: its name is the file's, its slot ids and C_GetInfo are its own, and
 * it shares like the proxy. Each test makes copies of the template, as "p11-kit shim" does.
 */
#include "core/fork.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void
begin(const char *more)
{
	scene = core_scene();
	a = scene_chaos(scene, "a", "chaos-a", more);
	b = scene_chaos(scene, "b", "chaos-b", NULL);
	scene_use(scene, NULL);
	a->slots(2);
	a->slot_id(0, 7);
	a->slot_id(1, 900);
}

/* The path of a copy. */
static const char *
copy(const char *name)
{
	char command[8192];
	const char *path = scene_path(scene, name);

	snprintf(command, sizeof command, "cp %s %s", support_env("P11_SHIM"), path);
	assert_int_equal(system(command), 0);
	return path;
}

static CK_RV
look_up(const char *path, CK_FUNCTION_LIST **list)
{
	void *file = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	assert_non_null(file);
	return ((CK_C_GetFunctionList)dlsym(file, "C_GetFunctionList"))(list);
}

static CK_FUNCTION_LIST *
shim(const char *name)
{
	CK_FUNCTION_LIST *list = NULL;

	assert_ok(look_up(copy(name), &list));
	return list;
}

static void
test_it_is_its_module(void **state)
{
	(void)state;
	begin(NULL);
	CK_FUNCTION_LIST *list = shim("a.so");
	CK_SLOT_ID ids[CORE_MAX_SLOTS];
	CK_SESSION_INFO session_info;
	CK_INFO info, own;
	CK_SLOT_INFO slot_info;

	assert_rv(list->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_ok(list->C_Initialize(NULL));
	assert_ok(list->C_Initialize(NULL)); /* counted */
	assert_int_equal(core_slots(list, ids), 2);
	assert_int_equal(ids[0], 7);
	assert_int_equal(ids[1], 900);
	assert_ok(list->C_GetInfo(&info));
	assert_ok(((CK_FUNCTION_LIST *)chaos_list("chaos-a"))->C_GetInfo(&own));
	assert_memory_equal(&info, &own, sizeof info);
	assert_ok(list->C_GetSlotInfo(900, &slot_info));
	assert_rv(list->C_GetSlotInfo(0x11, &slot_info), CKR_SLOT_ID_INVALID);
	CK_SESSION_HANDLE session = core_open(list, 900);
	struct chaos_signature signature;
	assert_ok(core_sign(list, session, &signature));
	assert_string_equal(signature.module, "chaos-a");
	assert_int_equal(signature.slot, 900);
	assert_ok(list->C_GetSessionInfo(session, &session_info));
	assert_int_equal(session_info.slotID, 900);
	assert_int_equal(b->calls[CHAOS_C_Initialize], 0);
	assert_ok(list->C_Finalize(NULL));
	assert_ok(core_sign(list, session, &signature));
	assert_ok(list->C_Finalize(NULL));
	assert_rv(list->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_true(chaos_is_exact(a));
}

/* With the proxy, a managed table, and a second copy of the file: the module is initialized
 * once. */
static void
test_it_shares(void **state)
{
	(void)state;
	begin(NULL);
	CK_FUNCTION_LIST *list = shim("a.so");
	CK_FUNCTION_LIST *proxy = core_consumer();
	CK_FUNCTION_LIST *managed = p11_kit_module_load(chaos_path("chaos-a"), 0);
	CK_SLOT_ID ids[CORE_MAX_SLOTS];

	assert_ok(managed->C_Initialize(NULL));
	assert_ok(list->C_Initialize(NULL));
	assert_int_equal(a->initialized, 1);
	assert_int_equal(core_slots(proxy, ids), 3);
	assert_int_equal(ids[0], 0x11);
	CK_SESSION_HANDLE theirs = core_open(proxy, 0x11), ours = core_open(list, 7);
	assert_rv(list->C_CloseSession(theirs), CKR_SESSION_HANDLE_INVALID);
	assert_rv(proxy->C_CloseSession(ours), CKR_SESSION_HANDLE_INVALID);
	assert_ok(proxy->C_Finalize(NULL));
	assert_ok(managed->C_Finalize(NULL));
	assert_ok(core_sign(list, ours, &(struct chaos_signature){0}));
	assert_int_equal(a->finalized, 0);
	assert_ok(list->C_Finalize(NULL));
	assert_int_equal(a->finalized, 1);
	assert_true(chaos_is_exact(a) && chaos_is_exact(b));
	p11_kit_module_release(managed);
}

static void
test_events(void **state)
{
	(void)state;
	begin(NULL);
	CK_FUNCTION_LIST *list = shim("a.so");
	CK_SLOT_ID slot = 0;

	assert_ok(list->C_Initialize(NULL));
	(void)core_slot(list, 0);
	a->event(1);
	assert_ok(list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL));
	assert_int_equal(slot, 900);
	assert_rv(list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
	assert_ok(list->C_Finalize(NULL));
}

/* An answer, and a message with a remedy: nobody's name, the template's own, a module that is not
 * for this program. */
static void
test_no_module_of_that_name(void **state)
{
	CK_FUNCTION_LIST *list = NULL;

	(void)state;
	begin("disable-in: test-core-shim");
	assert_rv(look_up(copy("nobody.so"), &list), CKR_GENERAL_ERROR);
	assert_true(core_message_has("no module 'nobody'") && core_message_has("nobody.module"));
	assert_rv(look_up(copy("a.so"), &list), CKR_GENERAL_ERROR);
	assert_true(core_message_has("a.module:2: module a: this line keeps it from the program") &&
		    core_message_has("'test-core-shim'"));
	assert_rv(look_up(support_env("P11_SHIM"), &list), CKR_GENERAL_ERROR);
	assert_ok(look_up(copy("b.so"), &list));
	assert_ok(list->C_Initialize(NULL));
	assert_int_equal(core_slot(list, 0), 0);
	assert_ok(list->C_Finalize(NULL));
	assert_int_equal(a->calls[CHAOS_C_Initialize], 0);
}

/* Its failure is the answer: there is nothing else. */
static void
test_module_that_fails(void **state)
{
	(void)state;
	begin(NULL);
	CK_FUNCTION_LIST *list = shim("a.so");

	a->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR, .times = 1});
	assert_rv(list->C_Initialize(NULL), CKR_DEVICE_ERROR);
	assert_true(core_message_has("module a"));
	assert_ok(list->C_Initialize(NULL));
	assert_ok(list->C_Finalize(NULL));
	assert_true(chaos_is_exact(a));
}

static void
test_a_configuration_must_not_name_it(void **state)
{
	(void)state;
	begin(NULL);
	CK_SLOT_ID ids[CORE_MAX_SLOTS];

	scene_module(scene, "c", copy("a.so"), NULL);
	CK_FUNCTION_LIST *proxy = core_consumer();
	assert_int_equal(core_slots(proxy, ids), 3);
	assert_true(core_message_has("p11-kit itself"));
	assert_ok(proxy->C_Finalize(NULL));
}

static int
be_child(void *data)
{
	CK_FUNCTION_LIST *list = data;

	CHECK(list->C_GetSlotList(CK_FALSE, NULL, &(CK_ULONG){0}) == CKR_CRYPTOKI_NOT_INITIALIZED);
	CHECK(list->C_Finalize(NULL) == CKR_CRYPTOKI_NOT_INITIALIZED);
	CHECK(list->C_Initialize(NULL) == CKR_OK);
	CHECK(core_slot(list, 1) == 900);
	CHECK(core_sign(list, core_open(list, 7), &(struct chaos_signature){0}) == CKR_OK);
	return list->C_Finalize(NULL) == CKR_OK ? 0 : 1;
}

static void
test_fork(void **state)
{
	(void)state;
	begin(NULL);
	CK_FUNCTION_LIST *list = shim("a.so");

	assert_ok(list->C_Initialize(NULL));
	CK_SESSION_HANDLE session = core_open(list, 7);
	assert_int_equal(child_run(be_child, list, CHILD_SECONDS), 0);
	assert_ok(core_sign(list, session, &(struct chaos_signature){0}));
	assert_ok(list->C_Finalize(NULL));
}

static void
test_interfaces(void **state)
{
	(void)state;
	begin(NULL);
	void *file = dlopen(copy("a.so"), RTLD_NOW | RTLD_LOCAL);
	CK_C_GetInterface get = (CK_C_GetInterface)dlsym(file, "C_GetInterface");
	CK_C_GetInterfaceList get_list = (CK_C_GetInterfaceList)dlsym(file, "C_GetInterfaceList");
	CK_INTERFACE_PTR interface;
	CK_ULONG n = 0;

	assert_ok(get(NULL, NULL, &interface, 0));
	CK_FUNCTION_LIST_3_2 *list = interface->pFunctionList;
	assert_int_equal(list->version.minor, 2);
	for (void **entry = (void **)&list->C_Initialize; entry < (void **)(list + 1); entry++)
		assert_non_null(*entry);
	assert_ok(get_list(NULL, &n));
	assert_true(n > 0);
	assert_ok(list->C_Initialize(NULL));
	assert_int_equal(core_slot((CK_FUNCTION_LIST *)list, 1), 900);
	assert_ok(list->C_Finalize(NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_it_is_its_module),
		core_unit_test(test_it_shares),
		core_unit_test(test_events),
		core_unit_test(test_no_module_of_that_name),
		core_unit_test(test_module_that_fails),
		core_unit_test(test_a_configuration_must_not_name_it),
		core_unit_test(test_fork),
		core_unit_test(test_interfaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
