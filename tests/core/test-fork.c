/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A child of fork, however and whenever it is made: nobody is initialized there, every call says so, C_Initialize works, and
 * the parent notices nothing.
 */
#include "core/core.h"

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

#define CHILD_SECONDS 60

static struct chaos *a, *b;

/* A parent with a proxy's consumer and a managed one, each with a session. */
static struct {
	CK_FUNCTION_LIST *list;
	CK_FUNCTION_LIST_3_2 *newest; /* of another consumer, up too */
	CK_FUNCTION_LIST *managed;
	CK_SESSION_HANDLE session, managed_session;
} parent;

static void
begin(void)
{
	struct scene *scene = core_scene();

	a = scene_chaos(scene, "a", "chaos-a", NULL);
	b = scene_chaos(scene, "b", "chaos-b", NULL);
	scene_use(scene, NULL);
	parent.list = core_consumer();
	parent.newest = core_interface(3, 2);
	assert_ok(parent.newest->C_Initialize(NULL));
	parent.session = core_open(parent.list, core_slot(parent.list, 0));
	parent.managed = p11_kit_module_load(chaos_path("chaos-b"), 0);
	assert_ok(parent.managed->C_Initialize(NULL));
	parent.managed_session = core_open(parent.managed, 0);
}

/* The parent goes on as if nothing had been. */
static void
end(void)
{
	struct chaos_signature signature;

	assert_ok(core_sign(parent.list, parent.session, &signature));
	assert_string_equal(signature.module, "chaos-a");
	assert_ok(core_sign(parent.managed, parent.managed_session, &signature));
	assert_ok(parent.list->C_CloseSession(parent.session));
	assert_ok(parent.managed->C_CloseSession(parent.managed_session));
	assert_ok(parent.list->C_Finalize(NULL));
	assert_ok(parent.newest->C_Finalize(NULL));
	assert_ok(parent.managed->C_Finalize(NULL));
	p11_kit_module_release(parent.managed);
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(b));
}

/* ---- what children check: the line that failed is told by the exit code's message ---- */

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "test-fork.c:%d: in the child: %s\n", __LINE__,            \
				#condition);                                                       \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

typedef CK_RV (*any_entry)(CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG,
			   CK_ULONG, CK_ULONG, CK_ULONG);

