/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The iterator over a module that is made for this test: honest at first, and spoiled by one test
 * after the other. What it is asked for, and in which pieces, can be seen; what it answers must
 * harm nobody. The sanitizers look too.
 */
#define P11_KIT_FUTURE_UNSTABLE_API 1
#include "core/core.h"

#include <p11-kit/iter.h>
#include <p11-kit/pin.h>

#include <stdlib.h>
#include <string.h>

#define ALL_STOPS                                                                                  \
	(P11_KIT_ITER_WITH_MODULES | P11_KIT_ITER_WITH_SLOTS | P11_KIT_ITER_WITH_TOKENS |          \
	 P11_KIT_ITER_WITH_SESSIONS)
#define NOWHERE ((void *)8) /* nobody may read or free it */

/* What the module's objects have. */
struct thing {
	CK_ATTRIBUTE_TYPE type;
	const void *data;
	CK_ULONG size;
	const struct thing *inside; /* of a template attribute, which has `size` of them */
	bool is_sensitive;
};

static struct {
	CK_ULONG n_slots, n_objects;
	CK_FLAGS slot_flags;
	const struct thing *things;
	CK_ULONG n_things;
	/* Spoils what was answered; `round` counts the questions from 1. */
	CK_RV (*spoil)(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv);
	CK_ULONG slots_over, objects_over; /* added to counts */
	CK_ULONG slots_grow, list_over;    /* slots that come; added to the count of a list only */

	CK_ULONG next_object;
	CK_ULONG asked[16]; /* sizes of the batches, in their order */
	unsigned n_asked, n_final, n_rounds, n_lists;
	int n_sessions;
	bool is_searching;
} mock;

static CK_RV
get_info(CK_INFO *info)
{
	memset(info, ' ', sizeof *info);
	return CKR_OK;
}

static CK_RV
get_slot_list(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)
{
	CK_ULONG room = *count;

	(void)present;
	mock.n_lists++;
	mock.n_slots += mock.slots_grow;
	*count = mock.n_slots + mock.slots_over + (slots ? mock.list_over : 0);
	if (slots && room < mock.n_slots)
		return CKR_BUFFER_TOO_SMALL;
	for (CK_ULONG i = 0; slots && i < mock.n_slots; i++)
		slots[i] = i + 1;
	return CKR_OK;
}

static CK_RV
get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
	(void)slot;
	memset(info, 0xff, sizeof *info);
	info->flags = mock.slot_flags;
	return CKR_OK;
}

/* No field ends. */
static CK_RV
get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	(void)slot;
	memset(info, '%', sizeof *info);
	info->flags = 0;
	return CKR_OK;
}

static CK_RV
open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *data, CK_NOTIFY notify, CK_SESSION_HANDLE *out)
{
	(void)flags, (void)data, (void)notify;
	mock.n_sessions++;
	*out = slot * 1000;
	return CKR_OK;
}

static CK_RV
close_session(CK_SESSION_HANDLE session)
{
	(void)session;
	mock.n_sessions--;
	return CKR_OK;
}

static CK_RV
get_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
	memset(info, 0, sizeof *info);
	info->slotID = session / 1000;
	return CKR_OK;
}

static CK_RV
login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG length)
{
	(void)session, (void)user, (void)pin, (void)length;
	return CKR_USER_ALREADY_LOGGED_IN;
}

static CK_RV
find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ, CK_ULONG count)
{
	(void)session, (void)templ, (void)count;
	if (mock.is_searching)
		return CKR_OPERATION_ACTIVE;
	mock.is_searching = true;
	mock.next_object = 0;
	return CKR_OK;
}

/* Objects are numbered from the session's handle on. */
static CK_RV
find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG room, CK_ULONG *count)
{
	CK_ULONG n = 0;

	if (mock.n_asked < 16)
		mock.asked[mock.n_asked++] = room;
	while (n < room && mock.next_object < mock.n_objects)
		objects[n++] = session + mock.next_object++;
	*count = n + mock.objects_over;
	return CKR_OK;
}

