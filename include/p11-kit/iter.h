/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The iterator: walks over modules, slots, tokens and objects, and stops at those that match a URI,
 * a template and callbacks.
 *
 *	P11KitIter *iter = p11_kit_iter_new(uri, 0);
 *	p11_kit_iter_begin(iter, modules);
 *	while ((rv = p11_kit_iter_next(iter)) == CKR_OK)
 *		use(p11_kit_iter_get_session(iter), p11_kit_iter_get_object(iter));
 *	if (rv != CKR_CANCEL)
 *		complain(rv);
 *	p11_kit_iter_free(iter);
 *
 * An iterator may be used by one thread at a time. The functions may change: they are there only if
 * P11_KIT_FUTURE_UNSTABLE_API is defined before. The words in brackets are explained in p11-kit.h.
 */
#ifndef P11_KIT_ITER_H
#define P11_KIT_ITER_H

#include "p11-kit/p11-kit.h"
#include "p11-kit/pkcs11.h"
#include "p11-kit/uri.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef P11_KIT_FUTURE_UNSTABLE_API

typedef struct p11_kit_iter P11KitIter;
typedef P11KitIter p11_kit_iter;

/* What an iterator has stopped at. */
typedef enum {
	P11_KIT_ITER_KIND_MODULE = 0,
	P11_KIT_ITER_KIND_SLOT = 1,
	P11_KIT_ITER_KIND_TOKEN = 2,
	P11_KIT_ITER_KIND_OBJECT = 3,
	P11_KIT_ITER_KIND_SESSION = 4, /* since 0.25 */
	P11_KIT_ITER_KIND_UNKNOWN = -1
} P11KitIterKind;

/* What an iterator stops at, and how it opens sessions. 0: at objects only. */
typedef enum {
	P11_KIT_ITER_BUSY_SESSIONS = 1 << 1, /* stops while the session's search is still active */
	P11_KIT_ITER_WANT_WRITABLE = 1
				     << 2,  /* read/write sessions, unless the token refuses them */
	P11_KIT_ITER_WITH_MODULES = 1 << 3, /* stops at modules too */
	P11_KIT_ITER_WITH_SLOTS = 1 << 4,   /* at slots too, also at those without a token */
	P11_KIT_ITER_WITH_TOKENS = 1 << 5,  /* at tokens too */
	P11_KIT_ITER_WITHOUT_OBJECTS = 1 << 6, /* not at objects */
	P11_KIT_ITER_WITH_LOGIN = 1 << 7,      /* logs in with the URI's PIN; since 0.25 */
	P11_KIT_ITER_WITH_SESSIONS = 1 << 8    /* at new sessions too; since 0.25 */
} P11KitIterBehavior;

/**
 * p11_kit_iter_callback - decides whether an object matches
 * @iter: borrowed, at the object: the p11_kit_iter_get_ functions, p11_kit_iter_load_attributes(),
 *        p11_kit_iter_keep_session() may be called, and nothing that moves or frees it
 * @matches: out; CK_TRUE at first. CK_FALSE: the object is passed over, and no other callback is
 *           asked
 * @data: borrowed, as added
 *
 * Returns CKR_OK; anything else ends the iteration and is what p11_kit_iter_next() returns
 * (CKR_CANCEL: quietly).
 */
typedef CK_RV (*p11_kit_iter_callback)(P11KitIter *iter, CK_BBOOL *matches, void *data);

/**
 * p11_kit_iter_new() - an iterator
 * [any thread]
 * @uri: borrowed, copied; what is looked for, and the PIN. NULL: everything
 * @behavior: P11_KIT_ITER_ bits
 *
 * Of the URI count its module, slot, token and object attributes, the slot id, and pin-value or
 * else pin-source.
 *
 * Returns the iterator, for p11_kit_iter_free(); NULL without memory.
 * Since 0.23.
 */
P11KitIter *p11_kit_iter_new(P11KitUri *uri, P11KitIterBehavior behavior);

/**
 * p11_kit_iter_free() - free an iterator, wiped
 * [one thread per iterator; may call modules; may call back]
 * @iter: taken; may be NULL. A session that it has opened is closed, unless it was kept
 *
 * Since 0.23.
 */
void p11_kit_iter_free(P11KitIter *iter);

