/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A module that lies where the chaos module cannot: in what it says of itself, before and beside
 * its functions. dlsym(file, "liar_lie") is an int, one of these.
 */
#ifndef P11_TEST_LIAR_H
#define P11_TEST_LIAR_H

enum lie {
	LIE_NONE,
	/* About its tables. */
	LIE_NO_LIST,    /* CKR_OK, and NULL */
	LIE_LIST_ERROR, /* C_GetFunctionList fails, with a code that nobody knows */
	LIE_VERSION_0,  /* of its list */
	LIE_VERSION_1,
	LIE_VERSION_9,
	LIE_NO_INITIALIZE, /* the entry is NULL */
	LIE_NO_FINALIZE,
	LIE_NO_ENTRY,     /* all are */
	LIE_NO_INTERFACE, /* CKR_OK, and NULL */
	LIE_EMPTY_INTERFACE,
	LIE_OTHER_INTERFACE, /* of another name, for which the table is none of PKCS#11 */
	LIE_INTERFACE_ERROR,
	LIE_INTERFACE_VERSION_9,
	LIE_LAST_OF_TABLES = LIE_INTERFACE_VERSION_9,
	/* In use. */
	LIE_TABLE_TOO_SHORT, /* a list that says 3.2, and has the entries of 2.40 */
	LIE_INTERFACE_LIST,  /* C_GetInterfaceList counts too many, and gives garbage */
	LIE_ENDLESS_NAMES,   /* texts without padding or end, of bytes that steer terminals */
	LIE_NO_NAMES,        /* CKR_OK, and nothing written */
	LIE_MORE_SLOTS,      /* it says more than it wrote */
	LIE_GROWING_SLOTS,   /* each call says one more */
	LIE_ENDLESS_SLOTS,   /* as many as a CK_ULONG can hold */
	LIE_SAME_SLOT,       /* ten times one */
	LIE_NO_SESSION,      /* CKR_OK, and the handle 0 */
	LIE_SAME_SESSION,    /* always one handle */
	LIE_UNKNOWN_EVENTS,  /* of a slot that is not there, again and again */
	LIE_NEVER_UP,        /* C_Initialize works, and all else says that it did not */
	LIE_FINALIZE_ERROR,
	N_LIES,
};

#endif