static CK_RV
find_objects_final(CK_SESSION_HANDLE session)
{
	(void)session;
	mock.n_final++;
	mock.is_searching = false;
	return CKR_OK;
}

static CK_RV
destroy_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
	(void)session, (void)object;
	return CKR_OK;
}

static CK_RV answer(const struct thing *things, CK_ULONG n, CK_ATTRIBUTE *templ, CK_ULONG count,
		    bool by_place);

static CK_RV
answer_one(const struct thing *thing, CK_ATTRIBUTE *attribute)
{
	CK_ULONG size = thing->inside ? thing->size * sizeof(CK_ATTRIBUTE) : thing->size;
	bool fits = attribute->pValue && attribute->ulValueLen >= size;
	CK_RV rv = CKR_OK;

	if (thing->is_sensitive)
		rv = CKR_ATTRIBUTE_SENSITIVE;
	else if (attribute->pValue && !fits)
		rv = CKR_BUFFER_TOO_SMALL;
	else if (fits && thing->inside)
		rv = answer(thing->inside, thing->size, attribute->pValue, thing->size, true);
	else if (fits && size > 0)
		memcpy(attribute->pValue, thing->data, size);
	attribute->ulValueLen = rv == CKR_OK || thing->inside ? size : CK_UNAVAILABLE_INFORMATION;
	if (thing->is_sensitive || (attribute->pValue && !fits))
		attribute->ulValueLen = CK_UNAVAILABLE_INFORMATION;
	return rv;
}

/* As the standard has it. Members of a template are told, not asked for. */
static CK_RV
answer(const struct thing *things, CK_ULONG n, CK_ATTRIBUTE *templ, CK_ULONG count, bool by_place)
{
	CK_RV result = CKR_OK;

	for (CK_ULONG i = 0; i < count; i++) {
		CK_ULONG k = by_place ? i : 0;
		while (!by_place && k < n && things[k].type != templ[i].type)
			k++;
		CK_RV rv = CKR_ATTRIBUTE_TYPE_INVALID;
		if (k < n) {
			templ[i].type = things[k].type;
			rv = answer_one(&things[k], &templ[i]);
		} else {
			templ[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
		}
		if (rv != CKR_OK)
			result = rv;
	}
	return result;
}

static CK_RV
get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *templ,
		    CK_ULONG count)
{
	CK_RV rv = answer(mock.things, mock.n_things, templ, count, false);

	(void)session, (void)object;
	mock.n_rounds++;
	return mock.spoil ? mock.spoil(templ, count, mock.n_rounds, rv) : rv;
}

static const CK_FUNCTION_LIST whole = {
	.version = {2, 40},
	.C_GetInfo = get_info,
	.C_GetSlotList = get_slot_list,
	.C_GetSlotInfo = get_slot_info,
	.C_GetTokenInfo = get_token_info,
	.C_OpenSession = open_session,
	.C_CloseSession = close_session,
	.C_GetSessionInfo = get_session_info,
	.C_Login = login,
	.C_FindObjectsInit = find_objects_init,
	.C_FindObjects = find_objects,
	.C_FindObjectsFinal = find_objects_final,
	.C_DestroyObject = destroy_object,
	.C_GetAttributeValue = get_attribute_value,
};
static CK_FUNCTION_LIST module;

static int
honest(void **state)
{
	(void)state;
	memset(&mock, 0, sizeof mock);
	mock.n_slots = 1;
	mock.n_objects = 1;
	mock.slot_flags = CKF_TOKEN_PRESENT;
	module = whole;
	return 0;
}

static int
nothing_is_left(void **state)
{
	(void)state;
	return mock.n_sessions != 0 || mock.is_searching;
}

static P11KitIter *
iter_of(unsigned behavior)
{
	P11KitIter *iter = p11_kit_iter_new(NULL, (P11KitIterBehavior)behavior);

	assert_non_null(iter);
	p11_kit_iter_begin_with(iter, &module, 0, 0);
	return iter;
}

