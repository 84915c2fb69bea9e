/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A PKCS#11 module whose calls do nothing, so that a benchmark sees only what stands before it. It
 * keeps no state but counters of sessions: a session's handle is a number above the slot's, hence
 * it knows the slot of each handle without a table. No handle is given twice (where CK_ULONG has 64
 * bits), and threads that open sessions do not meet in this module: each takes numbers a block at a
 * time. Built twice, as bench-null.so and bench-slow.so: the same file under two names would be one
 * module.
 */
#include "bench/null-module.h"

#include <p11-kit/pkcs11.h>

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#define EXPORTED __attribute__((visibility("default")))

/* What its slots call themselves: "slow" in bench-slow.so. */
#ifndef NULL_MODULE_NAME
#define NULL_MODULE_NAME "null"
#endif

#define SLOT_BITS 16
#define SLOT_MASK ((1ul << SLOT_BITS) - 1)

static unsigned long slots = 1;
static atomic_uint sleep_ms, failing_ms;

#define BLOCK_SIZE (1ul << 16)
static atomic_ulong n_blocks;
static _Thread_local unsigned long next_number;

static CK_FUNCTION_LIST functions;

EXPORTED void
null_module_set_slots(unsigned long n_slots)
{
	slots = n_slots;
}

EXPORTED void
null_module_set_sleep(unsigned ms)
{
	atomic_store(&sleep_ms, ms);
}

EXPORTED void
null_module_set_failing(unsigned ms)
{
	atomic_store(&failing_ms, ms);
}

static void
sleep_for(unsigned ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l};

	nanosleep(&time, NULL);
}

static void
pad(CK_UTF8CHAR *field, size_t size, const char *text)
{
	memset(field, ' ', size);
	memcpy(field, text, strnlen(text, size));
}

/* Every call that has nothing to tell: the standard calling conventions of x86 and ARM let it
 * ignore its arguments. */
static CK_RV
do_nothing(void)
{
	return CKR_OK;
}

static CK_RV
get_info(CK_INFO *info)
{
	memset(info, 0, sizeof(*info));
	info->cryptokiVersion.major = 2;
	info->cryptokiVersion.minor = 40;
	pad(info->manufacturerID, sizeof(info->manufacturerID), NULL_MODULE_NAME);
	pad(info->libraryDescription, sizeof(info->libraryDescription), NULL_MODULE_NAME);
	return CKR_OK;
}

static CK_RV
get_slot_list(CK_BBOOL token_present, CK_SLOT_ID *list, CK_ULONG *count)
{
	unsigned ms = atomic_load_explicit(&failing_ms, memory_order_relaxed);

	(void)token_present;
	if (ms) {
		sleep_for(ms);
		return CKR_DEVICE_ERROR;
	}
	if (list && *count < slots) {
		*count = slots;
		return CKR_BUFFER_TOO_SMALL;
	}
	for (CK_ULONG i = 0; list && i < slots; i++)
		list[i] = i;
	*count = slots;
	return CKR_OK;
}

static CK_RV
get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
	unsigned ms = atomic_load_explicit(&sleep_ms, memory_order_relaxed);
	if (ms)
		sleep_for(ms);
	if (slot >= slots)
		return CKR_SLOT_ID_INVALID;
	memset(info, 0, sizeof(*info));
	pad(info->slotDescription, sizeof(info->slotDescription), NULL_MODULE_NAME);
	pad(info->manufacturerID, sizeof(info->manufacturerID), NULL_MODULE_NAME);
	info->flags = CKF_TOKEN_PRESENT;
	return CKR_OK;
}

static CK_RV
get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	if (slot >= slots)
		return CKR_SLOT_ID_INVALID;
	memset(info, 0, sizeof(*info));
	pad(info->label, sizeof(info->label), NULL_MODULE_NAME);
	pad(info->manufacturerID, sizeof(info->manufacturerID), NULL_MODULE_NAME);
	pad(info->model, sizeof(info->model), NULL_MODULE_NAME);
	pad(info->serialNumber, sizeof(info->serialNumber), "1");
	info->flags = CKF_TOKEN_INITIALIZED;
	return CKR_OK;
}

static CK_RV
open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
	     CK_SESSION_HANDLE *session)
{
	(void)flags;
	(void)application;
	(void)notify;
	if (slot >= slots)
		return CKR_SLOT_ID_INVALID;
	if (next_number % BLOCK_SIZE == 0)
		next_number = atomic_fetch_add(&n_blocks, 1) * BLOCK_SIZE + 1;
	*session = next_number++ << SLOT_BITS | slot;
	return CKR_OK;
}

static CK_RV
get_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
	info->slotID = session & SLOT_MASK;
	info->state = CKS_RO_PUBLIC_SESSION;
	info->flags = CKF_SERIAL_SESSION;
	info->ulDeviceError = 0;
	return CKR_OK;
}

EXPORTED CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list);

EXPORTED CK_RV
C_GetFunctionList(CK_FUNCTION_LIST **list)
{
	*list = &functions;
	return CKR_OK;
}

__attribute__((constructor)) static void
fill_functions(void)
{
	CK_RV (*nothing)(void) = do_nothing;
	char *end = (char *)(&functions + 1);
	for (char *entry = (char *)&functions.C_Initialize; entry < end; entry += sizeof(nothing))
		memcpy(entry, &nothing, sizeof(nothing));

	functions.version.major = 2;
	functions.version.minor = 40;
	functions.C_GetFunctionList = C_GetFunctionList;
	functions.C_GetInfo = get_info;
	functions.C_GetSlotList = get_slot_list;
	functions.C_GetSlotInfo = get_slot_info;
	functions.C_GetTokenInfo = get_token_info;
	functions.C_OpenSession = open_session;
	functions.C_GetSessionInfo = get_session_info;
}
