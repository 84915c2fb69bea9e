/* SPDX-License-Identifier: BSD-3-Clause */
/* base/life.h: who starts, who counts, who waits, and that the counts are exact whoever calls. */
#include "base/life.h"

#include "base/fork.h"
#include "support/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 60000

static struct p11_life life;

static int
setup(void **state)
{
	(void)state;
	p11_life_reset(&life);
	return 0;
}

static void
start_up(void)
{
	assert_int_equal(p11_life_start(&life, 0), P11_LIFE_YOURS);
	assert_true(p11_life_started(&life, true));
}

static void
stop_down(void)
{
	assert_int_equal(p11_life_stop(&life), P11_LIFE_YOURS);
	p11_life_stopped(&life);
}

static void
test_first_starts_last_stops(void **state)
{
	(void)state;
	assert_false(p11_life_is_up(&life));
	start_up();
	assert_true(p11_life_is_up(&life));
	assert_int_equal(p11_life_start(&life, 0), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_start(&life, P11_LIFE_FOREVER), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_COUNTED);
	assert_true(p11_life_is_up(&life));
	stop_down();
	assert_false(p11_life_is_up(&life));
	assert_int_equal(p11_life_stop(&life), P11_LIFE_NOT_UP);
	start_up();
	stop_down();
}

/* A second user is refused, and never counted meanwhile: the first one's stop is the last. */
static void
test_start_alone(void **state)
{
	(void)state;
	assert_int_equal(p11_life_start_alone(&life, 0), P11_LIFE_YOURS);
	assert_int_equal(p11_life_start_alone(&life, 0), P11_LIFE_SELF);
	assert_true(p11_life_started(&life, true));
	assert_int_equal(p11_life_start_alone(&life, P11_LIFE_FOREVER), P11_LIFE_TAKEN);
	assert_int_equal(p11_life_join(&life), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_NOT_UP);
	/* Its user is gone, and a call in flight holds it up: the next user goes on with it. */
	assert_int_equal(p11_life_start_alone(&life, 0), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_leave(&life), P11_LIFE_COUNTED);
	stop_down();
}

static void
test_failed_start_is_done_again(void **state)
{
	(void)state;
	assert_int_equal(p11_life_start(&life, 0), P11_LIFE_YOURS);
	assert_true(p11_life_started(&life, false));
	assert_false(p11_life_is_up(&life));
	assert_int_equal(p11_life_stop(&life), P11_LIFE_NOT_UP);
	start_up();
	stop_down();
}

static void
test_self(void **state)
{
	(void)state;
	assert_int_equal(p11_life_start(&life, 0), P11_LIFE_YOURS);
	assert_int_equal(p11_life_start(&life, P11_LIFE_FOREVER), P11_LIFE_SELF);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_SELF);
	assert_true(p11_life_started(&life, true));

	assert_int_equal(p11_life_stop(&life), P11_LIFE_YOURS);
	assert_int_equal(p11_life_start(&life, P11_LIFE_FOREVER), P11_LIFE_SELF);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_SELF);
	p11_life_stopped(&life);
	start_up();
	stop_down();
}

static void
test_join_keeps_it_up(void **state)
{
	(void)state;
	assert_int_equal(p11_life_join(&life), P11_LIFE_NOT_UP);
	assert_int_equal(p11_life_start(&life, 0), P11_LIFE_YOURS);
	assert_int_equal(p11_life_join(&life), P11_LIFE_NOT_UP);
	assert_true(p11_life_started(&life, true));
	assert_int_equal(p11_life_join(&life), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_join(&life), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_leave(&life), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_COUNTED);
	/* Only a call in flight holds it up: no other may begin, and its end is the stop. */
	assert_int_equal(p11_life_join(&life), P11_LIFE_NOT_UP);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_NOT_UP);
	assert_int_equal(p11_life_leave(&life), P11_LIFE_YOURS);
	assert_int_equal(p11_life_join(&life), P11_LIFE_NOT_UP);
	p11_life_stopped(&life);
	assert_int_equal(p11_life_join(&life), P11_LIFE_NOT_UP);
	assert_int_equal(p11_life_leave(&life), P11_LIFE_COUNTED);
}

