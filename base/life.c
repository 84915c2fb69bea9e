/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/life.h"

#include "base/fork.h"
#include "base/lock.h"

#include <errno.h>
#include <string.h>
#include <time.h>

int
p11_cancel_disable(void)
{
	int state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	return state;
}

void
p11_cancel_restore(int *state)
{
	pthread_setcancelstate(*state, NULL);
}

static struct timespec
after_ms(int wait_ms)
{
	struct timespec when;

	clock_gettime(CLOCK_MONOTONIC, &when);
	when.tv_sec += wait_ms / 1000;
	when.tv_nsec += (wait_ms % 1000) * 1000000L;
	if (when.tv_nsec >= 1000000000L) {
		when.tv_sec++;
		when.tv_nsec -= 1000000000L;
	}
	return when;
}

static bool
is_changing_locked(const struct p11_life *life)
{
	return life->state == P11_LIFE_STARTING || life->state == P11_LIFE_STOPPING;
}

/* Waits until nobody starts or stops it; false if the time is over first. */
static bool
wait_locked(struct p11_life *life, int wait_ms)
{
	struct timespec deadline = wait_ms > 0 ? after_ms(wait_ms) : (struct timespec){0};

	while (is_changing_locked(life)) {
		if (wait_ms == 0)
			return false;
		if (wait_ms < 0)
			pthread_cond_wait(&life->changed, &life->lock);
		else if (pthread_cond_clockwait(&life->changed, &life->lock, CLOCK_MONOTONIC,
						&deadline) == ETIMEDOUT)
			wait_ms = 0; /* one more look, and no more waiting */
	}
	return true;
}

static void
own_locked(struct p11_life *life, enum p11_life_state state)
{
	life->state = state;
	life->owner = pthread_self();
	life->fork_generation = p11_fork_generation();
}

/* `alone`: only if it has no user; one who is on his way out, and has not stopped it yet, is
 * none. */
static enum p11_life_answer
start(struct p11_life *life, int wait_ms, bool alone)
{
	enum p11_life_answer answer = P11_LIFE_COUNTED;

	p11_hold(&life->lock);
	if (is_changing_locked(life) && pthread_equal(life->owner, pthread_self())) {
		answer = P11_LIFE_SELF;
	} else if (!wait_locked(life, wait_ms)) {
		answer = P11_LIFE_BUSY;
	} else if (life->state == P11_LIFE_UP && alone && atomic_load(&life->n_users) > 0) {
		answer = P11_LIFE_TAKEN;
	} else if (life->state == P11_LIFE_UP) {
		atomic_fetch_add(&life->n_users, 1);
	} else {
		own_locked(life, P11_LIFE_STARTING);
		answer = P11_LIFE_YOURS;
	}
	p11_let_go(&life->lock);
	return answer;
}

enum p11_life_answer
p11_life_start(struct p11_life *life, int wait_ms)
{
	return start(life, wait_ms, false);
}

enum p11_life_answer
p11_life_start_alone(struct p11_life *life, int wait_ms)
{
	return start(life, wait_ms, true);
}

bool
p11_life_started(struct p11_life *life, bool up)
{
	p11_hold(&life->lock);
	bool ours =
		life->state == P11_LIFE_STARTING && life->fork_generation == p11_fork_generation();
	if (ours) {
		life->state = up ? P11_LIFE_UP : P11_LIFE_DOWN;
		atomic_store(&life->n_users, up ? 1 : 0);
		pthread_cond_broadcast(&life->changed);
	}
	p11_let_go(&life->lock);
	return ours;
}

static bool
has_joined(struct p11_life *life)
{
	for (unsigned i = 0; i < P11_THREAD_PARTS; i++) {
		if (atomic_load(&life->parts[i].n_joined) > 0)
			return true;
	}
	return false;
}

/*
 * Nobody is left, as it seems. A start may have come in between and found it still up; or calls are
 * in flight, the last of which will come here.
 */
static enum p11_life_answer
stop_last(struct p11_life *life)
{
	enum p11_life_answer answer = P11_LIFE_COUNTED;

	p11_hold(&life->lock);
	if (life->state == P11_LIFE_UP && atomic_load(&life->n_users) == 0 && !has_joined(life)) {
		own_locked(life, P11_LIFE_STOPPING);
		answer = P11_LIFE_YOURS;
	}
	p11_let_go(&life->lock);
	return answer;
}

static enum p11_life_answer
uncount_join(struct p11_life *life, unsigned part)
{
	atomic_ulong *n_joined = &life->parts[part].n_joined;
	unsigned long n = atomic_load_explicit(n_joined, memory_order_relaxed);

	do {
		if (n == 0)
			return P11_LIFE_COUNTED; /* a child */
	} while (!atomic_compare_exchange_weak(n_joined, &n, n - 1));
	return atomic_load(&life->n_users) == 0 ? stop_last(life) : P11_LIFE_COUNTED;
}

/*
 * Who joins counts first and then looks whether it is up; who stops uncounts the last user first
 * and then looks for joins; both sequentially consistent, so that one of them sees the other.
 */
enum p11_life_answer
p11_life_join(struct p11_life *life)
{
	struct p11_thread *thread = p11_thread();

	atomic_fetch_add(&life->parts[thread->part].n_joined, 1);
	if (atomic_load(&life->n_users) == 0 || atomic_load(&life->is_restarting))
		return uncount_join(life, thread->part) == P11_LIFE_YOURS ? P11_LIFE_YOURS
									  : P11_LIFE_NOT_UP;
	if (thread->n_joined < P11_THREAD_MAX_JOINS)
		thread->joined[thread->n_joined] = life;
	thread->n_joined++;
	return P11_LIFE_COUNTED;
}

