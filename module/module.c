/* SPDX-License-Identifier: BSD-3-Clause */
/* The list of this process's modules, and how a file becomes one. Their life is in life.c. */
#include "module/module.h"

#include "base/fork.h"
#include "base/intern.h"
#include "base/lock.h"
#include "base/message.h"
#include "pkcs11/names.h"
#include "pkcs11/pool.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

struct p11_module_table {
	union p11_table table;
	struct p11_module_table *older;
};

/* The lock guards `first`, every module's `next`, `n_refs`, `was_started`, `has_file_list` and
 * `handle`, and who may add to its `tables` and replace its `table`. */
static struct {
	pthread_mutex_t lock;
	struct p11_module *_Atomic first;
} modules = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The mapped file that holds an address, or NULL. */
static struct link_map *
object_of(const void *address)
{
	Dl_info ignored;
	struct link_map *map = NULL;

	return dladdr1(address, &ignored, (void **)&map, RTLD_DL_LINKMAP) ? map : NULL;
}

static struct link_map *
our_object(void)
{
	return object_of(&modules);
}

/* A function's address, as an object pointer: POSIX lets dlsym() rely on this, and so do we. */
static const void *
address_of(p11_entry function)
{
	return (const void *)(uintptr_t)function;
}

static p11_entry
initialize_of(const CK_FUNCTION_LIST *list)
{
	return ((const union p11_table *)list)->by_call.entry[P11_CALL_C_Initialize];
}

static struct p11_module *
find_locked(const void *object, p11_entry initialize)
{
	struct p11_module *module = atomic_load(&modules.first);

	while (module && (module->object != object || module->initialize != initialize))
		module = atomic_load(&module->next);
	return module;
}

/*
 * A list that says 3.x may have no more entries than one of 2.40: C_GetFunctionList is of that
 * time. What is behind the end of a file is not read; what is behind the list is a function only if
 * it lies in a file, as the list does.
 */
static void
complete(union p11_table *table, const CK_FUNCTION_LIST *list)
{
	const union p11_table *from = (const union p11_table *)list;
	size_t n = p11_table_n_entries(list->version);
	size_t n_old = p11_table_n_entries((CK_VERSION){2, 40});
	const void *object = n > n_old ? object_of(list) : NULL;

	if (object && object_of(&from->by_call.entry[n - 1]) != object)
		n = n_old;
	p11_table_complete(table, list, n);
	for (size_t i = n_old; object && i < n; i++) {
		p11_entry entry = table->by_call.entry[i];
		if (entry != p11_not_supported && !object_of(address_of(entry)))
			table->by_call.entry[i] = p11_not_supported;
	}
}

/* The complete table of a list. NULL without memory. Not with the lock held: it asks the dynamic
 * linker. */
static struct p11_module_table *
table_new(const CK_FUNCTION_LIST *list)
{
	struct p11_module_table *table = calloc(1, sizeof *table);

	if (table)
		complete(&table->table, list);
	return table;
}

static bool
is_older(CK_VERSION a, CK_VERSION b)
{
	return a.major != b.major ? a.major < b.major : a.minor < b.minor;
}

/*
 * A list that the consumer made or got, of a module that nobody uses any more: what the last such
 * consumer gave may be changed or gone.
 */
static bool
is_forgotten_locked(const struct p11_module *module)
{
	return module->n_refs == 0 && !module->has_file_list;
}

/* Whether `list` says more than what we have, or that is worth nothing any more. */
static bool
tells_more_locked(const struct p11_module *module, const CK_FUNCTION_LIST *list)
{
	return is_forgotten_locked(module) ||
	       is_older(atomic_load(&module->table)->version, list->version);
}

/* Makes a table the one that our own calls use. Takes it; one that is the same as an older one is
 * freed. */
static void
use_table_locked(struct p11_module *module, struct p11_module_table *table)
{
	struct p11_module_table *same = module->tables;

	while (same && memcmp(&same->table, &table->table, sizeof table->table) != 0)
		same = same->older;
	if (same) {
		free(table);
		table = same;
	} else {
		table->older = module->tables; /* another thread may be inside a call through it */
		module->tables = table;
	}
	atomic_store_explicit(&module->table, &table->table, memory_order_release);
}

