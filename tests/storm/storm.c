/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A storm: consumers of every kind come and go in threads, sign, and fork, while two of their three
 * modules fail, sleep, hang, lose and regain slots, and are finalized by strangers. The third
 * module is well all the time, and whoever uses it must notice nothing. At the end every count is
 * exact, and neither memory nor descriptors have grown.
 *
 *	storm [SECONDS [SEED]]
 *
 * What happens follows from the seed, but for the order in which threads come; it is printed when
 * something is wrong.
 */
#define P11_KIT_NO_DEPRECATIONS
#include "core/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_THREADS 6
#define MAX_SLOTS_EACH 6
#define MAX_LISTED 4096
#define N_SIGNATURES 8
#define CHILD_SECONDS 60

/* Growth in KiB and descriptors that is no leak: allocators keep what they had at the worst
 * moment. */
#define GROWTH_KIB 4096

static struct scene *scene;
static struct chaos *sick[2], *well;
static CK_FUNCTION_LIST *sick_list, *well_list; /* the modules' own, of sick[0] and the well one */
static unsigned long seed;
static atomic_bool is_over;
static atomic_ulong n_consumers, n_signatures, n_faults, n_children;

_Noreturn static void
complain(const char *what, unsigned long code, int line)
{
	fprintf(stderr, "storm.c:%d: %s: %#lx; run again with: storm SECONDS %lu\n", line, what,
		code, seed);
	_exit(1);
}

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			complain(#condition, 0, __LINE__);                                         \
	} while (0)
#define MUST_RV(call, expected)                                                                    \
	do {                                                                                       \
		CK_RV must_rv = (call);                                                            \
		if (must_rv != (expected))                                                         \
			complain(#call, must_rv, __LINE__);                                        \
	} while (0)

/* xorshift64*: one for each thread. */
struct dice {
	uint64_t state;
};

static unsigned
roll(struct dice *dice, unsigned n)
{
	dice->state ^= dice->state >> 12;
	dice->state ^= dice->state << 25;
	dice->state ^= dice->state >> 27;
	return (unsigned)((dice->state * 0x2545F4914F6CDD1Du) >> 33) % n;
}

static struct dice
dice_of(unsigned number)
{
	return (struct dice){(seed + 1) * 0x9E3779B97F4A7C15u + number * 0xD1B54A32D192ED03u + 1};
}

/* ---- what consumers do ---- */

/* Whose slot it is, by the token's label; NULL where the module does not say. */
static const char *
module_of_slot(CK_FUNCTION_LIST *list, CK_SLOT_ID slot, char name[33])
{
	CK_TOKEN_INFO info;

	if (CORE_ENTRY(list, C_GetTokenInfo)(slot, &info) != CKR_OK)
		return NULL;
	memcpy(name, info.label, 32);
	name[strcspn(name, " ")] = '\0';
	return name;
}

/* A session of the well module signs as it should, whatever happens around it. */
static void
sign_well(CK_FUNCTION_LIST *list, CK_SLOT_ID slot, struct dice *dice)
{
	struct chaos_signature first, signature;
	CK_SESSION_INFO info;
	CK_SESSION_HANDLE session;

	MUST_RV(CORE_ENTRY(list, C_OpenSession)(slot, CKF_SERIAL_SESSION, NULL, NULL, &session),
		CKR_OK);
	MUST_RV(core_sign(list, session, &first), CKR_OK);
	MUST(strcmp(first.module, well->name) == 0);
	for (unsigned n = roll(dice, N_SIGNATURES); n > 0; n--) {
		MUST_RV(core_sign(list, session, &signature), CKR_OK);
		MUST(signature.serial == first.serial);
		n_signatures++;
	}
	MUST_RV(CORE_ENTRY(list, C_GetSessionInfo)(session, &info), CKR_OK);
	MUST(info.slotID == slot);
	MUST_RV(CORE_ENTRY(list, C_CloseSession)(session), CKR_OK);
}

/* A session of a sick one: it answers what it likes, but never with another session's work. */
static void
sign_sick(CK_FUNCTION_LIST *list, CK_SLOT_ID slot, const char *name, bool closes)
{
	struct chaos_signature signature;
	CK_SESSION_HANDLE session;

	if (CORE_ENTRY(list, C_OpenSession)(slot, CKF_SERIAL_SESSION, NULL, NULL, &session) !=
	    CKR_OK)
		return;
	if (core_sign(list, session, &signature) == CKR_OK && signature.magic)
		MUST(strcmp(signature.module, name) == 0);
	if (closes)
		(void)CORE_ENTRY(list, C_CloseSession)(session);
}

/* Lists, and signs on some slots. `shows_well`: the well module's slot must be among them. */
static void
work(CK_FUNCTION_LIST *list, struct dice *dice, bool shows_well, bool closes)
{
	CK_SLOT_ID slots[MAX_LISTED];
	CK_ULONG n = MAX_LISTED;
	bool seen = false;
	char name[33];

	CK_RV rv = CORE_ENTRY(list, C_GetSlotList)(roll(dice, 2) ? CK_TRUE : CK_FALSE, slots, &n);
	if (shows_well)
		MUST_RV(rv, CKR_OK);
	for (CK_ULONG i = 0; rv == CKR_OK && i < n && i < MAX_LISTED; i++) {
		const char *module = module_of_slot(list, slots[i], name);
		bool is_well = module && strcmp(module, well->name) == 0;

		seen |= is_well;
		if (is_well)
			sign_well(list, slots[i], dice);
		else if (module && roll(dice, 3) == 0)
			sign_sick(list, slots[i], module, closes);
	}
	if (shows_well)
		MUST(seen);
	if (roll(dice, 4) == 0)
		(void)CORE_ENTRY(list, C_WaitForSlotEvent)(CKF_DONT_BLOCK, &slots[0], NULL);
	if (n > 0 && roll(dice, 3) == 0)
		(void)CORE_ENTRY(list, C_CloseAllSessions)(
			slots[roll(dice, (unsigned)(n < MAX_LISTED ? n : MAX_LISTED))]);
}

static void
be_proxy_consumer(struct dice *dice)
{
	CK_FUNCTION_LIST *list = core_list();

	MUST_RV(list->C_Initialize(NULL), CKR_OK);
	for (unsigned n = 1 + roll(dice, 3); n > 0; n--)
		work(list, dice, true, roll(dice, 2));
	MUST_RV(list->C_Finalize(NULL), CKR_OK);
}

static void
be_managed_consumer(struct dice *dice)
{
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);

	MUST(modules != NULL);
	for (size_t i = 0; modules[i]; i++) {
		char *name = p11_kit_module_get_name(modules[i]);
		bool is_well = strcmp(name, "well") == 0;
		CK_RV rv = CORE_ENTRY(modules[i], C_Initialize)(NULL);

		free(name);
		if (is_well)
			MUST_RV(rv, CKR_OK);
		if (rv != CKR_OK)
			continue;
		work(modules[i], dice, is_well, roll(dice, 2));
		rv = CORE_ENTRY(modules[i], C_Finalize)(NULL);
		if (is_well)
			MUST_RV(rv, CKR_OK);
	}
	p11_kit_modules_release(modules);
}

