/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls while and after the process exits, and after the files were closed: an answer, never a crash; and nothing is
 * finalized but where the configuration asks for it. Each test is a child that calls exit().
 */
#include "core/core.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXIT_SECONDS 60

/* What an exiting child leaves behind, for its parent to look at. */
static struct {
	atomic_ulong finalized_a, finalized_b, initialized_a;
	atomic_ulong n_late, n_wrong;
} * left;

static struct chaos *a, *b;
static CK_FUNCTION_LIST *list, *managed;
static CK_SESSION_HANDLE session, managed_session;

static void
begin(const char *more_of_a)
{
	struct scene *scene = core_scene();

	a = scene_chaos(scene, "a", "chaos-a", more_of_a);
	b = scene_chaos(scene, "b", "chaos-b", NULL);
	scene_use(scene, NULL);
	list = core_consumer();
	session = core_open(list, core_slot(list, 0));
	managed = p11_kit_module_load(chaos_path("chaos-b"), 0);
	if (managed->C_Initialize(NULL) != CKR_OK)
		exit(2);
	managed_session = core_open(managed, 0);
}

/* Registered first, so it is called last. */
static void
leave_counts(void)
{
	left->initialized_a = a->initialized;
	left->finalized_a = a->finalized;
	left->finalized_b = b->finalized;
}

/* Everything still works, since nothing was finalized. */
static void
call_late(void)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS];
	struct chaos_signature signature;

	left->n_late++;
	left->n_wrong += core_slots(list, ids) != 2;
	left->n_wrong += core_sign(list, session, &signature) != CKR_OK;
	left->n_wrong += core_sign(managed, managed_session, &signature) != CKR_OK;
	left->n_wrong += core_sign(list, core_open(list, 0x12), &signature) != CKR_OK;
	CK_FUNCTION_LIST *another = core_list();
	left->n_wrong += another->C_Initialize(NULL) != CKR_OK;
	left->n_wrong += another->C_Finalize(NULL) != CKR_OK;
}

static bool calls_in_destructor;

/* Of the program itself. */
__attribute__((destructor)) static void
destroy(void)
{
	if (calls_in_destructor)
		call_late();
}

static int
exit_and_call(void *data)
{
	(void)data;
	atexit(leave_counts);
	atexit(call_late); /* before the library has done anything */
	begin(NULL);
	atexit(call_late);
	calls_in_destructor = true;
	exit(0);
}

static void
test_calls_at_exit(void **state)
{
	(void)state;
	assert_int_equal(child_run(exit_and_call, NULL, EXIT_SECONDS), 0);
	assert_int_equal(left->n_late, 3);
	assert_int_equal(left->n_wrong, 0);
	assert_int_equal(left->finalized_a, 0);
	assert_int_equal(left->finalized_b, 0);
}

/* ---- threads that do not know that all is over ---- */

static void *
call_for_ever(void *data)
{
	struct chaos_signature signature;

	(void)data;
	for (;;) {
		CK_FUNCTION_LIST *mine = core_list();
		mine->C_Initialize(NULL);
		core_sign(list, session, &signature);
		core_sign(managed, managed_session, &signature);
		CK_SESSION_HANDLE opened;
		if (mine->C_OpenSession(0x11, CKF_SERIAL_SESSION, NULL, NULL, &opened) == CKR_OK)
			mine->C_CloseSession(opened);
		mine->C_Finalize(NULL);
	}
	return NULL;
}

static int
exit_under_threads(void *data)
{
	pthread_t thread;

	begin(data);
	for (int i = 0; i < 4; i++)
		pthread_create(&thread, NULL, call_for_ever, NULL);
	support_pause_ms(20);
	exit(0);
}

static void
test_threads_call_while_the_process_exits(void **state)
{
	static char at_exit[] = "finalize-at-exit: yes";

	(void)state;
	if (SUPPORT_TSAN)
		skip(); /* it reports the threads themselves */
	for (int i = 0; i < 20; i++) {
		assert_int_equal(child_run(exit_under_threads, NULL, EXIT_SECONDS), 0);
		assert_int_equal(child_run(exit_under_threads, at_exit, EXIT_SECONDS), 0);
	}
}

/* ---- finalize-at-exit ---- */

static int
exit_with_key(void *data)
{
	atexit(leave_counts);
	begin(data);
	exit(0);
}

static int
exit_after_finalize(void *data)
{
	atexit(leave_counts);
	begin(data);
	if (list->C_Finalize(NULL) != CKR_OK)
		_exit(3);
	exit(0);
}

static int
fork_and_exit(void *data)
{
	atexit(leave_counts);
	begin(data);
	pid_t pid = fork();
	if (pid == 0)
		exit(0); /* it has not initialized anything */
	int code = child_wait(pid, EXIT_SECONDS);
	if (left->finalized_a != 0)
		_exit(4);
	exit(code);
}

static void
test_finalize_at_exit(void **state)
{
	static char yes[] = "finalize-at-exit: yes", no[] = "finalize-at-exit: no";

	(void)state;
	assert_int_equal(child_run(exit_with_key, yes, EXIT_SECONDS), 0);
	assert_int_equal(left->initialized_a, 1);
	assert_int_equal(left->finalized_a, 1);
	assert_int_equal(left->finalized_b, 0);

	assert_int_equal(child_run(exit_with_key, no, EXIT_SECONDS), 0);
	assert_int_equal(left->finalized_a, 0);

	assert_int_equal(child_run(exit_after_finalize, yes, EXIT_SECONDS), 0);
	assert_int_equal(left->finalized_a, 1);

	if (SUPPORT_ASAN)
		return; /* what a child abandons is a leak to it */
	left->finalized_a = 0;
	assert_int_equal(child_run(fork_and_exit, yes, EXIT_SECONDS), 0);
	assert_int_equal(left->finalized_a, 1);
}

/* ---- closed files ---- */

static int
close_files(void *data)
{
	(void)data;
	begin(NULL);
	void *proxy = core_proxy();
	for (int i = 0; i < 50; i++) /* more often than it was opened */
		dlclose(proxy);
	left->n_wrong = 0;
	call_late();
	return left->n_wrong == 0 ? 0 : 1;
}

static void
test_calls_after_dlclose(void **state)
{
	(void)state;
	assert_int_equal(child_run(close_files, NULL, EXIT_SECONDS), 0);
}

static int
set_up(void **state)
{
	(void)state;
	left = mmap(NULL, sizeof *left, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return left == MAP_FAILED ? -1 : 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls_at_exit),
		cmocka_unit_test(test_threads_call_while_the_process_exits),
		cmocka_unit_test(test_finalize_at_exit),
		cmocka_unit_test(test_calls_after_dlclose),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
