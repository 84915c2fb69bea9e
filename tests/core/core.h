/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the whole-library tests share: the proxy as a consumer loads it, and the few calls that
 * every consumer makes. A program is linked with libp11-kit.so.0; the proxy comes by dlopen(), as
 * everybody's does. What cannot even begin ends the process (support_die()).
 */
#ifndef P11_TEST_CORE_H
#define P11_TEST_CORE_H

#include "support/support.h"

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above. */
#include <cmocka.h>

#define CORE_MAX_SLOTS 64

/* A handle of dlopen() on p11-kit-proxy.so, the same each time. */
void *core_proxy(void);

/* A scene that lasts until the process exits, and is removed then. */
struct scene *core_scene(void);

/* A look-up by the proxy's C_GetFunctionList; by C_GetInterface, of that version. */
CK_FUNCTION_LIST *core_list(void);
CK_FUNCTION_LIST_3_2 *core_interface(CK_BYTE major, CK_BYTE minor);

/* A consumer of its own: a look-up that is initialized. */
CK_FUNCTION_LIST *core_consumer(void);

/* A chaos module as it was at first, for the next test of the same process. */
struct chaos *core_fresh(const char *file);

/* scene_chaos(), as it was at first. */
struct chaos *core_configure(struct scene *scene, const char *name, const char *file,
			     const char *more);

/* A managed table of a chaos module, initialized. */
CK_FUNCTION_LIST *core_managed(const char *file);

/* Whether p11_kit_message() says this; the same as an assertion. */
bool core_message_has(const char *text);
void core_assert_said(const char *text);

/* Checks on other threads than the test's own, where cmocka's assertions may not be used: the test
 * asserts in the end that core_n_wrong is 0. */
extern atomic_uint core_n_wrong;
#define core_expect(condition)                                                                     \
	((condition) ? (void)0 : core_unexpected(__FILE__, __LINE__, #condition))
void core_unexpected(const char *file, int line, const char *condition);

/* The ids of all slots; their number is returned. */
CK_ULONG core_slots(CK_FUNCTION_LIST *list, CK_SLOT_ID ids[CORE_MAX_SLOTS]);

/*
 * A managed table's function, where a stranger finalizes the module on another thread: the table is
 * rewritten meanwhile, and either function is right.
 */
#define CORE_ENTRY(list, call) __atomic_load_n(&(list)->call, __ATOMIC_RELAXED)

/* The i-th slot's id; a session there; a signature in it, made by the chaos module. */
CK_SLOT_ID core_slot(CK_FUNCTION_LIST *list, CK_ULONG i);
CK_SESSION_HANDLE core_open(CK_FUNCTION_LIST *list, CK_SLOT_ID slot);
CK_RV core_sign(CK_FUNCTION_LIST *list, CK_SESSION_HANDLE session, struct chaos_signature *out);

/*
 * A test in a process of its own: what the library keeps of earlier tests (ids, pauses, the
 * configuration while a proxy uses it) is not there. In the array of tests: core_unit_test(name).
 */
struct core_test {
	const char *name;
	void (*body)(void **state);
};
void core_in_child(void **state);
#define CORE_TEST_SECONDS 100
#define core_unit_test(test)                                                                       \
	{                                                                                          \
#test, core_in_child, NULL, NULL, &(struct core_test)                              \
		{                                                                                  \
#test, test                                                                \
		}                                                                                  \
	}

#define assert_rv(call, expected) assert_int_equal((call), (expected))
#define assert_ok(call) assert_rv((call), CKR_OK)

#endif
