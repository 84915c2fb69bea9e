/* SPDX-License-Identifier: BSD-3-Clause */
/* A module that merely links to our library: it has one entry point of its own, and no
 * C_GetInterface. */
#include "markers.h"

const char *p11_kit_message(void);
const char *module_uses_us(void);

unsigned long
C_GetFunctionList(void **list)
{
	(void)list;
	return REACHED_MODULE;
}

/* Keeps our library among those that the module needs. */
const char *
module_uses_us(void)
{
	return p11_kit_message();
}
