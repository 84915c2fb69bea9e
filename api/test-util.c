/* SPDX-License-Identifier: BSD-3-Clause */
/* What p11-kit.h, remote.h and version.h promise of the small functions. */
#define P11_KIT_FUTURE_UNSTABLE_API
#include "p11-kit/p11-kit.h"
#include "p11-kit/remote.h"
#include "p11-kit/version.h"

#include "base/base.h"
#include "base/message.h"
#include "config/program.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const unsigned char *
bytes(const char *text)
{
	return (const unsigned char *)text;
}

static void
test_space_strlen(void **state)
{
	(void)state;
	assert_int_equal(p11_kit_space_strlen(bytes("abc   "), 6), 3);
	assert_int_equal(p11_kit_space_strlen(bytes("abc   x"), 6), 3);
	assert_int_equal(p11_kit_space_strlen(bytes("  a b "), 6), 5);
	assert_int_equal(p11_kit_space_strlen(bytes("abc"), 3), 3);
	assert_int_equal(p11_kit_space_strlen(bytes("    "), 4), 0);
	assert_int_equal(p11_kit_space_strlen(bytes("abc"), 0), 0);
	/* NULs count */
	assert_int_equal(p11_kit_space_strlen(bytes("a\0\0 "), 4), 3);
	assert_int_equal(p11_kit_space_strlen(NULL, 4), 0);
}

static void
test_space_strdup(void **state)
{
	/* No NUL behind it, and exactly as long as it says */
	unsigned char *field = malloc(8);
	char *string;

	(void)state;
	memcpy(field, " a b    ", 8);
	string = p11_kit_space_strdup(field, 8);
	assert_string_equal(string, " a b");
	free(string);
	memcpy(field, "abcdefgh", 8);
	string = p11_kit_space_strdup(field, 8);
	assert_string_equal(string, "abcdefgh");
	free(string);
	memcpy(field, "a\0b     ", 8);
	string = p11_kit_space_strdup(field, 8);
	assert_memory_equal(string, "a\0b", 4);
	free(string);
	string = p11_kit_space_strdup(field, 0);
	assert_string_equal(string, "");
	free(string);
	assert_null(p11_kit_space_strdup(NULL, 8));
	free(field);
}

static void
test_check_version(void **state)
{
	const int major = P11_KIT_VERSION_MAJOR, minor = P11_KIT_VERSION_MINOR,
		  micro = P11_KIT_VERSION_MICRO;

	(void)state;
	assert_int_equal(p11_kit_check_version(major, minor, micro), 1);
	assert_int_equal(p11_kit_check_version(major, minor, micro + 1), 0);
	assert_int_equal(p11_kit_check_version(major, minor + 1, 0), 0);
	assert_int_equal(p11_kit_check_version(major + 1, 0, 0), 0);
	assert_int_equal(p11_kit_check_version(major, minor - 1, micro + 1000), 1);
	assert_int_equal(p11_kit_check_version(major - 1, minor + 1000, micro + 1000), 1);
	assert_int_equal(p11_kit_check_version(0, 25, 4), 1);
#if !P11_KIT_CHECK_VERSION(0, 25, 4) || P11_KIT_CHECK_VERSION(99, 0, 0)
	fail_msg("P11_KIT_CHECK_VERSION in #if");
#endif
}

static void
test_strerror(void **state)
{
	static const CK_RV silent[] = {CKR_OK, CKR_NO_EVENT, CKR_FUNCTION_NOT_PARALLEL,
				       CKR_SESSION_PARALLEL_NOT_SUPPORTED};
	static const CK_RV own[] = {CKR_CANCEL,          CKR_HOST_MEMORY,   CKR_SLOT_ID_INVALID,
				    CKR_GENERAL_ERROR,   CKR_PIN_INCORRECT, CKR_DEVICE_ERROR,
				    CKR_FUNCTION_FAILED, 0x1234567};

	(void)state;
	for (size_t i = 0; i < P11_N_ELEMENTS(silent); i++)
		assert_string_equal(p11_kit_strerror(silent[i]), "");
	for (size_t i = 0; i < P11_N_ELEMENTS(own); i++) {
		assert_string_not_equal(p11_kit_strerror(own[i]), "");
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(p11_kit_strerror(own[i]), p11_kit_strerror(own[j]));
	}
	assert_string_equal(p11_kit_strerror(CKR_CANCEL), p11_kit_strerror(CKR_FUNCTION_CANCELED));
	assert_string_equal(p11_kit_strerror(0x1234567), p11_kit_strerror((CK_RV)-1));
	assert_string_equal(p11_kit_strerror(0x1234567), p11_kit_strerror(CKR_VENDOR_DEFINED | 5));
}

static void *
message_of_thread(void *seen)
{
	*(const char **)seen = p11_kit_message();
	return NULL;
}

static void
test_message(void **state)
{
	pthread_t thread;
	const char *other = "";

	(void)state;
	p11_message_clear();
	assert_null(p11_kit_message());
	p11_message("what went %s", "wrong");
	assert_string_equal(p11_kit_message(), "what went wrong");
	assert_int_equal(pthread_create(&thread, NULL, message_of_thread, &other), 0);
	pthread_join(thread, NULL);
	assert_null(other);

	/* Asking for a text, or breaking a precondition, is no message. */
	(void)p11_kit_strerror(CKR_GENERAL_ERROR);
	(void)p11_kit_space_strlen(NULL, 1);
	assert_string_equal(p11_kit_message(), "what went wrong");
	p11_message_clear();
	assert_null(p11_kit_message());
}

