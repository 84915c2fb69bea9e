/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * C_Initialize and C_Finalize of an instance. An instance is initialized as soon as its first
 * C_Initialize counts; its modules come up one after another, and each link says whether the
 * instance is a user of its module. So a second C_Initialize, or a C_Finalize, never waits for a
 * module that the first one is starting.
 */
#include "proxy/instance.h"

#include "base/fork.h"
#include "base/lock.h"
#include "base/message.h"
#include "share/handle.h"

#include <stdlib.h>
#include <string.h>

#define START_WAIT_MS 3000

pthread_mutex_t p11_proxy_lock = PTHREAD_MUTEX_INITIALIZER;
struct p11_instance p11_instances[P11_N_CONTEXTS];

/* ---- links ---- */

/* Ends what the link is to its module on behalf of `owner`, if it still is. */
static void
end_user(struct p11_link *link, unsigned long long owner)
{
	if (atomic_compare_exchange_strong(&link->up_for, &owner, 0))
		(void)p11_module_stop(link->module);
}

/*
 * The module has one user more: us. Owners are numbered in the order of their C_Initialize. If the
 * link is up for `owner` or a later one already, ours is one too many; if it is still up for an
 * earlier one, whose C_Finalize has not come to it yet, we end that one's. And if our own owner has
 * been finalized meanwhile, either its C_Finalize sees what we wrote here, or we see that it is
 * gone.
 */
static void
become_user(struct p11_instance *instance, struct p11_link *link, unsigned long long owner)
{
	unsigned long long was = atomic_load(&link->up_for);

	do {
		if (was >= owner) {
			(void)p11_module_stop(link->module);
			return;
		}
	} while (!atomic_compare_exchange_weak(&link->up_for, &was, owner));
	if (was != 0)
		(void)p11_module_stop(link->module);
	if (atomic_load(&instance->owner) != owner)
		end_user(link, owner);
}

CK_RV
p11_link_bring_up(struct p11_instance *instance, struct p11_link *link, unsigned long long owner,
		  long long deadline_ms, bool force)
{
	long long began = p11_slots_now_ms();
	long long wait_ms = deadline_ms > began ? deadline_ms - began : 0;
	bool busy;

	if (p11_link_is_up(link, owner) || atomic_load(&instance->owner) != owner ||
	    (!force && !p11_slots_may_retry(link->slots, link->module)))
		return CKR_OK;

	CK_RV rv = p11_module_start(link->module, NULL, (int)wait_ms, &busy);
	if (rv == CKR_OK)
		become_user(instance, link, owner);
	if (rv != CKR_OK && !busy)
		p11_slots_failed(link->slots, link->module, p11_slots_now_ms() - began);
	return rv;
}

/* ---- up ---- */

/* One C_Initialize more. *owner: the instance's; true if this is the first one. */
static bool
count_up(struct p11_instance *instance, unsigned long long *owner)
{
	p11_hold(&p11_proxy_lock);
	bool is_first = instance->n_inits++ == 0;
	if (is_first) {
		instance->state = P11_INSTANCE_UP;
		atomic_store(&instance->last_event, p11_slots_last_event());
		atomic_store(&instance->owner, p11_handle_new_owner());
		p11_handle_count_consumers(1);
	}
	*owner = atomic_load(&instance->owner);
	p11_let_go(&p11_proxy_lock);
	return is_first;
}

static bool
is_down(struct p11_instance *instance)
{
	return atomic_load(&instance->owner) == 0;
}

/* Starts what is down, then numbers the slots in the order of the configuration. */
static CK_RV
bring_all_up(struct p11_instance *instance, unsigned long long owner, bool is_first)
{
	struct p11_links *links = atomic_load(&instance->links);
	long long deadline = p11_slots_now_ms() + START_WAIT_MS;

	for (P11_EACH_LINK(link, links)) {
		CK_RV rv = p11_link_bring_up(instance, link, owner, deadline, is_first);
		if (rv != CKR_OK && link->is_critical)
			return rv;
	}
	for (P11_EACH_LINK(link, links)) {
		if (p11_link_is_up(link, owner))
			(void)p11_link_refresh(link, false, is_first);
	}
	return CKR_OK;
}