/* ---- objects ---- */

static void
test_batches(void **state)
{
	(void)state;
	static const CK_ULONG expected[] = {64, 64, 128, 256, 512};
	P11KitIter *iter = iter_of(0);

	mock.n_objects = 1000;
	for (CK_ULONG i = 0; i < 1000; i++) {
		assert_ok(p11_kit_iter_next(iter));
		assert_int_equal(p11_kit_iter_get_object(iter), 1000 + i);
		assert_int_equal(mock.n_final, 1); /* all were found before the first */
	}
	assert_rv(p11_kit_iter_next(iter), CKR_CANCEL);
	assert_memory_equal(mock.asked, expected, sizeof expected);
	p11_kit_iter_free(iter);
}

static void
test_batches_of_busy_sessions(void **state)
{
	(void)state;
	P11KitIter *iter = iter_of(P11_KIT_ITER_BUSY_SESSIONS);

	mock.n_objects = 200;
	for (CK_ULONG i = 0; i < 200; i++) {
		assert_ok(p11_kit_iter_next(iter));
		assert_int_equal(p11_kit_iter_get_object(iter), 1000 + i);
		assert_true(mock.is_searching);
		assert_int_equal(mock.n_asked, 1 + i / 64);
	}
	assert_rv(p11_kit_iter_next(iter), CKR_CANCEL);
	assert_int_equal(mock.n_final, 1);

	/* Left in the middle: the search ends all the same. */
	p11_kit_iter_begin_with(iter, &module, 0, 0);
	assert_ok(p11_kit_iter_next(iter));
	p11_kit_iter_free(iter);
	assert_int_equal(mock.n_final, 2);
}

/* A new iteration has nothing of the old one. */
static void
test_begin_forgets_what_was_found(void **state)
{
	(void)state;
	P11KitIter *iter = iter_of(0);

	mock.n_objects = 100;
	assert_ok(p11_kit_iter_next(iter));
	p11_kit_iter_begin_with(iter, &module, 7, 0);
	assert_int_equal(mock.n_sessions, 0);
	for (CK_ULONG i = 0; i < 100; i++) {
		assert_ok(p11_kit_iter_next(iter));
		assert_int_equal(p11_kit_iter_get_slot(iter), 7);
		assert_int_equal(p11_kit_iter_get_session(iter), 7000);
		assert_int_equal(p11_kit_iter_get_object(iter), 7000 + i);
	}
	assert_rv(p11_kit_iter_next(iter), CKR_CANCEL);
	p11_kit_iter_free(iter);
}

static void
test_counts_of_objects_that_lie(void **state)
{
	(void)state;
	unsigned behaviors[] = {0, P11_KIT_ITER_BUSY_SESSIONS};

	/* Each answer says that there are more than room was for; and never that there are no
	 * more. */
	for (size_t i = 0; i < 2; i++) {
		P11KitIter *iter = iter_of(behaviors[i]);
		mock.n_objects = 100;
		mock.objects_over = 1UL << 30;
		CK_RV rv = CKR_OK;
		mock.n_asked = 0;
		for (unsigned n = 0; rv == CKR_OK && n < 640; n++)
			rv = p11_kit_iter_next(iter);
		if (behaviors[i] == 0)
			assert_true(rv != CKR_OK && rv != CKR_CANCEL);
		else
			assert_int_equal(mock.n_asked, 10); /* 64 of each, and no more */
		p11_kit_iter_free(iter);
	}
}

/* Handles that the module did not write are no memory of others. */
static void
test_objects_that_were_not_written(void **state)
{
	(void)state;
	P11KitIter *iter = iter_of(P11_KIT_ITER_BUSY_SESSIONS);
	void *before = malloc(64 * sizeof(CK_OBJECT_HANDLE));

	memset(before, 0x5a, 64 * sizeof(CK_OBJECT_HANDLE));
	free(before);
	mock.n_objects = 0;
	mock.objects_over = 64;
	for (unsigned n = 0; n < 64; n++) {
		assert_ok(p11_kit_iter_next(iter));
		assert_int_equal(p11_kit_iter_get_object(iter), 0);
	}
	p11_kit_iter_free(iter);
}

