/* SPDX-License-Identifier: BSD-3-Clause */
/* p11_kit_initialize_registered() and its kin: the configured modules, unmanaged, counted. */
#define P11_KIT_FUTURE_UNSTABLE_API 1
#define P11_KIT_NO_DEPRECATIONS 1
#include "core/core.h"

#include <stdlib.h>
#include <string.h>

static void
assert_text(char *text, const char *expected)
{
	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
}

static void
test_counted(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = core_configure(scene, "a", "chaos-a", NULL);
	struct chaos *b = core_configure(scene, "b", "chaos-2.40", "priority: 5");
	CK_FUNCTION_LIST *list = chaos_list("chaos-a");

	scene_use(scene, NULL);
	assert_rv(p11_kit_finalize_registered(), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_null(p11_kit_registered_modules());
	assert_ok(p11_kit_initialize_registered());
	assert_ok(p11_kit_initialize_registered());
	assert_ok(p11_kit_initialize_module(list));
	assert_int_equal(a->calls[CHAOS_C_Initialize], 1);

	CK_FUNCTION_LIST **modules = p11_kit_registered_modules();
	assert_non_null(modules);
	assert_ptr_equal(modules[0], chaos_list("chaos-2.40"));
	assert_ptr_equal(modules[1]->C_Initialize, list->C_Initialize);
	assert_null(modules[2]);
	free(modules);

	assert_ok(p11_kit_finalize_registered());
	assert_ok(p11_kit_finalize_registered());
	assert_int_equal(b->up, 0);
	assert_int_equal(a->up, 1);
	assert_ok(p11_kit_finalize_module(list));
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(b));
	assert_rv(p11_kit_finalize_registered(), CKR_CRYPTOKI_NOT_INITIALIZED);
	scene_free(scene);
}

static void
test_questions(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	CK_FUNCTION_LIST unknown = {.version = {2, 40}};

	scene_write(scene, "system.conf", "x-own: of all\n");
	core_configure(scene, "a", "chaos-a", "x-own: of this one");
	core_configure(scene, "b", "chaos-b", NULL);
	scene_use(scene, NULL);
	assert_ok(p11_kit_initialize_registered());
	CK_FUNCTION_LIST *a = p11_kit_registered_name_to_module("a");
	assert_non_null(a);
	assert_null(p11_kit_registered_name_to_module("c"));
	assert_null(p11_kit_registered_name_to_module(NULL));
	assert_text(p11_kit_registered_module_to_name(a), "a");
	assert_null(p11_kit_registered_module_to_name(&unknown));
	assert_null(p11_kit_registered_module_to_name(NULL));
	assert_text(p11_kit_registered_option(a, "x-own"), "of this one");
	assert_text(p11_kit_registered_option(NULL, "x-own"), "of all");
	assert_text(p11_kit_registered_option(&unknown, "x-own"), "of all");
	assert_null(p11_kit_registered_option(a, "x-other"));
	assert_null(p11_kit_registered_option(a, NULL));
	assert_ok(p11_kit_finalize_registered());
	scene_free(scene);
}

/* What the standard lets a module expect, and what is configured for it. */
static void
test_arguments_of_initialize(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = core_configure(scene, "a", "chaos-a", "x-init-reserved: for=this module");
	struct chaos *b = core_configure(scene, "b", "chaos-b", NULL);
	char text[64];

	scene_use(scene, NULL);
	assert_ok(p11_kit_initialize_registered());
	assert_false(a->init_args.was_null);
	assert_true(a->init_args.mutexes_work);
	assert_int_equal(a->init_args.flags, CKF_OS_LOCKING_OK);
	a->reserved(text, sizeof text);
	assert_string_equal(text, "for=this module");
	assert_int_equal(b->init_args.reserved, 0);
	assert_ok(p11_kit_finalize_registered());
	scene_free(scene);
}

