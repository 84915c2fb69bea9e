/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A shim is a copy of the template, and no link: programs such as ssh-agent resolve links, and the
 * template would then be asked for a module of its own name. The copy appears whole or not at all,
 * since programs may load it at any moment. What is no shim, such as the vendor's file in a folder
 * that was named by mistake, is neither replaced nor removed.
 */
#include "shim.h"

#include <p11-kit/p11-kit.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SHIM_SIZE (1 << 20) /* in bytes: what is larger is no shim */

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_MISUSE = 2 };

static const char usage[] =
	"usage: p11-kit shim [--dir=FOLDER] NAME...\n"
	"       p11-kit shim [--dir=FOLDER] --all\n"
	"       p11-kit shim [--dir=FOLDER] --remove NAME...\n"
	"\n"
	"Makes FOLDER/NAME.so for the configured module NAME: a PKCS#11 module that holds only\n"
	"that one, with its own slot ids, for programs that insist on a file. They share it with\n"
	"all others of the process. The path of each file is printed.\n"
	"\n"
	"      --all         for all modules that this program can load\n"
	"      --dir=FOLDER  the folder of the files; if none is given, it is\n"
	"                    " P11_SHIM_DIR "\n"
	"      --remove      remove the files instead; what is no such file stays\n"
	"  -q, --quiet       print no paths\n"
	"  -h, --help        say this\n";

struct request {
	const char *folder; /* borrowed */
	bool all, remove, help, quiet;
};

static int
fail(const char *what, const char *path)
{
	bool is_forbidden = errno == EACCES || errno == EPERM || errno == EROFS;

	fprintf(stderr, "p11-kit: %s: %s: %s%s\n", path, what, strerror(errno),
		is_forbidden ? "; become root, or name another folder with --dir" : "");
	return EXIT_FAILED;
}

/* Of letters, digits and "_-.", and none of these three at the beginning: as module files are
 * called. */
static bool
is_name(const char *name)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "0123456789_-.";

	return name[0] != '\0' && !strchr("_-.", name[0]) && strspn(name, alphabet) == strlen(name);
}

