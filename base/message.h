/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What went wrong, said once: the calling thread's last message, which p11_kit_message() returns,
 * and which is also printed to stderr when the library is loud. Every function here may be called
 * from any thread; none of them may be called with a lock held, since printing can block.
 */
#ifndef P11_MESSAGE_H
#define P11_MESSAGE_H

#include "base/base.h"

#include <stdbool.h>

/*
 * Sets the message: one sentence without "p11-kit:" and without a line feed, that names the file
 * and line or the module, what is wrong, and what to do. Longer text than 511 bytes is cut. errno
 * is kept.
 */
void p11_message(const char *format, ...) P11_PRINTF(1, 2);

/*
 * The one way in which an error of ours is born: sets the message and returns the code, a CK_RV,
 * so that it reads `return p11_fail(CKR_..., "...", ...)`.
 */
unsigned long p11_fail(unsigned long rv, const char *format, ...) P11_PRINTF(2, 3);

/* Empties this thread's message. */
void p11_message_clear(void);

/* This thread's message, or NULL when it is empty. Borrowed until this thread's next message. */
const char *p11_message_last(void);

/* Keeps a message over calls that would replace it: `dup` may return NULL, which `restore` (it
 * frees it) ignores. */
char *p11_message_dup(void);
void p11_message_restore(char *saved);

/* Whether messages go to stderr too. Quiet at first (contract 3.2), but for P11_KIT_DEBUG in the
 * environment. */
void p11_message_loud(bool loud);

/* A system error's text in the POSIX locale; `buffer` of 128 bytes is the caller's. */
#define P11_ERRNO_SIZE 128
const char *p11_message_errno(int error, char buffer[P11_ERRNO_SIZE]);

/*
 * A broken precondition of a public function: a line on stderr, also when quiet; aborts if
 * P11_KIT_STRICT is set (contract 3.1). It does not touch the message.
 */
void p11_precondition(const char *function, const char *check);

/* `if (p11_broken(ptr != NULL)) return CKR_ARGUMENTS_BAD;` */
#define p11_broken(check) ((check) ? false : (p11_precondition(__func__, #check), true))

#endif
