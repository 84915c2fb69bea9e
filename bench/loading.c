/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a process pays for mapping a file: the time, and the memory that it shares with nobody. The
 * dynamic linker's own first-time costs are paid before, with another file.
 */
#include "bench/lanes.h"
#include "bench/measures.h"
#include "bench/party.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char text[8192];

/* The process's private dirty memory in KiB, with nothing of stdio's in it. */
static unsigned long
private_dirty(void)
{
	static const char key[] = "Private_Dirty:";
	int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (size < 0)
		bench_die("/proc/self/smaps_rollup cannot be read");
	close(fd);
	text[size] = '\0';
	char *line = strstr(text, key);
	if (!line)
		bench_die("/proc/self/smaps_rollup does not tell the private dirty memory");
	return strtoul(line + strlen(key), NULL, 10);
}

void
bench_loading(const char *warm_up, char **files, int n_files)
{
	bench_pin(0);
	bench_open(warm_up);
	bench_now();
	private_dirty();
	unsigned long dirty = private_dirty();
	double start = bench_now();
	for (int i = 0; i < n_files; i++)
		bench_open(files[i]);
	double end = bench_now();
	dirty = private_dirty() - dirty;
	bench_report((end - start) / 1000, "time");
	bench_report((double)dirty, "dirty");
}
