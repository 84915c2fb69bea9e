/* SPDX-License-Identifier: BSD-3-Clause */
/* The iterator over two chaos modules, as a consumer of managed tables uses it. */
#define P11_KIT_FUTURE_UNSTABLE_API 1
#include "core/core.h"

#include <p11-kit/iter.h>
#include <p11-kit/pin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL_STOPS                                                                                  \
	(P11_KIT_ITER_WITH_MODULES | P11_KIT_ITER_WITH_SLOTS | P11_KIT_ITER_WITH_TOKENS |          \
	 P11_KIT_ITER_WITH_SESSIONS)

static struct chaos *a, *b;
static CK_FUNCTION_LIST **modules;
static char user_pin[] = CHAOS_PIN;

/* Module a has two slots, b has one. */
static int
set_up(void **state)
{
	(void)state;
	struct scene *scene = core_scene();

	a = scene_chaos(scene, "a", "chaos-a", "priority: 2");
	b = scene_chaos(scene, "b", "chaos-b", "priority: 1");
	scene_use(scene, NULL);
	a->slots(2);
	b->slots(1);
	modules = p11_kit_modules_load_and_initialize(0);
	return modules ? 0 : -1;
}

/* The last one. */
static void
test_that_nothing_is_left(void **state)
{
	(void)state;
	p11_kit_modules_finalize_and_release(modules);
	assert_true(chaos_is_exact(a) && chaos_is_exact(b));
}

static P11KitUri *
uri_of(const char *text)
{
	P11KitUri *uri = p11_kit_uri_new();

	assert_int_equal(p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri), P11_KIT_URI_OK);
	return uri;
}

/* An iterator for a URI (NULL: everything) that has begun. */
static P11KitIter *
iter_of(const char *text, unsigned behavior)
{
	P11KitUri *uri = text ? uri_of(text) : NULL;
	P11KitIter *iter = p11_kit_iter_new(uri, (P11KitIterBehavior)behavior);

	p11_kit_uri_free(uri);
	assert_non_null(iter);
	p11_kit_iter_begin(iter, modules);
	return iter;
}

/* A letter for each stop: M S T s O; what p11_kit_iter_next() answered in the end goes to *rv. */
static const char *
walk(P11KitIter *iter, CK_RV *rv)
{
	static char stops[64];
	size_t n = 0;

	while ((*rv = p11_kit_iter_next(iter)) == CKR_OK && n < sizeof stops - 1)
		stops[n++] = "MSTOs"[p11_kit_iter_get_kind(iter)];
	stops[n] = '\0';
	return stops;
}

static void
assert_walk(const char *uri, unsigned behavior, const char *expected)
{
	P11KitIter *iter = iter_of(uri, behavior);
	CK_RV rv;

	assert_string_equal(walk(iter, &rv), expected);
	assert_rv(rv, CKR_CANCEL);
	p11_kit_iter_free(iter);
}

/* ---- stops and filters ---- */

static void
test_stops(void **state)
{
	(void)state;
	unsigned none = P11_KIT_ITER_WITHOUT_OBJECTS;

	assert_walk(NULL, 0, "OOO");
	assert_walk(NULL, P11_KIT_ITER_BUSY_SESSIONS, "OOO");
	assert_walk(NULL, ALL_STOPS, "MSTsOSTsOMSTsO");
	assert_walk(NULL, P11_KIT_ITER_WITH_TOKENS, "TOTOTO");
	assert_walk(NULL, none, "");
	assert_walk(NULL, none | P11_KIT_ITER_WITH_MODULES, "MM");
	assert_walk(NULL, none | P11_KIT_ITER_WITH_SLOTS, "SSS");
	assert_walk(NULL, none | P11_KIT_ITER_WITH_SESSIONS, "sss");
}

static void
test_what_a_uri_finds(void **state)
{
	(void)state;
	assert_walk("pkcs11:object=chaos-a", 0, "OO");
	assert_walk("pkcs11:object=chaos-b;type=private", 0, "O");
	assert_walk("pkcs11:object=nobody", 0, "");
	assert_walk("pkcs11:object=nobody", ALL_STOPS, "MSTsSTsMSTs");
	assert_walk("pkcs11:slot-id=1", 0, "O");
	assert_walk("pkcs11:token=nobody", ALL_STOPS, "MSSMS");
	assert_walk("pkcs11:slot-description=nobody", ALL_STOPS, "MM");
	assert_walk("pkcs11:library-description=nobody", ALL_STOPS, "");
	assert_walk("pkcs11:unknown-attribute=x", ALL_STOPS, "");
}

