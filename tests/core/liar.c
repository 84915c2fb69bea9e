/* SPDX-License-Identifier: BSD-3-Clause */
#include "liar.h"

#include <p11-kit/pkcs11.h>

#include <stddef.h>
#include <string.h>

__attribute__((visibility("default"))) extern int liar_lie;
int liar_lie;

static CK_ULONG n_slots_told;

static CK_RV
liar_initialize(CK_VOID_PTR args)
{
	(void)args;
	return CKR_OK;
}

static CK_RV
liar_finalize(CK_VOID_PTR reserved)
{
	(void)reserved;
	return liar_lie == LIE_FINALIZE_ERROR ? CKR_DEVICE_ERROR : CKR_OK;
}

/* A structure of texts and numbers. */
static CK_RV
describe(void *info, size_t size)
{
	static const char steering[] = "\033]0;\377\033[2J%s%n";

	if (liar_lie == LIE_NEVER_UP)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (liar_lie == LIE_NO_NAMES)
		return CKR_OK;
	memset(info, liar_lie == LIE_ENDLESS_NAMES ? 0xff : ' ', size);
	if (liar_lie == LIE_ENDLESS_NAMES) {
		for (size_t i = 0; i + sizeof steering <= size; i += sizeof steering)
			memcpy((char *)info + i, steering, sizeof steering - 1);
	}
	return CKR_OK;
}

static CK_RV
liar_get_info(CK_INFO_PTR info)
{
	return describe(info, sizeof *info);
}

static CK_RV
liar_get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info)
{
	CK_RV rv = describe(info, sizeof *info);

	(void)slot;
	if (rv == CKR_OK && liar_lie != LIE_NO_NAMES)
		info->flags = CKF_TOKEN_PRESENT;
	return rv;
}

static CK_RV
liar_get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	CK_RV rv = describe(info, sizeof *info);

	(void)slot;
	if (rv == CKR_OK && liar_lie != LIE_NO_NAMES)
		info->flags = CKF_TOKEN_INITIALIZED;
	return rv;
}

static CK_RV
liar_get_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
	CK_ULONG n = 1, room = *count;

	(void)present;
	switch (liar_lie) {
	case LIE_NEVER_UP:
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	case LIE_MORE_SLOTS:
		*count = room + 1000;
		if (list)
			list[0] = 7;
		return CKR_OK;
	case LIE_GROWING_SLOTS:
		*count = n_slots_told += 20;
		return list ? CKR_BUFFER_TOO_SMALL : CKR_OK;
	case LIE_ENDLESS_SLOTS:
		*count = (CK_ULONG)-1;
		return CKR_OK;
	case LIE_SAME_SLOT:
		n = 10;
		break;
	}
	*count = n;
	for (CK_ULONG i = 0; list && i < n && i < room; i++)
		list[i] = 7;
	return list && n > room ? CKR_BUFFER_TOO_SMALL : CKR_OK;
}

static CK_RV
liar_open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application, CK_NOTIFY notify,
		  CK_SESSION_HANDLE_PTR session)
{
	static CK_SESSION_HANDLE next;

	(void)slot, (void)flags, (void)application, (void)notify;
	if (liar_lie == LIE_NEVER_UP)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	*session = liar_lie == LIE_NO_SESSION ? 0 : liar_lie == LIE_SAME_SESSION ? 9 : ++next;
	return CKR_OK;
}

static CK_RV
liar_close_session(CK_SESSION_HANDLE session)
{
	(void)session;
	return liar_lie == LIE_NEVER_UP ? CKR_CRYPTOKI_NOT_INITIALIZED : CKR_OK;
}

static CK_RV
liar_wait_for_slot_event(CK_FLAGS flags, CK_SLOT_ID_PTR slot, CK_VOID_PTR reserved)
{
	(void)flags, (void)reserved;
	if (liar_lie != LIE_UNKNOWN_EVENTS)
		return CKR_NO_EVENT;
	*slot = 4711;
	return CKR_OK;
}

