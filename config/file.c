/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/file.h"

#include "base/buffer.h"
#include "base/cursor.h"
#include "base/message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
clear_setting(struct p11_setting *setting)
{
	free(setting->key);
	free(setting->value);
	free(setting->where);
	*setting = (struct p11_setting){0};
}

void
p11_settings_clear(struct p11_settings *settings)
{
	for (size_t i = 0; i < settings->n_items; i++)
		clear_setting(&settings->items[i]);
	free(settings->items);
	*settings = (struct p11_settings){0};
}

const struct p11_setting *
p11_settings_find(const struct p11_settings *settings, const char *key)
{
	for (size_t i = 0; i < settings->n_items; i++) {
		if (strcmp(settings->items[i].key, key) == 0)
			return &settings->items[i];
	}
	return NULL;
}

/*
 * Takes what `setting` owns, also on failure. What stood there under the same key is replaced: the
 * last one wins.
 */
static bool
put_setting(struct p11_settings *settings, struct p11_setting *setting)
{
	for (size_t i = 0; i < settings->n_items; i++) {
		if (strcmp(settings->items[i].key, setting->key) == 0) {
			clear_setting(&settings->items[i]);
			settings->items[i] = *setting;
			return true;
		}
	}

	struct p11_setting *items =
		reallocarray(settings->items, settings->n_items + 1, sizeof *items);
	if (!items) {
		clear_setting(setting);
		return false;
	}
	items[settings->n_items++] = *setting;
	settings->items = items;
	return true;
}

bool
p11_settings_fill(struct p11_settings *to, struct p11_settings *from)
{
	bool ok = true;

	for (size_t i = 0; ok && i < from->n_items; i++) {
		if (p11_settings_find(to, from->items[i].key))
			continue;
		ok = put_setting(to, &from->items[i]);
		from->items[i] = (struct p11_setting){0};
	}
	p11_settings_clear(from);
	return ok;
}

/* One file while it is being parsed. */
struct parser {
	const char *path;
	unsigned line; /* from 1 */
	struct p11_settings *settings;
};

/* No message here quotes the line: it may be a piece of somebody's private key. */
static enum p11_file_result
malformed(const struct parser *parser, const char *what)
{
	p11_message("%s:%u: %s; the whole file is ignored", parser->path, parser->line, what);
	return P11_FILE_BAD;
}

static enum p11_file_result
parse_setting(struct parser *parser, struct p11_span text)
{
	struct p11_cursor cursor = p11_cursor_over(text.data, text.length);
	struct p11_span key = p11_span_strip(p11_cursor_until(&cursor, ":"));

	if (!p11_cursor_skip(&cursor, ':'))
		return malformed(parser, "no colon, expected 'key: value'");

	struct p11_span value = p11_span_strip(p11_cursor_until(&cursor, ""));
	struct p11_setting setting = {p11_span_dup(key), p11_span_dup(value), NULL};

	if (asprintf(&setting.where, "%s:%u", parser->path, parser->line) < 0)
		setting.where = NULL; /* undefined otherwise */
	if (!setting.key || !setting.value || !setting.where) {
		clear_setting(&setting);
		return P11_FILE_NO_MEMORY;
	}
	if (!put_setting(parser->settings, &setting))
		return P11_FILE_NO_MEMORY;
	if (parser->settings->n_items > P11_FILE_MAX_SETTINGS)
		return malformed(parser, "more than 1024 keys");
	return P11_FILE_READ;
}

/*
 * `line` without its line feed. Carriage returns are white space, so that files of other systems
 * work.
 */
static enum p11_file_result
parse_line(struct parser *parser, struct p11_span line)
{
	struct p11_span text = p11_span_strip(line);

	if (line.length > 0 && memchr(line.data, '\0', line.length))
		return malformed(parser, "a NUL byte, expected text (UTF-8, not UTF-16)");
	if (text.length == 0 || text.data[0] == '#')
		return P11_FILE_READ;
	if (text.data[0] == '[')
		return malformed(parser, "a [section], expected 'key: value' only");
	if (p11_span_starts(line, "-----BEGIN "))
		return malformed(parser, "a PEM block, expected 'key: value' only");
	return parse_setting(parser, text);
}

