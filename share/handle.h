/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The session handles that we hand out: one table for the process. A handle is `generation << 20 |
 * index`; it names an entry, and the entry names the module's table and its own handle. Entries
 * live in pages that are never freed, and the generation grows with every use, so that a stale,
 * closed or made-up handle finds an entry that does not have it.
 *
 * A session's entry is reserved before the module opens it, published when it is open, found by
 * the calls in between, claimed by who closes it, and then released, or restored if the module
 * refuses.
 *
 * p11_handle_find() is the hot path: no lock, no hash, no allocation. What it reads are atomics,
 * stored with release and loaded with acquire: whoever reads a field of a later use also sees that
 * the entry's handle has changed.
 */
#ifndef P11_HANDLE_H
#define P11_HANDLE_H

#include "base/base.h"
#include "base/fork.h"

#include <p11-kit/pkcs11.h>

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct p11_module;

/* A build that tries to break itself sets these smaller (tests). */
#ifndef P11_HANDLE_INDEX_BITS
#define P11_HANDLE_INDEX_BITS 20
#endif
#ifndef P11_HANDLE_PAGE_BITS
#define P11_HANDLE_PAGE_BITS 8
#endif
#ifndef P11_HANDLE_GENERATION_BITS
#define P11_HANDLE_GENERATION_BITS (sizeof(CK_ULONG) == 8 ? 32 : 11)
#endif

/*
 * So many others are used by a thread before it uses an entry again: all there are in its list, or,
 * where the generation has bits enough, only what fits into a ring that needs no lock (handle.c).
 */
#define P11_HANDLE_RING_SIZE 64
#define P11_HANDLE_HAS_RING (P11_HANDLE_GENERATION_BITS >= 32)
#define P11_HANDLE_REST (P11_HANDLE_HAS_RING ? P11_HANDLE_RING_SIZE : P11_HANDLE_PAGE_SIZE)

#define P11_HANDLE_INDEX_MASK (((CK_ULONG)1 << P11_HANDLE_INDEX_BITS) - 1)
#define P11_HANDLE_PAGE_SIZE (1u << P11_HANDLE_PAGE_BITS)
#define P11_HANDLE_N_PAGES (1u << (P11_HANDLE_INDEX_BITS - P11_HANDLE_PAGE_BITS))

/* What a closed entry has for a handle: its index is beyond every bound, so nobody can ask for
 * it. */
#define P11_HANDLE_NONE (~(CK_ULONG)0)

struct p11_handle {
	/* What the hot path reads. */
	_Atomic CK_ULONG handle;           /* ours, while it is open; else P11_HANDLE_NONE */
	_Atomic CK_SESSION_HANDLE session; /* the module's */
	const CK_FUNCTION_LIST_3_2 *_Atomic table; /* the module's, complete */
	_Atomic CK_SLOT_ID slot;                   /* ours */

	/* The rest is written by who has it reserved or claimed. */
	atomic_ullong owner;        /* the consumer; 0: nobody */
	_Atomic CK_ULONG ours;      /* the handle that this use of the entry has or will have */
	uint32_t next;              /* in a free list; guarded by that list's lock */
	atomic_bool is_counted;     /* `session` is this use's, and counts in share/reused.c */
	_Atomic CK_ULONG displaced; /* the handle of a use that has lost its session to another */
	struct p11_module *_Atomic module;
	atomic_ulong n_heals;     /* of the module, when the session was opened (share/heal.h) */
	_Atomic CK_NOTIFY notify; /* the consumer's callback and its argument */
	void *_Atomic application;
} __attribute__((aligned(64)));

struct p11_handle_page {
	struct p11_handle entries[P11_HANDLE_PAGE_SIZE];
};

extern struct p11_handle_page *_Atomic p11_handle_pages[P11_HANDLE_N_PAGES] P11_HIDDEN;

/* Where a call with one of our handles goes. */
struct p11_target {
	const CK_FUNCTION_LIST_3_2 *table;
	CK_SESSION_HANDLE session;
};

/* The entry of an index below the bound. */
static inline struct p11_handle *
p11_handle_at(CK_ULONG index)
{
	struct p11_handle_page *page = atomic_load_explicit(
		&p11_handle_pages[index >> P11_HANDLE_PAGE_BITS], memory_order_relaxed);

	return &page->entries[index & (P11_HANDLE_PAGE_SIZE - 1)];
}