static void
test_filters_and_another_uri(void **state)
{
	(void)state;
	CK_RV rv;
	P11KitUri *for_a = uri_of("pkcs11:object=chaos-a;slot-id=1"),
		  *for_b = uri_of("pkcs11:object=chaos-b");
	P11KitIter *iter = p11_kit_iter_new(for_a, 0);
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY, other = CKO_DATA;

	p11_kit_iter_add_filter(iter, &(CK_ATTRIBUTE){CKA_CLASS, &class, sizeof class}, 1);
	p11_kit_iter_begin(iter, modules);
	assert_string_equal(walk(iter, &rv), "O");

	p11_kit_iter_set_uri(iter, for_b); /* nothing of the other is left, the filter is */
	p11_kit_iter_begin(iter, modules);
	assert_rv(p11_kit_iter_next(iter), CKR_OK);
	assert_ptr_equal(p11_kit_iter_get_module(iter), modules[1]);
	/* Not now: a line on stderr, and no effect, as the next iteration shows. */
	p11_kit_iter_add_filter(iter, &(CK_ATTRIBUTE){CKA_CLASS, &other, sizeof other}, 1);
	assert_rv(p11_kit_iter_next(iter), CKR_CANCEL);

	p11_kit_iter_set_uri(iter, NULL);
	p11_kit_iter_begin(iter, modules);
	assert_string_equal(walk(iter, &rv), "OOO");
	p11_kit_iter_add_filter(iter, &(CK_ATTRIBUTE){CKA_CLASS, &other, sizeof other}, 1);
	p11_kit_iter_begin(iter, modules);
	assert_string_equal(walk(iter, &rv), "");
	p11_kit_iter_free(iter);
	p11_kit_uri_free(for_a);
	p11_kit_uri_free(for_b);
}

/* Slots without a token are slots, and nothing more. */
static void
test_a_slot_without_token(void **state)
{
	(void)state;
	a->token(0, false);
	assert_walk(NULL, ALL_STOPS, "MSSTsOMSTsO");
	assert_walk(NULL, 0, "OO");

	P11KitIter *iter = iter_of(NULL, P11_KIT_ITER_WITH_SLOTS);
	assert_rv(p11_kit_iter_next(iter), CKR_OK);
	assert_false(p11_kit_iter_get_slot_info(iter)->flags & CKF_TOKEN_PRESENT);
	assert_int_equal(p11_kit_iter_get_token(iter)->label[0], 0);
	p11_kit_iter_free(iter);
	a->token(0, true);
}

/* B48: what was found and not yet asked for belongs to a session of before. */
static void
test_begin_forgets_what_was_found(void **state)
{
	(void)state;
	CK_RV rv;
	P11KitIter *iter = iter_of(NULL, 0);

	for (int i = 0; i < 2; i++) {
		a->fault(CHAOS_C_FindObjects, &(struct chaos_fault){.over = 2, .times = 1});
		p11_kit_iter_begin(iter, modules);
		assert_rv(p11_kit_iter_next(iter), CKR_OK);
		assert_ptr_equal(p11_kit_iter_get_module(iter), modules[0]);
		if (i == 0)
			p11_kit_iter_begin(iter, modules);
		else
			p11_kit_iter_begin_with(iter, modules[1], 0, 0);
		assert_string_equal(walk(iter, &rv), i == 0 ? "OOO" : "O");
		assert_int_equal(a->sessions, 0);
	}
	a->fault(CHAOS_C_FindObjects, NULL);
	p11_kit_iter_free(iter);
}

