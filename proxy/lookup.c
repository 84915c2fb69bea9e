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
#include "proxy/numbering.h"
#include "share/registry.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Of instances that one library obtained and never initialized, this many are kept apart. */
#define MAX_OBTAINED 16

/* ---- configuration ---- */

static void
link_free(struct p11_link *link)
{
	p11_module_unref(link->module);
	p11_registry_release();
	free(link);
}

static void
links_free(struct p11_links *links)
{
	struct p11_link *link = atomic_load(&links->first);

	while (link) {
		struct p11_link *next = atomic_load(&link->next);
		link_free(link);
		link = next;
	}
	free(links);
}

/*
 * Takes what was found, also on failure: NULL without memory. Where it is the only one, its failure
 * is everybody's, and its slots have its own ids.
 */
static struct p11_link *
link_new(const struct p11_found *found, bool keeps_ids)
{
	struct p11_shared *shared = p11_shared_of(found->module);
	const char *name = shared ? p11_intern(p11_config_name(found->config)) : NULL;
	struct p11_link *link = name ? calloc(1, sizeof *link) : NULL;

	if (!link) {
		p11_module_unref(found->module);
		p11_registry_release();
		return NULL;
	}
	link->module = found->module;
	link->slots = &shared->slots;
	link->name = name;
	link->has_base = p11_config_slot_base(found->config, &link->base);
	link->is_critical = keeps_ids || p11_config_yes(found->config, "critical", false);
	link->keeps_ids = keeps_ids;
	return link;
}

/* Takes the link. Of several threads of one instance only one appends at a time. */
static void
append(struct p11_links *links, struct p11_link *link)
{
	struct p11_link *_Atomic *end = &links->first;

	while (atomic_load(end))
		end = &atomic_load(end)->next;
	atomic_store_explicit(end, link, memory_order_release);
}

/* Takes what was found, also on failure: NULL without memory. */
static struct p11_links *
links_new(const struct p11_found *found, size_t n_found, bool keeps_ids)
{
	struct p11_links *links = calloc(1, sizeof *links);
	bool is_whole = links;

	for (size_t i = 0; i < n_found; i++) {
		struct p11_link *link = link_new(&found[i], keeps_ids);
		is_whole = is_whole && link;
		if (link && links)
			append(links, link);
		else if (link)
			link_free(link);
	}
	if (is_whole)
		return links;
	if (links)
		links_free(links);
	return NULL;
}

static bool
is_same(const struct p11_links *a, const struct p11_links *b)
{
	const struct p11_link *x = a ? atomic_load(&a->first) : NULL;
	const struct p11_link *y = atomic_load(&b->first);

	while (x && y && x->module == y->module && x->name == y->name &&
	       x->has_base == y->has_base && x->base == y->base &&
	       x->is_critical == y->is_critical) {
		x = atomic_load(&x->next);
		y = atomic_load(&y->next);
	}
	return a && !x && !y;
}

/* Gives the instance these links, unless it has the same already, or is initialized. */
static void
set_links(struct p11_instance *instance, struct p11_links *links)
{
	bool is_set = false;

	p11_hold(&p11_proxy_lock);
	struct p11_links *known = atomic_load(&instance->links);
	if (instance->n_inits == 0 && !is_same(known, links)) {
		links->older = known;
		atomic_store_explicit(&instance->links, links, memory_order_release);
		is_set = true;
	}
	p11_let_go(&p11_proxy_lock);
	if (!is_set)
		links_free(links);
}

static void
say_nothing_found(const char *only)
{
	if (only)
		p11_message("no module '%s' is configured for this program; the name of the file "
			    "that the "
			    "program loaded must be that of the module's file, %s.module",
			    only, only);
	else
		p11_message("no module is configured for this program, or none can be loaded: "
			    "there are no slots; pkcs11.conf(5) tells how to add a module");
}

/* A shim's program is enabled by its own name; the proxy's also by that of the proxy. */
static unsigned
flags_of(const struct p11_instance *instance)
{
	return instance->only ? 0 : P11_REGISTRY_BY_PROXY;
}

