/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * C_WaitForSlotEvent over all modules, through the proxy and on managed tables: no event is lost,
 * invented, or taken from another consumer, whether a module tells its events or its lists must be
 * compared.
 */
#include "core/three.h"

#include <string.h>

#define DEADLINE_MS 60000
#define QUIET_MS 1500 /* long enough for two rounds of asking */

static void
finalize_managed(CK_FUNCTION_LIST *list)
{
	assert_ok(list->C_Finalize(NULL));
	p11_kit_module_release(list);
}

static CK_RV
ask(CK_FUNCTION_LIST *list, CK_SLOT_ID *slot)
{
	*slot = 0xdead;
	return list->C_WaitForSlotEvent(CKF_DONT_BLOCK, slot, NULL);
}

static void
assert_event(CK_FUNCTION_LIST *list, CK_SLOT_ID expected)
{
	CK_SLOT_ID slot;

	assert_rv(ask(list, &slot), CKR_OK);
	assert_int_equal(slot, expected);
}

static void
assert_no_event(CK_FUNCTION_LIST *list)
{
	CK_SLOT_ID slot;

	assert_rv(ask(list, &slot), CKR_NO_EVENT);
}

/* ---- without blocking ---- */

static void
test_each_consumer_is_told_each_event(void **state)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS];

	(void)state;
	three_begin(NULL);
	b->slots(2);
	CK_FUNCTION_LIST *lists[] = {core_consumer(), core_consumer()};
	CK_FUNCTION_LIST *tables[] = {core_managed("chaos-b"), core_managed("chaos-b")};
	assert_int_equal(core_slots(lists[0], ids), 4);
	for (int i = 0; i < 2; i++) {
		assert_no_event(lists[i]);
		assert_no_event(tables[i]);
	}
	b->token(1, false);
	assert_event(lists[0], ids[2]);
	a->event(0);
	assert_event(lists[0], ids[0]);
	assert_no_event(lists[0]);
	assert_event(lists[1], ids[2]);
	assert_event(lists[1], ids[0]);
	b->token(0, false);
	for (int i = 0; i < 2; i++) {
		assert_event(lists[i], ids[1]);
		assert_no_event(lists[i]);
		assert_event(tables[i], 1);
		assert_event(tables[i], 0);
		assert_no_event(tables[i]);
	}
	/* Who comes later is not told of it. */
	CK_FUNCTION_LIST *later = core_consumer();
	assert_no_event(later);
	/* Several events of a slot before it is told are one. */
	c->event(0);
	assert_event(lists[0], ids[3]);
	c->event(0);
	assert_event(lists[0], ids[3]);
	assert_event(later, ids[3]);
	assert_no_event(later);
	assert_ok(later->C_Finalize(NULL));
	for (int i = 0; i < 2; i++) {
		assert_ok(lists[i]->C_Finalize(NULL));
		finalize_managed(tables[i]);
	}
	three_end();
}

/* Nothing but the event has shown the slot yet, and its id works already. */
static void
test_new_slot_has_its_number(void **state)
{
	CK_SLOT_ID slot, ids[CORE_MAX_SLOTS];
	CK_TOKEN_INFO info;

	(void)state;
	three_begin(NULL);
	CK_FUNCTION_LIST *one = core_consumer(), *two = core_consumer();
	assert_int_equal(core_slots(one, ids), 3);
	c->no_events = true;
	assert_no_event(one);
	for (int i = 0; i < 2; i++) {
		struct chaos *chaos = i ? c : b;
		chaos->plug(1, true);
		assert_rv(ask(one, &slot), CKR_OK);
		assert_int_equal(slot, 0x14 + i);
		assert_ok(one->C_GetTokenInfo(slot, &info));
		assert_memory_equal(info.label, i ? "chaos-c 1" : "chaos-b 1", 9);
		assert_ok(one->C_CloseSession(core_open(one, slot)));
		assert_event(two, slot);
	}
	assert_int_equal(core_slots(two, ids), 5);
	assert_int_equal(ids[2], 0x14);
	assert_int_equal(ids[4], 0x15);
	assert_ok(one->C_Finalize(NULL));
	assert_ok(two->C_Finalize(NULL));
	three_end();
}

