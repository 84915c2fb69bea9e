/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of configuration keys, the one place that knows them: a new key is one row in keys.c.
 * It finds typos, says what a value should look like, and which keys of the global file overrule
 * those of the modules.
 */
#ifndef P11_KEYS_H
#define P11_KEYS_H

#include "base/base.h"

#include <stdbool.h>

/* What a value looks like; p11_key_expected() says it in words. */
enum p11_key_kind {
	P11_KEY_TEXT,
	P11_KEY_PATH,
	P11_KEY_ADDRESS,
	P11_KEY_YES_NO,
	P11_KEY_NUMBER,
	P11_KEY_SLOT_NUMBER,
	P11_KEY_PROGRAMS,
	P11_KEY_USER_CONFIG,
};

/*
 * Where a key may stand. One that may stand in both is the module's, and overruled by the global
 * file.
 */
enum p11_key_place {
	P11_KEY_IN_GLOBAL = 1,
	P11_KEY_IN_MODULE = 2,
	P11_KEY_IN_BOTH = 3,
};

/* Arrays, not pointers: the table needs no relocation. */
struct p11_key {
	char name[20];
	char since[8]; /* the first version that knows it; "0.26" for all that the incumbent knew */
	enum p11_key_place places;
	enum p11_key_kind kind;
};

/* Ends with a row without a name. */
extern const struct p11_key p11_keys[];

/* The row, or NULL. */
const struct p11_key *p11_key_find(const char *name);

/*
 * The known key that `name` was probably meant to be, or NULL if none comes close. Only keys of
 * `place` are offered.
 */
const struct p11_key *p11_key_nearest(const char *name, enum p11_key_place place);

/* What is expected as the value of this key, as the end of a sentence: "yes or no". */
const char *p11_key_expected(const char *name);

/*
 * Says what is odd about a key that stands at `where` ("PATH:LINE") in a file of this place; silent
 * if nothing is.
 */
void p11_key_check(const char *name, enum p11_key_place place, const char *where);

#endif
