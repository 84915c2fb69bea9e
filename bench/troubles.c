/* SPDX-License-Identifier: BSD-3-Clause */
/* What a fork costs a process that uses the library, and what a poller pays for a module that fails
 * slowly. */
#include "bench/lanes.h"
#include "bench/measures.h"
#include "bench/party.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N_FORKS 101
#define FAIL_MS 1000
#define POLL_SECONDS 42
#define POLL_PAUSE_MS 10

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
fork_once(void)
{
	double before = bench_now();
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		bench_die("fork() failed");
	return bench_now() - before;
}

/* Each table is a consumer that is initialized. */
static void
take_tables(void *library, const char *module, unsigned long n_tables)
{
	CK_FUNCTION_LIST *(*load)(const char *, int) = bench_symbol(library, "p11_kit_module_load");

	for (unsigned long i = 0; i < n_tables; i++) {
		CK_FUNCTION_LIST *list = load(module, 0);
		if (!list)
			bench_die("p11_kit_module_load() failed");
		bench_expect_ok(list->C_Initialize(NULL), "C_Initialize");
	}
}

void
bench_forking(const char *library, const char *config, const char *module, unsigned long n_tables)
{
	double times[N_FORKS];

	if (library)
		take_tables(bench_open_library(library, config), module, n_tables);
	for (int i = 0; i < N_FORKS; i++)
		times[i] = fork_once();
	qsort(times, N_FORKS, sizeof times[0], compare);
	bench_report(times[N_FORKS / 2] / 1e3, "fork");
}

void
bench_polling(const char *library, const char *config, const char *slow)
{
	void (*set_failing)(unsigned) = bench_symbol(bench_open(slow), "null_module_set_failing");
	CK_FUNCTION_LIST *list = bench_functions(bench_open_library(library, config));
	const struct timespec pause = {.tv_nsec = POLL_PAUSE_MS * 1000000l};
	double inside = 0, longest = 0;

	bench_expect_ok(list->C_Initialize(NULL), "C_Initialize");
	set_failing(FAIL_MS);
	double begin = bench_now();
	while (bench_now() - begin < POLL_SECONDS * 1e9) {
		CK_ULONG n = 0;
		double before = bench_now();
		(void)list->C_GetSlotList(CK_TRUE, NULL, &n);
		double took = bench_now() - before;
		inside += took;
		longest = took > longest ? took : longest;
		nanosleep(&pause, NULL);
	}
	bench_report(100 * inside / (bench_now() - begin), "share");
	bench_report(longest / 1e6, "longest");
}
