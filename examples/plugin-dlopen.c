/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plug-in that knows nothing of p11-kit: it loads the module that it is given, and initializes and
 * finalizes it as if it were alone.
 *
 *	cc -shared -fPIC plugin-dlopen.c token.c -o plugin-dlopen.so $(pkg-config --cflags p11-kit-1) -ldl
 */
#include "plugin.h"
#include "token.h"

#include <dlfcn.h>
#include <stdio.h>

static CK_FUNCTION_LIST *list;
static struct token token;

static bool
start(const char *module, const char *label, const char *pin)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
	CK_C_GetFunctionList get_list = NULL;
	void *handle = dlopen(module, RTLD_NOW | RTLD_LOCAL);

	if (handle)
		*(void **)&get_list = dlsym(handle, "C_GetFunctionList");
	if (!get_list || get_list(&list) != CKR_OK) {
		fprintf(stderr, "%s: not a PKCS#11 module\n", module);
		return false;
	}
	CK_RV rv = list->C_Initialize(&args);
	if (rv == CKR_OK)
		return token_open(&token, list, label, pin);
	fprintf(stderr, "C_Initialize: 0x%lx%s\n", rv,
		rv == CKR_CRYPTOKI_ALREADY_INITIALIZED ? ", somebody else has it" : "");
	return false;
}

static bool
work(void)
{
	return token_sign(&token) == CKR_OK;
}

static bool
stop(void)
{
	return list->C_Finalize(NULL) == CKR_OK;
}

extern const struct plugin plugin;
const struct plugin plugin = {"dlopen", start, work, stop};
