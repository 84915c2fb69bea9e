/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The text of a URI (RFC 7512): parsing and formatting. Foreign text is read with a cursor only.
 * Text is made in two passes, counting and writing, because growing would leave copies of a PIN
 * behind. Sets no message.
 */
#include "p11-kit/uri.h"

#include "api/uri-parts.h"

#include "base/message.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The words of `type`. */
static const struct class_word {
	char word[11];
	bool alias;
	unsigned char value;
} class_words[] = {
	{"data", false, CKO_DATA},
	{"cert", false, CKO_CERTIFICATE},
	{"public", false, CKO_PUBLIC_KEY},
	{"private", false, CKO_PRIVATE_KEY},
	{"secret-key", false, CKO_SECRET_KEY},
	{"secretkey", true, CKO_SECRET_KEY},
};

static bool
is_alias(const struct p11_uri_part *part)
{
	return part->kind & P11_URI_ALIAS;
}

static bool
is_in_path(const struct p11_uri_part *part)
{
	return p11_uri_part_kind(part) != P11_URI_STRING || part->kind & P11_URI_IN_PATH;
}

static bool
is_wanted(const struct p11_uri_part *part, P11KitUriType type)
{
	return ((unsigned)type & part->needs) == part->needs;
}

/* Parsing */

static int
hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Takes the next byte of a value into *byte; false if it is a % without two digits. */
static bool
take_byte(struct p11_cursor *value, unsigned char *byte)
{
	struct p11_span span;

	if (!p11_cursor_take(value, 1, &span))
		return false;
	*byte = (unsigned char)span.data[0];
	if (*byte != '%')
		return true;
	if (!p11_cursor_take(value, 2, &span))
		return false;

	int high = hex_digit(span.data[0]), low = hex_digit(span.data[1]);
	if (high < 0 || low < 0)
		return false;
	*byte = (unsigned char)(high << 4 | low);
	return true;
}

/* Undoes the percent-encoding of a value. *out is the caller's, to be freed with p11_uri_wipe(),
 * and has a NUL behind it. */
static P11KitUriResult
decode(struct p11_span value, unsigned char **out, size_t *out_length)
{
	struct p11_cursor cursor = p11_cursor_over(value.data, value.length);
	unsigned char *bytes = malloc(value.length + 1);
	size_t length = 0;

	if (!bytes)
		return P11_KIT_URI_NO_MEMORY;
	while (p11_cursor_left(&cursor) > 0) {
		if (!take_byte(&cursor, &bytes[length])) {
			p11_uri_wipe(bytes, length + 1);
			return P11_KIT_URI_BAD_ENCODING;
		}
		length++;
	}
	bytes[length] = '\0';
	*out = bytes;
	*out_length = length;
	return P11_KIT_URI_OK;
}

/* The same for a string, which ends at the first NUL in it; what is behind is wiped. */
static P11KitUriResult
decode_string(struct p11_span value, char **out)
{
	unsigned char *bytes = NULL;
	size_t length = 0;
	P11KitUriResult result = decode(value, &bytes, &length);

	if (result != P11_KIT_URI_OK)
		return result;
	*out = (char *)bytes;
	explicit_bzero(bytes + strlen(*out), length - strlen(*out));
	return P11_KIT_URI_OK;
}

/* Takes decimal digits, at least one, that make a number of at most `max`. */
static bool
take_number(struct p11_cursor *cursor, unsigned long max, unsigned long *out)
{
	unsigned long number = 0;
	bool any = false;

	for (int c = p11_cursor_peek(cursor); c >= '0' && c <= '9'; c = p11_cursor_peek(cursor)) {
		unsigned long digit = (unsigned long)(c - '0');
		if (!p11_cursor_skip(cursor, (char)c) || number > (max - digit) / 10)
			return false;
		number = number * 10 + digit;
		any = true;
	}
	*out = number;
	return any;
}

/*
 * A value that does not fit its field matches no field. Nor does one that begins with a NUL, which
 * would read as a field that is unset, and match all.
 */
