/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names that live as long as the process: equal strings are the same pointer, readable without a
 * lock by anyone who still holds one, also in a child. For the names and options of modules, of
 * which there are few.
 */
#ifndef P11_INTERN_H
#define P11_INTERN_H

/* The one copy of `string`; NULL for NULL, or without memory. Any thread. */
const char *p11_intern(const char *string);

#endif
