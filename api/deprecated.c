/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What deprecated.h declares: the callers here have the modules' own lists and count through us.
 * Each successful initialization holds the module and the registry, until its finalization.
 */
#define P11_KIT_NO_DEPRECATIONS 1
#include "p11-kit/p11-kit.h"

#include "base/base.h"
#include "base/message.h"
#include "config/config.h"
#include "share/registry.h"
#include "share/shared.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Counted, and the registry is held on success; from before it counts, since another thread may end
 * it at once. */
static CK_RV
initialize(struct p11_module *module)
{
	p11_registry_hold();
	CK_RV rv = p11_shared_initialize(module);

	if (rv != CKR_OK)
		p11_registry_release();
	return rv;
}

static CK_RV
finalize(struct p11_module *module)
{
	CK_RV rv = p11_shared_finalize(module);

	if (rv == CKR_OK)
		p11_registry_release();
	return rv;
}

static void
drop_found(struct p11_found *found, size_t n_found)
{
	for (size_t i = 0; i < n_found; i++) {
		p11_module_unref(found[i].module);
		p11_registry_release();
	}
	free(found);
}

static bool
is_counted(struct p11_module *module)
{
	struct p11_shared *shared = p11_shared_of(module);

	return shared && p11_life_is_up(&shared->unmanaged);
}

/* ---- modules that the caller loaded ---- */

P11_EXPORT CK_RV
p11_kit_initialize_module(CK_FUNCTION_LIST_PTR module)
{
	P11_NO_CANCEL;
	struct p11_module *known;

	if (p11_broken(module != NULL))
		return CKR_ARGUMENTS_BAD;
	p11_message_clear();
	CK_RV rv = p11_module_adopt(module, &known);
	if (rv != CKR_OK)
		return rv;
	rv = initialize(known);
	p11_module_unref(known);
	return rv;
}

P11_EXPORT CK_RV
p11_kit_finalize_module(CK_FUNCTION_LIST_PTR module)
{
	P11_NO_CANCEL;

	if (p11_broken(module != NULL))
		return CKR_ARGUMENTS_BAD;
	p11_message_clear();
	struct p11_module *known = p11_module_find(module);
	if (!known)
		return p11_fail(
			CKR_ARGUMENTS_BAD,
			"p11_kit_finalize_module was given a module that nobody initialized here");
	CK_RV rv = finalize(known);
	p11_module_unref(known);
	return rv;
}

P11_EXPORT CK_RV
p11_kit_load_initialize_module(const char *module_path, CK_FUNCTION_LIST_PTR *module)
{
	P11_NO_CANCEL;
	struct p11_module *loaded;

	if (p11_broken(module_path != NULL) || p11_broken(module != NULL))
		return CKR_ARGUMENTS_BAD;
	p11_message_clear();

	P11_AUTO_STRING path = p11_paths_join(p11_paths_complete(NULL).module_dir, module_path);
	CK_RV rv = path ? p11_module_open(path, NULL, &loaded)
			: p11_fail(CKR_HOST_MEMORY, "module %s: no memory", module_path);
	if (rv != CKR_OK)
		return rv;
	rv = initialize(loaded);
	if (rv == CKR_OK)
		*module = atomic_load(&loaded->list);
	p11_module_unref(loaded);
	return rv;
}

/* ---- configured modules ---- */

/* A critical failure undoes what this call has done: *done says which of the found ones that is. */
static CK_RV
initialize_found(const struct p11_found *found, size_t n_found, bool *done)
{
	for (size_t i = 0; i < n_found; i++) {
		CK_RV rv = initialize(found[i].module);
		done[i] = rv == CKR_OK;
		if (rv == CKR_OK || !p11_config_yes(found[i].config, "critical", false))
			continue;

		char *message = p11_message_dup();
		while (i-- > 0) {
			if (done[i])
				(void)finalize(found[i].module);
		}
		p11_message_restore(message);
		return rv;
	}
	return CKR_OK;
}

/* p11_kit_initialize_registered() that succeeded, less p11_kit_finalize_registered(): each holds
 * the registry, also where no module is configured. */
static atomic_ulong n_registered;

P11_EXPORT CK_RV
p11_kit_initialize_registered(void)
{
	P11_NO_CANCEL;
	struct p11_found *found;
	size_t n_found;

	p11_message_clear();
	p11_registry_hold();
	CK_RV rv = p11_registry_load(0, NULL, &found, &n_found);
	if (rv == CKR_OK) {
		bool *done = calloc(n_found + 1, sizeof *done);
		rv = done ? initialize_found(found, n_found, done)
			  : p11_fail(CKR_HOST_MEMORY, "no memory for the configured modules");
		free(done);
		drop_found(found, n_found);
	}
	if (rv == CKR_OK)
		atomic_fetch_add(&n_registered, 1);
	else
		p11_registry_release();
	return rv;
}

static bool
take_registered(void)
{
	unsigned long n = atomic_load(&n_registered);

	while (n > 0) {
		if (atomic_compare_exchange_weak(&n_registered, &n, n - 1))
			return true;
	}
	return false;
}

P11_EXPORT CK_RV
p11_kit_finalize_registered(void)
{
	P11_NO_CANCEL;
	struct p11_found *found;
	size_t n_found;

	p11_message_clear();
	CK_RV rv = p11_registry_loaded(&found, &n_found);
	if (rv != CKR_OK)
		return rv;
	for (size_t i = n_found; i > 0; i--) {
		if (is_counted(found[i - 1].module))
			(void)finalize(found[i - 1].module);
	}
	drop_found(found, n_found);
	if (take_registered())
		p11_registry_release();
	return CKR_OK;
}

P11_EXPORT CK_FUNCTION_LIST_PTR *
p11_kit_registered_modules(void)
{
	P11_NO_CANCEL;
	struct p11_found *found;
	size_t n_found, n = 0;

	p11_message_clear();
	if (!p11_registry_global() ||
	    p11_registry_load(P11_REGISTRY_NONE_CRITICAL, NULL, &found, &n_found) != CKR_OK)
		return NULL;
	CK_FUNCTION_LIST_PTR *modules = calloc(n_found + 1, sizeof *modules);
	if (!modules)
		p11_message("no memory for the registered modules");
	for (size_t i = 0; modules && i < n_found; i++) {
		if (is_counted(found[i].module))
			modules[n++] = atomic_load(&found[i].module->list);
	}
	drop_found(found, n_found);
	return modules;
}

P11_EXPORT CK_FUNCTION_LIST_PTR
p11_kit_registered_name_to_module(const char *name)
{
	CK_FUNCTION_LIST_PTR *modules, found;

	if (p11_broken(name != NULL))
		return NULL;
	modules = p11_kit_registered_modules();
	found = p11_kit_module_for_name(modules, name);
	free(modules);
	return found;
}

P11_EXPORT char *
p11_kit_registered_module_to_name(CK_FUNCTION_LIST_PTR module)
{
	return p11_kit_module_get_name(module);
}

P11_EXPORT char *
p11_kit_registered_option(CK_FUNCTION_LIST_PTR module, const char *field)
{
	struct p11_module *known = module ? p11_module_recognize(module) : NULL;
	char *value = p11_kit_config_option(known ? module : NULL, field);

	p11_module_unref(known);
	return value;
}
