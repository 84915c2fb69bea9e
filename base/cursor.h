/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads bytes that somebody else wrote (files, URIs, later the wire) and cannot pass their end: the
 * position moves in one place, after one comparison. A cursor borrows its bytes, which need no NUL
 * at the end.
 */
#ifndef P11_CURSOR_H
#define P11_CURSOR_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>

struct p11_cursor {
	const char *at;  /* borrowed */
	const char *end; /* one past the last byte */
};

/* A part of the bytes, borrowed too. Compare with p11_span_is(). */
struct p11_span {
	const char *data;
	size_t length;
};

static inline struct p11_cursor
p11_cursor_over(const void *bytes, size_t length)
{
	return (struct p11_cursor){bytes, (const char *)bytes + length};
}

static inline size_t
p11_cursor_left(const struct p11_cursor *cursor)
{
	return (size_t)(cursor->end - cursor->at);
}

/* Takes `length` bytes; false, and nothing moves, if there are fewer. */
bool p11_cursor_take(struct p11_cursor *cursor, size_t length, struct p11_span *out) P11_MUST_USE;

/* The next byte without taking it, or -1 at the end. */
int p11_cursor_peek(const struct p11_cursor *cursor);

/* Takes the bytes before the first of `stops` (a string of stop bytes), or all that are left. Never
 * takes the stop. */
struct p11_span p11_cursor_until(struct p11_cursor *cursor, const char *stops);

/* Takes one byte if it is `c`. */
bool p11_cursor_skip(struct p11_cursor *cursor, char c);

/* The span without white space of the C locale at both ends. */
struct p11_span p11_span_strip(struct p11_span span);
bool p11_span_is(struct p11_span span, const char *string);
bool p11_span_starts(struct p11_span span, const char *prefix);

/* A copy with a NUL at its end, cut at the first NUL inside; the caller frees it; NULL without
 * memory. */
char *p11_span_dup(struct p11_span span) P11_MUST_USE;

#endif
