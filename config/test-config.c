/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/config.h"

#include "base/message.h"
#include "config/test-sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
test_nothing_is_configured(void **state)
{
	struct sandbox *sandbox = *state;

	assert_dump("[global];", sandbox_dump(&sandbox->paths));

	/* Nor are there any folders, or a file stands in their place. */
	for (size_t i = 2; i < 5; i++)
		assert_int_equal(rmdir(sandbox->names[i]), 0);
	assert_dump("[global];", sandbox_dump(&sandbox->paths));
	sandbox_put(sandbox, "system", "module: x.so\n");
	assert_dump("[global];", sandbox_dump(&sandbox->paths));
}

static void
test_global(void **state)
{
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "pkcs11.conf", "# c\nuser-config: none\nx-own: a b\n");

	struct p11_config_set *set = sandbox_load(sandbox);
	sandbox_assert_no_message();
	assert_null(p11_config_name(set->global));
	assert_string_equal(p11_config_get(set->global, "user-config"), "none");
	assert_string_equal(p11_config_get(set->global, "x-own"), "a b");
	assert_string_equal(p11_config_where(set->global, "x-own"),
			    sandbox_path(sandbox, "pkcs11.conf:3"));
	assert_null(p11_config_get(set->global, "managed"));
	assert_null(p11_config_where(set->global, "managed"));
	assert_null(p11_config_set_free(set));
	assert_null(p11_config_set_free(NULL));
}

static void
test_folders_merge_per_key(void **state)
{
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "system/one.module", "priority: 2\nx-s: s\n");
	sandbox_put(sandbox, "package/one.module", "module: p.so\npriority: 1\nx-p: p\n");
	sandbox_put(sandbox, "package/two.module", "module: two.so\n");
	assert_dump("[global]; [one] priority=2 x-s=s module=p.so x-p=p; [two] module=two.so;",
		    sandbox_dump(&sandbox->paths));
}

static void
test_order(void **state)
{
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "system/b.module", "priority: 5\n");
	sandbox_put(sandbox, "package/a.module", "priority: 5\n");
	sandbox_put(sandbox, "system/z.module", "priority: 10\n");
	sandbox_put(sandbox, "package/c.module", "priority: -1\n");
	sandbox_put(sandbox, "package/Y.module", "");
	sandbox_put(sandbox, "package/x.module", "priority: 0\n");
	assert_dump("[global]; [z] priority=10; [a] priority=5; [b] priority=5; [Y]; "
		    "[x] priority=0; [c] priority=-1;",
		    sandbox_dump(&sandbox->paths));
}

static void
test_leftovers_are_skipped(void **state)
{
	static const char *const names[] = {
		".hidden.module",     ".module",          "a.module~",
		"a.module.bak",       "a.module.rpmnew",  "a.module.dpkg-old",
		"a.module.dpkg-dist", "a.module.rpmsave", ".a.module.swp",
	};
	struct sandbox *sandbox = *state;

	for (size_t i = 0; i < P11_N_ELEMENTS(names); i++) {
		char name[64];

		snprintf(name, sizeof name, "system/%s", names[i]);
		sandbox_put(sandbox, name, "no colon, but nobody looks\n");
	}
	assert_dump("[global];", sandbox_dump(&sandbox->paths));
}

static void
test_odd_names_are_loaded(void **state)
{
	static const char *const names[] = {
		"plain",        "with blank.module", "com,ma.module",
		"-dash.module", "a.modul",           "a.MODULE",
	};
	struct sandbox *sandbox = *state;

	for (size_t i = 0; i < P11_N_ELEMENTS(names); i++) {
		char name[64];

		snprintf(name, sizeof name, "package/%s", names[i]);
		sandbox_put(sandbox, name, "module: a.so\n");

		struct p11_config_set *set = sandbox_load(sandbox);
		assert_int_equal(set->n_modules, 1);
		assert_string_equal(p11_config_name(set->modules[0]), names[i]);
		sandbox_assert_message(name);
		sandbox_assert_message("expected a name like 'example.module'");
		p11_config_set_free(set);
		sandbox_remove(sandbox, name);
	}
}

static void
test_proper_name_precedes_odd_one(void **state)
{
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "system/foo", "module: odd.so\nx-odd: 1\n");
	sandbox_put(sandbox, "system/foo.module", "module: proper.so\n");
	sandbox_put(sandbox, "system/A_b-1.2.module", "");

	struct p11_config_set *set = sandbox_load(sandbox);
	assert_int_equal(set->n_modules, 2);
	assert_string_equal(p11_config_name(set->modules[0]), "A_b-1.2");
	assert_string_equal(p11_config_get(set->modules[1], "module"), "proper.so");
	assert_string_equal(p11_config_get(set->modules[1], "x-odd"), "1");
	p11_config_set_free(set);
}

