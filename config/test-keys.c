/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/keys.h"

#include "base/message.h"
#include "config/test-sandbox.h"

#include <ctype.h>
#include <string.h>

static void
test_table(void **state)
{
	(void)state;
	for (const struct p11_key *key = p11_keys; key->name[0]; key++) {
		assert_ptr_equal(p11_key_find(key->name), key); /* no name twice */
		assert_in_range(strlen(key->name), 3, sizeof key->name - 1);
		assert_true(key->places >= P11_KEY_IN_GLOBAL && key->places <= P11_KEY_IN_BOTH);
		assert_true(isdigit((unsigned char)key->since[0]));
		assert_true(strlen(p11_key_expected(key->name)) > 0);
	}
	assert_null(p11_key_find("Managed"));
	assert_null(p11_key_find(""));
	assert_string_equal(p11_key_expected("managed"), "yes or no");
	assert_string_equal(p11_key_expected("nobody knows"), "text");
}

static void
test_nearest(void **state)
{
	static const struct {
		const char *typed, *meant; /* NULL: nothing is near */
	} cases[] = {
		{"mangaed", "managed"},
		{"criticl", "critical"},
		{"prority", "priority"},
		{"Module", "module"},
		{"modul", "module"},
		{"modules", "module"},
		{"enable_in", "enable-in"},
		{"enabled-in", "enable-in"},
		{"disablein", "disable-in"},
		{"ENABLE-IN", "enable-in"},
		{"trust-polciy", "trust-policy"},
		{"log-call", "log-calls"},
		{"slotbase", "slot-base"},
		{"path", NULL},
		{"isolate", NULL},
		{"", NULL},
		{"m", NULL},
		{"user-config", NULL}, /* of the other place */
		{"a-name-that-is-much-longer-than-any-key", NULL},
	};

	(void)state;
	for (size_t i = 0; i < P11_N_ELEMENTS(cases); i++) {
		const struct p11_key *key = p11_key_nearest(cases[i].typed, P11_KEY_IN_MODULE);

		if (!cases[i].meant) {
			assert_null(key);
			continue;
		}
		assert_non_null(key);
		assert_string_equal(key->name, cases[i].meant);
	}
	assert_string_equal(p11_key_nearest("user-conf", P11_KEY_IN_GLOBAL)->name, "user-config");
}

static void
test_check(void **state)
{
	static const struct {
		const char *key;
		enum p11_key_place place;
		const char *message; /* NULL: none */
	} cases[] = {
		{"module", P11_KEY_IN_MODULE, NULL},
		{"managed", P11_KEY_IN_GLOBAL, NULL},
		{"managed", P11_KEY_IN_MODULE, NULL},
		{"x-own", P11_KEY_IN_MODULE, NULL},
		{"x-init-reserved", P11_KEY_IN_GLOBAL, "belongs in a module's file"},
		{"mangaed", P11_KEY_IN_GLOBAL,
		 "/f:7: unknown key 'mangaed', did you mean 'managed'?"},
		{"zebra", P11_KEY_IN_MODULE, "/f:7: unknown key 'zebra' (a key of your own"},
		{"", P11_KEY_IN_MODULE, "/f:7: unknown key ''"},
		{"priority", P11_KEY_IN_GLOBAL, "belongs in a module's file"},
		{"user-config", P11_KEY_IN_MODULE, "belongs in the global file"},
	};

	(void)state;
	for (size_t i = 0; i < P11_N_ELEMENTS(cases); i++) {
		p11_message_clear();
		p11_key_check(cases[i].key, cases[i].place, "/f:7");
		if (cases[i].message)
			sandbox_assert_message(cases[i].message);
		else
			sandbox_assert_no_message();
	}
}

/* Any two words, also with bytes beyond ASCII: no word reaches beyond the matrix of distances. */
static void
test_nearest_takes_any_bytes(void **state)
{
	char name[40];
	unsigned seed = 1;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t length = 0;

		for (seed = seed * 1103515245 + 12345; length < (seed >> 16) % 39; length++) {
			seed = seed * 1103515245 + 12345;
			name[length] = (char)(1 + (seed >> 16) % 255);
		}
		name[length] = '\0';
		p11_key_nearest(name, P11_KEY_IN_BOTH);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_nearest_takes_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