/* It has the module's own table, so it closes its sessions itself, and bears what it gets. */
static void
be_unmanaged_consumer(struct dice *dice)
{
	bool is_well = roll(dice, 2);
	CK_FUNCTION_LIST *module = is_well ? well_list : sick_list;
	CK_RV rv = p11_kit_initialize_module(module);

	if (is_well)
		MUST_RV(rv, CKR_OK);
	if (rv != CKR_OK)
		return;
	if (is_well)
		sign_well(module, 0, dice);
	rv = p11_kit_finalize_module(module);
	if (is_well)
		MUST_RV(rv, CKR_OK);
}

/* ---- children ---- */

/* A child knows nobody: all is down, and it can start anew, whatever the parent's threads were
 * at. */
static int
be_child(void *data)
{
	struct dice *dice = data;
	CK_SLOT_ID slots[MAX_LISTED];
	CK_ULONG n = MAX_LISTED;

	sick[0]->reset();
	sick[1]->reset();
	CK_FUNCTION_LIST *list = core_list();
	MUST_RV(CORE_ENTRY(list, C_GetSlotList)(CK_FALSE, slots, &n), CKR_CRYPTOKI_NOT_INITIALIZED);
	MUST_RV(list->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	be_proxy_consumer(dice);
	be_managed_consumer(dice);
	return 0;
}

static void
have_child(struct dice *dice)
{
	int code = child_run(be_child, dice, CHILD_SECONDS);

	n_children++;
	if (code != 0)
		complain("a child failed, died (256 + signal) or hung (512)", (unsigned long)code,
			 __LINE__);
}

/* ---- the weather ---- */

static struct chaos_fault
some_fault(struct dice *dice)
{
	static const CK_RV codes[] = {CKR_DEVICE_ERROR, CKR_GENERAL_ERROR, CKR_HOST_MEMORY,
				      CKR_FUNCTION_FAILED, CKR_SESSION_HANDLE_INVALID};
	/* Few different ones: the chaos module keeps each that it was ever given. */
	struct chaos_fault fault = {.skip = roll(dice, 3), .times = roll(dice, 2) ? 1 : 20};

	switch (roll(dice, 6)) {
	case 0:
		fault.sleep_ms = roll(dice, 2) ? 1 : 20;
		break;
	case 1:
		fault.hang = true;
		fault.times = 1;
		break;
	case 2:
		fault.drop = true;
		fault.times = 1;
		break;
	case 3:
		fault.late = true;
		fault.rv = codes[roll(dice, 5)];
		break;
	case 4:
		fault.over = roll(dice, 2) ? 1 : 1000;
		break;
	default:
		fault.rv = codes[roll(dice, 5)];
	}
	return fault;
}

static void
make_weather(struct chaos *module, struct dice *dice)
{
	static const enum chaos_call calls[] = {
		CHAOS_C_Initialize,   CHAOS_C_GetSlotList,      CHAOS_C_GetSlotInfo,
		CHAOS_C_GetTokenInfo, CHAOS_C_OpenSession,      CHAOS_C_CloseSession,
		CHAOS_C_Sign,         CHAOS_C_WaitForSlotEvent, CHAOS_ANY,
	};
	enum chaos_call call = calls[roll(dice, sizeof calls / sizeof calls[0])];
	struct chaos_fault fault = some_fault(dice);

	/* A module that loses itself inside its own C_Initialize, or is up though that failed, is
	 * beyond what counts can say; so is one that refuses C_Finalize: an empty fault of their own
	 * keeps CHAOS_ANY from these two. core/test-failing.c has such faults. */
	if (call == CHAOS_C_Initialize)
		fault.drop = fault.late = false;
	if (call == CHAOS_ANY) {
		module->fault(CHAOS_C_Initialize, &(struct chaos_fault){0});
		module->fault(CHAOS_C_Finalize, &(struct chaos_fault){0});
	}
	module->fault(call, &fault);
	n_faults++;
	if (roll(dice, 4) == 0)
		module->plug(roll(dice, MAX_SLOTS_EACH), roll(dice, 2));
	if (roll(dice, 4) == 0)
		module->token(roll(dice, MAX_SLOTS_EACH), roll(dice, 2));
	module->list = roll(dice, 4);
	module->handles = roll(dice, 3);
	support_pause_ms(1 + roll(dice, 10));
	module->fault(call, NULL);
	module->release();
	if (roll(dice, 4) == 0)
		module->slots(MAX_SLOTS_EACH); /* lists that grow would do so without end */
}

static void
be_weather(void *data, unsigned i)
{
	struct dice dice = dice_of(1000 + i);

	(void)data;
	while (!is_over)
		make_weather(sick[i], &dice);
	sick[i]->fault(CHAOS_ANY, NULL);
	/* Who hangs by a fault that was set last gets out. */
	for (int n = 0; n < 100; n++) {
		sick[i]->release();
		support_pause_ms(10);
	}
}

static void
be_consumers(void *data, unsigned i)
{
	struct dice dice = dice_of(i);

	(void)data;
	while (!is_over) {
		n_consumers++;
		switch (roll(&dice, 8)) {
		case 0:
			if (SUPPORT_FORKS_WHILE_BUSY && i == 0)
				have_child(&dice);
			break;
		case 1:
		case 2:
			be_managed_consumer(&dice);
			break;
		case 3:
			be_unmanaged_consumer(&dice);
			break;
		default:
			be_proxy_consumer(&dice);
		}
	}
}

/* ---- the whole ---- */

static void
prepare(void)
{
	scene = scene_new();
	sick[0] = scene_chaos(scene, "sick-a", "chaos-a", NULL);
	sick[1] = scene_chaos(scene, "sick-b", "chaos-b", NULL);
	well = scene_chaos(scene, "well", "chaos-c", NULL);
	sick[0]->slots(MAX_SLOTS_EACH);
	sick[1]->slots(2);
	sick_list = chaos_list("chaos-a");
	well_list = chaos_list("chaos-c");
	scene_use(scene, NULL);
}

/* After the storm every module is finalized as often as it was initialized. */
static void
check_counts(void)
{
	MUST(chaos_is_exact(well));
	for (int i = 0; i < 2; i++) {
		MUST(sick[i]->up == 0);
		MUST(sick[i]->overlaps == 0);
	}
	MUST(n_signatures > 0 && n_faults > 0 && (!SUPPORT_FORKS_WHILE_BUSY || n_children > 0));
}

static void
rage(unsigned seconds)
{
	struct crew *weather = crew_start(2, be_weather, NULL);
	struct crew *consumers = crew_start(N_THREADS, be_consumers, NULL);
	unsigned warm_up = seconds / 4 < 60 ? seconds / 4 : 60;

	sleep(warm_up);
	unsigned long before = support_resident_kib();
	sleep(seconds - warm_up);
	unsigned long after = support_resident_kib();
	is_over = true;
	crew_join(weather);
	crew_join(consumers);
	printf("resident: %lu KiB after %u s, %lu KiB after %u s\n", before, warm_up, after,
	       seconds);
	if (!SUPPORT_ASAN && !SUPPORT_TSAN && after > before + GROWTH_KIB)
		complain("memory has grown, KiB", after - before, __LINE__);
}

int
main(int argc, char **argv)
{
	unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 60;

	seed = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
	prepare();
	unsigned descriptors = support_n_descriptors();
	rage(seconds);
	check_counts();
	MUST(support_n_descriptors() == descriptors);
	printf("%lu consumers, %lu children, %lu signatures, %lu faults\n",
	       (unsigned long)n_consumers, (unsigned long)n_children, (unsigned long)n_signatures,
	       (unsigned long)n_faults);
	scene_free(scene);
	return 0;
}
