/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A module that hangs inside a function holds up the thread that called it, and nobody else: others
 * list, open, sign, close and finalize meanwhile, on other modules and on this one. The limits are
 * wide: a call that waits for the module waits for ever.
 */
#include "core/three.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define AT_ONCE_MS 1500 /* it does not wait; the machine may be busy */
#define START_MS 6000   /* it waits 3 s at most */
#define DEADLINE_MS 60000

/* The next call of that function on b hangs. */
static void
hang_once(enum chaos_call call)
{
	b->fault(call, &(struct chaos_fault){.hang = true, .times = 1});
}

#define WITHIN(ms, statement)                                                                      \
	do {                                                                                       \
		unsigned long within_began = support_ms();                                         \
		statement;                                                                         \
		assert_in_range(support_ms() - within_began, 0, (ms));                             \
	} while (0)

/* ---- the thread that hangs ---- */

struct victim {
	CK_FUNCTION_LIST *list; /* the proxy's, or a managed table of b */
	CK_SLOT_ID slot;        /* b's */
	CK_SESSION_HANDLE session;
	CK_RV (*call)(struct victim *victim);
	CK_RV rv;
	struct crew *crew;
};

static void
run_victim(void *data, unsigned i)
{
	struct victim *victim = data;

	(void)i;
	victim->rv = victim->call(victim);
}

static void
start_victim(struct victim *victim)
{
	victim->crew = crew_start(1, run_victim, victim);
	assert_true(WAIT_UNTIL(b->hanging == 1, DEADLINE_MS));
}

static void
free_victim(struct victim *victim)
{
	b->release();
	crew_join(victim->crew);
	assert_int_equal(b->hanging, 0);
}

static CK_RV
lists(struct victim *victim)
{
	return victim->list->C_GetSlotList(CK_FALSE, NULL, &(CK_ULONG){0});
}

static CK_RV
lists_tokens(struct victim *victim)
{
	return victim->list->C_GetSlotList(CK_TRUE, NULL, &(CK_ULONG){0});
}

static CK_RV
asks_slot(struct victim *victim)
{
	return victim->list->C_GetSlotInfo(victim->slot, &(CK_SLOT_INFO){0});
}

static CK_RV
asks_token(struct victim *victim)
{
	return victim->list->C_GetTokenInfo(victim->slot, &(CK_TOKEN_INFO){0});
}

static CK_RV
opens(struct victim *victim)
{
	return victim->list->C_OpenSession(victim->slot, CKF_SERIAL_SESSION, NULL, NULL,
					   &victim->session);
}

static CK_RV
closes(struct victim *victim)
{
	return victim->list->C_CloseSession(victim->session);
}

static CK_RV
closes_all(struct victim *victim)
{
	return victim->list->C_CloseAllSessions(victim->slot);
}

static CK_RV
waits(struct victim *victim)
{
	return victim->list->C_WaitForSlotEvent(0, &victim->slot, NULL);
}

static CK_RV
initializes(struct victim *victim)
{
	return victim->list->C_Initialize(NULL);
}

static CK_RV
finalizes(struct victim *victim)
{
	return victim->list->C_Finalize(NULL);
}

/* ---- the others ---- */

static void
use_slot(CK_FUNCTION_LIST *list, CK_SLOT_ID slot, const char *module)
{
	struct chaos_signature signature;
	CK_SESSION_HANDLE session = 0;

	WITHIN(AT_ONCE_MS, session = core_open(list, slot));
	WITHIN(AT_ONCE_MS, assert_ok(core_sign(list, session, &signature)));
	assert_string_equal(signature.module, module);
	WITHIN(AT_ONCE_MS, assert_ok(list->C_CloseSession(session)));
	(void)core_open(list, slot);
	WITHIN(AT_ONCE_MS, assert_ok(list->C_CloseAllSessions(slot)));
}

static CK_ULONG
count_slots(CK_FUNCTION_LIST *list, CK_BBOOL present)
{
	CK_ULONG n = 0;

	WITHIN(AT_ONCE_MS, assert_ok(list->C_GetSlotList(present, NULL, &n)));
	return n;
}

/* All that an initialized consumer does. */
static void
use_proxy(CK_FUNCTION_LIST *list, CK_ULONG n_slots)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS];

	assert_int_equal(count_slots(list, CK_FALSE), n_slots);
	assert_int_equal(count_slots(list, CK_TRUE), n_slots);
	assert_int_equal(core_slots(list, ids), n_slots);
	use_slot(list, ids[0], "chaos-a");
	use_slot(list, ids[n_slots - 1], "chaos-c");
	WITHIN(AT_ONCE_MS,
	       assert_rv(list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &ids[0], NULL), CKR_NO_EVENT));
}

