/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A child of fork, however and whenever it is made: nobody is initialized there, every call says
 * so, C_Initialize works, and the parent notices nothing.
 */
#include "core/fork.h"

#include <p11-kit/pin.h>

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- plain ---- */

static void
test_fork(void **state)
{
	(void)state;
	fork_begin();
	assert_int_equal(child_run(fork_be_child, NULL, CHILD_SECONDS), 0);
	fork_end();
}

static int
have_grandchild(void *data)
{
	CHECK(child_run(fork_be_child, data, CHILD_SECONDS) == 0);
	return fork_be_child(data);
}

static void
test_fork_twice(void **state)
{
	(void)state;
	fork_begin();
	assert_int_equal(child_run(have_grandchild, NULL, 2 * CHILD_SECONDS), 0);
	fork_end();
}

static int
be_daemon(void *data)
{
	int *pipe = data;

	if (daemon(1, 1) < 0)
		return 2;
	char code = (char)fork_be_child(NULL);
	return write(pipe[1], &code, 1) == 1 ? 0 : 3;
}

static void
test_daemon(void **state)
{
	(void)state;
	int ends[2];
	char code = 99;

	fork_begin();
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(child_run(be_daemon, ends, CHILD_SECONDS), 0);
	close(ends[1]);
	assert_int_equal(read(ends[0], &code, 1), 1);
	assert_int_equal(code, 0);
	fork_end();
}

/* A module that notices the fork is down in the child, and one that does not says that it is up. */
static void
test_fork_with_a_module_that_notices(void **state)
{
	(void)state;
	fork_begin();
	a->forked = CHAOS_FORKED_NOTICES;
	assert_int_equal(child_run(fork_be_child, NULL, CHILD_SECONDS), 0);
	fork_end();
}

/* ---- without handlers ---- */

/*
 * The proxy's tables are down as after fork(). A managed table's functions are the vendor's, until
 * a call of ours finds out that this is a child.
 */
static int
be_child_without_handlers(void *data)
{
	(void)data;
	CHECK(core_sign(parent.managed, parent.managed_session, &(struct chaos_signature){0}) ==
	      CKR_OK);
	CHECK(fork_check_proxy_down() == 0);
	CHECK(fork_check_managed_down() == 0);
	CHECK(fork_check_start() == 0);
	return 0;
}

static void
test_fork_without_handlers(void **state)
{
	(void)state;
	fork_begin();
	pid_t pid = _Fork();
	if (pid == 0)
		_exit(be_child_without_handlers(NULL));
	assert_int_equal(child_wait(pid, CHILD_SECONDS), 0);

	long cloned = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (cloned == 0)
		_exit(be_child_without_handlers(NULL));
	assert_int_equal(child_wait((int)cloned, CHILD_SECONDS), 0);
	fork_end();
}

/* They run in the parent's memory: what they looked at must not have become a child's. */
static void
test_vfork_and_spawn(void **state)
{
	(void)state;
	char name[] = "true", *argv[] = {name, NULL}, *envp[] = {NULL};
	pid_t pid;

	if (SUPPORT_TSAN)
		skip();
	fork_begin();
	pid = vfork();
	if (pid == 0) {
		CK_RV rv = core_sign(parent.list, parent.session, &(struct chaos_signature){0});
		_exit(rv == CKR_OK ? 0 : 1);
	}
	assert_int_equal(child_wait(pid, CHILD_SECONDS), 0);
	assert_int_equal(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp), 0);
	assert_int_equal(child_wait(pid, CHILD_SECONDS), 0);
	fork_end();
}

/* ---- from inside ---- */

static volatile int handler_code;

static void
fork_in_handler(int number)
{
	(void)number;
	pid_t pid = fork();
	if (pid == 0)
		_exit(fork_be_child(NULL));
	handler_code = child_wait(pid, CHILD_SECONDS);
}

static void
test_fork_in_a_signal_handler(void **state)
{
	(void)state;
	if (SUPPORT_TSAN)
		skip();
	fork_begin();
	signal(SIGUSR1, fork_in_handler);
	handler_code = 99;
	raise(SIGUSR1);
	assert_int_equal(handler_code, 0);
	fork_end();
}