static P11KitUriResult
parse_fixed(P11KitUri *uri, const struct p11_uri_part *part, struct p11_span value)
{
	unsigned char *field = (unsigned char *)uri + part->where;
	unsigned char *bytes = NULL;
	size_t length = 0;
	P11KitUriResult result = decode(value, &bytes, &length);

	if (result != P11_KIT_URI_OK)
		return result;
	if (length > part->size || (length > 0 && bytes[0] == '\0')) {
		uri->unrecognized = true;
		memset(field, 0, part->size);
	} else {
		memset(field, ' ', part->size);
		memcpy(field, bytes, length);
	}
	p11_uri_wipe(bytes, length);
	return P11_KIT_URI_OK;
}

/* RFC 7512 2.3: "M" means "M.0". 255.255 is our word for no version, so 254 is the greatest. */
static P11KitUriResult
parse_version(P11KitUri *uri, struct p11_span value)
{
	struct p11_cursor cursor = p11_cursor_over(value.data, value.length);
	unsigned long major, minor = 0;

	if (!take_number(&cursor, P11_URI_NO_VERSION - 1, &major))
		return P11_KIT_URI_BAD_VERSION;
	if (p11_cursor_skip(&cursor, '.') && !take_number(&cursor, P11_URI_NO_VERSION - 1, &minor))
		return P11_KIT_URI_BAD_VERSION;
	if (p11_cursor_left(&cursor) > 0)
		return P11_KIT_URI_BAD_VERSION;
	uri->module.libraryVersion = (CK_VERSION){(CK_BYTE)major, (CK_BYTE)minor};
	return P11_KIT_URI_OK;
}

static P11KitUriResult
parse_slot_id(P11KitUri *uri, struct p11_span value)
{
	struct p11_cursor cursor = p11_cursor_over(value.data, value.length);
	unsigned long slot_id;

	if (!take_number(&cursor, LONG_MAX, &slot_id) || p11_cursor_left(&cursor) > 0)
		return P11_KIT_URI_BAD_SYNTAX;
	uri->slot_id = slot_id;
	return P11_KIT_URI_OK;
}

static P11KitUriResult
parse_bytes(P11KitUri *uri, CK_ATTRIBUTE_TYPE type, struct p11_span value)
{
	unsigned char *bytes = NULL;
	size_t length = 0;
	P11KitUriResult result = decode(value, &bytes, &length);

	if (result == P11_KIT_URI_OK &&
	    !p11_uri_attributes_take(&uri->attributes, type, bytes, length))
		result = P11_KIT_URI_NO_MEMORY;
	return result;
}

static P11KitUriResult
parse_class(P11KitUri *uri, CK_ATTRIBUTE_TYPE type, struct p11_span value)
{
	unsigned char *bytes = NULL;
	size_t length = 0;
	P11KitUriResult result = decode(value, &bytes, &length);

	if (result != P11_KIT_URI_OK)
		return result;

	const struct class_word *known = class_words, *end = known + P11_N_ELEMENTS(class_words);
	while (known < end && !p11_span_is((struct p11_span){(char *)bytes, length}, known->word))
		known++;
	p11_uri_wipe(bytes, length);
	if (known == end) {
		uri->unrecognized = true;
		return P11_KIT_URI_OK;
	}

	CK_OBJECT_CLASS class = known->value;
	return p11_uri_attributes_set(&uri->attributes,
				      &(CK_ATTRIBUTE){type, &class, sizeof class});
}

static P11KitUriResult
parse_string(P11KitUri *uri, size_t index, struct p11_span value)
{
	char *string = NULL;
	P11KitUriResult result = decode_string(value, &string);

	if (result != P11_KIT_URI_OK)
		return result;
	p11_uri_wipe_string(uri->strings[index]);
	uri->strings[index] = string;
	return P11_KIT_URI_OK;
}

static P11KitUriResult
parse_part(P11KitUri *uri, const struct p11_uri_part *part, struct p11_span value)
{
	switch (p11_uri_part_kind(part)) {
	case P11_URI_FIXED:
		return parse_fixed(uri, part, value);
	case P11_URI_VERSION:
		return parse_version(uri, value);
	case P11_URI_SLOT_ID:
		return parse_slot_id(uri, value);
	case P11_URI_BYTES:
	case P11_URI_LABEL:
		return parse_bytes(uri, part->where, value);
	case P11_URI_CLASS:
		return parse_class(uri, part->where, value);
	case P11_URI_STRING:
		return parse_string(uri, part->where, value);
	}
	return P11_KIT_URI_UNEXPECTED;
}

