/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every public function with arguments that make no sense: NULL, nothing, too much, pointers that
 * were good once. Each row runs in a process of its own, so that none depends on another, and its
 * answer is what the headers say. Where the caller broke a rule, there is a line on stderr and no
 * message, and with P11_KIT_STRICT the process ends there. No function of exports.txt is left out.
 */
#define P11_KIT_FUTURE_UNSTABLE_API 1
#define P11_KIT_NO_DEPRECATIONS 1
#include "core/core.h"

#include <p11-kit/iter.h>
#include <p11-kit/pin.h>
#include <p11-kit/remote.h>
#include <p11-kit/uri.h>
#include <p11-kit/version.h>

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Like libc, instead of ending the process. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *
__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *
__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

/* ---- rows ---- */

enum kind {
	FINE,   /* an answer like any other */
	BROKEN, /* the caller broke a rule */
};

static unsigned wanted;       /* the row that is to run */
static unsigned n_rows;       /* that were passed */
static const char *call;      /* the text of the wanted one */
static enum kind kind;        /* of the wanted one */
static char all_calls[65536]; /* the text of all, each in a line */

/* Whether it is this row's turn. Nothing of other rows is evaluated. */
static bool
is_turn(const char *its_call, enum kind its_kind)
{
	size_t length = strlen(all_calls);

	snprintf(all_calls + length, sizeof all_calls - length, "\n%s", its_call);
	if (n_rows++ != wanted)
		return false;
	call = its_call;
	kind = its_kind;
	return true;
}

static void
compare(uintptr_t answer, uintptr_t expected)
{
	if (answer == expected)
		return;
	core_n_wrong++;
	print_error("%s: %#lx, not %#lx\n", call, (unsigned long)answer, (unsigned long)expected);
}

