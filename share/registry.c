/* SPDX-License-Identifier: BSD-3-Clause */
#include "share/registry.h"

#include "base/buffer.h"
#include "base/fork.h"
#include "base/intern.h"
#include "base/lock.h"
#include "base/message.h"
#include "config/program.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What was made of one file. */
struct reading_module {
	struct p11_module *_Atomic attached; /* a reference, or NULL so far */
	atomic_bool has_failed;              /* the last try to load it has */
	_Atomic off_t size;                  /* of its file */
	const char *_Atomic original; /* interned, or NULL: its file is a copy of that one's */
};

/*
 * One reading of the configuration, and the modules that were loaded for it. One that is partial
 * gives way to a later one that is not, and stays as long as that, since it is in use.
 */
struct reading {
	struct reading *older;          /* owned; constant once it is the present one */
	struct p11_config_set *set;     /* owned */
	struct reading_module *modules; /* owned; one for each of the set's */
};

/* The lock guards everything here. */
static struct {
	pthread_mutex_t lock;
	struct reading *_Atomic reading; /* owned; NULL: nothing read, or forgotten */
	unsigned long n_holds; /* see p11_registry_hold(); loads that are under way hold it too */
	struct p11_config_paths paths; /* strings owned; NULL: the built-in ones */
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct reading *
reading_free(struct reading *reading)
{
	while (reading) {
		struct reading *older = reading->older;
		for (size_t i = 0; reading->modules && i < reading->set->n_modules; i++)
			p11_module_unref(atomic_load(&reading->modules[i].attached));
		free(reading->modules);
		p11_config_set_free(reading->set);
		free(reading);
		reading = older;
	}
	return NULL;
}

static struct reading *
reading_new(const struct p11_config_paths *paths)
{
	struct reading *reading = calloc(1, sizeof *reading);

	if (!reading)
		return NULL;
	reading->set = p11_config_load(paths);
	if (reading->set)
		reading->modules = calloc(reading->set->n_modules + 1, sizeof *reading->modules);
	return reading->modules ? reading : reading_free(reading);
}

void
p11_registry_hold(void)
{
	p11_hold(&registry.lock);
	registry.n_holds++;
	p11_let_go(&registry.lock);
}

void
p11_registry_release(void)
{
	struct reading *forgotten = NULL;

	p11_hold(&registry.lock);
	if (--registry.n_holds == 0)
		forgotten = atomic_exchange(&registry.reading, NULL);
	p11_let_go(&registry.lock);
	reading_free(forgotten);
}

static char *
dup_or_null(const char *string)
{
	return string ? strdup(string) : NULL;
}

static void
paths_clear(struct p11_config_paths *paths)
{
	free((char *)paths->system_conf);
	free((char *)paths->user_conf);
	free((char *)paths->package_modules);
	free((char *)paths->system_modules);
	free((char *)paths->user_modules);
}

/* All or nothing: a path that got lost would be the built-in one. False without memory. */
static bool
paths_dup(const struct p11_config_paths *paths, struct p11_config_paths *out)
{
	*out = (struct p11_config_paths){
		.system_conf = dup_or_null(paths->system_conf),
		.user_conf = dup_or_null(paths->user_conf),
		.package_modules = dup_or_null(paths->package_modules),
		.system_modules = dup_or_null(paths->system_modules),
		.user_modules = dup_or_null(paths->user_modules),
	};
	if (!out->system_conf == !paths->system_conf && !out->user_conf == !paths->user_conf &&
	    !out->package_modules == !paths->package_modules &&
	    !out->system_modules == !paths->system_modules &&
	    !out->user_modules == !paths->user_modules)
		return true;
	paths_clear(out);
	return false;
}

/* Whether `fresh` is to be the present reading instead of `reading`, which may be NULL. */
static bool
is_better(const struct reading *fresh, const struct reading *reading)
{
	return fresh && (!reading || (reading->set->is_partial && !fresh->set->is_partial));
}

/*
 * The present reading, with one hold more, or a new one. Two threads may read at the same time; the
 * first that is ready wins. *is_new: read by this call.
 */
static struct reading *
hold_reading(bool *is_new)
{
	p11_hold(&registry.lock);
	registry.n_holds++;
	struct reading *reading = atomic_load(&registry.reading);
	struct p11_config_paths paths = {0}; /* a copy: files are read without the lock */
	bool is_whole = reading && !reading->set->is_partial;
	bool has_paths = !is_whole && paths_dup(&registry.paths, &paths);
	p11_let_go(&registry.lock);

	*is_new = false;
	if (is_whole)
		return reading;

	struct reading *fresh = has_paths ? reading_new(&paths) : NULL;
	if (has_paths)
		paths_clear(&paths);
	p11_hold(&registry.lock);
	reading = atomic_load(&registry.reading);
	if (is_better(fresh, reading)) {
		fresh->older = reading;
		reading = p11_steal(fresh);
		atomic_store(&registry.reading, reading);
		*is_new = true;
	}
	p11_let_go(&registry.lock);
	reading_free(fresh);
	if (!reading)
		p11_registry_release();
	return reading;
}

/* ---- one module ---- */

/* Whether an earlier file, of higher priority or name, has given the module its name already. */
static const char *
name_of_twin(const struct reading *reading, size_t before, const struct p11_module *module)
{
	for (size_t i = 0; i < before; i++) {
		if (atomic_load(&reading->modules[i].attached) == module)
			return p11_config_name(reading->set->modules[i]);
	}
	return NULL;
}

static off_t
size_of_file(const char *path)
{
	struct stat sb;

	return stat(path, &sb) == 0 ? sb.st_size : 0;
}

static FILE *
open_file(const struct p11_config *config)
{
	return fopen(p11_config_module_path(config), "rbe");
}

static bool
has_same_content(const struct p11_config *a, const struct p11_config *b)
{
	FILE *files[2] = {open_file(a), open_file(b)};
	char bytes[2][4096];
	size_t n[2] = {1, 1};
	bool is_same = files[0] && files[1];

	while (is_same && n[0] > 0) {
		for (int i = 0; i < 2; i++)
			n[i] = fread(bytes[i], 1, sizeof bytes[i], files[i]);
		is_same = n[0] == n[1] && memcmp(bytes[0], bytes[1], n[0]) == 0 &&
			  !ferror(files[0]) && !ferror(files[1]);
	}
	for (int i = 0; i < 2; i++) {
		if (files[i])
			fclose(files[i]);
	}
	return is_same;
}

/*
 * A copy of a file is a module of its own to everybody, but most likely shows the same tokens once
 * more, which users should know. Only files of the same size are read.
 */
static void
find_copies(struct reading *reading, size_t new)
{
	struct reading_module *modules = reading->modules;
	off_t size = atomic_load(&modules[new].size);

	for (size_t i = 0; size > 0 && i < reading->set->n_modules; i++) {
		struct p11_module *module = atomic_load(&modules[i].attached);
		size_t first = i < new ? i : new, second = i < new ? new : i;

		if (!module || module == atomic_load(&modules[new].attached) ||
		    atomic_load(&modules[i].size) != size ||
		    !has_same_content(reading->set->modules[i], reading->set->modules[new]))
			continue;
		const char *original = p11_config_name(reading->set->modules[first]);
		atomic_store(&modules[second].original, p11_intern(original));
	}
}

/* The argument of C_Initialize, interned, or NULL. False without memory. */
static bool
init_argument(const struct p11_config *config, bool verbose, const char **out)
{
	const char *reserved = p11_config_get(config, "x-init-reserved");
	P11_AUTO_BUFFER text = P11_BUFFER_INIT;

	*out = NULL;
	if (!reserved && !verbose)
		return true;
	p11_buffer_add_string(&text, reserved ? reserved : "");
	p11_buffer_add_string(&text, verbose ? " verbose=yes" : "");
	P11_AUTO_STRING joined = p11_buffer_steal(&text);
	*out = p11_intern(joined);
	return *out != NULL;
}

/* Gives the module its name and its options: all, since it might do harm without one. */
static CK_RV
describe(struct p11_module *module, const struct p11_config *config, bool verbose)
{
	const char *name = p11_intern(p11_config_name(config)), *reserved;

	if (!name || !init_argument(config, verbose, &reserved))
		return p11_fail(CKR_HOST_MEMORY, "module %s: no memory for its configuration",
				p11_config_name(config));
	atomic_store(&module->name, name);
	atomic_store(&module->reserved, reserved);
	atomic_store(&module->finalize_at_exit, p11_config_yes(config, "finalize-at-exit", false));
	if (p11_config_yes(config, "log-calls", false))
		p11_message(
			"module %s: log-calls is not available in this version; it works unlogged",
			p11_config_name(config));
	return CKR_OK;
}

/*
 * The files that this thread is just loading. A module that uses us while it is loaded (a
 * constructor, its C_GetFunctionList) sees every module but itself; so does our own proxy, if a
 * file names that.
 */
struct loading {
	const struct loading *outer;
	const struct p11_config *config;
};

static _Thread_local const struct loading *loading;

static bool
is_loading(const struct p11_config *config)
{
	const struct loading *inner = loading;

	while (inner && inner->config != config)
		inner = inner->outer;
	return inner != NULL;
}

static CK_RV
open_configured(const struct p11_config *config, struct p11_module **module)
{
	struct loading inner = {loading, config};
	const char *path = p11_config_module_path(config);
	P11_AUTO_STRING label = NULL; /* which file says so; only the path without memory */

	if (asprintf(&label, "%s: module %s: %s", p11_config_where(config, "module"),
		     p11_config_name(config), path) < 0)
		label = NULL;
	loading = &inner;
	CK_RV rv = p11_module_open(path, label, module);
	loading = inner.outer;
	return rv;
}

/* What is ours, and what another file of this reading names as well, keeps its own description. */
static CK_RV
open_and_describe(struct reading *reading, size_t i, bool verbose, struct p11_module **out)
{
	const struct p11_config *config = reading->set->modules[i];
	CK_RV rv = open_configured(config, out);

	if (rv != CKR_OK || (*out)->is_ours || name_of_twin(reading, i, *out))
		return rv;
	rv = describe(*out, config, verbose);
	if (rv != CKR_OK)
		p11_module_unref(*out);
	return rv;
}

/* Loads the module of the i-th file, unless it is loaded. On success the reading holds it. */
static CK_RV
attach(struct reading *reading, size_t i, bool verbose)
{
	const struct p11_config *config = reading->set->modules[i];
	struct p11_module *nobody = NULL, *module;

	if (atomic_load(&reading->modules[i].attached))
		return CKR_OK;

	CK_RV rv = open_and_describe(reading, i, verbose, &module);
	atomic_store(&reading->modules[i].has_failed, rv != CKR_OK);
	if (rv != CKR_OK)
		return rv;
	if (module->is_ours) {
		p11_module_unref(module);
		return p11_fail(
			CKR_FUNCTION_FAILED,
			"module %s: %s is p11-kit itself, which cannot be one of its own modules; "
			"remove the file, or name the vendor's module",
			p11_config_name(config), p11_config_where(config, "module"));
	}
	atomic_store(&reading->modules[i].size, size_of_file(p11_config_module_path(config)));
	if (atomic_compare_exchange_strong(&reading->modules[i].attached, &nobody, module))
		find_copies(reading, i);
	else
		p11_module_unref(module); /* another thread was first */
	return CKR_OK;
}

/* An empty path is how a module is left out on purpose; none at all is a slip. */
static void
say_no_path(const struct p11_config *config)
{
	const char *where = p11_config_origin(config);

	p11_message(
		"%s%smodule %s: no configuration file of that name has a line 'module: PATH'; it "
		"is left out",
		where ? where : "", where ? ": " : "", p11_config_name(config));
}

static void
say_kept_away(const struct p11_config *config)
{
	const char *where = p11_config_where(config, "enable-in");

	p11_message("%s: module %s: this line keeps it from the program '%s'",
		    where ? where : p11_config_where(config, "disable-in"), p11_config_name(config),
		    p11_program_name());
}

/* Whether the i-th file makes a module for this caller at all; says why not where that is worth a
 * word: that one is kept away only to who asks for it by name. */
static bool
is_wanted(const struct p11_config *config, unsigned flags, bool by_name)
{
	const char *remote = p11_config_get(config, "remote");

	if (!p11_config_enabled(config, p11_program_name(), flags & P11_REGISTRY_BY_PROXY)) {
		if (by_name)
			say_kept_away(config);
		return false;
	}
	if ((flags & P11_REGISTRY_TRUSTED) && !p11_config_yes(config, "trust-policy", false))
		return false;
	if (remote) {
		p11_message("module %s: %s: remote modules are not available in this version; it "
			    "is left out",
			    p11_config_name(config), p11_config_where(config, "remote"));
		return false;
	}
	if (!p11_config_get(config, "module")) {
		say_no_path(config);
		return false;
	}
	return p11_config_module_path(config) != NULL && !is_loading(config);
}

static CK_RV
aborted(const struct p11_config *config, CK_RV rv)
{
	char *reason = p11_message_dup();

	p11_message("aborting because module %s is critical: %s", p11_config_name(config),
		    reason ? reason : "it cannot be loaded");
	free(reason);
	return rv;
}

static void
say_copy(const struct p11_config *config, const char *original, const struct p11_found *found,
	 size_t n_found)
{
	for (size_t i = 0; original && i < n_found; i++) {
		if (strcmp(p11_config_name(found[i].config), original) == 0)
			p11_message("module %s: its file is a copy of that of module %s; both are "
				    "used, and may show the same tokens; if one is enough, remove "
				    "the other file",
				    p11_config_name(config), original);
	}
}

/* The name under which the module is found already. */
static const char *
name_of_found(const struct p11_found *found, size_t n_found, const struct p11_module *module)
{
	for (size_t i = 0; i < n_found; i++) {
		if (found[i].module == module)
			return p11_config_name(found[i].config);
	}
	return NULL;
}

static CK_RV
find_all(struct reading *reading, unsigned flags, const char *only, bool is_new,
	 struct p11_found *found, size_t *n_found)
{
	bool verbose = is_new && (flags & P11_REGISTRY_VERBOSE);