static void
test_accessors(void **state)
{
	(void)state;
	P11KitIter *iter = iter_of("pkcs11:slot-id=1", ALL_STOPS);
	CK_BYTE label[32];
	CK_ATTRIBUTE ask = {CKA_LABEL, label, sizeof label};

	assert_int_equal(p11_kit_iter_get_kind(iter), P11_KIT_ITER_KIND_UNKNOWN);
	assert_null(p11_kit_iter_get_module(iter));
	assert_rv(p11_kit_iter_next(iter), CKR_OK); /* module */
	assert_ptr_equal(p11_kit_iter_get_module(iter), modules[0]);
	assert_int_equal(p11_kit_iter_get_slot(iter), 0);
	assert_rv(p11_kit_iter_next(iter), CKR_OK); /* slot */
	assert_int_equal(p11_kit_iter_get_slot(iter), 1);
	assert_true(p11_kit_iter_get_slot_info(iter)->flags & CKF_TOKEN_PRESENT);
	assert_rv(p11_kit_iter_next(iter), CKR_OK); /* token */
	assert_memory_equal(p11_kit_iter_get_token(iter)->label, "chaos-a", 7);
	assert_int_equal(p11_kit_iter_get_session(iter), 0);
	assert_rv(p11_kit_iter_next(iter), CKR_OK); /* session */
	assert_int_not_equal(p11_kit_iter_get_session(iter), 0);
	assert_int_equal(p11_kit_iter_get_object(iter), 0);
	assert_rv(p11_kit_iter_get_attributes(iter, &ask, 1), CKR_GENERAL_ERROR);
	assert_rv(p11_kit_iter_load_attributes(iter, &ask, 1), CKR_GENERAL_ERROR);
	assert_rv(p11_kit_iter_destroy_object(iter), CKR_GENERAL_ERROR);
	assert_rv(p11_kit_iter_next(iter), CKR_OK); /* object */
	assert_int_equal(p11_kit_iter_get_object(iter), CHAOS_KEY);
	assert_rv(p11_kit_iter_get_attributes(iter, &ask, 1), CKR_OK);
	assert_memory_equal(label, "chaos-a", 7);
	a->fault(CHAOS_C_DestroyObject, &(struct chaos_fault){.rv = CKR_ACTION_PROHIBITED});
	assert_rv(p11_kit_iter_destroy_object(iter), CKR_ACTION_PROHIBITED);
	a->fault(CHAOS_C_DestroyObject, NULL);
	p11_kit_iter_free(iter);
	assert_int_equal(a->sessions, 0);
}

/* The trust module's attributes have vendors' numbers, with all kinds of bits: trust(1) listed
 * nothing. */
static void
test_a_vendors_attribute_is_no_array(void **state)
{
	(void)state;
	P11KitIter *iter = iter_of("pkcs11:slot-id=1", 0);
	CK_ATTRIBUTE ask = {CHAOS_VENDOR_ATTRIBUTE, NULL, 0};

	assert_rv(p11_kit_iter_next(iter), CKR_OK);
	assert_rv(p11_kit_iter_load_attributes(iter, &ask, 1), CKR_OK);
	assert_int_equal(ask.ulValueLen, 1);
	assert_int_equal(*(CK_BBOOL *)ask.pValue, CK_TRUE);
	free(ask.pValue);
	p11_kit_iter_free(iter);
}

static void
test_broken_preconditions(void **state)
{
	(void)state;
	P11KitIter *iter = p11_kit_iter_new(NULL, 0);

	assert_rv(p11_kit_iter_next(NULL), CKR_ARGUMENTS_BAD);
	assert_rv(p11_kit_iter_next(iter), CKR_OPERATION_NOT_INITIALIZED);
	assert_int_equal(p11_kit_iter_get_kind(iter), P11_KIT_ITER_KIND_UNKNOWN);
	assert_null(p11_kit_iter_get_module(iter));
	assert_null(p11_kit_iter_get_slot_info(NULL));
	assert_null(p11_kit_iter_get_token(NULL));
	assert_int_equal(p11_kit_iter_get_slot(iter), 0);
	assert_int_equal(p11_kit_iter_get_session(iter), 0);
	assert_int_equal(p11_kit_iter_get_object(iter), 0);
	assert_int_equal(p11_kit_iter_keep_session(iter), 0);
	assert_rv(p11_kit_iter_load_attributes(iter, NULL, 0), CKR_GENERAL_ERROR);
	p11_kit_iter_begin(iter, modules);
	p11_kit_iter_begin(iter, NULL);
	assert_rv(p11_kit_iter_next(iter), CKR_OPERATION_NOT_INITIALIZED);
	p11_kit_iter_begin_with(iter, NULL, 0, 0);
	assert_rv(p11_kit_iter_next(iter), CKR_OPERATION_NOT_INITIALIZED);
	p11_kit_iter_add_callback(iter, NULL, NULL, NULL);
	p11_kit_iter_add_filter(iter, NULL, 1);
	p11_kit_iter_add_filter(NULL, NULL, 0);
	p11_kit_iter_set_uri(NULL, NULL);
	p11_kit_iter_begin(NULL, modules);
	p11_kit_iter_free(NULL);
	p11_kit_iter_free(iter);
}

