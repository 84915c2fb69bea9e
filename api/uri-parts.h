/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a URI object is made of, for the files that implement p11-kit/uri.h: uri.c (the object and
 * matching) and uri-text.c (parsing and formatting). One table, p11_uri_parts, says what a URI can
 * have; all of them are loops over its rows. Whatever a URI held may be a secret (a pin-value, an
 * attribute's value), so all of it is wiped when it goes. No URI is locked: one thread at a time.
 */
#ifndef P11_URI_PARTS_H
#define P11_URI_PARTS_H

#include "p11-kit/uri.h"

#include "base/base.h"
#include "base/cursor.h"

#include <stdbool.h>
#include <stddef.h>

#define P11_URI_NO_SLOT_ID ((CK_SLOT_ID)-1)
#define P11_URI_NO_VERSION 255
#define P11_URI_END_OF_ATTRIBUTES ((CK_ATTRIBUTE_TYPE)-1)
#define P11_URI_UNAVAILABLE ((CK_ULONG)-1)

enum {
	P11_URI_PIN_SOURCE,
	P11_URI_PIN_VALUE,
	P11_URI_MODULE_NAME,
	P11_URI_MODULE_PATH,
	P11_URI_N_STRINGS,
};

/* What list[i].pValue points to; kept apart, since callers can write to the list. */
struct p11_uri_value {
	void *data; /* owned */
	size_t size;
};

/* The attributes of an object, in the order in which they came. */
struct p11_uri_attributes {
	CK_ATTRIBUTE *list;           /* owned; `count` and one that ends it; NULL: none yet */
	struct p11_uri_value *values; /* owned; as many as `count` */
	CK_ULONG count;
};

/* A query attribute that RFC 7512 does not define. */
struct p11_uri_query {
	char *name;  /* owned */
	char *value; /* owned */
};

struct p11_kit_uri {
	CK_INFO module;
	CK_SLOT_INFO slot;
	CK_TOKEN_INFO token;
	CK_SLOT_ID slot_id;
	struct p11_uri_attributes attributes;
	CK_ATTRIBUTE end;                 /* what callers see of a list that is empty */
	char *strings[P11_URI_N_STRINGS]; /* owned; NULL: the URI has none */
	struct p11_uri_query *queries;    /* owned; sorted by name, equal names as they came */
	size_t n_queries;
	bool unrecognized;
};

enum p11_uri_kind {
	P11_URI_FIXED,   /* `size` bytes at `where`, padded with spaces; first byte 0: unset */
	P11_URI_VERSION, /* a CK_VERSION at `where` */
	P11_URI_SLOT_ID,
	P11_URI_BYTES,  /* the attribute `where`, each byte of it escaped */
	P11_URI_LABEL,  /* the attribute `where` */
	P11_URI_CLASS,  /* the attribute `where`, by its word */
	P11_URI_STRING, /* strings[where]; in the query */
};

#define P11_URI_ALIAS 0x80   /* understood, but not written */
#define P11_URI_IN_PATH 0x40 /* of the query, but understood in the path, as in older URIs */

struct p11_uri_part {
	char name[21];
	unsigned char kind;  /* with the two bits above */
	unsigned char needs; /* all these bits of a P11KitUriType */
	unsigned char size;
	unsigned short where;
};

/* In the order in which they are written; the last has no name. */
extern const struct p11_uri_part p11_uri_parts[];

/* The part with the name, or NULL. */
const struct p11_uri_part *p11_uri_part_find(struct p11_span name);

static inline enum p11_uri_kind
p11_uri_part_kind(const struct p11_uri_part *part)
{
	return part->kind & ~(P11_URI_ALIAS | P11_URI_IN_PATH);
}

bool p11_uri_has_version(const P11KitUri *uri);

/*
 * The length of a field without its padding: spaces, as the standard wants, and the NULs of some
 * modules.
 */
size_t p11_uri_field_length(const unsigned char *field, size_t size);

/* Frees all that the URI has, wiped; it is a new one then. */
void p11_uri_clear(P11KitUri *uri);

/* Wipes and frees; NULL is fine. */
void p11_uri_wipe(void *bytes, size_t size);
void p11_uri_wipe_string(char *string);

CK_ATTRIBUTE *p11_uri_attributes_find(const struct p11_uri_attributes *attributes,
				      CK_ATTRIBUTE_TYPE type);
void p11_uri_attributes_clear(struct p11_uri_attributes *attributes);
void p11_uri_attributes_remove(struct p11_uri_attributes *attributes, CK_ATTRIBUTE *attribute);

/* Sets an attribute; takes `data` (from malloc, or NULL), also on failure. False without memory. */
bool p11_uri_attributes_take(struct p11_uri_attributes *attributes, CK_ATTRIBUTE_TYPE type,
			     void *data, size_t size) P11_MUST_USE;

/*
 * Sets a copy of a caller's attribute. One whose value a module did not find is kept
 * without value: callers hand over whatever a module answered, and it must not fail the rest.
 */
P11KitUriResult p11_uri_attributes_set(struct p11_uri_attributes *attributes,
				       const CK_ATTRIBUTE *attribute) P11_MUST_USE;

/* RFC 7512 2.3: pk11-v-attr-nm-char, and a name made of such. */
bool p11_uri_is_name_char(char c);
bool p11_uri_is_vendor_name(struct p11_span name);

/*
 * Adds a query behind those of the same name. Takes both strings, also on failure; one that is NULL
 * means that there was no memory for it. False without memory.
 */
bool p11_uri_query_take(P11KitUri *uri, char *name, char *value) P11_MUST_USE;
void p11_uri_query_remove(P11KitUri *uri, size_t at);

#endif
