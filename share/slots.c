/* SPDX-License-Identifier: BSD-3-Clause */
#include "share/slots.h"

#include "base/fork.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/message.h"
#include "pkcs11/names.h"
#include "share/heal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIRST_LIST_WAIT_MS 3000
#define RETRY_MIN_MS 1000
#define RETRY_FACTOR 20
#define POLL_INTERVAL_MS 100

/* A module that never stops reporting events must not keep its asker for ever. */
#define MAX_EVENTS_PER_POLL 64

/* More slots than this are a mistake of the module. */
#define MAX_SLOTS (1 << 20)

/* A list may grow between the question for its length and the list itself, but not for ever. */
#define MAX_LIST_TRIES 8

enum presence {
	PRESENCE_UNKNOWN,
	PRESENCE_NO,
	PRESENCE_YES,
};

struct p11_slot {
	CK_SLOT_ID id;          /* the key */
	enum presence presence; /* as it was told last: events are concluded from it */
	bool has_token;         /* as lists show it: not while the slot cannot tell */
	bool is_stale; /* `presence` is of an earlier life of the module: no event follows */
	bool is_listed;
	bool is_new;              /* in no list yet */
	unsigned long seen;       /* `slots->n_seen` when its presence was told last */
	unsigned long long event; /* number of its last event; 0: none */
	UT_hash_handle hh;
};

/* What a thread brings back from the module, before it is merged. */
struct answer {
	CK_SLOT_ID *ids;         /* owned */
	enum presence *presence; /* owned; NULL if it was not asked for */
	size_t n;
	unsigned long start; /* of the module */
	unsigned long began; /* `slots->n_seen` when the module was asked */
	CK_RV mute_rv;       /* why a slot could not tell its state; CKR_OK: all could */
	CK_SLOT_ID mute;     /* the last such slot */
	bool lacks_memory;   /* it is we who failed, for lack of memory */
	bool is_overfull;    /* it told more than there was room for, and no error */
};

static struct {
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t happened;
	unsigned ticket;
	unsigned long long last_event;
} events = {.lock = PTHREAD_MUTEX_INITIALIZER, .happened = PTHREAD_COND_INITIALIZER};

long long
p11_slots_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static struct timespec
timespec_of_ms(long long ms)
{
	return (struct timespec){.tv_sec = (time_t)(ms / 1000),
				 .tv_nsec = (long)(ms % 1000) * 1000000};
}

void
p11_slots_reset(struct p11_slots *slots)
{
	*slots = (struct p11_slots){
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.listed = PTHREAD_COND_INITIALIZER,
	};
}

void
p11_slots_clear(struct p11_slots *slots)
{
	struct p11_slot *slot, *next;

	HASH_ITER(hh, slots->by_id, slot, next)
	{
		HASH_DEL(slots->by_id, slot);
		free(slot);
	}
	free(slots->order);
	p11_slots_reset(slots);
}

/* ---- asking the module, with no lock held ---- */

/* Ours, not the module's: it is no reason to leave that alone for a while. */
static CK_RV
no_memory(struct answer *answer)
{
	answer->lacks_memory = true;
	return CKR_HOST_MEMORY;
}

/* The module's list. A count that it answers is never believed beyond the buffer that it was given.
 */
static CK_RV
ask_list(const CK_FUNCTION_LIST_3_2 *calls, struct answer *answer)
{
	CK_RV rv = CKR_BUFFER_TOO_SMALL;

	for (int try = 0; rv == CKR_BUFFER_TOO_SMALL && try < MAX_LIST_TRIES; try++) {
		CK_ULONG n = 0, size;

		rv = calls->C_GetSlotList(CK_FALSE, NULL, &n);
		if (rv != CKR_OK)
			return rv;
		if (n > MAX_SLOTS)
			return CKR_DEVICE_ERROR;
		size = n + 8; /* a few may come meanwhile */
		free(answer->ids);
		answer->ids = calloc(size, sizeof *answer->ids);
		if (!answer->ids)
			return no_memory(answer);
		n = size;
		rv = calls->C_GetSlotList(CK_FALSE, answer->ids, &n);
		answer->n = n < size ? n : size;
		answer->is_overfull = rv == CKR_OK && n > size;
	}
	return rv;
}

