/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of a URI's parts, and what owns their values.
 */
#include "api/uri-parts.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) sizeof(((P11KitUri *)NULL)->field), offsetof(P11KitUri, field)
#define OBJECT P11_KIT_URI_FOR_OBJECT
#define TOKEN P11_KIT_URI_FOR_TOKEN
#define MODULE P11_KIT_URI_FOR_MODULE
#define MODULE_VERSION P11_KIT_URI_FOR_MODULE_WITH_VERSION
#define SLOT P11_KIT_URI_FOR_SLOT

/* RFC 7512 2.3: the attributes of path and query. */
const struct p11_uri_part p11_uri_parts[] = {
	{"library-description", P11_URI_FIXED, MODULE, AT(module.libraryDescription)},
	{"library-manufacturer", P11_URI_FIXED, MODULE, AT(module.manufacturerID)},
	{"library-version", P11_URI_VERSION, MODULE_VERSION, AT(module.libraryVersion)},
	{"slot-description", P11_URI_FIXED, SLOT, AT(slot.slotDescription)},
	{"slot-manufacturer", P11_URI_FIXED, SLOT, AT(slot.manufacturerID)},
	{"slot-id", P11_URI_SLOT_ID, SLOT, AT(slot_id)},
	{"model", P11_URI_FIXED, TOKEN, AT(token.model)},
	{"manufacturer", P11_URI_FIXED, TOKEN, AT(token.manufacturerID)},
	{"serial", P11_URI_FIXED, TOKEN, AT(token.serialNumber)},
	{"token", P11_URI_FIXED, TOKEN, AT(token.label)},
	{"id", P11_URI_BYTES, OBJECT, 0, CKA_ID},
	{"object", P11_URI_LABEL, OBJECT, 0, CKA_LABEL},
	{"type", P11_URI_CLASS, OBJECT, 0, CKA_CLASS},
	{"object-type", P11_URI_CLASS | P11_URI_ALIAS, OBJECT, 0, CKA_CLASS},
	{"objecttype", P11_URI_CLASS | P11_URI_ALIAS, OBJECT, 0, CKA_CLASS},
	{"pin-source", P11_URI_STRING | P11_URI_IN_PATH, 0, 0, P11_URI_PIN_SOURCE},
	{"pinfile", P11_URI_STRING | P11_URI_IN_PATH | P11_URI_ALIAS, 0, 0, P11_URI_PIN_SOURCE},
	{"pin-value", P11_URI_STRING | P11_URI_IN_PATH, 0, 0, P11_URI_PIN_VALUE},
	{"module-name", P11_URI_STRING, 0, 0, P11_URI_MODULE_NAME},
	{"module-path", P11_URI_STRING, 0, 0, P11_URI_MODULE_PATH},
	{"", 0, 0, 0, 0},
};

const struct p11_uri_part *
p11_uri_part_find(struct p11_span name)
{
	for (const struct p11_uri_part *part = p11_uri_parts; part->name[0]; part++) {
		if (p11_span_is(name, part->name))
			return part;
	}
	return NULL;
}

bool
p11_uri_has_version(const P11KitUri *uri)
{
	const CK_VERSION *version = &uri->module.libraryVersion;

	return version->major != P11_URI_NO_VERSION || version->minor != P11_URI_NO_VERSION;
}

size_t
p11_uri_field_length(const unsigned char *field, size_t size)
{
	while (size > 0 && (field[size - 1] == ' ' || field[size - 1] == '\0'))
		size--;
	return size;
}

/* Strings and bytes, which may be secret */

void
p11_uri_wipe(void *bytes, size_t length)
{
	if (bytes)
		explicit_bzero(bytes, length);
	free(bytes);
}

void
p11_uri_wipe_string(char *string)
{
	p11_uri_wipe(string, string ? strlen(string) : 0);
}

/* A copy with a NUL behind it, never NULL for no bytes; NULL without memory. */
static unsigned char *
bytes_dup(const void *bytes, size_t length)
{
	unsigned char *copy = length < SIZE_MAX ? malloc(length + 1) : NULL;

	if (!copy)
		return NULL;
	if (length > 0)
		memcpy(copy, bytes, length);
	copy[length] = '\0';
	return copy;
}

/* The attributes of an object */

CK_ATTRIBUTE *
p11_uri_attributes_find(const struct p11_uri_attributes *attributes, CK_ATTRIBUTE_TYPE type)
{
	for (CK_ULONG i = 0; i < attributes->count; i++) {
		if (attributes->list[i].type == type)
			return &attributes->list[i];
	}
	return NULL;
}

void
p11_uri_attributes_clear(struct p11_uri_attributes *attributes)
{
	for (CK_ULONG i = 0; i < attributes->count; i++)
		p11_uri_wipe(attributes->values[i].data, attributes->values[i].size);
	free(attributes->values);
	free(attributes->list);
	*attributes = (struct p11_uri_attributes){0};
}

