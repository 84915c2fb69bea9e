/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The iterator is a machine with a step for each thing that it comes to: a module, its slots, a
 * slot, a token, a session, a search, an object. p11_kit_iter_next() takes steps until one is a
 * stop or an error. Whatever ends an iteration goes through reset(), which leaves nothing open.
 *
 * Modules are believed nothing: functions may be missing, counts may be larger than the buffers.
 */
#define P11_KIT_FUTURE_UNSTABLE_API 1
#include "p11-kit/iter.h"
#include "p11-kit/pin.h"

#include "api/iter-values.h"
#include "api/label.h"
#include "api/uri-parts.h"

#include "base/base.h"
#include "base/message.h"
#include "pkcs11/names.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BATCH 64 /* objects asked for at once; doubled when they were not enough */
#define MAX_OBJECTS ((CK_ULONG)1 << 24) /* of one token; more are a module's mistake */
#define MAX_SLOTS ((CK_ULONG)1 << 16)   /* each is asked about: likewise */
#define MORE_SLOTS 8                    /* that may come between the two questions */
#define MAX_TRIES 8                     /* for a list of slots that grows between two calls */

enum step {
	AT_END, /* begin was not called, or the iteration is over */
	AT_MODULE,
	AT_SLOTS,
	AT_SLOT,
	AT_TOKEN,
	AT_SESSION,
	AT_SEARCH,
	AT_OBJECT,
};

struct callback {
	struct callback *older; /* owned */
	p11_kit_iter_callback call;
	void *data;
	p11_kit_destroyer destroy; /* may be NULL */
};

struct handles {
	CK_OBJECT_HANDLE *items; /* owned */
	CK_ULONG n, next, size;
};

struct p11_kit_iter {
	/* What is looked for; `uri` has no queries and no module-name and module-path. */
	P11KitUri uri;
	struct p11_uri_attributes filters, wanted; /* wanted: of the URI and the filters together */
	struct callback *callbacks;                /* owned; newest first */
	unsigned behavior;
	CK_RV failed;       /* what the functions without a result could not do, next tells */
	CK_RV begin_failed; /* of the iteration that has begun */

	/* What is still to come. */
	enum step step;
	CK_FUNCTION_LIST **modules; /* owned, and not what it points to */
	size_t n_modules, next_module;
	CK_SLOT_ID *slots; /* owned */
	CK_ULONG n_slots, next_slot;
	struct handles objects;

	/* Where it is. */
	P11KitIterKind kind;
	CK_FUNCTION_LIST *module;
	CK_SLOT_ID slot;
	CK_SLOT_INFO slot_info;
	CK_TOKEN_INFO token_info;
	CK_SESSION_HANDLE session; /* 0: none */
	CK_OBJECT_HANDLE object;   /* 0: none */
	bool is_only_session;      /* it was given to begin_with */
	bool is_ours;              /* we opened the session, and nobody keeps it */
	bool is_searching;
};

/* A function of the module that the iterator is in, with its arguments; one that is missing answers
 * as one that is not supported. */
#define CALL(iter, function, ...)                                                                  \
	((iter)->module->function ? (iter)->module->function(__VA_ARGS__)                          \
				  : CKR_FUNCTION_NOT_SUPPORTED)

static CK_RV
say(const P11KitIter *iter, const char *call, CK_RV rv)
{
	if (rv == CKR_OK)
		return rv;
	return p11_fail(rv, "module %s: %s failed with %s; the iteration ends here",
			p11_label_of(iter->module), call, p11_rv_name(rv, (char[24]){0}));
}

static bool
wants(const P11KitIter *iter, unsigned behavior)
{
	return iter->behavior & behavior;
}

static bool
wants_objects(const P11KitIter *iter)
{
	return !wants(iter, P11_KIT_ITER_WITHOUT_OBJECTS);
}

/* ---- what is opened is closed ---- */

