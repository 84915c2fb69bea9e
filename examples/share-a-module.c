/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two libraries in one process use one PKCS#11 module, as a TLS library and an SSH client in the
 * same program may. Both start it, sign, and one stops it while the other goes on. The first
 * argument says how they reach it:
 *
 * - direct: by dlopen(), as if each were alone. The one that goes on breaks; this mode shows it.
 * - library: each has loaded the module itself, and starts and stops it by way of libp11-kit.so.0.
 * - managed: each asks libp11-kit.so.0 for the configured modules.
 * - proxy: each loads p11-kit-proxy.so like any other module, and knows nothing of p11-kit.
 *
 * The other arguments are FILE, the module, or the proxy in proxy mode; TOKEN, the label of one
 * with a private RSA key; and PIN. (Others can see a PIN on the command line: good enough for an
 * example's token, for nothing else.)
 *
 *	cc share-a-module.c token.c -o share-a-module $(pkg-config --cflags --libs p11-kit-1)
 *	./share-a-module library /usr/lib/softhsm/libsofthsm2.so my-token 1234
 *
 * It exits with 0 if all goes as the mode promises.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The two calls of library mode are deprecated in favour of managed modules; for a module that one
 * has loaded oneself they are right. */
#define P11_KIT_NO_DEPRECATIONS
#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>

#include "token.h"

/* One of the two. */
struct library {
	const char *name;
	CK_FUNCTION_LIST *module;
	CK_FUNCTION_LIST **modules; /* managed mode: the whole list, ours to release */
	struct token token;
};

static const char *token_label;
static const char *pin;
static bool disappointed;

/* Ways to reach a module, and what to call to start and stop it there. */
struct mode {
	const char *name;
	void (*load)(struct library *library, const char *file);
	CK_RV (*start)(struct library *library);
	CK_RV (*stop)(struct library *library);
	CK_RV second_start;   /* what this mode promises to answer to the second library's start */
	CK_RV last_signature; /* and to the signature of the library that goes on */
};

static void
give_up(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why ? why : "no reason was given");
	exit(EXIT_FAILURE);
}

static const char *
name_of(CK_RV rv)
{
	static const struct {
		CK_RV rv;
		const char *name;
	} names[] = {
		{CKR_OK, "CKR_OK"},
		{CKR_CRYPTOKI_ALREADY_INITIALIZED, "CKR_CRYPTOKI_ALREADY_INITIALIZED"},
		{CKR_CRYPTOKI_NOT_INITIALIZED, "CKR_CRYPTOKI_NOT_INITIALIZED"},
		{CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID"},
		{CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].rv == rv)
			return names[i].name;
	}
	return p11_kit_strerror(rv);
}

/* Says what a library did and what came of it. */
static void
tell(const struct library *library, const char *did, CK_RV rv, CK_RV promised)
{
	printf("  Library %s %s: %s\n", library->name, did, name_of(rv));
	if (rv != promised) {
		printf("  This is not as promised: it should have been %s.\n", name_of(promised));
		disappointed = true;
	}
}

static CK_FUNCTION_LIST *
open_module(const char *file)
{
	CK_C_GetFunctionList get_list;
	CK_FUNCTION_LIST *list = NULL;
	void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		give_up(file, dlerror());
	*(void **)&get_list = dlsym(handle, "C_GetFunctionList");
	if (!get_list)
		give_up(file, dlerror());
	CK_RV rv = get_list(&list);
	if (rv != CKR_OK)
		give_up(file, name_of(rv));
	return list;
}

static void
load_file(struct library *library, const char *file)
{
	library->module = open_module(file);
}

static CK_RV
start_directly(struct library *library)
{
	return library->module->C_Initialize(NULL);
}

static CK_RV
stop_directly(struct library *library)
{
	return library->module->C_Finalize(NULL);
}

static CK_RV
start_counted(struct library *library)
{
	return p11_kit_initialize_module(library->module);
}

static CK_RV
stop_counted(struct library *library)
{
	return p11_kit_finalize_module(library->module);
}

/* Which of the configured modules has the token is known only after they are initialized. */
static void
load_managed(struct library *library, const char *file)
{
	(void)file;
	library->modules = p11_kit_modules_load(NULL, 0);
	if (!library->modules)
		give_up("p11_kit_modules_load", p11_kit_message());
}

static CK_RV
start_managed(struct library *library)
{
	CK_SLOT_ID slot;
	CK_RV rv = p11_kit_modules_initialize(library->modules, NULL);

	for (CK_FUNCTION_LIST **module = library->modules; rv == CKR_OK && *module; module++) {
		if (token_find(*module, token_label, &slot))
			library->module = *module;
	}
	if (!library->module)
		give_up("managed", "no configured module has the token");
	return rv;
}

static CK_RV
stop_managed(struct library *library)
{
	CK_RV rv = p11_kit_modules_finalize(library->modules);

	p11_kit_modules_release(library->modules);
	return rv;
}

static void
prepare_to_sign(struct library *library)
{
	if (!token_open(&library->token, library->module, token_label, pin))
		give_up(library->name, "cannot use the token");
}

static void
play(const struct mode *mode, const char *file)
{
	struct library a = {.name = "A"}, b = {.name = "B"};

	mode->load(&a, file);
	tell(&a, "starts the module", mode->start(&a), CKR_OK);
	prepare_to_sign(&a);
	tell(&a, "signs", token_sign(&a.token), CKR_OK);

	mode->load(&b, file);
	tell(&b, "starts the module", mode->start(&b), mode->second_start);
	prepare_to_sign(&b);
	tell(&b, "signs", token_sign(&b.token), CKR_OK);

	tell(&a, "is done and stops the module", mode->stop(&a), CKR_OK);
	tell(&b, "signs again", token_sign(&b.token), mode->last_signature);
	if (mode->last_signature == CKR_OK)
		tell(&b, "is done and stops the module", mode->stop(&b), CKR_OK);
}

static const struct mode modes[] = {
	{"direct", load_file, start_directly, stop_directly, CKR_CRYPTOKI_ALREADY_INITIALIZED,
	 CKR_CRYPTOKI_NOT_INITIALIZED},
	{"library", load_file, start_counted, stop_counted, CKR_OK, CKR_OK},
	{"managed", load_managed, start_managed, stop_managed, CKR_OK, CKR_OK},
	{"proxy", load_file, start_directly, stop_directly, CKR_OK, CKR_OK},
};

int
main(int argc, char *argv[])
{
	if (argc != 5) {
		fprintf(stderr,
			"usage: %s direct|library|managed|proxy FILE TOKEN PIN\n"
			"   as in: %s library /usr/lib/softhsm/libsofthsm2.so my-token 1234\n"
			"FILE is the module; in proxy mode p11-kit-proxy.so; in managed mode "
			"it is not used\n",
			argv[0], argv[0]);
		return EXIT_FAILURE;
	}
	token_label = argv[3];
	pin = argv[4];
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, argv[1]) == 0) {
			play(&modes[i], argv[2]);
			return disappointed ? EXIT_FAILURE : EXIT_SUCCESS;
		}
	}
	give_up(argv[1], "there is no such mode");
}
