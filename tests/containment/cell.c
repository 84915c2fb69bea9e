/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One cell, in a process of its own: healthy consumers come up and do their work once, for
 * reference; the fault is set, and the faulty consumer lives on a thread of its own; as soon as the
 * fault has happened, the healthy ones do their work again.
 */
#include "containment.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#define N_ROUNDS 3

struct healthy {
	struct stage *stage;
	struct worker worker;
	struct work reference;
	pthread_t thread;
	_Atomic(bool) is_ready, is_done;
};

struct stage {
	struct cell *cell;
	const char *healthy_module; /* its file */
	bool plant;
	struct chaos *chaos;
	struct healthy healthy[N_WAYS];
	pthread_t faulty;
	_Atomic(unsigned) n_lives; /* that the faulty consumer has ended */
	_Atomic(bool) must_stop, is_faulty_over;
	sem_t may_work, may_end; /* one for each healthy consumer */
	pthread_mutex_t lock;    /* of cell->text */
};

/* Only the first thing that was wrong is kept; all else outdoes a late call, which may have a
 * second try. */
static void
complain(struct stage *stage, bool is_late, const char *who, const char *where, const char *what)
{
	struct cell *cell = stage->cell;

	pthread_mutex_lock(&stage->lock);
	if (!*cell->text || (cell->is_late && !is_late)) {
		snprintf(cell->text, sizeof cell->text, "%s%s%s %s", who, *where ? " " : "", where,
			 what);
		cell->is_late = is_late;
	}
	pthread_mutex_unlock(&stage->lock);
}

static void
wait_for(sem_t *semaphore)
{
	while (sem_wait(semaphore) < 0 && errno == EINTR)
		;
}

static void
let_all(sem_t *semaphore)
{
	for (unsigned i = 0; i < N_WAYS; i++)
		sem_post(semaphore);
}

/* ---- healthy ---- */

static void
judge(struct healthy *healthy, const struct work *work)
{
	const char *who = way_names[healthy->worker.consumer.way];
	enum step step = work_compare(work, &healthy->reference);
	char what[64] = "has another result";

	if (step < N_STEPS) {
		if (work->steps[step].rv != healthy->reference.steps[step].rv)
			snprintf(what, sizeof what, "answers %#lx", work->steps[step].rv);
		complain(healthy->stage, false, who, step_names[step], what);
	}
	step = work_slowest(work);
	if (work->steps[step].ms > LIMIT_MS)
		complain(healthy->stage, true, who, step_names[step], "is late");
}

static bool
come_up(struct healthy *healthy)
{
	struct stage *stage = healthy->stage;
	struct worker *worker = &healthy->worker;
	enum way way = (enum way)(healthy - stage->healthy);
	bool is_plant = stage->plant && way == WAY_MANAGED;

	worker->consumer =
		consumer_open(way, is_plant ? chaos_path("chaos-a") : stage->healthy_module);
	if (!worker->consumer.list || consumer_initialize(&worker->consumer) != CKR_OK)
		return false;
	if (!work_prepare(worker, is_plant ? "Chaos" : "SoftHSM"))
		return false;
	work_do(worker, &healthy->reference);
	for (enum step step = 0; step < N_STEPS; step++) {
		if (healthy->reference.steps[step].rv != CKR_OK)
			return false;
	}
	return true;
}

static void *
be_healthy(void *data)
{
	struct healthy *healthy = data;
	struct stage *stage = healthy->stage;
	struct work work;

	if (!come_up(healthy))
		support_die("a healthy consumer (%s) does not even come up",
			    way_names[healthy - stage->healthy]);
	healthy->is_ready = true;
	wait_for(&stage->may_work);
	for (unsigned i = 0; i < N_ROUNDS; i++) {
		work_do(&healthy->worker, &work);
		judge(healthy, &work);
	}
	healthy->is_done = true;
	wait_for(&stage->may_end);
	if (consumer_finalize(&healthy->worker.consumer) != CKR_OK)
		complain(stage, false, way_names[healthy->worker.consumer.way], "C_Finalize",
			 "fails");
	consumer_close(&healthy->worker.consumer);
	return NULL;
}

static bool
all_are_ready(struct stage *stage)
{
	return stage->healthy[0].is_ready && stage->healthy[1].is_ready &&
	       stage->healthy[2].is_ready;
}

