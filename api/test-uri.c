/* SPDX-License-Identifier: BSD-3-Clause */
/* What p11-kit/uri.h promises, with hostile text, without memory, and for every part of a URI. */
#include "p11-kit/uri.h"

#include "api/test-memory.h"

#include "base/base.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ANY P11_KIT_URI_FOR_ANY
#define OBJECT P11_KIT_URI_FOR_OBJECT
#define TOKEN P11_KIT_URI_FOR_TOKEN
#define MODULE P11_KIT_URI_FOR_MODULE
#define NO_SLOT_ID ((CK_SLOT_ID)-1)

static P11KitUri *
new_uri(void)
{
	P11KitUri *uri = p11_kit_uri_new();

	assert_non_null(uri);
	return uri;
}

static P11KitUri *
parsed(const char *string)
{
	P11KitUri *uri = new_uri();

	assert_int_equal(p11_kit_uri_parse(string, ANY, uri), P11_KIT_URI_OK);
	return uri;
}

static char *
formatted(P11KitUri *uri, P11KitUriType type)
{
	char *string = NULL;

	assert_int_equal(p11_kit_uri_format(uri, type, &string), P11_KIT_URI_OK);
	assert_non_null(string);
	return string;
}

static void
assert_formats(P11KitUri *uri, P11KitUriType type, const char *expected)
{
	char *string = formatted(uri, type);

	assert_string_equal(string, expected);
	free(string);
}

static void
assert_empty(P11KitUri *uri)
{
	assert_formats(uri, ANY, "pkcs11:");
	assert_int_equal(p11_kit_uri_any_unrecognized(uri), 0);
	assert_int_equal(p11_kit_uri_get_slot_id(uri), NO_SLOT_ID);
}

static void
pad(unsigned char *field, size_t size, const char *text, int padding)
{
	memset(field, padding, size);
	memcpy(field, text, strlen(text));
}
#define PAD(field, text) pad(field, sizeof(field), text, ' ')
#define PAD_NUL(field, text) pad(field, sizeof(field), text, '\0')

static void
test_new_is_empty(void **state)
{
	P11KitUri *uri = new_uri();
	CK_ULONG n = 99;

	(void)state;
	assert_empty(uri);
	assert_int_equal(p11_kit_uri_get_module_info(uri)->libraryVersion.major, 255);
	assert_int_equal(p11_kit_uri_get_module_info(uri)->libraryVersion.minor, 255);
	assert_int_equal(p11_kit_uri_get_token_info(uri)->label[0], 0);
	assert_int_equal(p11_kit_uri_get_slot_info(uri)->slotDescription[0], 0);
	assert_int_equal(p11_kit_uri_get_attributes(uri, &n)[0].type, (CK_ATTRIBUTE_TYPE)-1);
	assert_int_equal(n, 0);
	assert_null(p11_kit_uri_get_attribute(uri, CKA_ID));
	assert_null(p11_kit_uri_get_pin_value(uri));
	assert_null(p11_kit_uri_get_pin_source(uri));
	assert_null(p11_kit_uri_get_pinfile(uri));
	assert_null(p11_kit_uri_get_module_name(uri));
	assert_null(p11_kit_uri_get_module_path(uri));
	assert_null(p11_kit_uri_get_vendor_query(uri, "x"));
	p11_kit_uri_free(uri);
	p11_kit_uri_free(NULL);
}

/* Text, the result of parsing it for all parts, what it formats to (failure: nothing), and whether
 * something in it is unrecognized. */