void
p11_uri_attributes_remove(struct p11_uri_attributes *attributes, CK_ATTRIBUTE *attribute)
{
	size_t at = (size_t)(attribute - attributes->list);
	size_t n_after = --attributes->count - at;
	struct p11_uri_value *value = &attributes->values[at];

	p11_uri_wipe(value->data, value->size);
	memmove(value, value + 1, n_after * sizeof *value);
	memmove(attribute, attribute + 1, (n_after + 1) * sizeof *attribute); /* the end too */
}

/* Makes room for an attribute of a type that is not there; NULL without memory. */
static CK_ATTRIBUTE *
attributes_grow(struct p11_uri_attributes *attributes, CK_ATTRIBUTE_TYPE type)
{
	CK_ULONG at = attributes->count;
	struct p11_uri_value *values = reallocarray(attributes->values, at + 1, sizeof *values);

	if (!values)
		return NULL;
	attributes->values = values;
	CK_ATTRIBUTE *list = reallocarray(attributes->list, at + 2, sizeof *list);
	if (!list)
		return NULL;
	attributes->list = list;

	values[at] = (struct p11_uri_value){NULL, 0};
	list[at] = (CK_ATTRIBUTE){type, NULL, 0};
	list[at + 1] = (CK_ATTRIBUTE){P11_URI_END_OF_ATTRIBUTES, NULL, 0};
	attributes->count++;
	return &list[at];
}

bool
p11_uri_attributes_take(struct p11_uri_attributes *attributes, CK_ATTRIBUTE_TYPE type, void *data,
			size_t size)
{
	CK_ATTRIBUTE *attribute = p11_uri_attributes_find(attributes, type);

	if (!attribute)
		attribute = attributes_grow(attributes, type);
	if (!attribute) {
		p11_uri_wipe(data, size);
		return false;
	}

	struct p11_uri_value *value = &attributes->values[attribute - attributes->list];
	p11_uri_wipe(value->data, value->size);
	*value = (struct p11_uri_value){data, size};
	*attribute = (CK_ATTRIBUTE){type, data, size};
	return true;
}

P11KitUriResult
p11_uri_attributes_set(struct p11_uri_attributes *attributes, const CK_ATTRIBUTE *attribute)
{
	bool has_value = attribute->pValue && attribute->ulValueLen != P11_URI_UNAVAILABLE;
	size_t size = has_value ? attribute->ulValueLen : 0;

	if (attribute->type == P11_URI_END_OF_ATTRIBUTES)
		return P11_KIT_URI_NOT_FOUND;
	void *data = has_value ? bytes_dup(attribute->pValue, size) : NULL;
	if (has_value && !data)
		return P11_KIT_URI_NO_MEMORY;
	if (!p11_uri_attributes_take(attributes, attribute->type, data, size))
		return P11_KIT_URI_NO_MEMORY;
	return P11_KIT_URI_OK;
}

/* Vendor queries */

bool
p11_uri_is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

bool
p11_uri_is_vendor_name(struct p11_span name)
{
	for (size_t i = 0; i < name.length; i++) {
		if (!p11_uri_is_name_char(name.data[i]))
			return false;
	}
	return name.length > 0;
}

bool
p11_uri_query_take(P11KitUri *uri, char *name, char *value)
{
	struct p11_uri_query *queries = NULL;

	if (name && value)
		queries = reallocarray(uri->queries, uri->n_queries + 1, sizeof *queries);
	if (!queries) {
		p11_uri_wipe_string(name);
		p11_uri_wipe_string(value);
		return false;
	}

	size_t at = uri->n_queries++;
	uri->queries = queries;
	for (; at > 0 && strcmp(queries[at - 1].name, name) > 0; at--)
		queries[at] = queries[at - 1];
	queries[at] = (struct p11_uri_query){name, value};
	return true;
}

void
p11_uri_query_remove(P11KitUri *uri, size_t at)
{
	p11_uri_wipe_string(uri->queries[at].name);
	p11_uri_wipe_string(uri->queries[at].value);
	uri->n_queries--;
	memmove(&uri->queries[at], &uri->queries[at + 1],
		(uri->n_queries - at) * sizeof *uri->queries);
}

/* The whole object */

void
p11_uri_clear(P11KitUri *uri)
{
	p11_uri_attributes_clear(&uri->attributes);
	for (size_t i = 0; i < P11_URI_N_STRINGS; i++)
		p11_uri_wipe_string(uri->strings[i]);
	while (uri->n_queries > 0)
		p11_uri_query_remove(uri, uri->n_queries - 1);
	free(uri->queries);
	explicit_bzero(uri, sizeof *uri);

	uri->slot_id = P11_URI_NO_SLOT_ID;
	uri->module.libraryVersion = (CK_VERSION){P11_URI_NO_VERSION, P11_URI_NO_VERSION};
}
