/* SPDX-License-Identifier: BSD-3-Clause */
/* What the programs of this folder have in common: files that are opened, entry points whose owner
 * is asked for. */
#include "constellation.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isolate.h"
#include "markers.h"

const char *library_path;
const char *proxy_path;
const char *module_240_path;
const char *module_30_path;
const char *old_library_path;
static bool failed;

void
expect(bool is_so, const char *what)
{
	printf("%s: %s\n", is_so ? "ok" : "NOT SO", what);
	if (!is_so)
		failed = true;
}

void *
open_file(const char *path)
{
	void *file = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!file) {
		fprintf(stderr, "%s\n", dlerror());
		exit(EXIT_FAILURE);
	}
	return file;
}

static unsigned long
ask(void *file, const char *name)
{
	unsigned long (*question)(void);

	LOOK_UP(file, name, question);
	return question ? question() : 0;
}

/* Whether `function` lies in the file at `path`. */
bool
lies_in(void *function, const char *path)
{
	Dl_info info;
	char *real_path = realpath(path, NULL);
	char *found_path = NULL;
	bool same = false;

	if (function && real_path && dladdr(function, &info) != 0)
		found_path = realpath(info.dli_fname, NULL);
	if (found_path)
		same = strcmp(real_path, found_path) == 0;
	free(found_path);
	free(real_path);
	return same;
}

void
isolate_library(void *library)
{
	override_files_fn *override;

	LOOK_UP(library, "p11_kit_override_system_files", override);
	if (!override) {
		fprintf(stderr, "%s\n", dlerror());
		exit(EXIT_FAILURE);
	}
	isolate(override);
}

/* All three entry points of the proxy answer properly, and are its own. */
void
expect_whole_proxy(void *proxy)
{
	get_list_fn *get_list;
	get_interface_fn *get_interface;
	get_interface_list_fn *get_interface_list;
	void *list = NULL;
	void *found = NULL;
	unsigned long count = 0;

	LOOK_UP(proxy, "C_GetFunctionList", get_list);
	LOOK_UP(proxy, "C_GetInterface", get_interface);
	LOOK_UP(proxy, "C_GetInterfaceList", get_interface_list);
	expect(lies_in((void *)get_list, proxy_path), "the proxy's C_GetFunctionList is its own");
	expect(lies_in((void *)get_interface, proxy_path), "the proxy's C_GetInterface is its own");
	expect(lies_in((void *)get_interface_list, proxy_path),
	       "the proxy's C_GetInterfaceList is its own");
	if (failed)
		return;
	expect(get_list(&list) == REACHED_OK && list, "the proxy's C_GetFunctionList gives a list");
	expect(get_interface(NULL, NULL, &found, 0) == REACHED_OK && found,
	       "the proxy's C_GetInterface gives an interface");
	expect(get_interface_list(NULL, &count) == REACHED_OK && count > 0,
	       "the proxy's C_GetInterfaceList counts");
}

/* A module without C_GetInterface does not seem to have ours because it links to us. */
void
module_that_links_us(void)
{
	void *module = open_file(module_240_path);

	expect(lies_in(dlsym(module, "C_GetFunctionList"), module_240_path),
	       "the module's C_GetFunctionList is its own");
	expect(!dlsym(module, "C_GetInterface"), "the module seems to have no C_GetInterface");
	expect(!dlsym(module, "C_GetInterfaceList"),
	       "the module seems to have no C_GetInterfaceList");
}

/* Calls that a module makes to its own entry points by name. */
void
module_that_asks_itself(bool program_links_us)
{
	void *module = open_file(module_30_path);

	expect(ask(module, "module_asks_for_interface") == REACHED_MODULE,
	       "the module reaches its own C_GetInterface");
	expect(ask(module, "module_asks_for_interface_list") == REACHED_MODULE,
	       "the module reaches its own C_GetInterfaceList");
	if (program_links_us) {
		/* As ever: the name is default in our library, and the program's libraries are
		 * searched first. */
		expect(ask(module, "module_asks_for_list") == REACHED_OK,
		       "the module reaches our C_GetFunctionList");
	} else {
		expect(ask(module, "module_asks_for_list") == REACHED_MODULE,
		       "the module reaches its own C_GetFunctionList");
	}
}

void
proxy_alone(void)
{
	void *proxy = open_file(proxy_path);
	void *library = dlopen("libp11-kit.so.0", RTLD_LAZY | RTLD_NOLOAD);

	expect(library != NULL, "the proxy brings libp11-kit.so.0 along");
	if (!library)
		return;
	isolate_library(library);
	expect_whole_proxy(proxy);
}

int
play_scene(int argc, char *argv[], const struct scene *scenes, size_t n_scenes)
{
	if (argc != 7) {
		fprintf(stderr,
			"usage: %s SCENE LIBRARY PROXY MODULE-2.40 MODULE-3.0 OLD-LIBRARY\n",
			argv[0]);
		return EXIT_FAILURE;
	}
	library_path = argv[2];
	proxy_path = argv[3];
	module_240_path = argv[4];
	module_30_path = argv[5];
	old_library_path = argv[6];
	for (size_t i = 0; i < n_scenes; i++) {
		if (strcmp(scenes[i].name, argv[1]) == 0) {
			scenes[i].play();
			return failed ? EXIT_FAILURE : EXIT_SUCCESS;
		}
	}
	fprintf(stderr, "there is no scene %s\n", argv[1]);
	return EXIT_FAILURE;
}
