/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * share/handle.h, built with a table that is soon full and generations that soon come round: 4
 * pages of 4 entries, of which the last stays unused, and generations from 1 to 3.
 */
#include "share/handle.h"

#include "base/fork.h"
#include "share/reused.h"
#include "support/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#define N_ENTRIES 12
#define N_GENERATIONS 3                    /* 1, 2, 3 */
#define N_HANDLES 64                       /* with every generation, also that which none has */
#define MODULE ((struct p11_module *)0x10) /* nobody looks into a module here */

_Static_assert(P11_HANDLE_INDEX_BITS == 4 && P11_HANDLE_PAGE_BITS == 2 &&
		       P11_HANDLE_GENERATION_BITS == 2,
	       "meson.build sets these");

static const CK_FUNCTION_LIST_3_2 table;

static struct p11_handle *
reserve(void)
{
	return p11_handle_reserve(1, NULL, 0x11, NULL, NULL);
}

static bool
is_found(CK_SESSION_HANDLE handle)
{
	struct p11_target target;

	return p11_handle_find(handle, &target);
}

static CK_SESSION_HANDLE
publish(struct p11_handle *entry)
{
	assert_non_null(entry);
	return p11_handle_publish(entry, &table, 1);
}

static void
close_it(CK_SESSION_HANDLE handle)
{
	struct p11_handle *entry = p11_handle_entry(handle);

	assert_true(entry && p11_handle_claim(entry, handle));
	p11_handle_release(entry);
}

/* Takes all entries there are. */
static void
take_all(struct p11_handle *entries[N_ENTRIES])
{
	for (size_t i = 0; i < N_ENTRIES; i++) {
		entries[i] = reserve();
		assert_non_null(entries[i]);
	}
	assert_null(reserve());
	assert_null(reserve());
}

static void
give_all_back(struct p11_handle *entries[N_ENTRIES])
{
	for (size_t i = 0; i < N_ENTRIES; i++)
		p11_handle_release(entries[i]);
}

static void
test_full(void **state)
{
	struct p11_handle *entries[N_ENTRIES];

	(void)state;
	take_all(entries);
	assert_int_equal(p11_fork_page.bound, N_ENTRIES);
	p11_handle_release(entries[5]);
	assert_ptr_equal(reserve(), entries[5]);
	assert_null(reserve());
	give_all_back(entries);
	take_all(entries);
	give_all_back(entries);
}

static void
use_all_from_here(void *data, unsigned i)
{
	struct p11_handle *entries[N_ENTRIES];

	(void)i;
	for (size_t n = 0; n < N_ENTRIES; n++) {
		entries[n] = reserve();
		*(bool *)data &= entries[n] != NULL;
	}
	give_all_back(entries);
}

/* Another thread keeps to another list, and must find what is left all the same. */
static void
test_full_for_another_thread(void **state)
{
	struct p11_handle *entries[N_ENTRIES];
	bool got_all = true;

	(void)state;
	for (int i = 0; i < 10; i++)
		crew_join(crew_start(1, use_all_from_here, &got_all));
	assert_true(got_all);
	take_all(entries);
	give_all_back(entries);
}

/* No generation is 0, none of the last two is valid, and what a closed entry holds is no handle. */
static void
test_generations_come_round(void **state)
{
	CK_SESSION_HANDLE handles[N_ENTRIES * 7];

	(void)state;
	for (size_t i = 0; i < P11_N_ELEMENTS(handles); i++) {
		handles[i] = publish(reserve());
		CK_ULONG generation = handles[i] >> P11_HANDLE_INDEX_BITS;
		assert_in_range(generation, 1, 3);
		assert_true((handles[i] & P11_HANDLE_INDEX_MASK) < N_ENTRIES);
		if (i >= N_ENTRIES)
			assert_false(is_found(handles[i - N_ENTRIES]));
		if (i >= 2 * N_ENTRIES)
			assert_false(is_found(handles[i - 2 * N_ENTRIES]));
		if (i >= 3 * N_ENTRIES)
			assert_true(handles[i] == handles[i - 3 * N_ENTRIES]);
		assert_false(is_found(P11_HANDLE_NONE));
		close_it(handles[i]);
	}
}

/* Every number that a caller may invent, with one session open: exactly one is found. */
static void
test_all_made_up_handles(void **state)
{
	CK_SESSION_HANDLE handle = publish(reserve());
	unsigned n_found = 0;

	(void)state;
	for (CK_SESSION_HANDLE made_up = 0; made_up < 1024; made_up++) {
		n_found += is_found(made_up);
		n_found += is_found(~made_up);
	}
	assert_int_equal(n_found, 1);
	assert_true(is_found(handle));
	close_it(handle);
}

