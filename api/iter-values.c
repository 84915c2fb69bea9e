/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The module is asked again and again, each time with memory for what it said the last time, until
 * it asks for no more: once for the sizes, once for the values, and once more for each level of
 * array attributes. Where the blocks are and how large stands beside the template, since a module
 * that writes nonsense into an array of attributes must not make us free nonsense.
 * So does the type: what was given as bytes must not be said to be an array of pointers in the end.
 */
#include "api/iter-values.h"

#include "api/label.h"
#include "api/uri-parts.h"

#include "base/message.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 4                     /* of array attributes in array attributes */
#define MAX_ASKS (MAX_DEPTH + 8)        /* some more, for values that grow meanwhile */
#define MAX_VALUE ((CK_ULONG)256 << 20) /* bytes; longer ones are a module's mistake */

struct value {
	CK_ATTRIBUTE_TYPE type;
	bool is_typed; /* else the module is still to say what it is */
	void *data;    /* owned; may be a secret; `size` bytes and a NUL */
	CK_ULONG size;
	struct value
		*members; /* owned; of an array attribute: as many as attributes fit in `size` */
};

/*
 * CKF_ARRAY_ATTRIBUTE does not tell: CKA_ALLOWED_MECHANISMS and numbers of vendors (NSS's and
 * p11-kit's) have it, and two templates lack it.
 */
static bool
is_array(const struct value *value)
{
	switch (value->type) {
	case CKA_WRAP_TEMPLATE:
	case CKA_UNWRAP_TEMPLATE:
	case CKA_DERIVE_TEMPLATE:
	case CKA_ENCAPSULATE_TEMPLATE:
	case CKA_DECAPSULATE_TEMPLATE:
		return true;
	default:
		return false;
	}
}

static CK_ULONG
n_members(const struct value *value)
{
	return value->members ? value->size / sizeof(CK_ATTRIBUTE) : 0;
}

static void
drop_value(struct value *value)
{
	for (CK_ULONG i = 0; i < n_members(value); i++)
		drop_value(&value->members[i]);
	free(value->members);
	p11_uri_wipe(value->data, value->size);
	*value = (struct value){.type = value->type, .is_typed = value->is_typed};
}

static bool
allocate(struct value *value, CK_ULONG size)
{
	drop_value(value);
	value->data = calloc(1, size + 1);
	value->size = size;
	if (value->data && is_array(value))
		value->members = calloc(size / sizeof(CK_ATTRIBUTE), sizeof *value->members);
	return value->data && (value->members || !is_array(value));
}

/* Puts our memory into a template. */
static void
place(CK_ATTRIBUTE *attributes, const struct value *values, CK_ULONG count)
{
	for (CK_ULONG i = 0; i < count; i++) {
		attributes[i].pValue = values[i].data;
		attributes[i].ulValueLen = values[i].size;
		if (values[i].members)
			place(values[i].data, values[i].members, n_members(&values[i]));
	}
}

/* Whether the attribute still is what it was, or what the module says it is for the first time. */
static bool
is_same(const CK_ATTRIBUTE *attribute, struct value *value)
{
	if (!value->is_typed)
		value->type = attribute->type;
	value->is_typed = true;
	return attribute->type == value->type;
}

/*
 * Makes room for what the module has more than it was given room for; *grown tells whether it has.
 * A length that is 0 or unavailable needs none.
 */
static CK_RV
make_room(const CK_ATTRIBUTE *attributes, struct value *values, CK_ULONG count, int depth,
	  bool *grown)
{
	CK_RV rv = CKR_OK;

	for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++) {
		CK_ULONG size = attributes[i].ulValueLen;
		if (size == CK_UNAVAILABLE_INFORMATION || size == 0)
			continue;
		if (size > MAX_VALUE || !is_same(&attributes[i], &values[i]) ||
		    (is_array(&values[i]) && (depth == 0 || size % sizeof(CK_ATTRIBUTE))))
			return CKR_GENERAL_ERROR;
		if (size > values[i].size) {
			*grown = true;
			rv = allocate(&values[i], size) ? CKR_OK : CKR_HOST_MEMORY;
		} else if (values[i].members) {
			rv = make_room(values[i].data, values[i].members,
				       size / sizeof(CK_ATTRIBUTE), depth - 1, grown);
		}
	}
	return rv;
}

/* What a template's owner gets of one attribute; the members' too. */
static void
settle(CK_ATTRIBUTE *attribute, struct value *value)
{
	if (attribute->ulValueLen == CK_UNAVAILABLE_INFORMATION || attribute->ulValueLen == 0)
		drop_value(value);
	attribute->pValue = value->data;
	for (CK_ULONG i = 0; i < n_members(value); i++) {
		if (i < attribute->ulValueLen / sizeof(CK_ATTRIBUTE))
			settle((CK_ATTRIBUTE *)value->data + i, &value->members[i]);
		else
			drop_value(&value->members[i]);
	}
	free(value->members);
}

static bool
is_answer(CK_RV rv)
{
	return rv == CKR_OK || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID;
}

static CK_RV
no_memory(void)
{
	return p11_fail(CKR_HOST_MEMORY, "no memory for the attributes of an object");
}

static CK_RV
ask_for_all(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
	    CK_ATTRIBUTE *attributes, struct value *values, CK_ULONG count)
{
	for (int asks = 0; asks < MAX_ASKS; asks++) {
		bool grown = false;

		place(attributes, values, count);
		CK_RV rv = module->C_GetAttributeValue(session, object, attributes, count);
		if (rv == CKR_BUFFER_TOO_SMALL) { /* it has changed, and may not say to what */
			for (CK_ULONG i = 0; i < count; i++)
				drop_value(&values[i]);
			continue;
		}
		if (!is_answer(rv))
			return rv;
		rv = make_room(attributes, values, count, MAX_DEPTH, &grown);
		if (rv == CKR_HOST_MEMORY)
			return no_memory();
		if (rv != CKR_OK)
			break;
		if (!grown)
			return CKR_OK;
	}
	return p11_fail(
		CKR_GENERAL_ERROR,
		"module %s: the sizes that it tells of an object's attributes make no sense",
		p11_label_of(module));
}

CK_RV
p11_values_load(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
		CK_ATTRIBUTE *templ, CK_ULONG count)
{
	if (count == 0)
		return CKR_OK;

	CK_ATTRIBUTE *attributes = calloc(count, sizeof *attributes);
	struct value *values = calloc(count, sizeof *values);
	CK_RV rv;

	for (CK_ULONG i = 0; attributes && values && i < count; i++) {
		attributes[i].type = templ[i].type;
		(void)is_same(&attributes[i], &values[i]);
	}
	if (!attributes || !values)
		rv = no_memory();
	else
		rv = ask_for_all(module, session, object, attributes, values, count);
	for (CK_ULONG i = 0; values && i < count; i++) {
		if (rv != CKR_OK) {
			drop_value(&values[i]);
			continue;
		}
		settle(&attributes[i], &values[i]);
		free(templ[i].pValue);
		templ[i].pValue = attributes[i].pValue;
		templ[i].ulValueLen = attributes[i].ulValueLen;
	}
	free(attributes);
	free(values);
	return rv;
}
