/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * No memory, or no file, at each moment in turn. A scenario is what a program does from its first
 * call to its last. It runs once in peace, which counts what the library asks for; then once for
 * each of these requests, in a process of its own, where that one fails. Each step of it works or
 * says that it failed, and works when it is tried again; what is left out, a message tells; and in
 * the end there are no more blocks of memory than in peace.
 */
#define P11_KIT_FUTURE_UNSTABLE_API 1
#define P11_KIT_NO_DEPRECATIONS 1
#include "core/core.h"
#include "scarce.h"

#include <p11-kit/iter.h>
#include <p11-kit/pin.h>
#include <p11-kit/uri.h>

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- what the library asks for ---- */

static long fails_at = -1; /* the request that fails; -1: none */
static enum scarce fails_what;
static atomic_long n_asked[SCARCE_N], n_failed, n_blocks;

bool
scarce_fails(enum scarce what)
{
	long n = n_asked[what]++;

	if (what != fails_what || n != fails_at)
		return false;
	n_failed++;
	return true;
}

void
scarce_count(int blocks)
{
	n_blocks += blocks;
}

/* Frees what the library allocated. */
static void
free_counted(void *block)
{
	if (block)
		n_blocks--;
	free(block);
}

/* ---- steps ---- */

/* What the step said that it lacks, now that it failed. */
static bool
says_why(void)
{
	core_expect(p11_kit_message() != NULL);
	return false;
}

static bool
is_ok(CK_RV rv)
{
	core_expect(rv == CKR_OK || rv == CKR_HOST_MEMORY);
	return rv == CKR_OK || says_why();
}

/* Does something that must work unless this scenario's request fails in it; then once more. */
#define STEP(works)                                                                                \
	do {                                                                                       \
		long failed_before = n_failed;                                                     \
		if (!(works)) {                                                                    \
			core_expect(n_failed > failed_before);                                     \
			core_expect((works));                                                      \
		}                                                                                  \
	} while (0)

/* ---- scenarios ---- */

static struct scene *scene;

/* It tells nothing by its return value. */
static bool
use_scene(void)
{
	free_counted(p11_kit_config_option(NULL, "x")); /* empties the message */
	scene_use(scene, NULL);
	return p11_kit_message() == NULL;
}

/* A module is never initialized without what its configuration says. */
static bool
has_argument(void)
{
	char text[64];

	chaos_load("chaos-a")->reserved(text, sizeof text);
	return strncmp(text, "where the keys are", 18) == 0;
}

static CK_FUNCTION_LIST **modules;

static bool
is_named(CK_FUNCTION_LIST *module, const char *name)
{
	bool is_so = false;

	STEP(({
		char *its_name = p11_kit_module_get_name(module);
		is_so = its_name && strcmp(its_name, name) == 0;
		free_counted(its_name);
		is_so;
	}));
	return is_so;
}

/* All of them, or a message says what is not there. */
static bool
load(int flags)
{
	modules = p11_kit_modules_load_and_initialize(flags);
	if (!modules)
		return says_why();
	if (modules[0] && modules[1] && !p11_kit_message())
		return true;
	(void)says_why();
	n_blocks--; /* the array */
	p11_kit_modules_finalize_and_release(modules);
	n_blocks++;
	return false;
}

static bool
has_option(CK_FUNCTION_LIST *module, const char *option, const char *expected)
{
	char *value = p11_kit_config_option(module, option);
	bool is_so = value && strcmp(value, expected) == 0;

	free_counted(value);
	return is_so;
}

static bool
has_file(CK_FUNCTION_LIST *module, const char *file)
{
	char *name = p11_kit_module_get_filename(module);
	bool is_so = name && strcmp(name, chaos_path(file)) == 0;

	free_counted(name);
	return is_so;
}