/* The entry that has this handle, or NULL. It may be closed at any moment. */
static inline struct p11_handle *
p11_handle_entry(CK_SESSION_HANDLE handle)
{
	CK_ULONG index = handle & P11_HANDLE_INDEX_MASK;

	/* The bound is 0 in a child (base/fork.h); below it every page is there. */
	if (__builtin_expect(
		    index >= atomic_load_explicit(&p11_fork_page.bound, memory_order_acquire), 0))
		return NULL;

	struct p11_handle *entry = p11_handle_at(index);
	if (__builtin_expect(atomic_load_explicit(&entry->handle, memory_order_acquire) != handle,
			     0))
		return NULL;
	return entry;
}

/* Loads where the entry leads to. False: it is another use of the entry already, or none. */
static inline bool
p11_handle_load(struct p11_handle *entry, CK_SESSION_HANDLE handle, struct p11_target *target)
{
	target->table = atomic_load_explicit(&entry->table, memory_order_acquire);
	target->session = atomic_load_explicit(&entry->session, memory_order_acquire);
	/* Still the same use of the entry: then whatever was loaded before was of that use. */
	return __builtin_expect(
		atomic_load_explicit(&entry->handle, memory_order_acquire) == handle, 1);
}

static inline bool
p11_handle_find(CK_SESSION_HANDLE handle, struct p11_target *target)
{
	struct p11_handle *entry = p11_handle_entry(handle);

	return __builtin_expect(entry != NULL, 1) && p11_handle_load(entry, handle, target);
}

/* The same for a call whose answer names the slot: *slot is our id of it. */
static inline bool
p11_handle_find_slot(CK_SESSION_HANDLE handle, struct p11_target *target, CK_SLOT_ID *slot)
{
	struct p11_handle *entry = p11_handle_entry(handle);

	if (__builtin_expect(!entry, 0))
		return false;
	*slot = atomic_load_explicit(&entry->slot, memory_order_acquire);
	return p11_handle_load(entry, handle, target);
}

/* The answer to a handle that was not found. */
CK_RV p11_handle_missing(CK_SESSION_HANDLE handle) __attribute__((cold));

/* One consumer more (+1) or less (-1) that is initialized: p11_handle_missing() tells the two
 * answers apart by it. */
void p11_handle_count_consumers(int change);

/* A new owner: a number that no consumer had before, for its sessions from C_Initialize to
 * C_Finalize. */
unsigned long long p11_handle_new_owner(void);

/* Takes a free entry for a session that is about to be opened; NULL without memory. */
struct p11_handle *p11_handle_reserve(unsigned long long owner, struct p11_module *module,
				      CK_SLOT_ID slot, CK_NOTIFY notify, void *application);

/*
 * The session is open: from now on the handle, which is returned, finds it. A C_Finalize of the
 * owner that was over before does not know of it: look at the owner next, and claim the session
 * back if it is gone.
 */
CK_SESSION_HANDLE p11_handle_publish(struct p11_handle *entry, const CK_FUNCTION_LIST_3_2 *table,
				     CK_SESSION_HANDLE session);

/* Nobody else can reach the session from now on. False: it is not open, or another thread was
 * first. */
bool p11_handle_claim(struct p11_handle *entry, CK_SESSION_HANDLE handle) P11_MUST_USE;

/* The module has refused to close a claimed session: it is open again, under the same handle, and
 * may be displaced (share/reused.h): look next. */
void p11_handle_restore(struct p11_handle *entry);

/* The callback that was given when a session was opened, or is being opened. False: the session is
 * gone, or has none. */
struct p11_consumer_notify {
	CK_NOTIFY notify;
	void *application;
};
bool p11_handle_notify(CK_SESSION_HANDLE handle, struct p11_consumer_notify *out);

/* A reserved or claimed entry is free again. */
void p11_handle_release(struct p11_handle *entry);

/*
 * Claims the next open session that `owner` (0: any) has on `module` (NULL: any) and our slot
 * `slot` (P11_HANDLE_ANY_SLOT), from *index on, which is moved behind it. NULL at the end.
 */
#define P11_HANDLE_ANY_SLOT (~(CK_SLOT_ID)0)
struct p11_handle *p11_handle_claim_next(CK_ULONG *index, unsigned long long owner,
					 const struct p11_module *module, CK_SLOT_ID slot);

#endif