static const struct {
	const char *text;
	int result;
	const char *again;
	int unrecognized;
} texts[] = {
	{"pkcs11:", P11_KIT_URI_OK, "pkcs11:", 0},
	{"PkCs11:", P11_KIT_URI_OK, "pkcs11:", 0},
	{"", P11_KIT_URI_BAD_SCHEME, "", 0},
	{"pkcs11", P11_KIT_URI_BAD_SCHEME, "", 0},
	{"pkcs12:token=a", P11_KIT_URI_BAD_SCHEME, "", 0},
	{"pkcs1:token=a", P11_KIT_URI_BAD_SCHEME, "", 0},
	{"pkcs11x:token=a", P11_KIT_URI_BAD_SCHEME, "", 0},
	{"xpkcs11:token=a", P11_KIT_URI_BAD_SCHEME, "", 0},
	{":token=a", P11_KIT_URI_BAD_SCHEME, "", 0},

	/* Items */
	{"pkcs11:token=a", P11_KIT_URI_OK, "pkcs11:token=a", 0},
	{"pkcs11:token=a;", P11_KIT_URI_OK, "pkcs11:token=a", 0},
	{"pkcs11:token=a;?pin-value=1", P11_KIT_URI_OK, "pkcs11:token=a?pin-value=1", 0},
	{"pkcs11:token=", P11_KIT_URI_OK, "pkcs11:token=", 0},
	{"pkcs11:token=a=b", P11_KIT_URI_OK, "pkcs11:token=a%3Db", 0},
	{"pkcs11:token=a&b", P11_KIT_URI_OK, "pkcs11:token=a%26b", 0},
	{"pkcs11:token=a#b", P11_KIT_URI_OK, "pkcs11:token=a%23b", 0},
	{"pkcs11:token", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:token=a;b", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:=a", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:?=a", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:?", P11_KIT_URI_OK, "pkcs11:", 0},
	{"pkcs11:?pin-value=1&", P11_KIT_URI_OK, "pkcs11:?pin-value=1", 0},
	{"pkcs11:?&", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:?a=1&&b=2", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:?pin-value", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:?pin-value=a?b", P11_KIT_URI_OK, "pkcs11:?pin-value=a%3Fb", 0},
	{"pkcs11:?pin-value=a;b", P11_KIT_URI_OK, "pkcs11:?pin-value=a%3Bb", 0},

	/* An empty item of the path never makes a query of the rest */
	{"pkcs11:;token=x", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:token=x;;pin-value=1", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:token=x;;", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:;", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:;?pin-value=1", P11_KIT_URI_BAD_SYNTAX, "", 0},

	/* White space: as the incumbent's users have it */
	{" pk cs11:\n to ken = a\r\v b ", P11_KIT_URI_OK, "pkcs11:token=ab", 0},
	{"pkcs11:token=a\tb\fc", P11_KIT_URI_OK, "pkcs11:token=a%09b%0Cc", 0},
	{"pkcs11:token=% 41", P11_KIT_URI_OK, "pkcs11:token=A", 0},

	/* Percent-encoding */
	{"pkcs11:token=%41%7a%7A", P11_KIT_URI_OK, "pkcs11:token=Azz", 0},
	{"pkcs11:token=a~\xc3\xa4", P11_KIT_URI_OK, "pkcs11:token=a%7E%C3%A4", 0},
	{"pkcs11:token=%", P11_KIT_URI_BAD_ENCODING, "", 0},
	{"pkcs11:token=%4", P11_KIT_URI_BAD_ENCODING, "", 0},
	{"pkcs11:token=%4g", P11_KIT_URI_BAD_ENCODING, "", 0},
	{"pkcs11:token=%g4", P11_KIT_URI_BAD_ENCODING, "", 0},
	{"pkcs11:token=%+1", P11_KIT_URI_BAD_ENCODING, "", 0},
	{"pkcs11:id=%0", P11_KIT_URI_BAD_ENCODING, "", 0},
	{"pkcs11:type=%zz", P11_KIT_URI_BAD_ENCODING, "", 0},
	{"pkcs11:?pin-value=%", P11_KIT_URI_BAD_ENCODING, "", 0},
	{"pkcs11:?x-vendor=%", P11_KIT_URI_BAD_ENCODING, "", 0},
	{"pkcs11:x-what=%", P11_KIT_URI_OK, "pkcs11:", 1},
	{"pkcs11:to%6ben=a", P11_KIT_URI_OK, "pkcs11:", 1},
	{"pkcs11:Token=a", P11_KIT_URI_OK, "pkcs11:", 1},

	/* Objects */
	{"pkcs11:id=a%00%ff", P11_KIT_URI_OK, "pkcs11:id=%61%00%FF", 0},
	{"pkcs11:id=", P11_KIT_URI_OK, "pkcs11:id=", 0},
	{"pkcs11:object=a%00b", P11_KIT_URI_OK, "pkcs11:object=a%00b", 0},
	{"pkcs11:object=", P11_KIT_URI_OK, "pkcs11:object=", 0},
	{"pkcs11:type=cert", P11_KIT_URI_OK, "pkcs11:type=cert", 0},
	{"pkcs11:type=public", P11_KIT_URI_OK, "pkcs11:type=public", 0},
	{"pkcs11:type=private", P11_KIT_URI_OK, "pkcs11:type=private", 0},
	{"pkcs11:type=data", P11_KIT_URI_OK, "pkcs11:type=data", 0},
	{"pkcs11:object-type=secret-key", P11_KIT_URI_OK, "pkcs11:type=secret-key", 0},
	{"pkcs11:objecttype=secretkey", P11_KIT_URI_OK, "pkcs11:type=secret-key", 0},
	{"pkcs11:type=%63ert", P11_KIT_URI_OK, "pkcs11:type=cert", 0},
	{"pkcs11:type=Cert", P11_KIT_URI_OK, "pkcs11:", 1},
	{"pkcs11:type=cert%00", P11_KIT_URI_OK, "pkcs11:", 1},
	{"pkcs11:type=", P11_KIT_URI_OK, "pkcs11:", 1},

	/* Fields: exactly full is fine, one more is not */
	{"pkcs11:serial=0123456789abcdef", P11_KIT_URI_OK, "pkcs11:serial=0123456789abcdef", 0},
	{"pkcs11:serial=0123456789abcdef0", P11_KIT_URI_OK, "pkcs11:", 1},
	{"pkcs11:model=0123456789abcdef", P11_KIT_URI_OK, "pkcs11:model=0123456789abcdef", 0},
	{"pkcs11:model=0123456789abcdef0", P11_KIT_URI_OK, "pkcs11:", 1},
	{"pkcs11:model=a;model=0123456789abcdef0", P11_KIT_URI_OK, "pkcs11:", 1},
	{"pkcs11:token=a%20%20", P11_KIT_URI_OK, "pkcs11:token=a", 0},
	{"pkcs11:token=%20a", P11_KIT_URI_OK, "pkcs11:token=%20a", 0},
	{"pkcs11:token=a%00b", P11_KIT_URI_OK, "pkcs11:token=a%00b", 0},
	{"pkcs11:token=a%00", P11_KIT_URI_OK, "pkcs11:token=a", 0},
	{"pkcs11:token=%00", P11_KIT_URI_OK, "pkcs11:", 1},
	{"pkcs11:token=%00a", P11_KIT_URI_OK, "pkcs11:", 1},

	/* Numbers */
	{"pkcs11:slot-id=0", P11_KIT_URI_OK, "pkcs11:slot-id=0", 0},
	{"pkcs11:slot-id=0017", P11_KIT_URI_OK, "pkcs11:slot-id=17", 0},
	{"pkcs11:slot-id=", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:slot-id=+1", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:slot-id=-1", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:slot-id=0x1", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:slot-id=1a", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:slot-id=%31", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:slot-id=99999999999999999999999999", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:library-version=3", P11_KIT_URI_OK, "pkcs11:library-version=3.0", 0},
	{"pkcs11:library-version=3.14", P11_KIT_URI_OK, "pkcs11:library-version=3.14", 0},
	{"pkcs11:library-version=254.254", P11_KIT_URI_OK, "pkcs11:library-version=254.254", 0},
	{"pkcs11:library-version=255", P11_KIT_URI_BAD_VERSION, "", 0},
	{"pkcs11:library-version=1.255", P11_KIT_URI_BAD_VERSION, "", 0},
	{"pkcs11:library-version=256.1", P11_KIT_URI_BAD_VERSION, "", 0},
	{"pkcs11:library-version=23.", P11_KIT_URI_BAD_VERSION, "", 0},
	{"pkcs11:library-version=.23", P11_KIT_URI_BAD_VERSION, "", 0},
	{"pkcs11:library-version=1.2.3", P11_KIT_URI_BAD_VERSION, "", 0},
	{"pkcs11:library-version=1.2a", P11_KIT_URI_BAD_VERSION, "", 0},
	{"pkcs11:library-version=%31", P11_KIT_URI_BAD_VERSION, "", 0},
	{"pkcs11:library-version=", P11_KIT_URI_BAD_VERSION, "", 0},

	/* The query, and what of it may stand in the path */
	{"pkcs11:pin-source=a;pin-value=b", P11_KIT_URI_OK, "pkcs11:?pin-source=a&pin-value=b", 0},
	{"pkcs11:pinfile=a", P11_KIT_URI_OK, "pkcs11:?pin-source=a", 0},
	{"pkcs11:?pinfile=a", P11_KIT_URI_OK, "pkcs11:?pin-source=a", 0},
	{"pkcs11:module-name=a", P11_KIT_URI_OK, "pkcs11:", 1},
	{"pkcs11:module-path=a", P11_KIT_URI_OK, "pkcs11:", 1},
	{"pkcs11:?module-path=/a&module-name=b", P11_KIT_URI_OK,
	 "pkcs11:?module-name=b&module-path=%2Fa", 0},
	{"pkcs11:?pin-value=a%00b", P11_KIT_URI_OK, "pkcs11:?pin-value=a", 0},
	{"pkcs11:?token=x", P11_KIT_URI_OK, "pkcs11:?token=x", 0},
	{"pkcs11:?b=1&a=2&b=0&a=1", P11_KIT_URI_OK, "pkcs11:?a=2&a=1&b=1&b=0", 0},
	{"pkcs11:?X-Vendor_9=1", P11_KIT_URI_OK, "pkcs11:?X-Vendor_9=1", 0},
	{"pkcs11:?a.b=1", P11_KIT_URI_BAD_SYNTAX, "", 0},
	{"pkcs11:?a%20=1", P11_KIT_URI_BAD_SYNTAX, "", 0},

	/* The last counts */
	{"pkcs11:token=a;token=b", P11_KIT_URI_OK, "pkcs11:token=b", 0},
	{"pkcs11:object=a;object=b", P11_KIT_URI_OK, "pkcs11:object=b", 0},
	{"pkcs11:?pin-value=a&pin-value=b", P11_KIT_URI_OK, "pkcs11:?pin-value=b", 0},

	/* All at once, in the order of formatting */
	{"pkcs11:type=cert;object=o;id=%01;token=t;serial=s;manufacturer=m;model=o;slot-id=5;"
	 "slot-manufacturer=n;slot-description=e;library-version=1.2;library-manufacturer=l;"
	 "library-description=d?x=1&module-path=p&module-name=q&pin-value=v&pin-source=r",
	 P11_KIT_URI_OK,
	 "pkcs11:library-description=d;library-manufacturer=l;library-version=1.2;"
	 "slot-description=e;slot-manufacturer=n;slot-id=5;model=o;manufacturer=m;serial=s;token=t;"
	 "id=%01;object=o;type=cert?pin-source=r&pin-value=v&module-name=q&module-path=p&x=1",
	 0},
};

static void
test_parse_and_format(void **state)
{
	P11KitUri *uri = new_uri();

	(void)state;
	for (size_t i = 0; i < P11_N_ELEMENTS(texts); i++) {
		int result = p11_kit_uri_parse(texts[i].text, ANY, uri);
		if (result != texts[i].result)
			fail_msg("%s: %d, not %d", texts[i].text, result, texts[i].result);
		if (result != P11_KIT_URI_OK) {
			assert_empty(uri);
			continue;
		}
		assert_formats(uri, ANY, texts[i].again);
		if (p11_kit_uri_any_unrecognized(uri) != texts[i].unrecognized)
			fail_msg("%s: wrong unrecognized", texts[i].text);
	}
	p11_kit_uri_free(uri);
}

static void
test_parse_stores(void **state)
{
	P11KitUri *uri = parsed("pkcs11:library-description=ld;library-manufacturer=lm;"
				"slot-description=sd;slot-manufacturer=sm;model=mo;manufacturer=ma;"
				"serial=se;token=to;id=%00a;object=ob;type=private");
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ULONG n;

	(void)state;
	assert_memory_equal(p11_kit_uri_get_module_info(uri)->libraryDescription,
			    "ld                              ", 32);
	assert_memory_equal(p11_kit_uri_get_module_info(uri)->manufacturerID,
			    "lm                              ", 32);
	assert_memory_equal(p11_kit_uri_get_slot_info(uri)->slotDescription,
			    "sd                              "
			    "                                ",
			    64);
	assert_memory_equal(p11_kit_uri_get_slot_info(uri)->manufacturerID,
			    "sm                              ", 32);
	assert_memory_equal(p11_kit_uri_get_token_info(uri)->model, "mo              ", 16);
	assert_memory_equal(p11_kit_uri_get_token_info(uri)->manufacturerID,
			    "ma                              ", 32);
	assert_memory_equal(p11_kit_uri_get_token_info(uri)->serialNumber, "se              ", 16);
	assert_memory_equal(p11_kit_uri_get_token_info(uri)->label,
			    "to                              ", 32);

	CK_ATTRIBUTE *attributes = p11_kit_uri_get_attributes(uri, &n);
	assert_int_equal(n, 3);
	assert_int_equal(attributes[0].type, CKA_ID);
	assert_int_equal(attributes[0].ulValueLen, 2);
	assert_memory_equal(attributes[0].pValue, "\0a", 2);
	assert_int_equal(attributes[1].type, CKA_LABEL);
	assert_int_equal(attributes[1].ulValueLen, 2);
	assert_memory_equal(attributes[1].pValue, "ob", 2);
	assert_int_equal(attributes[2].type, CKA_CLASS);
	assert_int_equal(attributes[2].ulValueLen, sizeof class);
	assert_memory_equal(attributes[2].pValue, &class, sizeof class);
	assert_int_equal(attributes[3].type, (CK_ATTRIBUTE_TYPE)-1);
	p11_kit_uri_free(uri);
}

/* A part whose type was not asked for is unrecognized, and its value is not looked at. */
static void
test_types(void **state)
{
	static const struct {
		const char *item;
		P11KitUriType needs;
	} rows[] = {
		{"id=%61", OBJECT},
		{"object=a", OBJECT},
		{"type=cert", OBJECT},
		{"model=a", TOKEN},
		{"manufacturer=a", TOKEN},
		{"serial=a", TOKEN},
		{"token=a", TOKEN},
		{"slot-description=a", P11_KIT_URI_FOR_SLOT},
		{"slot-manufacturer=a", P11_KIT_URI_FOR_SLOT},
		{"slot-id=1", P11_KIT_URI_FOR_SLOT},
		{"library-description=a", MODULE},
		{"library-manufacturer=a", MODULE},
		{"library-version=1.2", P11_KIT_URI_FOR_MODULE_WITH_VERSION},
	};
	P11KitUri *uri = new_uri(), *all = new_uri();
	char text[64], bad[64];

	(void)state;
	for (size_t i = 0; i < P11_N_ELEMENTS(rows); i++) {
		snprintf(text, sizeof text, "pkcs11:%s", rows[i].item);
		snprintf(bad, sizeof bad, "pkcs11:%.*s=%%x", (int)strcspn(rows[i].item, "="),
			 rows[i].item);
		assert_int_equal(p11_kit_uri_parse(text, ANY, all), P11_KIT_URI_OK);
		assert_formats(all, rows[i].needs, text);
		assert_int_equal(p11_kit_uri_parse(text, rows[i].needs, uri), P11_KIT_URI_OK);
		assert_int_equal(p11_kit_uri_any_unrecognized(uri), 0);
		for (unsigned bit = 1; bit <= 5; bit++) {
			unsigned others = ANY & ~(1U << bit);
			if (!(rows[i].needs & 1U << bit))
				continue;
			assert_int_equal(p11_kit_uri_parse(bad, others, uri), P11_KIT_URI_OK);
			assert_int_equal(p11_kit_uri_any_unrecognized(uri), 1);
			assert_formats(uri, ANY, "pkcs11:");
			assert_formats(all, others, "pkcs11:");
		}
	}
	assert_int_equal(p11_kit_uri_parse("pkcs11:?pin-value=1&x=2", 0, uri), P11_KIT_URI_OK);
	assert_int_equal(p11_kit_uri_any_unrecognized(uri), 0);
	assert_formats(uri, 0, "pkcs11:?pin-value=1&x=2");
	p11_kit_uri_free(uri);
	p11_kit_uri_free(all);
}

static void
test_slot_id_range(void **state)
{
	P11KitUri *uri = new_uri();
	char text[64];

	(void)state;
	snprintf(text, sizeof text, "pkcs11:slot-id=%ld", LONG_MAX);
	assert_int_equal(p11_kit_uri_parse(text, ANY, uri), P11_KIT_URI_OK);
	assert_int_equal(p11_kit_uri_get_slot_id(uri), LONG_MAX);
	snprintf(text, sizeof text, "pkcs11:slot-id=%lu", (unsigned long)LONG_MAX + 1);
	assert_int_equal(p11_kit_uri_parse(text, ANY, uri), P11_KIT_URI_BAD_SYNTAX);

	p11_kit_uri_set_slot_id(uri, (CK_SLOT_ID)LONG_MAX + 1);
	assert_formats(uri, ANY, text);
	p11_kit_uri_set_slot_id(uri, NO_SLOT_ID);
	assert_formats(uri, ANY, "pkcs11:");
	p11_kit_uri_free(uri);
}

/* Nothing of an earlier content survives: not the slot's fields, and nothing after a failure. */
static void
test_parse_replaces(void **state)
{
	const char *full = texts[P11_N_ELEMENTS(texts) - 1].text;
	P11KitUri *uri = parsed(full);
	CK_SLOT_INFO *slot = p11_kit_uri_get_slot_info(uri);

	(void)state;
	assert_int_equal(slot->slotDescription[0], 'e');
	assert_int_equal(p11_kit_uri_parse("pkcs11:", ANY, uri), P11_KIT_URI_OK);
	assert_int_equal(slot->slotDescription[0], 0);
	assert_int_equal(slot->manufacturerID[0], 0);
	assert_empty(uri);

	static const char *const bad[] = {"http:", "pkcs11:token=a;object=b;x", "pkcs11:token=a?b",
					  "pkcs11:token=a;z=1;object=%"};
	for (size_t i = 0; i < P11_N_ELEMENTS(bad); i++) {
		assert_int_equal(p11_kit_uri_parse(full, ANY, uri), P11_KIT_URI_OK);
		p11_kit_uri_set_unrecognized(uri, 1);
		assert_int_not_equal(p11_kit_uri_parse(bad[i], ANY, uri), P11_KIT_URI_OK);
		assert_empty(uri);
	}

	/* The text may be a part of the URI itself. */
	p11_kit_uri_set_pin_source(uri, "pkcs11:token=self");
	assert_int_equal(p11_kit_uri_parse(p11_kit_uri_get_pin_source(uri), ANY, uri),
			 P11_KIT_URI_OK);
	assert_formats(uri, ANY, "pkcs11:token=self");
	p11_kit_uri_free(uri);
}

static void
set_label(P11KitUri *uri, const char *label)
{
	CK_ATTRIBUTE attribute = {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)};

	assert_int_equal(p11_kit_uri_set_attribute(uri, &attribute), P11_KIT_URI_OK);
}

static void
test_attributes(void **state)
{
	P11KitUri *uri = new_uri();
	CK_BBOOL yes = CK_TRUE;
	char label[] = "one";
	CK_ATTRIBUTE attribute = {CKA_LABEL, label, 3};
	CK_ULONG n;

	(void)state;
	assert_int_equal(p11_kit_uri_set_attribute(uri, &attribute), P11_KIT_URI_OK);
	label[0] = 'O';
	assert_memory_equal(p11_kit_uri_get_attribute(uri, CKA_LABEL)->pValue, "one", 3);

	/* Any type is kept, though a URI's text cannot have it. */
	CK_ATTRIBUTE other = {CKA_PRIVATE, &yes, sizeof yes};
	assert_int_equal(p11_kit_uri_set_attribute(uri, &other), P11_KIT_URI_OK);
	CK_ATTRIBUTE id = {CKA_ID, (void *)(uintptr_t) "x", 1};
	assert_int_equal(p11_kit_uri_set_attribute(uri, &id), P11_KIT_URI_OK);
	assert_formats(uri, ANY, "pkcs11:id=%78;object=one");

	/* Replaced in place */
	set_label(uri, "two");
	CK_ATTRIBUTE *list = p11_kit_uri_get_attributes(uri, &n);
	assert_int_equal(n, 3);
	assert_int_equal(list[0].type, CKA_LABEL);
	assert_memory_equal(list[0].pValue, "two", 3);
	assert_int_equal(list[1].type, CKA_PRIVATE);
	assert_int_equal(list[2].type, CKA_ID);
	assert_int_equal(list[3].type, (CK_ATTRIBUTE_TYPE)-1);
	assert_ptr_equal(p11_kit_uri_get_attributes(uri, NULL), list);

	/* A list may be set to itself, an attribute too. */
	assert_int_equal(p11_kit_uri_set_attribute(uri, &list[0]), P11_KIT_URI_OK);
	list = p11_kit_uri_get_attributes(uri, &n);
	assert_int_equal(p11_kit_uri_set_attributes(uri, list, n), P11_KIT_URI_OK);
	assert_formats(uri, ANY, "pkcs11:id=%78;object=two");

	/* What was set can be cleared; what was not is no attribute of a URI. */
	assert_int_equal(p11_kit_uri_clear_attribute(uri, CKA_LABEL), P11_KIT_URI_OK);
	assert_int_equal(p11_kit_uri_clear_attribute(uri, CKA_LABEL), P11_KIT_URI_OK);
	assert_null(p11_kit_uri_get_attribute(uri, CKA_LABEL));
	assert_int_equal(p11_kit_uri_clear_attribute(uri, CKA_PRIVATE), P11_KIT_URI_OK);
	assert_int_equal(p11_kit_uri_clear_attribute(uri, CKA_PRIVATE), P11_KIT_URI_NOT_FOUND);
	list = p11_kit_uri_get_attributes(uri, &n);
	assert_int_equal(n, 1);
	assert_int_equal(list[0].type, CKA_ID);
	assert_int_equal(list[1].type, (CK_ATTRIBUTE_TYPE)-1);

	/* A refused list changes nothing. */
	CK_ATTRIBUTE bad[] = {attribute, {(CK_ATTRIBUTE_TYPE)-1, NULL, 0}};
	assert_int_equal(p11_kit_uri_set_attributes(uri, bad, 2), P11_KIT_URI_NOT_FOUND);
	assert_int_equal(p11_kit_uri_set_attribute(uri, &bad[1]), P11_KIT_URI_NOT_FOUND);
	assert_formats(uri, ANY, "pkcs11:id=%78");
	assert_int_equal(p11_kit_uri_set_attributes(uri, bad, 1), P11_KIT_URI_OK);
	assert_formats(uri, ANY, "pkcs11:object=One");
	assert_int_equal(p11_kit_uri_set_attributes(uri, NULL, 0), P11_KIT_URI_OK);
	assert_formats(uri, ANY, "pkcs11:");
	p11_kit_uri_clear_attributes(uri);
	assert_int_equal(p11_kit_uri_get_attributes(uri, &n)[0].type, (CK_ATTRIBUTE_TYPE)-1);
	assert_int_equal(n, 0);
	p11_kit_uri_free(uri);
}

/* Values that C_GetAttributeValue did not find, empty ones, classes that are none. */
static void
test_odd_values(void **state)
{
	P11KitUri *uri = new_uri();
	CK_OBJECT_CLASS class = CKO_MECHANISM;
	char bytes[sizeof class] = {1};
	CK_ATTRIBUTE none = {CKA_LABEL, NULL, 7}, unavailable = {CKA_ID, bytes, (CK_ULONG)-1};
	CK_ATTRIBUTE empty = {CKA_LABEL, bytes, 0};
	char *string = bytes;

	(void)state;
	assert_int_equal(p11_kit_uri_set_attribute(uri, &none), P11_KIT_URI_OK);
	assert_int_equal(p11_kit_uri_get_attribute(uri, CKA_LABEL)->ulValueLen, 0);
	assert_int_equal(p11_kit_uri_set_attribute(uri, &unavailable), P11_KIT_URI_OK);
	assert_null(p11_kit_uri_get_attribute(uri, CKA_ID)->pValue);
	assert_formats(uri, ANY, "pkcs11:");
	assert_int_equal(p11_kit_uri_set_attribute(uri, &empty), P11_KIT_URI_OK);
	assert_formats(uri, ANY, "pkcs11:object=");

	/* Callers can write to what they get. */
	p11_kit_uri_get_attribute(uri, CKA_LABEL)->ulValueLen = (CK_ULONG)-1;
	assert_int_equal(p11_kit_uri_format(uri, ANY, &string), P11_KIT_URI_UNEXPECTED);
	assert_ptr_equal(string, bytes);
	assert_int_equal(
		p11_kit_uri_match_attributes(uri, p11_kit_uri_get_attribute(uri, CKA_LABEL), 1), 0);
	p11_kit_uri_clear_attributes(uri);

	CK_ATTRIBUTE classes[] = {{CKA_CLASS, NULL, 0},
				  {CKA_CLASS, bytes, 1},
				  {CKA_CLASS, bytes, sizeof class - 1},
				  {CKA_CLASS, bytes, 0}};
	for (size_t i = 0; i < P11_N_ELEMENTS(classes); i++) {
		assert_int_equal(p11_kit_uri_set_attribute(uri, &classes[i]), P11_KIT_URI_OK);
		assert_int_equal(p11_kit_uri_format(uri, ANY, &string), P11_KIT_URI_UNEXPECTED);
		assert_ptr_equal(string, bytes);
		assert_formats(uri, TOKEN, "pkcs11:");
	}
	CK_ATTRIBUTE wordless = {CKA_CLASS, &class, sizeof class};
	assert_int_equal(p11_kit_uri_set_attribute(uri, &wordless), P11_KIT_URI_OK);
	assert_formats(uri, ANY, "pkcs11:");
	p11_kit_uri_free(uri);
}

static void
test_strings(void **state)
{
	P11KitUri *uri = new_uri();
	char pin[] = "12 34";

	(void)state;
	p11_kit_uri_set_pin_value(uri, pin);
	pin[0] = 'x';
	assert_string_equal(p11_kit_uri_get_pin_value(uri), "12 34");
	p11_kit_uri_set_pin_source(uri, "|a");
	assert_string_equal(p11_kit_uri_get_pinfile(uri), "|a");
	p11_kit_uri_set_pinfile(uri, "/b");
	assert_string_equal(p11_kit_uri_get_pin_source(uri), "/b");
	p11_kit_uri_set_module_name(uri, "soft hsm");
	assert_string_equal(p11_kit_uri_get_module_name(uri), "soft hsm");
	p11_kit_uri_set_module_path(uri, "/c.so");
	assert_string_equal(p11_kit_uri_get_module_path(uri), "/c.so");
	assert_formats(uri, 0,
		       "pkcs11:?pin-source=%2Fb&pin-value=12%2034&module-name=soft%20hsm"
		       "&module-path=%2Fc.so");

	p11_kit_uri_set_pin_value(uri, p11_kit_uri_get_pin_value(uri) + 3);
	assert_string_equal(p11_kit_uri_get_pin_value(uri), "34");
	p11_kit_uri_set_pin_value(uri, "");
	assert_formats(uri, 0,
		       "pkcs11:?pin-source=%2Fb&pin-value=&module-name=soft%20hsm"
		       "&module-path=%2Fc.so");
	p11_kit_uri_set_pin_value(uri, NULL);
	p11_kit_uri_set_pinfile(uri, NULL);
	p11_kit_uri_set_module_name(uri, NULL);
	p11_kit_uri_set_module_path(uri, NULL);
	assert_formats(uri, 0, "pkcs11:");
	p11_kit_uri_free(uri);
}

static void
test_vendor_queries(void **state)
{
	static const char *const refused[] = {
		"",          "Bad Name&", "a=b",        "a%20",        "\xc3\xa4",
		"pin-value", "pinfile",   "pin-source", "module-name", "module-path"};
	P11KitUri *uri = parsed("pkcs11:?b=1&b=2&d=3");

	(void)state;
	assert_string_equal(p11_kit_uri_get_vendor_query(uri, "b"), "1");
	assert_null(p11_kit_uri_get_vendor_query(uri, "B"));
	assert_int_equal(p11_kit_uri_set_vendor_query(uri, "c", "x y"), 1);
	assert_int_equal(p11_kit_uri_set_vendor_query(uri, "A", ""), 1);
	assert_formats(uri, 0, "pkcs11:?A=&b=1&b=2&c=x%20y&d=3");
	assert_int_equal(p11_kit_uri_set_vendor_query(uri, "b", "9"), 1);
	assert_formats(uri, 0, "pkcs11:?A=&b=9&b=2&c=x%20y&d=3");
	assert_int_equal(
		p11_kit_uri_set_vendor_query(uri, "b", p11_kit_uri_get_vendor_query(uri, "b")), 1);
	assert_int_equal(p11_kit_uri_set_vendor_query(uri, "b", NULL), 1);
	assert_formats(uri, 0, "pkcs11:?A=&b=2&c=x%20y&d=3");
	assert_int_equal(p11_kit_uri_set_vendor_query(uri, "b", NULL), 1);
	assert_int_equal(p11_kit_uri_set_vendor_query(uri, "b", NULL), 0);
	for (size_t i = 0; i < P11_N_ELEMENTS(refused); i++) {
		assert_int_equal(p11_kit_uri_set_vendor_query(uri, refused[i], "x"), 0);
		assert_int_equal(p11_kit_uri_set_vendor_query(uri, refused[i], NULL), 0);
	}
	assert_formats(uri, 0, "pkcs11:?A=&c=x%20y&d=3");
	p11_kit_uri_free(uri);
}

static void
test_format_fields(void **state)
{
	P11KitUri *uri = new_uri();
	CK_TOKEN_INFO *token = p11_kit_uri_get_token_info(uri);
	CK_INFO *info = p11_kit_uri_get_module_info(uri);

	(void)state;
	PAD(token->label, "a b");
	PAD_NUL(token->model, "nul");
	PAD(token->serialNumber, "");
	memset(token->manufacturerID, 'm', sizeof token->manufacturerID);
	assert_formats(uri, ANY,
		       "pkcs11:model=nul;manufacturer=mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm;serial=;"
		       "token=a%20b");
	memset(token, 0, sizeof *token);

	info->libraryVersion = (CK_VERSION){0, 0};
	assert_formats(uri, ANY, "pkcs11:library-version=0.0");
	assert_formats(uri, MODULE, "pkcs11:");
	info->libraryVersion = (CK_VERSION){255, 1};
	assert_formats(uri, ANY, "pkcs11:library-version=255.1");
	info->libraryVersion = (CK_VERSION){255, 255};
	assert_formats(uri, ANY, "pkcs11:");
	p11_kit_uri_free(uri);
}

static void
test_lower_case(void **state)
{
	P11KitUri *uri = parsed("pkcs11:id=%AB;object=%EF?pin-value=%0c");

	(void)state;
	setenv("P11_KIT_URI_LOWERCASE", "", 1);
	assert_formats(uri, ANY, "pkcs11:id=%AB;object=%EF?pin-value=%0C");
	setenv("P11_KIT_URI_LOWERCASE", "no", 1);
	assert_formats(uri, ANY, "pkcs11:id=%ab;object=%ef?pin-value=%0c");
	unsetenv("P11_KIT_URI_LOWERCASE");
	p11_kit_uri_free(uri);
}

static void
fill_token(CK_TOKEN_INFO *token)
{
	memset(token, 0x5a, sizeof *token);
	PAD(token->label, "label");
	PAD(token->manufacturerID, "maker");
	PAD(token->model, "model");
	PAD(token->serialNumber, "serial");
}

static void
test_match_token(void **state)
{
	static const struct {
		const char *text;
		int match;
	} rows[] = {
		{"pkcs11:", 1},
		{"pkcs11:token=label", 1},
		{"pkcs11:token=label%20", 1},
		{"pkcs11:token=label;manufacturer=maker;model=model;serial=serial", 1},
		{"pkcs11:serial=serial;token=label;model=model;manufacturer=maker", 1},
		{"pkcs11:token=Label", 0},
		{"pkcs11:token=labe", 0},
		{"pkcs11:token=labels", 0},
		{"pkcs11:token=", 0},
		{"pkcs11:token=label;manufacturer=other", 0},
		{"pkcs11:token=label;model=other", 0},
		{"pkcs11:token=label;serial=other", 0},
		{"pkcs11:token=label;x=y", 0},
		{"pkcs11:token=%00label", 0},
		{"pkcs11:library-description=x;slot-description=y;slot-id=1;object=z", 1},
		{"pkcs11:token=label?pin-value=1&x=y", 1},
	};
	P11KitUri *uri = new_uri();
	CK_TOKEN_INFO token;

	(void)state;
	fill_token(&token);
	for (size_t i = 0; i < P11_N_ELEMENTS(rows); i++) {
		assert_int_equal(p11_kit_uri_parse(rows[i].text, ANY, uri), P11_KIT_URI_OK);
		if (p11_kit_uri_match_token_info(uri, &token) != rows[i].match)
			fail_msg("%s", rows[i].text);
	}

	/* A module that pads with NULs is found too; NULs inside are not padding. */
	PAD_NUL(token.label, "label");
	assert_int_equal(p11_kit_uri_parse("pkcs11:token=label", ANY, uri), P11_KIT_URI_OK);
	assert_int_equal(p11_kit_uri_match_token_info(uri, &token), 1);
	memcpy(token.label, "label\0x", 7);
	assert_int_equal(p11_kit_uri_match_token_info(uri, &token), 0);
	memset(token.label, 0, sizeof token.label);
	assert_int_equal(p11_kit_uri_match_token_info(uri, &token), 0);
	assert_int_equal(p11_kit_uri_parse("pkcs11:token=", ANY, uri), P11_KIT_URI_OK);
	assert_int_equal(p11_kit_uri_match_token_info(uri, &token), 1);
	p11_kit_uri_free(uri);
}

static void
test_match_module_and_slot(void **state)
{
	P11KitUri *uri = parsed("pkcs11:library-manufacturer=lm;library-version=3.1;"
				"library-description=ld;slot-manufacturer=sm;slot-description=sd;"
				"slot-id=9");
	CK_INFO info;
	CK_SLOT_INFO slot;

	(void)state;
	memset(&info, 0x5a, sizeof info);
	memset(&slot, 0x5a, sizeof slot);
	PAD(info.libraryDescription, "ld");
	PAD_NUL(info.manufacturerID, "lm");
	info.libraryVersion = (CK_VERSION){3, 1};
	PAD(slot.slotDescription, "sd");
	PAD_NUL(slot.manufacturerID, "sm");

	assert_int_equal(p11_kit_uri_match_module_info(uri, &info), 1);
	assert_int_equal(p11_kit_uri_match_slot_info(uri, &slot), 1);
	info.libraryVersion.minor = 2;
	assert_int_equal(p11_kit_uri_match_module_info(uri, &info), 0);
	info.libraryVersion = (CK_VERSION){2, 1};
	assert_int_equal(p11_kit_uri_match_module_info(uri, &info), 0);
	p11_kit_uri_get_module_info(uri)->libraryVersion = (CK_VERSION){255, 255};
	assert_int_equal(p11_kit_uri_match_module_info(uri, &info), 1);
	info.libraryDescription[0] = 'x';
	assert_int_equal(p11_kit_uri_match_module_info(uri, &info), 0);
	slot.slotDescription[63] = 'x';
	assert_int_equal(p11_kit_uri_match_slot_info(uri, &slot), 0);
	PAD(slot.slotDescription, "sd");
	PAD(slot.manufacturerID, "mm");
	assert_int_equal(p11_kit_uri_match_slot_info(uri, &slot), 0);

	p11_kit_uri_clear_attributes(uri);
	PAD(slot.manufacturerID, "sm");
	p11_kit_uri_set_unrecognized(uri, -1);
	assert_int_equal(p11_kit_uri_any_unrecognized(uri), 1);
	assert_int_equal(p11_kit_uri_match_slot_info(uri, &slot), 0);
	assert_int_equal(p11_kit_uri_match_attributes(uri, NULL, 0), 0);
	p11_kit_uri_set_unrecognized(uri, 0);
	assert_int_equal(p11_kit_uri_match_slot_info(uri, &slot), 1);
	p11_kit_uri_free(uri);
}

static void
test_match_attributes(void **state)
{
	P11KitUri *uri = parsed("pkcs11:object=label;type=cert");
	CK_OBJECT_CLASS class = CKO_CERTIFICATE;
	char label[] = "label", id[] = "id";
	CK_ATTRIBUTE object[] = {{CKA_ID, id, 2},
				 {CKA_VALUE, id, 2},
				 {CKA_LABEL, label, 5},
				 {CKA_CLASS, &class, sizeof class}};

	(void)state;
	assert_int_equal(p11_kit_uri_match_attributes(uri, object, 4), 1);
	assert_int_equal(p11_kit_uri_match_attributes(uri, object, 2), 1);
	assert_int_equal(p11_kit_uri_match_attributes(uri, NULL, 0), 1);
	label[4] = 'L';
	assert_int_equal(p11_kit_uri_match_attributes(uri, object, 4), 0);
	label[4] = 'l';
	object[2].ulValueLen = 4;
	assert_int_equal(p11_kit_uri_match_attributes(uri, object, 4), 0);
	object[2].ulValueLen = (CK_ULONG)-1;
	object[2].pValue = NULL;
	assert_int_equal(p11_kit_uri_match_attributes(uri, object, 4), 0);
	object[2].ulValueLen = 5;
	assert_int_equal(p11_kit_uri_match_attributes(uri, object, 4), 0);
	object[2].pValue = label;
	class = CKO_DATA;
	assert_int_equal(p11_kit_uri_match_attributes(uri, object, 4), 0);
	assert_int_equal(p11_kit_uri_match_attributes(uri, object, 3), 1);

	/* Attributes that a URI's text cannot have do not matter, though it has one. */
	CK_ATTRIBUTE value = {CKA_VALUE, label, 5};
	assert_int_equal(p11_kit_uri_set_attribute(uri, &value), P11_KIT_URI_OK);
	assert_int_equal(p11_kit_uri_match_attributes(uri, object, 3), 1);
	assert_int_equal(p11_kit_uri_parse("pkcs11:id=i", ANY, uri), P11_KIT_URI_OK);
	assert_int_equal(p11_kit_uri_match_attributes(uri, object, 1), 0);
	p11_kit_uri_free(uri);
}

static void
test_null(void **state)
{
	P11KitUri *uri = new_uri();
	CK_ULONG n = 5;
	char *string = NULL;

	(void)state;
	assert_null(p11_kit_uri_get_module_info(NULL));
	assert_null(p11_kit_uri_get_slot_info(NULL));
	assert_null(p11_kit_uri_get_token_info(NULL));
	assert_int_equal(p11_kit_uri_get_slot_id(NULL), NO_SLOT_ID);
	p11_kit_uri_set_slot_id(NULL, 1);
	assert_int_equal(p11_kit_uri_match_module_info(NULL, NULL), 0);
	assert_int_equal(p11_kit_uri_match_module_info(uri, NULL), 0);
	assert_int_equal(p11_kit_uri_match_slot_info(NULL, NULL), 0);
	assert_int_equal(p11_kit_uri_match_slot_info(uri, NULL), 0);
	assert_int_equal(p11_kit_uri_match_token_info(NULL, NULL), 0);
	assert_int_equal(p11_kit_uri_match_token_info(uri, NULL), 0);
	assert_int_equal(p11_kit_uri_match_attributes(NULL, NULL, 0), 0);
	assert_int_equal(p11_kit_uri_match_attributes(uri, NULL, 1), 0);
	assert_null(p11_kit_uri_get_attribute(NULL, CKA_ID));
	assert_int_equal(p11_kit_uri_set_attribute(NULL, NULL), P11_KIT_URI_UNEXPECTED);
	assert_int_equal(p11_kit_uri_set_attribute(uri, NULL), P11_KIT_URI_UNEXPECTED);
	assert_int_equal(p11_kit_uri_clear_attribute(NULL, CKA_ID), P11_KIT_URI_UNEXPECTED);
	assert_null(p11_kit_uri_get_attributes(NULL, &n));
	assert_int_equal(p11_kit_uri_set_attributes(NULL, NULL, 0), P11_KIT_URI_UNEXPECTED);
	assert_int_equal(p11_kit_uri_set_attributes(uri, NULL, 1), P11_KIT_URI_UNEXPECTED);
	p11_kit_uri_clear_attributes(NULL);
	assert_null(p11_kit_uri_get_pin_value(NULL));
	assert_null(p11_kit_uri_get_pin_source(NULL));
	assert_null(p11_kit_uri_get_pinfile(NULL));
	assert_null(p11_kit_uri_get_module_name(NULL));
	assert_null(p11_kit_uri_get_module_path(NULL));
	p11_kit_uri_set_pin_value(NULL, "x");
	p11_kit_uri_set_pin_source(NULL, "x");
	p11_kit_uri_set_pinfile(NULL, "x");
	p11_kit_uri_set_module_name(NULL, "x");
	p11_kit_uri_set_module_path(NULL, "x");
	assert_null(p11_kit_uri_get_vendor_query(NULL, "x"));
	assert_null(p11_kit_uri_get_vendor_query(uri, NULL));
	assert_int_equal(p11_kit_uri_set_vendor_query(NULL, "x", "x"), 0);
	assert_int_equal(p11_kit_uri_set_vendor_query(uri, NULL, "x"), 0);
	p11_kit_uri_set_unrecognized(NULL, 1);
	assert_int_equal(p11_kit_uri_any_unrecognized(NULL), 1);
	assert_int_equal(p11_kit_uri_format(NULL, ANY, &string), P11_KIT_URI_UNEXPECTED);
	assert_int_equal(p11_kit_uri_format(uri, ANY, NULL), P11_KIT_URI_UNEXPECTED);
	assert_null(string);
	assert_int_equal(p11_kit_uri_parse("pkcs11:", ANY, NULL), P11_KIT_URI_UNEXPECTED);
	p11_kit_uri_set_pin_value(uri, "x");
	assert_int_equal(p11_kit_uri_parse(NULL, ANY, uri), P11_KIT_URI_UNEXPECTED);
	assert_empty(uri);
	p11_kit_uri_free(uri);
}

static void
test_messages(void **state)
{
	(void)state;
	assert_null(p11_kit_uri_message(P11_KIT_URI_OK));
	for (int code = -1; code >= -6; code--) {
		for (int other = code - 1; other >= -7; other--)
			assert_string_not_equal(p11_kit_uri_message(code),
						p11_kit_uri_message(other));
	}
	assert_string_equal(p11_kit_uri_message(1), p11_kit_uri_message(-7));
	assert_string_equal(p11_kit_uri_message(INT_MAX), p11_kit_uri_message(INT_MIN));
}

/* A generator that gives the same numbers everywhere (Marsaglia's xorshift). */
static uint64_t seed;

static unsigned
next_number(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed % below);
}

