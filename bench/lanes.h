/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Time measured in lanes: one lane per thread, each pinned to a processor of its own, starting
 * together. A machine that others use too only ever adds time, so callers repeat short rounds and
 * keep the least.
 */
#ifndef P11_BENCH_LANES_H
#define P11_BENCH_LANES_H

#include <p11-kit/pkcs11.h>

#define BENCH_MAX_LANES 2

/* What one thread calls, in cache lines of its own. */
struct bench_lane {
	/* Volatile: loaded anew for every call, so that the compiler knows nothing of what is
	 * called. */
	CK_FUNCTION_LIST *volatile list;
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE session;
} __attribute__((aligned(128)));

/* Makes its call `n` times; returns the answers or'ed together. */
typedef CK_RV bench_loop(struct bench_lane *lane, unsigned long n);

/* Nanoseconds of a clock that only goes forward. */
double bench_now(void);

/*
 * From now on the process has a second thread, which sleeps. The C library leaves out what threads
 * need as long as there was never a second one: rounds before and after that do not compare.
 */
void bench_start_bystander(void);

/* Keeps the calling thread on the n-th processor that this process may use. */
void bench_pin(unsigned n);

/* A number of turns that takes about `target_us` in one lane. */
unsigned long bench_turns(bench_loop *loop, struct bench_lane *lane, double target_us);

/* One round of `n` turns in each of `n_lanes` lanes: nanoseconds per turn, from the first start to
 * the last end. */
double bench_round(bench_loop *loop, struct bench_lane *lanes, unsigned n_lanes, unsigned long n);

#endif
