/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The small functions of the public API that belong to no object: texts, messages, padding, the
 * version and the program's name. All may be called from any thread.
 */
#define P11_KIT_FUTURE_UNSTABLE_API
#include "p11-kit/p11-kit.h"
#include "p11-kit/version.h"

#include "base/base.h"
#include "base/message.h"
#include "config/program.h"
#include "pkcs11/names.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

P11_EXPORT const char *
p11_kit_strerror(CK_RV rv)
{
	return p11_error_text(rv);
}

P11_EXPORT const char *
p11_kit_message(void)
{
	return p11_message_last();
}

P11_EXPORT void
p11_kit_be_quiet(void)
{
	p11_message_loud(false);
}

P11_EXPORT void
p11_kit_be_loud(void)
{
	p11_message_loud(true);
}

P11_EXPORT size_t
p11_kit_space_strlen(const unsigned char *string, size_t max_length)
{
	if (p11_broken(string != NULL))
		return 0;
	while (max_length > 0 && string[max_length - 1] == ' ')
		max_length--;
	return max_length;
}

P11_EXPORT char *
p11_kit_space_strdup(const unsigned char *string, size_t max_length)
{
	if (p11_broken(string != NULL))
		return NULL;

	size_t length = p11_kit_space_strlen(string, max_length);
	char *copy = length < SIZE_MAX ? malloc(length + 1) : NULL;
	if (!copy)
		return NULL;
	memcpy(copy, string, length);
	copy[length] = '\0';
	return copy;
}

P11_EXPORT int
p11_kit_check_version(int major, int minor, int micro)
{
	return P11_KIT_CHECK_VERSION(major, minor, micro);
}

P11_EXPORT void
p11_kit_set_progname(const char *progname)
{
	p11_program_set(progname);
}
