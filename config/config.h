/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the administrator, the packages and the user configured: the global settings, and the
 * modules in their order. One load reads all files and gives an immutable set, which its owner
 * frees and any thread may read meanwhile. A file that is malformed or cannot be read costs only
 * itself, and a message. Nothing here knows PKCS#11, or loads a module; modules that are disabled,
 * remote or without a path are in the set like the others.
 */
#ifndef P11_CONFIG_H
#define P11_CONFIG_H

#include "base/base.h"
#include "config/paths.h"

#include <stdbool.h>
#include <stddef.h>

/* The settings of one module, or the global ones. */
struct p11_config;

struct p11_config_set {
	struct p11_config *global;   /* owned, never NULL */
	struct p11_config **modules; /* owned; high priority first, then by name, which is unique */
	size_t n_modules;
	bool is_partial; /* something could not be read this time: the next load may see more */
};

/* `paths` may be NULL, and is not needed afterwards. NULL, with a message, only without memory. */
struct p11_config_set *p11_config_load(const struct p11_config_paths *paths) P11_MUST_USE;

/* Returns NULL, and takes it. */
struct p11_config_set *p11_config_set_free(struct p11_config_set *set);

/* All that these return is borrowed from the set. */

/* The module's name; NULL for the global settings. */
const char *p11_config_name(const struct p11_config *config);

/* The value as it is written, after merging; NULL if the key is not set. */
const char *p11_config_get(const struct p11_config *config, const char *key);

/* "PATH:LINE" of that value, for messages; NULL if the key is not set. */
const char *p11_config_where(const struct p11_config *config, const char *key);

/* "PATH:LINE" of any of its settings; NULL if it has none. */
const char *p11_config_origin(const struct p11_config *config);

/*
 * A key whose value is yes or no. For a key that may stand in both kinds of files (managed,
 * log-calls), the global one overrules the module's. `fallback` if it is set nowhere, and, with a
 * message, if it is something else.
 */
bool p11_config_yes(const struct p11_config *config, const char *key, bool fallback);

/* 0 unless `priority` says otherwise. */
int p11_config_priority(const struct p11_config *config);

/*
 * Whether enable-in and disable-in let this program have the module; `by_proxy`: by way of the
 * proxy module, which may be listed as "p11-kit-proxy" beside the programs.
 */
bool p11_config_enabled(const struct p11_config *config, const char *program, bool by_proxy);

/*
 * Whether there is a (valid) `slot-base`, which goes to *base. A malformed one is told in a
 * message.
 */
bool p11_config_slot_base(const struct p11_config *config, unsigned long *base);

/*
 * The absolute path of `module`; NULL if that is missing or empty. (A `remote` takes precedence:
 * ask for it first.)
 */
const char *p11_config_module_path(const struct p11_config *config);

#endif
