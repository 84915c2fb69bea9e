/* SPDX-License-Identifier: BSD-3-Clause */
/* The small things of base/: names that stay, the growing string, the cursor, messages. */
#include "base/base.h"
#include "base/buffer.h"
#include "base/cursor.h"
#include "base/intern.h"
#include "base/message.h"
#include "support/support.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- intern ---- */

static void
test_equal_names_are_one(void **state)
{
	char copy[] = "softhsm2";
	const char *name = p11_intern("softhsm2");

	(void)state;
	assert_string_equal(name, "softhsm2");
	assert_ptr_not_equal(name, copy);
	assert_ptr_equal(p11_intern(copy), name);
	copy[0] = 'S';
	assert_string_equal(name, "softhsm2");
	assert_ptr_not_equal(p11_intern(copy), name);
	assert_string_equal(p11_intern(""), "");
	assert_ptr_equal(p11_intern(""), p11_intern(""));
	assert_null(p11_intern(NULL));
}

#define N_NAMES 64
#define N_THREADS 4

static const char *seen[N_THREADS][N_NAMES];

static void
intern_all(void *data, unsigned i)
{
	char text[32];

	(void)data;
	for (unsigned n = 0; n < N_NAMES; n++) {
		unsigned which = i % 2 ? n : N_NAMES - 1 - n;
		snprintf(text, sizeof text, "thread-%u", which);
		seen[i][which] = p11_intern(text);
	}
}

static void
test_threads_intern_the_same(void **state)
{
	char text[32];

	(void)state;
	crew_join(crew_start(N_THREADS, intern_all, NULL));
	for (unsigned n = 0; n < N_NAMES; n++) {
		snprintf(text, sizeof text, "thread-%u", n);
		assert_string_equal(seen[0][n], text);
		for (unsigned i = 1; i < N_THREADS; i++)
			assert_ptr_equal(seen[i][n], seen[0][n]);
		assert_ptr_equal(p11_intern(text), seen[0][n]);
	}
}

/* ---- buffer ---- */

static void
test_buffer_grows(void **state)
{
	struct p11_buffer buffer = P11_BUFFER_INIT;
	char expected[3001];

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		p11_buffer_add_char(&buffer, 'a');
		p11_buffer_add_string(&buffer, "bc");
		memcpy(expected + 3 * i, "abc", 3);
	}
	expected[3000] = '\0';
	assert_int_equal(buffer.length, 3000);
	assert_string_equal(buffer.data, expected);
	P11_AUTO_STRING text = p11_buffer_steal(&buffer);
	assert_string_equal(text, expected);
	assert_null(buffer.data);
	assert_int_equal(buffer.length, 0);
}

static void
test_buffer_formats(void **state)
{
	P11_AUTO_BUFFER buffer = P11_BUFFER_INIT;

	(void)state;
	p11_buffer_add_format(&buffer, "%s=%d", "slot", 17);
	p11_buffer_add(&buffer, "\0;", 2);
	assert_int_equal(buffer.length, 9);
	assert_memory_equal(buffer.data, "slot=17\0;", 10);
	p11_buffer_clear(&buffer);
	assert_null(buffer.data);
}

static void
test_empty_buffer_is_an_empty_string(void **state)
{
	struct p11_buffer buffer = P11_BUFFER_INIT;

	(void)state;
	P11_AUTO_STRING text = p11_buffer_steal(&buffer);
	assert_string_equal(text, "");
}

static void
test_buffer_failure_sticks(void **state)
{
	struct p11_buffer buffer = P11_BUFFER_INIT;

	(void)state;
	p11_buffer_add_string(&buffer, "before");
	p11_buffer_add(&buffer, "", SIZE_MAX / 2);
	assert_true(buffer.failed);
	p11_buffer_add_string(&buffer, "after");
	assert_null(p11_buffer_steal(&buffer));
	assert_false(buffer.failed);
	p11_buffer_add_string(&buffer, "again");
	P11_AUTO_STRING text = p11_buffer_steal(&buffer);
	assert_string_equal(text, "again");
}

