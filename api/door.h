/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the door files (p11-kit-proxy.so) come into the library: one function, in a version node of
 * its own. A door finds it with dlvsym(), because a C_ name would bind to the door itself, or to a
 * module that the program links. The layout of struct p11_door_call and the function's signature
 * are frozen: a newer library must serve an older door that was mapped before an upgrade, and the
 * other way round. A new layout gets the next number.
 */
#ifndef P11_DOOR_H
#define P11_DOOR_H

#include <p11-kit/pkcs11.h>

#define P11_DOOR_LIBRARY "libp11-kit.so.0"
#define P11_DOOR_FUNCTION "p11_kit_door"
#define P11_DOOR_VERSION "LIBP11_KIT_PRIVATE"

/* The layout that this header describes. */
#define P11_DOOR_LAYOUT 1

enum {
	P11_DOOR_GET_FUNCTION_LIST = 0,
	P11_DOOR_GET_INTERFACE_LIST = 1,
	P11_DOOR_GET_INTERFACE = 2,
};

struct p11_door_call {
	unsigned long what; /* which of the three */
	const char *module; /* NULL: all modules; the name of the only one, for its shim */
	const void *caller; /* an address in the library that called the door */
	void *arguments[4]; /* the call's own, in order; flags by a pointer to CK_FLAGS */
};

/* CKR_FUNCTION_NOT_SUPPORTED for a layout, a call or a module's name that this library does not
 * know. */
CK_RV p11_kit_door(unsigned long layout, const struct p11_door_call *call);

typedef CK_RV (*p11_door_function)(unsigned long layout, const struct p11_door_call *call);

#endif
