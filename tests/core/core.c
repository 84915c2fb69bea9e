/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/core.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A test that calls the proxy only must be linked with the library all the same (scene_use()). */
__attribute__((used)) static const char *(*const needs_library)(void) = p11_kit_message;

void *
core_proxy(void)
{
	void *proxy = dlopen(support_env("P11_PROXY"), RTLD_NOW | RTLD_LOCAL);

	if (!proxy)
		support_die("%s", dlerror());
	return proxy;
}

static struct scene *scene_of_process;
static pid_t owner_of_scene;

static void
remove_scene(void)
{
	if (owner_of_scene == getpid())
		scene_free(scene_of_process);
}

struct scene *
core_scene(void)
{
	scene_of_process = scene_new();
	owner_of_scene = getpid();
	atexit(remove_scene);
	return scene_of_process;
}

CK_FUNCTION_LIST *
core_list(void)
{
	CK_C_GetFunctionList look_up;
	CK_FUNCTION_LIST *list = NULL;

	*(void **)&look_up = dlsym(core_proxy(), "C_GetFunctionList");
	CK_RV rv = look_up(&list);
	if (rv != CKR_OK)
		support_die("C_GetFunctionList: %#lx", rv);
	return list;
}

CK_FUNCTION_LIST_3_2 *
core_interface(CK_BYTE major, CK_BYTE minor)
{
	CK_VERSION version = {major, minor};
	CK_C_GetInterface look_up;
	CK_INTERFACE *interface = NULL;

	*(void **)&look_up = dlsym(core_proxy(), "C_GetInterface");
	CK_RV rv = look_up((CK_UTF8CHAR_PTR) "PKCS 11", &version, &interface, 0);
	if (rv != CKR_OK)
		support_die("C_GetInterface: %#lx", rv);
	return interface->pFunctionList;
}

CK_FUNCTION_LIST *
core_consumer(void)
{
	CK_FUNCTION_LIST *list = core_list();
	CK_RV rv = list->C_Initialize(NULL);

	if (rv != CKR_OK)
		support_die("C_Initialize: %#lx", rv);
	return list;
}

struct chaos *
core_fresh(const char *file)
{
	struct chaos *chaos = chaos_load(file);

	chaos->reset();
	core_n_wrong = 0;
	return chaos;
}

bool
core_message_has(const char *text)
{
	const char *message = p11_kit_message();

	return message && strstr(message, text);
}

void
core_assert_said(const char *text)
{
	const char *message = p11_kit_message();

	assert_non_null(message);
	if (!strstr(message, text))
		fail_msg("\"%s\" does not say \"%s\"", message, text);
}

struct chaos *
core_configure(struct scene *scene, const char *name, const char *file, const char *more)
{
	struct chaos *chaos = scene_chaos(scene, name, file, more);

	chaos->reset();
	return chaos;
}

CK_FUNCTION_LIST *
core_managed(const char *file)
{
	CK_FUNCTION_LIST *list = p11_kit_module_load(chaos_path(file), 0);

	assert_non_null(list);
	assert_ok(list->C_Initialize(NULL));
	return list;
}

atomic_uint core_n_wrong;

void
core_unexpected(const char *file, int line, const char *condition)
{
	core_n_wrong++;
	print_error("%s:%d: not so: %s\n", file, line, condition);
}

CK_ULONG
core_slots(CK_FUNCTION_LIST *list, CK_SLOT_ID ids[CORE_MAX_SLOTS])
{
	CK_ULONG n = CORE_MAX_SLOTS;
	CK_RV rv = list->C_GetSlotList(CK_FALSE, ids, &n);

	if (rv != CKR_OK)
		support_die("C_GetSlotList: %#lx", rv);
	return n;
}

CK_SLOT_ID
core_slot(CK_FUNCTION_LIST *list, CK_ULONG i)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS];
	CK_ULONG n = core_slots(list, ids);

	if (i >= n)
		support_die("there is no slot %lu, only %lu", i, n);
	return ids[i];
}

CK_SESSION_HANDLE
core_open(CK_FUNCTION_LIST *list, CK_SLOT_ID slot)
{
	CK_SESSION_HANDLE session = 0;
	CK_RV rv = list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session);

	if (rv != CKR_OK)
		support_die("C_OpenSession: %#lx", rv);
	return session;
}

CK_RV
core_sign(CK_FUNCTION_LIST *list, CK_SESSION_HANDLE session, struct chaos_signature *out)
{
	CK_BYTE data[] = "data";
	CK_ULONG length = sizeof *out;

	memset(out, 0, sizeof *out);
	return CORE_ENTRY(list, C_Sign)(session, data, sizeof data, (CK_BYTE_PTR)out, &length);
}

/* With exit(), not _exit(), so that a leak checker looks too. */
static int
run_in_child(void *data)
{
	const struct core_test *test = data;
	const struct CMUnitTest tests[] = {{test->name, test->body, NULL, NULL, NULL}};

	exit(cmocka_run_group_tests_name(test->name, tests, NULL, NULL));
}

void
core_in_child(void **state)
{
	assert_int_equal(child_run(run_in_child, *state, CORE_TEST_SECONDS), 0);
}
