/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of something that several users start and stop: the first starts it, the last stops it,
 * and whoever comes while another thread does either waits. The work itself is the caller's and
 * runs with no lock held:
 *
 *     switch (p11_life_start(life, wait_ms)) {
 *     case P11_LIFE_COUNTED: ...            it was up; one more user
 *     case P11_LIFE_YOURS:   ok = work();   p11_life_started(life, ok);
 *     ...
 *     }
 *
 * Every function may be called from any thread. Thread cancellation must be off (P11_NO_CANCEL)
 * from the start or stop to the word that ends it.
 */
#ifndef P11_LIFE_H
#define P11_LIFE_H

#include "base/base.h"
#include "base/thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum p11_life_state {
	P11_LIFE_DOWN,
	P11_LIFE_STARTING,
	P11_LIFE_UP,
	P11_LIFE_STOPPING,
};

/* Calls in flight, counted by the part of the thread that joined. */
struct p11_life_part {
	atomic_ulong n_joined;
} __attribute__((aligned(64)));

struct p11_life {
	pthread_mutex_t
		lock; /* guards state, owner, fork_generation; held for a few instructions only */
	pthread_cond_t changed; /* the state left STARTING or STOPPING */
	enum p11_life_state state;
	pthread_t owner;          /* who starts or stops it; meaningful in those states */
	unsigned fork_generation; /* the process in which `owner` began */
	atomic_ulong n_users;     /* counted starts; from 0 to 1 only under the lock */
	atomic_bool
		is_restarting; /* from p11_life_restart() on: it has users, and nobody joins it */
	struct p11_life_part parts[P11_THREAD_PARTS]; /* joins, which hold it up like users */
	/* Stops it and says p11_life_stopped(), where the last who leaves is a thread that ends; or
	 * NULL. Constant. */
	void (*stop)(struct p11_life *life);
};

/* With static storage use this; otherwise p11_life_reset() makes one. */
#define P11_LIFE_INIT                                                                              \
	{                                                                                          \
		.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER             \
	}

enum p11_life_answer {
	P11_LIFE_COUNTED, /* done: there is one user more (start) or one less (stop), and it stays
			     up */
	P11_LIFE_YOURS,   /* the caller does the work, and then says so */
	P11_LIFE_SELF,    /* this very thread is at it already */
	P11_LIFE_BUSY,    /* another thread is at it, and the time to wait is over */
	P11_LIFE_NOT_UP,  /* stop: nobody has started it */
	P11_LIFE_TAKEN,   /* start alone: it has a user */
};

#define P11_LIFE_FOREVER (-1)

/* Counts one more user, or gives the caller the start to do. Waits at most `wait_ms` for another
 * thread. */
enum p11_life_answer p11_life_start(struct p11_life *life, int wait_ms) P11_MUST_USE;

/* The same for something that has one user at most: P11_LIFE_TAKEN, and nothing is counted, if it
 * has. */
enum p11_life_answer p11_life_start_alone(struct p11_life *life, int wait_ms) P11_MUST_USE;

/*
 * Ends what P11_LIFE_YOURS began: with `up` the caller is its first user. False: the process was
 * forked meanwhile, and this one, the child, has no part in it.
 */
bool p11_life_started(struct p11_life *life, bool up) P11_MUST_USE;

/* Whether it is down, and nobody starts it. */
bool p11_life_is_down(struct p11_life *life) P11_MUST_USE;

/* Counts one user less, or gives the caller, the last, the stop to do. Never waits. */
enum p11_life_answer p11_life_stop(struct p11_life *life) P11_MUST_USE;
void p11_life_stopped(struct p11_life *life);

/*
 * P11_LIFE_COUNTED: it is held up for the length of one call, until the same thread's
 * p11_life_leave(). P11_LIFE_NOT_UP: it is not up. No lock, never waits. Joins hold a life up like
 * users: whoever comes last, by leaving, or by a join that was in the way of the last stop, gets
 * P11_LIFE_YOURS, the stop to do. A child leaves what nobody joined there, which changes nothing. A
 * thread that ends in between, cancelled or by pthread_exit(), leaves then.
 */
enum p11_life_answer p11_life_join(struct p11_life *life) P11_MUST_USE;
enum p11_life_answer p11_life_leave(struct p11_life *life) P11_MUST_USE;

static inline bool
p11_life_is_up(struct p11_life *life)
{
	return atomic_load_explicit(&life->n_users, memory_order_acquire) > 0;
}

/*
 * Takes all users away at once. P11_LIFE_YOURS: the stop is the caller's, as after p11_life_stop().
 * P11_LIFE_COUNTED: another thread has stopped it; that is waited for at most `wait_ms`, where
 * calls are in flight or the last user is just stopping it. P11_LIFE_BUSY: that time is over, or
 * this thread itself is inside, and nothing was waited for.
 */
enum p11_life_answer p11_life_end(struct p11_life *life, int wait_ms) P11_MUST_USE;

/*
 * It has no users any more, whatever they think: what they shared is gone. False: it had none. Else
 * the caller does what the stop is, and then says p11_life_stopped(); whoever starts it meanwhile
 * waits.
 */
bool p11_life_abandon(struct p11_life *life) P11_MUST_USE;

/*
 * For one who has joined it, and finds that it is gone. P11_LIFE_YOURS: it has users; the caller
 * makes it anew and says p11_life_restarted(); the users stay, whoever starts it meanwhile waits,
 * and nobody joins it. P11_LIFE_NOT_UP: it has none, and is down now without a stop. P11_LIFE_BUSY:
 * somebody starts or stops it, or it is down already.
 */
enum p11_life_answer p11_life_restart(struct p11_life *life) P11_MUST_USE;
void p11_life_restarted(struct p11_life *life);

/* New, or in a child: down, no users, fresh locks; `stop` stays. Not for one that another thread
 * uses. */
void p11_life_reset(struct p11_life *life);

/* From here to the end of the block the thread cannot be cancelled. */
#define P11_NO_CANCEL                                                                              \
	__attribute__((cleanup(p11_cancel_restore), unused)) int p11_cancel_state =                \
		p11_cancel_disable()
int p11_cancel_disable(void);
void p11_cancel_restore(int *state);

#endif
