/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configured modules: which file makes which module, for which program. The configuration is
 * read when it is first needed, and forgotten when nobody holds a module that came from it any
 * more; so the next load sees what has changed. Where something could not be read for a reason that
 * may pass, the next load tries again. Any thread; no lock is held while files are read or modules
 * are loaded.
 */
#ifndef P11_REGISTRY_H
#define P11_REGISTRY_H

#include "base/base.h"
#include "config/config.h"
#include "module/module.h"

#include <p11-kit/pkcs11.h>
#include <stdbool.h>

#include <stddef.h>

/* A configured module that was loaded. */
struct p11_found {
	struct p11_module *module;       /* a reference, the receiver's */
	const struct p11_config *config; /* borrowed, valid while the registry is held */
};

enum {
	P11_REGISTRY_BY_PROXY =
		1 << 0, /* the caller is the proxy: it counts as the program "p11-kit-proxy" too */
	P11_REGISTRY_ALL_CRITICAL = 1 << 1, /* every failure is everybody's */
	P11_REGISTRY_TRUSTED = 1 << 2,      /* only those with trust-policy: yes */
	P11_REGISTRY_VERBOSE = 1 << 3, /* " verbose=yes" goes to the modules' x-init-reserved, if
					  they are read now */
	P11_REGISTRY_NONE_CRITICAL =
		1 << 4, /* no failure is the answer; for a look-up of the proxy */
};

/*
 * Loads what is configured for this program: *out is an array in order of priority and name (free()
 * it), its n_out elements each hold the registry once. A module that fails is left out with a
 * message, unless it is critical: then its failure is the answer, and nothing is kept. `only`:
 * NULL, or the name of the only one that is wanted; then a message also tells where the
 * configuration keeps it from this program.
 */
CK_RV p11_registry_load(unsigned flags, const char *only, struct p11_found **out,
			size_t *n_out) P11_MUST_USE;

/* Says that a program's load found no module, where nothing else was said of it. */
void p11_registry_say_none(void);

/*
 * What is loaded now, whatever the program's name is meanwhile: loads and reads nothing. *out as
 * above. CKR_CRYPTOKI_NOT_INITIALIZED if no configuration was read.
 */
CK_RV p11_registry_loaded(struct p11_found **out, size_t *n_out) P11_MUST_USE;

/* Holds of the registry: one for each module pointer that somebody has. */
void p11_registry_hold(void);
void p11_registry_release(void);

/* What the configuration says of a module, borrowed while the registry is held; NULL: it is not
 * configured. */
const struct p11_config *p11_registry_config_of(const struct p11_module *module);

/* Whether the last try to load some configured module failed. The registry is held. */
bool p11_registry_lacks_any(void);

/* Calls `visit` with every slot-base that is configured, also of modules that are disabled; the
 * registry is held. */
void p11_registry_each_slot_base(void (*visit)(CK_ULONG base));

/* The global settings, borrowed while the registry is held; NULL while nobody holds it. */
const struct p11_config *p11_registry_global(void);

/* Other files and folders from the next reading on; NULL keeps what is. The strings are copied. */
void p11_registry_override(const struct p11_config_paths *paths);

#endif
