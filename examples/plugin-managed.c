/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plug-in that knows p11-kit: it asks libp11-kit.so.0 for the configured modules. Each
 * p11_kit_modules_load() is a user of its own, so the plug-in need not ask who else is there.
 *
 *	cc -shared -fPIC plugin-managed.c token.c -o plugin-managed.so $(pkg-config --cflags --libs p11-kit-1)
 */
#include "plugin.h"
#include "token.h"

#include <stdio.h>

#include <p11-kit/p11-kit.h>

static CK_FUNCTION_LIST **modules;
static struct token token;

static bool
start(const char *module, const char *label, const char *pin)
{
	CK_SLOT_ID slot;

	(void)module;
	modules = p11_kit_modules_load_and_initialize(0);
	if (!modules) {
		fprintf(stderr, "%s\n", p11_kit_message());
		return false;
	}
	for (CK_FUNCTION_LIST **each = modules; *each; each++) {
		if (token_find(*each, label, &slot))
			return token_open(&token, *each, label, pin);
	}
	fprintf(stderr, "no configured module has the token\n");
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
	p11_kit_modules_finalize_and_release(modules);
	return true;
}

extern const struct plugin plugin;
const struct plugin plugin = {"managed", start, work, stop};
