/* SPDX-License-Identifier: BSD-3-Clause */
/* A program that links a foreign module directly, as some are built for one vendor, and opens our
 * proxy too. */
#include "constellation.h"
#include "markers.h"

static void
program_calls_module(void)
{
	void *list = NULL;

	expect(C_GetFunctionList(&list) == REACHED_MODULE,
	       "a program that links a module reaches the module");
	proxy_alone();
	expect(C_GetFunctionList(&list) == REACHED_MODULE, "the proxy changes nothing about that");
}

static const struct scene scenes[] = {{"program-calls-module", program_calls_module}};

int
main(int argc, char *argv[])
{
	return play_scene(argc, argv, scenes, 1);
}