/* ---- sessions ---- */

static void
test_no_session_that_nobody_needs(void **state)
{
	(void)state;
	unsigned long before = a->calls[CHAOS_C_OpenSession];

	assert_walk(NULL, P11_KIT_ITER_WITHOUT_OBJECTS | P11_KIT_ITER_WITH_TOKENS, "TTT");
	assert_int_equal(a->calls[CHAOS_C_OpenSession], before);
	before = a->calls[CHAOS_C_GetSlotList];
	assert_walk(NULL, P11_KIT_ITER_WITHOUT_OBJECTS | P11_KIT_ITER_WITH_MODULES, "MM");
	assert_int_equal(a->calls[CHAOS_C_GetSlotList], before);
}

static CK_STATE
session_state(P11KitIter *iter)
{
	CK_SESSION_INFO info;

	assert_rv(p11_kit_iter_next(iter), CKR_OK);
	assert_ok(p11_kit_iter_get_module(iter)->C_GetSessionInfo(p11_kit_iter_get_session(iter),
								  &info));
	return info.state;
}

static void
test_writable(void **state)
{
	(void)state;
	P11KitIter *iter = iter_of(NULL, P11_KIT_ITER_WANT_WRITABLE);

	assert_int_equal(session_state(iter), CKS_RW_PUBLIC_SESSION);
	p11_kit_iter_free(iter);
	iter = iter_of(NULL, 0);
	assert_int_equal(session_state(iter), CKS_RO_PUBLIC_SESSION);
	p11_kit_iter_free(iter);
}

/* A list of the program's own, whose tokens are write-protected. */
static CK_RV
write_protected(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	CK_RV rv = modules[0]->C_GetTokenInfo(slot, info);

	info->flags |= CKF_WRITE_PROTECTED;
	return rv;
}

static void
test_writable_where_it_cannot_be(void **state)
{
	(void)state;
	CK_FUNCTION_LIST list = *modules[0];
	P11KitIter *iter = p11_kit_iter_new(NULL, P11_KIT_ITER_WANT_WRITABLE);

	p11_kit_iter_begin_with(iter, &list, 0, 0);
	assert_int_equal(session_state(iter), CKS_RW_PUBLIC_SESSION);
	list.C_GetTokenInfo = write_protected;
	p11_kit_iter_begin_with(iter, &list, 0, 0);
	assert_int_equal(session_state(iter), CKS_RO_PUBLIC_SESSION);
	p11_kit_iter_free(iter);
}

/* Whether the session is free for another search while the iterator is at an object of it. */
static CK_RV
search_beside(unsigned behavior)
{
	P11KitIter *iter = iter_of(NULL, behavior);

	assert_rv(p11_kit_iter_next(iter), CKR_OK);
	CK_RV rv = modules[0]->C_FindObjectsInit(p11_kit_iter_get_session(iter), NULL, 0);
	p11_kit_iter_free(iter);
	return rv;
}

static void
test_busy_sessions(void **state)
{
	(void)state;
	assert_ok(search_beside(0));
	assert_rv(search_beside(P11_KIT_ITER_BUSY_SESSIONS), CKR_OPERATION_ACTIVE);
}

/* A session that was kept lives on after the iterator. */
static void
test_kept_session(void **state)
{
	(void)state;
	P11KitIter *iter = iter_of(NULL, 0);
	CK_SESSION_INFO info;

	assert_rv(p11_kit_iter_next(iter), CKR_OK);
	CK_SESSION_HANDLE session = p11_kit_iter_keep_session(iter);
	assert_int_equal(session, p11_kit_iter_get_session(iter));
	assert_rv(p11_kit_iter_next(iter), CKR_OK);
	assert_int_not_equal(p11_kit_iter_get_session(iter), session);
	assert_int_equal(a->sessions, 2);
	p11_kit_iter_free(iter);
	assert_int_equal(a->sessions, 1);
	assert_ok(modules[0]->C_GetSessionInfo(session, &info));
	assert_ok(modules[0]->C_CloseSession(session));
}

