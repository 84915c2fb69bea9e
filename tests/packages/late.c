/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program that runs while the packages are exchanged under it: it uses the modules through the
 * library that is installed when it starts, says "ready", and when a line comes on stdin it loads
 * the proxy that is installed then.
 *
 * usage: late LIBRARY PROXY
 *
 * Prints "token LABEL" for each token that the proxy shows, and whether its own session of before
 * is still there. Knows both libraries by dlsym() alone, since it is run with one that it was not
 * linked to.
 */
#include <p11-kit/p11-kit.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static _Noreturn void
fail(const char *what, const char *why)
{
	fprintf(stderr, "late: %s: %s\n", what, why);
	exit(1);
}

static void
expect_ok(CK_RV rv, const char *what)
{
	char code[24];

	snprintf(code, sizeof code, "0x%lx", rv);
	if (rv != CKR_OK)
		fail(what, code);
}

static void *
load(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		fail(path, dlerror());
	return handle;
}

static void *
symbol(void *handle, const char *name)
{
	void *found = dlsym(handle, name);

	if (!found)
		fail(name, "is not there");
	return found;
}

/* The slots with tokens; *n_slots is the size of the array, and then how many there are. */
static void
list_slots(CK_FUNCTION_LIST *module, CK_SLOT_ID *slots, CK_ULONG *n_slots)
{
	expect_ok(module->C_GetSlotList(CK_TRUE, slots, n_slots), "C_GetSlotList");
}

/* A session of a module that has tokens. Returns the module, and the session in *session. */
static CK_FUNCTION_LIST *
open_somewhere(CK_FUNCTION_LIST **modules, CK_SESSION_HANDLE *session)
{
	for (; *modules; modules++) {
		CK_SLOT_ID slots[64];
		CK_ULONG n_slots = 64;

		list_slots(*modules, slots, &n_slots);
		if (n_slots == 0)
			continue;
		expect_ok((*modules)->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL,
						    session),
			  "C_OpenSession");
		return *modules;
	}
	fail("modules", "none has a token");
}

static void
use_proxy(const char *path)
{
	void *handle = load(path);
	CK_C_GetFunctionList get_list;
	CK_C_GetInterface get_interface;
	CK_FUNCTION_LIST *proxy;
	CK_INTERFACE *interface;
	CK_SLOT_ID slots[64];
	CK_ULONG n_slots = 64;

	*(void **)&get_list = symbol(handle, "C_GetFunctionList");
	*(void **)&get_interface = dlsym(handle, "C_GetInterface");
	/* NSS takes a C_GetInterface that is there and fails for a broken module. */
	if (get_interface)
		expect_ok(get_interface(NULL, NULL, &interface, 0), "C_GetInterface");
	expect_ok(get_list(&proxy), "C_GetFunctionList");
	expect_ok(proxy->C_Initialize(NULL), "C_Initialize of the proxy");
	list_slots(proxy, slots, &n_slots);
	for (CK_ULONG i = 0; i < n_slots; i++) {
		CK_TOKEN_INFO token;
		int length = sizeof token.label;

		expect_ok(proxy->C_GetTokenInfo(slots[i], &token), "C_GetTokenInfo");
		while (length > 0 && token.label[length - 1] == ' ')
			length--;
		printf("token %.*s\n", length, (const char *)token.label);
	}
	expect_ok(proxy->C_Finalize(NULL), "C_Finalize of the proxy");
}

int
main(int argc, char **argv)
{
	char line[16];
	CK_SESSION_HANDLE session;
	CK_SESSION_INFO info;
	CK_FUNCTION_LIST **(*start)(int);
	void (*stop)(CK_FUNCTION_LIST **);

	if (argc != 3)
		fail("usage", "late LIBRARY PROXY");
	void *library = load(argv[1]);
	*(void **)&start = symbol(library, "p11_kit_modules_load_and_initialize");
	*(void **)&stop = symbol(library, "p11_kit_modules_finalize_and_release");

	CK_FUNCTION_LIST **modules = start(0);
	if (!modules)
		fail("modules", "they cannot be loaded");
	CK_FUNCTION_LIST *module = open_somewhere(modules, &session);

	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof line, stdin))
		fail("stdin", "ended");

	use_proxy(argv[2]);
	puts(module->C_GetSessionInfo(session, &info) == CKR_OK ? "session kept" : "session lost");
	stop(modules);
	puts("done");
	return 0;
}