static CK_RV
ask_presence(const CK_FUNCTION_LIST_3_2 *calls, struct answer *answer)
{
	answer->presence = calloc(answer->n + 1, sizeof *answer->presence);
	if (!answer->presence)
		return no_memory(answer);
	for (size_t i = 0; i < answer->n; i++) {
		CK_SLOT_INFO info = {.flags = 0};
		CK_RV rv = calls->C_GetSlotInfo(answer->ids[i], &info);
		if (rv == CKR_OK) {
			answer->presence[i] =
				(info.flags & CKF_TOKEN_PRESENT) ? PRESENCE_YES : PRESENCE_NO;
		} else {
			answer->presence[i] = PRESENCE_UNKNOWN;
			answer->mute = answer->ids[i];
			answer->mute_rv = rv;
		}
	}
	return CKR_OK;
}

static CK_RV
ask(struct p11_module *module, bool presence, struct answer *answer)
{
	answer->start = atomic_load(&module->n_starts);
	if (!p11_module_join(module))
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	CK_RV rv = ask_list(p11_module_calls(module), answer);
	if (rv == CKR_CRYPTOKI_NOT_INITIALIZED && p11_heal(module))
		rv = ask_list(p11_module_calls(module), answer);
	if (rv == CKR_OK && presence)
		rv = ask_presence(p11_module_calls(module), answer);
	p11_module_leave(module);
	return rv;
}

/* ---- what was seen ---- */

static struct p11_slot *
slot_locked(struct p11_slots *slots, CK_SLOT_ID id)
{
	struct p11_slot *slot;

	HASH_FIND(hh, slots->by_id, &id, sizeof id, slot);
	if (slot)
		return slot;
	slot = calloc(1, sizeof *slot);
	if (!slot)
		return NULL;
	slot->id = id;
	slot->is_new = true;
	HASH_ADD(hh, slots->by_id, id, sizeof slot->id, slot);
	if (!slot->hh.tbl) {
		free(slot);
		return NULL;
	}
	return slot;
}

static void
raise_locked(struct p11_slot *slot)
{
	p11_hold(&events.lock);
	slot->event = ++events.last_event;
	events.ticket++;
	pthread_cond_broadcast(&events.happened);
	p11_let_go(&events.lock);
}

/*
 * A change of a slot's token is an event, unless the module reports its events itself. A slot that
 * cannot tell its state is left out of the lists with a token, hurts no other, and is no event.
 */
static void
see_presence_locked(struct p11_slots *slots, struct p11_slot *slot, enum presence presence)
{
	slot->has_token = presence == PRESENCE_YES;
	if (presence == PRESENCE_UNKNOWN)
		return;
	if (slot->presence != PRESENCE_UNKNOWN && slot->presence != presence && !slot->is_stale &&
	    slots->events != P11_EVENTS_NATIVE)
		raise_locked(slot);
	slot->presence = presence;
	slot->is_stale = false;
	slot->seen = ++slots->n_seen;
}

/* From a list. Of a slot that was seen since the module was asked, the list tells old news. */
static void
see_in_list_locked(struct p11_slots *slots, struct p11_slot *slot, enum presence presence,
		   unsigned long began)
{
	if (slot->seen <= began)
		see_presence_locked(slots, slot, presence);
}

/* What happened while the module was down is no event: nobody was there whom it could be told. */
static void
begin_life_locked(struct p11_slots *slots, unsigned long start)
{
	struct p11_slot *slot, *next;

	HASH_ITER(hh, slots->by_id, slot, next)
	slot->is_stale = true;
	slots->start = start;
}

/* Makes room for all that the module showed: an array for their order, or NULL without memory. */
static struct p11_slot **
reserve_locked(struct p11_slots *slots, const struct answer *answer)
{
	struct p11_slot **order = calloc(answer->n + 1, sizeof *order);

	for (size_t i = 0; order && i < answer->n; i++) {
		if (slot_locked(slots, answer->ids[i]))
			continue;
		free(order);
		order = NULL;
	}
	return order;
}