static CK_SESSION_HANDLE inherited;

static int
fill_in_child(void *data)
{
	bool got_all = true;

	(void)data;
	if (is_found(inherited))
		return 1;
	struct p11_handle *first = reserve();
	if (!first || is_found(inherited))
		return 2;
	p11_handle_release(first);
	use_all_from_here(&got_all, 0);
	return got_all ? 0 : 3;
}

/* A child has all entries, also those that the parent has open or is just opening. */
static void
test_a_child_has_room(void **state)
{
	struct p11_handle *entries[N_ENTRIES];

	(void)state;
	take_all(entries);
	inherited = publish(entries[0]);
	assert_int_equal(child_run(fill_in_child, NULL, 60), 0);
	assert_true(is_found(inherited));
	assert_true(p11_handle_claim(entries[0], inherited));
	give_all_back(entries);
}

/* An entry that has lost its session to another: three uses later one has the same handle, and its
 * session is its own. */
static void
test_displaced_once_only(void **state)
{
	struct p11_handle *entry = p11_handle_reserve(1, MODULE, 0x11, NULL, NULL);
	struct p11_handle *thief = p11_handle_reserve(1, MODULE, 0x11, NULL, NULL);

	(void)state;
	CK_ULONG lost = atomic_load(&entry->ours);
	p11_reused_note(entry, 77);
	assert_true(p11_reused_note(thief, 77));
	assert_true(p11_reused_is_displaced(entry));
	assert_false(p11_reused_is_displaced(thief));
	p11_handle_release(entry);
	p11_handle_release(thief);

	for (unsigned n = 0; n < 2 * N_HANDLES; n++) {
		struct p11_handle *next = p11_handle_reserve(1, MODULE, 0x11, NULL, NULL);
		p11_reused_note(next, 100 + n);
		assert_false(p11_reused_is_displaced(next));
		lost = atomic_load(&next->ours) == lost ? 0 : lost;
		p11_handle_release(next);
	}
	assert_int_equal(lost, 0); /* else it has proved nothing */
}

/* ---- threads ---- */

/*
 * Three threads open and close, more than there is room for, so that the table is often full; three
 * try every handle; and the process forks all the while. A handle names an entry's use only as far
 * as two bits can tell: so what an entry leads to follows from its handle alone, and must be that,
 * whoever finds it.
 */
#define N_FORKS 40
#define N_STORMERS 3
#define N_KEPT 3  /* sessions that each has open for itself */
#define N_SHOWN 4 /* sessions that all of them use */

static const CK_FUNCTION_LIST_3_2 tables[4];

static struct {
	_Atomic CK_SESSION_HANDLE shown[N_SHOWN];
	atomic_ulong n_uses[1 << P11_HANDLE_INDEX_BITS]; /* of each entry */
	atomic_ulong n_wrong, n_full, n_found;
	atomic_bool is_over;
} storm;

static CK_SESSION_HANDLE
session_of(CK_SESSION_HANDLE handle)
{
	return handle ^ 0x5a5a5a5a;
}

static const CK_FUNCTION_LIST_3_2 *
table_of(CK_SESSION_HANDLE handle)
{
	return &tables[handle >> P11_HANDLE_INDEX_BITS];
}

/* 0: there is no room. */
static CK_SESSION_HANDLE
open_own(unsigned long long owner)
{
	struct p11_handle *entry = p11_handle_reserve(owner, MODULE, 0x11, NULL, NULL);

	if (!entry) {
		storm.n_full++;
		return 0;
	}
	CK_SESSION_HANDLE handle = atomic_load(&entry->ours);
	storm.n_uses[handle & P11_HANDLE_INDEX_MASK]++;
	p11_reused_note(entry, session_of(handle));
	storm.n_wrong += p11_handle_publish(entry, table_of(handle), session_of(handle)) != handle;
	return handle;
}

/* Of a session that nobody else knows of. */
static void
use_own(CK_SESSION_HANDLE handle)
{
	struct p11_target target;

	if (p11_handle_find(handle, &target))
		storm.n_wrong +=
			target.session != session_of(handle) || target.table != table_of(handle);
	else
		storm.n_wrong++;
}

/* Who has a handle here is the only one who closes it: another might come after its generation has
 * come round. */
