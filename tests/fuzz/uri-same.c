/* SPDX-License-Identifier: BSD-3-Clause */
#include "uri-same.h"

#include <string.h>

P11KitUri *
fuzz_uri_parse(const char *text, P11KitUriType type)
{
	P11KitUri *uri = fuzz_have(p11_kit_uri_new());

	fuzz_check(p11_kit_uri_parse(text, type, uri) == P11_KIT_URI_OK);
	return uri;
}

char *
fuzz_uri_format(P11KitUri *uri, P11KitUriType type)
{
	char *text = NULL;

	fuzz_check(p11_kit_uri_format(uri, type, &text) == P11_KIT_URI_OK);
	return fuzz_have(text);
}

/* What the two match: each other's structures, and each other's attributes from either end. */
static void
check_matching(P11KitUri *a, P11KitUri *b)
{
	CK_ULONG n_attributes = 0;
	CK_ATTRIBUTE *attributes = p11_kit_uri_get_attributes(b, &n_attributes);
	bool all = !p11_kit_uri_any_unrecognized(a);

	fuzz_check(p11_kit_uri_match_module_info(a, p11_kit_uri_get_module_info(b)) == all);
	fuzz_check(p11_kit_uri_match_slot_info(a, p11_kit_uri_get_slot_info(b)) == all);
	fuzz_check(p11_kit_uri_match_token_info(a, p11_kit_uri_get_token_info(b)) == all);
	fuzz_check(p11_kit_uri_match_attributes(a, attributes, n_attributes) == all);
	CK_ATTRIBUTE *reversed = fuzz_have(calloc(n_attributes + 1, sizeof *reversed));
	for (CK_ULONG i = 0; i < n_attributes; i++)
		reversed[i] = attributes[n_attributes - 1 - i];
	fuzz_check(p11_kit_uri_match_attributes(a, reversed, n_attributes) == all);
	free(reversed);
}

/* A value of one byte more or less matches no more, wherever it stands. */
static void
check_mismatch(P11KitUri *uri)
{
	CK_ULONG n_attributes = 0;
	CK_ATTRIBUTE *attributes = p11_kit_uri_get_attributes(uri, &n_attributes);

	for (CK_ULONG i = 0; i < n_attributes; i++) {
		CK_ATTRIBUTE other = attributes[i];

		if (other.type != CKA_ID && other.type != CKA_LABEL)
			continue;
		unsigned char *longer = fuzz_have(calloc(1, other.ulValueLen + 1));
		if (other.ulValueLen > 0)
			memcpy(longer, other.pValue, other.ulValueLen);
		other.pValue = longer;
		other.ulValueLen++;
		fuzz_check(p11_kit_uri_match_attributes(uri, &other, 1) == 0);
		free(longer);
	}
}

static bool
equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

void
fuzz_uri_same(P11KitUri *a, P11KitUri *b, P11KitUriType type)
{
	char *of_a = fuzz_uri_format(a, type), *of_b = fuzz_uri_format(b, type);

	fuzz_check(strcmp(of_a, of_b) == 0);
	free(of_a);
	free(of_b);
	fuzz_check(equal(p11_kit_uri_get_pin_value(a), p11_kit_uri_get_pin_value(b)));
	fuzz_check(equal(p11_kit_uri_get_pin_source(a), p11_kit_uri_get_pin_source(b)));
	fuzz_check(equal(p11_kit_uri_get_module_name(a), p11_kit_uri_get_module_name(b)));
	fuzz_check(equal(p11_kit_uri_get_module_path(a), p11_kit_uri_get_module_path(b)));
	if (type == P11_KIT_URI_FOR_ANY) {
		check_matching(a, b);
		check_matching(b, a);
	}
	check_mismatch(a);
}

/* "pkcs11:", the items from `from` on, then those before it, and all that follows the path. */
static char *
rotate(const char *text, size_t from)
{
	const char *path = text + strlen("pkcs11:");
	size_t length = strcspn(path, "?");
	char *out = fuzz_have(malloc(strlen(text) + 1));

	memcpy(out, text, (size_t)(path - text));
	char *at = out + (path - text);
	memcpy(at, path + from, length - from);
	at += length - from;
	if (from > 0) {
		*at++ = ';';
		memcpy(at, path, from - 1); /* without the ';' in front of `from` */
		at += from - 1;
	}
	strcpy(at, path + length);
	return out;
}

void
fuzz_uri_reorder(P11KitUri *uri, const char *text, P11KitUriType type)
{
	const char *path = text + strlen("pkcs11:");
	size_t length = strcspn(path, "?");

	for (size_t i = 0; i < length; i++) {
		if (path[i] != ';')
			continue;
		char *turned = rotate(text, i + 1);
		P11KitUri *other = fuzz_uri_parse(turned, type);
		fuzz_uri_same(uri, other, type);
		p11_kit_uri_free(other);
		free(turned);
	}
}
