/* SPDX-License-Identifier: BSD-3-Clause */
/* share/slots.h: lists that a failing or lying module cannot spoil, and events nobody misses. */
#include "share/slots.h"

#include "base/message.h"
#include "support/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DEADLINE_MS 60000
#define MAX_SLOTS 16

/* ---- a module that is a few functions of this program ---- */

static struct {
	CK_SLOT_ID ids[MAX_SLOTS];
	bool has_token[MAX_SLOTS];
	CK_RV info_rv[MAX_SLOTS];
	atomic_uint n;
	CK_ULONG claimed_more; /* than there are */
	bool always_grows;
	_Atomic CK_RV list_rv;
	atomic_ulong n_lists, n_infos, n_waits;
	atomic_bool hang, is_hanging;
	CK_SLOT_ID events[MAX_SLOTS];
	atomic_uint n_events;
	_Atomic CK_RV no_event_rv;
} fake;

static CK_RV
fake_life(CK_VOID_PTR ignored)
{
	(void)ignored;
	return CKR_OK;
}

static CK_RV
fake_list(CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
	CK_ULONG room = *count;

	fake.n_lists++;
	while (fake.hang) {
		fake.is_hanging = true;
		support_pause_ms(1);
	}
	if (fake.list_rv || present)
		return fake.list_rv ? fake.list_rv : CKR_GENERAL_ERROR;
	*count = fake.n + fake.claimed_more;
	if (!list)
		return CKR_OK;
	for (unsigned i = 0; i < fake.n && i < room; i++)
		list[i] = fake.ids[i];
	if (fake.always_grows) {
		*count = room + 1;
		return CKR_BUFFER_TOO_SMALL;
	}
	return fake.n > room ? CKR_BUFFER_TOO_SMALL : CKR_OK;
}

static CK_RV
fake_info(CK_SLOT_ID id, CK_SLOT_INFO_PTR info)
{
	fake.n_infos++;
	for (unsigned i = 0; i < fake.n; i++) {
		if (fake.ids[i] != id)
			continue;
		info->flags = fake.has_token[i] ? CKF_TOKEN_PRESENT : 0;
		return fake.info_rv[i];
	}
	return CKR_SLOT_ID_INVALID;
}

static CK_RV
fake_wait(CK_FLAGS flags, CK_SLOT_ID_PTR slot, CK_VOID_PTR reserved)
{
	fake.n_waits++;
	if (flags != CKF_DONT_BLOCK || reserved)
		return CKR_GENERAL_ERROR;
	if (fake.n_events == 0)
		return fake.no_event_rv;
	*slot = fake.events[--fake.n_events];
	return CKR_OK;
}

static CK_FUNCTION_LIST list = {
	.version = {2, 40},
	.C_Initialize = fake_life,
	.C_Finalize = fake_life,
	.C_GetSlotList = fake_list,
	.C_GetSlotInfo = fake_info,
	.C_WaitForSlotEvent = fake_wait,
};

static struct p11_module *module;
static struct p11_slots *slots;

static int
setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof fake);
	fake.no_event_rv = CKR_NO_EVENT;
	slots = malloc(sizeof *slots);
	p11_slots_reset(slots);
	return !slots || p11_module_adopt(&list, &module) != CKR_OK ||
	       p11_module_start(module, NULL, 0, NULL) != CKR_OK;
}

static int
teardown(void **state)
{
	(void)state;
	(void)p11_module_stop(module);
	p11_module_unref(module);
	p11_slots_clear(slots);
	free(slots);
	return 0;
}

static void
have_slots(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		fake.ids[i] = 10 + i;
		fake.has_token[i] = true;
	}
	fake.n = n;
}

static void
refresh(bool presence)
{
	assert_int_equal(p11_slots_refresh(slots, module, presence, true), CKR_OK);
}