/* ---- slots and tokens ---- */

static void
test_lists_of_slots_that_lie(void **state)
{
	(void)state;
	P11KitIter *iter = iter_of(P11_KIT_ITER_WITHOUT_OBJECTS | P11_KIT_ITER_WITH_SLOTS);
	unsigned n = 0;

	mock.slots_over = 1000; /* room is made for so many; only one was written */
	mock.list_over = 100000;
	while (n < 2000 && p11_kit_iter_next(iter) == CKR_OK)
		n++;
	assert_in_range(n, 1, 1100);
	mock.list_over = 0;

	mock.slots_over = ((CK_ULONG)-1) / 16;
	p11_kit_iter_begin_with(iter, &module, 0, 0);
	CK_RV rv = p11_kit_iter_next(iter);
	assert_true(rv != CKR_OK && rv != CKR_CANCEL);

	honest(NULL);
	mock.slots_grow = 100; /* never long enough */
	p11_kit_iter_begin_with(iter, &module, 0, 0);
	assert_rv(p11_kit_iter_next(iter), CKR_BUFFER_TOO_SMALL);
	assert_in_range(mock.n_lists, 4, 40);
	p11_kit_iter_free(iter);
}

/* The module was asked for slots with a token: it knows, whatever it says in the flags. */
static void
test_slots_that_do_not_say_that_they_have_a_token(void **state)
{
	(void)state;
	mock.slot_flags = 0;
	P11KitIter *iter = iter_of(0);
	assert_ok(p11_kit_iter_next(iter));
	assert_int_equal(p11_kit_iter_get_kind(iter), P11_KIT_ITER_KIND_OBJECT);
	p11_kit_iter_begin_with(iter, &module, 3, 0);
	assert_ok(p11_kit_iter_next(iter));
	p11_kit_iter_free(iter);
}

static P11KitPin *
give_pin(const char *source, P11KitUri *uri, const char *description, P11KitPinFlags flags,
	 void *data)
{
	(void)source, (void)uri, (void)flags, (void)data;
	assert_string_equal(description, "PIN for %%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%");
	return p11_kit_pin_new_for_string("1");
}

static void
test_labels_without_end(void **state)
{
	(void)state;
	P11KitUri *uri = p11_kit_uri_new();

	p11_kit_uri_set_pin_source(uri, "hostile");
	p11_kit_pin_register_callback("hostile", give_pin, NULL, NULL);
	P11KitIter *iter = p11_kit_iter_new(uri, P11_KIT_ITER_WITH_LOGIN);
	p11_kit_iter_begin_with(iter, &module, 0, 0);
	assert_ok(p11_kit_iter_next(iter));
	p11_kit_iter_free(iter);
	p11_kit_pin_unregister_callback("hostile", give_pin, NULL);
	p11_kit_uri_free(uri);
}

/* What a consumer saw of the last token it may still look at. */
static void
test_infos_after_the_end(void **state)
{
	(void)state;
	P11KitIter *iter = iter_of(0);

	assert_non_null(p11_kit_iter_get_token(iter));
	assert_ok(p11_kit_iter_next(iter));
	CK_TOKEN_INFO *token = p11_kit_iter_get_token(iter);
	assert_rv(p11_kit_iter_next(iter), CKR_CANCEL);
	assert_ptr_equal(p11_kit_iter_get_token(iter), token);
	assert_int_equal(token->label[0], '%');
	assert_int_equal(p11_kit_iter_get_slot_info(iter)->slotDescription[0], 0xff);
	p11_kit_iter_begin_with(iter, &module, 0, 5000);
	assert_ok(p11_kit_iter_next(iter));
	assert_int_equal(p11_kit_iter_get_slot(iter), 5);
	assert_int_equal(token->label[0], 0);
	assert_int_equal(p11_kit_iter_get_slot_info(iter)->slotDescription[0], 0);
	p11_kit_iter_free(iter);
}

