/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of fork() share: a parent with consumers of every kind, and what its child must
 * see. In a child nothing is asserted: it says on stderr what is wrong, and its exit code is not 0.
 */
#ifndef P11_TEST_CORE_FORK_H
#define P11_TEST_CORE_FORK_H

#include "core/three.h"

#include <stdio.h>

#define CHILD_SECONDS 60

/* Consumers of the proxy by its 2.40, 3.0 and 3.2 lists, and a managed one of b; the first and the
 * last with a session. */
struct parent {
	CK_FUNCTION_LIST *list;
	CK_FUNCTION_LIST_3_2 *middle; /* 3.0 */
	CK_FUNCTION_LIST_3_2 *newest;
	CK_FUNCTION_LIST *managed;
	CK_SESSION_HANDLE session, managed_session;
};
extern struct parent parent;

/* Makes them, all initialized. */
void fork_begin(void);
/* The parent goes on as if nothing had been. */
void fork_end(void);
/* The same where all consumers are down. */
void fork_begin_down(void);
void fork_end_down(void);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: in the child: %s\n", __FILE__, __LINE__,           \
				#condition);                                                       \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

/* Every entry of the proxy's tables, of the managed one, says that it is not initialized.
 * Async-signal-safe. */
int fork_check_proxy_down(void);
int fork_check_managed_down(void);
/* The child starts anew: the same ids, sessions of its own, and none of the parent's. */
int fork_check_start(void);
/* All of these; a child's whole life. */
int fork_be_child(void *data);

#endif