static CK_RV
merge_locked(struct p11_slots *slots, const struct answer *answer)
{
	struct p11_slot **order = reserve_locked(slots, answer);
	struct p11_slot *slot, *next;
	bool is_later = slots->is_known && slots->start == answer->start;
	size_t n = 0;

	if (!order)
		return CKR_HOST_MEMORY;
	if (slots->start != answer->start)
		begin_life_locked(slots, answer->start);
	HASH_ITER(hh, slots->by_id, slot, next)
	slot->is_listed = false;
	for (size_t i = 0; i < answer->n; i++) {
		slot = slot_locked(slots, answer->ids[i]);
		if (slot->is_listed) /* named twice */
			continue;
		if (is_later && slot->is_new) /* nothing was there before */
			slot->presence = PRESENCE_NO;
		slot->is_new = false;
		slot->is_listed = true;
		if (answer->presence)
			see_in_list_locked(slots, slot, answer->presence[i], answer->began);
		order[n++] = slot;
	}
	HASH_ITER(hh, slots->by_id, slot, next)
	{
		if (!slot->is_listed)
			see_in_list_locked(slots, slot, PRESENCE_NO, answer->began);
	}
	free(slots->order);
	slots->lacks_presence = !answer->presence && (slots->lacks_presence || !slots->is_known);
	slots->order = order;
	slots->n_order = n;
	slots->is_known = true;
	slots->retry_at_ms = 0;
	return CKR_OK;
}

long long
p11_slots_retry_at_ms(long long began_ms)
{
	long long now = p11_slots_now_ms(), pause = (now - began_ms) * RETRY_FACTOR;

	return now + (pause < RETRY_MIN_MS ? RETRY_MIN_MS : pause);
}

static void
pause_locked(struct p11_slots *slots, unsigned long start, long long took_ms)
{
	slots->retry_at_ms = p11_slots_retry_at_ms(p11_slots_now_ms() - took_ms);
	slots->failed_start = start;
}

/* Its pause is over, or somebody has started it since. */
static bool
may_retry_locked(const struct p11_slots *slots, const struct p11_module *module)
{
	return p11_slots_now_ms() >= slots->retry_at_ms ||
	       atomic_load(&module->n_starts) != slots->failed_start;
}

/* Whether the last list answers the question. */
static bool
is_answered_locked(const struct p11_slots *slots, bool presence)
{
	return slots->is_known && !(presence && slots->lacks_presence);
}

/*
 * Becomes the one that asks. False: another thread is asking. With `wait` the caller waits for that
 * one, but only where nothing is known yet; then its answer, also a failure, is taken for ours.
 */
static bool
begin_asking_locked(struct p11_slots *slots, const struct p11_module *module, bool presence,
		    bool wait)
{
	struct timespec deadline = timespec_of_ms(slots->asked_at_ms + FIRST_LIST_WAIT_MS);
	bool waited = false;

	if (slots->is_busy && pthread_equal(slots->asker, pthread_self()))
		return false; /* the module has called us back */
	while (wait && slots->is_busy && !is_answered_locked(slots, presence)) {
		waited = true;
		if (pthread_cond_clockwait(&slots->listed, &slots->lock, CLOCK_MONOTONIC,
					   &deadline) == ETIMEDOUT)
			break;
	}
	if (slots->is_busy ||
	    (waited && (is_answered_locked(slots, presence) || !may_retry_locked(slots, module))))
		return false;
	slots->is_busy = true;
	slots->asker = pthread_self();
	slots->asked_at_ms = p11_slots_now_ms();
	return true;
}

static void
end_asking_locked(struct p11_slots *slots)
{
	slots->is_busy = false;
	pthread_cond_broadcast(&slots->listed);
}

