/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When the user's files count, and where they are. Run as root, loads happen in a child that is
 * another user, since root has no files of a user's; the files are the sandbox's in any case.
 */
#include "config/paths.h"

#include "base/message.h"
#include "config/test-sandbox.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

static char *
dump(const struct sandbox *sandbox)
{
	return sandbox_dump_as_user(&sandbox->paths, NULL, NULL);
}

/* Expects `start`, then a message that contains `message`. */
static void
assert_dump_message(const struct sandbox *sandbox, const char *start, const char *message)
{
	char *text = dump(sandbox);

	if (strncmp(text, start, strlen(start)) != 0 || !strstr(text, " message: ") ||
	    !strstr(strstr(text, " message: "), message))
		fail_msg("expected '%s message: ...%s...', got '%s'", start, message, text);
	free(text);
}

static void
put_modules(const struct sandbox *sandbox)
{
	sandbox_put(sandbox, "package/p.module", "x-from: p\n");
	sandbox_put(sandbox, "system/s.module", "x-from: s\n");
	sandbox_put(sandbox, "user/u.module", "x-from: u\n");
}

#define SYSTEM_MODULES " [p] x-from=p; [s] x-from=s;"
#define ALL_MODULES SYSTEM_MODULES " [u] x-from=u;"
#define USER_MODULES " [u] x-from=u;"

static void
test_modes(void **state)
{
	static const struct {
		const char *system, *user; /* the global files; NULL: there is none */
		const char *dump;
	} cases[] = {
		{NULL, NULL, "[global];" ALL_MODULES},
		{NULL, "a: 1", "[global] a=1;" ALL_MODULES},
		{"a: s\nb: s", "a: u\nc: u", "[global] a=u c=u b=s;" ALL_MODULES},
		{"user-config: merge\nb: s", "a: u",
		 "[global] a=u user-config=merge b=s;" ALL_MODULES},
		{"user-config: none\nb: s", "a: u",
		 "[global] user-config=none b=s;" SYSTEM_MODULES},
		{"user-config: none", "user-config: only",
		 "[global] user-config=none;" SYSTEM_MODULES},
		{"user-config: only\nb: s", "a: u", "[global] a=u;" USER_MODULES},
		{"user-config: only\nb: s", NULL, "[global];" USER_MODULES},
		{"user-config: override\nb: s", "a: u", "[global] a=u;" USER_MODULES},
		{"b: s", "user-config: only", "[global] user-config=only;" USER_MODULES},
		{"b: s", "user-config: override", "[global] user-config=override;" USER_MODULES},
		{"b: s", "user-config: none\na: u", "[global] b=s;" SYSTEM_MODULES},
		{"user-config: only\nb: s", "user-config: merge\na: u",
		 "[global] user-config=merge a=u b=s;" ALL_MODULES},
	};
	struct sandbox *sandbox = *state;

	put_modules(sandbox);
	for (size_t i = 0; i < P11_N_ELEMENTS(cases); i++) {
		char *expected = strdup(cases[i].dump);

		remove(sandbox->paths.system_conf);
		remove(sandbox->paths.user_conf);
		if (cases[i].system)
			sandbox_put(sandbox, "pkcs11.conf", cases[i].system);
		if (cases[i].user)
			sandbox_put(sandbox, "user.conf", cases[i].user);

		/* Keys without x- are told; this is about what is used. */
		char *text = dump(sandbox);
		char *message = strstr(text, " message: ");
		if (message)
			*message = '\0';
		assert_string_equal(text, expected);
		free(text);
		free(expected);
	}
}

static void
test_user_precedes_system_and_package(void **state)
{
	struct sandbox *sandbox = *state;

	sandbox_put(sandbox, "package/a.module", "module: p.so\nx-a: p\nx-b: p\n");
	sandbox_put(sandbox, "system/a.module", "x-b: s\nx-c: s\n");
	sandbox_put(sandbox, "user/a.module", "x-c: u\n");
	assert_dump("[global]; [a] x-c=u x-b=s module=p.so x-a=p;", dump(sandbox));

	/* The documented way for a user to turn a module off. */
	sandbox_put(sandbox, "user/a.module", "enable-in:\n");
	assert_dump("[global]; [a] enable-in= x-b=s x-c=s module=p.so x-a=p;", dump(sandbox));
}

