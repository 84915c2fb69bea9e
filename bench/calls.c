/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What stands between a consumer and a module: the same loop over the module's own list, the
 * proxy's and a managed one, in turns, so that a machine which changes its speed changes it for
 * all.
 */
#include "bench/lanes.h"
#include "bench/measures.h"
#include "bench/null-module.h"
#include "bench/party.h"

#include <math.h>
#include <stddef.h>

#define ROUNDS 25
#define ROUND_US 600

enum way { DIRECT, PROXIED, MANAGED, N_WAYS };

static const char *const way_names[N_WAYS] = {"direct", "proxied", "managed"};

struct subject {
	const char *name;
	bench_loop *loop;
};

static CK_RV
loop_session_info(struct bench_lane *lane, unsigned long n)
{
	CK_RV rv = CKR_OK;
	CK_SESSION_INFO info;
	while (n--)
		rv |= lane->list->C_GetSessionInfo(lane->session, &info);
	return rv;
}

static CK_RV
loop_sign(struct bench_lane *lane, unsigned long n)
{
	CK_RV rv = CKR_OK;
	CK_BYTE data[32] = {0};
	CK_BYTE signature[256];
	while (n--) {
		CK_ULONG size = sizeof(signature);
		rv |= lane->list->C_Sign(lane->session, data, sizeof(data), signature, &size);
	}
	return rv;
}

static CK_RV
loop_attribute(struct bench_lane *lane, unsigned long n)
{
	CK_RV rv = CKR_OK;
	CK_BYTE value[64];
	while (n--) {
		CK_ATTRIBUTE attribute = {CKA_LABEL, value, sizeof(value)};
		rv |= lane->list->C_GetAttributeValue(lane->session, 1, &attribute, 1);
	}
	return rv;
}

static CK_RV
loop_open_close(struct bench_lane *lane, unsigned long n)
{
	CK_RV rv = CKR_OK;
	while (n--) {
		CK_SESSION_HANDLE session = 0;
		CK_FUNCTION_LIST *list = lane->list;
		rv |= list->C_OpenSession(lane->slot, CKF_SERIAL_SESSION, NULL, NULL, &session);
		rv |= list->C_CloseSession(session);
	}
	return rv;
}

static const struct subject call_subjects[] = {
	{"C_GetSessionInfo", loop_session_info},
	{"C_Sign", loop_sign},
	{"C_GetAttributeValue", loop_attribute},
	{NULL, NULL},
};

static const struct subject session_subjects[] = {
	{"open-close", loop_open_close},
	{NULL, NULL},
};

/* Two lanes for each way, on the way's last slot, with a session each. */
static void
prepare(struct bench_lane lanes[N_WAYS][BENCH_MAX_LANES], const char *library_path,
	const char *config, const char *module_path, unsigned long n_slots)
{
	void *module = bench_open(module_path);
	void (*set_slots)(unsigned long) = bench_symbol(module, "null_module_set_slots");
	set_slots(n_slots);
	void *library = bench_open_library(library_path, config);
	CK_FUNCTION_LIST *lists[N_WAYS] = {
		[DIRECT] = bench_functions(module),
		[PROXIED] = bench_functions(library),
		[MANAGED] = bench_managed(library),
	};
	bench_expect_ok(lists[PROXIED]->C_Initialize(NULL), "the proxy's C_Initialize");
	for (unsigned way = 0; way < N_WAYS; way++) {
		CK_SLOT_ID slot = bench_last_slot(lists[way]);
		for (unsigned i = 0; i < BENCH_MAX_LANES; i++) {
			lanes[way][i].list = lists[way];
			lanes[way][i].slot = slot;
			lanes[way][i].session = bench_open_session(lists[way], slot);
		}
	}
}

static void
measure(const struct subject *subject, struct bench_lane lanes[N_WAYS][BENCH_MAX_LANES])
{
	double least[N_WAYS][BENCH_MAX_LANES];
	unsigned long turns[N_WAYS];
	for (unsigned way = 0; way < N_WAYS; way++) {
		turns[way] = bench_turns(subject->loop, lanes[way], ROUND_US);
		for (unsigned n = 0; n < BENCH_MAX_LANES; n++)
			least[way][n] = HUGE_VAL;
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned n = 0; n < BENCH_MAX_LANES; n++) {
			for (unsigned way = 0; way < N_WAYS; way++) {
				double ns =
					bench_round(subject->loop, lanes[way], n + 1, turns[way]);
				least[way][n] = fmin(least[way][n], ns);
			}
		}
	}
	for (unsigned way = 0; way < N_WAYS; way++) {
		for (unsigned n = 0; n < BENCH_MAX_LANES; n++)
			bench_report(least[way][n], "%s.%s.%u", subject->name, way_names[way],
				     n + 1);
	}
}

/* Whether the managed entries are the module's own functions: then nothing can have been added. */
static void
report_identity(CK_FUNCTION_LIST *direct, CK_FUNCTION_LIST *managed)
{
	bench_report(managed->C_GetSessionInfo == direct->C_GetSessionInfo,
		     "C_GetSessionInfo.identical");
	bench_report(managed->C_Sign == direct->C_Sign, "C_Sign.identical");
	bench_report(managed->C_GetAttributeValue == direct->C_GetAttributeValue,
		     "C_GetAttributeValue.identical");
}

static void
measure_all(const struct subject *subject, const char *library, const char *config,
	    const char *module, unsigned long n_slots)
{
	struct bench_lane lanes[N_WAYS][BENCH_MAX_LANES];
	bench_pin(0);
	bench_start_bystander();
	prepare(lanes, library, config, module, n_slots);
	for (; subject->name; subject++)
		measure(subject, lanes);
	report_identity(lanes[DIRECT][0].list, lanes[MANAGED][0].list);
}

void
bench_calls(const char *library, const char *config, const char *module, unsigned long n_slots)
{
	measure_all(call_subjects, library, config, module, n_slots);
}

void
bench_sessions(const char *library, const char *config, const char *module, unsigned long n_slots)
{
	measure_all(session_subjects, library, config, module, n_slots);
}