/* Each function of the module in turn is not there. */
static void
test_missing_functions(void **state)
{
	(void)state;
	size_t first = offsetof(CK_FUNCTION_LIST, C_Initialize), size = sizeof(void (*)(void));
	P11KitUri *uri = p11_kit_uri_new();

	p11_kit_uri_set_pin_value(uri, "1");
	for (size_t at = first; at < sizeof module; at += size) {
		P11KitIter *iter = p11_kit_iter_new(uri, P11_KIT_ITER_WITH_LOGIN | ALL_STOPS);
		CK_ATTRIBUTE label = {CKA_LABEL, NULL, 0};
		honest(NULL);
		memset((char *)&module + at, 0, size);
		p11_kit_iter_begin_with(iter, &module, 0, 0);
		while (p11_kit_iter_next(iter) == CKR_OK) {
			if (p11_kit_iter_get_kind(iter) != P11_KIT_ITER_KIND_OBJECT)
				continue;
			(void)p11_kit_iter_get_attributes(iter, &label, 1);
			(void)p11_kit_iter_load_attributes(iter, &label, 1);
			(void)p11_kit_iter_destroy_object(iter);
		}
		p11_kit_iter_begin_with(iter, &module, 0, 5000);
		(void)p11_kit_iter_next(iter);
		p11_kit_iter_free(iter);
	}
	p11_kit_uri_free(uri);
	honest(NULL);
}

/* ---- attributes ---- */

static const CK_MECHANISM_TYPE mechanisms[] = {CKM_RSA_PKCS, CKM_SHA256_RSA_PKCS, CKM_ECDSA};
static const struct thing innermost[] = {{CKA_LABEL, "innermost", 9, NULL, false}};
static const struct thing inner[] = {
	{CKA_LABEL, "inner", 5, NULL, false},
	{CKA_ID, NULL, 0, NULL, false},
	{CKA_UNWRAP_TEMPLATE, NULL, 1, innermost, false},
};
static const struct thing object[] = {
	{CKA_LABEL, "label", 5, NULL, false},
	{CKA_ID, NULL, 0, NULL, false},
	{CKA_VALUE, NULL, 0, NULL, true},
	{CKA_WRAP_TEMPLATE, NULL, 3, inner, false},
	{CKA_ENCAPSULATE_TEMPLATE, NULL, 1, innermost, false},
	{CKA_ALLOWED_MECHANISMS, mechanisms, sizeof mechanisms, NULL, false},
};

static bool
is_template(CK_ATTRIBUTE_TYPE type)
{
	return type == CKA_WRAP_TEMPLATE || type == CKA_UNWRAP_TEMPLATE ||
	       type == CKA_DERIVE_TEMPLATE || type == CKA_ENCAPSULATE_TEMPLATE ||
	       type == CKA_DECAPSULATE_TEMPLATE;
}

/* As a consumer does that knows the standard: this is where a lie would hurt. */
static void
free_values(CK_ATTRIBUTE *attributes, CK_ULONG count)
{
	for (CK_ULONG i = 0; i < count; i++) {
		CK_ATTRIBUTE *at = &attributes[i];
		if (at->pValue && is_template(at->type))
			free_values(at->pValue, at->ulValueLen / sizeof *at);
		free(at->pValue);
		at->pValue = NULL;
	}
}

static void
assert_value(const CK_ATTRIBUTE *attribute, CK_ATTRIBUTE_TYPE type, const void *data, CK_ULONG size)
{
	assert_int_equal(attribute->type, type);
	assert_int_equal(attribute->ulValueLen, size);
	if (size == 0)
		assert_null(attribute->pValue);
	else
		assert_memory_equal(attribute->pValue, data, size);
}

