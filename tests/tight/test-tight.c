/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library in a build that tries to break itself (meson.build): the pool has two contexts, so
 * consumers share function tables all the time, or get none; the table of sessions has room for 28,
 * and a handle is another session's again after three uses. The modules do their part: inside each
 * call they use us, as a consumer that comes, opens a session, signs and goes; and inside these
 * calls once more.
 */
#define P11_KIT_NO_DEPRECATIONS 1
#include "core/core.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define N_THREADS 6
#define N_LIVES (SUPPORT_TSAN || SUPPORT_ASAN ? 3 : 12)
#define MAX_DEPTH 2  /* callbacks inside each other */
#define N_ENTRIES 28 /* 8 pages of 4, of which the last stays unused */

enum kind {
	PROXY,
	MANAGED,
	UNMANAGED,
	CONFIGURED, /* loads all modules, and lets them go */
	N_KINDS,
};

#define N_FILES 2u
static const char *const files[N_FILES] = {"chaos-a", "chaos-b"};

static struct chaos *chaos[N_FILES];
static CK_FUNCTION_LIST *plain[N_FILES]; /* the modules' own */

static unsigned kinds;  /* that take part: bits 1 << kind */
static bool is_crowded; /* several threads do */
static atomic_ulong n_lives, n_refused, n_visits, n_signatures, n_strayed;

static _Thread_local unsigned depth, random_state;

static unsigned
dice(unsigned n)
{
	return (unsigned)rand_r(&random_state) % n;
}

/* ---- a session ---- */

/* Where a session is opened, and what its signatures must say. */
struct place {
	CK_FUNCTION_LIST *list;
	CK_SLOT_ID slot;
	const char *module;    /* NULL: any */
	bool may_be_confusing; /* see stray() */
};

/*
 * Two bits of generation cannot tell a session from the third one after it. So where a thread is
 * interrupted in the midst of looking for a session of the proxy, it may come out at another one:
 * now and then, and only if there are several threads.
 */
static void
stray(const struct place *place)
{
	if (place->may_be_confusing && is_crowded)
		n_strayed++;
	else
		core_expect(!"the session is another one");
}

/* The serial number of the session that signs; 0: it is not the right one. */
static uint64_t
sign(const struct place *place, CK_SESSION_HANDLE session)
{
	struct chaos_signature signature;
	CK_RV rv = core_sign(place->list, session, &signature);

	n_signatures++;
	if (rv == CKR_OK && (!place->module || strcmp(signature.module, place->module) == 0))
		return signature.serial;
	core_expect(rv == CKR_OK || rv == CKR_SESSION_HANDLE_INVALID);
	stray(place);
	return 0;
}

static void
use_session(const struct place *place)
{
	CK_SESSION_HANDLE session = 0;
	CK_RV rv =
		place->list->C_OpenSession(place->slot, CKF_SERIAL_SESSION, NULL, NULL, &session);

	/* There is no room for it, or its module is just starting or stopping. */
	if (place->may_be_confusing && (rv == CKR_HOST_MEMORY || rv == CKR_DEVICE_ERROR))
		return;
	core_expect(rv == CKR_OK);
	if (rv != CKR_OK)
		return;
	uint64_t serial = sign(place, session), again = sign(place, session);
	if (serial != again)
		stray(place);
	rv = place->list->C_CloseSession(session);
	if (rv == CKR_SESSION_HANDLE_INVALID)
		stray(place);
	else
		core_expect(rv == CKR_OK);
}

/* ---- consumers, each with one life ---- */

static void
live_by_proxy(void)
{
	CK_SLOT_ID ids[CORE_MAX_SLOTS], event;
	CK_C_GetFunctionList look_up;
	CK_ULONG n = CORE_MAX_SLOTS;
	CK_FUNCTION_LIST *list;

	*(void **)&look_up = dlsym(core_proxy(), "C_GetFunctionList");
	CK_RV rv = look_up(&list);
	if (rv == CKR_HOST_MEMORY && kinds & 1u << MANAGED) { /* both tables are managed ones */
		n_refused++;
		return;
	}
	core_expect(rv == CKR_OK);
	core_expect(list->C_Initialize(NULL) == CKR_OK);
	core_expect(list->C_GetSlotList(CK_FALSE, ids, &n) == CKR_OK);
	if (n > 0)
		use_session(&(struct place){list, ids[dice((unsigned)n)], NULL, true});
	rv = list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &event, NULL);
	core_expect(rv == CKR_OK || rv == CKR_NO_EVENT);
	core_expect(list->C_Finalize(NULL) == CKR_OK);
}

/* Inside a module's C_Initialize or C_Finalize nobody is waited for. */
static bool
is_up(CK_RV rv)
{
	core_expect(rv == CKR_OK || (rv == CKR_FUNCTION_FAILED && depth > 0));
	return rv == CKR_OK;
}

static void
live_managed(unsigned i)
{
	CK_FUNCTION_LIST *list = p11_kit_module_load(chaos_path(files[i]), 0);

	if (!list) {
		core_expect(core_message_has("no function table is free"));
		n_refused++;
		return;
	}
	if (is_up(list->C_Initialize(NULL))) {
		use_session(&(struct place){list, 0, files[i], false});
		if (dice(3)) /* else the release does it, if nobody else has the table */
			core_expect(list->C_Finalize(NULL) == CKR_OK);
	}
	p11_kit_module_release(list);
}

