/* SPDX-License-Identifier: BSD-3-Clause */
#include "share/heal.h"

#include "base/message.h"
#include "pkcs11/names.h"
#include "share/handle.h"
#include "share/managed.h"
#include "share/shared.h"

#include <limits.h>

#define PAUSE_MIN_MS 5000
#define PAUSE_FACTOR 20

/* Whether it is this thread that heals now; then nobody else does until pause_healing(). */
static bool
may_heal(struct p11_shared *shared)
{
	long long at = atomic_load(&shared->heal_at_ms);

	return p11_slots_now_ms() >= at &&
	       atomic_compare_exchange_strong(&shared->heal_at_ms, &at, LLONG_MAX);
}

static void
pause_healing(struct p11_shared *shared, long long began_ms)
{
	long long now = p11_slots_now_ms(), pause = (now - began_ms) * PAUSE_FACTOR;

	pause = pause < PAUSE_MIN_MS ? PAUSE_MIN_MS : pause;
	atomic_store(&shared->heal_at_ms, now + pause);
}

#define ADVICE "let every library of the program load it through p11-kit"

/* No handle of before may reach a session of after. The module has none of them any more: it is not
 * called. */
static void
forget_sessions(struct p11_module *module, struct p11_shared *shared)
{
	struct p11_handle *entry;
	CK_ULONG index = 0;

	while ((entry = p11_handle_claim_next(&index, 0, module, P11_HANDLE_ANY_SLOT)))
		p11_handle_release(entry);
	p11_notes_forget_all(&shared->notes);
}

bool
p11_heal(struct p11_module *module)
{
	struct p11_shared *shared = p11_shared_of(module);
	const char *label = p11_module_label(module);
	bool is_needed;

	if (!shared || !may_heal(shared))
		return false;
	long long began = p11_slots_now_ms();
	/* First of all: who opens a session meanwhile looks at it last. */
	atomic_fetch_add(&shared->n_heals, 1);
	p11_managed_abandon(module);
	forget_sessions(module, shared);
	CK_RV rv = p11_module_restart(module, &is_needed);
	pause_healing(shared, began);

	if (!is_needed)
		p11_message("module %s: somebody else in this program finalized it; its sessions "
			    "are lost, and C_Initialize must be called again; " ADVICE,
			    label);
	else if (rv != CKR_OK)
		p11_message("module %s: somebody else in this program finalized it, and "
			    "C_Initialize now fails with %s; " ADVICE,
			    label, p11_rv_name(rv, (char[24]){0}));
	else
		p11_message("module %s: somebody else in this program finalized it; it is "
			    "initialized again, and its sessions are lost; " ADVICE,
			    label);
	return is_needed && rv == CKR_OK;
}
