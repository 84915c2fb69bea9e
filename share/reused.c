/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table is searched for an entry with the same handle only where there may be one: each entry,
 * and each note of a managed table, counts in a cell that is chosen by the module's handle. So the
 * usual opening and closing pay one addition each. Small handles that follow each other have cells
 * that do so too: a thread that opens many stays in one cache line for a while.
 */
#include "share/reused.h"

#define N_CELLS 32768

static atomic_ushort n_holders[N_CELLS];
static atomic_bool is_used; /* else a child need not make 64 KiB its own */

/*
 * Small numbers are counted up; what is larger may differ anywhere: a counter behind a high base,
 * an address, the number of a slot on top. Two handles in one cell are a search for each opening.
 */
static atomic_ushort *
cell_of(CK_SESSION_HANDLE session)
{
	uint64_t bits = session;

	if (bits >> 20) { /* half of MurmurHash3's last step: as good as random here */
		bits = (bits ^ bits >> 33) * 0xff51afd7ed558ccd;
		bits ^= bits >> 33;
	}
	return &n_holders[bits % N_CELLS];
}

/*
 * An entry that somebody is just closing, or opening, cannot be claimed; that thread asks
 * p11_reused_is_displaced() after it has published or restored it. One of us sees the other.
 */
static void
displace(const struct p11_module *module, CK_SESSION_HANDLE session, struct p11_handle *except)
{
	unsigned bound = atomic_load_explicit(&p11_fork_page.bound, memory_order_acquire);

	for (CK_ULONG i = 0; i < bound; i++) {
		struct p11_handle *entry = p11_handle_at(i);
		CK_ULONG handle = atomic_load(&entry->ours);

		/* Not an entry that is only reserved: its session is of an earlier use. */
		if (entry == except || !atomic_load(&entry->is_counted) ||
		    atomic_load(&entry->session) != session ||
		    atomic_load(&entry->module) != module)
			continue;
		/* Its handle was read first: if this is another use by now, it is not that
		 * one's. */
		atomic_store(&entry->displaced, handle);
		if (p11_handle_claim(entry, handle))
			p11_handle_release(entry);
	}
}

bool
p11_reused_count(CK_SESSION_HANDLE session)
{
	if (!atomic_load_explicit(&is_used, memory_order_relaxed))
		atomic_store(&is_used, true);
	return atomic_fetch_add(cell_of(session), 1) > 0;
}

void
p11_reused_uncount(CK_SESSION_HANDLE session)
{
	atomic_ushort *cell = cell_of(session);
	unsigned short n = atomic_load_explicit(cell, memory_order_relaxed);

	/* In a child that was made inside the module, nobody has counted. */
	while (n > 0 && !atomic_compare_exchange_weak(cell, &n, (unsigned short)(n - 1)))
		;
}

bool
p11_reused_note(struct p11_handle *entry, CK_SESSION_HANDLE session)
{
	atomic_store_explicit(&entry->session, session, memory_order_release);
	atomic_store_explicit(&entry->is_counted, true, memory_order_release);
	if (!p11_reused_count(session))
		return false;
	displace(atomic_load(&entry->module), session, entry);
	return true;
}

bool
p11_reused_is_displaced(struct p11_handle *entry)
{
	return atomic_load(&entry->displaced) == atomic_load(&entry->ours);
}

void
p11_reused_displace(struct p11_module *module, CK_SESSION_HANDLE session)
{
	if (atomic_load(cell_of(session)) > 0)
		displace(module, session, NULL);
}

void
p11_reused_forget(struct p11_handle *entry)
{
	if (!atomic_load_explicit(&entry->is_counted, memory_order_relaxed))
		return;
	atomic_store_explicit(&entry->is_counted, false, memory_order_release);
	p11_reused_uncount(atomic_load(&entry->session));
}

static void
reset_in_child(void)
{
	if (!atomic_load(&is_used))
		return;
	for (unsigned i = 0; i < N_CELLS; i++) {
		/* A page is the child's own from the first store on. */
		if (atomic_load_explicit(&n_holders[i], memory_order_relaxed) != 0)
			atomic_store_explicit(&n_holders[i], 0, memory_order_relaxed);
	}
}

__attribute__((constructor)) static void
begin(void)
{
	static struct p11_fork_reset row = {.reset = reset_in_child};

	p11_fork_register(&row);
}