static void
use_sessions(CK_FUNCTION_LIST *list, CK_SLOT_ID slot)
{
	CK_SESSION_HANDLE session = 0, other = 0;
	struct chaos_signature signature;

	STEP(is_ok(list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session)));
	STEP(is_ok(list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &other)));
	STEP(is_ok(core_sign(list, session, &signature)));
	STEP(is_ok(list->C_CloseSession(session)));
	STEP(is_ok(list->C_CloseAllSessions(slot)));
}

static void
use_modules(int flags)
{
	STEP(use_scene());
	STEP(load(flags));
	STEP(is_named(modules[0], "a"));
	STEP(is_named(modules[1], "b"));
	STEP(p11_kit_module_for_name(modules, "b") == modules[1]);
	STEP(has_option(NULL, "x-global", "all of us"));
	STEP(has_option(modules[1], "x-own", "just b"));
	STEP(has_file(modules[0], "chaos-a"));
	core_expect((flags & P11_KIT_MODULE_UNMANAGED) || has_argument());
	use_sessions(modules[0], 0);
	STEP(is_ok(p11_kit_modules_finalize(modules)));
	p11_kit_modules_release(modules);
}

static void
managed_modules(void)
{
	use_modules(0);
	use_modules(0);
}

static void
unmanaged_modules(void)
{
	use_modules(P11_KIT_MODULE_UNMANAGED);
}

/* Where everybody is critical, nobody is left out. */
static void
critical_modules(void)
{
	use_modules(P11_KIT_MODULE_CRITICAL | P11_KIT_MODULE_VERBOSE);
}

static void
single_modules(void)
{
	CK_FUNCTION_LIST *managed = NULL, *unmanaged = NULL;

	STEP(use_scene());
	STEP((managed = p11_kit_module_load(chaos_path("chaos-a"), 0)) || says_why());
	STEP((unmanaged = p11_kit_module_load(chaos_path("chaos-b"), P11_KIT_MODULE_UNMANAGED)) ||
	     says_why());
	STEP(is_ok(p11_kit_module_initialize(managed)));
	STEP(is_ok(p11_kit_module_initialize(unmanaged)));
	STEP(has_file(managed, "chaos-a"));
	use_sessions(managed, 0);
	STEP(is_ok(p11_kit_module_finalize(managed)));
	STEP(is_ok(p11_kit_module_finalize(unmanaged)));
	p11_kit_module_release(managed);
	p11_kit_module_release(unmanaged);
}

/* ---- older functions ---- */

static bool
has_registered(void)
{
	CK_FUNCTION_LIST **list = p11_kit_registered_modules();
	bool is_so = list && list[0] && list[1];

	free_counted(list);
	return is_so || says_why();
}

static bool
registered_is_named(CK_FUNCTION_LIST *module, const char *name)
{
	char *its_name = p11_kit_registered_module_to_name(module);
	bool is_so = its_name && strcmp(its_name, name) == 0;

	free_counted(its_name);
	return is_so;
}

static bool
initialize_registered(void)
{
	if (!is_ok(p11_kit_initialize_registered()))
		return false;
	if (chaos_load("chaos-a")->up && chaos_load("chaos-b")->up)
		return true;
	(void)says_why();
	core_expect(p11_kit_finalize_registered() == CKR_OK);
	return false;
}

static void
registered_modules(void)
{
	CK_FUNCTION_LIST *module = NULL, *own = chaos_list("chaos-c"), *loaded = NULL;

	STEP(use_scene());
	STEP(initialize_registered());
	STEP(has_registered());
	STEP((module = p11_kit_registered_name_to_module("b")) != NULL);
	STEP(registered_is_named(module, "b"));
	STEP(is_ok(p11_kit_initialize_module(own)));
	STEP(is_ok(p11_kit_load_initialize_module(chaos_path("chaos-a"), &loaded)));
	STEP(is_ok(p11_kit_finalize_module(loaded)));
	STEP(is_ok(p11_kit_finalize_module(own)));
	STEP(is_ok(p11_kit_finalize_registered()));
}

/* ---- the proxy ---- */

static CK_FUNCTION_LIST *proxy;