static void
test_begin_with(void **state)
{
	(void)state;
	CK_RV rv;
	P11KitUri *uri = uri_of("pkcs11:library-description=nobody");
	P11KitIter *iter = p11_kit_iter_new(NULL, ALL_STOPS);
	P11KitIter *for_nobody = p11_kit_iter_new(uri, ALL_STOPS);

	p11_kit_iter_begin_with(iter, modules[0], 0, 0);
	assert_string_equal(walk(iter, &rv), "MSTsOSTsO");
	p11_kit_iter_begin_with(for_nobody, modules[0], 0, 0);
	assert_string_equal(walk(for_nobody, &rv), "");

	p11_kit_iter_begin_with(for_nobody, modules[0], 1, 0);
	assert_rv(p11_kit_iter_next(for_nobody), CKR_OK);
	assert_int_equal(p11_kit_iter_get_slot(for_nobody), 1);
	assert_string_equal(walk(for_nobody, &rv), "TsO");

	CK_SESSION_HANDLE session = core_open(modules[0], 1);
	p11_kit_iter_begin_with(for_nobody, modules[0], 0, session);
	assert_rv(p11_kit_iter_next(for_nobody), CKR_OK);
	assert_int_equal(p11_kit_iter_get_kind(for_nobody), P11_KIT_ITER_KIND_OBJECT);
	assert_int_equal(p11_kit_iter_get_slot(for_nobody), 1);
	assert_int_equal(p11_kit_iter_get_session(for_nobody), session);
	assert_int_equal(p11_kit_iter_get_token(for_nobody)->label[0], 0);
	assert_rv(p11_kit_iter_next(for_nobody), CKR_CANCEL);
	assert_int_equal(a->sessions, 1); /* it stays the caller's */

	a->fault(CHAOS_C_GetSessionInfo, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR});
	p11_kit_iter_begin_with(iter, modules[0], 0, session);
	assert_rv(p11_kit_iter_next(iter), CKR_DEVICE_ERROR);
	a->fault(CHAOS_C_GetSessionInfo, NULL);
	assert_ok(modules[0]->C_CloseSession(session));
	p11_kit_iter_free(iter);
	p11_kit_iter_free(for_nobody);
	p11_kit_uri_free(uri);
}

/* ---- logging in ---- */

static P11KitPin *
give_pin(const char *source, P11KitUri *uri, const char *description, P11KitPinFlags flags,
	 void *data)
{
	assert_string_equal(source, "test");
	assert_null(uri);
	assert_string_equal(description, "PIN for chaos-a 1");
	assert_int_equal(flags, P11_KIT_PIN_FLAGS_USER_LOGIN);
	return data ? p11_kit_pin_new_for_string(data) : NULL;
}

static void
test_login(void **state)
{
	(void)state;
	P11KitIter *iter =
		iter_of("pkcs11:slot-id=1?pin-value=" CHAOS_PIN, P11_KIT_ITER_WITH_LOGIN);
	assert_int_equal(session_state(iter), CKS_RO_USER_FUNCTIONS);

	/* Who is logged in already is no error. */
	P11KitIter *second =
		iter_of("pkcs11:slot-id=1?pin-value=" CHAOS_PIN, P11_KIT_ITER_WITH_LOGIN);
	assert_int_equal(session_state(second), CKS_RO_USER_FUNCTIONS);
	p11_kit_iter_free(second);
	p11_kit_iter_free(iter);

	p11_kit_pin_register_callback("test", give_pin, user_pin, NULL);
	iter = iter_of("pkcs11:slot-id=1?pin-source=test", P11_KIT_ITER_WITH_LOGIN);
	assert_int_equal(session_state(iter), CKS_RO_USER_FUNCTIONS);
	p11_kit_iter_free(iter);
	p11_kit_pin_unregister_callback("test", give_pin, user_pin);

	/* Without a wish, and without a PIN, nobody logs in. */
	iter = iter_of("pkcs11:slot-id=1?pin-value=" CHAOS_PIN, 0);
	assert_int_equal(session_state(iter), CKS_RO_PUBLIC_SESSION);
	p11_kit_iter_free(iter);
	iter = iter_of("pkcs11:slot-id=1", P11_KIT_ITER_WITH_LOGIN);
	assert_int_equal(session_state(iter), CKS_RO_PUBLIC_SESSION);
	p11_kit_iter_free(iter);
}

