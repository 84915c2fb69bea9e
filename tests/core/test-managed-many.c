/* SPDX-License-Identifier: BSD-3-Clause */
/* Managed modules with many consumers: more than there are tables, thousands one after another, and
 * threads that come and go. */
#include "core/core.h"

#include <stdlib.h>
#include <string.h>

static CK_FUNCTION_LIST *
load(const char *file)
{
	return p11_kit_module_load(chaos_path(file), 0);
}

/* ---- one after another ---- */

#define N_LOADS (SUPPORT_TSAN ? 300 : 3000)

static void
come_and_go(void)
{
	struct chaos_signature signature;
	CK_FUNCTION_LIST *list = load("chaos-a");

	assert_ok(list->C_Initialize(NULL));
	assert_ok(core_sign(list, core_open(list, 0), &signature));
	assert_ok(list->C_Finalize(NULL));
	p11_kit_module_release(list);
}

/* This test comes first: it wants a process that has used little so far. */
static void
test_memory_is_bounded(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");

	come_and_go();
	unsigned long before = support_resident_kib();
	for (unsigned i = 0; i < N_LOADS; i++)
		come_and_go();
	for (unsigned i = 0; i < N_LOADS; i++)
		p11_kit_module_release(load("chaos-a"));
	if (!SUPPORT_ASAN && !SUPPORT_TSAN)
		assert_true(support_resident_kib() - before < 1024);
	assert_int_equal(a->initialized, N_LOADS + 1);
	assert_true(chaos_is_exact(a));
}

/* ---- more than there are tables ---- */

#define N_TABLES 300

static bool
is_shared(CK_FUNCTION_LIST *const *lists, unsigned i)
{
	for (unsigned j = 0; j < N_TABLES; j++) {
		if (j != i && lists[j] == lists[i])
			return true;
	}
	return false;
}

static unsigned
load_all(CK_FUNCTION_LIST **lists, CK_SESSION_HANDLE *sessions)
{
	unsigned n_messages = 0;

	for (unsigned i = 0; i < N_TABLES; i++) {
		lists[i] = load("chaos-a");
		assert_non_null(lists[i]);
		n_messages += p11_kit_message() != NULL;
	}
	for (unsigned i = 0; i < N_TABLES; i++) {
		assert_ok(lists[i]->C_Initialize(NULL));
		sessions[i] = core_open(lists[i], 0);
	}
	return n_messages;
}

