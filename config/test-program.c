/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/program.h"

#include "config/test-sandbox.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static void
test_choose(void **state)
{
	static const struct {
		const char *invocation, *exe, *name;
	} cases[] = {
		{"prog", "/usr/bin/prog", "prog"},
		{"./sub/prog", "/usr/bin/other", "prog"},
		{"/usr/bin/prog", "/usr/bin/prog", "prog"},
		{"/usr/bin/link", "/usr/bin/prog", "link"},
		{"/usr/bin/prog --file=/a/b", "/usr/bin/prog", "prog"},
		{"/usr/bin/prog --file=/a/b", NULL, "b"},
		{"/usr/bin/prog --file=/a/b", "", "b"},
		{"prog --file=/a/b", "/usr/bin/prog", "b"},
		{"daemon: worker", "/usr/bin/daemon", "daemon: worker"},
		{"", "/usr/bin/prog", ""},
		{"/usr/bin/", NULL, ""},
	};

	(void)state;
	for (size_t i = 0; i < P11_N_ELEMENTS(cases); i++)
		assert_string_equal(p11_program_choose(cases[i].invocation, cases[i].exe),
				    cases[i].name);
}

static void
test_set(void **state)
{
	const char *own = p11_program_name();
	char longer[400], name[] = "changeable";

	(void)state;
	assert_string_equal(own, program_invocation_short_name);
	p11_program_set("another");
	const char *another = p11_program_name();
	assert_string_equal(another, "another");

	p11_program_set(name);
	name[0] = 'X'; /* it was copied */
	assert_string_equal(p11_program_name(), "changeable");
	assert_string_equal(another, "another"); /* still valid */

	memset(longer, 'a', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	p11_program_set(longer);
	assert_int_equal(strlen(p11_program_name()), P11_PROGRAM_MAX);
	assert_memory_equal(p11_program_name(), longer, P11_PROGRAM_MAX);

	p11_program_set("");
	assert_string_equal(p11_program_name(), own);
	p11_program_set("another");
	assert_ptr_equal(p11_program_name(), another);
	p11_program_set(NULL);
	assert_string_equal(p11_program_name(), own);
}

static void *
set_and_read(void *data)
{
	for (int i = 0; i < 2000; i++) {
		p11_program_set(i % 3 ? data : NULL);
		if (strlen(p11_program_name()) > P11_PROGRAM_MAX)
			return data;
	}
	return NULL;
}

/* For the sanitizers: names come and go while others read them. */
static void
test_threads(void **state)
{
	static char names[4][8] = {"one", "two", "three", "four"};
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, set_and_read, names[i]), 0);
	for (size_t i = 0; i < 4; i++) {
		void *bad;

		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
	p11_program_set(NULL);
}

/* A child that was executed under that name tells how it is called; `mode` as main() takes it. */
static char *
name_of_child(const char *invocation, const char *mode)
{
	char exe[PATH_MAX] = "", first[PATH_MAX + 64], second[32];
	char *argv[] = {first, second, NULL};

	assert_true(readlink("/proc/self/exe", exe, sizeof exe - 1) > 0);
	snprintf(first, sizeof first, invocation[0] == ' ' ? "%s%s" : "%.0s%s", exe, invocation);
	snprintf(second, sizeof second, "%s", mode);
	return sandbox_run(exe, argv, 0);
}

static void
test_executed(void **state)
{
	(void)state;
	if (getenv("P11_EMULATED"))
		skip(); /* an emulated program is executed by its emulator */
	assert_dump("plain", name_of_child("plain", "--name"));
	assert_dump("name", name_of_child("/some/other/name", "--name"));
	assert_dump("", name_of_child("", "--name"));

	/* Arguments packed into argv[0] of an absolute path, with a slash that misleads. */
	assert_dump(program_invocation_short_name, name_of_child(" --file=/a/b", "--name"));
}

static void
test_without_proc(void **state)
{
	if (getenv("P11_EMULATED"))
		skip();

	char *name = name_of_child("/some/other/name", "--name-without-proc");

	(void)state;
	if (strcmp(name, "not possible") == 0) {
		free(name);
		skip(); /* not root, or no namespaces here */
	}
	assert_dump("name", name);
	assert_dump("b", name_of_child(" --file=/a/b", "--name-without-proc"));
}

static _Noreturn void
without_proc(void)
{
	bool is_gone = unshare(CLONE_NEWNS) == 0 &&
		       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		       umount2("/proc", MNT_DETACH) == 0 && access("/proc/self", F_OK) != 0;

	fputs(is_gone ? p11_program_name() : "not possible", stdout);
	fflush(stdout);
	_exit(0); /* a leak checker needs /proc */
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choose),       cmocka_unit_test(test_set),
		cmocka_unit_test(test_threads),      cmocka_unit_test(test_executed),
		cmocka_unit_test(test_without_proc),
	};

	if (argc == 2 && strcmp(argv[1], "--name-without-proc") == 0)
		without_proc();
	if (argc == 2 && strcmp(argv[1], "--name") == 0)
		return fputs(p11_program_name(), stdout) < 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
