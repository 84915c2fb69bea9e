/* SPDX-License-Identifier: BSD-3-Clause */
/* pkcs11/names.h: numbers become words, and every error has a sentence. */
#include "pkcs11/names.h"

#include "base/base.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const groups[P11_N_CONSTANT_GROUPS] = {
	[P11_CKA] = "CKA_", [P11_CKC] = "CKC_", [P11_CKD] = "CKD_", [P11_CKG] = "CKG_",
	[P11_CKH] = "CKH_", [P11_CKK] = "CKK_", [P11_CKM] = "CKM_", [P11_CKN] = "CKN_",
	[P11_CKO] = "CKO_", [P11_CKR] = "CKR_", [P11_CKS] = "CKS_", [P11_CKU] = "CKU_",
	[P11_CKZ] = "CKZ_",
};

/* Beyond this the numbers of the standard do not go; vendors' begin at the other one. */
#define END_OF_STANDARD 0x10000ul
#define VENDORS 0x80000000ul

static void
check_name(enum p11_constant_group group, unsigned long value, const char *expected)
{
	const char *name = p11_constant_name(group, value);

	assert_non_null(name);
	assert_string_equal(name, expected);
}

#define CHECK(group, name) check_name(P11_##group, name, #name)

static void
test_names_of_constants(void **state)
{
	(void)state;
	CHECK(CKA, CKA_CLASS);
	CHECK(CKA, CKA_VALUE);
	CHECK(CKA, CKA_WRAP_TEMPLATE);
	CHECK(CKA, CKA_VENDOR_DEFINED);
	CHECK(CKC, CKC_X_509);
	CHECK(CKC, CKC_WTLS);
	CHECK(CKD, CKD_NULL);
	CHECK(CKG, CKG_MGF1_SHA1);
	CHECK(CKH, CKH_MONOTONIC_COUNTER);
	CHECK(CKK, CKK_RSA);
	CHECK(CKK, CKK_EC);
	CHECK(CKM, CKM_RSA_PKCS_KEY_PAIR_GEN);
	CHECK(CKM, CKM_AES_GCM);
	CHECK(CKM, CKM_ML_DSA);
	CHECK(CKM, CKM_VENDOR_DEFINED);
	CHECK(CKN, CKN_SURRENDER);
	CHECK(CKO, CKO_DATA);
	CHECK(CKO, CKO_PRIVATE_KEY);
	CHECK(CKR, CKR_OK);
	CHECK(CKR, CKR_CRYPTOKI_ALREADY_INITIALIZED);
	CHECK(CKR, CKR_VENDOR_DEFINED);
	CHECK(CKS, CKS_RO_PUBLIC_SESSION);
	CHECK(CKU, CKU_CONTEXT_SPECIFIC);
	CHECK(CKZ, CKZ_DATA_SPECIFIED);
}

/* The name by which a number went first, or goes by no more, does not hide the one that it has. */
static void
test_other_names_give_the_same(void **state)
{
	(void)state;
	check_name(P11_CKK, CKK_ECDSA, "CKK_EC");
	check_name(P11_CKM, CKM_ECDSA_KEY_PAIR_GEN, "CKM_EC_KEY_PAIR_GEN");
	check_name(P11_CKA, CKA_ECDSA_PARAMS, "CKA_EC_PARAMS");
}

/* Whatever is found is of its group, and no two numbers are found under one name. */
static void
test_every_group_by_itself(void **state)
{
	(void)state;
	for (int group = 0; group < P11_N_CONSTANT_GROUPS; group++) {
		const char *last = "";
		size_t n_found = 0;

		assert_non_null(groups[group]);
		for (unsigned long value = 0; value < END_OF_STANDARD; value++) {
			const char *name = p11_constant_name((enum p11_constant_group)group, value);
			if (!name)
				continue;
			assert_memory_equal(name, groups[group], 4);
			assert_string_not_equal(name, last);
			last = name;
			n_found++;
		}
		assert_true(n_found > 0);
	}
}

static void
test_numbers_without_a_name(void **state)
{
	(void)state;
	for (int group = 0; group < P11_N_CONSTANT_GROUPS; group++) {
		assert_null(p11_constant_name((enum p11_constant_group)group, END_OF_STANDARD - 1));
		assert_null(p11_constant_name((enum p11_constant_group)group, VENDORS - 1));
		assert_null(p11_constant_name((enum p11_constant_group)group, ~0ul));
#if ULONG_MAX > 0xffffffff
		/* Not the one of the lower half. */
		assert_null(p11_constant_name((enum p11_constant_group)group, 1ul << 32));
		assert_null(p11_constant_name((enum p11_constant_group)group, 1ul << 32 | 1));
#endif
	}
}

static void
test_names_of_answers(void **state)
{
	char buffer[24];

	(void)state;
	memset(buffer, 'x', sizeof buffer);
	assert_string_equal(p11_rv_name(CKR_PIN_INCORRECT, buffer), "CKR_PIN_INCORRECT");
	assert_int_equal(buffer[0], 'x');
	assert_ptr_equal(p11_rv_name(0x1234, buffer), buffer);
	assert_string_equal(buffer, "0x00001234");
	assert_string_equal(p11_rv_name(CKR_VENDOR_DEFINED + 1, buffer), "0x80000001");
	assert_true(strlen(p11_rv_name(~0ul, buffer)) < sizeof buffer);
	assert_memory_equal(buffer, "0xffffffff", 10);
}

static bool
is_no_error(CK_RV rv)
{
	return rv == CKR_OK || rv == CKR_NO_EVENT || rv == CKR_FUNCTION_NOT_PARALLEL ||
	       rv == CKR_SESSION_PARALLEL_NOT_SUPPORTED;
}

static void
test_every_error_has_a_sentence(void **state)
{
	const char *unknown = p11_error_text(END_OF_STANDARD);
	const char *texts[256];
	size_t n_texts = 0;

	(void)state;
	for (CK_RV rv = 0; rv < END_OF_STANDARD; rv++) {
		const char *text = p11_error_text(rv);

		assert_non_null(text);
		if (!p11_constant_name(P11_CKR, rv)) {
			assert_ptr_equal(text, unknown);
		} else if (is_no_error(rv)) {
			assert_string_equal(text, "");
		} else if (rv != CKR_FUNCTION_CANCELED) {
			assert_true(strlen(text) > 10);
			assert_int_not_equal(text[strlen(text) - 1], '.');
			assert_ptr_not_equal(text, unknown);
			for (size_t i = 0; i < n_texts; i++)
				assert_string_not_equal(text, texts[i]);
			assert_true(n_texts < P11_N_ELEMENTS(texts));
			texts[n_texts++] = text;
		}
	}
	assert_true(n_texts >= 95);
	assert_string_equal(p11_error_text(CKR_CANCEL), p11_error_text(CKR_FUNCTION_CANCELED));
	assert_true(strlen(unknown) > 10);
	assert_ptr_equal(p11_error_text(~0ul), unknown);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_constants),
		cmocka_unit_test(test_other_names_give_the_same),
		cmocka_unit_test(test_every_group_by_itself),
		cmocka_unit_test(test_numbers_without_a_name),
		cmocka_unit_test(test_names_of_answers),
		cmocka_unit_test(test_every_error_has_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
