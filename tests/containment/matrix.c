/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The containment matrix: runs all cells, a few at a time, and writes the tables of
 * docs/containment.md. See containment.h.
 *
 *	containment SOFTHSM TABLE [FUNCTION...]
 *
 * SOFTHSM is the healthy module's file, TABLE the file to be written; with functions only these are
 * tried. The exit code is 1 if anything was not contained. With P11_CONTAINMENT_PLANT=1 a healthy
 * consumer uses the faulty module: that must be found.
 */
#include "containment.h"
#include "table.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_AT_ONCE 8

static struct {
	const char *healthy_module;
	bool plant;
	struct cell *cells; /* shared with the children */
	unsigned n_cells;
} matrix;

/* ---- cells as children ---- */

struct running {
	pid_t pid; /* 0: none */
	struct cell *cell;
	unsigned long start_ms;
};

static void
launch(struct running *running, struct cell *cell)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		support_die("no child");
	if (pid == 0)
		_exit(cell_run(cell, matrix.healthy_module, matrix.plant));
	*running = (struct running){pid, cell, support_ms()};
}

/* Whether it has ended; then the cell says if it did so by itself. */
static bool
has_ended(struct running *running)
{
	struct cell *cell = running->cell;
	bool is_hung = support_ms() - running->start_ms > CELL_SECONDS * 1000ul;
	int status;

	if (is_hung)
		kill(running->pid, SIGKILL);
	if (waitpid(running->pid, &status, is_hung ? 0 : WNOHANG) != running->pid)
		return false;
	running->pid = 0;
	if (is_hung)
		snprintf(cell->text, sizeof cell->text, "the process hung");
	else if (WIFSIGNALED(status))
		snprintf(cell->text, sizeof cell->text, "the process died of signal %d",
			 WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		snprintf(cell->text, sizeof cell->text, "the process gave up");
	if (is_hung || status != 0)
		cell->is_late = false;
	return true;
}

static void
run_cells(unsigned n_at_once, bool (*is_wanted)(const struct cell *cell))
{
	struct running running[N_AT_ONCE] = {{0}};
	unsigned next = 0, n_running = 0;

	while (next < matrix.n_cells || n_running) {
		for (unsigned i = 0; i < n_at_once; i++) {
			if (running[i].pid && has_ended(&running[i]))
				n_running--;
			while (next < matrix.n_cells && !is_wanted(&matrix.cells[next]))
				next++;
			if (!running[i].pid && next < matrix.n_cells) {
				launch(&running[i], &matrix.cells[next++]);
				n_running++;
			}
		}
		support_pause_ms(1);
	}
}

static bool
is_any(const struct cell *cell)
{
	(void)cell;
	return true;
}

/* A machine that is busy makes anything late: it is tried once more, with nothing beside it. */
static bool
is_worth_a_second_try(const struct cell *cell)
{
	return cell->is_late;
}

/* ---- all of it ---- */

static void
add_cells(enum chaos_call call)
{
	for (unsigned fault = 0; fault < n_faults; fault++) {
		for (enum way way = 0; way < N_WAYS && fault_applies(&faults[fault], call); way++) {
			struct cell *cell = &matrix.cells[matrix.n_cells++];
			cell->call = call;
			cell->fault = fault;
			cell->way = way;
		}
	}
}

static void
make_cells(char **names)
{
	size_t size = sizeof *matrix.cells * CHAOS_N_CALLS * n_faults * N_WAYS;

	matrix.cells = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (matrix.cells == MAP_FAILED)
		support_die("no memory");
	for (enum chaos_call call = 0; !*names && call < CHAOS_N_CALLS; call++)
		add_cells(call);
	for (; *names; names++) {
		if (chaos_call_by_name(*names) == CHAOS_N_CALLS)
			support_die("there is no %s", *names);
		add_cells(chaos_call_by_name(*names));
	}
}

static void
make_scene(void)
{
	struct scene *scene = core_scene();
	char more[64];

	snprintf(more, sizeof more, "slot-base: %#x", SLOT_BASE);
	scene_module(scene, "healthy", matrix.healthy_module, NULL);
	scene_chaos(scene, "faulty", "chaos-a", more);
	scene_use(scene, NULL);
	/* Mapped once, before all children are made; nothing is initialized here. */
	core_proxy();
	if (!dlopen(matrix.healthy_module, RTLD_NOW | RTLD_LOCAL))
		support_die("%s", dlerror());
}

static unsigned
report(void)
{
	unsigned n_wrong = 0;

	for (unsigned i = 0; i < matrix.n_cells; i++) {
		const struct cell *cell = &matrix.cells[i];
		if (!*cell->text)
			continue;
		printf("%s, %s, by a %s consumer: %s\n", chaos_call_names[cell->call],
		       faults[cell->fault].name, way_names[cell->way], cell->text);
		n_wrong++;
	}
	printf("%u cells, %u not contained\n", matrix.n_cells, n_wrong);
	return n_wrong;
}

int
main(int argc, char **argv)
{
	const char *plant = getenv("P11_CONTAINMENT_PLANT");

	if (argc < 3)
		support_die("usage: containment SOFTHSM TABLE [FUNCTION...]");
	if (SUPPORT_ASAN || SUPPORT_TSAN)
		return 77;
	matrix.healthy_module = argv[1];
	matrix.plant = plant && strcmp(plant, "1") == 0;
	make_scene();
	make_cells(argv + 3);
	run_cells(N_AT_ONCE, is_any);
	run_cells(1, is_worth_a_second_try);
	table_write(argv[2], matrix.cells, matrix.n_cells);
	return report() == 0 ? 0 : 1;
}
