/* SPDX-License-Identifier: BSD-3-Clause */
/* What load.c, which reads files, needs of config.c, which answers questions. */
#ifndef P11_LOAD_H
#define P11_LOAD_H

#include "config/config.h"
#include "config/file.h"

/* `name` is copied; NULL makes a global one. NULL without memory. */
struct p11_config *p11_config_new(const char *name) P11_MUST_USE;
struct p11_config *p11_config_free(struct p11_config *config);

/* To be filled while loading. */
struct p11_settings *p11_config_settings(struct p11_config *config);

/*
 * After all settings are there: computes from them what is asked often, and tells oddities. False
 * without memory.
 */
bool p11_config_complete(struct p11_config *config, const struct p11_config *global,
			 const char *module_dir) P11_MUST_USE;

#endif
