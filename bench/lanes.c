/* SPDX-License-Identifier: BSD-3-Clause */
/* Pinned threads that start together, and their clock: see the header. */
#include "bench/lanes.h"
#include "bench/party.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

struct run {
	bench_loop *loop;
	struct bench_lane *lane;
	unsigned number;
	unsigned long n;
	atomic_uint *waiting; /* lanes that are not ready yet */
	double start;
	double end;
};

double
bench_now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void *
sleep_forever(void *argument)
{
	for (;;)
		pause();
	return argument;
}

void
bench_start_bystander(void)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, sleep_forever, NULL))
		bench_die("pthread_create() failed");
	pthread_detach(thread);
}

static cpu_set_t
usable_processors(void)
{
	static cpu_set_t usable;
	static bool is_known;
	if (!is_known) {
		if (sched_getaffinity(0, sizeof(usable), &usable))
			bench_die("sched_getaffinity() failed");
		is_known = true;
	}
	return usable;
}

void
bench_pin(unsigned n)
{
	cpu_set_t usable = usable_processors();
	cpu_set_t mine;
	CPU_ZERO(&mine);
	n %= (unsigned)CPU_COUNT(&usable);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &usable) && n-- == 0) {
			CPU_SET(cpu, &mine);
			break;
		}
	}
	if (sched_setaffinity(0, sizeof(mine), &mine))
		bench_die("sched_setaffinity() failed");
}

static void *
run_lane(void *argument)
{
	struct run *run = argument;
	bench_pin(run->number);
	CK_RV rv = run->loop(run->lane, run->n / 8 + 1); /* warms this processor's caches */
	atomic_fetch_sub(run->waiting, 1);
	while (atomic_load(run->waiting))
		;
	run->start = bench_now();
	rv |= run->loop(run->lane, run->n);
	run->end = bench_now();
	bench_expect_ok(rv, "a measured call");
	return NULL;
}

double
bench_round(bench_loop *loop, struct bench_lane *lanes, unsigned n_lanes, unsigned long n)
{
	atomic_uint waiting = n_lanes;
	struct run runs[BENCH_MAX_LANES];
	pthread_t threads[BENCH_MAX_LANES];
	for (unsigned i = 0; i < n_lanes; i++) {
		runs[i] = (struct run){loop, &lanes[i], i, n, &waiting, 0, 0};
		if (i && pthread_create(&threads[i], NULL, run_lane, &runs[i]))
			bench_die("pthread_create() failed");
	}
	run_lane(&runs[0]);
	double start = runs[0].start;
	double end = runs[0].end;
	for (unsigned i = 1; i < n_lanes; i++) {
		pthread_join(threads[i], NULL);
		start = runs[i].start < start ? runs[i].start : start;
		end = runs[i].end > end ? runs[i].end : end;
	}
	return (end - start) / (double)n;
}

unsigned long
bench_turns(bench_loop *loop, struct bench_lane *lane, double target_us)
{
	unsigned long n = 16;
	double least = bench_round(loop, lane, 1, n);
	for (unsigned i = 0; i < 4; i++) {
		n = (unsigned long)(target_us * 1000 / (least > 0.5 ? least : 0.5) / 4) + 1;
		double now = bench_round(loop, lane, 1, n);
		least = now < least ? now : least;
	}
	return (unsigned long)(target_us * 1000 / (least > 0.5 ? least : 0.5)) + 1;
}