static P11KitPin *
fork_for_pin(const char *source, P11KitUri *uri, const char *description, P11KitPinFlags flags,
	     void *data)
{
	(void)source, (void)uri, (void)description, (void)flags;
	*(int *)data = child_run(fork_be_child, NULL, CHILD_SECONDS);
	return p11_kit_pin_new_for_string("1234");
}

static void
test_fork_in_a_pin_callback(void **state)
{
	(void)state;
	int code = 99;

	fork_begin();
	assert_int_equal(p11_kit_pin_register_callback("forks", fork_for_pin, &code, NULL), 0);
	P11KitPin *pin =
		p11_kit_pin_request("forks", NULL, "the PIN", P11_KIT_PIN_FLAGS_USER_LOGIN);
	assert_non_null(pin);
	p11_kit_pin_unref(pin);
	assert_int_equal(code, 0);
	p11_kit_pin_unregister_callback("forks", fork_for_pin, &code);
	fork_end();
}

static unsigned long
fork_in_module(struct chaos *chaos, const struct chaos_visit *visit, void *data)
{
	(void)chaos, (void)visit;
	*(int *)data = child_run(fork_be_child, NULL, CHILD_SECONDS);
	return CKR_OK;
}

/* Inside each of our calls that enters a module. */
static void
test_fork_inside_a_module(void **state)
{
	static const enum chaos_call calls[] = {CHAOS_C_GetSlotList,      CHAOS_C_GetSlotInfo,
						CHAOS_C_OpenSession,      CHAOS_C_CloseSession,
						CHAOS_C_WaitForSlotEvent, CHAOS_C_Sign};

	(void)state;
	fork_begin();
	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		int code = 99;
		CK_SLOT_ID slot;
		CK_SESSION_HANDLE session;

		a->fault(calls[i], &(struct chaos_fault){
					   .callback = fork_in_module, .data = &code, .times = 1});
		assert_ok(parent.list->C_GetSlotList(CK_TRUE, NULL, &(CK_ULONG){0}));
		assert_rv(parent.list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL),
			  CKR_NO_EVENT);
		session = core_open(parent.list, 0x11);
		assert_ok(core_sign(parent.list, session, &(struct chaos_signature){0}));
		assert_ok(parent.list->C_CloseSession(session));
		assert_int_equal(code, 0);
		a->fault(calls[i], NULL);
	}
	fork_end();
}

static CK_RV
fork_when_notified(CK_SESSION_HANDLE session, CK_NOTIFICATION event, CK_VOID_PTR application)
{
	(void)session, (void)event;
	*(int *)application = child_run(fork_be_child, NULL, CHILD_SECONDS);
	return CKR_OK;
}

static void
test_fork_in_a_notify_callback(void **state)
{
	(void)state;
	CK_SESSION_HANDLE session;
	int code = 99;

	fork_begin();
	a->notify_on_open = true;
	assert_ok(parent.list->C_OpenSession(0x11, CKF_SERIAL_SESSION, &code, fork_when_notified,
					     &session));
	assert_int_equal(code, 0);
	assert_ok(parent.list->C_CloseSession(session));
	fork_end();
}

/* The module forks inside, and both go on: the child's call ends with NOT_INITIALIZED. */
static int
go_on_after_fork(void *data)
{
	CK_SESSION_HANDLE session;
	CK_FUNCTION_LIST *list = parent.list;

	(void)data;
	CHECK(list->C_Initialize(NULL) == CKR_OK);
	a->fault(CHAOS_C_OpenSession,
		 &(struct chaos_fault){.fork = CHAOS_FORK_BOTH_RETURN, .times = 1});
	CK_RV rv = list->C_OpenSession(0x11, CKF_SERIAL_SESSION, NULL, NULL, &session);
	if (a->forked_child == 0) {
		CHECK(rv == CKR_CRYPTOKI_NOT_INITIALIZED);
		CHECK(fork_check_start() == 0);
		_exit(0);
	}
	CHECK(rv == CKR_OK);
	CHECK(child_wait(a->forked_child, CHILD_SECONDS) == 0);
	return list->C_Finalize(NULL) == CKR_OK ? 0 : 1;
}

