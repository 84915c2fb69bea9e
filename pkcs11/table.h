/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A function list without holes. Modules bring lists of several versions, with entries missing;
 * inside, everything works on one form: every call of the tables, and a function that says
 * CKR_FUNCTION_NOT_SUPPORTED where a module has none.
 */
#ifndef P11_TABLE_H
#define P11_TABLE_H

#include "base/base.h"
#include "pkcs11/calls.h"
#include "pkcs11/entry.h"

#include <p11-kit/pkcs11.h>

#include <stddef.h>

/* The same memory as the standard's lists and as an array by call: position in the list = id of the
 * call. */
union p11_table {
	CK_VERSION version;
	CK_FUNCTION_LIST list_2_40;
	CK_FUNCTION_LIST_3_0 list_3_0;
	CK_FUNCTION_LIST_3_2 list;
	struct {
		CK_VERSION version;
		p11_entry entry[P11_N_CALLS];
	} by_call;
};

/* How many entries a list of that version has; 0 for a version that nobody can read (major 0, 1, 4
 * ...). */
size_t p11_table_n_entries(CK_VERSION version);

/* Copies the first `n_entries` of `list`, a module's, and fills the rest, also where an entry is
 * NULL. */
void p11_table_complete(union p11_table *table, const CK_FUNCTION_LIST *list, size_t n_entries);

/*
 * The three functions that stand for a call which cannot be made. They take no arguments, and are
 * called with those of any call: the caller removes its arguments itself in every Linux ABI.
 */
CK_RV p11_not_supported(void);
CK_RV p11_not_initialized(void);
CK_RV p11_not_parallel(void);

#endif
