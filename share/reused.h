/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Modules use their session handles again: one that ends sessions by itself, when a token is pulled
 * out, may give such a number to the next session, and our entry of before would then lead to that.
 * So whoever gets a handle from the module displaces the entry that has it from before. Looked at
 * by opening and closing only. Any thread, no lock.
 */
#ifndef P11_REUSED_H
#define P11_REUSED_H

#include "share/handle.h"

/*
 * The module has just opened `session` for the reserved entry, which is about to be published: the
 * entry that had it before has lost it. True: there may also be a note of a managed table.
 */
bool p11_reused_note(struct p11_handle *entry, CK_SESSION_HANDLE session);

/* Whether that has happened to this entry; to be asked after publishing or restoring it. */
bool p11_reused_is_displaced(struct p11_handle *entry);

/* The module has opened it for somebody who has no entry: a managed table. */
void p11_reused_displace(struct p11_module *module, CK_SESSION_HANDLE session);

/* For share/handle.c: the entry is being released. */
void p11_reused_forget(struct p11_handle *entry);

/* For share/notes.c: a note is there, or gone. True: somebody may have the same handle. */
bool p11_reused_count(CK_SESSION_HANDLE session);
void p11_reused_uncount(CK_SESSION_HANDLE session);

#endif
