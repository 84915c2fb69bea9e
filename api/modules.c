/* SPDX-License-Identifier: BSD-3-Clause */
/* What p11-kit.h declares of modules: each function is documented there. */
#define P11_KIT_FUTURE_UNSTABLE_API 1
#include "p11-kit/p11-kit.h"

#include "api/label.h"

#include "base/base.h"
#include "base/message.h"
#include "config/config.h"
#include "pkcs11/names.h"
#include "share/managed.h"
#include "share/registry.h"
#include "share/shared.h"

#include <stdlib.h>
#include <string.h>

/* ---- pointers that callers have ---- */

/* The module behind a managed table or a module's own list: a new reference; NULL if it is unknown.
 */
static struct p11_module *
module_of(const CK_FUNCTION_LIST *list)
{
	struct p11_module *module = p11_managed_module(list);

	return module ? p11_module_ref(module) : p11_module_recognize(list);
}

/*
 * The pointer that a caller gets: a table of its own, or the module's list. Takes the reference,
 * and the registry's hold goes over to the pointer.
 */
static CK_RV
hand_out(struct p11_module *module, bool managed, CK_FUNCTION_LIST **out)
{
	CK_RV rv;

	if (managed) {
		rv = p11_managed_new(module, out);
	} else {
		struct p11_shared *shared = p11_shared_of(module);
		rv = shared ? CKR_OK : p11_fail(CKR_HOST_MEMORY, "no memory for a module");
		if (shared) {
			atomic_fetch_add(&shared->n_handed_out, 1);
			*out = atomic_load(&module->list);
		} else {
			p11_module_unref(module);
		}
	}
	if (rv != CKR_OK)
		p11_registry_release();
	return rv;
}

/* Takes an unmanaged pointer back; false if no caller has one. */
static bool
take_back(struct p11_module *module)
{
	struct p11_shared *shared = p11_shared_of(module);
	unsigned long n = shared ? atomic_load(&shared->n_handed_out) : 0;

	while (n > 0) {
		if (!atomic_compare_exchange_weak(&shared->n_handed_out, &n, n - 1))
			continue;
		if (n == 1)
			atomic_store(&shared->is_critical, false);
		return true;
	}
	return false;
}

static void
release(CK_FUNCTION_LIST *list)
{
	if (p11_managed_release(list)) {
		p11_registry_release();
		return;
	}

	struct p11_module *module = p11_module_recognize(list);
	bool is_ours = module && take_back(module);
	p11_module_unref(module);
	if (!is_ours) {
		p11_precondition("p11_kit_module_release",
				 "the module came from this library, and is not released yet");
		return;
	}
	p11_module_unref(module); /* the reference that the pointer held */
	p11_registry_release();
}

/* The message that says why stays. */
static void
release_all(CK_FUNCTION_LIST **modules)
{
	for (CK_FUNCTION_LIST **at = modules; *at; at++)
		release(*at);
	free(modules);
}

const char *
p11_label_of(const CK_FUNCTION_LIST *list)
{
	struct p11_module *module = module_of(list);
	const char *label = module ? p11_module_label(module) : "(unknown)";

	p11_module_unref(module);
	return label; /* interned */
}

/* Whether it was loaded with P11_KIT_MODULE_CRITICAL. */
static bool
is_made_critical(struct p11_module *module, const CK_FUNCTION_LIST *list)
{
	struct p11_shared *shared = module ? atomic_load(&module->shared) : NULL;

	if (p11_managed_module(list))
		return p11_managed_is_critical(list);
	return shared && atomic_load(&shared->is_critical);
}

static void
make_critical(struct p11_module *module, CK_FUNCTION_LIST *list)
{
	if (p11_managed_module(list))
		p11_managed_set_critical(list);
	else
		atomic_store(&p11_shared_of(module)->is_critical, true);
}

static int
flags_of(const CK_FUNCTION_LIST *list)
{
	p11_registry_hold();

	struct p11_module *module = module_of(list);
	const struct p11_config *config = module ? p11_registry_config_of(module) : NULL;
	int flags = 0;

	if (!p11_managed_module(list))
		flags |= P11_KIT_MODULE_UNMANAGED;
	if (!config || p11_config_yes(config, "critical", false) || is_made_critical(module, list))
		flags |= P11_KIT_MODULE_CRITICAL;
	if (config && p11_config_yes(config, "trust-policy", false))
		flags |= P11_KIT_MODULE_TRUSTED;
	p11_registry_release();
	p11_module_unref(module);
	return flags;
}

