/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The public API once more, written down from what programs are compiled against: a declaration
 * here that differs from the header's is an error. test-headers.py compiles this behind all
 * headers, and sees that no exported function is missing.
 */

/* p11-kit.h */
typedef void destroyer(void *data);
extern destroyer *use_destroyer;
extern p11_kit_destroyer use_destroyer;
CK_FUNCTION_LIST **p11_kit_modules_load(const char *, int);
CK_RV p11_kit_modules_initialize(CK_FUNCTION_LIST **, void (*)(void *));
CK_FUNCTION_LIST **p11_kit_modules_load_and_initialize(int);
CK_RV p11_kit_modules_finalize(CK_FUNCTION_LIST **);
void p11_kit_modules_release(CK_FUNCTION_LIST **);
void p11_kit_modules_finalize_and_release(CK_FUNCTION_LIST **);
CK_FUNCTION_LIST *p11_kit_module_for_name(CK_FUNCTION_LIST **, const char *);
char *p11_kit_module_get_filename(CK_FUNCTION_LIST *);
char *p11_kit_module_get_name(CK_FUNCTION_LIST *);
int p11_kit_module_get_flags(CK_FUNCTION_LIST *);
CK_FUNCTION_LIST *p11_kit_module_load(const char *, int);
CK_RV p11_kit_module_initialize(CK_FUNCTION_LIST *);
CK_RV p11_kit_module_finalize(CK_FUNCTION_LIST *);
void p11_kit_module_release(CK_FUNCTION_LIST *);
char *p11_kit_config_option(CK_FUNCTION_LIST *, const char *);
const char *p11_kit_strerror(CK_RV);
size_t p11_kit_space_strlen(const unsigned char *, size_t);
char *p11_kit_space_strdup(const unsigned char *, size_t);
void p11_kit_be_quiet(void);
void p11_kit_be_loud(void);
const char *p11_kit_message(void);
void p11_kit_set_progname(const char *);
void p11_kit_override_system_files(const char *, const char *, const char *, const char *,
				   const char *);
_Static_assert(P11_KIT_MODULE_UNMANAGED == 1 && P11_KIT_MODULE_CRITICAL == 2 &&
		       P11_KIT_MODULE_TRUSTED == 4 && P11_KIT_MODULE_VERBOSE == 8 &&
		       P11_KIT_MODULE_MASK == 15,
	       "flags of modules");

/* deprecated.h */
CK_RV p11_kit_initialize_registered(void);
CK_RV p11_kit_finalize_registered(void);
CK_FUNCTION_LIST_PTR *p11_kit_registered_modules(void);
CK_FUNCTION_LIST_PTR p11_kit_registered_name_to_module(const char *);
char *p11_kit_registered_module_to_name(CK_FUNCTION_LIST_PTR);
char *p11_kit_registered_option(CK_FUNCTION_LIST_PTR, const char *);
CK_RV p11_kit_initialize_module(CK_FUNCTION_LIST_PTR);
CK_RV p11_kit_finalize_module(CK_FUNCTION_LIST_PTR);
CK_RV p11_kit_load_initialize_module(const char *, CK_FUNCTION_LIST_PTR *);

