/* SPDX-License-Identifier: BSD-3-Clause */
/* share/handle.h: one table of sessions, in which only the handle of an open session is found. */
#include "share/handle.h"

#include "base/fork.h"
#include "share/reused.h"
#include "support/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const CK_FUNCTION_LIST_3_2 tables[4];
static char module_a, module_b; /* the handle table never looks into a module */
#define MODULE_A ((struct p11_module *)&module_a)
#define MODULE_B ((struct p11_module *)&module_b)

static struct p11_handle *
reserve(unsigned long long owner)
{
	struct p11_handle *entry = p11_handle_reserve(owner, MODULE_A, 0x11, NULL, NULL);

	assert_non_null(entry);
	return entry;
}

static CK_SESSION_HANDLE
open_as(unsigned long long owner, struct p11_module *module, CK_SLOT_ID slot,
	CK_SESSION_HANDLE session)
{
	struct p11_handle *entry = p11_handle_reserve(owner, module, slot, NULL, NULL);

	assert_non_null(entry);
	return p11_handle_publish(entry, &tables[0], session);
}

static bool
is_found(CK_SESSION_HANDLE handle)
{
	struct p11_target target;

	return p11_handle_find(handle, &target);
}

static void
close_it(CK_SESSION_HANDLE handle)
{
	struct p11_handle *entry = p11_handle_entry(handle);

	assert_non_null(entry);
	assert_true(p11_handle_claim(entry, handle));
	p11_handle_release(entry);
}

static CK_ULONG
generation_of(CK_SESSION_HANDLE handle)
{
	return handle >> P11_HANDLE_INDEX_BITS;
}

static void
test_life_of_an_entry(void **state)
{
	struct p11_handle *entry = reserve(1);
	struct p11_target target = {NULL, 0};

	(void)state;
	assert_false(is_found(atomic_load(&entry->ours)));
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE handle = p11_handle_publish(entry, &tables[1], 77);
	assert_true(p11_handle_find(handle, &target));
	assert_ptr_equal(target.table, &tables[1]);
	assert_int_equal(target.session, 77);
	assert_true(p11_handle_find_slot(handle, &target, &slot));
	assert_int_equal(slot, 0x11);
	assert_ptr_equal(p11_handle_entry(handle), entry);
	assert_true(generation_of(handle) >= 1);

	assert_true(p11_handle_claim(entry, handle));
	assert_false(is_found(handle));
	assert_false(p11_handle_find_slot(handle, &target, &slot));
	assert_false(p11_handle_claim(entry, handle));
	p11_handle_restore(entry);
	assert_true(p11_handle_find(handle, &target));
	assert_int_equal(target.session, 77);
	assert_false(p11_handle_claim(entry, handle + 1));
	assert_false(p11_handle_claim(entry, P11_HANDLE_NONE - 1));
	assert_true(p11_handle_claim(entry, handle));
	p11_handle_release(entry);
	assert_false(is_found(handle));
	assert_null(p11_handle_entry(handle));
	assert_false(p11_handle_claim(entry, handle));
}

static void
test_any_handle_of_a_module(void **state)
{
	static const CK_SESSION_HANDLE sessions[] = {0,
						     1,
						     0x11,
						     ~(CK_ULONG)0,
						     ~(CK_ULONG)0 - 1,
						     (CK_ULONG)1 << (sizeof(CK_ULONG) * 8 - 1)};

	(void)state;
	for (size_t i = 0; i < P11_N_ELEMENTS(sessions); i++) {
		CK_SESSION_HANDLE handle = open_as(1, MODULE_A, 0x11, sessions[i]);
		struct p11_target target;
		assert_true(p11_handle_find(handle, &target));
		assert_true(target.session == sessions[i]);
		close_it(handle);
	}
}

/* Everything but the handle itself, also what differs by one bit, is nobody's. */
static void
test_made_up_handles(void **state)
{
	CK_SESSION_HANDLE handle = open_as(1, MODULE_A, 0x11, 1);

	(void)state;
	assert_false(is_found(0));
	assert_false(is_found(P11_HANDLE_NONE));
	assert_false(is_found(handle & P11_HANDLE_INDEX_MASK));
	for (unsigned bit = 0; bit < sizeof handle * 8; bit++)
		assert_false(is_found(handle ^ (CK_ULONG)1 << bit));
	for (CK_ULONG index = 0; index < 4 * P11_HANDLE_PAGE_SIZE; index++)
		assert_false(is_found(index));
	/* An index below the bound, with the handle that a closed entry holds. */
	assert_false(is_found(P11_HANDLE_NONE & ~P11_HANDLE_INDEX_MASK));
	assert_true(is_found(handle));
	close_it(handle);
}

