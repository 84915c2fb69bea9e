/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A string that grows. Failure sticks: write in straight lines, and ask once at the end, when
 * p11_buffer_steal() returns NULL if memory ran out anywhere. Not for secrets (growing leaves
 * copies behind).
 */
#ifndef P11_BUFFER_H
#define P11_BUFFER_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>

struct p11_buffer {
	char *data;    /* owned; always ends with a NUL that `length` does not count, or NULL */
	size_t length; /* bytes */
	size_t size;   /* bytes allocated */
	bool failed;
};

#define P11_BUFFER_INIT                                                                            \
	{                                                                                          \
		0                                                                                  \
	}

/* Frees what the buffer owns; it is empty and usable again afterwards. */
void p11_buffer_clear(struct p11_buffer *buffer);
#define P11_AUTO_BUFFER __attribute__((cleanup(p11_buffer_clear))) struct p11_buffer

void p11_buffer_add(struct p11_buffer *buffer, const void *bytes, size_t length);
void p11_buffer_add_string(struct p11_buffer *buffer, const char *string);
void p11_buffer_add_char(struct p11_buffer *buffer, char c);
void p11_buffer_add_format(struct p11_buffer *buffer, const char *format, ...) P11_PRINTF(2, 3);

/* The string, now the caller's (free()), and the buffer is empty. NULL if memory ran out; "" if
 * nothing was added. */
char *p11_buffer_steal(struct p11_buffer *buffer) P11_MUST_USE;

#endif
