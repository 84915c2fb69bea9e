/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening and closing. The calls in between are generated: they find their way by the handle
 * alone. */
#include "proxy/instance.h"

#include "base/fork.h"
#include "base/message.h"
#include "pkcs11/names.h"
#include "share/handle.h"
#include "share/heal.h"
#include "share/reused.h"

#include <stdint.h>

/*
 * What the module calls instead of the consumer's callback: the same with our handle, which is its
 * argument. A late call finds the entry with another handle, or in a child none, and reaches
 * nobody: a callback lives as long as its session.
 */
static CK_RV
notify_consumer(CK_SESSION_HANDLE session, CK_NOTIFICATION event, CK_VOID_PTR application)
{
	CK_SESSION_HANDLE ours = (CK_SESSION_HANDLE)(uintptr_t)application;
	struct p11_consumer_notify consumer;

	(void)session;
	return p11_handle_notify(ours, &consumer)
		       ? consumer.notify(ours, event, consumer.application)
		       : CKR_OK;
}

/* A session of before has no module any more, and must not reach the one that has its number
 * now. */
static unsigned long
n_heals_of(struct p11_module *module)
{
	return atomic_load(&p11_shared_of(module)->n_heals);
}

/*
 * Closes the session of an entry that was claimed; not if the module was healed since it was
 * opened: its number may be another's by now. False: the module forked inside, and this is the
 * child, to which the entry does not belong.
 */
static bool
close_in_module(struct p11_handle *entry, CK_RV *rv)
{
	struct p11_module *module = atomic_load(&entry->module);
	unsigned generation = p11_fork_generation();

	*rv = CKR_SESSION_HANDLE_INVALID;
	if (atomic_load(&entry->n_heals) == n_heals_of(module) && p11_module_join(module)) {
		*rv = p11_module_calls(module)->C_CloseSession(atomic_load(&entry->session));
		p11_module_leave(module);
	}
	return generation == p11_fork_generation();
}

/* The session is not the entry's any more: the module is not called. */
static void
drop(struct p11_handle *entry, CK_SESSION_HANDLE handle)
{
	if (p11_handle_claim(entry, handle))
		p11_handle_release(entry);
}

/*
 * Closes a session that was claimed for `owner`. A module that refuses keeps it, under the same
 * handle; but not for an owner that has been finalized meanwhile, whose C_Finalize could not see
 * it.
 */
static CK_RV
close_claimed(struct p11_instance *instance, struct p11_handle *entry, unsigned long long owner)
{
	CK_ULONG handle = atomic_load(&entry->ours);
	struct p11_module *module = atomic_load(&entry->module);
	unsigned long n_heals = atomic_load(&entry->n_heals);
	CK_RV rv;

	if (!close_in_module(entry, &rv))
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (p11_session_is_gone(rv) || n_heals_of(module) != n_heals) {
		p11_handle_release(entry);
		return rv;
	}
	p11_handle_restore(entry);
	if (atomic_load(&instance->owner) != owner || p11_reused_is_displaced(entry))
		drop(entry, handle);
	return rv;
}

static CK_RV
say_lost(const struct p11_module *module)
{
	return p11_fail(CKR_DEVICE_ERROR,
			"module %s: it ended a session while that was opened, or somebody else in "
			"this program finalized it; open it again",
			p11_module_label(module));
}

/* The opened session becomes the consumer's, unless that was finalized meanwhile: then it is
 * closed, by us or by that. */
static CK_RV
hand_over(struct p11_instance *instance, struct p11_handle *entry, const struct p11_route *route,
	  unsigned long n_heals, CK_SESSION_HANDLE session, CK_SESSION_HANDLE_PTR out)
{
	if (n_heals_of(route->module) != n_heals) { /* whose handle this is now is not known */
		p11_handle_release(entry);
		return say_lost(route->module);
	}
	if (p11_reused_note(entry, session))
		p11_notes_forget(&p11_shared_of(route->module)->notes, session);
	atomic_store_explicit(&entry->n_heals, n_heals, memory_order_relaxed);
	CK_SESSION_HANDLE handle = p11_handle_publish(entry, route->calls, session);

	if (n_heals_of(route->module) != n_heals || p11_reused_is_displaced(entry)) {
		drop(entry, handle);
		return say_lost(route->module);
	}
	if (atomic_load(&instance->owner) == route->owner) {
		*out = handle;
		return CKR_OK;
	}
	CK_RV rv;
	if (p11_handle_claim(entry, handle) && close_in_module(entry, &rv))
		p11_handle_release(entry);
	return CKR_CRYPTOKI_NOT_INITIALIZED;
}