/* A text of random bytes, which does not begin or end with padding. */
static size_t
random_bytes(unsigned char *bytes, size_t max, bool with_nul)
{
	size_t length = next_number((unsigned)max) + 1;

	for (size_t i = 0; i < length; i++)
		bytes[i] = (unsigned char)(with_nul ? next_number(256) : next_number(255) + 1);
	if (bytes[0] == '\0')
		bytes[0] = 'a';
	if (bytes[length - 1] == ' ' || bytes[length - 1] == '\0')
		bytes[length - 1] = 'z';
	return length;
}

static void
random_field(unsigned char *field, size_t size)
{
	unsigned char bytes[64];

	if (next_number(3) == 0)
		return;
	memset(field, next_number(4) ? ' ' : '\0', size);
	memcpy(field, bytes, random_bytes(bytes, size, true));
}

static void
random_attribute(P11KitUri *uri, CK_ATTRIBUTE_TYPE type)
{
	unsigned char bytes[100];
	CK_ATTRIBUTE attribute = {type, bytes, 0};

	if (next_number(3) == 0)
		return;
	if (next_number(5))
		attribute.ulValueLen = random_bytes(bytes, sizeof bytes, true);
	assert_int_equal(p11_kit_uri_set_attribute(uri, &attribute), P11_KIT_URI_OK);
}

