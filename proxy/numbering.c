/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Append-only, and each step published by one release store: readers take no lock, and a child
 * finds it whole whenever the fork came. Writers have the lock.
 */
#include "proxy/numbering.h"

#include "base/fork.h"
#include "base/lock.h"
#include "base/message.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#define FIRST_NUMBER 0x11
#define BASE_RANGE 0x10000
#define MAX_BASES 64

/* An open hash that only grows; full ones are replaced and stay readable. At most half of the
 * places are taken. */
struct index {
	struct index *older; /* owned */
	size_t n_places;     /* a power of two */
	size_t n_taken;
	struct p11_numbered *_Atomic places[]; /* NULL: free */
};

static struct {
	pthread_mutex_t lock; /* for writers */
	struct index *_Atomic by_id;
	struct index *_Atomic by_slot; /* by name and slot */
	CK_SLOT_ID next;               /* the next running number to try */
	atomic_size_t n_bases;
	CK_ULONG bases[MAX_BASES];
} numbering = {.lock = PTHREAD_MUTEX_INITIALIZER, .next = FIRST_NUMBER};

static size_t
hash(uint64_t a, uint64_t b)
{
	uint64_t mixed = (a ^ (b * UINT64_C(0xC2B2AE3D27D4EB4F))) * UINT64_C(0x9E3779B97F4A7C15);

	return (size_t)(mixed >> 32);
}

static size_t
hash_id(CK_SLOT_ID id)
{
	return hash(id, 0);
}

static size_t
hash_slot(const char *name, CK_SLOT_ID slot)
{
	return hash((uintptr_t)name, slot + 1);
}

static void
put(struct index *index, size_t place, struct p11_numbered *numbered)
{
	while (atomic_load_explicit(&index->places[place & (index->n_places - 1)],
				    memory_order_relaxed))
		place++;
	atomic_store_explicit(&index->places[place & (index->n_places - 1)], numbered,
			      memory_order_release);
	index->n_taken++;
}

/* A larger copy of `old`, which may be NULL. */
static struct index *
index_grow(struct index *old, size_t (*hash_of)(const struct p11_numbered *))
{
	size_t n_places = old ? old->n_places * 2 : 64;
	struct index *index = calloc(1, sizeof *index + n_places * sizeof index->places[0]);

	if (!index)
		return NULL;
	index->older = old;
	index->n_places = n_places;
	for (size_t i = 0; old && i < old->n_places; i++) {
		struct p11_numbered *numbered = atomic_load(&old->places[i]);
		if (numbered)
			put(index, hash_of(numbered), numbered);
	}
	return index;
}

static size_t
hash_of_id(const struct p11_numbered *numbered)
{
	return hash_id(numbered->id);
}

static size_t
hash_of_slot(const struct p11_numbered *numbered)
{
	return hash_slot(numbered->name, numbered->slot);
}

/* Makes room for one more. */
static bool
reserve_locked(struct index *_Atomic *index, size_t (*hash_of)(const struct p11_numbered *))
{
	struct index *now = atomic_load(index);

	if (now && now->n_taken * 2 < now->n_places)
		return true;
	now = index_grow(now, hash_of);
	if (now)
		atomic_store_explicit(index, now, memory_order_release);
	return now != NULL;
}

const struct p11_numbered *
p11_numbering_find(CK_SLOT_ID id)
{
	struct index *index = atomic_load_explicit(&numbering.by_id, memory_order_acquire);
	size_t place = hash_id(id);
	struct p11_numbered *found;

	if (!index)
		return NULL;
	while ((found = atomic_load_explicit(&index->places[place & (index->n_places - 1)],
					     memory_order_acquire))) {
		if (found->id == id)
			return found;
		place++;
	}
	return NULL;
}

static const struct p11_numbered *
find_slot(const char *name, CK_SLOT_ID slot)
{
	struct index *index = atomic_load_explicit(&numbering.by_slot, memory_order_acquire);
	size_t place = hash_slot(name, slot);
	struct p11_numbered *found;

	if (!index)
		return NULL;
	while ((found = atomic_load_explicit(&index->places[place & (index->n_places - 1)],
					     memory_order_acquire))) {
		if (found->name == name && found->slot == slot)
			return found;
		place++;
	}
	return NULL;
}