static void
test_the_two_answers(void **state)
{
	(void)state;
	assert_int_equal(p11_handle_missing(0), CKR_CRYPTOKI_NOT_INITIALIZED);
	p11_handle_count_consumers(1);
	p11_handle_count_consumers(1);
	p11_handle_count_consumers(-1);
	assert_int_equal(p11_handle_missing(~(CK_ULONG)0), CKR_SESSION_HANDLE_INVALID);
	p11_handle_count_consumers(-1);
	assert_int_equal(p11_handle_missing(0), CKR_CRYPTOKI_NOT_INITIALIZED);
}

static void
test_owners_are_new(void **state)
{
	unsigned long long first = p11_handle_new_owner();

	(void)state;
	assert_true(first != 0);
	assert_true(p11_handle_new_owner() > first);
}

/* An entry rests until so many others have been used. Runs first: it wants to know all entries. */
static void
test_first_in_first_out(void **state)
{
	CK_SESSION_HANDLE handles[P11_HANDLE_REST];

	(void)state;
	for (size_t i = 0; i < P11_HANDLE_REST; i++) {
		handles[i] = open_as(1, MODULE_A, 0x11, i);
		close_it(handles[i]);
		for (size_t j = 0; j < i; j++)
			assert_true((handles[i] & P11_HANDLE_INDEX_MASK) !=
				    (handles[j] & P11_HANDLE_INDEX_MASK));
	}
	for (size_t i = 0; i < P11_HANDLE_REST; i++) {
		CK_SESSION_HANDLE again = open_as(1, MODULE_A, 0x11, i);
		assert_true(again == handles[i] + P11_HANDLE_INDEX_MASK + 1);
		assert_false(is_found(handles[i]));
		close_it(again);
	}
	assert_int_equal(p11_fork_page.bound, P11_HANDLE_PAGE_SIZE);
}

/* How many sessions it claims, and releases. */
static unsigned
claim_all(unsigned long long owner, const struct p11_module *module, CK_SLOT_ID slot)
{
	struct p11_handle *entry;
	CK_ULONG index = 0;
	unsigned n = 0;

	while ((entry = p11_handle_claim_next(&index, owner, module, slot))) {
		p11_handle_release(entry);
		n++;
	}
	return n;
}

static void
test_claim_by_owner_module_and_slot(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 24; i++)
		open_as(31 + i % 2, i % 4 < 2 ? MODULE_A : MODULE_B, i % 3, i);
	struct p11_handle *opening = reserve(31);

	assert_int_equal(claim_all(33, NULL, P11_HANDLE_ANY_SLOT), 0);
	assert_int_equal(claim_all(31, MODULE_A, 0), 2);
	assert_int_equal(claim_all(31, MODULE_A, 0), 0);
	assert_int_equal(claim_all(31, NULL, 1), 4);
	assert_int_equal(claim_all(31, NULL, P11_HANDLE_ANY_SLOT), 6);
	assert_int_equal(claim_all(0, MODULE_B, P11_HANDLE_ANY_SLOT), 6);
	assert_int_equal(claim_all(0, NULL, P11_HANDLE_ANY_SLOT), 6);
	assert_int_equal(claim_all(0, NULL, P11_HANDLE_ANY_SLOT), 0);
	p11_handle_release(opening);
}

/* ---- fork ---- */

#define N_INHERITED 700

static CK_SESSION_HANDLE inherited[N_INHERITED];

static int
look_in_child(void *data)
{
	(void)data;
	for (size_t i = 0; i < N_INHERITED; i++) {
		if (is_found(inherited[i]))
			return 1;
	}
	if (p11_handle_missing(inherited[0]) != CKR_CRYPTOKI_NOT_INITIALIZED)
		return 2;
	for (size_t n = 0; n < 2 * N_INHERITED; n++) {
		struct p11_handle *entry = p11_handle_reserve(50, MODULE_A, 1, NULL, NULL);
		if (!entry)
			return 3;
		CK_SESSION_HANDLE handle = p11_handle_publish(entry, &tables[0], n);
		if (!is_found(handle))
			return 4;
		for (size_t i = 0; i < N_INHERITED; i++) {
			if (inherited[i] == handle || (n % 97 == 0 && is_found(inherited[i])))
				return 5;
		}
	}
	return 0;
}