static void
watch_by_list(void)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS];

	CK_FUNCTION_LIST *one = core_consumer(), *two = core_consumer();
	CK_FUNCTION_LIST *table = core_managed("chaos-b");
	assert_int_equal(core_slots(one, ids), 3);
	assert_no_event(one);
	assert_no_event(table);
	/* Now the state of all is known. */
	b->token(0, false);
	assert_event(one, ids[1]);
	b->token(0, true);
	assert_event(one, ids[1]);
	assert_event(two, ids[1]);
	assert_event(table, 0);
	b->plug(0, false);
	assert_event(two, ids[1]);
	b->plug(0, true);
	assert_event(two, ids[1]);
	assert_event(one, ids[1]);
	assert_event(table, 0);
	/* Seen by somebody's list, or question for the slot, at first. */
	b->token(0, false);
	CK_ULONG n = 0;
	assert_ok(two->C_GetSlotList(CK_TRUE, NULL, &n));
	assert_int_equal(n, 2);
	b->token(0, true);
	assert_ok(two->C_GetSlotInfo(ids[1], &(CK_SLOT_INFO){0}));
	b->token(0, false);
	assert_event(one, ids[1]);
	assert_event(two, ids[1]);
	assert_event(table, 0);
	assert_no_event(one);
	assert_no_event(two);
	assert_no_event(table);
	assert_ok(one->C_Finalize(NULL));
	assert_ok(two->C_Finalize(NULL));
	finalize_managed(table);
}

static void
test_module_without_events(void **state)
{
	(void)state;
	three_begin(NULL);
	b->no_events = true;
	watch_by_list();
	three_end();
}

/* It does not say that it cannot tell; it only fails, always. */
static void
test_module_whose_events_fail(void **state)
{
	(void)state;
	three_begin(NULL);
	b->fault(CHAOS_C_WaitForSlotEvent, &(struct chaos_fault){.rv = CKR_FUNCTION_FAILED});
	watch_by_list();
	three_end();
}

/* A slot whose state was asked for is watched from then on, not only from the first wait on. */
static void
test_change_before_the_first_wait(void **state)
{
	(void)state;
	three_begin(NULL);
	b->no_events = true;
	CK_FUNCTION_LIST *list = core_consumer();
	CK_SLOT_ID slot = core_slot(list, 1);
	assert_ok(list->C_GetSlotInfo(slot, &(CK_SLOT_INFO){0}));
	b->token(0, false);
	assert_event(list, slot);
	assert_no_event(list);
	assert_ok(list->C_Finalize(NULL));
	three_end();
}

/* What happened while nobody was initialized is no event for who is later. */
static void
test_change_while_the_module_was_down(void **state)
{
	(void)state;
	three_begin(NULL);
	b->no_events = true;
	CK_FUNCTION_LIST *list = core_consumer();
	assert_no_event(list);
	CK_SLOT_ID slot = core_slot(list, 1);
	assert_ok(list->C_Finalize(NULL));
	b->token(0, false);
	b->plug(1, true);
	assert_ok(list->C_Initialize(NULL));
	assert_no_event(list);
	b->token(0, true);
	assert_event(list, slot);
	b->plug(1, false);
	assert_rv(ask(list, &slot), CKR_OK);
	assert_no_event(list);
	assert_ok(list->C_Finalize(NULL));
	three_end();
}

/* ---- blocking ---- */

struct waiter {
	CK_FUNCTION_LIST *list;
	_Atomic CK_SLOT_ID slot;
	_Atomic CK_RV rv;
	atomic_bool is_out;
	struct crew *crew;
};