static const char *
random_string(char buffer[100])
{
	if (next_number(3) == 0)
		return NULL;
	buffer[random_bytes((unsigned char *)buffer, 99, false)] = '\0';
	return buffer;
}

static void
random_uri(P11KitUri *uri)
{
	static const CK_OBJECT_CLASS classes[] = {CKO_DATA, CKO_CERTIFICATE, CKO_PUBLIC_KEY,
						  CKO_PRIVATE_KEY, CKO_SECRET_KEY};
	CK_INFO *info = p11_kit_uri_get_module_info(uri);
	CK_SLOT_INFO *slot = p11_kit_uri_get_slot_info(uri);
	CK_TOKEN_INFO *token = p11_kit_uri_get_token_info(uri);
	char string[100];

	random_field(info->libraryDescription, sizeof info->libraryDescription);
	random_field(info->manufacturerID, sizeof info->manufacturerID);
	random_field(slot->slotDescription, sizeof slot->slotDescription);
	random_field(slot->manufacturerID, sizeof slot->manufacturerID);
	random_field(token->label, sizeof token->label);
	random_field(token->manufacturerID, sizeof token->manufacturerID);
	random_field(token->model, sizeof token->model);
	random_field(token->serialNumber, sizeof token->serialNumber);
	if (next_number(2))
		info->libraryVersion =
			(CK_VERSION){(CK_BYTE)next_number(255), (CK_BYTE)next_number(255)};
	if (next_number(2))
		p11_kit_uri_set_slot_id(uri, next_number(INT_MAX));
	random_attribute(uri, CKA_ID);
	random_attribute(uri, CKA_LABEL);
	if (next_number(2)) {
		CK_OBJECT_CLASS class = classes[next_number(P11_N_ELEMENTS(classes))];
		CK_ATTRIBUTE attribute = {CKA_CLASS, &class, sizeof class};
		assert_int_equal(p11_kit_uri_set_attribute(uri, &attribute), P11_KIT_URI_OK);
	}
	p11_kit_uri_set_pin_value(uri, random_string(string));
	p11_kit_uri_set_pin_source(uri, random_string(string));
	p11_kit_uri_set_module_name(uri, random_string(string));
	p11_kit_uri_set_module_path(uri, random_string(string));
	for (unsigned i = next_number(4); i > 0; i--) {
		char name[] = {(char)('a' + next_number(26)), (char)('A' + next_number(26)), 0};
		const char *value = random_string(string);
		if (value)
			assert_int_equal(p11_kit_uri_set_vendor_query(uri, name, value), 1);
	}
}

