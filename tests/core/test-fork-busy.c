/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fork() at the wrong moment: while threads are inside us, or hang inside a module, and at any
 * instruction. The child is as every other, and the parent notices nothing.
 */
#include "core/fork.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

/* ---- threads inside us ---- */

static pthread_mutex_t consumer_lock = PTHREAD_MUTEX_INITIALIZER;

static void
take_lock(void)
{
	pthread_mutex_lock(&consumer_lock);
}

static void
drop_lock(void)
{
	pthread_mutex_unlock(&consumer_lock);
}

struct busy {
	atomic_bool is_over;
	bool with_lock;
};

static void
be_busy(void *data, unsigned i)
{
	struct busy *busy = data;

	while (!busy->is_over) {
		if (busy->with_lock)
			take_lock();
		CK_FUNCTION_LIST *list = core_consumer();
		CK_SLOT_ID slot = core_slot(list, i % 2);
		CK_SESSION_HANDLE session = core_open(list, slot);
		core_expect(core_sign(list, session, &(struct chaos_signature){0}) == CKR_OK);
		core_expect(list->C_GetSlotInfo(slot, &(CK_SLOT_INFO){0}) == CKR_OK);
		core_expect(list->C_Finalize(NULL) == CKR_OK);
		CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
		core_expect(modules && modules[0] && modules[1]);
		p11_kit_modules_finalize_and_release(modules);
		if (busy->with_lock) {
			drop_lock();
			support_pause_ms(1); /* let the others have it */
		}
	}
}

static void
fork_while_busy(struct busy *busy)
{
	struct crew *crew = crew_start(4, be_busy, busy);

	for (int i = 0; i < 100; i++)
		assert_int_equal(child_run(fork_be_child, NULL, CHILD_SECONDS), 0);
	busy->is_over = true;
	crew_join(crew);
	assert_int_equal(core_n_wrong, 0);
}

/* Threads are inside us, and some of them sleep inside a module. */
static void
test_fork_while_threads_are_busy(void **state)
{
	(void)state;
	struct busy busy = {.with_lock = false};

	if (!SUPPORT_FORKS_WHILE_BUSY)
		skip();
	fork_begin();
	a->fault(CHAOS_C_GetSlotInfo, &(struct chaos_fault){.sleep_ms = 5});
	fork_while_busy(&busy);
	a->fault(CHAOS_C_GetSlotInfo, NULL);
	fork_end();
}

/* pkcs11-provider does that: its prepare handler takes the lock under which it calls us. */
static void
test_fork_with_a_lock_of_the_consumer(void **state)
{
	(void)state;
	struct busy busy = {.with_lock = true};

	if (!SUPPORT_FORKS_WHILE_BUSY)
		skip();
	fork_begin();
	pthread_atfork(take_lock, drop_lock, drop_lock);
	fork_while_busy(&busy);
	fork_end();
}

/* ---- threads that hang inside a module ---- */

static void
hang(enum chaos_call call, bool here)
{
	struct chaos_fault fault = {.hang = true};

	a->fault(call, here ? &fault : NULL);
	b->fault(call, here ? &fault : NULL);
}

static int
be_child_of_hung(void *data)
{
	hang(*(enum chaos_call *)data, false);
	return fork_be_child(data);
}

/* Two threads call, one by the proxy and one by the managed table; one hangs in a, `n_in_b` in b;
 * the child does not mind. */
static void
fork_under(enum chaos_call call, void (*work)(void *data, unsigned i), unsigned n_in_b)
{
	hang(call, true);
	struct crew *crew = crew_start(2, work, NULL);
	assert_true(WAIT_UNTIL(a->hanging == 1 && b->hanging == n_in_b, 20000));
	assert_int_equal(child_run(be_child_of_hung, &call, CHILD_SECONDS), 0);
	hang(call, false);
	a->release();
	b->release();
	crew_join(crew);
}

static void
call_all(void *data, unsigned i)
{
	CK_FUNCTION_LIST *list = i == 0 ? parent.list : parent.managed;
	CK_SLOT_ID slot = i == 0 ? 0x11 : 0, event;
	CK_SESSION_HANDLE session;

	(void)data;
	core_expect(list->C_GetSlotList(CK_FALSE, NULL, &(CK_ULONG){0}) == CKR_OK);
	core_expect(list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &event, NULL) == CKR_NO_EVENT);
	core_expect(list->C_GetSlotInfo(slot, &(CK_SLOT_INFO){0}) == CKR_OK);
	core_expect(list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session) == CKR_OK);
	core_expect(core_sign(list, session, &(struct chaos_signature){0}) == CKR_OK);
	core_expect(list->C_CloseSession(session) == CKR_OK);
}

static void
test_fork_while_threads_hang_in_calls(void **state)
{
	static const enum chaos_call calls[] = {CHAOS_C_GetSlotList,      CHAOS_C_GetSlotInfo,
						CHAOS_C_WaitForSlotEvent, CHAOS_C_OpenSession,
						CHAOS_C_CloseSession,     CHAOS_C_Sign};

	(void)state;
	fork_begin();
	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
		fork_under(calls[i], call_all, 1);
	assert_int_equal(core_n_wrong, 0);
	fork_end();
}

static void
initialize_one(void *data, unsigned i)
{
	(void)data;
	core_expect((i == 0 ? parent.list : parent.managed)->C_Initialize(NULL) == CKR_OK);
}

