/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program that calls every function which Debian's libp11-kit.so.0 exports, and prints what came
 * of it as far as every library must answer the same. test-debian.py builds it with Debian's headers
 * and library and with ours, runs each on both, and compares. So it uses nothing that Debian 12's
 * headers lack, and needs no other file of this tree.
 *
 *	everything FOLDER MODULE
 *
 * FOLDER has system.conf and modules/any.module, MODULE is the file that it names.
 */
#define P11_KIT_FUTURE_UNSTABLE_API 1
#define P11_KIT_NO_DEPRECATIONS 1
#include <p11-kit/iter.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/pin.h>
#include <p11-kit/remote.h>
#include <p11-kit/uri.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);

#define SHOW_NUMBER(call) printf("%d %s: %ld\n", __LINE__, #call, (long)(call))
#define SHOW_TEXT(call) show_text(__LINE__, #call, (call))
#define SHOW_OWN_TEXT(call) show_own_text(__LINE__, #call, (call))
#define SHOW_WHETHER(call) printf("%d %s: %s\n", __LINE__, #call, (call) ? "yes" : "no")

static void
show_text(int line, const char *call, const char *text)
{
	printf("%d %s: %s\n", line, call, text ? text : "(null)");
}

static void
show_own_text(int line, const char *call, char *text)
{
	show_text(line, call, text);
	free(text);
}

static void
show_file(char *path)
{
	show_text(__LINE__, "file", path ? strrchr(path, '/') : NULL);
	free(path);
}

static void
utilities(void)
{
	const unsigned char padded[] = "padded    ";

	p11_kit_be_loud();
	p11_kit_be_quiet();
	p11_kit_set_progname("everything");
	SHOW_NUMBER(p11_kit_space_strlen(padded, 10));
	SHOW_OWN_TEXT(p11_kit_space_strdup(padded, 10));
	SHOW_TEXT(p11_kit_strerror(CKR_OK));
	SHOW_WHETHER(p11_kit_strerror(CKR_PIN_INCORRECT)[0]);
	SHOW_TEXT(p11_kit_message());
}

/* What parsing leaves. */
static void
show_uri(P11KitUri *uri)
{
	CK_ULONG n = 0;

	SHOW_NUMBER(p11_kit_uri_get_slot_id(uri));
	SHOW_NUMBER(p11_kit_uri_get_module_info(uri)->libraryVersion.minor);
	SHOW_NUMBER(p11_kit_uri_get_slot_info(uri)->slotDescription[0]);
	SHOW_NUMBER(p11_kit_uri_get_token_info(uri)->label[0]);
	SHOW_WHETHER(p11_kit_uri_get_attributes(uri, &n));
	SHOW_NUMBER(n);
	SHOW_NUMBER(p11_kit_uri_get_attribute(uri, CKA_LABEL)->ulValueLen);
	SHOW_TEXT(p11_kit_uri_get_pin_value(uri));
	SHOW_TEXT(p11_kit_uri_get_pin_source(uri));
	SHOW_TEXT(p11_kit_uri_get_pinfile(uri));
	SHOW_TEXT(p11_kit_uri_get_module_name(uri));
	SHOW_TEXT(p11_kit_uri_get_module_path(uri));
	SHOW_TEXT(p11_kit_uri_get_vendor_query(uri, "x-any"));
	SHOW_NUMBER(p11_kit_uri_any_unrecognized(uri));
}

static void
change_uri(P11KitUri *uri)
{
	char id[] = "id";
	CK_ATTRIBUTE attribute = {CKA_ID, id, 2};

	p11_kit_uri_set_slot_id(uri, 5);
	SHOW_NUMBER(p11_kit_uri_set_attribute(uri, &attribute));
	SHOW_NUMBER(p11_kit_uri_clear_attribute(uri, CKA_LABEL));
	p11_kit_uri_set_pin_value(uri, NULL);
	p11_kit_uri_set_pin_source(uri, "source");
	p11_kit_uri_set_pinfile(uri, "file");
	p11_kit_uri_set_module_name(uri, "name");
	p11_kit_uri_set_module_path(uri, "/path");
	SHOW_NUMBER(p11_kit_uri_set_vendor_query(uri, "x-any", "other"));
	p11_kit_uri_set_unrecognized(uri, 0);
}