static void
assert_same_string(const char *one, const char *other)
{
	assert_int_equal(one == NULL, other == NULL);
	if (one)
		assert_string_equal(one, other);
}

/* Each matches what the other is: nothing was lost, nothing was added. */
static void
assert_same(P11KitUri *one, P11KitUri *other)
{
	CK_ULONG n_one, n_other;
	CK_ATTRIBUTE *list = p11_kit_uri_get_attributes(one, &n_one);
	CK_ATTRIBUTE *other_list = p11_kit_uri_get_attributes(other, &n_other);

	assert_true(p11_kit_uri_match_module_info(one, p11_kit_uri_get_module_info(other)));
	assert_true(p11_kit_uri_match_module_info(other, p11_kit_uri_get_module_info(one)));
	assert_true(p11_kit_uri_match_slot_info(one, p11_kit_uri_get_slot_info(other)));
	assert_true(p11_kit_uri_match_slot_info(other, p11_kit_uri_get_slot_info(one)));
	assert_true(p11_kit_uri_match_token_info(one, p11_kit_uri_get_token_info(other)));
	assert_true(p11_kit_uri_match_token_info(other, p11_kit_uri_get_token_info(one)));
	assert_int_equal(p11_kit_uri_get_slot_id(one), p11_kit_uri_get_slot_id(other));
	assert_int_equal(n_one, n_other);
	assert_true(p11_kit_uri_match_attributes(one, other_list, n_other));
	assert_true(p11_kit_uri_match_attributes(other, list, n_one));
	for (CK_ULONG i = 0; i < n_one; i++)
		assert_non_null(p11_kit_uri_get_attribute(other, list[i].type));
	assert_same_string(p11_kit_uri_get_pin_value(one), p11_kit_uri_get_pin_value(other));
	assert_same_string(p11_kit_uri_get_pin_source(one), p11_kit_uri_get_pin_source(other));
	assert_same_string(p11_kit_uri_get_module_name(one), p11_kit_uri_get_module_name(other));
	assert_same_string(p11_kit_uri_get_module_path(one), p11_kit_uri_get_module_path(other));
	for (char a = 'a'; a <= 'z'; a++) {
		for (char b = 'A'; b <= 'Z'; b++) {
			char name[] = {a, b, 0};
			assert_same_string(p11_kit_uri_get_vendor_query(one, name),
					   p11_kit_uri_get_vendor_query(other, name));
		}
	}
}