/* The end of the kept range that `id` is in, or 0. */
static CK_SLOT_ID
end_of_kept_range(CK_SLOT_ID id)
{
	size_t n_bases = atomic_load_explicit(&numbering.n_bases, memory_order_acquire);

	for (size_t i = 0; i < n_bases; i++) {
		if (id >= numbering.bases[i] && id - numbering.bases[i] < BASE_RANGE)
			return numbering.bases[i] + BASE_RANGE;
	}
	return 0;
}

static CK_SLOT_ID
running_number_locked(void)
{
	for (;;) {
		CK_SLOT_ID end = end_of_kept_range(numbering.next);
		if (end)
			numbering.next = end;
		else if (p11_numbering_find(numbering.next))
			numbering.next++;
		else
			return numbering.next++;
	}
}

/* base + slot, unless that is no number, or another slot's. */
static bool
fixed_number(CK_ULONG base, CK_SLOT_ID slot, CK_SLOT_ID *id)
{
	return !__builtin_add_overflow(base, slot, id) && *id != CK_UNAVAILABLE_INFORMATION &&
	       !p11_numbering_find(*id);
}

/* *disobeyed: the base could not be used. */
static const struct p11_numbered *
add_locked(const char *name, const CK_ULONG *base, CK_SLOT_ID slot, bool *disobeyed)
{
	struct p11_numbered *numbered = NULL;

	if (reserve_locked(&numbering.by_id, hash_of_id) &&
	    reserve_locked(&numbering.by_slot, hash_of_slot))
		numbered = malloc(sizeof *numbered);
	if (!numbered)
		return NULL;

	CK_SLOT_ID id;
	*disobeyed = base && !fixed_number(*base, slot, &id);
	if (!base || *disobeyed)
		id = running_number_locked();
	*numbered = (struct p11_numbered){.id = id, .name = name, .slot = slot};
	put(atomic_load(&numbering.by_id), hash_id(id), numbered);
	put(atomic_load(&numbering.by_slot), hash_slot(name, slot), numbered);
	return numbered;
}

static void
say_disobeyed(CK_ULONG base, const struct p11_numbered *numbered)
{
	CK_SLOT_ID wanted;
	bool is_number = !__builtin_add_overflow(base, numbered->slot, &wanted);
	const struct p11_numbered *other = is_number ? p11_numbering_find(wanted) : NULL;

	if (other)
		p11_message("module %s: slot-base 0x%lx makes the id 0x%lx of its slot 0x%lx, but "
			    "slot 0x%lx of module %s has it; the slot has the id 0x%lx; choose "
			    "another slot-base",
			    numbered->name, base, wanted, numbered->slot, other->slot, other->name,
			    numbered->id);
	else
		p11_message("module %s: slot-base 0x%lx is too large for its slot 0x%lx; the slot "
			    "has the id 0x%lx; choose a smaller slot-base",
			    numbered->name, base, numbered->slot, numbered->id);
}

bool
p11_numbering_assign(const char *name, const CK_ULONG *base, CK_SLOT_ID slot, CK_SLOT_ID *id)
{
	const struct p11_numbered *numbered = find_slot(name, slot);
	bool disobeyed = false;

	if (!numbered) {
		p11_hold(&numbering.lock);
		numbered = find_slot(name, slot);
		if (!numbered)
			numbered = add_locked(name, base, slot, &disobeyed);
		p11_let_go(&numbering.lock);
	}
	if (!numbered)
		return false;
	if (disobeyed)
		say_disobeyed(*base, numbered);
	*id = numbered->id;
	return true;
}

void
p11_numbering_keep_free(CK_ULONG base)
{
	bool is_full = false;

	p11_hold(&numbering.lock);
	size_t n = atomic_load(&numbering.n_bases), i = 0;
	while (i < n && numbering.bases[i] != base)
		i++;
	is_full = i == MAX_BASES;
	if (i == n && !is_full) {
		numbering.bases[n] = base;
		atomic_store_explicit(&numbering.n_bases, n + 1, memory_order_release);
	}
	p11_let_go(&numbering.lock);
	if (is_full)
		p11_message("more than %d different slot-base values; running slot numbers do not "
			    "avoid 0x%lx",
			    MAX_BASES, base);
}

static void
reset_in_child(void)
{
	numbering.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

__attribute__((constructor)) static void
begin(void)
{
	static struct p11_fork_reset row = {.reset = reset_in_child};

	p11_fork_register(&row);
}
