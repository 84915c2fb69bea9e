/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A storm: eight threads, each of which is a consumer that comes, signs and goes, again and again
 * for some seconds: through the proxy, with managed modules, or with the modules' own lists. Each
 * signature tells which module, slot and session made it. Nobody may ever meet another's session,
 * and in the end every module was started as often as stopped.
 *
 * P11_STORM_SEED makes another storm, P11_STORM_SECONDS a longer one.
 */
#define P11_KIT_NO_DEPRECATIONS 1
#include "core/core.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define N_THREADS 8
#define N_SESSIONS 6 /* at most, of one consumer */
#define N_PLACES 4
#define FIRST_ID 0x11

/* Where a session can be opened, in the order of the proxy's slots. */
static const struct place {
	const char *module; /* also the name of its file */
	CK_SLOT_ID slot;
} places[N_PLACES] = {{"chaos-a", 0}, {"chaos-a", 1}, {"chaos-b", 0}, {"chaos-2.40", 0}};

static unsigned seed = 1;
static unsigned long deadline;
static atomic_uint n_wrong;
static atomic_ulong n_signatures, n_lives;

#define expect(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			n_wrong++;                                                                 \
			print_error("%s:%d: seed %u: not so: %s\n", __FILE__, __LINE__, seed,      \
				    #condition);                                                   \
		}                                                                                  \
	} while (0)

struct session {
	CK_SESSION_HANDLE handle;
	unsigned place;
	uint64_t serial; /* that the module gave it; 0: it has not signed yet */
};

/* One thread's consumer, during one life. */
struct consumer {
	enum kind {
		PROXY,
		MANAGED,
		UNMANAGED,
		N_KINDS,
	} kind;
	unsigned random;
	CK_FUNCTION_LIST *lists[N_PLACES];
	CK_FUNCTION_LIST **modules; /* MANAGED: to be given back */
	struct session sessions[N_SESSIONS];
	unsigned n_sessions;
	CK_SESSION_HANDLE stale; /* of a session that was closed; 0: none */
	CK_FUNCTION_LIST *stale_list;
};

static unsigned
dice(struct consumer *consumer, unsigned n)
{
	return (unsigned)rand_r(&consumer->random) % n;
}

/* ---- coming ---- */

static void
come_by_proxy(struct consumer *consumer)
{
	CK_FUNCTION_LIST *list = core_list();

	expect(list->C_Initialize(NULL) == CKR_OK);
	if (dice(consumer, 4) == 0) { /* counted */
		expect(list->C_Initialize(NULL) == CKR_OK);
		expect(list->C_Finalize(NULL) == CKR_OK);
	}
	for (unsigned i = 0; i < N_PLACES; i++)
		consumer->lists[i] = list;
}

static void
come_managed(struct consumer *consumer)
{
	consumer->modules = p11_kit_modules_load_and_initialize(0);
	expect(consumer->modules != NULL);
	for (unsigned i = 0; i < N_PLACES; i++) {
		consumer->lists[i] = p11_kit_module_for_name(consumer->modules, places[i].module);
		expect(consumer->lists[i] != NULL);
	}
}

/* As GnuTLS 2 or a PAM module did it, which loaded the file itself. */
static void
come_unmanaged(struct consumer *consumer)
{
	for (unsigned i = 0; i < N_PLACES; i++) {
		consumer->lists[i] = chaos_list(places[i].module);
		expect(p11_kit_initialize_module(consumer->lists[i]) == CKR_OK);
	}
}

static void
come(struct consumer *consumer)
{
	consumer->n_sessions = 0;
	consumer->kind = dice(consumer, N_KINDS);
	if (consumer->kind == PROXY)
		come_by_proxy(consumer);
	else if (consumer->kind == MANAGED)
		come_managed(consumer);
	else
		come_unmanaged(consumer);
	n_lives++;
}

/* ---- working ---- */

static void
open_one(struct consumer *consumer)
{
	unsigned place = dice(consumer, N_PLACES);
	CK_SLOT_ID slot = consumer->kind == PROXY ? FIRST_ID + place : places[place].slot;
	struct session *session = &consumer->sessions[consumer->n_sessions];
	CK_RV rv = consumer->lists[place]->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL,
							 &session->handle);

	expect(rv == CKR_OK);
	if (rv != CKR_OK)
		return;
	session->place = place;
	session->serial = 0;
	consumer->n_sessions++;
}

/* The module, the slot and the session are those that the consumer means. */
static void
sign(struct consumer *consumer, struct session *session)
{
	const struct place *place = &places[session->place];
	struct chaos_signature signature;
	CK_RV rv = core_sign(consumer->lists[session->place], session->handle, &signature);

	expect(rv == CKR_OK);
	if (rv != CKR_OK)
		return;
	expect(signature.magic == CHAOS_SIGNATURE_MAGIC);
	expect(strcmp(signature.module, place->module) == 0);
	expect(signature.slot == place->slot);
	if (consumer->kind != PROXY)
		expect(signature.session == session->handle);
	if (session->serial == 0)
		session->serial = signature.serial;
	expect(signature.serial == session->serial);
	n_signatures++;
}

static void
check_info(struct consumer *consumer, struct session *session)
{
	CK_SLOT_ID slot = places[session->place].slot;
	CK_SESSION_INFO info = {0};

	if (consumer->kind == PROXY)
		slot = FIRST_ID + session->place;
	expect(consumer->lists[session->place]->C_GetSessionInfo(session->handle, &info) == CKR_OK);
	expect(info.slotID == slot);
}