/* ---- lists of modules ---- */

/* Takes all that was found; what cannot be handed out is left out, unless `flags` make every
 * failure everybody's. */
static CK_RV
hand_out_all(const struct p11_found *found, size_t n_found, int flags, CK_FUNCTION_LIST **modules)
{
	CK_RV failure = CKR_OK;
	size_t n = 0;

	for (size_t i = 0; i < n_found; i++) {
		bool managed = !(flags & P11_KIT_MODULE_UNMANAGED) &&
			       p11_config_yes(found[i].config, "managed", true);
		CK_RV rv = hand_out(found[i].module, managed, &modules[n]);
		if (rv != CKR_OK) {
			failure = rv;
			continue;
		}
		if (flags & P11_KIT_MODULE_CRITICAL)
			make_critical(found[i].module, modules[n]);
		n++;
	}
	modules[n] = NULL;
	return (flags & P11_KIT_MODULE_CRITICAL) ? failure : CKR_OK;
}

static CK_FUNCTION_LIST **
load_modules(int flags)
{
	unsigned wanted = ((flags & P11_KIT_MODULE_CRITICAL) ? P11_REGISTRY_ALL_CRITICAL : 0) |
			  ((flags & P11_KIT_MODULE_TRUSTED) ? P11_REGISTRY_TRUSTED : 0) |
			  ((flags & P11_KIT_MODULE_VERBOSE) ? P11_REGISTRY_VERBOSE : 0);
	struct p11_found *found;
	size_t n_found;

	if (p11_registry_load(wanted, NULL, &found, &n_found) != CKR_OK)
		return NULL;

	if (n_found == 0 && !p11_message_last())
		p11_registry_say_none();
	CK_FUNCTION_LIST **modules = calloc(n_found + 1, sizeof *modules);
	CK_FUNCTION_LIST *dropped = NULL;
	if (!modules)
		p11_message("no memory for the modules");
	for (size_t i = 0; !modules && i < n_found; i++) {
		if (hand_out(found[i].module, false, &dropped) == CKR_OK)
			release(dropped);
	}
	if (modules && hand_out_all(found, n_found, flags, modules) != CKR_OK) {
		release_all(modules);
		modules = NULL;
	}
	free(found);
	return modules;
}

P11_EXPORT CK_FUNCTION_LIST **
p11_kit_modules_load(const char *reserved, int flags)
{
	P11_NO_CANCEL;

	if (p11_broken(reserved == NULL))
		return NULL;
	p11_message_clear();
	return load_modules(flags & P11_KIT_MODULE_MASK);
}

/* CKR_OK also for a module that was up already: *begun says whether we have something to undo. */
static CK_RV
initialize_one(CK_FUNCTION_LIST *module, bool *begun)
{
	CK_RV rv = module->C_Initialize(NULL);

	*begun = rv == CKR_OK;
	if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) {
		p11_message("module %s: it was already initialized", p11_label_of(module));
		return CKR_OK;
	}
	if (rv != CKR_OK)
		p11_message("module %s: C_Initialize failed with %s: %s", p11_label_of(module),
			    p11_rv_name(rv, (char[24]){0}), p11_error_text(rv));
	return rv;
}

/* The callback may release the module, and must not cost the message that names it. */
static void
report_failed(CK_FUNCTION_LIST *module, p11_kit_destroyer failure_callback)
{
	char *message = p11_message_dup();

	if (failure_callback)
		failure_callback(module);
	p11_message_restore(message);
}

/*
 * Those that fail are taken out. `flags`: P11_KIT_MODULE_CRITICAL makes every failure everybody's.
 * `begun`, if it is not NULL: for each that is kept, whether it was we who initialized it.
 */
static CK_RV
initialize_all(CK_FUNCTION_LIST **modules, p11_kit_destroyer failure_callback, int flags,
	       bool *begun)
{
	CK_FUNCTION_LIST **kept = modules;
	CK_RV failure = CKR_OK;

	for (CK_FUNCTION_LIST **at = modules; *at; at++) {
		bool is_critical = (flags | flags_of(*at)) & P11_KIT_MODULE_CRITICAL;
		bool by_us;
		CK_RV rv = initialize_one(*at, &by_us);

		if (rv == CKR_OK) {
			if (begun)
				begun[kept - modules] = by_us;
			*kept++ = *at;
			continue;
		}
		if (is_critical)
			failure = rv;
		report_failed(*at, failure_callback);
	}
	*kept = NULL;
	return failure;
}

