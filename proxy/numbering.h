/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The proxy's slot ids. The process remembers which id belongs to (name of the module, the module's
 * own slot id) for ever: a slot that comes back has its old id, in every consumer, and in a child,
 * and no id is ever given to another slot. Numbers run from 0x11; a module with a `slot-base` has
 * base + own id instead, the same in every process.
 */
#ifndef P11_NUMBERING_H
#define P11_NUMBERING_H

#include "base/base.h"

#include <p11-kit/pkcs11.h>

#include <stdbool.h>

struct p11_numbered {
	CK_SLOT_ID id;    /* ours */
	const char *name; /* of the module; interned, so that pointers can be compared */
	CK_SLOT_ID slot;  /* the module's */
};

/* The slot with this id, or NULL. No lock; constant once it is there. */
const struct p11_numbered *p11_numbering_find(CK_SLOT_ID id);

/*
 * The id of a slot, given to it now if it has none. `base`: the module's slot-base, or NULL. False
 * without memory. A base that cannot be obeyed is told in a message; the slot gets a running number
 * then.
 */
bool p11_numbering_assign(const char *name, const CK_ULONG *base, CK_SLOT_ID slot,
			  CK_SLOT_ID *id) P11_MUST_USE;

/* Running numbers skip the 0x10000 ids from `base` on, from now on. */
void p11_numbering_keep_free(CK_ULONG base);

#endif