/**
 * p11_kit_iter_add_callback() - have a function decide which objects match
 * [one thread per iterator]
 * @iter: the iterator, before its first p11_kit_iter_begin()
 * @callback: called at each object that matches otherwise; the newest callback first
 * @callback_data: kept, for the callback; may be NULL
 * @callback_destroy: called with the data by p11_kit_iter_free(), newest first; may be NULL
 *
 * Without memory p11_kit_iter_next() answers CKR_HOST_MEMORY from then on. For a broken precondition
 * nothing is done.
 * Since 0.23.
 */
void p11_kit_iter_add_callback(P11KitIter *iter, p11_kit_iter_callback callback,
			       void *callback_data, p11_kit_destroyer callback_destroy);

/**
 * p11_kit_iter_add_filter() - look only for objects that have some attributes
 * [one thread per iterator]
 * @iter: the iterator, not while it iterates
 * @matching: borrowed, copied with the values (of an array attribute the array, not what it points
 *            to); NULL if the count is 0   @count: their number
 *
 * They replace those of the same type that the URI or an earlier filter has; the rest stays.
 * Without memory p11_kit_iter_next() answers CKR_HOST_MEMORY from then on. For a broken precondition
 * nothing is done.
 * Since 0.23.
 */
void p11_kit_iter_add_filter(P11KitIter *iter, CK_ATTRIBUTE *matching, CK_ULONG count);

/**
 * p11_kit_iter_set_uri() - look for what another URI says
 * [one thread per iterator]
 * @iter: the iterator, not while it iterates
 * @uri: borrowed, copied; replaces all of the earlier URI, and nothing of the filters. NULL:
 *       everything
 *
 * Without memory p11_kit_iter_next() answers CKR_HOST_MEMORY from then on. For a broken precondition
 * nothing is done.
 * Since 0.23.
 */
void p11_kit_iter_set_uri(P11KitIter *iter, P11KitUri *uri);

/**
 * p11_kit_iter_begin() - begin at the first of some modules
 * [one thread per iterator; may call modules]
 * @iter: the iterator; an iteration that it is in ends, and its session is closed unless it was
 *        kept
 * @modules: borrowed, ends with NULL, its pointers are copied; the modules are initialized and stay
 *           so while the iterator uses them
 *
 * For a broken precondition the iterator does not iterate.
 * Since 0.23.
 */
void p11_kit_iter_begin(P11KitIter *iter, CK_FUNCTION_LIST_PTR *modules);

/**
 * p11_kit_iter_begin_with() - begin at a module, a slot or a session
 * [one thread per iterator; may call modules]
 * @iter: as for p11_kit_iter_begin()   @module: the module
 * @slot: 0: all of the module's slots; else only that one, and the module's attributes and
 *        P11_KIT_ITER_WITH_MODULES count for nothing
 * @session: 0: none; else only the objects that it finds, and of the URI only the object attributes
 *           count. It stays the caller's. `slot` may be 0 then: the module is asked
 *
 * For a broken precondition the iterator does not iterate.
 * Since 0.23.
 */
void p11_kit_iter_begin_with(P11KitIter *iter, CK_FUNCTION_LIST_PTR module, CK_SLOT_ID slot,
			     CK_SESSION_HANDLE session);

/**
 * p11_kit_iter_next() - go to the next thing that matches
 * [one thread per iterator; may call modules; may call back; sets message]
 * @iter: the iterator
 *
 * A module that does not tell what it is, or a slot or token that does not, is passed over, as is a
 * token whose PIN is wanted and that nobody tells. A user who is logged in already is no error.
 * Other failures of a module end the iteration.
 *
 * Returns CKR_OK; CKR_CANCEL when there is nothing more; what a module or a callback answered;
 * CKR_HOST_MEMORY; CKR_GENERAL_ERROR for a module that breaks the standard; for a broken
 * precondition CKR_OPERATION_NOT_INITIALIZED (also when the iteration has ended, as it does with
 * all but CKR_OK), and CKR_ARGUMENTS_BAD if the iterator is NULL.
 * PKCS#11 3.2, C_FindObjects. Since 0.23.
 */
CK_RV p11_kit_iter_next(P11KitIter *iter);

/**
 * p11_kit_iter_get_kind() - what the iterator is at
 * [one thread per iterator]
 * @iter: the iterator
 *
 * Returns the kind; P11_KIT_ITER_KIND_UNKNOWN before the first p11_kit_iter_next(), and for a broken
 * precondition.
 * Since 0.23.
 */
P11KitIterKind p11_kit_iter_get_kind(P11KitIter *iter);

/**
 * p11_kit_iter_get_module() - the module that the iterator is in
 * [one thread per iterator]
 * @iter: the iterator
 *
 * Returns the list that was handed to the iterator; NULL for a broken precondition.
 * Since 0.23.
 */
