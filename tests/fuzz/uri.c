/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The input is the text of a URI. For each type: it is refused, and the URI is as new; or what it
 * says is the same when it is formatted and parsed, and in another order.
 */
#include "uri-same.h"

#include <string.h>

static void
check_refused(P11KitUri *uri, int result)
{
	fuzz_check(result <= P11_KIT_URI_UNEXPECTED && result >= P11_KIT_URI_BAD_VERSION);
	fuzz_check(p11_kit_uri_message(result) != NULL);
	fuzz_check(!p11_kit_uri_any_unrecognized(uri));
	fuzz_check(p11_kit_uri_get_slot_id(uri) == (CK_SLOT_ID)-1);

	char *text = fuzz_uri_format(uri, P11_KIT_URI_FOR_ANY);
	fuzz_check(strcmp(text, "pkcs11:") == 0);
	free(text);
}

static void
check_understood(P11KitUri *uri, P11KitUriType type, bool has_item)
{
	bool unrecognized = p11_kit_uri_any_unrecognized(uri);
	char *text = fuzz_uri_format(uri, type);
	P11KitUri *again = fuzz_uri_parse(text, type);

	fuzz_check(!p11_kit_uri_any_unrecognized(again));
	/* What does say something never reads as if it said nothing, and so matched all. */
	fuzz_check(unrecognized || !has_item || strcmp(text, "pkcs11:") != 0);
	if (unrecognized) {
		CK_TOKEN_INFO *info = p11_kit_uri_get_token_info(uri);
		fuzz_check(!p11_kit_uri_match_token_info(uri, info));
		fuzz_check(!p11_kit_uri_match_attributes(uri, NULL, 0));
		p11_kit_uri_set_unrecognized(uri, 0);
	}
	fuzz_uri_same(uri, again, type);
	fuzz_uri_reorder(uri, text, type);
	p11_kit_uri_free(again);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const P11KitUriType types[] = {
		P11_KIT_URI_FOR_ANY,  P11_KIT_URI_FOR_OBJECT_ON_TOKEN, P11_KIT_URI_FOR_MODULE,
		P11_KIT_URI_FOR_SLOT, P11_KIT_URI_FOR_OBJECT,
	};
	char *text = fuzz_have(calloc(1, size + 1));

	if (size > 0)
		memcpy(text, data, size);
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		P11KitUri *uri = fuzz_have(p11_kit_uri_new());
		int result = p11_kit_uri_parse(text, types[i], uri);

		if (result == P11_KIT_URI_OK)
			check_understood(uri, types[i], strchr(text, '=') != NULL);
		else
			check_refused(uri, result);
		p11_kit_uri_free(uri);
	}
	free(text);
	return 0;
}
