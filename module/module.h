/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One PKCS#11 module of this process, whoever loaded it, and its life: the first user's start calls
 * its C_Initialize, the last user's stop its C_Finalize. There is one `struct p11_module` for a
 * module, however many lists, names and paths lead to it; what tells modules apart is the pair
 * (object that holds its C_Initialize, C_Initialize itself), so the two modules of one file
 * (softoken) are two, and a file's 2.40 and 3.x lists are one. Nothing here knows configuration,
 * sessions or slots. Any thread; no lock is held while a module is called.
 */
#ifndef P11_MODULE_H
#define P11_MODULE_H

#include "base/life.h"
#include "pkcs11/table.h"

#include <stdatomic.h>
#include <stdbool.h>

struct p11_shared; /* share/shared.h */

struct p11_module {
	/* Users: every consumer that has it initialized, and calls in flight. */
	struct p11_life life;

	/* Its identity, constant: load base of the file (NULL for a list made at run time), and
	 * C_Initialize. */
	const void *object;
	p11_entry initialize;

	/* The module's own list, which unmanaged callers are given: the file's, once we have loaded
	 * that. */
	CK_FUNCTION_LIST *_Atomic list;

	/* Complete, of the highest version seen; `tables` owns every one that it ever pointed
	 * to. */
	const union p11_table *_Atomic table;
	struct p11_module_table *tables;

	/* Interned, or NULL: the configured name; what was dlopened; x-init-reserved, its pReserved
	 * when we start it. */
	const char *_Atomic name;
	const char *_Atomic path;
	const char *_Atomic reserved;

	/* finalize-at-exit: yes */
	atomic_bool finalize_at_exit;

	/* One of our own tables: the proxy, or a managed one. Constant. */
	bool is_ours;

	/* We initialized it ourselves. Written by who starts it. */
	bool must_finalize;

	/* exit() calls us about it. */
	atomic_bool is_seen_at_exit;

	/* How often it was started: what was seen in one life says nothing about the next. */
	atomic_ulong n_starts;

	/* Guarded by the list's lock. `next` changes by single stores, so that a child can read
	 * it. */
	bool was_started;   /* C_Initialize ran once: it is never unmapped */
	bool has_file_list; /* `list` is what the file itself gave */
	void *handle;       /* owned, dlopen's; NULL if there is none */
	unsigned long n_refs;
	struct p11_module *_Atomic next;

	/* What share/ keeps about it; owned, as long as the module lives. Who sets it says how it
	 * is freed. */
	struct p11_shared *_Atomic shared;
	void (*_Atomic free_shared)(struct p11_shared *shared);
};

/*
 * Maps the file and takes its list: C_GetInterface("PKCS 11") where the file has its own, else
 * C_GetFunctionList. The same file again is the same module. `path` is absolute. *out is a new
 * reference, p11_module_unref() it. CKR_GENERAL_ERROR if the file or its list is of no use, with a
 * message that begins with `label` (NULL: with the path).
 */
CK_RV p11_module_open(const char *path, const char *label, struct p11_module **out) P11_MUST_USE;

/* The module behind a list that a consumer got elsewhere; known from now on. *out is a new
 * reference. */
CK_RV p11_module_adopt(CK_FUNCTION_LIST *list, struct p11_module **out) P11_MUST_USE;

/* The known module behind a list: a new reference, or NULL. */
struct p11_module *p11_module_find(const CK_FUNCTION_LIST *list) P11_MUST_USE;

/*
 * The same for a pointer whose list may be gone, since the module was unmapped or its owner freed
 * it: it is looked into only where it lies in a mapped file.
 */
struct p11_module *p11_module_recognize(const CK_FUNCTION_LIST *list) P11_MUST_USE;

struct p11_module *p11_module_ref(struct p11_module *module);

/* Drops a reference. The last one unmaps a module that never ran, and forgets it. NULL is fine. */
void p11_module_unref(struct p11_module *module);

/* All modules for which `visit` is to be called; in a child's reset, without lock. */
void p11_module_each_in_child(void (*visit)(struct p11_module *module));

/*
 * One user more; the first one initializes it, with our own arguments. `reserved`: its pReserved
 * instead of the configured one, or NULL. Waits at most `wait_ms` (or P11_LIFE_FOREVER) while
 * another thread starts or stops it, and not at all where this thread is inside some module's
 * C_Initialize or C_Finalize. *busy (may be NULL) says that this wait was in vain. A module's own
 * error is returned as it is; each failure leaves a message.
 */
CK_RV p11_module_start(struct p11_module *module, void *reserved, int wait_ms,
		       bool *busy) P11_MUST_USE;

/* One user less; the last one finalizes it. What its C_Finalize answers is only a message. */
CK_RV p11_module_stop(struct p11_module *module);

/*
 * Initializes a module once more that somebody finalized behind our back: it is up for us, and the
 * caller has joined it. No C_Finalize, and no count changes; whoever starts it meanwhile waits. The
 * module's answer; OK also where somebody else has initialized it again. Where no user is left
 * (*is_needed is false) it is down from now on, and not finalized when the caller leaves it.
 */
CK_RV p11_module_restart(struct p11_module *module, bool *is_needed) P11_MUST_USE;

/* Holds it up for the length of one call of ours, so that the call cannot enter a module that is
 * down. */
bool p11_module_join(struct p11_module *module) P11_MUST_USE;
void p11_module_leave(struct p11_module *module);

static inline const CK_FUNCTION_LIST_3_2 *
p11_module_calls(const struct p11_module *module)
{
	return &atomic_load_explicit(&module->table, memory_order_acquire)->list;
}

/* For module/ itself: what the life of a module stops by (base/life.h). */
void p11_module_finish(struct p11_life *life);

/* For module/ itself: the module is about to run, and is never unmapped from now on. Called by who
 * starts it. */
void p11_module_keep(struct p11_module *module);

/* Its name for a message; never NULL. */
const char *p11_module_label(const struct p11_module *module);

/* Whether this thread is inside a module's C_Initialize or C_Finalize, called by us. */
bool p11_module_thread_is_inside(void);

#endif