CK_FUNCTION_LIST_PTR p11_kit_iter_get_module(P11KitIter *iter);

/**
 * p11_kit_iter_get_slot() - the slot that the iterator is at
 * [one thread per iterator]
 * @iter: the iterator
 *
 * Returns the module's id of the slot; 0 if there is none yet, and for a broken precondition.
 * Since 0.23.
 */
CK_SLOT_ID p11_kit_iter_get_slot(P11KitIter *iter);

/**
 * p11_kit_iter_get_slot_info() - what the module tells about the slot
 * [one thread per iterator]
 * @iter: the iterator
 *
 * Returns the iterator's own structure, which the next p11_kit_iter_next() writes; at the end of the
 * iteration it still is what it was. All zero where the iteration began with a session. NULL for a
 * broken precondition.
 * Since 0.23.
 */
CK_SLOT_INFO *p11_kit_iter_get_slot_info(P11KitIter *iter);

/**
 * p11_kit_iter_get_token() - what the module tells about the token
 * [one thread per iterator]
 * @iter: the iterator
 *
 * Returns as p11_kit_iter_get_slot_info() does; all zero also where no token was reached yet.
 * Since 0.23.
 */
CK_TOKEN_INFO *p11_kit_iter_get_token(P11KitIter *iter);

/**
 * p11_kit_iter_get_session() - the session that the iterator uses
 * [one thread per iterator]
 * @iter: the iterator, which closes the session when it goes on to the next token
 *
 * Returns the handle; 0 if there is none yet, and for a broken precondition.
 * Since 0.23.
 */
CK_SESSION_HANDLE p11_kit_iter_get_session(P11KitIter *iter);

/**
 * p11_kit_iter_get_object() - the object that the iterator is at
 * [one thread per iterator]
 * @iter: the iterator
 *
 * Returns the handle; 0 if it is at none, and for a broken precondition.
 * Since 0.23.
 */
CK_OBJECT_HANDLE p11_kit_iter_get_object(P11KitIter *iter);

/**
 * p11_kit_iter_get_attributes() - C_GetAttributeValue of the object
 * [one thread per iterator; may call modules]
 * @iter: the iterator, at an object   @templ: in and out, as C_GetAttributeValue takes it
 * @count: the number of attributes
 *
 * Returns what the module answers; CKR_GENERAL_ERROR for a broken precondition.
 * PKCS#11 3.2, C_GetAttributeValue. Since 0.23.
 */
CK_RV p11_kit_iter_get_attributes(P11KitIter *iter, CK_ATTRIBUTE *templ, CK_ULONG count);

/**
 * p11_kit_iter_load_attributes() - the object's attributes, in memory of the right size
 * [one thread per iterator; may call modules; sets message]
 * @iter: the iterator, at an object
 * @templ: in: types, and each pValue NULL or from malloc(); out: the old blocks are freed, and each
 *         pValue is from malloc(), for the caller to free, or NULL for what is empty, sensitive or
 *         not there. So are the members of an array attribute. Unchanged on failure
 * @count: the number of attributes, may be 0
 *
 * Returns CKR_OK, also where some are sensitive or not there; what else the module answers;
 * CKR_HOST_MEMORY; CKR_GENERAL_ERROR if its sizes make no sense, and for a broken precondition.
 * PKCS#11 3.2, C_GetAttributeValue. Since 0.23.
 */
CK_RV p11_kit_iter_load_attributes(P11KitIter *iter, CK_ATTRIBUTE *templ, CK_ULONG count);

/**
 * p11_kit_iter_keep_session() - take over the session that the iterator uses
 * [one thread per iterator]
 * @iter: the iterator, which goes on using the session and does not close it
 *
 * Returns the handle, which the caller closes when the iterator has left it; 0 for a broken
 * precondition (no session).
 * Since 0.23.
 */
CK_SESSION_HANDLE p11_kit_iter_keep_session(P11KitIter *iter);

/**
 * p11_kit_iter_destroy_object() - C_DestroyObject of the object
 * [one thread per iterator; may call modules]
 * @iter: the iterator, at an object
 *
 * Returns what the module answers; CKR_GENERAL_ERROR for a broken precondition.
 * PKCS#11 3.2, C_DestroyObject. Since 0.23.
 */
CK_RV p11_kit_iter_destroy_object(P11KitIter *iter);

#endif

#ifdef __cplusplus
}
#endif

#endif
