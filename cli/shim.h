/* SPDX-License-Identifier: BSD-3-Clause */
/* The command "p11-kit shim": makes and removes the files that hold one module each. */
#ifndef P11_CLI_SHIM_H
#define P11_CLI_SHIM_H

/* What follows the command's name; the exit code is returned. */
int p11_cli_shim(int argc, char *argv[]);

#endif
