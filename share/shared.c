/* SPDX-License-Identifier: BSD-3-Clause */
#include "share/shared.h"

#include "base/fork.h"
#include "base/message.h"

#include <stdlib.h>

static void
shared_reset(struct p11_shared *shared)
{
	p11_life_reset(&shared->unmanaged);
	atomic_store(&shared->heal_at_ms, 0);
	p11_notes_reset(&shared->notes);
	p11_slots_reset(&shared->slots);
}

static void
shared_free(struct p11_shared *shared)
{
	p11_notes_clear(&shared->notes);
	p11_slots_clear(&shared->slots);
	free(shared);
}

struct p11_shared *
p11_shared_of(struct p11_module *module)
{
	struct p11_shared *shared = atomic_load_explicit(&module->shared, memory_order_acquire);

	if (shared)
		return shared;

	struct p11_shared *fresh = aligned_alloc(_Alignof(struct p11_shared), sizeof *fresh);
	if (!fresh)
		return NULL;
	atomic_init(&fresh->n_handed_out, 0);
	atomic_init(&fresh->is_critical, false);
	atomic_init(&fresh->n_heals, 0);
	shared_reset(fresh);
	atomic_store(&module->free_shared, shared_free);
	if (atomic_compare_exchange_strong(&module->shared, &shared, fresh))
		return fresh;
	free(fresh);
	return shared;
}

/* One user more, or the start; the caller has taken the reference that goes with it. */
static CK_RV
count_unmanaged(struct p11_module *module, struct p11_shared *shared)
{
	CK_RV rv;

	switch (p11_life_start(&shared->unmanaged,
			       p11_module_thread_is_inside() ? 0 : P11_LIFE_FOREVER)) {
	case P11_LIFE_COUNTED:
		return CKR_OK;
	case P11_LIFE_YOURS:
		break;
	default:
		return p11_fail(
			CKR_FUNCTION_FAILED,
			"module %s: it is being initialized or finalized, and this thread is "
			"inside a module's C_Initialize or C_Finalize, where it cannot wait",
			p11_module_label(module));
	}

	rv = p11_module_start(module, NULL, P11_LIFE_FOREVER, NULL);
	if (!p11_life_started(&shared->unmanaged, rv == CKR_OK))
		return CKR_CRYPTOKI_NOT_INITIALIZED; /* p11_module_start() has said why */
	return rv;
}

CK_RV
p11_shared_initialize(struct p11_module *module)
{
	P11_NO_CANCEL;
	struct p11_shared *shared = p11_shared_of(module);

	if (!shared)
		return p11_fail(CKR_HOST_MEMORY, "module %s: no memory", p11_module_label(module));
	/* Before it counts: another thread may finalize, and drop it, at once. */
	p11_module_ref(module);
	CK_RV rv = count_unmanaged(module, shared);
	if (rv != CKR_OK)
		p11_module_unref(module);
	return rv;
}

CK_RV
p11_shared_finalize(struct p11_module *module)
{
	P11_NO_CANCEL;
	struct p11_shared *shared = p11_shared_of(module);
	CK_RV rv = CKR_OK;

	switch (shared ? p11_life_stop(&shared->unmanaged) : P11_LIFE_NOT_UP) {
	case P11_LIFE_COUNTED:
		break;
	case P11_LIFE_YOURS:
		rv = p11_module_stop(module);
		p11_life_stopped(&shared->unmanaged);
		break;
	case P11_LIFE_SELF:
		return p11_fail(
			CKR_FUNCTION_FAILED,
			"module %s: finalized from inside its own C_Initialize or C_Finalize",
			p11_module_label(module));
	default:
		return p11_fail(
			CKR_CRYPTOKI_NOT_INITIALIZED,
			"module %s: it is not initialized by p11_kit_initialize_module(), or was "
			"finalized as often already",
			p11_module_label(module));
	}
	p11_module_unref(module);
	return rv;
}

static void
reset_module(struct p11_module *module)
{
	struct p11_shared *shared = atomic_load(&module->shared);

	if (shared)
		shared_reset(shared);
}

static void
reset_in_child(void)
{
	p11_module_each_in_child(reset_module);
}

__attribute__((constructor)) static void
begin(void)
{
	static struct p11_fork_reset row = {.reset = reset_in_child};

	p11_fork_register(&row);
}