static void
wait_for_event(void *data, unsigned i)
{
	struct waiter *waiter = data;
	CK_SLOT_ID slot = 0;

	(void)i;
	waiter->rv = waiter->list->C_WaitForSlotEvent(0, &slot, NULL);
	waiter->slot = slot;
	waiter->is_out = true;
}

static void
start_waiter(struct waiter *waiter)
{
	waiter->is_out = false;
	waiter->crew = crew_start(1, wait_for_event, waiter);
	support_pause_ms(50);
}

static void
do_nothing(void *data, unsigned i)
{
	(void)data, (void)i;
}

static void
test_blocking_wait(void **state)
{
	(void)state;
	three_begin(NULL);
	struct waiter proxy = {.list = core_consumer()}, table = {.list = core_managed("chaos-b")};
	CK_SLOT_ID ids[CORE_MAX_SLOTS];
	assert_int_equal(core_slots(proxy.list, ids), 3);
	crew_join(crew_start(1, do_nothing, NULL)); /* a sanitizer has a thread from then on */
	unsigned n_threads = support_n_threads();
	for (int i = 0; i < 3; i++) {
		b->no_events = i == 2;
		start_waiter(&proxy);
		start_waiter(&table);
		support_pause_ms(300);
		assert_false(proxy.is_out);
		assert_false(table.is_out);
		assert_int_equal(support_n_threads(), n_threads + 2);
		b->token(0, i == 1);
		crew_join(proxy.crew);
		crew_join(table.crew);
		assert_ok(proxy.rv);
		assert_int_equal(proxy.slot, ids[1]);
		assert_ok(table.rv);
		assert_int_equal(table.slot, 0);
	}
	assert_int_equal(support_n_threads(), n_threads);
	assert_ok(proxy.list->C_Finalize(NULL));
	finalize_managed(table.list);
	three_end();
}

/* It ends the waits of its own consumer, and nobody else's. */
static void
test_finalize_ends_the_wait(void **state)
{
	(void)state;
	three_begin(NULL);
	struct waiter waiters[2] = {{.list = core_consumer()}, {.list = core_managed("chaos-b")}};
	struct waiter other = {.list = core_consumer()};
	for (int i = 0; i < 2; i++)
		start_waiter(&waiters[i]);
	start_waiter(&other);
	support_pause_ms(QUIET_MS); /* by now they sleep long */
	for (int i = 0; i < 2; i++) {
		assert_false(waiters[i].is_out);
		unsigned long began = support_ms();
		assert_ok(waiters[i].list->C_Finalize(NULL));
		crew_join(waiters[i].crew);
		assert_in_range(support_ms() - began, 0, 700);
		assert_rv(waiters[i].rv, CKR_CRYPTOKI_NOT_INITIALIZED);
		assert_rv(waiters[i].list->C_WaitForSlotEvent(0, &(CK_SLOT_ID){0}, NULL),
			  CKR_CRYPTOKI_NOT_INITIALIZED);
	}
	assert_false(other.is_out);
	a->event(0);
	crew_join(other.crew);
	assert_ok(other.rv);
	assert_int_equal(other.slot, core_slot(other.list, 0));
	assert_ok(other.list->C_Finalize(NULL));
	p11_kit_module_release(waiters[1].list);
	three_end();
}

/* ---- many ---- */

#define N_CONSUMERS 2
#define N_WAITERS 2 /* threads of each consumer */
#define N_SLOTS 3   /* one of each module */
#define N_ROUNDS (SUPPORT_TSAN || SUPPORT_ASAN ? 300 : 2000)

struct crowd {
	CK_FUNCTION_LIST *lists[N_CONSUMERS];
	CK_SLOT_ID ids[CORE_MAX_SLOTS];
	atomic_ulong n_told[N_CONSUMERS][N_SLOTS];
	pthread_mutex_t lock[N_CONSUMERS]; /* a state is read and kept under it */
	atomic_int has_token[N_CONSUMERS][N_SLOTS];
	atomic_bool is_over, is_strange;
	CK_FLAGS flags;
};

