/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/thread.h"

#include <stdatomic.h>

unsigned
p11_thread_part(void)
{
	static atomic_uint n_threads;
	static _Thread_local unsigned mine; /* 0: none yet */

	if (mine == 0)
		mine = 1 + atomic_fetch_add_explicit(&n_threads, 1, memory_order_relaxed) %
				   P11_THREAD_PARTS;
	return mine - 1;
}