enum p11_file_result
p11_file_parse(const char *path, const void *text, size_t length, struct p11_settings *settings)
{
	struct parser parser = {.path = path, .settings = settings};
	struct p11_cursor cursor = p11_cursor_over(text, length);
	enum p11_file_result result = P11_FILE_READ;

	/*
	 * Some editors begin a file with a byte order mark; it would hide the first key, so it is
	 * skipped.
	 */
	if (p11_span_starts((struct p11_span){text, length}, "\xef\xbb\xbf"))
		cursor = p11_cursor_over((const char *)text + 3, length - 3);
	while (result == P11_FILE_READ && p11_cursor_left(&cursor) > 0) {
		parser.line++;
		result = parse_line(&parser, p11_cursor_until(&cursor, "\n"));
		p11_cursor_skip(&cursor, '\n');
	}
	if (result != P11_FILE_READ)
		p11_settings_clear(settings);
	return result;
}

/* A folder that we may not open is still a folder. */
static bool
is_directory(const char *path)
{
	struct stat about;

	return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

bool
p11_file_error_may_pass(int error)
{
	static const int errors[] = {EMFILE, ENFILE, EIO, EAGAIN, EBUSY, ESTALE, ETIMEDOUT};

	for (size_t i = 0; i < P11_N_ELEMENTS(errors); i++) {
		if (errors[i] == error)
			return true;
	}
	return false;
}

static enum p11_file_result
failed(const char *path, int error)
{
	char text[P11_ERRNO_SIZE];

	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return P11_FILE_MISSING;
	case EACCES:
	case EPERM:
		return is_directory(path) ? P11_FILE_DIRECTORY : P11_FILE_FORBIDDEN;
	case ENOMEM:
		return P11_FILE_NO_MEMORY;
	}
	p11_message("%s: cannot be read (%s), and is ignored", path,
		    p11_message_errno(error, text));
	return p11_file_error_may_pass(error) ? P11_FILE_UNREADABLE : P11_FILE_BAD;
}

/* Never blocks, whatever the path names: without O_NONBLOCK a FIFO would wait for a writer. */
static int
open_to_read(const char *path)
{
	int fd;

	do {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	} while (fd < 0 && errno == EINTR);
	return fd;
}

static ssize_t
read_some(int fd, char *bytes, size_t size)
{
	ssize_t got;

	do {
		got = read(fd, bytes, size);
	} while (got < 0 && errno == EINTR);
	return got;
}

/* Reads to the end, not to the size that fstat() told: the file may shrink or grow meanwhile. */
static enum p11_file_result
read_all(const char *path, int fd, struct p11_buffer *text)
{
	char bytes[4096];
	struct stat about;

	if (fstat(fd, &about) < 0)
		return failed(path, errno);
	if (S_ISDIR(about.st_mode))
		return P11_FILE_DIRECTORY;
	if (!S_ISREG(about.st_mode)) {
		p11_message("%s: is ignored, expected a regular file", path);
		return P11_FILE_BAD;
	}
	for (;;) {
		ssize_t got = read_some(fd, bytes, sizeof bytes);

		if (got < 0)
			return failed(path, errno);
		if (got == 0)
			return text->failed ? P11_FILE_NO_MEMORY : P11_FILE_READ;
		if (text->length + (size_t)got > P11_FILE_MAX_SIZE) {
			p11_message("%s: is ignored, expected at most 1 MiB", path);
			return P11_FILE_BAD;
		}
		p11_buffer_add(text, bytes, (size_t)got);
		if (text->failed)
			return P11_FILE_NO_MEMORY;
	}
}

enum p11_file_result
p11_file_load(const char *path, struct p11_settings *settings)
{
	P11_AUTO_BUFFER text = P11_BUFFER_INIT;
	int fd = open_to_read(path);

	if (fd < 0)
		return failed(path, errno);

	enum p11_file_result result = read_all(path, fd, &text);
	close(fd);
	if (result != P11_FILE_READ)
		return result;
	return p11_file_parse(path, text.data ? text.data : "", text.length, settings);
}
