/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where configuration is looked for, and whether this process may look at the user's. No state, any
 * thread.
 */
#ifndef P11_PATHS_H
#define P11_PATHS_H

#include "base/base.h"

#include <stdbool.h>

/* What is NULL is the built-in path. Only the two paths of the user may begin with "~". */
struct p11_config_paths {
	const char *system_conf;     /* the global file, pkcs11.conf */
	const char *user_conf;       /* the user's global file */
	const char *package_modules; /* folders of module files */
	const char *system_modules;
	const char *user_modules;
	const char *module_dir; /* where a relative `module:` lies */
};

/*
 * Every path that is NULL replaced by the built-in one. `paths` itself may be NULL. The strings are
 * borrowed.
 */
struct p11_config_paths p11_paths_complete(const struct p11_config_paths *paths);

/*
 * False in a privileged program, for root, and where P11_KIT_NO_USER_CONFIG is set
 * (contract 3.6, 7.6): then no file of the user's is opened.
 */
bool p11_paths_user_allowed(void);

/*
 * `path` with a leading "~" replaced: "~/.config" by XDG_CONFIG_HOME, else "~" by HOME, else by the
 * home directory that the system knows. 0 and *out, the caller's to free; ENOMEM; ENOENT when there
 * is no home; EPERM in a privileged program.
 */
int p11_paths_expand(const char *path, char **out) P11_MUST_USE;

/* `path` if it is absolute, else joined to `folder`; the caller frees it; NULL without memory. */
char *p11_paths_join(const char *folder, const char *path) P11_MUST_USE;

#endif