static void
test_login_that_fails(void **state)
{
	(void)state;
	CK_RV rv;
	P11KitIter *iter = iter_of("pkcs11:?pin-value=0000", P11_KIT_ITER_WITH_LOGIN);

	assert_rv(p11_kit_iter_next(iter), CKR_PIN_INCORRECT);
	assert_true(core_message_has("module a") && core_message_has("C_Login"));
	assert_false(core_message_has("0000"));
	assert_int_equal(a->sessions, 0);
	p11_kit_iter_free(iter);

	/* Nobody tells the PIN: the tokens are passed over, and their sessions closed. */
	p11_kit_pin_register_callback("test", give_pin, NULL, NULL);
	iter = iter_of("pkcs11:token=chaos-a%201?pin-source=test",
		       P11_KIT_ITER_WITH_LOGIN | P11_KIT_ITER_WITH_SESSIONS);
	assert_string_equal(walk(iter, &rv), "");
	assert_rv(rv, CKR_CANCEL);
	assert_true(core_message_has("token \"chaos-a 1\"") && core_message_has("'test'"));
	p11_kit_iter_free(iter);
	p11_kit_pin_unregister_callback("test", give_pin, NULL);
	assert_int_equal(a->sessions, 0);
}

/* ---- callbacks ---- */

static char asked[16];

static void
note(char letter)
{
	size_t n = strlen(asked);

	if (n < sizeof asked - 1)
		asked[n] = letter;
}

/* The data: a letter, and what it does. */
static CK_RV
decide(P11KitIter *iter, CK_BBOOL *matches, void *data)
{
	const char *what = data;

	assert_int_equal(p11_kit_iter_get_kind(iter), P11_KIT_ITER_KIND_OBJECT);
	assert_int_equal(p11_kit_iter_get_object(iter), CHAOS_KEY);
	assert_int_equal(*matches, CK_TRUE);
	note(what[0]);
	*matches = what[1] != 'h';
	return what[1] == 'c' ? CKR_CANCEL : what[1] == 'f' ? CKR_FUNCTION_FAILED : CKR_OK;
}

static void
destroyed(void *data)
{
	note(*(const char *)data);
}

static void
assert_decided(const char *first, const char *second, const char *stops, CK_RV expected,
	       const char *order)
{
	P11KitIter *iter = iter_of("pkcs11:slot-id=1", ALL_STOPS);
	CK_RV rv;

	memset(asked, 0, sizeof asked);
	p11_kit_iter_add_callback(iter, decide, (char *)first, destroyed);
	p11_kit_iter_add_callback(iter, decide, (char *)second, destroyed);
	assert_string_equal(walk(iter, &rv), stops);
	assert_rv(rv, expected);
	p11_kit_iter_free(iter);
	assert_string_equal(asked, order);
	assert_int_equal(a->sessions, 0);
}

static void
test_callbacks(void **state)
{
	(void)state;
	assert_decided("1", "2", "MSTsOM", CKR_CANCEL, "2121");
	assert_decided("1", "2h", "MSTsM", CKR_CANCEL, "221");
	assert_decided("1h", "2", "MSTsM", CKR_CANCEL, "2121");
	assert_decided("1", "2c", "MSTs", CKR_CANCEL, "221");
	assert_decided("1f", "2", "MSTs", CKR_FUNCTION_FAILED, "2121");
}

/* ---- failing modules ---- */