static void
test_round_trip(void **state)
{
	(void)state;
	seed = 7512;
	for (int i = 0; i < 2000; i++) {
		P11KitUri *uri = new_uri();
		random_uri(uri);
		char *text = formatted(uri, ANY);
		P11KitUri *again = parsed(text);
		assert_int_equal(p11_kit_uri_any_unrecognized(again), 0);
		assert_same(uri, again);
		assert_formats(again, ANY, text);
		free(text);
		p11_kit_uri_free(again);
		p11_kit_uri_free(uri);
	}
}

/* RFC 7512 2.5: the order of attributes does not matter. */
static void
test_any_order(void **state)
{
	const char *items[] = {"token=t",
			       "serial=s",
			       "model=m",
			       "manufacturer=f",
			       "object=o",
			       "id=%01",
			       "type=cert",
			       "slot-id=3",
			       "slot-description=d",
			       "slot-manufacturer=n",
			       "library-description=l",
			       "library-manufacturer=k",
			       "library-version=1.2"};
	size_t n = P11_N_ELEMENTS(items);
	P11KitUri *uri = new_uri();
	char *expected = NULL;

	(void)state;
	seed = 35;
	for (int round = 0; round < 200; round++) {
		char text[512] = "pkcs11:";
		for (size_t i = n - 1; i > 0; i--) {
			size_t j = next_number((unsigned)i + 1);
			const char *swapped = items[i];
			items[i] = items[j];
			items[j] = swapped;
		}
		for (size_t i = 0; i < n; i++) {
			strcat(text, items[i]);
			strcat(text, i + 1 < n ? ";" : "");
		}
		assert_int_equal(p11_kit_uri_parse(text, ANY, uri), P11_KIT_URI_OK);
		if (!expected)
			expected = formatted(uri, ANY);
		assert_formats(uri, ANY, expected);
	}
	free(expected);
	p11_kit_uri_free(uri);
}

