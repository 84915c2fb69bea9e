/* SPDX-License-Identifier: BSD-3-Clause */
/* share/notes.h: a session is noted for who opened it last, and only that one can take it out. */
#include "share/notes.h"

#include "support/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct p11_notes notes;

static int
setup(void **state)
{
	(void)state;
	p11_notes_reset(&notes);
	return 0;
}

/* Takes them out; how many there were. */
static unsigned
forget(unsigned long long owner, CK_SLOT_ID slot)
{
	struct p11_note *note = p11_notes_take_all(&notes, owner, slot);
	unsigned n = 0;

	while (note) {
		struct p11_note *next = p11_note_next(note);
		p11_note_free(note);
		note = next;
		n++;
	}
	return n;
}

static int
teardown(void **state)
{
	(void)state;
	bool is_empty = forget(P11_NOTES_ANY_OWNER, P11_NOTES_ANY_SLOT) == 0;
	p11_notes_clear(&notes);
	return is_empty ? 0 : -1;
}

static void
test_only_the_owner_takes(void **state)
{
	(void)state;
	assert_true(p11_notes_add(&notes, 5, 1, 10));
	assert_null(p11_notes_take(&notes, 5, 2));
	assert_null(p11_notes_take(&notes, 6, 1));
	assert_null(p11_notes_take(&notes, 5, 0));
	assert_int_equal(forget(0, P11_NOTES_ANY_SLOT), 0);
	struct p11_note *note = p11_notes_take(&notes, 5, 1);
	assert_non_null(note);
	assert_int_equal(p11_note_session(note), 5);
	assert_null(p11_notes_take(&notes, 5, 1));
	p11_note_free(note);
}

static void
test_any_handle(void **state)
{
	static const CK_SESSION_HANDLE handles[] = {0, 1, ~(CK_ULONG)0, (CK_ULONG)1 << 31,
						    0x7fff1000};

	(void)state;
	for (size_t i = 0; i < P11_N_ELEMENTS(handles); i++)
		assert_true(p11_notes_add(&notes, handles[i], 1, 1));
	for (size_t i = 0; i < P11_N_ELEMENTS(handles); i++) {
		struct p11_note *note = p11_notes_take(&notes, handles[i], 1);
		assert_non_null(note);
		assert_true(p11_note_session(note) == handles[i]);
		p11_note_free(note);
	}
}

/* The module has closed it itself and used the handle again. */
static void
test_a_note_moves(void **state)
{
	(void)state;
	assert_true(p11_notes_add(&notes, 5, 1, 10));
	assert_true(p11_notes_add(&notes, 5, 2, 11));
	assert_null(p11_notes_take(&notes, 5, 1));
	assert_int_equal(forget(2, 10), 0);
	assert_int_equal(forget(2, 11), 1);
}

static void
test_restore(void **state)
{
	(void)state;
	assert_true(p11_notes_add(&notes, 5, 1, 10));
	p11_notes_restore(&notes, p11_notes_take(&notes, 5, 1));
	struct p11_note *note = p11_notes_take(&notes, 5, 1);
	assert_non_null(note);
	/* Meanwhile somebody else was given the handle: theirs stays. */
	assert_true(p11_notes_add(&notes, 5, 2, 10));
	p11_notes_restore(&notes, note);
	assert_null(p11_notes_take(&notes, 5, 1));
	assert_int_equal(forget(2, 10), 1);
}

static void
test_take_all(void **state)
{
	(void)state;
	for (CK_SESSION_HANDLE i = 0; i < 600; i++)
		assert_true(p11_notes_add(&notes, i * 0x1000, 1 + i % 2, i % 3));
	assert_int_equal(forget(3, P11_NOTES_ANY_SLOT), 0);
	assert_int_equal(forget(1, 0), 100);
	assert_int_equal(forget(1, 0), 0);
	assert_int_equal(forget(1, P11_NOTES_ANY_SLOT), 200);
	assert_int_equal(forget(P11_NOTES_ANY_OWNER, 1), 100);
	assert_int_equal(forget(P11_NOTES_ANY_OWNER, P11_NOTES_ANY_SLOT), 200);
}

/* The chains stay short, and none of the notes gets lost on the way. */
static void
test_many(void **state)
{
	(void)state;
	for (CK_SESSION_HANDLE i = 0; i < 100000; i++)
		assert_true(p11_notes_add(&notes, i, 1 + i % 7, 0));
	for (size_t i = 0; i < P11_NOTES_N_PARTS; i++) {
		assert_true(notes.parts[i].n_notes > 5000);
		assert_true(notes.parts[i].n_buckets >= notes.parts[i].n_notes);
	}
	for (CK_SESSION_HANDLE i = 0; i < 100000; i += 10) {
		struct p11_note *note = p11_notes_take(&notes, i, 1 + i % 7);
		assert_non_null(note);
		p11_note_free(note);
	}
	p11_notes_forget(&notes, 1);
	assert_int_equal(forget(P11_NOTES_ANY_OWNER, P11_NOTES_ANY_SLOT), 89999);
	assert_true(p11_notes_add(&notes, 1, 1, 0));
	p11_notes_forget_all(&notes);
	assert_null(p11_notes_take(&notes, 1, 1));
}

#define N_THREADS 4
#define N_SESSIONS 2000

static atomic_ulong n_wrong;

static void
note_and_take(void *data, unsigned i)
{
	(void)data;
	for (unsigned n = 0; n < N_SESSIONS; n++) {
		CK_SESSION_HANDLE session = (CK_ULONG)n * N_THREADS + i;
		n_wrong += !p11_notes_add(&notes, session, i + 1, 0);
		if (n % 3 == 0)
			continue;
		struct p11_note *note = p11_notes_take(&notes, session, i + 1);
		n_wrong += !note || p11_note_session(note) != session;
		if (n % 3 == 1)
			p11_notes_restore(&notes, note);
		else
			p11_note_free(note);
	}
}

static void
test_threads(void **state)
{
	(void)state;
	crew_join(crew_start(N_THREADS, note_and_take, NULL));
	assert_int_equal(n_wrong, 0);
	for (unsigned i = 0; i < N_THREADS; i++)
		assert_int_equal(forget(i + 1, P11_NOTES_ANY_SLOT), N_SESSIONS - N_SESSIONS / 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_only_the_owner_takes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_handle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_note_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restore, setup, teardown),
		cmocka_unit_test_setup_teardown(test_take_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
