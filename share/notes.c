/* SPDX-License-Identifier: BSD-3-Clause */
#include "share/notes.h"

#include "base/lock.h"
#include "base/map.h"
#include "share/reused.h"

#include <stdlib.h>

struct p11_note {
	CK_SESSION_HANDLE session; /* the key */
	unsigned long long owner;
	CK_SLOT_ID slot;       /* the module's */
	struct p11_note *next; /* in a list that was taken out */
	UT_hash_handle hh;
};

static struct p11_notes_part *
part_of(struct p11_notes *notes, CK_SESSION_HANDLE session)
{
	return &notes->parts[p11_map_hash(session) >> 28];
}

_Static_assert(P11_NOTES_N_PARTS == 16, "part_of() takes four bits");

static struct p11_note *
find_locked(struct p11_notes_part *part, CK_SESSION_HANDLE session)
{
	struct p11_note *note;

	HASH_FIND(hh, part->by_session, &session, sizeof session, note);
	return note;
}

/* Adds a note whose session has none; false without memory. */
static bool
add_locked(struct p11_notes_part *part, struct p11_note *note)
{
	HASH_ADD(hh, part->by_session, session, sizeof note->session, note);
	return note->hh.tbl != NULL;
}

struct p11_note *
p11_note_next(const struct p11_note *note)
{
	return note->next;
}

CK_SESSION_HANDLE
p11_note_session(const struct p11_note *note)
{
	return note->session;
}

void
p11_note_free(struct p11_note *note)
{
	p11_reused_uncount(note->session);
	free(note);
}

void
p11_notes_reset(struct p11_notes *notes)
{
	for (size_t i = 0; i < P11_NOTES_N_PARTS; i++)
		notes->parts[i] = (struct p11_notes_part){.lock = PTHREAD_MUTEX_INITIALIZER};
}

bool
p11_notes_add(struct p11_notes *notes, CK_SESSION_HANDLE session, unsigned long long owner,
	      CK_SLOT_ID slot)
{
	struct p11_notes_part *part = part_of(notes, session);
	struct p11_note *fresh = calloc(1, sizeof *fresh);
	bool added = true;

	if (!fresh)
		return false;
	*fresh = (struct p11_note){.session = session, .owner = owner, .slot = slot};

	p11_hold(&part->lock);
	struct p11_note *known = find_locked(part, session);
	if (known) {
		known->owner = owner;
		known->slot = slot;
	} else {
		added = add_locked(part, fresh);
	}
	p11_let_go(&part->lock);

	if (known || !added)
		free(fresh);
	else
		(void)p11_reused_count(session);
	return added;
}

struct p11_note *
p11_notes_take(struct p11_notes *notes, CK_SESSION_HANDLE session, unsigned long long owner)
{
	struct p11_notes_part *part = part_of(notes, session);

	p11_hold(&part->lock);
	struct p11_note *note = find_locked(part, session);
	if (note && note->owner != owner)
		note = NULL;
	if (note)
		HASH_DEL(part->by_session, note);
	p11_let_go(&part->lock);
	return note;
}

void
p11_notes_forget(struct p11_notes *notes, CK_SESSION_HANDLE session)
{
	struct p11_notes_part *part = part_of(notes, session);

	p11_hold(&part->lock);
	struct p11_note *note = find_locked(part, session);
	if (note)
		HASH_DEL(part->by_session, note);
	p11_let_go(&part->lock);
	if (note)
		p11_note_free(note);
}

void
p11_notes_restore(struct p11_notes *notes, struct p11_note *note)
{
	struct p11_notes_part *part = part_of(notes, note->session);
	bool added = false;

	p11_hold(&part->lock);
	if (!find_locked(part, note->session))
		added = add_locked(part, note);
	p11_let_go(&part->lock);
	if (!added)
		p11_note_free(note);
}

struct p11_note *
p11_notes_take_all(struct p11_notes *notes, unsigned long long owner, CK_SLOT_ID slot)
{
	struct p11_note *taken = NULL;

	for (size_t i = 0; i < P11_NOTES_N_PARTS; i++) {
		struct p11_notes_part *part = &notes->parts[i];
		struct p11_note *note, *next;

		p11_hold(&part->lock);
		HASH_ITER(hh, part->by_session, note, next)
		{
			if ((owner != 0 && note->owner != owner) ||
			    (slot != P11_NOTES_ANY_SLOT && note->slot != slot))
				continue;
			HASH_DEL(part->by_session, note);
			note->next = taken;
			taken = note;
		}
		p11_let_go(&part->lock);
	}
	return taken;
}
