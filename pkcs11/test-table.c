/* SPDX-License-Identifier: BSD-3-Clause */
/* pkcs11/table.h: modules' lists of every version become one without holes, and no list is read
 * beyond its end. */
#include "pkcs11/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define N_2_40 68
#define N_3_0 92
#define N_3_2 104

static CK_RV
ours(void)
{
	return CKR_OK;
}

/* A list of `size` bytes that ends where memory ends: whoever reads beyond it dies. */
static CK_FUNCTION_LIST *
list_at_the_end(unsigned char major, unsigned char minor, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *memory =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(memory != MAP_FAILED);
	assert_int_equal(mprotect(memory + page, page, PROT_NONE), 0);
	size = (size + sizeof(void *) - 1) &
	       ~(sizeof(void *) - 1); /* it is aligned, as every list is */
	CK_FUNCTION_LIST *list = (CK_FUNCTION_LIST *)(void *)(memory + page - size);
	p11_entry *entries =
		(p11_entry *)(void *)((char *)list + offsetof(CK_FUNCTION_LIST, C_Initialize));
	size_t n_entries = (size - offsetof(CK_FUNCTION_LIST, C_Initialize)) / sizeof *entries;

	for (size_t i = 0; i < n_entries; i++)
		entries[i] = ours;
	list->version = (CK_VERSION){major, minor};
	return list;
}

static void
unmap_list(CK_FUNCTION_LIST *list)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	munmap((void *)((uintptr_t)list & ~(page - 1)), 2 * page);
}

static void
check_version(unsigned char major, unsigned char minor, size_t size, size_t n_entries)
{
	CK_FUNCTION_LIST *list = list_at_the_end(major, minor, size);
	union p11_table table;

	assert_int_equal(p11_table_n_entries(list->version), n_entries);
	memset(&table, 0xff, sizeof table);
	p11_table_complete(&table, list, p11_table_n_entries(list->version));
	assert_int_equal(table.version.major, major);
	assert_int_equal(table.version.minor, minor);
	for (size_t i = 0; i < P11_N_CALLS; i++)
		assert_true(table.by_call.entry[i] == (i < n_entries ? ours : p11_not_supported));
	unmap_list(list);
}

static void
test_lists_of_every_version(void **state)
{
	(void)state;
	check_version(2, 1, sizeof(CK_FUNCTION_LIST), N_2_40);
	check_version(2, 40, sizeof(CK_FUNCTION_LIST), N_2_40);
	check_version(3, 0, sizeof(CK_FUNCTION_LIST_3_0), N_3_0);
	check_version(3, 1, sizeof(CK_FUNCTION_LIST_3_0), N_3_0);
	check_version(3, 2, sizeof(CK_FUNCTION_LIST_3_2), N_3_2);
	check_version(3, 9, sizeof(CK_FUNCTION_LIST_3_2), N_3_2);
}

static void
test_versions_that_nobody_can_read(void **state)
{
	(void)state;
	check_version(0, 0, sizeof(CK_VERSION) + sizeof(p11_entry), 0);
	check_version(1, 0, sizeof(CK_VERSION) + sizeof(p11_entry), 0);
	check_version(4, 0, sizeof(CK_VERSION) + sizeof(p11_entry), 0);
	check_version(255, 255, sizeof(CK_VERSION) + sizeof(p11_entry), 0);
}

static void
test_holes_are_filled(void **state)
{
	CK_FUNCTION_LIST *list = list_at_the_end(2, 40, sizeof *list);
	union p11_table table;

	(void)state;
	list->C_Initialize = NULL;
	list->C_WaitForSlotEvent = NULL;
	p11_table_complete(&table, list, p11_table_n_entries(list->version));
	assert_int_equal(table.list.C_Initialize(NULL), CKR_FUNCTION_NOT_SUPPORTED);
	assert_int_equal(table.list.C_WaitForSlotEvent(0, NULL, NULL), CKR_FUNCTION_NOT_SUPPORTED);
	assert_int_equal(table.list.C_Finalize(NULL), CKR_OK);
	unmap_list(list);
}

/* They stand for calls with any number of arguments, so they are called with many here. */
static void
test_answers_in_place_of_a_call(void **state)
{
	union p11_table table;

	(void)state;
	table.by_call.entry[P11_CALL_C_WrapKey] = p11_not_supported;
	assert_int_equal(table.list.C_WrapKey(1, NULL, 2, 3, NULL, NULL),
			 CKR_FUNCTION_NOT_SUPPORTED);
	table.by_call.entry[P11_CALL_C_WrapKey] = p11_not_initialized;
	assert_int_equal(table.list.C_WrapKey(1, NULL, 2, 3, NULL, NULL),
			 CKR_CRYPTOKI_NOT_INITIALIZED);
	table.by_call.entry[P11_CALL_C_WrapKey] = p11_not_parallel;
	assert_int_equal(table.list.C_WrapKey(1, NULL, 2, 3, NULL, NULL),
			 CKR_FUNCTION_NOT_PARALLEL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists_of_every_version),
		cmocka_unit_test(test_versions_that_nobody_can_read),
		cmocka_unit_test(test_holes_are_filled),
		cmocka_unit_test(test_answers_in_place_of_a_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