/* A start that finds it still up, because of a call in flight, goes on with it. */
static void
test_start_during_a_call(void **state)
{
	(void)state;
	start_up();
	assert_int_equal(p11_life_join(&life), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_start(&life, 0), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_leave(&life), P11_LIFE_COUNTED);
	assert_true(p11_life_is_up(&life));
	stop_down();
}

static void
test_end(void **state)
{
	(void)state;
	assert_int_equal(p11_life_end(&life, 0), P11_LIFE_NOT_UP);
	start_up();
	assert_int_equal(p11_life_start(&life, 0), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_end(&life, 0), P11_LIFE_YOURS);
	assert_int_equal(p11_life_end(&life, DEADLINE_MS), P11_LIFE_BUSY); /* of itself */
	assert_int_equal(p11_life_stop(&life), P11_LIFE_SELF);
	p11_life_stopped(&life);
	assert_int_equal(p11_life_end(&life, 0), P11_LIFE_NOT_UP);

	/* A call in flight stops it, as the last. */
	start_up();
	assert_int_equal(p11_life_join(&life), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_end(&life, DEADLINE_MS), P11_LIFE_BUSY);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_NOT_UP);
	assert_int_equal(p11_life_leave(&life), P11_LIFE_YOURS);
	p11_life_stopped(&life);
}

static void
test_abandon(void **state)
{
	(void)state;
	assert_false(p11_life_abandon(&life));
	start_up();
	assert_int_equal(p11_life_start(&life, 0), P11_LIFE_COUNTED);
	assert_true(p11_life_abandon(&life));
	assert_false(p11_life_is_up(&life));
	assert_int_equal(p11_life_join(&life), P11_LIFE_NOT_UP);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_SELF);
	assert_false(p11_life_abandon(&life));
	p11_life_stopped(&life);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_NOT_UP);
	start_up();
	stop_down();
}

static void
test_restart(void **state)
{
	(void)state;
	assert_int_equal(p11_life_restart(&life), P11_LIFE_BUSY);
	start_up();
	assert_int_equal(p11_life_start(&life, 0), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_join(&life), P11_LIFE_COUNTED);

	/* The users stay, and may stop; nobody else starts it meanwhile. */
	assert_int_equal(p11_life_restart(&life), P11_LIFE_YOURS);
	assert_int_equal(p11_life_restart(&life), P11_LIFE_BUSY);
	assert_int_equal(p11_life_start(&life, 0), P11_LIFE_SELF);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_COUNTED);
	p11_life_restarted(&life);
	assert_true(p11_life_is_up(&life));
	assert_int_equal(p11_life_restart(&life), P11_LIFE_YOURS);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_COUNTED);
	p11_life_restarted(&life);

	/* Nobody is left: nobody needs it, and nobody stops it. */
	assert_int_equal(p11_life_restart(&life), P11_LIFE_NOT_UP);
	assert_int_equal(p11_life_restart(&life), P11_LIFE_BUSY);
	assert_int_equal(p11_life_leave(&life), P11_LIFE_COUNTED);
	start_up();
	stop_down();
}

/* ---- a thread that is at it while the test looks ---- */

enum step { STARTING, STARTING_IN_VAIN, STOPPING };

struct worker {
	enum step step;
	atomic_bool is_at_it, may_end;
};

static void
be_at_it(void *data, unsigned i)
{
	struct worker *worker = data;

	(void)i;
	enum p11_life_answer answer =
		worker->step == STOPPING ? p11_life_stop(&life) : p11_life_start(&life, 0);
	if (answer != P11_LIFE_YOURS)
		support_die("the worker got %d", answer);
	worker->is_at_it = true;
	while (!worker->may_end)
		support_pause_ms(1);
	if (worker->step == STOPPING)
		p11_life_stopped(&life);
	else if (!p11_life_started(&life, worker->step == STARTING))
		support_die("nobody forked");
}