CK_RV
p11_instance_initialize(CK_VOID_PTR init_args, void *context)
{
	P11_NO_CANCEL;
	struct p11_instance *instance = context;
	unsigned long long owner;
	unsigned generation;

	p11_fork_check();
	generation = p11_fork_generation();
	CK_RV rv = p11_context_check_args(init_args);
	if (rv != CKR_OK)
		return rv;

	/* What is configured may have changed, and a critical module's failure is the answer each
	 * time. */
	if (is_down(instance)) {
		rv = p11_instance_configure(instance, true);
		if (rv != CKR_OK)
			return rv;
	}
	bool is_first = count_up(instance, &owner);
	rv = bring_all_up(instance, owner, is_first);
	if (generation != p11_fork_generation()) {
		/* A module or a signal handler forked, and this is the child. If that was early, we
		 * have counted here. */
		if (atomic_load(&instance->owner) == owner)
			(void)p11_instance_finalize(NULL, instance);
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	}
	if (rv != CKR_OK) {
		char *message = p11_message_dup();
		(void)p11_instance_finalize(NULL, instance);
		p11_message_restore(message);
	}
	return rv;
}

/* ---- down ---- */

static void
free_snapshots(struct p11_snapshot *snapshot)
{
	while (snapshot) {
		struct p11_snapshot *next = snapshot->next;
		free(snapshot);
		snapshot = next;
	}
}

/* One C_Finalize. CKR_OK with *owner 0: the instance stays up. Else its sessions and links are the
 * caller's to end. */
static CK_RV
count_down(struct p11_instance *instance, unsigned long long *owner, struct p11_links **links,
	   struct p11_snapshot **snapshots)
{
	CK_RV rv = CKR_OK;

	*owner = 0;
	p11_hold(&p11_proxy_lock);
	if (instance->n_inits == 0) {
		rv = CKR_CRYPTOKI_NOT_INITIALIZED;
	} else if (--instance->n_inits == 0) {
		*owner = atomic_exchange(&instance->owner, 0);
		*links = atomic_load(&instance->links);
		*snapshots = p11_steal(instance->snapshots);
		p11_handle_count_consumers(-1);
	}
	p11_let_go(&p11_proxy_lock);
	return rv;
}

CK_RV
p11_instance_finalize(CK_VOID_PTR reserved, void *context)
{
	P11_NO_CANCEL;
	struct p11_instance *instance = context;
	struct p11_snapshot *snapshots;
	struct p11_links *links;
	unsigned long long owner;

	p11_fork_check();
	if (reserved)
		return p11_fail(CKR_ARGUMENTS_BAD, "C_Finalize wants NULL for its argument");
	CK_RV rv = count_down(instance, &owner, &links, &snapshots);
	if (rv != CKR_OK || owner == 0)
		return rv;

	free_snapshots(snapshots);
	p11_slots_wake();
	p11_sessions_end(owner);
	for (P11_EACH_LINK(link, links))
		end_user(link, owner);

	p11_hold(&p11_proxy_lock);
	if (instance->n_inits == 0)
		instance->state = P11_INSTANCE_FINALIZED; /* free for the next look-up */
	p11_let_go(&p11_proxy_lock);
	return CKR_OK;
}

/* A shim is its module. */
static CK_RV
get_modules_info(struct p11_instance *instance, CK_INFO_PTR info)
{
	struct p11_route route;
	CK_RV rv = p11_route_enter(instance, 0, &route);

	if (rv == CKR_OK) {
		rv = route.calls->C_GetInfo(info);
		p11_route_leave(&route);
	}
	return rv;
}

CK_RV
p11_instance_get_info(CK_INFO_PTR info, void *context)
{
	struct p11_instance *instance = context;

	p11_fork_check();
	if (is_down(instance))
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!info)
		return CKR_ARGUMENTS_BAD;
	if (instance->only)
		return get_modules_info(instance, info);
	*info = (CK_INFO){.libraryVersion = {1, 1}};
	info->cryptokiVersion =
		atomic_load(&instance->has_3x) ? (CK_VERSION){3, 2} : (CK_VERSION){2, 40};
	/* Consumers match on these words. */
	memset(info->manufacturerID, ' ', sizeof info->manufacturerID);
	memcpy(info->manufacturerID, "PKCS#11 Kit", 11);
	memset(info->libraryDescription, ' ', sizeof info->libraryDescription);
	memcpy(info->libraryDescription, "PKCS#11 Kit Proxy Module", 24);
	return CKR_OK;
}