/* The two sides of the first '='; false without one, or without a name before it. */
static bool
split_item(struct p11_span item, struct p11_span *name, struct p11_span *value)
{
	struct p11_cursor cursor = p11_cursor_over(item.data, item.length);

	*name = p11_cursor_until(&cursor, "=");
	return name->length > 0 && p11_cursor_skip(&cursor, '=') &&
	       p11_cursor_take(&cursor, p11_cursor_left(&cursor), value);
}

/* RFC 7512 2.5: what is not understood is no error, but keeps the URI from matching. */
static P11KitUriResult
parse_path_item(P11KitUri *uri, P11KitUriType type, struct p11_span item)
{
	struct p11_span name, value;

	if (!split_item(item, &name, &value))
		return P11_KIT_URI_BAD_SYNTAX;

	const struct p11_uri_part *part = p11_uri_part_find(name);
	if (!part || !is_in_path(part) || !is_wanted(part, type)) {
		uri->unrecognized = true;
		return P11_KIT_URI_OK;
	}
	return parse_part(uri, part, value);
}

/* Names of the path mean nothing in a query: there they are a vendor's. */
static P11KitUriResult
parse_query_item(P11KitUri *uri, struct p11_span item)
{
	struct p11_span name, value;

	if (!split_item(item, &name, &value))
		return P11_KIT_URI_BAD_SYNTAX;

	const struct p11_uri_part *part = p11_uri_part_find(name);
	if (part && p11_uri_part_kind(part) == P11_URI_STRING)
		return parse_part(uri, part, value);
	if (!p11_uri_is_vendor_name(name))
		return P11_KIT_URI_BAD_SYNTAX;

	char *string = NULL;
	P11KitUriResult result = decode_string(value, &string);
	if (result == P11_KIT_URI_OK && !p11_uri_query_take(uri, p11_span_dup(name), string))
		result = P11_KIT_URI_NO_MEMORY;
	return result;
}

/* One ';' may end the path; an item without anything in it is none anywhere else. */
static P11KitUriResult
parse_path(P11KitUri *uri, P11KitUriType type, struct p11_cursor *cursor)
{
	while (p11_cursor_left(cursor) > 0 && p11_cursor_peek(cursor) != '?') {
		P11KitUriResult result = parse_path_item(uri, type, p11_cursor_until(cursor, ";?"));
		if (result != P11_KIT_URI_OK)
			return result;
		if (!p11_cursor_skip(cursor, ';'))
			break;
	}
	return P11_KIT_URI_OK;
}

static P11KitUriResult
parse_query(P11KitUri *uri, struct p11_cursor *cursor)
{
	if (!p11_cursor_skip(cursor, '?'))
		return P11_KIT_URI_OK;
	while (p11_cursor_left(cursor) > 0) {
		P11KitUriResult result = parse_query_item(uri, p11_cursor_until(cursor, "&"));
		if (result != P11_KIT_URI_OK)
			return result;
		if (!p11_cursor_skip(cursor, '&'))
			break;
	}
	return P11_KIT_URI_OK;
}

/* RFC 3986 3.1: a scheme is the same in either case, in any locale. */
static bool
take_scheme(struct p11_cursor *cursor)
{
	struct p11_span scheme = p11_cursor_until(cursor, ":");

	if (scheme.length != P11_KIT_URI_SCHEME_LEN)
		return false;
	for (size_t i = 0; i < scheme.length; i++) {
		char c = scheme.data[i];
		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c != P11_KIT_URI_SCHEME[i])
			return false;
	}
	return p11_cursor_skip(cursor, ':');
}

/* Copies a string without the spaces and line ends that come from wrapped text. */
static size_t
copy_unwrapped(char *to, const char *string)
{
	size_t length = 0;

	for (; *string; string++) {
		if (!strchr(" \n\r\v", *string))
			to[length++] = *string;
	}
	return length;
}

