/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/program.h"

#include "base/intern.h"
#include "base/message.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *_Atomic chosen; /* interned; NULL: ask the system */

/* Cut, and for ever. NULL without memory. */
static const char *
keep(const char *text)
{
	char name[P11_PROGRAM_MAX + 1];

	snprintf(name, sizeof name, "%s", text);
	return p11_intern(name);
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

const char *
p11_program_choose(const char *invocation, const char *exe)
{
	if (exe && exe[0] && invocation[0] == '/' && strncmp(invocation, exe, strlen(exe)) == 0)
		return base_name(exe);
	return base_name(invocation);
}

const char *
p11_program_name(void)
{
	const char *name = atomic_load_explicit(&chosen, memory_order_acquire);

	if (name)
		return name;

	char exe[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", exe, sizeof exe - 1);
	exe[length > 0 ? length : 0] = '\0';
	name = keep(p11_program_choose(program_invocation_name, exe));
	return name ? name : "";
}

void
p11_program_set(const char *text)
{
	const char *name = NULL;

	if (text && *text && !(name = keep(text))) {
		p11_message("no memory to set the program's name to %.60s", text);
		return;
	}
	atomic_store_explicit(&chosen, name, memory_order_release);
}