static void
live_unmanaged(unsigned i)
{
	if (!is_up(p11_kit_initialize_module(plain[i])))
		return;
	use_session(&(struct place){plain[i], 0, files[i], false});
	core_expect(p11_kit_finalize_module(plain[i]) == CKR_OK);
}

static void
live(void)
{
	enum kind kind;

	do
		kind = (enum kind)dice(N_KINDS);
	while (!(kinds & 1u << kind));
	n_lives++;
	switch (kind) {
	case PROXY:
		live_by_proxy();
		break;
	case MANAGED:
		live_managed(dice(N_FILES));
		break;
	case UNMANAGED:
		live_unmanaged(dice(N_FILES));
		break;
	default:
		p11_kit_modules_release(p11_kit_modules_load(NULL, 0));
	}
}

/* ---- the modules ---- */

static unsigned long
reenter(struct chaos *self, const struct chaos_visit *visit, void *data)
{
	(void)self, (void)visit, (void)data;
	if (depth >= MAX_DEPTH)
		return CKR_OK;
	n_visits++;
	depth++;
	live();
	depth--;
	return CKR_OK;
}

static void
begin(unsigned which_kinds, bool crowded)
{
	struct scene *scene = core_scene();

	kinds = which_kinds;
	is_crowded = crowded;
	for (unsigned i = 0; i < N_FILES; i++) {
		chaos[i] = scene_chaos(scene, files[i], files[i], NULL);
		plain[i] = chaos_list(files[i]);
		chaos[i]->fault(CHAOS_ANY, &(struct chaos_fault){.callback = reenter});
	}
	chaos[1]->handles = CHAOS_HANDLES_REUSE;
	scene_use(scene, NULL);
	/* Else it would prove nothing. */
	Dl_info info;
	core_expect(dladdr(dlsym(RTLD_DEFAULT, "p11_kit_message"), &info) &&
		    strstr(info.dli_fname, "tight"));
}

/* All that consumers had they have given back: there are as many sessions as there can be. */
static void
assert_table_is_whole(void)
{
	CK_FUNCTION_LIST *list = core_consumer();
	CK_SLOT_ID slot = core_slot(list, 0);
	CK_SESSION_HANDLE session;

	for (unsigned i = 0; i < N_ENTRIES; i++)
		assert_true(core_open(list, slot) != 0);
	assert_rv(list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session),
		  CKR_HOST_MEMORY);
	assert_ok(list->C_Finalize(NULL));
}

static void
end(void)
{
	for (unsigned i = 0; i < N_FILES; i++)
		chaos[i]->fault(CHAOS_ANY, NULL);
	print_message("%lu lives, %lu of them refused; %lu calls from inside; %lu signatures, %lu "
		      "strayed\n",
		      (unsigned long)n_lives, (unsigned long)n_refused, (unsigned long)n_visits,
		      (unsigned long)n_signatures, (unsigned long)n_strayed);
	assert_int_equal(core_n_wrong, 0);
	assert_true(n_visits > 0 && n_signatures > 0);
	assert_true(n_strayed * 50 <= n_signatures);
	if (kinds & 1u << PROXY && !(kinds & 1u << MANAGED))
		assert_table_is_whole();
	for (unsigned i = 0; i < N_FILES; i++) {
		assert_true(chaos[i]->initialized > 0);
		assert_int_equal(chaos[i]->undercut, 0);
		if (n_strayed > 0)
			chaos[i]->bad_sessions = 0;
		assert_true(chaos_is_exact(chaos[i]));
	}
}

/* ---- tests ---- */

#define ALL_KINDS (1u << PROXY | 1u << MANAGED | 1u << UNMANAGED | 1u << CONFIGURED)

static void
live_again_and_again(void *data, unsigned i)
{
	(void)data;
	random_state = i + 1;
	for (int n = 0; n < N_LIVES && core_n_wrong == 0; n++)
		live();
}

/* Where nobody can be interrupted, nobody is led astray, however often a handle is used again. */
static void
test_alone(void **state)
{
	(void)state;
	begin(ALL_KINDS, false);
	for (unsigned i = 0; i < N_THREADS; i++)
		live_again_and_again(NULL, i);
	end();
}

static void
storm_of(unsigned which_kinds)
{
	begin(which_kinds, true);
	crew_join(crew_start(N_THREADS, live_again_and_again, NULL));
	end();
}

static void
test_consumers_of_the_proxy(void **state)
{
	(void)state;
	storm_of(1u << PROXY | 1u << UNMANAGED);
}

static void
test_managed_consumers(void **state)
{
	(void)state;
	storm_of(1u << MANAGED | 1u << UNMANAGED | 1u << CONFIGURED);
}

static void
test_all_kinds(void **state)
{
	(void)state;
	storm_of(ALL_KINDS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		core_unit_test(test_alone),
		core_unit_test(test_consumers_of_the_proxy),
		core_unit_test(test_managed_consumers),
		core_unit_test(test_all_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
