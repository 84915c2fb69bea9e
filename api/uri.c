/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The URI object: making it, matching, getting and setting its parts. Its text is the business of
 * uri-text.c. Sets no message.
 */
#include "p11-kit/uri.h"

#include "api/uri-parts.h"

#include "base/message.h"

#include <stdlib.h>
#include <string.h>

P11_EXPORT P11KitUri *
p11_kit_uri_new(void)
{
	P11KitUri *uri = calloc(1, sizeof *uri);

	if (uri)
		p11_uri_clear(uri);
	return uri;
}

P11_EXPORT void
p11_kit_uri_free(P11KitUri *uri)
{
	if (!uri)
		return;
	p11_uri_clear(uri);
	free(uri);
}

/* Matching (RFC 7512 2.5) */

static bool
match_fixed(const unsigned char *wanted, const unsigned char *field, size_t size)
{
	size_t length = p11_uri_field_length(wanted, size);

	if (wanted[0] == '\0')
		return true;
	return length == p11_uri_field_length(field, size) && memcmp(wanted, field, length) == 0;
}

/*
 * Compares those parts of the URI that lie in its structure of `size` bytes at `start` with a
 * structure of the same type.
 */
static int
match_info(const P11KitUri *uri, size_t start, size_t size, const void *info)
{
	if (uri->unrecognized)
		return 0;
	for (const struct p11_uri_part *part = p11_uri_parts; part->name[0]; part++) {
		bool is_field = p11_uri_part_kind(part) == P11_URI_FIXED ||
				p11_uri_part_kind(part) == P11_URI_VERSION;
		if (!is_field || part->where < start || part->where >= start + size)
			continue;

		const unsigned char *wanted = (const unsigned char *)uri + part->where;
		const unsigned char *field = (const unsigned char *)info + (part->where - start);
		bool equal = p11_uri_part_kind(part) == P11_URI_FIXED
				     ? match_fixed(wanted, field, part->size)
				     : !p11_uri_has_version(uri) ||
					       memcmp(wanted, field, part->size) == 0;
		if (!equal)
			return 0;
	}
	return 1;
}

P11_EXPORT int
p11_kit_uri_match_module_info(const P11KitUri *uri, const CK_INFO *info)
{
	if (p11_broken(uri != NULL) || p11_broken(info != NULL))
		return 0;
	return match_info(uri, offsetof(P11KitUri, module), sizeof uri->module, info);
}

P11_EXPORT int
p11_kit_uri_match_slot_info(const P11KitUri *uri, const CK_SLOT_INFO *info)
{
	if (p11_broken(uri != NULL) || p11_broken(info != NULL))
		return 0;
	return match_info(uri, offsetof(P11KitUri, slot), sizeof uri->slot, info);
}

P11_EXPORT int
p11_kit_uri_match_token_info(const P11KitUri *uri, const CK_TOKEN_INFO *token_info)
{
	if (p11_broken(uri != NULL) || p11_broken(token_info != NULL))
		return 0;
	return match_info(uri, offsetof(P11KitUri, token), sizeof uri->token, token_info);
}

/* Whether a URI's text can have an attribute of the type. */
static bool
is_uri_attribute(CK_ATTRIBUTE_TYPE type)
{
	for (const struct p11_uri_part *part = p11_uri_parts; part->name[0]; part++) {
		enum p11_uri_kind kind = p11_uri_part_kind(part);
		if ((kind == P11_URI_BYTES || kind == P11_URI_LABEL || kind == P11_URI_CLASS) &&
		    part->where == type)
			return true;
	}
	return false;
}

static bool
attribute_equal(const CK_ATTRIBUTE *one, const CK_ATTRIBUTE *other)
{
	if (one->ulValueLen != other->ulValueLen || one->ulValueLen == P11_URI_UNAVAILABLE)
		return false;
	if (one->ulValueLen == 0)
		return true;
	return one->pValue && other->pValue &&
	       memcmp(one->pValue, other->pValue, one->ulValueLen) == 0;
}

P11_EXPORT int
p11_kit_uri_match_attributes(const P11KitUri *uri, const CK_ATTRIBUTE *attrs, CK_ULONG n_attrs)
{
	if (p11_broken(uri != NULL) || p11_broken(attrs != NULL || n_attrs == 0))
		return 0;
	if (uri->unrecognized)
		return 0;
	for (CK_ULONG i = 0; i < n_attrs; i++) {
		if (!is_uri_attribute(attrs[i].type))
			continue;
		const CK_ATTRIBUTE *wanted =
			p11_uri_attributes_find(&uri->attributes, attrs[i].type);
		if (wanted && !attribute_equal(wanted, &attrs[i]))
			return 0;
	}
	return 1;
}