static void
uris(void)
{
	static const char text[] =
		"pkcs11:library-version=1.2;slot-id=3;token=label;object=key;type=private"
		"?pin-value=1234&x-any=value";
	P11KitUri *uri = p11_kit_uri_new();
	char *formatted = NULL;
	char id[] = "id";
	CK_ATTRIBUTE attribute = {CKA_ID, id, 2};
	CK_INFO info = {.libraryVersion = {1, 2}};
	CK_SLOT_INFO slot = {.flags = 0};
	CK_TOKEN_INFO token = {.label = "other"};

	SHOW_NUMBER(p11_kit_uri_parse("http://x", P11_KIT_URI_FOR_ANY, uri));
	SHOW_WHETHER(p11_kit_uri_message(P11_KIT_URI_BAD_SCHEME));
	SHOW_NUMBER(p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri));
	show_uri(uri);
	SHOW_NUMBER(p11_kit_uri_match_module_info(uri, &info));
	SHOW_NUMBER(p11_kit_uri_match_slot_info(uri, &slot));
	SHOW_NUMBER(p11_kit_uri_match_token_info(uri, &token));
	change_uri(uri);
	SHOW_NUMBER(p11_kit_uri_match_attributes(uri, &attribute, 1));
	SHOW_NUMBER(p11_kit_uri_format(uri, P11_KIT_URI_FOR_ANY, &formatted));
	SHOW_OWN_TEXT(formatted);
	SHOW_NUMBER(p11_kit_uri_set_attributes(uri, &attribute, 1));
	p11_kit_uri_clear_attributes(uri);
	SHOW_WHETHER(p11_kit_uri_get_attribute(uri, CKA_ID));
	p11_kit_uri_free(uri);
}

static P11KitPin *
give_pin(const char *source, P11KitUri *uri, const char *description, P11KitPinFlags flags,
	 void *data)
{
	(void)uri;
	printf("asked for %s, %s, %d\n", source, description, (int)flags);
	return p11_kit_pin_ref(data);
}

static void
pins(const char *file)
{
	const unsigned char bytes[] = {'b', 'y', 't', 'e'};
	unsigned char *buffer = malloc(4);
	P11KitPin *pin = p11_kit_pin_new(bytes, 4), *asked, *other;
	size_t length = 0;

	memcpy(buffer, "abcd", 4);
	other = p11_kit_pin_new_for_buffer(buffer, 4, free);
	SHOW_NUMBER(p11_kit_pin_get_value(other, &length)[3]);
	SHOW_NUMBER(length);
	p11_kit_pin_unref(other);
	SHOW_NUMBER(p11_kit_pin_register_callback("source", give_pin, pin, NULL));
	asked = p11_kit_pin_request("source", NULL, "any", P11_KIT_PIN_FLAGS_USER_LOGIN);
	SHOW_WHETHER(asked == pin);
	p11_kit_pin_unref(asked);
	p11_kit_pin_unregister_callback("source", give_pin, pin);
	SHOW_WHETHER(p11_kit_pin_request("source", NULL, "any", P11_KIT_PIN_FLAGS_USER_LOGIN));
	p11_kit_pin_unref(pin);
	pin = p11_kit_pin_file_callback(file, NULL, "any", P11_KIT_PIN_FLAGS_USER_LOGIN, NULL);
	SHOW_WHETHER(pin && p11_kit_pin_get_length(pin) > 0);
	p11_kit_pin_unref(pin);
	pin = p11_kit_pin_new_for_string("string");
	SHOW_NUMBER(p11_kit_pin_get_length(pin));
	p11_kit_pin_unref(pin);
}

static CK_RV
see(P11KitIter *iter, CK_BBOOL *matches, void *data)
{
	(void)data;
	printf("callback: object %lu, matches %d\n", p11_kit_iter_get_object(iter), (int)*matches);
	return CKR_OK;
}

static void
destroyed(void *data)
{
	printf("destroyed: %s\n", (const char *)data);
}

static void
show_stop(P11KitIter *iter)
{
	CK_BYTE label[64];
	CK_ATTRIBUTE attribute = {CKA_LABEL, label, sizeof label}, loaded = {CKA_LABEL, NULL, 0};

	SHOW_NUMBER(p11_kit_iter_get_kind(iter));
	SHOW_WHETHER(p11_kit_iter_get_module(iter));
	SHOW_NUMBER(p11_kit_iter_get_slot(iter));
	SHOW_NUMBER(p11_kit_iter_get_slot_info(iter)->flags);
	SHOW_NUMBER(p11_kit_iter_get_token(iter)->label[0]);
	SHOW_WHETHER(p11_kit_iter_get_session(iter));
	SHOW_NUMBER(p11_kit_iter_get_object(iter));
	if (p11_kit_iter_get_kind(iter) != P11_KIT_ITER_KIND_OBJECT)
		return;
	SHOW_NUMBER(p11_kit_iter_get_attributes(iter, &attribute, 1));
	SHOW_NUMBER(attribute.ulValueLen);
	SHOW_NUMBER(p11_kit_iter_load_attributes(iter, &loaded, 1));
	SHOW_NUMBER(loaded.ulValueLen);
	free(loaded.pValue);
}