P11_EXPORT CK_RV
p11_kit_modules_initialize(CK_FUNCTION_LIST **modules, p11_kit_destroyer failure_callback)
{
	P11_NO_CANCEL;

	if (p11_broken(modules != NULL))
		return CKR_ARGUMENTS_BAD;
	return initialize_all(modules, failure_callback, 0, NULL);
}

static void
release_as_callback(void *module)
{
	release(module);
}

static size_t
count(CK_FUNCTION_LIST **modules)
{
	size_t n = 0;

	while (modules[n])
		n++;
	return n;
}

/* What we have initialized is finalized, in reverse order, and the message that says why stays. */
static void
undo(CK_FUNCTION_LIST **modules, const bool *begun)
{
	char *message = p11_message_dup();

	for (size_t i = count(modules); i > 0; i--) {
		if (begun && begun[i - 1])
			(void)modules[i - 1]->C_Finalize(NULL);
	}
	p11_kit_modules_release(modules);
	p11_message_restore(message);
}

P11_EXPORT CK_FUNCTION_LIST **
p11_kit_modules_load_and_initialize(int flags)
{
	P11_NO_CANCEL;
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, flags);

	if (!modules)
		return NULL;

	bool *begun = calloc(count(modules) + 1, sizeof *begun);
	CK_RV rv = begun ? initialize_all(modules, release_as_callback, flags, begun)
			 : p11_fail(CKR_HOST_MEMORY, "no memory for the modules");
	if (rv != CKR_OK) {
		undo(modules, begun);
		modules = NULL;
	}
	free(begun);
	return modules;
}

P11_EXPORT CK_RV
p11_kit_modules_finalize(CK_FUNCTION_LIST **modules)
{
	CK_RV failure = CKR_OK;

	if (p11_broken(modules != NULL))
		return CKR_ARGUMENTS_BAD;
	for (; *modules; modules++) {
		CK_RV rv = p11_kit_module_finalize(*modules);
		if (rv != CKR_OK)
			failure = rv;
	}
	return failure;
}

P11_EXPORT void
p11_kit_modules_release(CK_FUNCTION_LIST **modules)
{
	P11_NO_CANCEL;

	if (p11_broken(modules != NULL))
		return;
	p11_message_clear();
	release_all(modules);
}

P11_EXPORT void
p11_kit_modules_finalize_and_release(CK_FUNCTION_LIST **modules)
{
	if (p11_broken(modules != NULL))
		return;
	(void)p11_kit_modules_finalize(modules);
	p11_kit_modules_release(modules);
}

/* ---- one module ---- */

static bool
is_managed_by_configuration(const struct p11_config *config)
{
	const struct p11_config *global = p11_registry_global();

	if (config)
		return p11_config_yes(config, "managed", true);
	return !global || p11_config_yes(global, "managed", true);
}

P11_EXPORT CK_FUNCTION_LIST *
p11_kit_module_load(const char *module_path, int flags)
{
	P11_NO_CANCEL;
	CK_FUNCTION_LIST *list;
	struct p11_module *module;

	if (p11_broken(module_path != NULL))
		return NULL;
	p11_message_clear();

	P11_AUTO_STRING path = p11_paths_join(p11_paths_complete(NULL).module_dir, module_path);
	if (!path)
		p11_message("module %s: no memory", module_path);
	if (!path || p11_module_open(path, NULL, &module) != CKR_OK)
		return NULL;

	p11_registry_hold();
	const struct p11_config *config = p11_registry_config_of(module);
	if ((flags & P11_KIT_MODULE_TRUSTED) &&
	    !(config && p11_config_yes(config, "trust-policy", false))) {
		p11_message("module %s: no configuration file gives it trust-policy: yes",
			    p11_module_label(module));
		p11_module_unref(module);
		p11_registry_release();
		return NULL;
	}
	bool managed = !(flags & P11_KIT_MODULE_UNMANAGED) && is_managed_by_configuration(config);
	if (hand_out(module, managed, &list) != CKR_OK)
		return NULL;
	if (flags & P11_KIT_MODULE_CRITICAL)
		p11_managed_set_critical(list);
	return list;
}

