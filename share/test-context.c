/* SPDX-License-Identifier: BSD-3-Clause */
/* share/context.h: the pool of contexts, and the tables that belong to one. */
#include "share/context.h"

#include "base/message.h"
#include "support/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define N_KEPT (P11_N_CONTEXTS / 8)

/* ---- a kind of consumer: it says who it is ---- */

static char consumers[P11_N_CONTEXTS];
static bool is_down;

static CK_RV
get_info(CK_INFO_PTR info, void *context)
{
	info->flags = (CK_FLAGS)((char *)context - consumers);
	return CKR_OK;
}

static const struct p11_bound_ops ops = {.C_GetInfo = get_info};

static p11_entry
entry_of(unsigned number, enum p11_call_id call)
{
	p11_entry bound = p11_bound_entry(number, call);

	return bound ? bound : is_down ? p11_not_initialized : p11_not_supported;
}

static const struct p11_context_kind kind = {&ops, entry_of};

static int
take(void)
{
	int number = p11_context_take(true);

	assert_in_range(number, 0, P11_N_CONTEXTS - 1);
	p11_context_begin((unsigned)number, &kind, &consumers[number]);
	return number;
}

/* ---- */

/* Runs first, when no context was ever taken. */
static void
test_pool(void **state)
{
	bool is_taken[P11_N_CONTEXTS] = {false};
	int number;

	(void)state;
	for (unsigned i = 0; i < P11_N_CONTEXTS - N_KEPT; i++) {
		number = p11_context_take(false);
		assert_in_range(number, 0, P11_N_CONTEXTS - 1);
		assert_false(is_taken[number]);
		is_taken[number] = true;
	}
	assert_int_equal(p11_context_take(false), P11_NO_CONTEXT);
	for (unsigned i = 0; i < N_KEPT; i++) {
		number = p11_context_take(true);
		assert_in_range(number, 0, P11_N_CONTEXTS - 1);
		assert_false(is_taken[number]);
		is_taken[number] = true;
	}
	assert_int_equal(p11_context_take(true), P11_NO_CONTEXT);

	/* First in, first out; those that are kept are not taken by others. */
	for (unsigned i = 0; i <= N_KEPT; i++)
		p11_context_give_back((i * 7) % P11_N_CONTEXTS);
	assert_int_equal(p11_context_take(false), 0);
	assert_int_equal(p11_context_take(false), P11_NO_CONTEXT);
	for (unsigned i = 1; i <= N_KEPT; i++)
		assert_int_equal(p11_context_take(true), (i * 7) % P11_N_CONTEXTS);
	for (unsigned i = 0; i < P11_N_CONTEXTS; i++)
		p11_context_give_back(i);
	for (unsigned i = 0; i < 3 * P11_N_CONTEXTS; i++) {
		number = p11_context_take(false);
		assert_int_equal(number, i % P11_N_CONTEXTS);
		p11_context_give_back((unsigned)number);
	}
}

static void
assert_complete(const CK_FUNCTION_LIST *list)
{
	const union p11_table *table = (const union p11_table *)list;

	for (size_t i = 0; i < P11_N_CALLS; i++)
		assert_true(table->by_call.entry[i] != NULL);
}

static void
test_lists(void **state)
{
	static const CK_VERSION expected[P11_N_LISTS] = {{2, 40}, {3, 0}, {3, 1}, {3, 2}};
	unsigned number = (unsigned)take(), other = (unsigned)take();

	(void)state;
	for (unsigned i = 0; i < P11_N_LISTS; i++) {
		CK_FUNCTION_LIST *list = p11_context_list(number, (enum p11_list)i);
		assert_non_null(list);
		assert_memory_equal(&list->version, &expected[i], sizeof list->version);
		assert_complete(list);
		assert_ptr_equal(p11_context_list(number, (enum p11_list)i), list);
		assert_int_equal(p11_context_of(list), number);
		assert_ptr_not_equal(p11_context_list(other, (enum p11_list)i), list);

		CK_INFO info;
		assert_int_equal(list->C_GetInfo(&info), CKR_OK);
		assert_int_equal(info.flags, number);
		assert_int_equal(list->C_Initialize(NULL), CKR_FUNCTION_NOT_SUPPORTED);
	}
	CK_FUNCTION_LIST foreign = {.version = {2, 40}};
	assert_int_equal(p11_context_of(&foreign), P11_NO_CONTEXT);
	assert_int_equal(p11_context_of(NULL), P11_NO_CONTEXT);
	assert_ptr_equal(p11_context_kind_of(number), &kind);
	p11_context_give_back(number);
	p11_context_give_back(other);
}