static bool
all_are_done(struct stage *stage)
{
	return stage->healthy[0].is_done && stage->healthy[1].is_done && stage->healthy[2].is_done;
}

/* ---- faulty ---- */

static void *
be_faulty(void *data)
{
	struct stage *stage = data;

	do {
		drive(stage->cell->way, stage->cell->call);
		stage->n_lives++;
		support_pause_ms(1);
	} while (!stage->must_stop);
	stage->is_faulty_over = true;
	return NULL;
}

/* ---- the cell ---- */

static void
start(pthread_t *thread, void *(*work)(void *), void *data)
{
	if (pthread_create(thread, NULL, work, data) != 0)
		support_die("no thread");
}

/* The module's life cycle is entered only by who is alone with it: there the proxy's healthy
 * consumer came without it. */
static void
begin(struct stage *stage)
{
	enum chaos_call call = stage->cell->call;
	bool is_life_cycle = call == CHAOS_C_Initialize || call == CHAOS_C_Finalize;

	if (is_life_cycle && !stage->plant)
		stage->chaos->fault(CHAOS_C_Initialize,
				    &(struct chaos_fault){.rv = CKR_DEVICE_ERROR});
	for (enum way way = 0; way < N_WAYS; way++) {
		stage->healthy[way].stage = stage;
		start(&stage->healthy[way].thread, be_healthy, &stage->healthy[way]);
	}
	if (!WAIT_UNTIL(all_are_ready(stage), CELL_SECONDS * 1000ul))
		support_die("the healthy consumers hang before any fault");
	stage->chaos->fault(CHAOS_C_Initialize, NULL);
}

static void
let_it_fail(struct stage *stage)
{
	struct cell *cell = stage->cell;
	const struct fault *fault = &faults[cell->fault];
	unsigned long before = stage->chaos->calls[cell->call];

	fault_set(fault, stage->chaos, cell->call, stage->plant);
	start(&stage->faulty, be_faulty, stage);
	WAIT_UNTIL(stage->chaos->calls[cell->call] > before || stage->n_lives > 0, BLOCKED_MS);
	cell->was_reached = stage->chaos->calls[cell->call] > before;
	/* What is meant for the first who comes is not for a healthy one. */
	if (!cell->was_reached && fault->once && !stage->plant)
		fault_clear(stage->chaos, cell->call);
}

/* All that is held goes on, and comes to its end. */
static void
end(struct stage *stage)
{
	stage->must_stop = true;
	if (!WAIT_UNTIL((stage->chaos->release(), stage->is_faulty_over),
			CELL_SECONDS * 1000ul / 3))
		complain(stage, false, "the faulty consumer", "", "does not come back");
	else
		pthread_join(stage->faulty, NULL);
	if (!WAIT_UNTIL((stage->chaos->release(), all_are_done(stage)), CELL_SECONDS * 1000ul / 3))
		complain(stage, false, "a healthy consumer", "", "does not come back");
	fault_clear(stage->chaos, stage->cell->call);
	let_all(&stage->may_end);
	for (enum way way = 0; way < N_WAYS && stage->is_faulty_over && all_are_done(stage); way++)
		pthread_join(stage->healthy[way].thread, NULL);
}

int
cell_run(struct cell *cell, const char *healthy_module, bool plant)
{
	struct stage stage = {.cell = cell,
			      .healthy_module = healthy_module,
			      .plant = plant,
			      .lock = PTHREAD_MUTEX_INITIALIZER,
			      .chaos = core_fresh("chaos-a")};

	*cell->text = '\0';
	cell->is_late = false;
	sem_init(&stage.may_work, 0, 0);
	sem_init(&stage.may_end, 0, 0);
	begin(&stage);
	let_it_fail(&stage);
	let_all(&stage.may_work);
	WAIT_UNTIL(all_are_done(&stage), BLOCKED_MS);
	for (enum way way = 0; way < N_WAYS; way++) {
		if (!stage.healthy[way].is_done)
			complain(&stage, true, way_names[way], "", "is blocked");
	}
	end(&stage);
	if (core_n_wrong)
		complain(&stage, false, "the proxy", "", "fails inside the call");
	fault_forgive(&faults[cell->fault], stage.chaos, cell->call);
	if (!chaos_is_exact(stage.chaos))
		complain(&stage, false, "the module's counts", "", "are not exact");
	return 0;
}
