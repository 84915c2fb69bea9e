/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For unit tests of what handles secrets: looks into each block that is freed, and makes the n-th
 * allocation fail. The test is linked with -Wl,--wrap=free and the like (meson.build).
 */
#ifndef P11_TEST_MEMORY_H
#define P11_TEST_MEMORY_H

#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

void __real_free(void *block);
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_reallocarray(void *block, size_t count, size_t size);
char *__real_strdup(const char *string);
char *__real_strndup(const char *string, size_t length);
void __wrap_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_reallocarray(void *block, size_t count, size_t size);
char *__wrap_strdup(const char *string);
char *__wrap_strndup(const char *string, size_t length);

/* What no freed block may hold; NULL: any may. Volatile: the compiler knows what free() reads. */
static const char *volatile watched_secret;
static unsigned n_leaked_secrets;
static unsigned n_watched_blocks;

/* Fails the allocation after so many; negative: none. */
static int allocations_left = -1;

static bool
allocation_fails(void)
{
	return allocations_left >= 0 && allocations_left-- == 0;
}

void
__wrap_free(void *block)
{
	if (watched_secret && block) {
		n_watched_blocks++;
		if (memmem(block, malloc_usable_size(block), watched_secret,
			   strlen(watched_secret)))
			n_leaked_secrets++;
	}
	__real_free(block);
}

void *
__wrap_malloc(size_t size)
{
	return allocation_fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return allocation_fails() ? NULL : __real_calloc(count, size);
}

void *
__wrap_reallocarray(void *block, size_t count, size_t size)
{
	return allocation_fails() ? NULL : __real_reallocarray(block, count, size);
}

char *
__wrap_strdup(const char *string)
{
	return allocation_fails() ? NULL : __real_strdup(string);
}

char *
__wrap_strndup(const char *string, size_t length)
{
	return allocation_fails() ? NULL : __real_strndup(string, length);
}

#endif