static void
test_given_back(void **state)
{
	unsigned number = (unsigned)take();
	CK_FUNCTION_LIST *list = p11_context_list(number, P11_LIST_3_2);
	CK_INFO info;

	(void)state;
	p11_context_give_back(number);
	assert_int_equal(list->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(list->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_null(p11_context_list(number, P11_LIST_3_2));
	assert_null(p11_context_kind_of(number));

	/* All the others come first; then it has the same list as before. */
	for (unsigned i = 0; i < P11_N_CONTEXTS; i++) {
		unsigned next = (unsigned)take();
		assert_true((next == number) == (i == P11_N_CONTEXTS - 1));
		if (next == number)
			assert_ptr_equal(p11_context_list(number, P11_LIST_3_2), list);
		p11_context_give_back(next);
	}
}

static void
test_rewrite(void **state)
{
	unsigned number = (unsigned)take();
	CK_FUNCTION_LIST *list = p11_context_list(number, P11_LIST_2_40);

	(void)state;
	assert_int_equal(list->C_DigestFinal(1, NULL, NULL), CKR_FUNCTION_NOT_SUPPORTED);
	is_down = true;
	p11_context_rewrite(number);
	assert_int_equal(list->C_DigestFinal(1, NULL, NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(list->C_Initialize(NULL), CKR_FUNCTION_NOT_SUPPORTED);
	CK_FUNCTION_LIST *later = p11_context_list(number, P11_LIST_3_0);
	assert_int_equal(later->C_DigestFinal(1, NULL, NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	is_down = false;
	p11_context_rewrite_in_child(number);
	assert_int_equal(list->C_DigestFinal(1, NULL, NULL), CKR_FUNCTION_NOT_SUPPORTED);
	assert_int_equal(later->C_DigestFinal(1, NULL, NULL), CKR_FUNCTION_NOT_SUPPORTED);
	p11_context_give_back(number);
}

static void
test_get_interface(void **state)
{
	unsigned number = (unsigned)take();
	CK_VERSION versions[] = {{2, 40}, {3, 0}, {3, 1}, {3, 2}};
	CK_VERSION refused[] = {{2, 39}, {3, 3}, {0, 0}, {4, 0}, {2, 20}, {255, 255}};
	CK_UTF8CHAR name[] = "PKCS 11", other[] = "Vendor X";
	CK_INTERFACE *interface = NULL;

	(void)state;
	for (unsigned i = 0; i < P11_N_LISTS; i++) {
		assert_int_equal(
			p11_context_get_interface(number, name, &versions[i], &interface, 0),
			CKR_OK);
		assert_ptr_equal(interface->pFunctionList,
				 p11_context_list(number, (enum p11_list)i));
		assert_string_equal((char *)interface->pInterfaceName, "PKCS 11");
		assert_int_equal(interface->flags, 0);
	}
	assert_int_equal(p11_context_get_interface(number, NULL, NULL, &interface, 0), CKR_OK);
	assert_ptr_equal(interface->pFunctionList, p11_context_list(number, P11_LIST_3_2));
	CK_INTERFACE *before = interface;
	for (size_t i = 0; i < P11_N_ELEMENTS(refused); i++)
		assert_int_equal(
			p11_context_get_interface(number, NULL, &refused[i], &interface, 0),
			CKR_ARGUMENTS_BAD);
	for (unsigned bit = 0; bit < 32; bit++)
		assert_int_equal(p11_context_get_interface(number, NULL, NULL, &interface,
							   (CK_FLAGS)1 << bit),
				 CKR_ARGUMENTS_BAD);
	assert_int_equal(p11_context_get_interface(number, other, NULL, &interface, 0),
			 CKR_ARGUMENTS_BAD);
	assert_int_equal(p11_context_get_interface(number, name, NULL, NULL, 0), CKR_ARGUMENTS_BAD);
	assert_ptr_equal(interface, before);
	p11_context_give_back(number);
}

static void
test_get_interface_list(void **state)
{
	static const enum p11_list which[] = {P11_LIST_3_2, P11_LIST_2_40};
	unsigned number = (unsigned)take();
	CK_INTERFACE list[3] = {{NULL, NULL, 7}, {NULL, NULL, 7}, {NULL, NULL, 7}};
	CK_ULONG count = 99;

	(void)state;
	assert_int_equal(p11_context_get_interface_list(number, which, 2, NULL, NULL),
			 CKR_ARGUMENTS_BAD);
	assert_int_equal(p11_context_get_interface_list(number, which, 2, NULL, &count), CKR_OK);
	assert_int_equal(count, 2);
	count = 1;
	assert_int_equal(p11_context_get_interface_list(number, which, 2, list, &count),
			 CKR_BUFFER_TOO_SMALL);
	assert_int_equal(count, 2);
	assert_int_equal(list[0].flags, 7);
	count = 3;
	assert_int_equal(p11_context_get_interface_list(number, which, 2, list, &count), CKR_OK);
	assert_int_equal(count, 2);
	assert_ptr_equal(list[0].pFunctionList, p11_context_list(number, P11_LIST_3_2));
	assert_ptr_equal(list[1].pFunctionList, p11_context_list(number, P11_LIST_2_40));
	assert_int_equal(list[0].flags | list[1].flags, 0);
	assert_int_equal(list[2].flags, 7);
	p11_context_give_back(number);
}

static CK_RV
mutex_function(CK_VOID_PTR mutex)
{
	(void)mutex;
	return CKR_OK;
}

static CK_RV
create_mutex(CK_VOID_PTR_PTR mutex)
{
	(void)mutex;
	return CKR_OK;
}

static void
test_check_args(void **state)
{
	(void)state;
	assert_int_equal(p11_context_check_args(NULL), CKR_OK);
	for (unsigned given = 0; given < 16; given++) {
		CK_C_INITIALIZE_ARGS args = {
			.CreateMutex = given & 1 ? create_mutex : NULL,
			.DestroyMutex = given & 2 ? mutex_function : NULL,
			.LockMutex = given & 4 ? mutex_function : NULL,
			.UnlockMutex = given & 8 ? mutex_function : NULL,
			.flags = CKF_OS_LOCKING_OK,
			.pReserved = consumers,
		};
		assert_int_equal(p11_context_check_args(&args),
				 given == 0 || given == 15 ? CKR_OK : CKR_ARGUMENTS_BAD);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pool),          cmocka_unit_test(test_lists),
		cmocka_unit_test(test_given_back),    cmocka_unit_test(test_rewrite),
		cmocka_unit_test(test_get_interface), cmocka_unit_test(test_get_interface_list),
		cmocka_unit_test(test_check_args),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
