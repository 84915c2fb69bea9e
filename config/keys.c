/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/keys.h"

#include "base/message.h"

#include <stddef.h>
#include <string.h>

const struct p11_key p11_keys[] = {
	{"user-config", "0.26", P11_KEY_IN_GLOBAL, P11_KEY_USER_CONFIG},
	{"managed", "0.26", P11_KEY_IN_BOTH, P11_KEY_YES_NO},
	{"log-calls", "0.26", P11_KEY_IN_BOTH, P11_KEY_YES_NO},
	{"finalize-at-exit", "0.27", P11_KEY_IN_BOTH, P11_KEY_YES_NO},
	{"module", "0.26", P11_KEY_IN_MODULE, P11_KEY_PATH},
	{"remote", "0.26", P11_KEY_IN_MODULE, P11_KEY_ADDRESS},
	{"server-address", "0.26", P11_KEY_IN_MODULE, P11_KEY_ADDRESS},
	{"critical", "0.26", P11_KEY_IN_MODULE, P11_KEY_YES_NO},
	{"priority", "0.26", P11_KEY_IN_MODULE, P11_KEY_NUMBER},
	{"enable-in", "0.26", P11_KEY_IN_MODULE, P11_KEY_PROGRAMS},
	{"disable-in", "0.26", P11_KEY_IN_MODULE, P11_KEY_PROGRAMS},
	{"trust-policy", "0.26", P11_KEY_IN_MODULE, P11_KEY_YES_NO},
	{"slot-base", "0.27", P11_KEY_IN_MODULE, P11_KEY_SLOT_NUMBER},
	{"x-init-reserved", "0.26", P11_KEY_IN_MODULE, P11_KEY_TEXT},
	{"", "", 0, P11_KEY_TEXT},
};

/* Indexed by enum p11_key_kind. */
static const char expected[][56] = {
	[P11_KEY_TEXT] = "text",
	[P11_KEY_PATH] = "the path of a module",
	[P11_KEY_ADDRESS] = "an address such as unix:path=/run/example",
	[P11_KEY_YES_NO] = "yes or no",
	[P11_KEY_NUMBER] = "a whole number",
	[P11_KEY_SLOT_NUMBER] = "a number from 0x11 (17) up, decimal or with 0x",
	[P11_KEY_PROGRAMS] = "names of programs, with commas or blanks between them",
	[P11_KEY_USER_CONFIG] = "none, merge or only",
};

const struct p11_key *
p11_key_find(const char *name)
{
	for (const struct p11_key *key = p11_keys; key->name[0]; key++) {
		if (strcmp(key->name, name) == 0)
			return key;
	}
	return NULL;
}

const char *
p11_key_expected(const char *name)
{
	const struct p11_key *key = p11_key_find(name);

	return expected[key ? key->kind : P11_KEY_TEXT];
}

/* Enable_In and enable-in are the same word to somebody who types it. */
static unsigned char
fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (unsigned char)(c - 'A' + 'a');
	return c == '_' ? '-' : (unsigned char)c;
}

#define LONGEST 24 /* longer words are nobody's typo */

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * How many letters must be added, dropped, replaced, or swapped with their neighbour, to make one
 * word of the other.
 */
static size_t
distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t d[LONGEST + 1][LONGEST + 1];

	for (size_t i = 0; i <= a_length; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= b_length; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		for (size_t j = 1; j <= b_length; j++) {
			bool same = fold(a[i - 1]) == fold(b[j - 1]);

			d[i][j] =
				least(d[i - 1][j - 1] + !same, least(d[i - 1][j], d[i][j - 1]) + 1);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
			    fold(a[i - 2]) == fold(b[j - 1]))
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[a_length][b_length];
}

const struct p11_key *
p11_key_nearest(const char *name, enum p11_key_place place)
{
	const struct p11_key *nearest = NULL;
	size_t length = strlen(name), best = LONGEST;

	if (length == 0 || length > LONGEST)
		return NULL;
	for (const struct p11_key *key = p11_keys; key->name[0]; key++) {
		size_t key_length = strlen(key->name);
		size_t edits = distance(name, length, key->name, key_length);

		if ((key->places & place) && edits <= key_length / 3 && edits < best) {
			best = edits;
			nearest = key;
		}
	}
	return nearest;
}

void
p11_key_check(const char *name, enum p11_key_place place, const char *where)
{
	const struct p11_key *key = p11_key_find(name);

	if (key ? key->places & place : strncmp(name, "x-", 2) == 0)
		return;
	if (key) {
		p11_message("%s: the key '%s' has no effect here, it belongs in %s", where, name,
			    key->places & P11_KEY_IN_GLOBAL ? "the global file pkcs11.conf"
							    : "a module's file");
		return;
	}

	const struct p11_key *nearest = p11_key_nearest(name, place);
	if (nearest)
		p11_message("%s: unknown key '%s', did you mean '%s'?", where, name, nearest->name);
	else
		p11_message("%s: unknown key '%.60s' (a key of your own begins with 'x-')", where,
			    name);
}