/* ---- inside a function that is called while everything is up ---- */

struct row {
	enum chaos_call call;
	CK_RV (*calls)(struct victim *victim);
};

static void
hang_in(const struct row *row, struct victim *victim, CK_FUNCTION_LIST *other)
{
	CK_SLOT_ID event;

	print_message("hangs in %s\n", chaos_call_names[row->call]);
	victim->slot = core_slot(victim->list, 1);
	if (row->calls == closes || row->calls == closes_all)
		victim->session = core_open(victim->list, victim->slot);
	victim->call = row->calls;
	hang_once(row->call);
	start_victim(victim);
	/* The module itself is as good as ever, but for that one call. */
	use_proxy(other, 3);
	use_slot(other, core_slot(other, 1), "chaos-b");
	WITHIN(AT_ONCE_MS, assert_ok(other->C_Finalize(NULL)));
	WITHIN(AT_ONCE_MS, assert_ok(other->C_Initialize(NULL)));
	use_proxy(other, 3);
	if (row->calls == waits) {
		a->event(0); /* the others are told; it ends the victim's wait too */
		WITHIN(AT_ONCE_MS * 2, assert_ok(other->C_WaitForSlotEvent(0, &event, NULL)));
		assert_int_equal(event, core_slot(other, 0));
	}
	free_victim(victim);
	assert_ok(victim->rv);
	if (row->calls == opens)
		assert_ok(victim->list->C_CloseSession(victim->session));
}

static void
test_proxy_while_a_call_hangs(void **state)
{
	static const struct row rows[] = {
		{CHAOS_C_GetSlotList, lists},       {CHAOS_C_GetSlotInfo, lists_tokens},
		{CHAOS_C_GetSlotInfo, asks_slot},   {CHAOS_C_GetTokenInfo, asks_token},
		{CHAOS_C_OpenSession, opens},       {CHAOS_C_CloseSession, closes},
		{CHAOS_C_CloseSession, closes_all}, {CHAOS_C_WaitForSlotEvent, waits},
	};

	(void)state;
	three_begin(NULL);
	struct victim victim = {.list = core_consumer()};
	CK_FUNCTION_LIST *other = core_consumer();
	assert_int_equal(count_slots(other, CK_TRUE), 3);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		hang_in(&rows[i], &victim, other);
	assert_ok(victim.list->C_Finalize(NULL));
	assert_ok(other->C_Finalize(NULL));
	three_end();
}

/* The module's list is asked anew, though a thread is stuck in its events. */
static void
test_stuck_events_do_not_freeze_the_list(void **state)
{
	(void)state;
	three_begin(NULL);
	struct victim victim = {.list = core_consumer(), .call = waits};
	CK_FUNCTION_LIST *other = core_consumer();
	hang_once(CHAOS_C_WaitForSlotEvent);
	start_victim(&victim);
	b->plug(1, true);
	assert_int_equal(count_slots(other, CK_FALSE), 4);
	assert_int_equal(count_slots(other, CK_TRUE), 4);
	free_victim(&victim);
	assert_ok(victim.rv);
	assert_int_equal(victim.slot, core_slot(other, 2));
	assert_ok(victim.list->C_Finalize(NULL));
	assert_ok(other->C_Finalize(NULL));
	three_end();
}

/* The very first answer of a module is waited for, but only once, and 3 s at most. */
static void
test_first_list_that_hangs(void **state)
{
	(void)state;
	three_begin(NULL);
	struct victim victim = {.list = core_list(), .call = initializes};
	CK_FUNCTION_LIST *other = core_list();
	hang_once(CHAOS_C_GetSlotList);
	start_victim(&victim);
	WITHIN(START_MS, assert_ok(other->C_Initialize(NULL)));
	use_proxy(other, 2);
	use_proxy(victim.list, 2); /* another thread of the consumer that hangs */
	free_victim(&victim);
	assert_ok(victim.rv);
	use_proxy(other, 3);

	assert_ok(victim.list->C_Finalize(NULL));
	assert_ok(other->C_Finalize(NULL));
	three_end();
}

static void
test_first_list_with_tokens_that_hangs(void **state)
{
	CK_ULONG n = 0;

	(void)state;
	three_begin(NULL);
	struct victim victim = {.list = core_consumer(), .call = lists_tokens};
	CK_FUNCTION_LIST *other = core_consumer();
	hang_once(CHAOS_C_GetSlotInfo);
	start_victim(&victim);
	assert_int_equal(count_slots(other, CK_FALSE), 3);
	WITHIN(START_MS, assert_ok(other->C_GetSlotList(CK_TRUE, NULL, &n)));
	assert_int_equal(n, 2);
	assert_int_equal(count_slots(other, CK_TRUE), 2);
	free_victim(&victim);
	assert_int_equal(count_slots(other, CK_TRUE), 3);
	assert_ok(victim.list->C_Finalize(NULL));
	assert_ok(other->C_Finalize(NULL));
	three_end();
}

