/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/intern.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct name {
	struct name *next;
	char string[];
};

static struct name
	*_Atomic names; /* pushed to, never removed from: needs no lock and survives a fork */

static const char *
find(const struct name *first, const struct name *end, const char *string)
{
	for (const struct name *name = first; name != end; name = name->next) {
		if (strcmp(name->string, string) == 0)
			return name->string;
	}
	return NULL;
}

const char *
p11_intern(const char *string)
{
	if (!string)
		return NULL;

	struct name *first = atomic_load_explicit(&names, memory_order_acquire);
	const char *found = find(first, NULL, string);
	if (found)
		return found;

	size_t size = strlen(string) + 1;
	struct name *name = malloc(sizeof *name + size);
	if (!name)
		return NULL;
	memcpy(name->string, string, size);
	name->next = first;
	while (!atomic_compare_exchange_weak_explicit(&names, &name->next, name,
						      memory_order_acq_rel, memory_order_acquire)) {
		found = find(name->next, first, string); /* what others pushed meanwhile */
		if (found) {
			free(name);
			return found;
		}
		first = name->next;
	}
	return name->string;
}