static void
end_search(P11KitIter *iter)
{
	if (iter->is_searching)
		(void)CALL(iter, C_FindObjectsFinal, iter->session);
	iter->is_searching = false;
}

static void
leave_session(P11KitIter *iter)
{
	end_search(iter);
	if (iter->is_ours)
		(void)CALL(iter, C_CloseSession, iter->session);
	iter->is_ours = false;
	iter->session = 0;
	iter->object = 0;
	iter->objects.n = iter->objects.next = 0;
}

static void
leave_slot(P11KitIter *iter)
{
	leave_session(iter);
	iter->slot = 0;
}

/* Not at the end of an iteration: consumers look at the last one then. */
static void
forget_infos(P11KitIter *iter)
{
	iter->slot_info = (CK_SLOT_INFO){0};
	iter->token_info = (CK_TOKEN_INFO){0};
}

static void
leave_module(P11KitIter *iter)
{
	leave_slot(iter);
	iter->module = NULL;
	free(iter->slots);
	iter->slots = NULL;
	iter->n_slots = iter->next_slot = 0;
}

static void
reset(P11KitIter *iter)
{
	leave_module(iter);
	free(iter->modules);
	iter->modules = NULL;
	iter->n_modules = iter->next_module = 0;
	free(iter->objects.items);
	iter->objects = (struct handles){0};
	iter->kind = P11_KIT_ITER_KIND_UNKNOWN;
	iter->is_only_session = false;
	iter->begin_failed = CKR_OK;
	iter->step = AT_END;
}

/* ---- what is looked for ---- */

static void
remember(CK_RV *failed, bool succeeded)
{
	if (!succeeded)
		*failed = p11_fail(CKR_HOST_MEMORY, "no memory for an iterator");
}

static bool
add_attributes(struct p11_uri_attributes *to, const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
	for (CK_ULONG i = 0; i < count; i++) {
		if (p11_uri_attributes_set(to, &attributes[i]) != P11_KIT_URI_OK)
			return false;
	}
	return true;
}

static bool
copy_string(P11KitUri *to, const P11KitUri *uri, size_t which)
{
	to->strings[which] = uri->strings[which] ? strdup(uri->strings[which]) : NULL;
	return to->strings[which] || !uri->strings[which];
}

/* `to` has nothing yet. */
static bool
copy_uri(P11KitUri *to, const P11KitUri *uri)
{
	to->module = uri->module;
	to->slot = uri->slot;
	to->token = uri->token;
	to->slot_id = uri->slot_id;
	to->unrecognized = uri->unrecognized;
	return copy_string(to, uri, P11_URI_PIN_VALUE) &&
	       copy_string(to, uri, P11_URI_PIN_SOURCE) &&
	       add_attributes(&to->attributes, uri->attributes.list, uri->attributes.count);
}

/* Filters count more than the URI. */
static bool
combine(P11KitIter *iter)
{
	p11_uri_attributes_clear(&iter->wanted);
	return add_attributes(&iter->wanted, iter->uri.attributes.list,
			      iter->uri.attributes.count) &&
	       add_attributes(&iter->wanted, iter->filters.list, iter->filters.count);
}

static void
set_uri(P11KitIter *iter, const P11KitUri *uri)
{
	p11_uri_clear(&iter->uri);
	remember(&iter->failed, (!uri || copy_uri(&iter->uri, uri)) && combine(iter));
}

P11_EXPORT P11KitIter *
p11_kit_iter_new(P11KitUri *uri, P11KitIterBehavior behavior)
{
	P11KitIter *iter = calloc(1, sizeof *iter);

	if (!iter)
		return NULL;
	iter->behavior = behavior;
	iter->kind = P11_KIT_ITER_KIND_UNKNOWN;
	set_uri(iter, uri);
	if (iter->failed != CKR_OK) {
		p11_kit_iter_free(iter);
		return NULL;
	}
	return iter;
}

