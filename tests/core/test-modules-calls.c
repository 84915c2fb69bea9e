/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The calls of p11-kit.h one by one: in which order modules are called and with what, which
 * pointers are taken, what becomes of the message.
 */
#define P11_KIT_FUTURE_UNSTABLE_API 1
#define P11_KIT_NO_DEPRECATIONS 1
#include "core/core.h"

#include <p11-kit/iter.h>
#include <p11-kit/pin.h>
#include <p11-kit/uri.h>

#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define UNMANAGED P11_KIT_MODULE_UNMANAGED
#define CRITICAL P11_KIT_MODULE_CRITICAL

static struct chaos *a, *b;

/* Whether the configuration is read and kept, since somebody has a module of it. */
static bool
is_kept(void)
{
	char *value = p11_kit_config_option(NULL, "x-read");

	free(value);
	return value != NULL;
}

static struct scene *
begin(const char *more)
{
	struct scene *scene = scene_new();

	a = scene_chaos(scene, "a", "chaos-a", more);
	b = scene_chaos(scene, "b", "chaos-b", "priority: 1");
	a->reset();
	b->reset();
	scene_write(scene, "system.conf", "x-read: yes\n");
	scene_use(scene, NULL);
	return scene;
}

/* ---- initializing and finalizing ---- */

static char order[16]; /* the last letter of each module's name */

static unsigned long
note_order(struct chaos *chaos, const struct chaos_visit *visit, void *data)
{
	(void)visit, (void)data;
	order[strlen(order)] = chaos->name[strlen(chaos->name) - 1];
	return CKR_OK;
}

/* In the order of the list; a module's own list is called without arguments. */
static void
test_initialized_in_order(void **state)
{
	(void)state;
	struct scene *scene = begin("x-init-reserved: text");
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, UNMANAGED), *first = modules[0];

	memset(order, 0, sizeof order);
	a->fault(CHAOS_C_Initialize, &(struct chaos_fault){.callback = note_order});
	b->fault(CHAOS_C_Initialize, &(struct chaos_fault){.callback = note_order});
	assert_ok(p11_kit_modules_initialize(modules, NULL));
	assert_string_equal(order, "ba");
	assert_true(a->init_args.was_null);
	assert_ok(p11_kit_modules_finalize(modules));

	modules[0] = modules[1];
	modules[1] = first;
	memset(order, 0, sizeof order);
	assert_ok(p11_kit_modules_initialize(modules, NULL));
	assert_string_equal(order, "ab");
	assert_ptr_equal(modules[1], first);

	/* Failures of C_Finalize do not keep it from releasing. */
	assert_ok(modules[0]->C_Finalize(NULL));
	a->fault(CHAOS_C_Finalize, &(struct chaos_fault){.rv = CKR_GENERAL_ERROR});
	assert_true(is_kept());
	p11_kit_modules_finalize_and_release(modules);
	assert_int_equal(b->up, 0);
	assert_false(is_kept());
	scene_free(scene);
}

/* Any answer but CKR_OK is given back, with a message; the name of a foreign list is not known. */
static void
test_one_module_that_refuses(void **state)
{
	(void)state;
	struct scene *scene = begin(NULL);
	CK_FUNCTION_LIST *module = p11_kit_module_load(chaos_path("chaos-a"), 0);
	CK_FUNCTION_LIST *foreign = chaos_list("chaos-2.40");
	struct chaos *unknown = chaos_load("chaos-2.40");

	assert_int_equal(a->calls[CHAOS_C_Initialize], 0); /* loading does not initialize */
	assert_ok(p11_kit_module_initialize(module));
	assert_rv(p11_kit_module_initialize(module), CKR_CRYPTOKI_ALREADY_INITIALIZED);
	assert_true(core_message_has("chaos-a"));
	assert_true(core_message_has("CKR_CRYPTOKI_ALREADY_INITIALIZED"));
	assert_ok(p11_kit_module_finalize(module));
	p11_kit_module_release(module);

	unknown->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR});
	assert_rv(p11_kit_module_initialize(foreign), CKR_DEVICE_ERROR);
	assert_true(core_message_has("(unknown)") && core_message_has("CKR_DEVICE_ERROR"));
	assert_rv(p11_kit_module_finalize(foreign), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_true(core_message_has("(unknown)"));
	unknown->reset();
	scene_free(scene);
}

/* ---- pointers ---- */