/* ---- its tables ---- */

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);
CK_RV C_GetInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR interface,
		     CK_FLAGS flags);
CK_RV C_GetInterfaceList(CK_INTERFACE_PTR list, CK_ULONG_PTR count);

#define ENTRIES                                                                                    \
	.C_Initialize = liar_initialize, .C_Finalize = liar_finalize, .C_GetInfo = liar_get_info,  \
	.C_GetFunctionList = C_GetFunctionList, .C_GetSlotList = liar_get_slot_list,               \
	.C_GetSlotInfo = liar_get_slot_info, .C_GetTokenInfo = liar_get_token_info,                \
	.C_OpenSession = liar_open_session, .C_CloseSession = liar_close_session,                  \
	.C_WaitForSlotEvent = liar_wait_for_slot_event

static const CK_FUNCTION_LIST honest = {.version = {2, 40}, ENTRIES};
static CK_FUNCTION_LIST_3_2 newer = {.version = {3, 2},
				     ENTRIES,
				     .C_GetInterface = C_GetInterface,
				     .C_GetInterfaceList = C_GetInterfaceList};

/* What lies behind a table of 2.40 is no function. */
static struct {
	CK_FUNCTION_LIST list;
	unsigned char behind[1024];
} table;

static CK_VERSION
version_told(void)
{
	switch (liar_lie) {
	case LIE_VERSION_0:
		return (CK_VERSION){0, 0};
	case LIE_VERSION_1:
		return (CK_VERSION){1, 0};
	case LIE_VERSION_9:
		return (CK_VERSION){9, 9};
	case LIE_TABLE_TOO_SHORT:
		return (CK_VERSION){3, 2};
	default:
		return (CK_VERSION){2, 40};
	}
}

__attribute__((visibility("default"))) CK_RV
C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	memset(&table, 'A', sizeof table);
	table.list = honest;
	table.list.version = version_told();
	if (liar_lie == LIE_NO_INITIALIZE)
		table.list.C_Initialize = NULL;
	if (liar_lie == LIE_NO_FINALIZE)
		table.list.C_Finalize = NULL;
	if (liar_lie == LIE_NO_ENTRY)
		table.list = (CK_FUNCTION_LIST){.version = {2, 40}};
	*list = liar_lie == LIE_NO_LIST ? NULL : &table.list;
	return liar_lie == LIE_LIST_ERROR ? 0x80c0ffee : CKR_OK;
}

__attribute__((visibility("default"))) CK_RV
C_GetInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR interface,
	       CK_FLAGS flags)
{
	static CK_UTF8CHAR ours[] = "PKCS 11", other[] = "Vendor X";
	static CK_INTERFACE given;

	(void)name, (void)version, (void)flags;
	newer.version.major = liar_lie == LIE_INTERFACE_VERSION_9 ? 9 : 3;
	given = (CK_INTERFACE){ours, &newer, 0};
	*interface = &given;
	switch (liar_lie) {
	case LIE_NO_INTERFACE:
		*interface = NULL;
		return CKR_OK;
	case LIE_EMPTY_INTERFACE:
		given.pFunctionList = NULL;
		return CKR_OK;
	case LIE_OTHER_INTERFACE:
		given.pInterfaceName = other;
		return CKR_OK;
	case LIE_INTERFACE_ERROR:
		return CKR_DEVICE_MEMORY;
	case LIE_INTERFACE_VERSION_9:
	case LIE_INTERFACE_LIST:
		return CKR_OK;
	default:
		*interface = NULL;
		return CKR_FUNCTION_NOT_SUPPORTED;
	}
}

__attribute__((visibility("default"))) CK_RV
C_GetInterfaceList(CK_INTERFACE_PTR list, CK_ULONG_PTR count)
{
	if (list && *count > 0)
		memset(list, 'A', sizeof *list);
	*count = (CK_ULONG)-1;
	return CKR_OK;
}
