/* SPDX-License-Identifier: BSD-3-Clause */
#include "share/notes.h"

#include "base/map.h"
#include "share/reused.h"

#include <stdlib.h>

struct p11_note {
	CK_SESSION_HANDLE session; /* the key */
	unsigned long long owner;
	CK_SLOT_ID slot;       /* the module's */
	struct p11_note *next; /* in its chain, or in a list that was taken out */
};

static struct p11_notes_part *
part_of(struct p11_notes *notes, CK_SESSION_HANDLE session)
{
	return &notes->parts[p11_map_hash(session) >> 28];
}

_Static_assert(P11_NOTES_N_PARTS == 16, "part_of() takes four bits");

/* ---- chains ---- */

/* Where the note of that session hangs; if there is none, where it would: in place of a NULL. */
static struct p11_note **
place_locked(struct p11_notes_part *part, CK_SESSION_HANDLE session)
{
	struct p11_note **place = &part->buckets[p11_map_hash(session) & (part->n_buckets - 1)];

	while (*place && (*place)->session != session)
		place = &(*place)->next;
	return place;
}

static void
hang_locked(struct p11_notes_part *part, struct p11_note **place, struct p11_note *note)
{
	note->next = NULL;
	*place = note;
	part->n_notes++;
}

static struct p11_note *
unhang_locked(struct p11_notes_part *part, struct p11_note **place)
{
	struct p11_note *note = *place;

	*place = note->next;
	part->n_notes--;
	return note;
}

/* Moves all notes into these buckets. */
static void
use_buckets_locked(struct p11_notes_part *part, struct p11_note **buckets, unsigned n_buckets)
{
	struct p11_note **old = part->buckets;
	unsigned n_old = part->n_buckets;

	part->buckets = buckets;
	part->n_buckets = n_buckets;
	for (unsigned i = 0; i < n_old; i++) {
		while (old[i]) {
			struct p11_note *note = unhang_locked(part, &old[i]);
			hang_locked(part, place_locked(part, note->session), note);
		}
	}
}

/* As many buckets as notes; longer chains are the only harm where there is no memory. */
static void
grow(struct p11_notes_part *part, unsigned n_buckets)
{
	struct p11_note **fresh = calloc(n_buckets, sizeof(struct p11_note *)), **old = fresh;

	if (!fresh)
		return;
	p11_lock_take(&part->lock);
	if (n_buckets > part->n_buckets) {
		old = part->buckets;
		use_buckets_locked(part, fresh, n_buckets);
	}
	p11_lock_drop(&part->lock);
	if (old != part->few)
		free(old);
}

/* ---- notes ---- */

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
	for (size_t i = 0; i < P11_NOTES_N_PARTS; i++) {
		struct p11_notes_part *part = &notes->parts[i];

		*part = (struct p11_notes_part){
			.n_buckets = P11_N_ELEMENTS(part->few),
			.buckets = part->few,
		};
	}
}

void
p11_notes_forget_all(struct p11_notes *notes)
{
	struct p11_note *note = p11_notes_take_all(notes, P11_NOTES_ANY_OWNER, P11_NOTES_ANY_SLOT);

	while (note) {
		struct p11_note *next = note->next;
		p11_note_free(note);
		note = next;
	}
}

void
p11_notes_clear(struct p11_notes *notes)
{
	p11_notes_forget_all(notes);
	for (size_t i = 0; i < P11_NOTES_N_PARTS; i++) {
		if (notes->parts[i].buckets != notes->parts[i].few)
			free(notes->parts[i].buckets);
	}
	p11_notes_reset(notes);
}

bool
p11_notes_add(struct p11_notes *notes, CK_SESSION_HANDLE session, unsigned long long owner,
	      CK_SLOT_ID slot)
{
	struct p11_notes_part *part = part_of(notes, session);
	struct p11_note *fresh = malloc(sizeof *fresh), *known;
	unsigned wanted = 0;

	if (!fresh)
		return false;
	*fresh = (struct p11_note){.session = session, .owner = owner, .slot = slot};

	p11_lock_take(&part->lock);
	struct p11_note **place = place_locked(part, session);
	known = *place;
	if (known) {
		known->owner = owner;
		known->slot = slot;
	} else {
		hang_locked(part, place, fresh);
		if (part->n_notes > part->n_buckets)
			wanted = part->n_buckets * 2;
	}
	p11_lock_drop(&part->lock);

	if (known)
		free(fresh);
	else
		(void)p11_reused_count(session);
	if (wanted > 0)
		grow(part, wanted);
	return true;
}

struct p11_note *
p11_notes_take(struct p11_notes *notes, CK_SESSION_HANDLE session, unsigned long long owner)
{
	struct p11_notes_part *part = part_of(notes, session);
	struct p11_note *note = NULL;

	p11_lock_take(&part->lock);
	struct p11_note **place = place_locked(part, session);
	if (*place && (owner == P11_NOTES_ANY_OWNER || (*place)->owner == owner))
		note = unhang_locked(part, place);
	p11_lock_drop(&part->lock);
	return note;
}

void
p11_notes_forget(struct p11_notes *notes, CK_SESSION_HANDLE session)
{
	struct p11_note *note = p11_notes_take(notes, session, P11_NOTES_ANY_OWNER);

	if (note)
		p11_note_free(note);
}

void
p11_notes_restore(struct p11_notes *notes, struct p11_note *note)
{
	struct p11_notes_part *part = part_of(notes, note->session);

	p11_lock_take(&part->lock);
	struct p11_note **place = place_locked(part, note->session);
	bool is_free = !*place;
	if (is_free)
		hang_locked(part, place, note);
	p11_lock_drop(&part->lock);
	if (!is_free)
		p11_note_free(note);
}

static bool
is_meant(const struct p11_note *note, unsigned long long owner, CK_SLOT_ID slot)
{
	return (owner == P11_NOTES_ANY_OWNER || note->owner == owner) &&
	       (slot == P11_NOTES_ANY_SLOT || note->slot == slot);
}

struct p11_note *
p11_notes_take_all(struct p11_notes *notes, unsigned long long owner, CK_SLOT_ID slot)
{
	struct p11_note *taken = NULL;

	for (size_t i = 0; i < P11_NOTES_N_PARTS; i++) {
		struct p11_notes_part *part = &notes->parts[i];

		p11_lock_take(&part->lock);
		for (unsigned k = 0; k < part->n_buckets; k++) {
			struct p11_note **place = &part->buckets[k];

			while (*place) {
				if (!is_meant(*place, owner, slot)) {
					place = &(*place)->next;
					continue;
				}
				struct p11_note *note = unhang_locked(part, place);
				note->next = taken;
				taken = note;
			}
		}
		p11_lock_drop(&part->lock);
	}
	return taken;
}