P11_EXPORT int
p11_kit_uri_parse(const char *string, P11KitUriType uri_type, P11KitUri *uri)
{
	if (p11_broken(uri != NULL))
		return P11_KIT_URI_UNEXPECTED;

	size_t size = string ? strlen(string) + 1 : 0;
	char *text = string ? malloc(size) : NULL; /* first of all: `string` may be the URI's own */
	size_t length = text ? copy_unwrapped(text, string) : 0;

	p11_uri_clear(uri);
	if (p11_broken(string != NULL) || !text)
		return P11_KIT_URI_UNEXPECTED;

	struct p11_cursor cursor = p11_cursor_over(text, length);
	P11KitUriResult result = take_scheme(&cursor) ? P11_KIT_URI_OK : P11_KIT_URI_BAD_SCHEME;
	if (result == P11_KIT_URI_OK)
		result = parse_path(uri, uri_type, &cursor);
	if (result == P11_KIT_URI_OK)
		result = parse_query(uri, &cursor);
	if (result != P11_KIT_URI_OK)
		p11_uri_clear(uri);
	p11_uri_wipe(text, length);
	return result;
}

/* Formatting */

/* Counts, while `text` is NULL, and then writes, at most `size` bytes. */
struct writer {
	char *text;
	size_t length;
	size_t size;
	char separator; /* before the next item; '\0': none */
	bool lower_case;
};

static void
put(struct writer *writer, char c)
{
	if (writer->length < writer->size)
		writer->text[writer->length] = c;
	writer->length++;
}

static void
put_string(struct writer *writer, const char *string)
{
	for (; *string; string++)
		put(writer, *string);
}

/* RFC 7512 2.3 allows more to stand for itself; these do so everywhere, in a shell too. */
static bool
is_plain(unsigned char c)
{
	return p11_uri_is_name_char((char)c) || c == '.';
}

static void
put_escaped(struct writer *writer, const void *bytes, size_t length, bool all)
{
	const unsigned char *at = bytes;
	const char *digits = writer->lower_case ? "0123456789abcdef" : "0123456789ABCDEF";

	for (; length > 0; at++, length--) {
		if (!all && is_plain(*at)) {
			put(writer, (char)*at);
			continue;
		}
		put(writer, '%');
		put(writer, digits[*at >> 4]);
		put(writer, digits[*at & 0xf]);
	}
}