P11_EXPORT void
p11_kit_iter_free(P11KitIter *iter)
{
	if (!iter)
		return;
	reset(iter);
	while (iter->callbacks) {
		struct callback *callback = iter->callbacks;
		iter->callbacks = callback->older;
		if (callback->destroy)
			callback->destroy(callback->data);
		free(callback);
	}
	p11_uri_clear(&iter->uri);
	p11_uri_attributes_clear(&iter->filters);
	p11_uri_attributes_clear(&iter->wanted);
	free(iter);
}

P11_EXPORT void
p11_kit_iter_set_uri(P11KitIter *iter, P11KitUri *uri)
{
	if (p11_broken(iter != NULL) || p11_broken(iter->step == AT_END))
		return;
	set_uri(iter, uri);
}

P11_EXPORT void
p11_kit_iter_add_filter(P11KitIter *iter, CK_ATTRIBUTE *matching, CK_ULONG count)
{
	if (p11_broken(iter != NULL) || p11_broken(iter->step == AT_END) ||
	    p11_broken(matching != NULL || count == 0))
		return;
	remember(&iter->failed, add_attributes(&iter->filters, matching, count) && combine(iter));
}

P11_EXPORT void
p11_kit_iter_add_callback(P11KitIter *iter, p11_kit_iter_callback callback, void *callback_data,
			  p11_kit_destroyer callback_destroy)
{
	if (p11_broken(iter != NULL) || p11_broken(callback != NULL))
		return;

	struct callback *added = malloc(sizeof *added);
	remember(&iter->failed, added);
	if (!added)
		return;
	*added = (struct callback){iter->callbacks, callback, callback_data, callback_destroy};
	iter->callbacks = added;
}

/* ---- where it begins ---- */

P11_EXPORT void
p11_kit_iter_begin(P11KitIter *iter, CK_FUNCTION_LIST_PTR *modules)
{
	if (p11_broken(iter != NULL))
		return;
	reset(iter);
	if (p11_broken(modules != NULL))
		return;

	size_t n = 0;
	forget_infos(iter);
	while (modules[n])
		n++;
	iter->modules = calloc(n + 1, sizeof(CK_FUNCTION_LIST *));
	remember(&iter->begin_failed, iter->modules);
	if (iter->modules && n > 0)
		memcpy(iter->modules, modules, n * sizeof(CK_FUNCTION_LIST *));
	iter->n_modules = iter->modules ? n : 0;
	iter->step = AT_MODULE;
}

static void
begin_with_session(P11KitIter *iter, CK_SLOT_ID slot, CK_SESSION_HANDLE session)
{
	CK_SESSION_INFO info = {0};

	if (slot == 0) {
		CK_RV rv = CALL(iter, C_GetSessionInfo, session, &info);
		if (rv != CKR_OK)
			iter->begin_failed = say(iter, "C_GetSessionInfo", rv);
		slot = info.slotID;
	}
	iter->slot = slot;
	iter->session = session;
	iter->is_only_session = true;
	iter->step = AT_SEARCH;
}

static void
begin_with_slot(P11KitIter *iter, CK_SLOT_ID slot)
{
	iter->slots = malloc(sizeof *iter->slots);
	remember(&iter->begin_failed, iter->slots);
	if (iter->slots)
		iter->slots[iter->n_slots++] = slot;
	iter->step = AT_SLOT;
}

P11_EXPORT void
p11_kit_iter_begin_with(P11KitIter *iter, CK_FUNCTION_LIST_PTR module, CK_SLOT_ID slot,
			CK_SESSION_HANDLE session)
{
	if (p11_broken(iter != NULL))
		return;
	if (slot == 0 && session == 0 && module) {
		p11_kit_iter_begin(iter, (CK_FUNCTION_LIST *[]){module, NULL});
		return;
	}
	reset(iter);
	if (p11_broken(module != NULL))
		return;
	forget_infos(iter);
	iter->module = module;
	if (session != 0)
		begin_with_session(iter, slot, session);
	else
		begin_with_slot(iter, slot);
}