CK_RV
p11_instance_open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application,
			  CK_NOTIFY notify, CK_SESSION_HANDLE_PTR out, void *context)
{
	struct p11_instance *instance = context;
	struct p11_route route;
	CK_SESSION_HANDLE session = 0;

	p11_fork_check();
	if (atomic_load(&instance->owner) == 0)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!out)
		return p11_fail(CKR_ARGUMENTS_BAD, "C_OpenSession needs a place for the handle");
	unsigned generation = p11_fork_generation();
	CK_RV rv = p11_route_enter(instance, slot, &route);
	if (rv != CKR_OK)
		return rv;

	struct p11_handle *entry =
		p11_handle_reserve(route.owner, route.module, slot, notify, application);
	if (!entry) {
		p11_route_leave(&route);
		return p11_fail(CKR_HOST_MEMORY, "no memory for a session");
	}
	CK_NOTIFY callback = notify ? notify_consumer : NULL;
	void *argument = notify ? (void *)(uintptr_t)atomic_load(&entry->ours) : application;
	unsigned long n_heals = n_heals_of(route.module);
	rv = route.calls->C_OpenSession(route.slot, flags, argument, callback, &session);
	if (rv == CKR_CRYPTOKI_NOT_INITIALIZED && generation == p11_fork_generation() &&
	    p11_heal(route.module)) {
		n_heals = n_heals_of(route.module);
		rv = route.calls->C_OpenSession(route.slot, flags, argument, callback, &session);
	}
	if (generation != p11_fork_generation())
		return CKR_CRYPTOKI_NOT_INITIALIZED; /* the module forked, and this is the child */

	if (rv == CKR_OK)
		rv = hand_over(instance, entry, &route, n_heals, session, out);
	else
		p11_handle_release(entry);
	p11_route_leave(&route);
	return rv;
}

CK_RV
p11_instance_close_session(CK_SESSION_HANDLE session, void *context)
{
	struct p11_instance *instance = context;

	p11_fork_check();
	unsigned long long owner = atomic_load(&instance->owner);
	if (owner == 0)
		return CKR_CRYPTOKI_NOT_INITIALIZED;

	struct p11_handle *entry = p11_handle_entry(session);
	if (!entry || atomic_load(&entry->owner) != owner || !p11_handle_claim(entry, session))
		return CKR_SESSION_HANDLE_INVALID;
	return close_claimed(instance, entry, owner);
}

static void
say_refused(const char *label, CK_RV rv)
{
	p11_message("module %s: a session could not be closed: %s", label,
		    p11_rv_name(rv, (char[24]){0}));
}

/* The first refusal is the answer, and ends nothing. */
static CK_RV
close_all(struct p11_instance *instance, unsigned long long owner, CK_SLOT_ID slot)
{
	CK_ULONG index = 0;
	CK_RV rv = CKR_OK;
	struct p11_handle *entry;

	while ((entry = p11_handle_claim_next(&index, owner, NULL, slot))) {
		const char *label = p11_module_label(atomic_load(&entry->module));
		CK_RV closed = close_claimed(instance, entry, owner);
		if (p11_session_is_gone(closed))
			continue;
		say_refused(label, closed);
		rv = rv == CKR_OK ? closed : rv;
	}
	return rv;
}

CK_RV
p11_instance_close_all_sessions(CK_SLOT_ID slot, void *context)
{
	P11_NO_CANCEL; /* nobody could close the session that it is at */
	struct p11_instance *instance = context;
	struct p11_route route;
	CK_RV rv = p11_route_enter(instance, slot, &route);

	if (rv == CKR_OK) {
		p11_route_leave(&route);
		return close_all(context, route.owner, slot);
	}
	/* A module that is down has no sessions. */
	return rv == CKR_DEVICE_ERROR ? CKR_OK : rv;
}

void
p11_sessions_end(unsigned long long owner)
{
	CK_ULONG index = 0;
	struct p11_handle *entry;

	/* Nobody has these handles any more, whatever the module says. */
	while ((entry = p11_handle_claim_next(&index, owner, NULL, P11_HANDLE_ANY_SLOT))) {
		const char *label = p11_module_label(atomic_load(&entry->module));
		CK_RV rv;
		if (!close_in_module(entry, &rv))
			return;
		p11_handle_release(entry);
		if (!p11_session_is_gone(rv))
			say_refused(label, rv);
	}
}
