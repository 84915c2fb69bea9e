/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who opened which session of a module through a managed table, where session handles are the
 * module's own. Looked at by C_OpenSession and C_CloseSession only, never by the calls in between.
 * Any thread; no lock outlives a function. A table of our own, since a general one allocates for
 * the first note of each part, and gives back with the last: with every single session.
 */
#ifndef P11_NOTES_H
#define P11_NOTES_H

#include "base/base.h"
#include "base/lock.h"

#include <p11-kit/pkcs11.h>

#include <stdbool.h>

struct p11_note;

#define P11_NOTES_N_PARTS 16

/* In parts, chosen by the handle, so that threads seldom meet; a cache line each. */
struct p11_notes {
	struct p11_notes_part {
		struct p11_lock lock; /* guards the rest */
		unsigned n_notes;
		unsigned n_buckets;        /* a power of two */
		struct p11_note **buckets; /* chains of owned notes; owned, unless it is `few` */
		struct p11_note *few[4];   /* no session fails for want of buckets */
	} __attribute__((aligned(64))) parts[P11_NOTES_N_PARTS];
};

/* A note that was taken out: the caller's, p11_note_free() or p11_notes_restore() it. */
struct p11_note *p11_note_next(const struct p11_note *note);
CK_SESSION_HANDLE p11_note_session(const struct p11_note *note);
void p11_note_free(struct p11_note *note);

/* New, or in a child: empty. */
void p11_notes_reset(struct p11_notes *notes);

/* Frees all, when nobody uses it any more. It is empty then, and may be used again. */
void p11_notes_clear(struct p11_notes *notes);

/* Notes the session; a note that somebody else has for it is moved: the module closed that one
 * itself. False without memory. */
bool p11_notes_add(struct p11_notes *notes, CK_SESSION_HANDLE session, unsigned long long owner,
		   CK_SLOT_ID slot) P11_MUST_USE;

/* 0 is nobody: a consumer that is down must not take what others have. */
#define P11_NOTES_ANY_OWNER (~0ull)
#define P11_NOTES_ANY_SLOT (~(CK_SLOT_ID)0)

/* Takes the owner's note of a session out; NULL if it has none. */
struct p11_note *p11_notes_take(struct p11_notes *notes, CK_SESSION_HANDLE session,
				unsigned long long owner);

/* Whoever has a note of the session loses it: the module has given its number to somebody else. */
void p11_notes_forget(struct p11_notes *notes, CK_SESSION_HANDLE session);

/* Everybody loses all. */
void p11_notes_forget_all(struct p11_notes *notes);

/* Puts a note back that was taken, unless the session is noted again meanwhile. */
void p11_notes_restore(struct p11_notes *notes, struct p11_note *note);

/* Takes all notes of `owner` on `slot` out, as a list. */
struct p11_note *p11_notes_take_all(struct p11_notes *notes, unsigned long long owner,
				    CK_SLOT_ID slot);

#endif