static CK_RV
refresh_as_asker(struct p11_slots *slots, struct p11_module *module, bool presence,
		 unsigned long n_seen)
{
	struct answer answer = {.began = n_seen};
	unsigned generation = p11_fork_generation();
	long long began = p11_slots_now_ms();
	CK_RV rv = ask(module, presence, &answer);

	/* The module forked, and this is the child: what the lock guards is new, and not ours to
	 * end. */
	if (generation == p11_fork_generation()) {
		p11_hold(&slots->lock);
		if (rv == CKR_OK)
			rv = merge_locked(slots, &answer);
		else if (!answer.lacks_memory)
			pause_locked(slots, answer.start, p11_slots_now_ms() - began);
		end_asking_locked(slots);
		p11_let_go(&slots->lock);
	}
	free(answer.ids);
	free(answer.presence);
	if (rv == CKR_OK && answer.is_overfull)
		p11_message("module %s: C_GetSlotList says that it wrote more than fits into its "
			    "buffer; only what is there is used",
			    p11_module_label(module));
	if (rv == CKR_OK && answer.mute_rv != CKR_OK)
		p11_message(
			"module %s: C_GetSlotInfo of its slot 0x%lx failed with %s; the slot is "
			"left out where only those with a token are listed",
			p11_module_label(module), answer.mute,
			p11_rv_name(answer.mute_rv, (char[24]){0}));
	if (rv != CKR_OK)
		p11_message(
			"module %s: its slots cannot be listed: %s; those seen last are shown, and "
			"it is asked again later",
			p11_module_label(module), p11_rv_name(rv, (char[24]){0}));
	return rv;
}

CK_RV
p11_slots_refresh(struct p11_slots *slots, struct p11_module *module, bool presence, bool now)
{
	P11_NO_CANCEL;
	bool is_asker = false;

	p11_hold(&slots->lock);
	if (now || may_retry_locked(slots, module))
		is_asker = begin_asking_locked(slots, module, presence,
					       !p11_module_thread_is_inside());
	unsigned long n_seen = slots->n_seen;
	p11_let_go(&slots->lock);
	return is_asker ? refresh_as_asker(slots, module, presence, n_seen) : CKR_OK;
}

CK_RV
p11_slots_copy(struct p11_slots *slots, bool present, CK_SLOT_ID **out, size_t *n_out)
{
	size_t n = 0;

	p11_hold(&slots->lock);
	CK_SLOT_ID *ids = calloc(slots->n_order + 1, sizeof *ids);
	for (size_t i = 0; ids && i < slots->n_order; i++) {
		if (!present || slots->order[i]->has_token)
			ids[n++] = slots->order[i]->id;
	}
	p11_let_go(&slots->lock);
	if (!ids)
		return p11_fail(CKR_HOST_MEMORY, "no memory for a list of slots");
	*out = ids;
	*n_out = n;
	return CKR_OK;
}

void
p11_slots_saw(struct p11_slots *slots, CK_SLOT_ID id, bool has_token)
{
	struct p11_slot *slot;

	p11_fork_check();
	p11_hold(&slots->lock);
	HASH_FIND(hh, slots->by_id, &id, sizeof id, slot);
	if (slot)
		see_presence_locked(slots, slot, has_token ? PRESENCE_YES : PRESENCE_NO);
	p11_let_go(&slots->lock);
}

void
p11_slots_failed(struct p11_slots *slots, const struct p11_module *module, long long took_ms)
{
	p11_hold(&slots->lock);
	pause_locked(slots, atomic_load(&module->n_starts), took_ms);
	p11_let_go(&slots->lock);
}

bool
p11_slots_may_retry(struct p11_slots *slots, const struct p11_module *module)
{
	p11_hold(&slots->lock);
	bool may = may_retry_locked(slots, module);
	p11_let_go(&slots->lock);
	return may;
}

/* ---- events ---- */

/*
 * The module has turned out to report its events: those that were concluded from its lists
 * meanwhile are forgotten, since it will report them too.
 */
static void
believe_module_locked(struct p11_slots *slots)
{
	struct p11_slot *slot, *next;

	if (slots->events == P11_EVENTS_NATIVE)
		return;
	slots->events = P11_EVENTS_NATIVE;
	HASH_ITER(hh, slots->by_id, slot, next)
	slot->event = 0;
}

