/* SPDX-License-Identifier: BSD-3-Clause */
/* pkcs11/call.h: the descriptors fit each other, and say of some calls what is known of them. */
#include "pkcs11/call.h"

#include <p11-kit/pkcs11.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* An id is a place in the lists, which programs have compiled in. */
#define PLACE(list, name)                                                                          \
	((offsetof(list, name) - offsetof(list, C_Initialize)) / sizeof(void (*)(void)))
_Static_assert(PLACE(CK_FUNCTION_LIST, C_WaitForSlotEvent) == P11_CALL_C_WaitForSlotEvent, "2.40");
_Static_assert(PLACE(CK_FUNCTION_LIST_3_0, C_GetInterfaceList) == P11_CALL_C_GetInterfaceList,
	       "3.0");
_Static_assert(PLACE(CK_FUNCTION_LIST_3_2, C_EncapsulateKey) == P11_CALL_C_EncapsulateKey, "3.2");

static const struct p11_arg *
arg_of(enum p11_call_id id, unsigned index)
{
	assert_in_range(index, 0, p11_calls[id].n_args - 1);
	return &p11_args[p11_calls[id].first_arg + index];
}

static void
test_calls_share_out_the_arguments(void **state)
{
	unsigned n_args = 0, since = 0;

	(void)state;
	for (unsigned i = 0; i < P11_N_CALLS; i++) {
		assert_int_equal(p11_calls[i].first_arg, n_args);
		assert_in_range(p11_calls[i].n_args, 1, 20);
		assert_in_range(p11_calls[i].route, P11_ROUTE_BOUND, P11_ROUTE_PARALLEL);
		assert_true(p11_calls[i].since >= since);
		since = p11_calls[i].since;
		n_args += p11_calls[i].n_args;
	}
	assert_int_equal(n_args, p11_n_args);
}

static void
test_names_are_different(void **state)
{
	(void)state;
	for (unsigned i = 0; i < P11_N_CALLS; i++) {
		const char *name = p11_call_name((enum p11_call_id)i);

		assert_memory_equal(name, "C_", 2);
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(name, p11_call_name((enum p11_call_id)j));
	}
}

/* What another argument says about this one has to be a number that this call has. */
static void
check_size(enum p11_call_id id, unsigned index)
{
	const struct p11_arg *size = arg_of(id, index);

	assert_int_equal(size->kind, P11_KIND_CK_ULONG);
	assert_in_range(size->n_pointers, 0, 1);
}

static void
check_arg(enum p11_call_id id, const struct p11_arg *arg)
{
	bool is_pointer = arg->n_pointers || arg->kind == P11_KIND_CK_VOID_PTR;
	bool has_count = arg->count != P11_ARG_NONE;

	assert_in_range(arg->kind, 0, P11_N_KINDS - 1);
	assert_true(strlen(p11_arg_name(arg)) > 0);
	assert_int_equal((arg->roles & (P11_ARG_IN | P11_ARG_OUT)) != 0, is_pointer);
	if (has_count && !(arg->roles & P11_ARG_FIXED))
		check_size(id, arg->count);
	if (arg->filled != P11_ARG_NONE)
		check_size(id, arg->filled);
	if (arg->roles & P11_ARG_FIXED)
		assert_true(has_count);
	if (arg->roles & P11_ARG_TWO_CALLS)
		assert_true(has_count && arg->roles & P11_ARG_OUT);
	if (arg->roles & P11_ARG_KEY)
		assert_int_equal(arg->kind, P11_KIND_CK_OBJECT_HANDLE);
}

static void
test_arguments_make_sense(void **state)
{
	(void)state;
	for (unsigned i = 0; i < P11_N_CALLS; i++) {
		enum p11_call_id id = (enum p11_call_id)i;

		for (unsigned j = 0; j < p11_calls[id].n_args; j++)
			check_arg(id, arg_of(id, j));
		if (p11_calls[id].route != P11_ROUTE_BOUND) {
			assert_int_equal(arg_of(id, 0)->kind, P11_KIND_CK_SESSION_HANDLE);
			assert_int_equal(arg_of(id, 0)->n_pointers, 0);
		}
	}
}

/* Whoever adds a call with a PIN should not forget that it is one. */
static void
test_pins_are_secret(void **state)
{
	unsigned n_pins = 0;

	(void)state;
	for (unsigned i = 0; i < p11_n_args; i++) {
		if (!strstr(p11_arg_name(&p11_args[i]), "Pin") || !p11_args[i].n_pointers)
			continue;
		assert_true(p11_args[i].roles & P11_ARG_SECRET);
		n_pins++;
	}
	assert_int_equal(n_pins, 6);
}

static void
check_roles(enum p11_call_id id, unsigned index, const char *name, unsigned roles, unsigned count)
{
	const struct p11_arg *arg = arg_of(id, index);

	assert_string_equal(p11_arg_name(arg), name);
	assert_int_equal(arg->roles, roles);
	assert_int_equal(arg->count, count);
}

static void
test_some_calls(void **state)
{
	const struct p11_call *sign = &p11_calls[P11_CALL_C_Sign];

	(void)state;
	assert_string_equal(p11_call_name(P11_CALL_C_Sign), "C_Sign");
	assert_int_equal(sign->since, P11_SINCE(2, 40));
	assert_int_equal(sign->route, P11_ROUTE_SESSION);
	assert_int_equal(sign->n_args, 5);
	check_roles(P11_CALL_C_Sign, 0, "hSession", 0, P11_ARG_NONE);
	check_roles(P11_CALL_C_Sign, 1, "pData", P11_ARG_IN | P11_ARG_PLAINTEXT, 2);
	check_roles(P11_CALL_C_Sign, 2, "ulDataLen", 0, P11_ARG_NONE);
	check_roles(P11_CALL_C_Sign, 3, "pSignature", P11_ARG_OUT | P11_ARG_TWO_CALLS, 4);
	check_roles(P11_CALL_C_Sign, 4, "pulSignatureLen", P11_ARG_IN | P11_ARG_OUT, P11_ARG_NONE);

	check_roles(P11_CALL_C_InitToken, 3, "pLabel", P11_ARG_IN | P11_ARG_FIXED, 32);
	check_roles(P11_CALL_C_FindObjects, 1, "phObject", P11_ARG_OUT, 2);
	assert_int_equal(arg_of(P11_CALL_C_FindObjects, 1)->filled, 3);
	assert_int_equal(arg_of(P11_CALL_C_GetFunctionList, 0)->n_pointers, 2);
	assert_int_equal(p11_calls[P11_CALL_C_LoginUser].since, P11_SINCE(3, 0));
	assert_int_equal(p11_calls[P11_CALL_C_CancelFunction].route, P11_ROUTE_PARALLEL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls_share_out_the_arguments),
		cmocka_unit_test(test_names_are_different),
		cmocka_unit_test(test_arguments_make_sense),
		cmocka_unit_test(test_pins_are_secret),
		cmocka_unit_test(test_some_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