static int
index_of(const struct crowd *crowd, CK_SLOT_ID id)
{
	for (int i = 0; i < N_SLOTS; i++) {
		if (crowd->ids[i] == id)
			return i;
	}
	return -1;
}

static void
be_told(struct crowd *crowd, unsigned consumer, int slot)
{
	CK_SLOT_INFO info = {.flags = 0};

	pthread_mutex_lock(&crowd->lock[consumer]);
	if (crowd->lists[consumer]->C_GetSlotInfo(crowd->ids[slot], &info) != CKR_OK)
		crowd->is_strange = true;
	crowd->has_token[consumer][slot] = (info.flags & CKF_TOKEN_PRESENT) != 0;
	pthread_mutex_unlock(&crowd->lock[consumer]);
	crowd->n_told[consumer][slot]++;
}

static void
watch(void *data, unsigned i)
{
	struct crowd *crowd = data;
	unsigned consumer = i % N_CONSUMERS;
	CK_RV rv = CKR_OK;

	while (rv == CKR_OK || rv == CKR_NO_EVENT) {
		CK_SLOT_ID id = 0;
		rv = crowd->lists[consumer]->C_WaitForSlotEvent(crowd->flags, &id, NULL);
		int slot = index_of(crowd, id);
		if (rv == CKR_OK && slot < 0)
			crowd->is_strange = true;
		else if (rv == CKR_OK)
			be_told(crowd, consumer, slot);
	}
	crowd->is_strange |= rv != CKR_CRYPTOKI_NOT_INITIALIZED || !crowd->is_over;
}

static struct crew *
begin_crowd(struct crowd *crowd)
{
	for (int i = 0; i < N_CONSUMERS; i++) {
		crowd->lists[i] = core_consumer();
		assert_no_event(crowd->lists[i]);
		pthread_mutex_init(&crowd->lock[i], NULL);
		for (int j = 0; j < N_SLOTS; j++)
			crowd->has_token[i][j] = 1;
	}
	assert_int_equal(core_slots(crowd->lists[0], crowd->ids), N_SLOTS);
	return crew_start(N_CONSUMERS * N_WAITERS, watch, crowd);
}

static void
end_crowd(struct crowd *crowd, struct crew *crew)
{
	crowd->is_over = true;
	for (int i = 0; i < N_CONSUMERS; i++)
		assert_ok(crowd->lists[i]->C_Finalize(NULL));
	crew_join(crew);
	assert_false(crowd->is_strange);
}

static bool
is_told(const struct crowd *crowd, int slot, unsigned long n)
{
	for (int i = 0; i < N_CONSUMERS; i++) {
		if (crowd->n_told[i][slot] < n)
			return false;
	}
	return true;
}

/*
 * An event of each of two modules at the same moment: each consumer is told both, once, by one of
 * its threads.
 */
static void
test_each_event_of_many_is_told_once(void **state)
{
	struct crowd crowd = {.flags = CKF_DONT_BLOCK};

	(void)state;
	three_begin(NULL);
	struct crew *crew = begin_crowd(&crowd);
	for (unsigned long i = 1; i <= N_ROUNDS; i++) {
		a->event(0);
		b->event(0);
		assert_true(WAIT_UNTIL(is_told(&crowd, 0, i), DEADLINE_MS));
		assert_true(WAIT_UNTIL(is_told(&crowd, 1, i), DEADLINE_MS));
	}
	for (int i = 0; i < N_CONSUMERS; i++) {
		assert_int_equal(crowd.n_told[i][0], N_ROUNDS);
		assert_int_equal(crowd.n_told[i][1], N_ROUNDS);
		assert_int_equal(crowd.n_told[i][2], 0);
	}
	end_crowd(&crowd, crew);
	three_end();
}