static int
look_in_grandchild(void *data)
{
	int looked = look_in_child(data);

	if (looked != 0)
		return looked;
	return child_run(look_in_child, NULL, 60) ? 6 : 0;
}

static int
be_used_only_by_the_grandchild(void *data)
{
	(void)data;
	return child_run(look_in_child, NULL, 60);
}

static void
test_no_handle_outlives_a_fork(void **state)
{
	struct p11_handle *opening = reserve(40);

	(void)state;
	for (size_t i = 0; i < N_INHERITED; i++)
		inherited[i] = open_as(40, MODULE_A, 0x11, i);
	assert_int_equal(child_run(look_in_child, NULL, 60), 0);
	assert_int_equal(child_run(look_in_grandchild, NULL, 60), 0);
	assert_int_equal(child_run(be_used_only_by_the_grandchild, NULL, 60), 0);

	pid_t pid = support_is_emulated() ? -1 : _Fork();
	if (pid == 0)
		_exit(look_in_child(NULL));
	if (pid > 0)
		assert_int_equal(child_wait(pid, 60), 0);

	for (size_t i = 0; i < N_INHERITED; i++) {
		assert_true(is_found(inherited[i]));
		close_it(inherited[i]);
	}
	close_it(p11_handle_publish(opening, &tables[0], 1));
}

/* ---- threads ---- */

#define N_RECENT 64
#define SECRET ((CK_ULONG)0x5a5a5a5a)

static struct {
	_Atomic CK_SESSION_HANDLE recent[N_RECENT];
	atomic_ulong n_wrong, n_found, n_opened, n_closed;
	atomic_int n_writers;
} storm;

/* What the module would have answered, so that a reader can tell whether all it read belongs
 * together. */
static CK_SESSION_HANDLE
session_of(CK_SESSION_HANDLE handle)
{
	return handle ^ SECRET;
}

static const CK_FUNCTION_LIST_3_2 *
table_of(CK_SESSION_HANDLE handle)
{
	return &tables[generation_of(handle) % 4];
}

static void
open_and_close(unsigned round)
{
	struct p11_handle *entry = p11_handle_reserve(60, MODULE_A, 0x11, NULL, NULL);
	CK_SESSION_HANDLE ours = entry ? atomic_load(&entry->ours) : 0, handle = 0;

	if (entry)
		handle = p11_handle_publish(entry, table_of(ours), session_of(ours));
	if (!entry || handle != ours) {
		storm.n_wrong++;
		return;
	}
	storm.n_opened++;
	/* Another thread may close it as soon as it is here. */
	CK_SESSION_HANDLE old = atomic_exchange(&storm.recent[round % N_RECENT], handle);
	entry = p11_handle_entry(old);
	if (!entry || !p11_handle_claim(entry, old))
		return;
	if (round % 5 == 0) {
		p11_handle_restore(entry);
		if (!p11_handle_claim(entry, old))
			return;
	}
	p11_handle_release(entry);
	storm.n_closed++;
}

static void
be_writer(void *data, unsigned i)
{
	(void)data;
	/* On a busy machine the readers may come late: go on until they have found something. */
	for (unsigned round = 0; round < 20000 || (storm.n_found == 0 && round < 2000000); round++)
		open_and_close(round * (i + 1));
	storm.n_writers--;
}

static void
be_reader(void *data, unsigned i)
{
	(void)data;
	for (unsigned round = i; storm.n_writers > 0; round++) {
		CK_SESSION_HANDLE handle = storm.recent[round % N_RECENT];
		struct p11_target target;
		for (unsigned n = 0; n < 20; n++) {
			if (!p11_handle_find(handle, &target))
				break;
			storm.n_wrong += target.session != session_of(handle);
			storm.n_wrong += target.table != table_of(handle);
			storm.n_found++;
		}
	}
}

/* Closes what others have just opened: of two that close the same one, one succeeds. */
static void
be_closer(void *data, unsigned i)
{
	(void)data;
	for (unsigned round = i; storm.n_writers > 0; round++) {
		CK_SESSION_HANDLE handle = storm.recent[round % N_RECENT];
		struct p11_handle *entry = p11_handle_entry(handle);
		if (!entry || !p11_handle_claim(entry, handle))
			continue;
		p11_handle_release(entry);
		storm.n_closed++;
	}
}