/* uri.h */
extern struct p11_kit_uri *use_uri;
extern P11KitUri *use_uri;
extern p11_kit_uri *use_uri;
CK_INFO_PTR p11_kit_uri_get_module_info(P11KitUri *);
int p11_kit_uri_match_module_info(const P11KitUri *, const CK_INFO *);
CK_SLOT_INFO_PTR p11_kit_uri_get_slot_info(P11KitUri *);
int p11_kit_uri_match_slot_info(const P11KitUri *, const CK_SLOT_INFO *);
CK_SLOT_ID p11_kit_uri_get_slot_id(P11KitUri *);
void p11_kit_uri_set_slot_id(P11KitUri *, CK_SLOT_ID);
CK_TOKEN_INFO_PTR p11_kit_uri_get_token_info(P11KitUri *);
int p11_kit_uri_match_token_info(const P11KitUri *, const CK_TOKEN_INFO *);
CK_ATTRIBUTE_PTR p11_kit_uri_get_attribute(P11KitUri *, CK_ATTRIBUTE_TYPE);
int p11_kit_uri_set_attribute(P11KitUri *, CK_ATTRIBUTE_PTR);
int p11_kit_uri_clear_attribute(P11KitUri *, CK_ATTRIBUTE_TYPE);
CK_ATTRIBUTE_PTR p11_kit_uri_get_attributes(P11KitUri *, CK_ULONG *);
int p11_kit_uri_set_attributes(P11KitUri *, CK_ATTRIBUTE_PTR, CK_ULONG);
void p11_kit_uri_clear_attributes(P11KitUri *);
int p11_kit_uri_match_attributes(const P11KitUri *, const CK_ATTRIBUTE *, CK_ULONG);
const char *p11_kit_uri_get_pin_value(const P11KitUri *);
void p11_kit_uri_set_pin_value(P11KitUri *, const char *);
const char *p11_kit_uri_get_pin_source(const P11KitUri *);
void p11_kit_uri_set_pin_source(P11KitUri *, const char *);
const char *p11_kit_uri_get_pinfile(const P11KitUri *);
void p11_kit_uri_set_pinfile(P11KitUri *, const char *);
const char *p11_kit_uri_get_module_name(const P11KitUri *);
void p11_kit_uri_set_module_name(P11KitUri *, const char *);
const char *p11_kit_uri_get_module_path(const P11KitUri *);
void p11_kit_uri_set_module_path(P11KitUri *, const char *);
const char *p11_kit_uri_get_vendor_query(const P11KitUri *, const char *);
int p11_kit_uri_set_vendor_query(P11KitUri *, const char *, const char *);
void p11_kit_uri_set_unrecognized(P11KitUri *, int);
int p11_kit_uri_any_unrecognized(P11KitUri *);
P11KitUri *p11_kit_uri_new(void);
void p11_kit_uri_free(P11KitUri *);
int p11_kit_uri_format(P11KitUri *, P11KitUriType, char **);
int p11_kit_uri_parse(const char *, P11KitUriType, P11KitUri *);
const char *p11_kit_uri_message(int);
_Static_assert(sizeof(P11_KIT_URI_SCHEME) == 7 && P11_KIT_URI_SCHEME_LEN == 6, "the scheme");
_Static_assert(P11_KIT_URI_OK == 0 && P11_KIT_URI_UNEXPECTED == -1 &&
		       P11_KIT_URI_BAD_SCHEME == -2 && P11_KIT_URI_BAD_ENCODING == -3 &&
		       P11_KIT_URI_BAD_SYNTAX == -4 && P11_KIT_URI_BAD_VERSION == -5 &&
		       P11_KIT_URI_NOT_FOUND == -6 && P11_KIT_URI_NO_MEMORY == -1,
	       "results");
_Static_assert(P11_KIT_URI_FOR_OBJECT == 2 && P11_KIT_URI_FOR_TOKEN == 4 &&
		       P11_KIT_URI_FOR_MODULE == 8 && P11_KIT_URI_FOR_MODULE_WITH_VERSION == 0x18 &&
		       P11_KIT_URI_FOR_SLOT == 0x20 && P11_KIT_URI_FOR_OBJECT_ON_TOKEN == 6 &&
		       P11_KIT_URI_FOR_OBJECT_ON_TOKEN_AND_MODULE == 14 &&
		       P11_KIT_URI_FOR_ANY == 0xffff,
	       "types");
extern P11KitUriResult use_result;

/* iter.h */
extern struct p11_kit_iter *use_iter;
extern P11KitIter *use_iter;
extern p11_kit_iter *use_iter;
extern P11KitIterKind use_kind;
typedef CK_RV iter_callback(P11KitIter *, CK_BBOOL *, void *);
extern iter_callback *use_iter_callback;
extern p11_kit_iter_callback use_iter_callback;
P11KitIter *p11_kit_iter_new(P11KitUri *, P11KitIterBehavior);
void p11_kit_iter_free(P11KitIter *);
void p11_kit_iter_add_callback(P11KitIter *, iter_callback *, void *, void (*)(void *));
void p11_kit_iter_add_filter(P11KitIter *, CK_ATTRIBUTE *, CK_ULONG);
void p11_kit_iter_set_uri(P11KitIter *, P11KitUri *);
void p11_kit_iter_begin(P11KitIter *, CK_FUNCTION_LIST_PTR *);
void p11_kit_iter_begin_with(P11KitIter *, CK_FUNCTION_LIST_PTR, CK_SLOT_ID, CK_SESSION_HANDLE);
CK_RV p11_kit_iter_next(P11KitIter *);
P11KitIterKind p11_kit_iter_get_kind(P11KitIter *);
CK_FUNCTION_LIST_PTR p11_kit_iter_get_module(P11KitIter *);
CK_SLOT_ID p11_kit_iter_get_slot(P11KitIter *);
CK_SLOT_INFO *p11_kit_iter_get_slot_info(P11KitIter *);
CK_TOKEN_INFO *p11_kit_iter_get_token(P11KitIter *);
CK_SESSION_HANDLE p11_kit_iter_get_session(P11KitIter *);
CK_OBJECT_HANDLE p11_kit_iter_get_object(P11KitIter *);
CK_RV p11_kit_iter_get_attributes(P11KitIter *, CK_ATTRIBUTE *, CK_ULONG);
CK_RV p11_kit_iter_load_attributes(P11KitIter *, CK_ATTRIBUTE *, CK_ULONG);
CK_SESSION_HANDLE p11_kit_iter_keep_session(P11KitIter *);
CK_RV p11_kit_iter_destroy_object(P11KitIter *);
_Static_assert(P11_KIT_ITER_KIND_MODULE == 0 && P11_KIT_ITER_KIND_SLOT == 1 &&
		       P11_KIT_ITER_KIND_TOKEN == 2 && P11_KIT_ITER_KIND_OBJECT == 3 &&
		       P11_KIT_ITER_KIND_SESSION == 4 && P11_KIT_ITER_KIND_UNKNOWN == -1,
	       "kinds");