static void
finalize_one(void *data, unsigned i)
{
	(void)data;
	core_expect((i == 0 ? parent.list : parent.managed)->C_Finalize(NULL) == CKR_OK);
}

static void
test_fork_while_threads_hang_in_life_cycle_calls(void **state)
{
	(void)state;
	fork_begin_down();
	fork_under(CHAOS_C_Initialize, initialize_one, 1);
	fork_under(CHAOS_C_Finalize, finalize_one, 0); /* the proxy still uses b */
	assert_int_equal(core_n_wrong, 0);
	fork_end_down();
}

/* ---- a signal at any instruction ---- */

#define N_SIGNALS 300

static volatile sig_atomic_t n_signals, n_bad_children;

/* Only once, so that there is time for a few instructions in between. */
static void
signal_soon(void)
{
	struct itimerval soon = {.it_value = {.tv_usec = 20 + n_signals * 37 % 400}};

	setitimer(ITIMER_REAL, &soon, NULL);
}

/*
 * Nothing that allocates: the signal may have come inside malloc(). The child is one of a process
 * with one thread, so fork() itself bears that.
 */
static void
fork_in_handler(int number)
{
	(void)number;
	pid_t pid = fork();
	if (pid == 0)
		_exit(fork_check_proxy_down() || fork_check_managed_down());
	n_bad_children += child_wait(pid, CHILD_SECONDS) != 0;
	n_signals++;
	signal_soon();
}

static void
come_and_go(void)
{
	CK_FUNCTION_LIST *list = core_consumer();
	CK_SESSION_HANDLE session = core_open(list, core_slot(list, 0));

	assert_ok(core_sign(list, session, &(struct chaos_signature){0}));
	assert_ok(list->C_CloseSession(session));
	assert_ok(list->C_Finalize(NULL));
	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
	assert_non_null(modules);
	p11_kit_modules_finalize_and_release(modules);
}

static void
test_fork_in_a_signal_handler_at_any_instruction(void **state)
{
	struct sigaction action = {.sa_handler = fork_in_handler, .sa_flags = SA_RESTART};

	(void)state;
	if (!SUPPORT_FORKS_WHILE_BUSY || support_is_emulated())
		skip();
	fork_begin();
	come_and_go(); /* what is loaded is loaded: dlopen() bears no fork() inside */
	sigaction(SIGALRM, &action, NULL);
	signal_soon();
	while (n_signals < N_SIGNALS)
		come_and_go();
	signal(SIGALRM, SIG_IGN);
	assert_int_equal(n_bad_children, 0);
	fork_end();
}

/* ---- the handler returns in the child, into what it has interrupted ---- */

#define N_RETURNS 2000

static volatile sig_atomic_t is_child;

static void
fork_and_return(int number)
{
	(void)number;
	if (is_child)
		return;
	pid_t pid = fork();
	if (pid == 0) {
		is_child = 1;
		signal(SIGALRM, SIG_IGN);
		return;
	}
	n_bad_children += child_wait(pid, CHILD_SECONDS) != 0;
	n_signals++;
	signal_soon();
}

/* The call in which the child came to be is over; whatever that was, the child starts from
 * nothing. */
static void
leave_if_child(void)
{
	if (is_child)
		_exit(fork_check_proxy_down() || fork_check_managed_down() || fork_check_start());
}

static void
call_each(CK_FUNCTION_LIST *list, CK_SLOT_ID slot)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS];
	CK_SESSION_HANDLE session = 0;
	CK_ULONG n = CORE_MAX_SLOTS;

	/* The fork may have come before it began: then it is the child's own. */
	if (list->C_Initialize(NULL) == CKR_OK && is_child)
		_exit(0);
	leave_if_child();
	(void)list->C_GetSlotList(CK_TRUE, ids, &n);
	leave_if_child();
	(void)list->C_WaitForSlotEvent(CKF_DONT_BLOCK, ids, NULL);
	leave_if_child();
	for (int i = 0; i < 3; i++) {
		(void)list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session);
		leave_if_child();
		(void)list->C_CloseSession(session);
		leave_if_child();
	}
	(void)list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session);
	leave_if_child();
	(void)list->C_Finalize(NULL);
	leave_if_child();
}

static void
test_fork_in_a_signal_handler_that_returns(void **state)
{
	struct sigaction action = {.sa_handler = fork_and_return, .sa_flags = SA_RESTART};

	(void)state;
	if (!SUPPORT_FORKS_WHILE_BUSY || support_is_emulated())
		skip();
	fork_begin_down();
	call_each(parent.list, 0x11); /* what is loaded is loaded */
	n_signals = 0;
	sigaction(SIGALRM, &action, NULL);
	signal_soon();
	while (n_signals < N_RETURNS) {
		call_each(parent.list, 0x11);
		call_each(parent.managed, 0);
	}
	signal(SIGALRM, SIG_IGN);
	assert_int_equal(n_bad_children, 0);
	fork_end_down();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_fork_while_threads_are_busy),
		core_unit_test(test_fork_with_a_lock_of_the_consumer),
		core_unit_test(test_fork_while_threads_hang_in_calls),
		core_unit_test(test_fork_while_threads_hang_in_life_cycle_calls),
		core_unit_test(test_fork_in_a_signal_handler_at_any_instruction),
		core_unit_test(test_fork_in_a_signal_handler_that_returns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