enum p11_life_answer
p11_life_leave(struct p11_life *life)
{
	struct p11_thread *thread = p11_thread();

	if (thread->n_joined == 0)
		return P11_LIFE_COUNTED; /* a child; what is counted there is another thread's */
	thread->n_joined--;
	return uncount_join(life, thread->part);
}

/* The thread was cancelled, or ended itself, inside calls that it has joined for. */
static void
leave_at_end(struct p11_thread *thread)
{
	while (thread->n_joined > 0) {
		if (--thread->n_joined >= P11_THREAD_MAX_JOINS)
			continue;
		struct p11_life *life = thread->joined[thread->n_joined];
		if (uncount_join(life, thread->part) == P11_LIFE_YOURS && life->stop)
			life->stop(life);
	}
}

enum p11_life_answer
p11_life_stop(struct p11_life *life)
{
	unsigned long n_users = atomic_load_explicit(&life->n_users, memory_order_relaxed);

	while (n_users > 0) {
		if (atomic_compare_exchange_weak(&life->n_users, &n_users, n_users - 1))
			return n_users == 1 ? stop_last(life) : P11_LIFE_COUNTED;
	}

	p11_hold(&life->lock);
	bool self = is_changing_locked(life) && pthread_equal(life->owner, pthread_self());
	p11_let_go(&life->lock);
	return self ? P11_LIFE_SELF : P11_LIFE_NOT_UP;
}

bool
p11_life_is_down(struct p11_life *life)
{
	p11_hold(&life->lock);
	bool is_down = life->state == P11_LIFE_DOWN;
	p11_let_go(&life->lock);
	return is_down;
}

void
p11_life_stopped(struct p11_life *life)
{
	p11_hold(&life->lock);
	if (life->state == P11_LIFE_STOPPING && life->fork_generation == p11_fork_generation()) {
		life->state = P11_LIFE_DOWN;
		pthread_cond_broadcast(&life->changed);
	}
	p11_let_go(&life->lock);
}

/* No user is left, and another thread has it in its hands. */
static bool
is_ending_locked(const struct p11_life *life)
{
	return life->state == P11_LIFE_STOPPING ||
	       (life->state == P11_LIFE_UP && atomic_load(&life->n_users) == 0);
}

enum p11_life_answer
p11_life_end(struct p11_life *life, int wait_ms)
{
	enum p11_life_answer answer = P11_LIFE_NOT_UP;

	p11_hold(&life->lock);
	/* A thread that is inside itself cannot wait for itself. */
	bool self = life->state == P11_LIFE_STOPPING && pthread_equal(life->owner, pthread_self());
	bool inside = self || p11_thread()->n_joined > 0;
	struct timespec deadline = after_ms(inside ? 0 : wait_ms);
	if (life->state == P11_LIFE_UP)
		atomic_store(&life->n_users, 0);
	if (life->state == P11_LIFE_UP && !has_joined(life)) {
		own_locked(life, P11_LIFE_STOPPING);
		answer = P11_LIFE_YOURS;
	} else if (is_ending_locked(life)) {
		while (is_ending_locked(life) &&
		       pthread_cond_clockwait(&life->changed, &life->lock, CLOCK_MONOTONIC,
					      &deadline) != ETIMEDOUT)
			;
		answer = life->state == P11_LIFE_DOWN ? P11_LIFE_COUNTED : P11_LIFE_BUSY;
	}
	p11_let_go(&life->lock);
	return answer;
}

bool
p11_life_abandon(struct p11_life *life)
{
	p11_hold(&life->lock);
	bool was_up = life->state == P11_LIFE_UP && atomic_exchange(&life->n_users, 0) > 0;
	if (was_up)
		own_locked(life, P11_LIFE_STOPPING);
	p11_let_go(&life->lock);
	return was_up;
}

enum p11_life_answer
p11_life_restart(struct p11_life *life)
{
	enum p11_life_answer answer = P11_LIFE_BUSY;

	p11_hold(&life->lock);
	if (life->state == P11_LIFE_UP && atomic_load(&life->n_users) > 0) {
		own_locked(life, P11_LIFE_STARTING);
		atomic_store(&life->is_restarting, true);
		answer = P11_LIFE_YOURS;
	} else if (life->state == P11_LIFE_UP) {
		life->state = P11_LIFE_DOWN;
		answer = P11_LIFE_NOT_UP;
	}
	p11_let_go(&life->lock);
	return answer;
}

void
p11_life_restarted(struct p11_life *life)
{
	p11_hold(&life->lock);
	if (life->state == P11_LIFE_STARTING && life->fork_generation == p11_fork_generation()) {
		atomic_store(&life->is_restarting, false);
		life->state = P11_LIFE_UP;
		pthread_cond_broadcast(&life->changed);
	}
	p11_let_go(&life->lock);
}

void
p11_life_reset(struct p11_life *life)
{
	void (*stop)(struct p11_life *) = life->stop;

	*life = (struct p11_life)P11_LIFE_INIT;
	life->stop = stop;
}

/* The thread that forked inside a module has joined nothing in the child. */
static void
reset_in_child(void)
{
	p11_thread()->n_joined = 0;
}

__attribute__((constructor)) static void
begin(void)
{
	static struct p11_fork_reset row = {.reset = reset_in_child};

	p11_fork_register(&row);
	p11_thread_at_end(leave_at_end);
}
