/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One configuration file: reading it without being harmed by what it is (a FIFO, a directory, a
 * gigabyte, nothing), its grammar, and the list of settings that comes out. A file is taken whole
 * or not at all: half of a malformed one might enable what the other half meant to disable. No
 * state, any thread.
 */
#ifndef P11_FILE_H
#define P11_FILE_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>

struct p11_setting {
	char *key;   /* owned, as all three */
	char *value; /* never NULL */
	char *where; /* "PATH:LINE", for messages */
};

struct p11_settings {
	struct p11_setting *items; /* owned; a key stands here once */
	size_t n_items;
};

void p11_settings_clear(struct p11_settings *settings);
#define P11_AUTO_SETTINGS __attribute__((cleanup(p11_settings_clear))) struct p11_settings

/* Borrowed, or NULL. */
const struct p11_setting *p11_settings_find(const struct p11_settings *settings, const char *key);

/*
 * Moves into `to` what it does not have yet, and clears `from`, on failure too. False without
 * memory.
 */
bool p11_settings_fill(struct p11_settings *to, struct p11_settings *from) P11_MUST_USE;

enum p11_file_result {
	P11_FILE_READ,
	P11_FILE_MISSING,    /* no such file */
	P11_FILE_FORBIDDEN,  /* no permission */
	P11_FILE_DIRECTORY,  /* a directory stands in its place */
	P11_FILE_BAD,        /* unreadable or malformed: the message is said */
	P11_FILE_UNREADABLE, /* this time: out of descriptors, or the like; the message is said */
	P11_FILE_NO_MEMORY,
};

/* Whether the next try may find what this error hid. */
bool p11_file_error_may_pass(int error);

/* Limits that no honest file comes near; beyond them it is bad. */
#define P11_FILE_MAX_SIZE (1024 * 1024) /* bytes */
#define P11_FILE_MAX_SETTINGS 1024

/* Reads a file into empty `settings`, which stay empty unless the result is P11_FILE_READ. */
enum p11_file_result p11_file_load(const char *path, struct p11_settings *settings) P11_MUST_USE;

/*
 * The same for text in memory: P11_FILE_READ, P11_FILE_BAD or P11_FILE_NO_MEMORY. `path` is for
 * messages.
 */
enum p11_file_result p11_file_parse(const char *path, const void *text, size_t length,
				    struct p11_settings *settings) P11_MUST_USE;

#endif
