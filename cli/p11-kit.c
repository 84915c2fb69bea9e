/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The p11-kit command: finds out what it is asked for. Options before the command are its own; the
 * first argument that is no option names the command, and what follows belongs to that command. It
 * is a program like any other: of the library it sees the public headers only.
 *
 * Most of the commands do not exist yet. Their names are known here, so that a script that calls
 * one learns that the command is missing, not misspelt.
 */
#include "shim.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/* Scripts depend on it: misuse and unknown commands exit with 2, as the other p11-kit's do. */
enum { EXIT_DONE = 0, EXIT_MISUSE = 2 };

static const char usage[] =
	"usage: p11-kit [OPTION]... COMMAND [ARGUMENT]...\n"
	"\n"
	"  -h, --help     say this\n"
	"      --version  say which version this is\n"
	"  -v, --verbose  say more about what happens (for the commands to come)\n"
	"  -q, --quiet    say nothing but results (for the commands to come)\n"
	"\n"
	"  shim NAME      make a file that holds the one module NAME (p11-kit shim --help)\n"
	"\n"
	"See p11-kit(8), pkcs11.conf(5) and p11-kit-proxy(7).\n";

static const char *const commands_to_come[] = {
	"add-profile",     "delete-object", "delete-profile",   "export-object",
	"extract",         "extract-trust", "generate-keypair", "import-object",
	"list-mechanisms", "list-modules",  "list-objects",     "list-profiles",
	"list-tokens",     "print-config",  "remote",           "server",
};

struct request {
	const char *command; /* borrowed from argv; NULL: none was given */
	int place;           /* of the command in argv */
	bool help;
	bool version;
};

static int
complain(const char *text, const char *what)
{
	fprintf(stderr, "p11-kit: %s%s%s\n", text, what ? ": " : "", what ? what : "");
	return EXIT_MISUSE;
}

/* One option in its long form; false if there is no such option. */
static bool
read_long(const char *name, struct request *request)
{
	if (strcmp(name, "help") == 0)
		request->help = true;
	else if (strcmp(name, "version") == 0)
		request->version = true;
	else
		return strcmp(name, "verbose") == 0 || strcmp(name, "quiet") == 0;
	return true;
}

/* Options in their short form, which may stand together: -vh. */
static bool
read_short(const char *letters, struct request *request)
{
	for (; *letters != '\0'; letters++) {
		switch (*letters) {
		case 'h':
			request->help = true;
			break;
		case 'v':
		case 'q':
			break;
		case 'l': /* an old spelling of list-modules */
			request->command = "list-modules";
			break;
		default:
			return false;
		}
	}
	return true;
}

static bool
read_option(const char *argument, struct request *request)
{
	if (strncmp(argument, "--", 2) == 0)
		return read_long(argument + 2, request);
	return argument[1] != '\0' && read_short(argument + 1, request);
}

static bool
is_to_come(const char *command)
{
	for (size_t i = 0; i < N_ELEMENTS(commands_to_come); i++) {
		if (strcmp(command, commands_to_come[i]) == 0)
			return true;
	}
	return false;
}

static int
run_command(const struct request *request, int argc, char *argv[])
{
	if (strcmp(request->command, "shim") == 0)
		return p11_cli_shim(argc, argv);
	if (is_to_come(request->command))
		return complain("this release does not have the command yet", request->command);
	return complain("there is no such command", request->command);
}

int
main(int argc, char *argv[])
{
	struct request request = {0};

	for (int i = 1; i < argc && !request.command; i++) {
		request.place = i;
		if (argv[i][0] != '-')
			request.command = argv[i];
		else if (!read_option(argv[i], &request))
			return complain("there is no such option", argv[i]);
	}

	if (request.version) {
		printf("p11-kit %s\n", P11_PROJECT_VERSION);
		return EXIT_DONE;
	}
	if (request.help) {
		fputs(usage, stdout);
		return EXIT_DONE;
	}
	if (request.command)
		return run_command(&request, argc - request.place, argv + request.place);
	if (argc > 1)
		return complain("no command was given; see p11-kit --help", NULL);
	fputs(usage, stdout);
	return EXIT_MISUSE;
}