static bool
is_up_to_date(const struct crowd *crowd, const bool *has_token)
{
	for (int i = 0; i < N_CONSUMERS; i++) {
		for (int j = 0; j < N_SLOTS; j++) {
			if (crowd->has_token[i][j] != has_token[j])
				return false;
		}
	}
	return true;
}

/* Tokens come and go quicker than anybody looks; who looks when told has the truth at the end. */
static void
test_storm(void **state)
{
	struct chaos *chaos[N_SLOTS];
	bool has_token[N_SLOTS] = {true, true, true};
	struct crowd crowd = {.flags = 0};
	unsigned seed = 1;

	(void)state;
	three_begin(NULL);
	c->no_events = true;
	chaos[0] = a, chaos[1] = b, chaos[2] = c;
	struct crew *crew = begin_crowd(&crowd);
	for (int round = 0; round < 8; round++) {
		unsigned long began = support_ms();
		while (support_ms() - began < 300) {
			unsigned i = (seed = seed * 1103515245 + 12345) >> 16;
			has_token[i % N_SLOTS] ^= 1;
			chaos[i % N_SLOTS]->token(0, has_token[i % N_SLOTS]);
			if (i % 7 == 0)
				support_pause_ms(i % 40);
		}
		assert_true(WAIT_UNTIL(is_up_to_date(&crowd, has_token), DEADLINE_MS));
	}
	end_crowd(&crowd, crew);
	three_end();
}

static void
list_in_thread(void *data, unsigned i)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS];
	CK_ULONG n = CORE_MAX_SLOTS;

	(void)i;
	core_expect(((CK_FUNCTION_LIST *)data)->C_GetSlotList(CK_TRUE, ids, &n) == CKR_OK);
}

static unsigned
n_told(CK_FUNCTION_LIST *list)
{
	CK_SLOT_ID slot;
	unsigned n = 0;

	while (list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL) == CKR_OK)
		n++;
	return n;
}

/* A list that was asked for before the change, and comes after it, is old news and no second
 * event. */
static void
test_a_list_that_comes_late(void **state)
{
	CK_SLOT_INFO info;

	(void)state;
	three_begin(NULL);
	a->slots(2);
	a->token(0, false);
	a->no_events = b->no_events = c->no_events = true;
	CK_FUNCTION_LIST *list = core_consumer();
	assert_ok(list->C_GetSlotInfo(core_slot(list, 0), &info));
	assert_int_equal(n_told(list), 0);

	a->fault(CHAOS_C_GetSlotInfo,
		 &(struct chaos_fault){.on_slot = true, .slot = 1, .hang = true, .times = 1});
	struct crew *crew = crew_start(1, list_in_thread, list);
	assert_true(WAIT_UNTIL(a->hanging == 1, DEADLINE_MS));
	a->token(0, true);
	assert_ok(list->C_GetSlotInfo(core_slot(list, 0), &info));
	assert_true(info.flags & CKF_TOKEN_PRESENT);
	unsigned n = n_told(list);
	a->release();
	crew_join(crew);
	n += n_told(list);
	n += n_told(list);
	assert_int_equal(n, 1);
	assert_int_equal(core_n_wrong, 0);
	assert_ok(list->C_Finalize(NULL));
	three_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_each_consumer_is_told_each_event),
		core_unit_test(test_new_slot_has_its_number),
		core_unit_test(test_module_without_events),
		core_unit_test(test_module_whose_events_fail),
		core_unit_test(test_change_before_the_first_wait),
		core_unit_test(test_change_while_the_module_was_down),
		core_unit_test(test_blocking_wait),
		core_unit_test(test_finalize_ends_the_wait),
		core_unit_test(test_each_event_of_many_is_told_once),
		core_unit_test(test_a_list_that_comes_late),
		core_unit_test(test_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