/* Whatever the text: a known result; empty after a failure; and what was understood stays so. */
static void
check_hostile(P11KitUri *uri, P11KitUri *again, const char *text)
{
	int result = p11_kit_uri_parse(text, ANY, uri);

	if (result != P11_KIT_URI_OK) {
		assert_in_range(-result, -P11_KIT_URI_BAD_SCHEME, -P11_KIT_URI_BAD_VERSION);
		assert_empty(uri);
		return;
	}
	char *first = formatted(uri, ANY);
	assert_int_equal(p11_kit_uri_parse(first, ANY, again), P11_KIT_URI_OK);
	assert_int_equal(p11_kit_uri_any_unrecognized(again), 0);
	assert_formats(again, ANY, first);
	free(first);
}

static void
test_hostile(void **state)
{
	P11KitUri *uri = new_uri(), *again = new_uri();

	(void)state;
	for (size_t i = 0; i < P11_N_ELEMENTS(texts); i++) {
		size_t length = strlen(texts[i].text);
		/* Exactly as long as the text, so that a read behind it is seen. */
		for (size_t cut = 0; cut <= length; cut++) {
			char *text = strndup(texts[i].text, cut);
			check_hostile(uri, again, text);
			free(text);
		}
		char *text = strdup(texts[i].text);
		for (size_t at = 0; at < length; at++) {
			char kept = text[at];
			for (int byte = 1; byte < 256; byte++) {
				text[at] = (char)byte;
				check_hostile(uri, again, text);
			}
			text[at] = kept;
		}
		free(text);
	}
	p11_kit_uri_free(uri);
	p11_kit_uri_free(again);
}