static void
test_subfolders_are_skipped(void **state)
{
	struct sandbox *sandbox = *state;

	assert_int_equal(mkdir(sandbox_path(sandbox, "system/sub.module"), 0755), 0);
	sandbox_put(sandbox, "system/sub.module/in.module", "module: in.so\n");
	assert_dump("[global];", sandbox_dump(&sandbox->paths));
	assert_int_equal(mkdir(sandbox_path(sandbox, "system/closed"), 0), 0);
	assert_dump("[global];", sandbox_dump_as_user(&sandbox->paths, NULL, NULL));
	sandbox_remove(sandbox, "system/sub.module/in.module");
}

#define BYTES(literal) literal, sizeof(literal) - 1

/* Each costs only itself, and the message says which it is. */
static void
test_bad_module_file_costs_only_itself(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		const char *message;
	} cases[] = {
		{BYTES("module: bad.so\nno colon\n"), "system/bad.module:2: no colon"},
		{BYTES("[bad]\nmodule: bad.so\n"), "system/bad.module:1: a [section]"},
		{BYTES("module: bad.so\n\0"), "system/bad.module:2: a NUL byte"},
		{BYTES("critical: yes\nmodule: bad.so\n-----BEGIN X-----\n"),
		 "system/bad.module:3: a PEM block"},
		{BYTES("\x7f"
		       "ELF\x02\x01\x01\n"),
		 "system/bad.module:1: no colon"},
	};
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "system/good.module", "module: good.so\n");
	sandbox_put(sandbox, "package/last.module", "module: last.so\n");
	for (size_t i = 0; i < P11_N_ELEMENTS(cases); i++) {
		sandbox_put_bytes(sandbox, "system/bad.module", cases[i].bytes, cases[i].length);

		struct p11_config_set *set = sandbox_load(sandbox);
		assert_int_equal(set->n_modules, 2);
		assert_non_null(sandbox_module(set, "good"));
		assert_non_null(sandbox_module(set, "last"));
		sandbox_assert_message(cases[i].message);
		p11_config_set_free(set);
	}
}

static void
test_bad_file_hides_no_lower_one(void **state)
{
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "system/one.module", "priority: 1\noops\n");
	sandbox_put(sandbox, "package/one.module", "module: one.so\n");

	struct p11_config_set *set = sandbox_load(sandbox);
	assert_int_equal(set->n_modules, 1);
	assert_int_equal(p11_config_priority(set->modules[0]), 0);
	assert_string_equal(p11_config_get(set->modules[0], "module"), "one.so");
	p11_config_set_free(set);
}

static void
test_odd_entries_cost_only_themselves(void **state)
{
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "system/good.module", "");
	assert_int_equal(symlink("nowhere", sandbox_path(sandbox, "system/a.module")), 0);

	struct p11_config_set *set = sandbox_load(sandbox);
	assert_int_equal(set->n_modules, 1);
	sandbox_assert_message("system/a.module: was listed, but there is no such file");
	p11_config_set_free(set);

	sandbox_remove(sandbox, "system/a.module");
	assert_int_equal(mkfifo(sandbox_path(sandbox, "system/a.module"), 0644), 0);
	set = sandbox_load(sandbox);
	assert_int_equal(set->n_modules, 1);
	sandbox_assert_message("system/a.module: is ignored, expected a regular file");
	p11_config_set_free(set);
}

/* What we may not read: a file, then the folder. */
static void
test_forbidden_costs_only_itself(void **state)
{
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "system/good.module", "");
	sandbox_put(sandbox, "system/secret.module", "module: x.so\n");
	sandbox_mode(sandbox, "system/secret.module", 0);

	char *dump = sandbox_dump_as_user(&sandbox->paths, NULL, NULL);
	assert_ptr_equal(strstr(dump, "[global]; [good]; message: /"), dump);
	assert_non_null(strstr(dump, "/system/secret.module: no permission to read it"));
	free(dump);

	sandbox_put(sandbox, "package/other.module", "");
	sandbox_mode(sandbox, "system", 0);
	dump = sandbox_dump_as_user(&sandbox->paths, NULL, NULL);
	assert_ptr_equal(strstr(dump, "[global]; [other]; message: /"), dump);
	assert_non_null(strstr(dump, "/system: cannot be listed (Permission denied)"));
	free(dump);
}

