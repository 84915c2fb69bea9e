/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For the tests of this room: a folder of their own with configuration files, and what a load makes
 * of them as text, in this process or in a child that is another user. Nothing outside is read.
 */
#ifndef P11_TEST_SANDBOX_H
#define P11_TEST_SANDBOX_H

#include "config/config.h"

#include <stddef.h>

/* setjmp.h, stdarg.h and stdint.h must come before cmocka.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct sandbox {
	char root[256];
	char names[5][300];
	struct p11_config_paths paths; /* of pkcs11.conf, user.conf, package/, system/ and user/ */
};

/* For cmocka: *state is a struct sandbox. */
int sandbox_setup(void **state);
int sandbox_teardown(void **state);

/* A file below the root, of text or of bytes, in place of the one that was there. */
void sandbox_put(const struct sandbox *sandbox, const char *name, const char *text);
void sandbox_put_bytes(const struct sandbox *sandbox, const char *name, const void *bytes,
		       size_t length);
void sandbox_remove(const struct sandbox *sandbox, const char *name);
void sandbox_mode(const struct sandbox *sandbox, const char *name, unsigned mode);

/* "ROOT/name", valid until the fourth next call. */
const char *sandbox_path(const struct sandbox *sandbox, const char *name);

/* Loads, with an empty message before, or fails the test. */
struct p11_config_set *sandbox_load(const struct sandbox *sandbox);

/* The module of that name, or NULL. */
const struct p11_config *sandbox_module(const struct p11_config_set *set, const char *name);

/*
 * What a load gives: "[global] key=value ...; [name] key=value ...;" in the order of the set and of
 * the settings, then " message: ..." if there is one. The caller frees it.
 */
char *sandbox_dump(const struct p11_config_paths *paths);

/* The same in a child, as a user who is neither root nor the files' owner if the test is root. */
char *sandbox_dump_as_user(const struct p11_config_paths *paths, void (*prepare)(void *data),
			   void *data);

/* All that a command prints; `uid` 0 leaves the user as it is. The caller frees it. */
char *sandbox_run(const char *file, char *const argv[], unsigned uid);

#define assert_dump(expected, actual)                                                              \
	do {                                                                                       \
		char *dumped = (actual);                                                           \
		assert_string_equal(expected, dumped);                                             \
		free(dumped);                                                                      \
	} while (0)

void sandbox_assert_message(const char *part);
void sandbox_assert_no_message(void);

#endif
