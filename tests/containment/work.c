/* SPDX-License-Identifier: BSD-3-Clause */
/* What a healthy consumer does again and again: its answers must stay the same, and none may be
 * late. */
#include "containment.h"

#include <string.h>

const char *const step_names[N_STEPS] = {
	"C_GetSlotList (count)", "C_GetSlotList", "C_GetTokenInfo",   "C_OpenSession",
	"C_DigestInit",          "C_Digest",      "C_GetSessionInfo", "C_CloseSession",
};

static void
keep(struct answer *answer, const void *bytes, size_t n)
{
	if (answer->n_bytes + n > sizeof answer->bytes)
		support_die("an answer is larger than %zu bytes", sizeof answer->bytes);
	memcpy(answer->bytes + answer->n_bytes, bytes, n);
	answer->n_bytes += n;
}

/* One call of the list: what it answers and how long that takes. */
#define TIMED(answer, call)                                                                        \
	do {                                                                                       \
		unsigned long start_ms = support_ms();                                             \
		(answer)->rv = (call);                                                             \
		(answer)->ms = support_ms() - start_ms;                                            \
	} while (0)

/* Which of its own slots are there, in their order; what others have is nothing to it. */
static void
list_slots(const struct worker *worker, struct work *out)
{
	static _Thread_local CK_SLOT_ID ids[MAX_SLOTS];
	CK_FUNCTION_LIST_3_2 *list = worker->consumer.list;
	CK_ULONG n = 0;

	TIMED(&out->steps[STEP_COUNT_SLOTS], list->C_GetSlotList(CK_TRUE, NULL, &n));
	CK_BBOOL counted = n >= worker->n_own;
	keep(&out->steps[STEP_COUNT_SLOTS], &counted, sizeof counted);

	struct answer *answer = &out->steps[STEP_LIST_SLOTS];
	if (n > MAX_SLOTS)
		n = MAX_SLOTS;
	TIMED(answer, list->C_GetSlotList(CK_TRUE, ids, &n));
	for (CK_ULONG i = 0; answer->rv == CKR_OK && i < n; i++) {
		for (CK_ULONG j = 0; j < worker->n_own; j++) {
			if (ids[i] == worker->own[j])
				keep(answer, &ids[i], sizeof ids[i]);
		}
	}
}

/* But for what changes by itself: the time, and how many sessions there are. */
static void
ask_token(const struct worker *worker, struct work *out)
{
	CK_TOKEN_INFO info = {0};
	struct answer *answer = &out->steps[STEP_TOKEN_INFO];

	TIMED(answer, worker->consumer.list->C_GetTokenInfo(worker->slot, &info));
	keep(answer, info.label, sizeof info.label);
	keep(answer, info.manufacturerID, sizeof info.manufacturerID);
	keep(answer, info.model, sizeof info.model);
	keep(answer, info.serialNumber, sizeof info.serialNumber);
	keep(answer, &info.flags, sizeof info.flags);
}

static void
digest(const struct worker *worker, CK_SESSION_HANDLE session, struct work *out)
{
	CK_FUNCTION_LIST_3_2 *list = worker->consumer.list;
	CK_MECHANISM sha256 = {CKM_SHA256, NULL, 0};
	CK_BYTE data[] = "what is to be digested", bytes[32] = {0};
	CK_ULONG n = sizeof bytes;

	TIMED(&out->steps[STEP_DIGEST_INIT], list->C_DigestInit(session, &sha256));
	TIMED(&out->steps[STEP_DIGEST], list->C_Digest(session, data, sizeof data, bytes, &n));
	keep(&out->steps[STEP_DIGEST], bytes, sizeof bytes);
	keep(&out->steps[STEP_DIGEST], &n, sizeof n);
}

static void
use_session(const struct worker *worker, struct work *out)
{
	CK_FUNCTION_LIST_3_2 *list = worker->consumer.list;
	CK_SESSION_HANDLE session = 0;
	CK_SESSION_INFO info = {0};

	TIMED(&out->steps[STEP_OPEN],
	      list->C_OpenSession(worker->slot, CKF_SERIAL_SESSION, NULL, NULL, &session));
	digest(worker, session, out);
	TIMED(&out->steps[STEP_SESSION_INFO], list->C_GetSessionInfo(session, &info));
	keep(&out->steps[STEP_SESSION_INFO], &info, sizeof info);
	TIMED(&out->steps[STEP_CLOSE], list->C_CloseSession(session));
}

void
work_do(const struct worker *worker, struct work *out)
{
	memset(out, 0, sizeof *out);
	list_slots(worker, out);
	ask_token(worker, out);
	use_session(worker, out);
}

static bool
begins_with(const CK_UTF8CHAR *text, const char *start)
{
	return strncmp((const char *)text, start, strlen(start)) == 0;
}

bool
work_prepare(struct worker *worker, const char *manufacturer)
{
	CK_FUNCTION_LIST_3_2 *list = worker->consumer.list;
	CK_SLOT_ID ids[CORE_MAX_SLOTS];
	CK_ULONG n = CORE_MAX_SLOTS;
	bool has_token = false;

	if (list->C_GetSlotList(CK_TRUE, ids, &n) != CKR_OK)
		return false;
	for (CK_ULONG i = 0; i < n; i++) {
		CK_SLOT_INFO slot;
		CK_TOKEN_INFO token;
		if (list->C_GetSlotInfo(ids[i], &slot) != CKR_OK ||
		    !begins_with(slot.manufacturerID, manufacturer))
			continue;
		worker->own[worker->n_own++] = ids[i];
		if (!has_token && list->C_GetTokenInfo(ids[i], &token) == CKR_OK &&
		    (token.flags & CKF_TOKEN_INITIALIZED)) {
			worker->slot = ids[i];
			has_token = true;
		}
	}
	return has_token;
}

enum step
work_compare(const struct work *is, const struct work *should_be)
{
	for (enum step step = 0; step < N_STEPS; step++) {
		const struct answer *a = &is->steps[step], *b = &should_be->steps[step];
		if (a->rv != b->rv || a->n_bytes != b->n_bytes ||
		    memcmp(a->bytes, b->bytes, a->n_bytes) != 0)
			return step;
	}
	return N_STEPS;
}

enum step
work_slowest(const struct work *work)
{
	enum step slowest = 0;

	for (enum step step = 0; step < N_STEPS; step++) {
		if (work->steps[step].ms > work->steps[slowest].ms)
			slowest = step;
	}
	return slowest;
}