/* Those who share a table count; their sessions live as long as the last of them. */
static void
finalize_all(CK_FUNCTION_LIST **lists, const CK_SESSION_HANDLE *sessions, unsigned *n_shared)
{
	struct chaos_signature signature;

	*n_shared = 0;
	for (unsigned i = 0; i < N_TABLES; i++) {
		assert_ok(core_sign(lists[i], sessions[i], &signature));
		assert_int_equal(signature.session, sessions[i]);
		*n_shared += is_shared(lists, i);
		assert_ok(lists[i]->C_Finalize(NULL));
	}
	for (unsigned i = 0; i < N_TABLES; i++)
		assert_rv(lists[i]->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
}

static void
test_more_consumers_than_tables(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a"), *b = core_fresh("chaos-b");
	CK_FUNCTION_LIST *lists[N_TABLES], *other;
	CK_SESSION_HANDLE sessions[N_TABLES];
	unsigned n_shared;

	unsigned n_messages = load_all(lists, sessions);
	assert_true(n_messages >= N_TABLES - 256);

	/* The first of another module still gets its own. */
	other = load("chaos-b");
	assert_non_null(other);
	assert_null(p11_kit_message());
	assert_ok(other->C_Initialize(NULL));
	assert_rv(other->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);

	finalize_all(lists, sessions, &n_shared);
	assert_int_equal(n_shared, n_messages + 1);
	assert_int_equal(a->initialized, 1);
	assert_true(chaos_is_exact(a));
	p11_kit_module_release(other);
	assert_true(chaos_is_exact(b));

	/* Released, one after another; the last one finalizes what they share. */
	for (unsigned i = 0; i < N_TABLES; i++)
		assert_ok(lists[i]->C_Initialize(NULL));
	for (unsigned i = 0; i < N_TABLES; i++) {
		core_open(lists[i], 0);
		p11_kit_module_release(lists[i]);
	}
	assert_int_equal(a->initialized, 2);
	assert_true(chaos_is_exact(a));

	/* After that all is as it was. */
	CK_FUNCTION_LIST *list = load("chaos-a");
	assert_null(p11_kit_message());
	assert_ok(list->C_Initialize(NULL));
	assert_rv(list->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
	p11_kit_module_release(list);
	assert_true(chaos_is_exact(a));
}

/* ---- at the same time ---- */

#define N_THREADS 8
#define N_ROUNDS 200

static void
consumer(void *chaos, unsigned i)
{
	struct chaos *a = chaos;

	for (unsigned round = 0; round < N_ROUNDS; round++) {
		struct chaos_signature signature;
		CK_FUNCTION_LIST *list = load("chaos-a");

		core_expect(list && list->C_Initialize(NULL) == CKR_OK);
		CK_SESSION_HANDLE session = core_open(list, 0);
		core_open(list, 0);
		core_expect(core_sign(list, session, &signature) == CKR_OK);
		core_expect(signature.session == session);
		core_expect(a->up == 1);
		if (i % 4 == 0)
			core_expect(list->C_CloseAllSessions(0) == CKR_OK);
		if (i % 4 == 1)
			core_expect(list->C_CloseSession(session) == CKR_OK);
		if (i % 2)
			core_expect(list->C_Finalize(NULL) == CKR_OK);
		p11_kit_module_release(list);
	}
}

static void
test_consumers_on_threads(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");

	crew_join(crew_start(N_THREADS, consumer, a));
	assert_int_equal(core_n_wrong, 0);
	assert_true(chaos_is_exact(a));
}

/* All come while the module starts. */
static void
initialize_once(void *lists, unsigned i)
{
	core_expect(((CK_FUNCTION_LIST **)lists)[i]->C_Initialize(NULL) == CKR_OK);
}

static void
test_one_start_for_all(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *lists[N_THREADS];

	a->fault(CHAOS_C_Initialize, &(struct chaos_fault){.sleep_ms = 30});
	for (unsigned i = 0; i < N_THREADS; i++)
		lists[i] = load("chaos-a");
	crew_join(crew_start(N_THREADS, initialize_once, lists));
	assert_int_equal(core_n_wrong, 0);
	assert_int_equal(a->calls[CHAOS_C_Initialize], 1);
	for (unsigned i = 0; i < N_THREADS; i++) {
		assert_int_equal(a->up, 1);
		p11_kit_module_release(lists[i]);
	}
	assert_true(chaos_is_exact(a));
}

struct shared_table {
	CK_FUNCTION_LIST *list;
	atomic_long balance; /* C_Initialize that answered CKR_OK, less C_Finalize that did */
};

/* Threads of one consumer that do not agree: each call has an answer, and nothing is left over. */
static void
disagree(void *data, unsigned i)
{
	struct shared_table *table = data;
	CK_FUNCTION_LIST *list = table->list;
	CK_SESSION_HANDLE session;

	for (unsigned round = 0; round < N_ROUNDS; round++) {
		CK_RV rv = list->C_Initialize(NULL);
		core_expect(rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED);
		table->balance += rv == CKR_OK;
		rv = list->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session);
		core_expect(rv == CKR_OK || rv == CKR_CRYPTOKI_NOT_INITIALIZED);
		if (rv == CKR_OK && i % 2) {
			rv = list->C_CloseSession(session);
			core_expect(rv == CKR_OK || rv == CKR_SESSION_HANDLE_INVALID ||
				    rv == CKR_CRYPTOKI_NOT_INITIALIZED);
		}
		rv = list->C_Finalize(NULL);
		core_expect(rv == CKR_OK || rv == CKR_CRYPTOKI_NOT_INITIALIZED);
		table->balance -= rv == CKR_OK;
	}
}

static void
test_threads_of_one_consumer(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	struct shared_table table = {.list = load("chaos-a")};
	CK_FUNCTION_LIST *other = load("chaos-a");

	a->handles = CHAOS_HANDLES_REUSE;
	a->fault(CHAOS_C_OpenSession, &(struct chaos_fault){.sleep_ms = 1, .times = 200});
	crew_join(crew_start(4, disagree, &table));
	assert_int_equal(core_n_wrong, 0);
	assert_int_equal(table.balance, 0);
	assert_int_equal(a->undercut, 0);
	assert_rv(table.list->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_true(chaos_is_exact(a));

	/* The same while another consumer keeps the module up: its sessions would be left over. */
	assert_ok(other->C_Initialize(NULL));
	crew_join(crew_start(4, disagree, &table));
	assert_int_equal(core_n_wrong, 0);
	assert_int_equal(a->sessions, 0);
	p11_kit_module_release(other);
	p11_kit_module_release(table.list);
	assert_true(chaos_is_exact(a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_more_consumers_than_tables),
		cmocka_unit_test(test_consumers_on_threads),
		cmocka_unit_test(test_one_start_for_all),
		cmocka_unit_test(test_threads_of_one_consumer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