static void
test_module_file_of_any_byte(void **state)
{
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "system/good.module", "module: good.so\n");
	for (int value = 0; value < 256; value++) {
		char byte = (char)value;

		sandbox_put_bytes(sandbox, "system/a.module", &byte, 1);
		sandbox_put_bytes(sandbox, "pkcs11.conf", &byte, 1);

		struct p11_config_set *set = sandbox_load(sandbox);
		assert_non_null(sandbox_module(set, "good"));
		p11_config_set_free(set);
	}
}

static void
test_typo_is_told(void **state)
{
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "system/a.module", "module: a.so\nx-own: 1\nprioritty: 5\n");

	struct p11_config_set *set = sandbox_load(sandbox);
	sandbox_assert_message("system/a.module:3: unknown key 'prioritty', did you mean "
			       "'priority'?");
	assert_string_equal(p11_config_get(set->modules[0], "prioritty"), "5");
	p11_config_set_free(set);

	sandbox_remove(sandbox, "system/a.module");
	sandbox_put(sandbox, "pkcs11.conf", "critical: yes\n");
	set = sandbox_load(sandbox);
	sandbox_assert_message("pkcs11.conf:1: the key 'critical' has no effect here");
	p11_config_set_free(set);
}

static void
test_yes(void **state)
{
	static const char *const bad[] = {"true", "YES", "1", "", "yes please"};
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "system/a.module", "critical: yes\ntrust-policy: no\n");

	struct p11_config_set *set = sandbox_load(sandbox);
	assert_true(p11_config_yes(set->modules[0], "critical", false));
	assert_false(p11_config_yes(set->modules[0], "trust-policy", true));
	assert_true(p11_config_yes(set->modules[0], "managed", true));
	assert_false(p11_config_yes(set->modules[0], "log-calls", false));
	sandbox_assert_no_message();
	p11_config_set_free(set);

	for (size_t i = 0; i < P11_N_ELEMENTS(bad); i++) {
		char text[64];

		snprintf(text, sizeof text, "\nmanaged: %s", bad[i]);
		sandbox_put(sandbox, "system/a.module", text);
		set = sandbox_load(sandbox);
		sandbox_assert_no_message();
		assert_true(p11_config_yes(set->modules[0], "managed", true));
		sandbox_assert_message("system/a.module:2: '");
		sandbox_assert_message("is no value for managed, expected yes or no; it counts as "
				       "yes");
		assert_false(p11_config_yes(set->modules[0], "managed", false));
		sandbox_assert_message("it counts as no");
		p11_config_set_free(set);
	}
}

static void
test_global_overrules_module(void **state)
{
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "pkcs11.conf", "managed: no\nlog-calls: yes\n");
	sandbox_put(sandbox, "system/a.module", "managed: yes\ncritical: yes\n");

	struct p11_config_set *set = sandbox_load(sandbox);
	assert_false(p11_config_yes(set->modules[0], "managed", true));
	assert_true(p11_config_yes(set->modules[0], "log-calls", false));
	assert_true(p11_config_yes(set->modules[0], "critical", false));
	assert_false(p11_config_yes(set->global, "managed", true));
	assert_string_equal(p11_config_get(set->modules[0], "managed"), "yes");
	p11_config_set_free(set);

	/* Nothing but managed and log-calls does: this is told, and of no effect. */
	sandbox_put(sandbox, "pkcs11.conf", "critical: no\n");
	set = sandbox_load(sandbox);
	assert_true(p11_config_yes(set->modules[0], "critical", false));
	p11_config_set_free(set);
}

static void
test_priority(void **state)
{
	static const struct {
		const char *value;
		int priority;
		const char *message; /* NULL: none */
	} cases[] = {
		{"7", 7, NULL},
		{"-7", -7, NULL},
		{"+7", 7, NULL},
		{"0", 0, NULL},
		{"99999999999999999999", 2147483647, NULL},
		{"-99999999999999999999", -2147483647 - 1, NULL},
		{"high", 0, "system/a.module:1: 'high' is no value for priority, expected a whole"},
		{"", 0, "it counts as 0"},
		{"7.5", 7, "only its beginning counts"},
		{"0x10", 0, "it counts as 0"},
	};
	struct sandbox *sandbox = *state;

	for (size_t i = 0; i < P11_N_ELEMENTS(cases); i++) {
		char text[64];

		snprintf(text, sizeof text, "priority: %s", cases[i].value);
		sandbox_put(sandbox, "system/a.module", text);

		struct p11_config_set *set = sandbox_load(sandbox);
		assert_int_equal(p11_config_priority(set->modules[0]), cases[i].priority);
		if (cases[i].message)
			sandbox_assert_message(cases[i].message);
		else
			sandbox_assert_no_message();
		p11_config_set_free(set);
	}
}