static void
assert_slots(bool present, size_t n, const CK_SLOT_ID *expected)
{
	CK_SLOT_ID *ids;
	size_t n_ids;

	assert_int_equal(p11_slots_copy(slots, present, &ids, &n_ids), CKR_OK);
	assert_int_equal(n_ids, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(ids[i], expected[i]);
	free(ids);
}

#define ASSERT_SLOTS(present, ...)                                                                 \
	do {                                                                                       \
		const CK_SLOT_ID expected[] = {__VA_ARGS__};                                       \
		assert_slots(present, sizeof expected / sizeof expected[0], expected);             \
	} while (0)

/* ---- lists ---- */

static void
test_list(void **state)
{
	(void)state;
	assert_slots(false, 0, NULL);
	refresh(false);
	assert_slots(false, 0, NULL);
	have_slots(3);
	fake.has_token[1] = false;
	refresh(false);
	ASSERT_SLOTS(false, 10, 11, 12);
	assert_int_equal(fake.n_infos, 0);
	assert_slots(true, 0, NULL);
	refresh(true);
	ASSERT_SLOTS(true, 10, 12);
	ASSERT_SLOTS(false, 10, 11, 12);
	fake.has_token[1] = true;
	fake.has_token[2] = false;
	refresh(true);
	ASSERT_SLOTS(true, 10, 11);
	/* The module's order, also when it changes; a slot may go and come back. */
	fake.ids[0] = 12;
	fake.n = 1;
	refresh(false);
	ASSERT_SLOTS(false, 12);
	fake.n = 2;
	refresh(false);
	ASSERT_SLOTS(false, 12, 11);
}

static void
test_slot_whose_info_fails(void **state)
{
	(void)state;
	have_slots(3);
	fake.info_rv[1] = CKR_DEVICE_ERROR;
	refresh(true);
	ASSERT_SLOTS(true, 10, 12);
	ASSERT_SLOTS(false, 10, 11, 12);
}

static void
test_lying_module(void **state)
{
	(void)state;
	have_slots(4);
	fake.ids[2] = 10;
	refresh(false);
	ASSERT_SLOTS(false, 10, 11, 13);

	/* It says 100 more than it writes: nothing behind its buffer is read. */
	have_slots(3);
	fake.claimed_more = 100;
	CK_RV rv = p11_slots_refresh(slots, module, false, true);
	CK_SLOT_ID *ids;
	size_t n_ids;
	assert_int_equal(p11_slots_copy(slots, false, &ids, &n_ids), CKR_OK);
	assert_true(rv != CKR_OK || n_ids <= 4);
	free(ids);
	fake.claimed_more = 0;

	fake.always_grows = true;
	assert_int_not_equal(p11_slots_refresh(slots, module, false, true), CKR_OK);
	assert_true(fake.n_lists < 100);
	fake.always_grows = false;
	refresh(false);
	ASSERT_SLOTS(false, 10, 11, 12);
}

static void
test_claims_that_no_memory_holds(void **state)
{
	static const CK_ULONG claims[] = {~(CK_ULONG)0 - 3, ~(CK_ULONG)0 / 8, (CK_ULONG)1 << 30};

	(void)state;
	have_slots(2);
	refresh(false);
	for (size_t i = 0; i < P11_N_ELEMENTS(claims); i++) {
		fake.claimed_more = claims[i];
		p11_message_clear();
		assert_int_not_equal(p11_slots_refresh(slots, module, false, true), CKR_OK);
		assert_non_null(p11_message_last());
		ASSERT_SLOTS(false, 10, 11);
	}
}

static void
test_failure_keeps_what_was_seen(void **state)
{
	unsigned long asked;

	(void)state;
	have_slots(2);
	assert_true(p11_slots_may_retry(slots, module));
	refresh(false);
	fake.list_rv = CKR_DEVICE_ERROR;
	p11_message_clear();
	assert_int_equal(p11_slots_refresh(slots, module, false, false), CKR_DEVICE_ERROR);
	assert_non_null(strstr(p11_message_last(), "CKR_DEVICE_ERROR"));
	ASSERT_SLOTS(false, 10, 11);
	/* It is left alone now, for a second at least, but not where somebody insists. */
	assert_false(p11_slots_may_retry(slots, module));
	asked = fake.n_lists;
	assert_int_equal(p11_slots_refresh(slots, module, false, false), CKR_OK);
	assert_int_equal(fake.n_lists, asked);
	fake.list_rv = CKR_OK;
	have_slots(1);
	refresh(false);
	assert_true(fake.n_lists > asked);
	ASSERT_SLOTS(false, 10);
}

static void
test_pause_is_a_twentieth(void **state)
{
	(void)state;
	p11_slots_failed(slots, module, 0);
	long long pause = slots->retry_at_ms - p11_slots_now_ms();
	assert_true(pause <= 1000);
	p11_slots_failed(slots, module, 100);
	pause = slots->retry_at_ms - p11_slots_now_ms();
	assert_true(pause > 1000 && pause <= 2000);
	p11_slots_failed(slots, module, 1000000);
	pause = slots->retry_at_ms - p11_slots_now_ms();
	assert_true(pause > 19999000 && pause <= 20000000); /* whatever it took */
}

static void
test_module_that_is_down(void **state)
{
	(void)state;
	have_slots(1);
	(void)p11_module_stop(module);
	assert_int_equal(p11_slots_refresh(slots, module, false, true),
			 CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(fake.n_lists, 0);
}

static void
refresh_in_thread(void *data, unsigned i)
{
	(void)i;
	*(CK_RV *)data = p11_slots_refresh(slots, module, false, true);
}

/* One thread asks; the others get what was seen last, at once. */
static void
test_one_asks(void **state)
{
	CK_RV rv = CKR_GENERAL_ERROR;

	(void)state;
	have_slots(1);
	refresh(false);
	fake.hang = true;
	have_slots(2);
	struct crew *asker = crew_start(1, refresh_in_thread, &rv);
	assert_true(WAIT_UNTIL(fake.is_hanging, DEADLINE_MS));
	unsigned long asked = fake.n_lists;
	refresh(false);
	ASSERT_SLOTS(false, 10);
	assert_int_equal(fake.n_lists, asked);
	fake.hang = false;
	crew_join(asker);
	assert_int_equal(rv, CKR_OK);
	ASSERT_SLOTS(false, 10, 11);
}

/* ---- events ---- */

static bool
is_told(unsigned long long *after, CK_SLOT_ID *id)
{
	unsigned long long event = ~0ull;

	if (!p11_slots_event_after(slots, *after, &event, id))
		return false;
	assert_true(event > *after);
	*after = event;
	return true;
}

/* Asks the module now, however short ago it was asked. */
static void
poll_now(void)
{
	slots->poll_at_ms = 0;
	p11_slots_poll(slots, module, true);
}

static void
test_events_that_the_module_tells(void **state)
{
	unsigned long long one = p11_slots_last_event(), two = one, last = one;
	CK_SLOT_ID id = 0;

	(void)state;
	have_slots(3);
	refresh(true);
	assert_false(is_told(&one, &id));
	fake.events[0] = 12;
	fake.events[1] = 10;
	fake.events[2] = 12;
	fake.n_events = 3;
	poll_now();
	assert_int_equal(fake.n_events, 0);
	/* Both consumers are told both; the two of slot 12 became one, which is the later one. */
	for (int consumer = 0; consumer < 2; consumer++) {
		unsigned long long *after = consumer ? &two : &one;
		assert_true(is_told(after, &id));
		assert_int_equal(id, 10);
		assert_true(is_told(after, &id));
		assert_int_equal(id, 12);
		assert_false(is_told(after, &id));
	}
	assert_int_equal(p11_slots_last_event(), last + 3);
	/* A list that differs is no event of a module that tells its events. */
	fake.has_token[0] = false;
	refresh(true);
	assert_false(is_told(&one, &id));
	/* A slot that no list has shown yet. */
	fake.events[0] = 99;
	fake.n_events = 1;
	poll_now();
	assert_true(is_told(&one, &id));
	assert_int_equal(id, 99);
}

static void
test_events_by_list(void **state)
{
	unsigned long long after = p11_slots_last_event();
	CK_SLOT_ID id = 0;

	(void)state;
	fake.no_event_rv = CKR_FUNCTION_NOT_SUPPORTED;
	have_slots(2);
	fake.has_token[1] = false;
	refresh(false);
	poll_now();
	assert_false(is_told(&after, &id));
	fake.has_token[1] = true;
	poll_now();
	assert_true(is_told(&after, &id));
	assert_int_equal(id, 11);
	assert_false(is_told(&after, &id));
	fake.has_token[0] = false;
	poll_now();
	assert_true(is_told(&after, &id));
	assert_int_equal(id, 10);
	/* A slot comes with a token, and goes; one without a token is no event. */
	have_slots(3);
	fake.has_token[0] = false;
	poll_now();
	assert_true(is_told(&after, &id));
	assert_int_equal(id, 12);
	fake.n = 2;
	poll_now();
	assert_true(is_told(&after, &id));
	assert_int_equal(id, 12);
	assert_false(is_told(&after, &id));
	fake.n = 3;
	fake.has_token[2] = false;
	poll_now();
	assert_false(is_told(&after, &id));
	assert_int_equal(fake.n_waits, 1);
}

static void
test_endless_events(void **state)
{
	(void)state;
	fake.events[0] = 10;
	for (int i = 0; i < 10; i++) {
		fake.n_events = MAX_SLOTS;
		for (int j = 0; j < MAX_SLOTS; j++)
			fake.events[j] = 10;
		poll_now();
	}
	fake.no_event_rv = CKR_OK; /* it never stops */
	poll_now();
	assert_true(fake.n_waits < 1000);
}

static void
test_polls_are_apart(void **state)
{
	(void)state;
	slots->poll_at_ms = p11_slots_now_ms() + DEADLINE_MS;
	p11_slots_poll(slots, module, false);
	assert_int_equal(fake.n_waits, 0);
	p11_slots_poll(slots, module, true);
	assert_int_not_equal(fake.n_waits, 0);
}

static void
wait_in_thread(void *data, unsigned i)
{
	(void)i;
	p11_slots_wait(p11_slots_ticket(), DEADLINE_MS);
	*(atomic_bool *)data = true;
}

static void
test_waiting(void **state)
{
	atomic_bool is_awake = false;
	unsigned ticket = p11_slots_ticket();

	(void)state;
	p11_slots_wait(ticket, 1);
	p11_slots_wake();
	p11_slots_wait(ticket, DEADLINE_MS); /* returns at once, or the test times out */
	struct crew *waiter = crew_start(1, wait_in_thread, &is_awake);
	support_pause_ms(10);
	assert_false(is_awake);
	assert_true(WAIT_UNTIL((p11_slots_wake(), is_awake), DEADLINE_MS));
	crew_join(waiter);

	ticket = p11_slots_ticket();
	have_slots(1);
	fake.events[0] = 10;
	fake.n_events = 1;
	poll_now();
	assert_int_not_equal(p11_slots_ticket(), ticket);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slot_whose_info_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lying_module, setup, teardown),
		cmocka_unit_test_setup_teardown(test_claims_that_no_memory_holds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_keeps_what_was_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pause_is_a_twentieth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_module_that_is_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_asks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events_that_the_module_tells, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events_by_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endless_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_polls_are_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
