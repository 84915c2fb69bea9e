/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a fork must undo. There is no prepare and no parent handler: a lock taken there would
 * deadlock with consumers that take theirs in prepare and call us under it. Instead one page of
 * ours is empty in every child, however the child was made (fork, _Fork, clone, fork in a signal
 * handler; vfork shares the parent's memory and changes nothing). Whoever finds the page empty
 * calls p11_fork_check(), which runs every room's reset once; the child handler of fork() does the
 * same at once. A reset re-makes the room's locks and abandons what they guarded; it calls no
 * module and frees nothing.
 */
#ifndef P11_FORK_H
#define P11_FORK_H

#include "base/base.h"

#include <stdatomic.h>

#define P11_FORK_PAGE_SIZE 4096

/* The words that are zero in a child. */
struct p11_fork_page {
	atomic_uint whole; /* 0: this process has not reset itself yet (see fork.c) */
	atomic_uint bound; /* handles below this index are live (share/handle.h); 0: none */
};

union p11_fork_page_filled {
	struct p11_fork_page page;
	char fill[P11_FORK_PAGE_SIZE];
};

extern union p11_fork_page_filled p11_fork_memory P11_HIDDEN;
#define p11_fork_page (p11_fork_memory.page)

/* A room's row in the list of what a child resets; static storage, registered once from a
 * constructor. */
struct p11_fork_reset {
	void (*reset)(void);
	struct p11_fork_reset *next;
};

void p11_fork_register(struct p11_fork_reset *row);

void p11_fork_slow_check(void);

/* To be called first by everything that is not on the hot path. Any thread; async-signal-safe as
 * far as the resets are. */
static inline void
p11_fork_check(void)
{
	if (__builtin_expect(atomic_load_explicit(&p11_fork_page.whole, memory_order_acquire) != 2,
			     0))
		p11_fork_slow_check();
}

/*
 * Between these two this thread is in the middle of something: a child that it forks in a signal
 * handler resets itself at the last p11_fork_let_go(), or when the handler itself calls us in the
 * child; from such a handler it must not return.
 */
void p11_fork_hold(void);
void p11_fork_let_go(void);

/* How many forks lie between this process and the one that loaded us: differs after a call that
 * forked. */
unsigned p11_fork_generation(void);

#endif