/* ---- the steps ---- */

static bool
stop_at(P11KitIter *iter, P11KitIterKind kind, bool wanted)
{
	iter->kind = kind;
	return wanted;
}

static CK_RV
step_module(P11KitIter *iter, bool *stop)
{
	CK_INFO info = {0};

	leave_module(iter);
	if (iter->next_module == iter->n_modules)
		return CKR_CANCEL;
	forget_infos(iter);
	iter->module = iter->modules[iter->next_module++];
	if (CALL(iter, C_GetInfo, &info) != CKR_OK ||
	    !p11_kit_uri_match_module_info(&iter->uri, &info))
		return CKR_OK;
	iter->step = AT_SLOTS;
	*stop = stop_at(iter, P11_KIT_ITER_KIND_MODULE, wants(iter, P11_KIT_ITER_WITH_MODULES));
	return CKR_OK;
}

/* One question for the count and one for the list, into memory for so many. */
static CK_RV
ask_for_slots(P11KitIter *iter)
{
	CK_BBOOL present = wants(iter, P11_KIT_ITER_WITH_SLOTS) ? CK_FALSE : CK_TRUE;
	CK_ULONG room = 0;
	CK_RV rv = CALL(iter, C_GetSlotList, present, NULL, &room);

	if (rv != CKR_OK)
		return rv;
	if (room > MAX_SLOTS)
		return CKR_GENERAL_ERROR;
	room += MORE_SLOTS;
	free(iter->slots);
	iter->slots = calloc(room, sizeof *iter->slots);
	if (!iter->slots)
		return CKR_HOST_MEMORY;

	CK_ULONG n = room;
	rv = CALL(iter, C_GetSlotList, present, iter->slots, &n);
	iter->n_slots = n < room ? n : room;
	iter->next_slot = 0;
	return rv;
}

static CK_RV
step_slots(P11KitIter *iter)
{
	CK_RV rv = CKR_OK;

	iter->step = AT_MODULE;
	if (!wants_objects(iter) &&
	    !wants(iter, P11_KIT_ITER_WITH_SLOTS | P11_KIT_ITER_WITH_TOKENS |
				 P11_KIT_ITER_WITH_SESSIONS | P11_KIT_ITER_WITH_LOGIN))
		return CKR_OK;
	for (int i = 0; i == 0 || (rv == CKR_BUFFER_TOO_SMALL && i < MAX_TRIES); i++)
		rv = ask_for_slots(iter);
	iter->step = AT_SLOT;
	return say(iter, "C_GetSlotList", rv);
}

static CK_RV
step_slot(P11KitIter *iter, bool *stop)
{
	leave_slot(iter);
	if (iter->next_slot == iter->n_slots) {
		iter->step = AT_MODULE;
		return CKR_OK;
	}
	forget_infos(iter);
	iter->slot = iter->slots[iter->next_slot++];
	if (iter->uri.slot_id != P11_URI_NO_SLOT_ID && iter->uri.slot_id != iter->slot)
		return CKR_OK;
	if (CALL(iter, C_GetSlotInfo, iter->slot, &iter->slot_info) != CKR_OK ||
	    !p11_kit_uri_match_slot_info(&iter->uri, &iter->slot_info))
		return CKR_OK;
	/* Where empty slots were not asked for, each has a token, whatever its flags say. */
	if (!wants(iter, P11_KIT_ITER_WITH_SLOTS) || (iter->slot_info.flags & CKF_TOKEN_PRESENT))
		iter->step = AT_TOKEN;
	*stop = stop_at(iter, P11_KIT_ITER_KIND_SLOT, wants(iter, P11_KIT_ITER_WITH_SLOTS));
	return CKR_OK;
}