static bool
look_up(void)
{
	CK_C_GetFunctionList get;

	*(void **)&get = dlsym(core_proxy(), "C_GetFunctionList");
	return is_ok(get(&proxy));
}

static bool
list_slots(CK_SLOT_ID ids[8], CK_ULONG *n)
{
	*n = 8;
	if (!is_ok(proxy->C_GetSlotList(CK_TRUE, NULL, n)))
		return false;
	if (!is_ok(proxy->C_GetSlotList(CK_TRUE, ids, n)))
		return false;
	return *n == 2 || says_why();
}

/* The modules that are missing are there next time. */
static bool
initialize_proxy(void)
{
	return is_ok(proxy->C_Initialize(NULL));
}

static void
use_proxy(void)
{
	CK_SLOT_ID ids[8] = {0}, event;
	CK_SLOT_INFO slot;
	CK_TOKEN_INFO token;
	CK_ULONG n = 0;

	STEP(look_up());
	STEP(initialize_proxy());
	STEP(list_slots(ids, &n));
	core_expect(has_argument());
	for (CK_ULONG i = 0; i < n; i++) {
		STEP(is_ok(proxy->C_GetSlotInfo(ids[i], &slot)));
		STEP(is_ok(proxy->C_GetTokenInfo(ids[i], &token)));
		use_sessions(proxy, ids[i]);
	}
	chaos_load("chaos-a")->event(0);
	STEP(proxy->C_WaitForSlotEvent(CKF_DONT_BLOCK, &event, NULL) == CKR_OK || says_why());
	STEP(is_ok(proxy->C_Finalize(NULL)));
}

static void
proxy_twice(void)
{
	STEP(use_scene());
	use_proxy();
	use_proxy();
}

static void
proxy_interfaces(void)
{
	CK_C_GetInterfaceList get;
	CK_INTERFACE interfaces[4];
	CK_ULONG n = 4;

	STEP(use_scene());
	*(void **)&get = dlsym(core_proxy(), "C_GetInterfaceList");
	STEP(is_ok((n = 4, get(interfaces, &n))));
	core_expect(n == 2);
	CK_FUNCTION_LIST_3_2 *list = interfaces[0].pFunctionList;
	STEP(is_ok(list->C_Initialize(NULL)));
	STEP(is_ok(list->C_Finalize(NULL)));
}

/* ---- the iterator ---- */

static bool
has_label(P11KitIter *iter)
{
	CK_ATTRIBUTE attributes[] = {{CKA_LABEL, NULL, 0}, {CKA_ID, NULL, 0}};

	if (!is_ok(p11_kit_iter_load_attributes(iter, attributes, 2)))
		return false;
	core_expect(attributes[0].ulValueLen == strlen("chaos-a"));
	free_counted(attributes[0].pValue);
	free_counted(attributes[1].pValue);
	return true;
}

static CK_RV
allow(P11KitIter *iter, CK_BBOOL *matches, void *data)
{
	(void)iter, (void)matches, (void)data;
	return CKR_OK;
}

/* An iterator that lacked memory once goes on saying so: the next try is another one. */
static bool
iterate(void)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE filter = {CKA_CLASS, &class, sizeof class};
	P11KitUri *uri = p11_kit_uri_new();
	P11KitIter *iter = NULL;
	CK_RV rv = CKR_OK;
	unsigned n_objects = 0;

	if (uri)
		p11_kit_uri_set_pin_value(uri, "1234");
	if (uri && p11_kit_uri_get_pin_value(uri))
		iter = p11_kit_iter_new(uri, P11_KIT_ITER_WITH_LOGIN);
	p11_kit_uri_free(uri);
	if (!iter)
		return false;
	p11_kit_iter_add_filter(iter, &filter, 1);
	p11_kit_iter_add_callback(iter, allow, NULL, NULL);
	p11_kit_iter_begin(iter, modules);
	while ((rv = p11_kit_iter_next(iter)) == CKR_OK) {
		n_objects++;
		STEP(has_label(iter));
	}
	p11_kit_iter_free(iter);
	core_expect(rv == CKR_CANCEL || is_ok(rv) || rv == CKR_HOST_MEMORY);
	core_expect(rv != CKR_CANCEL || n_objects == 2);
	return rv == CKR_CANCEL;
}