static void
put_number(struct writer *writer, unsigned long number)
{
	char digits[3 * sizeof number + 1];
	char *at = digits + sizeof digits - 1;

	*at = '\0';
	do {
		*--at = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	put_string(writer, at);
}

static void
put_name(struct writer *writer, const char *name, char next_separator)
{
	if (writer->separator)
		put(writer, writer->separator);
	put_string(writer, name);
	put(writer, '=');
	writer->separator = next_separator;
}

static void
format_fixed(struct writer *writer, const struct p11_uri_part *part, const P11KitUri *uri)
{
	const unsigned char *field = (const unsigned char *)uri + part->where;

	if (field[0] == '\0')
		return;
	put_name(writer, part->name, ';');
	put_escaped(writer, field, p11_uri_field_length(field, part->size), false);
}

static void
format_version(struct writer *writer, const struct p11_uri_part *part, const P11KitUri *uri)
{
	if (!p11_uri_has_version(uri))
		return;
	put_name(writer, part->name, ';');
	put_number(writer, uri->module.libraryVersion.major);
	put(writer, '.');
	put_number(writer, uri->module.libraryVersion.minor);
}

static void
format_slot_id(struct writer *writer, const struct p11_uri_part *part, const P11KitUri *uri)
{
	if (uri->slot_id == P11_URI_NO_SLOT_ID)
		return;
	put_name(writer, part->name, ';');
	put_number(writer, uri->slot_id);
}

static P11KitUriResult
format_bytes(struct writer *writer, const struct p11_uri_part *part, const P11KitUri *uri)
{
	const CK_ATTRIBUTE *attribute = p11_uri_attributes_find(&uri->attributes, part->where);

	if (!attribute || !attribute->pValue)
		return P11_KIT_URI_OK;
	if (attribute->ulValueLen == P11_URI_UNAVAILABLE)
		return P11_KIT_URI_UNEXPECTED;
	put_name(writer, part->name, ';');
	put_escaped(writer, attribute->pValue, attribute->ulValueLen,
		    p11_uri_part_kind(part) == P11_URI_BYTES);
	return P11_KIT_URI_OK;
}

static P11KitUriResult
format_class(struct writer *writer, const struct p11_uri_part *part, const P11KitUri *uri)
{
	const CK_ATTRIBUTE *attribute = p11_uri_attributes_find(&uri->attributes, part->where);
	CK_OBJECT_CLASS class;

	if (!attribute)
		return P11_KIT_URI_OK;
	if (!attribute->pValue || attribute->ulValueLen != sizeof class)
		return P11_KIT_URI_UNEXPECTED;
	memcpy(&class, attribute->pValue, sizeof class);
	for (size_t i = 0; i < P11_N_ELEMENTS(class_words); i++) {
		if (class_words[i].value == class && !class_words[i].alias) {
			put_name(writer, part->name, ';');
			put_string(writer, class_words[i].word);
		}
	}
	return P11_KIT_URI_OK;
}

static P11KitUriResult
format_path_part(struct writer *writer, const struct p11_uri_part *part, const P11KitUri *uri)
{
	switch (p11_uri_part_kind(part)) {
	case P11_URI_FIXED:
		format_fixed(writer, part, uri);
		break;
	case P11_URI_VERSION:
		format_version(writer, part, uri);
		break;
	case P11_URI_SLOT_ID:
		format_slot_id(writer, part, uri);
		break;
	case P11_URI_BYTES:
	case P11_URI_LABEL:
		return format_bytes(writer, part, uri);
	case P11_URI_CLASS:
		return format_class(writer, part, uri);
	case P11_URI_STRING:
		break;
	}
	return P11_KIT_URI_OK;
}

static void
format_query(struct writer *writer, const P11KitUri *uri)
{
	writer->separator = '?';
	for (const struct p11_uri_part *part = p11_uri_parts; part->name[0]; part++) {
		if (is_alias(part) || p11_uri_part_kind(part) != P11_URI_STRING)
			continue;
		const char *string = uri->strings[part->where];
		if (string) {
			put_name(writer, part->name, '&');
			put_escaped(writer, string, strlen(string), false);
		}
	}
	for (size_t i = 0; i < uri->n_queries; i++) {
		put_name(writer, uri->queries[i].name, '&');
		put_escaped(writer, uri->queries[i].value, strlen(uri->queries[i].value), false);
	}
}

/* Writes the whole text, with its NUL. */
static P11KitUriResult
format(struct writer *writer, const P11KitUri *uri, P11KitUriType type)
{
	writer->length = 0;
	writer->separator = '\0';
	put_string(writer, P11_KIT_URI_SCHEME ":");
	for (const struct p11_uri_part *part = p11_uri_parts; part->name[0]; part++) {
		if (is_alias(part) || !is_wanted(part, type))
			continue;
		P11KitUriResult result = format_path_part(writer, part, uri);
		if (result != P11_KIT_URI_OK)
			return result;
	}
	format_query(writer, uri);
	put(writer, '\0');
	return P11_KIT_URI_OK;
}

P11_EXPORT int
p11_kit_uri_format(P11KitUri *uri, P11KitUriType uri_type, char **string)
{
	if (p11_broken(uri != NULL) || p11_broken(string != NULL))
		return P11_KIT_URI_UNEXPECTED;

	const char *lower_case = secure_getenv("P11_KIT_URI_LOWERCASE");
	struct writer writer = {.lower_case = lower_case && *lower_case};
	P11KitUriResult result = format(&writer, uri, uri_type);
	if (result != P11_KIT_URI_OK)
		return result;

	writer.size = writer.length;
	writer.text = malloc(writer.size);
	if (!writer.text)
		return P11_KIT_URI_NO_MEMORY;
	result = format(&writer, uri, uri_type);
	if (result == P11_KIT_URI_OK)
		*string = writer.text;
	else
		p11_uri_wipe(writer.text, writer.size);
	return result;
}
