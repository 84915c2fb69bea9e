/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * p11_kit_modules_load() and p11_kit_module_load(): which modules a program gets, in which order,
 * and what the library tells about them. When something fails is in test-modules-fail.c.
 */
#define P11_KIT_FUTURE_UNSTABLE_API 1
#include "core/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNMANAGED P11_KIT_MODULE_UNMANAGED
#define CRITICAL P11_KIT_MODULE_CRITICAL
#define TRUSTED P11_KIT_MODULE_TRUSTED

/* The names of a list's modules, separated by blanks, must be these. */
static void
assert_names(CK_FUNCTION_LIST **modules, const char *expected)
{
	char names[256] = "";

	assert_non_null(modules);
	for (; *modules; modules++) {
		char *name = p11_kit_module_get_name(*modules);
		snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
			 *names ? " " : "", name ? name : "(none)");
		free(name);
	}
	assert_string_equal(names, expected);
}

/* Loads, compares the names, and releases. */
static void
assert_loads(int flags, const char *expected)
{
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, flags);

	assert_names(modules, expected);
	p11_kit_modules_release(modules);
}

static void
assert_text(char *text, const char *expected)
{
	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
}

/* ---- lists ---- */

static void
test_nothing_is_configured(void **state)
{
	(void)state;
	struct scene *scene = scene_new();

	scene_use(scene, NULL);
	assert_loads(0, "");
	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
	assert_names(modules, "");
	assert_true(core_message_has("no module is configured for this program"));
	assert_ok(p11_kit_modules_initialize(modules, NULL));
	p11_kit_modules_finalize_and_release(modules);
	assert_null(p11_kit_message());
	assert_null(p11_kit_config_option(NULL, "managed"));
	scene_free(scene);
}

static void
test_order(void **state)
{
	(void)state;
	struct scene *scene = scene_new();

	scene_chaos(scene, "b", "chaos-b", NULL);
	scene_chaos(scene, "a", "chaos-a", "priority: 0");
	scene_chaos(scene, "z", "chaos-2.40", "priority: 10");
	scene_chaos(scene, "first", "chaos-3.0", "priority: -1");
	scene_use(scene, NULL);
	assert_loads(0, "z a b first");
	assert_loads(UNMANAGED, "z a b first");
	assert_null(p11_kit_modules_load("not NULL", 0));
	scene_free(scene);
}

static void
test_managed_lists_are_ones_own(void **state)
{
	(void)state;
	struct scene *scene = scene_new();

	scene_chaos(scene, "a", "chaos-a", NULL);
	scene_chaos(scene, "bare", "chaos-2.40", "managed: no");
	scene_use(scene, NULL);
	CK_FUNCTION_LIST **one = p11_kit_modules_load(NULL, 0),
			 **two = p11_kit_modules_load(NULL, 0);
	CK_FUNCTION_LIST **bare = p11_kit_modules_load(NULL, UNMANAGED);

	assert_ptr_not_equal(one[0], two[0]);
	assert_ptr_equal(one[1], two[1]);
	assert_ptr_equal(one[1], chaos_list("chaos-2.40"));
	assert_ptr_equal(bare[1], one[1]);
	assert_ptr_equal(bare[0]->C_Sign, one[0]->C_Sign);
	assert_ptr_equal(bare[0]->C_Initialize,
			 ((CK_FUNCTION_LIST *)chaos_list("chaos-a"))->C_Initialize);
	assert_names(two, "a bare");
	p11_kit_modules_release(one);
	assert_names(two, "a bare");
	assert_int_equal(p11_kit_module_get_flags(bare[1]), UNMANAGED);
	p11_kit_modules_release(bare);
	p11_kit_modules_release(two);

	/* The global file overrules. */
	scene_write(scene, "system.conf", "managed: no\n");
	one = p11_kit_modules_load(NULL, 0);
	assert_int_equal(p11_kit_module_get_flags(one[0]), UNMANAGED);
	two = calloc(2, sizeof *two);
	two[0] = p11_kit_module_load(chaos_path("chaos-b"), 0);
	assert_int_equal(p11_kit_module_get_flags(two[0]), UNMANAGED | CRITICAL);
	p11_kit_modules_release(one);
	p11_kit_module_release(two[0]);
	free(two);
	scene_free(scene);
}

static void
test_trusted(void **state)
{
	(void)state;
	struct scene *scene = scene_new();

	scene_chaos(scene, "plain", "chaos-a", NULL);
	scene_chaos(scene, "trusted", "chaos-b", "trust-policy: yes");
	scene_use(scene, NULL);
	assert_loads(TRUSTED, "trusted");
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);
	assert_int_equal(p11_kit_module_get_flags(modules[0]), 0);
	assert_int_equal(p11_kit_module_get_flags(modules[1]), TRUSTED);

	/* By path: what the configuration says of the file counts (B14). */
	CK_FUNCTION_LIST *module = p11_kit_module_load(chaos_path("chaos-b"), TRUSTED);
	assert_non_null(module);
	p11_kit_module_release(module);
	assert_null(p11_kit_module_load(chaos_path("chaos-a"), TRUSTED));
	assert_true(core_message_has("trust-policy"));
	p11_kit_modules_release(modules);
	scene_free(scene);
}

