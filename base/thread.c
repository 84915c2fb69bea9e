/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/thread.h"

#include <stdatomic.h>

unsigned long long
p11_thread_number(void)
{
	static atomic_ullong n_threads;
	static _Thread_local unsigned long long mine; /* 0: none yet */

	if (mine == 0)
		mine = 1 + atomic_fetch_add_explicit(&n_threads, 1, memory_order_relaxed);
	return mine;
}

unsigned
p11_thread_part(void)
{
	return (unsigned)(p11_thread_number() % P11_THREAD_PARTS);
}