static void
iterators(void)
{
	STEP(use_scene());
	STEP(load(0));
	STEP(iterate());
	STEP(is_ok(p11_kit_modules_finalize(modules)));
	p11_kit_modules_release(modules);
}

/* ---- URIs and PINs, which set no message ---- */

static char *uri_text;

static bool
has_uri_text(P11KitUri *uri)
{
	return p11_kit_uri_format(uri, P11_KIT_URI_FOR_ANY, &uri_text) == P11_KIT_URI_OK;
}

static void
uris(void)
{
	static const char text[] = "pkcs11:token=t;id=%01;object=o;type=cert"
				   "?pin-value=1234&module-name=m&x-a=1&x-b=2";
	CK_ATTRIBUTE attributes[] = {{CKA_LABEL, (void *)(uintptr_t) "new", 3},
				     {CKA_ID, (void *)(uintptr_t) "12", 2}};
	P11KitUri *uri = NULL;

	STEP((uri = p11_kit_uri_new()) != NULL);
	STEP(p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri) == P11_KIT_URI_OK);
	STEP(p11_kit_uri_set_attributes(uri, attributes, 2) == P11_KIT_URI_OK);
	STEP(p11_kit_uri_set_attribute(uri, &attributes[0]) == P11_KIT_URI_OK);
	STEP(p11_kit_uri_set_vendor_query(uri, "x-a", "3"));
	STEP(p11_kit_uri_set_vendor_query(uri, "x-c", "4"));
	STEP((p11_kit_uri_set_pin_value(uri, "5678"), p11_kit_uri_get_pin_value(uri) != NULL));
	STEP(has_uri_text(uri));
	core_expect(strcmp(uri_text, "pkcs11:token=t;id=%31%32;object=new"
				     "?pin-value=5678&module-name=m&x-a=3&x-b=2&x-c=4") == 0);
	free_counted(uri_text);
	p11_kit_uri_free(uri);
}

static P11KitPin *
ask_file(void)
{
	return p11_kit_pin_request(scene_path(scene, "pin"), NULL, "a PIN", 0);
}

static void
pins(void)
{
	P11KitPin *pin = NULL;

	STEP(p11_kit_pin_register_callback("", p11_kit_pin_file_callback, NULL, NULL) == 0);
	STEP((pin = ask_file()) != NULL);
	core_expect(p11_kit_pin_get_length(pin) == 4);
	p11_kit_pin_unref(pin);
	STEP((pin = p11_kit_pin_new_for_string("1234")) != NULL);
	p11_kit_pin_unref(pin);
	p11_kit_pin_unregister_callback("", p11_kit_pin_file_callback, NULL);
}

/* ---- running them ---- */

/*
 * A function table that was handed out is kept for the next consumer, so a step that is done twice
 * may leave one more. A whole configuration that nobody lets go of is many more, and what nobody
 * can find any more a leak checker tells.
 */
#define MAX_MORE_BLOCKS 3

/* The proxy goes on using what could be read at first, beside what was read later. */
#define MAX_MORE_OF_PROXY 60

/* What a run tells the test: in shared memory. */
struct outcome {
	long n_asked[SCARCE_N], n_blocks;
	bool did_fail;
};

struct run {
	void (*scenario)(void);
	struct outcome *outcome;
	enum scarce what;
	long at;
	unsigned n_descriptors;
};

