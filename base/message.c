/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/message.h"

#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MESSAGE_SIZE 512

static _Thread_local char last_message[MESSAGE_SIZE];
static atomic_bool is_loud;

/*
 * One write per line, and no stdio: stderr's lock may be held by a thread that a fork left behind,
 * and lines of several threads must not mix.
 */
static void
print_line(const char *text)
{
	char line[MESSAGE_SIZE + 16];
	int length = snprintf(line, sizeof line, "p11-kit: %s\n", text);
	ssize_t ignored = write(STDERR_FILENO, line, (size_t)length);
	(void)ignored;
}

/* Foreign text (a line of a file, a label of a token) must not break the line or steer the
 * terminal. */
static void
make_printable(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

P11_PRINTF(1, 0)
static void
set_message(const char *format, va_list args)
{
	int saved = errno;
	char text[MESSAGE_SIZE]; /* an argument may be the old message itself */

	vsnprintf(text, sizeof text, format, args);
	make_printable(text);
	memcpy(last_message, text, sizeof text);
	if (atomic_load_explicit(&is_loud, memory_order_relaxed))
		print_line(text);
	errno = saved;
}

void
p11_message(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_message(format, args);
	va_end(args);
}

unsigned long
p11_fail(unsigned long rv, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_message(format, args);
	va_end(args);
	return rv;
}

void
p11_message_clear(void)
{
	last_message[0] = '\0';
}

const char *
p11_message_last(void)
{
	return last_message[0] ? last_message : NULL;
}

char *
p11_message_dup(void)
{
	return last_message[0] ? strdup(last_message) : NULL;
}

void
p11_message_restore(char *saved)
{
	if (!saved)
		return;
	strncpy(last_message, saved, MESSAGE_SIZE - 1);
	free(saved);
}

/* For who cannot change the program; the incumbent has this name, too. */
void
p11_message_loud(bool loud)
{
	const char *debug = secure_getenv("P11_KIT_DEBUG");

	atomic_store_explicit(&is_loud, loud || (debug && *debug), memory_order_relaxed);
}

__attribute__((constructor)) static void
begin(void)
{
	p11_message_loud(false);
}

const char *
p11_message_errno(int error, char buffer[P11_ERRNO_SIZE])
{
	locale_t posix = newlocale(LC_ALL_MASK, "POSIX", (locale_t)0);
	const char *text = posix ? strerror_l(error, posix) : NULL;

	snprintf(buffer, P11_ERRNO_SIZE, "%s", text ? text : "unknown error");
	if (posix)
		freelocale(posix);
	return buffer;
}

void
p11_precondition(const char *function, const char *check)
{
	char text[256];
	const char *strict = secure_getenv("P11_KIT_STRICT");

	snprintf(text, sizeof text, "%s: the caller broke the rule '%s'", function, check);
	print_line(text);
	if (strict && *strict)
		abort();
}