/* ---- inside the life cycle ---- */

static void
test_start_that_hangs(void **state)
{
	(void)state;
	three_begin(NULL);
	struct victim victim = {.list = core_list(), .call = initializes};
	CK_FUNCTION_LIST *other = core_list();
	hang_once(CHAOS_C_Initialize);
	start_victim(&victim);
	use_proxy(victim.list, 2);
	WITHIN(START_MS, assert_ok(other->C_Initialize(NULL)));
	assert_non_null(p11_kit_message());
	assert_non_null(strstr(p11_kit_message(), "module b: "));
	use_proxy(other, 2);
	/* Finalized and initialized again meanwhile, too. */
	WITHIN(AT_ONCE_MS, assert_ok(other->C_Finalize(NULL)));
	WITHIN(START_MS, assert_ok(other->C_Initialize(NULL)));
	free_victim(&victim);
	assert_ok(victim.rv);
	use_proxy(other, 3);
	assert_int_equal(b->calls[CHAOS_C_Initialize], 1);

	/* The one that started it goes, the other one keeps it. */
	assert_ok(victim.list->C_Finalize(NULL));
	use_proxy(other, 3);
	assert_int_equal(b->finalized, 0);
	assert_ok(other->C_Finalize(NULL));
	three_end();
}

/* C_Finalize of a consumer whose C_Initialize hangs in another thread: the module goes down when
 * it comes back. */
static void
test_finalize_while_the_start_hangs(void **state)
{
	(void)state;
	three_begin(NULL);
	struct victim victim = {.list = core_list(), .call = initializes};
	hang_once(CHAOS_C_Initialize);
	start_victim(&victim);
	WITHIN(AT_ONCE_MS, assert_ok(victim.list->C_Finalize(NULL)));
	assert_int_equal(a->up, 0);
	free_victim(&victim);
	assert_int_equal(b->finalized, 1);
	three_end();
}

static void
test_stop_that_hangs(void **state)
{
	(void)state;
	three_begin(NULL);
	struct victim victim = {.list = core_consumer(), .call = finalizes};
	CK_FUNCTION_LIST *other = core_list();
	hang_once(CHAOS_C_Finalize);
	start_victim(&victim);
	WITHIN(START_MS, assert_ok(other->C_Initialize(NULL)));
	assert_int_equal(count_slots(other, CK_FALSE), 2);
	use_proxy(other, 2);
	WITHIN(AT_ONCE_MS, assert_ok(other->C_Finalize(NULL)));
	WITHIN(START_MS, assert_ok(other->C_Initialize(NULL)));
	free_victim(&victim);
	assert_ok(victim.rv);
	use_proxy(other, 3);
	assert_ok(other->C_Finalize(NULL));
	three_end();
}

/* ---- managed tables ---- */

static CK_FUNCTION_LIST *
managed(const char *name)
{
	CK_FUNCTION_LIST *list = p11_kit_module_load(chaos_path(name), 0);

	assert_non_null(list);
	return list;
}

static void
test_managed_while_a_call_hangs(void **state)
{
	static const struct row rows[] = {
		{CHAOS_C_OpenSession, opens},
		{CHAOS_C_CloseSession, closes},
		{CHAOS_C_CloseSession, closes_all},
		{CHAOS_C_WaitForSlotEvent, waits},
	};

	(void)state;
	three_begin(NULL);
	struct victim victim = {.list = managed("chaos-b")};
	CK_FUNCTION_LIST *other = managed("chaos-b"), *of_c = managed("chaos-c");
	assert_ok(victim.list->C_Initialize(NULL));
	assert_ok(of_c->C_Initialize(NULL));
	assert_ok(other->C_Initialize(NULL));
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		victim.slot = 0;
		victim.call = rows[i].calls;
		if (victim.call == closes || victim.call == closes_all)
			victim.session = core_open(victim.list, 0);
		hang_once(rows[i].call);
		start_victim(&victim);
		use_slot(of_c, 0, "chaos-c");
		use_slot(other, 0, "chaos-b");
		WITHIN(AT_ONCE_MS, assert_ok(other->C_Finalize(NULL)));
		WITHIN(AT_ONCE_MS, assert_ok(other->C_Initialize(NULL)));
		b->event(0);
		free_victim(&victim);
		assert_ok(victim.rv);
	}
	assert_ok(victim.list->C_Finalize(NULL));
	assert_ok(other->C_Finalize(NULL));
	assert_ok(of_c->C_Finalize(NULL));
	p11_kit_module_release(victim.list);
	p11_kit_module_release(other);
	p11_kit_module_release(of_c);
	three_end();
}

