/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * share/handle.h, built with a table that is soon full and generations that soon come round: 4
 * pages of 4 entries, of which the last stays unused, and generations from 1 to 3.
 */
#include "share/handle.h"

#include "base/fork.h"
#include "support/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#define N_ENTRIES 12

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_full_for_another_thread),
		cmocka_unit_test(test_generations_come_round),
		cmocka_unit_test(test_all_made_up_handles),
		cmocka_unit_test(test_a_child_has_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