/* No block that the library frees has the secret in it, whichever way it came in or goes out. */
static void
test_secrets_are_wiped(void **state)
{
	char secret[] = "s3cr3t-PIN", other[] = "other";
	CK_ATTRIBUTE attribute = {CKA_VALUE, secret, strlen(secret)};
	P11KitUri *uri = new_uri();

	(void)state;
	watched_secret = secret;
	n_leaked_secrets = n_watched_blocks = 0;
	p11_kit_uri_set_pin_value(uri, secret);
	p11_kit_uri_set_pin_value(uri, other);
	p11_kit_uri_set_pin_source(uri, secret);
	p11_kit_uri_set_pin_source(uri, NULL);
	assert_int_equal(p11_kit_uri_set_vendor_query(uri, "x", secret), 1);
	assert_int_equal(p11_kit_uri_set_vendor_query(uri, "x", other), 1);
	assert_int_equal(p11_kit_uri_set_attribute(uri, &attribute), P11_KIT_URI_OK);
	p11_kit_uri_get_attribute(uri, CKA_VALUE)->ulValueLen = (CK_ULONG)-1;
	assert_int_equal(p11_kit_uri_set_attribute(uri, &attribute), P11_KIT_URI_OK);
	assert_int_equal(p11_kit_uri_clear_attribute(uri, CKA_VALUE), P11_KIT_URI_OK);
	assert_int_equal(p11_kit_uri_parse("pkcs11:?pin-value=s3cr3t-PIN", ANY, uri),
			 P11_KIT_URI_OK);
	assert_int_equal(p11_kit_uri_parse("pkcs11:?pin-value=s3cr3t-PIN&x=%", ANY, uri),
			 P11_KIT_URI_BAD_ENCODING);
	assert_int_equal(p11_kit_uri_parse("pkcs11:?pin-value=s3cr3t-PIN%", ANY, uri),
			 P11_KIT_URI_BAD_ENCODING);
	assert_int_equal(p11_kit_uri_parse("pkcs11:?pin-value=a%00s3cr3t-PIN", ANY, uri),
			 P11_KIT_URI_OK);
	assert_int_equal(p11_kit_uri_parse("http:s3cr3t-PIN", ANY, uri), P11_KIT_URI_BAD_SCHEME);
	assert_int_equal(p11_kit_uri_parse("pkcs11:token=s3cr3t-PIN", ANY, uri), P11_KIT_URI_OK);
	p11_kit_uri_set_pin_value(uri, secret);
	assert_int_equal(p11_kit_uri_set_attribute(uri, &attribute), P11_KIT_URI_OK);
	p11_kit_uri_free(uri);
	watched_secret = NULL;
	assert_true(n_watched_blocks > 20);
	assert_int_equal(n_leaked_secrets, 0);

	/* And the watch can see: */
	char *volatile copy = strdup(secret); /* volatile: or both calls vanish */
	watched_secret = secret;
	free(copy);
	watched_secret = NULL;
	assert_int_equal(n_leaked_secrets, 1);
}

/* One allocation fails, an ever later one: each call works or says so, and changes nothing or
 * empties. */
static bool
works_without_one_allocation(int n)
{
	const char *full = texts[P11_N_ELEMENTS(texts) - 1].text;
	char label[] = "label";
	CK_ATTRIBUTE list[] = {{CKA_LABEL, label, 5}, {CKA_ID, label, 2}};
	char *string = label;
	bool ok = true;

	allocations_left = n;
	P11KitUri *uri = p11_kit_uri_new();
	if (uri) {
		int result = p11_kit_uri_parse(full, ANY, uri);
		assert_true(result == P11_KIT_URI_OK || result == P11_KIT_URI_NO_MEMORY);
		ok = ok && result == P11_KIT_URI_OK;
		result = p11_kit_uri_set_attribute(uri, &list[0]);
		ok = ok && result == P11_KIT_URI_OK;
		result = p11_kit_uri_set_attributes(uri, list, 2);
		ok = ok && result == P11_KIT_URI_OK;
		ok = p11_kit_uri_set_vendor_query(uri, "w", "1") && ok;
		ok = p11_kit_uri_set_vendor_query(uri, "w", "2") && ok;
		p11_kit_uri_set_pin_value(uri, "5678");
		const char *pin = p11_kit_uri_get_pin_value(uri);
		assert_true(!pin || strcmp(pin, "5678") == 0);
		ok = ok && pin;
		result = p11_kit_uri_format(uri, ANY, &string);
		assert_true(result == P11_KIT_URI_OK || string == label);
		ok = ok && result == P11_KIT_URI_OK;
		assert_non_null(p11_kit_uri_get_attributes(uri, NULL));
	}
	allocations_left = -1;
	if (string != label)
		free(string);
	if (uri) {
		char *whole = formatted(uri, ANY);
		free(whole);
	}
	p11_kit_uri_free(uri);
	return uri && ok;
}

static void
test_memory_runs_out(void **state)
{
	int n = 0;

	(void)state;
	while (!works_without_one_allocation(n))
		n++;
	assert_true(n > 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_is_empty),
		cmocka_unit_test(test_parse_and_format),
		cmocka_unit_test(test_parse_stores),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_slot_id_range),
		cmocka_unit_test(test_parse_replaces),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_odd_values),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_vendor_queries),
		cmocka_unit_test(test_format_fields),
		cmocka_unit_test(test_lower_case),
		cmocka_unit_test(test_match_token),
		cmocka_unit_test(test_match_module_and_slot),
		cmocka_unit_test(test_match_attributes),
		cmocka_unit_test(test_null),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_secrets_are_wiped),
		cmocka_unit_test(test_memory_runs_out),
	};

	unsetenv("P11_KIT_STRICT");
	unsetenv("P11_KIT_URI_LOWERCASE");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