static int
run_scenario(void *data)
{
	struct run *run = data;
	unsigned n_descriptors;
	static const char *const files[] = {"chaos-a", "chaos-b", "chaos-c"};

	for (unsigned i = 0; i < 3; i++)
		core_fresh(files[i]);
	(void)core_proxy();
	n_descriptors = support_n_descriptors();
	n_blocks = 0;
	n_asked[SCARCE_MEMORY] = n_asked[SCARCE_FILES] = 0;
	fails_what = run->what;
	fails_at = run->at;
	run->scenario();
	core_expect(support_n_descriptors() == n_descriptors);
	for (unsigned i = 0; i < 3; i++)
		core_expect(chaos_is_exact(chaos_load(files[i])));
	run->outcome->n_asked[SCARCE_MEMORY] = n_asked[SCARCE_MEMORY];
	run->outcome->n_asked[SCARCE_FILES] = n_asked[SCARCE_FILES];
	run->outcome->n_blocks = n_blocks;
	run->outcome->did_fail = n_failed > 0;
	/* A leak checker looks too. */
	exit(core_n_wrong > 0);
}

static void
try_all(void (*scenario)(void), long more_of_files)
{
	struct outcome *outcome = mmap(NULL, sizeof *outcome, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct run run = {.scenario = scenario, .outcome = outcome, .at = -1};
	unsigned n_bad = 0;

	assert_ptr_not_equal(outcome, MAP_FAILED);
	assert_int_equal(child_run(run_scenario, &run, CORE_TEST_SECONDS), 0);
	struct outcome peace = *outcome;

	for (enum scarce what = 0; what < SCARCE_N; what++) {
		long more = what == SCARCE_FILES ? more_of_files : MAX_MORE_BLOCKS;
		for (run.what = what, run.at = 0; run.at < peace.n_asked[what]; run.at++) {
			memset(outcome, 0, sizeof *outcome);
			int result = child_run(run_scenario, &run, CORE_TEST_SECONDS);
			if (result == 0 && outcome->did_fail &&
			    outcome->n_blocks <= peace.n_blocks + more)
				continue;
			print_error("%s %ld: exit code %d, %ld blocks (%ld in peace)\n",
				    what == SCARCE_MEMORY ? "memory" : "file", run.at, result,
				    outcome->n_blocks, peace.n_blocks);
			n_bad++;
		}
	}
	print_message("%ld requests of memory, %ld of files\n", peace.n_asked[SCARCE_MEMORY],
		      peace.n_asked[SCARCE_FILES]);
	assert_true(peace.n_asked[SCARCE_MEMORY] > 2);
	assert_int_equal(n_bad, 0);
	munmap(outcome, sizeof *outcome);
}

#define SCENARIO(name, more_of_files)                                                              \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		try_all(name, more_of_files);                                                      \
	}

SCENARIO(managed_modules, MAX_MORE_BLOCKS)
SCENARIO(unmanaged_modules, MAX_MORE_BLOCKS)
SCENARIO(critical_modules, MAX_MORE_BLOCKS)
SCENARIO(single_modules, MAX_MORE_BLOCKS)
SCENARIO(registered_modules, MAX_MORE_BLOCKS)
SCENARIO(proxy_twice, MAX_MORE_OF_PROXY)
SCENARIO(proxy_interfaces, MAX_MORE_OF_PROXY)
SCENARIO(iterators, MAX_MORE_BLOCKS)
SCENARIO(uris, MAX_MORE_BLOCKS)
SCENARIO(pins, MAX_MORE_BLOCKS)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_managed_modules),
		cmocka_unit_test(test_unmanaged_modules),
		cmocka_unit_test(test_critical_modules),
		cmocka_unit_test(test_single_modules),
		cmocka_unit_test(test_registered_modules),
		cmocka_unit_test(test_proxy_twice),
		cmocka_unit_test(test_proxy_interfaces),
		cmocka_unit_test(test_iterators),
		cmocka_unit_test(test_uris),
		cmocka_unit_test(test_pins),
	};

	scene = core_scene();
	scene_write(scene, "system.conf", "x-global: all of us\n");
	scene_module(scene, "a", chaos_path("chaos-a"),
		     "x-init-reserved: where the keys are\npriority: 1");
	scene_module(scene, "b", chaos_path("chaos-b"), "x-own: just b\nslot-base: 0x100");
	scene_write(scene, "pin", "1234");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
