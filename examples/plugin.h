/* SPDX-License-Identifier: BSD-3-Clause */
/* What plug-in-host.c asks of a plug-in: a shared object with a `const struct plugin plugin`. */
#ifndef EXAMPLES_PLUGIN_H
#define EXAMPLES_PLUGIN_H

#include <stdbool.h>

struct plugin {
	const char *name;
	/* Gets hold of the token; MODULE is the file for those who need one. */
	bool (*start)(const char *module, const char *label, const char *pin);
	bool (*work)(void);
	/* Lets go of it. The plug-in stays loaded, and may be started again. */
	bool (*stop)(void);
};

#endif