_Static_assert(P11_KIT_ITER_BUSY_SESSIONS == 2 && P11_KIT_ITER_WANT_WRITABLE == 4 &&
		       P11_KIT_ITER_WITH_MODULES == 8 && P11_KIT_ITER_WITH_SLOTS == 16 &&
		       P11_KIT_ITER_WITH_TOKENS == 32 && P11_KIT_ITER_WITHOUT_OBJECTS == 64 &&
		       P11_KIT_ITER_WITH_LOGIN == 128 && P11_KIT_ITER_WITH_SESSIONS == 256,
	       "behaviours");

/* pin.h */
extern struct p11_kit_pin *use_pin;
extern P11KitPin *use_pin;
typedef P11KitPin *pin_callback(const char *, P11KitUri *, const char *, P11KitPinFlags, void *);
extern pin_callback *use_pin_callback;
extern p11_kit_pin_callback use_pin_callback;
extern p11_kit_pin_destroy_func use_destroyer;
P11KitPin *p11_kit_pin_new(const unsigned char *, size_t);
P11KitPin *p11_kit_pin_new_for_string(const char *);
P11KitPin *p11_kit_pin_new_for_buffer(unsigned char *, size_t, void (*)(void *));
P11KitPin *p11_kit_pin_ref(P11KitPin *);
void p11_kit_pin_unref(P11KitPin *);
const unsigned char *p11_kit_pin_get_value(P11KitPin *, size_t *);
size_t p11_kit_pin_get_length(P11KitPin *);
int p11_kit_pin_register_callback(const char *, pin_callback *, void *, void (*)(void *));
void p11_kit_pin_unregister_callback(const char *, pin_callback *, void *);
P11KitPin *p11_kit_pin_request(const char *, P11KitUri *, const char *, P11KitPinFlags);
P11KitPin *p11_kit_pin_file_callback(const char *, P11KitUri *, const char *, P11KitPinFlags,
				     void *);
_Static_assert(P11_KIT_PIN_FLAGS_USER_LOGIN == 1 && P11_KIT_PIN_FLAGS_SO_LOGIN == 2 &&
		       P11_KIT_PIN_FLAGS_CONTEXT_LOGIN == 4 && P11_KIT_PIN_FLAGS_RETRY == 8 &&
		       P11_KIT_PIN_FLAGS_MANY_TRIES == 16 && P11_KIT_PIN_FLAGS_FINAL_TRY == 32,
	       "flags of PINs");
_Static_assert(sizeof(P11_KIT_PIN_FALLBACK) == 1, "the fallback");

/* remote.h */
int p11_kit_remote_serve_module(CK_FUNCTION_LIST *, int, int);
int p11_kit_remote_serve_token(CK_FUNCTION_LIST *, CK_TOKEN_INFO *, int, int);
int p11_kit_remote_serve_tokens(const char **, size_t, CK_FUNCTION_LIST *, int, int);

/* version.h */
int p11_kit_check_version(int, int, int);
_Static_assert(P11_KIT_VERSION_MAJOR >= 0 && P11_KIT_VERSION_MINOR >= 0 &&
		       P11_KIT_VERSION_MICRO >= 0,
	       "the version");
#if !P11_KIT_CHECK_VERSION(0, 26, 4) || P11_KIT_CHECK_VERSION(1000, 0, 0)
#error "P11_KIT_CHECK_VERSION"
#endif