/* A bad global file is dropped whole, whoever's it is, and counts as `user-config: none`. */
static void
test_bad_global_files(void **state)
{
	struct sandbox *sandbox = *state;

	put_modules(sandbox);
	sandbox_put(sandbox, "user.conf", "x-u: u\n");
	sandbox_put(sandbox, "pkcs11.conf", "x-s: s\noops\n");
	assert_dump_message(sandbox, "[global];" SYSTEM_MODULES, "pkcs11.conf:2: no colon");
	sandbox_put(sandbox, "pkcs11.conf", "x-s: s\nuser-config: maybe\n");
	assert_dump_message(sandbox, "[global];" SYSTEM_MODULES,
			    "pkcs11.conf:2: 'maybe' is no value for user-config, expected none, "
			    "merge or only");
	sandbox_put(sandbox, "pkcs11.conf", "user-config:\n");
	assert_dump_message(sandbox, "[global];" SYSTEM_MODULES, "pkcs11.conf:1: ''");
	sandbox_mode(sandbox, "pkcs11.conf", 0);
	assert_dump_message(sandbox, "[global];" SYSTEM_MODULES, "pkcs11.conf: no permission");
	sandbox_remove(sandbox, "pkcs11.conf");
	assert_int_equal(mkdir(sandbox->paths.system_conf, 0755), 0);
	assert_dump_message(sandbox, "[global];" SYSTEM_MODULES, "pkcs11.conf: is a folder");
	sandbox_remove(sandbox, "pkcs11.conf");
	assert_int_equal(mkfifo(sandbox->paths.system_conf, 0644), 0);
	assert_dump_message(sandbox, "[global];" SYSTEM_MODULES, "expected a regular file");
	sandbox_remove(sandbox, "pkcs11.conf");

	sandbox_put(sandbox, "pkcs11.conf", "x-s: s\n");
	sandbox_put(sandbox, "user.conf", "x-u: u\noops\n");
	assert_dump_message(sandbox, "[global] x-s=s;" SYSTEM_MODULES, "user.conf:2: no colon");
	sandbox_put(sandbox, "user.conf", "x-u: u\nuser-config: all\n");
	assert_dump_message(sandbox, "[global] x-s=s;" SYSTEM_MODULES, "user.conf:2: 'all' is no");
}

/* What a user may not read of the user's is as good as missing, without a word. */
static void
test_forbidden_user_files(void **state)
{
	struct sandbox *sandbox = *state;

	put_modules(sandbox);
	sandbox_put(sandbox, "user.conf", "x-u: u\n");
	sandbox_mode(sandbox, "user.conf", 0);
	assert_dump("[global];" ALL_MODULES, dump(sandbox));
	sandbox_mode(sandbox, "user/u.module", 0);
	assert_dump("[global];" SYSTEM_MODULES, dump(sandbox));
	sandbox_mode(sandbox, "user/u.module", 0644);
	sandbox_mode(sandbox, "user", 0); /* neither listed nor searched */
	assert_dump("[global];" SYSTEM_MODULES, dump(sandbox));
	sandbox_mode(sandbox, "user", 0444); /* listed, not searched */
	assert_dump("[global];" SYSTEM_MODULES, dump(sandbox));
}

static void
set_no_user_config(void *data)
{
	setenv("P11_KIT_NO_USER_CONFIG", data, 1);
}

static void
test_no_user_config_in_environment(void **state)
{
	struct sandbox *sandbox = *state;
	char empty[] = "", no[] = "no";

	put_modules(sandbox);
	sandbox_put(sandbox, "user.conf", "x-u: u\n");
	assert_dump("[global];" SYSTEM_MODULES,
		    sandbox_dump_as_user(&sandbox->paths, set_no_user_config, empty));
	assert_dump("[global];" SYSTEM_MODULES,
		    sandbox_dump_as_user(&sandbox->paths, set_no_user_config, no));
	sandbox_put(sandbox, "pkcs11.conf", "user-config: only\n");
	assert_dump("[global] user-config=only;" SYSTEM_MODULES,
		    sandbox_dump_as_user(&sandbox->paths, set_no_user_config, empty));
}

static void
test_root_has_no_user_config(void **state)
{
	struct sandbox *sandbox = *state;

	if (getuid() != 0)
		skip();
	put_modules(sandbox);
	sandbox_put(sandbox, "user.conf", "user-config: only\nx-u: u\n");
	assert_dump("[global];" SYSTEM_MODULES, sandbox_dump(&sandbox->paths));
	sandbox_put(sandbox, "pkcs11.conf", "user-config: only\n");
	assert_dump("[global] user-config=only;" SYSTEM_MODULES, sandbox_dump(&sandbox->paths));
}

/* HOME and XDG_CONFIG_HOME of a child; NULL: not set. */
struct homes {
	const char *home, *xdg;
};

static void
set_homes(void *data)
{
	const struct homes *homes = data;

	if (homes->home)
		setenv("HOME", homes->home, 1);
	if (homes->xdg)
		setenv("XDG_CONFIG_HOME", homes->xdg, 1);
}