/* Getters and setters */

P11_EXPORT CK_INFO_PTR
p11_kit_uri_get_module_info(P11KitUri *uri)
{
	return p11_broken(uri != NULL) ? NULL : &uri->module;
}

P11_EXPORT CK_SLOT_INFO_PTR
p11_kit_uri_get_slot_info(P11KitUri *uri)
{
	return p11_broken(uri != NULL) ? NULL : &uri->slot;
}

P11_EXPORT CK_TOKEN_INFO_PTR
p11_kit_uri_get_token_info(P11KitUri *uri)
{
	return p11_broken(uri != NULL) ? NULL : &uri->token;
}

P11_EXPORT CK_SLOT_ID
p11_kit_uri_get_slot_id(P11KitUri *uri)
{
	return p11_broken(uri != NULL) ? P11_URI_NO_SLOT_ID : uri->slot_id;
}

P11_EXPORT void
p11_kit_uri_set_slot_id(P11KitUri *uri, CK_SLOT_ID slot_id)
{
	if (p11_broken(uri != NULL))
		return;
	uri->slot_id = slot_id;
}

P11_EXPORT CK_ATTRIBUTE_PTR
p11_kit_uri_get_attribute(P11KitUri *uri, CK_ATTRIBUTE_TYPE attr_type)
{
	return p11_broken(uri != NULL) ? NULL
				       : p11_uri_attributes_find(&uri->attributes, attr_type);
}

P11_EXPORT int
p11_kit_uri_set_attribute(P11KitUri *uri, CK_ATTRIBUTE_PTR attr)
{
	if (p11_broken(uri != NULL) || p11_broken(attr != NULL))
		return P11_KIT_URI_UNEXPECTED;
	return p11_uri_attributes_set(&uri->attributes, attr);
}

P11_EXPORT int
p11_kit_uri_clear_attribute(P11KitUri *uri, CK_ATTRIBUTE_TYPE attr_type)
{
	if (p11_broken(uri != NULL))
		return P11_KIT_URI_UNEXPECTED;

	CK_ATTRIBUTE *attribute = p11_uri_attributes_find(&uri->attributes, attr_type);
	if (attribute)
		p11_uri_attributes_remove(&uri->attributes, attribute);
	return attribute || is_uri_attribute(attr_type) ? P11_KIT_URI_OK : P11_KIT_URI_NOT_FOUND;
}

P11_EXPORT CK_ATTRIBUTE_PTR
p11_kit_uri_get_attributes(P11KitUri *uri, CK_ULONG *n_attrs)
{
	if (p11_broken(uri != NULL))
		return NULL;
	if (n_attrs)
		*n_attrs = uri->attributes.count;
	uri->end = (CK_ATTRIBUTE){P11_URI_END_OF_ATTRIBUTES, NULL, 0};
	return uri->attributes.list ? uri->attributes.list : &uri->end;
}

P11_EXPORT int
p11_kit_uri_set_attributes(P11KitUri *uri, CK_ATTRIBUTE_PTR attrs, CK_ULONG n_attrs)
{
	if (p11_broken(uri != NULL) || p11_broken(attrs != NULL || n_attrs == 0))
		return P11_KIT_URI_UNEXPECTED;

	struct p11_uri_attributes attributes = {0}; /* `attrs` may be the URI's own */
	for (CK_ULONG i = 0; i < n_attrs; i++) {
		P11KitUriResult result = p11_uri_attributes_set(&attributes, &attrs[i]);
		if (result != P11_KIT_URI_OK) {
			p11_uri_attributes_clear(&attributes);
			return result;
		}
	}
	p11_uri_attributes_clear(&uri->attributes);
	uri->attributes = attributes;
	return P11_KIT_URI_OK;
}

P11_EXPORT void
p11_kit_uri_clear_attributes(P11KitUri *uri)
{
	if (p11_broken(uri != NULL))
		return;
	p11_uri_attributes_clear(&uri->attributes);
}

/* Without memory there is no string: an old PIN must not stand for a new one. */
static void
set_string(P11KitUri *uri, size_t index, const char *string)
{
	char *copy = string ? strdup(string) : NULL; /* `string` may be the one that goes */

	p11_uri_wipe_string(uri->strings[index]);
	uri->strings[index] = copy;
}

P11_EXPORT const char *
p11_kit_uri_get_pin_value(const P11KitUri *uri)
{
	return p11_broken(uri != NULL) ? NULL : uri->strings[P11_URI_PIN_VALUE];
}

P11_EXPORT void
p11_kit_uri_set_pin_value(P11KitUri *uri, const char *pin)
{
	if (p11_broken(uri != NULL))
		return;
	set_string(uri, P11_URI_PIN_VALUE, pin);
}