static void
test_slot_base(void **state)
{
	static const struct {
		const char *value;
		unsigned long base; /* 0: not valid */
	} cases[] = {
		{"17", 17},   {"18", 18},      {"100000", 100000},
		{"0x11", 17}, {"0XfF", 255},   {"0017", 17},
		{"16", 0},    {"0x10", 0},     {"0", 0},
		{"-18", 0},   {"+18", 0},      {"", 0},
		{"0x", 0},    {"18 19", 0},    {"18k", 0},
		{"010", 0},   {"eighteen", 0}, {"99999999999999999999", 0},
	};
	struct sandbox *sandbox = *state;
	unsigned long base = 5;

	for (size_t i = 0; i < P11_N_ELEMENTS(cases); i++) {
		char text[64];

		snprintf(text, sizeof text, "slot-base: %s", cases[i].value);
		sandbox_put(sandbox, "system/a.module", text);

		struct p11_config_set *set = sandbox_load(sandbox);
		base = 5;
		assert_int_equal(p11_config_slot_base(set->modules[0], &base), cases[i].base != 0);
		assert_int_equal(base, cases[i].base ? cases[i].base : 5);
		if (cases[i].base)
			sandbox_assert_no_message();
		else
			sandbox_assert_message("system/a.module:1: '");
		p11_config_set_free(set);
	}

	sandbox_put(sandbox, "system/a.module", "");
	struct p11_config_set *set = sandbox_load(sandbox);
	assert_false(p11_config_slot_base(set->modules[0], &base));
	sandbox_assert_no_message();
	p11_config_set_free(set);
}

static void
test_enabled(void **state)
{
	static const struct {
		const char *text;
		bool directly, by_proxy; /* for the program "prog" */
	} cases[] = {
		{"", true, true},
		{"enable-in: prog", true, true},
		{"enable-in: other", false, false},
		{"enable-in:", false, false},
		{"enable-in: other,prog", true, true},
		{"enable-in: other prog", true, true},
		{"enable-in: ,\t other ,, prog ,", true, true},
		{"enable-in: other;prog", false, false},
		{"enable-in: Prog", false, false},
		{"enable-in: progs pro", false, false},
		{"enable-in: p11-kit-proxy", false, true},
		{"enable-in: p11-kit-proxy, prog", true, true},
		{"enable-in: p11-kit-proxy, other", false, true},
		{"disable-in: prog", false, false},
		{"disable-in: other", true, true},
		{"disable-in:", true, true},
		{"disable-in: p11-kit-proxy", true, false},
		{"disable-in: p11-kit-proxy other", true, false},
		{"disable-in: p11-kit-proxy prog", false, false},
		{"enable-in: prog\ndisable-in: prog", true, true},
		{"enable-in:\ndisable-in: other", false, false},
	};
	struct sandbox *sandbox = *state;

	for (size_t i = 0; i < P11_N_ELEMENTS(cases); i++) {
		sandbox_put(sandbox, "system/a.module", cases[i].text);

		struct p11_config_set *set = sandbox_load(sandbox);
		assert_int_equal(p11_config_enabled(set->modules[0], "prog", false),
				 cases[i].directly);
		assert_int_equal(p11_config_enabled(set->modules[0], "prog", true),
				 cases[i].by_proxy);
		p11_config_set_free(set);
	}
	sandbox_assert_message("module a has both enable-in and disable-in");
}

/* A program without a name is in no list. */
static void
test_enabled_without_name(void **state)
{
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "system/a.module", "enable-in: a,, b,\n");

	struct p11_config_set *set = sandbox_load(sandbox);
	assert_false(p11_config_enabled(set->modules[0], "", false));
	p11_config_set_free(set);
}