/* Asks for its events without blocking. CKR_NO_EVENT when there are no more. */
static CK_RV
ask_events(struct p11_module *module, CK_SLOT_ID ids[MAX_EVENTS_PER_POLL], size_t *n)
{
	CK_RV rv = CKR_OK;

	*n = 0;
	if (!p11_module_join(module))
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	while (rv == CKR_OK && *n < MAX_EVENTS_PER_POLL) {
		rv = p11_module_calls(module)->C_WaitForSlotEvent(CKF_DONT_BLOCK, &ids[*n], NULL);
		if (rv == CKR_OK)
			(*n)++;
	}
	if (rv == CKR_CRYPTOKI_NOT_INITIALIZED)
		(void)p11_heal(module);
	p11_module_leave(module);
	return rv;
}

/* True: its lists must be compared, since it does not tell. */
static bool
poll_events(struct p11_slots *slots, struct p11_module *module)
{
	CK_SLOT_ID ids[MAX_EVENTS_PER_POLL];
	unsigned generation = p11_fork_generation();
	size_t n;
	CK_RV rv = ask_events(module, ids, &n);

	if (generation != p11_fork_generation())
		return false;
	p11_hold(&slots->lock);
	if (rv == CKR_OK || rv == CKR_NO_EVENT || n > 0)
		believe_module_locked(slots);
	else if (rv == CKR_FUNCTION_NOT_SUPPORTED)
		slots->events = P11_EVENTS_BY_LIST;
	for (size_t i = 0; i < n; i++) {
		struct p11_slot *slot = slot_locked(slots, ids[i]);
		if (slot)
			raise_locked(slot);
	}
	slots->is_polling = false;
	bool by_list = slots->events != P11_EVENTS_NATIVE;
	p11_let_go(&slots->lock);
	return by_list;
}

void
p11_slots_poll(struct p11_slots *slots, struct p11_module *module, bool now)
{
	P11_NO_CANCEL;
	long long now_ms = p11_slots_now_ms();
	bool is_asker = false, by_list = false;

	p11_hold(&slots->lock);
	if (now || now_ms >= slots->poll_at_ms) {
		by_list = slots->events == P11_EVENTS_BY_LIST;
		is_asker = !by_list && !slots->is_polling;
		slots->is_polling |= is_asker;
		slots->poll_at_ms = now_ms + POLL_INTERVAL_MS / 2;
	}
	p11_let_go(&slots->lock);

	if (is_asker)
		by_list = poll_events(slots, module);
	if (by_list)
		(void)p11_slots_refresh(slots, module, true, false);
}

bool
p11_slots_event_after(struct p11_slots *slots, unsigned long long after, unsigned long long *event,
		      CK_SLOT_ID *id)
{
	struct p11_slot *slot, *next;
	bool found = false;

	p11_hold(&slots->lock);
	HASH_ITER(hh, slots->by_id, slot, next)
	{
		if (slot->event > after && slot->event < *event) {
			*event = slot->event;
			*id = slot->id;
			found = true;
		}
	}
	p11_let_go(&slots->lock);
	return found;
}

unsigned long long
p11_slots_last_event(void)
{
	p11_hold(&events.lock);
	unsigned long long last = events.last_event;
	p11_let_go(&events.lock);
	return last;
}

unsigned
p11_slots_ticket(void)
{
	p11_hold(&events.lock);
	unsigned ticket = events.ticket;
	p11_let_go(&events.lock);
	return ticket;
}

void
p11_slots_wait(unsigned ticket, int wait_ms)
{
	P11_NO_CANCEL;
	struct timespec deadline = timespec_of_ms(p11_slots_now_ms() + wait_ms);

	p11_hold(&events.lock);
	while (events.ticket == ticket) {
		if (pthread_cond_clockwait(&events.happened, &events.lock, CLOCK_MONOTONIC,
					   &deadline) == ETIMEDOUT)
			break;
	}
	p11_let_go(&events.lock);
}

void
p11_slots_wake(void)
{
	p11_hold(&events.lock);
	events.ticket++;
	pthread_cond_broadcast(&events.happened);
	p11_let_go(&events.lock);
}

static void
reset_in_child(void)
{
	events.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	events.happened = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
}

__attribute__((constructor)) static void
begin(void)
{
	static struct p11_fork_reset row = {.reset = reset_in_child};

	p11_fork_register(&row);
}
