/* SPDX-License-Identifier: BSD-3-Clause */
#include "token.h"

#include <stdio.h>
#include <string.h>

static bool
failed(const char *what, CK_RV rv)
{
	fprintf(stderr, "%s: 0x%lx\n", what, rv);
	return false;
}

bool
token_find(CK_FUNCTION_LIST *module, const char *label, CK_SLOT_ID *slot)
{
	CK_SLOT_ID slots[64];
	CK_ULONG n_slots = sizeof(slots) / sizeof(slots[0]);
	char padded[33];

	/* Texts of PKCS#11 have no NUL, and spaces at the end. */
	snprintf(padded, sizeof(padded), "%-32s", label);
	if (module->C_GetSlotList(CK_TRUE, slots, &n_slots) != CKR_OK)
		return false;
	for (CK_ULONG i = 0; i < n_slots; i++) {
		CK_TOKEN_INFO info;

		if (module->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
		    memcmp(info.label, padded, 32) == 0) {
			*slot = slots[i];
			return true;
		}
	}
	return false;
}

static CK_RV
find_key(struct token *token)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_KEY_TYPE type = CKK_RSA;
	CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof(class)},
				   {CKA_KEY_TYPE, &type, sizeof(type)}};
	CK_ULONG n_keys = 0;

	CK_RV rv = token->module->C_FindObjectsInit(token->session, template, 2);
	if (rv == CKR_OK)
		rv = token->module->C_FindObjects(token->session, &token->key, 1, &n_keys);
	if (rv == CKR_OK)
		rv = token->module->C_FindObjectsFinal(token->session);
	return rv == CKR_OK && n_keys == 0 ? CKR_KEY_HANDLE_INVALID : rv;
}

bool
token_open(struct token *token, CK_FUNCTION_LIST *module, const char *label, const char *pin)
{
	CK_SLOT_ID slot;

	token->module = module;
	if (!token_find(module, label, &slot))
		return failed("there is no such token", CKR_TOKEN_NOT_PRESENT);
	CK_RV rv = module->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &token->session);
	if (rv != CKR_OK)
		return failed("C_OpenSession", rv);

	/* Who logs in logs in the whole process, so somebody else may have done it already. */
	rv = module->C_Login(token->session, CKU_USER, (CK_BYTE *)pin, strlen(pin));
	if (rv != CKR_OK && rv != CKR_USER_ALREADY_LOGGED_IN)
		return failed("C_Login", rv);
	rv = find_key(token);
	return rv == CKR_OK || failed("there is no private RSA key", rv);
}

CK_RV
token_sign(struct token *token)
{
	CK_MECHANISM mechanism = {CKM_SHA256_RSA_PKCS, NULL, 0};
	CK_BYTE text[] = "what is to be signed";
	CK_BYTE signature[1024];
	CK_ULONG size = sizeof(signature);

	CK_RV rv = token->module->C_SignInit(token->session, &mechanism, token->key);
	return rv == CKR_OK ? token->module->C_Sign(token->session, text, sizeof(text) - 1,
						    signature, &size)
			    : rv;
}
