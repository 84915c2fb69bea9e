/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uthash as we use it: for keys that are one number, without memory an element that was not added
 * (its hh.tbl is NULL) instead of an exit, and with a hash of two instructions instead of the
 * library's large one.
 */
#ifndef P11_MAP_H
#define P11_MAP_H

#include <stdint.h>

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, length, hash)                                                           \
	((void)(length), (hash) = p11_map_hash(*(const unsigned long *)(key)))
#include <uthash.h>

static inline unsigned
p11_map_hash(unsigned long key)
{
	/* Handles may be counters or addresses: mix all bits into the upper ones. */
	return (unsigned)(((uint64_t)key * UINT64_C(0x9E3779B97F4A7C15)) >> 32);
}

#endif
