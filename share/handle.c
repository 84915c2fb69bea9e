/* SPDX-License-Identifier: BSD-3-Clause */
#include "share/handle.h"

#include "base/lock.h"
#include "base/thread.h"

#include "pkcs11/names.h"
#include "share/reused.h"

#include <pthread.h>
#include <stdlib.h>

struct p11_handle_page *_Atomic p11_handle_pages[P11_HANDLE_N_PAGES];

/*
 * Free entries wait in several lists, first in, first out, so that an entry rests as long as can be
 * before it is used again; a thread keeps to one list, because threads that share a lock are slower
 * than one thread.
 *
 * Where the generation has bits enough there is a ring in front of each list, which saves most
 * openings the lock: an entry that is given back goes to the next place in it, and who was there
 * before goes to the list; an entry is taken from that same place, which holds the one that has
 * rested longest.
 */
#define N_LISTS P11_THREAD_PARTS
#define END UINT32_MAX
#define N_RING P11_HANDLE_RING_SIZE

struct free_list {
	struct p11_lock
		lock; /* guards first, last, n_entries, and `next` of the entries in the list */
	uint32_t first, last; /* indexes; END: empty */
	uint32_t n_entries;
	atomic_uint
		turn; /* the next place in the ring; threads that change it at once do no harm */
	struct p11_handle *_Atomic ring[N_RING]; /* NULL: empty */
} __attribute__((aligned(64)));

static struct free_list free_lists[N_LISTS] = {
	[0 ... N_LISTS - 1] = {.first = END, .last = END},
};

/* Guards n_pages and is_inherited; never taken while a free list's lock is held. */
static pthread_mutex_t grow_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned n_pages;
static atomic_bool is_inherited; /* this is a child, and the entries are still the parent's */

static atomic_ullong n_owners;
static atomic_int n_consumers;

static struct free_list *
list_of_thread(void)
{
	return &free_lists[p11_thread()->part];
}

static CK_ULONG
index_of(const struct p11_handle *entry)
{
	return atomic_load_explicit(&entry->ours, memory_order_relaxed) & P11_HANDLE_INDEX_MASK;
}

/* The handle that the entry's next use will have: the generation starts at 1, and after the last
 * comes 1 again. */
static CK_ULONG
next_handle(CK_ULONG handle)
{
	CK_ULONG mask = ((CK_ULONG)1 << P11_HANDLE_GENERATION_BITS) - 1;
	CK_ULONG generation = ((handle >> P11_HANDLE_INDEX_BITS) + 1) & mask;

	return (generation ? generation : 1) << P11_HANDLE_INDEX_BITS |
	       (handle & P11_HANDLE_INDEX_MASK);
}

static void
append_locked(struct free_list *list, struct p11_handle *entry)
{
	uint32_t index = (uint32_t)index_of(entry);

	entry->next = END;
	if (list->last == END)
		list->first = index;
	else
		p11_handle_at(list->last)->next = index;
	list->last = index;
	list->n_entries++;
}

static struct p11_handle *
take_locked(struct free_list *list)
{
	if (list->first == END)
		return NULL;

	struct p11_handle *entry = p11_handle_at(list->first);
	list->first = entry->next;
	if (list->first == END)
		list->last = END;
	list->n_entries--;
	return entry;
}

/* Appends the entries of one page, which nobody uses. */
static void
append_page(struct free_list *list, unsigned number)
{
	p11_lock_take(&list->lock);
	for (CK_ULONG i = 0; i < P11_HANDLE_PAGE_SIZE; i++)
		append_locked(list, p11_handle_at(((CK_ULONG)number << P11_HANDLE_PAGE_BITS) + i));
	p11_lock_drop(&list->lock);
}

/*
 * The first use in a child: its parent's handles, and entries that a thread of the parent was just
 * working on, become free entries with a new generation. Only then do they get below the bound
 * again.
 */
static void
renew_inherited_locked(void)
{
	for (unsigned i = 0; i < N_LISTS; i++)
		free_lists[i] = (struct free_list){.first = END, .last = END};
	/* n_pages may be one short of the truth, if the fork came in between; the pages tell. */
	for (n_pages = 0; n_pages < P11_HANDLE_N_PAGES && atomic_load(&p11_handle_pages[n_pages]);
	     n_pages++) {
		for (CK_ULONG i = 0; i < P11_HANDLE_PAGE_SIZE; i++) {
			CK_ULONG index = ((CK_ULONG)n_pages << P11_HANDLE_PAGE_BITS) + i;
			struct p11_handle *entry = p11_handle_at(index);
			atomic_store(&entry->handle, P11_HANDLE_NONE);
			atomic_store(&entry->ours, next_handle(atomic_load(&entry->ours)));
			atomic_store(&entry->owner, 0);
			atomic_store(&entry->is_counted, false);
		}
		append_page(&free_lists[n_pages % N_LISTS], n_pages);
	}
	atomic_store_explicit(&p11_fork_page.bound, n_pages << P11_HANDLE_PAGE_BITS,
			      memory_order_release);
}

