/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pkcs11/pool.h: every function of every context reaches what its context does, with its arguments
 * in their places and nothing else.
 */
#include "pkcs11/pool.h"

#include "pkcs11/call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MAX_ARGS 6

/* What the last call brought along. */
static struct {
	enum p11_call_id call;
	unsigned n_args;
	uintptr_t args[MAX_ARGS];
	const void *context;
} seen;

static CK_RV answer;

static CK_RV
see(enum p11_call_id call, const void *context, unsigned n_args, const uintptr_t *args)
{
	seen.call = call;
	seen.context = context;
	seen.n_args = n_args;
	memcpy(seen.args, args, n_args * sizeof args[0]);
	return answer;
}

#define WORD(value) ((uintptr_t)(value))

/* An operation that notes down its arguments; they stand in the order of its parameters. */
#define OPERATION(name, parameters, ...)                                                           \
	static CK_RV see_##name parameters                                                         \
	{                                                                                          \
		const uintptr_t args[] = {__VA_ARGS__};                                            \
		return see(P11_CALL_##name, context, P11_N_ELEMENTS(args), args);                  \
	}

OPERATION(C_Initialize, (void *a, void *context), WORD(a))
OPERATION(C_Finalize, (void *a, void *context), WORD(a))
OPERATION(C_GetInfo, (CK_INFO_PTR a, void *context), WORD(a))
OPERATION(C_GetFunctionList, (CK_FUNCTION_LIST_PTR_PTR a, void *context), WORD(a))
OPERATION(C_GetInterfaceList, (CK_INTERFACE_PTR a, CK_ULONG_PTR b, void *context), WORD(a), WORD(b))
OPERATION(C_GetInterface,
	  (CK_UTF8CHAR_PTR a, CK_VERSION_PTR b, CK_INTERFACE_PTR_PTR c, CK_FLAGS d, void *context),
	  WORD(a), WORD(b), WORD(c), d)
OPERATION(C_GetSlotList, (CK_BBOOL a, CK_SLOT_ID_PTR b, CK_ULONG_PTR c, void *context), a, WORD(b),
	  WORD(c))
OPERATION(C_GetSlotInfo, (CK_SLOT_ID a, CK_SLOT_INFO_PTR b, void *context), a, WORD(b))
OPERATION(C_GetTokenInfo, (CK_SLOT_ID a, CK_TOKEN_INFO_PTR b, void *context), a, WORD(b))
OPERATION(C_GetMechanismList,
	  (CK_SLOT_ID a, CK_MECHANISM_TYPE_PTR b, CK_ULONG_PTR c, void *context), a, WORD(b),
	  WORD(c))
OPERATION(C_GetMechanismInfo,
	  (CK_SLOT_ID a, CK_MECHANISM_TYPE b, CK_MECHANISM_INFO_PTR c, void *context), a, b,
	  WORD(c))
OPERATION(C_InitToken,
	  (CK_SLOT_ID a, CK_UTF8CHAR_PTR b, CK_ULONG c, CK_UTF8CHAR_PTR d, void *context), a,
	  WORD(b), c, WORD(d))
OPERATION(C_OpenSession,
	  (CK_SLOT_ID a, CK_FLAGS b, void *c, CK_NOTIFY d, CK_SESSION_HANDLE_PTR e, void *context),
	  a, b, WORD(c), WORD(d), WORD(e))
OPERATION(C_CloseSession, (CK_SESSION_HANDLE a, void *context), a)
OPERATION(C_CloseAllSessions, (CK_SLOT_ID a, void *context), a)
OPERATION(C_WaitForSlotEvent, (CK_FLAGS a, CK_SLOT_ID_PTR b, void *c, void *context), a, WORD(b),
	  WORD(c))

static const struct p11_bound_ops operations = {
	.C_Initialize = see_C_Initialize,
	.C_Finalize = see_C_Finalize,
	.C_GetInfo = see_C_GetInfo,
	.C_GetFunctionList = see_C_GetFunctionList,
	.C_GetInterfaceList = see_C_GetInterfaceList,
	.C_GetInterface = see_C_GetInterface,
	.C_GetSlotList = see_C_GetSlotList,
	.C_GetSlotInfo = see_C_GetSlotInfo,
	.C_GetTokenInfo = see_C_GetTokenInfo,
	.C_GetMechanismList = see_C_GetMechanismList,
	.C_GetMechanismInfo = see_C_GetMechanismInfo,
	.C_InitToken = see_C_InitToken,
	.C_OpenSession = see_C_OpenSession,
	.C_CloseSession = see_C_CloseSession,
	.C_CloseAllSessions = see_C_CloseAllSessions,
	.C_WaitForSlotEvent = see_C_WaitForSlotEvent,
};

static const enum p11_call_id bound_calls[] = {
	P11_CALL_C_Initialize,       P11_CALL_C_Finalize,         P11_CALL_C_GetInfo,
	P11_CALL_C_GetFunctionList,  P11_CALL_C_GetInterfaceList, P11_CALL_C_GetInterface,
	P11_CALL_C_GetSlotList,      P11_CALL_C_GetSlotInfo,      P11_CALL_C_GetTokenInfo,
	P11_CALL_C_GetMechanismList, P11_CALL_C_GetMechanismInfo, P11_CALL_C_InitToken,
	P11_CALL_C_OpenSession,      P11_CALL_C_CloseSession,     P11_CALL_C_CloseAllSessions,
	P11_CALL_C_WaitForSlotEvent,
};

/* Contexts are told apart by where in this they point. */
static char contexts[P11_N_CONTEXTS];

/*
 * Argument `i` of the calls to context `n`, of the type that is wanted. Large, so that no part of
 * it is lost unnoticed; it is never followed.
 */
#define NUMBER(i) (WORD(0xf0e10000u) + (n << 4) + (i))
#define POINTER(i) ((void *)NUMBER(i))
#define CALL(name, ...) (((CK_##name)(uintptr_t)p11_bound_entry(n, P11_CALL_##name))(__VA_ARGS__))

static CK_RV
call(unsigned n, enum p11_call_id id)
{
	switch (id) {
	case P11_CALL_C_Initialize:
		return CALL(C_Initialize, POINTER(0));
	case P11_CALL_C_Finalize:
		return CALL(C_Finalize, POINTER(0));
	case P11_CALL_C_GetInfo:
		return CALL(C_GetInfo, POINTER(0));
	case P11_CALL_C_GetFunctionList:
		return CALL(C_GetFunctionList, POINTER(0));
	case P11_CALL_C_GetInterfaceList:
		return CALL(C_GetInterfaceList, POINTER(0), POINTER(1));
	case P11_CALL_C_GetInterface:
		return CALL(C_GetInterface, POINTER(0), POINTER(1), POINTER(2), NUMBER(3));
	case P11_CALL_C_GetSlotList:
		return CALL(C_GetSlotList, (CK_BBOOL)NUMBER(0), POINTER(1), POINTER(2));
	case P11_CALL_C_GetSlotInfo:
		return CALL(C_GetSlotInfo, NUMBER(0), POINTER(1));
	case P11_CALL_C_GetTokenInfo:
		return CALL(C_GetTokenInfo, NUMBER(0), POINTER(1));
	case P11_CALL_C_GetMechanismList:
		return CALL(C_GetMechanismList, NUMBER(0), POINTER(1), POINTER(2));
	case P11_CALL_C_GetMechanismInfo:
		return CALL(C_GetMechanismInfo, NUMBER(0), NUMBER(1), POINTER(2));
	case P11_CALL_C_InitToken:
		return CALL(C_InitToken, NUMBER(0), POINTER(1), NUMBER(2), POINTER(3));
	case P11_CALL_C_OpenSession:
		return CALL(C_OpenSession, NUMBER(0), NUMBER(1), POINTER(2), (CK_NOTIFY)NUMBER(3),
			    POINTER(4));
	case P11_CALL_C_CloseSession:
		return CALL(C_CloseSession, NUMBER(0));
	case P11_CALL_C_CloseAllSessions:
		return CALL(C_CloseAllSessions, NUMBER(0));
	case P11_CALL_C_WaitForSlotEvent:
		return CALL(C_WaitForSlotEvent, NUMBER(0), POINTER(1), POINTER(2));
	default:
		fail_msg("%s is no call of a consumer", p11_call_name(id));
		return CKR_GENERAL_ERROR;
	}
}

static void
check_call(unsigned n, enum p11_call_id id)
{
	answer = CKR_VENDOR_DEFINED + (CK_RV)n * P11_N_CALLS + id;
	memset(&seen, 0, sizeof seen);
	assert_int_equal(call(n, id), answer);
	assert_int_equal(seen.call, id);
	assert_ptr_equal(seen.context, &contexts[n]);
	assert_int_equal(seen.n_args, p11_calls[id].n_args);
	for (unsigned i = 0; i < seen.n_args; i++) {
		const struct p11_arg *arg = &p11_args[p11_calls[id].first_arg + i];
		bool is_byte = arg->kind == P11_KIND_CK_BBOOL && !arg->n_pointers;
		assert_int_equal(seen.args[i], is_byte ? (CK_BBOOL)NUMBER(i) : NUMBER(i));
	}
}

static void
bind_all(const struct p11_bound_ops *ops)
{
	for (unsigned n = 0; n < P11_N_CONTEXTS; n++) {
		atomic_store(&p11_bounds[n].context, &contexts[n]);
		atomic_store(&p11_bounds[n].ops, ops);
	}
}

static void
test_every_entry_reaches_its_context(void **state)
{
	(void)state;
	bind_all(&operations);
	for (unsigned n = 0; n < P11_N_CONTEXTS; n++) {
		for (size_t i = 0; i < P11_N_ELEMENTS(bound_calls); i++)
			check_call(n, bound_calls[i]);
	}
}

static void
test_without_operations(void **state)
{
	(void)state;
	bind_all(NULL);
	for (size_t i = 0; i < P11_N_ELEMENTS(bound_calls); i++)
		assert_int_equal(call(P11_N_CONTEXTS - 1, bound_calls[i]),
				 CKR_CRYPTOKI_NOT_INITIALIZED);
}

static void
test_what_a_kind_lacks_is_not_supported(void **state)
{
	static const struct p11_bound_ops none;

	(void)state;
	bind_all(&none);
	for (size_t i = 0; i < P11_N_ELEMENTS(bound_calls); i++)
		assert_int_equal(call(0, bound_calls[i]), CKR_FUNCTION_NOT_SUPPORTED);
}

static void
test_contexts_are_independent(void **state)
{
	(void)state;
	bind_all(NULL);
	atomic_store(&p11_bounds[1].ops, &operations);
	check_call(1, P11_CALL_C_GetInfo);
	assert_int_equal(call(0, P11_CALL_C_GetInfo), CKR_CRYPTOKI_NOT_INITIALIZED);
}

static void
test_which_calls_are_in_the_pool(void **state)
{
	size_t n_bound = 0;

	(void)state;
	for (unsigned i = 0; i < P11_N_CALLS; i++) {
		enum p11_call_id id = (enum p11_call_id)i;
		bool is_bound = p11_calls[id].route == P11_ROUTE_BOUND;

		assert_int_equal(p11_bound_entry(0, id) != NULL, is_bound);
		assert_int_equal(p11_bound_entry(P11_N_CONTEXTS - 1, id) != NULL, is_bound);
		assert_null(p11_bound_entry(P11_N_CONTEXTS, id));
		n_bound += is_bound;
	}
	assert_int_equal(n_bound, P11_N_ELEMENTS(bound_calls));
	assert_null(p11_bound_entry(0, P11_N_CALLS));
	assert_null(p11_bound_entry(0, (enum p11_call_id)(P11_N_CALLS + 1000)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_entry_reaches_its_context),
		cmocka_unit_test(test_without_operations),
		cmocka_unit_test(test_what_a_kind_lacks_is_not_supported),
		cmocka_unit_test(test_contexts_are_independent),
		cmocka_unit_test(test_which_calls_are_in_the_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
