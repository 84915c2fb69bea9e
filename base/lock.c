/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

static void
futex(struct p11_lock *lock, int operation, int value)
{
	int saved = errno;

	syscall(SYS_futex, &lock->state, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
	errno = saved;
}

/* Who waits leaves 2 behind, since it cannot know whether it is the only one. */
void
p11_lock_wait(struct p11_lock *lock)
{
	while (atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) != 0)
		futex(lock, FUTEX_WAIT, 2);
}

void
p11_hold(pthread_mutex_t *mutex)
{
	pthread_mutex_lock(mutex);
	p11_fork_hold();
}

void
p11_let_go(pthread_mutex_t *mutex)
{
	pthread_mutex_unlock(mutex);
	p11_fork_let_go();
}

void
p11_lock_wake(struct p11_lock *lock)
{
	futex(lock, FUTEX_WAKE, 1);
}
