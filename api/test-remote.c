/* SPDX-License-Identifier: BSD-3-Clause */
/* What the functions of remote.h answer as long as remoting is not built in. */
#define P11_KIT_FUTURE_UNSTABLE_API
#define P11_KIT_NO_DEPRECATIONS
#include "p11-kit/p11-kit.h"
#include "p11-kit/remote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void
assert_said(void)
{
	const char *message = p11_kit_message();

	assert_non_null(message);
	assert_non_null(strstr(message, "remoting is not built in"));
	p11_kit_module_release(NULL); /* does not clear it, */
	assert_ptr_equal(p11_kit_message(), message);
	free(p11_kit_config_option(NULL, "x")); /* this does */
	assert_null(p11_kit_message());
}

/* A failure with a message, whatever the peer sends: its bytes are not touched, nor are the
 * descriptors closed. */
static void
test_nothing_is_served(void **state)
{
	const char *tokens[] = {"pkcs11:token=a", "this is no URI"};
	CK_FUNCTION_LIST list = {.version = {2, 40}};
	CK_TOKEN_INFO token;
	char bytes[16];
	int in[2], out[2];

	(void)state;
	memset(&token, ' ', sizeof token);
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	assert_int_equal(write(in[1], "\377\377\377\377\377", 5), 5);
	assert_int_equal(p11_kit_remote_serve_module(&list, in[0], out[1]), 1);
	assert_said();
	assert_int_equal(p11_kit_remote_serve_token(&list, &token, in[0], out[1]), 1);
	assert_said();
	assert_int_equal(p11_kit_remote_serve_tokens(tokens, 2, NULL, in[0], out[1]), 1);
	assert_said();
	assert_int_equal(p11_kit_remote_serve_tokens(tokens, 1, &list, in[0], out[1]), 1);
	assert_said();

	assert_int_equal(read(in[0], bytes, sizeof bytes), 5);
	assert_int_equal(close(in[0]) | close(in[1]) | close(out[1]), 0);
	assert_int_equal(read(out[0], bytes, sizeof bytes), 0);
	assert_int_equal(close(out[0]), 0);
}

static void
test_broken_preconditions(void **state)
{
	const char *tokens[] = {"pkcs11:"};
	CK_FUNCTION_LIST list = {.version = {2, 40}};
	CK_TOKEN_INFO token;

	(void)state;
	memset(&token, ' ', sizeof token);
	assert_int_equal(p11_kit_remote_serve_module(NULL, 0, 1), 1);
	assert_int_equal(p11_kit_remote_serve_module(&list, -1, 1), 1);
	assert_int_equal(p11_kit_remote_serve_module(&list, 0, -1), 1);
	assert_int_equal(p11_kit_remote_serve_token(NULL, &token, 0, 1), 2);
	assert_int_equal(p11_kit_remote_serve_token(&list, NULL, 0, 1), 2);
	assert_int_equal(p11_kit_remote_serve_tokens(NULL, 1, NULL, 0, 1), 2);
	assert_int_equal(p11_kit_remote_serve_tokens(tokens, 0, NULL, 0, 1), 2);
	assert_int_equal(p11_kit_remote_serve_tokens(tokens, 1, NULL, -1, 1), 2);
	assert_int_equal(p11_kit_remote_serve_tokens(tokens, 1, NULL, 0, -1), 2);
	assert_null(p11_kit_message());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_served),
		cmocka_unit_test(test_broken_preconditions),
	};

	unsetenv("P11_KIT_STRICT");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
