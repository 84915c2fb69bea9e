/* SPDX-License-Identifier: BSD-3-Clause */
/* An object's attributes in memory of the right size; the module is a few lines of this program. */
#include "api/iter-values.h"

#include "api/label.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const char *
p11_label_of(const CK_FUNCTION_LIST *list)
{
	(void)list;
	return "example";
}

/* What the object has; a NULL value of a length that is not 0 is sensitive. */
struct fact {
	CK_ATTRIBUTE_TYPE type;
	const void *value;
	CK_ULONG length; /* in bytes, or in facts where the type is an array */
};

static const struct fact inner[] = {{CKA_LABEL, "inside", 6}, {CKA_ID, "", 0}};
static const struct fact outer[] = {
	{CKA_UNWRAP_TEMPLATE, inner, 2}, {CKA_LABEL, "middle", 6}, {CKA_DERIVE_TEMPLATE, inner, 0}};
static const struct fact object[] = {
	{CKA_LABEL, "outside", 7},
	{CKA_ID, "", 0},
	{CKA_VALUE, NULL, 16},
	{CKA_WRAP_TEMPLATE, outer, 3},
};
static CK_RV failure; /* the answer to each call, if it is not CKR_OK */
static unsigned n_asked, first_failing;

static CK_RV tell_all(CK_ATTRIBUTE *attributes, CK_ULONG n, const struct fact *facts,
		      size_t n_facts, bool in_order);

static CK_RV
tell(CK_ATTRIBUTE *attribute, const struct fact *fact)
{
	bool is_array = fact && fact->type & CKF_ARRAY_ATTRIBUTE;
	CK_ULONG size = fact ? is_array ? fact->length * sizeof(CK_ATTRIBUTE) : fact->length : 0;

	if (!fact || (!fact->value && fact->length > 0)) {
		attribute->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		return fact ? CKR_ATTRIBUTE_SENSITIVE : CKR_ATTRIBUTE_TYPE_INVALID;
	}
	if (attribute->pValue && attribute->ulValueLen < size) {
		attribute->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		return CKR_BUFFER_TOO_SMALL;
	}
	attribute->ulValueLen = size;
	if (!attribute->pValue)
		return CKR_OK;
	if (is_array)
		return tell_all(attribute->pValue, fact->length, fact->value, fact->length, true);
	memcpy(attribute->pValue, fact->value, size);
	return CKR_OK;
}

/* As the standard has it: all are told, and one of the errors is the answer. */
static CK_RV
tell_all(CK_ATTRIBUTE *attributes, CK_ULONG n, const struct fact *facts, size_t n_facts,
	 bool in_order)
{
	CK_RV rv = CKR_OK;

	for (CK_ULONG i = 0; i < n; i++) {
		const struct fact *fact = NULL;
		if (in_order)
			attributes[i].type = facts[i].type;
		for (size_t j = 0; j < n_facts && !fact; j++)
			fact = facts[j].type == attributes[i].type ? &facts[j] : NULL;
		CK_RV one = tell(&attributes[i], fact);
		rv = one != CKR_OK ? one : rv;
	}
	return rv;
}

static CK_RV
get_attributes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE_PTR attributes,
	       CK_ULONG n)
{
	assert_int_equal(session, 5);
	assert_int_equal(handle, 6);
	CK_RV rv = tell_all(attributes, n, object, sizeof object / sizeof object[0], false);
	return n_asked++ >= first_failing ? failure : rv;
}

static CK_FUNCTION_LIST module = {.version = {2, 40}, .C_GetAttributeValue = get_attributes};

static CK_RV
load(CK_ATTRIBUTE *attributes, CK_ULONG n)
{
	n_asked = 0;
	return p11_values_load(&module, 5, 6, attributes, n);
}

static int
set_up(void **state)
{
	(void)state;
	failure = CKR_OK;
	first_failing = ~0u;
	return 0;
}