/*
 * A program that finds no slots is told why: by what was said of a file or a module, else by us.
 * An older message of the thread stays where there is nothing new.
 */
static CK_RV
load_and_explain(const struct p11_instance *instance, bool strict, struct p11_found **found,
		 size_t *n_found)
{
	unsigned flags = flags_of(instance) | (strict ? 0 : P11_REGISTRY_NONE_CRITICAL);
	char *older = p11_message_dup();

	p11_message_clear();
	CK_RV rv = p11_registry_load(flags, instance->only, found, n_found);
	if (rv == CKR_OK && *n_found == 0 && !p11_message_last())
		say_nothing_found(instance->only);
	if (rv == CKR_OK && *n_found == 0 && instance->only) {
		free(*found);
		rv = CKR_GENERAL_ERROR;
	}
	if (p11_message_last())
		free(older);
	else
		p11_message_restore(older);
	return rv;
}

CK_RV
p11_instance_configure(struct p11_instance *instance, bool strict)
{
	struct p11_found *found;
	size_t n_found;
	p11_registry_hold();
	CK_RV rv = load_and_explain(instance, strict, &found, &n_found);

	if (rv != CKR_OK) {
		p11_registry_release();
		return rv;
	}
	atomic_store(&instance->lacks_any, p11_registry_lacks_any());
	p11_registry_each_slot_base(p11_numbering_keep_free);
	struct p11_links *links = links_new(found, n_found, instance->only);
	p11_registry_release();
	free(found);
	if (!links)
		return p11_fail(CKR_HOST_MEMORY, "no memory for the proxy");
	set_links(instance, links);
	return CKR_OK;
}

static bool
has_module(struct p11_links *links, const struct p11_module *module)
{
	for (P11_EACH_LINK(link, links)) {
		if (link->module == module)
			return true;
	}
	return false;
}

/* Takes what was found. */
static void
append_missing(struct p11_instance *instance, unsigned long long owner,
	       const struct p11_found *found)
{
	struct p11_links *links = atomic_load(&instance->links);
	struct p11_link *link = link_new(found, instance->only);
	bool is_appended = false;

	if (!link)
		return;
	p11_hold(&p11_proxy_lock);
	if (atomic_load(&instance->owner) == owner && !has_module(links, link->module)) {
		append(links, link);
		is_appended = true;
	}
	p11_let_go(&p11_proxy_lock);
	if (!is_appended)
		link_free(link);
}

void
p11_instance_load_missing(struct p11_instance *instance, unsigned long long owner)
{
	P11_NO_CANCEL;
	long long began = p11_slots_now_ms(), at = atomic_load(&instance->load_at_ms);
	unsigned generation = p11_fork_generation();
	struct p11_found *found;
	size_t n_found;

	/* Where nothing is missing no file is opened: the process may be in a sandbox by now. */
	if (!atomic_load(&instance->lacks_any) || began < at || p11_module_thread_is_inside() ||
	    !atomic_compare_exchange_strong(&instance->load_at_ms, &at, LLONG_MAX))
		return;
	p11_registry_hold();
	if (p11_registry_load(flags_of(instance) | P11_REGISTRY_NONE_CRITICAL, instance->only,
			      &found, &n_found) == CKR_OK) {
		for (size_t i = 0; i < n_found; i++)
			append_missing(instance, owner, &found[i]);
		free(found);
		atomic_store(&instance->lacks_any, p11_registry_lacks_any());
	}
	p11_registry_release();
	if (generation == p11_fork_generation())
		atomic_store(&instance->load_at_ms, p11_slots_retry_at_ms(began));
}

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
		return p11_fail(CKR_HOST_MEMORY, "all %u function tables are in use; release some",
				P11_N_CONTEXTS);

	CK_RV rv = p11_instance_configure(claimed, false);
	if (is_dry)
		p11_message("all %u function tables are in use; this consumer shares one, and its "
			    "slots and "
			    "sessions, with another",
			    P11_N_CONTEXTS);
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