static void
module_free(struct p11_module *module)
{
	while (module->tables) {
		struct p11_module_table *older = module->tables->older;
		free(module->tables);
		module->tables = older;
	}
	free(module);
}

/* Whether it is a function of one of our own tables. */
static bool
is_bound(p11_entry initialize)
{
	unsigned n = 0;

	while (n < P11_N_CONTEXTS && p11_bound_entry(n, P11_CALL_C_Initialize) != initialize)
		n++;
	return n < P11_N_CONTEXTS;
}

/* Takes the table, unless there is no memory: NULL. */
static struct p11_module *
module_new_locked(CK_FUNCTION_LIST *list, const void *object, struct p11_module_table *table)
{
	struct p11_module *module = aligned_alloc(_Alignof(struct p11_module), sizeof *module);

	if (!module)
		return NULL;
	memset(module, 0, sizeof *module);
	p11_life_reset(&module->life);
	module->life.stop = p11_module_finish;
	module->object = object;
	module->initialize = initialize_of(list);
	atomic_store(&module->list, list);
	module->is_ours = is_bound(module->initialize);
	use_table_locked(module, table);
	atomic_store(&module->next, atomic_load(&modules.first));
	atomic_store_explicit(&modules.first, module, memory_order_release);
	return module;
}

/*
 * The module behind a list, known, or new with `table`, or NULL: then without memory, or
 * *wants_table. Uses up the table, if it is of use.
 */
static struct p11_module *
enlist_locked(CK_FUNCTION_LIST *list, const void *object, struct p11_module_table **table,
	      bool *wants_table)
{
	struct p11_module *module = find_locked(object, initialize_of(list));

	*wants_table = !*table && (!module || tells_more_locked(module, list));
	if (*wants_table)
		return NULL;
	if (!module) {
		module = module_new_locked(list, object, *table);
		if (module)
			*table = NULL;
		return module;
	}
	if (*table && tells_more_locked(module, list)) {
		if (is_forgotten_locked(module))
			atomic_store(&module->list, list);
		use_table_locked(module, p11_steal(*table));
	}
	return module;
}

/*
 * The module behind a list, new or known, with one reference more. Takes `handle` if the module has
 * none yet; else it is left to the caller, in *handle.
 */
static struct p11_module *
enlist(CK_FUNCTION_LIST *list, const char *path, void **handle)
{
	const void *object = object_of(address_of(initialize_of(list)));
	struct p11_module_table *table = NULL;
	bool wants_table;

	p11_hold(&modules.lock);
	struct p11_module *module = enlist_locked(list, object, &table, &wants_table);
	if (wants_table) {
		p11_let_go(&modules.lock);
		table = table_new(list);
		if (!table)
			return NULL;
		p11_hold(&modules.lock);
		module = enlist_locked(list, object, &table, &wants_table);
	}
	if (module) {
		module->n_refs++;
		if (!module->handle)
			module->handle = p11_steal(*handle);
		if (path && !module->has_file_list) {
			atomic_store(&module->path, path);
			atomic_store(&module->list, list);
			module->has_file_list = true;
		}
	}
	p11_let_go(&modules.lock);
	free(table);
	return module;
}

static CK_RV
check_list(const CK_FUNCTION_LIST *list, const char *label)
{
	if (!list)
		return p11_fail(CKR_GENERAL_ERROR,
				"%s: it answered CKR_OK, but gave no function list", label);
	if (p11_table_n_entries(list->version) == 0)
		return p11_fail(CKR_GENERAL_ERROR,
				"%s: its function list has version %u.%u; 2.x or 3.x is needed",
				label, list->version.major, list->version.minor);
	if (!list->C_Initialize || !list->C_Finalize)
		return p11_fail(CKR_GENERAL_ERROR,
				"%s: its function list has no C_Initialize or no C_Finalize",
				label);
	return CKR_OK;
}