static void
test_verbose(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = scene_chaos(scene, "a", "chaos-a", "x-init-reserved: option=1");
	struct chaos *b = scene_chaos(scene, "b", "chaos-b", NULL);
	char text[64];

	scene_use(scene, NULL);
	CK_FUNCTION_LIST **modules =
		p11_kit_modules_load_and_initialize(P11_KIT_MODULE_VERBOSE | 0x100);
	a->reserved(text, sizeof text);
	assert_string_equal(text, "option=1 verbose=yes");
	b->reserved(text, sizeof text);
	assert_string_equal(text, " verbose=yes");
	p11_kit_modules_finalize_and_release(modules);

	modules = p11_kit_modules_load_and_initialize(0);
	a->reserved(text, sizeof text);
	assert_string_equal(text, "option=1");
	assert_int_equal(b->init_args.reserved, 0);
	p11_kit_modules_finalize_and_release(modules);
	scene_free(scene);
}

/* ---- questions ---- */

static void
test_questions(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	CK_FUNCTION_LIST unknown = {.version = {2, 40}};

	scene_write(scene, "system.conf", "x-global: of all\n");
	scene_chaos(scene, "a", "chaos-a", "x-own: of this one\ncritical: yes");
	scene_use(scene, NULL);
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);
	CK_FUNCTION_LIST *bare = p11_kit_module_load(chaos_path("chaos-a"), UNMANAGED);
	CK_FUNCTION_LIST *other = p11_kit_module_load(chaos_path("chaos-b"), 0);
	CK_FUNCTION_LIST *both[] = {modules[0], bare};

	for (int i = 0; i < 2; i++) {
		assert_text(p11_kit_module_get_name(both[i]), "a");
		assert_text(p11_kit_module_get_filename(both[i]), chaos_path("chaos-a"));
		assert_text(p11_kit_config_option(both[i], "x-own"), "of this one");
		assert_null(p11_kit_config_option(both[i], "x-global"));
		assert_int_equal(p11_kit_module_get_flags(both[i]), CRITICAL | (i ? UNMANAGED : 0));
	}
	assert_text(p11_kit_config_option(NULL, "x-global"), "of all");
	assert_null(p11_kit_module_get_name(other));
	assert_text(p11_kit_module_get_filename(other), chaos_path("chaos-b"));
	assert_null(p11_kit_config_option(other, "module"));
	assert_int_equal(p11_kit_module_get_flags(other), CRITICAL);
	assert_null(p11_kit_module_get_name(&unknown));
	assert_null(p11_kit_module_get_filename(&unknown));
	assert_null(p11_kit_config_option(&unknown, "x-global"));
	assert_int_equal(p11_kit_module_get_flags(&unknown), UNMANAGED | CRITICAL);

	assert_ptr_equal(p11_kit_module_for_name(modules, "a"), modules[0]);
	assert_null(p11_kit_module_for_name(modules, "A"));
	assert_null(p11_kit_module_for_name(NULL, "a"));
	p11_kit_module_release(bare);
	p11_kit_module_release(other);
	p11_kit_modules_release(modules);
	assert_null(p11_kit_config_option(NULL, "x-global"));
	scene_free(scene);
}

static void
test_broken_preconditions(void **state)
{
	(void)state;
	CK_FUNCTION_LIST unknown = {.version = {2, 40}};

	assert_rv(p11_kit_modules_initialize(NULL, NULL), CKR_ARGUMENTS_BAD);
	assert_rv(p11_kit_modules_finalize(NULL), CKR_ARGUMENTS_BAD);
	assert_rv(p11_kit_module_initialize(NULL), CKR_ARGUMENTS_BAD);
	assert_rv(p11_kit_module_finalize(NULL), CKR_ARGUMENTS_BAD);
	p11_kit_modules_release(NULL);
	p11_kit_modules_finalize_and_release(NULL);
	p11_kit_module_release(NULL);
	p11_kit_module_release(&unknown);
	assert_null(p11_kit_module_load(NULL, 0));
	assert_null(p11_kit_module_get_name(NULL));
	assert_null(p11_kit_module_get_filename(NULL));
	assert_int_equal(p11_kit_module_get_flags(NULL), 0);
	assert_null(p11_kit_config_option(NULL, NULL));
	assert_null(p11_kit_module_for_name(NULL, NULL));
}

/* ---- programs ---- */

/* B6: what is decided for one name is decided anew for the next, in both directions. */
static void
test_programs(void **state)
{
	(void)state;
	struct scene *scene = scene_new();

	scene_chaos(scene, "all", "chaos-a", NULL);
	scene_chaos(scene, "not-browser", "chaos-b", "disable-in: browser, other");
	scene_chaos(scene, "browser", "chaos-2.40", "enable-in: other browser");
	scene_chaos(scene, "nowhere", "chaos-3.0", "enable-in:");
	scene_chaos(scene, "proxy", "chaos-nulls", "enable-in: p11-kit-proxy");
	scene_use(scene, NULL);
	CK_FUNCTION_LIST **kept = p11_kit_modules_load(NULL, 0);
	assert_names(kept, "all not-browser");
	p11_kit_set_progname("browser");
	assert_loads(0, "all browser");
	assert_names(kept, "all not-browser");
	p11_kit_set_progname("editor");
	assert_loads(0, "all not-browser");
	p11_kit_set_progname(NULL);
	p11_kit_modules_release(kept);
	scene_free(scene);
}