static P11KitIter *
at_object(const struct thing *things, CK_ULONG n)
{
	P11KitIter *iter = iter_of(0);

	mock.things = things;
	mock.n_things = n;
	mock.n_rounds = 0;
	assert_ok(p11_kit_iter_next(iter));
	return iter;
}

static void
test_load(void **state)
{
	(void)state;
	P11KitIter *iter = at_object(object, 6);
	CK_ATTRIBUTE templ[] = {
		{CKA_LABEL, malloc(1), 1}, {CKA_ID, malloc(100), 100},
		{CKA_VALUE, malloc(7), 7}, {CKA_URL, malloc(7), CK_UNAVAILABLE_INFORMATION},
		{CKA_LABEL, NULL, 77},
	};

	assert_ok(p11_kit_iter_load_attributes(iter, templ, 5));
	assert_value(&templ[0], CKA_LABEL, "label", 5);
	assert_value(&templ[1], CKA_ID, NULL, 0);
	assert_null(templ[2].pValue); /* sensitive */
	assert_null(templ[3].pValue); /* absent */
	assert_int_equal(templ[3].ulValueLen, CK_UNAVAILABLE_INFORMATION);
	assert_value(&templ[4], CKA_LABEL, "label", 5);
	free_values(templ, 5);
	assert_ok(p11_kit_iter_load_attributes(iter, templ, 0));
	assert_ok(p11_kit_iter_load_attributes(iter, NULL, 0));
	p11_kit_iter_free(iter);
}

static void
test_load_templates(void **state)
{
	(void)state;
	P11KitIter *iter = at_object(object, 6);
	CK_ATTRIBUTE templ[] = {{CKA_WRAP_TEMPLATE, NULL, 0}, {CKA_ENCAPSULATE_TEMPLATE, NULL, 0}};

	assert_ok(p11_kit_iter_load_attributes(iter, templ, 2));
	assert_int_equal(templ[0].ulValueLen, 3 * sizeof(CK_ATTRIBUTE));
	CK_ATTRIBUTE *members = templ[0].pValue;
	assert_value(&members[0], CKA_LABEL, "inner", 5);
	assert_value(&members[1], CKA_ID, NULL, 0);
	assert_int_equal(members[2].ulValueLen, sizeof(CK_ATTRIBUTE));
	assert_value(members[2].pValue, CKA_LABEL, "innermost", 9);
	assert_int_equal(templ[1].ulValueLen, sizeof(CK_ATTRIBUTE));
	assert_value(templ[1].pValue, CKA_LABEL, "innermost", 9);
	free_values(templ, 2);
	p11_kit_iter_free(iter);
}

/* An array, but none of attributes. Three of them are as large as one attribute is. */
static void
test_load_mechanisms(void **state)
{
	(void)state;
	P11KitIter *iter = at_object(object, 6);
	CK_ATTRIBUTE templ = {CKA_ALLOWED_MECHANISMS, NULL, 0};
	struct thing one = object[5];

	assert_ok(p11_kit_iter_load_attributes(iter, &templ, 1));
	assert_value(&templ, CKA_ALLOWED_MECHANISMS, mechanisms, sizeof mechanisms);
	p11_kit_iter_free(iter);
	one.size = sizeof mechanisms[0];
	iter = at_object(&one, 1);
	assert_ok(p11_kit_iter_load_attributes(iter, &templ, 1));
	assert_value(&templ, CKA_ALLOWED_MECHANISMS, mechanisms, sizeof mechanisms[0]);
	free(templ.pValue);
	p11_kit_iter_free(iter);
}

static struct thing changing = {CKA_LABEL, "it grows or shrinks", 3, NULL, false};

static CK_RV
grow_once(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv)
{
	(void)templ, (void)count;
	if (round == 1)
		changing.size = 13;
	return rv;
}

static CK_RV
shrink_once(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv)
{
	(void)templ, (void)count;
	if (round == 1)
		changing.size = 1;
	return rv;
}