/* A symbol of the module: not one of ours that it merely sees because it links to us, unless it is
 * ourselves. */
static void *
symbol_of(void *handle, const char *name)
{
	struct link_map *file = NULL;
	void *symbol = dlsym(handle, name);

	if (symbol && object_of(symbol) == our_object() &&
	    (dlinfo(handle, RTLD_DI_LINKMAP, &file) != 0 || file != our_object()))
		return NULL;
	return symbol;
}

/*
 * PKCS#11 3.2, C_GetInterface: its default is the module's own choice. Only the function of the
 * very object that holds C_GetFunctionList is the module's; a library that it depends on may export
 * one too.
 */
static CK_RV
list_by_interface(void *handle, const char *label, const void *get_list, CK_FUNCTION_LIST **out)
{
	CK_C_GetInterface get_interface =
		(CK_C_GetInterface)(uintptr_t)symbol_of(handle, "C_GetInterface");
	CK_UTF8CHAR name[] = "PKCS 11";
	CK_INTERFACE *interface = NULL;

	if (!get_interface ||
	    (get_list && object_of((void *)(uintptr_t)get_interface) != object_of(get_list)))
		return CKR_FUNCTION_NOT_SUPPORTED;

	CK_RV rv = get_interface(name, NULL, &interface, 0);
	if (rv == CKR_FUNCTION_NOT_SUPPORTED)
		return rv;
	if (rv != CKR_OK)
		return p11_fail(rv, "%s: C_GetInterface failed with %s", label,
				p11_rv_name(rv, (char[24]){0}));
	if (interface && interface->pInterfaceName &&
	    strcmp((const char *)interface->pInterfaceName, (const char *)name) != 0)
		return p11_fail(CKR_GENERAL_ERROR,
				"%s: asked for the interface \"PKCS 11\", it gave \"%.40s\"", label,
				(const char *)interface->pInterfaceName);
	*out = interface ? interface->pFunctionList : NULL;
	return check_list(*out, label);
}

static CK_RV
list_of_file(void *handle, const char *label, CK_FUNCTION_LIST **out)
{
	void *symbol = symbol_of(handle, "C_GetFunctionList");
	CK_RV rv = list_by_interface(handle, label, symbol, out);

	if (rv != CKR_FUNCTION_NOT_SUPPORTED)
		return rv;
	if (!symbol)
		return p11_fail(CKR_GENERAL_ERROR,
				"%s: it has no C_GetFunctionList; it is no PKCS#11 module", label);

	rv = ((CK_C_GetFunctionList)(uintptr_t)symbol)(out);
	if (rv != CKR_OK)
		return p11_fail(rv, "%s: C_GetFunctionList failed with %s", label,
				p11_rv_name(rv, (char[24]){0}));
	return check_list(*out, label);
}

CK_RV
p11_module_open(const char *path, const char *label, struct p11_module **out)
{
	const char *kept = p11_intern(path);
	CK_FUNCTION_LIST *list = NULL;

	label = label ? label : path;
	p11_fork_check();
	if (!kept)
		return p11_fail(CKR_HOST_MEMORY, "%s: no memory", label);
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		const char *reason = dlerror();
		size_t length = strlen(path);

		/* It mostly begins with the path, too. */
		if (reason && strncmp(reason, path, length) == 0 && reason[length] == ':')
			reason += length + 1 + (reason[length + 1] == ' ');
		return p11_fail(CKR_GENERAL_ERROR, "%s: cannot be loaded: %s", label,
				reason ? reason : "unknown reason");
	}

	CK_RV rv = list_of_file(handle, label, &list);
	if (rv == CKR_OK) {
		*out = enlist(list, kept, &handle);
		if (!*out)
			rv = p11_fail(CKR_HOST_MEMORY, "%s: no memory", label);
	}
	if (handle)
		dlclose(handle);
	return rv;
}

CK_RV
p11_module_adopt(CK_FUNCTION_LIST *list, struct p11_module **out)
{
	void *no_handle = NULL;

	p11_fork_check();
	if (check_list(list, "module (given by pointer)") != CKR_OK)
		return CKR_ARGUMENTS_BAD;
	*out = enlist(list, NULL, &no_handle);
	return *out ? CKR_OK : p11_fail(CKR_HOST_MEMORY, "no memory for a module");
}

