/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The input is what a module answers to the iterator: each answer takes the next letters of it, as
 * take_rv() and take_count() say; when they are used up, all works and nothing is there. The first
 * two letters are the iterator's behaviour. The module writes into the buffers that it is given,
 * and lies about everything else. All that was opened is closed, and all that is handed out can be
 * read to its end.
 */
#include "fuzz.h"

#include "api/label.h"
#define P11_KIT_FUTURE_UNSTABLE_API 1
#include "p11-kit/iter.h"

#include <string.h>

static const uint8_t *script, *script_end;
static long n_sessions, n_searches;

const char *
p11_label_of(const CK_FUNCTION_LIST *list)
{
	(void)list;
	return "module";
}

static int
take(void)
{
	return script < script_end ? *script++ : 0;
}

static CK_RV
take_rv(void)
{
	switch (take()) {
	case 'e':
		return CKR_DEVICE_ERROR;
	case 's':
		return CKR_ATTRIBUTE_SENSITIVE;
	case 't':
		return CKR_ATTRIBUTE_TYPE_INVALID;
	case 'b':
		return CKR_BUFFER_TOO_SMALL;
	case 'l':
		return CKR_USER_ALREADY_LOGGED_IN;
	default:
		return CKR_OK;
	}
}

/* Letters count attributes, digits bytes. */
static CK_ULONG
take_count(void)
{
	int letter = take();

	if (letter >= '0' && letter <= '9')
		return (CK_ULONG)(letter - '0');
	if (letter >= 'a' && letter <= 'j')
		return (CK_ULONG)(letter - 'a' + 1) * sizeof(CK_ATTRIBUTE);
	switch (letter) {
	case 'K':
		return 1000;
	case 'M':
		return (CK_ULONG)1 << 20;
	case 'H':
		return (CK_ULONG)1 << 30;
	case 'U':
		return (CK_ULONG)-1;
	case 'X':
		return (CK_ULONG)-2;
	default:
		return 0;
	}
}

/* ---- the module ---- */

static CK_RV
take_info(void *info, size_t size)
{
	CK_RV rv = take_rv();

	memset(info, take(), size);
	return rv;
}

static CK_RV
fake_get_info(CK_INFO_PTR info)
{
	return take_info(info, sizeof *info);
}

static CK_RV
fake_get_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
	CK_ULONG n = take_count();

	(void)present;
	for (CK_ULONG i = 0; list && i < *count && i < n; i++)
		list[i] = i % 3;
	*count = n;
	return take_rv();
}

static CK_RV
fake_get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info)
{
	CK_RV rv = take_info(info, sizeof *info);

	(void)slot;
	info->flags = take() == 'n' ? 0 : CKF_TOKEN_PRESENT;
	return rv;
}

static CK_RV
fake_get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	(void)slot;
	return take_info(info, sizeof *info);
}

static CK_RV
fake_open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application, CK_NOTIFY notify,
		  CK_SESSION_HANDLE_PTR session)
{
	CK_RV rv = take_rv();

	(void)slot, (void)flags, (void)application, (void)notify;
	*session = take_count() + 1;
	n_sessions += rv == CKR_OK;
	return rv;
}

static CK_RV
fake_close_session(CK_SESSION_HANDLE session)
{
	(void)session;
	n_sessions--;
	return take_rv();
}

static CK_RV
fake_login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG length)
{
	(void)session, (void)user;
	fuzz_check(length == 4 && memcmp(pin, "1234", 4) == 0);
	return take_rv();
}

static CK_RV
fake_find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR templ, CK_ULONG count)
{
	CK_RV rv = take_rv();

	(void)session;
	fuzz_check(count == 1 && templ[0].type == CKA_LABEL);
	n_searches += rv == CKR_OK;
	return rv;
}

static CK_RV
fake_find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR objects, CK_ULONG room,
		  CK_ULONG_PTR count)
{
	CK_ULONG n = take_count();

	(void)session;
	for (CK_ULONG i = 0; i < room && i < n; i++)
		objects[i] = i;
	*count = n;
	return take_rv();
}

static CK_RV
fake_find_objects_final(CK_SESSION_HANDLE session)
{
	(void)session;
	n_searches--;
	return take_rv();
}

/*
 * Into memory of `room` bytes: letters of the input, or attributes of any type, size and place.
 * Only those of a template have memory that the iterator gave.
 */
static void
write_value(void *value, CK_ULONG room, bool is_template)
{
	CK_ATTRIBUTE *attributes = value;

	switch (take()) {
	case 'A':
		for (CK_ULONG i = 0; i < room / sizeof *attributes; i++) {
			attributes[i].type = take() == 'W' ? CKA_WRAP_TEMPLATE : CKA_LABEL;
			if (is_template && attributes[i].pValue)
				memset(attributes[i].pValue, take(), attributes[i].ulValueLen);
			attributes[i].ulValueLen = take_count();
		}
		break;
	case 'G':
		for (CK_ULONG i = 0; i < room / sizeof *attributes; i++)
			attributes[i].pValue = (void *)(uintptr_t)0x4141;
		break;
	default:
		memset(value, take(), room);
	}
}