static CK_RV
step_token(P11KitIter *iter, bool *stop)
{
	bool matches = CALL(iter, C_GetTokenInfo, iter->slot, &iter->token_info) == CKR_OK &&
		       p11_kit_uri_match_token_info(&iter->uri, &iter->token_info);

	iter->step = AT_SLOT;
	if (!matches)
		return CKR_OK;
	if (wants_objects(iter) ||
	    wants(iter, P11_KIT_ITER_WITH_SESSIONS | P11_KIT_ITER_WITH_LOGIN))
		iter->step = AT_SESSION;
	*stop = stop_at(iter, P11_KIT_ITER_KIND_TOKEN, wants(iter, P11_KIT_ITER_WITH_TOKENS));
	return CKR_OK;
}

static P11KitPin *
request_pin(P11KitIter *iter, const char *source)
{
	const CK_TOKEN_INFO *info = &iter->token_info;
	char description[sizeof info->label + sizeof "PIN for "];

	snprintf(description, sizeof description, "PIN for %.*s",
		 (int)p11_uri_field_length(info->label, sizeof info->label), info->label);
	return p11_kit_pin_request(source, NULL, description, P11_KIT_PIN_FLAGS_USER_LOGIN);
}

static void
say_no_pin(const P11KitIter *iter, const char *source)
{
	const CK_TOKEN_INFO *info = &iter->token_info;

	p11_message(
		"module %s: no PIN for the token \"%.*s\" came from its pin-source '%.80s'; the "
		"token is passed over",
		p11_label_of(iter->module),
		(int)p11_uri_field_length(info->label, sizeof info->label), info->label, source);
}

/* *known: there is a PIN, or none is wanted. */
static CK_RV
log_in(P11KitIter *iter, bool *known)
{
	const char *value = iter->uri.strings[P11_URI_PIN_VALUE];
	const char *source = iter->uri.strings[P11_URI_PIN_SOURCE];
	P11KitPin *pin = NULL;

	*known = true;
	if (!wants(iter, P11_KIT_ITER_WITH_LOGIN) || (!value && !source))
		return CKR_OK;
	pin = value ? p11_kit_pin_new_for_string(value) : request_pin(iter, source);
	if (!pin && value)
		return CKR_HOST_MEMORY;
	if (!pin) {
		*known = false;
		say_no_pin(iter, source);
		return CKR_OK;
	}

	size_t length;
	unsigned char *bytes = (unsigned char *)p11_kit_pin_get_value(pin, &length);
	CK_RV rv = CALL(iter, C_Login, iter->session, CKU_USER, bytes, length);
	p11_kit_pin_unref(pin);
	return rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv;
}

static CK_RV
step_session(P11KitIter *iter, bool *stop)
{
	bool writable = wants(iter, P11_KIT_ITER_WANT_WRITABLE) &&
			!(iter->token_info.flags & CKF_WRITE_PROTECTED);
	CK_FLAGS flags = CKF_SERIAL_SESSION | (writable ? CKF_RW_SESSION : 0);
	bool known;
	CK_RV rv = CALL(iter, C_OpenSession, iter->slot, flags, NULL, NULL, &iter->session);

	if (rv != CKR_OK) {
		iter->session = 0;
		return say(iter, "C_OpenSession", rv);
	}
	iter->is_ours = true;
	rv = log_in(iter, &known);
	if (rv != CKR_OK)
		return say(iter, "C_Login", rv);
	iter->step = known ? AT_SEARCH : AT_SLOT;
	*stop = known &&
		stop_at(iter, P11_KIT_ITER_KIND_SESSION, wants(iter, P11_KIT_ITER_WITH_SESSIONS));
	return CKR_OK;
}