P11_EXPORT CK_RV
p11_kit_module_initialize(CK_FUNCTION_LIST *module)
{
	P11_NO_CANCEL;

	if (p11_broken(module != NULL))
		return CKR_ARGUMENTS_BAD;
	CK_RV rv = module->C_Initialize(NULL);
	if (rv != CKR_OK)
		p11_message("module %s: C_Initialize failed with %s: %s", p11_label_of(module),
			    p11_rv_name(rv, (char[24]){0}), p11_error_text(rv));
	return rv;
}

P11_EXPORT CK_RV
p11_kit_module_finalize(CK_FUNCTION_LIST *module)
{
	P11_NO_CANCEL;

	if (p11_broken(module != NULL))
		return CKR_ARGUMENTS_BAD;
	CK_RV rv = module->C_Finalize(NULL);
	if (rv != CKR_OK)
		p11_message("module %s: C_Finalize failed with %s: %s", p11_label_of(module),
			    p11_rv_name(rv, (char[24]){0}), p11_error_text(rv));
	return rv;
}

P11_EXPORT void
p11_kit_module_release(CK_FUNCTION_LIST *module)
{
	P11_NO_CANCEL;

	if (p11_broken(module != NULL))
		return;
	p11_message_clear();
	release(module);
}

/* ---- questions ---- */

/* The caller's copy, which is NULL without memory too: then a message says so. */
static char *
copy_of(const char *string)
{
	char *copy = string ? strdup(string) : NULL;

	if (string && !copy)
		p11_message("no memory for a copy of '%.60s'", string);
	return copy;
}

static char *
name_of(const CK_FUNCTION_LIST *list)
{
	p11_registry_hold();

	struct p11_module *module = module_of(list);
	const struct p11_config *config = module ? p11_registry_config_of(module) : NULL;
	char *name = config ? copy_of(p11_config_name(config)) : NULL;

	p11_registry_release();
	p11_module_unref(module);
	return name;
}

P11_EXPORT CK_FUNCTION_LIST *
p11_kit_module_for_name(CK_FUNCTION_LIST **modules, const char *name)
{
	if (p11_broken(name != NULL) || !modules)
		return NULL;
	p11_message_clear();
	for (; *modules; modules++) {
		P11_AUTO_STRING its_name = name_of(*modules);
		if (its_name && strcmp(its_name, name) == 0)
			return *modules;
	}
	return NULL;
}

P11_EXPORT char *
p11_kit_module_get_name(CK_FUNCTION_LIST *module)
{
	if (p11_broken(module != NULL))
		return NULL;
	p11_message_clear();
	return name_of(module);
}

P11_EXPORT char *
p11_kit_module_get_filename(CK_FUNCTION_LIST *module)
{
	if (p11_broken(module != NULL))
		return NULL;
	p11_message_clear();

	struct p11_module *found = module_of(module);
	const char *path = found ? atomic_load(&found->path) : NULL;
	p11_module_unref(found);
	return copy_of(path);
}

P11_EXPORT int
p11_kit_module_get_flags(CK_FUNCTION_LIST *module)
{
	if (p11_broken(module != NULL))
		return 0;
	p11_message_clear();
	return flags_of(module);
}

P11_EXPORT char *
p11_kit_config_option(CK_FUNCTION_LIST *module, const char *option)
{
	if (p11_broken(option != NULL))
		return NULL;
	p11_message_clear();

	p11_registry_hold();
	const struct p11_config *config = p11_registry_global();
	if (module) {
		struct p11_module *found = module_of(module);
		config = found ? p11_registry_config_of(found) : NULL;
		p11_module_unref(found);
	}
	const char *value = config ? p11_config_get(config, option) : NULL;
	char *copy = copy_of(value);
	p11_registry_release();
	return copy;
}

P11_EXPORT void
p11_kit_override_system_files(const char *system_conf, const char *user_conf,
			      const char *package_modules, const char *system_modules,
			      const char *user_modules)
{
	p11_registry_override(&(struct p11_config_paths){
		.system_conf = system_conf,
		.user_conf = user_conf,
		.package_modules = package_modules,
		.system_modules = system_modules,
		.user_modules = user_modules,
	});
}
