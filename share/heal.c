/* SPDX-License-Identifier: BSD-3-Clause */
#include "share/heal.h"

#include "base/message.h"
#include "pkcs11/names.h"
#include "share/handle.h"
#include "share/managed.h"
#include "share/shared.h"

#define HEAL_INTERVAL_MS 5000

/* Whether it is this thread that heals now. */
static bool
may_heal(struct p11_shared *shared)
{
	long long now = p11_slots_now_ms(), at = atomic_load(&shared->heal_at_ms);

	return now >= at &&
	       atomic_compare_exchange_strong(&shared->heal_at_ms, &at, now + HEAL_INTERVAL_MS);
}

/* No handle of before may reach a session of after. The module has none of them any more: it is not
 * called. */
static void
forget_sessions(struct p11_module *module, struct p11_shared *shared)
{
	struct p11_note *note = p11_notes_take_all(&shared->notes, 0, P11_NOTES_ANY_SLOT);
	struct p11_handle *entry;
	CK_ULONG index = 0;

	while ((entry = p11_handle_claim_next(&index, 0, module, P11_HANDLE_ANY_SLOT)))
		p11_handle_release(entry);
	while (note) {
		struct p11_note *next = p11_note_next(note);
		p11_note_free(note);
		note = next;
	}
}

bool
p11_heal(struct p11_module *module)
{
	struct p11_shared *shared = p11_shared_of(module);

	if (!shared || !may_heal(shared))
		return false;
	forget_sessions(module, shared);
	p11_managed_abandon(module);

	CK_RV rv = p11_module_restart(module);
	if (rv != CKR_OK) {
		p11_message("module %s: somebody else in this program finalized it, and "
			    "C_Initialize now fails "
			    "with %s; let every library of the program load it through p11-kit",
			    p11_module_label(module), p11_rv_name(rv, (char[24]){0}));
		return false;
	}
	p11_message("module %s: somebody else in this program finalized it; it was initialized "
		    "again, and its "
		    "sessions are lost; let every library of the program load it through p11-kit",
		    p11_module_label(module));
	return true;
}
