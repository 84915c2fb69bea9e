/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each line of the input, "NAME=BYTES", sets a part of a URI as a program does: a field of its
 * structures, an attribute, a string, or a vendor query of that name. If the URI can be formatted,
 * then what is parsed of that is the same.
 */
#include "uri-same.h"

#include <limits.h>
#include <string.h>

struct line {
	char *name;
	unsigned char *bytes; /* with a NUL behind them */
	size_t length;
};

static bool
set_field(P11KitUri *uri, const struct line *line)
{
	CK_INFO *module = p11_kit_uri_get_module_info(uri);
	CK_SLOT_INFO *slot = p11_kit_uri_get_slot_info(uri);
	CK_TOKEN_INFO *token = p11_kit_uri_get_token_info(uri);
	const struct {
		const char *name;
		unsigned char *field;
		size_t size;
	} fields[] = {
		{"library-description", module->libraryDescription, 32},
		{"library-manufacturer", module->manufacturerID, 32},
		{"library-version", &module->libraryVersion.major, 2},
		{"slot-description", slot->slotDescription, 64},
		{"slot-manufacturer", slot->manufacturerID, 32},
		{"model", token->model, 16},
		{"manufacturer", token->manufacturerID, 32},
		{"serial", token->serialNumber, 16},
		{"token", token->label, 32},
	};

	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		size_t size = fields[i].size;

		if (strcmp(line->name, fields[i].name) != 0)
			continue;
		memset(fields[i].field, ' ', size);
		memcpy(fields[i].field, line->bytes, line->length < size ? line->length : size);
		return true;
	}
	return false;
}

static bool
set_attribute(P11KitUri *uri, const struct line *line)
{
	CK_ATTRIBUTE attribute = {0, line->bytes, line->length};
	CK_OBJECT_CLASS class = line->bytes[0];

	if (strcmp(line->name, "id") == 0) {
		attribute.type = CKA_ID;
	} else if (strcmp(line->name, "object") == 0) {
		attribute.type = CKA_LABEL;
	} else if (strcmp(line->name, "raw-class") == 0) {
		attribute.type = CKA_CLASS;
	} else if (strcmp(line->name, "class") == 0) {
		attribute = (CK_ATTRIBUTE){CKA_CLASS, &class, sizeof class};
	} else if (strcmp(line->name, "nothing") == 0) {
		attribute = (CK_ATTRIBUTE){line->bytes[0], NULL, (CK_ULONG)-1};
	} else {
		return false;
	}
	fuzz_check(p11_kit_uri_set_attribute(uri, &attribute) == P11_KIT_URI_OK);
	return true;
}

static void
set(P11KitUri *uri, const struct line *line)
{
	const char *text = (const char *)line->bytes;

	if (set_field(uri, line) || set_attribute(uri, line))
		return;
	if (strcmp(line->name, "slot-id") == 0)
		p11_kit_uri_set_slot_id(uri, strtoul(text, NULL, 0));
	else if (strcmp(line->name, "pin-value") == 0)
		p11_kit_uri_set_pin_value(uri, text);
	else if (strcmp(line->name, "pin-source") == 0)
		p11_kit_uri_set_pin_source(uri, text);
	else if (strcmp(line->name, "module-name") == 0)
		p11_kit_uri_set_module_name(uri, text);
	else if (strcmp(line->name, "module-path") == 0)
		p11_kit_uri_set_module_path(uri, text);
	else if (p11_kit_uri_set_vendor_query(uri, line->name, text))
		fuzz_check(strcmp(p11_kit_uri_get_vendor_query(uri, line->name), text) == 0);
}

static void
set_line(P11KitUri *uri, const uint8_t *data, size_t size)
{
	const uint8_t *equals = memchr(data, '=', size);

	if (!equals)
		return;
	size_t name_length = (size_t)(equals - data);
	struct line line = {.length = size - name_length - 1};
	line.name = fuzz_have(calloc(1, name_length + 1));
	line.bytes = fuzz_have(calloc(1, line.length + 1));
	memcpy(line.name, data, name_length);
	memcpy(line.bytes, equals + 1, line.length);
	set(uri, &line);
	free(line.name);
	free(line.bytes);
}

static void
set_lines(P11KitUri *uri, const uint8_t *data, size_t size)
{
	while (size > 0) {
		const uint8_t *stop = memchr(data, '\n', size);
		size_t length = stop ? (size_t)(stop - data) : size;

		set_line(uri, data, length);
		data += length + (stop != NULL);
		size -= length + (stop != NULL);
	}
}

/* What the parser refuses by contract, though a program can set it. */
static int
expected_result(P11KitUri *uri)
{
	const CK_VERSION *version = &p11_kit_uri_get_module_info(uri)->libraryVersion;
	CK_SLOT_ID slot_id = p11_kit_uri_get_slot_id(uri);

	if ((version->major == 255) != (version->minor == 255))
		return P11_KIT_URI_BAD_VERSION;
	if (slot_id > LONG_MAX && slot_id != (CK_SLOT_ID)-1)
		return P11_KIT_URI_BAD_SYNTAX;
	return P11_KIT_URI_OK;
}

/* The text has no attributes without a value or a word. */
static void
drop_wordless(P11KitUri *uri)
{
	static const CK_ATTRIBUTE_TYPE types[] = {CKA_ID, CKA_LABEL, CKA_CLASS};
	P11KitUri *again = NULL;

	for (size_t i = 0; i < 3; i++) {
		CK_ATTRIBUTE *attribute = p11_kit_uri_get_attribute(uri, types[i]);
		if (attribute && !attribute->pValue)
			p11_kit_uri_clear_attribute(uri, types[i]);
	}
	char *text = fuzz_uri_format(uri, P11_KIT_URI_FOR_ANY);
	again = fuzz_uri_parse(text, P11_KIT_URI_FOR_ANY);
	if (!p11_kit_uri_get_attribute(again, CKA_CLASS))
		p11_kit_uri_clear_attribute(uri, CKA_CLASS);
	p11_kit_uri_free(again);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	P11KitUri *uri = fuzz_have(p11_kit_uri_new()), *again = fuzz_have(p11_kit_uri_new());
	char *text = NULL;

	set_lines(uri, data, size);
	int result = p11_kit_uri_format(uri, P11_KIT_URI_FOR_ANY, &text);
	CK_ATTRIBUTE *class = p11_kit_uri_get_attribute(uri, CKA_CLASS);
	if (class && (!class->pValue || class->ulValueLen != sizeof(CK_OBJECT_CLASS))) {
		fuzz_check(result == P11_KIT_URI_UNEXPECTED && !text);
	} else {
		fuzz_check(result == P11_KIT_URI_OK);
		result = p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, again);
		fuzz_check(result == expected_result(uri));
		if (result == P11_KIT_URI_OK) {
			drop_wordless(uri);
			fuzz_uri_same(uri, again, P11_KIT_URI_FOR_ANY);
			fuzz_uri_reorder(uri, text, P11_KIT_URI_FOR_ANY);
		}
		free(text);
	}
	p11_kit_uri_free(again);
	p11_kit_uri_free(uri);
	return 0;
}