static void
test_failures(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = core_configure(scene, "a", "chaos-a", NULL);
	struct chaos *b = core_configure(scene, "b", "chaos-b", NULL);

	scene_module(scene, "missing", "/nowhere/module.so", NULL);
	b->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR});
	scene_use(scene, NULL);
	assert_ok(p11_kit_initialize_registered());
	assert_non_null(p11_kit_message());
	assert_non_null(p11_kit_registered_name_to_module("a"));
	assert_null(p11_kit_registered_name_to_module("b"));
	assert_ok(p11_kit_finalize_registered());

	/* A critical one undoes the rest, and its message stays (B11). */
	scene_remove(scene, "modules/missing.module");
	scene_module(scene, "b", chaos_path("chaos-b"), "critical: yes");
	assert_rv(p11_kit_initialize_registered(), CKR_DEVICE_ERROR);
	assert_true(core_message_has("module b") && core_message_has("CKR_DEVICE_ERROR"));
	assert_int_equal(a->up, 0);
	assert_rv(p11_kit_finalize_registered(), CKR_CRYPTOKI_NOT_INITIALIZED);

	b->fault(CHAOS_C_Initialize, NULL);
	assert_ok(p11_kit_initialize_registered());
	assert_ok(p11_kit_finalize_registered());
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(b));
	scene_free(scene);
}

/* What was initialized is finalized, whatever the program is called meanwhile; and nothing else is
 * loaded to find that out. */
static void
test_program_changes_its_name(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = core_configure(scene, "a", "chaos-a", "disable-in: other");
	struct chaos *b = core_configure(scene, "b", "chaos-b", "enable-in: other");

	scene_module(scene, "missing", "/nowhere/module.so", "enable-in: other");
	scene_use(scene, NULL);
	assert_ok(p11_kit_initialize_registered());
	p11_kit_set_progname("other");
	CK_FUNCTION_LIST **modules = p11_kit_registered_modules();
	assert_non_null(modules);
	assert_null(modules[0]);
	free(modules);
	assert_ok(p11_kit_finalize_registered());
	assert_null(p11_kit_message());
	assert_int_equal(b->calls[CHAOS_C_Initialize], 0);
	assert_true(chaos_is_exact(a));

	assert_ok(p11_kit_initialize_registered());
	p11_kit_set_progname(NULL);
	assert_ok(p11_kit_finalize_registered());
	assert_int_equal(a->initialized + b->initialized, 2);
	assert_true(chaos_is_exact(b));
	scene_free(scene);
}

/* Whoever has initialized nothing may finalize it, too. */
static void
test_nothing_is_configured(void **state)
{
	(void)state;
	struct scene *scene = scene_new();

	scene_use(scene, NULL);
	assert_ok(p11_kit_initialize_registered());
	CK_FUNCTION_LIST **modules = p11_kit_registered_modules();
	assert_non_null(modules);
	assert_null(modules[0]);
	free(modules);
	assert_ok(p11_kit_finalize_registered());
	assert_rv(p11_kit_finalize_registered(), CKR_CRYPTOKI_NOT_INITIALIZED);
	scene_free(scene);
}

#define N_THREADS 8

static void
come_and_go(void *ignored, unsigned i)
{
	(void)ignored, (void)i;
	for (unsigned round = 0; round < 100; round++) {
		core_expect(p11_kit_initialize_registered() == CKR_OK);
		core_expect(p11_kit_finalize_registered() == CKR_OK);
	}
}

static void
test_threads(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = core_configure(scene, "a", "chaos-a", NULL);
	struct chaos *b = core_configure(scene, "b", "chaos-b", NULL);

	scene_use(scene, NULL);
	crew_join(crew_start(N_THREADS, come_and_go, NULL));
	assert_int_equal(core_n_wrong, 0);
	assert_true(a->initialized > 0);
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(b));
	assert_null(p11_kit_registered_modules());
	scene_free(scene);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counted),
		cmocka_unit_test(test_questions),
		cmocka_unit_test(test_arguments_of_initialize),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_program_changes_its_name),
		cmocka_unit_test(test_nothing_is_configured),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