static void
test_a_module_forks_and_both_return(void **state)
{
	(void)state;
	fork_begin();
	assert_int_equal(child_run(go_on_after_fork, NULL, 2 * CHILD_SECONDS), 0);
	fork_end();
}

#define N_HELD 3000

static CK_SESSION_HANDLE held[N_HELD];
static CK_FUNCTION_LIST *childs;
static volatile pid_t forked;

static unsigned long
fork_and_open(struct chaos *chaos, const struct chaos_visit *visit, void *data)
{
	(void)chaos;
	(void)visit;
	(void)data;
	forked = fork();
	if (forked == 0) {
		childs = core_consumer();
		core_open(childs, core_slot(childs, 0));
	}
	return CKR_OK;
}

/*
 * A module forks inside C_CloseSession, and the child uses the proxy before the call returns there:
 * the entry whose session was being closed is the child's like all others, and is not given back
 * twice.
 */
static int
close_and_fork(void *data)
{
	(void)data;
	CK_FUNCTION_LIST *list = core_consumer();
	CK_SESSION_HANDLE session = core_open(list, core_slot(list, 0));

	a->fault(CHAOS_C_CloseSession,
		 &(struct chaos_fault){.callback = fork_and_open, .times = 1});
	CK_RV rv = list->C_CloseSession(session);
	if (forked != 0) {
		CHECK(rv == CKR_OK);
		return child_wait(forked, CHILD_SECONDS);
	}
	CHECK(rv == CKR_CRYPTOKI_NOT_INITIALIZED);
	for (unsigned i = 0; i < N_HELD; i++)
		held[i] = core_open(childs, 0x11);
	for (unsigned i = 0; i < 2 * N_HELD; i++)
		CHECK(childs->C_CloseSession(core_open(childs, 0x11)) == CKR_OK);
	for (unsigned i = 0; i < N_HELD; i++)
		CHECK(core_sign(childs, held[i], &(struct chaos_signature){0}) == CKR_OK);
	_exit(0);
}

static void
test_a_module_forks_while_it_closes(void **state)
{
	(void)state;
	fork_begin();
	assert_int_equal(child_run(close_and_fork, NULL, 2 * CHILD_SECONDS), 0);
	fork_end();
}

/* The child starts no module that it has not initialized itself, though the list goes on there. */
static int
list_and_fork(void *data)
{
	CK_ULONG n = 0;

	(void)data;
	a->fault(CHAOS_C_GetSlotList,
		 &(struct chaos_fault){.fork = CHAOS_FORK_BOTH_RETURN, .times = 1});
	a->forked = b->forked = CHAOS_FORKED_NOTICES;
	unsigned long initialized = b->calls[CHAOS_C_Initialize];
	(void)parent.list->C_GetSlotList(CK_FALSE, NULL, &n);
	if (a->forked_child > 0)
		return child_wait(a->forked_child, CHILD_SECONDS);
	CHECK(b->calls[CHAOS_C_Initialize] == initialized);
	_exit(0);
}

static void
test_a_module_forks_while_it_lists(void **state)
{
	(void)state;
	fork_begin();
	assert_int_equal(child_run(list_and_fork, NULL, 2 * CHILD_SECONDS), 0);
	fork_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_fork),
		core_unit_test(test_fork_twice),
		core_unit_test(test_daemon),
		core_unit_test(test_fork_with_a_module_that_notices),
		core_unit_test(test_fork_without_handlers),
		core_unit_test(test_vfork_and_spawn),
		core_unit_test(test_fork_in_a_signal_handler),
		core_unit_test(test_fork_in_a_pin_callback),
		core_unit_test(test_fork_inside_a_module),
		core_unit_test(test_fork_in_a_notify_callback),
		core_unit_test(test_a_module_forks_and_both_return),
		core_unit_test(test_a_module_forks_while_it_closes),
		core_unit_test(test_a_module_forks_while_it_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
