/* SPDX-License-Identifier: BSD-3-Clause */
/* Keeps the library away from this machine's configuration: it is pointed to files that do not
 * exist. */
#ifndef TESTS_SYMBOLS_ISOLATE_H
#define TESTS_SYMBOLS_ISOLATE_H

typedef void override_files_fn(const char *system_conf, const char *user_conf,
			       const char *package_modules, const char *system_modules,
			       const char *user_modules);

static inline void
isolate(override_files_fn *override)
{
	override("/nonexistent/pkcs11.conf", "/nonexistent/user.conf", "/nonexistent/package",
		 "/nonexistent/system", "/nonexistent/user");
}

#endif