P11_EXPORT const char *
p11_kit_uri_get_pin_source(const P11KitUri *uri)
{
	return p11_broken(uri != NULL) ? NULL : uri->strings[P11_URI_PIN_SOURCE];
}

P11_EXPORT void
p11_kit_uri_set_pin_source(P11KitUri *uri, const char *pin_source)
{
	if (p11_broken(uri != NULL))
		return;
	set_string(uri, P11_URI_PIN_SOURCE, pin_source);
}

P11_EXPORT const char *
p11_kit_uri_get_pinfile(const P11KitUri *uri)
{
	return p11_broken(uri != NULL) ? NULL : uri->strings[P11_URI_PIN_SOURCE];
}

P11_EXPORT void
p11_kit_uri_set_pinfile(P11KitUri *uri, const char *pinfile)
{
	if (p11_broken(uri != NULL))
		return;
	set_string(uri, P11_URI_PIN_SOURCE, pinfile);
}

P11_EXPORT const char *
p11_kit_uri_get_module_name(const P11KitUri *uri)
{
	return p11_broken(uri != NULL) ? NULL : uri->strings[P11_URI_MODULE_NAME];
}

P11_EXPORT void
p11_kit_uri_set_module_name(P11KitUri *uri, const char *name)
{
	if (p11_broken(uri != NULL))
		return;
	set_string(uri, P11_URI_MODULE_NAME, name);
}

P11_EXPORT const char *
p11_kit_uri_get_module_path(const P11KitUri *uri)
{
	return p11_broken(uri != NULL) ? NULL : uri->strings[P11_URI_MODULE_PATH];
}

P11_EXPORT void
p11_kit_uri_set_module_path(P11KitUri *uri, const char *path)
{
	if (p11_broken(uri != NULL))
		return;
	set_string(uri, P11_URI_MODULE_PATH, path);
}

/* The index of the first query with the name, or that of where it would be; *found tells which. */
static size_t
query_find(const P11KitUri *uri, const char *name, bool *found)
{
	size_t i = 0;

	while (i < uri->n_queries && strcmp(uri->queries[i].name, name) < 0)
		i++;
	*found = i < uri->n_queries && strcmp(uri->queries[i].name, name) == 0;
	return i;
}

P11_EXPORT const char *
p11_kit_uri_get_vendor_query(const P11KitUri *uri, const char *name)
{
	if (p11_broken(uri != NULL) || p11_broken(name != NULL))
		return NULL;

	bool found;
	size_t at = query_find(uri, name, &found);
	return found ? uri->queries[at].value : NULL;
}

P11_EXPORT int
p11_kit_uri_set_vendor_query(P11KitUri *uri, const char *name, const char *value)
{
	if (p11_broken(uri != NULL) || p11_broken(name != NULL))
		return 0;

	struct p11_span span = {name, strlen(name)};
	const struct p11_uri_part *part = p11_uri_part_find(span);
	if (!p11_uri_is_vendor_name(span) || (part && p11_uri_part_kind(part) == P11_URI_STRING))
		return 0;

	bool found;
	size_t at = query_find(uri, name, &found);
	if (!value) {
		if (found)
			p11_uri_query_remove(uri, at);
		return found;
	}
	if (!found)
		return p11_uri_query_take(uri, strdup(name), strdup(value));

	char *copy = strdup(value); /* `value` may be the one that goes */
	if (!copy)
		return 0;
	p11_uri_wipe_string(uri->queries[at].value);
	uri->queries[at].value = copy;
	return 1;
}

P11_EXPORT void
p11_kit_uri_set_unrecognized(P11KitUri *uri, int unrecognized)
{
	if (p11_broken(uri != NULL))
		return;
	uri->unrecognized = unrecognized != 0;
}

P11_EXPORT int
p11_kit_uri_any_unrecognized(P11KitUri *uri)
{
	return p11_broken(uri != NULL) ? 1 : uri->unrecognized;
}

P11_EXPORT const char *
p11_kit_uri_message(int code)
{
	/* No pointers: they would be relocations. Row 0 is for codes that are unknown. */
	static const char sentences[][72] = {
		"Unknown result of a PKCS#11 URI function",
		"Something unexpected happened while working on the PKCS#11 URI",
		"The URI does not begin with 'pkcs11:'",
		"A % in the PKCS#11 URI is not followed by two hexadecimal digits",
		"The PKCS#11 URI is not made of name=value parts, or one is not valid",
		"The library-version in the PKCS#11 URI is not a version",
		"The PKCS#11 URI has no such attribute",
	};

	if (code == P11_KIT_URI_OK)
		return NULL;
	if (code > 0 || code < P11_KIT_URI_NOT_FOUND)
		code = 0;
	return sentences[-code];
}
