/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * base/fork.h: every child finds the page empty and resets once, however it was made; vfork and
 * posix_spawn change nothing in the parent.
 */
#include "base/fork.h"

#include "support/support.h"

#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define BOUND 42u

static atomic_uint n_resets, n_other_resets;

static void
reset(void)
{
	n_resets++;
}

static void
other_reset(void)
{
	n_other_resets++;
}

__attribute__((constructor)) static void
begin(void)
{
	static struct p11_fork_reset row = {.reset = reset}, other = {.reset = other_reset};

	p11_fork_register(&row);
	p11_fork_register(&other);
}

static int
setup(void **state)
{
	(void)state;
	n_resets = n_other_resets = 0;
	p11_fork_page.bound = BOUND;
	p11_fork_check();
	return 0;
}

static int
is_unharmed(void **state)
{
	(void)state;
	p11_fork_check();
	return p11_fork_page.bound != BOUND || n_resets != 0 || n_other_resets != 0;
}

static int
look_after_check(unsigned generation)
{
	p11_fork_check();
	p11_fork_check();
	if (n_resets != 1 || n_other_resets != 1)
		return 2;
	return p11_fork_generation() == generation ? 3 : 0;
}

/* In a child whose handler may have run. */
static int
look(unsigned generation, bool has_handler)
{
	if (p11_fork_page.bound != 0)
		return 1;
	if (n_resets != (has_handler ? 1 : 0))
		return 4;
	return look_after_check(generation);
}

static void
test_fork(void **state)
{
	unsigned generation = p11_fork_generation();

	(void)state;
	pid_t pid = fork();
	if (pid == 0)
		_exit(look(generation, true));
	assert_int_equal(child_wait(pid, 60), 0);
	assert_int_equal(p11_fork_generation(), generation);
}

static void
test_fork_without_handlers(void **state)
{
	if (support_is_emulated())
		skip();
	unsigned generation = p11_fork_generation();

	(void)state;
	pid_t pid = _Fork();
	if (pid == 0)
		_exit(look(generation, false));
	assert_int_equal(child_wait(pid, 60), 0);
}

static void
test_clone(void **state)
{
	if (support_is_emulated())
		skip();
	unsigned generation = p11_fork_generation();

	(void)state;
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(look(generation, false));
	assert_int_equal(child_wait((int)pid, 60), 0);
}

static unsigned generation_in_handler;
static volatile pid_t forked_by_handler;

static void
fork_in_handler(int signal)
{
	(void)signal;
	forked_by_handler = fork();
	if (forked_by_handler == 0)
		_exit(look(generation_in_handler, true));
}

static void
test_fork_in_a_signal_handler(void **state)
{
	if (SUPPORT_TSAN)
		skip();
	(void)state;
	generation_in_handler = p11_fork_generation();
	signal(SIGUSR1, fork_in_handler);
	raise(SIGUSR1);
	signal(SIGUSR1, SIG_DFL);
	assert_int_equal(child_wait(forked_by_handler, 60), 0);
}

static int
make_grandchild(void *data)
{
	unsigned generation = p11_fork_generation();

	(void)data;
	n_resets = n_other_resets = 0;
	p11_fork_page.bound = BOUND;
	pid_t pid = fork();
	if (pid == 0)
		_exit(look(generation, true));
	if (child_wait(pid, 60) != 0)
		return 1;
	return p11_fork_page.bound == BOUND && n_resets == 0 ? 0 : 2;
}

static void
test_grandchild(void **state)
{
	(void)state;
	assert_int_equal(child_run(make_grandchild, NULL, 60), 0);
}

static void
check_together(void *data, unsigned i)
{
	(void)data, (void)i;
	p11_fork_check();
	if (n_resets != 1 || n_other_resets != 1)
		_exit(1);
}

/* No handler has run, and several threads of the child find that out together. */
static void
test_threads_of_a_child(void **state)
{
	(void)state;
	if (support_is_emulated())
		skip();
	for (int i = 0; i < 20; i++) {
		pid_t pid = _Fork();
		if (pid == 0) {
			crew_join(crew_start(4, check_together, NULL));
			_exit(n_resets == 1 ? 0 : 2);
		}
		assert_int_equal(child_wait(pid, 60), 0);
	}
}

/* The child of vfork runs in the parent's memory: its check must not reset the parent. */
static void
test_vfork(void **state)
{
	if (SUPPORT_TSAN)
		skip();
	unsigned generation = p11_fork_generation();

	(void)state;
	pid_t pid = vfork();
	if (pid == 0) {
		p11_fork_check();
		_exit(p11_fork_page.bound == BOUND ? 0 : 1);
	}
	assert_int_equal(child_wait(pid, 60), 0);
	assert_int_equal(p11_fork_generation(), generation);
}

static void
test_posix_spawn(void **state)
{
	char *argv[] = {(char[]){"true"}, NULL};
	char *no_environment[] = {NULL};
	pid_t pid;

	(void)state;
	assert_int_equal(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, no_environment), 0);
	assert_int_equal(child_wait(pid, 60), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fork, setup, is_unharmed),
		cmocka_unit_test_setup_teardown(test_fork_without_handlers, setup, is_unharmed),
		cmocka_unit_test_setup_teardown(test_clone, setup, is_unharmed),
		cmocka_unit_test_setup_teardown(test_fork_in_a_signal_handler, setup, is_unharmed),
		cmocka_unit_test_setup_teardown(test_grandchild, setup, is_unharmed),
		cmocka_unit_test_setup_teardown(test_threads_of_a_child, setup, is_unharmed),
		cmocka_unit_test_setup_teardown(test_vfork, setup, is_unharmed),
		cmocka_unit_test_setup_teardown(test_posix_spawn, setup, is_unharmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
