/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who gets which instance. A look-up gets one that is free: one that the same library and the same
 * thread obtained and has not begun to initialize (so the lists of several versions that a caller
 * obtains first share one state), or one that the same library finalized; else a new one. An
 * initialized instance is never handed out again, unless the pool is dry; that rule carries the
 * safety, the library is only a hint.
 */
#include "proxy/proxy.h"

#include "base/fork.h"
#include "base/intern.h"
#include "base/lock.h"
#include "base/message.h"
#include "proxy/forward.h"
#include "proxy/instance.h"

#include <dlfcn.h>
#include <stdint.h>

/* Of instances that one library obtained and never initialized, this many are kept apart. */
#define MAX_OBTAINED 16

/* ---- tables ---- */

static CK_RV
get_function_list(CK_FUNCTION_LIST_PTR_PTR out, void *context)
{
	if (!out)
		return p11_fail(CKR_ARGUMENTS_BAD, "C_GetFunctionList needs a place for the list");
	*out = p11_context_list(p11_instance_number(context), P11_LIST_2_40);
	return *out ? CKR_OK : p11_fail(CKR_HOST_MEMORY, "no memory for a function list");
}

static CK_RV
get_interface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR out,
	      CK_FLAGS flags, void *context)
{
	struct p11_instance *instance = context;
	CK_RV rv =
		p11_context_get_interface(p11_instance_number(instance), name, version, out, flags);

	if (rv == CKR_OK && (!version || version->major == 3))
		atomic_store(&instance->has_3x, true);
	return rv;
}

static CK_RV
get_interface_list(CK_INTERFACE_PTR list, CK_ULONG_PTR count, void *context)
{
	static const enum p11_list which[] = {P11_LIST_3_2, P11_LIST_2_40};
	struct p11_instance *instance = context;
	CK_RV rv = p11_context_get_interface_list(p11_instance_number(instance), which,
						  P11_N_ELEMENTS(which), list, count);

	if (rv == CKR_OK && list)
		atomic_store(&instance->has_3x, true);
	return rv;
}

static const struct p11_bound_ops proxy_ops = {
	.C_Initialize = p11_instance_initialize,
	.C_Finalize = p11_instance_finalize,
	.C_GetInfo = p11_instance_get_info,
	.C_GetFunctionList = get_function_list,
	.C_GetInterfaceList = get_interface_list,
	.C_GetInterface = get_interface,
	.C_GetSlotList = p11_instance_get_slot_list,
	.C_GetSlotInfo = p11_instance_get_slot_info,
	.C_GetTokenInfo = p11_instance_get_token_info,
	.C_GetMechanismList = p11_instance_get_mechanism_list,
	.C_GetMechanismInfo = p11_instance_get_mechanism_info,
	.C_InitToken = p11_instance_init_token,
	.C_OpenSession = p11_instance_open_session,
	.C_CloseSession = p11_instance_close_session,
	.C_CloseAllSessions = p11_instance_close_all_sessions,
	.C_WaitForSlotEvent = p11_instance_wait_for_slot_event,
};

/* Constant, whatever the instance's state: consumers copy the proxy's functions at any time. */
static p11_entry
proxy_entry(unsigned number, enum p11_call_id call)
{
	p11_entry bound = p11_bound_entry(number, call);

	return bound ? bound : p11_forward_entry(call);
}

const struct p11_context_kind p11_proxy_kind = {&proxy_ops, proxy_entry};

/* ---- claiming ---- */

static const void *
library_of(const void *caller)
{
	Dl_info info;

	return dladdr(caller, &info) ? info.dli_fbase : NULL;
}

static bool
is_older(const struct p11_instance *a, const struct p11_instance *b)
{
	return !b || a->obtained < b->obtained;
}

/* What there is to choose from, each the oldest of its sort; NULL: none. */
struct choice {
	struct p11_instance *of_thread;      /* the same library and thread obtained it */
	struct p11_instance *finalized;      /* the same library finalized it */
	struct p11_instance *obtained;       /* the same library, another thread */
	unsigned n_obtained;                 /* of the same library */
	struct p11_instance *free_elsewhere; /* another library's, not initialized */
	struct p11_instance *any;
};

static struct choice
choose_locked(const void *library, const char *only)
{
	struct choice choice = {0};

	for (unsigned i = 0, n = p11_context_n_taken(); i < n; i++) {
		struct p11_instance *instance = &p11_instances[i];
		bool is_obtained = instance->state == P11_INSTANCE_OBTAINED;
		bool is_free = is_obtained || instance->state == P11_INSTANCE_FINALIZED;
		struct p11_instance **sort = NULL;

		if (instance->state == P11_INSTANCE_UNUSED || instance->only != only)
			continue;
		if (is_older(instance, choice.any))
			choice.any = instance;
		if (instance->library != library)
			sort = is_free ? &choice.free_elsewhere : NULL;
		else if (is_obtained && instance->thread == p11_thread()->number)
			sort = &choice.of_thread;
		else if (is_free)
			sort = is_obtained ? &choice.obtained : &choice.finalized;
		if (sort && is_older(instance, *sort))
			*sort = instance;
		choice.n_obtained += is_obtained && instance->library == library;
	}
	return choice;
}

