/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A module that lies (liar.h) beside one that doesn't. Whatever the lie, nothing crashes or hangs,
 * the other module works for every kind of consumer, and where the liar cannot be used, a message
 * names it.
 */
#define P11_KIT_FUTURE_UNSTABLE_API 1
#define P11_KIT_NO_DEPRECATIONS 1
#include "core/core.h"
#include "core/liar.h"

#include <p11-kit/iter.h>

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static enum lie lie;
static const char *path;

static bool
is_unusable(void)
{
	return lie > LIE_NONE && lie <= LIE_LAST_OF_TABLES;
}

static bool
names_liar(void)
{
	return core_message_has("liar");
}

static void
tell(void)
{
	int *its_lie = dlsym(dlopen(path, RTLD_NOW | RTLD_LOCAL), "liar_lie");

	if (!its_lie)
		support_die("%s", dlerror());
	*its_lie = (int)lie;
}

/* The honest one signs. */
static void
use_honest(CK_FUNCTION_LIST *list, CK_SLOT_ID slot)
{
	CK_SESSION_HANDLE session = 0;
	struct chaos_signature signature;

	core_expect(list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session) == CKR_OK);
	core_expect(core_sign(list, session, &signature) == CKR_OK);
	core_expect(strcmp(signature.module, "chaos-a") == 0);
	core_expect(list->C_CloseSession(session) == CKR_OK);
}

/* Every function that the liar has, whatever comes of it. */
static void
use_liar(CK_FUNCTION_LIST *list, CK_SLOT_ID slot)
{
	CK_SESSION_HANDLE sessions[3] = {0}, found = 0;
	CK_SLOT_INFO slot_info = {.flags = 0};
	CK_TOKEN_INFO token_info = {.flags = 0};
	CK_MECHANISM_TYPE mechanisms[2];
	CK_ULONG n = 2;

	(void)list->C_GetSlotInfo(slot, &slot_info);
	(void)list->C_GetTokenInfo(slot, &token_info);
	(void)list->C_GetTokenInfo(slot, &token_info);
	(void)list->C_GetMechanismList(slot, mechanisms, &n);
	for (int i = 0; i < 3; i++) {
		CK_RV rv = list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &sessions[i]);
		if (rv == CKR_OK)
			(void)list->C_FindObjects(sessions[i], &found, 1, &n);
	}
	(void)list->C_CloseSession(sessions[0]);
	(void)list->C_CloseAllSessions(slot);
}

/* Functions that came with 3.0 are there, and say what they can. */
static void
use_newer(CK_FUNCTION_LIST *list)
{
	CK_FUNCTION_LIST_3_2 *newer = (CK_FUNCTION_LIST_3_2 *)list;

	if (list->version.major < 3)
		return;
	CK_RV rv = newer->C_SessionCancel(1, 0);
	core_expect(rv == CKR_FUNCTION_NOT_SUPPORTED || rv == CKR_SESSION_HANDLE_INVALID ||
		    (rv == CKR_CRYPTOKI_NOT_INITIALIZED && lie == LIE_NEVER_UP));
}

/* Each object's attributes are loaded. The liar's errors may end it: then there are fewer. */
static void
iterate(CK_FUNCTION_LIST **modules)
{
	P11KitIterBehavior behavior = P11_KIT_ITER_WITH_MODULES | P11_KIT_ITER_WITH_SLOTS |
				      P11_KIT_ITER_WITH_TOKENS | P11_KIT_ITER_WITH_SESSIONS;
	P11KitIter *iter = p11_kit_iter_new(NULL, behavior);
	CK_ATTRIBUTE label = {CKA_LABEL, NULL, 0};
	unsigned n_objects = 0;

	p11_kit_iter_begin(iter, modules);
	while (p11_kit_iter_next(iter) == CKR_OK) {
		if (p11_kit_iter_get_kind(iter) != P11_KIT_ITER_KIND_OBJECT)
			continue;
		n_objects++;
		if (p11_kit_iter_load_attributes(iter, &label, 1) == CKR_OK)
			free(label.pValue);
		label.pValue = NULL;
	}
	p11_kit_iter_free(iter);
	core_expect(n_objects > 0); /* the honest one's, which comes first */
}

