/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/fork.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Values of page.whole. It is 0 in a child and before the constructor has run. */
enum {
	UNKNOWN = 0,
	RESETTING = 1,
	WHOLE = 2,
};

__attribute__((aligned(P11_FORK_PAGE_SIZE))) union p11_fork_page_filled p11_fork_memory;

static struct p11_fork_reset *_Atomic resets; /* pushed to by constructors, never removed from */
static atomic_uint generation;
static pid_t whole_in; /* the process that has reset itself last; written by who resets */

void
p11_fork_register(struct p11_fork_reset *row)
{
	row->next = atomic_load_explicit(&resets, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&resets, &row->next, row,
						      memory_order_release, memory_order_relaxed))
		;
}

unsigned
p11_fork_generation(void)
{
	return atomic_load_explicit(&generation, memory_order_relaxed);
}

/*
 * Several threads of a child that no handler saw may come here together: one resets, the others
 * wait for it. A child of that child finds the page empty again and starts anew; every reset bears
 * being repeated.
 */
void
p11_fork_slow_check(void)
{
	unsigned expected = UNKNOWN;

	if (!atomic_compare_exchange_strong(&p11_fork_page.whole, &expected, RESETTING)) {
		while (atomic_load_explicit(&p11_fork_page.whole, memory_order_acquire) ==
		       RESETTING)
			sched_yield();
		return;
	}
	atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
	for (struct p11_fork_reset *row = atomic_load(&resets); row; row = row->next)
		row->reset();
	whole_in = getpid();
	atomic_store_explicit(&p11_fork_page.whole, WHOLE, memory_order_release);
}

static _Thread_local unsigned n_held;

void
p11_fork_hold(void)
{
	n_held++;
}

void
p11_fork_let_go(void)
{
	if (--n_held == 0)
		p11_fork_check();
}

/*
 * Where the kernel has no MADV_WIPEONFORK, or an emulator only says that it has (qemu-user), we
 * wipe; but not what another child handler, which ran before this one and called us, has made whole
 * already.
 */
static void
in_child(void)
{
	if (whole_in != getpid())
		memset(&p11_fork_memory, 0, sizeof p11_fork_memory);
	if (n_held == 0)
		p11_fork_check();
}

/* Before the constructors of the rooms (101 and up), which need nothing of it but the page. */
__attribute__((constructor(101))) static void
begin(void)
{
	(void)madvise(&p11_fork_memory, sizeof p11_fork_memory, MADV_WIPEONFORK);
	whole_in = getpid();
	atomic_store_explicit(&p11_fork_page.whole, WHOLE, memory_order_release);
	pthread_atfork(NULL, NULL, in_child);
}
