/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls while and after the process exits, and after the files were closed: an answer, never a
 * crash; and nothing is finalized but where the configuration asks for it. Each test is a child
 * that calls exit().
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
	atomic_ulong overlaps_a, undercut_a;
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
	left->overlaps_a = a->overlaps;
	left->undercut_a = a->undercut;
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

static void
call_a_at_exit(void)
{
	left->n_late++;
	left->n_wrong += core_sign(list, session, &(struct chaos_signature){0}) != CKR_OK;
	left->finalized_a = a->finalized;
}

/* A handler that was registered between the starts of two modules comes before the first one is
 * finalized. */
static int
exit_between_two(void *data)
{
	struct scene *scene = core_scene();

	a = scene_chaos(scene, "a", "chaos-a", data);
	b = scene_chaos(scene, "b", "chaos-b", data);
	scene_use(scene, NULL);
	list = p11_kit_module_load(chaos_path("chaos-a"), 0);
	managed = p11_kit_module_load(chaos_path("chaos-b"), 0);
	/* Both have a configuration once it is read. */
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);
	if (!modules || list->C_Initialize(NULL) != CKR_OK)
		_exit(3);
	session = core_open(list, 0);
	atexit(call_a_at_exit);
	if (managed->C_Initialize(NULL) != CKR_OK)
		_exit(4);
	exit(0);
}

static void
test_each_module_has_its_turn_at_exit(void **state)
{
	static char yes[] = "finalize-at-exit: yes";

	(void)state;
	left->n_late = left->n_wrong = 0;
	left->finalized_a = 99;
	assert_int_equal(child_run(exit_between_two, yes, EXIT_SECONDS), 0);
	assert_int_equal(left->n_late, 1);
	assert_int_equal(left->n_wrong, 0);
	assert_int_equal(left->finalized_a, 0);
}

/* It was started by path, when nobody had read its configuration. */
static int
exit_with_late_key(void *data)
{
	atexit(leave_counts);
	CK_FUNCTION_LIST *early = p11_kit_module_load(chaos_path("chaos-a"), 0);
	if (early->C_Initialize(NULL) != CKR_OK)
		_exit(3);
	begin(data);
	exit(0);
}

static void
test_finalize_at_exit_that_is_configured_late(void **state)
{
	static char yes[] = "finalize-at-exit: yes";

	(void)state;
	assert_int_equal(child_run(exit_with_late_key, yes, EXIT_SECONDS), 0);
	assert_int_equal(left->initialized_a, 1);
	assert_int_equal(left->finalized_a, 1);
}

static atomic_int late_thread; /* 1: begin; 2: it has begun */

static unsigned long
let_thread_begin(struct chaos *chaos, const struct chaos_visit *visit, void *data)
{
	(void)chaos, (void)visit, (void)data;
	late_thread = 1;
	WAIT_UNTIL(late_thread == 2, 20000);
	support_pause_ms(50); /* it must not come in meanwhile */
	return CKR_OK;
}

static void *
initialize_late(void *data)
{
	(void)data;
	CK_FUNCTION_LIST *mine = core_list();
	WAIT_UNTIL(late_thread == 1, 20000);
	late_thread = 2;
	mine->C_Initialize(NULL);
	return NULL;
}

static int
exit_while_another_initializes(void *data)
{
	pthread_t thread;

	atexit(leave_counts);
	begin(data);
	a->fault(CHAOS_C_Finalize, &(struct chaos_fault){.callback = let_thread_begin});
	pthread_create(&thread, NULL, initialize_late, NULL);
	exit(0);
}

static void *
ask_slot(void *data)
{
	(void)data;
	list->C_GetSlotInfo(0x11, &(CK_SLOT_INFO){0});
	return NULL;
}

static void
exit_under_call(void *more_of_a, struct chaos_fault fault)
{
	pthread_t thread;

	atexit(leave_counts);
	begin(more_of_a);
	a->fault(CHAOS_C_GetSlotInfo, &fault);
	pthread_create(&thread, NULL, ask_slot, NULL);
	WAIT_UNTIL(a->inside[CHAOS_C_GetSlotInfo] > 0, 20000);
	exit(0);
}

static int
exit_under_slow_call(void *data)
{
	exit_under_call(data, (struct chaos_fault){.sleep_ms = 100});
	return 2;
}

static int
exit_under_hanging_call(void *data)
{
	exit_under_call(data, (struct chaos_fault){.hang = true});
	return 2;
}

/* C_Finalize comes when no call of ours is inside, and no C_Initialize beside it; or not, if a call
 * does not come back. */
static void
test_finalize_at_exit_under_threads(void **state)
{
	static char yes[] = "finalize-at-exit: yes";

	(void)state;
	if (SUPPORT_TSAN)
		skip(); /* it reports the threads themselves */
	assert_int_equal(child_run(exit_while_another_initializes, yes, EXIT_SECONDS), 0);
	assert_int_equal(left->finalized_a, 1);
	assert_int_equal(left->overlaps_a, 0);

	left->finalized_a = 0;
	assert_int_equal(child_run(exit_under_slow_call, yes, EXIT_SECONDS), 0);
	assert_int_equal(left->finalized_a, 1);
	assert_int_equal(left->undercut_a, 0);

	left->finalized_a = 99;
	assert_int_equal(child_run(exit_under_hanging_call, yes, EXIT_SECONDS), 0);
	assert_int_equal(left->finalized_a, 0);
}

/* ---- exit() inside a module ---- */

static unsigned long
exit_in_module(struct chaos *chaos, const struct chaos_visit *visit, void *data)
{
	(void)chaos, (void)visit, (void)data;
	exit(0);
}

static int
exit_inside(void *data, enum chaos_call call)
{
	atexit(leave_counts);
	begin(data);
	a->fault(call, &(struct chaos_fault){.callback = exit_in_module});
	list->C_GetSlotInfo(0x11, &(CK_SLOT_INFO){0});
	list->C_Finalize(NULL);
	return 2;
}

static int
exit_inside_slot_info(void *data)
{
	return exit_inside(data, CHAOS_C_GetSlotInfo);
}

static int
exit_inside_finalize(void *data)
{
	return exit_inside(data, CHAOS_C_Finalize);
}

static void
test_exit_inside_a_module(void **state)
{
	static char yes[] = "finalize-at-exit: yes";

	(void)state;
	assert_int_equal(child_run(exit_inside_slot_info, NULL, EXIT_SECONDS), 0);
	assert_int_equal(child_run(exit_inside_finalize, NULL, EXIT_SECONDS), 0);
	assert_int_equal(child_run(exit_inside_slot_info, yes, EXIT_SECONDS), 0);
	assert_int_equal(left->undercut_a, 0);
	assert_int_equal(child_run(exit_inside_finalize, yes, EXIT_SECONDS), 0);
	assert_int_equal(left->overlaps_a, 0);
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
		cmocka_unit_test(test_each_module_has_its_turn_at_exit),
		cmocka_unit_test(test_finalize_at_exit_that_is_configured_late),
		cmocka_unit_test(test_finalize_at_exit_under_threads),
		cmocka_unit_test(test_exit_inside_a_module),
		cmocka_unit_test(test_calls_after_dlclose),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