/* ---- kinds of consumers ---- */

static void
managed(void)
{
	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
	CK_SLOT_ID slots[4], event;
	CK_ULONG n = 4;

	if (!modules)
		support_die("%s", p11_kit_message());
	core_expect(!modules[1] == is_unusable());
	if (is_unusable())
		core_expect(names_liar());
	use_honest(modules[0], 0);
	if (modules[0] && modules[1]) {
		CK_INFO info;
		(void)modules[1]->C_GetInfo(&info);
		(void)modules[1]->C_GetSlotList(CK_TRUE, NULL, &n);
		(void)modules[1]->C_GetSlotList(CK_TRUE, slots, (n = 4, &n));
		(void)modules[1]->C_WaitForSlotEvent(CKF_DONT_BLOCK, &event, NULL);
		use_liar(modules[1], 7);
		use_newer(modules[1]);
	}
	iterate(modules);
	p11_kit_modules_finalize_and_release(modules);
}

static void
unmanaged(void)
{
	CK_FUNCTION_LIST *module = NULL;

	core_expect(p11_kit_initialize_registered() == CKR_OK);
	if (is_unusable())
		core_expect(names_liar());
	module = p11_kit_registered_name_to_module("a");
	core_expect(module != NULL);
	if (module)
		use_honest(module, 0);
	core_expect(p11_kit_finalize_registered() == CKR_OK);
}

static void
single(void)
{
	CK_FUNCTION_LIST *module = p11_kit_module_load(path, 0);

	core_expect(!module == is_unusable());
	if (!module) {
		core_expect(names_liar());
		return;
	}
	core_expect(p11_kit_module_initialize(module) == CKR_OK);
	use_liar(module, 7);
	(void)p11_kit_module_finalize(module);
	p11_kit_module_release(module);
}

/* Whether the proxy can see the lie. */
static bool
is_found_out(void)
{
	return is_unusable() || lie == LIE_MORE_SLOTS || lie == LIE_GROWING_SLOTS ||
	       lie == LIE_ENDLESS_SLOTS || lie == LIE_NEVER_UP;
}

/* All slots of the proxy: "a" has the first. */
static void
by_proxy(void)
{
	free(p11_kit_config_option(NULL, "x")); /* empties the message */
	CK_FUNCTION_LIST *list = core_list();
	CK_SLOT_ID slots[CORE_MAX_SLOTS], event;

	if (is_unusable())
		core_expect(names_liar());
	core_expect(list->C_Initialize(NULL) == CKR_OK);
	CK_ULONG n = core_slots(list, slots);
	if (is_found_out())
		core_expect(names_liar());
	core_expect(n >= 1 && (n == 1 || !is_unusable()));
	use_honest(list, slots[0]);
	for (CK_ULONG i = 1; i < n; i++)
		use_liar(list, slots[i]);
	for (int i = 0; i < 3; i++)
		(void)list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &event, NULL);
	use_newer(list);
	use_honest(list, slots[0]);
	core_expect(list->C_Finalize(NULL) == CKR_OK);
	if (lie == LIE_FINALIZE_ERROR)
		core_expect(names_liar());
}

static int
run_lie(void *data)
{
	void (*const kinds[])(void) = {managed, unmanaged, single, by_proxy, managed};
	struct scene *scene = scene_new();
	struct chaos *chaos = scene_chaos(scene, "a", "chaos-a", "priority: 1");

	lie = *(enum lie *)data;
	scene_module(scene, "liar", path, NULL);
	scene_use(scene, NULL);
	tell();
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		kinds[i]();
	core_expect(chaos_is_exact(chaos));
	scene_free(scene);
	return core_n_wrong > 0;
}

static void
test_lies(void **state)
{
	unsigned n_wrong = 0;

	(void)state;
	path = support_env("P11_LIAR");
	for (enum lie told = LIE_NONE; told < N_LIES; told++) {
		int result = child_run(run_lie, &told, 30);
		if (result != 0) {
			print_error("lie %d: %d\n", told, result);
			n_wrong++;
		}
	}
	assert_int_equal(n_wrong, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
