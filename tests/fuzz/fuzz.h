/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fuzz target is a function that takes any bytes, gives them to the library, and aborts when a
 * property does not hold. libFuzzer calls it with bytes that it makes of the files of corpus/TARGET
 * (option `fuzz`); seeds.c calls it with those files as they are, in every build.
 */
#ifndef P11_TEST_FUZZ_H
#define P11_TEST_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The target; always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must be true of every input. */
#define fuzz_check(property)                                                                       \
	do {                                                                                       \
		if (!(property)) {                                                                 \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
				#property);                                                        \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* What only the lack of memory could spoil. */
static inline void *
fuzz_have(void *block)
{
	if (!block)
		abort();
	return block;
}

#endif
