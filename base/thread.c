/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

static pthread_key_t key; /* its value is the record; only its destructor is of use */
static bool has_key;
static void (*at_end)(struct p11_thread *thread);

__attribute__((noinline, cold)) static void
begin_thread(struct p11_thread *thread)
{
	static atomic_ullong n_threads;

	thread->number = 1 + atomic_fetch_add_explicit(&n_threads, 1, memory_order_relaxed);
	thread->part = (unsigned)(thread->number % P11_THREAD_PARTS);
	if (has_key)
		(void)pthread_setspecific(key, thread);
}

struct p11_thread *
p11_thread(void)
{
	static _Thread_local struct p11_thread mine;

	if (__builtin_expect(mine.number == 0, 0))
		begin_thread(&mine);
	return &mine;
}

static void
end_thread(void *thread)
{
	if (at_end)
		at_end(thread);
}

void
p11_thread_at_end(void (*end)(struct p11_thread *thread))
{
	at_end = end;
	has_key = pthread_key_create(&key, end_thread) == 0;
}