static void
test_pointers(void **state)
{
	(void)state;
	struct scene *scene = begin(NULL);
	CK_FUNCTION_LIST own = *(CK_FUNCTION_LIST *)chaos_list("chaos-2.40");
	CK_FUNCTION_LIST **modules = calloc(3, sizeof *modules), *loaded;

	/* The same file again: the same list of its own, one reference each. */
	modules[0] = p11_kit_module_load(chaos_path("chaos-a"), UNMANAGED);
	modules[1] = p11_kit_module_load(chaos_path("chaos-a"), UNMANAGED);
	assert_non_null(modules[0]);
	assert_ptr_equal(modules[0], modules[1]);
	p11_kit_module_release(modules[0]);
	char *path = p11_kit_module_get_filename(modules[1]);
	assert_string_equal(path, chaos_path("chaos-a"));
	free(path);

	/* One that nobody handed out is passed over. */
	modules[0] = &own;
	p11_kit_modules_release(modules);

	/* A list that came by pointer has no file. */
	assert_ok(p11_kit_initialize_module(&own));
	assert_null(p11_kit_module_get_filename(&own));
	assert_null(p11_kit_module_get_name(&own));
	assert_int_equal(p11_kit_module_get_flags(&own), UNMANAGED | CRITICAL);
	assert_ok(p11_kit_finalize_module(&own));

	assert_ok(p11_kit_load_initialize_module(chaos_path("chaos-a"), &loaded));
	assert_int_equal(p11_kit_module_get_flags(loaded), UNMANAGED | CRITICAL);
	assert_ok(p11_kit_finalize_module(loaded));

	/* Also when nothing is loaded at all. */
	assert_false(is_kept());
	assert_int_equal(p11_kit_module_get_flags(&own), UNMANAGED | CRITICAL);
	assert_true(chaos_is_exact(a));
	scene_free(scene);
}

/* ---- loading ---- */

/* What a module exports is not found by other files of the process. */
static void
test_symbols_stay_the_modules_own(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *module = p11_kit_module_load(chaos_path("chaos-a"), 0);

	assert_non_null(module);
	assert_null(dlsym(RTLD_DEFAULT, "chaos_control"));
	p11_kit_module_release(module);
}

/* C_GetInterface is asked first; only if it is not supported the older C_GetFunctionList is. */
static void
test_entry_points(void **state)
{
	(void)state;
	struct scene *scene = begin(NULL);
	unsigned long before = b->calls[CHAOS_C_GetFunctionList];

	CK_FUNCTION_LIST *module = p11_kit_module_load(chaos_path("chaos-b"), UNMANAGED);
	assert_int_equal(module->version.major, 3);
	assert_int_equal(b->calls[CHAOS_C_GetFunctionList], before);
	p11_kit_module_release(module);

	b->fault(CHAOS_C_GetInterface, &(struct chaos_fault){.rv = CKR_FUNCTION_NOT_SUPPORTED});
	module = p11_kit_module_load(chaos_path("chaos-b"), UNMANAGED);
	assert_int_equal(module->version.major, 2);
	assert_int_equal(b->calls[CHAOS_C_GetFunctionList], before + 1);
	p11_kit_module_release(module);

	b->fault(CHAOS_C_GetFunctionList, &(struct chaos_fault){.rv = CKR_HOST_MEMORY});
	assert_null(p11_kit_module_load(chaos_path("chaos-b"), 0));
	assert_true(core_message_has("C_GetFunctionList") && core_message_has("CKR_HOST_MEMORY"));
	assert_true(core_message_has(chaos_path("chaos-b")));

	b->fault(CHAOS_C_GetFunctionList, NULL);
	b->fault(CHAOS_C_GetInterface, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR});
	assert_null(p11_kit_module_load(chaos_path("chaos-b"), 0));
	assert_true(core_message_has("C_GetInterface") && core_message_has("CKR_DEVICE_ERROR"));
	assert_int_equal(b->calls[CHAOS_C_GetFunctionList], before + 2);
	b->reset();
	scene_free(scene);
}

/* Paths that are NULL stay what they were; the strings are copied. */
static void
test_override_of_some_paths(void **state)
{
	(void)state;
	struct scene *scene = begin(NULL), *other = scene_new();
	char path[128] = "";

	scene_write(other, "package/c.module", "module: %s\n", chaos_path("chaos-2.40"));
	strncpy(path, scene_path(other, "package"), sizeof path - 1);
	p11_kit_override_system_files(NULL, NULL, path, NULL, NULL);
	memset(path, 'x', sizeof path - 1);
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);
	assert_non_null(p11_kit_module_for_name(modules, "a"));
	assert_non_null(p11_kit_module_for_name(modules, "b"));
	assert_non_null(p11_kit_module_for_name(modules, "c"));
	p11_kit_modules_release(modules);
	scene_use(scene, NULL);
	scene_free(other);
	scene_free(scene);
}

static void
load_and_release(void *data, unsigned i)
{
	(void)data;
	for (unsigned round = 0; round < 100; round++) {
		CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, i % 2 ? UNMANAGED : 0);
		core_expect(modules && modules[0] && modules[1] && !modules[2]);
		p11_kit_modules_release(modules);
	}
}

static void
test_loaded_by_threads(void **state)
{
	(void)state;
	struct scene *scene = begin(NULL);

	crew_join(crew_start(6, load_and_release, NULL));
	assert_int_equal(core_n_wrong, 0);
	assert_false(is_kept());
	scene_free(scene);
}

/* ---- broken preconditions ---- */