/* Appends what the module has next; *n: how many that was. */
static CK_RV
fetch(P11KitIter *iter, CK_ULONG *n)
{
	struct handles *objects = &iter->objects;

	*n = 0;
	if (objects->n == objects->size) {
		CK_ULONG size = objects->size ? objects->size * 2 : FIRST_BATCH;
		CK_OBJECT_HANDLE *items =
			size > MAX_OBJECTS ? NULL
					   : reallocarray(objects->items, size, sizeof *items);
		if (!items)
			return CKR_HOST_MEMORY;
		/* Of a count that is too high the rest is no memory of others. */
		memset(items + objects->size, 0, (size - objects->size) * sizeof *items);
		objects->items = items;
		objects->size = size;
	}

	CK_ULONG room = objects->size - objects->n;
	CK_RV rv = CALL(iter, C_FindObjects, iter->session, objects->items + objects->n, room, n);
	if (*n > room)
		*n = room;
	if (rv == CKR_OK)
		objects->n += *n;
	return rv;
}

/* The next batch where searches may stay active, else all that there is. */
static CK_RV
fetch_more(P11KitIter *iter)
{
	CK_ULONG n;
	CK_RV rv;

	iter->objects.n = iter->objects.next = 0;
	do {
		rv = fetch(iter, &n);
	} while (rv == CKR_OK && n > 0 && !wants(iter, P11_KIT_ITER_BUSY_SESSIONS));
	if (n == 0)
		end_search(iter);
	return say(iter, "C_FindObjects", rv);
}

static CK_RV
step_search(P11KitIter *iter)
{
	CK_RV rv;

	if (!wants_objects(iter)) {
		iter->step = AT_SLOT;
		return iter->is_only_session ? CKR_CANCEL : CKR_OK;
	}
	rv = CALL(iter, C_FindObjectsInit, iter->session, iter->wanted.list, iter->wanted.count);
	if (rv != CKR_OK)
		return say(iter, "C_FindObjectsInit", rv);
	iter->is_searching = true;
	iter->step = AT_OBJECT;
	return CKR_OK;
}

/* Asks the callbacks about the object. */
static CK_RV
ask_callbacks(P11KitIter *iter, bool *matches)
{
	CK_BBOOL answer = CK_TRUE;
	CK_RV rv = CKR_OK;

	for (struct callback *callback = iter->callbacks; callback && rv == CKR_OK && answer;
	     callback = callback->older)
		rv = callback->call(iter, &answer, callback->data);
	*matches = answer != CK_FALSE;
	return rv;
}

static CK_RV
step_object(P11KitIter *iter, bool *stop)
{
	struct handles *objects = &iter->objects;

	iter->object = 0;
	if (objects->next < objects->n) {
		iter->object = objects->items[objects->next++];
		(void)stop_at(iter, P11_KIT_ITER_KIND_OBJECT, true);
		return ask_callbacks(iter, stop);
	}
	if (iter->is_searching)
		return fetch_more(iter);
	iter->step = AT_SLOT;
	return iter->is_only_session ? CKR_CANCEL : CKR_OK;
}

static CK_RV
take_step(P11KitIter *iter, bool *stop)
{
	switch (iter->step) {
	case AT_MODULE:
		return step_module(iter, stop);
	case AT_SLOTS:
		return step_slots(iter);
	case AT_SLOT:
		return step_slot(iter, stop);
	case AT_TOKEN:
		return step_token(iter, stop);
	case AT_SESSION:
		return step_session(iter, stop);
	case AT_SEARCH:
		return step_search(iter);
	case AT_OBJECT:
		return step_object(iter, stop);
	case AT_END:
		break;
	}
	return CKR_CANCEL;
}

static bool
wants_anything(const P11KitIter *iter)
{
	unsigned stops = P11_KIT_ITER_WITH_MODULES | P11_KIT_ITER_WITH_SLOTS |
			 P11_KIT_ITER_WITH_TOKENS | P11_KIT_ITER_WITH_SESSIONS;

	return (wants_objects(iter) || wants(iter, stops)) && !iter->uri.unrecognized;
}