/* A regular file with the mark of the template in it. */
static bool
has_mark(int file)
{
	static const char mark[] = P11_SHIM_MARK;
	struct stat status;
	size_t length = 0;
	ssize_t n = 0;

	if (fstat(file, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size > MAX_SHIM_SIZE)
		return false;
	char *bytes = malloc(MAX_SHIM_SIZE);
	while (bytes && (n = read(file, bytes + length, MAX_SHIM_SIZE - length)) > 0)
		length += (size_t)n;
	bool found = bytes && n == 0 && memmem(bytes, length, mark, strlen(mark));
	free(bytes);
	return found;
}

/* False, with a message: there is something else. No file at all is fine. */
static bool
may_touch(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (file < 0 && (errno == ENOENT || errno == ENOTDIR))
		return true;
	if (file < 0 && errno != ELOOP) {
		(void)fail("cannot be read", path);
		return false;
	}
	bool is_shim = file >= 0 && has_mark(file);
	if (file >= 0)
		close(file);
	if (!is_shim)
		fprintf(stderr,
			"p11-kit: %s: it was not made by \"p11-kit shim\", and is left as it is\n",
			path);
	return is_shim;
}

static bool
copy_bytes(int from, int to)
{
	char bytes[16384];
	ssize_t n;

	while ((n = read(from, bytes, sizeof bytes)) > 0) {
		for (ssize_t done = 0; done < n;) {
			ssize_t written = write(to, bytes + done, (size_t)(n - done));
			if (written < 0)
				return false;
			done += written;
		}
	}
	return n == 0;
}

/* Copies the template to a file of that name's neighbourhood first. */
static int
copy_template(const char *path)
{
	char draft[4200];
	int from = open(P11_SHIM_TEMPLATE, O_RDONLY | O_CLOEXEC), to, code = EXIT_DONE;

	if (from < 0)
		return fail("cannot be read", P11_SHIM_TEMPLATE);
	snprintf(draft, sizeof draft, "%s.XXXXXX", path);
	to = mkostemp(draft, O_CLOEXEC);
	if (to < 0) {
		code = fail("cannot be written", path);
		close(from);
		return code;
	}
	if (!copy_bytes(from, to) || fchmod(to, 0644) < 0 || fsync(to) < 0 ||
	    rename(draft, path) < 0) {
		code = fail("cannot be written", path);
		unlink(draft);
	}
	close(from);
	close(to);
	return code;
}

/* With those that it is in. */
static bool
make_folder(const char *folder)
{
	char path[4096];

	if (snprintf(path, sizeof path, "%s/", folder) >= (int)sizeof path) {
		errno = ENAMETOOLONG;
		return false;
	}
	for (char *end = strchr(path + 1, '/'); end; end = strchr(end + 1, '/')) {
		*end = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return false;
		*end = '/';
	}
	return true;
}

/* Makes or removes the file. */
static int
act_on(const struct request *request, const char *path)
{
	int code = EXIT_DONE;

	if (!may_touch(path))
		return EXIT_FAILED;
	if (request->remove)
		code = unlink(path) == 0 ? EXIT_DONE : fail("cannot be removed", path);
	else if (!make_folder(request->folder))
		code = fail("cannot be made", request->folder);
	else
		code = copy_template(path);
	if (code == EXIT_DONE && !request->quiet)
		puts(path);
	return code;
}

static int
make_or_remove(const struct request *request, const char *name)
{
	char path[4096];

	if (!is_name(name)) {
		fprintf(stderr,
			"p11-kit: '%s' is no name of a module; those are of letters, digits and "
			"'_-.'\n",
			name);
		return EXIT_MISUSE;
	}
	if (snprintf(path, sizeof path, "%s/%s.so", request->folder, name) >= (int)sizeof path) {
		errno = ENAMETOOLONG;
		return fail("cannot be written", request->folder);
	}
	return act_on(request, path);
}

static int
make_named(const struct request *request, CK_FUNCTION_LIST **modules, const char *name)
{
	CK_FUNCTION_LIST *module = p11_kit_module_for_name(modules, name);

	if (!module && is_name(name)) {
		fprintf(stderr,
			"p11-kit: no module '%s' is there for this command: it is not configured, "
			"it "
			"cannot be loaded, or its enable-in or disable-in keeps it from 'p11-kit'; "
			"see pkcs11.conf(5)\n",
			name);
		return EXIT_FAILED;
	}
	return make_or_remove(request, name);
}

/* One that cannot be made or removed does not keep the others from it. */
static int
worse(int code, int other)
{
	return other > code ? other : code;
}

static int
make_all(const struct request *request, CK_FUNCTION_LIST **modules)
{
	int worst = EXIT_DONE;

	for (CK_FUNCTION_LIST **module = modules; *module; module++) {
		char *name = p11_kit_module_get_name(*module);
		if (name)
			worst = worse(worst, make_or_remove(request, name));
		free(name);
	}
	return worst;
}

static int
read_options(int argc, char *argv[], struct request *request)
{
	static const struct option options[] = {
		{"all", no_argument, NULL, 'a'},
		{"dir", required_argument, NULL, 'd'},
		{"help", no_argument, NULL, 'h'},
		{"remove", no_argument, NULL, 'r'},
		{"quiet", no_argument, NULL, 'q'},
		{"verbose", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	static char program[] = "p11-kit"; /* the beginning of what getopt says */
	int option;

	argv[0] = program;
	while ((option = getopt_long(argc, argv, "hqv", options, NULL)) >= 0) {
		switch (option) {
		case 'a':
			request->all = true;
			break;
		case 'd':
			request->folder = optarg;
			break;
		case 'h':
			request->help = true;
			break;
		case 'r':
			request->remove = true;
			break;
		case 'q':
			request->quiet = true;
			break;
		case 'v':
			break;
		default:
			return EXIT_MISUSE;
		}
	}
	return EXIT_DONE;
}

static int
make(const struct request *request, char **names)
{
	p11_kit_be_loud(); /* it tells each module that it leaves out, and why */
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);
	p11_kit_be_quiet();

	if (!modules)
		return EXIT_FAILED;
	int worst = request->all ? make_all(request, modules) : EXIT_DONE;
	for (; *names; names++)
		worst = worse(worst, make_named(request, modules, *names));
	p11_kit_modules_release(modules);
	return worst;
}

static int
take_away(const struct request *request, char **names)
{
	int worst = EXIT_DONE;

	for (; *names; names++)
		worst = worse(worst, make_or_remove(request, *names));
	return worst;
}

int
p11_cli_shim(int argc, char *argv[])
{
	struct request request = {.folder = P11_SHIM_DIR};
	int code = read_options(argc, argv, &request);
	bool has_names = optind < argc;

	if (code != EXIT_DONE)
		return code;
	if (request.help) {
		fputs(usage, stdout);
		return EXIT_DONE;
	}
	if (request.folder[0] == '\0') {
		fprintf(stderr, "p11-kit: --dir names no folder\n");
		return EXIT_MISUSE;
	}
	if (has_names == request.all || (request.all && request.remove)) {
		fputs(usage, stderr);
		return EXIT_MISUSE;
	}
	return request.remove ? take_away(&request, argv + optind) : make(&request, argv + optind);
}