static void
close_one(struct consumer *consumer, unsigned i)
{
	struct session *session = &consumer->sessions[i];
	CK_FUNCTION_LIST *list = consumer->lists[session->place];

	expect(list->C_CloseSession(session->handle) == CKR_OK);
	consumer->stale = session->handle;
	consumer->stale_list = list;
	*session = consumer->sessions[--consumer->n_sessions];
}

/* A proxy's handle is never used again. Of a managed module's only closing is promised to fail, and
 * only while it is not our own again. */
static void
use_stale(struct consumer *consumer)
{
	struct chaos_signature signature;

	for (unsigned i = 0; i < consumer->n_sessions; i++) {
		if (consumer->sessions[i].handle == consumer->stale)
			return;
	}
	if (consumer->stale == 0 || consumer->kind == UNMANAGED)
		return;
	if (consumer->kind == PROXY)
		expect(core_sign(consumer->stale_list, consumer->stale, &signature) ==
		       CKR_SESSION_HANDLE_INVALID);
	expect(consumer->stale_list->C_CloseSession(consumer->stale) == CKR_SESSION_HANDLE_INVALID);
}

static void
close_all_of_one_place(struct consumer *consumer)
{
	unsigned place = dice(consumer, N_PLACES);
	CK_SLOT_ID slot = consumer->kind == PROXY ? FIRST_ID + place : places[place].slot;

	if (consumer->kind == UNMANAGED) /* it would close everybody's */
		return;
	expect(consumer->lists[place]->C_CloseAllSessions(slot) == CKR_OK);
	for (unsigned i = consumer->n_sessions; i > 0; i--) {
		if (consumer->sessions[i - 1].place == place)
			consumer->sessions[i - 1] = consumer->sessions[--consumer->n_sessions];
	}
}

static void
work(struct consumer *consumer)
{
	unsigned what = dice(consumer, 20);
	unsigned i = consumer->n_sessions ? dice(consumer, consumer->n_sessions) : 0;

	if (consumer->n_sessions == 0 || (what < 3 && consumer->n_sessions < N_SESSIONS))
		open_one(consumer);
	else if (what < 5)
		close_one(consumer, i);
	else if (what == 5)
		close_all_of_one_place(consumer);
	else if (what == 6)
		use_stale(consumer);
	else if (what == 7)
		check_info(consumer, &consumer->sessions[i]);
	else
		sign(consumer, &consumer->sessions[i]);
}

/* ---- going ---- */

static void
go(struct consumer *consumer)
{
	bool tidy = consumer->kind == UNMANAGED || dice(consumer, 2);

	while (tidy && consumer->n_sessions > 0)
		close_one(consumer, 0);
	if (consumer->kind == PROXY) {
		expect(consumer->lists[0]->C_Finalize(NULL) == CKR_OK);
	} else if (consumer->kind == MANAGED && dice(consumer, 2)) {
		p11_kit_modules_finalize_and_release(consumer->modules);
	} else if (consumer->kind == MANAGED) {
		p11_kit_modules_release(consumer->modules);
	} else {
		for (unsigned i = 0; i < N_PLACES; i++)
			expect(p11_kit_finalize_module(consumer->lists[i]) == CKR_OK);
	}
	consumer->stale = 0;
}

/* In every second quarter of a second it is calm: there is often nobody, and modules go down. */
static void
rest(void)
{
	if (support_ms() / 250 % 2)
		support_pause_ms(1);
}

static void
live(void *ignored, unsigned i)
{
	struct consumer consumer = {.random = seed * N_THREADS + i};

	(void)ignored;
	while (support_ms() < deadline && n_wrong == 0) {
		come(&consumer);
		for (unsigned n = dice(&consumer, 200); n > 0 && n_wrong == 0; n--)
			work(&consumer);
		go(&consumer);
		rest();
	}
}

static unsigned
from_environment(const char *name, unsigned fallback)
{
	const char *text = getenv(name);

	return text ? (unsigned)strtoul(text, NULL, 10) : fallback;
}

static void
test_storm(void **state)
{
	(void)state;
	static const char *const files[] = {"chaos-a", "chaos-b", "chaos-2.40"};
	static const enum chaos_handles handles[] = {CHAOS_HANDLES_COUNT, CHAOS_HANDLES_REUSE,
						     CHAOS_HANDLES_HEAP};
	struct scene *scene = scene_new();
	struct chaos *chaos[3];

	for (unsigned i = 0; i < 3; i++) {
		chaos[i] = scene_chaos(scene, files[i], files[i], i == 0 ? "priority: 2" : NULL);
		chaos[i]->handles = handles[i];
	}
	scene_chaos(scene, "chaos-b", "chaos-b", "priority: 1");
	chaos[0]->slots(2);
	scene_use(scene, NULL);

	/* The first listing numbers the slots. */
	CK_FUNCTION_LIST *list = core_consumer();
	assert_int_equal(core_slot(list, N_PLACES - 1), FIRST_ID + N_PLACES - 1);
	assert_ok(list->C_Finalize(NULL));

	seed = from_environment("P11_STORM_SEED", seed);
	deadline = support_ms() + 1000ul * from_environment("P11_STORM_SECONDS", 4);
	crew_join(crew_start(N_THREADS, live, NULL));
	print_message("seed %u: %lu lives, %lu signatures\n", seed, (unsigned long)n_lives,
		      (unsigned long)n_signatures);
	assert_int_equal(n_wrong, 0);
	assert_true(n_lives > N_THREADS);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(chaos[i]->initialized > 0);
		assert_int_equal(chaos[i]->undercut, 0);
		assert_true(chaos_is_exact(chaos[i]));
		print_message("%s: %lu times up\n", files[i], (unsigned long)chaos[i]->initialized);
	}
	scene_free(scene);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