static void
test_home(void **state)
{
	struct sandbox *sandbox = *state;
	struct p11_config_paths paths = sandbox->paths;
	struct homes home = {sandbox->root, NULL}, empty = {sandbox->root, ""};
	struct homes xdg = {"/nonexistent", sandbox->names[4]}, none = {"", NULL};

	paths.user_conf = p11_paths_complete(NULL).user_conf;
	paths.user_modules = p11_paths_complete(NULL).user_modules;
	for (const char *const *name =
		     (const char *const[]){".config", ".config/pkcs11", ".config/pkcs11/modules",
					   "user/pkcs11", "user/pkcs11/modules", NULL};
	     *name; name++)
		assert_int_equal(mkdir(sandbox_path(sandbox, *name), 0755), 0);
	sandbox_put(sandbox, ".config/pkcs11/pkcs11.conf", "x-global: home\n");
	sandbox_put(sandbox, ".config/pkcs11/modules/h.module", "");
	sandbox_put(sandbox, "user/pkcs11/pkcs11.conf", "x-global: xdg\n");
	sandbox_put(sandbox, "user/pkcs11/modules/x.module", "");

	assert_dump("[global] x-global=home; [h];", sandbox_dump_as_user(&paths, set_homes, &home));
	assert_dump("[global] x-global=home; [h];",
		    sandbox_dump_as_user(&paths, set_homes, &empty));
	assert_dump("[global] x-global=xdg; [x];", sandbox_dump_as_user(&paths, set_homes, &xdg));

	/* XDG_CONFIG_HOME stands for ~/.config only. */
	paths.user_conf = "~/.configuration";
	sandbox_put(sandbox, ".configuration", "x-global: other\n");
	xdg.home = sandbox->root;
	assert_dump("[global] x-global=other; [x];", sandbox_dump_as_user(&paths, set_homes, &xdg));

	/* Without a home there are no files of the user's; the others are used. */
	sandbox_put(sandbox, "system/s.module", "");
	if (getuid() == 0) {
		char *text = sandbox_dump_as_user(&paths, set_homes, &none);
		assert_non_null(strstr(text, "[global]; [s]; message: ~/"));
		assert_non_null(strstr(text, "no home directory is known"));
		free(text);
	}
}

static void
test_expand(void **state)
{
	static const struct {
		const char *path, *expanded;
	} cases[] = {
		{"/plain/~", "/plain/~"},
		{"~", "/h"},
		{"~/", "/h/"},
		{"~/x", "/h/x"},
		{"~other/x", "~other/x"},
		{"", ""},
		{"~/.config", "/c"},
		{"~/.config/x", "/c/x"},
		{"~/.configs", "/h/.configs"},
		{"~/x/.config", "/h/x/.config"},
	};

	(void)state;
	setenv("HOME", "/h", 1);
	setenv("XDG_CONFIG_HOME", "/c", 1);
	for (size_t i = 0; i < P11_N_ELEMENTS(cases); i++) {
		P11_AUTO_STRING out = NULL;

		assert_int_equal(p11_paths_expand(cases[i].path, &out), 0);
		assert_string_equal(out, cases[i].expanded);
	}

	/* The user database: this user has a home there, or none at all. */
	P11_AUTO_STRING out = NULL;
	unsetenv("HOME");
	unsetenv("XDG_CONFIG_HOME");
	int error = p11_paths_expand("~/x", &out);
	if (error == 0)
		assert_string_equal(out + strlen(out) - 2, "/x");
	else
		assert_int_equal(error, ENOENT);
}

/* Root's copy of this program; the caller frees its path. */
static char *
copy_of_this_program(const struct sandbox *sandbox)
{
	char command[128];
	char *copy = strdup(sandbox_path(sandbox, "probe"));

	snprintf(command, sizeof command, "/proc/%d/exe", (int)getpid());
	char *cp[] = {(char[]){"cp"}, command, copy, NULL};
	free(sandbox_run("/bin/cp", cp, 0));
	assert_int_equal(chown(copy, 0, 0), 0);
	assert_int_equal(chmod(copy, 0755), 0);
	return copy;
}

/* In a program that gives its privileges to the caller, as uid and as gid. */
static void
check_privileged(const struct sandbox *sandbox, mode_t mode)
{
	char *copy = copy_of_this_program(sandbox);
	char probe[] = "--probe", root[256];
	char *argv[] = {copy, probe, root, NULL};

	snprintf(root, sizeof root, "%s", sandbox->root);
	assert_dump("plain [global] x-u=u;" ALL_MODULES " 0", sandbox_run(copy, argv, 12345));

	assert_int_equal(chmod(copy, mode), 0);
	char *text = sandbox_run(copy, argv, 12345);
	free(copy);
	if (strncmp(text, "plain", 5) == 0) {
		free(text);
		skip(); /* the folder of temporary files is mounted nosuid */
	}
	assert_dump("secure [global];" SYSTEM_MODULES " 1", text);
}