static unsigned
n_slots_of_proxy(void)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS];
	CK_FUNCTION_LIST *list = core_consumer();
	CK_ULONG n = core_slots(list, ids);

	assert_ok(list->C_Finalize(NULL));
	return (unsigned)n;
}

/* B5: the name stands for everybody who comes through the proxy. The last test: a list of the proxy
 * is never released, and keeps the configuration as it is. */
static void
test_enabled_in_the_proxy_only(void **state)
{
	(void)state;
	struct scene *scene = scene_new();

	scene_chaos(scene, "proxy", "chaos-a", "enable-in: p11-kit-proxy");
	scene_chaos(scene, "not-proxy", "chaos-b", "disable-in: p11-kit-proxy");
	scene_chaos(scene, "tool", "chaos-2.40", "enable-in: tool");
	scene_use(scene, NULL);
	assert_loads(0, "not-proxy");
	assert_int_equal(n_slots_of_proxy(), 1);
	p11_kit_set_progname("tool");
	assert_loads(0, "not-proxy tool");
	assert_int_equal(n_slots_of_proxy(), 2);
	p11_kit_set_progname(NULL);
	scene_free(scene);
}

/* ---- one module, several files ---- */

static void
test_twins(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = scene_chaos(scene, "b", "chaos-a", "x-which: b");

	a->reset();
	assert_int_equal(symlink(chaos_path("chaos-a"), scene_path(scene, "link.so")), 0);
	scene_module(scene, "c", scene_path(scene, "link.so"), "x-which: c\npriority: 1");
	scene_chaos(scene, "a", "chaos-a", "x-which: a");
	scene_use(scene, NULL);
	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
	assert_true(core_message_has("module b") && core_message_has(" c,"));
	assert_names(modules, "c");
	assert_text(p11_kit_config_option(modules[0], "x-which"), "c");
	assert_int_equal(a->calls[CHAOS_C_Initialize], 1);

	/* And whoever comes by path. */
	CK_FUNCTION_LIST *by_path = p11_kit_module_load(chaos_path("chaos-a"), 0);
	assert_text(p11_kit_module_get_name(by_path), "c");
	assert_ok(p11_kit_module_initialize(by_path));
	p11_kit_modules_finalize_and_release(modules);
	assert_int_equal(a->up, 1);
	assert_ok(p11_kit_module_finalize(by_path));
	p11_kit_module_release(by_path);
	assert_true(chaos_is_exact(a));
	scene_free(scene);
}

/* Loaded by its path before the configuration is read: from then on it has its name and options. */
static void
test_known_by_path_first(void **state)
{
	(void)state;
	struct scene *scene = scene_new();

	scene_chaos(scene, "a", "chaos-a", "x-own: yes");
	scene_use(scene, NULL);
	CK_FUNCTION_LIST *by_path = p11_kit_module_load(chaos_path("chaos-a"), 0);
	assert_null(p11_kit_module_get_name(by_path));
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);
	assert_text(p11_kit_module_get_name(by_path), "a");
	assert_text(p11_kit_config_option(by_path, "x-own"), "yes");
	assert_int_equal(p11_kit_module_get_flags(by_path), 0);
	p11_kit_modules_release(modules);
	p11_kit_module_release(by_path);
	scene_free(scene);
}

/* ---- configuration that changes ---- */

static void
test_read_again_when_all_is_released(void **state)
{
	(void)state;
	struct scene *scene = scene_new();

	scene_chaos(scene, "a", "chaos-a", NULL);
	scene_use(scene, NULL);
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);
	scene_chaos(scene, "b", "chaos-b", NULL);
	assert_loads(0, "a");
	p11_kit_modules_release(modules);
	assert_loads(0, "a b");
	scene_remove(scene, "modules/a.module");
	assert_loads(0, "b");

	/* Also when the last to go is one module, or an initialized one (B4). */
	CK_FUNCTION_LIST *module = p11_kit_module_load(chaos_path("chaos-b"), 0);
	modules = p11_kit_modules_load_and_initialize(0);
	p11_kit_modules_release(modules);
	scene_remove(scene, "modules/b.module");
	p11_kit_module_release(module);
	assert_loads(0, "");
	scene_free(scene);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_configured),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_managed_lists_are_ones_own),
		cmocka_unit_test(test_trusted),
		cmocka_unit_test(test_verbose),
		cmocka_unit_test(test_questions),
		cmocka_unit_test(test_broken_preconditions),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_twins),
		cmocka_unit_test(test_known_by_path_first),
		cmocka_unit_test(test_read_again_when_all_is_released),
		cmocka_unit_test(test_enabled_in_the_proxy_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
