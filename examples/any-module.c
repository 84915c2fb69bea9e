/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program that knows nothing of p11-kit: it loads the PKCS#11 module that it is given, signs with
 * a key of a token, and is done. Given p11-kit-proxy.so it has the tokens of all configured modules,
 * and whatever else in its process uses them is not disturbed; the program is the same.
 *
 *	cc any-module.c token.c -o any-module $(pkg-config --cflags p11-kit-1) -ldl
 *	./any-module /usr/lib/softhsm/libsofthsm2.so my-token 1234
 *
 * (Of p11-kit it uses the header pkcs11.h, which is the standard's; any other will do. Others can
 * see a PIN on the command line: good enough for an example's token, for nothing else.)
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "token.h"

static CK_FUNCTION_LIST *
load(const char *file)
{
	CK_C_GetFunctionList get_list;
	CK_FUNCTION_LIST *list = NULL;
	void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);

	if (!handle) {
		fprintf(stderr, "%s\n", dlerror());
		return NULL;
	}
	*(void **)&get_list = dlsym(handle, "C_GetFunctionList");
	if (!get_list || get_list(&list) != CKR_OK) {
		fprintf(stderr, "%s: not a PKCS#11 module\n", file);
		return NULL;
	}
	return list;
}

static bool
use(CK_FUNCTION_LIST *module, const char *label, const char *pin)
{
	struct token token;
	CK_INFO info;

	if (module->C_GetInfo(&info) != CKR_OK || !token_open(&token, module, label, pin) ||
	    token_sign(&token) != CKR_OK)
		return false;
	printf("Signed by way of \"%.32s\".\n", (const char *)info.libraryDescription);
	return true;
}

int
main(int argc, char *argv[])
{
	/* There may be threads in this process, and the module may use its own locks. */
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};

	if (argc != 4) {
		fprintf(stderr,
			"usage: %s MODULE TOKEN PIN\n"
			"   as in: %s /usr/lib/x86_64-linux-gnu/p11-kit-proxy.so my-token 1234\n",
			argv[0], argv[0]);
		return EXIT_FAILURE;
	}
	CK_FUNCTION_LIST *module = load(argv[1]);
	if (!module)
		return EXIT_FAILURE;
	CK_RV rv = module->C_Initialize(&args);
	if (rv != CKR_OK) {
		fprintf(stderr, "C_Initialize: 0x%lx\n", rv);
		return EXIT_FAILURE;
	}
	bool used = use(module, argv[2], argv[3]);
	module->C_Finalize(NULL);
	return used ? EXIT_SUCCESS : EXIT_FAILURE;
}
