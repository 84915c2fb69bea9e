/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who opened which session of a module through a managed table, where session handles are the
 * module's own. Looked at by C_OpenSession and C_CloseSession only, never by the calls in between.
 * Any thread; no lock outlives a function.
 */
#ifndef P11_NOTES_H
#define P11_NOTES_H

#include "base/base.h"

#include <p11-kit/pkcs11.h>

#include <pthread.h>
#include <stdbool.h>

struct p11_note;

#define P11_NOTES_N_PARTS 16

/* In parts, chosen by the handle, so that threads seldom meet. */
struct p11_notes {
	struct p11_notes_part {
		pthread_mutex_t lock;        /* guards `by_session` and what hangs on it */
		struct p11_note *by_session; /* owned; a uthash */
	} parts[P11_NOTES_N_PARTS];
};

/* A note that was taken out: the caller's, p11_note_free() or p11_notes_restore() it. */
struct p11_note *p11_note_next(const struct p11_note *note);
CK_SESSION_HANDLE p11_note_session(const struct p11_note *note);
void p11_note_free(struct p11_note *note);

/* New, or in a child: empty. */
void p11_notes_reset(struct p11_notes *notes);

/* Notes the session; a note that somebody else has for it is moved: the module closed that one
 * itself. */
bool p11_notes_add(struct p11_notes *notes, CK_SESSION_HANDLE session, unsigned long long owner,
		   CK_SLOT_ID slot) P11_MUST_USE;

/* Takes the owner's note of a session out; NULL if it has none. */
struct p11_note *p11_notes_take(struct p11_notes *notes, CK_SESSION_HANDLE session,
				unsigned long long owner);

/* Whoever has a note of the session loses it: the module has given its number to somebody else. */
void p11_notes_forget(struct p11_notes *notes, CK_SESSION_HANDLE session);

/* Puts a note back that was taken, unless the session is noted again meanwhile. */
void p11_notes_restore(struct p11_notes *notes, struct p11_note *note);

/* Takes all notes of `owner` (0: of everybody) on `slot` (P11_NOTES_ANY_SLOT) out, as a list. */
#define P11_NOTES_ANY_SLOT (~(CK_SLOT_ID)0)
struct p11_note *p11_notes_take_all(struct p11_notes *notes, unsigned long long owner,
				    CK_SLOT_ID slot);

#endif