static void
test_module_path(void **state)
{
	static const struct {
		const char *text, *path;
	} cases[] = {
		{"module: a.so", "/lib/pkcs11/a.so"},
		{"module: sub/a.so", "/lib/pkcs11/sub/a.so"},
		{"module: /opt/a b.so", "/opt/a b.so"},
		{"module:", NULL},
		{"", NULL},
		{"remote: |cmd", NULL},
	};
	struct sandbox *sandbox = *state;

	for (size_t i = 0; i < P11_N_ELEMENTS(cases); i++) {
		sandbox_put(sandbox, "system/a.module", cases[i].text);

		struct p11_config_set *set = sandbox_load(sandbox);
		const char *path = p11_config_module_path(set->modules[0]);
		if (cases[i].path)
			assert_string_equal(path, cases[i].path);
		else
			assert_null(path);
		sandbox_assert_no_message();
		p11_config_set_free(set);
	}
}

/* Files of Debian's packages: all their keys are known. */
static void
test_shipped_files_need_no_message(void **state)
{
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "package/p11-kit-trust.module",
		    "\n# comment\nmodule: p11-kit-trust.so\n\npriority: 1\n\ntrust-policy: yes\n\n"
		    "x-trust-lookup: pkcs11:library-description=PKCS%2311%20Kit\n\n"
		    "disable-in: p11-kit-proxy\n\nx-init-reserved:\n");
	sandbox_put(sandbox, "package/gnome-keyring.module", "module: gnome-keyring-pkcs11.so\n");
	sandbox_put(sandbox, "package/client.module",
		    "module: p11-kit-client.so\nserver-address: unix:path=/run/x\n"
		    "finalize-at-exit: yes\nremote: |ssh host p11-kit remote\n");
	sandbox_put(sandbox, "pkcs11.conf", "user-config: merge\nmanaged: yes\nlog-calls: no\n");

	struct p11_config_set *set = sandbox_load(sandbox);
	sandbox_assert_no_message();
	assert_int_equal(set->n_modules, 3);
	p11_config_set_free(set);
}

/* A name or a value that would break the line of a message, or steer the terminal. */
static void
test_messages_stay_one_line(void **state)
{
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "system/a\nb.module", "module: a.so\n");
	sandbox_put(sandbox, "system/c.module", "od\rd\x1b[31m: 1\n");
	p11_config_set_free(sandbox_load(sandbox));
	for (const char *at = p11_message_last(); *at; at++)
		assert_true((unsigned char)*at >= ' ');
}

/* The built-in paths, which this only completes: no file of them is read. */
static void
test_paths(void **state)
{
	struct p11_config_paths some = {.user_conf = "/elsewhere"};
	struct p11_config_paths all = p11_paths_complete(&some);

	(void)state;
	assert_string_equal(all.user_conf, "/elsewhere");
	assert_string_equal(all.user_modules, "~/.config/pkcs11/modules");
	assert_non_null(strstr(all.system_conf, "/pkcs11/pkcs11.conf"));
	assert_non_null(strstr(all.system_modules, "/pkcs11/modules"));
	assert_non_null(strstr(all.package_modules, "/p11-kit/modules"));
	assert_int_equal(all.module_dir[0], '/');
	assert_string_equal(p11_paths_complete(NULL).user_conf, "~/.config/pkcs11/pkcs11.conf");
}

#define in_sandbox(test) cmocka_unit_test_setup_teardown(test, sandbox_setup, sandbox_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		in_sandbox(test_nothing_is_configured),
		in_sandbox(test_global),
		in_sandbox(test_folders_merge_per_key),
		in_sandbox(test_order),
		in_sandbox(test_leftovers_are_skipped),
		in_sandbox(test_odd_names_are_loaded),
		in_sandbox(test_proper_name_precedes_odd_one),
		in_sandbox(test_subfolders_are_skipped),
		in_sandbox(test_bad_module_file_costs_only_itself),
		in_sandbox(test_bad_file_hides_no_lower_one),
		in_sandbox(test_odd_entries_cost_only_themselves),
		in_sandbox(test_forbidden_costs_only_itself),
		in_sandbox(test_module_file_of_any_byte),
		in_sandbox(test_typo_is_told),
		in_sandbox(test_yes),
		in_sandbox(test_global_overrules_module),
		in_sandbox(test_priority),
		in_sandbox(test_slot_base),
		in_sandbox(test_enabled),
		in_sandbox(test_enabled_without_name),
		in_sandbox(test_module_path),
		in_sandbox(test_shipped_files_need_no_message),
		in_sandbox(test_messages_stay_one_line),
		cmocka_unit_test(test_paths),
	};

	/* Also where the tests do not run as root, the user's files are another test's. */
	setenv("HOME", "/nonexistent", 1);
	setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