/* What `print` writes to stderr, the caller's to free. */
static char *
printed_by(void (*print)(void))
{
	char *text = calloc(1, 1024);
	int ends[2], saved = dup(STDERR_FILENO);

	assert_non_null(text);
	assert_true(saved >= 0);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
	print();
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	close(saved);
	assert_true(read(ends[0], text, 1023) >= 0);
	close(ends[0]);
	return text;
}

static void
print_quietly(void)
{
	p11_message("at first");
	p11_kit_be_loud();
	p11_kit_be_quiet();
	p11_message("quiet");
}

static void
print_loudly(void)
{
	p11_kit_be_loud();
	p11_message("loud");
	p11_kit_be_quiet();
}

static void
print_by_environment(void)
{
	setenv("P11_KIT_DEBUG", "1", 1);
	p11_kit_be_quiet();
	p11_message("wanted");
	setenv("P11_KIT_DEBUG", "", 1);
	p11_kit_be_quiet();
	p11_message("unwanted");
	unsetenv("P11_KIT_DEBUG");
}

static void
break_precondition(void)
{
	p11_kit_be_quiet();
	(void)p11_kit_space_strdup(NULL, 1);
}

static void
test_quiet_and_loud(void **state)
{
	(void)state;
	char *text = printed_by(print_quietly);
	assert_string_equal(text, "");
	assert_string_equal(p11_kit_message(), "quiet");
	free(text);
	text = printed_by(print_loudly);
	assert_string_equal(text, "p11-kit: loud\n");
	free(text);
	text = printed_by(print_by_environment);
	assert_string_equal(text, "p11-kit: wanted\n");
	free(text);
	text = printed_by(break_precondition);
	assert_non_null(strstr(text, "p11_kit_space_strdup"));
	assert_non_null(strstr(text, "string != NULL"));
	free(text);
}

/* Any value that is not empty makes a broken precondition fatal. */
static int
child_status(const char *strict)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		setenv("P11_KIT_STRICT", strict, 1);
		close(STDERR_FILENO);
		(void)p11_kit_space_strdup(NULL, 1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
test_strict(void **state)
{
	(void)state;
	assert_int_equal(child_status(""), 0);
	int status = child_status("no");
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void
test_set_progname(void **state)
{
	char name[400], expected[256];
	char *automatic = strdup(p11_program_name());

	(void)state;
	p11_kit_set_progname("some-program");
	assert_string_equal(p11_program_name(), "some-program");
	memset(name, 'n', sizeof name);
	name[sizeof name - 1] = '\0';
	memset(expected, 'n', sizeof expected);
	expected[255] = '\0';
	p11_kit_set_progname(name);
	assert_string_equal(p11_program_name(), expected);
	p11_kit_set_progname("");
	assert_string_equal(p11_program_name(), automatic);
	p11_kit_set_progname("x");
	p11_kit_set_progname(NULL);
	assert_string_equal(p11_program_name(), automatic);
	free(automatic);
}

#define CLOSED 1023 /* a descriptor that is not open */

static void
assert_not_built_in(int result)
{
	assert_int_equal(result, 1);
	assert_non_null(p11_kit_message());
	assert_non_null(strstr(p11_kit_message(), "not built into"));
	p11_message_clear();
}

/* They fail without using a descriptor or calling the module: this list has no functions. */
static void
test_remote(void **state)
{
	CK_FUNCTION_LIST list = {.version = {2, 40}};
	CK_TOKEN_INFO token = {.label = "any"};
	const char *uris[] = {"pkcs11:token=any", NULL};

	(void)state;
	p11_message_clear();
	assert_not_built_in(p11_kit_remote_serve_module(&list, CLOSED, CLOSED));
	assert_not_built_in(p11_kit_remote_serve_token(&list, &token, CLOSED, CLOSED));
	assert_not_built_in(p11_kit_remote_serve_tokens(uris, 1, &list, CLOSED, CLOSED));
	assert_not_built_in(p11_kit_remote_serve_tokens(uris, 1, NULL, CLOSED, CLOSED));

	assert_int_equal(p11_kit_remote_serve_module(NULL, 0, 1), 1);
	assert_int_equal(p11_kit_remote_serve_token(NULL, &token, 0, 1), 2);
	assert_int_equal(p11_kit_remote_serve_token(&list, NULL, 0, 1), 2);
	assert_int_equal(p11_kit_remote_serve_tokens(NULL, 1, NULL, 0, 1), 2);
	assert_int_equal(p11_kit_remote_serve_tokens(uris, 0, NULL, 0, 1), 2);
	assert_int_equal(p11_kit_remote_serve_tokens(uris, 1, NULL, -1, 1), 2);
	assert_null(p11_kit_message());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_space_strlen),  cmocka_unit_test(test_space_strdup),
		cmocka_unit_test(test_check_version), cmocka_unit_test(test_strerror),
		cmocka_unit_test(test_message),       cmocka_unit_test(test_quiet_and_loud),
		cmocka_unit_test(test_strict),        cmocka_unit_test(test_set_progname),
		cmocka_unit_test(test_remote),
	};

	unsetenv("P11_KIT_STRICT");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
