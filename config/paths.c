/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/paths.h"

#include "base/buffer.h"

#include <errno.h>
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* The P11_BUILTIN_ paths come from the meson.build beside. */
static const struct p11_config_paths builtin = {
	.system_conf = P11_BUILTIN_SYSTEM_CONFIG "/pkcs11.conf",
	.user_conf = "~/.config/pkcs11/pkcs11.conf",
	.package_modules = P11_BUILTIN_PACKAGE_MODULES,
	.system_modules = P11_BUILTIN_SYSTEM_CONFIG "/modules",
	.user_modules = "~/.config/pkcs11/modules",
	.module_dir = P11_BUILTIN_MODULE_DIR,
};

struct p11_config_paths
p11_paths_complete(const struct p11_config_paths *paths)
{
	struct p11_config_paths all = paths ? *paths : builtin;

	all.system_conf = all.system_conf ? all.system_conf : builtin.system_conf;
	all.user_conf = all.user_conf ? all.user_conf : builtin.user_conf;
	all.package_modules = all.package_modules ? all.package_modules : builtin.package_modules;
	all.system_modules = all.system_modules ? all.system_modules : builtin.system_modules;
	all.user_modules = all.user_modules ? all.user_modules : builtin.user_modules;
	all.module_dir = all.module_dir ? all.module_dir : builtin.module_dir;
	return all;
}

bool
p11_paths_user_allowed(void)
{
	return !getauxval(AT_SECURE) && getuid() != 0 && !secure_getenv("P11_KIT_NO_USER_CONFIG");
}

char *
p11_paths_join(const char *folder, const char *path)
{
	P11_AUTO_BUFFER joined = P11_BUFFER_INIT;

	if (path[0] != '/') {
		p11_buffer_add_string(&joined, folder);
		p11_buffer_add_char(&joined, '/');
	}
	p11_buffer_add_string(&joined, path);
	return p11_buffer_steal(&joined);
}

static int
append(const char *folder, const char *rest, char **out)
{
	P11_AUTO_BUFFER path = P11_BUFFER_INIT;

	p11_buffer_add_string(&path, folder);
	p11_buffer_add_string(&path, rest);
	*out = p11_buffer_steal(&path);
	return *out ? 0 : ENOMEM;
}

/*
 * The user database may be on a network and its entries of any length: the buffer grows until one
 * fits.
 */
static int
append_to_passwd_home(const char *rest, char **out)
{
	for (size_t size = 4096; size <= 1024 * 1024; size *= 4) {
		P11_AUTO_STRING buffer = malloc(size);
		struct passwd entry, *found = NULL;

		if (!buffer)
			return ENOMEM;

		int error = getpwuid_r(getuid(), &entry, buffer, size, &found);
		if (error == ERANGE || error == EINTR)
			continue;
		if (error == ENOMEM)
			return ENOMEM;
		if (!found || !entry.pw_dir || !entry.pw_dir[0])
			return ENOENT;
		return append(entry.pw_dir, rest, out);
	}
	return ENOENT;
}

/* Whether `path` is `name`, or lies below it. */
static bool
is_or_below(const char *path, const char *name)
{
	size_t length = strlen(name);

	return strncmp(path, name, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

int
p11_paths_expand(const char *path, char **out)
{
	const char *rest = path + 1;

	if (!is_or_below(path, "~"))
		return append("", path, out);
	if (getauxval(AT_SECURE))
		return EPERM;

	const char *config = getenv("XDG_CONFIG_HOME");
	if (config && *config && is_or_below(rest, "/.config"))
		return append(config, rest + strlen("/.config"), out);

	const char *home = getenv("HOME");
	if (home && *home)
		return append(home, rest, out);
	return append_to_passwd_home(rest, out);
}
