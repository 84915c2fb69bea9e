/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A module that has all entry points, links to our library, and calls its own entry points by their
 * names, as some do: through the procedure linkage table, so that the dynamic linker decides whose
 * it reaches.
 */
#include "markers.h"

#include <stddef.h>

const char *p11_kit_message(void);
const char *module_uses_us(void);
unsigned long module_asks_for_list(void);
unsigned long module_asks_for_interface(void);
unsigned long module_asks_for_interface_list(void);

unsigned long
C_GetFunctionList(void **list)
{
	(void)list;
	return REACHED_MODULE;
}

unsigned long
C_GetInterface(void *name, void *version, void **found, unsigned long flags)
{
	(void)name;
	(void)version;
	(void)found;
	(void)flags;
	return REACHED_MODULE;
}

unsigned long
C_GetInterfaceList(void *list, unsigned long *count)
{
	(void)list;
	(void)count;
	return REACHED_MODULE;
}

unsigned long
module_asks_for_list(void)
{
	void *list = NULL;

	return C_GetFunctionList(&list);
}

unsigned long
module_asks_for_interface(void)
{
	void *found = NULL;

	return C_GetInterface(NULL, NULL, &found, 0);
}

unsigned long
module_asks_for_interface_list(void)
{
	unsigned long count = 0;

	return C_GetInterfaceList(NULL, &count);
}

const char *
module_uses_us(void)
{
	return p11_kit_message();
}