static CK_RV
empty_once(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv)
{
	(void)templ, (void)count;
	if (round == 1)
		changing.size = 0;
	return rv;
}

static void
test_load_values_that_change(void **state)
{
	(void)state;
	static const struct {
		CK_RV (*spoil)(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv);
		CK_ULONG size;
	} rows[] = {{grow_once, 13}, {shrink_once, 1}, {empty_once, 0}};

	for (size_t i = 0; i < 3; i++) {
		P11KitIter *iter = at_object(&changing, 1);
		CK_ATTRIBUTE templ = {CKA_LABEL, NULL, 0};
		changing.size = 3;
		mock.spoil = rows[i].spoil;
		assert_ok(p11_kit_iter_load_attributes(iter, &templ, 1));
		assert_value(&templ, CKA_LABEL, changing.data, rows[i].size);
		free(templ.pValue);
		p11_kit_iter_free(iter);
	}
}

/* ---- answers that cannot be ---- */

static CK_RV
always_longer(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv)
{
	(void)count, (void)rv;
	templ[0].ulValueLen = 10 * round;
	return CKR_OK;
}

static CK_RV
huge(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv)
{
	(void)count, (void)round, (void)rv;
	templ[0].ulValueLen = CK_UNAVAILABLE_INFORMATION - 1;
	return CKR_OK;
}

static CK_RV
large(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv)
{
	(void)count, (void)round, (void)rv;
	templ[0].ulValueLen = CK_UNAVAILABLE_INFORMATION / 2;
	return CKR_OK;
}

static CK_RV
always_too_small(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv)
{
	(void)templ, (void)count, (void)rv;
	return round % 2 ? CKR_OK : CKR_BUFFER_TOO_SMALL;
}

static CK_RV
fails_late(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv)
{
	(void)templ, (void)count;
	return round == 2 ? CKR_DEVICE_ERROR : rv;
}

/* An array of one attribute and a half. */
static CK_RV
half(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv)
{
	(void)round;
	templ[count - 1].ulValueLen = sizeof(CK_ATTRIBUTE) * 3 / 2;
	return rv;
}

/* The template's member is a template of the same kind, and so on for ever. */
static CK_RV
bottomless(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv)
{
	CK_ATTRIBUTE *at = &templ[count - 1];

	(void)round, (void)rv;
	at->ulValueLen = sizeof *at;
	while (at->pValue) {
		at = at->pValue;
		at->type = CKA_WRAP_TEMPLATE;
		at->ulValueLen = sizeof *at;
	}
	return CKR_OK;
}

static void
test_load_contradictions(void **state)
{
	(void)state;
	CK_RV(*spoils[])
	(CK_ATTRIBUTE * templ, CK_ULONG count, unsigned round,
	 CK_RV rv) = {fails_late, always_longer, huge, large, always_too_small, half, bottomless};

	for (size_t i = 0; i < sizeof spoils / sizeof spoils[0]; i++) {
		P11KitIter *iter = at_object(object, 6);
		void *block = malloc(3);
		CK_ATTRIBUTE templ[] = {{CKA_LABEL, block, 3}, {CKA_WRAP_TEMPLATE, NULL, 5}};
		mock.spoil = spoils[i];
		CK_RV rv = p11_kit_iter_load_attributes(iter, templ, 2);
		assert_true(rv != CKR_OK);
		if (spoils[i] == fails_late) /* the module's own answer */
			assert_rv(rv, CKR_DEVICE_ERROR);
		else
			assert_true(core_message_has("module") && core_message_has("sizes"));
		assert_in_range(mock.n_rounds, 1, 40);
		assert_ptr_equal(templ[0].pValue, block); /* nothing changed */
		assert_int_equal(templ[0].ulValueLen, 3);
		assert_null(templ[1].pValue);
		assert_int_equal(templ[1].ulValueLen, 5);
		free(block);
		p11_kit_iter_free(iter);
	}
}