static void
test_steal(void **state)
{
	char *from = strdup("owned");

	(void)state;
	P11_AUTO_STRING to = p11_steal(from);
	assert_null(from);
	assert_string_equal(to, "owned");
}

/* ---- cursor ---- */

static void
test_cursor_stops_at_the_end(void **state)
{
	struct p11_cursor cursor = p11_cursor_over("abcdef", 4);
	struct p11_span span = {NULL, 7};

	(void)state;
	assert_false(p11_cursor_take(&cursor, 5, &span));
	assert_false(p11_cursor_take(&cursor, SIZE_MAX, &span));
	assert_int_equal(span.length, 7);
	assert_int_equal(p11_cursor_left(&cursor), 4);
	assert_true(p11_cursor_take(&cursor, 3, &span));
	assert_true(p11_span_is(span, "abc"));
	assert_int_equal(p11_cursor_peek(&cursor), 'd');
	assert_false(p11_cursor_skip(&cursor, 'e'));
	assert_true(p11_cursor_skip(&cursor, 'd'));
	assert_int_equal(p11_cursor_peek(&cursor), -1);
	assert_false(p11_cursor_skip(&cursor, 'e'));
	assert_false(p11_cursor_take(&cursor, 1, &span));
	assert_true(p11_cursor_take(&cursor, 0, &span));
	assert_int_equal(p11_cursor_until(&cursor, "x").length, 0);
}

static void
test_cursor_until(void **state)
{
	static const char text[] = "key: a;b\0c\xff";
	struct p11_cursor cursor = p11_cursor_over(text, sizeof text - 1);

	(void)state;
	assert_true(p11_span_is(p11_cursor_until(&cursor, ";:"), "key"));
	assert_true(p11_cursor_skip(&cursor, ':'));
	assert_int_equal(p11_cursor_until(&cursor, ":").length, 7);
	assert_int_equal(p11_cursor_left(&cursor), 0);
	cursor = p11_cursor_over(text + 10, 1);
	assert_int_equal(p11_cursor_peek(&cursor), 0xff);
	assert_true(p11_cursor_skip(&cursor, '\xff'));
}

static struct p11_span
span_of(const char *text)
{
	return (struct p11_span){text, strlen(text)};
}

static void
test_spans(void **state)
{
	(void)state;
	assert_true(p11_span_is(p11_span_strip(span_of(" \t\r\n\v\fa b\n ")), "a b"));
	assert_true(p11_span_is(p11_span_strip(span_of(" \t ")), ""));
	assert_true(p11_span_is(p11_span_strip(span_of("")), ""));
	assert_false(p11_span_is(span_of("abc"), "ab"));
	assert_false(p11_span_is(span_of("ab"), "abc"));
	assert_true(p11_span_starts(span_of("abc"), "ab"));
	assert_false(p11_span_starts(span_of("a"), "ab"));
	P11_AUTO_STRING copy = p11_span_dup((struct p11_span){"abcdef", 3});
	assert_string_equal(copy, "abc");
	P11_AUTO_STRING cut = p11_span_dup((struct p11_span){"a\0c", 3});
	assert_string_equal(cut, "a");
}

/* ---- messages ---- */

static void
test_message(void **state)
{
	(void)state;
	p11_message_clear();
	assert_null(p11_message_last());
	errno = EAGAIN;
	p11_message("module %s: %d", "a", 7);
	assert_int_equal(errno, EAGAIN);
	assert_string_equal(p11_message_last(), "module a: 7");
	p11_message("again: %s", p11_message_last());
	assert_string_equal(p11_message_last(), "again: module a: 7");
	assert_int_equal(p11_fail(5, "five"), 5);
	assert_string_equal(p11_message_last(), "five");
}