#define ROW(its_kind, its_call, expected)                                                          \
	do {                                                                                       \
		if (is_turn(#its_call, its_kind))                                                  \
			compare((uintptr_t)(its_call), (uintptr_t)(expected));                     \
	} while (0)

#define VOID_ROW(its_kind, its_call)                                                               \
	do {                                                                                       \
		if (is_turn(#its_call, its_kind))                                                  \
			its_call;                                                                  \
	} while (0)

/* ---- what is passed ---- */

static char huge[1024 * 1024]; /* letters */
static CK_FUNCTION_LIST *managed, *foreign, *gone, *freed, *proxy;
static CK_FUNCTION_LIST wrong_version, empty_list = {.version = {2, 40}};
static P11KitUri *uri;
static CK_BYTE byte[] = "x";
static CK_ATTRIBUTE too_long = {CKA_ID, byte, (CK_ULONG)-2}, no_value = {CKA_ID, NULL, 5},
		    unavailable = {CKA_ID, byte, (CK_ULONG)-1}, no_type = {(CK_ULONG)-1, byte, 1};
static CK_INFO info;
static CK_SLOT_INFO slot_info;
static CK_TOKEN_INFO token_info;
static CK_FUNCTION_LIST *out_list;
static CK_ULONG count;
static CK_SESSION_HANDLE session;
static char *text;

static CK_FUNCTION_LIST **
array_of(CK_FUNCTION_LIST *list)
{
	CK_FUNCTION_LIST **array = calloc(2, sizeof *array);

	array[0] = list;
	return array;
}

static P11KitPin *
no_pin(const char *source, P11KitUri *pin_uri, const char *description, P11KitPinFlags flags,
       void *data)
{
	(void)source, (void)pin_uri, (void)description, (void)flags, (void)data;
	return NULL;
}

/* A module that is unmapped again, and a list on the heap that is freed again. */
static void
make_gone(void)
{
	gone = p11_kit_module_load(chaos_path("chaos-3.0"), P11_KIT_MODULE_UNMANAGED);
	p11_kit_module_release(gone);
	freed = malloc(sizeof(CK_FUNCTION_LIST));
	memcpy(freed, foreign, sizeof *freed);
	free(freed);
}

static void
prepare(void)
{
	memset(huge, 'x', sizeof huge - 1);
	foreign = chaos_list("chaos-c");
	proxy = core_consumer();
	managed = p11_kit_module_load(chaos_path("chaos-a"), 0);
	core_expect(p11_kit_module_initialize(managed) == CKR_OK);
	make_gone();
	uri = p11_kit_uri_new();
	wrong_version = *foreign;
	wrong_version.version.major = 9;
	free(p11_kit_config_option(NULL, "x")); /* empties the message */
}

/* ---- p11-kit.h ---- */

static void
modules_rows(void)
{
	ROW(BROKEN, p11_kit_modules_load("x", 0), NULL);
	ROW(FINE, !p11_kit_modules_load(NULL, -1), 0);
	ROW(FINE, !p11_kit_modules_load(NULL, INT_MIN), 0);
	ROW(FINE, !p11_kit_modules_load_and_initialize(-1), 0);
	ROW(FINE, !p11_kit_modules_load_and_initialize(INT_MAX), 0);
	ROW(BROKEN, p11_kit_modules_initialize(NULL, NULL), CKR_ARGUMENTS_BAD);
	ROW(FINE, p11_kit_modules_initialize(array_of(NULL), NULL), CKR_OK);
	ROW(BROKEN, p11_kit_modules_finalize(NULL), CKR_ARGUMENTS_BAD);
	ROW(FINE, p11_kit_modules_finalize(array_of(NULL)), CKR_OK);
	VOID_ROW(BROKEN, p11_kit_modules_release(NULL));
	VOID_ROW(FINE, p11_kit_modules_release(array_of(NULL)));
	VOID_ROW(BROKEN, p11_kit_modules_release(array_of(gone)));
	VOID_ROW(BROKEN, p11_kit_modules_release(array_of(freed)));
	VOID_ROW(BROKEN, p11_kit_modules_finalize_and_release(NULL));
	ROW(FINE, p11_kit_module_for_name(NULL, "a"), NULL);
	ROW(BROKEN, p11_kit_module_for_name(array_of(managed), NULL), NULL);
	ROW(FINE, p11_kit_module_for_name(array_of(managed), ""), NULL);
	ROW(FINE, p11_kit_module_for_name(array_of(managed), huge), NULL);
	ROW(FINE, p11_kit_module_for_name(array_of(gone), "a"), NULL);
	ROW(FINE, p11_kit_module_for_name(array_of(freed), "a"), NULL);
}

static void
module_rows(void)
{
	ROW(BROKEN, p11_kit_module_load(NULL, 0), NULL);
	ROW(FINE, p11_kit_module_load("", 0), NULL);
	ROW(FINE, p11_kit_module_load(huge, 0), NULL);
	ROW(FINE, p11_kit_module_load("/", -1), NULL);
	ROW(FINE, p11_kit_module_load(chaos_path("chaos-a"), -1), NULL); /* it is not trusted */
	ROW(BROKEN, p11_kit_module_initialize(NULL), CKR_ARGUMENTS_BAD);
	ROW(BROKEN, p11_kit_module_finalize(NULL), CKR_ARGUMENTS_BAD);
	VOID_ROW(BROKEN, p11_kit_module_release(NULL));
	VOID_ROW(BROKEN, p11_kit_module_release(gone));
	VOID_ROW(BROKEN, p11_kit_module_release(freed));
	VOID_ROW(BROKEN, p11_kit_module_release(foreign));
	VOID_ROW(BROKEN, p11_kit_module_release((CK_FUNCTION_LIST *)huge));
	ROW(BROKEN, p11_kit_module_get_name(NULL), NULL);
	ROW(FINE, p11_kit_module_get_name(gone), NULL);
	ROW(FINE, p11_kit_module_get_name(freed), NULL);
	ROW(FINE, p11_kit_module_get_name(foreign), NULL);
	ROW(BROKEN, p11_kit_module_get_filename(NULL), NULL);
	ROW(FINE, p11_kit_module_get_filename(gone), NULL);
	ROW(FINE, p11_kit_module_get_filename(freed), NULL);
	ROW(FINE, p11_kit_module_get_filename(foreign), NULL);
	ROW(BROKEN, p11_kit_module_get_flags(NULL), 0);
	ROW(FINE, p11_kit_module_get_flags(gone), 3);
	ROW(FINE, p11_kit_module_get_flags(freed), 3);
	ROW(FINE, p11_kit_module_get_flags(foreign), 3);
	ROW(BROKEN, p11_kit_config_option(NULL, NULL), NULL);
	ROW(FINE, p11_kit_config_option(NULL, ""), NULL);
	ROW(FINE, p11_kit_config_option(NULL, huge), NULL);
	ROW(FINE, p11_kit_config_option(gone, "module"), NULL);
	ROW(FINE, p11_kit_config_option(freed, "module"), NULL);
}

static void
utility_rows(void)
{
	ROW(FINE, p11_kit_message(), NULL);
	VOID_ROW(FINE, p11_kit_be_quiet());
	VOID_ROW(FINE, p11_kit_be_loud());
	ROW(FINE, !p11_kit_strerror((CK_RV)-1), 0);
	ROW(FINE, !p11_kit_strerror(CKR_OK), 0);
	ROW(BROKEN, p11_kit_space_strlen(NULL, 5), 0);
	ROW(FINE, p11_kit_space_strlen(byte, 0), 0);
	ROW(BROKEN, p11_kit_space_strdup(NULL, 0), NULL);
	ROW(FINE, *p11_kit_space_strdup(byte, 0), '\0');
	VOID_ROW(FINE, p11_kit_set_progname(NULL));
	VOID_ROW(FINE, p11_kit_set_progname(""));
	VOID_ROW(FINE, p11_kit_set_progname(huge));
	VOID_ROW(FINE, p11_kit_override_system_files(NULL, NULL, NULL, NULL, NULL));
	VOID_ROW(FINE, p11_kit_override_system_files("", huge, "", huge, ""));
	ROW(FINE, p11_kit_check_version(INT_MIN, INT_MIN, INT_MIN), 1);
	ROW(FINE, p11_kit_check_version(INT_MAX, 0, 0), 0);
}

static void
deprecated_rows(void)
{
	ROW(FINE, p11_kit_initialize_registered(), CKR_OK);
	ROW(FINE, p11_kit_finalize_registered(), CKR_OK); /* the proxy has read the configuration */
	ROW(FINE, !p11_kit_registered_modules(), 0);
	ROW(BROKEN, p11_kit_initialize_module(NULL), CKR_ARGUMENTS_BAD);
	ROW(FINE, p11_kit_initialize_module(&wrong_version), CKR_ARGUMENTS_BAD);
	ROW(FINE, p11_kit_initialize_module(&empty_list), CKR_ARGUMENTS_BAD);
	ROW(BROKEN, p11_kit_finalize_module(NULL), CKR_ARGUMENTS_BAD);
	ROW(FINE, p11_kit_finalize_module(foreign), CKR_ARGUMENTS_BAD);
	ROW(FINE, p11_kit_finalize_module(&empty_list), CKR_ARGUMENTS_BAD);
	ROW(BROKEN, p11_kit_load_initialize_module(NULL, &out_list), CKR_ARGUMENTS_BAD);
	ROW(BROKEN, p11_kit_load_initialize_module("x", NULL), CKR_ARGUMENTS_BAD);
	ROW(FINE, p11_kit_load_initialize_module("", &out_list), CKR_GENERAL_ERROR);
	ROW(FINE, p11_kit_load_initialize_module(huge, &out_list), CKR_GENERAL_ERROR);
	ROW(BROKEN, p11_kit_registered_module_to_name(NULL), NULL);
	ROW(FINE, p11_kit_registered_module_to_name(gone), NULL);
	ROW(BROKEN, p11_kit_registered_name_to_module(NULL), NULL);
	ROW(FINE, p11_kit_registered_name_to_module(""), NULL);
	ROW(BROKEN, p11_kit_registered_option(NULL, NULL), NULL);
	ROW(FINE, p11_kit_registered_option(NULL, huge), NULL);
	ROW(FINE, p11_kit_registered_option(gone, "x"), NULL);
	ROW(FINE, p11_kit_registered_option(freed, "x"), NULL);
}

/* ---- uri.h ---- */

static void
uri_text_rows(void)
{
	ROW(FINE, !p11_kit_uri_new(), 0);
	VOID_ROW(FINE, p11_kit_uri_free(NULL));
	ROW(BROKEN, p11_kit_uri_parse(NULL, P11_KIT_URI_FOR_ANY, uri), P11_KIT_URI_UNEXPECTED);
	ROW(BROKEN, p11_kit_uri_parse("pkcs11:", P11_KIT_URI_FOR_ANY, NULL),
	    P11_KIT_URI_UNEXPECTED);
	ROW(FINE, p11_kit_uri_parse("", P11_KIT_URI_FOR_ANY, uri), P11_KIT_URI_BAD_SCHEME);
	ROW(FINE, p11_kit_uri_parse(huge, P11_KIT_URI_FOR_ANY, uri), P11_KIT_URI_BAD_SCHEME);
	ROW(FINE, p11_kit_uri_parse("pkcs11:token=t", (P11KitUriType)0, uri), P11_KIT_URI_OK);
	ROW(FINE, p11_kit_uri_parse("pkcs11:token=t", (P11KitUriType)-1, uri), P11_KIT_URI_OK);
	ROW(BROKEN, p11_kit_uri_format(NULL, P11_KIT_URI_FOR_ANY, &text), P11_KIT_URI_UNEXPECTED);
	ROW(BROKEN, p11_kit_uri_format(uri, P11_KIT_URI_FOR_ANY, NULL), P11_KIT_URI_UNEXPECTED);
	ROW(FINE, p11_kit_uri_format(uri, (P11KitUriType)-1, &text), P11_KIT_URI_OK);
	ROW(FINE, p11_kit_uri_message(0), NULL);
	ROW(FINE, !p11_kit_uri_message(INT_MIN), 0);
	ROW(FINE, !p11_kit_uri_message(INT_MAX), 0);
	ROW(BROKEN, p11_kit_uri_any_unrecognized(NULL), 1);
	VOID_ROW(BROKEN, p11_kit_uri_set_unrecognized(NULL, 1));
	VOID_ROW(FINE, p11_kit_uri_set_unrecognized(uri, INT_MIN));
}

static void
uri_matching_rows(void)
{
	ROW(BROKEN, p11_kit_uri_match_module_info(NULL, &info), 0);
	ROW(BROKEN, p11_kit_uri_match_module_info(uri, NULL), 0);
	ROW(BROKEN, p11_kit_uri_match_slot_info(NULL, &slot_info), 0);
	ROW(BROKEN, p11_kit_uri_match_slot_info(uri, NULL), 0);
	ROW(BROKEN, p11_kit_uri_match_token_info(NULL, &token_info), 0);
	ROW(BROKEN, p11_kit_uri_match_token_info(uri, NULL), 0);
	ROW(BROKEN, p11_kit_uri_match_attributes(NULL, &no_value, 1), 0);
	ROW(BROKEN, p11_kit_uri_match_attributes(uri, NULL, 1), 0);
	ROW(FINE, p11_kit_uri_match_attributes(uri, NULL, 0), 1);
	ROW(FINE,
	    (p11_kit_uri_set_attribute(uri, &(CK_ATTRIBUTE){CKA_ID, huge, 5}),
	     p11_kit_uri_match_attributes(uri, &no_value, 1)),
	    0);
	ROW(FINE,
	    (p11_kit_uri_set_attribute(uri, &unavailable),
	     p11_kit_uri_match_attributes(uri, &unavailable, 1)),
	    0);
}

static void
uri_attribute_rows(void)
{
	ROW(BROKEN, p11_kit_uri_get_attribute(NULL, CKA_ID), NULL);
	ROW(FINE, p11_kit_uri_get_attribute(uri, (CK_ULONG)-1), NULL);
	ROW(BROKEN, p11_kit_uri_set_attribute(NULL, &no_value), P11_KIT_URI_UNEXPECTED);
	ROW(BROKEN, p11_kit_uri_set_attribute(uri, NULL), P11_KIT_URI_UNEXPECTED);
	ROW(FINE, p11_kit_uri_set_attribute(uri, &too_long), P11_KIT_URI_UNEXPECTED);
	ROW(FINE, p11_kit_uri_set_attribute(uri, &unavailable), P11_KIT_URI_OK);
	ROW(FINE, p11_kit_uri_set_attribute(uri, &no_value), P11_KIT_URI_OK);
	ROW(FINE, p11_kit_uri_set_attribute(uri, &no_type), P11_KIT_URI_NOT_FOUND);
	ROW(BROKEN, p11_kit_uri_get_attributes(NULL, &count), NULL);
	ROW(FINE, !p11_kit_uri_get_attributes(uri, NULL), 0);
	ROW(BROKEN, p11_kit_uri_set_attributes(NULL, &no_value, 1), P11_KIT_URI_UNEXPECTED);
	ROW(BROKEN, p11_kit_uri_set_attributes(uri, NULL, 1), P11_KIT_URI_UNEXPECTED);
	ROW(FINE, p11_kit_uri_set_attributes(uri, NULL, 0), P11_KIT_URI_OK);
	ROW(FINE, p11_kit_uri_set_attributes(uri, &too_long, 1), P11_KIT_URI_UNEXPECTED);
	ROW(BROKEN, p11_kit_uri_clear_attribute(NULL, CKA_ID), P11_KIT_URI_UNEXPECTED);
	ROW(FINE, p11_kit_uri_clear_attribute(uri, (CK_ULONG)-1), P11_KIT_URI_NOT_FOUND);
	VOID_ROW(BROKEN, p11_kit_uri_clear_attributes(NULL));
}

static void
uri_getter_rows(void)
{
	ROW(BROKEN, p11_kit_uri_get_module_info(NULL), NULL);
	ROW(BROKEN, p11_kit_uri_get_slot_info(NULL), NULL);
	ROW(BROKEN, p11_kit_uri_get_token_info(NULL), NULL);
	ROW(BROKEN, p11_kit_uri_get_slot_id(NULL), (CK_SLOT_ID)-1);
	ROW(BROKEN, p11_kit_uri_get_pin_value(NULL), NULL);
	ROW(BROKEN, p11_kit_uri_get_pin_source(NULL), NULL);
	ROW(BROKEN, p11_kit_uri_get_pinfile(NULL), NULL);
	ROW(BROKEN, p11_kit_uri_get_module_name(NULL), NULL);
	ROW(BROKEN, p11_kit_uri_get_module_path(NULL), NULL);
	ROW(BROKEN, p11_kit_uri_get_vendor_query(NULL, "x"), NULL);
	ROW(BROKEN, p11_kit_uri_get_vendor_query(uri, NULL), NULL);
	ROW(FINE, p11_kit_uri_get_vendor_query(uri, ""), NULL);
}

static void
uri_setter_rows(void)
{
	VOID_ROW(BROKEN, p11_kit_uri_set_slot_id(NULL, 1));
	VOID_ROW(BROKEN, p11_kit_uri_set_pin_value(NULL, "x"));
	VOID_ROW(FINE, p11_kit_uri_set_pin_value(uri, NULL));
	VOID_ROW(FINE, p11_kit_uri_set_pin_value(uri, huge));
	VOID_ROW(BROKEN, p11_kit_uri_set_pin_source(NULL, "x"));
	VOID_ROW(FINE, p11_kit_uri_set_pin_source(uri, NULL));
	VOID_ROW(BROKEN, p11_kit_uri_set_pinfile(NULL, "x"));
	VOID_ROW(FINE, p11_kit_uri_set_pinfile(uri, NULL));
	VOID_ROW(BROKEN, p11_kit_uri_set_module_name(NULL, "x"));
	VOID_ROW(FINE, p11_kit_uri_set_module_name(uri, NULL));
	VOID_ROW(BROKEN, p11_kit_uri_set_module_path(NULL, "x"));
	VOID_ROW(FINE, p11_kit_uri_set_module_path(uri, NULL));
	ROW(BROKEN, p11_kit_uri_set_vendor_query(NULL, "x", "y"), 0);
	ROW(BROKEN, p11_kit_uri_set_vendor_query(uri, NULL, "y"), 0);
	ROW(FINE, p11_kit_uri_set_vendor_query(uri, "", "y"), 0);
	ROW(FINE, p11_kit_uri_set_vendor_query(uri, "a b", "y"), 0);
	ROW(FINE, p11_kit_uri_set_vendor_query(uri, "x", NULL), 0);
	ROW(FINE, p11_kit_uri_set_vendor_query(uri, huge, huge), 1);
}

/* ---- pin.h ---- */

static void
pin_rows(void)
{
	ROW(FINE, !p11_kit_pin_new(NULL, 0), 0);
	ROW(BROKEN, p11_kit_pin_new(NULL, 5), NULL);
	ROW(FINE, p11_kit_pin_new(byte, SIZE_MAX), NULL);
	ROW(BROKEN, p11_kit_pin_new_for_string(NULL), NULL);
	ROW(FINE, p11_kit_pin_get_length(p11_kit_pin_new_for_string("")), 0);
	ROW(BROKEN, p11_kit_pin_new_for_buffer(NULL, 1, free), NULL);
	ROW(FINE, p11_kit_pin_get_value(p11_kit_pin_new_for_buffer(NULL, 0, free), NULL), NULL);
	ROW(BROKEN, p11_kit_pin_ref(NULL), NULL);
	VOID_ROW(FINE, p11_kit_pin_unref(NULL));
	ROW(BROKEN, p11_kit_pin_get_value(NULL, NULL), NULL);
	ROW(BROKEN, p11_kit_pin_get_length(NULL), 0);
	ROW(BROKEN, p11_kit_pin_register_callback(NULL, no_pin, NULL, NULL), -1);
	ROW(BROKEN, p11_kit_pin_register_callback("x", NULL, NULL, NULL), -1);
	ROW(FINE, p11_kit_pin_register_callback(huge, no_pin, NULL, NULL), 0);
	VOID_ROW(BROKEN, p11_kit_pin_unregister_callback(NULL, no_pin, NULL));
	VOID_ROW(BROKEN, p11_kit_pin_unregister_callback("x", NULL, NULL));
	VOID_ROW(FINE, p11_kit_pin_unregister_callback("x", no_pin, NULL));
	ROW(BROKEN, p11_kit_pin_request(NULL, NULL, NULL, 0), NULL);
	ROW(FINE, p11_kit_pin_request("", NULL, NULL, (P11KitPinFlags)-1), NULL);
	ROW(BROKEN, p11_kit_pin_file_callback(NULL, NULL, NULL, 0, NULL), NULL);
	ROW(FINE, p11_kit_pin_file_callback("", NULL, NULL, 0, NULL), NULL);
	ROW(FINE, p11_kit_pin_file_callback(huge, NULL, NULL, 0, NULL), NULL);
	ROW(FINE, p11_kit_pin_file_callback("/", NULL, NULL, 0, NULL), NULL);
	ROW(FINE, p11_kit_pin_file_callback("/dev/null", NULL, NULL, (P11KitPinFlags)-1, NULL),
	    NULL);
}

/* ---- iter.h, remote.h ---- */

static P11KitIter *
iter(void)
{
	P11KitIter *made = p11_kit_iter_new(NULL, (P11KitIterBehavior)0);

	p11_kit_iter_begin_with(made, managed, 0, 0);
	return made;
}

static CK_RV
yes(P11KitIter *at, CK_BBOOL *matches, void *data)
{
	(void)at, (void)matches, (void)data;
	return CKR_OK;
}

static void
iter_rows(void)
{
	ROW(FINE, !p11_kit_iter_new(NULL, (P11KitIterBehavior)-1), 0);
	VOID_ROW(FINE, p11_kit_iter_free(NULL));
	VOID_ROW(BROKEN, p11_kit_iter_set_uri(NULL, uri));
	VOID_ROW(BROKEN, p11_kit_iter_set_uri(iter(), uri)); /* it is iterating */
	VOID_ROW(BROKEN, p11_kit_iter_add_callback(NULL, yes, NULL, NULL));
	VOID_ROW(BROKEN, p11_kit_iter_add_callback(iter(), NULL, NULL, NULL));
	VOID_ROW(BROKEN, p11_kit_iter_add_filter(NULL, &no_value, 1));
	VOID_ROW(BROKEN, p11_kit_iter_add_filter(p11_kit_iter_new(NULL, 0), NULL, 1));
	VOID_ROW(FINE, p11_kit_iter_add_filter(p11_kit_iter_new(NULL, 0), NULL, 0));
	VOID_ROW(BROKEN, p11_kit_iter_begin(NULL, array_of(managed)));
	VOID_ROW(BROKEN, p11_kit_iter_begin(iter(), NULL));
	VOID_ROW(BROKEN, p11_kit_iter_begin_with(NULL, managed, 0, 0));
	VOID_ROW(BROKEN, p11_kit_iter_begin_with(iter(), NULL, 0, 0));
	VOID_ROW(FINE, p11_kit_iter_begin_with(iter(), managed, (CK_SLOT_ID)-1, 0));
	VOID_ROW(FINE, p11_kit_iter_begin_with(iter(), managed, 0, (CK_SESSION_HANDLE)-1));
	ROW(BROKEN, p11_kit_iter_next(NULL), CKR_ARGUMENTS_BAD);
	ROW(BROKEN, p11_kit_iter_next(p11_kit_iter_new(NULL, 0)), CKR_OPERATION_NOT_INITIALIZED);
	ROW(BROKEN, p11_kit_iter_get_kind(NULL), P11_KIT_ITER_KIND_UNKNOWN);
	ROW(BROKEN, p11_kit_iter_get_module(NULL), NULL);
	ROW(BROKEN, p11_kit_iter_get_slot(NULL), 0);
	ROW(BROKEN, p11_kit_iter_get_slot_info(NULL), NULL);
	ROW(BROKEN, p11_kit_iter_get_token(NULL), NULL);
	ROW(BROKEN, p11_kit_iter_get_session(NULL), 0);
	ROW(BROKEN, p11_kit_iter_get_object(NULL), 0);
	ROW(BROKEN, p11_kit_iter_get_attributes(NULL, &no_value, 1), CKR_GENERAL_ERROR);
	ROW(BROKEN, p11_kit_iter_get_attributes(iter(), &no_value, 1), CKR_GENERAL_ERROR);
	ROW(BROKEN, p11_kit_iter_load_attributes(NULL, &no_value, 1), CKR_GENERAL_ERROR);
	ROW(BROKEN, p11_kit_iter_load_attributes(iter(), NULL, 1), CKR_GENERAL_ERROR);
	ROW(BROKEN, p11_kit_iter_keep_session(NULL), 0);
	ROW(BROKEN, p11_kit_iter_keep_session(iter()), 0);
	ROW(BROKEN, p11_kit_iter_destroy_object(NULL), CKR_GENERAL_ERROR);
	ROW(BROKEN, p11_kit_iter_destroy_object(iter()), CKR_GENERAL_ERROR);
}

static void
remote_rows(void)
{
	static const char *tokens[] = {"pkcs11:"};

	ROW(BROKEN, p11_kit_remote_serve_module(NULL, 0, 1), 1);
	ROW(BROKEN, p11_kit_remote_serve_module(managed, -1, 1), 1);
	ROW(BROKEN, p11_kit_remote_serve_token(NULL, &token_info, 0, 1), 2);
	ROW(BROKEN, p11_kit_remote_serve_token(managed, NULL, 0, 1), 2);
	ROW(BROKEN, p11_kit_remote_serve_tokens(NULL, 1, managed, 0, 1), 2);
	ROW(BROKEN, p11_kit_remote_serve_tokens(tokens, 0, managed, 0, 1), 2);
	ROW(BROKEN, p11_kit_remote_serve_tokens(tokens, 1, managed, 0, INT_MIN), 2);
}

/* ---- the tables that consumers get ---- */

static CK_C_INITIALIZE_ARGS half = {.CreateMutex = (CK_CREATEMUTEX)(uintptr_t)1};
static CK_INTERFACE interface;
static CK_SLOT_ID slot;

static CK_INTERFACE *
ask_interface(CK_FUNCTION_LIST *list, const char *name, CK_BYTE major, CK_FLAGS flags)
{
	CK_VERSION version = {major, 255};
	CK_INTERFACE *found = NULL;

	(void)((CK_FUNCTION_LIST_3_0 *)list)
		->C_GetInterface((CK_UTF8CHAR_PTR)(uintptr_t)name, &version, &found, flags);
	return found;
}

static void
table_rows(CK_FUNCTION_LIST *list)
{
	CK_FUNCTION_LIST_3_0 *newer = (CK_FUNCTION_LIST_3_0 *)list;

	ROW(FINE, list->C_Initialize(&half), CKR_ARGUMENTS_BAD);
	ROW(FINE, list->C_Finalize(huge), CKR_ARGUMENTS_BAD);
	ROW(FINE, list->C_GetInfo(NULL), CKR_ARGUMENTS_BAD);
	ROW(FINE, list->C_GetFunctionList(NULL), CKR_ARGUMENTS_BAD);
	ROW(FINE, list->C_GetSlotList(CK_FALSE, NULL, NULL), CKR_ARGUMENTS_BAD);
	ROW(FINE, list->C_GetSlotInfo((CK_SLOT_ID)-1, &slot_info), CKR_SLOT_ID_INVALID);
	ROW(FINE, list->C_GetTokenInfo((CK_SLOT_ID)-2, &token_info), CKR_SLOT_ID_INVALID);
	ROW(FINE, list->C_OpenSession(0x11, CKF_SERIAL_SESSION, NULL, NULL, NULL),
	    CKR_ARGUMENTS_BAD);
	ROW(FINE, list->C_OpenSession((CK_SLOT_ID)-1, CKF_SERIAL_SESSION, NULL, NULL, &session),
	    CKR_SLOT_ID_INVALID);
	ROW(FINE, list->C_CloseSession(0), CKR_SESSION_HANDLE_INVALID);
	ROW(FINE, list->C_CloseSession((CK_SESSION_HANDLE)-1), CKR_SESSION_HANDLE_INVALID);
	ROW(FINE, list->C_Sign((CK_SESSION_HANDLE)-1, byte, 1, byte, &count),
	    CKR_SESSION_HANDLE_INVALID);
	ROW(FINE, list->C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL), CKR_ARGUMENTS_BAD);
	ROW(FINE, list->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, huge), CKR_ARGUMENTS_BAD);
	if (list->version.major < 3)
		return;
	ROW(FINE, newer->C_GetInterfaceList(NULL, NULL), CKR_ARGUMENTS_BAD);
	ROW(FINE, newer->C_GetInterfaceList(&interface, (count = 0, &count)), CKR_BUFFER_TOO_SMALL);
	ROW(FINE, newer->C_GetInterface(NULL, NULL, NULL, 0), CKR_ARGUMENTS_BAD);
	ROW(FINE, ask_interface(list, "", 3, 0), NULL);
	ROW(FINE, ask_interface(list, huge, 3, 0), NULL);
	ROW(FINE, ask_interface(list, "PKCS 11", 255, 0), NULL);
	ROW(FINE, ask_interface(list, NULL, 3, (CK_FLAGS)-1), NULL);
}

static void
rows(void)
{
	n_rows = 0;
	all_calls[0] = '\0';
	modules_rows();
	module_rows();
	utility_rows();
	deprecated_rows();
	uri_text_rows();
	uri_matching_rows();
	uri_attribute_rows();
	uri_getter_rows();
	uri_setter_rows();
	pin_rows();
	iter_rows();
	remote_rows();
	table_rows(managed);
	table_rows(proxy);
}

/* ---- running them ---- */

/* What the row says on stderr, at most a line. */
static char said[512];

static void
run_capturing(void)
{
	int fds[2], saved = dup(STDERR_FILENO);

	if (saved < 0 || pipe(fds) != 0)
		support_die("pipe");
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	rows();
	dup2(saved, STDERR_FILENO);
	ssize_t n = read(fds[0], said, sizeof said - 1);
	said[n > 0 ? n : 0] = '\0';
	fputs(said, stderr);
}

/* In a child. */
static int
run_row(void *data)
{
	wanted = *(unsigned *)data;
	prepare();
	run_capturing();
	if (n_rows <= wanted)
		return 77;
	bool is_told = strstr(said, "broke the rule") != NULL;
	core_expect(is_told == (kind == BROKEN));
	core_expect(kind != BROKEN || !p11_kit_message());
	if (core_n_wrong > 0)
		print_error("in row %u: %s\n", wanted, call);
	return core_n_wrong > 0 ? 1 : kind == BROKEN ? 2 : 0;
}

static int
run_strictly(void *data)
{
	setenv("P11_KIT_STRICT", "1", 1);
	signal(SIGABRT, SIG_DFL);
	return run_row(data);
}

static void
test_rows(void **state)
{
	unsigned n_wrong = 0, n_broken = 0, row = 0;
	int result;

	(void)state;
	for (; (result = child_run(run_row, &row, CORE_TEST_SECONDS)) != 77; row++) {
		if (result != 0 && result != 2) {
			print_error("row %u: %d\n", row, result);
			n_wrong++;
		} else if (result == 2) {
			n_broken++;
			n_wrong += child_run(run_strictly, &row, CORE_TEST_SECONDS) !=
				   CHILD_DIED + SIGABRT;
		}
	}
	print_message("%u rows, %u of them break a rule\n", row, n_broken);
	assert_int_equal(n_wrong, 0);
	assert_true(n_broken > 50);
}

/* Exported now, not a C_ function, and in no row. */
static bool
is_left_out(const char *line)
{
	char name[80], mark[16] = "", row[96];

	if (sscanf(line, "%79s %15s", name, mark) < 1 || strncmp(name, "p11_kit_", 8) != 0 ||
	    strcmp(mark, "later") == 0)
		return false;
	snprintf(row, sizeof row, "%s(", name);
	return !strstr(all_calls, row);
}

static int
find_left_out(void *data)
{
	char path[512], line[256];
	unsigned n_left_out = 0, n_lines = 0;

	(void)data;
	wanted = UINT_MAX;
	prepare();
	rows();
	snprintf(path, sizeof path, "%s/tests/symbols/exports.txt", support_env("P11_SOURCE"));
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof line, file)) {
		n_lines++;
		if (is_left_out(line)) {
			print_error("no row for %s", line);
			n_left_out++;
		}
	}
	return n_left_out > 0 || n_lines < 50;
}

static void
test_no_function_is_left_out(void **state)
{
	(void)state;
	assert_int_equal(child_run(find_left_out, NULL, CORE_TEST_SECONDS), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_no_function_is_left_out),
	};
	struct scene *scene = core_scene();

	scene_chaos(scene, "b", "chaos-b", NULL);
	scene_use(scene, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
