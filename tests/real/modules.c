/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a program sees of the configuration: the names of the modules that libp11-kit loads, and the
 * labels of the tokens that the proxy shows, one a line, after whether the kernel calls the program
 * privileged. Linked with an RPATH, since a setuid program ignores LD_LIBRARY_PATH; nothing else
 * that the environment says is used either.
 *
 *	modules PROXY
 */
#include "p11-kit/pkcs11.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>

#define MAX_SLOTS 64

static int
print_names(void)
{
	void *library = dlopen("libp11-kit.so.0", RTLD_NOW);

	if (!library) {
		fprintf(stderr, "modules: %s\n", dlerror());
		return 1;
	}
	CK_FUNCTION_LIST **(*load)(const char *, int);
	char *(*name_of)(CK_FUNCTION_LIST *);
	void (*release)(CK_FUNCTION_LIST **);
	*(void **)&load = dlsym(library, "p11_kit_modules_load");
	*(void **)&name_of = dlsym(library, "p11_kit_module_get_name");
	*(void **)&release = dlsym(library, "p11_kit_modules_release");
	CK_FUNCTION_LIST **modules = load(NULL, 0);
	for (CK_FUNCTION_LIST **at = modules; at && *at; at++) {
		char *name = name_of(*at);
		printf("module %s\n", name ? name : "-");
		free(name);
	}
	if (modules)
		release(modules);
	return modules ? 0 : 1;
}

static int
print_slots(const char *path)
{
	void *proxy = dlopen(path, RTLD_NOW);
	CK_FUNCTION_LIST *list;
	CK_SLOT_ID slots[MAX_SLOTS];
	CK_ULONG n = MAX_SLOTS;

	if (!proxy) {
		fprintf(stderr, "modules: %s\n", dlerror());
		return 1;
	}
	CK_C_GetFunctionList look_up;
	*(void **)&look_up = dlsym(proxy, "C_GetFunctionList");
	if (look_up(&list) != CKR_OK || list->C_Initialize(NULL) != CKR_OK ||
	    list->C_GetSlotList(CK_FALSE, slots, &n) != CKR_OK)
		return 1;
	for (CK_ULONG i = 0; i < n; i++) {
		CK_SLOT_INFO info;
		if (list->C_GetSlotInfo(slots[i], &info) == CKR_OK)
			printf("slot of %.32s\n", (const char *)info.manufacturerID);
	}
	return list->C_Finalize(NULL) == CKR_OK ? 0 : 1;
}

int
main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	printf("privileged %s\n", getauxval(AT_SECURE) ? "yes" : "no");
	return print_names() | print_slots(argv[1]);
}
