/* SPDX-License-Identifier: BSD-3-Clause */
/* p11-bench: one measurement in one process. bench/run starts it many times, in turns. */
#include "bench/measures.h"
#include "bench/party.h"

#include <stdlib.h>
#include <string.h>

static void
usage(void)
{
	bench_die("usage: p11-bench calls|sessions|listing LIBRARY CONFIG MODULE SLOTS\n"
		  "       p11-bench blocking LIBRARY|direct CONFIG MODULE SLOW-MODULE\n"
		  "       p11-bench forking LIBRARY|none CONFIG MODULE TABLES\n"
		  "       p11-bench polling LIBRARY CONFIG - SLOW-MODULE\n"
		  "       p11-bench loading WARM-UP FILE...");
}

int
main(int argc, char **argv)
{
	if (argc > 3 && strcmp(argv[1], "loading") == 0) {
		bench_loading(argv[2], argv + 3, argc - 3);
		return 0;
	}
	if (argc != 6)
		usage();
	unsigned long n_slots = strtoul(argv[5], NULL, 10);
	if (strcmp(argv[1], "calls") == 0)
		bench_calls(argv[2], argv[3], argv[4], n_slots);
	else if (strcmp(argv[1], "sessions") == 0)
		bench_sessions(argv[2], argv[3], argv[4], n_slots);
	else if (strcmp(argv[1], "listing") == 0)
		bench_listing(argv[2], argv[3], argv[4], n_slots);
	else if (strcmp(argv[1], "blocking") == 0)
		bench_blocking(strcmp(argv[2], "direct") == 0 ? NULL : argv[2], argv[3], argv[4],
			       argv[5]);
	else if (strcmp(argv[1], "forking") == 0)
		bench_forking(strcmp(argv[2], "none") == 0 ? NULL : argv[2], argv[3], argv[4],
			      n_slots);
	else if (strcmp(argv[1], "polling") == 0)
		bench_polling(argv[2], argv[3], argv[5]);
	else
		usage();
	return 0;
}
