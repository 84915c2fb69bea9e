/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Answers that tell whose function was reached. These tests are about names, not about types: the
 * entry points are declared here with the few types that they need, and lists are never looked
 * into.
 */
#ifndef TESTS_SYMBOLS_MARKERS_H
#define TESTS_SYMBOLS_MARKERS_H

enum {
	REACHED_OK = 0,                   /* CKR_OK: ours, or whoever answers properly */
	REACHED_NOT_SUPPORTED = 0x54,     /* CKR_FUNCTION_NOT_SUPPORTED */
	REACHED_MODULE = 0x7ffffff1,      /* the test's module */
	REACHED_OLD_LIBRARY = 0x7ffffff2, /* the stand-in for an older libp11-kit.so.0 */
};

typedef unsigned long get_list_fn(void **list);
typedef unsigned long get_interface_fn(void *name, void *version, void **found,
				       unsigned long flags);
typedef unsigned long get_interface_list_fn(void *list, unsigned long *count);

get_list_fn C_GetFunctionList;
get_interface_fn C_GetInterface;
get_interface_list_fn C_GetInterfaceList;

#endif
