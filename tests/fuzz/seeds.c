/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gives each file of a folder to the target that this is linked with.
 *
 *   seeds-TARGET FOLDER
 */
#include "fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <string.h>

#define MAX_SIZE (64 * 1024) /* bytes; a seed is small */

static void
run_file(const char *path)
{
	FILE *file = fuzz_have(fopen(path, "rb"));
	uint8_t *data = fuzz_have(malloc(MAX_SIZE));
	size_t size = fread(data, 1, MAX_SIZE, file);

	fuzz_check(size < MAX_SIZE);
	fclose(file);
	data = fuzz_have(realloc(data, size ? size : 1)); /* a sanitizer sees where it ends */
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
}

int
main(int argc, char **argv)
{
	DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
	unsigned n_files = 0;

	if (!folder) {
		fprintf(stderr, "usage: seeds-TARGET FOLDER\n");
		return 2;
	}
	for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
		char path[PATH_MAX];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
		run_file(path);
		n_files++;
	}
	closedir(folder);
	printf("%u files\n", n_files);
	return n_files >= 10 ? 0 : 1; /* it is not the wrong folder */
}