static CK_RV
other_pointers(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv)
{
	(void)round;
	for (CK_ULONG i = 0; i < count; i++) {
		CK_ATTRIBUTE *members = templ[i].pValue;
		if (templ[i].type == CKA_WRAP_TEMPLATE && members)
			members[0].pValue = members[2].pValue = NOWHERE;
		templ[i].pValue = NOWHERE;
	}
	return rv;
}

static CK_RV
other_types(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv)
{
	(void)round;
	for (CK_ULONG i = 0; i < count; i++)
		templ[i].type = templ[i].type == CKA_LABEL ? CKA_WRAP_TEMPLATE : CKA_LABEL;
	return rv;
}

/* Bytes that were asked for as such are said to be an array of attributes in the end, of
 * nowhere. */
static CK_RV
type_of_a_member_changes(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv)
{
	CK_ATTRIBUTE *members = count > 1 ? templ[1].pValue : NULL;

	(void)rv;
	if (round < 2 || !members)
		return CKR_OK;
	members[0].type = CKA_LABEL;
	members[0].ulValueLen = 4 * sizeof(CK_ATTRIBUTE);
	if (members[0].pValue) {
		memset(members[0].pValue, 0x18, members[0].ulValueLen);
		members[0].type = CKA_WRAP_TEMPLATE;
	}
	return CKR_OK;
}

/* The template has fewer members, or more, than a moment ago. */
static CK_RV
members_come_and_go(CK_ATTRIBUTE *templ, CK_ULONG count, unsigned round, CK_RV rv)
{
	CK_ATTRIBUTE *at = &templ[count - 1];

	(void)rv;
	if (round > 2 && at->pValue)
		at->ulValueLen = (round % 3) * sizeof *at;
	return CKR_OK;
}

/*
 * Either the lie is found, and nothing changed, or it had no effect: what there is can be used and
 * freed.
 */
static void
test_load_arrays_that_are_written_over(void **state)
{
	(void)state;
	CK_RV(*spoils[])
	(CK_ATTRIBUTE * templ, CK_ULONG count, unsigned round,
	 CK_RV rv) = {other_pointers, other_types, type_of_a_member_changes, members_come_and_go};

	for (size_t i = 0; i < sizeof spoils / sizeof spoils[0]; i++) {
		P11KitIter *iter = at_object(object, 6);
		CK_ATTRIBUTE templ[] = {{CKA_LABEL, NULL, 0}, {CKA_WRAP_TEMPLATE, NULL, 0}};
		mock.spoil = spoils[i];
		CK_RV rv = p11_kit_iter_load_attributes(iter, templ, 2);
		assert_int_equal(templ[0].type, CKA_LABEL);
		assert_int_equal(templ[1].type, CKA_WRAP_TEMPLATE);
		if (rv != CKR_OK)
			assert_true(!templ[0].pValue && !templ[1].pValue);
		free_values(templ, 2);
		p11_kit_iter_free(iter);
	}
}

int
main(void)
{
#define hostile_test(test) cmocka_unit_test_setup_teardown(test, honest, nothing_is_left)
	const struct CMUnitTest tests[] = {
		hostile_test(test_batches),
		hostile_test(test_batches_of_busy_sessions),
		hostile_test(test_begin_forgets_what_was_found),
		hostile_test(test_counts_of_objects_that_lie),
		hostile_test(test_objects_that_were_not_written),
		hostile_test(test_lists_of_slots_that_lie),
		hostile_test(test_slots_that_do_not_say_that_they_have_a_token),
		hostile_test(test_labels_without_end),
		hostile_test(test_infos_after_the_end),
		hostile_test(test_missing_functions),
		hostile_test(test_load),
		hostile_test(test_load_templates),
		hostile_test(test_load_mechanisms),
		hostile_test(test_load_values_that_change),
		hostile_test(test_load_contradictions),
		hostile_test(test_load_arrays_that_are_written_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