static void
iterate(CK_FUNCTION_LIST **modules)
{
	static char data[] = "the callback's data";
	P11KitIter *iter =
		p11_kit_iter_new(NULL, P11_KIT_ITER_WITH_MODULES | P11_KIT_ITER_WITH_TOKENS);
	P11KitUri *uri = p11_kit_uri_new();
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE filter = {CKA_CLASS, &class, sizeof class};
	CK_SESSION_HANDLE session = 0;
	CK_RV rv;

	p11_kit_iter_set_uri(iter, uri);
	p11_kit_uri_free(uri);
	p11_kit_iter_add_filter(iter, &filter, 1);
	p11_kit_iter_add_callback(iter, see, data, destroyed);
	p11_kit_iter_begin(iter, modules);
	while ((rv = p11_kit_iter_next(iter)) == CKR_OK) {
		show_stop(iter);
		if (p11_kit_iter_get_kind(iter) != P11_KIT_ITER_KIND_OBJECT)
			continue;
		SHOW_NUMBER(p11_kit_iter_destroy_object(iter));
		session = p11_kit_iter_keep_session(iter);
	}
	SHOW_NUMBER(rv);
	SHOW_NUMBER(p11_kit_iter_get_slot_info(iter)->flags); /* those of the last one */
	SHOW_NUMBER(p11_kit_iter_get_token(iter)->label[0]);
	SHOW_WHETHER(session);
	p11_kit_iter_begin_with(iter, modules[0], 0, session);
	SHOW_NUMBER(p11_kit_iter_next(iter));
	p11_kit_iter_free(iter);
	SHOW_NUMBER(modules[0]->C_CloseSession(session));
}

static void
managed_modules(const char *path)
{
	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0), *module;

	SHOW_WHETHER(modules && modules[0] && !modules[1]);
	SHOW_OWN_TEXT(p11_kit_module_get_name(modules[0]));
	show_file(p11_kit_module_get_filename(modules[0]));
	SHOW_NUMBER(p11_kit_module_get_flags(modules[0]));
	SHOW_OWN_TEXT(p11_kit_config_option(modules[0], "x-own"));
	SHOW_WHETHER(p11_kit_module_for_name(modules, "any") == modules[0]);
	iterate(modules);
	p11_kit_modules_finalize_and_release(modules);

	modules = p11_kit_modules_load(NULL, 0);
	SHOW_NUMBER(p11_kit_modules_initialize(modules, NULL));
	SHOW_NUMBER(p11_kit_modules_finalize(modules));
	p11_kit_modules_release(modules);

	module = p11_kit_module_load(path, 0);
	SHOW_NUMBER(p11_kit_module_initialize(module));
	SHOW_NUMBER(p11_kit_module_finalize(module));
	p11_kit_module_release(module);
}

static void
registered_modules(const char *path)
{
	CK_FUNCTION_LIST_PTR *modules, module = NULL;

	SHOW_NUMBER(p11_kit_initialize_registered());
	modules = p11_kit_registered_modules();
	SHOW_WHETHER(modules && modules[0] && !modules[1]);
	SHOW_OWN_TEXT(p11_kit_registered_module_to_name(modules[0]));
	SHOW_OWN_TEXT(p11_kit_registered_option(modules[0], "x-own"));
	SHOW_WHETHER(p11_kit_registered_name_to_module("any") == modules[0]);
	SHOW_NUMBER(p11_kit_initialize_module(modules[0]));
	SHOW_NUMBER(p11_kit_finalize_module(modules[0]));
	free(modules);
	SHOW_NUMBER(p11_kit_finalize_registered());
	SHOW_NUMBER(p11_kit_load_initialize_module(path, &module));
	SHOW_NUMBER(p11_kit_finalize_module(module));
}

static void
proxy(void)
{
	CK_FUNCTION_LIST *list = NULL;
	CK_SLOT_ID slots[4];
	CK_ULONG n = 4;

	SHOW_NUMBER(C_GetFunctionList(&list));
	SHOW_NUMBER(list->C_Initialize(NULL));
	SHOW_NUMBER(list->C_GetSlotList(CK_TRUE, slots, &n));
	SHOW_NUMBER(n);
	SHOW_NUMBER(slots[0]);
	SHOW_NUMBER(list->C_Finalize(NULL));
}

/* Serving needs a peer; what both do without one is to fail. */
static void
remote(void)
{
	SHOW_NUMBER(p11_kit_remote_serve_module(NULL, -1, -1));
	SHOW_NUMBER(p11_kit_remote_serve_token(NULL, NULL, -1, -1) != 0);
	SHOW_NUMBER(p11_kit_remote_serve_tokens(NULL, 0, NULL, -1, -1));
}

static const char *
in_folder(const char *folder, const char *name)
{
	static char paths[5][4096];
	static unsigned n;
	char *path = paths[n++ % 5];

	snprintf(path, sizeof paths[0], "%s/%s", folder, name);
	return path;
}

int
main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: everything FOLDER MODULE\n");
		return 2;
	}
	p11_kit_override_system_files(in_folder(argv[1], "system.conf"),
				      in_folder(argv[1], "user.conf"),
				      in_folder(argv[1], "package"), in_folder(argv[1], "modules"),
				      in_folder(argv[1], "user"));
	utilities();
	uris();
	pins(in_folder(argv[1], "modules/any.module"));
	managed_modules(argv[2]);
	registered_modules(argv[2]);
	proxy();
	remote();
	return 0;
}
