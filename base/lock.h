/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Locks. A child that a signal handler forks while this thread holds one puts its resets off until
 * the lock is given back (base/fork.h): what the thread is in the middle of ends as it began.
 *
 * p11_lock is a lock for what opening and closing a session touch: that of the C library costs a
 * call each way, which is a tenth of the whole. Not recursive; held for a few instructions, never
 * over a call of anybody else. Zeroed memory is a free lock, and a child makes one anew by zeroing
 * it.
 */
#ifndef P11_LOCK_H
#define P11_LOCK_H

#include "base/base.h"
#include "base/fork.h"

#include <pthread.h>
#include <stdatomic.h>

struct p11_lock {
	atomic_int state; /* 0: free, 1: taken, 2: taken, and threads may be waiting (a futex) */
};

void p11_lock_wait(struct p11_lock *lock);
void p11_lock_wake(struct p11_lock *lock);

static inline void
p11_lock_take(struct p11_lock *lock)
{
	int free = 0;

	if (!atomic_compare_exchange_strong_explicit(&lock->state, &free, 1, memory_order_acquire,
						     memory_order_relaxed))
		p11_lock_wait(lock);
	p11_fork_hold();
}

static inline void
p11_lock_drop(struct p11_lock *lock)
{
	if (atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2)
		p11_lock_wake(lock);
	p11_fork_let_go();
}

/* Locks of the C library, where a condition is waited for, or time does not matter. */
void p11_hold(pthread_mutex_t *mutex);
void p11_let_go(pthread_mutex_t *mutex);

#endif
