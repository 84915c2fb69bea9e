/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/buffer.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
p11_free_string(char **string)
{
	free(*string);
}

void
p11_close_dir(struct __dirstream **dir)
{
	if (*dir)
		closedir(*dir);
}

void
p11_buffer_clear(struct p11_buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct p11_buffer)P11_BUFFER_INIT;
}

/* Makes room for `more` bytes and the NUL. */
static bool
reserve(struct p11_buffer *buffer, size_t more)
{
	if (buffer->failed)
		return false;
	if (more >= SIZE_MAX / 2 - buffer->length) {
		buffer->failed = true;
		return false;
	}

	size_t needed = buffer->length + more + 1;
	if (needed <= buffer->size)
		return true;

	size_t size = needed < 64 ? 64 : needed + needed / 2;
	char *data = realloc(buffer->data, size);
	if (!data) {
		buffer->failed = true;
		return false;
	}
	buffer->data = data;
	buffer->size = size;
	return true;
}

void
p11_buffer_add(struct p11_buffer *buffer, const void *bytes, size_t length)
{
	if (!reserve(buffer, length))
		return;
	if (length > 0)
		memcpy(buffer->data + buffer->length, bytes, length);
	buffer->length += length;
	buffer->data[buffer->length] = '\0';
}

void
p11_buffer_add_string(struct p11_buffer *buffer, const char *string)
{
	p11_buffer_add(buffer, string, strlen(string));
}

void
p11_buffer_add_char(struct p11_buffer *buffer, char c)
{
	p11_buffer_add(buffer, &c, 1);
}

void
p11_buffer_add_format(struct p11_buffer *buffer, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	int length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0) {
		buffer->failed = true;
		return;
	}
	p11_buffer_add(buffer, text, (size_t)length);
	free(text);
}

char *
p11_buffer_steal(struct p11_buffer *buffer)
{
	p11_buffer_add(buffer, "", 0);
	char *data = buffer->failed ? NULL : p11_steal(buffer->data);
	p11_buffer_clear(buffer);
	return data;
}