/* No list to search in is no broken precondition, no name is one. */
static int
ask_strictly(void *name)
{
	setenv("P11_KIT_STRICT", "1", 1);
	return p11_kit_module_for_name(NULL, name) ? 1 : 0;
}

static void
test_strict(void **state)
{
	(void)state;
	char name[] = "a";

	assert_int_equal(child_run(ask_strictly, name, 60), 0);
	assert_int_equal(child_run(ask_strictly, NULL, 60), CHILD_DIED + SIGABRT);
}

/* ---- messages ---- */

static CK_FUNCTION_LIST *listed;

static void
leave_a_message(void)
{
	assert_null(p11_kit_module_load("/nowhere/left-over.so", 0));
	assert_true(core_message_has("left-over"));
}

static CK_FUNCTION_LIST **
empty_list(void)
{
	return calloc(1, sizeof(CK_FUNCTION_LIST *));
}

/* clang-format off */
#define CALLS(kind, ...) static void (*const kind[])(void) = {__VA_ARGS__}
#define DO(name, ...) static void name(void) { __VA_ARGS__; }
DO(load, p11_kit_modules_release(p11_kit_modules_load(NULL, 0)))
DO(load_all, p11_kit_modules_finalize_and_release(p11_kit_modules_load_and_initialize(0)))
DO(release_all, p11_kit_modules_release(empty_list()))
DO(load_one, p11_kit_module_release(p11_kit_module_load(chaos_path("chaos-b"), 0)))
DO(get_name, free(p11_kit_module_get_name(listed)))
DO(get_filename, free(p11_kit_module_get_filename(listed)))
DO(get_flags, (void)p11_kit_module_get_flags(listed))
DO(for_name, (void)p11_kit_module_for_name(&listed, "a"))
DO(option, free(p11_kit_config_option(listed, "x")))
DO(registered, free(p11_kit_registered_modules()))
DO(registered_name, (void)p11_kit_registered_name_to_module("none"))
DO(registered_to_name, free(p11_kit_registered_module_to_name(listed)))
DO(registered_option, free(p11_kit_registered_option(listed, "x")))
DO(count, p11_kit_initialize_module(listed); p11_kit_finalize_module(listed))
DO(count_all, p11_kit_initialize_registered(); p11_kit_finalize_registered())
DO(initialize, CK_FUNCTION_LIST *none = NULL; (void)p11_kit_modules_initialize(&none, NULL))
DO(finalize, CK_FUNCTION_LIST *none = NULL; (void)p11_kit_modules_finalize(&none))
DO(initialize_one, (void)p11_kit_module_initialize(listed); (void)p11_kit_module_finalize(listed))
DO(error_text, (void)p11_kit_strerror(CKR_OK))
DO(broken, (void)p11_kit_module_load(NULL, 0); (void)p11_kit_config_option(NULL, NULL))
DO(uri, P11KitUri *uri = p11_kit_uri_new();
	(void)p11_kit_uri_parse("nonsense", P11_KIT_URI_FOR_ANY, uri); p11_kit_uri_free(uri))
DO(pin, p11_kit_pin_unref(p11_kit_pin_new_for_string("x")); (void)p11_kit_pin_request("x", NULL, "x", 0))
DO(iter, P11KitIter *iter = p11_kit_iter_new(NULL, 0); p11_kit_iter_begin(iter, (CK_FUNCTION_LIST *[]){NULL});
	(void)p11_kit_iter_next(iter); p11_kit_iter_free(iter))
/* clang-format on */
CALLS(clear, load, load_all, release_all, load_one, get_name, get_filename, get_flags, for_name,
      option, registered, registered_name, registered_to_name, registered_option, count, count_all);
CALLS(keep, initialize, finalize, initialize_one, error_text, broken, uri, pin, iter);

/* What fails is told until a call that begins with an empty message; not each does. */
static void
test_who_empties_the_message(void **state)
{
	(void)state;
	struct scene *scene = begin(NULL);
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, UNMANAGED);

	listed = p11_kit_module_for_name(modules, "a");
	assert_non_null(listed);
	for (size_t i = 0; i < sizeof clear / sizeof clear[0]; i++) {
		leave_a_message();
		clear[i]();
		if (p11_kit_message())
			fail_msg("call %zu left \"%s\"", i, p11_kit_message());
	}
	for (size_t i = 0; i < sizeof keep / sizeof keep[0]; i++) {
		leave_a_message();
		keep[i]();
		if (!core_message_has("left-over"))
			fail_msg("call %zu emptied the message", i);
	}
	p11_kit_modules_release(modules);
	scene_free(scene);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_initialized_in_order),
		cmocka_unit_test(test_one_module_that_refuses),
		cmocka_unit_test(test_pointers),
		cmocka_unit_test(test_symbols_stay_the_modules_own),
		cmocka_unit_test(test_entry_points),
		cmocka_unit_test(test_override_of_some_paths),
		cmocka_unit_test(test_loaded_by_threads),
		cmocka_unit_test(test_strict),
		cmocka_unit_test(test_who_empties_the_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
