/* SPDX-License-Identifier: BSD-3-Clause */
/* What share/ keeps about a module, from its first use on. */
#ifndef P11_SHARED_H
#define P11_SHARED_H

#include "base/life.h"
#include "module/module.h"
#include "share/notes.h"
#include "share/slots.h"

struct p11_shared {
	atomic_ulong n_handed_out; /* pointers to the module's own list that callers were given, and
				      release one by one */
	atomic_bool is_critical; /* one of these came with P11_KIT_MODULE_CRITICAL, and they are not
				    all released */
	struct p11_life unmanaged; /* the callers of p11_kit_initialize_module() and its kin: one
				      consumer, counted */
	atomic_llong heal_at_ms;   /* not healed again before (share/heal.h) */
	atomic_ulong n_heals;      /* how often its sessions were forgotten by that */
	struct p11_notes notes;
	struct p11_slots slots;
};

/* Whether a session is gone, by what the module answered to C_CloseSession: also where it could not
 * be closed. */
static inline bool
p11_session_is_gone(CK_RV rv)
{
	return rv == CKR_OK || rv == CKR_SESSION_HANDLE_INVALID || rv == CKR_SESSION_CLOSED ||
	       rv == CKR_DEVICE_REMOVED || rv == CKR_CRYPTOKI_NOT_INITIALIZED;
}

/* NULL without memory. Any thread. */
struct p11_shared *p11_shared_of(struct p11_module *module);

/*
 * One initialization more, or less, of a module by callers who have its own list
 * (p11_kit_initialize_module, p11_kit_finalize_module). Each counted one holds a reference to the
 * module.
 */
CK_RV p11_shared_initialize(struct p11_module *module) P11_MUST_USE;
CK_RV p11_shared_finalize(struct p11_module *module) P11_MUST_USE;

#endif