static CK_RV
fake_get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR templ,
			 CK_ULONG count)
{
	(void)session, (void)object;
	for (CK_ULONG i = 0; i < count; i++) {
		CK_ULONG size = take_count();
		if (templ[i].pValue)
			write_value(templ[i].pValue, templ[i].ulValueLen,
				    templ[i].type == CKA_WRAP_TEMPLATE);
		if (take() == 'T')
			templ[i].type ^= CKF_ARRAY_ATTRIBUTE;
		templ[i].ulValueLen = size;
	}
	return take_rv();
}

static const CK_FUNCTION_LIST fake = {
	.version = {2, 40},
	.C_GetInfo = fake_get_info,
	.C_GetSlotList = fake_get_slot_list,
	.C_GetSlotInfo = fake_get_slot_info,
	.C_GetTokenInfo = fake_get_token_info,
	.C_OpenSession = fake_open_session,
	.C_CloseSession = fake_close_session,
	.C_Login = fake_login,
	.C_FindObjectsInit = fake_find_objects_init,
	.C_FindObjects = fake_find_objects,
	.C_FindObjectsFinal = fake_find_objects_final,
	.C_GetAttributeValue = fake_get_attribute_value,
};

/* ---- its user ---- */

static volatile unsigned char sink;

/* All of a value is there, and the caller's: so is what an array of attributes points to. */
static void
use_up(CK_ATTRIBUTE *attributes, CK_ULONG count)
{
	for (CK_ULONG i = 0; i < count; i++) {
		CK_ATTRIBUTE *attribute = &attributes[i];
		bool has_value = attribute->ulValueLen > 0 &&
				 attribute->ulValueLen != CK_UNAVAILABLE_INFORMATION;

		fuzz_check(has_value == (attribute->pValue != NULL));
		if (!has_value)
			continue;
		for (CK_ULONG j = 0; j < attribute->ulValueLen; j++)
			sink ^= ((unsigned char *)attribute->pValue)[j];
		if (attribute->type == CKA_WRAP_TEMPLATE)
			use_up(attribute->pValue, attribute->ulValueLen / sizeof *attribute);
		free(attribute->pValue);
	}
}

static void
load(P11KitIter *iter)
{
	CK_ATTRIBUTE attributes[] = {
		{CKA_LABEL, NULL, 0},
		{CKA_WRAP_TEMPLATE, NULL, 0},
		{CKA_ALLOWED_MECHANISMS, NULL, 0},
	};
	CK_RV rv = p11_kit_iter_load_attributes(iter, attributes, 3);

	fuzz_check(attributes[1].type == CKA_WRAP_TEMPLATE);
	if (rv == CKR_OK)
		use_up(attributes, 3);
	for (size_t i = 0; rv != CKR_OK && i < 3; i++)
		fuzz_check(!attributes[i].pValue);
}

static P11KitIter *
begin(CK_FUNCTION_LIST **modules)
{
	P11KitIterBehavior behavior = (P11KitIterBehavior)(take() << 1 & 0x7e);
	P11KitUri *uri = fuzz_have(p11_kit_uri_new());
	CK_ATTRIBUTE filter = {CKA_LABEL, &behavior, 1};
	bool has_pin = take() == 'p';

	if (has_pin)
		p11_kit_uri_set_pin_value(uri, "1234");
	P11KitIter *iter = fuzz_have(p11_kit_iter_new(uri, behavior));
	p11_kit_uri_free(uri);
	p11_kit_iter_add_filter(iter, &filter, 1);
	p11_kit_iter_begin(iter, modules);
	return iter;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CK_FUNCTION_LIST lists[2] = {fake, fake};
	CK_FUNCTION_LIST *modules[] = {&lists[0], &lists[1], NULL};
	CK_RV rv = CKR_OK;

	script = data;
	script_end = data + size;
	n_sessions = n_searches = 0;
	P11KitIter *iter = begin(modules);
	if (take() == 'N')
		lists[1] = (CK_FUNCTION_LIST){.version = {2, 40}};
	for (int i = 0; i < 100 && rv == CKR_OK; i++) {
		rv = p11_kit_iter_next(iter);
		if (rv == CKR_OK && p11_kit_iter_get_object(iter) != 0)
			load(iter);
	}
	p11_kit_iter_free(iter);
	fuzz_check(n_sessions == 0);
	fuzz_check(n_searches == 0);
	return 0;
}
