/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The modules of one instance: what is configured at its look-up and its first C_Initialize becomes
 * its links, and what could not be loaded then is appended when it can. Links that an instance had
 * are kept, since a late call may still look at them.
 */
#include "proxy/instance.h"

#include "base/fork.h"
#include "base/intern.h"
#include "base/lock.h"
#include "base/message.h"
#include "proxy/numbering.h"
#include "share/registry.h"

#include <limits.h>
#include <stdlib.h>

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
			    "that the program loaded must be that of the module's file, %s.module",
			    only, only);
	else
		p11_registry_say_none();
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
