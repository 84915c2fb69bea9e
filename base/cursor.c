/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/cursor.h"

#include <string.h>

bool
p11_cursor_take(struct p11_cursor *cursor, size_t length, struct p11_span *out)
{
	if (length > p11_cursor_left(cursor))
		return false;
	*out = (struct p11_span){cursor->at, length};
	cursor->at += length;
	return true;
}

int
p11_cursor_peek(const struct p11_cursor *cursor)
{
	return cursor->at < cursor->end ? (unsigned char)*cursor->at : -1;
}

struct p11_span
p11_cursor_until(struct p11_cursor *cursor, const char *stops)
{
	size_t n_stops = strlen(stops), left = p11_cursor_left(cursor), length = 0;
	struct p11_span span = {cursor->at, 0};

	while (length < left && !memchr(stops, cursor->at[length], n_stops))
		length++;
	if (!p11_cursor_take(cursor, length, &span))
		return span; /* cannot be: length is what is left, or less */
	return span;
}

bool
p11_cursor_skip(struct p11_cursor *cursor, char c)
{
	struct p11_span ignored;

	return p11_cursor_peek(cursor) == (unsigned char)c && p11_cursor_take(cursor, 1, &ignored);
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct p11_span
p11_span_strip(struct p11_span span)
{
	while (span.length > 0 && is_space(span.data[0])) {
		span.data++;
		span.length--;
	}
	while (span.length > 0 && is_space(span.data[span.length - 1]))
		span.length--;
	return span;
}

bool
p11_span_is(struct p11_span span, const char *string)
{
	return strlen(string) == span.length && memcmp(span.data, string, span.length) == 0;
}

bool
p11_span_starts(struct p11_span span, const char *prefix)
{
	size_t length = strlen(prefix);

	return length <= span.length && memcmp(span.data, prefix, length) == 0;
}

char *
p11_span_dup(struct p11_span span)
{
	return strndup(span.data, span.length);
}