static void
close_own(CK_SESSION_HANDLE handle, bool hesitate)
{
	struct p11_handle *entry = p11_handle_entry(handle);
	bool is_claimed = entry && p11_handle_claim(entry, handle);

	if (is_claimed && hesitate) {
		p11_handle_restore(entry);
		is_claimed = p11_handle_claim(entry, handle);
	}
	if (is_claimed)
		p11_handle_release(entry);
	else
		storm.n_wrong++;
}

static void
be_opener(void *data, unsigned i)
{
	CK_SESSION_HANDLE own[N_KEPT] = {0};

	(void)data;
	for (unsigned round = 0; !storm.is_over; round++) {
		CK_SESSION_HANDLE *mine = &own[round % N_KEPT];
		if (*mine) {
			use_own(*mine);
			close_own(*mine, false);
		}
		*mine = open_own(2 + i);

		/* Others use this one, and one of them closes it. */
		CK_SESSION_HANDLE shown = open_own(20);
		shown = atomic_exchange(&storm.shown[round % N_SHOWN], shown);
		if (shown)
			close_own(shown, round % 3 == 0);
	}
	for (unsigned n = 0; n < N_KEPT; n++) {
		if (own[n])
			close_own(own[n], false);
	}
}

/*
 * Calls with every handle that there can be, in the midst of their opening and closing too. Where
 * the entry's handle came round while this thread was looking, it cannot tell that it has seen
 * parts of two uses: with two bits that happens to a thread that is put aside in the midst of it.
 */
static void
be_user(void *data, unsigned i)
{
	(void)data;
	for (CK_SESSION_HANDLE n = i; !storm.is_over; n++) {
		CK_SESSION_HANDLE handle = n % N_HANDLES;
		atomic_ulong *n_uses = &storm.n_uses[handle & P11_HANDLE_INDEX_MASK];
		struct p11_target target;
		unsigned long before = *n_uses;
		if (!p11_handle_find(handle, &target))
			continue;
		bool is_wrong =
			target.session != session_of(handle) || target.table != table_of(handle);
		bool came_round = *n_uses - before >= N_GENERATIONS;
		storm.n_wrong += is_wrong && !came_round;
		storm.n_found++;
	}
}

/* What a child of such a storm must find: nothing of the parent's, and all of its own. */
static int
live_in_child(void *data)
{
	struct p11_handle *entries[N_ENTRIES];

	(void)data;
	for (CK_SESSION_HANDLE handle = 0; handle < N_HANDLES; handle++) {
		if (is_found(handle))
			return 1;
	}
	for (unsigned round = 0; round < 7; round++) {
		CK_SESSION_HANDLE handles[N_ENTRIES];
		for (unsigned i = 0; i < N_ENTRIES; i++) {
			entries[i] = reserve();
			if (!entries[i])
				return 2;
			handles[i] = p11_handle_publish(entries[i], &table, i);
		}
		if (reserve())
			return 3;
		for (unsigned i = 0; i < N_ENTRIES; i++) {
			struct p11_target target;
			if (!p11_handle_find(handles[i], &target) || target.session != i)
				return 4;
			if (!p11_handle_claim(entries[i], handles[i]))
				return 5;
			p11_handle_release(entries[i]);
		}
	}
	return 0;
}

/* The table is as large as can be by now, so that no thread allocates, and a sanitizer's child
 * can. */
static void
test_storm_with_forks(void **state)
{
	struct p11_handle *entries[N_ENTRIES];

	(void)state;
	take_all(entries);
	give_all_back(entries);
	struct crew *users = crew_start(N_STORMERS, be_user, NULL);
	struct crew *openers = crew_start(N_STORMERS, be_opener, NULL);
	for (unsigned i = 0; i < N_FORKS && !support_is_emulated(); i++)
		assert_int_equal(child_run(live_in_child, NULL, 60), 0);
	assert_true(WAIT_UNTIL(storm.n_found > 100 && storm.n_full > 100, 60000));
	storm.is_over = true;
	crew_join(openers);
	crew_join(users);
	for (unsigned i = 0; i < N_SHOWN; i++) {
		if (storm.shown[i])
			close_own(storm.shown[i], false);
	}
	assert_int_equal(storm.n_wrong, 0);
	/* No entry is lost, and none is there twice. */
	take_all(entries);
	give_all_back(entries);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_full_for_another_thread),
		cmocka_unit_test(test_generations_come_round),
		cmocka_unit_test(test_all_made_up_handles),
		cmocka_unit_test(test_a_child_has_room),
		cmocka_unit_test(test_displaced_once_only),
		cmocka_unit_test(test_storm_with_forks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
