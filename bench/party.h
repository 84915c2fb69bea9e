/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parties of a benchmark in one process: the library under test (ours or the incumbent's,
 * always one of them, which is its own proxy), a module, and the ways to reach that module.
 * Everything here ends the process when it fails: a number that was not measured must not look like
 * one. Nothing here is thread-safe; the lists it hands out are.
 */
#ifndef P11_BENCH_PARTY_H
#define P11_BENCH_PARTY_H

#include <p11-kit/pkcs11.h>

/* Prints the sentence to stderr and ends the process with 1. */
void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Ends the process unless `rv` is CKR_OK; `what` names the call. */
void bench_expect_ok(CK_RV rv, const char *what);

/* One measured value of this process, to be read by bench/run. */
void bench_report(double value, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A file's function by name. */
void *bench_symbol(void *file, const char *name);

/* Maps a file for good. */
void *bench_open(const char *path);

/* The file's own function list. */
CK_FUNCTION_LIST *bench_functions(void *file);

/*
 * Maps the library under test and lets it read only `config` (a folder with pkcs11.conf and
 * modules/, see bench/run), nothing of the system's or the user's.
 */
void *bench_open_library(const char *path, const char *config);

/* The first managed list of the library's configured modules, initialized. */
CK_FUNCTION_LIST *bench_managed(void *library);

/* All slots; `n_slots` is set. The caller frees. */
CK_SLOT_ID *bench_slots(CK_FUNCTION_LIST *list, CK_ULONG *n_slots);

/* The last slot: the one that a linear search finds last. */
CK_SLOT_ID bench_last_slot(CK_FUNCTION_LIST *list);

CK_SESSION_HANDLE bench_open_session(CK_FUNCTION_LIST *list, CK_SLOT_ID slot);

#endif