P11_EXPORT CK_RV
p11_kit_iter_next(P11KitIter *iter)
{
	bool stop = false;
	CK_RV rv;

	if (p11_broken(iter != NULL))
		return CKR_ARGUMENTS_BAD;
	if (p11_broken(iter->step != AT_END))
		return CKR_OPERATION_NOT_INITIALIZED;
	rv = iter->failed != CKR_OK ? iter->failed : iter->begin_failed;
	if (rv == CKR_OK && !wants_anything(iter))
		rv = CKR_CANCEL;
	while (rv == CKR_OK && !stop)
		rv = take_step(iter, &stop);
	if (rv != CKR_OK)
		reset(iter);
	return rv;
}

/* ---- what it is at ---- */

static bool
is_broken(bool holds, const char *function, const char *rule)
{
	if (holds)
		return false;
	p11_precondition(function, rule);
	return true;
}

#define NOT_ITERATING(iter) is_broken((iter) && (iter)->step != AT_END, __func__, "it is iterating")
#define NOT_AT_OBJECT(iter) is_broken((iter) && (iter)->object != 0, __func__, "it is at an object")

P11_EXPORT P11KitIterKind
p11_kit_iter_get_kind(P11KitIter *iter)
{
	return NOT_ITERATING(iter) ? P11_KIT_ITER_KIND_UNKNOWN : iter->kind;
}

P11_EXPORT CK_FUNCTION_LIST_PTR
p11_kit_iter_get_module(P11KitIter *iter)
{
	return NOT_ITERATING(iter) ? NULL : iter->module;
}

P11_EXPORT CK_SLOT_ID
p11_kit_iter_get_slot(P11KitIter *iter)
{
	return NOT_ITERATING(iter) ? 0 : iter->slot;
}

P11_EXPORT CK_SLOT_INFO *
p11_kit_iter_get_slot_info(P11KitIter *iter)
{
	return p11_broken(iter != NULL) ? NULL : &iter->slot_info;
}

P11_EXPORT CK_TOKEN_INFO *
p11_kit_iter_get_token(P11KitIter *iter)
{
	return p11_broken(iter != NULL) ? NULL : &iter->token_info;
}

P11_EXPORT CK_SESSION_HANDLE
p11_kit_iter_get_session(P11KitIter *iter)
{
	return NOT_ITERATING(iter) ? 0 : iter->session;
}

P11_EXPORT CK_OBJECT_HANDLE
p11_kit_iter_get_object(P11KitIter *iter)
{
	return NOT_ITERATING(iter) ? 0 : iter->object;
}

P11_EXPORT CK_RV
p11_kit_iter_get_attributes(P11KitIter *iter, CK_ATTRIBUTE *templ, CK_ULONG count)
{
	if (NOT_AT_OBJECT(iter))
		return CKR_GENERAL_ERROR;
	return CALL(iter, C_GetAttributeValue, iter->session, iter->object, templ, count);
}

P11_EXPORT CK_RV
p11_kit_iter_load_attributes(P11KitIter *iter, CK_ATTRIBUTE *templ, CK_ULONG count)
{
	if (NOT_AT_OBJECT(iter) || p11_broken(templ != NULL || count == 0))
		return CKR_GENERAL_ERROR;
	if (!iter->module->C_GetAttributeValue)
		return CKR_FUNCTION_NOT_SUPPORTED;
	return p11_values_load(iter->module, iter->session, iter->object, templ, count);
}

P11_EXPORT CK_SESSION_HANDLE
p11_kit_iter_keep_session(P11KitIter *iter)
{
	if (NOT_ITERATING(iter) || p11_broken(iter->session != 0))
		return 0;
	iter->is_ours = false;
	return iter->session;
}

P11_EXPORT CK_RV
p11_kit_iter_destroy_object(P11KitIter *iter)
{
	if (NOT_AT_OBJECT(iter))
		return CKR_GENERAL_ERROR;
	return CALL(iter, C_DestroyObject, iter->session, iter->object);
}
