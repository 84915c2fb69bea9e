/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The calls of PKCS#11 as data: which arguments each has, and what they are for. Written from
 * data/calls.tsv, which explains the roles. Whoever wants to do something with any call - print it,
 * send it, check it - reads these tables in one loop, and knows no call by name. All integers are
 * small and there are no pointers: nothing to relocate.
 */
#ifndef P11_CALL_H
#define P11_CALL_H

#include "base/base.h"
#include "pkcs11/calls.h"

#include <stdint.h>

/* The first version of the standard that has a call. */
#define P11_SINCE(major, minor) ((major) << 8 | (minor))

enum p11_route {
	P11_ROUTE_BOUND,    /* belongs to a consumer, not to a session: one function per context
			       (pkcs11/pool.h) */
	P11_ROUTE_SESSION,  /* the first argument is a session */
	P11_ROUTE_PARALLEL, /* answers CKR_FUNCTION_NOT_PARALLEL, always */
};

/* In p11_arg.count and .filled: there is none. */
#define P11_ARG_NONE 255

enum p11_arg_role {
	P11_ARG_IN = 1 << 0,         /* the memory behind the pointer is read */
	P11_ARG_OUT = 1 << 1,        /* and written */
	P11_ARG_TWO_CALLS = 1 << 2,  /* NULL asks for the count; so does CKR_BUFFER_TOO_SMALL */
	P11_ARG_TERMINATED = 1 << 3, /* text that ends with a NUL */
	P11_ARG_FIXED = 1 << 4,      /* .count is the number of elements itself */
	P11_ARG_KEY = 1 << 5,        /* the handle of a key */
	P11_ARG_SECRET = 1 << 6,     /* never printed, and wiped */
	P11_ARG_PLAINTEXT = 1 << 7,  /* printed only where somebody asks for it */
};

struct p11_arg {
	uint16_t name;      /* p11_arg_name() */
	uint8_t kind;       /* enum p11_kind */
	uint8_t n_pointers; /* CK_ULONG: 0, CK_ULONG_PTR: 1, CK_FUNCTION_LIST_PTR_PTR: 2 */
	uint8_t roles;      /* enum p11_arg_role */
	uint8_t count;  /* which argument of the call says how many elements; or P11_ARG_FIXED; or
			   P11_ARG_NONE */
	uint8_t filled; /* which argument says how many were written, if not that one; or
			   P11_ARG_NONE */
};

struct p11_call {
	uint16_t name;      /* p11_call_name() */
	uint16_t since;     /* P11_SINCE() */
	uint16_t first_arg; /* in p11_args */
	uint8_t n_args;
	uint8_t route; /* enum p11_route */
};

extern const struct p11_call p11_calls[P11_N_CALLS] P11_HIDDEN;
extern const struct p11_arg p11_args[] P11_HIDDEN;
extern const unsigned p11_n_args P11_HIDDEN; /* of all calls together */

/* "C_Initialize" */
const char *p11_call_name(enum p11_call_id id);

/* "pInitArgs" */
const char *p11_arg_name(const struct p11_arg *arg);

#endif
