/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/fork.h"

#include <string.h>

/* Functions in the lists of these versions. */
#define N_2_40 68
#define N_3_0 92

struct parent parent;

void
fork_begin(void)
{
	scene = core_scene();
	a = scene_chaos(scene, "a", "chaos-a", NULL);
	b = scene_chaos(scene, "b", "chaos-b", NULL);
	scene_use(scene, NULL);
	/* Each is initialized before the next look-up, which would give the same consumer once
	 * more. */
	parent.list = core_consumer();
	parent.middle = core_interface(3, 0);
	assert_ok(parent.middle->C_Initialize(NULL));
	parent.newest = core_interface(3, 2);
	assert_ok(parent.newest->C_Initialize(NULL));
	parent.session = core_open(parent.list, core_slot(parent.list, 0));
	parent.managed = p11_kit_module_load(chaos_path("chaos-b"), 0);
	assert_ok(parent.managed->C_Initialize(NULL));
	parent.managed_session = core_open(parent.managed, 0);
}

static void
finalize_all(void)
{
	assert_ok(parent.list->C_Finalize(NULL));
	assert_ok(parent.middle->C_Finalize(NULL));
	assert_ok(parent.newest->C_Finalize(NULL));
	assert_ok(parent.managed->C_Finalize(NULL));
}

void
fork_begin_down(void)
{
	fork_begin();
	finalize_all();
}

void
fork_end_down(void)
{
	p11_kit_module_release(parent.managed);
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(b));
}

void
fork_end(void)
{
	struct chaos_signature signature;

	assert_ok(core_sign(parent.list, parent.session, &signature));
	assert_string_equal(signature.module, "chaos-a");
	assert_ok(core_sign(parent.managed, parent.managed_session, &signature));
	assert_ok(parent.list->C_CloseSession(parent.session));
	assert_ok(parent.managed->C_CloseSession(parent.managed_session));
	finalize_all();
	fork_end_down();
}

typedef CK_RV (*any_entry)(CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG,
			   CK_ULONG, CK_ULONG, CK_ULONG);

static bool
is_always_answered(const char *name)
{
	static const char *const names[] = {"C_Initialize",        "C_GetFunctionList",
					    "C_GetInterface",      "C_GetInterfaceList",
					    "C_GetFunctionStatus", "C_CancelFunction"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/* Every entry but those, given `session` where a session may stand. */
static int
check_entries(const void *list, unsigned n, CK_ULONG session, CK_RV expected)
{
	for (unsigned i = 0; i < n; i++) {
		any_entry entry;
		memcpy(&entry, (const char *)list + sizeof(void *) * (i + 1), sizeof entry);
		if (is_always_answered(chaos_call_names[i]))
			continue;
		CK_RV rv = entry(session, 0, 0, 0, 0, 0, 0, 0, 0, 0);
		if (rv != expected && strcmp(chaos_call_names[i], "C_Finalize") == 0 && session)
			continue; /* the session is its pReserved */
		if (rv != expected)
			fprintf(stderr, "%s: %#lx\n", chaos_call_names[i], rv);
		CHECK(rv == expected);
	}
	return 0;
}

int
fork_check_proxy_down(void)
{
	CHECK(check_entries(parent.list, N_2_40, 0, CKR_CRYPTOKI_NOT_INITIALIZED) == 0);
	CHECK(check_entries(parent.middle, N_3_0, 0, CKR_CRYPTOKI_NOT_INITIALIZED) == 0);
	CHECK(check_entries(parent.newest, CHAOS_N_CALLS, 0, CKR_CRYPTOKI_NOT_INITIALIZED) == 0);
	CHECK(core_sign(parent.list, parent.session, &(struct chaos_signature){0}) ==
	      CKR_CRYPTOKI_NOT_INITIALIZED);
	return 0;
}

int
fork_check_managed_down(void)
{
	CHECK(check_entries(parent.managed, CHAOS_N_CALLS, 0, CKR_CRYPTOKI_NOT_INITIALIZED) == 0);
	CHECK(parent.managed->C_Finalize(NULL) == CKR_CRYPTOKI_NOT_INITIALIZED);
	return 0;
}

int
fork_check_start(void)
{
	struct chaos_signature signature;

	CHECK(parent.list->C_Initialize(NULL) == CKR_OK);
	CHECK(core_slot(parent.list, 0) == 0x11 && core_slot(parent.list, 1) == 0x12);
	CHECK(core_sign(parent.list, parent.session, &signature) == CKR_SESSION_HANDLE_INVALID);
	/* Another consumer that is still down: a session call cannot know whose the handle would
	 * be. */
	CHECK(core_sign((CK_FUNCTION_LIST *)parent.newest, parent.session, &signature) ==
	      CKR_SESSION_HANDLE_INVALID);
	CHECK(parent.newest->C_GetSlotList(CK_FALSE, NULL, &(CK_ULONG){0}) ==
	      CKR_CRYPTOKI_NOT_INITIALIZED);
	CK_SESSION_HANDLE session = core_open(parent.list, 0x12);
	CHECK(session != parent.session);
	CHECK(core_sign(parent.list, session, &signature) == CKR_OK);
	CHECK(strcmp(signature.module, "chaos-b") == 0);
	CHECK(parent.list->C_Finalize(NULL) == CKR_OK);
	CHECK(parent.list->C_Finalize(NULL) == CKR_CRYPTOKI_NOT_INITIALIZED);
	return 0;
}

int
fork_be_child(void *data)
{
	(void)data;
	/* A fault of the parent's that hangs or sleeps is not for the child. */
	a->fault(CHAOS_ANY, NULL);
	a->fault(CHAOS_C_GetSlotInfo, NULL);
	CHECK(fork_check_proxy_down() == 0);
	CHECK(fork_check_managed_down() == 0);
	CHECK(fork_check_start() == 0);
	CHECK(parent.managed->C_Initialize(NULL) == CKR_OK);
	CHECK(core_sign(parent.managed, core_open(parent.managed, 0),
			&(struct chaos_signature){0}) == CKR_OK);
	CHECK(parent.managed->C_Finalize(NULL) == CKR_OK);
	return 0;
}