static struct crew *
put_to_work(struct worker *worker)
{
	struct crew *crew = crew_start(1, be_at_it, worker);

	assert_true(WAIT_UNTIL(worker->is_at_it, DEADLINE_MS));
	return crew;
}

static void
test_busy(void **state)
{
	struct worker worker = {.step = STARTING};
	struct crew *crew = put_to_work(&worker);

	(void)state;
	assert_int_equal(p11_life_start(&life, 0), P11_LIFE_BUSY);
	assert_int_equal(p11_life_start(&life, 5), P11_LIFE_BUSY);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_NOT_UP);
	assert_int_equal(p11_life_join(&life), P11_LIFE_NOT_UP);
	worker.may_end = true;
	crew_join(crew);
	assert_int_equal(p11_life_start(&life, 0), P11_LIFE_COUNTED);
	assert_int_equal(p11_life_stop(&life), P11_LIFE_COUNTED);

	worker = (struct worker){.step = STOPPING};
	crew = put_to_work(&worker);
	assert_int_equal(p11_life_start(&life, 0), P11_LIFE_BUSY);
	worker.may_end = true;
	crew_join(crew);
	start_up();
	stop_down();
}

struct waiter {
	int wait_ms;
	atomic_int answer; /* -1: it waits */
};

static void
wait_for_it(void *data, unsigned i)
{
	struct waiter *waiter = data;

	(void)i;
	int answer = (int)p11_life_start(&life, waiter->wait_ms);
	if (answer == P11_LIFE_YOURS && !p11_life_started(&life, true))
		support_die("nobody forked");
	waiter->answer = answer;
}

/* What a waiter gets once the worker has done its step. */
static int
answer_after(enum step step, int wait_ms)
{
	struct worker worker = {.step = step};
	struct waiter waiter = {.wait_ms = wait_ms, .answer = -1};
	struct crew *crew = put_to_work(&worker);
	struct crew *waiting = crew_start(1, wait_for_it, &waiter);

	support_pause_ms(20);
	assert_int_equal(waiter.answer, -1);
	worker.may_end = true;
	crew_join(crew);
	crew_join(waiting);
	return waiter.answer;
}

static void
test_waits(void **state)
{
	static const int waits[] = {P11_LIFE_FOREVER, DEADLINE_MS};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(answer_after(STARTING, waits[i]), P11_LIFE_COUNTED);
		assert_int_equal(p11_life_stop(&life), P11_LIFE_COUNTED);
		assert_int_equal(answer_after(STOPPING, waits[i]), P11_LIFE_YOURS);
		stop_down();
		assert_int_equal(answer_after(STARTING_IN_VAIN, waits[i]), P11_LIFE_YOURS);
		stop_down();
	}
}

/* ---- many threads ---- */

#define N_THREADS 8
#define N_ROUNDS 3000

static struct {
	atomic_int up; /* what is counted is up: 0 or 1 */
	atomic_ulong n_starts, n_stops, n_failed;
	atomic_ulong n_wrong;
	unsigned long not_atomic; /* only a starter or stopper touches it */
	atomic_int n_running;
} many;

static void
do_start(bool succeed)
{
	many.not_atomic++;
	many.n_wrong += atomic_fetch_add(&many.up, 1) != 0;
	if (!succeed) {
		many.up--;
		many.n_failed++;
	} else {
		many.n_starts++;
	}
	many.n_wrong += !p11_life_started(&life, succeed);
}

static void
do_stop(void)
{
	many.not_atomic++;
	many.n_wrong += atomic_fetch_sub(&many.up, 1) != 1;
	many.n_stops++;
	p11_life_stopped(&life);
}