	for (size_t i = 0; i < reading->set->n_modules; i++) {
		const struct p11_config *config = reading->set->modules[i];
		bool is_critical = !(flags & P11_REGISTRY_NONE_CRITICAL) &&
				   ((flags & P11_REGISTRY_ALL_CRITICAL) ||
				    p11_config_yes(config, "critical", false));

		if ((only && strcmp(only, p11_config_name(config)) != 0) ||
		    !is_wanted(config, flags, only != NULL))
			continue;
		CK_RV rv = attach(reading, i, verbose);
		if (rv != CKR_OK && is_critical)
			return aborted(config, rv);
		if (rv != CKR_OK)
			continue;

		struct p11_module *module = atomic_load(&reading->modules[i].attached);
		const char *twin = name_of_found(found, *n_found, module);
		if (twin) {
			p11_message("module %s: it is the same module as %s, which comes first and "
				    "stands for "
				    "both; remove one of the two files",
				    p11_config_name(config), twin);
			continue;
		}
		say_copy(config, atomic_load(&reading->modules[i].original), found, *n_found);
		found[(*n_found)++] = (struct p11_found){p11_module_ref(module), config};
		p11_registry_hold();
	}
	return CKR_OK;
}

CK_RV
p11_registry_load(unsigned flags, const char *only, struct p11_found **out, size_t *n_out)
{
	bool is_new;
	size_t n_found = 0;

	p11_fork_check();
	struct reading *reading = hold_reading(&is_new);
	if (!reading)
		return p11_fail(CKR_HOST_MEMORY, "no memory for the configuration");

	CK_RV rv;
	struct p11_found *found = calloc(reading->set->n_modules + 1, sizeof *found);
	rv = found ? find_all(reading, flags, only, is_new, found, &n_found)
		   : p11_fail(CKR_HOST_MEMORY, "no memory for the configured modules");
	if (rv != CKR_OK) {
		for (size_t i = 0; i < n_found; i++) {
			p11_module_unref(found[i].module);
			p11_registry_release();
		}
		free(found);
		p11_registry_release();
		return rv;
	}
	p11_registry_release(); /* our own hold; those of the found ones remain */
	*out = found;
	*n_out = n_found;
	return CKR_OK;
}

/* Each module of the reading that is loaded and not found yet. */
static size_t
find_loaded(const struct reading *reading, struct p11_found *found, size_t n_found)
{
	for (size_t i = 0; i < reading->set->n_modules; i++) {
		struct p11_module *module = atomic_load(&reading->modules[i].attached);

		if (!module || name_of_found(found, n_found, module))
			continue;
		found[n_found++] =
			(struct p11_found){p11_module_ref(module), reading->set->modules[i]};
		p11_registry_hold();
	}
	return n_found;
}

void
p11_registry_say_none(void)
{
	p11_message("no module is configured for this program, or none can be loaded: there are no "
		    "slots; pkcs11.conf(5) tells how to add a module");
}

CK_RV
p11_registry_loaded(struct p11_found **out, size_t *n_out)
{
	struct p11_found *found = NULL;
	size_t n = 0;

	p11_fork_check();
	p11_registry_hold();
	const struct reading *reading = atomic_load(&registry.reading);
	for (const struct reading *each = reading; each; each = each->older)
		n += each->set->n_modules;
	if (reading)
		found = calloc(n + 1, sizeof *found);
	*n_out = 0;
	for (const struct reading *each = reading; found && each; each = each->older)
		*n_out = find_loaded(each, found, *n_out);
	if (found)
		*out = found;
	p11_registry_release();
	if (found)
		return CKR_OK;
	return reading ? p11_fail(CKR_HOST_MEMORY, "no memory for the configured modules")
		       : p11_fail(CKR_CRYPTOKI_NOT_INITIALIZED, "no configured module is loaded");
}

/* ---- questions ---- */

const struct p11_config *
p11_registry_config_of(const struct p11_module *module)
{
	const struct reading *reading =
		atomic_load_explicit(&registry.reading, memory_order_acquire);

	for (; reading; reading = reading->older) {
		for (size_t i = 0; i < reading->set->n_modules; i++) {
			if (atomic_load(&reading->modules[i].attached) == module)
				return reading->set->modules[i];
		}
	}
	return NULL;
}

bool
p11_registry_lacks_any(void)
{
	const struct reading *reading =
		atomic_load_explicit(&registry.reading, memory_order_acquire);
	bool lacks = false;

	for (size_t i = 0; reading && i < reading->set->n_modules; i++)
		lacks |= atomic_load(&reading->modules[i].has_failed);
	return lacks;
}

void
p11_registry_each_slot_base(void (*visit)(CK_ULONG base))
{
	const struct reading *reading =
		atomic_load_explicit(&registry.reading, memory_order_acquire);

	for (size_t i = 0; reading && i < reading->set->n_modules; i++) {
		CK_ULONG base;
		if (p11_config_slot_base(reading->set->modules[i], &base))
			visit(base);
	}
}

const struct p11_config *
p11_registry_global(void)
{
	const struct reading *reading =
		atomic_load_explicit(&registry.reading, memory_order_acquire);

	return reading ? reading->set->global : NULL;
}

/* Takes the path, if there is one. */
static void
replace(const char **place, const char *path)
{
	if (!path)
		return;
	const char *old = *place;
	*place = path; /* first: a child may be forked here */
	free((char *)old);
}

void
p11_registry_override(const struct p11_config_paths *paths)
{
	struct p11_config_paths copy;

	if (!paths_dup(paths, &copy)) {
		p11_message("no memory for other paths of the configuration; those of before stay");
		return;
	}
	p11_hold(&registry.lock);
	replace(&registry.paths.system_conf, copy.system_conf);
	replace(&registry.paths.user_conf, copy.user_conf);
	replace(&registry.paths.package_modules, copy.package_modules);
	replace(&registry.paths.system_modules, copy.system_modules);
	replace(&registry.paths.user_modules, copy.user_modules);
	p11_let_go(&registry.lock);
}

static void
reset_in_child(void)
{
	registry.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

__attribute__((constructor)) static void
begin(void)
{
	static struct p11_fork_reset row = {.reset = reset_in_child};

	p11_fork_register(&row);
}