static bool
is_always_answered(const char *name)
{
	static const char *const names[] = {"C_Initialize",        "C_GetFunctionList",
					    "C_GetInterface",      "C_GetInterfaceList",
					    "C_GetFunctionStatus", "C_CancelFunction"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/* Every entry but those, given `session` where a session may stand. */
static int
check_entries(const void *list, unsigned n, CK_ULONG session, CK_RV expected)
{
	for (unsigned i = 0; i < n; i++) {
		any_entry entry;
		memcpy(&entry, (const char *)list + sizeof(void *) * (i + 1), sizeof entry);
		if (is_always_answered(chaos_call_names[i]))
			continue;
		CK_RV rv = entry(session, 0, 0, 0, 0, 0, 0, 0, 0, 0);
		if (rv != expected && strcmp(chaos_call_names[i], "C_Finalize") == 0 && session)
			continue; /* the session is its pReserved */
		if (rv != expected)
			fprintf(stderr, "%s: %#lx\n", chaos_call_names[i], rv);
		CHECK(rv == expected);
	}
	return 0;
}

static int
check_all_down(void)
{
	CHECK(check_entries(parent.list, 68, 0, CKR_CRYPTOKI_NOT_INITIALIZED) == 0);
	CHECK(check_entries(parent.newest, CHAOS_N_CALLS, 0, CKR_CRYPTOKI_NOT_INITIALIZED) == 0);
	CHECK(core_sign(parent.list, parent.session, &(struct chaos_signature){0}) ==
	      CKR_CRYPTOKI_NOT_INITIALIZED);
	return 0;
}

static int
check_managed_down(void)
{
	CHECK(check_entries(parent.managed, CHAOS_N_CALLS, 0, CKR_CRYPTOKI_NOT_INITIALIZED) == 0);
	CHECK(parent.managed->C_Finalize(NULL) == CKR_CRYPTOKI_NOT_INITIALIZED);
	return 0;
}

/* The child starts anew: the same ids, sessions of its own, and none of the parent's. */
static int
check_start(void)
{
	struct chaos_signature signature;

	CHECK(parent.list->C_Initialize(NULL) == CKR_OK);
	CHECK(core_slot(parent.list, 0) == 0x11 && core_slot(parent.list, 1) == 0x12);
	CHECK(core_sign(parent.list, parent.session, &signature) == CKR_SESSION_HANDLE_INVALID);
	/* Another consumer that is still down: a session call cannot know whose the handle would be. */
	CHECK(core_sign((CK_FUNCTION_LIST *)parent.newest, parent.session, &signature) ==
	      CKR_SESSION_HANDLE_INVALID);
	CHECK(parent.newest->C_GetSlotList(CK_FALSE, NULL, &(CK_ULONG){0}) ==
	      CKR_CRYPTOKI_NOT_INITIALIZED);
	CK_SESSION_HANDLE session = core_open(parent.list, 0x12);
	CHECK(session != parent.session);
	CHECK(core_sign(parent.list, session, &signature) == CKR_OK);
	CHECK(strcmp(signature.module, "chaos-b") == 0);
	CHECK(parent.list->C_Finalize(NULL) == CKR_OK);
	CHECK(parent.list->C_Finalize(NULL) == CKR_CRYPTOKI_NOT_INITIALIZED);
	return 0;
}

static int
be_child(void *data)
{
	(void)data;
	/* A fault of the parent's that hangs or sleeps is not for the child. */
	a->fault(CHAOS_ANY, NULL);
	a->fault(CHAOS_C_GetSlotInfo, NULL);
	CHECK(check_all_down() == 0);
	CHECK(check_managed_down() == 0);
	CHECK(check_start() == 0);
	CHECK(parent.managed->C_Initialize(NULL) == CKR_OK);
	CHECK(core_sign(parent.managed, core_open(parent.managed, 0),
			&(struct chaos_signature){0}) == CKR_OK);
	CHECK(parent.managed->C_Finalize(NULL) == CKR_OK);
	return 0;
}

/* ---- plain ---- */

static void
test_fork(void **state)
{
	(void)state;
	begin();
	assert_int_equal(child_run(be_child, NULL, CHILD_SECONDS), 0);
	end();
}

static int
have_grandchild(void *data)
{
	CHECK(child_run(be_child, data, CHILD_SECONDS) == 0);
	return be_child(data);
}

static void
test_fork_twice(void **state)
{
	(void)state;
	begin();
	assert_int_equal(child_run(have_grandchild, NULL, 2 * CHILD_SECONDS), 0);
	end();
}

static int
be_daemon(void *data)
{
	int *pipe = data;

	if (daemon(1, 1) < 0)
		return 2;
	char code = (char)be_child(NULL);
	return write(pipe[1], &code, 1) == 1 ? 0 : 3;
}

static void
test_daemon(void **state)
{
	(void)state;
	int ends[2];
	char code = 99;

	begin();
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(child_run(be_daemon, ends, CHILD_SECONDS), 0);
	close(ends[1]);
	assert_int_equal(read(ends[0], &code, 1), 1);
	assert_int_equal(code, 0);
	end();
}

/* A module that notices the fork is down in the child, and one that does not says that it is up. */
static void
test_fork_with_a_module_that_notices(void **state)
{
	(void)state;
	begin();
	a->forked = CHAOS_FORKED_NOTICES;
	assert_int_equal(child_run(be_child, NULL, CHILD_SECONDS), 0);
	end();
}

/* ---- without handlers ---- */

/*
 * The proxy's tables are down as after fork(). A managed table's functions are the vendor's, until a call of ours finds out
 * that this is a child.
 */
static int
be_child_without_handlers(void *data)
{
	(void)data;
	CHECK(core_sign(parent.managed, parent.managed_session, &(struct chaos_signature){0}) ==
	      CKR_OK);
	CHECK(check_all_down() == 0);
	CHECK(check_managed_down() == 0);
	CHECK(check_start() == 0);
	return 0;
}

static void
test_fork_without_handlers(void **state)
{
	(void)state;
	begin();
	pid_t pid = _Fork();
	if (pid == 0)
		_exit(be_child_without_handlers(NULL));
	assert_int_equal(child_wait(pid, CHILD_SECONDS), 0);

	long cloned = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (cloned == 0)
		_exit(be_child_without_handlers(NULL));
	assert_int_equal(child_wait((int)cloned, CHILD_SECONDS), 0);
	end();
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
	begin();
	pid = vfork();
	if (pid == 0) {
		CK_RV rv = core_sign(parent.list, parent.session, &(struct chaos_signature){0});
		_exit(rv == CKR_OK ? 0 : 1);
	}
	assert_int_equal(child_wait(pid, CHILD_SECONDS), 0);
	assert_int_equal(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp), 0);
	assert_int_equal(child_wait(pid, CHILD_SECONDS), 0);
	end();
}

/* ---- from inside ---- */

static volatile int handler_code;

static void
fork_in_handler(int number)
{
	(void)number;
	pid_t pid = fork();
	if (pid == 0)
		_exit(be_child(NULL));
	handler_code = child_wait(pid, CHILD_SECONDS);
}

static void
test_fork_in_a_signal_handler(void **state)
{
	(void)state;
	if (SUPPORT_TSAN)
		skip();
	begin();
	signal(SIGUSR1, fork_in_handler);
	handler_code = 99;
	raise(SIGUSR1);
	assert_int_equal(handler_code, 0);
	end();
}

static P11KitPin *
fork_for_pin(const char *source, P11KitUri *uri, const char *description, P11KitPinFlags flags,
	     void *data)
{
	(void)source, (void)uri, (void)description, (void)flags;
	*(int *)data = child_run(be_child, NULL, CHILD_SECONDS);
	return p11_kit_pin_new_for_string("1234");
}

static void
test_fork_in_a_pin_callback(void **state)
{
	(void)state;
	int code = 99;

	begin();
	assert_int_equal(p11_kit_pin_register_callback("forks", fork_for_pin, &code, NULL), 0);
	P11KitPin *pin =
		p11_kit_pin_request("forks", NULL, "the PIN", P11_KIT_PIN_FLAGS_USER_LOGIN);
	assert_non_null(pin);
	p11_kit_pin_unref(pin);
	assert_int_equal(code, 0);
	p11_kit_pin_unregister_callback("forks", fork_for_pin, &code);
	end();
}

static unsigned long
fork_in_module(struct chaos *chaos, const struct chaos_visit *visit, void *data)
{
	(void)chaos, (void)visit;
	*(int *)data = child_run(be_child, NULL, CHILD_SECONDS);
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
	begin();
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
	end();
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
		CHECK(check_start() == 0);
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
	begin();
	assert_int_equal(child_run(go_on_after_fork, NULL, 2 * CHILD_SECONDS), 0);
	end();
}

/* ---- a consumer's own lock ---- */

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
		if (busy->with_lock)
			drop_lock();
	}
}

static void
fork_while_busy(struct busy *busy)
{
	struct crew *crew = crew_start(4, be_busy, busy);

	for (int i = 0; i < 100; i++)
		assert_int_equal(child_run(be_child, NULL, CHILD_SECONDS), 0);
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
	begin();
	a->fault(CHAOS_C_GetSlotInfo, &(struct chaos_fault){.sleep_ms = 5});
	fork_while_busy(&busy);
	a->fault(CHAOS_C_GetSlotInfo, NULL);
	end();
}

/* pkcs11-provider does that: its prepare handler takes the lock under which it calls us. */
static void
test_fork_with_a_lock_of_the_consumer(void **state)
{
	(void)state;
	struct busy busy = {.with_lock = true};

	if (!SUPPORT_FORKS_WHILE_BUSY)
		skip();
	begin();
	pthread_atfork(take_lock, drop_lock, drop_lock);
	fork_while_busy(&busy);
	end();
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
		core_unit_test(test_a_module_forks_and_both_return),
		core_unit_test(test_fork_while_threads_are_busy),
		core_unit_test(test_fork_with_a_lock_of_the_consumer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
