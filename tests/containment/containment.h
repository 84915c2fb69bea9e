/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The containment matrix: one cell is one function of the standard that goes wrong in one way in
 * the chaos module, called by one kind of consumer, while three healthy consumers of SoftHSM work.
 * Each cell is a process of its own (cell.c); faults.c says what the faults are, work.c what the
 * healthy consumers do, drive.c what the faulty one does, matrix.c runs all cells and writes the
 * table.
 */
#ifndef P11_TEST_CONTAINMENT_H
#define P11_TEST_CONTAINMENT_H

#include "core/core.h"

#include <pthread.h>

/* How a consumer comes to its module. */
enum way {
	WAY_PROXY,
	WAY_MANAGED,
	WAY_UNMANAGED,
	N_WAYS,
};
extern const char *const way_names[N_WAYS];

#define SLOT_BASE 0x100 /* of the chaos module, in its configuration */
#define LIMIT_MS 200    /* of a healthy consumer's call */
#define SLEEP_MS 300    /* of the fault: more than the limit */
#define BLOCKED_MS 2000 /* who has not ended after so long is blocked */
#define CELL_SECONDS 30 /* the whole cell */

/* ---- consumers (consumer.c) ---- */

struct consumer {
	enum way way;
	CK_FUNCTION_LIST_3_2 *list; /* as far as the module's version goes */
};

/* A look-up; not initialized. `path` is the module's file, which the proxy has from its
 * configuration. The list is NULL if the module gives none. */
struct consumer consumer_open(enum way way, const char *path);
CK_RV consumer_initialize(const struct consumer *consumer);
CK_RV consumer_finalize(const struct consumer *consumer);
void consumer_close(struct consumer *consumer);

/* ---- faults (faults.c) ---- */

struct fault {
	const char *name;         /* the table's column */
	const char *what;         /* the table's legend */
	bool once;                /* it takes its time: only the first who comes is hit */
	bool calls_back;          /* the function calls the proxy */
	bool is_list;             /* of C_GetSlotList only */
	enum chaos_list list;     /* if is_list */
	struct chaos_fault chaos; /* else */
};
extern const struct fault faults[];
extern const unsigned n_faults;

/* Whether the function can go wrong so at all. */
bool fault_applies(const struct fault *fault, enum chaos_call call);
/* always: also who comes after the first is hit. */
void fault_set(const struct fault *fault, struct chaos *chaos, enum chaos_call call, bool always);
void fault_clear(struct chaos *chaos, enum chaos_call call);
/* Takes out of the counters what the fault itself falsifies: of the rest chaos_is_exact()
 * decides. */
void fault_forgive(const struct fault *fault, struct chaos *chaos, enum chaos_call call);

/* ---- a healthy consumer's work (work.c) ---- */

enum step {
	STEP_COUNT_SLOTS,
	STEP_LIST_SLOTS,
	STEP_TOKEN_INFO,
	STEP_OPEN,
	STEP_DIGEST_INIT,
	STEP_DIGEST,
	STEP_SESSION_INFO,
	STEP_CLOSE,
	N_STEPS,
};
extern const char *const step_names[N_STEPS];

#define MAX_SLOTS 1024
#define MAX_BYTES 160

/* What each step answered, and how long it took. */
struct work {
	struct answer {
		CK_RV rv;
		CK_ULONG n_bytes;
		CK_BYTE bytes[MAX_BYTES];
		unsigned long ms;
	} steps[N_STEPS];
};

struct worker {
	struct consumer consumer;
	CK_SLOT_ID own[CORE_MAX_SLOTS]; /* slots of the module, not of others */
	CK_ULONG n_own;
	CK_SLOT_ID slot; /* that with the token */
};

/* Finds the slots of the module whose manufacturer's name begins so; false if none has a token. */
bool work_prepare(struct worker *worker, const char *manufacturer);
void work_do(const struct worker *worker, struct work *out);
/* The first step whose answer is another one; N_STEPS if none is. */
enum step work_compare(const struct work *is, const struct work *should_be);
enum step work_slowest(const struct work *work);

/* ---- the faulty consumer's calls (drive.c) ---- */

/* One life of a consumer, from its look-up to its end, with a call of the function in it. */
void drive(enum way way, enum chaos_call call);

/* ---- cells (cell.c) ---- */

/* In memory that the processes share. */
struct cell {
	enum chaos_call call;
	unsigned fault;
	enum way way;
	_Atomic(bool)
		was_reached;   /* the function was entered in the module, by the faulty consumer */
	_Atomic(bool) is_late; /* a call took too long, nothing else was wrong */
	char text[160];        /* what was wrong; empty if nothing */
};

/* In the cell's own process; its exit code. `plant`: a healthy consumer uses the faulty module. */
int cell_run(struct cell *cell, const char *healthy_module, bool plant);

#endif
