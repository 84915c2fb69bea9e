/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine of the chaos module: it counts calls, makes them go wrong, and obeys the control
 * structure. It knows nothing of what the functions do. A thread that sleeps, hangs or calls back
 * holds nothing of ours.
 */
#include "chaos-inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/*
 * A fault that was set: what is left of it is ours, since a call may still look at it. It stays on
 * a list, where the next one that is set alike finds it, and leak checkers see it.
 */
struct armed {
	enum chaos_call call;     /* constant */
	struct chaos_fault fault; /* constant */
	_Atomic(unsigned) seen;   /* calls that counted so far */
	struct armed *older;      /* constant */
};

static struct {
	struct armed *_Atomic armed[CHAOS_N_CALLS + 1]; /* the last one is CHAOS_ANY */
	struct armed *_Atomic all;
	_Atomic(bool) any; /* whether any fault was ever set */
	_Atomic(unsigned) releases;
	_Atomic(int) awake;            /* 0, 1: a thread reads the environment, 2 */
	_Atomic(unsigned long) living; /* threads in C_Initialize or C_Finalize */
} engine;

#define WAIT_MS 1

void
chaos_pause_ms(unsigned ms)
{
	struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

/* The fault that applies to this call, or NULL. */
static const struct chaos_fault *
find_fault(const struct visit *visit)
{
	struct armed *armed = engine.armed[visit->seen.call];
	if (!armed)
		armed = engine.armed[CHAOS_ANY];
	if (!armed)
		return NULL;

	const struct chaos_fault *fault = &armed->fault;
	if (fault->on_slot && (!visit->slot || visit->slot->id != fault->slot))
		return NULL;
	unsigned nth = armed->seen++;
	if (nth < fault->skip || (fault->times && nth - fault->skip >= fault->times))
		return NULL;
	return fault;
}

static void
hang(void)
{
	unsigned before = engine.releases;

	chaos.hanging++;
	while (engine.releases == before)
		chaos_pause_ms(WAIT_MS);
	chaos.hanging--;
}

static void
fork_here(enum chaos_fork kind)
{
	pid_t pid = fork();

	if (pid == 0 && kind == CHAOS_FORK_CHILD_EXITS)
		_exit(0);
	chaos.forked_child = pid;
	if (pid > 0 && kind == CHAOS_FORK_CHILD_EXITS) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
}

/* All that a fault does before the function's work. */
static CK_RV
suffer(const struct chaos_fault *fault, const struct visit *visit)
{
	if (fault->sleep_ms)
		chaos_pause_ms(fault->sleep_ms);
	if (fault->hang)
		hang();
	if (fault->abort)
		abort();
	if (fault->fork)
		fork_here(fault->fork);
	if (fault->callback) {
		CK_RV rv = fault->callback(&chaos, &visit->seen, fault->data);
		if (rv != CKR_OK)
			return rv;
	}
	if (fault->drop)
		chaos.drop();
	return fault->late ? CKR_OK : fault->rv;
}

static bool
is_life_cycle(enum chaos_call call)
{
	return call == CHAOS_C_Initialize || call == CHAOS_C_Finalize;
}

/* These may be called at any time, whatever becomes of the module meanwhile. */
static bool
is_look_up(enum chaos_call call)
{
	return call == CHAOS_C_GetFunctionList || call == CHAOS_C_GetInterface ||
	       call == CHAOS_C_GetInterfaceList;
}

static void
note_begin(struct visit *visit)
{
	enum chaos_call call = visit->seen.call;

	visit->noted = true;
	chaos.calls[call]++;
	chaos.inside[call]++;
	for (unsigned i = 0; i < visit->seen.n_args; i++)
		chaos.last_args[call][i] = visit->seen.args[i];
	if (is_life_cycle(call) && engine.living++ > 0)
		chaos.overlaps++;
	if (call == CHAOS_C_Finalize) {
		unsigned long inside = 0;
		for (unsigned i = 0; i < CHAOS_N_CALLS; i++)
			inside += is_life_cycle(i) || is_look_up(i) ? 0 : chaos.inside[i];
		if (inside)
			chaos.undercut++;
	}
}

/* Finds what the first argument names; what is wrong with it is said only after the faults had
 * their turn. */
static void
look_up(struct visit *visit)
{
	if (visit->first == CHAOS_FIRST_SLOT)
		visit->slot = token_slot(visit->seen.args[0]);
	if (visit->first == CHAOS_FIRST_SESSION)
		visit->session = token_session(visit->seen.args[0]);
	if (visit->session)
		visit->slot = visit->session->slot;
}

static CK_RV
check(struct visit *visit)
{
	if (visit->first == CHAOS_FIRST_ALWAYS)
		return CKR_OK;
	if (!token_is_up()) {
		if (visit->noted)
			chaos.down_calls[visit->seen.call]++;
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	}
	if (visit->first == CHAOS_FIRST_SLOT && (!visit->slot || !visit->slot->here))
		return CKR_SLOT_ID_INVALID;
	if (visit->first != CHAOS_FIRST_SESSION)
		return CKR_OK;
	if (!visit->session) {
		if (visit->noted)
			chaos.bad_sessions++;
		return CKR_SESSION_HANDLE_INVALID;
	}
	if (!visit->slot->here && visit->seen.call != CHAOS_C_CloseSession)
		return CKR_DEVICE_REMOVED;
	return CKR_OK;
}

CK_RV
visit_begin(struct visit *visit)
{
	if (engine.awake != 2)
		chaos_wake();
	visit->life = token_life();
	look_up(visit);
	if (atomic_load_explicit(&chaos.counting, memory_order_relaxed))
		note_begin(visit);
	if (atomic_load_explicit(&engine.any, memory_order_relaxed)) {
		visit->fault = find_fault(visit);
		CK_RV rv = visit->fault ? suffer(visit->fault, visit) : CKR_OK;
		if (rv != CKR_OK)
			return rv;
		look_up(visit); /* it may be another one after a sleep */
	}
	return check(visit);
}

CK_RV
visit_end(struct visit *visit, CK_RV rv)
{
	const struct chaos_fault *fault = visit->fault;

	/* What it did with a session that was ended meanwhile may be another session's by now. */
	if (visit->first == CHAOS_FIRST_SESSION && rv == CKR_OK && visit->life != token_life())
		rv = CKR_CRYPTOKI_NOT_INITIALIZED;
	if (fault && fault->over && visit->count)
		*visit->count += fault->over;
	if (fault && fault->late && fault->rv)
		rv = fault->rv;
	if (visit->seen.call == CHAOS_C_Initialize && rv == CKR_OK)
		chaos.initialized++;
	if (visit->seen.call == CHAOS_C_Finalize && rv == CKR_OK)
		chaos.finalized++;
	if (visit->noted) {
		if (visit->seen.call == CHAOS_C_Finalize && rv == CKR_CRYPTOKI_NOT_INITIALIZED &&
		    !fault)
			chaos.down_calls[CHAOS_C_Finalize]++;
		if (is_life_cycle(visit->seen.call))
			engine.living--;
		chaos.inside[visit->seen.call]--;
	}
	return rv;
}

CK_RV
visit_default(struct visit *visit)
{
	if (visit->count)
		*visit->count = 0;
	for (unsigned i = 0; i < 2; i++) {
		if (visit->objects[i])
			*visit->objects[i] = (CK_OBJECT_HANDLE)(chaos.object_base + CHAOS_KEY);
	}
	return CKR_OK;
}

static bool
is_same_fault(const struct chaos_fault *a, const struct chaos_fault *b)
{
	return a->skip == b->skip && a->times == b->times && a->on_slot == b->on_slot &&
	       a->slot == b->slot && a->sleep_ms == b->sleep_ms && a->hang == b->hang &&
	       a->abort == b->abort && a->fork == b->fork && a->callback == b->callback &&
	       a->data == b->data && a->drop == b->drop && a->rv == b->rv && a->late == b->late &&
	       a->over == b->over;
}

static struct armed *
armed_before(enum chaos_call call, const struct chaos_fault *fault)
{
	struct armed *armed = engine.all;

	while (armed && (armed->call != call || !is_same_fault(&armed->fault, fault)))
		armed = armed->older;
	return armed;
}

static struct armed *
arm(enum chaos_call call, const struct chaos_fault *fault)
{
	struct armed *armed = calloc(1, sizeof(*armed));

	if (!armed)
		abort();
	armed->call = call;
	armed->fault = *fault;
	armed->older = engine.all;
	while (!atomic_compare_exchange_weak(&engine.all, &armed->older, armed))
		;
	return armed;
}

static void
set_fault(enum chaos_call call, const struct chaos_fault *fault)
{
	if ((unsigned)call > CHAOS_ANY)
		return;
	if (!fault) {
		engine.armed[call] = NULL;
		return;
	}
	struct armed *armed = armed_before(call, fault);
	if (!armed)
		armed = arm(call, fault);
	armed->seen = 0;
	engine.armed[call] = armed;
	engine.any = true;
}

static void
release(void)
{
	engine.releases++;
}

static void
drop(void)
{
	if (token_drop())
		chaos.dropped++;
}

static void
reset(void)
{
	for (unsigned i = 0; i <= CHAOS_ANY; i++)
		engine.armed[i] = NULL;
	for (unsigned i = 0; i < CHAOS_N_CALLS; i++) {
		chaos.calls[i] = 0;
		chaos.down_calls[i] = 0;
		for (unsigned j = 0; j < CHAOS_MAX_ARGS; j++)
			chaos.last_args[i][j] = 0;
	}
	chaos.initialized = chaos.finalized = chaos.overlaps = chaos.undercut = 0;
	chaos.bad_sessions = chaos.dropped = 0;
	chaos.counting = true;
	chaos.handles = CHAOS_HANDLES_COUNT;
	chaos.handle_base = chaos.next_handle = chaos.object_base = 0;
	chaos.list = CHAOS_LIST_STEADY;
	chaos.forked = CHAOS_FORKED_IGNORES;
	chaos.notify_on_open = chaos.no_events = false;
	token_reset();
}

static void
reserved(char *text, unsigned long size)
{
	unsigned long i = 0;

	for (; i + 1 < size && i + 1 < sizeof(chaos.init_args.reserved_text); i++) {
		text[i] = chaos.init_args.reserved_text[i];
		if (!text[i])
			return;
	}
	if (size)
		text[i] = '\0';
}

struct chaos chaos = {
	.name = CHAOS_NAME,
	.counting = true,
	.fault = set_fault,
	.release = release,
	.drop = drop,
	.reset = reset,
	.slots = token_slots,
	.slot_id = token_slot_id,
	.plug = token_plug,
	.token = token_token,
	.event = token_event,
	.notify = token_notify,
	.reserved = reserved,
	.command = chaos_command,
};

/* The environment's strings: CHAOS for every chaos module, CHAOS_A for chaos-a. */
static void
read_environment(void)
{
	char variable[sizeof(CHAOS_NAME)];

	for (unsigned i = 0; i < sizeof(variable); i++) {
		char c = CHAOS_NAME[i];
		bool small = c >= 'a' && c <= 'z';
		variable[i] = c == '-' || c == '.' ? '_' : small ? (char)(c - 'a' + 'A') : c;
	}
	const char *texts[] = {getenv("CHAOS"), getenv(variable)};
	for (unsigned i = 0; i < 2; i++) {
		if (texts[i] && !chaos_command(texts[i])) {
			static const char complaint[] =
				CHAOS_NAME ": cannot obey the environment\n";
			if (write(STDERR_FILENO, complaint, sizeof(complaint) - 1) < 0)
				continue;
		}
	}
}

void
chaos_wake(void)
{
	int asleep = 0;

	if (atomic_compare_exchange_strong(&engine.awake, &asleep, 1)) {
		token_slots(1);
		read_environment();
		engine.awake = 2;
	}
	/* Bounded: in a child, the thread that was reading may not exist. */
	for (unsigned i = 0; engine.awake != 2 && i < 1000; i++)
		chaos_pause_ms(WAIT_MS);
}

EXPORT struct chaos *
chaos_control(void)
{
	chaos_wake();
	return &chaos;
}