static void
stop_one(void)
{
	enum p11_life_answer answer = p11_life_stop(&life);

	if (answer == P11_LIFE_YOURS)
		do_stop();
	else
		many.n_wrong += answer != P11_LIFE_COUNTED;
}

static bool
join_one(void)
{
	enum p11_life_answer answer = p11_life_join(&life);

	if (answer == P11_LIFE_YOURS)
		do_stop();
	return answer == P11_LIFE_COUNTED;
}

static void
leave_one(void)
{
	if (p11_life_leave(&life) == P11_LIFE_YOURS)
		do_stop();
}

static void
come_and_go(void *data, unsigned i)
{
	(void)data;
	for (unsigned round = 0; round < N_ROUNDS; round++) {
		bool succeed = (round + i) % 7 != 0;
		switch (p11_life_start(&life, round % 3 ? P11_LIFE_FOREVER : DEADLINE_MS)) {
		case P11_LIFE_YOURS:
			do_start(succeed);
			if (!succeed)
				continue;
			break;
		case P11_LIFE_COUNTED:
			break;
		default:
			many.n_wrong++;
			continue;
		}
		many.n_wrong += many.up != 1;
		if (round % 2 && join_one()) {
			many.n_wrong += many.up != 1;
			leave_one();
		}
		stop_one();
	}
	many.n_running--;
}

static void
join_only(void *data, unsigned i)
{
	(void)data, (void)i;
	while (many.n_running > 0) {
		if (!join_one())
			continue;
		many.n_wrong += many.up != 1;
		leave_one();
	}
}

static void
test_many_threads(void **state)
{
	(void)state;
	many.n_running = N_THREADS;
	struct crew *joiners = crew_start(2, join_only, NULL);
	struct crew *crew = crew_start(N_THREADS, come_and_go, NULL);

	crew_join(crew);
	crew_join(joiners);
	assert_int_equal(many.n_wrong, 0);
	assert_int_equal(many.up, 0);
	assert_int_equal(many.n_starts, many.n_stops);
	assert_true(many.n_starts > 0);
	assert_int_equal(many.not_atomic, many.n_starts + many.n_stops + many.n_failed);
	assert_false(p11_life_is_up(&life));
	start_up();
	stop_down();
}

/* ---- fork ---- */

static int
end_inherited_start(void *data)
{
	(void)data;
	if (p11_life_started(&life, true))
		return 1;
	p11_life_reset(&life);
	if (p11_life_is_up(&life) || p11_life_start(&life, 0) != P11_LIFE_YOURS ||
	    !p11_life_started(&life, true))
		return 2;
	return p11_life_stop(&life) == P11_LIFE_YOURS ? 0 : 3;
}

static void
test_child_has_no_part_in_a_start(void **state)
{
	(void)state;
	assert_int_equal(p11_life_start(&life, 0), P11_LIFE_YOURS);
	assert_int_equal(child_run(end_inherited_start, NULL, 60), 0);
	assert_true(p11_life_started(&life, true));
	stop_down();
}

static int
end_inherited_stop(void *data)
{
	(void)data;
	p11_life_stopped(&life);
	return life.state == P11_LIFE_STOPPING ? 0 : 1;
}

static void
test_child_has_no_part_in_a_stop(void **state)
{
	(void)state;
	start_up();
	assert_int_equal(p11_life_stop(&life), P11_LIFE_YOURS);
	assert_int_equal(child_run(end_inherited_stop, NULL, 60), 0);
	p11_life_stopped(&life);
}

struct caller {
	atomic_bool is_inside, may_leave;
	unsigned part;
	enum p11_life_answer left;
};

static void
be_inside(void *data, unsigned i)
{
	struct caller *caller = data;

	(void)i;
	if (p11_life_join(&life) != P11_LIFE_COUNTED)
		support_die("it is not up");
	caller->part = p11_thread()->part;
	caller->is_inside = true;
	while (!caller->may_leave)
		support_pause_ms(1);
	caller->left = p11_life_leave(&life);
}

