/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The slots of one module as last seen, shared by all its consumers: the list, which slots hold a
 * token, and events. Each module is asked for its list by at most one thread at a time, and for
 * events by at most one, with no lock held; whoever comes meanwhile gets what was seen last. A slot
 * stays known when it vanishes. Ids here are the module's own.
 *
 * An event gives its slot the next number of one counter of the process; a consumer remembers the
 * last number that it was told. So nobody takes another's event, and several events of a slot
 * become one, as PKCS#11 allows.
 */
#ifndef P11_SLOTS_H
#define P11_SLOTS_H

#include "base/base.h"
#include "module/module.h"

#include <p11-kit/pkcs11.h>

#include <pthread.h>
#include <stdbool.h>

struct p11_slot;

struct p11_slots {
	pthread_mutex_t lock;  /* guards all that follows */
	pthread_cond_t listed; /* `is_busy` became false */
	bool is_busy;          /* a thread is asking the module for its list: */
	pthread_t asker;
	long long asked_at_ms;
	bool is_polling;         /* a thread is asking it for events */
	bool is_known;           /* it has answered once */
	bool lacks_presence;     /* of the slots in `order` nobody asked yet which have a token */
	unsigned long start;     /* of the module, in which the last list was made */
	unsigned long n_seen;    /* how often a slot's presence was told */
	struct p11_slot *by_id;  /* owned; a uthash of all that were ever seen */
	struct p11_slot **order; /* owned; those of the last list, in the module's order */
	size_t n_order;
	enum { P11_EVENTS_UNKNOWN, P11_EVENTS_NATIVE, P11_EVENTS_BY_LIST } events;
	long long poll_at_ms;       /* events are not asked for before (monotonic clock) */
	long long retry_at_ms;      /* it failed to start or list: not asked again before, */
	unsigned long failed_start; /* unless it was started since (module->n_starts) */
};

/* New, or in a child: nothing known. */
void p11_slots_reset(struct p11_slots *slots);

/* Frees what is known of a module that is gone. */
void p11_slots_clear(struct p11_slots *slots);

/*
 * Asks the module for its slots, and with `presence` each slot for its token, unless another thread
 * is just asking or (without `now`) its pause after a failure is not over. Waits only for the very
 * first list, at most until 3 s after the other thread began. CKR_OK also where nothing was asked;
 * a module's failure is returned and said in a message, and what was seen last stays.
 */
CK_RV p11_slots_refresh(struct p11_slots *slots, struct p11_module *module, bool presence,
			bool now);

/* Copies the ids of the last list (only those with a token, with `present`), in order; *out is the
 * caller's, free() it. */
CK_RV p11_slots_copy(struct p11_slots *slots, bool present, CK_SLOT_ID **out,
		     size_t *n_out) P11_MUST_USE;

/* What a consumer was told of a slot's token: from then on a change of it is an event. */
void p11_slots_saw(struct p11_slots *slots, CK_SLOT_ID slot, bool has_token);

/* When what has failed, and began at `began_ms`, is to be tried again: after 20 times as long, at
 * least 1 s. */
long long p11_slots_retry_at_ms(long long began_ms);

/* Starting the module failed after `took_ms`: it is left alone for 20 times as long, at least 1
 * s. */
void p11_slots_failed(struct p11_slots *slots, const struct p11_module *module, long long took_ms);

/* Whether its pause after a failure is over, or somebody else has started it since. */
bool p11_slots_may_retry(struct p11_slots *slots, const struct p11_module *module);

/* Asks the module for events, if no other thread does and (without `now`) it is time to. */
void p11_slots_poll(struct p11_slots *slots, struct p11_module *module, bool now);

/* The oldest event after number `after`, if it is older than *event: sets *event and *slot. */
bool p11_slots_event_after(struct p11_slots *slots, unsigned long long after,
			   unsigned long long *event, CK_SLOT_ID *slot);

/* The number of the last event so far: where a new consumer begins. */
unsigned long long p11_slots_last_event(void);

/*
 * Waiting for events: take a ticket, look, and wait; returns at once if anything happened since the
 * ticket was taken. p11_slots_wake() is such a happening too: somebody's C_Finalize.
 */
unsigned p11_slots_ticket(void);
void p11_slots_wait(unsigned ticket, int wait_ms);
void p11_slots_wake(void);

long long p11_slots_now_ms(void);

#endif
