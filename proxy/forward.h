/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The proxy's functions for calls with a session, generated from data/calls.tsv: the handle names
 * module and session, and the call goes there. One function each for the whole process: a session's
 * handle says all.
 */
#ifndef P11_FORWARD_H
#define P11_FORWARD_H

#include "pkcs11/calls.h"
#include "pkcs11/entry.h"

/* The function for a call; NULL for those that belong to a consumer (pkcs11/pool.h). */
p11_entry p11_forward_entry(enum p11_call_id call);

#endif
