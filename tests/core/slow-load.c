/* SPDX-License-Identifier: BSD-3-Clause */
/* A file, and no module, whose constructor hangs until a byte comes from the descriptor that
 * P11_SLOW_LOAD names. */
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void
hang(void)
{
	const char *fd = getenv("P11_SLOW_LOAD");
	char byte;

	if (fd && write(atoi(fd) + 1, "?", 1) == 1)
		(void)!read(atoi(fd), &byte, 1);
}