static void
test_message_is_one_line(void **state)
{
	char text[2000];

	(void)state;
	p11_message("%s", "a\nb\tc\033[1m\x7f\xc3\xa9");
	assert_string_equal(p11_message_last(), "a?b?c?[1m?\xc3\xa9");
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\0';
	p11_message("%s", text);
	assert_int_equal(strlen(p11_message_last()), 511);
}

static void
test_message_is_kept(void **state)
{
	(void)state;
	p11_message("the reason");
	char *kept = p11_message_dup();
	p11_message("something that came later, and is longer");
	p11_message_restore(kept);
	assert_string_equal(p11_message_last(), "the reason");
	p11_message_restore(NULL);
	assert_string_equal(p11_message_last(), "the reason");
	p11_message_clear();
	assert_null(p11_message_dup());
}

static atomic_bool thread_has_message;

static void
say_something_else(void *data, unsigned i)
{
	(void)data, (void)i;
	thread_has_message = p11_message_last() != NULL;
	p11_message("another thread's");
}

static void
test_message_belongs_to_the_thread(void **state)
{
	(void)state;
	p11_message("mine");
	crew_join(crew_start(1, say_something_else, NULL));
	assert_string_equal(p11_message_last(), "mine");
	assert_false(thread_has_message);
}

/* What `speak` prints to stderr. */
static size_t
printed_by(void (*speak)(void), char *out, size_t size)
{
	int ends[2], stderr_was = dup(STDERR_FILENO);

	assert_int_equal(pipe(ends), 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	speak();
	assert_true(dup2(stderr_was, STDERR_FILENO) >= 0);
	close(stderr_was);
	close(ends[1]);
	ssize_t got = read(ends[0], out, size - 1);
	close(ends[0]);
	out[got] = '\0';
	return (size_t)got;
}

static void
speak_aloud(void)
{
	p11_message_loud(true);
	p11_message("to be heard");
	p11_message_loud(false);
	p11_message("not to be heard");
}

static void
break_a_rule(void)
{
	p11_message("stays");
	p11_precondition("p11_kit_example", "list != NULL");
}

static void
test_what_is_printed(void **state)
{
	char text[1000];

	(void)state;
	printed_by(speak_aloud, text, sizeof text);
	assert_string_equal(text, "p11-kit: to be heard\n");
	printed_by(break_a_rule, text, sizeof text);
	assert_non_null(strstr(text, "p11_kit_example"));
	assert_non_null(strstr(text, "list != NULL"));
	assert_string_equal(p11_message_last(), "stays");
}

static int
break_a_rule_strictly(void *data)
{
	(void)data;
	setenv("P11_KIT_STRICT", "1", 1);
	p11_precondition("f", "x");
	return 0;
}

static void
test_strict(void **state)
{
	(void)state;
	assert_int_equal(child_run(break_a_rule_strictly, NULL, 60), CHILD_DIED + 6 /* SIGABRT */);
}

static void
test_errno_text(void **state)
{
	char text[P11_ERRNO_SIZE];

	(void)state;
	assert_string_equal(p11_message_errno(ENOENT, text), "No such file or directory");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_names_are_one),
		cmocka_unit_test(test_threads_intern_the_same),
		cmocka_unit_test(test_buffer_grows),
		cmocka_unit_test(test_buffer_formats),
		cmocka_unit_test(test_empty_buffer_is_an_empty_string),
		cmocka_unit_test(test_buffer_failure_sticks),
		cmocka_unit_test(test_steal),
		cmocka_unit_test(test_cursor_stops_at_the_end),
		cmocka_unit_test(test_cursor_until),
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_message_is_one_line),
		cmocka_unit_test(test_message_is_kept),
		cmocka_unit_test(test_message_belongs_to_the_thread),
		cmocka_unit_test(test_what_is_printed),
		cmocka_unit_test(test_strict),
		cmocka_unit_test(test_errno_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