/* Its C_Finalize goes on while its own call hangs; the module is finalized when that is out. */
static void
test_managed_finalize_while_its_own_call_hangs(void **state)
{
	(void)state;
	three_begin(NULL);
	struct victim victim = {.list = managed("chaos-b"), .call = opens};
	assert_ok(victim.list->C_Initialize(NULL));
	hang_once(CHAOS_C_OpenSession);
	start_victim(&victim);
	WITHIN(AT_ONCE_MS, assert_ok(victim.list->C_Finalize(NULL)));
	assert_int_equal(b->finalized, 0);
	free_victim(&victim);
	assert_rv(victim.rv, CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(b->finalized, 1);
	p11_kit_module_release(victim.list);
	three_end();
}

static void
test_managed_start_that_hangs(void **state)
{
	(void)state;
	three_begin(NULL);
	struct victim victim = {.list = managed("chaos-b"), .call = initializes};
	struct victim second = {.list = managed("chaos-b"), .call = initializes};
	CK_FUNCTION_LIST *of_c = managed("chaos-c"), *proxy = core_list();
	hang_once(CHAOS_C_Initialize);
	start_victim(&victim);
	second.crew = crew_start(1, run_victim, &second); /* it waits, as there is nothing else */
	WITHIN(AT_ONCE_MS, assert_ok(of_c->C_Initialize(NULL)));
	use_slot(of_c, 0, "chaos-c");
	WITHIN(START_MS, assert_ok(proxy->C_Initialize(NULL)));
	use_proxy(proxy, 2);
	WITHIN(AT_ONCE_MS, assert_ok(of_c->C_Finalize(NULL)));
	free_victim(&victim);
	crew_join(second.crew);
	assert_ok(victim.rv);
	assert_ok(second.rv);
	use_proxy(proxy, 3);
	assert_ok(victim.list->C_Finalize(NULL));
	assert_ok(second.list->C_Finalize(NULL));
	assert_ok(proxy->C_Finalize(NULL));
	p11_kit_module_release(victim.list);
	p11_kit_module_release(second.list);
	p11_kit_module_release(of_c);
	three_end();
}

/* ---- another file that is being loaded ---- */

static void
load_slowly(void *data, unsigned i)
{
	(void)i;
	core_expect(p11_kit_module_load(data, 0) == NULL);
}

/* The dynamic linker's lock is held meanwhile: who starts a module that is loaded does not want
 * it. */
static void
test_start_while_another_file_is_loaded(void **state)
{
	char path[4096], fd[16], byte;
	int pair[2];

	(void)state;
	three_begin(NULL);
	CK_FUNCTION_LIST *list = core_consumer();
	CK_FUNCTION_LIST *managed = p11_kit_module_load(chaos_path("chaos-b"), 0);
	assert_ok(list->C_Finalize(NULL));

	/* The constructor writes to the descriptor behind the one that it reads from. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(dup2(pair[0], 100), 100);
	assert_int_equal(dup2(pair[0], 101), 101);
	snprintf(fd, sizeof fd, "%d", 100);
	setenv("P11_SLOW_LOAD", fd, 1);
	snprintf(path, sizeof path, "%s/tests/core/libslow-load.so", support_env("P11_BUILD"));
	struct crew *crew = crew_start(1, load_slowly, path);
	assert_int_equal(read(pair[1], &byte, 1), 1);

	assert_ok(list->C_Initialize(NULL));
	assert_ok(managed->C_Initialize(NULL));
	assert_int_equal(core_slot(list, 2), 0x13);
	assert_ok(managed->C_Finalize(NULL));
	assert_ok(list->C_Finalize(NULL));

	assert_int_equal(write(pair[1], "!", 1), 1);
	crew_join(crew);
	assert_int_equal(core_n_wrong, 0);
	p11_kit_module_release(managed);
	three_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_proxy_while_a_call_hangs),
		core_unit_test(test_stuck_events_do_not_freeze_the_list),
		core_unit_test(test_first_list_that_hangs),
		core_unit_test(test_first_list_with_tokens_that_hangs),
		core_unit_test(test_start_that_hangs),
		core_unit_test(test_finalize_while_the_start_hangs),
		core_unit_test(test_stop_that_hangs),
		core_unit_test(test_managed_while_a_call_hangs),
		core_unit_test(test_managed_finalize_while_its_own_call_hangs),
		core_unit_test(test_managed_start_that_hangs),
		core_unit_test(test_start_while_another_file_is_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
