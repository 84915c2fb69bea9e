/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The iterator without memory: each allocation fails in turn, in a small module of one object. Then
 * it fails as a whole: never does it find more because a filter was lost, leave a session open, or
 * leave a PIN in memory.
 */
#define P11_KIT_FUTURE_UNSTABLE_API 1
#include "p11-kit/iter.h"

#include "api/test-memory.h"

#include "base/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define PIN "98765432"

static int n_sessions, n_destroyed;
static unsigned n_searches, n_bad_searches, n_logins, n_bad_logins;
static bool found; /* the object, in this search */
static CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;

static CK_RV
get_info(CK_INFO *info)
{
	memset(info, ' ', sizeof *info);
	return CKR_OK;
}

static CK_RV
get_slot_list(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)
{
	(void)present;
	if (slots && *count > 0)
		slots[0] = 1;
	*count = 1;
	return CKR_OK;
}

static CK_RV
get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
	(void)slot;
	memset(info, ' ', sizeof *info);
	info->flags = CKF_TOKEN_PRESENT;
	return CKR_OK;
}

static CK_RV
get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	(void)slot;
	memset(info, ' ', sizeof *info);
	return CKR_OK;
}

static CK_RV
open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *data, CK_NOTIFY notify, CK_SESSION_HANDLE *out)
{
	(void)slot, (void)flags, (void)data, (void)notify;
	n_sessions++;
	*out = 1;
	return CKR_OK;
}

static CK_RV
close_session(CK_SESSION_HANDLE session)
{
	(void)session;
	n_sessions--;
	return CKR_OK;
}

static CK_RV
login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG length)
{
	(void)session, (void)user;
	n_logins++;
	n_bad_logins += length != sizeof PIN - 1 || memcmp(pin, PIN, length) != 0;
	return CKR_OK;
}

/* The URI's label and the filter's class, or the caller would see what it has not asked for. */
static CK_RV
find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ, CK_ULONG count)
{
	unsigned n = 0;

	(void)session;
	for (CK_ULONG i = 0; i < count; i++) {
		n += templ[i].type == CKA_LABEL && templ[i].ulValueLen == 3 &&
		     memcmp(templ[i].pValue, "key", 3) == 0;
		n += templ[i].type == CKA_CLASS && templ[i].ulValueLen == sizeof class &&
		     memcmp(templ[i].pValue, &class, sizeof class) == 0;
	}
	found = false;
	n_searches++;
	n_bad_searches += n != 2 || count != 2;
	return CKR_OK;
}

static CK_RV
find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG room, CK_ULONG *count)
{
	(void)session, (void)room;
	objects[0] = 1;
	found = !found;
	*count = found;
	return CKR_OK;
}

static CK_RV
find_objects_final(CK_SESSION_HANDLE session)
{
	(void)session;
	return CKR_OK;
}

/* Bytes, and a template of one attribute. */
static CK_RV
get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *templ,
		    CK_ULONG count)
{
	(void)session, (void)object;
	for (CK_ULONG i = 0; i < count; i++) {
		bool is_array = templ[i].type == CKA_WRAP_TEMPLATE;
		CK_ATTRIBUTE *member = is_array ? templ[i].pValue : NULL;
		templ[i].ulValueLen = is_array ? sizeof *member : 4;
		if (!is_array && templ[i].pValue)
			memcpy(templ[i].pValue, "data", 4);
		if (member) {
			member->type = CKA_ID;
			member->ulValueLen = 4;
		}
		if (member && member->pValue)
			memcpy(member->pValue, "data", 4);
	}
	return CKR_OK;
}

static CK_FUNCTION_LIST module = {
	.version = {2, 40},
	.C_GetInfo = get_info,
	.C_GetSlotList = get_slot_list,
	.C_GetSlotInfo = get_slot_info,
	.C_GetTokenInfo = get_token_info,
	.C_OpenSession = open_session,
	.C_CloseSession = close_session,
	.C_Login = login,
	.C_FindObjectsInit = find_objects_init,
	.C_FindObjects = find_objects,
	.C_FindObjectsFinal = find_objects_final,
	.C_GetAttributeValue = get_attribute_value,
};

static CK_RV
accept(P11KitIter *iter, CK_BBOOL *matches, void *data)
{
	(void)iter, (void)data;
	*matches = CK_TRUE;
	return CKR_OK;
}

static void
count_destroyed(void *data)
{
	(void)data;
	n_destroyed++;
}

/* CKR_OK if all was found and loaded. */
static CK_RV
load_all(P11KitIter *iter)
{
	CK_ATTRIBUTE templ[] = {{CKA_VALUE, NULL, 7}, {CKA_WRAP_TEMPLATE, NULL, 7}};
	CK_RV rv = p11_kit_iter_load_attributes(iter, templ, 2);

	if (rv != CKR_OK) {
		assert_true(!templ[0].pValue && templ[0].ulValueLen == 7);
		assert_true(!templ[1].pValue && templ[1].ulValueLen == 7);
		return rv;
	}
	CK_ATTRIBUTE *member = templ[1].pValue;
	assert_memory_equal(templ[0].pValue, "data", 4);
	assert_memory_equal(member->pValue, "data", 4);
	free(member->pValue);
	free(member);
	free(templ[0].pValue);
	return CKR_OK;
}

static CK_RV
use(P11KitIter *iter, P11KitUri *uri)
{
	CK_FUNCTION_LIST *modules[] = {&module, NULL};
	CK_ATTRIBUTE filter = {CKA_CLASS, &class, sizeof class};

	p11_kit_iter_set_uri(iter, uri);
	p11_kit_iter_add_filter(iter, &filter, 1);
	p11_kit_iter_add_callback(iter, accept, NULL, count_destroyed);
	p11_kit_iter_begin(iter, modules);
	CK_RV rv = p11_kit_iter_next(iter);
	if (rv != CKR_OK)
		return rv;
	rv = load_all(iter);
	if (rv != CKR_OK)
		return rv;
	p11_kit_iter_begin_with(iter, &module, 1, 0);
	rv = p11_kit_iter_next(iter);
	return rv == CKR_OK ? p11_kit_iter_next(iter) : rv;
}

static void
test_without_memory(void **state)
{
	P11KitUri *uri = p11_kit_uri_new();
	CK_RV rv = CKR_HOST_MEMORY;
	int n;

	(void)state;
	assert_int_equal(
		p11_kit_uri_parse("pkcs11:object=key?pin-value=" PIN, P11_KIT_URI_FOR_ANY, uri),
		P11_KIT_URI_OK);
	watched_secret = PIN;
	for (n = 0; rv == CKR_HOST_MEMORY && n < 1000; n++) {
		allocations_left = n;
		P11KitIter *iter = p11_kit_iter_new(uri, P11_KIT_ITER_WITH_LOGIN);
		if (iter)
			rv = use(iter, uri);
		p11_kit_iter_free(iter);
		allocations_left = -1;
		assert_int_equal(n_sessions, 0);
	}
	watched_secret = NULL;
	assert_int_equal(rv, CKR_CANCEL); /* the end, and all was there before it */
	assert_in_range(n, 20, 200);
	assert_true(n_searches > 2 && n_logins > 2 && n_destroyed > 2);
	assert_int_equal(n_bad_searches, 0);
	assert_int_equal(n_bad_logins, 0);
	assert_true(n_watched_blocks > 100);
	assert_int_equal(n_leaked_secrets, 0);
	p11_kit_uri_free(uri);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
