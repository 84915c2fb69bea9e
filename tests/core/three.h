/* SPDX-License-Identifier: BSD-3-Clause */
/* Three modules beside each other, a, b and c, of which b is the one that makes trouble. */
#ifndef P11_TEST_CORE_THREE_H
#define P11_TEST_CORE_THREE_H

#include "core/core.h"

extern struct scene *scene;
extern struct chaos *a, *b, *c;

/* Configures them; `more_of_b`: further lines of its file, or NULL. */
void three_begin(const char *more_of_b);
/* Each was finalized as often as it was initialized. */
void three_end(void);

#endif
