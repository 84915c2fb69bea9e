/* SPDX-License-Identifier: BSD-3-Clause */
/* A stranger's program, compiled with nothing but what pkg-config says: it uses the library, and
 * the proxy as a module. */
#define P11_KIT_FUTURE_UNSTABLE_API 1
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/iter.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/pin.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/remote.h>
#include <p11-kit/uri.h>
#include <p11-kit/version.h>

#if !P11_KIT_CHECK_VERSION(0, 27, 0)
#error "these headers claim to be older than they are"
#endif

static void
expect(int is_so, const char *what)
{
	if (!is_so) {
		printf("not so: %s\n", what);
		exit(EXIT_FAILURE);
	}
}

static void
use_library(const char *version)
{
	char headers[64];
	char *text = NULL;

	snprintf(headers, sizeof(headers), "%d.%d.%d", P11_KIT_VERSION_MAJOR, P11_KIT_VERSION_MINOR,
		 P11_KIT_VERSION_MICRO);
	expect(strcmp(headers, version) == 0, "the headers have the project's version");
	expect(p11_kit_check_version(P11_KIT_VERSION_MAJOR, P11_KIT_VERSION_MINOR,
				     P11_KIT_VERSION_MICRO) == 1,
	       "the library is at least as new as its headers");
	expect(p11_kit_check_version(P11_KIT_VERSION_MAJOR, P11_KIT_VERSION_MINOR,
				     P11_KIT_VERSION_MICRO + 1) == 0,
	       "the library is not newer");

	P11KitUri *uri = p11_kit_uri_new();
	expect(p11_kit_uri_parse("pkcs11:token=a%20b", P11_KIT_URI_FOR_TOKEN, uri) ==
		       P11_KIT_URI_OK,
	       "a URI is read");
	expect(p11_kit_uri_format(uri, P11_KIT_URI_FOR_TOKEN, &text) == P11_KIT_URI_OK,
	       "a URI is written");
	expect(strcmp(text, "pkcs11:token=a%20b") == 0, "and it is the same");
	free(text);
	p11_kit_uri_free(uri);
	expect(p11_kit_strerror(CKR_PIN_INCORRECT) != NULL, "errors have a text");
}

static void
use_modules(void)
{
	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);

	expect(modules != NULL, "an empty configuration gives a list");
	expect(modules[0] == NULL, "and it is empty");
	p11_kit_modules_finalize_and_release(modules);
}

static void
use_proxy(const char *path)
{
	CK_C_GetFunctionList get_list;
	CK_FUNCTION_LIST *list = NULL;
	CK_ULONG n_slots = 1;
	void *proxy = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	expect(proxy != NULL, "the proxy is opened");
	*(void **)&get_list = dlsym(proxy, "C_GetFunctionList");
	expect(get_list != NULL && get_list(&list) == CKR_OK, "the proxy gives its list");
	expect(list->C_Initialize(NULL) == CKR_OK, "the proxy starts");
	expect(list->C_GetSlotList(CK_FALSE, NULL, &n_slots) == CKR_OK && n_slots == 0,
	       "it has no slots");
	expect(list->C_Finalize(NULL) == CKR_OK, "the proxy stops");
}

int
main(int argc, char *argv[])
{
	expect(argc == 3, "usage: program PROXY VERSION");
	use_library(argv[2]);
	use_modules();
	use_proxy(argv[1]);
	puts("all is well");
	return EXIT_SUCCESS;
}
