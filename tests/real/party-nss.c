/* SPDX-License-Identifier: BSD-3-Clause */
/* NSS as a party: it knows nothing of libp11-kit, and loads p11-kit-proxy.so like any module. */
#include "party.h"

#include <cert.h>
#include <cryptohi.h>
#include <keyhi.h>
#include <nss.h>
#include <pk11pub.h>
#include <prerror.h>
#include <secmod.h>
#include <stdio.h>
#include <string.h>

static SECMODModule *module;
static PK11SlotInfo *slot;
static SECKEYPrivateKey *key;

static bool
failed(const char *what)
{
	const char *name = PR_ErrorToName(PR_GetError());

	return party_failed(&party_nss, what, name ? name : "?");
}

static char *
give_pin(PK11SlotInfo *asking, PRBool again, void *setting)
{
	(void)asking;
	return again ? NULL : PORT_Strdup(((struct party_setting *)setting)->pin);
}

static SECKEYPrivateKey *
find_key(const char *label)
{
	SECKEYPrivateKey *found = NULL;
	SECKEYPrivateKeyList *list = PK11_ListPrivKeysInSlot(slot, (char *)label, NULL);

	if (list && !PRIVKEY_LIST_END(PRIVKEY_LIST_HEAD(list), list))
		found = SECKEY_CopyPrivateKey(PRIVKEY_LIST_HEAD(list)->key);
	if (list)
		SECKEY_DestroyPrivateKeyList(list);
	return found;
}

static bool
start(const struct party_setting *setting)
{
	char spec[1024];

	if (NSS_NoDB_Init(NULL) != SECSuccess)
		return failed("NSS_NoDB_Init");
	PK11_SetPasswordFunc(give_pin);
	snprintf(spec, sizeof(spec), "library=\"%s\" name=\"shared\"", setting->proxy);
	module = SECMOD_LoadUserModule(spec, NULL, PR_FALSE);
	if (!module || !module->loaded)
		return failed("SECMOD_LoadUserModule");
	slot = PK11_FindSlotByName(setting->token);
	if (!slot)
		return failed("PK11_FindSlotByName");
	if (PK11_Authenticate(slot, PR_TRUE, (void *)setting) != SECSuccess)
		return failed("PK11_Authenticate");
	key = find_key(setting->key);
	return key || failed("PK11_ListPrivKeysInSlot");
}

static size_t
sign(const struct party_setting *setting, unsigned char out[PARTY_MAX_SIGNATURE])
{
	SECItem signature = {siBuffer, NULL, 0};

	if (SEC_SignData(&signature, setting->data, (int)setting->data_length, key,
			 SEC_OID_PKCS1_SHA256_WITH_RSA_ENCRYPTION) != SECSuccess) {
		failed("SEC_SignData");
		return 0;
	}
	size_t length = signature.len <= PARTY_MAX_SIGNATURE ? signature.len : 0;
	memcpy(out, signature.data, length);
	SECITEM_FreeItem(&signature, PR_FALSE);
	return length;
}

static bool
stop(void)
{
	SECKEY_DestroyPrivateKey(key);
	PK11_FreeSlot(slot);
	key = NULL;
	slot = NULL;
	if (SECMOD_UnloadUserModule(module) != SECSuccess)
		return failed("SECMOD_UnloadUserModule");
	SECMOD_DestroyModule(module);
	module = NULL;
	return NSS_Shutdown() == SECSuccess || failed("NSS_Shutdown");
}

const struct party party_nss = {"NSS", start, sign, stop};
