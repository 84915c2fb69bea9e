/* SPDX-License-Identifier: BSD-3-Clause */
/* GnuTLS as a party: it loads the configured modules through libp11-kit. */
#include "party.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/pkcs11.h>
#include <stdio.h>
#include <string.h>

static gnutls_privkey_t key;

static bool
failed(const char *what, int code)
{
	return party_failed(&party_gnutls, what, gnutls_strerror(code));
}

static int
give_pin(void *data, int attempt, const char *url, const char *label, unsigned flags, char *pin,
	 size_t size)
{
	const struct party_setting *setting = data;

	(void)url, (void)label, (void)flags;
	if (attempt > 0 || strlen(setting->pin) >= size)
		return -1;
	strcpy(pin, setting->pin);
	return 0;
}

static bool
start(const struct party_setting *setting)
{
	char url[256];
	int code = gnutls_pkcs11_init(GNUTLS_PKCS11_FLAG_AUTO, NULL);

	if (code < 0)
		return failed("gnutls_pkcs11_init", code);
	gnutls_pkcs11_set_pin_function(give_pin, (void *)setting);
	code = gnutls_privkey_init(&key);
	if (code < 0)
		return failed("gnutls_privkey_init", code);
	snprintf(url, sizeof(url), "pkcs11:token=%s;object=%s;type=private", setting->token,
		 setting->key);
	code = gnutls_privkey_import_url(key, url, 0);
	if (code < 0)
		return failed("gnutls_privkey_import_url", code);
	return true;
}

static size_t
sign(const struct party_setting *setting, unsigned char out[PARTY_MAX_SIGNATURE])
{
	gnutls_datum_t data = {(unsigned char *)setting->data, (unsigned)setting->data_length};
	gnutls_datum_t signature;
	int code = gnutls_privkey_sign_data2(key, GNUTLS_SIGN_RSA_SHA256, 0, &data, &signature);

	if (code < 0) {
		failed("gnutls_privkey_sign_data2", code);
		return 0;
	}
	size_t length = signature.size <= PARTY_MAX_SIGNATURE ? signature.size : 0;
	memcpy(out, signature.data, length);
	gnutls_free(signature.data);
	return length;
}

static bool
stop(void)
{
	gnutls_privkey_deinit(key);
	gnutls_pkcs11_deinit();
	return true;
}

const struct party party_gnutls = {"GnuTLS", start, sign, stop};