/* A new thread that is inside, and is counted in the same part as this one. */
static struct crew *
put_inside(struct caller *caller)
{
	for (;;) {
		*caller = (struct caller){.part = 0};
		struct crew *crew = crew_start(1, be_inside, caller);
		WAIT_UNTIL(caller->is_inside, DEADLINE_MS);
		if (caller->part == p11_thread()->part)
			return crew;
		caller->may_leave = true;
		crew_join(crew);
	}
}

/* It comes out of the parent's call while a thread of its own is inside. */
static int
leave_inherited_join(void *data)
{
	struct caller caller;

	(void)data;
	p11_life_reset(&life);
	start_up();
	struct crew *crew = put_inside(&caller);
	if (p11_life_leave(&life) != P11_LIFE_COUNTED)
		return 1;
	if (p11_life_stop(&life) != P11_LIFE_COUNTED)
		return 2;
	caller.may_leave = true;
	crew_join(crew);
	return caller.left == P11_LIFE_YOURS ? 0 : 3;
}

static void
test_child_leaves_nobody_elses_call(void **state)
{
	(void)state;
	start_up();
	assert_int_equal(p11_life_join(&life), P11_LIFE_COUNTED);
	assert_int_equal(child_run(leave_inherited_join, NULL, 60), 0);
	assert_int_equal(p11_life_leave(&life), P11_LIFE_COUNTED);
	stop_down();
}

static int
start_in_child(void *data)
{
	(void)data;
	p11_life_reset(&life);
	if (p11_life_start(&life, P11_LIFE_FOREVER) != P11_LIFE_YOURS)
		return 1;
	return p11_life_started(&life, true) ? 0 : 2;
}

static void
test_fork_while_another_thread_starts(void **state)
{
	struct worker worker = {.step = STARTING};
	struct crew *crew = put_to_work(&worker);

	(void)state;
	assert_int_equal(child_run(start_in_child, NULL, 60), 0);
	worker.may_end = true;
	crew_join(crew);
	assert_true(p11_life_is_up(&life));
	stop_down();
}

/* ---- cancellation ---- */

static void
disable_and_return(void)
{
	P11_NO_CANCEL;
}

static void
test_no_cancel(void **state)
{
	int now;

	(void)state;
	{
		P11_NO_CANCEL;
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &now);
		assert_int_equal(now, PTHREAD_CANCEL_DISABLE);
		disable_and_return();
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &now);
		assert_int_equal(now, PTHREAD_CANCEL_DISABLE);
	}
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &now);
	assert_int_equal(now, PTHREAD_CANCEL_ENABLE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_first_starts_last_stops, setup),
		cmocka_unit_test_setup(test_start_alone, setup),
		cmocka_unit_test_setup(test_failed_start_is_done_again, setup),
		cmocka_unit_test_setup(test_self, setup),
		cmocka_unit_test_setup(test_start_during_a_call, setup),
		cmocka_unit_test_setup(test_end, setup),
		cmocka_unit_test_setup(test_abandon, setup),
		cmocka_unit_test_setup(test_restart, setup),
		cmocka_unit_test_setup(test_join_keeps_it_up, setup),
		cmocka_unit_test_setup(test_busy, setup),
		cmocka_unit_test_setup(test_waits, setup),
		cmocka_unit_test_setup(test_many_threads, setup),
		cmocka_unit_test_setup(test_child_has_no_part_in_a_start, setup),
		cmocka_unit_test_setup(test_child_has_no_part_in_a_stop, setup),
		cmocka_unit_test_setup(test_child_leaves_nobody_elses_call, setup),
		cmocka_unit_test_setup(test_fork_while_another_thread_starts, setup),
		cmocka_unit_test(test_no_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
