/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The function tables that we hand out. A table's functions have no argument that says whose table
 * it is, so each consumer has a context: a number for which the pool holds a set of functions of
 * its own (pkcs11/pool.h). There are P11_N_CONTEXTS; a context is taken when a table is handed out,
 * and given back when it is released, first in, first out. A context's tables are never freed: a
 * late call finds a function, which then says that nobody is there.
 */
#ifndef P11_CONTEXT_H
#define P11_CONTEXT_H

#include "base/base.h"
#include "pkcs11/pool.h"
#include "pkcs11/table.h"

#include <p11-kit/pkcs11.h>

#include <stdbool.h>

/* The versions of one list that can be asked for. */
enum p11_list {
	P11_LIST_2_40,
	P11_LIST_3_0,
	P11_LIST_3_1,
	P11_LIST_3_2,
	P11_N_LISTS,
};

#define P11_NO_CONTEXT (-1)

/* What a kind of consumer (a managed table, a proxy) has in its tables. */
struct p11_context_kind {
	const struct p11_bound_ops *ops;
	/* The function for a call, as the consumer's state is now. `number`: its context. Called
	 * with a lock held. */
	p11_entry (*entry)(unsigned number, enum p11_call_id call);
};

/*
 * Takes a free context. P11_NO_CONTEXT if none is left; a few are kept for a consumer that is
 * `first` of its kind, because it has no other context to share.
 */
int p11_context_take(bool first);

/* Those below were taken at least once; nobody has touched the others, nor what others keep about
 * them. Any thread; a child. */
unsigned p11_context_n_taken(void);

/* From now on the context's functions work for `consumer`, which must be ready to be called. */
void p11_context_begin(unsigned number, const struct p11_context_kind *kind, void *consumer);

/* Gives it back: from now on its functions answer CKR_CRYPTOKI_NOT_INITIALIZED, until another
 * consumer takes it. */
void p11_context_give_back(unsigned number);

/* The context's list of that version, made at the first call; NULL without memory. The same pointer
 * each time. */
CK_FUNCTION_LIST *p11_context_list(unsigned number, enum p11_list which);

/* Writes all functions of the context's tables anew: the consumer's state has changed. */
void p11_context_rewrite(unsigned number);

/* The same in a child's reset, where no other thread is and the lock may be a vanished thread's. */
void p11_context_rewrite_in_child(unsigned number);

/* The context that a list belongs to, or P11_NO_CONTEXT if it is none of ours. */
int p11_context_of(const CK_FUNCTION_LIST *list);
const struct p11_context_kind *p11_context_kind_of(unsigned number);

/*
 * PKCS#11 3.2, C_GetInterface, for the lists of one context: "PKCS 11" (or NULL) in the
 * versions 2.40, 3.0, 3.1, 3.2 (NULL: 3.2). Any flag is refused, since we promise none; the
 * interface says 0.
 */
CK_RV p11_context_get_interface(unsigned number, const CK_UTF8CHAR *name, const CK_VERSION *version,
				CK_INTERFACE_PTR_PTR out, CK_FLAGS flags);

/* PKCS#11 3.2, C_GetInterfaceList: `which` lists, in that order. */
CK_RV p11_context_get_interface_list(unsigned number, const enum p11_list *which, CK_ULONG n_which,
				     CK_INTERFACE_PTR list, CK_ULONG_PTR count);

/* PKCS#11 3.2, C_Initialize: what may be in the arguments. pReserved is the caller's to judge. */
CK_RV p11_context_check_args(const CK_C_INITIALIZE_ARGS *args);

#endif
