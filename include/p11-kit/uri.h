/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PKCS#11 URIs (RFC 7512): names of modules, slots, tokens and objects, for configuration files and
 * people.
 *
 * A URI object describes what is looked for. It is filled by p11_kit_uri_parse() or by the setters,
 * and compared with what a module shows by the match functions; a part that the URI does not have
 * matches everything. An object may be used by one thread at a time. The words in brackets are
 * explained in p11-kit.h.
 */
#ifndef P11_KIT_URI_H
#define P11_KIT_URI_H

#include "p11-kit/p11-kit.h"
#include "p11-kit/pkcs11.h"

#ifdef __cplusplus
extern "C" {
#endif

#define P11_KIT_URI_SCHEME "pkcs11"
#define P11_KIT_URI_SCHEME_LEN 6

/* What parsing and formatting can end with; p11_kit_uri_message() has a sentence for each. */
typedef enum {
	P11_KIT_URI_OK = 0,
	P11_KIT_URI_UNEXPECTED = -1,   /* no memory, unusable data, or a broken precondition */
	P11_KIT_URI_BAD_SCHEME = -2,   /* it does not begin with "pkcs11:" */
	P11_KIT_URI_BAD_ENCODING = -3, /* a % is not followed by two hexadecimal digits */
	P11_KIT_URI_BAD_SYNTAX = -4,  /* it is not made of name=value, or a name or number is bad */
	P11_KIT_URI_BAD_VERSION = -5, /* the library-version is no version */
	P11_KIT_URI_NOT_FOUND = -6    /* there is no such attribute */
} P11KitUriResult;

#define P11_KIT_URI_NO_MEMORY P11_KIT_URI_UNEXPECTED

/* Which parts are of interest; others are unrecognized by the parser, and not formatted. */
typedef enum {
	P11_KIT_URI_FOR_OBJECT = 1 << 1, /* id, object, type */
	P11_KIT_URI_FOR_TOKEN = 1 << 2,  /* model, manufacturer, serial, token */
	P11_KIT_URI_FOR_MODULE = 1 << 3, /* library-description, library-manufacturer */
	P11_KIT_URI_FOR_MODULE_WITH_VERSION =
		(1 << 4) | P11_KIT_URI_FOR_MODULE, /* library-version too */
	P11_KIT_URI_FOR_SLOT = 1 << 5, /* slot-description, slot-manufacturer, slot-id */
	P11_KIT_URI_FOR_OBJECT_ON_TOKEN = P11_KIT_URI_FOR_OBJECT | P11_KIT_URI_FOR_TOKEN,
	P11_KIT_URI_FOR_OBJECT_ON_TOKEN_AND_MODULE =
		P11_KIT_URI_FOR_OBJECT_ON_TOKEN | P11_KIT_URI_FOR_MODULE,
	P11_KIT_URI_FOR_ANY = 0x0000FFFF
} P11KitUriType;

typedef struct p11_kit_uri P11KitUri;
typedef struct p11_kit_uri p11_kit_uri;

#ifdef CRYPTOKI_GNU
typedef P11KitUriType p11_kit_uri_type_t;
typedef P11KitUriResult p11_kit_uri_result_t;
#endif

/**
 * p11_kit_uri_get_module_info() - what the URI says about the module
 * [one thread per uri]
 * @uri: the URI
 *
 * The caller may fill the fields that the URI can have: libraryDescription and manufacturerID,
 * padded with spaces, and libraryVersion. A field whose first byte is 0, and the version 255.255,
 * are not part of the URI.
 *
 * Returns a pointer into the URI, valid until it is freed; NULL for a broken precondition.
 * RFC 7512 2.3. Since 0.23.
 */
CK_INFO_PTR p11_kit_uri_get_module_info(P11KitUri *uri);

/**
 * p11_kit_uri_match_module_info() - whether a module is one that the URI describes
 * [one thread per uri]
 * @uri: the URI   @info: borrowed, what the module's C_GetInfo gave
 *
 * Compares library-description, library-manufacturer and library-version. Spaces and NUL bytes at
 * the end of a field do not count.
 *
 * Returns 1 if all that the URI has are equal; 0 if not, if the URI has unrecognized parts, and for
 * a broken precondition.
 * RFC 7512 2.5. Since 0.23.
 */
int p11_kit_uri_match_module_info(const P11KitUri *uri, const CK_INFO *info);

/**
 * p11_kit_uri_get_slot_info() - what the URI says about the slot
 * [one thread per uri]
 * @uri: the URI
 *
 * The caller may fill slotDescription and manufacturerID, padded with spaces. A field whose first
 * byte is 0 is not part of the URI.
 *
 * Returns a pointer into the URI, valid until it is freed; NULL for a broken precondition.
 * RFC 7512 2.3. Since 0.23.
 */
CK_SLOT_INFO_PTR p11_kit_uri_get_slot_info(P11KitUri *uri);

/**
 * p11_kit_uri_match_slot_info() - whether a slot is one that the URI describes
 * [one thread per uri]
 * @uri: the URI   @info: borrowed, what C_GetSlotInfo gave
 *
 * Compares slot-description and slot-manufacturer. Spaces and NUL bytes at the end of a field do
 * not count. The slot-id is the caller's to compare.
 *
 * Returns 1 if all that the URI has are equal; 0 if not, if the URI has unrecognized parts, and for
 * a broken precondition.
 * RFC 7512 2.5. Since 0.23.
 */
int p11_kit_uri_match_slot_info(const P11KitUri *uri, const CK_SLOT_INFO *info);

/**
 * p11_kit_uri_get_slot_id() - the number of the slot
 * [one thread per uri]
 * @uri: the URI
 *
 * Returns the number; (CK_SLOT_ID)-1 if the URI has none, and for a broken precondition.
 * RFC 7512 2.3. Since 0.23.
 */
CK_SLOT_ID p11_kit_uri_get_slot_id(P11KitUri *uri);

/**
 * p11_kit_uri_set_slot_id() - set the number of the slot
 * [one thread per uri]
 * @uri: the URI   @slot_id: the number; (CK_SLOT_ID)-1: none
 *
 * RFC 7512 2.3. Since 0.23.
 */
void p11_kit_uri_set_slot_id(P11KitUri *uri, CK_SLOT_ID slot_id);

/**
 * p11_kit_uri_get_token_info() - what the URI says about the token
 * [one thread per uri]
 * @uri: the URI
 *
 * The caller may fill label, manufacturerID, model and serialNumber, padded with spaces. A field
 * whose first byte is 0 is not part of the URI.
 *
 * Returns a pointer into the URI, valid until it is freed; NULL for a broken precondition.
 * RFC 7512 2.3. Since 0.23.
 */
CK_TOKEN_INFO_PTR p11_kit_uri_get_token_info(P11KitUri *uri);

/**
 * p11_kit_uri_match_token_info() - whether a token is one that the URI describes
 * [one thread per uri]
 * @uri: the URI   @token_info: borrowed, what C_GetTokenInfo gave
 *
 * Compares token (the label), manufacturer, model and serial. Spaces and NUL bytes at the end of a
 * field do not count.
 *
 * Returns 1 if all that the URI has are equal; 0 if not, if the URI has unrecognized parts, and for
 * a broken precondition.
 * RFC 7512 2.5. Since 0.23.
 */
int p11_kit_uri_match_token_info(const P11KitUri *uri, const CK_TOKEN_INFO *token_info);

/**
 * p11_kit_uri_get_attribute() - an attribute of the object
 * [one thread per uri]
 * @uri: the URI   @attr_type: CKA_CLASS, CKA_LABEL, CKA_ID, or another that was set
 *
 * Returns the attribute, the URI's own, valid until the URI's attributes change; NULL if it has
 * none of this type, and for a broken precondition.
 * RFC 7512 2.3. Since 0.23.
 */
CK_ATTRIBUTE_PTR p11_kit_uri_get_attribute(P11KitUri *uri, CK_ATTRIBUTE_TYPE attr_type);

/**
 * p11_kit_uri_set_attribute() - set an attribute of the object
 * [one thread per uri]
 * @uri: the URI
 * @attr: borrowed, copied with its value (pointers inside a value stay what they are); it replaces
 *        the attribute of the same type
 *
 * A URI's text can have CKA_CLASS, CKA_LABEL and CKA_ID. Other types are kept too, for
 * p11_kit_uri_get_attributes(), and are neither formatted nor matched. A value that is NULL, or
 * whose length is CK_UNAVAILABLE_INFORMATION, is kept as NULL with the length 0.
 *
 * Returns P11_KIT_URI_OK; P11_KIT_URI_NOT_FOUND for the type (CK_ATTRIBUTE_TYPE)-1;
 * P11_KIT_URI_UNEXPECTED without memory and for a broken precondition. On failure nothing changed.
 * RFC 7512 2.3. Since 0.23.
 */
int p11_kit_uri_set_attribute(P11KitUri *uri, CK_ATTRIBUTE_PTR attr);

/**
 * p11_kit_uri_clear_attribute() - remove an attribute of the object
 * [one thread per uri]
 * @uri: the URI   @attr_type: its type
 *
 * Returns P11_KIT_URI_OK, also if there was no CKA_CLASS, CKA_LABEL or CKA_ID;
 * P11_KIT_URI_NOT_FOUND for another type that is not there; P11_KIT_URI_UNEXPECTED for a broken
 * precondition.
 * RFC 7512 2.3. Since 0.23.
 */
int p11_kit_uri_clear_attribute(P11KitUri *uri, CK_ATTRIBUTE_TYPE attr_type);

/**
 * p11_kit_uri_get_attributes() - all attributes of the object, in the order in which they came
 * [one thread per uri]
 * @uri: the URI   @n_attrs: out, may be NULL; how many there are
 *
 * Returns an array of the URI's own, which ends with the type (CK_ATTRIBUTE_TYPE)-1, valid until
 * the URI's attributes change; never NULL but for a broken precondition.
 * RFC 7512 2.3. Since 0.23.
 */
CK_ATTRIBUTE_PTR p11_kit_uri_get_attributes(P11KitUri *uri, CK_ULONG *n_attrs);

/**
 * p11_kit_uri_set_attributes() - set the attributes of the object, instead of all that were there
 * [one thread per uri]
 * @uri: the URI   @attrs: borrowed, copied as by p11_kit_uri_set_attribute()   @n_attrs: how many
 *
 * Returns as p11_kit_uri_set_attribute() does. On failure nothing changed.
 * RFC 7512 2.3. Since 0.23.
 */
int p11_kit_uri_set_attributes(P11KitUri *uri, CK_ATTRIBUTE_PTR attrs, CK_ULONG n_attrs);

/**
 * p11_kit_uri_clear_attributes() - remove all attributes of the object
 * [one thread per uri]
 * @uri: the URI
 *
 * Since 0.23.
 */
void p11_kit_uri_clear_attributes(P11KitUri *uri);

/**
 * p11_kit_uri_match_attributes() - whether an object is one that the URI describes
 * [one thread per uri]
 * @uri: the URI   @attrs: borrowed, attributes of the object   @n_attrs: how many
 *
 * Compares CKA_CLASS, CKA_LABEL and CKA_ID as far as both have them; other types do not matter.
 *
 * Returns 1 if none differs; 0 if one does, if the URI has unrecognized parts, and for a broken
 * precondition.
 * RFC 7512 2.5. Since 0.23.
 */
int p11_kit_uri_match_attributes(const P11KitUri *uri, const CK_ATTRIBUTE *attrs, CK_ULONG n_attrs);

/**
 * p11_kit_uri_get_pin_value() - the PIN itself
 * [one thread per uri]
 * @uri: the URI
 *
 * Returns the PIN, the URI's own, valid until it is set again, and wiped then; NULL if there is
 * none, and for a broken precondition.
 * RFC 7512 2.4. Since 0.23.
 */
const char *p11_kit_uri_get_pin_value(const P11KitUri *uri);

/**
 * p11_kit_uri_set_pin_value() - set the PIN itself
 * [one thread per uri]
 * @uri: the URI   @pin: borrowed, copied; NULL: none
 *
 * RFC 7512 2.4. Since 0.23.
 */
void p11_kit_uri_set_pin_value(P11KitUri *uri, const char *pin);

/**
 * p11_kit_uri_get_pin_source() - where to get the PIN
 * [one thread per uri]
 * @uri: the URI
 *
 * Returns the source, as for p11_kit_pin_request(), the URI's own, valid until it is set again;
 * NULL if there is none, and for a broken precondition.
 * RFC 7512 2.4. Since 0.23.
 */
const char *p11_kit_uri_get_pin_source(const P11KitUri *uri);

/**
 * p11_kit_uri_set_pin_source() - set where to get the PIN
 * [one thread per uri]
 * @uri: the URI   @pin_source: borrowed, copied; NULL: none
 *
 * RFC 7512 2.4. Since 0.23.
 */
void p11_kit_uri_set_pin_source(P11KitUri *uri, const char *pin_source);

#ifndef P11_KIT_DISABLE_DEPRECATED

/**
 * p11_kit_uri_get_pinfile() - the older name of p11_kit_uri_get_pin_source()
 * [one thread per uri]
 * @uri: the URI
 *
 * Returns what p11_kit_uri_get_pin_source() does.
 * Since 0.23.
 */
const char *p11_kit_uri_get_pinfile(const P11KitUri *uri);

/**
 * p11_kit_uri_set_pinfile() - the older name of p11_kit_uri_set_pin_source()
 * [one thread per uri]
 * @uri: the URI   @pinfile: borrowed, copied; NULL: none
 *
 * Since 0.23.
 */
void p11_kit_uri_set_pinfile(P11KitUri *uri, const char *pinfile);

#endif

/**
 * p11_kit_uri_get_module_name() - the name of the module to use
 * [one thread per uri]
 * @uri: the URI
 *
 * Returns the name, the URI's own, valid until it is set again; NULL if there is none, and for a
 * broken precondition.
 * RFC 7512 2.4. Since 0.23.
 */
const char *p11_kit_uri_get_module_name(const P11KitUri *uri);

/**
 * p11_kit_uri_set_module_name() - set the name of the module to use
 * [one thread per uri]
 * @uri: the URI   @name: borrowed, copied; NULL: none
 *
 * RFC 7512 2.4. Since 0.23.
 */
void p11_kit_uri_set_module_name(P11KitUri *uri, const char *name);

/**
 * p11_kit_uri_get_module_path() - the file of the module to use
 * [one thread per uri]
 * @uri: the URI
 *
 * Returns the path, the URI's own, valid until it is set again; NULL if there is none, and for a
 * broken precondition.
 * RFC 7512 2.4. Since 0.23.
 */
const char *p11_kit_uri_get_module_path(const P11KitUri *uri);

/**
 * p11_kit_uri_set_module_path() - set the file of the module to use
 * [one thread per uri]
 * @uri: the URI   @path: borrowed, copied; NULL: none
 *
 * RFC 7512 2.4. Since 0.23.
 */
void p11_kit_uri_set_module_path(P11KitUri *uri, const char *path);

/**
 * p11_kit_uri_get_vendor_query() - the value of a query attribute that RFC 7512 does not define
 * [one thread per uri]
 * @uri: the URI   @name: borrowed; compared exactly
 *
 * Returns the value of the first one with this name, the URI's own, valid until the vendor queries
 * change; NULL if there is none, and for a broken precondition.
 * RFC 7512 2.4. Since 0.23.
 */
const char *p11_kit_uri_get_vendor_query(const P11KitUri *uri, const char *name);

/**
 * p11_kit_uri_set_vendor_query() - set or remove a query attribute that RFC 7512 does not define
 * [one thread per uri]
 * @uri: the URI
 * @name: borrowed, copied; letters, digits, '-' and '_', and none of pin-source, pinfile,
 *        pin-value, module-name and module-path
 * @value: borrowed, copied, replaces the first one with this name; NULL: remove it
 *
 * Returns 1 if it was done; 0 if there was none to remove, for another name, without memory and for
 * a broken precondition.
 * RFC 7512 2.4. Since 0.23.
 */
int p11_kit_uri_set_vendor_query(P11KitUri *uri, const char *name, const char *value);

/**
 * p11_kit_uri_set_unrecognized() - say whether the URI has parts that nobody here understands
 * [one thread per uri]
 * @uri: the URI   @unrecognized: whether it has
 *
 * Since 0.23.
 */
void p11_kit_uri_set_unrecognized(P11KitUri *uri, int unrecognized);

/**
 * p11_kit_uri_any_unrecognized() - whether the URI has parts that nobody here understands
 * [one thread per uri]
 * @uri: the URI
 *
 * Such a URI matches nothing. Parts that p11_kit_uri_parse() was not asked for count too.
 *
 * Returns 1 if it has, and for a broken precondition; else 0.
 * RFC 7512 2.5. Since 0.23.
 */
int p11_kit_uri_any_unrecognized(P11KitUri *uri);

/**
 * p11_kit_uri_new() - a URI without parts, which matches everything
 * [any thread]
 *
 * Returns the URI, for p11_kit_uri_free(); NULL without memory.
 * Since 0.23.
 */
P11KitUri *p11_kit_uri_new(void);

/**
 * p11_kit_uri_format() - the URI as text
 * [one thread per uri]
 * @uri: the URI   @uri_type: the parts wanted; the query is always there
 * @string: out, the caller frees it; unchanged on failure. It shows the PIN if the URI has one
 *
 * Letters, digits and "_-." stand for themselves, other bytes as %XX (lower-case digits if
 * P11_KIT_URI_LOWERCASE is in the environment and not empty), all bytes of an id as %XX. An object
 * class that has no word in a URI is left out.
 *
 * Returns P11_KIT_URI_OK; P11_KIT_URI_UNEXPECTED if an attribute's value is unusable, without
 * memory and for a broken precondition.
 * RFC 7512 2.3, 2.4. Since 0.23.
 */
int p11_kit_uri_format(P11KitUri *uri, P11KitUriType uri_type, char **string);

/**
 * p11_kit_uri_parse() - fill a URI from text
 * [one thread per uri]
 * @string: borrowed; spaces, line feeds, carriage returns and vertical tabs in it are dropped first
 * @uri_type: the parts wanted; others are unrecognized
 * @uri: the URI; what it had is gone, also on failure
 *
 * Path attributes that are unknown, and values that do not fit their field, make the URI
 * unrecognized and are no failure. Of a path attribute, a pin- or a module- attribute that stands
 * there twice, the last counts.
 *
 * Returns P11_KIT_URI_OK, P11_KIT_URI_BAD_SCHEME, P11_KIT_URI_BAD_ENCODING, P11_KIT_URI_BAD_SYNTAX,
 * P11_KIT_URI_BAD_VERSION; P11_KIT_URI_UNEXPECTED without memory and for a broken precondition.
 * After a failure the URI has no parts.
 * RFC 7512 2.3, 2.4. Since 0.23.
 */
int p11_kit_uri_parse(const char *string, P11KitUriType uri_type, P11KitUri *uri);

/**
 * p11_kit_uri_free() - free a URI and wipe what it held
 * [one thread per uri]
 * @uri: taken; may be NULL
 *
 * Since 0.23.
 */
void p11_kit_uri_free(P11KitUri *uri);

/**
 * p11_kit_uri_message() - a sentence for people about a result of this header's functions
 * [any thread]
 * @code: a P11KitUriResult
 *
 * Returns constant text; NULL for P11_KIT_URI_OK; one text for all unknown codes.
 * Since 0.23.
 */
const char *p11_kit_uri_message(int code);

#ifdef __cplusplus
}
#endif

#endif
