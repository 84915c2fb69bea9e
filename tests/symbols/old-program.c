/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program as it was linked when C_GetInterface was still a default symbol of the library. New
 * links do not find the name; the version that the old linker recorded must still lead to ours.
 */
#include "markers.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "isolate.h"

__asm__(".symver C_GetInterface, C_GetInterface@LIBP11_KIT_1.0");
__asm__(".symver C_GetInterfaceList, C_GetInterfaceList@LIBP11_KIT_1.0");

void p11_kit_override_system_files(const char *system_conf, const char *user_conf,
				   const char *package_modules, const char *system_modules,
				   const char *user_modules);

int
main(void)
{
	void *found = NULL;
	unsigned long count = 0;

	isolate(p11_kit_override_system_files);
	if (C_GetInterface(NULL, NULL, &found, 0) != REACHED_OK || !found) {
		fprintf(stderr, "C_GetInterface gave no interface\n");
		return EXIT_FAILURE;
	}
	if (C_GetInterfaceList(NULL, &count) != REACHED_OK || count == 0) {
		fprintf(stderr, "C_GetInterfaceList counted no interface\n");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
