/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One consumer's view of one module: a function list of its own. In it every call outside the life
 * cycle is the module's own function; ours are the eleven that must know who calls. While the
 * consumer is not initialized (before its first C_Initialize the module's functions stand there
 * already, since some consumers copy them then), all others answer CKR_CRYPTOKI_NOT_INITIALIZED:
 * the table is rewritten, so that no call pays for a check.
 */
#ifndef P11_MANAGED_H
#define P11_MANAGED_H

#include "base/base.h"
#include "module/module.h"

#include <stdbool.h>

/*
 * A new table for the module. Takes the reference to `module`, also on failure. If the contexts
 * have run out, the table of another consumer of the module is shared, and a message says so.
 */
CK_RV p11_managed_new(struct p11_module *module, CK_FUNCTION_LIST **out) P11_MUST_USE;

/*
 * The module was finalized behind our back: its managed tables go down, as if each consumer had
 * called C_Finalize, but without a call of the module.
 */
void p11_managed_abandon(struct p11_module *module);

/* The module behind a managed table, borrowed; NULL if the list is not one. */
struct p11_module *p11_managed_module(const CK_FUNCTION_LIST *list);

/* A failure of this table's C_Initialize is everybody's (P11_KIT_MODULE_CRITICAL). */
void p11_managed_set_critical(CK_FUNCTION_LIST *list);
bool p11_managed_is_critical(const CK_FUNCTION_LIST *list);

/* The last holder's release finalizes what is still initialized. False: the list is no managed
 * table. */
bool p11_managed_release(CK_FUNCTION_LIST *list);

#endif
