/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stands in for a libp11-kit.so.0 from before the private node: it has the few symbols that a door
 * can hope for there. A newer p11-kit-proxy.so meets such a library when a process that has it
 * mapped runs on during an upgrade.
 */
#include "markers.h"

#include <stddef.h>

const char *p11_kit_message(void);

unsigned long
C_GetFunctionList(void **list)
{
	(void)list;
	return REACHED_OLD_LIBRARY;
}

const char *
p11_kit_message(void)
{
	return NULL;
}
