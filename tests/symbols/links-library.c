/* SPDX-License-Identifier: BSD-3-Clause */
/* A program that links libp11-kit.so.0 and calls its entry point by name. */
#include "constellation.h"
#include "isolate.h"
#include "markers.h"

override_files_fn p11_kit_override_system_files;

static void
program_calls_library(void)
{
	void *list = NULL;

	isolate(p11_kit_override_system_files);
	expect(C_GetFunctionList(&list) == REACHED_OK && list,
	       "a program that links us gets our list");
	module_that_links_us();
	module_that_asks_itself(true);
	expect_whole_proxy(open_file(proxy_path));
}

static const struct scene scenes[] = {{"program-calls-library", program_calls_library}};

int
main(int argc, char *argv[])
{
	return play_scene(argc, argv, scenes, 1);
}