static void
assert_value(const CK_ATTRIBUTE *attribute, CK_ATTRIBUTE_TYPE type, const char *expected)
{
	assert_int_equal(attribute->type, type);
	assert_int_equal(attribute->ulValueLen, strlen(expected));
	assert_memory_equal(attribute->pValue, expected, strlen(expected));
}

/* Each gets a block of its size, or NULL; what stood there is freed. Sensitive and absent ones are
 * no error. */
static void
test_sizes(void **state)
{
	CK_ATTRIBUTE attributes[] = {{CKA_LABEL, strdup("old"), 3},
				     {CKA_ID, strdup("old"), 3},
				     {CKA_VALUE, strdup("old"), 3},
				     {CKA_START_DATE, strdup("old"), 3},
				     {CKA_LABEL, NULL, 0}};

	(void)state;
	assert_int_equal(load(attributes, 5), CKR_OK);
	assert_value(&attributes[0], CKA_LABEL, "outside");
	assert_null(attributes[1].pValue);
	assert_int_equal(attributes[1].ulValueLen, 0);
	for (int i = 2; i < 4; i++) {
		assert_null(attributes[i].pValue);
		assert_int_equal(attributes[i].ulValueLen, CK_UNAVAILABLE_INFORMATION);
	}
	assert_value(&attributes[4], CKA_LABEL, "outside");
	free(attributes[0].pValue);
	free(attributes[4].pValue);
	assert_int_equal(load(NULL, 0), CKR_OK);
	assert_int_equal(n_asked, 0);
}

/* B55: arrays in arrays, and members that are empty. */
static void
test_array_attributes(void **state)
{
	CK_ATTRIBUTE attribute = {CKA_WRAP_TEMPLATE, NULL, 0};

	(void)state;
	assert_int_equal(load(&attribute, 1), CKR_OK);
	assert_int_equal(attribute.ulValueLen, 3 * sizeof(CK_ATTRIBUTE));
	CK_ATTRIBUTE *middle = attribute.pValue;
	assert_int_equal(middle[0].type, CKA_UNWRAP_TEMPLATE);
	assert_int_equal(middle[0].ulValueLen, 2 * sizeof(CK_ATTRIBUTE));
	assert_value(&middle[1], CKA_LABEL, "middle");
	assert_int_equal(middle[2].type, CKA_DERIVE_TEMPLATE);
	assert_int_equal(middle[2].ulValueLen, 0);
	assert_null(middle[2].pValue);
	CK_ATTRIBUTE *innermost = middle[0].pValue;
	assert_value(&innermost[0], CKA_LABEL, "inside");
	assert_int_equal(innermost[1].type, CKA_ID);
	assert_int_equal(innermost[1].ulValueLen, 0);
	assert_null(innermost[1].pValue);
	free(innermost[0].pValue);
	free(innermost);
	free(middle[1].pValue);
	free(middle);
}

/* B55: at the first question, and at a later one; leaks are the sanitizer's to see. */
static void
test_failure_changes_nothing(void **state)
{
	char *old = strdup("old");
	CK_ATTRIBUTE attributes[] = {{CKA_LABEL, old, 3}, {CKA_WRAP_TEMPLATE, NULL, 0}};

	(void)state;
	failure = CKR_DEVICE_ERROR;
	for (first_failing = 0; first_failing < 4; first_failing++) {
		assert_int_equal(load(attributes, 2), CKR_DEVICE_ERROR);
		assert_ptr_equal(attributes[0].pValue, old);
		assert_string_equal(old, "old");
		assert_int_equal(attributes[0].ulValueLen, 3);
		assert_null(attributes[1].pValue);
		assert_int_equal(attributes[1].ulValueLen, 0);
	}
	free(old);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_sizes, set_up),
		cmocka_unit_test_setup(test_array_attributes, set_up),
		cmocka_unit_test_setup(test_failure_changes_nothing, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