struct p11_module *
p11_module_find(const CK_FUNCTION_LIST *list)
{
	const void *object = object_of(address_of(initialize_of(list)));

	p11_fork_check();
	p11_hold(&modules.lock);
	struct p11_module *module = find_locked(object, initialize_of(list));
	if (module)
		module->n_refs++;
	p11_let_go(&modules.lock);
	return module;
}

struct p11_module *
p11_module_recognize(const CK_FUNCTION_LIST *list)
{
	p11_fork_check();
	p11_hold(&modules.lock);
	struct p11_module *module = atomic_load(&modules.first);
	while (module && atomic_load(&module->list) != list)
		module = atomic_load(&module->next);
	if (module)
		module->n_refs++;
	p11_let_go(&modules.lock);
	if (module || !object_of(list))
		return module;
	return p11_module_find(list);
}

struct p11_module *
p11_module_ref(struct p11_module *module)
{
	p11_hold(&modules.lock);
	module->n_refs++;
	p11_let_go(&modules.lock);
	return module;
}

/*
 * A module that ran stays: its threads, atexit handlers and late callers need its code. Except for
 * a list made at run time, which belongs to no file: its memory is the consumer's, who may use it
 * for something else now.
 */
static bool
can_be_forgotten_locked(const struct p11_module *module)
{
	return module->n_refs == 0 &&
	       (!module->was_started || (!module->object && !module->handle));
}

static void
unlink_locked(struct p11_module *module)
{
	struct p11_module *_Atomic *link = &modules.first;

	while (atomic_load(link) != module)
		link = &atomic_load(link)->next;
	atomic_store_explicit(link, atomic_load(&module->next), memory_order_release);
}

void
p11_module_unref(struct p11_module *module)
{
	if (!module)
		return;

	p11_hold(&modules.lock);
	module->n_refs--;
	bool forget = can_be_forgotten_locked(module);
	if (forget)
		unlink_locked(module);
	p11_let_go(&modules.lock);

	if (forget) {
		if (module->handle)
			dlclose(module->handle);
		if (atomic_load(&module->shared))
			atomic_load (&module->free_shared)(atomic_load(&module->shared));
		module_free(module);
	}
}

/*
 * A module that its consumer loaded is held by us too, from its first start on: the consumer may
 * dlclose it while another consumer uses it. Only then is the dynamic linker asked: it would have
 * us wait for whatever another thread loads at this moment.
 */
void
p11_module_keep(struct p11_module *module)
{
	const struct link_map *map = module->object;
	void *handle = NULL;

	p11_hold(&modules.lock);
	module->was_started = true;
	bool is_held = module->handle != NULL;
	p11_let_go(&modules.lock);

	/* It cannot be unmapped now: whoever starts it has it. */
	if (!is_held && map && map->l_name[0])
		handle = dlopen(map->l_name, RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
	if (!handle)
		return;
	p11_hold(&modules.lock);
	if (!module->handle)
		module->handle = p11_steal(handle);
	p11_let_go(&modules.lock);
	if (handle) /* another thread was first */
		dlclose(handle);
}

const char *
p11_module_label(const struct p11_module *module)
{
	const char *name = atomic_load(&module->name);
	const char *path = atomic_load(&module->path);

	return name ? name : path ? path : "(unknown)";
}

void
p11_module_each_in_child(void (*visit)(struct p11_module *module))
{
	for (struct p11_module *module = atomic_load(&modules.first); module;
	     module = atomic_load(&module->next))
		visit(module);
}

static void
reset_module(struct p11_module *module)
{
	p11_life_reset(&module->life);
	module->must_finalize = false;
}

static void
reset_in_child(void)
{
	modules.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	p11_module_each_in_child(reset_module);
}

__attribute__((constructor)) static void
begin(void)
{
	static struct p11_fork_reset row = {.reset = reset_in_child};

	p11_fork_register(&row);
}
