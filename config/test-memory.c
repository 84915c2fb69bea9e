/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A load while memory runs out, at each of its allocations in turn: it gives all or nothing, and
 * loses nothing (the leak checker of a sanitizer build looks). The linker's --wrap puts the
 * functions below before libc's.
 */
#include "config/config.h"

#include "base/message.h"
#include "config/program.h"
#include "config/test-sandbox.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long n_left = -1; /* allocations before the one that fails; -1: none fails */

static bool
fails(void)
{
	return n_left >= 0 && n_left-- == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t n, size_t size);
char *__real_strdup(const char *string);
char *__real_strndup(const char *string, size_t length);
int __real_vasprintf(char **out, const char *format, va_list args) P11_PRINTF(2, 0);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
char *__wrap_strdup(const char *string);
char *__wrap_strndup(const char *string, size_t length);
int __wrap_vasprintf(char **out, const char *format, va_list args) P11_PRINTF(2, 0);
int __wrap_asprintf(char **out, const char *format, ...) P11_PRINTF(2, 3);

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

void *
__wrap_reallocarray(void *old, size_t n, size_t size)
{
	return fails() ? NULL : __real_reallocarray(old, n, size);
}

char *
__wrap_strdup(const char *string)
{
	return fails() ? NULL : __real_strdup(string);
}

char *
__wrap_strndup(const char *string, size_t length)
{
	return fails() ? NULL : __real_strndup(string, length);
}

int
__wrap_vasprintf(char **out, const char *format, va_list args)
{
	return fails() ? -1 : __real_vasprintf(out, format, args);
}

int
__wrap_asprintf(char **out, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int length = __wrap_vasprintf(out, format, args);
	va_end(args);
	return length;
}

static void
put_files(const struct sandbox *sandbox)
{
	sandbox_put(sandbox, "pkcs11.conf", "managed: yes\nx-own: 1\nmispeled: 2\n");
	sandbox_put(sandbox, "system/a.module", "module: a.so\nenable-in: x\ndisable-in: y\n");
	sandbox_put(sandbox, "package/a.module", "priority: 5\nmodule: b.so\n");
	sandbox_put(sandbox, "package/b.module", "module: /lib/b.so\nx-c: a long value\n");
	sandbox_put(sandbox, "package/bad.module", "x-a: 1\noops\n");
	sandbox_put(sandbox, "package/odd", "module: odd.so\n");
}

static void
assert_complete(const struct p11_config_set *set)
{
	assert_int_equal(set->n_modules, 3);
	assert_string_equal(p11_config_get(set->global, "x-own"), "1");
	assert_int_equal(p11_config_priority(sandbox_module(set, "a")), 5);
	assert_string_equal(p11_config_module_path(sandbox_module(set, "a")), "/lib/pkcs11/a.so");
	assert_string_equal(p11_config_module_path(sandbox_module(set, "b")), "/lib/b.so");
	assert_non_null(sandbox_module(set, "odd"));
}

static void
test_load_is_all_or_nothing(void **state)
{
	struct sandbox *sandbox = *state;
	struct p11_config_set *set = NULL;
	long n = 0;

	put_files(sandbox);
	for (; !set; n++) {
		p11_message_clear();
		n_left = n;
		set = p11_config_load(&sandbox->paths);
		n_left = -1;
		if (!set)
			sandbox_assert_message("no memory to read the configuration");
	}
	assert_complete(set);
	assert_in_range(n, 50, 500); /* it did count allocations */
	p11_config_set_free(set);
}

static void
test_expand_and_join(void **state)
{
	char *out = NULL;

	(void)state;
	setenv("HOME", "/h", 1);
	n_left = 0;
	assert_int_not_equal(p11_paths_expand("~/x", &out), 0);
	n_left = 0;
	assert_null(p11_paths_join("/a", "b"));
	n_left = -1;
	assert_null(out);
}

static void
test_program(void **state)
{
	(void)state;
	p11_program_set("kept");
	p11_message_clear();
	n_left = 0;
	p11_program_set("not kept");
	n_left = -1;
	sandbox_assert_message("no memory to set the program's name");
	assert_string_equal(p11_program_name(), "kept");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_load_is_all_or_nothing, sandbox_setup,
						sandbox_teardown),
		cmocka_unit_test(test_expand_and_join),
		cmocka_unit_test(test_program),
	};

	setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