static void
renew_inherited(void)
{
	if (!atomic_load_explicit(&is_inherited, memory_order_acquire))
		return;
	p11_hold(&grow_lock);
	if (atomic_load(&is_inherited)) {
		renew_inherited_locked();
		atomic_store_explicit(&is_inherited, false, memory_order_release);
	}
	p11_let_go(&grow_lock);
}

/* Adds a page for `list`. False: no memory, or no index left (the last page stays unused, see
 * P11_HANDLE_NONE). */
static bool
grow(struct free_list *list)
{
	unsigned bound = atomic_load_explicit(&p11_fork_page.bound, memory_order_relaxed);
	struct p11_handle_page *page;

	if ((bound >> P11_HANDLE_PAGE_BITS) + 1 >= P11_HANDLE_N_PAGES)
		return false;
	page = aligned_alloc(64, sizeof *page);
	if (!page)
		return false;
	p11_hold(&grow_lock);
	unsigned number = n_pages;
	if (number + 1 >= P11_HANDLE_N_PAGES) {
		p11_let_go(&grow_lock);
		free(page);
		return false;
	}
	for (CK_ULONG i = 0; i < P11_HANDLE_PAGE_SIZE; i++) {
		struct p11_handle *entry = &page->entries[i];
		*entry = (struct p11_handle){.handle = P11_HANDLE_NONE};
		atomic_store(&entry->ours,
			     next_handle(((CK_ULONG)number << P11_HANDLE_PAGE_BITS) + i));
	}
	atomic_store_explicit(&p11_handle_pages[number], page, memory_order_release);
	n_pages++;
	atomic_store_explicit(&p11_fork_page.bound, n_pages << P11_HANDLE_PAGE_BITS,
			      memory_order_release);
	p11_let_go(&grow_lock);

	append_page(list, number);
	return true;
}

static struct p11_handle *
take_from_ring(struct free_list *list, unsigned place)
{
	struct p11_handle *_Atomic *in_ring = &list->ring[place % N_RING];

	if (!atomic_load_explicit(in_ring, memory_order_relaxed))
		return NULL;
	return atomic_exchange_explicit(in_ring, NULL, memory_order_acquire);
}

static void
give(struct free_list *list, struct p11_handle *entry)
{
	if (P11_HANDLE_HAS_RING) {
		unsigned place = atomic_load_explicit(&list->turn, memory_order_relaxed);
		atomic_store_explicit(&list->turn, place + 1, memory_order_relaxed);
		entry = atomic_exchange_explicit(&list->ring[place % N_RING], entry,
						 memory_order_acq_rel);
	}
	if (!entry)
		return;
	p11_lock_take(&list->lock);
	append_locked(list, entry);
	p11_lock_drop(&list->lock);
}

static struct p11_handle *
take_from(struct free_list *list)
{
	p11_lock_take(&list->lock);
	struct p11_handle *entry = take_locked(list);
	p11_lock_drop(&list->lock);
	return entry;
}

/*
 * Where one thread opens and another closes, the closing one's list grows: it gives a page's worth
 * of entries to a list that is empty, if it keeps as many.
 */
static bool
refill(struct free_list *list)
{
	for (unsigned i = 0; i < N_LISTS; i++) {
		struct free_list *from = &free_lists[i];
		struct p11_handle *given[P11_HANDLE_PAGE_SIZE];
		unsigned n = 0;

		p11_lock_take(&from->lock);
		while (n < P11_HANDLE_PAGE_SIZE && from->n_entries > P11_HANDLE_PAGE_SIZE)
			given[n++] = take_locked(from);
		p11_lock_drop(&from->lock);

		p11_lock_take(&list->lock);
		for (unsigned j = 0; j < n; j++)
			append_locked(list, given[j]);
		p11_lock_drop(&list->lock);
		if (n > 0)
			return true;
	}
	return false;
}

/* There is no memory, or no index left: whatever is free. */
static struct p11_handle *
take_from_anybody(void)
{
	struct p11_handle *entry = NULL;

	for (unsigned i = 0; i < N_LISTS && !entry; i++) {
		entry = take_from(&free_lists[i]);
		for (unsigned j = 0; j < N_RING && !entry; j++)
			entry = take_from_ring(&free_lists[i], j);
	}
	return entry;
}

static struct p11_handle *
take_free(void)
{
	struct free_list *mine = list_of_thread();
	struct p11_handle *entry =
		take_from_ring(mine, atomic_load_explicit(&mine->turn, memory_order_relaxed));

	while (!entry && !(entry = take_from(mine))) {
		if (!refill(mine) && !grow(mine))
			return take_from_anybody();
	}
	return entry;
}

