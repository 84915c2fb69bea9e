/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program with two plug-ins that use the same PKCS#11 module, and do not know of each other: each
 * starts, works and stops while the other one goes on, as in a browser, a mail program or a server
 * with modules. It exits with 0 if every step of both succeeds.
 *
 *	cc plug-in-host.c -o plug-in-host -ldl
 *	./plug-in-host ./plugin-dlopen.so ./plugin-managed.so $(pkg-config --variable=proxy_module p11-kit-1) my-token 1234
 *
 * With two copies of plugin-dlopen.so and the vendor's own file in place of the proxy it fails:
 * whoever comes second is told that the module is initialized already, and whoever stops first ends
 * it for both.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugin.h"

static const char *module_file, *token_label, *pin;

static const struct plugin *
load(const char *file)
{
	void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	const struct plugin *plugin = handle ? dlsym(handle, "plugin") : NULL;

	if (!plugin) {
		fprintf(stderr, "%s\n", dlerror());
		exit(EXIT_FAILURE);
	}
	return plugin;
}

static void
check(int number, const struct plugin *plugin, const char *what, bool succeeded)
{
	printf("plug-in %d (%s) %s: %s\n", number, plugin->name, what, succeeded ? "yes" : "no");
	fflush(stdout);
	if (!succeeded)
		exit(EXIT_FAILURE);
}

static void
play(const struct plugin *one, const struct plugin *two)
{
	check(1, one, "starts", one->start(module_file, token_label, pin));
	check(1, one, "works", one->work());
	check(2, two, "starts", two->start(module_file, token_label, pin));
	check(2, two, "works", two->work());
	check(1, one, "works beside it", one->work());
	check(1, one, "stops", one->stop());
	check(2, two, "still works", two->work());
	check(1, one, "starts again", one->start(module_file, token_label, pin));
	check(2, two, "stops", two->stop());
	check(1, one, "still works", one->work());
	check(1, one, "stops", one->stop());
}

int
main(int argc, char *argv[])
{
	if (argc != 6) {
		fprintf(stderr,
			"usage: %s PLUGIN PLUGIN MODULE TOKEN PIN\n"
			"   as in: %s ./plugin-dlopen.so ./plugin-managed.so "
			"/usr/lib/x86_64-linux-gnu/p11-kit-proxy.so my-token 1234\n",
			argv[0], argv[0]);
		return EXIT_FAILURE;
	}
	module_file = argv[3];
	token_label = argv[4];
	pin = argv[5];
	play(load(argv[1]), load(argv[2]));
	return EXIT_SUCCESS;
}
