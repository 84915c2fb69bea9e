/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The name of this program, to which enable-in and disable-in refer. Every function may be called
 * from any thread, and in the child of a fork: there is no lock. Names stay valid for the life of
 * the process; each is kept once.
 */
#ifndef P11_PROGRAM_H
#define P11_PROGRAM_H

#include "base/base.h"

/* Bytes of a name, without the NUL; the rest is cut off. */
#define P11_PROGRAM_MAX 255

/* What was set, else what the system tells. Never NULL; "" if nothing is known. */
const char *p11_program_name(void);

/*
 * Sets the name; NULL or "" goes back to the system's. Without memory: a message, and the old name
 * stays.
 */
void p11_program_set(const char *name);

/*
 * The system's name of a program, a part of one of the two: `invocation` is its argv[0], `exe` the
 * real path of its file or NULL if that is not known (no /proc). Usually the base name of argv[0].
 * But a program that packs its arguments into argv[0] ("/usr/bin/prog --file=/a/b") is known by its
 * file, whose path is the beginning of argv[0].
 */
const char *p11_program_choose(const char *invocation, const char *exe);

#endif
