/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The same file configured twice is one module. A copy of a file, or a token that two modules show,
 * is shown as it is. All of it is said in a message.
 */
#include "core/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct scene *scene;
static struct chaos *a;

static void
begin(void)
{
	scene = scene_new();
	a = scene_chaos(scene, "a", "chaos-a", NULL);
	scene_use(scene, NULL);
}

static void
end(void)
{
	assert_true(chaos_is_exact(a));
	scene_free(scene);
}

static bool
is_said(const char *what)
{
	const char *message = p11_kit_message();

	return message && strstr(message, what);
}

/* copy.so in the scene, with `more` bytes at its end. */
static void
copy_module(const char *more)
{
	FILE *from = fopen(chaos_path("chaos-a"), "rb");
	FILE *to = fopen(scene_path(scene, "copy.so"), "wb");
	char bytes[4096];
	size_t n;

	assert_true(from && to);
	while ((n = fread(bytes, 1, sizeof bytes, from)) > 0)
		assert_int_equal(fwrite(bytes, 1, n, to), n);
	fwrite(more, 1, strlen(more), to);
	fclose(from);
	assert_int_equal(fclose(to), 0);
	scene_module(scene, "b", scene_path(scene, "copy.so"), NULL);
}

static CK_ULONG
count_modules(CK_FUNCTION_LIST **modules)
{
	CK_ULONG n = 0;

	while (modules[n])
		n++;
	return n;
}

static void
test_one_file_with_two_names(void **state)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS];

	(void)state;
	begin();
	scene_module(scene, "b", chaos_path("chaos-a"), NULL);
	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
	assert_int_equal(count_modules(modules), 1);
	assert_true(is_said("module b: ") && is_said("same module as a"));
	char *name = p11_kit_module_get_name(modules[0]);
	assert_string_equal(name, "a");
	free(name);
	CK_FUNCTION_LIST *list = core_consumer();
	assert_true(is_said("module b: ") && is_said("same module as a"));
	assert_int_equal(core_slots(list, ids), 1);
	assert_int_equal(a->initialized, 1);
	assert_ok(list->C_Finalize(NULL));
	p11_kit_modules_finalize_and_release(modules);
	end();
}

static void
test_link_to_the_file(void **state)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS];

	(void)state;
	begin();
	assert_int_equal(symlink(chaos_path("chaos-a"), scene_path(scene, "link.so")), 0);
	scene_module(scene, "b", scene_path(scene, "link.so"), "priority: 1");
	CK_FUNCTION_LIST *list = core_consumer();
	assert_true(is_said("module a: ") && is_said("same module as b"));
	assert_int_equal(core_slots(list, ids), 1);
	assert_int_equal(a->initialized, 1);
	assert_ok(list->C_Finalize(NULL));
	end();
}

static void
test_copy_of_the_file(void **state)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS];

	(void)state;
	begin();
	copy_module("");
	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
	assert_int_equal(count_modules(modules), 2);
	assert_true(is_said("module b: ") && is_said("copy of that of module a"));
	CK_FUNCTION_LIST *list = core_consumer();
	assert_true(is_said("copy of that of module a"));
	assert_int_equal(core_slots(list, ids), 2);
	assert_int_equal(a->initialized, 1);
	assert_ok(list->C_Finalize(NULL));
	p11_kit_modules_finalize_and_release(modules);
	end();
}

/* As by a vendor's module and OpenSC: the files differ. */
static void
test_token_that_two_modules_show(void **state)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS];
	CK_TOKEN_INFO info;

	(void)state;
	begin();
	copy_module("x");
	a->slots(2);
	CK_FUNCTION_LIST *list = core_consumer();
	assert_false(is_said("copy"));
	assert_int_equal(core_slots(list, ids), 3);
	for (int i = 0; i < 2; i++) {
		assert_ok(list->C_GetTokenInfo(ids[i], &info));
		assert_false(is_said("twice"));
	}
	assert_ok(list->C_GetTokenInfo(ids[2], &info));
	assert_true(is_said("module b: ") && is_said("module a shows too") && is_said("twice"));
	assert_true(is_said("\"chaos-a 0\""));
	assert_ok(list->C_CloseSession(core_open(list, ids[2])));
	/* Once is enough. */
	assert_rv(list->C_Finalize(list), CKR_ARGUMENTS_BAD); /* another message */
	assert_ok(list->C_GetTokenInfo(ids[2], &info));
	assert_false(is_said("twice"));
	assert_ok(list->C_Finalize(NULL));
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_one_file_with_two_names),
		core_unit_test(test_link_to_the_file),
		core_unit_test(test_copy_of_the_file),
		core_unit_test(test_token_that_two_modules_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