/*
 * A context that no proxy had yet, NULL if there is none. It is begun at once: before we have read
 * its configuration, another look-up may share it, also one that a module makes while we load it.
 */
static struct p11_instance *
new_locked(const char *only, bool first)
{
	int number = p11_context_take(first);

	if (number == P11_NO_CONTEXT)
		return NULL;
	p11_instances[number].only = only;
	p11_context_begin((unsigned)number, &p11_proxy_kind, &p11_instances[number]);
	return &p11_instances[number];
}

/* *is_dry: the pool has none left, and it is another consumer's. */
static struct p11_instance *
claim_locked(const void *library, const char *only, bool *is_dry)
{
	static unsigned long long n_lookups;
	struct choice choice = choose_locked(library, only);
	struct p11_instance *claimed = choice.of_thread ? choice.of_thread : choice.finalized;

	if (!claimed && choice.n_obtained >= MAX_OBTAINED)
		claimed = choice.obtained;
	if (!claimed)
		claimed = new_locked(only, !choice.any);
	if (!claimed) {
		claimed = choice.free_elsewhere;
		*is_dry = !claimed;
	}
	if (!claimed)
		claimed = choice.any;
	if (!claimed)
		return NULL;

	if (claimed->state == P11_INSTANCE_FINALIZED)
		atomic_store(&claimed->has_3x, false);
	if (claimed->state != P11_INSTANCE_UP)
		claimed->state = P11_INSTANCE_OBTAINED;
	claimed->library = library;
	claimed->thread = p11_thread()->number;
	claimed->obtained = ++n_lookups;
	return claimed;
}

/* The instance that this look-up gets; its modules are mapped now, since sandboxes close before
 * C_Initialize. */
static CK_RV
look_up(const void *caller, const char *name, struct p11_instance **out)
{
	const void *library = library_of(caller);
	const char *only = p11_intern(name);
	bool is_dry = false;

	if (name && !only)
		return p11_fail(CKR_HOST_MEMORY, "no memory for the name of a module");

	p11_fork_check();
	p11_hold(&p11_proxy_lock);
	struct p11_instance *claimed = claim_locked(library, only, &is_dry);
	p11_let_go(&p11_proxy_lock);
	if (!claimed)
		return p11_fail(CKR_HOST_MEMORY, "no function table is free; release some");

	CK_RV rv = p11_instance_configure(claimed, false);
	if (is_dry)
		p11_message("no function table is free; this consumer shares one, and its slots "
			    "and sessions, with another");
	*out = claimed;
	return atomic_load(&claimed->links) ? CKR_OK : rv;
}

/* ---- the three look-ups ---- */

CK_RV
p11_proxy_get_function_list(const void *caller, const char *only, CK_FUNCTION_LIST_PTR_PTR list)
{
	struct p11_instance *instance;

	if (!list)
		return p11_fail(CKR_ARGUMENTS_BAD, "C_GetFunctionList needs a place for the list");
	CK_RV rv = look_up(caller, only, &instance);
	return rv == CKR_OK ? get_function_list(list, instance) : rv;
}

CK_RV
p11_proxy_get_interface(const void *caller, const char *only, const CK_UTF8CHAR *name,
			const CK_VERSION *version, CK_INTERFACE_PTR_PTR interface, CK_FLAGS flags)
{
	struct p11_instance *instance;

	if (!interface)
		return p11_fail(CKR_ARGUMENTS_BAD,
				"C_GetInterface needs a place for the interface");
	CK_RV rv = look_up(caller, only, &instance);
	return rv == CKR_OK ? get_interface((CK_UTF8CHAR_PTR)(uintptr_t)name,
					    (CK_VERSION_PTR)(uintptr_t)version, interface, flags,
					    instance)
			    : rv;
}

CK_RV
p11_proxy_get_interface_list(const void *caller, const char *only, CK_INTERFACE_PTR list,
			     CK_ULONG_PTR count)
{
	struct p11_instance *instance;

	if (!count)
		return p11_fail(CKR_ARGUMENTS_BAD,
				"C_GetInterfaceList needs a place for the count");
	CK_RV rv = look_up(caller, only, &instance);
	return rv == CKR_OK ? get_interface_list(list, count, instance) : rv;
}

/* A child has no consumer that is initialized; what the parent's sessions and lists were is
 * abandoned. */
static void
reset_in_child(void)
{
	p11_proxy_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	for (unsigned i = 0, n = p11_context_n_taken(); i < n; i++) {
		struct p11_instance *instance = &p11_instances[i];
		struct p11_links *links = atomic_load(&instance->links);

		if (!links)
			continue;
		instance->n_inits = 0;
		instance->snapshots = NULL;
		atomic_store(&instance->owner, 0);
		if (instance->state == P11_INSTANCE_UP)
			instance->state = P11_INSTANCE_FINALIZED;
		for (P11_EACH_LINK(link, links))
			atomic_store(&link->up_for, 0);
		atomic_store(&instance->load_at_ms, 0);
	}
}

__attribute__((constructor)) static void
begin(void)
{
	static struct p11_fork_reset row = {.reset = reset_in_child};

	p11_fork_register(&row);
}
