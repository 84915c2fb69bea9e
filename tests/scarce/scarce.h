/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library as it is, but each time when it wants memory or a file it asks the program first, by
 * the two functions below, which the program defines.
 */
#ifndef P11_TEST_SCARCE_H
#define P11_TEST_SCARCE_H

#include <stdbool.h>

enum scarce {
	SCARCE_MEMORY, /* malloc() and its like */
	SCARCE_FILES,  /* opening, reading and listing; with the error SCARCE_ERROR */
	SCARCE_N,
};

#define SCARCE_ERROR EIO

/* Whether this request shall fail. */
bool scarce_fails(enum scarce what) __attribute__((weak));

/* So many blocks of memory more, or less. */
void scarce_count(int blocks) __attribute__((weak));

#endif