/* What a module answers to these ends the iteration, with nothing left open. */
static void
test_errors_that_end_it(void **state)
{
	(void)state;
	static const struct {
		enum chaos_call call;
		const char *stops;
	} rows[] = {
		{CHAOS_C_GetSlotList, "M"},
		{CHAOS_C_OpenSession, "MST"},
		{CHAOS_C_FindObjectsInit, "MSTs"},
		{CHAOS_C_FindObjects, "MSTs"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		P11KitIter *iter = iter_of(NULL, ALL_STOPS);
		CK_RV rv;
		a->fault(rows[i].call, &(struct chaos_fault){.rv = CKR_DEVICE_MEMORY});
		assert_string_equal(walk(iter, &rv), rows[i].stops);
		assert_rv(rv, CKR_DEVICE_MEMORY);
		assert_true(core_message_has("module a"));
		assert_true(core_message_has(chaos_call_names[rows[i].call]));
		assert_rv(p11_kit_iter_next(iter), CKR_OPERATION_NOT_INITIALIZED);
		assert_int_equal(a->sessions, 0);
		a->fault(rows[i].call, NULL);
		p11_kit_iter_begin(iter, modules);
		assert_string_equal(walk(iter, &rv), "MSTsOSTsOMSTsO");
		p11_kit_iter_free(iter);
	}
}

static void
test_errors_that_are_passed_over(void **state)
{
	(void)state;
	static const struct {
		enum chaos_call call;
		const char *stops;
	} rows[] = {
		{CHAOS_C_GetInfo, "MSTsO"},
		{CHAOS_C_GetSlotInfo, "MMSTsO"},
		{CHAOS_C_GetTokenInfo, "MSSMSTsO"},
		{CHAOS_C_FindObjectsFinal, "MSTsOSTsOMSTsO"},
		{CHAOS_C_CloseSession, "MSTsOSTsOMSTsO"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		a->fault(rows[i].call, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR});
		assert_walk(NULL, ALL_STOPS, rows[i].stops);
		a->fault(rows[i].call, NULL);
	}
}

static void
test_counts_over_the_buffer(void **state)
{
	(void)state;
	a->fault(CHAOS_C_FindObjects, &(struct chaos_fault){.over = 1000000, .times = 1});
	P11KitIter *iter = iter_of("pkcs11:slot-id=1", 0);
	unsigned n = 0;
	while (n < 1000 && p11_kit_iter_next(iter) == CKR_OK)
		n++;
	assert_in_range(n, 1, 64);
	p11_kit_iter_free(iter);
	a->fault(CHAOS_C_FindObjects, NULL);
}

/* A list that grows between the two questions. */
static void
test_slots_that_come(void **state)
{
	(void)state;
	a->slots(3);
	a->plug(2, false);
	a->list = CHAOS_LIST_GROWS;
	assert_walk(NULL, P11_KIT_ITER_WITHOUT_OBJECTS | P11_KIT_ITER_WITH_SLOTS, "SSSS");
	a->list = CHAOS_LIST_STEADY;
	a->slots(2);
}

/* The proxy is a module like any other. */
static void
test_over_the_proxy(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *list = core_consumer();
	P11KitIter *iter = p11_kit_iter_new(NULL, 0);
	CK_RV rv;

	p11_kit_iter_begin_with(iter, list, 0, 0);
	assert_string_equal(walk(iter, &rv), "OOO");
	p11_kit_iter_free(iter);
	assert_ok(list->C_Finalize(NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stops),
		cmocka_unit_test(test_what_a_uri_finds),
		cmocka_unit_test(test_filters_and_another_uri),
		cmocka_unit_test(test_a_slot_without_token),
		cmocka_unit_test(test_begin_forgets_what_was_found),
		cmocka_unit_test(test_accessors),
		cmocka_unit_test(test_a_vendors_attribute_is_no_array),
		cmocka_unit_test(test_broken_preconditions),
		cmocka_unit_test(test_no_session_that_nobody_needs),
		cmocka_unit_test(test_writable),
		cmocka_unit_test(test_writable_where_it_cannot_be),
		cmocka_unit_test(test_busy_sessions),
		cmocka_unit_test(test_kept_session),
		cmocka_unit_test(test_begin_with),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_login_that_fails),
		cmocka_unit_test(test_callbacks),
		cmocka_unit_test(test_errors_that_end_it),
		cmocka_unit_test(test_errors_that_are_passed_over),
		cmocka_unit_test(test_counts_over_the_buffer),
		cmocka_unit_test(test_slots_that_come),
		cmocka_unit_test(test_over_the_proxy),
		cmocka_unit_test(test_that_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