static void
test_setuid(void **state)
{
	struct sandbox *sandbox = *state;

	if (getuid() != 0 || getenv("P11_EMULATED"))
		skip();
	put_modules(sandbox);
	sandbox_put(sandbox, "user.conf", "x-u: u\n");
	check_privileged(sandbox, 04755);
}

static void
test_setgid(void **state)
{
	struct sandbox *sandbox = *state;

	if (getuid() != 0 || getenv("P11_EMULATED"))
		skip();
	put_modules(sandbox);
	sandbox_put(sandbox, "user.conf", "x-u: u\n");
	check_privileged(sandbox, 02755);
}

#define RULE "p11-kit: example: the caller broke the rule 'rule'\n"

/* P11_KIT_DEBUG and P11_KIT_STRICT are the user's who calls (B80). */
static void
test_setuid_heeds_no_setting(void **state)
{
	struct sandbox *sandbox = *state;

	if (getuid() != 0 || getenv("P11_EMULATED"))
		skip();
	char *copy = copy_of_this_program(sandbox);
	char speak[] = "--speak";
	char *argv[] = {copy, speak, NULL};

	setenv("P11_KIT_DEBUG", "1", 1);
	setenv("P11_KIT_STRICT", "1", 1);
	char *plain = sandbox_run(copy, argv, 12345);
	assert_int_equal(chmod(copy, 04755), 0);
	char *privileged = sandbox_run(copy, argv, 12345);
	unsetenv("P11_KIT_DEBUG");
	unsetenv("P11_KIT_STRICT");
	free(copy);
	assert_dump("plain\np11-kit: heard\n" RULE "aborted\n", plain);
	if (strncmp(privileged, "plain", 5) == 0) {
		free(privileged);
		skip(); /* the folder of temporary files is mounted nosuid */
	}
	assert_dump("secure\n" RULE "went on\n", privileged);
}

static void
write_line(const char *text)
{
	ssize_t ignored = write(STDOUT_FILENO, text, strlen(text));
	(void)ignored;
}

static _Noreturn void
say_aborted(int number)
{
	(void)number;
	write_line("aborted\n");
	_exit(0);
}

/* What the copy of this program does in test_setuid_heeds_no_setting(). */
static _Noreturn void
speak(void)
{
	dup2(STDOUT_FILENO, STDERR_FILENO);
	signal(SIGABRT, say_aborted);
	write_line(getauxval(AT_SECURE) ? "secure\n" : "plain\n");
	p11_message("heard");
	p11_precondition("example", "rule");
	write_line("went on\n");
	_exit(0); /* a leak checker would fail to look into a privileged process */
}

/* What the copies of this program do in check_privileged(). The last number: is "~" refused? */
static _Noreturn void
probe(const char *root)
{
	struct sandbox sandbox;
	char *expanded = NULL;

	for (size_t i = 0; i < 5; i++)
		snprintf(sandbox.names[i], sizeof sandbox.names[i], "%s/%s", root,
			 ((const char *const[]){"pkcs11.conf", "user.conf", "package", "system",
						"user"})[i]);
	sandbox.paths = (struct p11_config_paths){
		.system_conf = sandbox.names[0],
		.user_conf = sandbox.names[1],
		.package_modules = sandbox.names[2],
		.system_modules = sandbox.names[3],
		.user_modules = sandbox.names[4],
	};

	char *text = sandbox_dump(&sandbox.paths);
	setenv("HOME", "/h", 1);
	printf("%s %s %d", getauxval(AT_SECURE) ? "secure" : "plain", text,
	       p11_paths_expand("~/x", &expanded) == EPERM);
	free(expanded);
	free(text);
	fflush(stdout);
	_exit(0); /* a leak checker would fail to look into a privileged process */
}

#define in_sandbox(test) cmocka_unit_test_setup_teardown(test, sandbox_setup, sandbox_teardown)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		in_sandbox(test_modes),
		in_sandbox(test_user_precedes_system_and_package),
		in_sandbox(test_bad_global_files),
		in_sandbox(test_forbidden_user_files),
		in_sandbox(test_no_user_config_in_environment),
		in_sandbox(test_root_has_no_user_config),
		in_sandbox(test_home),
		cmocka_unit_test(test_expand),
		in_sandbox(test_setuid),
		in_sandbox(test_setgid),
		in_sandbox(test_setuid_heeds_no_setting),
	};

	if (argc == 3 && strcmp(argv[1], "--probe") == 0)
		probe(argv[2]);
	if (argc == 2 && strcmp(argv[1], "--speak") == 0)
		speak();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