static void
test_readers_see_one_use_of_an_entry(void **state)
{
	(void)state;
	storm.n_writers = 3;
	struct crew *readers = crew_start(2, be_reader, NULL);
	struct crew *closers = crew_start(2, be_closer, NULL);
	struct crew *writers = crew_start(3, be_writer, NULL);

	crew_join(writers);
	crew_join(readers);
	crew_join(closers);
	assert_int_equal(storm.n_wrong, 0);
	assert_true(storm.n_found > 0);
	assert_int_equal(claim_all(60, NULL, P11_HANDLE_ANY_SLOT), storm.n_opened - storm.n_closed);
}

/* A session that one thread opens may be closed by another: the table must not grow for that. */

#define N_HANDED_OVER 30000

static struct {
	_Atomic CK_SESSION_HANDLE handle;
	atomic_ulong n_wrong;
} hand_over;

static void
open_or_close(void *data, unsigned i)
{
	(void)data;
	for (unsigned n = 0; n < N_HANDED_OVER; n++) {
		if (i == 0) {
			struct p11_handle *entry =
				p11_handle_reserve(70, MODULE_A, 0x11, NULL, NULL);
			while (hand_over.handle)
				sched_yield();
			hand_over.handle = p11_handle_publish(entry, &tables[0], n);
		} else {
			CK_SESSION_HANDLE handle;
			while (!(handle = hand_over.handle))
				sched_yield();
			struct p11_handle *entry = p11_handle_entry(handle);
			hand_over.n_wrong += !entry || !p11_handle_claim(entry, handle);
			p11_handle_release(entry);
			hand_over.handle = 0;
		}
	}
}

static void
test_opened_here_closed_there(void **state)
{
	unsigned before = p11_fork_page.bound;

	(void)state;
	crew_join(crew_start(2, open_or_close, NULL));
	assert_int_equal(hand_over.n_wrong, 0);
	/* Two sessions are open at once at most; each thread may have brought a page. */
	assert_true(p11_fork_page.bound <= before + 2 * P11_HANDLE_PAGE_SIZE);
}

/*
 * Whatever the handles of a module look like, those of its open sessions seldom look used twice:
 * each one that does costs a search of the whole table.
 */
static void
test_different_handles_seldom_look_the_same(void **state)
{
	static const struct {
		uint64_t first, step;
	} modules[] = {
		{1, 1},                                 /* counted */
		{(uint64_t)1 << 20, 1},                 /* counted, from a base on */
		{0xfffff000, 1},                        /* to the last that 32 bits have */
		{(uint64_t)1 << 40 | 1, 1},             /* a high base */
		{(uint64_t)0 - 1000, 1},                /* to the last of all */
		{0x100003, 0x100000},                   /* as our own: a generation, an index */
		{0x5655a160, 80},                       /* addresses */
		{0x55551234a0c0, 112},                  /* ... */
		{0x7f1230001000, 4096},                 /* ... of pages */
		{(uint64_t)1 << 32, (uint64_t)1 << 32}, /* what counts is on top */
		{(uint64_t)1 << 48, (uint64_t)1 << 48}, /* ... */
	};

	(void)state;
	for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++) {
		uint64_t session = modules[i].first;
		unsigned n_same = 0;

		if (sizeof(CK_ULONG) == 4 && (session | modules[i].step) >> 32)
			continue;
		for (unsigned n = 0; n < 1000; n++, session += modules[i].step)
			n_same += p11_reused_count((CK_SESSION_HANDLE)session);
		while (session != modules[i].first) {
			session -= modules[i].step;
			p11_reused_uncount((CK_SESSION_HANDLE)session);
		}
		assert_in_range(n_same, 0, 60); /* 15 if it were by chance */
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_in_first_out),
		cmocka_unit_test(test_life_of_an_entry),
		cmocka_unit_test(test_any_handle_of_a_module),
		cmocka_unit_test(test_made_up_handles),
		cmocka_unit_test(test_the_two_answers),
		cmocka_unit_test(test_owners_are_new),
		cmocka_unit_test(test_claim_by_owner_module_and_slot),
		cmocka_unit_test(test_no_handle_outlives_a_fork),
		cmocka_unit_test(test_readers_see_one_use_of_an_entry),
		cmocka_unit_test(test_opened_here_closed_there),
		cmocka_unit_test(test_different_handles_seldom_look_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