struct p11_handle *
p11_handle_reserve(unsigned long long owner, struct p11_module *module, CK_SLOT_ID slot,
		   CK_NOTIFY notify, void *application)
{
	renew_inherited();

	struct p11_handle *entry = take_free();
	if (!entry)
		return NULL;
	atomic_store_explicit(&entry->module, module, memory_order_relaxed);
	/* A use of before that had the same handle, all generations ago, may have lost its
	 * session. */
	atomic_store_explicit(&entry->displaced, 0, memory_order_release);
	/* Whoever reads these also sees that the handle is another one now
	 * (p11_handle_notify()). */
	atomic_store_explicit(&entry->notify, notify, memory_order_release);
	atomic_store_explicit(&entry->application, application, memory_order_release);
	atomic_store_explicit(&entry->slot, slot, memory_order_release);
	atomic_store_explicit(&entry->owner, owner, memory_order_release);
	return entry;
}

CK_SESSION_HANDLE
p11_handle_publish(struct p11_handle *entry, const CK_FUNCTION_LIST_3_2 *table,
		   CK_SESSION_HANDLE session)
{
	CK_ULONG handle = atomic_load_explicit(&entry->ours, memory_order_relaxed);

	atomic_store_explicit(&entry->table, table, memory_order_release);
	atomic_store_explicit(&entry->session, session, memory_order_release);
	/* Sequentially consistent: of the opener, which looks at its owner next, and a C_Finalize,
	 * which takes the owner away and then looks for its sessions, one sees the other. */
	atomic_store(&entry->handle, handle);
	return handle;
}

bool
p11_handle_notify(CK_SESSION_HANDLE handle, struct p11_consumer_notify *out)
{
	CK_ULONG index = handle & P11_HANDLE_INDEX_MASK;

	if (index >= atomic_load_explicit(&p11_fork_page.bound, memory_order_acquire))
		return false;
	struct p11_handle *entry = p11_handle_at(index);
	out->notify = atomic_load_explicit(&entry->notify, memory_order_acquire);
	out->application = atomic_load_explicit(&entry->application, memory_order_acquire);
	return out->notify && atomic_load_explicit(&entry->ours, memory_order_acquire) == handle;
}

bool
p11_handle_claim(struct p11_handle *entry, CK_SESSION_HANDLE handle)
{
	return atomic_compare_exchange_strong(&entry->handle, &handle, P11_HANDLE_NONE);
}

void
p11_handle_restore(struct p11_handle *entry)
{
	/* As in p11_handle_publish(). */
	atomic_store(&entry->handle, atomic_load_explicit(&entry->ours, memory_order_relaxed));
}

void
p11_handle_release(struct p11_handle *entry)
{
	p11_reused_forget(entry);
	/* First nobody's, then of the next generation: p11_handle_claim_next() reads them the other
	 * way round. */
	atomic_store_explicit(&entry->owner, 0, memory_order_release);
	atomic_store_explicit(&entry->ours,
			      next_handle(atomic_load_explicit(&entry->ours, memory_order_relaxed)),
			      memory_order_release);
	give(list_of_thread(), entry);
}

static bool
is_sought(const struct p11_handle *entry, unsigned long long owner, const struct p11_module *module,
	  CK_SLOT_ID slot)
{
	return (owner == 0 || atomic_load(&entry->owner) == owner) &&
	       (!module || atomic_load(&entry->module) == module) &&
	       (slot == P11_HANDLE_ANY_SLOT || atomic_load(&entry->slot) == slot);
}

struct p11_handle *
p11_handle_claim_next(CK_ULONG *index, unsigned long long owner, const struct p11_module *module,
		      CK_SLOT_ID slot)
{
	unsigned bound = atomic_load_explicit(&p11_fork_page.bound, memory_order_acquire);

	while (*index < bound) {
		struct p11_handle *entry = p11_handle_at((*index)++);
		/* If the claim succeeds with this handle, what was read after it was of the same
		 * use. */
		CK_ULONG handle = atomic_load(&entry->ours);
		if (is_sought(entry, owner, module, slot) && p11_handle_claim(entry, handle))
			return entry;
	}
	return NULL;
}

CK_RV
p11_handle_missing(CK_SESSION_HANDLE handle)
{
	(void)handle;
	p11_fork_check();
	return atomic_load_explicit(&n_consumers, memory_order_relaxed) > 0
		       ? CKR_SESSION_HANDLE_INVALID
		       : CKR_CRYPTOKI_NOT_INITIALIZED;
}

void
p11_handle_count_consumers(int change)
{
	atomic_fetch_add_explicit(&n_consumers, change, memory_order_relaxed);
}

unsigned long long
p11_handle_new_owner(void)
{
	return 1 + atomic_fetch_add_explicit(&n_owners, 1, memory_order_relaxed);
}

static void
reset_in_child(void)
{
	grow_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	atomic_store(&p11_fork_page.bound, 0); /* this very thread may just have grown it */
	atomic_store(&n_consumers, 0);
	atomic_store(&is_inherited, atomic_load(&p11_handle_pages[0]) != NULL);
}

__attribute__((constructor)) static void
begin(void)
{
	static struct p11_fork_reset row = {.reset = reset_in_child};

	p11_fork_register(&row);
}
