/* SPDX-License-Identifier: BSD-3-Clause */
/* A program that links neither our library nor a module: it opens what it uses. */
#include "constellation.h"

#include <dlfcn.h>

#include "markers.h"

/* What a program finds that opens the library as if it were a module. */
static void
library_as_module(void)
{
	void *library = open_file(library_path);
	get_list_fn *get_list;
	get_interface_fn *get_interface;
	void *list = NULL;
	void *found = NULL;

	isolate_library(library);
	LOOK_UP(library, "C_GetFunctionList", get_list);
	expect(lies_in((void *)get_list, library_path),
	       "dlsym finds the library's C_GetFunctionList");
	expect(get_list && get_list(&list) == REACHED_OK && list, "it gives a list");
	expect(!dlsym(library, "C_GetInterface"),
	       "dlsym does not find the library's C_GetInterface");
	expect(!dlsym(library, "C_GetInterfaceList"),
	       "dlsym does not find the library's C_GetInterfaceList");
	expect(!dlsym(library, "p11_kit_no_such_function"),
	       "dlsym does not find what is not there");

	*(void **)&get_interface = dlvsym(library, "C_GetInterface", "LIBP11_KIT_1.0");
	expect(lies_in((void *)get_interface, library_path),
	       "dlvsym finds the library's C_GetInterface");
	expect(get_interface && get_interface(NULL, NULL, &found, 0) == REACHED_OK && found,
	       "it gives an interface");
	expect(dlvsym(library, "C_GetInterfaceList", "LIBP11_KIT_1.0"),
	       "dlvsym finds C_GetInterfaceList");
	expect(dlvsym(library, "p11_kit_door", "LIBP11_KIT_PRIVATE"), "dlvsym finds the door");
}

/* Calls of a module to its own entry points reach them where the program does not link us. */
static void
module_alone(void)
{
	module_that_asks_itself(false);
}

/* Beside an older library the proxy offers what that one has. */
static void
proxy_beside_old_library(void)
{
	void *old_library = open_file(old_library_path);
	void *proxy = open_file(proxy_path);
	get_list_fn *get_list;
	get_interface_fn *get_interface;
	void *list = NULL;
	void *found = NULL;

	expect(dlopen("libp11-kit.so.0", RTLD_LAZY | RTLD_NOLOAD) == old_library,
	       "the old library serves the proxy");
	LOOK_UP(proxy, "C_GetFunctionList", get_list);
	LOOK_UP(proxy, "C_GetInterface", get_interface);
	expect(get_list && get_list(&list) == REACHED_OLD_LIBRARY,
	       "C_GetFunctionList reaches the old library's");
	/* NSS takes a C_GetInterface that fails for a broken module. */
	expect(get_interface && get_interface(NULL, NULL, &found, 0) == REACHED_OLD_LIBRARY,
	       "C_GetInterface reaches the old library's C_GetFunctionList");
}

static const struct scene scenes[] = {
	{"library-as-module", library_as_module},
	{"module-that-links-us", module_that_links_us},
	{"module-alone", module_alone},
	{"proxy-alone", proxy_alone},
	{"proxy-beside-old-library", proxy_beside_old_library},
};

int
main(int argc, char *argv[])
{
	return play_scene(argc, argv, scenes, sizeof(scenes) / sizeof(scenes[0]));
}
